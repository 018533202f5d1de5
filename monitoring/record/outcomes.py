"""What had become of the leads that were scored by a moment, and whether hot ones were worked in time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data.clock import DAY_US, MINUTE_US
from features.snapshots import person_outcomes, settle_us
from features.sql import prepare_people

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from numpy.typing import NDArray

    from data.settings import Plan
    from monitoring.record.given import Given, HotLead

__all__ = ["Outcomes", "Worked", "measure_worked", "read_outcomes"]

# What is done to a lead without anybody having spoken to it.
_NO_WORK = ("assigned", "recycled", "vanished", "reappeared")


@dataclass(frozen=True)
class Outcomes:
    """For each score whether it counts, whether it has matured, and whether the lead was won within the horizon.

    Not counted are scores of leads that had ended by their moment, that nobody has imported, or that turned out to be
    the same person as another one of that month. `won` of a young score says what is known so far.
    """

    counted: NDArray[np.bool_]
    mature: NDArray[np.bool_]
    won: NDArray[np.int64]
    cluster: NDArray[np.object_]


def read_outcomes(connection: duckdb.DuckDBPyConnection, given: Given, plan: Plan, *, as_of_us: int) -> Outcomes:
    """Return what had become of the scores by what was known at `as_of`.

    A score matures when its horizon and the usual delay of entering outcomes have passed, as labels of training do; a
    young one is never counted as lost.

    Parameters
    ----------
    connection
        With the warehouse's views.
    given
        The scores.
    plan
        Goal and horizon.
    as_of_us
        The moment of knowledge, microseconds UTC.
    """
    prepare_people(connection)
    person_outcomes(connection, known_by_us=as_of_us, goal=plan.goal)
    entered = settle_us(connection, cutoff_us=as_of_us, goal=plan.goal)
    settle = entered if plan.settle_days is None else round(plan.settle_days * DAY_US)
    horizon = round(plan.horizon_days * DAY_US)
    pairs = {"place": np.arange(len(given)), "lead_id": given.lead_id, "as_of_us": given.as_of_us, "month": given.month}
    connection.register("scored", pa.table({name: pa.array(values) for name, values in pairs.items()}))
    rows = connection.execute(
        """
        SELECT s.place, COALESCE(p.primary_id, '') AS person, p.primary_id IS NOT NULL
                 AND COALESCE(o.goal_us > s.as_of_us, TRUE) AND COALESCE(o.lost_us > s.as_of_us, TRUE)
                 AND ROW_NUMBER() OVER (PARTITION BY p.primary_id, s.month ORDER BY s.lead_id <> p.primary_id, s.place)
                     = 1 AS counted,
               CASE WHEN o.goal_us > s.as_of_us AND o.goal_us <= s.as_of_us + $horizon THEN 1 ELSE 0 END AS won
        FROM scored AS s
        LEFT JOIN people AS p ON p.lead_id = s.lead_id AND p.from_us <= $as_of
             AND (p.until_us IS NULL OR p.until_us > $as_of)
        LEFT JOIN person_outcomes AS o ON o.lead_id = p.primary_id
        ORDER BY s.place
        """,
        {"horizon": horizon, "as_of": as_of_us},
    ).fetchnumpy()
    connection.unregister("scored")
    return Outcomes(
        np.asarray(rows["counted"], bool),
        given.as_of_us + horizon + settle <= as_of_us,
        np.asarray(rows["won"], np.int64),
        np.asarray(rows["person"], object),
    )


@dataclass(frozen=True)
class Worked:
    """Of the leads that became hot: how many were answered within their limit, later, or not at all so far.

    Leads whose limit has not passed yet do not count. `median_minutes` is of those that were answered.
    """

    hot: int
    in_time: int
    late: int
    never: int
    median_minutes: float | None

    @property
    def share(self) -> float | None:
        """The share answered in time, None without hot leads."""
        return self.in_time / self.hot if self.hot else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "share_in_time": self.share}


def measure_worked(connection: duckdb.DuckDBPyConnection, hot: Sequence[HotLead], *, as_of_us: int) -> Worked:
    """Return how soon somebody dealt with the leads that became hot, by what was known at `as_of`.

    Parameters
    ----------
    connection
        With the warehouse's views.
    hot
        The leads and their limits.
    as_of_us
        The moment of knowledge, microseconds UTC.
    """
    due = [lead for lead in hot if lead.since_us + lead.minutes * MINUTE_US <= as_of_us]
    if not due:
        return Worked(0, 0, 0, 0, None)
    columns = {"place": range(len(due)), "lead_id": [d.lead_id for d in due], "since_us": [d.since_us for d in due]}
    connection.register("hot_leads", pa.table({name: pa.array(values) for name, values in columns.items()}))
    silent = ", ".join(f"'{kind}'" for kind in _NO_WORK)
    rows = connection.execute(
        f"""
        SELECT h.place, MIN(CASE WHEN EPOCH_US(a.occurred_at) >= h.since_us AND EPOCH_US(a.known_at) <= {as_of_us}
                                  AND a.type NOT IN ({silent}) THEN EPOCH_US(a.occurred_at) - h.since_us END) AS took
        FROM hot_leads AS h LEFT JOIN actions AS a ON a.lead_id = h.lead_id
        GROUP BY h.place ORDER BY h.place
        """  # noqa: S608 - a number and words of this module
    ).fetchall()
    connection.unregister("hot_leads")
    took = [(lead.minutes, us / MINUTE_US) for lead, (_, us) in zip(due, rows, strict=True) if us is not None]
    in_time = sum(minutes <= limit for limit, minutes in took)
    median = float(np.median([minutes for _, minutes in took])) if took else None
    return Worked(len(due), in_time, len(took) - in_time, len(due) - len(took), median)
