"""Promised against realised: rates with Wilson's interval, level and order of the list, and what is to be expected.

Before labels mature only the model itself can say how it does. CBPE (confidence-based performance estimation) takes
each probability at its word: a lead with p = 0.2 is won in two of ten worlds. That holds only while probabilities are
calibrated and what they mean has not changed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.words import Words
from training.evaluation.metrics import log_loss, logit, roc_auc, wilson
from training.learning.offset import measure_offset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.evaluation.bootstrap import Interval

__all__ = [
    "ASSUMPTION",
    "Estimate",
    "Level",
    "Order",
    "Promise",
    "estimate_unlabelled",
    "keep_promise",
    "measure_level",
    "measure_order",
]

ASSUMPTION = Words(
    en="estimated without outcomes: right only if probabilities are calibrated and what wins a deal has not changed; "
    "it cannot see that the market has turned",
    zh="尚无结果时的估计：仅当概率已校准且影响赢单的因素未变时成立；它看不出市场的变化",
)
_Z90 = 1.6448536269514722


@dataclass(frozen=True)
class Promise:
    """What was promised to the leads of a month and grade, and what has come of it.

    `promised` and `realised` are rates among the `mature` leads, `low` and `high` Wilson's 95 % interval; None without
    mature leads. `young` are too young to tell: `expected_wins` are promised to them, `wins_so_far` are known.
    """

    month: str
    grade: str
    leads: int
    mature: int
    promised: float | None
    realised: float | None
    wins: int
    low: float | None
    high: float | None
    young: int
    expected_wins: float
    wins_so_far: int

    @property
    def kept(self) -> bool | None:
        """Whether the promise lies within the interval of what was realised, None where nothing has matured."""
        if self.promised is None or self.low is None or self.high is None:
            return None
        return self.low <= self.promised <= self.high

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "kept": self.kept}


def keep_promise(
    month: str, grade: str, promised: NDArray[np.float64], won: NDArray[np.int64], mature: NDArray[np.bool_]
) -> Promise:
    """Count the leads of one month and grade.

    Examples
    --------
    >>> told = keep_promise("2026-05", "A", np.full(10, 0.4), np.array([1] * 4 + [0] * 6), np.ones(10, bool))
    >>> told.realised, round(told.low, 2), round(told.high, 2), told.kept
    (0.4, 0.17, 0.69, True)
    """
    rows, wins = int(mature.sum()), int(won[mature].sum())
    young = ~mature
    low, high = wilson(wins, rows) if rows else (None, None)
    return Promise(
        month=month,
        grade=grade,
        leads=len(promised),
        mature=rows,
        promised=float(promised[mature].mean()) if rows else None,
        realised=wins / rows if rows else None,
        wins=wins,
        low=low,
        high=high,
        young=int(young.sum()),
        expected_wins=float(promised[young].sum()),
        wins_so_far=int(won[young].sum()),
    )


@dataclass(frozen=True)
class Level:
    """Calibration in the large: mean promise, realised rate, and the shift of the log-odds between them.

    `low` and `high` are the 90 % interval of the shift, clustered by person; above 0 more was won than promised.
    """

    rows: int
    wins: int
    promised: float
    realised: float
    shift: float
    standard_error: float

    @property
    def low(self) -> float:
        """The lower end of the shift."""
        return self.shift - _Z90 * self.standard_error

    @property
    def high(self) -> float:
        """The upper end of the shift."""
        return self.shift + _Z90 * self.standard_error

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "low": self.low, "high": self.high}


def measure_level(won: NDArray[np.int64], promised: NDArray[np.float64], cluster: NDArray[np.object_]) -> Level | None:
    """Return how far promises are off as a whole, None without scores.

    Examples
    --------
    >>> found = measure_level(np.array([1, 0] * 200), np.full(400, 0.5), np.arange(400).astype(object))
    >>> found.realised, round(abs(found.shift), 6)
    (0.5, 0.0)
    """
    if not len(won):
        return None
    offset = measure_offset(won, logit(promised), cluster)
    return Level(
        len(won), int(won.sum()), float(promised.mean()), float(won.mean()), offset.value, offset.variance**0.5
    )


@dataclass(frozen=True)
class Order:
    """How well model and rules put the same leads in order: ROC-AUC with 90 % intervals and their difference.

    Wins among the first `capacity` leads of each month stand beside it. Figures are None without a win or a loss.
    """

    rows: int
    wins: int
    capacity: int
    model: tuple[float, float, float] | None
    rules: tuple[float, float, float] | None
    difference: tuple[float, float, float] | None
    model_wins: float
    rules_wins: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        triples = ("model", "rules", "difference")
        pairs = {name: None if getattr(self, name) is None else list(getattr(self, name)) for name in triples}
        return {**asdict(self), **pairs}


def measure_order(
    won: NDArray[np.int64],
    promised: NDArray[np.float64],
    points: NDArray[np.float64],
    *,
    month: NDArray[np.object_],
    cluster: NDArray[np.object_],
    capacity: int,
    rng: np.random.Generator,
) -> Order:
    """Compare model and rules on the same matured leads.

    Parameters
    ----------
    won
        (n,) outcomes.
    promised
        (n,) probabilities.
    points
        (n,) the rules' points.
    month, cluster
        (n,) the list a score stands on, and the person, whose scores are drawn together.
    capacity
        Leads that a team can call in a month.
    rng
        For the bootstrap.
    """
    from training.evaluation.bootstrap import paired_bootstrap
    from training.evaluation.metrics import wins_at

    rows, wins = len(won), int(won.sum())
    if not 0 < wins < rows:
        return Order(rows, wins, capacity, None, None, None, float(wins), float(wins))
    # Only their order is asked for; as shares of the most points they pass as probabilities.
    shares = points / max(float(points.max()), 1.0)
    drawn = paired_bootstrap(
        won,
        {"model": promised, "rules": shares},
        clusters=cluster,
        capacity=capacity,
        rng=rng,
        replicates=200,
        periods=month,
    )
    model, rules = (_plain(drawn.interval(name, "roc_auc", level=0.9)) for name in ("model", "rules"))
    difference = _plain(drawn.difference("model", "roc_auc", to="rules", level=0.9))
    caught = [wins_at(won, by, capacity=capacity, periods=month) for by in (promised, points)]
    return Order(rows, wins, capacity, model, rules, difference, *caught)


def _plain(found: Interval) -> tuple[float, float, float]:
    return found.value, found.low, found.high


@dataclass(frozen=True)
class Estimate:
    """What the scores of young leads promise of themselves: wins with their spread by chance, ROC-AUC and log loss."""

    rows: int
    wins: float
    spread: float
    roc_auc: float | None
    log_loss: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with what they assume."""
        return {**asdict(self), "assumes": ASSUMPTION.model_dump()}


def estimate_unlabelled(promised: NDArray[np.float64]) -> Estimate:
    """Return what is to be expected of scores whose outcomes are not known (CBPE).

    Each score counts as won with the weight p and as not won with 1 - p.

    Examples
    --------
    >>> found = estimate_unlabelled(np.array([0.9, 0.1]))
    >>> found.wins, round(found.roc_auc, 2)
    (1.0, 0.9)
    """
    count = len(promised)
    if not count:
        return Estimate(0, 0.0, 0.0, None, None)
    both = np.concatenate([np.ones(count), np.zeros(count)])
    twice, weights = np.concatenate([promised, promised]), np.concatenate([promised, 1 - promised])
    return Estimate(
        count,
        float(promised.sum()),
        float(np.sqrt((promised * (1 - promised)).sum())),
        roc_auc(both, twice, weights=weights),
        log_loss(both, twice, weights=weights) * float(weights.sum()) / count,
    )
