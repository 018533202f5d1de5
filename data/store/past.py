"""Leads that have ended, with the last score that they had while they were open: what a new lead is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.store.call_list import given_scores
from data.store.schema import FACTS, SCORES
from data.store.statements import chunks

if TYPE_CHECKING:
    from data.store.call_list import Given
    from data.store.engine import Store

__all__ = ["PastLead", "past_leads"]


@dataclass(frozen=True)
class PastLead:
    """A lead that has ended: won or lost, when (microseconds UTC), and how it was scored last before that."""

    lead_id: str
    is_won: bool
    closed_us: int
    given: Given


def past_leads(store: Store, *, as_of_us: int, limit: int = 500) -> list[PastLead]:
    """Return leads that have ended and were scored by a model before, those that ended last first.

    Parameters
    ----------
    store
        The open store.
    as_of_us
        The moment, microseconds UTC: what ended later is left out.
    limit
        How many endings are looked at.

    Raises
    ------
    InfrastructureError
        If the database cannot be used.
    """
    with store.reading() as connection:
        ended = _endings(connection, as_of_us, limit)
        numbers = _last_scores(connection, ended)
    given = given_scores(store, list(numbers.values()))
    return [
        PastLead(lead_id, won, closed_us, given[numbers[lead_id]])
        for lead_id, (won, closed_us) in ended.items()
        if lead_id in numbers and numbers[lead_id] in given and given[numbers[lead_id]].features
    ]


def _endings(connection: sa.Connection, as_of_us: int, limit: int) -> dict[str, tuple[bool, int]]:
    """Return how and when leads ended, by the outcome in force of each."""
    outcomes, later = FACTS["outcomes"].c, FACTS["outcomes"].alias("later").c
    newest = sa.select(sa.func.max(later.known_at)).where(later.lead_id == outcomes.lead_id, later.known_at <= as_of_us)
    query = (
        sa.select(outcomes.lead_id, outcomes.outcome, outcomes.closed_at)
        .where(outcomes.outcome != "open", outcomes.closed_at <= as_of_us)
        .where(outcomes.known_at == newest.scalar_subquery())
        .order_by(outcomes.closed_at.desc(), outcomes.lead_id)
        .limit(limit)
    )
    return {row[0]: (row[1] == "won", row[2]) for row in connection.execute(query)}


def _last_scores(connection: sa.Connection, ended: dict[str, tuple[bool, int]]) -> dict[str, int]:
    """Return for each lead the number of its last score from before its end."""
    found: dict[str, int] = {}
    for piece in chunks(list(ended)):
        query: sa.Select[Any] = sa.select(SCORES.c.lead_id, SCORES.c.score_id, SCORES.c.as_of).where(
            SCORES.c.lead_id.in_(piece), SCORES.c.source == "model", SCORES.c.cause != "payload"
        )
        rows = connection.execute(query.order_by(SCORES.c.as_of, SCORES.c.score_id))
        found |= {row.lead_id: row.score_id for row in rows if row.as_of < ended[row.lead_id][1]}
    return found
