"""The decision that rules and model imply for a lead: whose it is, how urgent, until when, and why, in words.

A lead that is held out is handed over by lot: its pool and priority are those of one row of the table, each row with
the same chance, whatever its score. So of some leads that nobody would choose it is learnt what a call is worth, and of
some that everybody would choose what becomes of them without hurry.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from data.clock import MINUTE_US, from_us, iso
from data.holdout import NOBODY, HoldOut
from features.handover import Agreement, Decision, agreement
from features.words import Words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from features.scorecard import RulesResult, Scorecard
    from features.words import Language

__all__ = ["NOTES", "Because", "HandOver", "in_language"]

Because = Agreement | Literal["rules_only", "holdout"]

NOTES: Mapping[Because, Words] = MappingProxyType(
    {
        "both_high": Words(
            en="rules and model both speak for this lead: call it first", zh="规则与模型都看好：请优先联系"
        ),
        "model_higher": Words(
            en="the model expects more than the points say; its reasons name what the rules do not count",
            zh="模型的预期高于积分；理由中列出了规则未计入的因素",
        ),
        "rules_higher": Words(
            en="many points, yet leads like this one were seldom won; look at the reasons against it before you call",
            zh="积分高，但类似线索很少成交；联系前请先看不利的理由",
        ),
        "both_low": Words(
            en="neither rules nor model expect a deal soon: keep in touch, do not hurry",
            zh="规则与模型都认为短期内难以成交：保持联系，不必着急",
        ),
        "rules_only": Words(en="no model answered; the rules alone decided", zh="没有模型作答，仅由规则决定"),
        "holdout": Words(
            en="drawn by lot, not by score, so that the next model learns from more than its own choices; work it as "
            "its pool says",
            zh="由抽签而非评分决定，使下一个模型不只从自己的选择中学习；请按所在池处理",
        ),
    }
)


@dataclass(frozen=True)
class _Row:
    """A decision with all that does not depend on the lead worked out."""

    because: Because
    pool: str
    priority: int
    minutes: int | None


class HandOver:
    """The table of a scorecard, ready to decide for leads.

    Parameters
    ----------
    scorecard
        Whose pools and table count.
    grades
        The model's grades, the best first; none where there is no model.
    holdout
        Who is handed over by lot.

    Examples
    --------
    >>> from features.scorecard import load_scorecard
    >>> card = load_scorecard()
    >>> told = HandOver(card, ["A", "B", "C", "D"])("L-1", card.evaluate({}), "A", as_of_us=0)
    >>> told["because"], told["pool"], told["by"]
    ('model_higher', 'B', '1970-01-01T04:00:00Z')
    >>> HandOver(card)("L-1", card.evaluate({}), None, as_of_us=0)["because"]
    'rules_only'
    """

    def __init__(self, scorecard: Scorecard, grades: Sequence[str] = (), holdout: HoldOut = NOBODY) -> None:
        self._limits = {pool.pool: pool.assign_within_minutes for pool in scorecard.pools}
        pools = tuple(self._limits)
        self._agreements = {(grade, pool): agreement(grade, grades, pool, pools) for grade in grades for pool in pools}
        table = scorecard.decided.decisions
        self._of_both = {name: self._row(name, decision) for name, decision in table.items()}
        self._of_rules = {
            pool: self._row("rules_only", Decision(pool=pool, priority=min(place, 100)))
            for place, pool in enumerate(pools, start=1)
        }
        self._holdout = holdout

    def __call__(
        self,
        lead_id: str,
        rules: RulesResult,
        grade: str | None,
        *,
        as_of_us: int,
        language: Language = "en",
        held: bool | None = None,
    ) -> dict[str, Any]:
        """Return the decision, ready for JSON.

        Parameters
        ----------
        lead_id
            Whose lot is drawn.
        rules
            What the rules say.
        grade
            What the model says; None where there is none, and the rules alone decide.
        as_of_us
            The moment of the prediction, microseconds UTC; the time limit counts from it.
        language
            Of the note.
        held
            Whether the lead counts as held out, where that was settled before.
        """
        is_held = self._holdout.holds(lead_id) if held is None else held
        if is_held:
            rows = self._of_rules if grade is None else self._of_both
            row = self._holdout.drawn(lead_id, list(rows.values()))
        elif grade is None:
            row = self._of_rules[rules.pool]
        else:
            row = self._of_both[self.agreement(grade, rules.pool)]
        because: Because = "holdout" if is_held else row.because
        return {
            "pool": row.pool,
            "priority": row.priority,
            "respond_within_minutes": row.minutes,
            "by": None if row.minutes is None else iso(from_us(as_of_us + row.minutes * MINUTE_US)),
            "because": because,
            "note": NOTES[because].in_language(language),
            "holdout": is_held,
        }

    def agreement(self, grade: str, pool: str) -> Agreement:
        """Return how the model's grade and the rules' pool go together."""
        return self._agreements[grade, pool]

    def _row(self, because: Because, decision: Decision) -> _Row:
        limit = decision.respond_within_minutes
        return _Row(because, decision.pool, decision.priority, self._limits[decision.pool] if limit is None else limit)


def in_language(told: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """Return a decision that was stored with its note in another language.

    Examples
    --------
    >>> in_language({"because": "rules_only", "note": "?"}, "en")["note"]
    'no model answered; the rules alone decided'
    """
    return {**told, "note": NOTES[told["because"]].in_language(language)}
