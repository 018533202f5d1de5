"""One training run: what it seals, what later runs inherit, what it tells MLflow."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from data.clock import parse_moment
from data.settings import Plan
from data.warehouse import Warehouse
from tests.model.conftest import CUTOFF, settings_in
from training.bundles.bundle import Bundle, pointed_bundle
from training.bundles.sealing import point_at
from training.evaluation.judging import MODEL
from training.learning.recipe import log_odds
from training.learning.young import completed
from training.run import _measured, _thresholds, frames, plan_of, run_metrics, run_parameters, train

if TYPE_CHECKING:
    from pathlib import Path

    from tests.model.conftest import SimulatedWorld
    from training.learning.recipe import Rows
    from training.run import Prepared


def test_the_run_serves_nothing_by_itself(world: SimulatedWorld) -> None:
    assert world.trained.bundle.folder.parent == world.settings.bundles_dir
    assert pointed_bundle(world.settings.bundles_dir) is None


def test_the_manifest_tells_what_was_fitted_and_judged(world: SimulatedWorld, world_rows: Rows) -> None:
    manifest, trained = world.trained.bundle.manifest, world.trained
    assert manifest["newest_as_of"] == max(world_rows.spine["as_of_us"].map(as_iso))
    assert parse_moment(manifest["newest_as_of"]) + timedelta(days=90) <= CUTOFF
    assert manifest["judged"] == {"rows": len(trained.judgement.y_obs), "wins": int(trained.judgement.y_obs.sum())}
    assert manifest["little_data"] is False
    assert manifest["choices"]["alpha"] == trained.judgement.choices.alpha
    assert (manifest["goal"], manifest["horizon_days"], manifest["timezone"]) == ("won", 90.0, "UTC")
    assert not {"version", "run_id", "created_at"} & set(manifest)


def as_iso(us: int) -> str:
    from data.clock import from_us, iso

    return iso(from_us(us))


def test_the_shipped_model_is_fitted_on_all_pairs_and_the_judged_one_is_not(
    world: SimulatedWorld, world_prepared: Prepared
) -> None:
    sealed, choices = world.trained.bundle.full, world.trained.judgement.choices
    cutoff_us, world_rows = world.trained.cutoff_us, world_prepared.rows
    whole = completed(world_rows, world_prepared.young, at_us=cutoff_us, strength=choices.strength)
    assert len(whole.spine) > len(world_rows.spine)
    assert sealed.model.base == pytest.approx(log_odds(whole.decayed(choices.half_life_days)))
    judged = world_rows.take(world.trained.judgement.split.judged)
    refitted = 1 / (1 + np.exp(-sealed.logit(sealed.model.encoding.tree_matrix(judged.frame))))
    assert np.abs(refitted - world.trained.judged_probabilities).max() > 1e-3
    assert np.corrcoef(refitted, world.trained.judged_probabilities)[0, 1] > 0.6


def test_no_event_speaks_in_the_profile_only_model(world: SimulatedWorld) -> None:
    bundle = world.trained.bundle
    assert {bundle.catalogue.feature(name).needs for name in bundle.profile.model.encoding.names} == {"lead", "account"}
    assert "events" in {bundle.catalogue.feature(name).needs for name in bundle.full.model.encoding.names}


def test_withheld_columns_are_no_features(world: SimulatedWorld) -> None:
    assert not {"status", "owner_id", "custom_status_detail", "custom_contract_type"} & set(
        world.trained.bundle.catalogue.names
    )


def test_raw_features_keep_their_kinds(world_rows: Rows) -> None:
    for feature in world_rows.catalogue.features:
        column = world_rows.frame[feature.name]
        if feature.kind == "numeric":
            assert column.dtype == np.float64
        else:
            assert {type(value) for value in column} <= {str, type(None)}
    assert {"lead_id", "as_of_us", "mature_us", "y_obs", "cluster"} <= set(world_rows.spine.columns)
    assert not set(world_rows.spine.columns) & set(world_rows.catalogue.names)


def test_first_grades_share_the_judged_leads_one_two_three_four() -> None:
    judged = np.random.default_rng(0).random(1000)
    grades = _measured(_thresholds(judged), judged, np.zeros(1000, np.int64))
    assert [grade.grade for grade in grades] == ["A", "B", "C", "D"]
    assert [grade.judged for grade in grades] == pytest.approx([100, 200, 300, 400], abs=1)


def test_grades_tell_the_conversion_measured_in_each_with_its_interval() -> None:
    probabilities = np.array([0.9, 0.8, 0.5, 0.2, 0.1, 0.05])
    y_obs = np.array([1, 0, 1, 0, 0, 1])
    best, middle, none, rest = _measured([("A", 0.8), ("B", 0.3), ("C", 0.25), ("D", 0.0)], probabilities, y_obs)
    assert (best.judged, best.won, best.conversion) == (2, 1, 0.5)
    assert (middle.judged, middle.won, middle.conversion) == (1, 1, 1.0)
    assert (none.judged, none.conversion, none.low, none.high) == (0, None, None, None)
    assert (rest.judged, rest.won) == (3, 1)
    for grade in (best, middle, rest):
        assert grade.low is not None
        assert grade.high is not None
        assert grade.conversion is not None
        assert 0 <= grade.low <= grade.conversion <= grade.high <= 1


def test_metrics_and_parameters_name_every_method_and_choice(world: SimulatedWorld) -> None:
    trained = world.trained
    metrics = run_metrics(trained.judgement)
    parameters = run_parameters(
        trained.judgement.choices, trained.plan, trained.counts, cutoff_us=trained.cutoff_us, features=3
    )
    board = world.trained.judgement.scoreboard
    assert metrics[f"{MODEL}.log_loss"] == board.figure(MODEL, "log_loss")["value"]
    assert metrics["odoo_without_stage.roc_auc.low"] == board.figure("odoo without stage", "roc_auc")["low"]
    assert {name.split(".")[0] for name in metrics} == {method.replace(" ", "_") for method in board.methods}
    choices = world.trained.judgement.choices
    assert (parameters["alpha"], parameters["strength"], parameters["trees"]) == (
        choices.alpha,
        choices.strength,
        choices.trees,
    )
    assert parameters["pairs_labelled"] == asdict(world.trained.counts)["labelled"]


def test_the_settings_plan_comes_before_the_mappings_and_that_before_the_default(
    world: SimulatedWorld, tmp_path: Path
) -> None:
    silent = world.settings.model_copy(update={"plan": None})
    assert plan_of(silent, world.warehouse) == Plan(goal="won", horizon_days=90)
    own = Plan(horizon_days=30)
    assert plan_of(silent.model_copy(update={"plan": own}), world.warehouse) == own
    assert plan_of(silent, Warehouse(tmp_path)) == Plan()


def test_later_bundles_inherit_grades_and_quantiles_of_the_served_one_and_measure_them_anew(
    little_home: Path, little_bundle: Bundle
) -> None:
    settings = settings_in(little_home)
    point_at(settings.bundles_dir, "current", little_bundle.folder)
    try:
        later = train(Warehouse(settings.warehouse_dir), settings, as_of=CUTOFF - timedelta(days=40)).bundle
    finally:
        (settings.bundles_dir / "current").unlink()
    assert later.digest != little_bundle.digest
    assert later.quantiles == little_bundle.quantiles
    assert [(g.grade, g.at_least) for g in later.grades] == [(g.grade, g.at_least) for g in little_bundle.grades]
    assert [g.judged for g in later.grades] != [g.judged for g in little_bundle.grades]
    assert sum(g.judged for g in later.grades) == later.manifest["judged"]["rows"]


def test_an_empty_table_gives_no_rows_of_the_right_kinds(world: SimulatedWorld) -> None:
    import pyarrow as pa

    catalogue = world.trained.bundle.catalogue
    types = {f.name: pa.float64() if f.kind == "numeric" else pa.string() for f in catalogue.features}
    empty = pa.table({"lead_id": pa.array([], pa.string()), **{n: pa.array([], t) for n, t in types.items()}})
    rows = frames(empty, catalogue)
    assert len(rows.frame) == 0
    assert list(rows.frame.columns) == list(catalogue.names)
