"""Where messages go: the addresses that an administrator has named, with what each asks for and what signs it."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from data.clock import now, to_us
from data.errors import UsageError
from data.store.schema import OUTBOX, WEBHOOK_TARGETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.store.engine import Store

__all__ = [
    "KINDS",
    "MOST_TARGETS",
    "MessageKind",
    "Target",
    "add_target",
    "is_standing",
    "list_targets",
    "remove_target",
    "standing_targets",
]

MessageKind = Literal["grade_changed", "pool_entered", "model_changed", "ping"]
KINDS: tuple[MessageKind, ...] = ("grade_changed", "pool_entered", "model_changed")
"""What a target may ask for; a `ping` comes when an administrator sends one."""

MOST_TARGETS = 50


@dataclass(frozen=True)
class Target:
    """Where messages go: which kinds, and of which pools' entering. `secret` signs them."""

    target_id: str
    url: str
    secret: str
    kinds: tuple[MessageKind, ...]
    pools: tuple[str, ...]
    created_us: int

    def __repr__(self) -> str:
        """Leave out the secret and the address, which may hold one: this may end up in a log."""
        return f"Target(target_id={self.target_id!r}, kinds={self.kinds!r}, pools={self.pools!r})"


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
        If no kind of message is asked for, or one that does not exist, or there are 50 targets.
    """
    if not kinds or set(kinds) - set(KINDS):
        raise UsageError("a webhook asks for no known kind of message", hint=f"choose among {', '.join(KINDS)}")
    at_us = to_us(now()) if now_us is None else now_us
    target = Target(uuid.uuid4().hex, url, secret, tuple(kinds), tuple(pools), at_us)
    row = {
        "target_id": target.target_id,
        "url": url,
        "secret": secret,
        "kinds": json.dumps(kinds),
        "pools": json.dumps(pools),
        "created_at": at_us,
    }

    def work(connection: sa.Connection) -> None:
        if len(standing_targets(connection)) >= MOST_TARGETS:
            raise UsageError(f"there are {MOST_TARGETS} webhooks already", hint="remove one that is not needed")
        connection.execute(sa.insert(WEBHOOK_TARGETS), row)

    store.write(work)
    return target


def remove_target(store: Store, target_id: str, *, now_us: int | None = None) -> bool:
    """Send nothing more to a target, not even what waits for it or is claimed; tell whether there was one."""

    def work(connection: sa.Connection) -> bool:
        at_us = to_us(now()) if now_us is None else now_us
        standing = WEBHOOK_TARGETS.c.target_id == target_id, WEBHOOK_TARGETS.c.removed_at.is_(None)
        gone = connection.execute(sa.update(WEBHOOK_TARGETS).where(*standing).values(removed_at=at_us)).rowcount
        waiting = OUTBOX.c.target_id == target_id, OUTBOX.c.due_at.is_not(None)
        connection.execute(sa.update(OUTBOX).where(*waiting).values(due_at=None, claim=None))
        return bool(gone)

    return store.write(work)


def list_targets(store: Store) -> list[Target]:
    """Return the targets that get messages."""
    with store.reading() as connection:
        return standing_targets(connection)


def standing_targets(connection: sa.Connection, target_id: str | None = None) -> list[Target]:
    """Return the targets that get messages, or the one of an id."""
    query = sa.select(WEBHOOK_TARGETS).where(WEBHOOK_TARGETS.c.removed_at.is_(None))
    if target_id is not None:
        query = query.where(WEBHOOK_TARGETS.c.target_id == target_id)
    return [
        Target(
            row["target_id"],
            row["url"],
            row["secret"],
            tuple(json.loads(row["kinds"])),
            tuple(json.loads(row["pools"])),
            row["created_at"],
        )
        for row in connection.execute(query.order_by(WEBHOOK_TARGETS.c.target_id)).mappings()
    ]


def is_standing() -> sa.ColumnElement[bool]:
    """Return the condition that a message's target was not removed."""
    found = sa.select(sa.literal(1)).where(
        WEBHOOK_TARGETS.c.target_id == OUTBOX.c.target_id, WEBHOOK_TARGETS.c.removed_at.is_(None)
    )
    return found.exists()
