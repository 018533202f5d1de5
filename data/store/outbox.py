"""Messages to other systems: written with the score that caused them, delivered at least once, by one worker at a time.

A worker claims the messages of a target that are due for some time; if it dies, they are due again when the time is
over. Each has an id, by which the receiver tells a repetition.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.clock import MINUTE_US, from_us, iso, now, to_us
from data.store.schema import OUTBOX, WEBHOOK_TARGETS
from data.store.targets import KINDS, MessageKind, Target, add_target, is_standing, list_targets, remove_target
from data.store.targets import standing_targets as _targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data.store.engine import Store

__all__ = [
    "KINDS",
    "Change",
    "Delivery",
    "MessageKind",
    "Target",
    "add_target",
    "announce",
    "claim_deliveries",
    "count_waiting",
    "due_targets",
    "give_back",
    "is_claimed",
    "list_targets",
    "message_row",
    "remove_target",
    "send_all",
    "send_ping",
    "settle_delivery",
]


@dataclass(frozen=True)
class Change:
    """What a score changed: bundle, grade and pool before and after; at a lead's `first` score there was none before.

    `minutes` says within how many minutes of `as_of_us` somebody has to be assigned, where the pool asks for that.
    """

    lead_id: str
    score_id: int
    as_of_us: int
    cause: str
    bundles: tuple[str | None, str]
    grades: tuple[str | None, str | None]
    pools: tuple[str | None, str | None]
    first: bool
    minutes: int | None = None

    @property
    def regraded(self) -> bool:
        """Whether a grade that was told before is another one now."""
        return not self.first and self.grades[0] != self.grades[1]

    @property
    def remodelled(self) -> bool:
        """Whether another model gave the score before."""
        return not self.first and self.bundles[0] != self.bundles[1]


@dataclass(frozen=True)
class Delivery:
    """A message that this worker has claimed; `attempts` counts the earlier ones that failed."""

    delivery_id: str
    target: Target
    kind: MessageKind
    body: Mapping[str, Any]
    attempts: int
    claim: str
    created_us: int


def announce(connection: sa.Connection, changes: Sequence[Change], at_us: int) -> int:
    """Put a message for each change and each target that asked for it into the outbox; return how many."""
    told = [change for change in changes if change.cause != "model"]
    targets = _targets(connection) if told else []
    rows = [
        message_row(target, kind, _body(change, kind), at_us, lead_id=change.lead_id)
        for change in told
        for target in targets
        for kind in _kinds(change, target)
    ]
    if rows:
        connection.execute(sa.insert(OUTBOX), rows)
    return len(rows)


def send_all(store: Store, kind: MessageKind, body: Mapping[str, Any], *, now_us: int | None = None) -> int:
    """Put one message for every target that asked for its kind into the outbox; return how many."""

    def work(connection: sa.Connection) -> int:
        at_us = to_us(now()) if now_us is None else now_us
        rows = [message_row(target, kind, body, at_us) for target in _targets(connection) if kind in target.kinds]
        if rows:
            connection.execute(sa.insert(OUTBOX), rows)
        return len(rows)

    return store.write(work)


def send_ping(store: Store, target_id: str, *, now_us: int | None = None) -> str | None:
    """Put a test message for a target into the outbox; return its id, None where there is no such target."""

    def work(connection: sa.Connection) -> str | None:
        at_us = to_us(now()) if now_us is None else now_us
        found = _targets(connection, target_id)
        rows = [message_row(target, "ping", {"target_id": target_id}, at_us) for target in found]
        if rows:
            connection.execute(sa.insert(OUTBOX), rows)
        return rows[0]["delivery_id"] if rows else None

    return store.write(work)


def due_targets(store: Store, *, now_us: int | None = None) -> list[Target]:
    """Return the targets for which a message is due."""
    at_us = to_us(now()) if now_us is None else now_us
    due = sa.select(sa.literal(1)).where(OUTBOX.c.target_id == WEBHOOK_TARGETS.c.target_id, OUTBOX.c.due_at <= at_us)
    query = sa.select(WEBHOOK_TARGETS.c.target_id).where(WEBHOOK_TARGETS.c.removed_at.is_(None), due.exists())
    with store.reading() as connection:
        ids = set(connection.scalars(query))
        return [target for target in _targets(connection) if target.target_id in ids] if ids else []


def count_waiting(store: Store) -> int:
    """Return how many messages are neither delivered nor given up."""
    query = sa.select(sa.func.count()).select_from(OUTBOX).where(OUTBOX.c.due_at.is_not(None), is_standing())
    with store.reading() as connection:
        return int(connection.execute(query).scalar_one())


def claim_deliveries(
    store: Store, *, limit: int, hold_us: int, target_id: str | None = None, now_us: int | None = None
) -> list[Delivery]:
    """Take messages that are due, for `hold_us` microseconds: no other worker gets them before that is over.

    Parameters
    ----------
    store
        The open store.
    limit
        How many at most.
    hold_us
        For how long.
    target_id
        Of one target only, so that one that does not answer holds up nobody else's.
    now_us
        The present, by default the clock's.
    """
    claim = uuid.uuid4().hex

    def work(connection: sa.Connection) -> list[Delivery]:
        at_us = to_us(now()) if now_us is None else now_us
        targets = {target.target_id: target for target in _targets(connection, target_id)}
        due = sa.select(OUTBOX.c.delivery_id).where(OUTBOX.c.due_at <= at_us, OUTBOX.c.target_id.in_(list(targets)))
        due = due.order_by(OUTBOX.c.due_at, OUTBOX.c.delivery_id).limit(limit).with_for_update(skip_locked=True)
        ids = list(connection.scalars(due))
        if not ids:
            return []
        taken = sa.update(OUTBOX).where(OUTBOX.c.delivery_id.in_(ids))
        rows = connection.execute(taken.values(due_at=at_us + hold_us, claim=claim).returning(OUTBOX)).mappings().all()
        return [
            Delivery(
                row["delivery_id"],
                targets[row["target_id"]],
                row["kind"],
                json.loads(row["body"]),
                row["attempts"],
                claim,
                row["created_at"],
            )
            for row in sorted(rows, key=lambda row: (row["created_at"], row["delivery_id"]))
        ]

    return store.write(work)


def is_claimed(store: Store, delivery: Delivery) -> bool:
    """Tell whether a message is still ours to send: nobody took it over, its target stands, its lead is remembered."""
    own = sa.select(sa.literal(1)).select_from(OUTBOX).where(*_own(delivery), is_standing())
    with store.reading() as connection:
        return connection.execute(own).first() is not None


def settle_delivery(
    store: Store,
    delivery: Delivery,
    *,
    delivered: bool,
    retry_us: int | None = None,
    status: str | None = None,
    now_us: int | None = None,
) -> bool:
    """Note how a claimed message fared; tell whether it was still ours to settle.

    Parameters
    ----------
    store
        The open store.
    delivery
        From `claim_deliveries`.
    delivered
        Whether the receiver has it.
    retry_us
        Where it has not: when to try again, microseconds UTC; None gives up.
    status
        What the try ended with: a status of HTTP, or a word for what went wrong.
    now_us
        The present, by default the clock's.
    """

    def work(connection: sa.Connection) -> bool:
        at_us = to_us(now()) if now_us is None else now_us
        values = {
            "due_at": None if delivered else retry_us,
            "delivered_at": at_us if delivered else None,
            "attempts": OUTBOX.c.attempts + 1,
            "tried_at": at_us,
            "last_status": status,
            "claim": None,
        }
        return bool(connection.execute(sa.update(OUTBOX).where(*_own(delivery)).values(values)).rowcount)

    return store.write(work)


def give_back(store: Store, deliveries: Sequence[Delivery], *, due_us: int) -> int:
    """End the claim on messages that were not tried, to be due at `due_us`; return how many were still ours."""

    def work(connection: sa.Connection) -> int:
        return sum(
            connection.execute(sa.update(OUTBOX).where(*_own(each)).values(due_at=due_us, claim=None)).rowcount
            for each in deliveries
        )

    return store.write(work) if deliveries else 0


def message_row(
    target: Target, kind: MessageKind, body: Mapping[str, Any], at_us: int, *, lead_id: str | None = None
) -> dict[str, Any]:
    """Return the row of a message that is due at once."""
    return {
        "delivery_id": uuid.uuid4().hex,
        "target_id": target.target_id,
        "kind": kind,
        "lead_id": lead_id,
        "body": json.dumps(dict(body), ensure_ascii=False, allow_nan=False),
        "created_at": at_us,
        "due_at": at_us,
        "attempts": 0,
    }


def _own(delivery: Delivery) -> tuple[sa.ColumnElement[bool], ...]:
    return OUTBOX.c.delivery_id == delivery.delivery_id, OUTBOX.c.claim == delivery.claim


def _kinds(change: Change, target: Target) -> list[MessageKind]:
    found: list[MessageKind] = ["grade_changed"] if change.regraded else []
    if change.pools[0] != change.pools[1] and change.pools[1] in target.pools:
        found.append("pool_entered")
    return [kind for kind in found if kind in target.kinds]


def _body(change: Change, kind: MessageKind) -> dict[str, Any]:
    told = {
        "lead_id": change.lead_id,
        "score_id": change.score_id,
        "as_of": iso(from_us(change.as_of_us)),
        "cause": change.cause,
        "new_model": change.remodelled,
        # Empty where the rules answered: a reader of JSON expects null for nothing.
        "bundle": {"before": change.bundles[0] or None, "now": change.bundles[1] or None},
        "grade": {"before": change.grades[0], "now": change.grades[1]},
        "pool": {"before": change.pools[0], "now": change.pools[1]},
    }
    if kind == "pool_entered":
        by_us = None if change.minutes is None else change.as_of_us + change.minutes * MINUTE_US
        told |= {
            "assign_within_minutes": change.minutes,
            "assign_by": None if by_us is None else iso(from_us(by_us)),
        }
    return told
