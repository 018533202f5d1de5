"""The recipe chooses forward in time, fits alike every time, and shows the trees no margin that knows its label."""

from __future__ import annotations

import numpy as np
import pytest

from tests.model.rows import CATALOGUE, changed, synthetic_rows
from training.encoding import learn_encoding
from training.linear import fit_linear
from training.metrics import roc_auc
from training.model import LinearTrees
from training.recipe import (
    ALPHAS,
    MAX_TREES,
    STRENGTHS,
    Choices,
    Rows,
    _best,
    _cross_fitted,
    _thinned,
    choose,
    fit_model,
)


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
    assert len(choices.evidence) == len(ALPHAS) + len(STRENGTHS)
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
    assert _best(losses, rows.astype(object)) == 10.0
    assert _best(losses, accounts.astype(object)) == 1.0


def test_of_two_that_win_the_better_is_taken_and_of_equals_the_default() -> None:
    loss = np.full(100, 1.0)
    clusters = np.arange(100).astype(object)
    assert _best({1.0: loss, 10.0: loss - 0.1, 100.0: loss - 0.2}, clusters) == 100.0
    assert _best({1.0: loss, 10.0: loss}, clusters) == 1.0


@pytest.mark.parametrize("strength", [1.0, 30.0])
def test_a_cross_fitted_margin_does_not_move_when_its_accounts_own_labels_are_flipped(strength: float) -> None:
    rows = synthetic_rows(500, seed=7)
    encoding = learn_encoding(rows.frame, CATALOGUE)
    design = encoding.design(encoding.tree_matrix(rows.frame))

    def crossed(of: Rows) -> np.ndarray:
        return _cross_fitted(of, design, encoding, strength, fit_linear(design, of.y_obs, encoding, strength=strength))

    before = crossed(rows)
    moved = []
    for account in np.unique(rows.clusters.astype(str))[:8]:
        own = rows.clusters == account
        after = crossed(changed(rows, y_obs=np.where(own, 1 - rows.y_obs, rows.y_obs)))
        np.testing.assert_allclose(after[own], before[own], atol=1e-7)
        moved.append(np.abs(after - before).max())
    assert max(moved) > 1e-4


def test_thinning_keeps_whole_accounts_and_about_the_wanted_number(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = synthetic_rows(3000, seed=8)
    assert _thinned(rows, 7) is rows
    monkeypatch.setattr("training.recipe._CHOOSING_ROWS", 1000)
    kept = _thinned(rows, 7)
    assert 700 < len(kept.spine) < 1300
    counts = kept.spine["cluster"].value_counts()
    assert counts.equals(rows.spine["cluster"].value_counts().loc[counts.index])
    assert _thinned(rows, 7).spine.equals(kept.spine)
    assert not _thinned(rows, 8).spine.equals(kept.spine)


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
