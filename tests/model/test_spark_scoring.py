"""Scores on Spark are the scores of one machine, bit by bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from data.errors import DataError
from features.memory import evaluate
from features.spark import quietly
from tests.model.test_batch import table_of
from tests.service.bundles import AS_OF_US, random_facts, small_bundle
from training.bundles.batch import score_table
from training.bundles.spark_scoring import score_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from training.bundles.bundle import Bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def table(bundle: Bundle) -> pa.Table:
    rng = np.random.default_rng(12)
    return table_of(bundle, [evaluate(bundle.catalogue, random_facts(rng), AS_OF_US) for _ in range(3000)])


@pytest.fixture(scope="module")
def frame(spark: SparkSession, table: pa.Table) -> DataFrame:
    with quietly():
        return spark.createDataFrame(table).repartition(5)


def by_lead(answers: pa.Table) -> pa.Table:
    return answers.replace_schema_metadata(None).sort_by("lead_id").combine_chunks()


@pytest.mark.parametrize(("profile_only", "reasons"), [(False, 0), (True, 2)])
def test_scores_on_spark_are_those_of_one_machine_to_the_last_bit(
    bundle: Bundle, frame: DataFrame, table: pa.Table, profile_only: bool, reasons: int
) -> None:
    with quietly():
        found = score_frame(frame, bundle, profile_only=profile_only, reasons=reasons).toArrow()
    expected = by_lead(score_table(bundle, table, profile_only=profile_only, reasons=reasons))
    assert len(set(expected["score"].to_pylist())) > 50
    assert by_lead(found).to_pydict() == expected.to_pydict()
    assert found.schema.names == expected.schema.names


def test_a_frame_without_a_feature_is_refused_before_anything_runs(bundle: Bundle, frame: DataFrame) -> None:
    name = bundle.full.model.encoding.names[0]
    with pytest.raises(DataError, match=f"lacks 1 column.*{name}"):
        score_frame(frame.drop(name), bundle)


def test_a_bundle_that_was_changed_on_disk_is_not_shipped(
    frame: DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = small_bundle(tmp_path_factory.mktemp("changed"), seed=6)
    path = changed.folder / "model.json"
    path.write_text(path.read_text("utf-8").replace("1.1", "1.2"), "utf-8")
    with pytest.raises(DataError, match=r"model\.json has been changed"):
        score_frame(frame, changed)
