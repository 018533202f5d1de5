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
    """What became of the photographed pairs: labelled, or dropped and why."""

    labelled: int
    won: int
    closed: int
    closed_but_not_known_then: int
    immature: int


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
    """Make `person_outcomes(lead_id, goal_us)`: when each person reached the goal, by what was known then.

    Of corrected outcomes the last one known counts. A person is won at the first win of any of its leads. A win also
    reaches the earlier goals, and an opportunity reaches `sql`: whoever skips a stage has passed it.
    """
    _prepare_endings(connection, goal)
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE person_outcomes AS
        SELECT lead_id, MIN(at_us) AS goal_us FROM endings
        WHERE reaches = 1 AND t0_us <= $known_by AND known_us <= $known_by
          AND (next_us IS NULL OR next_us > $known_by)
        GROUP BY lead_id
        """,
        {"known_by": known_by_us},
    )


def _prepare_endings(connection: duckdb.DuckDBPyConnection, goal: str) -> None:
    """Make `endings`: every outcome and goal stage of a person's leads, believed from `known_us` until `next_us`.

    `reaches` marks the goal, `ends` what leaves nothing to predict for the person (the goal, a win, or the loss of the
    primary lead for another reason than being a duplicate), `closes` the end of that one lead.
    """
    stages = {"won": (), "opportunity": ("opportunity",), "sql": ("sql", "opportunity")}[goal]
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE endings AS
        SELECT p.primary_id AS lead_id, p.lead_id AS of_lead, p.t0_us, o.at_us, o.known_us, o.next_us,
               CASE WHEN o.outcome = 'won' THEN 1 ELSE 0 END AS reaches,
               CASE WHEN o.outcome = 'won' THEN 1
                    WHEN p.lead_id = p.primary_id AND COALESCE(LOWER(o.reason), '') <> 'duplicate' THEN 1
                    ELSE 0 END AS ends,
               1 AS closes
        FROM people AS p
        JOIN (SELECT lead_id, outcome, reason, EPOCH_US(closed_at) AS at_us, EPOCH_US(known_at) AS known_us,
                     LEAD(EPOCH_US(known_at)) OVER (PARTITION BY lead_id ORDER BY known_at) AS next_us
              FROM outcomes) AS o ON o.lead_id = p.lead_id
        UNION ALL
        SELECT p.primary_id, p.lead_id, p.t0_us, EPOCH_US(s.occurred_at), EPOCH_US(s.known_at), NULL, 1, 1, 0
        FROM people AS p JOIN stages AS s ON s.lead_id = p.lead_id
        WHERE LOWER(s.stage) IN (SELECT UNNEST($stages::VARCHAR[]))
        """,
        {"stages": list(stages)},
    )


def _closed_pairs(known_by: str) -> str:
    """Return SQL for the pairs of `photographs` that were closed at `as_of`, by what was known at `known_by`.

    Closed is a person with an ending, or with an end of every lead that had begun: a lead that comes later cannot open
    an earlier pair.
    """
    return f"""
        SELECT x.lead_id, x.as_of_us
        FROM photographs AS x
        JOIN people AS p ON p.primary_id = x.lead_id AND p.t0_us <= {known_by}
        LEFT JOIN endings AS e
          ON e.of_lead = p.lead_id AND e.at_us <= x.as_of_us AND e.known_us <= {known_by}
         AND (e.next_us IS NULL OR e.next_us > {known_by})
        GROUP BY x.lead_id, x.as_of_us
        HAVING MAX(e.ends) = 1
            OR COUNT(DISTINCT CASE WHEN p.t0_us <= x.as_of_us THEN p.lead_id END)
             = COUNT(DISTINCT CASE WHEN p.t0_us <= x.as_of_us AND e.closes = 1 THEN p.lead_id END)
        """  # noqa: S608 - the callers pass `as_of_us` or a number


def settle_us(connection: duckdb.DuckDBPyConnection, *, cutoff_us: int) -> int:
    """Return the 95th percentile of the delay with which outcomes are entered, in microseconds; 0 without outcomes.

    An outcome known before its date of closing counts as entered without delay: a label may not mature before its
    horizon ends.
    """
    (delay_us,) = only_row(
        connection,
        "SELECT QUANTILE_DISC(GREATEST(EPOCH_US(known_at) - EPOCH_US(closed_at), 0), 0.95) "
        "FROM outcomes WHERE EPOCH_US(known_at) <= $cutoff",
        {"cutoff": cutoff_us},
    )
    return int(delay_us or 0)


def take_snapshots(
    connection: duckdb.DuckDBPyConnection, plan: Plan, *, cutoff_us: int, timezone: str
) -> SnapshotCounts:
    """Make `spine(row_id, lead_id, as_of_us, y_obs, ...)`: every matured, labelled pair by the cutoff.

    `(lead, as_of)` is labelled 1 if the goal is reached in `(as_of, as_of + horizon]`, else 0. Pairs closed by `as_of`
    are dropped and counted, also when that became known only later; so are pairs that were believed closed then and
    reopened afterwards, as they stood on no list of open leads. A pair is mature when `as_of + horizon + settle` lies
    at or before the cutoff; immature pairs are never counted as lost.

    Raises
    ------
    DataError
        If there are no leads by the cutoff.
    """
    prepare_people(connection)
    person_outcomes(connection, known_by_us=cutoff_us, goal=plan.goal)
    settle = (
        settle_us(connection, cutoff_us=cutoff_us) if plan.settle_days is None else round(plan.settle_days * DAY_US)
    )
    (first_us,) = only_row(connection, "SELECT MIN(t0_us) FROM people WHERE t0_us <= $cutoff", {"cutoff": cutoff_us})
    if first_us is None:
        raise DataError("there are no leads by the cutoff", hint="import leads first, or move --as-of")
    months = month_starts(first_us, cutoff_us, timezone) if plan.monthly else ()
    _photograph(connection, plan, months, cutoff_us)
    return _label(connection, plan, cutoff_us=cutoff_us, settle=settle)


def _photograph(connection: duckdb.DuckDBPyConnection, plan: Plan, months: tuple[int, ...], cutoff_us: int) -> None:
    """Make `photographs(lead_id, as_of_us, monthly, age_us)`: at each age, and on the first day of each month."""
    ages = [round(days * DAY_US) for days in plan.ages_days]
    created_from = to_us(parse_moment(plan.created_from)) if plan.created_from else -(2**63)
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE photographs AS
        WITH primaries AS (
            SELECT lead_id, t0_us, created_us FROM people
            WHERE lead_id = primary_id AND t0_us <= $cutoff AND created_us >= $created_from)
        SELECT lead_id, t0_us, created_us, as_of_us, MAX(monthly) AS monthly, MAX(age_us) AS age_us
        FROM (SELECT lead_id, t0_us, created_us, t0_us + age_us AS as_of_us, 0 AS monthly, age_us
              FROM primaries, (SELECT UNNEST($ages::BIGINT[]) AS age_us) AS ages
              UNION ALL
              SELECT lead_id, t0_us, created_us, as_of_us, 1 AS monthly, NULL AS age_us
              FROM primaries, (SELECT UNNEST($months::BIGINT[]) AS as_of_us) AS months
              WHERE as_of_us >= t0_us) AS taken
        WHERE as_of_us <= $cutoff
        GROUP BY lead_id, t0_us, created_us, as_of_us
        """,
        {"cutoff": cutoff_us, "created_from": created_from, "ages": ages, "months": list(months)},
    )


def _label(connection: duckdb.DuckDBPyConnection, plan: Plan, *, cutoff_us: int, settle: int) -> SnapshotCounts:
    horizon = round(plan.horizon_days * DAY_US)
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE labelled AS
        SELECT x.*, x.as_of_us + $horizon AS label_closes_us, x.as_of_us + $horizon + $settle AS mature_us,
               c.lead_id IS NOT NULL AS closed, t.lead_id IS NOT NULL AS closed_then,
               CASE WHEN o.goal_us > x.as_of_us AND o.goal_us <= x.as_of_us + $horizon THEN 1 ELSE 0 END AS y_obs
        FROM photographs AS x
        LEFT JOIN person_outcomes AS o ON o.lead_id = x.lead_id
        LEFT JOIN ({_closed_pairs(str(cutoff_us))}) AS c ON c.lead_id = x.lead_id AND c.as_of_us = x.as_of_us
        LEFT JOIN ({_closed_pairs("x.as_of_us")}) AS t ON t.lead_id = x.lead_id AND t.as_of_us = x.as_of_us
        """,  # noqa: S608 - the only value is a number
        {"horizon": horizon, "settle": settle},
    )
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE spine AS
        SELECT ROW_NUMBER() OVER (ORDER BY b.as_of_us, b.lead_id) AS row_id, b.lead_id, b.as_of_us, b.t0_us,
               b.created_us, b.monthly, b.age_us, b.label_closes_us, b.mature_us, b.y_obs,
               COALESCE(v.account_id, 'lead:' || b.lead_id) AS cluster
        FROM labelled AS b
        LEFT JOIN lead_versions AS v
          ON v.lead_id = b.lead_id AND v.usable_us <= b.as_of_us AND (v.next_us IS NULL OR v.next_us > b.as_of_us)
        WHERE NOT b.closed AND NOT b.closed_then AND b.mature_us <= $cutoff
        """,
        {"cutoff": cutoff_us},
    )
    return _count(connection, cutoff_us)


def _count(connection: duckdb.DuckDBPyConnection, cutoff_us: int) -> SnapshotCounts:
    row = only_row(
        connection,
        """
        SELECT COUNT(CASE WHEN is_open AND mature_us <= $cutoff THEN 1 END),
               COUNT(CASE WHEN is_open AND mature_us <= $cutoff AND y_obs = 1 THEN 1 END),
               COUNT(CASE WHEN NOT is_open THEN 1 END),
               COUNT(CASE WHEN closed AND NOT closed_then THEN 1 END),
               COUNT(CASE WHEN is_open AND mature_us > $cutoff THEN 1 END)
        FROM (SELECT *, NOT closed AND NOT closed_then AS is_open FROM labelled) AS pairs
        """,
        {"cutoff": cutoff_us},
    )
    return SnapshotCounts(*row)


def open_leads(connection: duckdb.DuckDBPyConnection, *, as_of_us: int, goal: str = "won") -> int:
    """Make `spine(row_id, lead_id, as_of_us)` of the leads open by all that is known at `as_of`; count them."""
    prepare_people(connection)
    _prepare_endings(connection, goal)
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE photographs AS
        SELECT lead_id, $as_of::BIGINT AS as_of_us FROM people WHERE lead_id = primary_id AND t0_us <= $as_of
        """,
        {"as_of": as_of_us},
    )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE spine AS
        SELECT ROW_NUMBER() OVER (ORDER BY x.lead_id) AS row_id, x.lead_id, x.as_of_us
        FROM photographs AS x
        WHERE x.lead_id NOT IN (SELECT lead_id FROM ({_closed_pairs("x.as_of_us")}) AS closed)
        """,  # noqa: S608 - nothing is inserted but this module's own SQL
    )
    (number,) = only_row(connection, "SELECT COUNT(*) FROM spine")
    return int(number)
