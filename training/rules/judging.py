"""Scorecards judged like models: how they rank, which wins a team catches with them, what threshold it can work.

Points are no probabilities, so only figures of the order of leads are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.scorecard import Scorecard
from training.evaluation.bootstrap import Interval, cluster_weights
from training.evaluation.scoreboard import EVERYONE
from training.rules.history import Listed

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

__all__ = [
    "PRIOR",
    "RANKING",
    "JudgedCards",
    "RuleHistory",
    "Threshold",
    "fitting_threshold",
    "judge_cards",
    "plain",
    "rule_histories",
    "spread",
]

Floats = NDArray[np.float64]

PRIOR = "prior"
RANKING = ("wins_at_capacity", "roc_auc", "lift_at_10")
_REPLICATES = 400
_BLOCK = 50
# A little over capacity is worked off; twice as much is not.
_OVER = 1.1


def plain(value: float | None) -> float | None:
    """Return a figure for JSON: None where there is none."""
    return None if value is None or not np.isfinite(value) else float(value)


@dataclass(frozen=True)
class JudgedCards:
    """Figures of scorecards and of the prior on the same rows.

    `figures` is tidy: group (`all`, or a list's day such as `2026-03-01`), method, metric, value, low, high,
    difference, difference_low, difference_high (to the first card, paired), n, wins. Intervals are at 95 %, clustered
    by account.
    """

    figures: pd.DataFrame
    methods: tuple[str, ...]
    capacity: int
    n: int
    wins: int

    @property
    def months(self) -> tuple[str, ...]:
        """The lists, in the order of time."""
        return tuple(sorted(set(self.figures["group"]) - {EVERYONE}))

    def figure(self, method: str, metric: str, *, group: str = EVERYONE) -> Interval:
        """Return a figure with its interval."""
        row = self._row(method, metric, group)
        return Interval(row["value"], row["low"], row["high"])

    def behind(self, method: str, metric: str, *, group: str = EVERYONE) -> Interval:
        """Return by how much the first card is above another method, paired."""
        row = self._row(method, metric, group)
        return Interval(-row["difference"], -row["difference_high"], -row["difference_low"])

    def _row(self, method: str, metric: str, group: str) -> dict[str, float]:
        of = self.figures
        (row,) = of[(of["method"] == method) & (of["metric"] == metric) & (of["group"] == group)].to_dict("records")
        return {str(key): value for key, value in row.items()}

    def counts(self, group: str = EVERYONE) -> tuple[int, int]:
        """Return rows and wins of a group."""
        row = self._row(self.methods[0], RANKING[0], group)
        return int(row["n"]), int(row["wins"])

    def as_rows(self) -> list[dict[str, Any]]:
        """Return every figure for JSON; one that could not be had is null."""
        rows = self.figures.to_dict("records")
        return [{str(k): plain(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]


def judge_cards(
    judged: Listed, cards: Mapping[str, Scorecard], *, capacity: int, rng: np.random.Generator
) -> JudgedCards:
    """Judge scorecards on the same lists, beside a list in random order (the prior).

    Parameters
    ----------
    judged
        Matured rows on the lists of a team.
    cards
        Scorecards by name; differences are to the first.
    capacity
        Leads a team can call from one list; of equal points it takes some at random.
    rng
        The source of the bootstrap's draws of accounts.
    """
    import pandas as pd

    account = pd.factorize(judged.rows.clusters)[0].astype(np.int64)
    points = {name: card.points(judged.rows.frame) for name, card in cards.items()}
    points[PRIOR] = np.zeros(len(judged.lists))
    cells = [_Cells.of(judged, values, account) for values in points.values()]

    def figures(weights: Floats) -> Floats:
        return np.stack([cell.figures(weights, capacity) for cell in cells])

    size = int(account.max()) + 1
    point = figures(np.ones((size, 1)))
    draws = np.concatenate([figures(weights) for weights in _drawn(size, rng)], axis=-1)
    groups = (EVERYONE, *judged.days)
    counts = _counts(judged)
    rows = [
        {
            "group": group,
            "method": method,
            "metric": metric,
            **_named(point[m, k, g, 0], draws[m, k, g]),
            **_named(point[m, k, g, 0] - point[0, k, g, 0], draws[m, k, g] - draws[0, k, g], "difference"),
            "n": counts[0][g],
            "wins": counts[1][g],
        }
        for g, group in enumerate(groups)
        for m, method in enumerate(points)
        for k, metric in enumerate(RANKING)
    ]
    return JudgedCards(pd.DataFrame(rows), tuple(points), capacity, counts[0][0], counts[1][0])


def _counts(judged: Listed) -> tuple[list[int], list[int]]:
    """Return rows and wins, of all lists first, then of each."""
    place = np.searchsorted(judged.months, judged.lists)
    rows, wins = np.bincount(place), np.bincount(place, weights=judged.rows.y_obs)
    return [int(rows.sum()), *rows.tolist()], [int(wins.sum()), *wins.astype(int).tolist()]


def _drawn(size: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield blocks of draws: how often each account is in each, (accounts, draws)."""
    for _ in range(_REPLICATES // _BLOCK):
        yield cluster_weights(np.arange(size), rng, replicates=_BLOCK)


def spread(value: float, draws: Floats) -> Interval:
    """Return the 95 % percentile interval; NaN where a tenth of the draws or more cannot give the figure."""
    known = draws[np.isfinite(draws)]
    if not np.isfinite(value) or known.size <= 0.9 * draws.size:
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def _named(value: float, draws: Floats, name: str = "value") -> dict[str, float]:
    found = spread(value, draws)
    low, high = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
    return {name: found.value, low: found.low, high: found.high}


@dataclass(frozen=True)
class _Cells:
    """Rows and wins of each account in each cell of a list and a number of points, most points first.

    A scorecard gives few different numbers of points, so that all figures of a draw come from sums over few cells.
    """

    rows: csr_matrix
    wins: csr_matrix
    lists: int

    @classmethod
    def of(cls, judged: Listed, points: Floats, account: NDArray[np.int64]) -> _Cells:
        from scipy.sparse import csr_matrix

        totals, at = np.unique(-points, return_inverse=True)
        lists = len(judged.months)
        cell = np.searchsorted(judged.months, judged.lists) * totals.size + at
        shape = (lists * totals.size, int(account.max()) + 1)
        both = (np.ones(cell.size), judged.rows.y_obs.astype(np.float64))
        rows, wins = (csr_matrix((values, (cell, account)), shape=shape) for values in both)
        return cls(rows, wins, lists)

    def figures(self, weights: Floats, capacity: int) -> Floats:
        """Return the figures of `RANKING` over all lists and on each, shape (metrics, 1 + lists, draws)."""
        shape = (self.lists, -1, weights.shape[1])
        size, won = (np.asarray(part @ weights).reshape(shape) for part in (self.rows, self.wins))
        caught = _within(size, won, np.full((self.lists, weights.shape[1]), float(capacity)))
        whole = [np.concatenate([part.sum(axis=0, keepdims=True), part]) for part in (size, won)]
        wins, tenth = whole[1].sum(axis=1), 0.1 * whole[0].sum(axis=1)
        return np.stack(
            [
                np.concatenate([caught.sum(axis=0, keepdims=True), caught]),
                _auc(whole[0], whole[1]),
                _divided(_within(whole[0], whole[1], tenth), 0.1 * wins),
            ]
        )


def _divided(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _within(size: Floats, won: Floats, mass: Floats) -> Floats:
    """Return the wins among the best `mass` of each list; of leads with equal points some are taken at random."""
    before = np.cumsum(size, axis=1) - size
    taken = np.clip(mass[:, None] - before, 0, size)
    rate = np.divide(won, size, out=np.zeros_like(won), where=size > 0)
    return np.asarray((taken * rate).sum(axis=1))


def _auc(size: Floats, won: Floats) -> Floats:
    """Return the share of (win, loss) pairs in the right order, ties counting half."""
    lost = size - won
    right = (lost * (np.cumsum(won, axis=1) - won / 2)).sum(axis=1)
    return _divided(right, won.sum(axis=1) * lost.sum(axis=1))


@dataclass(frozen=True)
class RuleHistory:
    """What outcomes say of a rule by itself; `lift` is the win rate where it fires over that where it does not."""

    rule: str
    points: int
    rows: int
    wins: int
    fired: int
    wins_fired: int
    lift: Interval

    @property
    def share(self) -> float:
        """The share of rows on which the rule fires."""
        return self.fired / self.rows

    @property
    def rate_fired(self) -> float | None:
        """The win rate where it fires; None where it never does."""
        return self.wins_fired / self.fired if self.fired else None

    @property
    def rate_else(self) -> float | None:
        """The win rate where it does not fire; None where it always does."""
        return (self.wins - self.wins_fired) / (self.rows - self.fired) if self.fired < self.rows else None

    def as_dict(self) -> dict[str, Any]:
        """Return every figure for JSON."""
        return {
            "rule": self.rule,
            "points": self.points,
            "rows": self.rows,
            "wins": self.wins,
            "fired": self.fired,
            "wins_fired": self.wins_fired,
            "share": self.share,
            "win_rate_fired": self.rate_fired,
            "win_rate_else": self.rate_else,
            "lift": plain(self.lift.value),
            "lift_low": plain(self.lift.low),
            "lift_high": plain(self.lift.high),
        }


def rule_histories(card: Scorecard, on_lists: Listed, *, rng: np.random.Generator) -> tuple[RuleHistory, ...]:
    """Return how often each rule fires and how leads fared with and without it.

    The lift's 95 % interval comes from a bootstrap over accounts; it is NaN where a rule never or always fires.
    """
    fired = card.fired(on_lists.rows.frame)
    lifts = _lifts(fired, on_lists.rows.y_obs, on_lists.rows.clusters, rng)
    wins = on_lists.rows.y_obs == 1
    return tuple(
        RuleHistory(
            rule.rule, rule.points, len(fired), int(wins.sum()), int(held.sum()), int((held & wins).sum()), lift
        )
        for rule, held, lift in zip(card.rules, fired.T, lifts, strict=True)
    )


def _lifts(
    fired: NDArray[np.bool_], y_obs: NDArray[np.int64], clusters: NDArray[np.object_], rng: np.random.Generator
) -> list[Interval]:
    """Return the ratio of win rates of each rule, with an interval from drawing accounts with replacement."""
    import pandas as pd

    account = pd.factorize(clusters)[0]
    size = int(account.max()) + 1
    won = (y_obs == 1)[:, None]
    kinds = (fired, fired & won, ~fired, ~fired & won)
    counts = np.stack([[np.bincount(account, column, size) for column in kind.T] for kind in kinds])
    flat = counts.reshape(-1, size)
    draws = np.concatenate([flat @ weights for weights in _drawn(size, rng)], axis=1)
    drawn = _ratio(draws.reshape(4, fired.shape[1], -1))
    points = _ratio(counts.sum(axis=2, keepdims=True))[:, 0]
    return [spread(value, row) for value, row in zip(points, drawn, strict=True)]


def _ratio(counts: Floats) -> Floats:
    """Return the win rate where a rule fires over that where it does not, NaN where one of them cannot be had."""
    fired, won, silent, won_silent = counts
    return _divided(won * silent, won_silent * fired)


@dataclass(frozen=True)
class Threshold:
    """A number of points and how many leads a month reach it; `lower` is the next fewer points that leads have.

    `fits` is False where even the most points are reached by too many leads.
    """

    threshold: int
    leads_a_month: float
    fits: bool
    lower: int | None
    lower_leads_a_month: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return every figure for JSON."""
        return dict(vars(self))


def fitting_threshold(points: Floats, lists: NDArray[np.int64], wanted: float) -> Threshold:
    """Return the fewest points that no more leads a month reach than wanted (or at most a tenth more).

    Where even the most points are reached by more leads, these are returned.

    Parameters
    ----------
    points
        Points of each row, shape (n,).
    lists
        The list each row stands on, shape (n,).
    wanted
        Leads a month.

    Examples
    --------
    >>> fitting_threshold(np.array([90.0, 50, 50, 20, 20, 20]), np.zeros(6, np.int64), 3)
    Threshold(threshold=50, leads_a_month=3.0, fits=True, lower=20, lower_leads_a_month=6.0)
    """
    totals, counts = np.unique(-points, return_counts=True)
    reached = np.cumsum(counts) / len(np.unique(lists))
    last = max(int((reached <= _OVER * wanted).sum()) - 1, 0)
    following = last + 1 < totals.size
    return Threshold(
        int(np.ceil(-totals[last])),
        float(reached[last]),
        bool(reached[last] <= _OVER * wanted),
        int(np.ceil(-totals[last + 1])) if following else None,
        float(reached[last + 1]) if following else None,
    )
