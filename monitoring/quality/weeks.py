"""The week that is reported, the one before it, and those behind both for the trend.

Each week is told as it was known at its own end. So two weeks are compared with the same kind of knowledge, a report
of the past says what it said then, and an entry that comes late changes no figure that somebody has read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.clock import from_us, parse_moment
from data.errors import UsageError
from monitoring.attribution.journeys import Period
from monitoring.baselines.periods import calendar_periods, equal_periods

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

__all__ = ["TREND", "Weeks", "reported_weeks"]

TREND = 8  # periods behind the reported one


@dataclass(frozen=True)
class Weeks:
    """Periods of one length, oldest first; the last one is reported.

    Examples
    --------
    >>> from data.clock import DAY_US
    >>> told = Weeks(tuple(Period(day * DAY_US, (day + 7) * DAY_US, 14 * DAY_US) for day in (0, 7)))
    >>> told.report, told.now.since_us == told.before.until_us
    ('quality-19700108T0000-19700115T0000', True)
    """

    periods: tuple[Period, ...]

    @property
    def now(self) -> Period:
        """The reported period."""
        return self.periods[-1]

    @property
    def before(self) -> Period:
        """The period before it."""
        return self.periods[-2]

    @property
    def report(self) -> str:
        """The key of the report: the same period is the same report."""
        bounds = (from_us(us).strftime("%Y%m%dT%H%M") for us in (self.now.since_us, self.now.until_us))
        return f"quality-{'-'.join(bounds)}"


def reported_weeks(
    as_of: datetime, *, zone: ZoneInfo, weeks: int = 1, since: str | None = None, until: str | None = None
) -> Weeks:
    """Return the last whole weeks before a moment, from Monday, or the named period.

    Parameters
    ----------
    as_of
        The moment.
    zone
        In which weeks begin.
    weeks
        How many weeks one period has.
    since, until
        The period instead, the end not counted.

    Raises
    ------
    UsageError
        If only one end was given, the period is empty, or it ends after the moment.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from zoneinfo import ZoneInfo
    >>> told = reported_weeks(datetime(2026, 3, 9, 8, tzinfo=UTC), zone=ZoneInfo("UTC"))
    >>> told.report, len(told.periods)
    ('quality-20260302T0000-20260309T0000', 9)
    """
    if (since is None) != (until is None):
        raise UsageError("only one of --since and --until was given", hint="give both, or neither for the last week")
    if since is not None and until is not None:
        begin, end = parse_moment(since, field="--since"), parse_moment(until, field="--until")
        return Weeks(equal_periods(begin, end, as_of, TREND + 1))
    found = calendar_periods(as_of, "week", (TREND + 1) * weeks, zone)
    merged = [found[at : at + weeks] for at in range(0, len(found), weeks)]
    return Weeks(tuple(Period(part[0].since_us, part[-1].until_us, part[0].as_of_us) for part in merged))
