"""From staged text to typed rows of one canonical table, all in SQL: `t_<table>` with a reason where a row is no row.

A row is `_filtered` where the mapping leaves it out, carries a `_reason` where it has to be quarantined, and is sound
otherwise. Times are whole microseconds UTC here; they become timestamps when they are written.
"""
# ruff: noqa: S608 - what is put into the SQL here is checked names and quoted literals of the mapping, never a cell

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from data.errors import DataError
from data.expressions import MONTHS, Resolver, Typed, condition_sql, text_sql, time_sql, typed_sql
from data.history import FUTURE_TOLERANCE_US, told_by_export
from data.logs import is_log, store_log
from data.mapping import duration_us
from data.readers import quote
from data.tables import CUSTOM_PREFIX, Kind, Table

if TYPE_CHECKING:
    from collections.abc import Mapping as AbstractMapping
    from pathlib import Path

    import duckdb

    from data.mapping import ColumnSpec, Join, TableSpec
    from data.readers import Staged

__all__ = ["FUTURE_TOLERANCE_US", "Frame", "storage_types", "transform"]

_STORAGE = {"number": "DOUBLE", "numeric": "DOUBLE", "integer": "BIGINT", "time": "BIGINT"}


@dataclass(frozen=True)
class Frame:
    """What the rows of one import share."""

    staged: AbstractMapping[str, Staged]
    zone: str | None
    import_us: int


def storage_types(table: Table, custom: AbstractMapping[str, str]) -> dict[str, str]:
    """Return the SQL type of each column while an import works, without `recorded_at`; times are BIGINT microseconds.

    Parameters
    ----------
    table
        The canonical table.
    custom
        The customer's columns of the warehouse: name without prefix to `numeric`, `categorical` or `text`.
    """
    types = {c.name: _STORAGE.get(c.kind, "VARCHAR") for c in table.columns if c.name != "recorded_at"}
    if table.name == "leads":
        types |= {CUSTOM_PREFIX + name: _STORAGE.get(kind, "VARCHAR") for name, kind in sorted(custom.items())}
    return types


def transform(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    spec: TableSpec,
    frame: Frame,
    types: AbstractMapping[str, str],
    *,
    scratch: Path,
) -> None:
    """Create `t_<table>` from the staged files: a log as files by month in the scratch folder, another as a table.

    Raises
    ------
    DataError
        If a join finds more than one match, or the dates cannot be rebuilt from the order of rows.
    """
    _refuse_shifted_rows(spec, frame)
    cells = _source_view(con, table, spec, frame)
    resolver = Resolver(cells, "_row")
    texts, reads, typed = _columns(con, table, spec, frame, resolver)
    conditions = [condition_sql(condition, resolver, frame.zone) for condition in spec.where]
    kept = " AND ".join(condition.value for condition in conditions) or "true"
    texts += [f"{condition.reason} AS w{at}" for at, condition in enumerate(conditions)]
    blank = {column.name for column in table.columns if column.blank}
    cast = {name: f"CAST({typed[name].value if name in typed else 'NULL'} AS {kind})" for name, kind in types.items()}
    values = [f"coalesce({cast[name]}, '') AS {name}" if name in blank else f"{cast[name]} AS {name}" for name in types]
    reasons = [f"w{at}" for at in range(len(conditions))] + [t.reason for t in typed.values() if t.reason != "NULL"]
    first = f"coalesce({', '.join(reasons)}, NULL)" if reasons else "NULL::VARCHAR"
    select = (
        f"WITH texts AS (SELECT _row, NOT ({kept}) AS _filtered, {', '.join(texts)} FROM x_{table.name}), "
        # A step of its own, or each time and number would be read again wherever it is spoken of.
        f"read AS (SELECT {', '.join(['*', *reads])} FROM texts), "
        f"typed AS (SELECT _row, _filtered, {', '.join(values)}, {first} AS _unread FROM read) "
        f"SELECT * EXCLUDE (_unread, known_at), {_raised(table)} AS known_at, "
        f"coalesce(_unread, {_contract_reason(table, frame.import_us)}) AS _reason FROM typed"
    )
    if is_log(table):
        store_log(con, table, select, types=types, scratch=scratch)
    else:
        con.execute(f"CREATE TABLE t_{table.name} AS {select}")


def _refuse_shifted_rows(spec: TableSpec, frame: Frame) -> None:
    """Refuse to count rows in a file with unreadable ones: every later row would get another number or date."""
    counted = [c for c in (*spec.columns.values(), *spec.custom.values()) if c.row_number or c.rebuilt_from_month]
    if counted and frame.staged[spec.from_].bad_rows:
        raise DataError(
            f"{frame.staged[spec.from_].bad_rows} row(s) of {spec.from_} cannot be read, and the mapping counts rows",
            hint="mend these rows first, or every later row would be counted differently",
        )


def _source_view(con: duckdb.DuckDBPyConnection, table: Table, spec: TableSpec, frame: Frame) -> dict[str, str]:
    """Create `x_<table>`, the file with its joins under names of its own; return source column to name."""
    cells: dict[str, str] = {}
    selected, aliases = ["b.rowid AS _row"], {spec.from_: "b"}
    joins = [f"{frame.staged[spec.from_].table} b"]
    for number, join in enumerate(spec.join):
        _refuse_many_matches(con, spec, join, frame)
        aliases[join.file] = f"j{number}"
        joins.append(_join_sql(spec, join, frame, aliases))
    for number, (file, column) in enumerate(spec.needs()):
        name = column if file == spec.from_ else f"{file}.{column}"
        cells[name] = f"x{number}"
        selected.append(f"{aliases[file]}.{frame.staged[file].cell(column)} AS x{number}")
    con.execute(f"CREATE VIEW x_{table.name} AS SELECT {', '.join(selected)} FROM {' '.join(joins)}")
    return cells


def _key(alias: str, staged: Staged, column: str) -> str:
    return f"nullif(trim({alias}.{staged.cell(column)}), '')"


def _join_sql(spec: TableSpec, join: Join, frame: Frame, aliases: dict[str, str]) -> str:
    right, alias = frame.staged[join.file], aliases[join.file]
    source = right.table
    if join.pick == "first":
        keys = ", ".join(_key("r", right, column) for column in join.on.values())
        source = (
            f"(SELECT r.* FROM {right.table} r QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY r.rowid) = 1)"
        )
    tests = []
    for left, column in join.on.items():
        file, name = spec.split(left)
        tests.append(f"{_key(aliases[file], frame.staged[file], name)} = {_key(alias, right, column)}")
    return f"LEFT JOIN {source} {alias} ON {' AND '.join(tests)}"


def _refuse_many_matches(con: duckdb.DuckDBPyConnection, spec: TableSpec, join: Join, frame: Frame) -> None:
    """Refuse a join that would double rows; only keys that the left side asks for count."""
    if join.pick == "first":
        return
    right = frame.staged[join.file]
    keys = [_key("r", right, column) for column in join.on.values()]
    names = [f"k{at}" for at in range(len(keys))]
    many = (
        f"SELECT {', '.join(f'{key} AS {name}' for key, name in zip(keys, names, strict=True))} FROM {right.table} r "
        f"WHERE {' AND '.join(f'{key} IS NOT NULL' for key in keys)} GROUP BY ALL HAVING count(*) > 1"
    )
    lefts = [spec.split(left) for left in join.on]
    if all(file == spec.from_ for file, _ in lefts):
        asked = [_key("l", frame.staged[spec.from_], column) for _, column in lefts]
        tests = " AND ".join(f"{key} = {name}" for key, name in zip(asked, names, strict=True))
        many = f"SELECT m.* FROM ({many}) m SEMI JOIN {frame.staged[spec.from_].table} l ON {tests}"
    ((found,),) = con.execute(f"SELECT count(*) FROM ({many})").fetchall()
    if found:
        raise DataError(
            f"{found} value(s) of {', '.join(join.on.values())} stand more than once in {join.file}, "
            "and a join needs one match",
            hint="say pick: first under join, or make the key unique in the export",
        )


def _columns(
    con: duckdb.DuckDBPyConnection, table: Table, spec: TableSpec, frame: Frame, resolver: Resolver
) -> tuple[list[str], list[str], dict[str, Typed]]:
    """Return the text columns to select, what is read from them, and over both the typed value of each column."""
    texts: list[str] = []
    typed: dict[str, Typed] = {}
    mapped: list[tuple[str, ColumnSpec, Kind | Literal["numeric"]]] = [
        (column.name, spec.columns[column.name], column.kind) for column in table.columns if column.name in spec.columns
    ]
    for name, custom in spec.custom.items():
        if custom.kind != "ignored":
            mapped.append((CUSTOM_PREFIX + name, custom, "numeric" if custom.kind == "numeric" else "text"))
    for name, column, kind in mapped:
        text = f"r_{name}"
        if column.rebuilt_from_month:
            texts.append(f"{_rebuilt(con, table, column, frame, resolver)} AS {text}")
            shift = duration_us(column.plus) if column.plus else 0
            typed[name] = Typed(f"{text} + {shift}", f"CASE WHEN {text} IS NULL THEN 'bad_month:{name}' END")
            continue
        if not column.sources() and column.exported_at:
            typed[name] = Typed("CAST(NULL AS BIGINT)")
            continue
        texts.append(f"{text_sql(column, resolver)} AS {text}")
        typed[name] = time_sql(name, text, column, frame.zone) if kind == "time" else typed_sql(name, text, kind)
    typed["known_at"] = _known_at(spec, frame, typed, texts, resolver)
    reads = [f"{one.read} AS u_{name}" for name, one in typed.items() if one.read]
    typed |= told_by_export(spec, typed, frame.import_us)
    return texts, reads, typed


def _known_at(spec: TableSpec, frame: Frame, typed: dict[str, Typed], texts: list[str], resolver: Resolver) -> Typed:
    known = spec.known_at
    if known.at_import:
        return Typed(str(frame.import_us))
    if known.after is not None:
        return Typed(f"({typed[known.after].value}) + {duration_us(known.lag)}")
    texts.append(f"{resolver.cell(known.column or '')} AS r_known_at")
    return time_sql("known_at", "r_known_at", known, frame.zone)


def _rebuilt(con: duckdb.DuckDBPyConnection, table: Table, column: ColumnSpec, frame: Frame, resolver: Resolver) -> str:
    """Create `m_<table>`, the moment of each row from the order of rows and their month, and return how to look it up.

    The year goes up where the month goes back. The k-th of the n rows of a month stands k/n into it.
    """
    zone, start = quote(frame.zone or "UTC"), column.start or ""
    month = resolver.cell(column.rebuilt_from_month or "")
    number = f"list_position({MONTHS!r}, lower(left({month}, 3)))"
    year = f"CAST({int(start[:4])} + years AS BIGINT)"
    first = f"epoch_us(timezone({zone}, make_timestamp({year}, m, 1, 0, 0, 0)))"
    after = f"epoch_us(timezone({zone}, make_timestamp({year} + m // 12, m % 12 + 1, 1, 0, 0, 0)))"
    con.execute(
        f"CREATE TABLE m_{table.name} AS WITH months AS (SELECT _row, {number} AS m FROM x_{table.name}), "
        "steps AS (SELECT _row, m, m < lag(m) OVER (ORDER BY _row) AS back FROM months WHERE m IS NOT NULL), "
        "dated AS (SELECT _row, m, sum(CASE WHEN back THEN 1 ELSE 0 END) OVER (ORDER BY _row) AS years FROM steps), "
        "placed AS (SELECT *, row_number() OVER (PARTITION BY years, m ORDER BY _row) - 1 AS k, "
        "count(*) OVER (PARTITION BY years, m) AS n FROM dated) "
        f"SELECT _row, CAST({first} + (({after}) - ({first})) * k::HUGEINT // n AS BIGINT) AS us FROM placed"
    )
    first_month = f"SELECT {number} FROM x_{table.name} WHERE {number} IS NOT NULL ORDER BY _row LIMIT 1"
    if con.execute(first_month).fetchall() != [(int(start[5:]),)]:
        raise DataError(
            f"the first row of {table.name} is not of the month {start} that rebuilt_from_month starts with",
            hint="correct start in the mapping",
        )
    return f"(SELECT us FROM m_{table.name} m WHERE m._row = x_{table.name}._row)"


def _raised(table: Table) -> str:
    """Return known_at, which cannot be before the fact itself: a system that says so is corrected."""
    return f"greatest(known_at, {table.happened})" if table.happened else "known_at"


def _contract_reason(table: Table, import_us: int) -> str:
    """Return the SQL of the first way in which a row breaks the contract."""
    needed = [column.name for column in table.columns if column.required and column.name != "recorded_at"]
    arms = [f"WHEN {name} IS NULL THEN 'missing:{name}'" for name in needed]
    if table.name == "outcomes":
        arms.append("WHEN outcome NOT IN ('won', 'lost', 'open') THEN 'not_won_or_lost:outcome'")
    latest = import_us + FUTURE_TOLERANCE_US
    arms += [
        f"WHEN {column.name} > {latest} THEN 'future:{column.name}'"
        for column in table.columns
        if column.kind == "time" and column.name != "recorded_at"
    ]
    return f"CASE {' '.join(arms)} END"
