"""What an export changed: versions of known entities, leads that are gone or back, and which columns it filled.

Reads the tables of an import under way: the typed rows `t_<table>`, the rows to write `n_<table>`, the warehouse
`w_<table>` and `own_leads`, the leads that earlier exports of the mapping told. Times are microseconds UTC.
"""
# ruff: noqa: S608 - only names of the contract, numbers and quoted names of the mapping are put into the SQL

from __future__ import annotations

from typing import TYPE_CHECKING

from data.errors import DataError
from data.import_report import Changes, Gone, Withheld
from data.manifest import withheld_columns
from data.readers import quote
from data.tables import CUSTOM_PREFIX, TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping as AbstractMapping

    import duckdb

    from data.mapping import Mapping
    from data.mapping_terms import Known

__all__ = ["changes_of", "filled_columns", "find_gone", "withheld_by"]

_STATES = ("leads", "accounts", "contacts", "outcomes")
_FEW = 10  # below so many leads half of them may well be gone


def changes_of(con: duckdb.DuckDBPyConnection, table: str, types: AbstractMapping[str, str], us: int) -> Changes:
    """Count the entities of a state table that the import tells first, and what changed in those known before.

    Parameters
    ----------
    con
        The connection of the import, after the table was resolved.
    table
        The canonical table; of one that holds no states nothing is counted.
    types
        The columns that are written.
    us
        The moment of the export.
    """
    if table not in _STATES:
        return Changes()
    entity = TABLES[table].key[0]
    compared = [name for name in types if name not in {entity, "known_at"}]
    newest = f"QUALIFY row_number() OVER (PARTITION BY {entity} ORDER BY known_at DESC) = 1"
    counted = ", ".join(f"count(*) FILTER (WHERE n.{name} IS DISTINCT FROM p.{name})" for name in compared)
    rows = con.execute(
        f"WITH n AS (SELECT * FROM n_{table} {newest}), p AS (SELECT w.* FROM w_{table} w SEMI JOIN n USING ({entity}) "
        f"WHERE w.known_at <= {us} {newest}), pairs AS (SELECT n.{entity}, p.{entity} AS known FROM n LEFT JOIN p "
        f"USING ({entity})), "
        f"versions AS (SELECT count(*) AS n, {counted} FROM n JOIN p USING ({entity}) WHERE n.known_at > p.known_at) "
        "SELECT (SELECT count(*) FROM pairs WHERE known IS NULL), * FROM versions"
    ).fetchall()
    new, changed, *each = rows[0]
    columns = {name: int(count) for name, count in zip(compared, each, strict=True) if count}
    return Changes(int(new), int(changed), dict(sorted(columns.items(), key=lambda pair: (-pair[1], pair[0]))))


def find_gone(con: duckdb.DuckDBPyConnection, mapping: Mapping, us: int, *, known: bool, unread: int) -> Gone | None:
    """Find the leads that earlier exports told and this one does not; in full exports that is a fact and is stored.

    A lead that vanished is an `actions` row of type `vanished` known at the export, and `reappeared` if it comes back.
    It is no outcome: a lead may be deleted because it was merged or because somebody tidied up.

    Parameters
    ----------
    con
        The connection of the import, after all tables were resolved.
    mapping
        Whose exports these are.
    us
        The moment of the export.
    known
        Whether earlier imports of the mapping told leads, as `own_leads`.
    unread
        How many rows of the lead file could not be read: then nobody can say who is missing.

    Raises
    ------
    DataError
        If more than half of the leads are missing from an export that is declared full.
    """
    if "leads" not in mapping.tables or not known:
        return None
    _list_missing(con, mapping, us)
    missing, before, vanished, back = con.execute(
        "SELECT count(*) FILTER (WHERE state = 'missing'), count(*), count(*) FILTER (WHERE event = 'vanished'), "
        "count(*) FILTER (WHERE event = 'reappeared') FROM gone"
    ).fetchall()[0]
    if not mapping.full_export or unread:
        return Gone(missing, stored=False)
    still = before - missing + vanished
    if vanished * 2 > still >= _FEW:
        raise DataError(
            f"{vanished} of the {still} leads that the export before held are missing from this one",
            hint="export again, or take full_export: true out of the mapping if an export does not hold every lead",
        )
    if vanished or back:
        _store_gone(con, mapping, us)
    return Gone(missing, vanished, back)


def _list_missing(con: duckdb.DuckDBPyConnection, mapping: Mapping, us: int) -> None:
    """Create `gone` with a row for each lead told before: whether it is there, and what is news in that."""
    prefix = quote(_prefix(mapping))
    con.execute(
        "CREATE TABLE gone AS WITH seen AS (SELECT DISTINCT lead_id FROM t_leads WHERE NOT _filtered), "
        f"last AS (SELECT lead_id, type FROM w_actions WHERE starts_with(action_id, {prefix}) AND known_at <= {us} "
        "QUALIFY row_number() OVER (PARTITION BY lead_id ORDER BY known_at DESC) = 1) "
        "SELECT o.lead_id, CASE WHEN s.lead_id IS NULL THEN 'missing' ELSE 'there' END AS state, "
        "CASE WHEN s.lead_id IS NULL AND coalesce(l.type, '') <> 'vanished' THEN 'vanished' "
        "WHEN s.lead_id IS NOT NULL AND l.type = 'vanished' THEN 'reappeared' END AS event "
        "FROM own_leads o LEFT JOIN seen s USING (lead_id) LEFT JOIN last l USING (lead_id)"
    )


def _prefix(mapping: Mapping) -> str:
    return f"export:{mapping.name}:"


def _store_gone(con: duckdb.DuckDBPyConnection, mapping: Mapping, us: int) -> None:
    """Add what `gone` says that is new to `n_actions`."""
    con.execute("CREATE TABLE IF NOT EXISTS n_actions AS SELECT CAST(NULL AS BIGINT) AS _row, * FROM w_actions LIMIT 0")
    con.execute(
        f"INSERT INTO n_actions BY NAME SELECT {quote(_prefix(mapping))} || event || ':{us}:' || lead_id AS action_id, "
        f"lead_id, event AS type, {us} AS occurred_at, {us} AS known_at FROM gone WHERE event IS NOT NULL"
    )


def filled_columns(con: duckdb.DuckDBPyConnection, mapping: Mapping) -> dict[str, tuple[Known, int]]:
    """Return the filled columns of `leads` and `accounts`, written `leads.status`: when known, and in how many rows.

    Where the whole row is known at import, a column is known later than creation, whatever the mapping calls it.
    """
    found: dict[str, tuple[Known, int]] = {}
    for table in ("leads", "accounts"):
        if table not in mapping.tables:
            continue
        spec = mapping.tables[table]
        known: dict[str, Known] = {name: column.known for name, column in spec.columns.items()}
        known |= {CUSTOM_PREFIX + name: c.known for name, c in spec.custom.items() if c.kind != "ignored"}
        known |= withheld_columns(mapping, table)
        counted = ", ".join(f"count({name})" for name in known)
        sound = con.execute(f"SELECT {counted} FROM t_{table} WHERE NOT _filtered AND _reason IS NULL").fetchall()[0]
        for (name, when), rows in zip(known.items(), sound, strict=True):
            late: Known = "later" if when == "at_creation" and spec.known_at.at_import else when
            if rows:
                found[f"{table}.{name}"] = (late, int(rows))
    return found


def withheld_by(mapping: Mapping, filled: AbstractMapping[str, tuple[Known, int]]) -> tuple[Withheld, ...]:
    """Return the columns that the mapping declares known only later, with the rows in which they are filled."""
    listed = []
    for table in ("leads", "accounts"):
        if table in mapping.tables:
            late = withheld_columns(mapping, table)
            custom = mapping.tables[table].custom.items()
            late |= {CUSTOM_PREFIX + n: c.known for n, c in custom if c.known != "at_creation" and c.kind != "ignored"}
            names = ((f"{table}.{name}", known) for name, known in late.items())
            listed += [Withheld(name, known, filled.get(name, (known, 0))[1]) for name, known in names]
    return tuple(listed)
