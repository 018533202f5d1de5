"""What must hold in every warehouse, as plain SQL that raises: no library of checks has to be installed for it.

A broken invariant is a fault of clew or a file that somebody changed, never bad luck with an export: bad rows are
quarantined at import.
"""
# ruff: noqa: S608 - only names of the contract are put into the SQL

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.clock import MINUTE_US, to_us
from data.clock import now as present
from data.errors import DataError
from data.expressions import NON_NEGATIVE
from data.tables import TABLES, Table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import duckdb

    from data.warehouse import Warehouse

__all__ = ["Invariant", "InvariantReport", "check_invariants", "invariants"]

_TOLERANCE_US = 5 * MINUTE_US  # what the import lets pass as two clocks that differ


@dataclass(frozen=True)
class Invariant:
    """A claim about one table and the SQL that counts the rows against it."""

    table: str
    claim: str
    violations: str


@dataclass(frozen=True)
class InvariantReport:
    """How many claims were held against the rows, and what is allowed but worth knowing.

    `unknown_leads` counts, by table, the rows that speak of a lead the warehouse does not have.
    """

    checked: int
    unknown_leads: Mapping[str, int]


def invariants(table: Table, now_us: int) -> tuple[Invariant, ...]:
    """Return the invariants of a table; `now_us` is the present in microseconds UTC.

    Examples
    --------
    >>> [i.claim for i in invariants(TABLES["outcomes"], 0)][:2]
    ['keys are unique', 'lead_id is filled']
    """
    name, keys = table.name, ", ".join(table.key)
    repeated = f"SELECT count(*) - 1 AS n FROM {name} GROUP BY {keys} HAVING count(*) > 1"
    found = [Invariant(name, "keys are unique", f"SELECT coalesce(sum(n), 0) FROM ({repeated})")]
    claims = {f"{column.name} is filled": f"{column.name} IS NULL" for column in table.columns if column.required}
    if table.happened:
        claims[f"known_at is not before {table.happened}"] = f"known_at < {table.happened}"
        claims[f"{table.happened} is not in the future"] = f"epoch_us({table.happened}) > {now_us + _TOLERANCE_US}"
    claims["known_at is not after recorded_at"] = f"epoch_us(known_at) > epoch_us(recorded_at) + {_TOLERANCE_US}"
    if table.name == "outcomes":
        claims["outcome is won, lost or open again"] = "outcome NOT IN ('won', 'lost', 'open')"
    for column in table.columns:
        if column.kind == "number":
            claims[f"{column.name} is finite"] = f"NOT isfinite({column.name})"
        if column.name in NON_NEGATIVE:
            claims[f"{column.name} is not negative"] = f"{column.name} < 0"
    found += [
        Invariant(name, claim, f"SELECT count(*) FROM {name} WHERE {against}") for claim, against in claims.items()
    ]
    return tuple(found)


def check_invariants(warehouse: Warehouse, *, now: datetime | None = None) -> InvariantReport:
    """Hold every invariant against the warehouse and its parts against their hashes.

    Raises
    ------
    DataError
        If one is broken: it names the table, the claim and how many rows break it.
    InfrastructureError
        If a part is gone.
    """
    warehouse.verify()
    now_us = to_us(now or present())
    claims = [claim for table in TABLES.values() for claim in invariants(table, now_us)]
    with warehouse.connect() as con:
        broken = [(claim, count) for claim in claims if (count := _count(con, claim.violations))]
        if broken:
            listed = "; ".join(f"{claim.table}: {claim.claim}, broken by {count} row(s)" for claim, count in broken)
            raise DataError(f"the warehouse breaks its contract: {listed}", hint="restore it and import again")
        unknown = {name: _count(con, _unknown_leads(name)) for name in _OF_LEADS}
    return InvariantReport(len(claims), {name: count for name, count in unknown.items() if count})


_OF_LEADS = ("events", "stages", "outcomes", "contacts", "actions", "merges")


def _unknown_leads(table: str) -> str:
    return f"SELECT count(*) FROM {table} t ANTI JOIN leads l ON t.lead_id = l.lead_id"


def _count(con: duckdb.DuckDBPyConnection, query: str) -> int:
    ((count,),) = con.execute(query).fetchall()
    return int(count)
