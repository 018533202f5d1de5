"""Little and odd data: a model that works, or an error in plain words; never a traceback of another kind."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import yaml

from data.errors import DataError
from data.importing import import_export
from data.mapping import load_mapping
from data.settings import Plan
from data.simulator import simulate
from data.warehouse import Warehouse
from features.catalogue import Catalogue
from features.scorecard import load_scorecard
from tests.model.conftest import CUTOFF, settings_in
from tests.model.rows import categorical, changed, numeric, synthetic_rows
from training.evaluation.judging import MODEL, Judgement, judge
from training.evaluation.metrics import log_loss
from training.learning.choosing import choose
from training.learning.recipe import Choices, Rows, fit_model
from training.run import train

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.bundles.bundle import Bundle


def judged(rows: Rows) -> Judgement:
    # What the rules read stands beside the features that the model sees.
    size = rows.frame.get("size")
    read = {"employees": size, "industry": "software", "seniority": None, "whitepaper_downloads_30d": 0.0}
    return judge(Rows(rows.frame.assign(**read), rows.spine, rows.catalogue), Plan(), load_scorecard(), capacity=5)


def assert_sane(judgement: Judgement) -> None:
    """Every prediction is a probability; the model is not far worse than telling everybody the win rate."""
    for name, predicted in judgement.predictions.items():
        assert np.isfinite(predicted).all(), name
        assert ((predicted > 0) & (predicted < 1)).all(), name
    y_obs = judgement.y_obs
    assert log_loss(y_obs, judgement.predictions[MODEL]) < log_loss(y_obs, judgement.predictions["prior"]) + 0.15


@pytest.mark.parametrize("seed", [1, 2])
def test_a_few_hundred_rows_without_any_fold_are_judged(seed: int) -> None:
    judgement = judged(synthetic_rows(160, seed=seed))
    assert judgement.choices.folds == 0
    assert_sane(judgement)
    assert "too few wins" in judgement.scoreboard.verdict()


def with_noise(rows: Rows, *, columns: int) -> Rows:
    """Add as many columns without meaning as a real catalogue has windows."""
    rng = np.random.default_rng(len(rows.frame))
    names = [f"noise_{k}" for k in range(columns)]
    noise = pd.DataFrame(rng.normal(size=(len(rows.frame), columns)), columns=names)
    catalogue = Catalogue(features=(*rows.catalogue.features, *(numeric(name) for name in names)))
    return Rows(pd.concat([rows.frame, noise], axis=1), rows.spine, catalogue)


def test_on_histories_too_short_for_a_choice_the_model_is_no_worse_than_the_prior() -> None:
    losses = []
    for seed in range(6):
        rows, later = (with_noise(synthetic_rows(n, seed=seed + n), columns=60) for n in (140, 800))
        choices = choose(rows, monthly_only=True)
        assert choices.folds == 0
        model = fit_model(rows, choices)
        margin = model.margin(model.encoding.tree_matrix(later.frame))
        rate = np.full(800, rows.y_obs.mean())
        losses.append(log_loss(later.y_obs, 1 / (1 + np.exp(-margin))) - log_loss(later.y_obs, rate))
    assert np.mean(losses) < 0.01


def test_a_base_rate_of_a_half_is_nothing_special() -> None:
    rows = synthetic_rows(400, seed=5)
    judgement = judged(changed(rows, y_obs=np.arange(400) % 2))
    assert_sane(judgement)
    assert judgement.predictions["prior"].mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("won", [0, 1])
def test_one_class_only_is_refused_in_plain_words(won: int) -> None:
    rows = synthetic_rows(400, seed=6)
    with pytest.raises(DataError, match="rows to fit with"):
        judged(changed(rows, y_obs=np.full(400, won)))


def test_judged_rows_of_one_class_are_judged_as_far_as_that_goes() -> None:
    rows = synthetic_rows(400, seed=6)
    last = rows.spine["as_of_us"].to_numpy() > rows.spine["as_of_us"].quantile(0.6)
    judgement = judged(changed(rows, y_obs=np.where(last, 0, rows.y_obs)))
    assert judgement.scoreboard.wins == 0
    assert np.isfinite(judgement.scoreboard.figure(MODEL, "log_loss")["value"])


def test_a_single_win_to_fit_is_enough_not_to_break() -> None:
    rows = synthetic_rows(300, seed=7)
    first = int(np.flatnonzero(rows.spine["as_of_us"] == rows.spine["as_of_us"].min())[0])
    alone = (np.arange(300) == first).astype(np.int64)
    late = rows.spine["as_of_us"].to_numpy() > rows.spine["as_of_us"].quantile(0.9)
    assert judged(changed(rows, y_obs=np.where(late, rows.y_obs, alone))).predictions[MODEL].max() < 0.5


def odd_columns(count: int) -> tuple[pd.DataFrame, Catalogue]:
    rng = np.random.default_rng(8)
    holes = rng.random(count) < 0.6
    kinds = []
    frame = pd.DataFrame(
        {
            "constant": np.ones(count),
            "empty": np.full(count, np.nan),
            "unique": rng.permutation(count).astype(float),
            "sparse": np.where(holes, np.nan, rng.normal(size=count)),
            "huge": rng.lognormal(20, 8, count),
            "tiny": rng.normal(size=count) * 1e-12,
            "spike": (np.arange(count) == 3).astype(float),
            "name": [f"lead {k}" for k in range(count)],
            "sparse_name": [None if hole else "ab"[k % 2] for k, hole in enumerate(holes)],
            "one_name": ["only"] * count,
            "no_name": [None] * count,
        }
    )
    for name in (str(column) for column in frame):
        if name.endswith("name"):
            frame[name] = frame[name].astype(object)
            kinds.append(categorical(name))
        else:
            kinds.append(numeric(name, scale="log" if name == "huge" else "linear"))
    return frame, Catalogue(features=tuple(kinds))


def test_constant_unique_empty_sparse_and_huge_columns_do_no_harm() -> None:
    rows = synthetic_rows(500, seed=8)
    frame, odd = odd_columns(500)
    catalogue = Catalogue(features=(*rows.catalogue.features, *odd.features))
    assert_sane(judged(Rows(pd.concat([rows.frame, frame], axis=1), rows.spine, catalogue)))


def test_columns_of_which_60_percent_are_missing_do_no_harm() -> None:
    rows = synthetic_rows(500, seed=9)
    rng = np.random.default_rng(9)
    frame = rows.frame.copy()
    for name in frame:
        frame.loc[rng.random(500) < 0.6, name] = None if name == "source" else np.nan
    assert_sane(judged(changed(rows, frame=frame)))


def test_without_a_single_feature_the_model_is_the_win_rate() -> None:
    rows = synthetic_rows(400, seed=10)
    blank = rows.frame.assign(size=1.0, visits=np.nan, silence=0.0, source=None, noise=7.0).astype({"source": object})
    judgement = judged(changed(rows, frame=blank))
    for month in np.unique(judgement.spine["as_of_us"]):
        of_month = judgement.spine["as_of_us"].to_numpy() == month
        assert np.ptp(judgement.predictions[MODEL][of_month]) == 0
    assert_sane(judgement)


def test_one_account_for_all_leads_leaves_something_to_fit() -> None:
    rows = synthetic_rows(400, seed=11)
    assert_sane(judged(Rows(rows.frame, rows.spine.assign(cluster="a"), rows.catalogue)))


def test_a_feature_known_only_of_late_leads_does_not_break_the_early_folds() -> None:
    rows = synthetic_rows(900, seed=12)
    only = Catalogue(features=(numeric("late"),))
    late = np.where(rows.spine["as_of_us"] > rows.spine["as_of_us"].quantile(0.5), np.arange(900.0) % 7, np.nan)
    alone = Rows(pd.DataFrame({"late": late}), rows.spine, only)
    choices = choose(alone, monthly_only=True)
    assert isinstance(choices, Choices)
    fit_model(alone, choices)


def test_a_small_teams_leads_give_a_bundle_that_holds_its_golden_leads(little_bundle: Bundle) -> None:
    little_bundle.recheck()
    assert 0 < little_bundle.manifest["judged"]["wins"] < 40
    probabilities = [little_bundle.answer_values({}, profile_only=only).probability for only in (False, True)]
    assert all(0.001 <= p <= 0.5 for p in probabilities)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(leads=300, seed=5, out=tmp_path_factory.mktemp("small"), end=CUTOFF).export


def imported(export: Path, folder: Path, change: Callable[[Path], None]) -> Path:
    """Import an export after a change of its files; return the home."""
    shutil.copytree(export, folder / "export")
    change(folder / "export")
    mapping = load_mapping(folder / "export" / "mapping.yaml")
    import_export(folder / "export", mapping, Warehouse(folder / "warehouse"), now=CUTOFF)
    return folder


def trained(home: Path) -> Bundle:
    settings = settings_in(home)
    return train(Warehouse(settings.warehouse_dir), settings, as_of=CUTOFF).bundle


def test_a_team_that_keeps_no_event_log_gets_a_model_of_profiles(export: Path, tmp_path: Path) -> None:
    def no_events(folder: Path) -> None:
        mapping = yaml.safe_load((folder / "mapping.yaml").read_text("utf-8"))
        del mapping["files"]["events"], mapping["tables"]["events"]
        (folder / "mapping.yaml").write_text(yaml.safe_dump(mapping), "utf-8")

    bundle = trained(imported(export, tmp_path, no_events))
    bundle.recheck()
    assert "events" not in {bundle.catalogue.feature(name).needs for name in bundle.full.model.encoding.names}


@pytest.mark.parametrize("outcome", ["Closed Won", "Closed Lost"])
def test_a_team_with_one_kind_of_outcome_is_told_so_or_served(export: Path, tmp_path: Path, outcome: str) -> None:
    def one_kind(folder: Path) -> None:
        outcomes = pd.read_csv(folder / "outcomes.csv", dtype=str, keep_default_na=False)
        outcomes.assign(Outcome=outcome).to_csv(folder / "outcomes.csv", index=False)

    home = imported(export, tmp_path, one_kind)
    if outcome == "Closed Lost":
        with pytest.raises(DataError, match="0 won"):
            trained(home)
        return
    # Who has not won yet still counts as not won within the horizon.
    trained(home).recheck()


def test_an_empty_warehouse_and_one_of_young_leads_are_told_what_is_missing(little_home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no leads by the cutoff"):
        train(Warehouse(tmp_path), settings_in(tmp_path), as_of=CUTOFF)
    settings = settings_in(little_home)
    early = CUTOFF - timedelta(days=24 * 30 - 20)
    with pytest.raises(DataError) as caught:
        train(Warehouse(settings.warehouse_dir), settings, as_of=early)
    assert caught.value.hint
