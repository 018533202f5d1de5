"""How the messages to a target have fared, for an administrator to look at; what they say is not shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from data.store.schema import OUTBOX
from data.store.targets import standing_targets

if TYPE_CHECKING:
    from data.store.engine import Store
    from data.store.targets import MessageKind

__all__ = ["DeliveryState", "Message", "deliveries_of"]

DeliveryState = Literal["waiting", "delivered", "failed"]


@dataclass(frozen=True)
class Message:
    """A message without its content; moments in microseconds UTC.

    `status` is what the last try ended with; `next_us` is when the next one is due. A message is `failed` once it was
    given up.
    """

    delivery_id: str
    kind: MessageKind
    created_us: int
    state: DeliveryState
    attempts: int
    status: str | None
    tried_us: int | None
    next_us: int | None
    delivered_us: int | None


def deliveries_of(
    store: Store, target_id: str, *, limit: int = 50, before: str | None = None, state: DeliveryState | None = None
) -> list[Message] | None:
    """Return the messages to a target, the newest first; None where there is no such target.

    Parameters
    ----------
    store
        The open store.
    target_id
        The target.
    limit
        How many at most.
    before
        The id of the last message of the page before; one that is unknown ends the list.
    state
        Only those that stand so.
    """
    query = sa.select(OUTBOX).where(OUTBOX.c.target_id == target_id)
    if before is not None:
        last = sa.select(OUTBOX.c.created_at).where(OUTBOX.c.delivery_id == before, OUTBOX.c.target_id == target_id)
        place = sa.tuple_(OUTBOX.c.created_at, OUTBOX.c.delivery_id)
        query = query.where(place < sa.tuple_(last.scalar_subquery(), sa.literal(before)))
    if state is not None:
        query = query.where(_stands(state))
    query = query.order_by(OUTBOX.c.created_at.desc(), OUTBOX.c.delivery_id.desc()).limit(limit)
    with store.reading() as connection:
        if not standing_targets(connection, target_id):
            return None
        return [_message(row) for row in connection.execute(query).mappings()]


def _stands(state: DeliveryState) -> sa.ColumnElement[bool]:
    if state == "delivered":
        return OUTBOX.c.delivered_at.is_not(None)
    due = OUTBOX.c.due_at.is_not(None)
    return due if state == "waiting" else ~due & OUTBOX.c.delivered_at.is_(None)


def _state(row: sa.RowMapping) -> DeliveryState:
    if row["delivered_at"] is not None:
        return "delivered"
    return "failed" if row["due_at"] is None else "waiting"


def _message(row: sa.RowMapping) -> Message:
    return Message(
        delivery_id=row["delivery_id"],
        kind=row["kind"],
        created_us=row["created_at"],
        state=_state(row),
        attempts=row["attempts"],
        status=row["last_status"],
        tried_us=row["tried_at"],
        next_us=row["due_at"],
        delivered_us=row["delivered_at"],
    )
