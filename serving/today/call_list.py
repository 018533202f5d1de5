"""The leads worth calling today, ranked, with the wins to expect of them and what the rules' order would win.

Ranked by the probability of each open lead's current score, or by points where no model answered. A lead that is held
out stands where its lot puts it. Of a person's several leads the one that comes first is listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.clock import from_us, iso
from data.store.call_list import candidates, given_scores
from serving.scoring.handover import in_language
from serving.scoring.reasons import ReasonTeller
from serving.today.capacity import Capacity, call_order, capacity_of, ranges_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from data.store.call_list import Candidate, Given
    from data.store.engine import Store
    from features.words import Language
    from serving.scoring.scorer import Scorer

__all__ = ["MOST_LEADS", "Asked", "call_list"]

MOST_LEADS = 500
_TOP = 3


@dataclass(frozen=True)
class Asked:
    """What was asked for: how many leads, of which pool, of whom; `owners` None means everybody's."""

    capacity: int
    pool: str | None = None
    owners: frozenset[str] | None = None

    def narrowed(self, owner_id: str | None) -> Asked:
        """Return the same for one owner, whom the asker may not see; then nobody's leads are left."""
        if owner_id is None:
            return self
        seen = self.owners is None or owner_id in self.owners
        return Asked(self.capacity, self.pool, frozenset([owner_id]) if seen else frozenset())


def call_list(
    store: Store, scorer: Scorer, asked: Asked, *, as_of_us: int, language: Language = "en"
) -> dict[str, Any]:
    """Return whom to call, ready for JSON.

    Parameters
    ----------
    store
        The open store.
    scorer
        Whose intervals say how far probabilities may be off together, and who is held out.
    asked
        How many leads, and which.
    as_of_us
        The moment, microseconds UTC; leads that have ended by then are left out.
    language
        Of reasons and notes.

    Raises
    ------
    InfrastructureError
        If the database cannot be used.
    """
    found = candidates(store, as_of_us=as_of_us, owners=asked.owners, pool=asked.pool)
    scored = [one for one in found if one.probability is not None]
    listed = _one_a_person(scored or found, scorer)
    chances = [one.probability for one in listed if one.probability is not None]
    expected = None
    if chances:
        table = None if scorer.bundle is None else scorer.bundle.full.interval
        expected = capacity_of(
            chances,
            asked.capacity,
            ranges=ranges_of(table, chances),
            points=[one.points for one in listed],
            places=_places(listed, scorer),
        )
    chosen = listed[: asked.capacity] if expected is None else [listed[at] for at in expected.chosen]
    return {
        "as_of": iso(from_us(as_of_us)),
        "capacity": asked.capacity,
        "open_leads": len(listed),
        "horizon_days": scorer.horizon_days,
        **_expectations(expected),
        "leads": _told(store, scorer, chosen, language),
    }


def _one_a_person(leads: Sequence[Candidate], scorer: Scorer) -> list[Candidate]:
    """Return the leads in the order of calling, of each person the first."""
    import numpy as np

    values = np.array([one.points if one.probability is None else one.probability for one in leads], np.float64)
    ranked = [leads[at] for at in call_order(values, _places(leads, scorer))]
    seen = set[str]()
    return [one for one in ranked if one.person_id is None or not _was_seen(one.person_id, seen)]


def _was_seen(person_id: str, seen: set[str]) -> bool:
    """Tell whether a person was seen before, and remember it."""
    before = person_id in seen
    seen.add(person_id)
    return before


def _places(leads: Iterable[Candidate], scorer: Scorer) -> list[float | None]:
    return [scorer.holdout.place(one.lead_id) if one.is_held else None for one in leads]


def _expectations(found: Capacity | None) -> dict[str, Any]:
    if found is None:
        return dict.fromkeys(("threshold", "expected_wins", "range", "range_basis", "expected_wins_by_rules"))
    return {
        "threshold": found.threshold,
        "expected_wins": found.expected,
        "range": [found.low, found.high],
        "range_basis": found.basis,
        "expected_wins_by_rules": found.by_points,
    }


def _told(store: Store, scorer: Scorer, chosen: Collection[Candidate], language: Language) -> list[dict[str, Any]]:
    words = given_scores(store, [one.score_id for one in chosen])
    # A score may have been erased since it was chosen.
    told = [(one, words[one.score_id]) for one in chosen if one.score_id in words]
    teller = ReasonTeller(scorer.catalogue)
    return [
        {
            "rank": rank,
            "lead_id": one.lead_id,
            "score_id": one.score_id,
            "as_of": iso(from_us(given.as_of_us)),
            "owner_id": one.owner_id,
            "probability": one.probability,
            "grade": given.grade,
            "points": int(one.points),
            "pool": one.pool,
            "handover": _handover(given, language),
            "reasons": _reasons(scorer, teller, given, language),
        }
        for rank, (one, given) in enumerate(told, start=1)
    ]


def _handover(given: Given, language: Language) -> dict[str, Any] | None:
    stored = given.rules.get("handover")
    return None if stored is None else in_language(stored, language)


def _reasons(scorer: Scorer, teller: ReasonTeller, given: Given, language: Language) -> list[dict[str, Any]]:
    """Return the strongest reasons; in another language than the stored one if the bundle that gave them is here."""
    found: Sequence[Any] = given.reasons
    bundle = scorer.bundle
    if language != "en" and bundle is not None and bundle.digest == given.bundle and given.features:
        answer = bundle.answer_values(dict(given.features), profile_only=given.source == "model_profile")
        found, _ = teller.tell(answer, language)
    return [dict(reason) for reason in sorted(found, key=lambda reason: -abs(reason["logit"]))[:_TOP]]
