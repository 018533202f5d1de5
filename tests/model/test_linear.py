"""The linear part against scikit-learn, its signs, and what must not matter to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.model.rows import CATALOGUE, synthetic_rows
from training.learning.encoding import Encoding, NumberCode, learn_encoding
from training.learning.linear import LinearPart, fit_linear

if TYPE_CHECKING:
    from numpy.typing import NDArray


def plain(columns: int, monotone: dict[int, int] | None = None) -> Encoding:
    """Return an encoding of columns that are read as they are."""
    signs = monotone or {}
    return Encoding(
        codes=tuple(
            NumberCode(
                name=f"x{k}", group="g", low=-1e9, high=1e9, log=False, mean=0, sd=1, missing=False,
                monotone=signs.get(k, 0),
            )
            for k in range(columns)
        )
    )  # fmt: skip


def drawn(n: int, p: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(n, p))
    margin = design @ rng.normal(0, 1 / np.sqrt(p), p) - 1.5
    return design, (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(np.int64)


def peer(design: NDArray[np.float64], y_obs: NDArray[np.int64], strength: float) -> tuple[NDArray[np.float64], float]:
    model = LogisticRegression(C=1 / strength, tol=1e-12, max_iter=1000, solver="newton-cholesky").fit(design, y_obs)
    return model.coef_[0], float(model.intercept_[0])


def assert_like_peer(part: LinearPart, design: NDArray[np.float64], y_obs: NDArray[np.int64], strength: float) -> None:
    weights, intercept = peer(design, y_obs, strength)
    np.testing.assert_allclose(part.weights, weights, atol=1e-6)
    assert part.intercept == pytest.approx(intercept, abs=1e-6)


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_without_signs_it_is_logistic_regression_with_a_ridge(strength: float, seed: int) -> None:
    design, y_obs = drawn(500, 12, seed)
    assert_like_peer(fit_linear(design, y_obs, plain(12), strength=strength), design, y_obs, strength)


def test_copied_and_empty_columns_share_and_get_no_weight() -> None:
    design, y_obs = drawn(500, 6, 2)
    design[:, 4], design[:, 5] = design[:, 0], 0.0
    part = fit_linear(design, y_obs, plain(6), strength=1.0)
    assert_like_peer(part, design, y_obs, 1.0)
    assert part.weights[4] == pytest.approx(part.weights[0], abs=1e-7)
    assert part.weights[5] == 0.0


def test_fewer_rows_than_columns_are_enough() -> None:
    design, y_obs = drawn(30, 80, 3)
    assert_like_peer(fit_linear(design, y_obs, plain(80), strength=1.0), design, y_obs, 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_no_weight_points_the_other_way_and_the_others_are_optimal_beside_it(seed: int) -> None:
    design, y_obs = drawn(400, 8, seed)
    free = fit_linear(design, y_obs, plain(8), strength=1.0).weights
    # Against the grain where the free weight is largest, along with it elsewhere.
    signs = {k: int(-np.sign(free[k])) if k < 4 else int(np.sign(free[k])) for k in range(6)}
    part = fit_linear(design, y_obs, plain(8, signs), strength=1.0)
    held = [k for k, sign in signs.items() if part.weights[k] * sign <= 0]
    assert len(held) >= 3
    assert part.weights[held].tolist() == [0.0] * len(held)
    rest = [k for k in range(8) if k not in held]
    weights, _ = peer(design[:, rest], y_obs, 1.0)
    np.testing.assert_allclose(part.weights[rest], weights, atol=1e-6)
    # Optimal means as well that a held weight would only want to go where it may not.
    residual = 1 / (1 + np.exp(-part.margin(design))) - y_obs
    for k in held:
        assert (residual @ design[:, k]) * signs[k] >= -1e-6


def test_a_monotone_feature_keeps_its_sign_in_the_design_of_real_features() -> None:
    rows = synthetic_rows(600, seed=4)
    encoding = learn_encoding(rows.frame, CATALOGUE)
    design = encoding.design(encoding.tree_matrix(rows.frame))
    contrary = 1 - rows.y_obs
    part = fit_linear(design, contrary, encoding, strength=1.0)
    first = np.flatnonzero(np.diff(encoding.owners, prepend=-1))
    assert part.weights[first[1]] == 0.0
    assert part.weights[first[2]] == 0.0
    assert part.weights[first[0]] < 0.0


def poor_start(design: NDArray[np.float64], y_obs: NDArray[np.int64], encoding: Encoding) -> LinearPart:
    """Return a fit of losses alone: its intercept lies far out, where the loss is flat."""
    return fit_linear(design[y_obs == 0], y_obs[y_obs == 0], encoding, strength=1.0)


@pytest.mark.parametrize("strength", [1.0, 100.0])
@pytest.mark.parametrize("seed", range(3))
def test_where_the_steps_start_changes_nothing(strength: float, seed: int) -> None:
    design, y_obs = drawn(600, 10, seed)
    encoding = plain(10, {0: 1, 1: -1})
    cold = fit_linear(design, y_obs, encoding, strength=strength)
    for near in (
        fit_linear(design[::6], y_obs[::6], encoding, strength=strength / 6),
        fit_linear(design, 1 - y_obs, encoding, strength=strength),
        poor_start(design, y_obs, encoding),
    ):
        warm = fit_linear(design, y_obs, encoding, strength=strength, near=near)
        np.testing.assert_allclose(warm.weights, cold.weights, atol=1e-8)
        assert warm.intercept == pytest.approx(cold.intercept, abs=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    design, y_obs = drawn(600, 10, seed)
    order = np.random.default_rng(seed).permutation(600)
    one = fit_linear(design, y_obs, plain(10), strength=1.0)
    other = fit_linear(design[order], y_obs[order], plain(10), strength=1.0)
    np.testing.assert_allclose(other.weights, one.weights, atol=1e-9)


def test_terms_have_mean_zero_on_the_fit_rows_and_add_up_with_the_base() -> None:
    rows = synthetic_rows(500, seed=5)
    encoding = learn_encoding(rows.frame, CATALOGUE)
    design = encoding.design(encoding.tree_matrix(rows.frame))
    part = fit_linear(design, rows.y_obs, encoding, strength=1.0)
    terms = part.terms(design, encoding)
    assert terms.shape == (500, 5)
    np.testing.assert_allclose(terms.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(part.base + terms.sum(axis=1), part.margin(design), atol=1e-12)
    other = encoding.design(encoding.tree_matrix(synthetic_rows(40, seed=6).frame))
    np.testing.assert_allclose(part.base + part.terms(other, encoding).sum(axis=1), part.margin(other), atol=1e-12)


def test_without_any_feature_the_margin_is_the_log_odds_of_the_win_rate() -> None:
    empty = Encoding(codes=())
    part = fit_linear(np.empty((50, 0)), np.repeat([1, 0], [10, 40]), empty, strength=1.0)
    assert part.margin(np.empty((3, 0))) == pytest.approx(np.log(0.25), abs=1e-6)
    assert part.terms(np.empty((3, 0)), empty).shape == (3, 0)
