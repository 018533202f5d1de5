"""The one order in which open leads are called, for the page and for the JSON list alike.

By the probability of each lead's current score, or by points where no model answered. A lead that is held out stands
where its lot says, as a share of the list that was asked for, whatever its score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.store.listing import count_listed, drawn_among, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.holdout import HoldOut
    from data.store.engine import Store
    from data.store.listing import ListedLead, Place, Wanted

__all__ = ["Piece", "in_order", "merged_places"]


@dataclass(frozen=True)
class Piece:
    """Some leads in their order, how many stand up to the last of them, and where the next piece begins.

    `after` is the last lead that its score has placed, None where there was none yet. `more` says that others follow.
    """

    leads: tuple[ListedLead, ...]
    shown: int
    after: Place | None
    more: bool


def in_order(
    store: Store, wanted: Wanted, holdout: HoldOut, *, shown: int = 0, after: Place | None = None, limit: int = 50
) -> Piece:
    """Return the next leads in the order of calling.

    Parameters
    ----------
    store
        The open store.
    wanted
        Which leads.
    holdout
        Whose lots place the leads that are held out; where nobody is, all go by their scores.
    shown, after
        Where the piece before ended.
    limit
        Leads in the piece.

    Raises
    ------
    InfrastructureError
        If the database cannot be used.
    """
    apart = holdout.share > 0
    lots = _lots(store, wanted, holdout) if apart else {}
    scored = listed(store, wanted, after=after, limit=limit + 1, drawn=False if apart else None)
    here = [at for at in lots if shown <= at < shown + limit]
    by_id = {lead.lead_id: lead for lead in _rows(store, wanted, [lots[at] for at in here])}
    # One that was scored again since the lots were read is no longer among them: its place is left out.
    drawn = {at: by_id[lots[at]] for at in here if lots[at] in by_id}
    leads, by_score = _merged(scored, drawn, shown, limit)
    last = scored[by_score - 1] if by_score else None
    place = after if last is None else (last.place, last.lead_id)
    more = by_score < len(scored) or any(at >= shown + limit for at in lots)
    return Piece(tuple(leads), shown + limit if more else shown + len(leads), place, more)


def merged_places(lots: Sequence[float], others: int) -> list[int]:
    """Return where leads stand among `others` that are in order, from the lots that each has drawn.

    A lot is a share of the list: the lead stands behind all others of which the middle of their place lies before it.

    Parameters
    ----------
    lots
        From 0 (first) to 1 (last), in rising order.
    others
        How many leads go by their scores.

    Examples
    --------
    >>> merged_places([0.0, 0.5, 0.99], 4)
    [0, 3, 6]
    """
    return [number + max(math.ceil(lot * others - 0.5), 0) for number, lot in enumerate(lots)]


def _lots(store: Store, wanted: Wanted, holdout: HoldOut) -> dict[int, str]:
    """Return the leads that are held out by the place in the whole list at which each stands."""
    ranked = sorted((holdout.place(lead_id), lead_id) for lead_id in drawn_among(store, wanted))
    if not ranked:
        return {}
    places = merged_places([lot for lot, _ in ranked], count_listed(store, wanted, drawn=False))
    return {place: lead_id for place, (_, lead_id) in zip(places, ranked, strict=True)}


def _rows(store: Store, wanted: Wanted, lead_ids: Sequence[str]) -> list[ListedLead]:
    if not lead_ids:
        return []
    from dataclasses import replace

    return listed(store, replace(wanted, among=frozenset(lead_ids)), limit=len(lead_ids), drawn=True)


def _merged(
    scored: Sequence[ListedLead], drawn: dict[int, ListedLead], shown: int, limit: int
) -> tuple[list[ListedLead], int]:
    """Return the leads of a piece, and how many of them their scores have placed."""
    leads: list[ListedLead] = []
    used = 0
    for at in range(shown, shown + limit):
        if at in drawn:
            leads.append(drawn[at])
        elif used < len(scored):
            leads.append(scored[used])
            used += 1
    return leads, used
