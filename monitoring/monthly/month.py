"""Which month is told, and which one it is held against."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.clock import from_us
from data.errors import UsageError
from monitoring.baselines.periods import calendar_periods

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from monitoring.attribution.journeys import Period

__all__ = ["PAST_MONTHS", "Months", "months_of"]

PAST_MONTHS = 6
_MOST_BACK = 240
_NAME = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class Months:
    """The month that is told and those before it, oldest first; all whole, and as known at one moment."""

    periods: tuple[Period, ...]
    names: tuple[str, ...]

    @property
    def told(self) -> Period:
        """The month of the page, `[since, until)`."""
        return self.periods[-1]

    @property
    def before(self) -> Period:
        """The month before it."""
        return self.periods[-2]

    @property
    def name(self) -> str:
        """The month of the page as `2026-10`."""
        return self.names[-1]

    @property
    def name_before(self) -> str:
        """The month before it."""
        return self.names[-2]


def months_of(as_of: datetime, name: str | None, zone: ZoneInfo) -> Months:
    """Return the named month, by default the last one that is over, with those before it.

    Parameters
    ----------
    as_of
        The moment of knowledge.
    name
        Such as `2026-10`.
    zone
        In which months begin.

    Raises
    ------
    UsageError
        If the name is no month, or the month is not over at `as_of`.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from zoneinfo import ZoneInfo
    >>> found = months_of(datetime(2026, 11, 22, tzinfo=UTC), None, ZoneInfo("UTC"))
    >>> found.name_before, found.name, len(found.periods)
    ('2026-09', '2026-10', 6)
    """
    if name is None:
        return _named(calendar_periods(as_of, "month", PAST_MONTHS, zone), zone)
    if not _NAME.fullmatch(name):
        raise UsageError("--month: a month was expected", hint="write it as 2026-10")
    all_months = calendar_periods(as_of, "month", _MOST_BACK, zone)
    names = [_name(period, zone) for period in all_months]
    if name not in names:
        raise UsageError(
            f"--month: {name} is not over at the moment of knowledge, or too long ago",
            hint=f"{names[-1]} is the last whole month; another moment is named by --as-of",
        )
    end = names.index(name) + 1
    return _named(all_months[max(0, end - PAST_MONTHS) : end], zone)


def _named(periods: tuple[Period, ...], zone: ZoneInfo) -> Months:
    return Months(periods, tuple(_name(period, zone) for period in periods))


def _name(period: Period, zone: ZoneInfo) -> str:
    return f"{from_us(period.since_us).astimezone(zone):%Y-%m}"
