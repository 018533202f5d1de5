"""The weeks or months that a report looks at: whole ones that are over, in the team's time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from data.clock import to_us
from monitoring.attribution.journeys import Period

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["Every", "calendar_periods", "equal_periods"]

Every = Literal["week", "month"]


def calendar_periods(as_of: datetime, every: Every, count: int, zone: ZoneInfo) -> tuple[Period, ...]:
    """Return the last whole weeks (from Monday) or months before a moment, oldest first, all as known at it.

    Examples
    --------
    >>> from zoneinfo import ZoneInfo
    >>> from data.clock import from_us
    >>> found = calendar_periods(datetime(2026, 3, 5, tzinfo=UTC), "month", 2, ZoneInfo("UTC"))
    >>> [from_us(period.since_us).date().isoformat() for period in found]
    ['2026-01-01', '2026-02-01']
    """
    local = as_of.astimezone(zone)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    last = day - timedelta(days=day.weekday()) if every == "week" else day.replace(day=1)
    bounds = [last]
    for _ in range(count):
        before = bounds[0]
        bounds.insert(0, before - timedelta(days=7) if every == "week" else (before - timedelta(days=1)).replace(day=1))
    moments = [to_us(bound.replace(tzinfo=zone).astimezone(UTC)) for bound in bounds]
    known = to_us(as_of)
    return tuple(Period(since, until, known) for since, until in pairwise(moments))


def equal_periods(since: datetime, until: datetime, as_of: datetime, count: int) -> tuple[Period, ...]:
    """Return `[since, until)` and as many before it, equally long, that there are `count`; oldest first.

    Raises
    ------
    UsageError
        If the period is empty, or ends after what is known.

    Examples
    --------
    >>> from data.clock import from_us
    >>> one, two = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)
    >>> [from_us(period.since_us).day for period in equal_periods(one, two, two, 2)]
    [23, 2]
    """
    last = Period.of(since, until, as_of)
    length = last.until_us - last.since_us
    return tuple(
        Period(last.since_us - back * length, last.until_us - back * length, last.as_of_us)
        for back in range(count - 1, -1, -1)
    )
