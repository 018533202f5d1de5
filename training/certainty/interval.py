"""How sure is a probability: the 90 % range for the win rate of leads scored like this, in the months to come.

Learnt from out-of-time predictions alone. A whole cross-section may be off (the season, the team, the market), the
scale may be (the better leads too good, the worse too bad), and leads of one score are not all alike. The first two are
measured, clustered by account, and shrunk towards what is common where a history is short; the third is allowed for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from data.clock import DAY_US
from training.evaluation.metrics import logistic_line
from training.learning.offset import Offset, cluster_sums, measure_offset

__all__ = ["LEVEL", "MIN_WINS", "Coverage", "IntervalTable", "blocks_of_time", "learn_interval", "measure_coverage"]

Floats = NDArray[np.float64]
LEVEL = 0.9
MIN_WINS = 100
# What is common, in log-odds: how far a month strays from its prediction, with the weight of two months; how far the
# slope strays from 1; how far leads of one kind stray from all leads of their score.
_MONTH_SD, _MONTH_WEIGHT = 0.25, 2.0
_SLOPE_SD = 0.15
_LOCAL_SD = 0.1
# A lead unlike the training data may be further off than any of these.
_UNLIKE_SD = 0.6
# Label windows of neighbouring cross-sections overlap: two of them say about as much as one that stands alone.
_OVERLAP = 2.0
_GRID = np.arange(-8.0, 8.01, 0.25)
_BINS = 20


class Coverage(BaseModel):
    """How often later months kept to the interval: of `bins` score bins of cross-sections left out, `inside` did.

    A bin is inside where its realised rate lies in the interval widened by its own binomial noise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bins: int
    inside: int

    @property
    def share(self) -> float:
        """Inside over bins."""
        return self.inside / self.bins


class IntervalTable(BaseModel):
    """Calibrated log-odds on a grid with the bounds of the 90 % range there; straight lines in between.

    `month_sd` is how far a month strays, in log-odds; `wins`, `rows` and `periods` are what it was learnt from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    grid: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    month_sd: float
    wins: int
    rows: int
    periods: int
    coverage: Coverage | None = None

    @model_validator(mode="after")
    def _ordered(self) -> IntervalTable:
        grid, low, high = (np.asarray(values) for values in (self.grid, self.low, self.high))
        rising = all(bool((np.diff(values) > 0).all()) for values in (grid, low, high))
        if not (
            len(grid) == len(low) == len(high) >= 2 and rising and bool((low <= grid).all() and (grid <= high).all())
        ):
            raise ValueError("grid, low and high have to rise, with low below and high above the grid")
        return self

    def around(self, logit: float, *, unlike: bool = False) -> tuple[float, float]:
        """Return the bounds around a calibrated log-odds; it lies between them. Outside the grid its ends count.

        Examples
        --------
        >>> table = IntervalTable(
        ...     grid=(-2, 0), low=(-3, -0.5), high=(-1.5, 0.5), month_sd=0.2, wins=100, rows=900, periods=6
        ... )
        >>> table.around(-1.0), table.around(1.0)
        ((-1.75, -0.5), (0.5, 1.5))
        """
        at = min(max(bisect_right(self.grid, logit) - 1, 0), len(self.grid) - 2)
        share = (logit - self.grid[at]) / (self.grid[at + 1] - self.grid[at])
        share = min(max(share, 0.0), 1.0)
        centre = self.grid[at] + share * (self.grid[at + 1] - self.grid[at])
        below = centre - (self.low[at] + share * (self.low[at + 1] - self.low[at]))
        above = self.high[at] + share * (self.high[at + 1] - self.high[at]) - centre
        if unlike:
            extra = _quantile(_MONTH_WEIGHT + self.periods / _OVERLAP) * _UNLIKE_SD
            below, above = float(np.hypot(below, extra)), float(np.hypot(above, extra))
        return logit - max(below, 0.0), logit + max(above, 0.0)

    def shifted(self, shift: float) -> IntervalTable:
        """Return the table for log-odds that were shifted: as wide as before, around the new ones."""
        moved = {name: tuple(value + shift for value in getattr(self, name)) for name in ("grid", "low", "high")}
        return self.model_copy(update=moved)


def learn_interval(
    y_obs: NDArray[np.int64],
    logit: NDArray[np.float64],
    clusters: NDArray[Any],
    periods: NDArray[Any],
) -> IntervalTable | None:
    """Learn the 90 % range from out-of-time predictions; None below 100 wins or 100 losses, or with one period.

    At log-odds `s` the half width is `t * sqrt(month^2 + local^2 + slope^2 (s - centre)^2)`. `month^2` is the mean
    square of the cross-sections' offsets less their sampling variance (DerSimonian & Laird, 1986, about zero, so that
    a lasting bias counts as well), shrunk as two more months with a deviation of 0.25 would; `slope^2` the expected
    square of `slope - 1` after seeing the rows, with 0.15 before; `local` is 0.1; `t` is Student's 95 % quantile, its
    degrees of freedom the months that were seen, overlaps halved, and the two that were not.

    Parameters
    ----------
    y_obs
        (n,) outcomes of the judged rows, 0 or 1.
    logit
        (n,) their calibrated log-odds, predicted out of time.
    clusters
        (n,) accounts.
    periods
        (n,) the cross-section of each row; where leads are judged at one age, from `blocks_of_time`.
    """
    names = np.unique(periods)
    if min(int(y_obs.sum()), int((1 - y_obs).sum())) < MIN_WINS or len(names) < 2:
        return None
    # Numbers are sorted much faster than names, and every cross-section sorts them again.
    _, codes = np.unique(clusters.astype(str), return_inverse=True)
    table = _learn(y_obs, logit, codes, periods)
    return table.model_copy(update={"coverage": _left_out(y_obs, logit, codes, periods)})


def measure_coverage(y_obs: NDArray[np.int64], logit: NDArray[np.float64], table: IntervalTable) -> Coverage:
    """Count the score bins of one cross-section whose realised rate lies in the mean interval of their leads.

    Up to 20 bins of equally many leads, fewer where that would leave less than two wins a bin. The interval is widened
    by the bin's binomial noise: the square of each side grows by 1.645^2 times the variance of the rate.
    """
    count = max(1, min(_BINS, int(y_obs.sum()) // 2))
    place = np.empty(len(logit), np.int64)
    place[np.argsort(logit, kind="stable")] = np.arange(len(logit)) * count // len(logit)
    bounds = np.array([table.around(value) for value in logit.tolist()])
    told = [_means(_rates(part), place, count) for part in (logit, bounds[:, 0], bounds[:, 1])]
    realised = _means(y_obs.astype(np.float64), place, count)
    noise = 1.645**2 * told[0] * (1 - told[0]) / np.bincount(place, minlength=count)
    low = told[0] - np.sqrt((told[0] - told[1]) ** 2 + noise)
    high = told[0] + np.sqrt((told[2] - told[0]) ** 2 + noise)
    return Coverage(bins=count, inside=int(((realised >= low) & (realised <= high)).sum()))


def blocks_of_time(
    as_of_us: NDArray[np.int64], y_obs: NDArray[np.int64], *, span_us: int = 30 * DAY_US, least: int = 30
) -> NDArray[np.int64]:
    """Return a block number for each row: stretches of at least `span_us` with at least `least` wins and losses.

    The last stretch is joined to the one before where it is too short or has too few. Rows of one moment stay together.

    Examples
    --------
    >>> moments = np.array([0, 10, 20, 30, 40])
    >>> blocks_of_time(moments, np.array([1, 0, 1, 0, 1]), span_us=15, least=1).tolist()
    [0, 0, 1, 1, 1]
    """
    order = np.argsort(as_of_us, kind="stable")
    moments, starts = np.unique(as_of_us[order], return_index=True)
    won = np.add.reduceat(y_obs[order], starts) if len(starts) else starts
    sizes = np.diff([*starts, len(order)])
    numbers, number, first, wins, losses = np.empty(len(moments), np.int64), 0, 0, 0, 0
    for k in range(len(moments)):
        if k and moments[k] - moments[first] >= span_us and min(wins, losses) >= least:
            number, first, wins, losses = number + 1, k, 0, 0
        numbers[k] = number
        wins, losses = wins + int(won[k]), losses + int(sizes[k] - won[k])
    if number and (min(wins, losses) < least or moments[-1] - moments[first] < span_us / 2):
        numbers[numbers == number] = number - 1
    return numbers[np.searchsorted(moments, as_of_us)]


def _learn(
    y_obs: NDArray[np.int64], logit: NDArray[np.float64], clusters: NDArray[Any], periods: NDArray[Any]
) -> IntervalTable:
    names = np.unique(periods).tolist()
    offsets = [measure_offset(y_obs[at], logit[at], clusters[at]) for at in (periods == name for name in names)]
    seen = len(names) / _OVERLAP
    month = (_MONTH_WEIGHT * _MONTH_SD**2 + seen * _stray(offsets)) / (_MONTH_WEIGHT + seen)
    slope, centre = _tilt(y_obs, logit, clusters)
    half = _quantile(_MONTH_WEIGHT + seen) * np.sqrt(month + _LOCAL_SD**2 + slope * (_GRID - centre) ** 2)
    # Far out a wide slope would let a higher score have a lower bound: what is better is never told to be worse.
    low = np.maximum.accumulate(_GRID - half) + 1e-9 * np.arange(len(_GRID))
    high = np.minimum.accumulate((_GRID + half)[::-1])[::-1] + 1e-9 * np.arange(len(_GRID))
    return IntervalTable(
        grid=tuple(_GRID.tolist()),
        low=tuple(np.minimum(low, _GRID).tolist()),
        high=tuple(np.maximum(high, _GRID).tolist()),
        month_sd=float(np.sqrt(month)),
        wins=int(y_obs.sum()),
        rows=len(y_obs),
        periods=len(names),
    )


def _stray(offsets: Sequence[Offset]) -> float:
    """Return the mean square of the true offsets: of the measured ones less their sampling variance, from 0 on."""
    value = np.array([offset.value for offset in offsets])
    variance = np.array([offset.variance for offset in offsets])
    weight = 1 / (variance + _MONTH_SD**2)
    return max(float(weight @ (value**2 - variance) / weight.sum()), 0.0)


def _tilt(y_obs: NDArray[np.int64], logit: NDArray[np.float64], clusters: NDArray[Any]) -> tuple[float, float]:
    """Return the expected square of `slope - 1` after seeing the rows, and where offset and slope do not mix."""
    line = logistic_line(y_obs, logit)
    if not np.isfinite(line.slope):
        return _SLOPE_SD**2, float(np.median(logit))
    p = _rates(line.intercept + line.slope * logit)
    information = p * (1 - p)
    centre = float(information @ logit / information.sum())
    scores = cluster_sums(clusters, (logit - centre) * (y_obs - p))
    curve = float(information @ (logit - centre) ** 2)
    variance = max(float(scores @ scores) / curve**2, 1 / curve)
    kept = _SLOPE_SD**2 / (_SLOPE_SD**2 + variance)
    return (kept * (line.slope - 1)) ** 2 + kept * variance, centre


def _left_out(
    y_obs: NDArray[np.int64], logit: NDArray[np.float64], clusters: NDArray[Any], periods: NDArray[Any]
) -> Coverage | None:
    """Learn without each cross-section in turn and look whether it kept to what the others promised."""
    found = []
    for name in np.unique(periods).tolist():
        own = periods == name
        if y_obs[own].sum() >= 2 and 0 < y_obs[~own].sum() < (~own).sum():
            table = _learn(y_obs[~own], logit[~own], clusters[~own], periods[~own])
            found.append(measure_coverage(y_obs[own], logit[own], table))
    bins = sum(part.bins for part in found)
    return Coverage(bins=bins, inside=sum(part.inside for part in found)) if bins else None


def _quantile(degrees: float) -> float:
    """Return Student's 95 % quantile by the expansion of Cornish and Fisher (Abramowitz & Stegun, 26.7.5)."""
    z = 1.6448536269514722
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / degrees ** (k + 1) for k, term in enumerate(terms))


def _rates(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -500, 500))))


def _means(values: Floats, place: NDArray[np.int64], count: int) -> Floats:
    return np.asarray(np.bincount(place, values, minlength=count) / np.bincount(place, minlength=count))
