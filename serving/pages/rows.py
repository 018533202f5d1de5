"""The rows of the list: what is shown of each lead, in words, for the page and for the export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.clock import DAY_US, parse_moment, to_us
from data.store.call_list import given_scores
from data.store.listing import standing
from serving.keys.access import sees
from serving.pages.filters import Spot
from serving.scoring.telling import Teller, strongest
from serving.today.call_list import expectation
from serving.today.order import in_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data.store.engine import Store
    from data.store.listing import ListedLead, Wanted
    from features.words import Language
    from serving.keys.access import Principal
    from serving.scoring.scorer import Scorer
    from serving.today.capacity import Capacity

__all__ = ["Row", "expected_of", "page_of"]

REASONS = 2  # of a lead in the list: one alone is the same for too many


@dataclass(frozen=True)
class Row:
    """A lead of the list; `by_us` is until when somebody is to answer it, `reasons` the strongest ones."""

    rank: int
    lead: ListedLead
    age_days: int
    by_us: int | None
    reasons: Sequence[Mapping[str, Any]]


def page_of(
    store: Store,
    scorer: Scorer,
    who: Principal,
    wanted: Wanted,
    spot: Spot,
    *,
    limit: int,
    now_us: int,
    language: Language,
) -> tuple[list[Row], Spot | None]:
    """Return a page of the list and where the next one begins, None on the last.

    What is open and whose it is is asked of the facts once more, so that a lead which has just changed hands is shown
    to nobody who may not see it; such a page is shorter.

    Raises
    ------
    InfrastructureError
        If the database cannot be used.
    """
    piece = in_order(store, wanted, scorer.holdout, shown=spot.shown, after=spot.after, limit=limit)
    now = standing(store, [lead.lead_id for lead in piece.leads], as_of_us=now_us)
    seen = [lead for lead in piece.leads if lead.lead_id in now and sees(who, now[lead.lead_id].owner_id)]
    words = _Words(store, seen, Teller(scorer, language))
    rows = [words.row(lead, spot.shown + rank, now_us) for rank, lead in enumerate(seen, start=1)]
    return rows, Spot(piece.shown, piece.after) if piece.more else None


def expected_of(store: Store, scorer: Scorer, wanted: Wanted, calls: int) -> Capacity | None:
    """Return what to expect of calling the first leads of a list, None where no model has scored them."""
    return expectation(in_order(store, wanted, scorer.holdout, limit=calls).leads, scorer, calls)


class _Words:
    """What stands only in the scores themselves: reasons, and until when to answer."""

    def __init__(self, store: Store, leads: Sequence[ListedLead], teller: Teller) -> None:
        self._given = given_scores(store, [lead.score_id for lead in leads])
        self._teller = teller

    def row(self, lead: ListedLead, rank: int, now_us: int) -> Row:
        given = self._given.get(lead.score_id)
        age = max(now_us - lead.created_us, 0) // DAY_US
        if given is None:  # erased since it was listed
            return Row(rank, lead, age, None, ())
        by = (given.rules.get("handover") or {}).get("by")
        profile_only = given.source == "model_profile"
        named = strongest(given.reasons, REASONS)
        reasons = self._teller.reasons(given.bundle, given.features, named, profile_only=profile_only)
        return Row(rank, lead, age, None if by is None else to_us(parse_moment(by)), reasons)
