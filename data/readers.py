"""How the files of an export are staged: every cell as text, rows in file order, nothing lost.

CSV goes through DuckDB's reader, which keeps the rows it cannot read, into Parquet files of the scratch folder; Parquet
is read where it lies; Excel goes through openpyxl. Columns are renamed by position, so that a header may hold anything.
"""
# ruff: noqa: S608 - what is put into the SQL here is checked names, quoted paths and positions, never a cell

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import TYPE_CHECKING, cast

import duckdb

from data.errors import DataError
from data.preflight import MAX_LINE, header_of, lines_at, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from data.mapping import FileSpec

__all__ = ["SCRATCH_FORMAT", "Part", "Staged", "quote", "refuse_damaged_parquet", "stage_file"]

# For files that are read once or twice: half the size of lz4 at the same price, and no index that nobody asks.
SCRATCH_FORMAT = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, WRITE_BLOOM_FILTER false"
_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".xlsx")
_REASONS = {
    "MISSING COLUMNS": "too_few_fields",
    "TOO MANY COLUMNS": "too_many_fields",
    "UNQUOTED VALUE": "stray_quote",
    "LINE SIZE OVER MAXIMUM": "too_long",
    "INVALID ENCODING": "bad_encoding",
}


def quote(text: str) -> str:
    """Return a text as an SQL literal.

    Examples
    --------
    >>> quote("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Part:
    """One file behind a name of the mapping: its rows start at `first_row` of the staged table.

    `header_lines` is None where lines have no meaning (Parquet), then rows are counted instead.
    """

    file: str
    first_row: int
    rows: int
    lines: int
    text: bool
    sha256: str


@dataclass(frozen=True)
class Staged:
    """A staged file: view `s_<name>` holds columns c0, c1 ... in the order of `columns`, `rowid` is the file order.

    The rows that could not be read stand in table `bad_<name>` (file, line, before, reason, raw).
    """

    name: str
    columns: tuple[str, ...]
    rows: int
    malformed: dict[str, int] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()

    @property
    def table(self) -> str:
        """The name of the staged view."""
        return f"s_{self.name}"

    def cell(self, column: str) -> str:
        """Return the staged column of a source column."""
        return f"c{self.columns.index(column)}"

    @property
    def bad_rows(self) -> int:
        """How many rows could not be read."""
        return sum(self.malformed.values())


def stage_file(
    con: duckdb.DuckDBPyConnection,
    name: str,
    spec: FileSpec,
    *,
    folder: Path,
    scratch: Path,
    wanted: tuple[str, ...],
    tell: Callable[[float], None] | None = None,
) -> Staged:
    """Read the file, or the files of a glob, into `s_<name>`; `tell` is called with the share done, 0 to 1.

    Raises
    ------
    DataError
        If there is no such file, it is empty or damaged as a whole, or a wanted column is missing: the error shows
        which, with the nearest names present.
    """
    paths = _paths(folder, spec.path)
    con.execute(f"CREATE TABLE bad_{name} (file VARCHAR, line BIGINT, before BIGINT, reason VARCHAR, raw VARCHAR)")
    columns: tuple[str, ...] = ()
    parts: list[Part] = []
    selects: list[str] = []
    for number, path in enumerate(paths):
        _require_suffix(path)

        def said(done: float, number: int = number) -> None:
            if tell:
                tell((number + done) / len(paths))

        place = _Place(scratch, wanted, columns, sum(part.rows for part in parts), number, said)
        columns, part, select = _stage_one(con, name, path, spec, place)
        parts.append(part)
        selects.append(select)
    con.execute(f"CREATE VIEW s_{name} AS {' UNION ALL '.join(selects)}")
    counted = con.execute(f"SELECT reason, count(*) FROM bad_{name} GROUP BY 1 ORDER BY 1").fetchall()
    return Staged(name, columns, sum(part.rows for part in parts), dict(counted), tuple(parts))


@dataclass(frozen=True)
class _Place:
    """What one file of several needs to know of the others."""

    scratch: Path
    wanted: tuple[str, ...]
    columns: tuple[str, ...]
    first_row: int
    number: int
    tell: Callable[[float], None]

    def target(self, name: str) -> Path:
        """Return where the rows of this file go."""
        return self.scratch / f"s_{name}_{self.number}.parquet"


def _paths(folder: Path, pattern: str) -> list[Path]:
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not found:
        there = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
        near = difflib.get_close_matches(pattern, there, n=3)
        raise DataError(
            f"there is no {pattern} in {folder.name or folder}",
            hint=f"the nearest is {', '.join(near)}" if near else "give the folder that holds the files of the mapping",
        )
    return found


def _require_suffix(path: Path) -> None:
    if not path.name.lower().endswith(_SUFFIXES):
        raise DataError(f"{path.name} has no suffix that is read", hint=f"one of {', '.join(_SUFFIXES)} is")
    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty", hint="export it again, or take it out of the mapping")


def _stage_one(
    con: duckdb.DuckDBPyConnection, name: str, path: Path, spec: FileSpec, place: _Place
) -> tuple[tuple[str, ...], Part, str]:
    """Return the columns, what the file held, and the query that gives its rows with their `rowid`."""
    lower = path.name.lower()
    if lower.endswith(".parquet"):
        return _stage_parquet(con, name, path, place)
    if lower.endswith(".xlsx"):
        return _stage_excel(con, name, path, spec, place)
    return _stage_text(con, name, path, spec, place)


def _require_columns(path: Path, present: Sequence[str], place: _Place) -> tuple[str, ...]:
    """Return the columns that the staged table has; refuse a file without a wanted one, showing the difference."""
    absent = [column for column in place.wanted if column not in present]
    if absent:
        lines = []
        for column in absent:
            near = difflib.get_close_matches(column, [name for name in present if name], n=2, cutoff=0.5)
            lines.append(f"{column} (nearest: {', '.join(near)})" if near else column)
        named = [name for name in present if name]
        listed = ", ".join(named[:40]) + (", ..." if len(named) > 40 else "")
        raise DataError(
            f"{path.name} lacks {len(absent)} mapped column(s): {'; '.join(lines)}",
            hint=f"correct the mapping or the export; present are {listed}",
        )
    return place.columns or tuple(present)


def _copy(con: duckdb.DuckDBPyConnection, name: str, select: str, place: _Place) -> tuple[int, str]:
    """Write the rows of one file, in their order, and return how many there are and how to read them.

    Packed lightly: a table of the database would pack each column anew, at three times the price of reading the CSV.
    """
    target = place.target(name)
    counted = con.execute(f"COPY ({select}) TO {quote(str(target))} ({SCRATCH_FORMAT})").fetchall()
    return int(counted[0][0]), f"SELECT *, file_row_number + {place.first_row} AS rowid FROM {_parquet(target)}"


def _parquet(path: Path) -> str:
    """Return the SQL of one Parquet file; its folder names nothing, also where it looks like `key=value`."""
    return f"read_parquet({quote(str(path))}, hive_partitioning=false)"


def _aligned(present: Sequence[str], columns: Sequence[str], cells: Sequence[str]) -> str:
    """Return the select list that puts the cells of one file under the columns of the first file."""
    where = {name: cell for name, cell in zip(present, cells, strict=True) if name}
    listed = (where.get(name, "NULL") if name else "NULL" for name in columns)
    return ", ".join(f"CAST({cell} AS VARCHAR) AS c{at}" for at, cell in enumerate(listed)) or "NULL AS c0"


def _stage_text(
    con: duckdb.DuckDBPyConnection, name: str, path: Path, spec: FileSpec, place: _Place
) -> tuple[tuple[str, ...], Part, str]:
    seen = survey(path, encoding=spec.encoding, scratch=place.scratch, tell=lambda done: place.tell(done / 2))
    present, delimiter = header_of(seen.readable, delimiter=spec.delimiter, wanted=place.wanted)
    columns = _require_columns(path, present, place)
    cells = [f"c{at}" for at in range(len(present))]
    read = ", ".join(f"'{cell}': 'VARCHAR'" for cell in cells)
    source = (
        f"read_csv({quote(str(seen.readable))}, auto_detect=false, header=false, skip=1, delim={quote(delimiter)}, "
        f"quote='\"', escape='\"', nullstr='', columns={{{read}}}, store_rejects=true, rejects_limit=0, "
        f"max_line_size={MAX_LINE})"
    )
    select = f"SELECT {_aligned(present, columns, cells)} FROM {source}"
    try:
        rows, staged = _copy(con, name, select, place)
    except (duckdb.InvalidInputException, duckdb.ConversionException):
        raise DataError(
            f"{path.name} cannot be read as a table separated by {delimiter!r}",
            hint="check delimiter and encoding in the mapping, and the quotes in the file",
        ) from None
    _keep_rejects(con, name, path.name, seen.readable, rows=rows)
    return columns, Part(path.name, place.first_row, rows, seen.lines, text=True, sha256=seen.sha256), staged


def _keep_rejects(con: duckdb.DuckDBPyConnection, name: str, file: str, readable: Path, *, rows: int) -> None:
    """Move the rows that DuckDB could not read into `bad_<name>`, with their physical lines."""
    counted = con.execute(
        "SELECT error_type, count(DISTINCT line) FROM reject_errors GROUP BY 1 ORDER BY 2 DESC"
    ).fetchall()
    if counted and not rows:
        why = ", ".join(f"{_REASONS.get(error, 'unreadable')} {count}" for error, count in counted)
        raise DataError(f"no row of {file} could be read: {why}", hint="check delimiter and quotes in the mapping")
    found = con.execute(
        "SELECT line, min(byte_position) - 1, any_value(error_type ORDER BY column_idx), any_value(csv_line) "
        "FROM reject_errors GROUP BY line ORDER BY 2"
    ).fetchall()
    con.execute("DROP TABLE reject_errors")
    con.execute("DROP TABLE reject_scans")
    starts = [at + len(raw) - len(raw.lstrip("\r\n")) for _, at, _, raw in found]
    kept = []
    for number, ((record, _, error, raw), line) in enumerate(
        zip(found, lines_at(readable, starts) if found else [], strict=True)
    ):
        text = raw.strip("\r\n")
        if error == "UNQUOTED VALUE" and "\n" in text:
            raise DataError(
                f"a quote opened in line {line} of {file} is not closed", hint="close it there, or double it"
            )
        before = min(int(record) - 2 - number, rows)  # how many readable rows stand before it
        reason = "malformed:" + _REASONS.get(error, "unreadable")
        kept.append((file, line, before, reason, text))
    if kept:
        listed = ", ".join(f"unnest(?::{kind}[])" for kind in ("VARCHAR", "BIGINT", "BIGINT", "VARCHAR", "VARCHAR"))
        con.execute(f"INSERT INTO bad_{name} SELECT {listed}", [list(column) for column in zip(*kept, strict=True)])


def _stage_parquet(
    con: duckdb.DuckDBPyConnection, name: str, path: Path, place: _Place
) -> tuple[tuple[str, ...], Part, str]:
    try:
        con.execute(f"DESCRIBE SELECT * FROM {_parquet(path)}")
        present = [str(row[0]) for row in con.fetchall()]
        rows = int(con.execute(f"SELECT count(*) FROM {_parquet(path)}").fetchall()[0][0])
    except duckdb.Error:
        raise _no_parquet(path) from None
    columns = _require_columns(path, present, place)
    cells = ['"' + column.replace('"', '""') + '"' for column in present]
    aligned = _aligned(present, columns, cells)
    if any(column.lower() == "file_row_number" for column in present):
        # The column of the file hides the number of the row, so this one is copied.
        rows, select = _copy(con, name, f"SELECT {aligned} FROM {_parquet(path)}", place)
    else:
        select = f"SELECT {aligned}, file_row_number + {place.first_row} AS rowid FROM {_parquet(path)}"
    return columns, Part(path.name, place.first_row, rows, rows, text=False, sha256=_hash(path)), select


def _no_parquet(path: Path) -> DataError:
    return DataError(f"{path.name} is no readable Parquet file", hint="export or copy it again")


def refuse_damaged_parquet(folder: Path, specs: Iterable[FileSpec]) -> None:
    """Read every Parquet file to its end; called when an import failed, to tell a damaged file from a full disk.

    Raises
    ------
    DataError
        If the end or the middle of a file cannot be read.
    """
    for path in (path for spec in specs for path in sorted(folder.glob(spec.path))):
        if not path.name.lower().endswith(".parquet"):
            continue
        with duckdb.connect() as con:
            try:
                con.execute(f"SELECT sum(hash(columns(*)) % 2) FROM {_parquet(path)}").fetchall()
            except duckdb.OutOfMemoryException:
                continue
            except duckdb.Error:
                raise _no_parquet(path) from None


def _stage_excel(
    con: duckdb.DuckDBPyConnection, name: str, path: Path, spec: FileSpec, place: _Place
) -> tuple[tuple[str, ...], Part, str]:
    sheet = _sheet(path, spec.sheet)
    present = [_as_text(cell) or "" for cell in next(sheet, ())]
    twice = sorted({column for column in present if column and present.count(column) > 1})
    if twice:
        raise DataError(f"{path.name} names column {', '.join(twice)} more than once", hint="rename one in the export")
    columns = _require_columns(path, present, place)
    rows = 0
    listed = ", ".join(["unnest(?::VARCHAR[])"] * len(columns))
    table = f"e_{name}_{place.number}"
    con.execute(f"CREATE TABLE {table} ({', '.join(f'c{at} VARCHAR' for at in range(len(columns)))})")
    where = [present.index(column) if column in present else -1 for column in columns]
    for batch in _batches(sheet, 5000):
        filled = [[_as_text(row[at]) if 0 <= at < len(row) else None for at in where] for row in batch]
        con.execute(f"INSERT INTO {table} SELECT {listed}", [list(column) for column in zip(*filled, strict=True)])
        rows += len(batch)
    part = Part(path.name, place.first_row, rows, rows + 1, text=True, sha256=_hash(path))
    return columns, part, f"SELECT *, rowid + {place.first_row} AS rowid FROM {table}"


def _sheet(path: Path, sheet: str | None) -> Iterator[tuple[object, ...]]:
    from zipfile import BadZipFile

    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ModuleNotFoundError:
        raise DataError("reading Excel needs openpyxl", hint="install clew[train], or export as CSV") from None
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError, OSError):
        raise DataError(f"{path.name} is no readable Excel file", hint="save it again as .xlsx or CSV") from None
    if sheet is not None and sheet not in book.sheetnames:
        book.close()
        raise DataError(f"{path.name} has no sheet {sheet!r}", hint=f"it has {', '.join(book.sheetnames)}")
    try:
        chosen = book[sheet] if sheet else book.worksheets[0]
        yield from cast("Iterator[tuple[object, ...]]", chosen.iter_rows(values_only=True))
    finally:
        book.close()


def _batches(rows: Iterator[tuple[object, ...]], size: int) -> Iterator[list[tuple[object, ...]]]:
    batch: list[tuple[object, ...]] = []
    for row in rows:
        if any(cell is not None for cell in row):
            batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _as_text(cell: object) -> str | None:
    """Write an Excel cell as its export would: whole numbers without a point, times in ISO form."""
    if cell is None:
        return None
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
