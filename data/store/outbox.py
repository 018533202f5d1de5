"""Messages to other systems: written with the score that caused them, delivered at least once, by one worker at a time.

A worker claims the messages that are due for some time; if it dies, they are due again when the time is over. Each has
an id, by which the receiver tells a repetition.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from data.clock import from_us, iso, now, to_us
from data.errors import UsageError
from data.store.schema import OUTBOX, WEBHOOK_TARGETS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data.store.engine import Store

__all__ = [
    "Change",
    "Delivery",
    "MessageKind",
    "Target",
    "add_target",
    "announce",
    "claim_deliveries",
    "list_targets",
    "remove_target",
    "send_all",
    "settle_delivery",
]

MessageKind = Literal["grade_changed", "pool_entered", "model_changed"]
KINDS: tuple[MessageKind, ...] = ("grade_changed", "pool_entered", "model_changed")


@dataclass(frozen=True)
class Target:
    """Where messages go: which kinds, and of which pools' entering. `secret` signs them."""

    target_id: str
    url: str
    secret: str
    kinds: tuple[MessageKind, ...]
    pools: tuple[str, ...]

    def __repr__(self) -> str:
        """Leave out the secret: this may end up in a log."""
        return f"Target(target_id={self.target_id!r}, kinds={self.kinds!r}, pools={self.pools!r})"


@dataclass(frozen=True)
class Change:
    """What a score changed: grade and pool before and after; at a lead's `first` score there was none before."""

    lead_id: str
    score_id: int
    as_of_us: int
    cause: str
    grades: tuple[str | None, str | None]
    pools: tuple[str | None, str | None]
    first: bool

    @property
    def regraded(self) -> bool:
        """Whether a grade that was told before is another one now."""
        return not self.first and self.grades[0] != self.grades[1]


@dataclass(frozen=True)
class Delivery:
    """A message that this worker has claimed; `attempts` counts the earlier ones that failed."""

    delivery_id: str
    target: Target
    kind: MessageKind
    body: Mapping[str, Any]
    attempts: int
    claim: str


def add_target(
    store: Store,
    url: str,
    *,
    secret: str,
    kinds: Sequence[MessageKind] = KINDS,
    pools: Sequence[str] = (),
    now_us: int | None = None,
) -> Target:
    """Add a place that messages go to; whether the address may be called is for the caller to check.

    Raises
    ------
    UsageError
        If no kind of message is asked for, or one that does not exist.
    """
    if not kinds or set(kinds) - set(KINDS):
        raise UsageError("a webhook asks for no known kind of message", hint=f"choose among {', '.join(KINDS)}")
    target = Target(uuid.uuid4().hex, url, secret, tuple(kinds), tuple(pools))
    row = {**vars(target), "kinds": json.dumps(kinds), "pools": json.dumps(pools)}
    row["created_at"] = to_us(now()) if now_us is None else now_us
    store.execute(sa.insert(WEBHOOK_TARGETS), row)
    return target


def remove_target(store: Store, target_id: str, *, now_us: int | None = None) -> bool:
    """Send nothing more to a target, not even what waits for it; tell whether there was one."""

    def work(connection: sa.Connection) -> bool:
        at_us = to_us(now()) if now_us is None else now_us
        standing = WEBHOOK_TARGETS.c.target_id == target_id, WEBHOOK_TARGETS.c.removed_at.is_(None)
        gone = connection.execute(sa.update(WEBHOOK_TARGETS).where(*standing).values(removed_at=at_us)).rowcount
        connection.execute(sa.update(OUTBOX).where(OUTBOX.c.target_id == target_id).values(due_at=None))
        return bool(gone)

    return store.write(work)


def list_targets(store: Store) -> list[Target]:
    """Return the targets that get messages."""
    with store.reading() as connection:
        return _targets(connection)


def announce(connection: sa.Connection, changes: Sequence[Change], at_us: int) -> int:
    """Put a message for each change and each target that asked for it into the outbox; return how many."""
    told = [change for change in changes if change.cause != "model"]
    targets = _targets(connection) if told else []
    rows = [
        _message(target, kind, _body(change), at_us, change.lead_id)
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
        rows = [_message(target, kind, body, at_us, None) for target in _targets(connection) if kind in target.kinds]
        if rows:
            connection.execute(sa.insert(OUTBOX), rows)
        return len(rows)

    return store.write(work)


def claim_deliveries(store: Store, *, limit: int, hold_us: int, now_us: int | None = None) -> list[Delivery]:
    """Take messages that are due, for `hold_us` microseconds: no other worker gets them before that is over."""
    claim = uuid.uuid4().hex

    def work(connection: sa.Connection) -> list[Delivery]:
        at_us = to_us(now()) if now_us is None else now_us
        due = sa.select(OUTBOX.c.delivery_id).where(OUTBOX.c.due_at <= at_us).order_by(OUTBOX.c.due_at).limit(limit)
        due = due.with_for_update(skip_locked=True)
        taken = sa.update(OUTBOX).where(OUTBOX.c.delivery_id.in_(list(connection.scalars(due))))
        rows = connection.execute(taken.values(due_at=at_us + hold_us, claim=claim).returning(OUTBOX)).mappings().all()
        targets = {target.target_id: target for target in _targets(connection)}
        return [
            Delivery(row["delivery_id"], target, row["kind"], json.loads(row["body"]), row["attempts"], claim)
            for row in sorted(rows, key=lambda row: (row["created_at"], row["delivery_id"]))
            if (target := targets.get(row["target_id"]))
        ]

    return store.write(work)


def settle_delivery(
    store: Store, delivery: Delivery, *, delivered: bool, retry_us: int | None = None, now_us: int | None = None
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
    now_us
        The present, by default the clock's.
    """

    def work(connection: sa.Connection) -> bool:
        at_us = to_us(now()) if now_us is None else now_us
        own = OUTBOX.c.delivery_id == delivery.delivery_id, OUTBOX.c.claim == delivery.claim
        values = {
            "due_at": None if delivered else retry_us,
            "delivered_at": at_us if delivered else None,
            "attempts": OUTBOX.c.attempts + 1,
            "claim": None,
        }
        return bool(connection.execute(sa.update(OUTBOX).where(*own).values(values)).rowcount)

    return store.write(work)


def _targets(connection: sa.Connection) -> list[Target]:
    standing = sa.select(WEBHOOK_TARGETS).where(WEBHOOK_TARGETS.c.removed_at.is_(None))
    return [
        Target(
            row["target_id"],
            row["url"],
            row["secret"],
            tuple(json.loads(row["kinds"])),
            tuple(json.loads(row["pools"])),
        )
        for row in connection.execute(standing.order_by(WEBHOOK_TARGETS.c.target_id)).mappings()
    ]


def _kinds(change: Change, target: Target) -> list[MessageKind]:
    found: list[MessageKind] = ["grade_changed"] if change.regraded else []
    if change.pools[0] != change.pools[1] and change.pools[1] in target.pools:
        found.append("pool_entered")
    return [kind for kind in found if kind in target.kinds]


def _body(change: Change) -> dict[str, Any]:
    return {
        "lead_id": change.lead_id,
        "score_id": change.score_id,
        "as_of": iso(from_us(change.as_of_us)),
        "cause": change.cause,
        "grade": {"before": change.grades[0], "now": change.grades[1]},
        "pool": {"before": change.pools[0], "now": change.pools[1]},
    }


def _message(
    target: Target, kind: MessageKind, body: Mapping[str, Any], at_us: int, lead_id: str | None
) -> dict[str, Any]:
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
