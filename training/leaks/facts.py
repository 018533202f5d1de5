"""What the warehouse knows of each lead by its last day, for tests that need more than the training set.

A leak is what was written after the outcome, so these facts are read as of the end of the data and not of the cutoff:
a lead that was open at an earlier cutoff may have been overwritten since. They decide nothing but warnings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.clock import DAY_US
from features.snapshots import open_leads, person_outcomes
from features.sql import only_row
from features.sql_text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb
    import pandas as pd

__all__ = ["EventTiming", "Moves", "end_of_data_us", "event_timings", "lead_states", "moves_of"]


@dataclass(frozen=True)
class EventTiming:
    """When the leads' first event of a type came, beside their closing.

    `leads` had one, long enough ago to see what followed; of these `decided` closed within `window_us` after it or had
    closed before; `won` and `lost` are the outcomes of the decided ones; `after` came at or after the closing.
    """

    type: str
    leads: int
    decided: int
    won: int
    lost: int
    after: int
    window_us: int


@dataclass(frozen=True)
class Moves:
    """How often a column changed: leads whose value moved at or after their closing, and open leads in like time."""

    closed: int
    closed_moved: int
    open: int
    open_moved: int


def end_of_data_us(connection: duckdb.DuckDBPyConnection, *, cutoff_us: int) -> int:
    """Return the last moment of which the data tell, in microseconds UTC: the newest lead, event or outcome.

    Parameters
    ----------
    connection
        With the warehouse's views.
    cutoff_us
        What to return where there are no data.
    """
    (last_us,) = only_row(
        connection,
        """
        SELECT MAX(us) FROM (
            SELECT MAX(EPOCH_US(created_at)) AS us FROM leads UNION ALL
            SELECT MAX(EPOCH_US(occurred_at)) FROM events UNION ALL
            SELECT MAX(EPOCH_US(occurred_at)) FROM stages UNION ALL
            SELECT MAX(GREATEST(EPOCH_US(closed_at), EPOCH_US(known_at))) FROM outcomes) AS ends
        """,
    )
    return cutoff_us if last_us is None else int(last_us)


def lead_states(connection: duckdb.DuckDBPyConnection, *, at_us: int, goal: str) -> pd.DataFrame:
    """Return what had become of each person by a moment: won, lost or open, and when it closed.

    Leaves the tables `spine` of the open leads, `endings` and `person_outcomes` behind.

    Returns
    -------
    pandas.DataFrame
        `lead_id` (the primary lead), `t0_us`, `created_us`, `cluster`, `state`, `closed_us` (missing while open).
    """
    open_leads(connection, as_of_us=at_us, goal=goal)
    person_outcomes(connection, known_by_us=at_us, goal=goal)
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE lead_states AS
        WITH closings AS (
            SELECT lead_id, MAX(at_us) AS closed_us FROM endings
            WHERE known_us <= $at AND (next_us IS NULL OR next_us > $at) GROUP BY lead_id)
        SELECT p.lead_id, p.t0_us, p.created_us, COALESCE(v.account_id, 'lead:' || p.lead_id) AS cluster,
               CASE WHEN o.goal_us IS NOT NULL THEN 'won' WHEN s.lead_id IS NOT NULL THEN 'open' ELSE 'lost' END
                   AS state,
               CASE WHEN o.goal_us IS NOT NULL THEN o.goal_us WHEN s.lead_id IS NULL THEN c.closed_us END AS closed_us
        FROM people AS p
        LEFT JOIN person_outcomes AS o ON o.lead_id = p.lead_id
        LEFT JOIN spine AS s ON s.lead_id = p.lead_id
        LEFT JOIN closings AS c ON c.lead_id = p.lead_id
        LEFT JOIN lead_versions AS v
          ON v.lead_id = p.lead_id AND v.usable_us <= $at AND (v.next_us IS NULL OR v.next_us > $at)
        WHERE p.lead_id = p.primary_id AND p.from_us <= $at AND (p.until_us IS NULL OR p.until_us > $at)
        """,
        {"at": at_us},
    )
    found: pd.DataFrame = connection.sql("SELECT * FROM lead_states ORDER BY lead_id").df()
    return found


def event_timings(connection: duckdb.DuckDBPyConnection, *, at_us: int, window_us: int) -> dict[str, EventTiming]:
    """Return for each event type when its first event of each lead came beside the closing.

    Call it after `lead_states` of the same moment. An event counts with what became of its person.
    """
    rows = connection.execute(
        """
        WITH firsts AS (
            SELECT e.type, p.primary_id AS lead_id, MIN(EPOCH_US(e.occurred_at)) AS first_us
            FROM events AS e
            JOIN people AS p ON p.lead_id = e.lead_id AND p.from_us <= $at AND (p.until_us IS NULL OR p.until_us > $at)
            WHERE EPOCH_US(e.known_at) <= $at
            GROUP BY e.type, p.primary_id)
        SELECT f.type, COUNT(*),
               COUNT(CASE WHEN s.closed_us <= f.first_us + $window THEN 1 END),
               COUNT(CASE WHEN s.closed_us <= f.first_us + $window AND s.state = 'won' THEN 1 END),
               COUNT(CASE WHEN s.closed_us <= f.first_us + $window AND s.state = 'lost' THEN 1 END),
               COUNT(CASE WHEN s.closed_us <= f.first_us THEN 1 END)
        FROM firsts AS f JOIN lead_states AS s ON s.lead_id = f.lead_id
        WHERE f.first_us + $window <= $at
        GROUP BY f.type ORDER BY f.type
        """,
        {"at": at_us, "window": window_us},
    ).fetchall()
    found = {}
    for event_type, *counts in rows:
        leads, decided, won, lost, after = (int(number) for number in counts)
        found[str(event_type)] = EventTiming(str(event_type), leads, decided, won, lost, after, window_us)
    return found


def moves_of(connection: duckdb.DuckDBPyConnection, columns: Iterable[str], *, at_us: int) -> dict[str, Moves]:
    """Return how often columns of `leads` changed at or after the closing of a lead, and how often in open ones.

    Call it after `lead_states` of the same moment. Only changes from one value to another or from none to one count
    that were dated after the lead came, and of open leads those within as long a time as a closed lead's day of closing
    and the week after it: their last eight days.
    """
    names = sorted(set(columns))
    (several,) = only_row(connection, "SELECT COUNT(*) FROM (SELECT 1 FROM leads GROUP BY lead_id HAVING COUNT(*) > 1)")
    if not names or not several:
        return {}
    changed = ", ".join(f"{quoted(n)} IS DISTINCT FROM LAG({quoted(n)}) OVER w AS {quoted(n)}" for n in names)
    counted = ", ".join(
        f"COUNT(DISTINCT CASE WHEN s.state <> 'open' AND c.{quoted(n)} THEN s.lead_id END), "
        f"COUNT(DISTINCT CASE WHEN s.state = 'open' AND c.{quoted(n)} THEN s.lead_id END)"
        for n in names
    )
    row = only_row(
        connection,
        f"""
        WITH changes AS (
            SELECT lead_id, EPOCH_US(known_at) AS known_us, LAG(known_at) OVER w IS NULL AS is_first, {changed}
            FROM leads WHERE EPOCH_US(known_at) <= $at WINDOW w AS (PARTITION BY lead_id ORDER BY known_at))
        SELECT {counted}
        FROM changes AS c JOIN lead_states AS s ON s.lead_id = c.lead_id
        WHERE NOT c.is_first AND c.known_us BETWEEN COALESCE(s.closed_us, $at - 7 * {DAY_US}) - {DAY_US}
                                                AND COALESCE(s.closed_us + 7 * {DAY_US}, $at)
        """,  # noqa: S608 - names of columns are quoted
        {"at": at_us},
    )
    counts = only_row(
        connection,
        "SELECT COUNT(CASE WHEN state <> 'open' THEN 1 END), COUNT(CASE WHEN state = 'open' THEN 1 END) "
        "FROM lead_states",
    )
    closed, still = (int(n) for n in counts)
    return {n: Moves(closed, int(row[2 * k]), still, int(row[2 * k + 1])) for k, n in enumerate(names)}
