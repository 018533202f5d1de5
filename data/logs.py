"""How the rows of an event log are compared at any size: by narrow keys first, as whole rows only where keys meet.

A log has one row a fact, and many millions of them. `t_<table>` is a folder of Parquet files by month, `c_<table>` a
view of its sound rows, `v_<table>` holds the rows that are not new (`duplicate` or `conflict`), `n_<table>` is a view
of the others. Hashes only say where to look; every verdict compares the key and the columns themselves.
"""
# ruff: noqa: S608 - only names of the contract, numbers and quoted paths are put into the SQL

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from data.clock import DAY_US, to_us
from data.readers import SCRATCH_FORMAT, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import duckdb

    from data.resolve import Case
    from data.tables import Table

    # Creates a view with (at least) all rows in force between two moments, without bounds all, and returns its name.
    Past = Callable[[int | None, int | None], str]

__all__ = ["count_log", "is_log", "month_of", "month_span", "resolve_log", "store_log"]

_ELSEWHERE = -1  # the month of rows that are not sound
_SOUND = "NOT _filtered AND _reason IS NULL"
_KEYS_AT_ONCE = 1_000_000  # repeated keys of which the whole rows are compared in one go
# Rows that wait for their month in memory, a thread and a month; the default of DuckDB takes gigabytes at 12 months.
_WAITING_ROWS = 65_536


def is_log(table: Table) -> bool:
    """Say whether a table is kept by month and compared as a log."""
    return table.name == "events"


def month_of(month: int) -> str:
    """Return the name of a month that is counted from the year 0.

    Examples
    --------
    >>> month_of(2026 * 12 + 10)
    '2026-11'
    """
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def month_span(month: int) -> tuple[int, int]:
    """Return the first and the last microsecond UTC of a month.

    Examples
    --------
    >>> low, high = month_span(1970 * 12)
    >>> low, high == 31 * DAY_US - 1
    (0, True)
    """
    first = to_us(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC))
    return first, first + monthrange(month // 12, month % 12 + 1)[1] * DAY_US - 1


def _month_sql(column: str) -> str:
    moment = f"make_timestamp({column})"
    return f"CAST(date_part('year', {moment}) * 12 + date_part('month', {moment}) - 1 AS INTEGER)"


def store_log(
    con: duckdb.DuckDBPyConnection, table: Table, select: str, *, types: Iterable[str], scratch: Path
) -> None:
    """Write the typed rows that a query gives by month, and create `t_<table>` over them.

    Parameters
    ----------
    con
        The connection of the import.
    table
        The canonical table.
    select
        A query with `_row`, `_filtered`, `_reason` and the columns `types`.
    types
        The canonical columns.
    scratch
        The folder of the import.
    """
    folder = scratch / f"t_{table.name}"
    month = f"CASE WHEN {_SOUND} THEN {_month_sql('occurred_at')} ELSE {_ELSEWHERE} END AS _month"
    con.execute(f"SET partitioned_write_flush_threshold = {_WAITING_ROWS}")
    con.execute(
        f"COPY (SELECT *, {month} FROM ({select})) TO {quote(str(folder))} ({SCRATCH_FORMAT}, PARTITION_BY (_month))"
    )
    listed = ", ".join(("_row", "_month", "_filtered", "_reason", *types))
    files = quote(str(folder / "*" / "*.parquet"))
    con.execute(
        f"CREATE VIEW t_{table.name} AS SELECT {listed} "
        f"FROM read_parquet({files}, hive_partitioning=true, hive_types={{'_month': 'INTEGER'}})"
    )


def resolve_log(con: duckdb.DuckDBPyConnection, case: Case, past: Past) -> None:
    """Create `c_<table>`, `v_<table>`, `n_<table>`; the earlier row wins, in the warehouse and then in file order."""
    name = case.name
    con.execute(f"CREATE VIEW c_{name} AS SELECT _row, _month, {', '.join(case.types)} FROM t_{name} WHERE _month >= 0")
    con.execute(f"CREATE TABLE v_{name} (_row BIGINT, _month INTEGER, _status VARCHAR)")
    if case.past:
        _against_the_warehouse(con, case, past)
    _against_each_other(con, case)
    con.execute(f"CREATE VIEW n_{name} AS SELECT * FROM c_{name} ANTI JOIN v_{name} USING (_row, _month)")


def _all_equal(left: str, right: str, columns: Iterable[str]) -> str:
    return " AND ".join(f"{left}.{column} IS NOT DISTINCT FROM {right}.{column}" for column in columns)


def _verdict(left: str, right: str, columns: Iterable[str]) -> str:
    return f"CASE WHEN {_all_equal(left, right, columns)} THEN 'duplicate' ELSE 'conflict' END"


def _on(left: str, right: str, key: Sequence[str]) -> str:
    return " AND ".join(f"{left}.{column} = {right}.{column}" for column in key)


def _hash_sql(key: Sequence[str]) -> str:
    return f"hash({', '.join(key)})"


def _against_the_warehouse(con: duckdb.DuckDBPyConnection, case: Case, past: Past) -> None:
    """Judge the rows whose key the warehouse holds: find them by the hash of the key, then compare month by month."""
    name, key = case.name, case.table.key
    hashed = f"{_hash_sql(key)} AS _hash"
    con.execute(
        f"CREATE TABLE h_{name} AS SELECT c._row, c._month, w._past FROM "
        f"(SELECT _row, _month, {hashed} FROM c_{name}) c JOIN "
        f"(SELECT {_month_sql('occurred_at')} AS _past, {hashed} FROM {past(None, None)}) w USING (_hash)"
    )
    # A row that is known at import was known before if its content was, whenever that happened.
    compared = case.content if case.at_import else tuple(case.types)
    months = f"SELECT _past, list(DISTINCT _month ORDER BY _month) FROM h_{name} GROUP BY _past ORDER BY _past"
    for month, own in con.execute(months).fetchall():
        low, high = month_span(month)
        con.execute(
            f"INSERT INTO v_{name} SELECT c._row, c._month, {_verdict('c', 'p', compared)} FROM "
            f"(SELECT * FROM c_{name} WHERE _month IN ({', '.join(map(str, own))}) "
            f"AND _row IN (SELECT _row FROM h_{name} WHERE _past = {month})) c "
            f"JOIN (SELECT * FROM {past(low, high)} WHERE occurred_at BETWEEN {low} AND {high}) p "
            f"ON {_on('c', 'p', key)}"
        )
    con.execute(f"DROP TABLE h_{name}")


def _against_each_other(con: duckdb.DuckDBPyConnection, case: Case) -> None:
    """Judge the rows whose key stands more than once in the import, against the first of them in file order."""
    name, key = case.name, case.table.key
    hashed, keys = _hash_sql(key), ", ".join(key)
    con.execute(f"CREATE TABLE k_{name} AS SELECT {hashed} AS _hash FROM c_{name} GROUP BY _hash HAVING count(*) > 1")
    ((repeated,),) = con.execute(f"SELECT count(*) FROM k_{name}").fetchall()
    rounds = -(-repeated // _KEYS_AT_ONCE)
    for number in range(rounds):
        con.execute(
            f"CREATE OR REPLACE TABLE r_{name} AS SELECT * FROM c_{name} "
            f"WHERE {hashed} IN (SELECT _hash FROM k_{name} WHERE _hash % {rounds} = {number})"
        )
        con.execute(
            f"INSERT INTO v_{name} SELECT r._row, r._month, {_verdict('r', 'f', case.content)} FROM r_{name} r "
            f"JOIN (SELECT {keys}, min(_row) AS _first FROM r_{name} GROUP BY {keys}) d ON {_on('r', 'd', key)} "
            f"JOIN r_{name} f ON f._row = d._first WHERE r._row <> d._first "
            f"AND r._row NOT IN (SELECT _row FROM v_{name})"
        )
    con.execute(f"DROP TABLE IF EXISTS r_{name}")
    con.execute(f"DROP TABLE k_{name}")


def count_log(con: duckdb.DuckDBPyConnection, name: str) -> tuple[int, int]:
    """Return how many rows of a resolved log are new, and how many are duplicates."""
    ((sound,),) = con.execute(f"SELECT count(*) FROM c_{name}").fetchall()
    ((judged, duplicates),) = con.execute(
        f"SELECT count(*), count(*) FILTER (WHERE _status = 'duplicate') FROM v_{name}"
    ).fetchall()
    return sound - judged, duplicates
