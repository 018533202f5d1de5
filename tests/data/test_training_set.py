"""A training set is the same to the byte whatever the order, threads and chunks, and whatever became known after it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from data.clock import to_us
from data.errors import DataError
from data.settings import Plan
from features.training_set import Sample, TrainingSet, build_training_set, table_digest
from tests.data.test_snapshots import START, lead, tables_of
from tests.reference.worlds import CATALOGUES, World, connect, load, random_world, shuffled, utc

if TYPE_CHECKING:
    from datetime import datetime

    from tests.reference.features import Tables

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def digest(tables: Tables, cutoff: datetime, *, threads: int = 1) -> str:
    plan = Plan(horizon_days=7, ages_days=(1, 7, 30, 60, 90))
    with connect(threads) as connection:
        load(connection, tables)
        built = build_training_set(connection, CATALOGUES["Europe/Amsterdam"], plan, cutoff_us=to_us(cutoff))
    assert built.counts.labelled == built.table.num_rows >= 10
    return built.digest


@pytest.fixture(scope="module")
def world() -> World:
    drawn = (random_world(seed, leads=8, events=120, outcomes=2) for seed in range(100))
    return next(world for world in drawn if world.timezone == "Europe/Amsterdam")


CUTOFF_OF_WORLD = utc(2026, 11, 20)


def test_a_training_set_does_not_depend_on_the_order_of_rows_or_the_number_of_threads(world: World) -> None:
    expected = digest(world.tables, CUTOFF_OF_WORLD)
    for seed in range(3):
        other = shuffled(world.tables, np.random.default_rng(seed).shuffle)
        assert digest(other, CUTOFF_OF_WORLD, threads=1 + seed) == expected


def test_a_training_set_does_not_depend_on_facts_that_became_known_after_its_cutoff(world: World) -> None:
    after = CUTOFF_OF_WORLD + MICROSECOND
    expected = digest(world.tables, CUTOFF_OF_WORLD)
    later = {name: [{**row, "known_at": after} for row in rows[:9]] for name, rows in world.tables.items()}
    for number, row in enumerate(later["events"]):
        row["event_id"] = f"later{number}"
    later["leads"] = list({row["lead_id"]: row for row in later["leads"]}.values())
    later["accounts"] = list({row["account_id"]: row for row in later["accounts"]}.values())
    later["outcomes"] = list({row["lead_id"]: {**row, "outcome": "won"} for row in later["outcomes"]}.values())
    later["stages"] = []
    assert all(later[name] for name in ("leads", "accounts", "events", "outcomes"))
    more = world.with_rows(**later).tables
    assert digest(more, CUTOFF_OF_WORLD) == expected
    assert digest(more, after) != expected


def test_a_changed_fact_changes_the_digest(world: World) -> None:
    fewer = {**world.tables, "events": [row for row in world.tables["events"] if row["type"] != "it's"]}
    renamed = {**world.tables, "leads": [{**row, "source": "other"} for row in world.tables["leads"]]}
    digests = {digest(tables, CUTOFF_OF_WORLD) for tables in (world.tables, fewer, renamed)}
    assert len(digests) == 3


def test_a_digest_does_not_depend_on_chunks_and_tells_missing_from_empty() -> None:

    whole = pa.table({"a": ["x", None, "", "yz"], "b": [1.0, None, 0.0, 2.0], "c": [True, None, False, True]})
    chunked = pa.concat_tables([whole[:1], whole[1:3], whole[3:]])
    assert table_digest(chunked) == table_digest(whole)
    others = [
        whole.set_column(0, "a", pa.array(["x", "", None, "yz"])),
        whole.set_column(0, "a", pa.array(["x", None, "y", "z"])),
        whole.set_column(1, "b", pa.array([1.0, 0.0, None, 2.0])),
        whole.set_column(1, "b", pa.array([1, None, 0, 2])),
        whole.rename_columns(["a", "b", "d"]),
        whole[:3],
    ]
    assert len({table_digest(table) for table in [whole, *others]}) == 1 + len(others)


def test_a_training_set_without_a_mature_pair_is_refused() -> None:
    with connect() as connection:
        load(connection, tables_of(leads=[lead("a")]))
        with pytest.raises(DataError, match="no snapshot has matured"):
            build_training_set(connection, CATALOGUES["UTC"], Plan(), cutoff_us=to_us(START + 30 * DAY))


def test_a_sample_holds_the_judged_months_whole_and_of_the_rest_as_many_as_asked_for(world: World) -> None:
    plan = Plan(horizon_days=7, ages_days=tuple(range(1, 60)))
    catalogue, cutoff_us = CATALOGUES["Europe/Amsterdam"], to_us(CUTOFF_OF_WORLD)

    def built(sample: Sample | None, threads: int = 1) -> TrainingSet:
        with connect(threads) as connection:
            load(connection, world.tables)
            return build_training_set(connection, catalogue, plan, cutoff_us=cutoff_us, immature=True, sample=sample)

    whole = built(None)
    from_us = to_us(utc(2026, 1, 1))
    sample = Sample(whole.table.num_rows // 3, whole_from_us=from_us)
    part = built(sample)
    assert part.digest == built(sample, threads=3).digest
    assert part.counts == whole.counts
    assert part.table["row_id"].to_pylist() == list(range(1, part.table.num_rows + 1))
    pairs = {(r["lead_id"], r["as_of_us"]): r for r in whole.table.drop_columns(["row_id"]).to_pylist()}
    kept = {(r["lead_id"], r["as_of_us"]): r for r in part.table.drop_columns(["row_id"]).to_pylist()}
    # What is described is described as before.
    assert kept.items() <= pairs.items()
    judged = {
        pair for pair, row in pairs.items()
        if row["monthly"] == 1 and row["mature_us"] <= cutoff_us and row["as_of_us"] >= from_us
    }  # fmt: skip
    assert judged
    assert judged <= set(kept)
    assert 0.2 < len(set(kept) - judged) / len(set(pairs) - judged) < 0.47
