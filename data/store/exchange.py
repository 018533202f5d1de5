"""The store's side of an exchange with the warehouse: its facts out in pieces, the warehouse's facts in, each once.

Facts that come in are placed as if they had been sent when they became known, so that both sides tell one history.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from data.clock import now, to_us
from data.store.dirty import BACKLOG_US, mark_account, mark_leads
from data.store.logs import write_rows
from data.store.records import is_storable
from data.store.schema import FACTS
from data.store.statements import chunks, lock_entities
from data.store.states import take_versions
from data.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import sqlalchemy as sa

    from data.store.engine import Store
    from data.store.records import Verdict

__all__ = ["HISTORIES", "Taken", "columns_of", "read_facts", "take_facts"]

HISTORIES = frozenset({"leads", "accounts", "outcomes"})
Row = dict[str, Any]
_AT_ONCE = 20_000


@dataclass(frozen=True)
class Taken:
    """What became of rows: how many were written, and those that were refused with the reason of each."""

    written: int = 0
    refused: tuple[tuple[str, Row], ...] = field(default=())

    def __add__(self, other: Taken) -> Taken:
        """Return both together."""
        return Taken(self.written + other.written, self.refused + other.refused)


def columns_of(table: str) -> tuple[str, ...]:
    """Return the columns of a table of facts in the order in which `read_facts` gives them.

    Examples
    --------
    >>> columns_of("merges")
    ('lead_id', 'occurred_at', 'into_lead_id', 'known_at', 'recorded_at')
    """
    return tuple(column.name for column in FACTS[table].columns)


def read_facts(connection: sa.Connection, table: str) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Yield the rows of a table of facts in pieces, never all at once.

    Parameters
    ----------
    connection
        From `Store.reading`, so that all tables are of one moment.
    table
        The canonical table.
    """
    query = f"SELECT {', '.join(columns_of(table))} FROM {table}"  # noqa: S608 - names of the contract
    raw = connection.connection
    # Without a name PostgreSQL's driver would fetch the whole answer first.
    cursor = raw.cursor("facts") if connection.dialect.name == "postgresql" else raw.cursor()
    try:
        cursor.execute(query)
        while rows := cursor.fetchmany(_AT_ONCE):
            yield rows
    finally:
        cursor.close()


def take_facts(store: Store, table: str, rows: Sequence[Row], *, now_us: int | None = None) -> Taken:
    """Take in rows of the warehouse, some hundred a transaction, and mark their leads; tell which were refused.

    Parameters
    ----------
    store
        The open store.
    table
        A canonical table other than `contacts`.
    rows
        All its columns but `recorded_at`, moments as microseconds UTC, in order of `known_at`.
    now_us
        The present, by default the clock's.

    Raises
    ------
    InfrastructureError
        If the database cannot be used; what was written before stays, and the same rows may be sent again.
    """
    sound = [row for row in rows if _storable(row)]
    refused = Taken(0, tuple(("not_storable", row) for row in rows if not _storable(row)))
    taken = [_take(store, table, piece, now_us) for piece in chunks(sound)]
    return sum(taken, refused)


def _storable(row: Row) -> bool:
    return all(is_storable(value) for value in row.values() if isinstance(value, str))


def _take(store: Store, table: str, rows: Sequence[Row], now_us: int | None) -> Taken:
    entity = TABLES[table].key[0]

    def work(connection: sa.Connection) -> Sequence[Verdict]:
        if table in HISTORIES:
            lock_entities(connection, table, [row[entity] for row in rows])
        at_us = to_us(now()) if now_us is None else now_us
        if table in HISTORIES:
            verdicts = take_versions(connection, table, rows, at_us)
        else:
            told = [{**row, "recorded_at": at_us, "_own_clock": True} for row in rows]
            verdicts = write_rows(connection, table, told)
        written = [row for row, verdict in zip(rows, verdicts, strict=True) if verdict in {"new", "older"}]
        _mark(connection, table, written, at_us + BACKLOG_US)
        return verdicts

    verdicts = store.write(work)
    refused = [("conflict", row) for row, verdict in zip(rows, verdicts, strict=True) if verdict == "conflict"]
    return Taken(sum(verdict in {"new", "older"} for verdict in verdicts), tuple(refused))


def _mark(connection: sa.Connection, table: str, rows: Sequence[Row], since_us: int) -> None:
    if table == "accounts":
        for account_id in sorted({row["account_id"] for row in rows}):
            mark_account(connection, account_id, since_us)
        return
    named = ("lead_id", "into_lead_id")
    mark_leads(connection, {row[column] for row in rows for column in named if column in row}, since_us)
