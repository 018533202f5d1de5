"""The dear steps of a monthly run, kept in its journal and read back: what was prepared, and what was judged."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from data.settings import Plan
from features.catalogue import Catalogue
from features.snapshots import SnapshotCounts
from features.training_set import TrainingSet, table_digest
from training.evaluation.judging import Judgement, judged_as
from training.learning.recipe import Choices, Rows
from training.learning.splits import judge_split
from training.learning.young import as_known
from training.run import Prepared, frames

if TYPE_CHECKING:
    from features.scorecard import Scorecard
    from training.monthly.journal import Journal

__all__ = ["keep_judgement", "keep_prepared", "kept_judgement", "kept_prepared"]


def keep_prepared(journal: Journal, prepared: Prepared) -> None:
    """Write pairs, open leads and what describes them; the description last, as it says that the rest is there."""
    journal.write_table("pairs", prepared.training_set.table)
    journal.write_table("open", _table_of(prepared.open_rows))
    journal.write(
        "prepared",
        {
            "digest": prepared.training_set.digest,
            "cutoff_us": prepared.cutoff_us,
            "catalogue": prepared.training_set.catalogue.model_dump(mode="json"),
            "counts": asdict(prepared.training_set.counts),
            "plan": prepared.plan.model_dump(mode="json"),
        },
    )


def kept_prepared(journal: Journal, scorecard: Scorecard) -> Prepared | None:
    """Return what was prepared, None where it is not there or not what was written."""
    told, pairs, opened = journal.read("prepared"), journal.read_table("pairs"), journal.read_table("open")
    if told is None or pairs is None or opened is None or table_digest(pairs) != told["digest"]:
        return None
    catalogue = Catalogue.model_validate(told["catalogue"])
    training_set = TrainingSet(pairs, catalogue, SnapshotCounts(**told["counts"]), told["cutoff_us"])
    rows, young = as_known(frames(pairs, catalogue), told["cutoff_us"])
    plan = Plan.model_validate(told["plan"])
    return Prepared(training_set, rows, young, frames(opened, catalogue), plan, scorecard)


def keep_judgement(journal: Journal, judgement: Judgement, champion: str | None) -> None:
    """Write the probabilities of every method, of the open leads, the choices, and beside which champion."""
    journal.write_table("judged_predictions", pa.table({k: pa.array(v) for k, v in judgement.predictions.items()}))
    journal.write_table("open_predictions", pa.table({"probability": pa.array(judgement.open_predictions)}))
    journal.write("judged", {"choices": judgement.choices.as_dict(), "champion": champion})


def kept_judgement(
    journal: Journal, prepared: Prepared, champion: str | None, *, capacity: int, seed: int
) -> Judgement | None:
    """Return what was judged, None where it is not there or was beside another champion.

    The scoreboard is drawn anew from the probabilities.
    """
    told = journal.read("judged")
    judged, opened = journal.read_table("judged_predictions"), journal.read_table("open_predictions")
    if told is None or told["champion"] != champion or judged is None or opened is None:
        return None
    split = judge_split(prepared.rows.spine, prepared.plan)
    predictions = {name: np.asarray(judged[name].to_numpy(), np.float64) for name in judged.column_names}
    return judged_as(
        prepared.rows,
        split,
        Choices.from_dict(told["choices"]),
        predictions,
        np.asarray(opened["probability"].to_numpy(), np.float64),
        monthly=prepared.plan.judge_age_days is None,
        capacity=capacity,
        seed=seed,
    )


def _table_of(rows: Rows) -> pa.Table:
    """Return open leads as a table with the types of their features."""
    columns = {"lead_id": pa.array(rows.spine["lead_id"].tolist(), pa.string())}
    columns["as_of_us"] = pa.array(rows.spine["as_of_us"].tolist(), pa.int64())
    for feature in rows.catalogue.features:
        kind = pa.float64() if feature.kind == "numeric" else pa.string()
        values = rows.frame[feature.name]
        columns[feature.name] = pa.array(values.where(values.notna(), None).tolist(), kind, from_pandas=True)
    return pa.table(columns)
