"""The recipe chooses forward in time, fits alike every time, and shows the trees no margin that knows its label."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.model.rows import CATALOGUE, MONTH_US, changed, synthetic_rows
from training.evaluation.metrics import roc_auc
from training.learning.choosing import ALPHAS, HALF_LIVES, MAX_TREES, STRENGTHS, best, choose
from training.learning.encoding import learn_encoding
from training.learning.linear import fit_linear
from training.learning.model import LinearTrees
from training.learning.recipe import Choices, Rows, cross_fitted, fit_model, thinned


def text_of(model: LinearTrees) -> tuple[object, ...]:
    """Return everything a model consists of."""
    trees = None if model.trees is None else model.trees.model_to_string()
    return model.encoding, model.linear.weights.tolist(), model.linear.intercept, model.alpha, model.base, trees


def test_the_same_rows_give_the_same_choices_and_the_same_model_to_the_byte() -> None:
    rows = synthetic_rows(900, seed=1)
    choices = choose(rows, monthly_only=True)
    assert choose(rows, monthly_only=True) == choices
    assert text_of(fit_model(rows, choices)) == text_of(fit_model(rows, choices))


def test_choices_come_from_what_was_tried_and_name_their_evidence() -> None:
    choices = choose(synthetic_rows(900, seed=1), monthly_only=True)
    assert choices.alpha in ALPHAS
    assert choices.strength in STRENGTHS
    assert choices.trees in range(0, MAX_TREES + 1, 10)
    assert choices.folds == 3
    assert choices.purged
    assert len(choices.evidence) == len(ALPHAS) + len(STRENGTHS) + len(HALF_LIVES)
    assert all(0 < loss < 2 for loss in choices.evidence.values())


@pytest.mark.parametrize("seed", [2, 3])
def test_noise_alone_moves_hardly_any_lead_from_the_win_rate(seed: int) -> None:
    rows = synthetic_rows(1200, seed=seed)
    shuffled = changed(rows, y_obs=np.random.default_rng(seed).permutation(rows.y_obs))
    choices = choose(shuffled, monthly_only=True)
    fitted = fit_model(shuffled, choices)
    noise = choices.calibrator.logit(fitted.margin(fitted.encoding.tree_matrix(rows.frame))).std()
    fitted = fit_model(rows, choose(rows, monthly_only=True))
    assert noise < 0.5 < fitted.margin(fitted.encoding.tree_matrix(rows.frame)).std()


def test_a_history_without_folds_gets_a_cautious_model() -> None:
    rows = synthetic_rows(80, seed=4)
    choices = choose(rows, monthly_only=True)
    assert (choices.folds, choices.trees, choices.strength) == (0, 0, 100.0)
    assert fit_model(rows, choices).trees is None


def test_a_pattern_that_only_trees_can_see_gets_trees() -> None:
    rows = synthetic_rows(1500, seed=5)
    frame = rows.frame.assign(size=np.random.default_rng(5).normal(size=1500))
    # A win where the signs agree: no linear part can tell.
    together = (frame["size"] * frame["noise"] > 0).to_numpy()
    y_obs = (np.random.default_rng(6).random(1500) < np.where(together, 0.5, 0.05)).astype(np.int64)
    choices = choose(changed(rows, frame=frame, y_obs=y_obs), monthly_only=True)
    assert choices.trees >= 50


def test_a_candidate_has_to_win_by_more_than_a_standard_error_clustered_by_account() -> None:
    rng = np.random.default_rng(0)
    default = rng.random(400)
    gain = np.repeat(rng.normal(0.05, 0.2, 20), 20)
    rows, accounts = np.arange(400).astype(str), np.repeat(np.arange(20), 20).astype(str)
    losses = {1.0: default, 10.0: default - gain + gain.mean() - 0.02}
    assert best(losses, rows.astype(object)) == 10.0
    assert best(losses, accounts.astype(object)) == 1.0


def test_of_two_that_win_the_better_is_taken_and_of_equals_the_default() -> None:
    loss = np.full(100, 1.0)
    clusters = np.arange(100).astype(object)
    assert best({1.0: loss, 10.0: loss - 0.1, 100.0: loss - 0.2}, clusters) == 100.0
    assert best({1.0: loss, 10.0: loss}, clusters) == 1.0


@pytest.mark.parametrize("strength", [1.0, 30.0])
def test_a_cross_fitted_margin_does_not_move_when_its_accounts_own_labels_are_flipped(strength: float) -> None:
    rows = synthetic_rows(500, seed=7)
    encoding = learn_encoding(rows.frame, CATALOGUE)
    design = encoding.design(encoding.tree_matrix(rows.frame))

    def crossed(of: Rows) -> np.ndarray:
        return cross_fitted(of, design, encoding, strength, fit_linear(design, of.y_obs, encoding, strength=strength))

    before = crossed(rows)
    moved = []
    for account in np.unique(rows.clusters.astype(str))[:8]:
        own = rows.clusters == account
        after = crossed(changed(rows, y_obs=np.where(own, 1 - rows.y_obs, rows.y_obs)))
        np.testing.assert_allclose(after[own], before[own], atol=1e-7)
        moved.append(np.abs(after - before).max())
    assert max(moved) > 1e-4


def test_thinning_keeps_about_the_wanted_number_of_pairs_of_many_leads() -> None:
    rows = synthetic_rows(3000, seed=8)
    assert thinned(rows, 3000, seed=7) is rows
    kept = thinned(rows, 1000, seed=7)
    assert 900 < len(kept.spine) < 1100
    leads = rows.spine["lead_id"].nunique()
    # A third of the accounts would hold a third of the leads.
    assert kept.spine["lead_id"].nunique() > 0.4 * leads
    assert thinned(rows, 1000, seed=7).spine.equals(kept.spine)
    assert not thinned(rows, 1000, seed=8).spine.equals(kept.spine)


def test_whether_a_pair_is_kept_does_not_hang_on_the_rest() -> None:
    rows = synthetic_rows(3000, seed=8)
    kept = thinned(rows, 1000, seed=7)
    half = rows.take(np.arange(1500))
    pairs = set(zip(kept.spine["lead_id"], kept.spine["as_of_us"], strict=True))
    of_half = thinned(half, 500, seed=7).spine
    assert set(zip(of_half["lead_id"], of_half["as_of_us"], strict=True)) <= pairs


def test_another_seed_grows_other_trees() -> None:
    rows = synthetic_rows(600, seed=9)
    models = [fit_model(rows, Choices(trees=20, seed=seed)) for seed in (7, 8)]
    assert text_of(models[0]) != text_of(models[1])


def test_the_fitted_model_ranks_later_rows_of_the_same_world() -> None:
    rows, later = synthetic_rows(1500, seed=10), synthetic_rows(1500, seed=11)
    model = fit_model(rows, choose(rows, monthly_only=True))
    assert roc_auc(later.y_obs, model.margin(model.encoding.tree_matrix(later.frame))) > 0.65


def test_rows_are_taken_by_mask_and_by_number_alike() -> None:
    rows = synthetic_rows(20, seed=12)
    mask = np.arange(20) % 3 == 0
    assert rows.take(mask).frame.equals(rows.take(np.flatnonzero(mask)).frame)
    assert rows.take(mask).spine["lead_id"].tolist() == rows.spine["lead_id"][mask].tolist()


def test_a_row_that_counts_twice_is_the_row_written_twice() -> None:
    rows = synthetic_rows(600, seed=9)
    twice = np.arange(600) % 3 == 0
    written = rows.take(np.sort(np.concatenate([np.arange(600), np.flatnonzero(twice)])))
    weighted = replace(rows, weights=np.where(twice, 2.0, 1.0))
    encoding = learn_encoding(rows.frame, CATALOGUE)
    fits = [
        fit_linear(
            encoding.design(encoding.tree_matrix(each.frame)),
            each.y_obs,
            encoding,
            strength=1.0,
            row_weights=each.weights,
        )
        for each in (written, weighted)
    ]
    np.testing.assert_allclose(fits[1].weights, fits[0].weights, atol=1e-6)
    assert fits[1].intercept == pytest.approx(fits[0].intercept, abs=1e-6)


def test_weights_reach_the_trees_and_the_base() -> None:
    rows = synthetic_rows(1500, seed=9)
    choices = Choices(alpha=0.0, trees=30, half_life_days=None)
    won = replace(rows, weights=np.where(rows.y_obs == 1, 5.0, 1.0))
    plain, heavy = fit_model(rows, choices), fit_model(won, choices)
    assert heavy.base > plain.base + 1
    matrix = plain.encoding.tree_matrix(rows.frame)
    assert heavy.margin(matrix).mean() > plain.margin(matrix).mean() + 1


def test_a_row_one_half_life_old_counts_half() -> None:
    rows = synthetic_rows(900, seed=10)
    decayed = rows.decayed(30.0)
    assert decayed.weights is not None
    assert decayed.weights.mean() == pytest.approx(1.0)
    as_of = rows.spine["as_of_us"].to_numpy()
    newest, before = as_of.max(), np.unique(as_of)[-2]
    assert newest - before == MONTH_US
    old, new = decayed.weights[as_of == before][0], decayed.weights[as_of == newest][0]
    assert old == pytest.approx(new / 2)
    assert rows.decayed(None) is rows


def test_where_the_past_misleads_recent_rows_are_chosen_to_count_more() -> None:
    rows = synthetic_rows(3000, seed=11)
    month = rows.spine["as_of_us"].to_numpy() // MONTH_US
    turned = np.where(month <= 8, -1.0, 1.0) * np.random.default_rng(0).normal(1.5, 0.5, 3000)
    y_obs = (np.random.default_rng(1).random(3000) < 1 / (1 + np.exp(1.5 - turned * rows.frame["noise"]))).astype(int)
    assert choose(changed(rows, y_obs=y_obs), monthly_only=True).half_life_days == 120.0


def test_choices_survive_the_way_through_a_manifest() -> None:
    choices = choose(synthetic_rows(700, seed=12), monthly_only=True)
    assert Choices.from_dict(json.loads(json.dumps(choices.as_dict()))) == choices
