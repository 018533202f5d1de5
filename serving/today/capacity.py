"""How many of the open leads a team can work today, which these are, and how many of them it will win, with a range.

The range holds two kinds of luck: which of the leads win (a sum of unequal coins) and whether the whole month is off
(the bundle's interval). What is assumed: leads win or lose on their own given the month, the month moves all of them by
the same quantile of their intervals, and between and beyond an interval's ends a normal law holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.certainty.interval import IntervalTable

    Floats = NDArray[np.float64]

__all__ = ["Capacity", "Ranges", "call_order", "capacity_of", "expected_by_points", "ranges_of", "wins_within"]

Basis = Literal["learnt", "assumed"]

LEVEL = 0.9
# Half of the 90 % range of log-odds where none could be learnt: what the interval starts from before any month is seen,
# 2.92 (Student's quantile for two degrees of freedom) times the root of 0.25 and 0.1 squared.
ASSUMED_HALF = 0.79
_MONTHS = 41  # equally likely months that the range is averaged over
_MOST_CERTAIN = 1e-12


@dataclass(frozen=True)
class Ranges:
    """The ends of each lead's 90 % range in log-odds, shape (n,), and whether they were learnt or assumed."""

    low: Floats
    high: Floats
    basis: Basis


@dataclass(frozen=True)
class Capacity:
    """The leads worth working: their places in the list, the first first, and what to expect of them.

    `threshold` is the smallest probability that was enough, None where no lead was chosen by it. `low` and `high` hold
    the number of wins in nine of ten months.
    """

    chosen: tuple[int, ...]
    threshold: float | None
    expected: float
    low: int
    high: int
    basis: Basis


def capacity_of(
    probabilities: Sequence[float] | Floats,
    capacity: int,
    *,
    ranges: Ranges | None = None,
    places: Sequence[float | None] | None = None,
) -> Capacity:
    """Choose the leads that a team has time for, and say what to expect of them.

    Parameters
    ----------
    probabilities
        Calibrated, of all leads that could be worked, shape (n,).
    capacity
        Leads that can be worked.
    ranges
        How far the probabilities may be off together; without it half a range of 0.79 in log-odds is assumed.
    places
        For leads that are placed by lot their place, 0 (first) to 1 (last); None for those that go by probability.

    Examples
    --------
    >>> found = capacity_of([0.5, 0.1, 0.4], 2)
    >>> found.chosen, found.threshold, found.expected
    ((0, 2), 0.4, 0.9)
    """
    chance = np.asarray(probabilities, np.float64)
    ranges = ranges or assumed_ranges(chance)
    chosen = call_order(chance, places)[:capacity]
    by_score = [at for at in chosen if places is None or places[at] is None]
    low, high = wins_within(_logit(chance[chosen]), ranges.low[chosen], ranges.high[chosen])
    return Capacity(
        chosen=tuple(chosen),
        threshold=min((float(chance[at]) for at in by_score), default=None),
        expected=float(chance[chosen].sum()),
        low=low,
        high=high,
        basis=ranges.basis,
    )


def call_order(values: Floats, places: Sequence[float | None] | None = None) -> list[int]:
    """Return the leads in the order in which they are to be called: by value, and those placed by lot at their place.

    Examples
    --------
    >>> call_order(np.array([0.1, 0.9, 0.5]), [0.0, None, None])
    [0, 1, 2]
    """
    given = [None] * len(values) if places is None else list(places)
    by_value = [at for at in np.argsort(-values, kind="stable").tolist() if given[at] is None]
    keys = {at: (rank + 0.5) / len(by_value) for rank, at in enumerate(by_value)}
    keys |= {at: place for at, place in enumerate(given) if place is not None}
    return sorted(keys, key=lambda at: (keys[at], at))


def expected_by_points(groups: Sequence[tuple[int, float]], capacity: int) -> float:
    """Return the wins to expect of the first leads by points; of equal points some are taken by lot.

    Parameters
    ----------
    groups
        For each number of points, the most first, how many leads have it and their mean probability.
    capacity
        Leads that can be worked.

    Examples
    --------
    >>> expected_by_points([(1, 0.2), (2, 0.5)], 2)
    0.7
    """
    found, left = 0.0, capacity
    for number, mean in groups:
        taken = min(left, number)
        found += mean * taken
        left -= taken
    return found


def wins_within(logit: Floats, low: Floats, high: Floats, *, level: float = LEVEL) -> tuple[int, int]:
    """Return the fewest and the most wins among some leads in the middle `level` of all months.

    In a month of quantile `u` a lead's log-odds are `logit + u * (high - logit)` for u > 0 and `logit + u * (logit -
    low)` below, with u normal and ±1 at the ends of the 90 % range. The number of wins given `u` is Poisson-binomial,
    computed exactly by adding one lead after the other.

    Parameters
    ----------
    logit, low, high
        Log-odds of the leads and the ends of their 90 % ranges, shape (n,).
    level
        Share of the months that the range is to hold.

    Examples
    --------
    >>> sure = np.array([0.0, 0.0])
    >>> wins_within(sure, sure, sure)
    (0, 2)
    """
    normal = NormalDist(sigma=1 / NormalDist().inv_cdf(0.5 + LEVEL / 2))
    months = np.array([normal.inv_cdf((k + 0.5) / _MONTHS) for k in range(_MONTHS)])[:, None]
    moved = logit + np.where(months > 0, months * (high - logit), months * (logit - low))
    chance = 1 / (1 + np.exp(-moved))
    law = np.zeros((_MONTHS, len(logit) + 1))
    law[:, 0] = 1.0
    for k in range(len(logit)):
        won = chance[:, k : k + 1]
        law[:, 1 : k + 2] = law[:, 1 : k + 2] * (1 - won) + law[:, : k + 1] * won
        law[:, :1] *= 1 - won
    below = law.mean(axis=0).cumsum()
    tail = (1 - level) / 2
    return int(np.searchsorted(below, tail)), min(int(np.searchsorted(below, 1 - tail)), len(logit))


def ranges_of(table: IntervalTable | None, probabilities: Sequence[float] | Floats) -> Ranges:
    """Return how far probabilities may be off, as the bundle has learnt it, else as is assumed without months seen.

    Parameters
    ----------
    table
        The bundle's interval; None where there was too little history to learn it.
    probabilities
        Calibrated, shape (n,).
    """
    chance = np.asarray(probabilities, np.float64)
    if table is None:
        return assumed_ranges(chance)
    logit = _logit(chance)
    # As `IntervalTable.around` for each, at once: beyond the ends of the grid their widths count.
    inside = np.clip(logit, table.grid[0], table.grid[-1])
    below = inside - np.interp(inside, table.grid, table.low)
    above = np.interp(inside, table.grid, table.high) - inside
    return Ranges(logit - np.maximum(below, 0), logit + np.maximum(above, 0), "learnt")


def assumed_ranges(probabilities: Floats) -> Ranges:
    """Return the ranges where none were learnt: as wide on either side as a team's months usually stray."""
    logit = _logit(probabilities)
    return Ranges(logit - ASSUMED_HALF, logit + ASSUMED_HALF, "assumed")


def _logit(chance: Floats) -> Floats:
    bounded = np.clip(chance, _MOST_CERTAIN, 1 - _MOST_CERTAIN)
    return np.asarray(np.log(bounded / (1 - bounded)))
