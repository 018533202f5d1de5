"""Where model and rules disagree on whom to call, and who was right once the outcomes had matured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitoring.record.given import Given
    from monitoring.record.outcomes import Outcomes

__all__ = ["Disagreed", "Right", "measure_disagreement"]

Right = Literal["model", "rules", "neither", "few"]
_FEW = "too few"  # how `Sides.verdict` begins where nothing can be said


@dataclass(frozen=True)
class SideTold:
    """Leads of matured lists that one of the two would have called and the other not, with what came of them."""

    rows: int
    wins: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Disagreed:
    """Who would call whom.

    `lists` matured monthly lists are judged. `now_model` and `now_rules` count the leads of this month's list that only
    one of them would call. `right` says which side won more often; `gap` is the difference of the win rates, model less
    rules, with its 95 % interval.
    """

    capacity: int
    lists: int
    model: SideTold
    rules: SideTold
    right: Right
    gap: tuple[float, float, float] | None
    now_model: int
    now_rules: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "gap": None if self.gap is None else list(self.gap)}


def measure_disagreement(
    given: Given, outcomes: Outcomes, *, month: str, capacity: int, rng: np.random.Generator
) -> Disagreed | None:
    """Compare whom model and rules would call, on the lists of a month and of those before it.

    Parameters
    ----------
    given, outcomes
        The scores and what became of them.
    month
        The month of the page; later lists do not count.
    capacity
        Leads that a team can call in a month.
    rng
        For the interval of the difference.

    Returns
    -------
    Disagreed or None
        None where no lead has both a probability and points.
    """
    from training.rules.disagreements import disagreements, sides_of

    both = outcomes.counted & np.isfinite(given.probability) & np.isfinite(given.points) & (given.month <= month)
    if not both.any():
        return None
    numbers = np.unique(given.month.astype(str), return_inverse=True)[1].astype(np.int64)

    def apart(rows: NDArray[np.bool_]) -> Any:  # noqa: ANN401 - a data frame
        return disagreements(
            given.points[rows],
            given.probability[rows],
            lead_id=given.lead_id[rows],
            as_of_us=numbers[rows],
            capacity=capacity,
            y_obs=outcomes.won[rows],
            clusters=outcomes.cluster[rows],
        )

    matured = both & _whole_lists(given, both, outcomes.mature)
    sides = sides_of(apart(matured), rng=rng)
    told = {
        row["side"]: SideTold(*(row[name] for name in ("rows", "wins", "rate", "low", "high"))) for row in sides.rows
    }
    gap = tuple(float(part) for part in sides.difference)
    now = apart(both & (given.month == month))["side"].value_counts()
    return Disagreed(
        capacity=capacity,
        lists=len(set(given.month[matured].tolist())),
        model=told["model_high"],
        rules=told["rules_high"],
        right=_right(sides.verdict(), gap),
        gap=(gap[0], gap[1], gap[2]) if np.isfinite(gap).all() else None,
        now_model=int(now.get("model_high", 0)),
        now_rules=int(now.get("rules_high", 0)),
    )


def _whole_lists(given: Given, rows: NDArray[np.bool_], mature: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the rows of months that have matured as a whole: half a list has another end of its best leads."""
    young = set(given.month[rows & ~mature].tolist())
    return np.array([month not in young for month in given.month.tolist()], bool)


def _right(verdict: str, gap: tuple[float, ...]) -> Right:
    if verdict.startswith(_FEW):
        return "few"
    if gap[1] > 0:
        return "model"
    return "rules" if gap[2] < 0 else "neither"
