"""What rules and model together imply for a lead: a pool, a priority and a time limit for each way they can agree.

The table is data. It stands in the scorecard's YAML under `handover` and is sealed with it; a scorecard without one
gets the table that follows from its pools.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from features.scorecard import Pool

__all__ = ["AGREEMENTS", "HIGH_BANDS", "Agreement", "Decision", "HandoverTable", "agreement", "default_table"]

Agreement = Literal["both_high", "both_low", "model_higher", "rules_higher"]
AGREEMENTS: tuple[Agreement, ...] = ("both_high", "model_higher", "rules_higher", "both_low")

# The default grades and pools call A and B high: the leads that a person works on now.
HIGH_BANDS = 2
_MODEL = ConfigDict(frozen=True, extra="forbid")


class Decision(BaseModel):
    """Where a lead goes, how soon compared with others (1 is first), and within how many minutes it is answered.

    Without `respond_within_minutes` the pool's own limit holds, if it has one.
    """

    model_config = _MODEL

    pool: str
    priority: int = Field(ge=1, le=100)
    respond_within_minutes: int | None = Field(None, gt=0, le=525_600)


class HandoverTable(BaseModel):
    """A decision for each way in which rules and model agree or disagree."""

    model_config = _MODEL

    both_high: Decision
    model_higher: Decision
    rules_higher: Decision
    both_low: Decision

    @property
    def decisions(self) -> dict[Agreement, Decision]:
        """The decisions in the order of the table."""
        return {name: getattr(self, name) for name in AGREEMENTS}

    def check_pools(self, pools: Iterable[str]) -> None:
        """Refuse a table that sends leads where nobody waits for them.

        Raises
        ------
        ValueError
            If a decision names none of the pools.
        """
        unknown = {decision.pool for decision in self.decisions.values()} - set(pools)
        if unknown:
            raise ValueError(f"handover names {', '.join(sorted(unknown))}, which are none of the pools")


def default_table(pools: Sequence[Pool]) -> HandoverTable:
    """Return the table of a scorecard that names none: the best pool, the one after it, and the last.

    Parameters
    ----------
    pools
        The scorecard's pools, the best first.

    Examples
    --------
    >>> from features.scorecard import Pool
    >>> pools = [Pool(pool="A", at_least=80), Pool(pool="B", at_least=50), Pool(pool="C")]
    >>> [(d.pool, d.priority) for d in default_table(pools).decisions.values()]
    [('A', 1), ('B', 2), ('B', 3), ('C', 4)]
    """
    first, last = pools[0].pool, pools[-1].pool
    between = pools[1].pool if len(pools) > HIGH_BANDS else first
    return HandoverTable(
        both_high=Decision(pool=first, priority=1),
        model_higher=Decision(pool=between, priority=2),
        rules_higher=Decision(pool=between, priority=3),
        both_low=Decision(pool=last, priority=4),
    )


def agreement(grade: str, grades: Sequence[str], pool: str, pools: Sequence[str]) -> Agreement:
    """Compare model and rules: high is one of the two best grades or pools, never the last one.

    Examples
    --------
    >>> agreement("B", ["A", "B", "C", "D"], "C", ["A", "B", "C"])
    'model_higher'
    """
    model_high, rules_high = _is_high(grade, grades), _is_high(pool, pools)
    if model_high == rules_high:
        return "both_high" if model_high else "both_low"
    return "model_higher" if model_high else "rules_higher"


def _is_high(band: str, bands: Sequence[str]) -> bool:
    return band in bands[: min(HIGH_BANDS, len(bands) - 1)]
