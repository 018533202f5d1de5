"""The warehouse: canonical tables as Parquet parts that never change, and one manifest that says which are in force.

A crash leaves only files that no manifest names; the next import removes them under the lock. Readers open the parts
of the manifest they have read and are never disturbed by an import.
"""
# ruff: noqa: S608 - table and column names come from the contract and the checked manifest, paths are quoted

from __future__ import annotations

import fcntl
import hashlib
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import duckdb

from data.clock import to_us
from data.errors import DataError, InfrastructureError
from data.manifest import CustomColumn, Manifest, read_manifest, write_manifest
from data.readers import quote
from data.tables import CUSTOM_PREFIX, TABLES, Kind, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from data.settings import Plan

__all__ = ["SQL_TYPES", "CustomColumn", "Warehouse", "column_types", "file_sha256"]

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

    def manifest(self) -> Manifest:
        """Return what is in force now."""
        return read_manifest(self.path)

    def custom_columns(self) -> Mapping[str, CustomColumn]:
        """Return the customer's own columns of `leads`: name without prefix to kind and when it is known."""
        return MappingProxyType(dict(sorted(self.manifest().custom.items())))

    def withheld_columns(self) -> frozenset[str]:
        """Return the columns of `leads` and `accounts` that some mapping declared `later` or `after_outcome`.

        Customer columns carry their prefix `custom_`.
        """
        manifest = self.manifest()
        custom = {CUSTOM_PREFIX + name for name, column in manifest.custom.items() if column.known != "at_creation"}
        return frozenset(custom.union(*manifest.withheld.values()))

    def plan(self) -> Plan | None:
        """Return the plan of the last mapping that carried one."""
        return self.manifest().plan

    def connect(self, *, threads: int = 1) -> duckdb.DuckDBPyConnection:
        """Return a connection with one view for each canonical table; its session is in UTC.

        Raises
        ------
        InfrastructureError
            If a part in force is gone.
        """
        con = duckdb.connect(config={"threads": threads})
        con.execute("SET TimeZone = 'UTC'")
        self.add_views(con)
        return con

    def add_views(self, con: duckdb.DuckDBPyConnection, *, prefix: str = "", manifest: Manifest | None = None) -> None:
        """Put one view for each canonical table into a connection."""
        manifest = manifest or self.manifest()
        for table in TABLES.values():
            con.execute(f"CREATE OR REPLACE VIEW {prefix}{table.name} AS {self._select(table, manifest)}")

    def _select(self, table: Table, manifest: Manifest) -> str:
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
        return f"{empty} UNION ALL BY NAME SELECT * FROM read_parquet([{listed}], union_by_name=true)"

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
                total.update(f"{name}:{con.execute(query).fetchone()};".encode())
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
            yield

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
        shutil.rmtree(self.scratch, ignore_errors=True)

    @property
    def scratch(self) -> Path:
        """Where an import works; it is deleted when the import ends."""
        return self.path / ".scratch"

    def commit(self, manifest: Manifest) -> None:
        """Put a new manifest in force; only the holder of the lock may."""
        write_manifest(self.path, manifest)


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
