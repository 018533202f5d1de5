"""How leads are handed over and put together: what sales did with each lead, and which duplicates the CRM merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from data.clock import HOUR_US, MINUTE_US
from data.simulator.arrays import exponential_us, moments, words
from data.simulator.export import lead_ids
from data.simulator.sales import REASONS, STAGES

if TYPE_CHECKING:
    from data.simulator.export import World

__all__ = ["action_table", "merge_table"]

_KINDS = ("assigned", "accepted", "called")
_MERGED_SHARE = 0.6


def action_table(rng: np.random.Generator, world: World) -> pa.Table:
    """Return `actions.csv`, as far as entered before the export: each call, and the hand-over that came before it.

    A lead is assigned when it was created and accepted somewhere between that and the call.
    """
    stages = world.stages
    calls = np.flatnonzero(stages.stage == STAGES.index("called"))
    record, called = stages.record[calls], stages.at[calls]
    created = np.minimum(world.records.created[record], called)
    accepted = created + (rng.random(len(calls)) * (called - created)).astype(np.int64) // 1_000_000 * 1_000_000
    at = np.concatenate([created, accepted, called])
    kind = np.repeat(np.arange(len(_KINDS)), len(calls))
    entered = np.concatenate([at[: 2 * len(calls)] + MINUTE_US, stages.entered[calls]])
    record, actor = np.tile(record, len(_KINDS)), np.tile(stages.actor[calls], len(_KINDS))
    rows = np.flatnonzero(entered < world.calendar.end)
    rows = rows[np.lexsort((kind[rows], record[rows], entered[rows]))]
    return pa.table(
        {
            "Activity ID": pa.array([f"T-{number:07d}" for number in range(1, len(rows) + 1)], pa.string()),
            "Lead ID": pa.array(lead_ids(world.records)[record[rows]], pa.string()),
            "Activity": pa.array(words(_KINDS)[kind[rows]], pa.string()),
            "Date": pa.array(moments(at[rows]), pa.string()),
            "Entered At": pa.array(moments(entered[rows]), pa.string()),
            "Owner ID": pa.array([f"U-{number:02d}" for number in actor[rows]], pa.string()),
        }
    )


def merge_table(rng: np.random.Generator, world: World) -> pa.Table:
    """Return `merges.csv`: most of the records closed as duplicates were merged into the one sales went on with."""
    outcomes, records = world.outcomes, world.records
    closed = np.flatnonzero(~outcomes.won & (outcomes.reason == REASONS.index("duplicate")))
    survivor = records.survivor[records.person[outcomes.record[closed]]]
    chosen = (rng.random(len(closed)) < _MERGED_SHARE) & (survivor != outcomes.record[closed])
    rows, survivor = closed[chosen], survivor[chosen]
    entered = outcomes.at[rows] + exponential_us(rng, 1.0 * HOUR_US, len(rows))
    told = np.flatnonzero(entered < world.calendar.end)
    order = told[np.lexsort((outcomes.record[rows][told], entered[told]))]
    return pa.table(
        {
            "Lead ID": pa.array(lead_ids(records)[outcomes.record[rows[order]]], pa.string()),
            "Merged Into": pa.array(lead_ids(records)[survivor[order]], pa.string()),
            "Date": pa.array(moments(outcomes.at[rows[order]]), pa.string()),
            "Entered At": pa.array(moments(entered[order]), pa.string()),
        }
    )
