"""A store with very many open leads, written straight into SQLite's tables: copies of some that were really scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from data.store.schema import CURRENT_SCORES, FACTS, LISTED

if TYPE_CHECKING:
    from data.store import Store

__all__ = ["multiply"]

# Every chance differs, and 7919 is prime: which copy stands where has nothing to do with the order of the ids.
_CHANCE = "0.6 * power(((n.i * 7919) % :count + 0.5) / :count, 3)"
_CHANGED = {
    "lead_id": "printf('M-%06d', n.i)",
    "place": _CHANCE,
    "probability": _CHANCE,
    "words": "printf('m-%06d copy %d', n.i, n.i)",
    "person_id": "NULL",
}
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT :start UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)"


def multiply(store: Store, count: int) -> None:
    """Add copies of the listed leads until `count` leads are listed; a copy shares the score of its original."""

    def work(connection: sa.Connection) -> None:
        connection.execute(
            sa.text("CREATE TEMP TABLE originals AS SELECT lead_id, row_number() OVER () - 1 AS k FROM listed")
        )
        start = connection.execute(sa.text("SELECT COUNT(*) FROM originals")).scalar_one()
        told = {"start": start, "count": count}
        for table in (FACTS["leads"], CURRENT_SCORES, LISTED):
            connection.execute(sa.text(_copying(table)), told)
        connection.execute(sa.text("DROP TABLE originals"))

    store.write(work)


def _copying(table: sa.Table) -> str:
    changed = {name: told for name, told in _CHANGED.items() if table is LISTED or name in {"lead_id", "person_id"}}
    values = [changed.get(column.name, f"t.{column.name}") for column in table.columns]
    names = ", ".join(column.name for column in table.columns)
    # Of a lead with several versions one is enough.
    rows = f"(SELECT * FROM {table.name} GROUP BY lead_id)"  # noqa: S608 - only names of this repository
    return (
        f"INSERT INTO {table.name} ({names}) {_NUMBERS} SELECT {', '.join(values)} FROM n "  # noqa: S608 - as above
        f"JOIN originals AS o ON o.k = n.i % :start JOIN {rows} AS t ON t.lead_id = o.lead_id"
    )
