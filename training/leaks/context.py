"""From the warehouse to what the leak finder needs beside the training set, read at the end of the data.

An export says what a lead looks like on the day it was made. A lead that was open at an earlier cutoff may have closed
since and been overwritten, so today's list is that of the last day of which the data tell, whatever the cutoff.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.clock import DAY_US
from data.errors import DataError
from features.profile import months_back, photograph_months
from training.leaks.evidence import subjects_of
from training.leaks.facts import end_of_data_us, event_timings, lead_states, moves_of
from training.leaks.material import Context
from training.learning.recipe import Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb
    import pandas as pd

    from data.settings import Plan
    from features.catalogue import Catalogue
    from features.engine import FeatureComputer

__all__ = ["todays_leads"]

_MOST_TODAY = 10_000  # of today's list, and of the leads that closed lately: shares are known to one point
_MOST_A_LIST = 2_000  # of each earlier list, for plans without monthly ones
_LISTS = 12
_SOON = 0.1  # of the horizon: what happens so shortly before most closings belongs to the closing


def todays_leads(
    connection: duckdb.DuckDBPyConnection,
    compute: FeatureComputer,
    catalogue: Catalogue,
    plan: Plan,
    *,
    cutoff_us: int,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Rows | None, Context]:
    """Return the leads open at the end of the data with their features, and what became of all others.

    Leaves another `spine` behind than it found.

    Parameters
    ----------
    connection
        With the warehouse's views.
    compute, catalogue, plan
        As the training set was built with them.
    cutoff_us
        Microseconds UTC; counts where the data name no moment at all.
    progress
        Told what is being done.
    """
    at_us = end_of_data_us(connection, cutoff_us=cutoff_us)
    progress("leak finder: what became of every lead")
    states = lead_states(connection, at_us=at_us, goal=plan.goal)
    window_us = round(_SOON * plan.horizon_days * DAY_US)
    timings = event_timings(connection, at_us=at_us, window_us=window_us)
    columns = {one.column for one in subjects_of(catalogue) if one.column}
    moves = moves_of(connection, columns, at_us=at_us)
    since_us = at_us - round((plan.horizon_days + 60) * DAY_US)
    _photograph_now(connection, at_us=at_us, since_us=since_us)
    progress("leak finder: today's open leads")
    now = _described(connection, compute, catalogue)
    still = now.spine["lead_id"].isin(states.loc[states["state"] == "open", "lead_id"]).to_numpy()
    past = None
    if not plan.monthly and still.any():
        progress("leak finder: earlier lists")
        past = _earlier_lists(connection, compute, catalogue, states, at_us=at_us)
    open_rows = now.take(still) if still.any() else None
    return open_rows, Context(states, now.take(~still), past, timings, moves)


def _photograph_now(connection: duckdb.DuckDBPyConnection, *, at_us: int, since_us: int) -> None:
    """Make `spine` of the leads open now and of those that came lately and have closed; of many, a sample."""
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE spine AS
        SELECT ROW_NUMBER() OVER (ORDER BY lead_id) AS row_id, lead_id, $at::BIGINT AS as_of_us
        FROM (SELECT lead_id, ROW_NUMBER() OVER (PARTITION BY state = 'open' ORDER BY md5(lead_id), lead_id) AS place
              FROM lead_states WHERE state = 'open' OR t0_us >= $since) AS drawn
        WHERE place <= $most
        """,
        {"at": at_us, "since": since_us, "most": _MOST_TODAY},
    )


def _described(connection: duckdb.DuckDBPyConnection, compute: FeatureComputer, catalogue: Catalogue) -> Rows:
    from training.run import frames

    return frames(compute(connection, catalogue), catalogue)


def _earlier_lists(
    connection: duckdb.DuckDBPyConnection,
    compute: FeatureComputer,
    catalogue: Catalogue,
    states: pd.DataFrame,
    *,
    at_us: int,
) -> Rows | None:
    """Return the leads open on the same day of the months before, with who has won since."""
    moments = months_back(at_us, catalogue.timezone, _LISTS + 1)[:-1]
    alive = states["t0_us"].to_numpy()
    closed = np.nan_to_num(states["closed_us"].to_numpy(np.float64, na_value=np.nan), nan=np.inf)
    moments = tuple(us for us in moments if ((alive <= us) & (closed > us)).any())
    if not moments:
        return None
    try:
        photograph_months(connection, moments, most=_MOST_A_LIST)
    except DataError:
        return None  # no lead was open a month ago by what was known then
    found = _described(connection, compute, catalogue)
    won = states.loc[states["state"] == "won", "lead_id"]
    spine = found.spine.assign(y_obs=found.spine["lead_id"].isin(won).astype(np.int64), monthly=1)
    known = spine["lead_id"].isin(states["lead_id"]).to_numpy()
    return Rows(found.frame, spine, catalogue).take(known)
