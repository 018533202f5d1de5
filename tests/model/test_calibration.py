"""Platt scaling: it finds the line that was put in, and stays near the margin where little speaks for another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.calibration import _sigmoid_calibration

from training.evaluation.metrics import logistic_line
from training.learning.calibration import SHIFT_SD, SLOPE_SD, fit_platt
from training.learning.model import Calibrator

if TYPE_CHECKING:
    from numpy.typing import NDArray

IDENTITY = Calibrator()


def drawn(
    seed: int, *, slope: float = 1.0, shift: float = 0.0, n: int = 4000
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return margins and outcomes whose true log-odds are `slope * margin + shift`."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1, 1.5, n)
    return (logit - shift) / slope, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.int64)


@pytest.mark.parametrize("slope", [0.02, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_it_recovers_a_known_line_also_from_margins_that_are_far_too_sure(slope: float, seed: int) -> None:
    found = fit_platt(*drawn(seed, slope=slope, shift=0.4, n=200_000))
    assert found.a == pytest.approx(slope, rel=0.15)
    assert found.b == pytest.approx(0.4, abs=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_scikit_learns_sigmoid_without_its_smoothed_targets(seed: int) -> None:
    margin, y_obs = drawn(seed, slope=2.0, shift=-0.5, n=400_000)
    slope, intercept = _sigmoid_calibration(margin, y_obs)
    found = fit_platt(margin, y_obs)
    # Platt's smoothing of the targets and the prior are worth a few leads in four hundred thousand.
    assert (found.a, found.b) == pytest.approx((-slope, -intercept), abs=0.03)


@pytest.mark.parametrize("n", [200, 4000])
def test_it_is_the_maximum_of_the_posterior(n: int) -> None:
    margin, y_obs = drawn(5, slope=0.5, n=n)

    def loss(at: NDArray[np.float64]) -> float:
        logit = margin + at[0] + at[1] * (margin - margin.mean())
        prior = (at[0] / SHIFT_SD) ** 2 / 2 + (at[1] / SLOPE_SD) ** 2 / 2
        return float((np.logaddexp(0, logit) - y_obs * logit).sum() + prior)

    peer = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9}).x
    found = fit_platt(margin, y_obs)
    assert (found.a, found.b) == pytest.approx((1 + peer[1], peer[0] - peer[1] * margin.mean()), abs=1e-6)


def test_few_wins_move_the_slope_less_than_many_and_less_than_likelihood_would() -> None:
    errors = {}
    for n in (250, 20_000):
        found = [fit_platt(*drawn(seed, slope=1.0, n=n)).a for seed in range(20)]
        errors[n] = float(np.std(found))
    assert errors[250] < 0.12
    assert np.mean([fit_platt(*drawn(seed, slope=2.0, n=250)).a for seed in range(20)]) < 1.9
    assert np.mean([fit_platt(*drawn(seed, slope=2.0, n=400_000)).a for seed in range(2)]) == pytest.approx(
        2.0, abs=0.05
    )


def test_shrinking_lowers_the_log_loss_of_later_leads_where_data_are_few() -> None:
    gains = []
    for seed in range(40):
        margin, y_obs = drawn(seed, n=200)
        later, _ = drawn(1000 + seed, n=4000)
        truth = 1 / (1 + np.exp(-later))
        found, likely = fit_platt(margin, y_obs), logistic_line(y_obs, margin)
        losses = [
            float((np.logaddexp(0, logit) - truth * logit).mean())
            for logit in (found.logit(later), likely.slope * later + likely.intercept)
        ]
        gains.append(losses[1] - losses[0])
    assert np.mean(gains) > 2 * np.std(gains) / len(gains) ** 0.5


def test_rows_of_one_account_count_for_less_than_strangers() -> None:
    margin, y_obs = drawn(8, slope=0.5, n=300)
    twice = np.tile(margin, 5), np.tile(y_obs, 5)
    accounts = np.tile(np.arange(300).astype(str).astype(object), 5)
    once, copied = fit_platt(margin, y_obs), fit_platt(*twice, clusters=accounts)
    assert copied.a == pytest.approx(once.a, abs=0.06)
    assert abs(fit_platt(*twice).a - once.a) > abs(copied.a - once.a)


def test_a_slope_that_turns_the_order_around_is_refused() -> None:
    margin, y_obs = drawn(6)
    assert fit_platt(-margin, y_obs) == IDENTITY


@pytest.mark.parametrize(("wins", "losses", "kept"), [(29, 400, True), (400, 29, True), (30, 400, False)])
def test_below_thirty_wins_or_losses_the_margin_stays(wins: int, losses: int, kept: bool) -> None:
    rng = np.random.default_rng(7)
    y_obs = np.repeat([1, 0], [wins, losses])
    margin = rng.normal(2.0 * y_obs, 1.0)
    assert (fit_platt(margin, y_obs) == IDENTITY) is kept


def test_margins_without_a_likelihood_maximum_stay() -> None:
    y_obs = np.repeat([1, 0], 100)
    assert fit_platt(np.where(y_obs == 1, 1.0, -1.0) + np.linspace(0, 0.1, 200), y_obs) == IDENTITY
    assert fit_platt(np.full(200, 0.7), y_obs) == IDENTITY


def test_a_calibrator_with_a_positive_slope_keeps_the_order() -> None:
    margin, y_obs = drawn(9, slope=0.3, shift=0.2)
    calibrated = fit_platt(margin, y_obs).logit(margin)
    assert (np.argsort(calibrated, kind="stable") == np.argsort(margin, kind="stable")).all()
