"""Calendar days in a time zone, as whole numbers that SQL and Python compute alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from data.clock import DAY_US, from_us, to_us

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["DAY_SHIFT_US", "Offset", "last_of_days", "offsets", "offsets_around"]

Offset = tuple[int, int]

# Moments before 1970 would be negative, and engines round negative quotients differently: shift by 200,000 days.
DAY_SHIFT_US = 200_000 * DAY_US

# Local times of the first and the last year of the calendar may lie outside of it.
_FIRST_US, _LAST_US = to_us(datetime(2, 1, 1, tzinfo=UTC)), to_us(datetime(9999, 1, 1, tzinfo=UTC))
_BLOCK_US = 512 * DAY_US


@lru_cache(maxsize=64)
def offsets(timezone: str, start_us: int, end_us: int) -> tuple[Offset, ...]:
    """Return `(valid from, offset of UTC)` pairs, both in microseconds, that cover `[start_us, end_us]`.

    The first pair is valid from the beginning of time. Zones change their offset at whole seconds, at most once in 12
    hours, so that a scan by 12 hours with a bisection finds every change.

    Examples
    --------
    >>> offsets("Asia/Shanghai", 1_700_000_000_000_000, 1_800_000_000_000_000)
    ((-9223372036854775808, 28800000000),)
    >>> len(offsets("Europe/Amsterdam", 1_700_000_000_000_000, 1_731_000_000_000_000))
    3
    """
    zone = ZoneInfo(timezone)

    def offset(us: int) -> int:
        delta = from_us(min(max(us, _FIRST_US), _LAST_US)).astimezone(zone).utcoffset() or timedelta(0)
        return delta // timedelta(microseconds=1)

    found = [(-(2**63), offset(start_us))]
    at, step = start_us, DAY_US // 2
    while at < end_us:
        nearer = min(at + step, end_us)
        if offset(nearer) != found[-1][1]:
            found.append((_change(offset, at, nearer), offset(nearer)))
        at = nearer
    return tuple(found)


def offsets_around(timezone: str, start_us: int, end_us: int) -> tuple[Offset, ...]:
    """Return `offsets` of the whole blocks of 512 days that hold `[start_us, end_us]`, so that the cache is met.

    Examples
    --------
    >>> offsets_around("Asia/Shanghai", 1, 2) == offsets("Asia/Shanghai", 0, 512 * DAY_US)
    True
    """
    return offsets(timezone, start_us // _BLOCK_US * _BLOCK_US, -(-end_us // _BLOCK_US) * _BLOCK_US)


def _change(offset: Callable[[int], int], low: int, high: int) -> int:
    """Return the first microsecond in `(low, high]` at which the offset is that of `high`."""
    while high - low > 1:
        middle = (low + high) // 2
        if offset(middle) == offset(low):
            low = middle
        else:
            high = middle
    return high


def last_of_days(times: NDArray[np.int64], table: tuple[Offset, ...]) -> list[int]:
    """Return the last of the sorted moments in each local calendar day that holds one of them, in order.

    Examples
    --------
    >>> hour = 3_600_000_000
    >>> last = last_of_days(np.array([0, 15 * hour, 16 * hour]), offsets("Asia/Shanghai", 0, 0))
    >>> [us // hour for us in last]
    [15, 16]
    """
    if not len(times):
        return []
    if len(table) == 1 or table[1][0] > times[-1]:
        numbers = (times + (table[0][1] + DAY_SHIFT_US)) // DAY_US
        last: list[int] = times[:-1][numbers[1:] != numbers[:-1]].tolist()
        return [*last, int(times[-1])]
    starts = [valid_from for valid_from, _ in table[1:]]
    cuts = [0, *np.searchsorted(times, starts).tolist(), len(times)]
    # Where clocks go back over midnight a day comes twice.
    found: dict[int, int] = {}
    for (_, offset), (begin, end) in zip(table, pairwise(cuts), strict=True):
        piece = times[begin:end]
        numbers = (piece + (offset + DAY_SHIFT_US)) // DAY_US
        found |= dict(zip(numbers.tolist(), piece.tolist(), strict=True))
    return sorted(found.values())
