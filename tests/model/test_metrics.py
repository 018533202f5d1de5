"""Metrics against hand counts, closed forms and slow definitions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import DataError
from training.evaluation import metrics as m


def sample(seed: int, n: int = 400, *, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(-1.5, 1.2, n)
    return (rng.random(n) < 1 / (1 + np.exp(-x))).astype(float), 1 / (1 + np.exp(-slope * x))


@pytest.mark.parametrize("metric", [m.log_loss, m.brier, m.roc_auc, m.pr_auc, m.lift_at, m.calibration_slope])
def test_whole_number_weights_are_the_same_as_repeating_rows(metric: Any) -> None:
    y_obs, y_pred = sample(1)
    y_pred = np.round(y_pred, 2)  # ties
    weights = np.random.default_rng(2).integers(0, 4, y_obs.size)
    again = np.repeat(np.arange(y_obs.size), weights)
    assert metric(y_obs, y_pred, weights=weights) == pytest.approx(metric(y_obs[again], y_pred[again]), abs=1e-9)


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    y_obs, y_pred = sample(3, 80)
    y_pred = np.round(y_pred, 1)
    pairs = [(a > b) + 0.5 * (a == b) for a in y_pred[y_obs == 1] for b in y_pred[y_obs == 0]]
    assert m.roc_auc(y_obs, y_pred) == pytest.approx(np.mean(pairs))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=5), st.integers(1, 5))
def test_wins_at_capacity_are_the_mean_over_all_ways_to_break_ties(rows: list[tuple[int, int]], capacity: int) -> None:
    y_obs, scores = (np.array(column) for column in zip(*rows, strict=True))
    orders = [o for o in itertools.permutations(range(len(rows))) if (np.diff(scores[list(o)]) <= 0).all()]
    expected = np.mean([y_obs[list(order)][:capacity].sum() for order in orders])
    assert m.wins_at(y_obs, scores / 2, capacity=capacity) == pytest.approx(expected)


def test_capacity_is_spent_on_each_list_apart() -> None:
    y_obs = np.array([1, 1, 1, 0, 1])
    y_pred = np.array([0.9, 0.8, 0.7, 0.6, 0.1])
    months = np.array(["jan", "jan", "jan", "feb", "feb"])
    assert m.wins_at(y_obs, y_pred, capacity=1) == 1
    assert m.wins_at(y_obs, y_pred, capacity=1, periods=months) == 1
    assert m.wins_at(y_obs, y_pred, capacity=2, periods=months) == 3
    assert m.wins_at(y_obs, y_pred, capacity=50, periods=months) == 4


def test_a_constant_prediction_neither_lifts_nor_ranks() -> None:
    y_obs, _ = sample(4)
    constant = np.full(y_obs.size, y_obs.mean())
    assert m.lift_at(y_obs, constant) == pytest.approx(1)
    assert m.roc_auc(y_obs, constant) == 0.5
    assert m.pr_auc(y_obs, constant) == pytest.approx(y_obs.mean())
    assert math.isnan(m.calibration_slope(y_obs, constant))
    assert m.corp(y_obs, constant) == pytest.approx((0, 0, y_obs.mean() * (1 - y_obs.mean())), abs=1e-12)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_figures_that_need_both_outcomes_are_nan_with_one(outcome: float) -> None:
    y_obs, y_pred = np.full(5, outcome), np.linspace(0.1, 0.9, 5)
    assert math.isnan(m.roc_auc(y_obs, y_pred))
    assert math.isnan(m.calibration_slope(y_obs, y_pred))
    assert math.isfinite(m.log_loss(y_obs, y_pred))
    assert math.isfinite(m.brier(y_obs, y_pred))
    assert math.isnan(m.pr_auc(y_obs, y_pred)) == (outcome == 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_calibration_slope_finds_predictions_made_twice_too_extreme(seed: int) -> None:
    y_obs, honest = sample(seed, 20_000)
    _, extreme = sample(seed, 20_000, slope=2.0)
    assert m.calibration_slope(y_obs, honest) == pytest.approx(1, abs=0.08)
    assert m.calibration_slope(y_obs, extreme) == pytest.approx(m.calibration_slope(y_obs, honest) / 2)


def test_the_logistic_line_agrees_with_scikit_learn_without_penalty() -> None:
    from sklearn.linear_model import LogisticRegression

    y_obs, y_pred = sample(6)
    x, weights = m.logit(y_pred) * 7 + 100, np.random.default_rng(0).random(y_obs.size)
    theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    theirs.fit(x[:, None], y_obs, sample_weight=weights)
    line = m.logistic_line(y_obs, x, weights=weights)
    assert line == pytest.approx((theirs.intercept_[0], theirs.coef_[0, 0]), rel=1e-6)


def test_the_logistic_line_has_no_slope_when_wins_and_losses_part_completely() -> None:
    line = m.logistic_line(np.array([0, 0, 1, 1]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert math.isnan(line.slope)


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_corp_adds_up_and_sees_miscalibration_only_where_it_is(slope: float) -> None:
    y_obs, y_pred = sample(7, 20_000, slope=slope)
    parts = m.corp(y_obs, y_pred)
    assert parts.miscalibration - parts.discrimination + parts.uncertainty == pytest.approx(m.brier(y_obs, y_pred))
    assert min(parts) >= 0
    assert (parts.miscalibration > 0.004) == (slope != 1.0)


@pytest.mark.parametrize(("wins", "rows"), [(0, 5), (3, 10), (10, 10), (250, 10_000)])
def test_wilsons_interval_agrees_with_scipy(wins: int, rows: int) -> None:
    from scipy.stats import binomtest

    theirs = binomtest(wins, rows).proportion_ci(0.95, method="wilson")
    assert m.wilson(wins, rows) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_no_rows_have_no_interval() -> None:
    assert all(math.isnan(end) for end in m.wilson(0, 0))


def test_isotonic_recalibration_never_falls_and_keeps_the_mean() -> None:
    y_obs, y_pred = sample(8)
    fitted = m.isotonic(y_obs, y_pred)
    assert (np.diff(fitted[np.argsort(y_pred)]) >= 0).all()
    assert fitted.mean() == pytest.approx(y_obs.mean())


@pytest.mark.parametrize("n", [500, 5000])
def test_ece_of_an_honest_model_is_what_a_perfect_one_shows_at_that_n(n: int) -> None:
    values = [m.ece(*sample(seed, n), rng=np.random.default_rng(seed), replicates=100) for seed in range(20)]
    assert np.mean([v.value for v in values]) == pytest.approx(np.mean([v.perfect_mean for v in values]), rel=0.2)
    assert sum(v.value > v.perfect_high for v in values) <= 4


def test_ece_of_a_wrong_model_stands_out_from_a_perfect_one() -> None:
    result = m.ece(*sample(9, 5000, slope=3.0), rng=np.random.default_rng(0))
    assert result.value > 2 * result.perfect_high


def test_calibration_in_the_large_gives_ratio_and_difference() -> None:
    result = m.calibration_in_the_large(np.array([1, 0, 0, 0]), np.full(4, 0.5))
    assert result == (0.5, 0.25, 2.0, 0.25)
    assert math.isnan(m.calibration_in_the_large(np.zeros(3), np.full(3, 0.5)).ratio)


@pytest.mark.parametrize(
    ("y_obs", "y_pred", "named"),
    [
        ([1, 0], [0.5], "length"),
        ([], [], "non-empty"),
        ([1, 2], [0.5, 0.5], "other than 0 and 1"),
        ([1, 0], [0.5, math.nan], "missing or infinite"),
        ([1, 0], [0.5, 1.5], "outside 0 to 1"),
    ],
)
def test_wrong_input_is_named(y_obs: list[float], y_pred: list[float], named: str) -> None:
    with pytest.raises(DataError, match=named):
        m.brier(np.array(y_obs), np.array(y_pred))
