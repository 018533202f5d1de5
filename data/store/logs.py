"""Writing what happened once and never changes: events, actions, stages, merges. Each row is known by its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.clock import now, to_us
from data.store.dirty import mark_leads
from data.store.schema import FACTS
from data.store.statements import chunks, insert_into
from data.store.states import FUTURE_TOLERANCE_US
from data.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.store.engine import Store
    from data.store.records import ActionRecord, EventRecord, MergeRecord, Record, StageRecord, Verdict

__all__ = ["add_actions", "add_events", "add_merges", "add_stages", "write_rows"]

_Key = tuple[Any, ...]


def add_events(store: Store, records: Sequence[EventRecord], *, now_us: int | None = None) -> tuple[Verdict, ...]:
    """Take in events in one transaction, in any order and however often; tell for each what became of it.

    An event whose `(source, event_id)` is taken is a `duplicate` if it says the same, else a `conflict`, and the first
    one stays. Events may come before their lead does.

    Raises
    ------
    InfrastructureError
        If the database cannot be used; then nothing was written.
    """
    return _add(store, "events", records, now_us)


def add_actions(store: Store, records: Sequence[ActionRecord], *, now_us: int | None = None) -> tuple[Verdict, ...]:
    """Take in what sales did, as `add_events`; `action_id` is the key."""
    return _add(store, "actions", records, now_us)


def add_stages(store: Store, records: Sequence[StageRecord], *, now_us: int | None = None) -> tuple[Verdict, ...]:
    """Take in reached stages, as `add_events`; lead, stage and moment are the key."""
    return _add(store, "stages", records, now_us)


def add_merges(store: Store, records: Sequence[MergeRecord], *, now_us: int | None = None) -> tuple[Verdict, ...]:
    """Take in merges of leads, as `add_events`; lead and moment are the key."""
    return _add(store, "merges", records, now_us)


def _add(store: Store, table: str, records: Sequence[Record], now_us: int | None) -> tuple[Verdict, ...]:
    def work(connection: sa.Connection) -> tuple[Verdict, ...]:
        at_us = to_us(now()) if now_us is None else now_us
        rows = [_row(record, at_us) for record in records]
        claims = [max(row["occurred_at"], row["known_at"]) > at_us + FUTURE_TOLERANCE_US for row in rows]
        verdicts = write_rows(connection, table, [row for row, claim in zip(rows, claims, strict=True) if not claim])
        told = iter(verdicts)
        found: list[Verdict] = ["future" if claim else next(told) for claim in claims]
        changed = {
            str(row[column])
            for row, verdict in zip(rows, found, strict=True)
            if verdict == "new"
            for column in ("lead_id", "into_lead_id")
            if column in row
        }
        mark_leads(connection, changed, at_us)
        return tuple(found)

    return store.write(work)


def _row(record: Record, at_us: int) -> dict[str, Any]:
    """Return the row; a record without its own clock became known now, which `_own_clock` remembers."""
    row = record.model_dump()
    own_clock = row["known_at"] is not None
    return {**row, "known_at": row["known_at"] if own_clock else at_us, "recorded_at": at_us, "_own_clock": own_clock}


def write_rows(connection: sa.Connection, table: str, rows: Sequence[dict[str, Any]]) -> list[Verdict]:
    """Write the rows whose key is free, and judge the others by what holds their key.

    Parameters
    ----------
    connection
        Of a transaction that writes.
    table
        `events`, `actions`, `stages` or `merges`.
    rows
        Whole rows, each with `_own_clock`: whether its `known_at` was told and not set here.
    """
    key = TABLES[table].key
    first: dict[_Key, int] = {}
    for number, row in enumerate(rows):
        first.setdefault(tuple(row[name] for name in key), number)
    written = _insert(connection, table, sorted(first), {each: rows[number] for each, number in first.items()})
    held = _held(connection, table, sorted(first.keys() - written))
    held |= {each: rows[first[each]] for each in written}
    return [
        "new"
        if (each := tuple(row[name] for name in key)) in written and first[each] == number
        else _judge(table, row, held[each])
        for number, row in enumerate(rows)
    ]


def _insert(connection: sa.Connection, table: str, keys: Sequence[_Key], rows: dict[_Key, dict[str, Any]]) -> set[_Key]:
    """Insert in the order of the keys, so that no two writers wait in a circle; return the keys that were free."""
    if not keys:
        return set()
    columns = [FACTS[table].c[name] for name in TABLES[table].key]
    statement = insert_into(connection, FACTS[table]).on_conflict_do_nothing().returning(*columns)
    values = [{name: value for name, value in rows[each].items() if name != "_own_clock"} for each in keys]
    return {tuple(row) for row in connection.execute(statement, values)}


def _held(connection: sa.Connection, table: str, keys: Sequence[_Key]) -> dict[_Key, dict[str, Any]]:
    """Return the rows that hold these keys."""
    rows, names = FACTS[table], TABLES[table].key
    found: dict[_Key, dict[str, Any]] = {}
    for piece in chunks(keys):
        query = sa.select(rows).where(sa.tuple_(*(rows.c[name] for name in names)).in_(piece))
        for row in connection.execute(query).mappings():
            found[tuple(row[name] for name in names)] = dict(row)
    return found


def _judge(table: str, row: dict[str, Any], held: dict[str, Any]) -> Verdict:
    skipped = {"recorded_at"} if row["_own_clock"] else {"recorded_at", "known_at"}
    names = [column.name for column in TABLES[table].columns if column.name not in skipped]
    return "duplicate" if all(row[name] == held[name] for name in names) else "conflict"
