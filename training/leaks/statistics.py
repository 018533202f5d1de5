"""The tests behind the leak finder on one column of codes: how it ranks, where it is certain, what date it knows.

All are counts by code. Whatever is learnt from outcomes here is measured on other accounts than it was learnt from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Auc",
    "Zone",
    "adjusted",
    "at_least",
    "clustered_auc",
    "cross_fitted",
    "find_zone",
    "knows_closing",
    "odds",
    "rank_table",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_PRIOR_ROWS = 20.0  # a code's rate is drawn to the mean as if so many rows of the mean had it
_Z95 = 1.959964


class Auc(NamedTuple):
    """An area under the ROC curve and its standard error, clustered by account."""

    value: float
    error: float

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return max(self.value - _Z95 * self.error, 0.0)

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return min(self.value + _Z95 * self.error, 1.0)

    @property
    def p_value(self) -> float:
        """One-sided: how likely a column that knows nothing would look as good."""
        return 0.5 * math.erfc((self.value - 0.5) / self.error / math.sqrt(2)) if self.error > 0 else 1.0


@dataclass(frozen=True)
class Zone:
    """The values of which other accounts say that nearly all, or nearly none, of their leads win.

    `rows` leads have them and `wins` of these won, where the `base` rate expects `expected`; `recall` is the share of
    all wins (for a zone of losers: of all losses) inside, `codes` are the values, the most frequent first.
    """

    rows: int
    wins: int
    recall: float
    base: float
    codes: tuple[int, ...] = ()

    @property
    def rate(self) -> float:
        """Share won."""
        return self.wins / self.rows if self.rows else math.nan

    @property
    def expected(self) -> float:
        """Wins that the base rate expects."""
        return self.rows * self.base

    def bounds(self) -> tuple[float, float]:
        """Return the exact 95 % interval of the rate (Clopper and Pearson, 1934).

        Examples
        --------
        >>> low, high = Zone(rows=20, wins=20, recall=1.0, base=0.1).bounds()
        >>> round(low, 3), high
        (0.832, 1.0)
        """
        from scipy.special import betaincinv

        if not self.rows:
            return 0.0, 1.0
        low = betaincinv(self.wins, self.rows - self.wins + 1, 0.025) if self.wins else 0.0
        high = betaincinv(self.wins + 1, self.rows - self.wins, 0.975) if self.wins < self.rows else 1.0
        return float(low), float(high)

    @property
    def odds_ratio(self) -> float:
        """Lower end of the odds of winning inside over the odds of the base rate."""
        return odds(self.bounds()[0]) / odds(self.base) if 0 < self.base < 1 else 0.0

    def p_above(self, times: float) -> float:
        """Return how likely so many wins are if the odds inside were only `times` those of the base rate."""
        if not self.rows or not 0 < self.base < 1:
            return 1.0
        ceiling = times * odds(self.base)
        return at_least(self.wins, self.rows, ceiling / (1 + ceiling))

    def p_below(self, part: float) -> float:
        """Return how likely so few wins are if the rate inside were still `part` of the base rate."""
        return 1.0 - at_least(self.wins + 1, self.rows, part * self.base) if self.rows else 1.0


def at_least(count: int, size: int, rate: float) -> float:
    """Return how likely a rate gives so many of a size, or more.

    Examples
    --------
    >>> round(at_least(1, 2, 0.5), 6), at_least(0, 2, 0.5), at_least(3, 2, 0.5)
    (0.75, 1.0, 0.0)
    """
    from scipy.special import betainc

    if not 0 < count <= size:
        return 0.0 if count > size else 1.0
    return float(betainc(count, size - count + 1, rate))


def odds(rate: float) -> float:
    """Return a rate as odds, infinite for 1."""
    return rate / (1 - rate) if rate < 1 else math.inf


def adjusted(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values made good for the number of tests (Holm, 1979).

    Examples
    --------
    >>> {name: round(p, 3) for name, p in adjusted({"a": 0.01, "b": 0.04, "c": 0.03}).items()}
    {'a': 0.03, 'c': 0.06, 'b': 0.06}
    """
    found: dict[str, float] = {}
    highest = 0.0
    for rank, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda pair: pair[1])):
        highest = max(highest, min(1.0, p_value * (len(p_values) - rank)))
        found[name] = highest
    return found


def cross_fitted(codes: Ints, y_obs: Ints, folds: Ints, *, learnt: Mask | None = None) -> Floats:
    """Return the rate of wins of each code among the rows of the other folds, above their mean and drawn to it.

    Parameters
    ----------
    codes, y_obs, folds
        (n,) each; folds are whole accounts.
    learnt
        Which rows to learn from; all without it.

    Returns
    -------
    numpy.ndarray
        (folds, codes): what the rows of a fold may use.

    Examples
    --------
    >>> table = cross_fitted(np.array([1, 1, 2, 2]), np.array([1, 1, 0, 0]), np.array([0, 1, 0, 1]))
    >>> bool((table[:, 1] > table[:, 2]).all())
    True
    """
    width, count = int(codes.max(initial=0)) + 1, int(folds.max(initial=0)) + 1
    cell = folds * width + codes
    if learnt is not None:
        cell, y_obs = cell[learnt], y_obs[learnt]
    rows = np.bincount(cell, minlength=count * width).reshape(count, width)
    wins = np.bincount(cell, y_obs, minlength=count * width).reshape(count, width)
    other_rows, other_wins = rows.sum(axis=0) - rows, wins.sum(axis=0) - wins
    base = other_wins.sum(axis=1, keepdims=True) / np.maximum(other_rows.sum(axis=1, keepdims=True), 1)
    rate = (other_wins + _PRIOR_ROWS * base) / (other_rows + _PRIOR_ROWS)
    # The mean itself differs between folds, by exactly what a fold lacks: it would order rows the wrong way round.
    return np.asarray(rate - base)


def rank_table(table: Floats) -> Ints:
    """Return the dense rank of each entry of a table of scores; what differs by rounding only is equal."""
    return np.asarray(np.unique(np.round(table, 12), return_inverse=True)[1]).reshape(table.shape)


def clustered_auc(ranks: Ints, y_obs: Ints, moments: Ints, clusters: Ints) -> Auc:
    """Return the ROC-AUC over pairs of the same moment, with an error clustered by account (after Obuchowski, 1997).

    Pairs of different moments do not count: a column that only tells the season would rank them.

    Parameters
    ----------
    ranks
        (n,) whole numbers, higher for more promising rows, from 0.
    y_obs, moments, clusters
        (n,) each; moments and clusters as numbers from 0.

    Examples
    --------
    >>> clustered_auc(np.arange(4), np.array([0, 1, 0, 1]), np.zeros(4, int), np.arange(4)).value
    0.75
    """
    width, count = int(ranks.max(initial=0)) + 1, int(moments.max(initial=0)) + 1
    cell = moments * width + ranks
    won = np.bincount(cell, y_obs, minlength=count * width).reshape(count, width)
    lost = np.bincount(cell, minlength=count * width).reshape(count, width) - won
    wins, losses = won.sum(axis=1), lost.sum(axis=1)
    pairs = float((wins * losses).sum())
    if not pairs:
        return Auc(0.5, 0.0)
    # Of each row: how many of the other class in its moment it is ranked right against, ties for a half.
    below = np.cumsum(lost, axis=1) - lost / 2
    above = wins[:, None] - np.cumsum(won, axis=1) + won / 2
    value = float((won * below).sum()) / pairs
    influence = np.where(y_obs == 1, (below - value * losses[:, None]).ravel()[cell], 0.0)
    influence += np.where(y_obs == 0, (above - value * wins[:, None]).ravel()[cell], 0.0)
    spread = np.bincount(clusters, influence) / pairs
    return Auc(value, float(np.sqrt((spread**2).sum())))


def find_zone(codes: Ints, won: Ints, folds: Ints, *, winners: bool, least: float) -> Zone:
    """Return where leads nearly always win (or never do), found and measured on different accounts.

    Parameters
    ----------
    codes, won, folds
        (n,) one lead an account, so that the leads of one company are not taken for many.
    winners
        Whether to look for certain wins, else for certain losses.
    least
        The rate from which (to which, for losers) values of the other folds belong to the zone.

    Examples
    --------
    >>> codes = np.array([1] * 40 + [2] * 400)
    >>> zone = find_zone(codes, (codes == 1).astype(int), np.arange(440) % 4, winners=True, least=0.85)
    >>> zone.rows, zone.wins, zone.codes
    (40, 40, (1,))
    """
    width, count = int(codes.max(initial=0)) + 1, int(folds.max(initial=0)) + 1
    cell = folds * width + codes
    rows = np.bincount(cell, minlength=count * width).reshape(count, width)
    wins = np.bincount(cell, won, minlength=count * width).reshape(count, width).astype(np.int64)
    other_rows, other_wins = rows.sum(axis=0) - rows, wins.sum(axis=0) - wins
    base = float(won.mean()) if len(won) else 0.0
    if winners:
        inside = (other_rows >= 3) & (other_wins >= least * other_rows)
    else:
        inside = (other_rows * base >= 3) & (other_wins <= least * other_rows)
    here, good = int(rows[inside].sum()), int(wins[inside].sum())
    whole = int(won.sum()) if winners else len(won) - int(won.sum())
    sizes = (rows * inside).sum(axis=0)
    order = np.argsort(-sizes, kind="stable")
    named = tuple(int(k) for k in order if sizes[k])
    return Zone(here, good, (good if winners else here - good) / max(whole, 1), base, named)


def knows_closing(values: Floats, created_us: Ints, closed_us: Floats) -> tuple[float, float] | None:
    """Return the rank correlation of a column with the time to the closing, given the creation, and its error.

    The larger of two: the first-order partial correlation of ranks (Kendall, 1942), and the rank correlation of what a
    straight line over the creation date leaves of the column, which sees closing dates in short cycles too. Near 1 or
    -1 where a column is the closing date or grows with the time until it, which nobody knew at creation. None where too
    few values or dates differ.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> created = rng.integers(0, 1000, 500)
    >>> closed = created + rng.exponential(50, 500)
    >>> round(knows_closing(closed - created, created, closed)[0], 6)
    1.0
    >>> abs(knows_closing(created + rng.random(500), created, closed)[0]) < 0.2
    True
    """
    known = np.isfinite(values) & np.isfinite(closed_us)
    value, created = values[known], created_us[known].astype(np.float64)
    taken = closed_us[known] - created
    if len(value) < 30 or len(np.unique(value)) < 5 or len(np.unique(taken)) < 5 or np.ptp(created) == 0:
        return None
    centred = created - created.mean()
    left = value - value.mean() - centred * float(centred @ value) / float(centred @ centred)
    own, dates, both = (
        _rank_correlation(value, created),
        _rank_correlation(created, taken),
        _rank_correlation(value, taken),
    )
    partial = (both - own * dates) / math.sqrt(max((1 - own**2) * (1 - dates**2), 1e-9))
    # What rounding leaves of a column that is the creation date has ranks of its own.
    line = _rank_correlation(left, taken) if np.ptp(left) > 1e-9 * max(np.ptp(value), 1e-300) else 0.0
    found = max(min(max(partial, -1.0), 1.0), line, key=abs)
    return found, (1 - found**2 + 0.02) / math.sqrt(len(value) - 4)


def _rank_correlation(left: Floats, right: Floats) -> float:
    import pandas as pd

    ranks = [pd.Series(side).rank().to_numpy() for side in (left, right)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
