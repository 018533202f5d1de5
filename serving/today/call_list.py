"""The leads worth calling today, ranked, with the wins to expect of them and what the rules' order would win.

Ranked by the probability of each open lead's current score, or by points where no model answered. A lead that is held
out stands where its lot puts it. Of a person's several leads the one that comes first is listed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from data.clock import from_us, iso
from data.store.call_list import given_scores
from data.store.listing import Wanted, chances_by_points, count_listed, doubles_among, standing
from serving.scoring.handover import in_language
from serving.scoring.telling import Teller
from serving.today.capacity import Capacity, capacity_of, expected_by_points, ranges_of
from serving.today.order import Piece, in_order

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from data.store.call_list import Given
    from data.store.engine import Store
    from data.store.listing import ListedLead
    from features.words import Language
    from serving.scoring.scorer import Scorer

__all__ = ["MOST_LEADS", "Asked", "call_list", "expectation"]

MOST_LEADS = 500
_TOP = 3
_SPARE = 20  # leads read beyond those wanted, as some are no longer open and some are a person's second


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
    wanted = Wanted({} if asked.pool is None else {"pool": asked.pool}, asked.owners)
    chosen = _chosen(store, scorer, wanted, asked, as_of_us)
    expected = expectation(chosen, scorer, asked.capacity)
    by_points = None if expected is None else expected_by_points(chances_by_points(store, wanted), asked.capacity)
    return {
        "as_of": iso(from_us(as_of_us)),
        "capacity": asked.capacity,
        "open_leads": count_listed(store, wanted) - doubles_among(store, wanted),
        "horizon_days": scorer.horizon_days,
        **_expectations(expected, by_points),
        "leads": _told(store, scorer, chosen, language),
    }


def expectation(leads: Sequence[ListedLead], scorer: Scorer, capacity: int) -> Capacity | None:
    """Return what to expect of calling the first of some leads, None where no model has scored them.

    Parameters
    ----------
    leads
        In the order of calling.
    scorer
        Whose intervals say how far probabilities may be off together, and who is held out.
    capacity
        For how many calls there is time.
    """
    scored = [(lead, lead.probability) for lead in leads if lead.probability is not None][:capacity]
    if not scored:
        return None
    chances = [chance for _, chance in scored]
    lots = [scorer.holdout.place(lead.lead_id) if _is_drawn(lead, scorer) else None for lead, _ in scored]
    table = None if scorer.bundle is None else scorer.bundle.full.interval
    return capacity_of(chances, capacity, ranges=ranges_of(table, chances), places=lots)


def _is_drawn(lead: ListedLead, scorer: Scorer) -> bool:
    return lead.because == "holdout" and scorer.holdout.share > 0


def _chosen(store: Store, scorer: Scorer, wanted: Wanted, asked: Asked, as_of_us: int) -> list[ListedLead]:
    """Return the first leads in the order of calling, of each person the first, that are open still and seen."""
    found: list[ListedLead] = []
    people = set[str]()
    piece = Piece((), 0, None, more=True)
    while piece.more and len(found) < asked.capacity:
        limit = asked.capacity - len(found) + _SPARE
        piece = in_order(store, wanted, scorer.holdout, shown=piece.shown, after=piece.after, limit=limit)
        now = standing(store, [lead.lead_id for lead in piece.leads], as_of_us=as_of_us)
        for lead in piece.leads:
            whose = now.get(lead.lead_id)
            if whose is None or (asked.owners is not None and whose.owner_id not in asked.owners):
                continue
            if whose.person_id is None or not _was_seen(whose.person_id, people):
                found.append(replace(lead, owner_id=whose.owner_id))
    # Where a model has scored any of them, those that only rules know are no part of the list.
    scored = [lead for lead in found if lead.probability is not None]
    return (scored or found)[: asked.capacity]


def _was_seen(person_id: str, seen: set[str]) -> bool:
    """Tell whether a person was seen before, and remember it."""
    before = person_id in seen
    seen.add(person_id)
    return before


def _expectations(found: Capacity | None, by_points: float | None) -> dict[str, Any]:
    if found is None:
        return dict.fromkeys(("threshold", "expected_wins", "range", "range_basis", "expected_wins_by_rules"))
    return {
        "threshold": found.threshold,
        "expected_wins": found.expected,
        "range": [found.low, found.high],
        "range_basis": found.basis,
        "expected_wins_by_rules": by_points,
    }


def _told(store: Store, scorer: Scorer, chosen: Collection[ListedLead], language: Language) -> list[dict[str, Any]]:
    words = given_scores(store, [one.score_id for one in chosen])
    # A score may have been erased since it was chosen.
    told = [(one, words[one.score_id]) for one in chosen if one.score_id in words]
    teller = Teller(scorer, language)
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
            "reasons": _reasons(teller, given),
        }
        for rank, (one, given) in enumerate(told, start=1)
    ]


def _handover(given: Given, language: Language) -> dict[str, Any] | None:
    stored = given.rules.get("handover")
    return None if stored is None else in_language(stored, language)


def _reasons(teller: Teller, given: Given) -> list[dict[str, Any]]:
    """Return the strongest reasons in the words of today."""
    largest = sorted(given.reasons, key=lambda reason: -abs(reason["logit"]))[:_TOP]
    return teller.reasons(given.bundle, given.features, largest, profile_only=given.source == "model_profile")
