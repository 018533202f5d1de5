"""The history that successive exports tell: what one says of the present, held against what the warehouse knows.

An export shows how things stand at its own moment. A row of `leads`, `accounts`, `contacts` or `outcomes` that an
earlier export of the same mapping told is therefore no second fact but the same entity as it is now: it is news where
it differs from the newest version, and known from the export on. Input are the typed rows `t_<table>` and the
warehouse as `w_<table>`; all times are whole microseconds UTC.
"""
# ruff: noqa: S608 - only names of the contract, numbers and quoted names of the mapping are put into the SQL

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.clock import MINUTE_US, from_us, iso, parse_moment, to_us
from data.errors import DataError, UsageError
from data.expressions import Typed
from data.readers import quote
from data.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping as AbstractMapping
    from pathlib import Path

    import duckdb

    from data.manifest import ImportRecord, Manifest
    from data.mapping import Mapping, TableSpec

__all__ = [
    "FUTURE_TOLERANCE_US",
    "Moment",
    "date_by_export",
    "entity_of",
    "moment_of",
    "observed_since",
    "own_entities",
    "place_in_history",
    "seen_us",
    "told_by_export",
]

FUTURE_TOLERANCE_US = 5 * MINUTE_US  # two clocks may differ; design: a row from the future is quarantined
_SOUND = "NOT _filtered AND _reason IS NULL"
_HISTORIES = ("leads", "accounts", "contacts")


@dataclass(frozen=True)
class Moment:
    """When an export was taken, and the export of the same mapping before it, in microseconds UTC.

    `previous_us` is None for a first export, and where exports are not full: then silence says nothing.
    """

    us: int
    previous_us: int | None = None


def seen_us(record: ImportRecord) -> int:
    """Return when the export of an import was taken; imports of earlier versions of clew say only when they ran."""
    return to_us(parse_moment(record.exported_at or record.at))


def moment_of(manifest: Manifest, mapping: Mapping, exported_us: int, *, now_us: int) -> Moment:
    """Return the place of an export among those of its mapping.

    Raises
    ------
    UsageError
        If the export would be taken after `now_us`.
    DataError
        If a newer export of the same mapping was imported before. Which rows that one confirmed in silence is not
        stored, so the older one cannot be put in front of it without making up what was known in between.
    """
    if exported_us > now_us + FUTURE_TOLERANCE_US:
        raise UsageError(
            f"an export of {iso(from_us(exported_us))} lies in the future", hint="name the moment at which it was taken"
        )
    earlier = [seen_us(record) for record in manifest.imports if record.mapping == mapping.name]
    newest = max(earlier, default=None)
    if newest is not None and exported_us < newest and mapping.depends_on_moment:
        raise DataError(
            f"the export of {iso(from_us(exported_us))} is older than the one of {iso(from_us(newest))}, which mapping "
            f"{mapping.name} has brought in already",
            hint="import all exports in order of time into a new warehouse (CLEW_WAREHOUSE names another place)",
        )
    before = [us for us in earlier if us < exported_us]
    return Moment(exported_us, max(before, default=None) if mapping.full_export else None)


def observed_since(manifest: Manifest) -> dict[str, int]:
    """Return the first export that showed each column known `later`, written `leads.status`, in microseconds UTC.

    From that moment on every version of the column is dated by an export; before it the column is missing for every
    lead, so that its being filled is a clock. A column that some export gave as known at creation, or that is known
    only after the outcome, is never observed: its values stand at moments at which nobody knew them.
    """
    first: dict[str, int] = {}
    undated = set()
    for record in manifest.imports:
        for column, known in record.shown.items():
            if known != "later":
                undated.add(column)
            first[column] = min(first.get(column, seen_us(record)), seen_us(record))
    return {column: us for column, us in first.items() if column not in undated}


def entity_of(table: str) -> str:
    """Return the column that says of what a row of a state table speaks.

    Examples
    --------
    >>> entity_of("accounts"), entity_of("outcomes")
    ('account_id', 'lead_id')
    """
    return TABLES[table].key[0]


def told_by_export(spec: TableSpec, typed: AbstractMapping[str, Typed], export_us: int) -> dict[str, Typed]:
    """Return the values that the moment of the export gives.

    A date that may be missing is the export's; so are both times of an outcome that is `open`, because no system says
    when a deal was reopened, unless a column says when the row was known.
    """
    told: dict[str, Typed] = {}
    for name, column in spec.columns.items():
        if column.exported_at:
            told[name] = Typed(f"coalesce({typed[name].value}, {export_us})", typed[name].reason)
            if spec.known_at.after == name:
                known = typed["known_at"]
                told["known_at"] = Typed(f"coalesce({known.value}, {export_us})", known.reason)
    if "outcome" in spec.columns:
        is_open = f"coalesce({typed['outcome'].value} = 'open', false)"
        known, closed = told.get("known_at", typed["known_at"]), told.get("closed_at", typed["closed_at"])
        then = f"coalesce({known.value}, {export_us})" if spec.known_at.column else str(export_us)
        told["known_at"] = Typed(f"CASE WHEN {is_open} THEN {then} ELSE {known.value} END", known.reason)
        told["closed_at"] = Typed(
            f"CASE WHEN {is_open} THEN {then} ELSE {closed.value} END",
            f"CASE WHEN NOT {is_open} THEN {closed.reason} END",
        )
    return told


def own_entities(con: duckdb.DuckDBPyConnection, manifest: Manifest, mapping: Mapping, *, root: Path) -> frozenset[str]:
    """Create `own_<table>`, the entities that earlier imports of this mapping told; return the tables that have one.

    Another mapping speaks of another system: what it says of the same lead is no change of what this one said.
    """
    imports = {record.id for record in manifest.imports if record.mapping == mapping.name}
    made = []
    for table in (name for name in _HISTORIES if name in mapping.tables):
        paths = [root / part.path for part in manifest.parts if part.table == table and part.import_id in imports]
        if paths:
            listed = ", ".join(quote(str(path)) for path in paths)
            con.execute(f"CREATE TABLE own_{table} AS SELECT DISTINCT {entity_of(table)} FROM read_parquet([{listed}])")
            made.append(table)
    return frozenset(made)


def place_in_history(con: duckdb.DuckDBPyConnection, mapping: Mapping, moment: Moment) -> None:
    """Date the rows of `t_<table>` by what the warehouse knows, before they are compared with it."""
    for name in ("leads", "accounts"):
        if name in mapping.tables and mapping.tables[name].known_at.after and moment.previous_us is not None:
            _date_newcomers(con, name, moment.us, moment.previous_us)
    if "outcomes" in mapping.tables:
        spec = mapping.tables["outcomes"]
        _drop_open(con, a_log=spec.known_at.column is not None)
        if spec.known_at.column is None:
            _date_outcomes(con, moment)
    for name, compared in (("stages", "stage"), ("merges", "into_lead_id")):
        if name in mapping.tables and mapping.tables[name].columns["occurred_at"].exported_at:
            date_by_export(con, name, compared, moment.us)


def _date_newcomers(con: duckdb.DuckDBPyConnection, table: str, us: int, previous_us: int) -> None:
    """Date entities that the full export before did not hold: nobody knew them then, whatever their own date says."""
    entity = entity_of(table)
    now = "".join(f", {c} = _now_{c}" for c in _now_columns(con, table))
    con.execute(
        f"UPDATE t_{table} SET known_at = {us}{now} WHERE {_SOUND} AND known_at <= {previous_us} "
        f"AND {entity} NOT IN (SELECT {entity} FROM w_{table})"
    )


def _now_columns(con: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Return the columns for which `t_<table>` also holds what is derived at the moment of the export."""
    con.execute(f"DESCRIBE t_{table}")
    return [str(row[0]).removeprefix("_now_") for row in con.fetchall() if str(row[0]).startswith("_now_")]


def _drop_open(con: duckdb.DuckDBPyConnection, *, a_log: bool) -> None:
    """Leave out what is open and was never closed; beside a closed deal of the lead an open one is another deal."""
    beside = "" if a_log else f" OR lead_id IN (SELECT lead_id FROM t_outcomes WHERE {_SOUND} AND outcome <> 'open')"
    closed = (
        f"SELECT lead_id, min(known_at) AS first FROM (SELECT lead_id, known_at FROM t_outcomes WHERE {_SOUND} "
        "AND outcome <> 'open' UNION ALL SELECT lead_id, known_at FROM w_outcomes) GROUP BY lead_id"
    )
    con.execute(
        f"UPDATE t_outcomes SET _filtered = true WHERE {_SOUND} AND outcome = 'open' AND (NOT EXISTS (SELECT 1 FROM "
        f"({closed}) c WHERE c.lead_id = t_outcomes.lead_id AND c.first < t_outcomes.known_at){beside})"
    )


def _date_outcomes(con: duckdb.DuckDBPyConnection, moment: Moment) -> None:
    """Date the outcomes: what is believed already as it was, a correction from the export that tells it on.

    A date of closing says when a new outcome was known only if no earlier export spoke against it.
    """
    us, previous = moment.us, moment.previous_us if moment.previous_us is not None else -1
    rest = [c.name for c in TABLES["outcomes"].columns if c.name not in {"known_at", "recorded_at", "closed_at"}]

    def same(left: str, right: str) -> str:
        equal = " AND ".join(f"{left}.{name} IS NOT DISTINCT FROM {right}.{name}" for name in rest)
        return f"{equal} AND ({left}.closed_at = {right}.closed_at OR {left}.closed_at = {us})"

    told = f"{same('n', 'b')} AND (b.believed OR n.place > 1)"
    con.execute(
        "CREATE TABLE dated_outcomes AS WITH sound AS (SELECT *, rank() OVER (PARTITION BY lead_id ORDER BY known_at "
        f"DESC) AS place FROM t_outcomes WHERE {_SOUND}), "
        "past AS (SELECT w.*, row_number() OVER (PARTITION BY lead_id ORDER BY known_at DESC) = 1 AS believed "
        f"FROM w_outcomes w SEMI JOIN sound USING (lead_id) WHERE w.known_at <= {us}), "
        # The newest row of a lead is compared with what is believed, an older one with all that was ever told.
        "paired AS (SELECT n._row, n.lead_id, n.place, n.known_at AS claimed, n.closed_at, "
        "max(b.known_at) AS believed, "
        f"max(CASE WHEN {told} THEN b.known_at END) AS told, max(CASE WHEN {told} THEN b.closed_at END) AS told_closed "
        "FROM sound n LEFT JOIN past b USING (lead_id) GROUP BY ALL), "
        "dated AS (SELECT *, CASE WHEN told IS NOT NULL THEN told WHEN place > 1 THEN claimed "
        f"WHEN claimed <= greatest(coalesce(believed, -1), {previous}) THEN {us} ELSE claimed END AS known "
        "FROM paired) "
        # Two rows that claim the same moment stay at one moment: the first in the file holds, as everywhere.
        "SELECT _row, coalesce(told_closed, closed_at) AS closed_at, CASE WHEN place > 1 THEN known ELSE first_value("
        "known) OVER (PARTITION BY lead_id ORDER BY place, _row) END AS known_at FROM dated"
    )
    con.execute(
        "UPDATE t_outcomes SET known_at = d.known_at, closed_at = d.closed_at FROM dated_outcomes d "
        "WHERE t_outcomes._row = d._row"
    )


def date_by_export(con: duckdb.DuckDBPyConnection, table: str, compared: str, us: int) -> None:
    """Make the rows that only the export dates news where they differ from the newest of their lead.

    A row that says what is known already takes the times of the row that said it, and is its duplicate then.
    """
    dated = f"{_SOUND} AND occurred_at = {us}"
    con.execute(
        f"UPDATE t_{table} SET _reason = 'more_than_one:{compared}' WHERE {dated} AND lead_id IN (SELECT lead_id "
        f"FROM t_{table} WHERE {dated} GROUP BY lead_id HAVING count(DISTINCT {compared}) > 1)"
    )
    carried = [c.name for c in TABLES[table].columns if c.name not in {"lead_id", compared, "recorded_at"}]
    con.execute(
        f"UPDATE t_{table} SET {', '.join(f'{name} = w.{name}' for name in carried)} FROM (SELECT * FROM w_{table} "
        f"WHERE known_at <= {us} QUALIFY row_number() OVER (PARTITION BY lead_id ORDER BY known_at DESC, "
        f"occurred_at DESC) = 1) w WHERE t_{table}.lead_id = w.lead_id AND t_{table}.{compared} = w.{compared} "
        f"AND t_{table}.occurred_at = {us} AND {_SOUND}"
    )
