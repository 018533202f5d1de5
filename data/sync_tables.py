"""The store's facts beside the warehouse's in one database, and how they differ: the work behind `clew sync`.

`s_<table>` holds the store's rows as they are, `t_<table>` as the warehouse would hold them, with a `_reason` where
they break the contract, `w_<table>` the warehouse's. All moments are whole microseconds UTC.
"""
# ruff: noqa: S608 - only names of the contract and checked names of columns are put into the SQL

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data.expressions import NON_NEGATIVE
from data.logs import is_log
from data.manifest import CustomColumn
from data.store.exchange import columns_of, read_facts
from data.store.forgetting import forgotten_among
from data.store.reading import typed_custom
from data.store.schema import CUSTOM
from data.tables import CUSTOM_PREFIX, IN_WAREHOUSE_ONLY, TABLES
from data.transform import FUTURE_TOLERANCE_US, storage_types

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb

    from data.manifest import Manifest
    from data.store.engine import Store
    from data.tables import Table
    from data.warehouse import Warehouse

__all__ = [
    "EXCHANGED",
    "compare",
    "declare_custom",
    "missing_in_store",
    "scope",
    "stage_store",
    "type_store",
    "view_past",
]

# Personal data stay where they came in, and the store has no bills.
EXCHANGED = tuple(name for name in TABLES if name not in {"contacts", *IN_WAREHOUSE_ONLY})
_ARROW = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64()}
_NAME = r"[a-z][a-z0-9_]*"  # what a mapping may call a column of the customer's own
_PAGE = 20_000


def stage_store(con: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Create `s_<table>` for each table, all of one moment; leads that were forgotten are left out of `s_leads`."""
    with store.reading() as connection:
        for name in EXCHANGED:
            types = _stored_types(TABLES[name])
            listed = ", ".join(f"{column} {kind}" for column, kind in types.items())
            con.execute(f"CREATE OR REPLACE TABLE s_{name} ({listed})")
            schema = pa.schema([(column, _ARROW[kind]) for column, kind in types.items()])
            for rows in read_facts(connection, name):
                columns = dict(zip(columns_of(name), zip(*rows, strict=True), strict=True))
                _insert(con, f"s_{name}", pa.table({c: columns[c] for c in types}, schema=schema))
    ids = [
        row[0]
        for row in con.execute("SELECT DISTINCT lead_id FROM s_leads UNION SELECT lead_id FROM past_leads").fetchall()
    ]
    forgotten = pa.table({"lead_id": pa.array(sorted(forgotten_among(store, ids)), pa.string())})
    con.execute("CREATE OR REPLACE TABLE forgotten (lead_id VARCHAR)")
    _insert(con, "forgotten", forgotten)
    con.execute("DELETE FROM s_leads WHERE lead_id IN (FROM forgotten)")


def _stored_types(table: Table) -> dict[str, str]:
    types = storage_types(table, {})
    return types | {CUSTOM: "VARCHAR"} if table.name == "leads" else types


def _insert(con: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    con.register("incoming", rows)
    con.execute(f"INSERT INTO {name} SELECT * FROM incoming")
    con.unregister("incoming")


def declare_custom(con: duckdb.DuckDBPyConnection, manifest: Manifest) -> tuple[Manifest, tuple[str, ...]]:
    """Return the manifest with the store's columns of the customer's own, and those whose names cannot be columns.

    A column is numeric where only numbers were sent for it. Every version of a lead is dated, so no column of them is
    known before its time.
    """
    kinds: dict[str, set[type]] = {}
    for (text,) in con.execute(f"SELECT DISTINCT {CUSTOM} FROM s_leads").fetchall():
        for name, value in json.loads(text).items():
            if value is not None:
                kinds.setdefault(name, set()).add(type(value))
    left_out = tuple(sorted(name for name in kinds if not re.fullmatch(_NAME, name)))
    custom = dict(manifest.custom)
    for name in sorted(kinds.keys() - set(left_out) - custom.keys()):
        custom[name] = CustomColumn(kind="numeric" if kinds[name] <= {int, float} else "categorical")
    return manifest.model_copy(update={"custom": custom}), left_out


def view_past(con: duckdb.DuckDBPyConnection, warehouse: Warehouse, manifest: Manifest) -> None:
    """Create `w_<table>`: what the warehouse holds by a manifest, times in microseconds."""
    warehouse.add_views(con, prefix="past_", manifest=manifest)
    for name in EXCHANGED:
        table = TABLES[name]
        times = {column.name for column in table.columns if column.kind == "time"}
        listed = ", ".join(f"epoch_us({c}) AS {c}" if c in times else c for c in _types(table, manifest))
        con.execute(f"CREATE OR REPLACE VIEW w_{name} AS SELECT {listed} FROM past_{name}")


def _types(table: Table, manifest: Manifest) -> dict[str, str]:
    return storage_types(table, {name: column.kind for name, column in manifest.custom.items()})


def type_store(con: duckdb.DuckDBPyConnection, manifest: Manifest, at_us: int) -> None:
    """Create `t_<table>`: the store's rows as an import at `at_us` would keep them."""
    _type_custom(con, manifest)
    for name in EXCHANGED:
        table = TABLES[name]
        raised = f"greatest(known_at, {table.happened})" if table.happened else "known_at"
        source = f"s_leads JOIN custom_values USING ({CUSTOM})" if name == "leads" else f"s_{name}"
        columns = ", ".join(f"{raised} AS known_at" if c == "known_at" else c for c in _types(table, manifest))
        # Versions that were known before the fact itself are known with it; only the last of them was ever in force.
        last = f" QUALIFY row_number() OVER (PARTITION BY {', '.join(_keys(table, raised))} ORDER BY known_at DESC) = 1"
        con.execute(
            f"CREATE OR REPLACE TABLE t_{name} AS SELECT {columns}, {_reason(table, at_us)} AS _reason FROM {source}"
            + (last if "known_at" in table.key and table.happened else "")
        )


def _keys(table: Table, raised: str) -> list[str]:
    return [raised if column == "known_at" else column for column in table.key]


def _reason(table: Table, at_us: int) -> str:
    arms = [
        f"WHEN {column.name} > {at_us + FUTURE_TOLERANCE_US} THEN 'future:{column.name}'"
        for column in table.columns
        if column.kind == "time" and column.name != "recorded_at"
    ]
    arms += [f"WHEN {c.name} < 0 THEN 'negative:{c.name}'" for c in table.columns if c.name in NON_NEGATIVE]
    return f"CASE {' '.join(arms)} END"


def _type_custom(con: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
    """Create `custom_values`: each text of customer's columns, and the columns that the warehouse makes of it."""
    texts = [row[0] for row in con.execute(f"SELECT DISTINCT {CUSTOM} FROM s_leads").fetchall()]
    told: list[Mapping[str, Any]] = [json.loads(text) for text in texts]
    columns: dict[str, pa.Array] = {CUSTOM: pa.array(texts, pa.string())}
    for name, column in sorted(manifest.custom.items()):
        kind = pa.float64() if column.kind == "numeric" else pa.string()
        columns[CUSTOM_PREFIX + name] = pa.array([typed_custom(each.get(name), column.kind) for each in told], kind)
    con.register("incoming", pa.table(columns))
    con.execute("CREATE OR REPLACE TABLE custom_values AS SELECT * FROM incoming")
    con.unregister("incoming")


def scope(con: duckdb.DuckDBPyConnection) -> None:
    """Create `scope`, the leads of which the store is told: the open ones, those it has, and all that speak for them.

    A lead is spoken for by the leads of its accounts, of its person, and by those that merges join with it; and each of
    these by its own, so that a second sync finds nobody whom the first did not. `accounts_asked` are their accounts.
    """
    con.execute(
        "CREATE OR REPLACE TABLE scope AS WITH said AS (SELECT lead_id, outcome, known_at FROM w_outcomes UNION ALL "
        "SELECT lead_id, outcome, known_at FROM s_outcomes), last AS (SELECT lead_id, outcome FROM said "
        "QUALIFY row_number() OVER (PARTITION BY lead_id ORDER BY known_at DESC) = 1) "
        "SELECT DISTINCT lead_id FROM w_leads WHERE lead_id NOT IN (SELECT lead_id FROM last WHERE outcome <> 'open') "
        "UNION SELECT lead_id FROM s_leads"
    )
    for name, columns in (("leads", "lead_id, account_id, person_id"), ("merges", "lead_id, into_lead_id")):
        con.execute(
            f"CREATE OR REPLACE TABLE told_{name} AS "
            f"SELECT DISTINCT {columns} FROM w_{name} UNION SELECT DISTINCT {columns} FROM s_{name}"
        )
    alike = [
        f"SELECT lead_id FROM told_leads SEMI JOIN (SELECT {column} FROM told_leads SEMI JOIN scope USING (lead_id)) "
        f"USING ({column})"
        for column in ("account_id", "person_id")
    ]
    merged = (
        "SELECT into_lead_id FROM told_merges SEMI JOIN scope USING (lead_id)",
        "SELECT m.lead_id FROM told_merges m JOIN scope s ON s.lead_id = m.into_lead_id",
    )
    while _widen(con, " UNION ".join((*alike, *merged))):
        pass
    con.execute(
        "CREATE OR REPLACE TABLE accounts_asked AS SELECT DISTINCT account_id FROM told_leads "
        "SEMI JOIN scope USING (lead_id) WHERE account_id IS NOT NULL UNION SELECT account_id FROM s_accounts"
    )


def _widen(con: duckdb.DuckDBPyConnection, query: str) -> int:
    """Add leads to `scope`; return how many were not in it."""
    found = con.execute(f"INSERT INTO scope SELECT DISTINCT lead_id FROM ({query}) ANTI JOIN scope USING (lead_id)")
    return int(found.fetchall()[0][0])


def missing_in_store(
    con: duckdb.DuckDBPyConnection, name: str, manifest: Manifest, *, events_from_us: int | None
) -> Iterator[list[dict[str, Any]]]:
    """Yield the warehouse's rows in scope whose key the store lacks, as the store holds rows, by `known_at`."""
    table = TABLES[name]
    wanted = {
        "accounts": "account_id IN (FROM accounts_asked)",
        "merges": "(lead_id IN (FROM scope) OR into_lead_id IN (FROM scope))",
        "leads": "lead_id IN (FROM scope) AND lead_id NOT IN (FROM forgotten)",
    }.get(name, "lead_id IN (FROM scope)")
    if is_log(table) and events_from_us is not None:
        wanted += f" AND occurred_at >= {events_from_us}"
    keys = ", ".join(table.key)
    # A cursor of its own: the connection serves other queries while these rows are written.
    found = con.cursor().execute(
        f"SELECT {', '.join(_types(table, manifest))} FROM w_{name} ANTI JOIN t_{name} USING ({keys}) WHERE {wanted} "
        f"ORDER BY known_at, {keys}"
    )
    names = [column[0] for column in found.description or ()]
    while rows := found.fetchmany(_PAGE):
        yield [_as_stored(dict(zip(names, row, strict=True))) for row in rows]


def _as_stored(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the customer's columns as one text, as the store keeps them."""
    if "created_at" not in row:
        return row
    own = {name.removeprefix(CUSTOM_PREFIX): v for name, v in row.items() if name.startswith(CUSTOM_PREFIX)}
    told = {name: value for name, value in own.items() if value is not None}
    plain = {name: value for name, value in row.items() if not name.startswith(CUSTOM_PREFIX)}
    return plain | {CUSTOM: json.dumps(told, sort_keys=True, ensure_ascii=False)}


def compare(con: duckdb.DuckDBPyConnection, name: str, manifest: Manifest, *, events_from_us: int | None) -> None:
    """Create `n_<table>`, the store's rows that the warehouse lacks, and `q_<table>`, those in conflict or unsound."""
    table = TABLES[name]
    keys, types = ", ".join(table.key), _types(table, manifest)
    kept = f" AND occurred_at >= {events_from_us}" if is_log(table) and events_from_us is not None else ""
    month = f", {_MONTH} AS _month" if is_log(table) else ""
    listed = ", ".join(types)
    con.execute(
        f"CREATE OR REPLACE TABLE n_{name} AS SELECT {listed}{month} FROM t_{name} ANTI JOIN w_{name} USING ({keys}) "
        f"WHERE _reason IS NULL{kept}"
    )
    on = " AND ".join(f"t.{column} = w.{column}" for column in table.key)
    other = " OR ".join(f"t.{column} IS DISTINCT FROM w.{column}" for column in types if column != "known_at")
    content = ", ".join(f"'{column}', t.{column}" for column in types)
    con.execute(
        f"CREATE OR REPLACE TABLE q_{name} AS SELECT coalesce(t._reason, CASE WHEN {other} THEN 'conflict' "
        f"ELSE 'other_clock' END) AS reason, CAST(json_object({content}) AS VARCHAR) AS row FROM t_{name} t "
        f"LEFT JOIN w_{name} w ON {on} "
        f"WHERE t._reason IS NOT NULL OR (w.known_at IS NOT NULL AND ({other} OR t.known_at <> w.known_at))"
    )


_MONTH = (
    "CAST(date_part('year', make_timestamp(occurred_at)) * 12 + date_part('month', make_timestamp(occurred_at)) - 1 "
    "AS INTEGER)"
)
