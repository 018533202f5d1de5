"""The warehouse: canonical tables as Parquet parts that never change, and one manifest that says which are in force.

A crash leaves only files that no manifest names; the next import removes them under the lock. Readers open the parts
of the manifest they have read and are never disturbed by an import.
"""
# ruff: noqa: S608 - table and column names come from the contract and the checked manifest, paths are quoted

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import duckdb

from data.clock import to_us
from data.errors import ClewError, DataError, InfrastructureError
from data.history import observed_since
from data.manifest import NEW_MANIFEST, CustomColumn, Manifest, read_manifest, write_manifest
from data.readers import quote
from data.tables import CUSTOM_PREFIX, TABLES, Kind, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from data.settings import Plan

__all__ = ["QUERY_MEMORY", "SQL_TYPES", "CustomColumn", "Warehouse", "column_types", "file_sha256", "limited"]

QUERY_MEMORY = "2GB"

SQL_TYPES: Mapping[Kind, str] = MappingProxyType(
    {
        "id": "VARCHAR",
        "category": "VARCHAR",
        "text": "VARCHAR",
        "number": "DOUBLE",
        "integer": "BIGINT",
        "time": "TIMESTAMP WITH TIME ZONE",
    }
)
_LOCK_PAUSE = 0.1  # seconds between two tries


def column_types(table: Table, custom: Mapping[str, CustomColumn] = MappingProxyType({})) -> dict[str, str]:
    """Return the SQL type of each column of a table, in the order of the contract.

    Examples
    --------
    >>> column_types(TABLES["leads"], {"erp": CustomColumn(kind="numeric")})["custom_erp"]
    'DOUBLE'
    """
    types = {column.name: SQL_TYPES[column.kind] for column in table.columns}
    if table.name == "leads":
        types |= {
            CUSTOM_PREFIX + name: "DOUBLE" if column.kind == "numeric" else "VARCHAR"
            for name, column in sorted(custom.items())
        }
    return types


class Warehouse:
    """A folder of Parquet parts with its manifest.

    Parameters
    ----------
    path
        The folder; it is made at the first import.

    Examples
    --------
    >>> warehouse = Warehouse(Path("nowhere"))
    >>> warehouse.counts()["events"]
    0
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def manifest(self, *, known_by: datetime | None = None) -> Manifest:
        """Return what is in force now, or what was at a moment.

        Raises
        ------
        DataError
            If the manifest is damaged, or too old to say what was in force at that moment.
        """
        manifest = read_manifest(self.path)
        return manifest.known_by(known_by) if known_by else manifest

    def custom_columns(self, *, known_by: datetime | None = None) -> Mapping[str, CustomColumn]:
        """Return the customer's own columns of `leads`: name without prefix to kind and when it is known."""
        return MappingProxyType(dict(sorted(self.manifest(known_by=known_by).custom.items())))

    def withheld_columns(self, *, known_by: datetime | None = None, from_us: int | None = None) -> frozenset[str]:
        """Return the columns of `leads` and `accounts` that some mapping declared `later` or `after_outcome`.

        Customer columns carry their prefix `custom_`.

        Parameters
        ----------
        known_by
            Only what was recorded up to this moment counts.
        from_us
            The first `as_of` of what is to be computed, in microseconds UTC: columns known `later` of which successive
            exports have dated every version since then are not withheld from it.
        """
        manifest = self.manifest(known_by=known_by)
        custom = {CUSTOM_PREFIX + name for name, column in manifest.custom.items() if column.known != "at_creation"}
        late = {(table, name) for table, columns in manifest.withheld.items() for name in columns}
        late |= {("leads", name) for name in custom}
        if from_us is not None:
            since = observed_since(manifest)
            late = {(table, name) for table, name in late if since.get(f"{table}.{name}", from_us + 1) > from_us}
        return frozenset(name for _, name in late)

    def plan(self, *, known_by: datetime | None = None) -> Plan | None:
        """Return the plan of the last mapping that carried one."""
        return self.manifest(known_by=known_by).plan

    def connect(
        self, *, threads: int = 1, known_by: datetime | None = None, events_from_us: int | None = None
    ) -> duckdb.DuckDBPyConnection:
        """Return a connection with one view for each canonical table; its session is in UTC.

        Parameters
        ----------
        threads
            How many threads DuckDB may use.
        known_by
            Only what was recorded up to this moment, in the columns declared by then: later imports, back-dated ones
            too, change nothing that is computed from these views.
        events_from_us
            Only events that happened at this moment or later, in microseconds UTC; earlier months are not read.

        Raises
        ------
        DataError
            If the manifest is too old to say what was in force at that moment.
        InfrastructureError
            If a part in force is gone.
        """
        con = duckdb.connect(config=limited(threads=threads))
        con.execute("SET TimeZone = 'UTC'")
        self.add_views(con, known_by=known_by, events_from_us=events_from_us)
        return con

    def add_views(
        self,
        con: duckdb.DuckDBPyConnection,
        *,
        prefix: str = "",
        manifest: Manifest | None = None,
        known_by: datetime | None = None,
        events_from_us: int | None = None,
    ) -> None:
        """Put one view for each canonical table into a connection."""
        manifest = manifest or self.manifest(known_by=known_by)
        if events_from_us is not None:
            parts = tuple(p for p in manifest.parts if p.table != "events" or p.meets(events_from_us, None))
            manifest = manifest.model_copy(update={"parts": parts})
        for table in TABLES.values():
            query = self._select(table, manifest, known_by)
            if events_from_us is not None and table.name == "events":
                query = f"SELECT * FROM ({query}) WHERE occurred_at >= make_timestamptz({events_from_us})"
            con.execute(f"CREATE OR REPLACE VIEW {prefix}{table.name} AS {query}")

    def _select(self, table: Table, manifest: Manifest, known_by: datetime | None) -> str:
        """Return the SQL of a table: typed columns without rows, and below them the parts in force."""
        types = column_types(table, manifest.custom)
        empty = "SELECT " + ", ".join(f"NULL::{kind} AS {name}" for name, kind in types.items()) + " WHERE false"
        paths = [self.path / part for part in manifest.paths(table.name)]
        gone = [path.name for path in paths if not path.is_file()]
        if gone:
            raise InfrastructureError(
                f"{len(gone)} part(s) of {table.name} are gone, {gone[0]} first", hint="restore them from a backup"
            )
        if not paths:
            return empty
        listed = ", ".join(quote(str(path)) for path in paths)
        read = f"SELECT * FROM read_parquet([{listed}], union_by_name=true, hive_partitioning=false)"
        if known_by and _holds_younger(manifest, table.name, to_us(known_by)):
            read += f" WHERE epoch_us(recorded_at) <= {to_us(known_by)}"
        return f"{empty} UNION ALL BY NAME {read}"

    def counts(self) -> dict[str, int]:
        """Return the rows in force of each table."""
        parts = self.manifest().parts
        return {name: sum(part.rows for part in parts if part.table == name) for name in TABLES}

    def digest(self, tables: Iterable[str] | None = None, until: datetime | None = None) -> str:
        """Return a SHA-256 of the content: what the rows say, however and whenever they were imported.

        Each row is written out as the length-prefixed text of its filled columns without `recorded_at`; the 128-bit
        hashes of the rows are added up, so neither the order nor the parts matter. A column that a later mapping adds
        changes nothing in rows that do not have it. Contacts are never part of it.

        Parameters
        ----------
        tables
            Which tables; all but contacts by default.
        until
            Only rows with `recorded_at` up to this moment.
        """
        names = sorted(set(tables if tables is not None else TABLES) - {"contacts"})
        manifest = self.manifest()
        total = hashlib.sha256()
        with self.connect() as con:
            for name in names:
                types = column_types(TABLES[name], manifest.custom)
                where = f" WHERE epoch_us(recorded_at) <= {to_us(until)}" if until else ""
                query = (
                    "SELECT count(*), sum(md5_number_lower(line)), sum(md5_number_upper(line)) "
                    f"FROM (SELECT {_line_sql(types)} AS line FROM {name}{where})"
                )
                total.update(f"{name}:{con.execute(query).fetchall()[0]};".encode())
        return total.hexdigest()

    def verify(self) -> None:
        """Hold every part in force against its SHA-256.

        Raises
        ------
        DataError
            If a part was changed after it was written.
        InfrastructureError
            If a part is gone.
        """
        for part in self.manifest().parts:
            if file_sha256(self.path / part.path) != part.sha256:
                raise DataError(f"{part.path} was changed after its import", hint="restore it from a backup")

    @contextmanager
    def locked(self, *, wait_s: float = 2.0) -> Iterator[None]:
        """Hold the warehouse for writing; remove what a crashed import left behind.

        Raises
        ------
        InfrastructureError
            If another import holds it longer than `wait_s` seconds, or the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = (self.path / ".lock").open("w")
        except OSError as error:
            raise InfrastructureError(
                f"the warehouse {self.path} cannot be written: {error.strerror}", hint="check the disk and its rights"
            ) from None
        with handle:
            self._take(handle.fileno(), wait_s)
            self._remove_orphans()
            try:
                yield
            except Exception:
                # What failed gives its space back at once; the manifest that is in force says what stays.
                with suppress(OSError, ClewError):
                    self._remove_orphans()
                raise

    def _take(self, handle: int, wait_s: float) -> None:
        for attempt in range(int(wait_s / _LOCK_PAUSE) + 1):
            if attempt:
                time.sleep(_LOCK_PAUSE)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return
        raise InfrastructureError(f"another import holds {self.path}", hint="wait until it has ended and try again")

    def _remove_orphans(self) -> None:
        """Delete parts that no manifest names, and scratch folders: only a crashed import leaves them."""
        in_force = {part.path for part in self.manifest().parts}
        for table in TABLES:
            for file in (self.path / table).glob("*"):
                if f"{table}/{file.name}" not in in_force:
                    file.unlink()
        (self.path / NEW_MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)

    @property
    def scratch(self) -> Path:
        """Where an import works; it is deleted when the import ends."""
        return self.path / ".scratch"

    def commit(self, manifest: Manifest) -> None:
        """Put a new manifest in force; only the holder of the lock may."""
        write_manifest(self.path, manifest.remembering(self.manifest()))


def limited(*, threads: int) -> dict[str, str | bool | int | float | list[str]]:
    """Return DuckDB's configuration for queries: beyond the memory it works on disk, beside other temporary files.

    By itself DuckDB would take four fifths of the machine and spill into the folder that the command was typed in.
    """
    spill = Path(tempfile.gettempdir()) / f"clew-{os.getpid()}"
    return {"threads": threads, "memory_limit": QUERY_MEMORY, "temp_directory": str(spill)}


def _holds_younger(manifest: Manifest, table: str, moment_us: int) -> bool:
    """Tell whether some part of a table may hold rows that were recorded after a moment."""
    newest = [part.recorded_us()[1] for part in manifest.parts if part.table == table]
    return any(us is None or us > moment_us for us in newest)


def _line_sql(types: Mapping[str, str]) -> str:
    """Return the SQL that writes a row as unambiguous text; doubles as their shortest exact form."""
    pieces = []
    for name, kind in sorted(types.items()):
        if name == "recorded_at":
            continue
        text = f"CAST(epoch_us({name}) AS VARCHAR)" if kind.startswith("TIMESTAMP") else f"CAST({name} AS VARCHAR)"
        pieces.append(f"coalesce('{name}=' || length({text}) || ':' || {text} || ';', '')")
    return " || ".join(pieces)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        raise InfrastructureError(f"{path.name} is gone or cannot be read", hint="restore it from a backup") from None
