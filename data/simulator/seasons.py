"""The calendar of a simulated team: its months, seasons, slow drift and working hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from data.clock import HOUR_US, from_us, to_us
from data.simulator.chain import RATES
from data.simulator.vocabulary import MARKETS, SOURCES, ZH

if TYPE_CHECKING:
    from data.simulator.arrays import Floats, Ints

__all__ = ["HORIZON_DAYS", "Calendar", "lunar_new_year", "month_factors", "rhythm", "source_weights", "volume"]

HORIZON_DAYS = 90

_OPEN, _WIN = RATES.index("open"), RATES.index("win")
_THURSDAY_HOURS = 72  # 1970-01-01 was a Thursday, a week begins on Monday
_NEW_MOON, _MONTH_DAYS = datetime(2000, 1, 6, 18, 14, tzinfo=UTC), 29.530588


@dataclass(frozen=True)
class Calendar:
    """The simulated period `[start, end)` and, beyond it, the months that its last horizon needs (microseconds)."""

    start: int
    end: int
    bounds: Ints

    @classmethod
    def of(cls, end: datetime, months: int) -> Calendar:
        """Lay out the months before `end`.

        Examples
        --------
        >>> calendar = Calendar.of(datetime(2026, 11, 1, tzinfo=UTC), 2)
        >>> from_us(calendar.start).isoformat(), len(calendar.bounds)
        ('2026-09-01T00:00:00+00:00', 6)
        """
        end = end.astimezone(UTC)
        first = _shifted(end, -months)
        start = min(first + (end - _shifted(end, 0)), _shifted(first, 1) - timedelta(days=1))
        last = end + timedelta(days=HORIZON_DAYS + 1)
        bounds = [first]
        while bounds[-1] <= last:
            bounds.append(_shifted(bounds[-1], 1))
        return cls(to_us(start), to_us(end), np.array([to_us(bound) for bound in bounds], dtype=np.int64))

    @property
    def firsts(self) -> Ints:
        """The first days of the months inside the period, its end among them if it is one."""
        return self.bounds[(self.bounds >= self.start) & (self.bounds <= self.end)]

    def month(self, us: Ints) -> Ints:
        """Return the number of the month of each moment."""
        return (np.searchsorted(self.bounds, us, side="right") - 1).astype(np.int64)


def _shifted(moment: datetime, months: int) -> datetime:
    """Return the first moment of the month that many months away."""
    index = moment.year * 12 + moment.month - 1 + months
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)


def lunar_new_year(year: int) -> date:
    """Return Chinese New Year to within a day: the mean new moon from 21 January to 20 February, in Chinese time.

    Examples
    --------
    >>> lunar_new_year(2026).isoformat()
    '2026-02-17'
    """
    earliest = datetime(year, 1, 20, 16, tzinfo=UTC)
    moons = ceil((earliest - _NEW_MOON) / timedelta(days=_MONTH_DAYS))
    return (_NEW_MOON + timedelta(days=moons * _MONTH_DAYS, hours=8)).date()


def _holiday_share(first: datetime) -> float:
    """Return the share of a month's days from a week before Chinese New Year to a fortnight after it."""
    peak = lunar_new_year(first.year)
    days = (_shifted(first, 1) - first).days
    return sum(-7 <= (first.date() + timedelta(days=day) - peak).days <= 14 for day in range(days)) / days


def _season(first: datetime, market: int) -> tuple[float, float]:
    """Return what a month does to the rates of opening a buying window and of winning."""
    opens, win = {11: (1.15, 1.3), 12: (1.0, 1.5), 1: (1.1, 0.75)}.get(first.month, (1.0, 1.0))
    if market == ZH:
        quiet = 1 - 0.65 * _holiday_share(first)
        return opens * quiet, win * quiet
    return (opens * 0.7, win * 0.65) if first.month == 8 else (opens, win)


def month_factors(rng: np.random.Generator, calendar: Calendar) -> Floats:
    """Return the factors of every month on the rates of every group, (months, markets * sources, 5).

    Season, times a slow random walk of the whole market, times the trend of the source; constant inside a month.
    """
    firsts = [from_us(int(bound)) for bound in calendar.bounds[:-1]]
    market_walk = np.exp(np.cumsum(rng.normal(-0.005, 0.04, (len(firsts), 2)), axis=0))
    factors = np.ones((len(firsts), len(MARKETS), len(SOURCES), len(RATES)))
    for month, first in enumerate(firsts):
        for market in range(len(MARKETS)):
            factors[month, market, :, [_OPEN, _WIN]] *= (np.array(_season(first, market)) * market_walk[month])[:, None]
        factors[month, :, :, _OPEN] *= np.exp(month * np.array([source.trend for source in SOURCES]))
    return factors.reshape(len(firsts), -1, len(RATES))


def source_weights(month: Ints, market: Ints) -> Floats:
    """Return how often each source brings a lead, by month and market: the mix moves slowly."""
    base = np.array([[source.share_en for source in SOURCES], [source.share_zh for source in SOURCES]])
    growth = np.array([source.growth for source in SOURCES])
    weights: Floats = base[market] * np.exp(month[:, None] * growth)
    return weights


def volume(calendar: Calendar) -> Floats:
    """Return how many leads arrive in a month relative to the busiest, (months, markets)."""
    table = np.empty((len(calendar.bounds) - 1, len(MARKETS)))
    for month, bound in enumerate(calendar.bounds[:-1]):
        for market in range(len(MARKETS)):
            table[month, market] = _season(from_us(int(bound)), market)[0] * (1 + 0.01 * month)
    share: Floats = table / table.max()
    return share


def _week(evening: float, saturday: float, lunch: float) -> Floats:
    day = np.full(24, 0.03)
    day[7:9], day[9:18], day[18:23] = 0.35, 1.0, evening
    day[12] = lunch
    weekend = day * saturday
    return np.concatenate([np.tile(day, 5), weekend, weekend * 0.7])


_WEEKS = np.stack([_week(0.25, 0.12, 0.8), _week(0.4, 0.25, 0.45)])  # in the order of MARKETS


def rhythm(us: Ints, market: Ints, offset_hours: Ints) -> Floats:
    """Return how active people are at a moment relative to the busiest hour, by local hour of the week.

    Daylight saving is left out: it would move a rhythm by an hour that nobody could see in the counts.

    Examples
    --------
    A Thursday, 10 in the morning and 3 at night in London:

    >>> en, utc = np.array([0, 0]), np.array([0, 0])
    >>> rhythm(np.array([10, 3]) * HOUR_US, en, utc).tolist()
    [1.0, 0.03]
    """
    hour = (us // HOUR_US + offset_hours + _THURSDAY_HOURS) % 168
    weights: Floats = _WEEKS[market, hour]
    return weights
