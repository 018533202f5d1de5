"""Which leads have to be scored again: marked in the transaction of the change, unmarked in that of the score."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.clock import DAY_US
from data.store.schema import DIRTY_LEADS, FACTS
from data.store.statements import chunks, insert_into

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from data.store.engine import Store

__all__ = ["BACKLOG_US", "DirtyLead", "count_dirty", "mark_account", "mark_leads", "take_dirty", "unmark"]

_LEAD_ID = FACTS["leads"].c.lead_id
# Leads that come in bulk are marked as of so much later: nobody waits for them, and a change goes first.
BACKLOG_US = DAY_US


@dataclass(frozen=True)
class DirtyLead:
    """A lead whose score is out of date since `since_us`; a later change gives it another `mark`.

    What came in bulk has a `since_us` that lies ahead by `BACKLOG_US`.
    """

    lead_id: str
    since_us: int
    mark: str


def take_dirty(store: Store, limit: int = 100) -> list[DirtyLead]:
    """Return the leads that have waited longest; they stay marked until they are scored.

    Whoever takes them should hold the lease for it: two takers do the same work twice, though no harm.
    """
    query = sa.select(DIRTY_LEADS).order_by(DIRTY_LEADS.c.since, DIRTY_LEADS.c.lead_id).limit(limit)
    with store.reading() as connection:
        return [DirtyLead(row.lead_id, row.since, row.mark) for row in connection.execute(query)]


def count_dirty(store: Store) -> tuple[int, int | None]:
    """Return how many leads wait, and since when the first of them does, in microseconds UTC."""
    with store.reading() as connection:
        row = connection.execute(sa.select(sa.func.count(), sa.func.min(DIRTY_LEADS.c.since))).one()
    return int(row[0]), row[1]


def mark_leads(connection: sa.Connection, lead_ids: Collection[str], now_us: int) -> None:
    """Mark those of the leads that are stored; one that comes later is marked by its own coming."""
    for piece in chunks(sorted(lead_ids)):
        _mark(connection, _LEAD_ID.in_(piece), now_us)


def mark_account(connection: sa.Connection, account_id: str, now_us: int) -> None:
    """Mark all leads that ever stood at an account."""
    _mark(connection, FACTS["leads"].c.account_id == account_id, now_us)


def _mark(connection: sa.Connection, condition: sa.ColumnElement[bool], now_us: int) -> None:
    chosen: sa.Select[Any] = (
        sa.select(_LEAD_ID, sa.literal(now_us, sa.BigInteger()), sa.literal(uuid.uuid4().hex))
        .where(condition)
        .distinct()
        .order_by(_LEAD_ID)  # all writers in one order, so that none waits in a circle
    )
    statement = insert_into(connection, DIRTY_LEADS).from_select(["lead_id", "since", "mark"], chosen)
    told, held = statement.excluded, DIRTY_LEADS.c.since
    since = sa.case((told.since < held, told.since), else_=held)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["lead_id"], set_={"mark": told.mark, "since": since})
    )


def unmark(connection: sa.Connection, leads: Sequence[DirtyLead]) -> int:
    """Take away the marks that are still the ones which were taken; return how many.

    A lead that changed in between has another mark and stays marked.
    """
    gone = 0
    for piece in chunks(sorted(leads, key=lambda lead: lead.lead_id)):
        pairs = [(lead.lead_id, lead.mark) for lead in piece]
        taken = sa.delete(DIRTY_LEADS).where(sa.tuple_(DIRTY_LEADS.c.lead_id, DIRTY_LEADS.c.mark).in_(pairs))
        gone += connection.execute(taken).rowcount
    return gone
