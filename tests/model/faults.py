"""Faults planted into a warehouse's views from a moment on: what a monitor has to find, and what it has to call it."""
# ruff: noqa: S608 - names of the contract, numbers and words of the simulator are put into the SQL

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

    from monitoring.drift.finding import Kind

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True)
class Fault:
    """A fault, how it is planted, and the kind and subject under which it has to be found."""

    name: str
    kind: Kind
    subject: str
    plant: Callable[[duckdb.DuckDBPyConnection, int], None]


def _view(connection: duckdb.DuckDBPyConnection, table: str, columns: str, where: str = "TRUE", more: str = "") -> None:
    """Hide a view of the warehouse behind one of the session."""
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW {table} AS SELECT * REPLACE ({columns}) FROM memory.main.{table} "
        f"WHERE {where}{more}"
    )


def _from(us: int, column: str = "known_at") -> str:
    return f"EPOCH_US({column}) >= {us}"


def _source_stops(connection: duckdb.DuckDBPyConnection, us: int) -> None:
    _view(
        connection, "leads", "source AS source", f"NOT ({_from(us, 'created_at')} AND COALESCE(source, '') = 'webinar')"
    )


def _field_empties(connection: duckdb.DuckDBPyConnection, us: int) -> None:
    _view(connection, "leads", f"CASE WHEN {_from(us, 'created_at')} THEN NULL ELSE country END AS country")


def _category_renamed(connection: duckdb.DuckDBPyConnection, us: int) -> None:
    new = f"CASE WHEN {_from(us, 'created_at')} AND source = 'webinar' THEN 'online event' ELSE source END AS source"
    _view(connection, "leads", new)


def _unit_changes(connection: duckdb.DuckDBPyConnection, us: int) -> None:
    """From one full export on the companies' sizes are in thousands, of those known before as well."""
    now = f"make_timestamptz({us + 1})"
    again = (
        f" UNION ALL SELECT * REPLACE ({now} AS known_at, employees / 1000 AS employees) FROM memory.main.accounts "
        f"WHERE NOT ({_from(us)}) QUALIFY ROW_NUMBER() OVER (PARTITION BY account_id ORDER BY known_at DESC) = 1"
    )
    _view(
        connection,
        "accounts",
        f"CASE WHEN {_from(us)} THEN employees / 1000 ELSE employees END AS employees",
        more=again,
    )


def _log_breaks(connection: duckdb.DuckDBPyConnection, us: int) -> None:
    _view(connection, "events", "source AS source", f"NOT ({_from(us)} AND source = 'site')")


def _type_stops(kind: str) -> Callable[[duckdb.DuckDBPyConnection, int], None]:
    def plant(connection: duckdb.DuckDBPyConnection, us: int) -> None:
        _view(connection, "events", "source AS source", f"NOT ({_from(us)} AND source = 'site' AND type = '{kind}')")

    return plant


def _type_renamed(connection: duckdb.DuckDBPyConnection, us: int) -> None:
    new = f"CASE WHEN {_from(us)} AND type = 'form_submit' THEN 'form_sent' ELSE type END AS type"
    _view(connection, "events", new)


def _base_rate_doubles(connection: duckdb.DuckDBPyConnection, us: int) -> None:
    """As many lost deals as there are won ones become won, chosen by a hash, from the moment on."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE turned AS
        SELECT lead_id, known_at FROM memory.main.outcomes WHERE {_from(us)} AND outcome = 'lost'
        AND COALESCE(LOWER(reason), '') <> 'duplicate'
        QUALIFY ROW_NUMBER() OVER (PARTITION BY EPOCH_US(known_at) // 604800000000 ORDER BY HASH(lead_id)) <=
            (SELECT COUNT(*) FROM memory.main.outcomes AS o WHERE o.outcome = 'won'
             AND EPOCH_US(o.known_at) // 604800000000 = EPOCH_US(memory.main.outcomes.known_at) // 604800000000)
        """
    )
    won = "CASE WHEN (lead_id, known_at) IN (FROM turned) THEN 'won' ELSE outcome END AS outcome"
    _view(connection, "outcomes", won)


FAULTS: tuple[Fault, ...] = (
    Fault("a source stops", "source_stopped", "leads.source: webinar", _source_stops),
    Fault("a field goes empty", "field_emptied", "leads.country", _field_empties),
    Fault("a category is renamed", "category_renamed", "leads.source", _category_renamed),
    Fault("a unit changes", "unit_changed", "accounts.employees", _unit_changes),
    Fault("engagement logging breaks", "logging_broken", "events.source: site", _log_breaks),
    Fault(
        "the most frequent type of event stops",
        "event_type_stopped",
        "events.type: page_view of site",
        _type_stops("page_view"),
    ),
    Fault(
        "a rare type of event stops",
        "event_type_stopped",
        "events.type: demo_request of site",
        _type_stops("demo_request"),
    ),
    Fault("a type of event is renamed", "category_renamed", "events.type of site", _type_renamed),
    Fault("the base rate doubles", "base_rate_moved", "outcomes: won", _base_rate_doubles),
)
