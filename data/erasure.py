"""Taking rows or values out of the warehouse for good, which otherwise only grows: parts are written anew, whole.

A reader that opened a part keeps reading it; whoever reads later finds the new ones. Parts of before are deleted.
"""
# ruff: noqa: S608 - only names of the contract, checked columns and quoted paths are put into the SQL

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from data.manifest import sync_folder
from data.readers import quote
from data.tables import CUSTOM_PREFIX
from data.warehouse import file_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from data.manifest import PartRecord
    from data.warehouse import Warehouse

__all__ = ["Edit", "rewrite"]


@dataclass(frozen=True)
class Edit:
    """What is done to the rows of a table that meet a condition in SQL: deleted, or some of their columns blanked.

    With `own` the customer's own columns are blanked too.
    """

    condition: str
    blank: tuple[str, ...] = ()
    own: bool = False


def rewrite(warehouse: Warehouse, con: duckdb.DuckDBPyConnection, edits: Mapping[str, Edit]) -> dict[str, int]:
    """Apply an edit to each table, all or none, and return how many rows it met.

    Parameters
    ----------
    warehouse
        The warehouse; the caller holds its lock.
    con
        A connection that has what the conditions speak of.
    edits
        By table.

    Raises
    ------
    InfrastructureError
        If a part is gone or the disk fails; the warehouse is as it was then.
    """
    before = warehouse.manifest()
    parts: list[PartRecord] = []
    met = dict.fromkeys(edits, 0)
    for part in before.parts:
        edit = edits.get(part.table)
        rows = 0 if edit is None else _count(con, warehouse, part, edit)
        if edit is None or not rows:
            parts.append(part)
            continue
        met[part.table] += rows
        if edit.blank or rows < part.rows:
            parts.append(_write(con, warehouse, part, edit, rows))
    if parts != list(before.parts):
        for table in edits:
            if (warehouse.path / table).is_dir():
                sync_folder(warehouse.path / table)
        warehouse.commit(before.model_copy(update={"parts": tuple(parts)}))
        for path in {part.path for part in before.parts} - {part.path for part in parts}:
            (warehouse.path / path).unlink(missing_ok=True)
    return met


def _read(warehouse: Warehouse, part: PartRecord) -> str:
    return f"read_parquet({quote(str(warehouse.path / part.path))}, hive_partitioning=false)"


def _count(con: duckdb.DuckDBPyConnection, warehouse: Warehouse, part: PartRecord, edit: Edit) -> int:
    found = con.execute(f"SELECT count(*) FROM {_read(warehouse, part)} WHERE {edit.condition}").fetchall()
    return int(found[0][0])


def _write(con: duckdb.DuckDBPyConnection, warehouse: Warehouse, part: PartRecord, edit: Edit, rows: int) -> PartRecord:
    source = _read(warehouse, part)
    columns = [str(row[0]) for row in con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
    blanked = [c for c in columns if c in edit.blank or (edit.own and c.startswith(CUSTOM_PREFIX))]
    if edit.blank:
        cases = ", ".join(f"CASE WHEN {edit.condition} THEN NULL ELSE {c} END AS {c}" for c in blanked)
        query = f"SELECT * REPLACE ({cases}) FROM {source}"
    else:
        query = f"SELECT * FROM {source} WHERE NOT coalesce({edit.condition}, false)"
    stem = PurePosixPath(part.path).stem.partition(".")[0]
    path = f"{part.table}/{stem}.{secrets.token_hex(4)}.parquet"
    target = warehouse.path / path
    con.execute(f"COPY ({query}) TO {quote(str(target))} (FORMAT parquet, COMPRESSION zstd)")
    with target.open("rb") as stream:
        os.fsync(stream.fileno())
    left = part.rows if edit.blank else part.rows - rows
    return part.model_copy(update={"path": path, "sha256": file_sha256(target), "rows": left})
