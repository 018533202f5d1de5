"""Exports of any size for the tests of scale and of crashes: events with repeats, contradictions and damage, leads."""
# ruff: noqa: S608 - names and paths of the test itself

from __future__ import annotations

from pathlib import Path

import duckdb

from data.mapping import Mapping
from tests.data.exports import LEADS_HEADER, mapping

DAYS = 300  # before November 2026
EVENTS_SQL = """
WITH numbered AS (SELECT i, CASE WHEN hash(i) % 50 = 0 AND i >= 90 THEN i - 90 ELSE i END AS k
                  FROM range({first}, {last}) t(i))
SELECT 'e' || k AS "EventId", 'L' || (hash(k) % {leads}) AS "Lead",
       CASE WHEN k <> i AND hash(i + 1) % 3 = 0 THEN 'other' ELSE 'type ' || (hash(k + 2) % 7) END AS "Type",
       CASE WHEN i % 997 = 5 THEN 'yesterday' ELSE strftime(make_timestamp(CAST(1767225600000000 +
            ((k * 7919) % {span}) * 1000000 AS BIGINT)), '%Y-%m-%dT%H:%M:%SZ') END AS "At"
FROM numbered ORDER BY i
"""
LEADS_SQL = """
SELECT 'L' || i AS a, strftime(make_timestamp(CAST(1767225600000000 + (hash(i) % 2000000) * 1000000 AS BIGINT)),
       '%Y-%m-%dT%H:%M:%SZ') AS b, 'web' AS c, 'VP ' || (i % 50) AS d, 'open' AS e, CAST(i % 900 AS VARCHAR) AS f,
       CASE WHEN i % 4 = 0 THEN 'won' END AS g, CASE WHEN i % 4 = 0 THEN '2026-09-01T00:00:00Z' END AS h,
       'Name ' || i AS j, 'p' || i || '@firm.example' AS k, NULL AS l FROM range({leads}) t(i) ORDER BY i
"""


def write_big(folder: Path, *, events: int, leads: int, first: int = 0, parquet: bool = False) -> Path:
    """Write `events` rows of a log from row `first` on, and `leads` leads; 2 % of the rows repeat an earlier key."""
    folder.mkdir(parents=True, exist_ok=True)
    query = EVENTS_SQL.format(first=first, last=first + events, leads=leads, span=DAYS * 86_400)
    names = ", ".join(
        f'{letter} AS "{name}"' for letter, name in zip("abcdefghjkl", LEADS_HEADER.split(","), strict=True)
    )
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        kind = "(FORMAT parquet)" if parquet else "(HEADER)"
        con.execute(f"COPY ({query}) TO '{folder / ('events.parquet' if parquet else 'events.csv')}' {kind}")
        con.execute(
            f"COPY (SELECT {names} FROM ({LEADS_SQL.format(leads=leads)})) TO '{folder / 'leads.csv'}' (HEADER)"
        )
    return folder


def big_mapping(*, parquet: bool = False) -> Mapping:
    """Return the small mapping over such an export."""
    events = "events.parquet" if parquet else "events.csv"
    return mapping(files={"leads": {"path": "leads.csv"}, "events": {"path": events}})
