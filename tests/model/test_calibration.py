"""Platt scaling: it finds the slope that was put in, and keeps its hands off where nothing speaks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.calibration import _sigmoid_calibration

from training.calibration import fit_platt
from training.model import Calibrator

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


@pytest.mark.parametrize("slope", [0.02, 0.3, 1.0, 3.0, 50.0])
@pytest.mark.parametrize("seed", range(4))
def test_it_recovers_a_known_line_also_from_margins_that_are_far_too_sure(slope: float, seed: int) -> None:
    found = fit_platt(*drawn(seed, slope=slope, shift=0.4))
    assert found.a == pytest.approx(slope, rel=0.15)
    assert found.b == pytest.approx(0.4, abs=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_scikit_learns_sigmoid_without_its_smoothed_targets(seed: int) -> None:
    margin, y_obs = drawn(seed, slope=2.0, shift=-0.5, n=60_000)
    slope, intercept = _sigmoid_calibration(margin, y_obs)
    found = fit_platt(margin, y_obs)
    # Platt's smoothing of the targets is worth about one lead in sixty thousand.
    assert (found.a, found.b) == pytest.approx((-slope, -intercept), abs=2e-3)


def test_it_is_a_logistic_regression_without_a_penalty() -> None:
    from sklearn.linear_model import LogisticRegression

    margin, y_obs = drawn(5, slope=0.5)
    peer = LogisticRegression(C=1e12, tol=1e-12, solver="newton-cholesky").fit(margin[:, None], y_obs)
    found = fit_platt(margin, y_obs)
    assert (found.a, found.b) == pytest.approx((peer.coef_[0, 0], peer.intercept_[0]), abs=1e-6)


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
