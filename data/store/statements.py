"""The few statements that SQLite and PostgreSQL spell differently, and the order in which rows are locked."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["chunks", "insert_into", "lock_entities"]

T = TypeVar("T")

_CHUNK = 500  # SQLite takes 32,766 values a statement; each lock takes a place of PostgreSQL's shared table


def insert_into(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that knows ON CONFLICT, in the database's own words."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the rows in pieces that one statement can carry.

    Examples
    --------
    >>> [len(piece) for piece in chunks(range(1001))]
    [500, 500, 1]
    """
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]


def lock_entities(connection: sa.Connection, kind: str, ids: Iterable[str]) -> None:
    """Keep other writers from these entities until the transaction ends, also from entities that have no row yet.

    SQLite has one writer at a time anyway. On PostgreSQL the locks are taken in one order, so that nobody waits in a
    circle.
    """
    if connection.dialect.name != "postgresql":
        return
    keys = sorted({_lock_key(kind, each) for each in ids})
    for piece in chunks(keys):
        taken: sa.Select[Any] = sa.select(
            sa.func.pg_advisory_xact_lock(sa.func.unnest(sa.cast(list(piece), postgresql.ARRAY(sa.BigInteger))))
        )
        connection.execute(taken)


def _lock_key(kind: str, entity_id: str) -> int:
    """Return 64 bits of a hash, signed: two entities that share them wait for each other and nothing worse."""
    digest = hashlib.sha256(f"{kind}\x00{entity_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
