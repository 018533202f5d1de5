"""Where rows go that cannot be kept: one CSV for each table of an import, with file, line, reason and the raw row.

The files hold personal data as they came, so only their owner may read them; messages and reports only count.
"""
# ruff: noqa: S608 - names of the contract and positions are put into the SQL, column names of the export as literals

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from data.manifest import sync_folder
from data.readers import quote

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from data.readers import Part, Staged

__all__ = ["drop_quarantine", "mark_quarantined", "place_quarantine", "write_malformed", "write_quarantine"]


def mark_quarantined(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Create `q_<table>` with the row and the reason of every readable row that is not kept."""
    con.execute(
        f"CREATE TABLE q_{table} AS SELECT _row, _reason FROM t_{table} WHERE NOT _filtered AND _reason IS NOT NULL "
        f"UNION ALL SELECT _row, 'conflict' FROM v_{table} WHERE _status = 'conflict'"
    )


def write_quarantine(con: duckdb.DuckDBPyConnection, folder: Path, table: str, staged: Staged) -> None:
    """Write `<folder>/<table>.csv`: the rows marked in `q_<table>` and the unreadable rows of its file."""
    raw = "json_object(" + ", ".join(f"{quote(name)}, s.c{at}" for at, name in enumerate(staged.columns)) + ")"
    pieces = [
        f"SELECT {quote(part.file)} AS file, {_line_sql(con, staged, part)} AS line, q._reason AS reason, "
        f"CAST({raw} AS VARCHAR) AS row FROM q_{table} q JOIN {staged.table} s ON s.rowid = q._row "
        f"WHERE q._row >= {part.first_row} AND q._row < {part.first_row + part.rows}"
        for part in staged.parts
    ]
    pieces.append(f"SELECT file, line, reason, raw AS row FROM bad_{staged.name}")
    _copy_private(con, folder, table, " UNION ALL ".join(pieces))


def write_malformed(con: duckdb.DuckDBPyConnection, folder: Path, staged: Staged) -> None:
    """Write the unreadable rows of a file that is only joined, as `<folder>/file-<name>.csv`."""
    select = f"SELECT file, line, reason, raw AS row FROM bad_{staged.name}"
    _copy_private(con, folder, f"file-{staged.name}", select)


def _copy_private(con: duckdb.DuckDBPyConnection, folder: Path, name: str, select: str) -> None:
    """Write the rows of a query as CSV that only its owner may read; DuckDB gives the file a new inode, so after it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    target = folder / f"{name}.csv"
    con.execute(f"COPY ({select} ORDER BY file, line) TO {quote(str(target))} (FORMAT csv, HEADER)")
    target.chmod(0o600)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())


def place_quarantine(beside: Path, folder: Path) -> None:
    """Move a quarantine that is complete to its place, so that what is in force never lacks its quarantine."""
    if beside.is_dir():
        folder.parent.mkdir(exist_ok=True)
        folder.parent.chmod(0o700)
        beside.rename(folder)
        sync_folder(folder.parent)


def _line_sql(con: duckdb.DuckDBPyConnection, staged: Staged, part: Part) -> str:
    """Return the physical line of row `q._row`: header, rows and unreadable lines before it, line breaks in cells.

    In a Parquet file, and in Excel, rows are counted.
    """
    position = f"(q._row - {part.first_row})"
    if not part.text:
        return f"{position} + 1"
    header = 1 + sum(name.count("\n") for name in staged.columns)
    bad = (
        "coalesce((SELECT sum(1 + length(b.raw) - length(replace(b.raw, chr(10), ''))) "
        f"FROM bad_{staged.name} b WHERE b.file = {quote(part.file)} AND b.before <= {position}), 0)"
    )
    line = f"{header} + {position} + 1 + {bad}"
    if part.lines > header + part.rows + staged.bad_rows:
        _count_breaks(con, staged)
        line += (
            f" + (SELECT n.before FROM breaks_{staged.name} n WHERE n._row = q._row)"
            f" - (SELECT n.before FROM breaks_{staged.name} n WHERE n._row = {part.first_row})"
        )
    return f"CAST({line} AS BIGINT)"


def _count_breaks(con: duckdb.DuckDBPyConnection, staged: Staged) -> None:
    """Create `breaks_<name>`: how many line breaks stand inside the cells of all earlier rows."""
    cells = [f"coalesce(c{at}, '')" for at in range(len(staged.columns))]
    inside = " + ".join(f"length({cell}) - length(replace({cell}, chr(10), ''))" for cell in cells)
    con.execute(
        f"CREATE TABLE IF NOT EXISTS breaks_{staged.name} AS SELECT _row, sum(n) OVER (ORDER BY _row) - n AS before "
        f"FROM (SELECT rowid AS _row, {inside} AS n FROM {staged.table})"
    )


def drop_quarantine(root: Path, *, source: str, keep: str) -> None:
    """Remove what earlier imports of the same files left, so that a nightly import does not pile up copies."""
    for folder in root.glob(f"*-{source}*"):
        if folder.name != keep:
            shutil.rmtree(folder, ignore_errors=True)
