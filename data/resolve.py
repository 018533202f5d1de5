"""Which rows of an import are new: duplicates, conflicts, and the later versions of a history.

Input are the typed rows `t_<table>` and the warehouse as `w_<table>`; output are `n_<table>`, the rows to write, and
`v_<table>`, the verdict on each sound row: `new`, `duplicate` or `conflict`.
"""
# ruff: noqa: S608 - only names of the contract and of the checked manifest are put into the SQL

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.enrich import CONTACT_DERIVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import duckdb

    from data.tables import Table

__all__ = ["Case", "refuse_early_outcomes", "resolve"]

_SOUND = "NOT _filtered AND _reason IS NULL"


@dataclass(frozen=True)
class Case:
    """How one table is resolved.

    `types` are the columns that are written, `masked` those that a row at creation must not show, `at_import` says
    that `known_at` is the time of import, `past` that the warehouse has rows of this table, `own` that `own_<table>`
    names the entities which earlier imports of the same mapping told: their rows are what they are now. `dated` says
    that a column says when a row was known, so that another date makes another row.
    """

    table: Table
    types: Mapping[str, str]
    import_us: int
    masked: frozenset[str]
    at_import: bool
    past: bool
    own: bool = False
    dated: bool = True

    @property
    def name(self) -> str:
        """The name of the table."""
        return self.table.name

    @property
    def entity(self) -> tuple[str, ...]:
        """What a version is a version of: the key without the clock."""
        return tuple(column for column in self.table.key if column != "known_at")

    @property
    def content(self) -> tuple[str, ...]:
        """The columns that a row says something with."""
        return tuple(name for name in self.types if name != "known_at")


def resolve(con: duckdb.DuckDBPyConnection, case: Case) -> None:
    """Create `n_<table>` and `v_<table>`."""
    _candidates(con, case)
    _first_rows(con, case)
    _verdicts(con, case)
    con.execute(
        f"CREATE TABLE n_{case.name} AS SELECT c.* FROM c_{case.name} c "
        f"JOIN v_{case.name} v ON c._row = v._row WHERE v._status = 'new'"
    )
    if case.table.history and not case.at_import:
        _later_versions(con, case)


def _candidates(con: duckdb.DuckDBPyConnection, case: Case) -> None:
    """Create `c_<table>`: the sound rows as they were known at first."""
    columns = ", ".join(
        f"CASE WHEN known_at >= {case.import_us} THEN {name} END AS {name}" if name in case.masked else name
        for name in case.types
    )
    con.execute(f"CREATE TABLE c_{case.name} AS SELECT _row, {columns} FROM t_{case.name} WHERE {_SOUND}")


def _same(left: str, right: str, columns: Iterable[str]) -> str:
    return " AND ".join(f"{left}.{column} IS NOT DISTINCT FROM {right}.{column}" for column in columns)


def _equal(left: str, right: str, columns: Iterable[str]) -> str:
    return " AND ".join(f"{left}.{column} = {right}.{column}" for column in columns)


def _first_rows(con: duckdb.DuckDBPyConnection, case: Case) -> None:
    """Create `f_<table>`: for each key that the import holds more than once, its first row in file order."""
    keys = ", ".join(case.table.key)
    con.execute(
        f"CREATE TABLE f_{case.name} AS SELECT {keys}, min(_row) AS _first FROM c_{case.name} "
        f"GROUP BY {keys} HAVING count(*) > 1"
    )


def _past_view(con: duckdb.DuckDBPyConnection, case: Case) -> tuple[str, ...]:
    """Create `p_<table>`, what the warehouse holds against the import, and return the columns to match it by."""
    if case.at_import:
        # Such a row is news only if it differs from what is known already, whenever that was imported.
        entity = ", ".join(case.entity)
        con.execute(
            f"CREATE TABLE p_{case.name} AS SELECT w.* FROM w_{case.name} w SEMI JOIN c_{case.name} c "
            f"USING ({entity}) WHERE w.known_at <= {case.import_us} "
            f"QUALIFY row_number() OVER (PARTITION BY {entity} ORDER BY w.known_at DESC) = 1"
        )
        return case.entity
    con.execute(
        f"CREATE TABLE p_{case.name} AS SELECT w.* FROM w_{case.name} w SEMI JOIN c_{case.name} c "
        f"USING ({', '.join(case.table.key)})"
    )
    return case.table.key


def _verdicts(con: duckdb.DuckDBPyConnection, case: Case) -> None:
    """Create `v_<table>`; the earlier row wins, in the warehouse and then in file order."""
    name, compared = case.name, case.content
    arms = [
        "WHEN d._first IS NULL OR d._first = c._row THEN 'new'",
        f"WHEN {_same('c', 'f', compared)} THEN 'duplicate'",
    ]
    joins = ""
    if case.past:
        matched = _past_view(con, case)
        joins = f" LEFT JOIN p_{name} p ON {_equal('c', 'p', matched)}"
        known = compared if case.at_import else case.types
        found = f"p.{matched[0]} IS NOT NULL"
        clash = "p.known_at = c.known_at" if "known_at" in case.table.key else "true"
        past = [f"WHEN {found} AND {_same('c', 'p', known)} THEN 'duplicate'"]
        if case.own and not case.at_import:
            past += _of_the_present(con, case, found)
            joins += (
                f" LEFT JOIN own_{name} o ON {_equal('c', 'o', case.entity)} LEFT JOIN e_{name} e ON e._row = c._row"
            )
        past.append(f"WHEN {found} AND {clash} THEN 'conflict'")
        arms = past + arms
    con.execute(
        f"CREATE TABLE v_{name} AS SELECT c._row, CASE {' '.join(arms)} ELSE 'conflict' END AS _status "
        f"FROM c_{name} c LEFT JOIN f_{name} d ON {_equal('c', 'd', case.table.key)} "
        f"LEFT JOIN c_{name} f ON f._row = d._first{joins}"
    )


def _of_the_present(con: duckdb.DuckDBPyConnection, case: Case, found: str) -> list[str]:
    """Create `e_<table>`, the newest row of each entity told before; return how rows of such entities are judged."""
    entity = ", ".join(case.entity)
    con.execute(
        f"CREATE TABLE e_{case.name} AS SELECT _row FROM c_{case.name} SEMI JOIN own_{case.name} USING ({entity}) "
        f"QUALIFY row_number() OVER (PARTITION BY {entity} ORDER BY known_at DESC, _row) = 1"
    )
    present = "e._row IS NOT NULL" if not case.dated else f"e._row IS NOT NULL AND {found}"
    own = f"o.{case.entity[0]} IS NOT NULL"
    arms = [f"WHEN {present} THEN 'changed'"]
    arms.append(f"WHEN {own} AND d._first <> c._row AND {_same('c', 'f', case.content)} THEN 'duplicate'")
    return arms if case.dated else [*arms, f"WHEN {own} THEN 'conflict'"]


def _later_versions(con: duckdb.DuckDBPyConnection, case: Case) -> None:
    """Add to `n_<table>` the whole row as known at the time of import, where it differs from the newest version."""
    has_now = case.name == "leads"
    whole_table = bool(case.masked) or has_now
    if not whole_table and not (case.own and case.past):
        return
    judged = "" if whole_table else f" SEMI JOIN e_{case.name} USING (_row)"
    columns = ", ".join(
        f"{case.import_us} AS known_at" if name == "known_at"
        else f"_now_{name} AS {name}" if has_now and name in CONTACT_DERIVED
        else name
        for name in case.types
    )  # fmt: skip
    entity = ", ".join(case.entity)
    listed = ", ".join(case.types)
    past = (
        f" UNION ALL SELECT {listed} FROM w_{case.name} SEMI JOIN c_{case.name} USING ({entity}) "
        f"WHERE known_at <= {case.import_us}"
        if case.past
        else ""
    )
    con.execute(
        f"CREATE TABLE l_{case.name} AS WITH whole AS (SELECT _row, {columns} FROM t_{case.name} SEMI JOIN "
        f"(SELECT _row FROM v_{case.name}{judged} WHERE _status <> 'conflict') USING (_row) "
        f"QUALIFY row_number() OVER (PARTITION BY {entity} ORDER BY t_{case.name}.known_at DESC, _row DESC) = 1), "
        f"versions AS (SELECT {listed} FROM n_{case.name}{past}), newest AS (SELECT * FROM versions "
        f"QUALIFY row_number() OVER (PARTITION BY {entity} ORDER BY known_at DESC) = 1) "
        f"SELECT whole.* FROM whole JOIN newest ON {_equal('whole', 'newest', case.entity)} "
        f"WHERE newest.known_at < {case.import_us} AND NOT ({_same('whole', 'newest', case.content)})"
    )
    con.execute(f"INSERT INTO n_{case.name} SELECT _row, {listed} FROM l_{case.name}")


def refuse_early_outcomes(con: duckdb.DuckDBPyConnection, *, leads: bool) -> None:
    """Mark outcomes that close a lead before it was created, by the leads of this import and of the warehouse."""
    created = "SELECT lead_id, created_at FROM w_leads"
    if leads:
        created += f" UNION ALL SELECT lead_id, created_at FROM t_leads WHERE {_SOUND}"
    con.execute(
        "UPDATE t_outcomes SET _reason = 'closed_before_created:closed_at' FROM "
        f"(SELECT lead_id, min(created_at) AS created_at FROM ({created}) GROUP BY lead_id) l "
        "WHERE t_outcomes.lead_id = l.lead_id AND t_outcomes.closed_at < l.created_at "
        "AND t_outcomes._reason IS NULL AND NOT t_outcomes._filtered"
    )
