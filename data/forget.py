"""Forgetting a person: out of the store, the warehouse and its quarantine, and noted so that no sync brings it back.

What remains is what a company may count: that a lead came, what it clicked, how it ended. A backup holds the person
until it is thrown away, and an export that still names the person brings it back: erase it in the CRM first.
"""
# ruff: noqa: S608 - only names of the contract are put into the SQL

from __future__ import annotations

import csv
import json
import os
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from data.erasure import Edit, rewrite
from data.errors import DataError
from data.files import written_whole
from data.store.forgetting import (
    PERSONAL_COLUMNS,
    Erased,
    add_forgotten,
    erase,
    forgotten_among,
    identifiers_of,
    lead_ids,
    person_leads,
)
from data.store.records import is_storable
from data.warehouse import limited

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from data.store.engine import Store
    from data.store.forgetting import Oblivion
    from data.warehouse import Warehouse

__all__ = ["Forgotten", "forget", "forget_again"]

_WAIT_S = 60.0
_SHORT = 4  # an identifier of fewer characters is looked for as a whole cell only


@dataclass(frozen=True)
class Forgotten:
    """What was erased: leads of the person, rows of the store by table, rows of the warehouse and its quarantine."""

    leads: int
    store: Erased
    contacts: int
    lead_rows: int
    quarantined: int

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers for JSON."""
        return asdict(self)


def forget(store: Store, warehouse: Warehouse, lead_id: str, *, now_us: int | None = None) -> Forgotten:
    """Erase the person of a lead, with all leads of that person, everywhere; again, to finish what was broken off.

    Parameters
    ----------
    store
        The open store.
    warehouse
        The warehouse; parts that speak of the person are written anew.
    lead_id
        Any lead of the person.
    now_us
        The present, by default the clock's.

    Raises
    ------
    DataError
        If neither the store nor the warehouse knows the lead.
    InfrastructureError
        If the database, the disk or an import under way stand in the way; the store may be done by then.
    """
    with warehouse.locked(wait_s=_WAIT_S), closing(duckdb.connect(config=limited(threads=1))) as con:
        con.execute("SET TimeZone = 'UTC'")
        warehouse.add_views(con)
        leads = _person(store, con, lead_id)
        told = identifiers_of(store, leads) | _identifiers(con, leads)
        erased = erase(store, leads, now_us=now_us)
        edits = {"leads": Edit(_THEIRS, PERSONAL_COLUMNS, own=True), "contacts": Edit(_THEIRS)}
        met = rewrite(warehouse, con, edits)
        rows = sum(_clean(path, leads, told) for path in sorted((warehouse.path / "quarantine").glob("*/*.csv")))
    return Forgotten(len(leads), erased, met["contacts"], met["leads"], rows)


def forget_again(store: Store, warehouse: Warehouse, noted: Collection[Oblivion]) -> int:
    """Erase whom an older state of store and warehouse still knows, though they were forgotten since; return how many.

    Parameters
    ----------
    store, warehouse
        As they came out of a backup.
    noted
        Who was forgotten, from `list_forgotten` of the store that was replaced.
    """
    add_forgotten(store, noted)
    with warehouse.connect() as con:
        known = {
            str(row[0])
            for row in con.execute("SELECT lead_id FROM leads UNION SELECT lead_id FROM contacts").fetchall()
        }
    known |= lead_ids(store)
    again = sorted(forgotten_among(store, known))
    for lead_id in again:
        forget(store, warehouse, lead_id)
    return len(again)


_THEIRS = "lead_id IN (SELECT lead_id FROM their_leads)"


def _person(store: Store, con: duckdb.DuckDBPyConnection, lead_id: str) -> set[str]:
    """Create `their_leads` and return them: the lead and all that store or warehouse know to be of the same person."""
    if not is_storable(lead_id):
        raise DataError("no lead has such an id", hint="check the id")
    con.execute("CREATE TEMP TABLE their_leads (lead_id VARCHAR)")
    found, known = {lead_id}, set[str]()
    while found - known:
        known = person_leads(store, found)
        con.execute("DELETE FROM their_leads")
        con.executemany("INSERT INTO their_leads VALUES (?)", [[one] for one in sorted(known)])
        rows = con.execute(
            f"SELECT lead_id FROM leads WHERE person_id IN (SELECT person_id FROM leads WHERE {_THEIRS}) UNION "
            f"SELECT into_lead_id FROM merges WHERE {_THEIRS} UNION "
            "SELECT lead_id FROM merges WHERE into_lead_id IN (SELECT lead_id FROM their_leads)"
        ).fetchall()
        found = known | {str(row[0]) for row in rows}
    if not (_is_known(con) or _in_store(store, lead_id) or forgotten_among(store, [lead_id])):
        raise DataError("neither the store nor the warehouse knows the lead", hint="check the id")
    return known


def _is_known(con: duckdb.DuckDBPyConnection) -> bool:
    query = f"SELECT 1 FROM leads WHERE {_THEIRS} UNION ALL SELECT 1 FROM contacts WHERE {_THEIRS} LIMIT 1"
    return bool(con.execute(query).fetchall())


def _in_store(store: Store, lead_id: str) -> bool:
    import sqlalchemy as sa

    from data.store.schema import FACTS

    with store.reading() as connection:
        return any(
            connection.execute(sa.select(rows.c.lead_id).where(rows.c.lead_id == lead_id).limit(1)).first()
            for rows in (FACTS["leads"], FACTS["contacts"])
        )


def _identifiers(con: duckdb.DuckDBPyConnection, leads: set[str]) -> set[str]:
    del leads  # they stand in `their_leads`
    rows = con.execute(f"SELECT name, email, phone FROM contacts WHERE {_THEIRS}").fetchall()
    return {value for row in rows for value in row if value}


def _clean(path: Path, leads: set[str], told: set[str]) -> int:
    """Write a file of the quarantine without the rows that speak of the person; return how many those were."""
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        rows, names = list(reader), list(reader.fieldnames or ())
    kept = [row for row in rows if not _speaks_of(row.get("row") or "", leads, told)]
    if len(kept) == len(rows):
        return 0
    with written_whole(path) as beside:
        beside.touch(mode=0o600)
        with beside.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(kept)
            stream.flush()
            os.fsync(stream.fileno())
    return len(rows) - len(kept)


def _speaks_of(text: str, leads: set[str], told: set[str]) -> bool:
    """Tell whether a quarantined row names one of the leads or what the person is called, has as address or number.

    Examples
    --------
    >>> _speaks_of('{"Id": "L-1", "Name": "x"}', {"L-1"}, set()), _speaks_of('{"Id": "L-10"}', {"L-1"}, set())
    (True, False)
    >>> _speaks_of('broken;ADA@acme.example;', set(), {"ada@acme.example"})
    True
    """
    lowered = {each.casefold() for each in told}
    try:
        cells = json.loads(text)
    except ValueError:
        return any(each in text for each in leads) or any(each in text.casefold() for each in lowered)
    values = [str(value).strip() for value in (cells.values() if isinstance(cells, dict) else [text])]
    return any(value in leads or any(_holds(value.casefold(), each) for each in lowered) for value in values)


def _holds(cell: str, identifier: str) -> bool:
    return identifier in cell if len(identifier) >= _SHORT else identifier == cell
