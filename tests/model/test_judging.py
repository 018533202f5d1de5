"""Judged forward in time: nothing is chosen on judged rows, leaks are seen, and the simulator's truth is met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from data.clock import from_us
from data.settings import Plan
from features.catalogue import Catalogue
from features.scorecard import load_scorecard
from tests.model.rows import changed, numeric, synthetic_rows
from tests.model.test_recipe import text_of
from training.evaluation import judging, peers
from training.evaluation.judging import CHAMPION, MODEL, Judgement, judge
from training.evaluation.metrics import roc_auc
from training.learning import recipe
from training.learning.recipe import Rows
from training.learning.splits import judge_split

if TYPE_CHECKING:
    from tests.model.conftest import SimulatedWorld
    from training.learning.model import LinearTrees


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Judge without the dear peers, and hand out the model that was fitted at each origin."""
    # By the newest pair it learnt from: origins are judged side by side, in whatever order.
    fitted: dict[int, LinearTrees] = {}
    fit_model = recipe.fit_model

    def kept(learnt: Rows, *args: Any, **more: Any) -> LinearTrees:
        model = fitted[int(learnt.spine["as_of_us"].max())] = fit_model(learnt, *args, **more)
        return model

    monkeypatch.setattr(judging, "fit_model", kept)
    monkeypatch.setattr(judging, "default_peers", lambda _: (peers.OdooWithoutStage(),))

    def run(rows: Rows) -> tuple[Judgement, list[LinearTrees]]:
        fitted.clear()
        judgement = judge(rows, Plan(), load_scorecard(), capacity=10)
        return judgement, [fitted[newest] for newest in sorted(fitted)]

    return run


@pytest.mark.parametrize("number", [0, 2])
def test_nothing_that_was_not_known_at_an_origin_changes_a_choice_or_a_byte_of_its_model(
    judged: Any, number: int
) -> None:
    rows = synthetic_rows(1100, seed=1)
    before, models = judged(rows)
    moment = before.split.origins[number].at_us
    spine, rng = rows.spine.copy(), np.random.default_rng(0)
    later = np.flatnonzero(spine["as_of_us"] >= moment)
    frame = rows.frame.copy()
    frame.iloc[later] = frame.iloc[rng.permutation(later)].to_numpy()
    frame.loc[later, "noise"] *= 1000.0
    spine.loc[later, "y_obs"] = 1 - rng.permutation(spine.loc[later, "y_obs"].to_numpy())
    # What had begun by then may still turn into anything whose ending lies ahead.
    not_yet_won = (spine["as_of_us"] < moment) & (spine["mature_us"] > moment) & ~(spine["won_known_us"] <= moment)
    spine.loc[not_yet_won, "y_obs"] = rng.integers(0, 2, int(not_yet_won.sum()))
    spine.loc[not_yet_won, "won_known_us"] = spine["mature_us"] - 1
    spine.loc[(spine["as_of_us"] < moment) & (spine["won_known_us"] > moment), "lost_known_us"] = moment + 1
    after, others = judged(Rows(frame.astype(rows.frame.dtypes), spine, rows.catalogue))
    assert not_yet_won.any()
    assert after.choices == before.choices
    assert [text_of(model) for model in others[: number + 1]] == [text_of(model) for model in models[: number + 1]]
    # The judgement itself has to differ, or nothing was changed.
    assert after.scoreboard.figure(MODEL, "log_loss")["value"] != before.scoreboard.figure(MODEL, "log_loss")["value"]


def test_a_win_that_became_known_by_an_origin_does_change_its_model(judged: Any) -> None:
    rows = synthetic_rows(1100, seed=1)
    before, models = judged(rows)
    spine, moment = rows.spine.copy(), before.split.origins[0].at_us
    young = np.flatnonzero((spine["as_of_us"] < moment) & (spine["mature_us"] > moment) & (spine["y_obs"] == 0))[:5]
    spine.loc[young, "y_obs"] = 1
    spine.loc[young, "won_known_us"] = moment
    assert text_of(judged(Rows(rows.frame, spine, rows.catalogue))[1][0]) != text_of(models[0])


def test_each_origin_fits_what_had_matured_by_then_and_judges_its_own_month(judged: Any) -> None:
    rows = synthetic_rows(1100, seed=1)
    judgement, models = judged(rows)
    assert len(models) == len(judgement.split.origins) == 6
    mature, as_of = rows.spine["mature_us"].to_numpy(), rows.spine["as_of_us"].to_numpy()
    for origin in judgement.split.origins:
        assert mature[origin.fit].max() <= origin.at_us
        assert set(as_of[origin.judged]) == {origin.at_us}
    # A later origin knows more: in the end it has also learnt from rows that an earlier one judged.
    assert (judgement.split.origins[-1].fit & judgement.split.judged).any()


def test_where_methods_learn_from_a_sample_the_scoreboard_says_so(judged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = synthetic_rows(700, seed=3)
    assert not any("learnt from a sample" in caveat for caveat in judged(rows)[0].scoreboard.caveats)
    monkeypatch.setattr(judging, "_JUDGING_ROWS", 400)
    assert any("a sample of about 400 pairs" in caveat for caveat in judged(rows)[0].scoreboard.caveats)


def test_the_recipe_of_the_champion_is_refitted_at_the_same_origins(judged: Any) -> None:
    rows = synthetic_rows(700, seed=3)
    choices = recipe.Choices(alpha=1.0, strength=1000.0, trees=0)
    both = judge(rows, Plan(), load_scorecard(), capacity=10, champion=choices)
    assert both.predictions[MODEL].tolist() == judged(rows)[0].predictions[MODEL].tolist()
    assert both.predictions[CHAMPION].tolist() != both.predictions[MODEL].tolist()
    assert CHAMPION in both.scoreboard.methods


def test_a_fit_label_does_change_the_model(judged: Any) -> None:
    rows = synthetic_rows(700, seed=1)
    before, models = judged(rows)
    y_obs = rows.y_obs.copy()
    flipped = np.flatnonzero(before.split.fit)[:5]
    y_obs[flipped] = 1 - y_obs[flipped]
    assert text_of(judged(changed(rows, y_obs=y_obs))[1][0]) != text_of(models[0])


def test_what_only_judged_rows_hold_is_not_even_shown_to_the_peers(
    judged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = synthetic_rows(700, seed=2)
    frame = rows.frame.copy()
    frame.loc[judge_split(rows.spine, Plan()).fit, "noise"] = np.nan
    shown: dict[int, tuple[str, ...]] = {}
    fit = peers.OdooExtended.fit

    def watched(self: Any, frame: Any, y_obs: Any, *, columns: Any) -> Any:
        shown[len(frame)] = columns.numeric
        return fit(self, frame, y_obs, columns=columns)

    monkeypatch.setattr(peers.OdooExtended, "fit", watched)
    judged(changed(rows, frame=frame))
    # The origins are judged side by side: the first of them is the one with the fewest rows, whoever comes first.
    assert shown[min(shown)] == ("size", "visits", "silence")
    assert shown[max(shown)] == ("size", "visits", "silence", "noise")


def test_shuffled_labels_leave_nothing_to_rank_by(judged: Any) -> None:
    aucs = []
    for seed in range(3):
        rows = synthetic_rows(1000, seed=20 + seed)
        judgement, _ = judged(changed(rows, y_obs=np.random.default_rng(seed).permutation(rows.y_obs)))
        aucs.append(roc_auc(judgement.y_obs, judgement.predictions[MODEL]))
    assert 0.43 < np.mean(aucs) < 0.57


def test_a_feature_that_is_the_label_is_seen_at_once(judged: Any) -> None:
    rows = synthetic_rows(700, seed=30)
    noisy = rows.y_obs + np.random.default_rng(0).normal(0, 0.05, len(rows.y_obs))
    leaking = Rows(
        rows.frame.assign(leak=noisy), rows.spine, Catalogue(features=(*rows.catalogue.features, numeric("leak")))
    )
    judgement, _ = judged(leaking)
    assert roc_auc(judgement.y_obs, judgement.predictions[MODEL]) > 0.99


def test_predictions_of_every_method_stand_on_the_judged_rows_in_their_order(judged: Any) -> None:
    rows = synthetic_rows(700, seed=31)
    judgement, models = judged(rows)
    held = rows.take(judgement.split.judged)
    assert judgement.spine["lead_id"].tolist() == held.spine["lead_id"].tolist()
    for origin, model in zip(judgement.split.origins, models, strict=True):
        there = rows.take(origin.judged)
        expected = judgement.choices.calibrator.logit(model.margin(model.encoding.tree_matrix(there.frame)))
        mine = judgement.spine["as_of_us"].to_numpy() == origin.at_us
        np.testing.assert_allclose(judgement.predictions[MODEL][mine], 1 / (1 + np.exp(-expected)))
    assert {len(p) for p in judgement.predictions.values()} == {len(held.spine)}


def test_on_simulated_leads_the_model_ranks_believably_and_beats_prior_and_rules(world: SimulatedWorld) -> None:
    board = world.trained.judgement.scoreboard
    assert board.wins >= 100
    assert 0.70 < board.figure(MODEL, "roc_auc")["value"] < 0.87
    for peer in ("prior", "scorecard"):
        assert board.figure(MODEL, "log_loss")["value"] < board.figure(peer, "log_loss")["value"]
        assert board.figure(MODEL, "roc_auc")["value"] > board.figure(peer, "roc_auc")["value"]


@pytest.fixture(scope="session")
def against_truth(world: SimulatedWorld) -> pd.DataFrame:
    """Predicted and true probabilities of the judged rows."""
    truth = pd.read_parquet(world.truth / "snapshots.parquet")
    judgement = world.trained.judgement
    told = judgement.spine[["lead_id", "as_of_us", "y_obs"]].assign(predicted=judgement.predictions[MODEL])
    told["as_of"] = pd.to_datetime([from_us(us) for us in told["as_of_us"]], utc=True).as_unit("us")
    return told.merge(truth[truth["kind"] == "monthly"], on=["lead_id", "as_of"], how="left")


def test_nearly_every_judged_lead_is_open_in_truth_and_its_label_is_true(against_truth: pd.DataFrame) -> None:
    found = against_truth["probability_90d"].notna()
    # The others are duplicates whose contact data match nobody's: to the CRM they are people of their own.
    assert found.mean() > 0.9
    assert (against_truth["y_obs"] == against_truth["won_90d"])[found].mean() > 0.995


def test_predicted_probabilities_follow_the_true_ones_in_bins(against_truth: pd.DataFrame) -> None:
    known = against_truth.dropna(subset="probability_90d")
    bins = known.groupby(pd.qcut(known["predicted"], 5, labels=False))
    told, true = bins["predicted"].mean(), bins["probability_90d"].mean()
    assert (np.diff(true) > 0).all()
    assert known["predicted"].mean() == pytest.approx(known["probability_90d"].mean(), rel=0.4)
    assert (np.abs(np.log(told / true)) < np.log(2.5)).all()
    assert np.corrcoef(known["predicted"], known["probability_90d"])[0, 1] > 0.4


def test_the_model_stays_below_the_truth(against_truth: pd.DataFrame) -> None:
    known = against_truth.dropna(subset="probability_90d")
    y_obs = known["y_obs"].to_numpy()
    assert roc_auc(y_obs, known["predicted"].to_numpy()) < roc_auc(y_obs, known["probability_90d"].to_numpy())
