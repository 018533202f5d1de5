"""Uniting the store and the warehouse: what each lacks it gets from the other, all with its own clock.

So what was served trains the next model, and a service that starts after an import can score. The store is filled
first: a change that lay between two others may bring a version to light, which the warehouse then gets too.
"""
# ruff: noqa: S608 - only names of the contract and quoted paths are put into the SQL

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import duckdb

from data.clock import iso, to_us
from data.clock import now as present
from data.manifest import ImportRecord
from data.parts import write_parts
from data.quarantine import place_quarantine
from data.readers import quote
from data.store.exchange import Taken, take_facts
from data.sync_tables import (
    EXCHANGED,
    compare,
    declare_custom,
    missing_in_store,
    scope,
    stage_store,
    type_store,
    view_past,
)
from data.tables import TABLES
from data.warehouse import limited

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from data.manifest import Manifest, PartRecord
    from data.store.engine import Store
    from data.warehouse import Warehouse

    Progress = Callable[[str, float], None]

__all__ = ["SYNCED", "SyncReport", "TableSync", "sync"]

SYNCED = "clew sync"  # stands as the mapping in the warehouse's list of imports
_WAIT_S = 60.0


@dataclass(frozen=True)
class TableSync:
    """How many rows of a table went each way, and those that could not, by reason."""

    to_store: int = 0
    to_warehouse: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SyncReport:
    """What a sync did; `left_out` are customer's columns whose names cannot be columns of the warehouse.

    `quarantine` is the folder of the rows that are in conflict, None where there are none.
    """

    at: str
    changed: bool
    tables: Mapping[str, TableSync]
    left_out: tuple[str, ...] = ()
    quarantine: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        told = asdict(self)
        return {**told, "quarantine": None if self.quarantine is None else str(self.quarantine)}


@dataclass(frozen=True)
class _Work:
    """One sync under way; `after` is the warehouse's manifest with the columns that the store brings."""

    con: duckdb.DuckDBPyConnection
    store: Store
    warehouse: Warehouse
    before: Manifest
    after: Manifest
    at: datetime
    now_us: int | None
    events_from_us: int | None


def sync(
    store: Store,
    warehouse: Warehouse,
    *,
    now: datetime | None = None,
    threads: int = 1,
    events_from_us: int | None = None,
    progress: Progress = lambda _text, _share: None,
) -> SyncReport:
    """Give the warehouse what only the store has, and the store what only the warehouse has of open leads.

    Equal keys with other content stay as they are on both sides and are told in the warehouse's quarantine. Contacts
    are not exchanged: what is derived from them is, as columns of `leads`. Syncing again changes nothing.

    Parameters
    ----------
    store
        The open store; services may go on writing to it.
    warehouse
        Where the rows are recorded, as by an import: all or none.
    now
        The time of the sync; the present by default.
    threads
        How many threads DuckDB may use.
    events_from_us
        Events before this moment are not exchanged, because they are no longer kept; microseconds UTC.
    progress
        Called with the step in words and the share done, 0 to 1.

    Raises
    ------
    InfrastructureError
        If the database, the disk or an import under way stand in the way. The warehouse is as it was then; the store
        may have got some of what it lacks.
    """
    now_us = None if now is None else to_us(now)
    with warehouse.locked(wait_s=_WAIT_S):
        before = warehouse.manifest()
        scratch = warehouse.scratch
        scratch.mkdir(mode=0o700)
        try:
            with closing(_connection(threads)) as con:
                progress("reading the store", 0.0)
                view_past(con, warehouse, before)
                stage_store(con, store)
                after, left_out = declare_custom(con, before)
                at = now or present()
                work = _Work(con, store, warehouse, before, after, at, now_us, events_from_us)
                return replace(_exchange(work, progress), left_out=left_out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _connection(threads: int) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(config=limited(threads=threads))
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar_print = false")
    return con


def _exchange(work: _Work, progress: Progress) -> SyncReport:
    con = work.con
    _stage(work)
    scope(con)
    taken = {}
    for number, name in enumerate(EXCHANGED):
        progress(f"filling the store's {name}", 0.2 + 0.4 * number / len(EXCHANGED))
        taken[name] = _fill_store(work, name)
    if any(each.written for each in taken.values()):
        progress("reading the store again", 0.6)
        stage_store(con, work.store)
        _stage(work)
    for name in EXCHANGED:
        compare(con, name, work.after, events_from_us=work.events_from_us)
        _add_refused(con, name, taken[name])
    progress("writing the warehouse", 0.8)
    report = SyncReport(iso(work.at), changed=False, tables={name: _counts(con, name, taken) for name in EXCHANGED})
    quarantine = _quarantine(work)
    written = _write(work, report)
    changed = written or any(each.to_store for each in report.tables.values())
    progress("done", 1.0)
    return replace(report, changed=changed, quarantine=quarantine)


def _stage(work: _Work) -> None:
    type_store(work.con, work.after, to_us(work.at))
    view_past(work.con, work.warehouse, work.after)


def _fill_store(work: _Work, name: str) -> Taken:
    pieces = missing_in_store(work.con, name, work.after, events_from_us=work.events_from_us)
    return sum((take_facts(work.store, name, rows, now_us=work.now_us) for rows in pieces), Taken())


def _add_refused(con: duckdb.DuckDBPyConnection, name: str, taken: Taken) -> None:
    """Add to `q_<table>` what the store refused, but not what is told as a conflict of equal keys anyway."""
    keys = TABLES[name].key
    for reason, row in taken.refused:
        same = " AND ".join(f"{key} = ?" for key in keys)
        held = con.execute(f"SELECT count(*) FROM t_{name} WHERE {same}", [row[key] for key in keys]).fetchall()
        if reason != "conflict" or not held[0][0]:
            con.execute(f"INSERT INTO q_{name} SELECT ?, CAST(? AS VARCHAR)", [reason, _json(row)])


def _json(row: Mapping[str, Any]) -> str:
    import json

    return json.dumps(row, ensure_ascii=False)


def _counts(con: duckdb.DuckDBPyConnection, name: str, taken: Mapping[str, Taken]) -> TableSync:
    rows = con.execute(f"SELECT count(*) FROM n_{name}").fetchall()[0][0]
    reasons = con.execute(f"SELECT reason, count(*) FROM q_{name} GROUP BY 1 ORDER BY 1").fetchall()
    return TableSync(taken[name].written, int(rows), {str(reason): int(count) for reason, count in reasons})


def _write(work: _Work, report: SyncReport) -> bool:
    """Write the parts and put them in force; tell whether there was anything to write."""
    import_id = f"{work.at:%Y%m%dT%H%M%S%f}-sync-{len(work.before.imports)}"
    parts: list[PartRecord] = []
    for name, counted in report.tables.items():
        if counted.to_warehouse:
            parts += write_parts(
                work.con,
                TABLES[name],
                root=work.warehouse.path,
                custom=work.after.custom,
                import_id=import_id,
                at_us=to_us(work.at),
                tell=lambda _text, _begun, _ended: None,
            )
    if not parts and work.after == work.before:
        return False
    record = ImportRecord(
        id=import_id,
        at=iso(work.at),
        mapping=SYNCED,
        source_sha256=hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest(),
        rows={name: counted.to_warehouse for name, counted in report.tables.items() if counted.to_warehouse},
    )
    work.warehouse.commit(
        work.after.model_copy(update={"parts": (*work.before.parts, *parts), "imports": (*work.before.imports, record)})
    )
    return True


def _quarantine(work: _Work) -> Path | None:
    """Write the rows in conflict, one CSV a table, to a folder named by what they say, which then stays as it is."""
    root = work.warehouse.path / "quarantine"
    beside = work.warehouse.scratch / "quarantine"
    digest = hashlib.sha256()
    for name in EXCHANGED:
        rows = work.con.execute(f"SELECT reason, row FROM q_{name} ORDER BY ALL").fetchall()
        if rows:
            digest.update(f"{name}:{rows};".encode())
            _write_csv(work.con, name, beside)
    folder = root / f"sync-{digest.hexdigest()[:12]}"
    for earlier in root.glob("sync-*"):
        if earlier != folder or not beside.is_dir():
            shutil.rmtree(earlier, ignore_errors=True)
    if not beside.is_dir():
        return None
    if not folder.is_dir():
        place_quarantine(beside, folder)
    return folder


def _write_csv(con: duckdb.DuckDBPyConnection, name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = folder / f"{name}.csv"
    rows = f"SELECT 'store' AS file, row_number() OVER (ORDER BY reason, row) AS line, reason, row FROM q_{name}"
    con.execute(f"COPY ({rows} ORDER BY line) TO {quote(str(target))} (FORMAT csv, HEADER)")
    target.chmod(0o600)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())
