"""Judged rows are kept as they were, and two runs are joined on the rows that both judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from data.errors import DataError, InfrastructureError
from tests.model.judgements import synthetic_judgement
from training.evaluation.judged import SPINE, judged_table, read_judged, shared_rows, write_judged

if TYPE_CHECKING:
    from pathlib import Path

    from training.evaluation.judging import Judgement


@pytest.fixture(scope="module")
def judgement() -> Judgement:
    return synthetic_judgement(1500)


def table_of(leads: list[str], **more: list[object]) -> pa.Table:
    """Return judged rows of one list."""
    same = {"as_of_us": [5] * len(leads), "period_us": [5] * len(leads), "cluster": leads}
    return pa.table({"lead_id": leads, **same, "y_obs": [0] * len(leads), "m": [0.5] * len(leads), **more})


def test_the_table_holds_each_judged_row_with_every_method(judgement: Judgement, tmp_path: Path) -> None:
    path = write_judged(judged_table(judgement), tmp_path / "new" / "judged.parquet")
    table = read_judged(path)
    assert table.column_names == [*SPINE, *judgement.predictions]
    assert table["y_obs"].to_pylist() == judgement.y_obs.tolist()
    assert table["lead_id"].to_pylist() == judgement.spine["lead_id"].tolist()
    assert table["period_us"].to_pylist() == judgement.spine["as_of_us"].tolist()
    for name, y_pred in judgement.predictions.items():
        assert np.array_equal(table[name].to_numpy(), y_pred)


def test_two_runs_share_the_rows_of_the_same_lead_at_the_same_moment(judgement: Judgement) -> None:
    whole = judged_table(judgement)
    half = whole.filter(pa.array(np.arange(len(whole)) % 2 == 0))
    shared = shared_rows(whole, half.take(np.arange(len(half))[::-1]), method="clew", newer="second")
    assert len(shared) == len(half)
    assert shared.changed == 0
    assert np.array_equal(shared.first, shared.second)
    assert sorted(shared.first.tolist()) == sorted(half["clew"].to_pylist())
    apart = whole.set_column(1, "as_of_us", pa.array(whole["as_of_us"].to_numpy() + 1))
    assert len(shared_rows(whole, apart, method="clew", newer="second")) == 0


def test_outcomes_are_those_of_the_newer_run_and_changes_are_counted() -> None:
    before = table_of(["a", "b", "c"], y_obs=[0, 0, 1])
    after = table_of(["c", "b", "a"], y_obs=[1, 1, 0], cluster=["x", "y", "z"])
    as_known = shared_rows(before, after, method="m", newer="second")
    assert (as_known.y_obs.tolist(), as_known.changed) == ([0, 1, 1], 1)
    assert as_known.clusters.tolist() == ["z", "y", "x"]
    as_it_was = shared_rows(before, after, method="m", newer="first")
    assert (as_it_was.y_obs.tolist(), as_it_was.clusters.tolist()) == ([0, 0, 1], ["a", "b", "c"])


def test_what_cannot_be_joined_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did not judge 'n'"):
        shared_rows(table_of(["a"]), table_of(["a"]), method="n", newer="second")
    (tmp_path / "broken.parquet").write_bytes(b"x")
    with pytest.raises(DataError, match=r"no Parquet file that can be read"):
        read_judged(tmp_path / "broken.parquet")
    write_judged(table_of(["a"]).drop_columns(["cluster"]), tmp_path / "less.parquet")
    with pytest.raises(DataError, match="cluster is missing"):
        read_judged(tmp_path / "less.parquet")
    with pytest.raises(InfrastructureError, match="cannot be written"):
        write_judged(table_of(["a"]), tmp_path / "broken.parquet" / "judged.parquet")
