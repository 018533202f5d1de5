"""The parts of the gate against other ways to the same figure."""

from __future__ import annotations

import numpy as np
import pytest

from tests.model.judged import sigmoid, world
from training.evaluation.bootstrap import paired_bootstrap
from training.evaluation.metrics import calibration_in_the_large, calibration_slope, log_loss
from training.gating.calibration import between_months, forward_calibration, no_worse, sound
from training.gating.segments import judgeable, worse_by


def drawn_of(y_obs: object, predictions: object, clusters: object, periods: object, seed: int = 0) -> object:
    return paired_bootstrap(
        y_obs,  # type: ignore[arg-type]
        predictions,  # type: ignore[arg-type]
        clusters=clusters,  # type: ignore[arg-type]
        capacity=20,
        rng=np.random.default_rng(seed),
        replicates=200,
        periods=periods,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("tau", [0.0, 0.4])
def test_the_variance_between_months_is_found_on_average(tau: float) -> None:
    rng, error = np.random.default_rng(0), 0.2
    found = [between_months(rng.normal(0, np.hypot(tau, error), 6), np.full(6, error**2)) for _ in range(2000)]
    # Cutting at 0 lifts the mean a little where there is nothing to find.
    assert np.mean(found) == pytest.approx(tau**2, abs=0.015)


def test_ratio_and_slope_are_those_of_the_metrics() -> None:
    of = world(300, seed=1)
    predicted = of.first_model()
    drawn = drawn_of(of.y_obs, {"m": predicted}, of.accounts, of.months)
    found = forward_calibration(drawn, "m", y_obs=of.y_obs, y_pred=predicted, periods=of.months)  # type: ignore[arg-type]
    assert found.ratio.value == pytest.approx(calibration_in_the_large(of.y_obs, predicted).ratio)
    assert found.slope.value == pytest.approx(calibration_slope(of.y_obs, predicted), rel=1e-3)
    assert len(found.months) == 6
    assert found.ratio.low < found.ratio.value < found.ratio.high


@pytest.mark.parametrize(("shock", "least"), [(0.0, 22), (0.4, 18)])
def test_the_interval_of_the_ratio_mostly_holds_one_also_when_months_differ(shock: float, least: int) -> None:
    """Sound models. Lists overlap, so that months look more alike than they are: with a shock some are missed."""
    covered = 0
    for seed in range(25):
        of = world(150, seed=seed, base=-1.8, shock=shock)
        predicted = of.first_model()
        drawn = drawn_of(of.y_obs, {"m": predicted}, of.accounts, of.months, seed)
        found = forward_calibration(
            drawn,  # type: ignore[arg-type]
            "m",
            y_obs=of.y_obs,
            y_pred=predicted,
            periods=of.months,
            level=0.95,
        )
        covered += found.ratio.low <= 1 <= found.ratio.high
    assert covered >= least


def test_a_figure_that_could_not_be_had_is_neither_sound_nor_no_worse() -> None:
    y_obs, flat = np.array([1, 0, 0, 0] * 50), np.full(200, 0.25)
    varied = sigmoid(-1.1 + 0.5 * y_obs + np.random.default_rng(0).normal(size=200))
    drawn = drawn_of(y_obs, {"flat": flat, "varied": varied}, np.arange(200), np.zeros(200))
    found = forward_calibration(drawn, "flat", y_obs=y_obs, y_pred=flat, periods=np.zeros(200))  # type: ignore[arg-type]
    assert np.isnan(found.slope.value)
    assert not sound(found.slope)
    assert not no_worse(drawn, "calibration_slope", "flat", than="varied")  # type: ignore[arg-type]
    assert not no_worse(drawn, "calibration_slope", "varied", than="flat")  # type: ignore[arg-type]


def test_segment_differences_are_differences_of_log_loss() -> None:
    of = world(300, seed=2)
    one, other = of.first_model(), of.second_model()
    masks = tuple(np.asarray(of.source == value) for value in np.unique(of.source.astype(str)))
    apart, low = worse_by(
        of.y_obs, one, other, clusters=of.accounts, masks=masks, rng=np.random.default_rng(0), replicates=300
    )
    plain = [log_loss(of.y_obs[m], one[m]) - log_loss(of.y_obs[m], other[m]) for m in masks]
    assert apart == pytest.approx(plain)
    assert (low < apart).all()


def test_of_many_equal_segments_one_is_seldom_called_lost() -> None:
    """Twenty segments, nothing lost: with an interval for each alone, two worlds in three would show one."""
    false = 0
    for seed in range(30):
        of, rng = world(400, seed=seed, base=-1.8), np.random.default_rng(seed)
        part = rng.integers(0, 20, int(of.accounts.max()) + 1)[of.accounts]
        masks = tuple(np.asarray(part == value) for value in range(20))
        _, low = worse_by(
            of.y_obs, of.first_model(), of.second_model(), clusters=of.accounts, masks=masks, rng=rng, replicates=200
        )
        false += bool((low > 0).any())
    assert false <= 6


def test_a_segment_of_one_account_is_not_judged_however_often_it_won() -> None:
    y_obs = np.ones(100, dtype=np.int64)
    masks, small = judgeable(y_obs, np.zeros(100), {"source": np.array(["fair"] * 100)})
    assert (masks, small) == ({}, 1)
