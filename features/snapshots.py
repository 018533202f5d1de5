"""Which leads are photographed when, and what became of them: snapshots, labels and their maturity."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from data.clock import DAY_US, from_us, parse_moment, to_us
from data.errors import DataError
from features.sql import only_row, prepare_people

if TYPE_CHECKING:
    import duckdb

    from data.settings import Plan

__all__ = ["SnapshotCounts", "month_starts", "open_leads", "person_outcomes", "settle_us", "take_snapshots"]


@dataclass(frozen=True)
class SnapshotCounts:
    """What became of the photographed pairs: labelled, or dropped and why.

    `duplicates` are open pairs of a lead that by the cutoff turned out to be the same person as another open one of
    that moment.
    """

    labelled: int
    won: int
    closed: int
    closed_but_not_known_then: int
    immature: int
    duplicates: int = 0


_STAGES = {"won": (), "opportunity": ("opportunity",), "sql": ("sql", "opportunity")}  # those that reach the goal


def month_starts(start_us: int, end_us: int, timezone: str) -> tuple[int, ...]:
    """Return the first moment of each month in the zone, within `[start_us, end_us]`.

    Examples
    --------
    >>> months = month_starts(0, 60 * DAY_US, "UTC")
    >>> [from_us(us).date().isoformat() for us in months]
    ['1970-01-01', '1970-02-01', '1970-03-01']
    """
    zone = ZoneInfo(timezone)
    first = from_us(start_us).astimezone(zone)
    year, month, found = first.year, first.month, list[int]()
    while True:
        us = to_us(datetime(year, month, 1, tzinfo=zone).astimezone(UTC))
        if us > end_us:
            return tuple(found)
        if us >= start_us:
            found.append(us)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)


def person_outcomes(connection: duckdb.DuckDBPyConnection, *, known_by_us: int, goal: str) -> None:
    """Make `person_outcomes(lead_id, goal_us, won_known_us, lost_us, lost_known_us)`, by what was known then.

    `goal_us` is when each person first reached the goal, `lost_us` when its primary lead was first lost, each with the
    moment that became known. Of corrected outcomes the last one known counts; one that says `open` again leaves none. A
    person is won at the first win of any of its leads, merged ones included. A win also reaches the earlier goals, and
    an opportunity reaches `sql`: whoever skips a stage has passed it.
    """
    _prepare_endings(connection, goal)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE person_outcomes AS
        SELECT lead_id, MIN(goal_us) AS goal_us, MIN_BY(known_us, goal_us) AS won_known_us,
               MIN(lost_us) AS lost_us, MIN_BY(known_us, lost_us) AS lost_known_us
        FROM (SELECT p.primary_id AS lead_id,
                     CASE WHEN e.reaches = 1 THEN e.at_us END AS goal_us,
                     CASE WHEN e.reaches = 0 AND e.ends = 1 AND p.lead_id = p.primary_id THEN e.at_us END AS lost_us,
                     MIN(e.known_us) AS known_us
              FROM people AS p JOIN endings AS e ON e.lead_id = p.lead_id
              WHERE e.known_us <= $known_by AND (e.next_us IS NULL OR e.next_us > $known_by)
                AND {_in_force("p", "$known_by")}
              GROUP BY ALL) AS told
        GROUP BY lead_id
        """,  # noqa: S608 - nothing is inserted but this module's own SQL
        {"known_by": known_by_us},
    )


def _in_force(people: str, moment: str) -> str:
    """Return SQL for the stretch of `people` that holds at a moment."""
    return f"{people}.from_us <= {moment} AND ({people}.until_us IS NULL OR {people}.until_us > {moment})"


def _prepare_endings(connection: duckdb.DuckDBPyConnection, goal: str) -> None:
    """Make `endings`: every outcome and goal stage of each lead, believed from `known_us` until `next_us`.

    `reaches` marks the goal, `ends` what leaves nothing to predict where it happens to a person's primary lead (the
    goal, a win, or a loss for another reason than being a duplicate), `closes` the end of that one lead. An outcome
    that says `open` takes back the one before and is no ending itself. A lead that full exports no longer hold is on
    nobody's list: it is closed without having been lost.
    """
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE endings AS
        SELECT lead_id, at_us, known_us, next_us,
               CASE WHEN outcome = 'won' THEN 1 ELSE 0 END AS reaches,
               CASE WHEN outcome = 'lost' AND COALESCE(LOWER(reason), '') = 'duplicate' THEN 0 ELSE 1 END AS ends,
               1 AS closes
        FROM (SELECT lead_id, outcome, reason, EPOCH_US(closed_at) AS at_us, EPOCH_US(known_at) AS known_us,
                     LEAD(EPOCH_US(known_at)) OVER (PARTITION BY lead_id ORDER BY known_at) AS next_us
              FROM outcomes) AS said
        WHERE outcome <> 'open'
        UNION ALL
        SELECT lead_id, EPOCH_US(occurred_at), EPOCH_US(known_at), NULL, 1, 1, 0
        FROM stages WHERE LOWER(stage) IN (SELECT UNNEST($stages::VARCHAR[]))
        UNION ALL
        SELECT lead_id, at_us, known_us, next_us, 0, 0, 1
        FROM (SELECT lead_id, type, EPOCH_US(occurred_at) AS at_us, EPOCH_US(known_at) AS known_us,
                     LEAD(EPOCH_US(known_at)) OVER (PARTITION BY lead_id ORDER BY known_at, action_id) AS next_us
              FROM actions WHERE type IN ('vanished', 'reappeared')) AS seen
        WHERE type = 'vanished'
        """,
        {"stages": list(_STAGES[goal])},
    )


def _closed_pairs(known_by: str, person: str) -> str:
    """Return SQL for the pairs of `photographs` that were closed at `as_of`, by what was known at `known_by`.

    Closed is a person with an ending, or with an end of every lead that had begun and was not merged away: a lead that
    comes later cannot open an earlier pair. `person` is the column with the primary lead as known at `known_by`.
    """
    standing = "p.t0_us <= x.as_of_us AND (p.away_us IS NULL OR p.away_us > x.as_of_us)"
    return f"""
        SELECT x.lead_id, x.as_of_us
        FROM photographs AS x
        JOIN people AS p ON p.primary_id = x.{person} AND {_in_force("p", known_by)}
        LEFT JOIN endings AS e
          ON e.lead_id = p.lead_id AND e.at_us <= x.as_of_us AND e.known_us <= {known_by}
         AND (e.next_us IS NULL OR e.next_us > {known_by})
        GROUP BY x.lead_id, x.as_of_us
        HAVING MAX(CASE WHEN e.reaches = 1 OR (e.ends = 1 AND p.lead_id = p.primary_id) THEN 1 END) = 1
            OR COUNT(DISTINCT CASE WHEN {standing} THEN p.lead_id END)
             = COUNT(DISTINCT CASE WHEN {standing} AND e.closes = 1 THEN p.lead_id END)
        """  # noqa: S608 - the callers pass names of columns or a number


def settle_us(connection: duckdb.DuckDBPyConnection, *, cutoff_us: int, goal: str = "won") -> int:
    """Return the 95th percentile of the delay with which outcomes are entered, in microseconds; 0 without any.

    For a goal before the win the stages that reach it count as well. What was known before its date counts as entered
    without delay: a label may not mature before its horizon ends. A deal that is opened again is no outcome.
    """
    (delay_us,) = only_row(
        connection,
        """
        SELECT QUANTILE_DISC(GREATEST(known_us - at_us, 0), 0.95)
        FROM (SELECT EPOCH_US(known_at) AS known_us, EPOCH_US(closed_at) AS at_us
              FROM outcomes WHERE outcome <> 'open'
              UNION ALL
              SELECT EPOCH_US(known_at), EPOCH_US(occurred_at)
              FROM stages WHERE LOWER(stage) IN (SELECT UNNEST($stages::VARCHAR[]))) AS entered
        WHERE known_us <= $cutoff
        """,
        {"cutoff": cutoff_us, "stages": list(_STAGES[goal])},
    )
    return int(delay_us or 0)


def take_snapshots(
    connection: duckdb.DuckDBPyConnection, plan: Plan, *, cutoff_us: int, timezone: str, immature: bool = False
) -> SnapshotCounts:
    """Make `spine(row_id, lead_id, as_of_us, y_obs, ...)`: every matured, labelled pair by the cutoff.

    `(lead, as_of)` is labelled 1 if the goal is reached in `(as_of, as_of + horizon]`, else 0. Pairs closed by `as_of`
    are dropped and counted, also when that became known only later; so are pairs that were believed closed then and
    reopened afterwards, as they stood on no list of open leads. Of several open pairs of one moment that are one person
    by the cutoff, one is kept: that of the primary lead, else the earliest. A pair is mature when `as_of + horizon +
    settle` lies at or before the cutoff; immature pairs are never counted as lost.

    `won_known_us` is when the win behind a label of 1 became known, `lost_known_us` when a loss within the horizon did:
    so a label can be had as an earlier moment knew it. With `immature` the spine also holds the pairs that are too
    young, labelled as far as the cutoff knows; `mature_us` tells them apart.

    Raises
    ------
    DataError
        If there are no leads by the cutoff.
    """
    prepare_people(connection)
    person_outcomes(connection, known_by_us=cutoff_us, goal=plan.goal)
    settle = (
        settle_us(connection, cutoff_us=cutoff_us, goal=plan.goal)
        if plan.settle_days is None
        else round(plan.settle_days * DAY_US)
    )
    (first_us,) = only_row(connection, "SELECT MIN(t0_us) FROM people WHERE t0_us <= $cutoff", {"cutoff": cutoff_us})
    if first_us is None:
        raise DataError("there are no leads by the cutoff", hint="import leads first, or move --as-of")
    months = month_starts(first_us, cutoff_us, timezone) if plan.monthly else ()
    _photograph(connection, plan, months, cutoff_us)
    return _label(connection, plan, cutoff_us=cutoff_us, settle=settle, immature=immature)


def _photograph(connection: duckdb.DuckDBPyConnection, plan: Plan, months: tuple[int, ...], cutoff_us: int) -> None:
    """Make `photographs`: the primary leads of each moment, at each age and on the first day of each month.

    `final_id` is the primary lead of the same person as the cutoff knows it.
    """
    ages = [round(days * DAY_US) for days in plan.ages_days]
    created_from = to_us(parse_moment(plan.created_from)) if plan.created_from else -(2**63)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE photographs AS
        WITH primaries AS (
            SELECT lead_id, t0_us, created_us, from_us, until_us FROM people
            WHERE lead_id = primary_id AND from_us <= $cutoff AND created_us >= $created_from),
        taken AS (
            SELECT lead_id, t0_us, created_us, from_us, until_us, t0_us + age_us AS as_of_us, 0 AS monthly, age_us
            FROM primaries, (SELECT UNNEST($ages::BIGINT[]) AS age_us) AS ages
            UNION ALL
            SELECT lead_id, t0_us, created_us, from_us, until_us, as_of_us, 1 AS monthly, NULL AS age_us
            FROM primaries, (SELECT UNNEST($months::BIGINT[]) AS as_of_us) AS months)
        SELECT t.lead_id, t.t0_us, t.created_us, t.as_of_us, MAX(f.primary_id) AS final_id,
               MAX(t.monthly) AS monthly, MAX(t.age_us) AS age_us
        FROM taken AS t JOIN people AS f ON f.lead_id = t.lead_id AND {_in_force("f", "$cutoff")}
        WHERE t.as_of_us <= $cutoff AND {_in_force("t", "t.as_of_us")}
        GROUP BY t.lead_id, t.t0_us, t.created_us, t.as_of_us
        """,  # noqa: S608 - nothing is inserted but this module's own SQL
        {"cutoff": cutoff_us, "created_from": created_from, "ages": ages, "months": list(months)},
    )


def _label(
    connection: duckdb.DuckDBPyConnection, plan: Plan, *, cutoff_us: int, settle: int, immature: bool
) -> SnapshotCounts:
    horizon = round(plan.horizon_days * DAY_US)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE labelled AS
        SELECT x.*, x.as_of_us + $horizon AS label_closes_us, x.as_of_us + $horizon + $settle AS mature_us,
               c.lead_id IS NOT NULL AS closed, t.lead_id IS NOT NULL AS closed_then,
               c.lead_id IS NULL AND t.lead_id IS NULL AS is_open,
               CASE WHEN o.goal_us > x.as_of_us AND o.goal_us <= x.as_of_us + $horizon THEN 1 ELSE 0 END AS y_obs,
               CASE WHEN o.goal_us > x.as_of_us AND o.goal_us <= x.as_of_us + $horizon THEN o.won_known_us END
               AS won_known_us,
               CASE WHEN o.lost_us > x.as_of_us AND o.lost_us <= x.as_of_us + $horizon THEN o.lost_known_us END
               AS lost_known_us
        FROM photographs AS x
        LEFT JOIN person_outcomes AS o ON o.lead_id = x.final_id
        LEFT JOIN ({_closed_pairs(str(cutoff_us), "final_id")}) AS c
          ON c.lead_id = x.lead_id AND c.as_of_us = x.as_of_us
        LEFT JOIN ({_closed_pairs("x.as_of_us", "lead_id")}) AS t
          ON t.lead_id = x.lead_id AND t.as_of_us = x.as_of_us
        """,  # noqa: S608 - the only value is a number
        {"horizon": horizon, "settle": settle},
    )
    _find_repeated(connection)
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE spine AS
        SELECT ROW_NUMBER() OVER (ORDER BY b.as_of_us, b.lead_id) AS row_id, b.lead_id, b.as_of_us, b.t0_us,
               b.created_us, b.monthly, b.age_us, b.label_closes_us, b.mature_us, b.y_obs, b.won_known_us,
               b.lost_known_us,
               COALESCE(v.account_id, 'lead:' || b.final_id) AS cluster
        FROM labelled AS b
        LEFT JOIN lead_versions AS v
          ON v.lead_id = b.lead_id AND v.usable_us <= b.as_of_us AND (v.next_us IS NULL OR v.next_us > b.as_of_us)
        LEFT JOIN repeated AS r ON r.lead_id = b.lead_id AND r.as_of_us = b.as_of_us
        WHERE b.is_open AND r.lead_id IS NULL AND (b.mature_us <= $cutoff OR $immature)
        """,
        {"cutoff": cutoff_us, "immature": immature},
    )
    return _count(connection, cutoff_us)


def _find_repeated(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `repeated`: open pairs beside another open one of the same moment and, as the cutoff knows, person."""
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE repeated AS
        SELECT lead_id, as_of_us
        FROM (SELECT lead_id, as_of_us,
                     ROW_NUMBER() OVER (PARTITION BY final_id, as_of_us
                                        ORDER BY CASE WHEN lead_id = final_id THEN 0 ELSE 1 END,
                                                 t0_us, created_us, lead_id) AS place
              FROM labelled
              WHERE is_open AND final_id IN (SELECT final_id FROM labelled WHERE lead_id <> final_id)) AS placed
        WHERE place > 1
        """
    )


def _count(connection: duckdb.DuckDBPyConnection, cutoff_us: int) -> SnapshotCounts:
    row = only_row(
        connection,
        """
        SELECT COUNT(CASE WHEN is_kept AND mature_us <= $cutoff THEN 1 END),
               COUNT(CASE WHEN is_kept AND mature_us <= $cutoff AND y_obs = 1 THEN 1 END),
               COUNT(CASE WHEN NOT is_open THEN 1 END),
               COUNT(CASE WHEN closed AND NOT closed_then THEN 1 END),
               COUNT(CASE WHEN is_kept AND mature_us > $cutoff THEN 1 END),
               COUNT(CASE WHEN is_open AND NOT is_kept THEN 1 END)
        FROM (SELECT b.*, b.is_open AND r.lead_id IS NULL AS is_kept
              FROM labelled AS b LEFT JOIN repeated AS r ON r.lead_id = b.lead_id AND r.as_of_us = b.as_of_us) AS pairs
        """,
        {"cutoff": cutoff_us},
    )
    return SnapshotCounts(*row)


def open_leads(connection: duckdb.DuckDBPyConnection, *, as_of_us: int, goal: str = "won") -> int:
    """Make `spine(row_id, lead_id, as_of_us)` of the leads open by all that is known at `as_of`; count them."""
    prepare_people(connection)
    _prepare_endings(connection, goal)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE photographs AS
        SELECT p.lead_id, $as_of::BIGINT AS as_of_us FROM people AS p
        WHERE p.lead_id = p.primary_id AND {_in_force("p", "$as_of")}
        """,  # noqa: S608 - nothing is inserted but this module's own SQL
        {"as_of": as_of_us},
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE spine AS
        SELECT ROW_NUMBER() OVER (ORDER BY x.lead_id) AS row_id, x.lead_id, x.as_of_us
        FROM photographs AS x
        WHERE x.lead_id NOT IN (SELECT lead_id FROM ({_closed_pairs("x.as_of_us", "lead_id")}) AS closed)
        """,  # noqa: S608 - nothing is inserted but this module's own SQL
    )
    (number,) = only_row(connection, "SELECT COUNT(*) FROM spine")
    return int(number)
