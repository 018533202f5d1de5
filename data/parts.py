"""How new rows become parts of the warehouse: sorted Parquet files, durable before any manifest names them."""
# ruff: noqa: S608 - only names of the contract, numbers and quoted paths are put into the SQL

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from data.logs import is_log, month_of
from data.manifest import PartRecord, sync_folder
from data.readers import quote
from data.warehouse import column_types, file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import duckdb

    from data.manifest import CustomColumn
    from data.tables import Table

__all__ = ["write_parts"]


def write_parts(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    *,
    root: Path,
    custom: Mapping[str, CustomColumn],
    import_id: str,
    at_us: int,
    tell: Callable[[str, float, float], None],
) -> list[PartRecord]:
    """Write the rows of `n_<table>`, a log one part for each month.

    Parameters
    ----------
    con
        The connection of the import.
    table
        The canonical table.
    root
        The folder of the warehouse.
    custom
        The customer's own columns.
    import_id
        The import that the parts belong to.
    at_us
        The time of import, microseconds UTC.
    tell
        Called before each part with its name in words and the share of the rows that are written before and after it.
    """
    folder = root / table.name
    folder.mkdir(exist_ok=True)
    if any(column.personal for column in table.columns):
        folder.chmod(0o700)
    times = [column.name for column in table.columns if column.kind == "time" and column.name != "recorded_at"]
    bounds = ", ".join(f"min({name}), max({name})" for name in times)
    month = "_month" if is_log(table) else "NULL"
    found = con.execute(f"SELECT {month}, count(*), {bounds} FROM n_{table.name} GROUP BY 1 ORDER BY 1").fetchall()
    total, done, written = sum(row[1] for row in found), 0, []
    for at_month, rows, *ends in found:
        words = table.name if at_month is None else f"{table.name} of {month_of(at_month)}"
        tell(words, done / total, (done + rows) / total)
        prefix = "" if at_month is None else f"{month_of(at_month)}-"
        path = f"{table.name}/{prefix}{import_id}.parquet"
        where = "true" if at_month is None else f"_month = {at_month}"
        sha256 = _write(con, _sorted(table, custom, at_us, where), root / path)
        spans = {name: (ends[2 * at], ends[2 * at + 1]) for at, name in enumerate(times)}
        spans["recorded_at"] = (at_us, at_us)
        written.append(
            PartRecord(path=path, table=table.name, rows=rows, sha256=sha256, import_id=import_id, times=spans)
        )
        done += rows
    sync_folder(folder)
    sync_folder(root)
    return written


def _sorted(table: Table, custom: Mapping[str, CustomColumn], at_us: int, where: str) -> str:
    """Return the query of a part: times as timestamps, logs in the order of time, so that a window reads few pages."""
    columns = [
        f"make_timestamptz({at})" + f" AS {name}" if kind.startswith("TIMESTAMP") else name
        for name, kind in column_types(table, custom).items()
        for at in [str(at_us) if name == "recorded_at" else name]
    ]
    order = ", ".join((["occurred_at"] if is_log(table) else []) + list(table.key))
    return f"SELECT {', '.join(columns)} FROM n_{table.name} WHERE {where} ORDER BY {order}"


def _write(con: duckdb.DuckDBPyConnection, query: str, target: Path) -> str:
    """Write one Parquet file, make it durable and return its SHA-256."""
    con.execute(f"COPY ({query}) TO {quote(str(target))} (FORMAT parquet, COMPRESSION zstd)")
    with target.open("rb") as stream:
        os.fsync(stream.fileno())
    return file_sha256(target)
