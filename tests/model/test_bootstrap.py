"""The bootstrap gives the intervals it promises, and the same figures as counting by hand."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from data.errors import DataError, UsageError
from training.evaluation import metrics as m
from training.evaluation.bootstrap import _discrimination, _Ranked, cluster_codes, cluster_weights, paired_bootstrap

LEVEL = 0.95


def logistic_rows(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(-1, 1.2, n)
    p = 1 / (1 + np.exp(-x))
    return (rng.random(n) < p).astype(float), p


@pytest.mark.parametrize("ties", [False, True])
def test_every_draw_equals_the_plain_metrics_on_the_repeated_rows(ties: bool) -> None:
    rng = np.random.default_rng(1)
    y_obs, p = logistic_rows(rng, 300)
    p = np.round(p, 1).clip(0.05, 0.95) if ties else p
    other = (p + rng.random(300)) / 2
    clusters, periods = np.arange(300) // 2, np.arange(300) % 3
    drawn = paired_bootstrap(
        y_obs,
        {"a": p, "b": other},
        clusters=clusters,
        capacity=20,
        rng=np.random.default_rng(5),
        replicates=7,
        periods=periods,
    )
    weights = cluster_weights(clusters, np.random.default_rng(5), replicates=7)
    for draw in range(7):
        rows = np.repeat(np.arange(300), weights[:, draw].astype(int))
        for i, y_pred in enumerate((p, other)):
            slow = {
                "log_loss": m.log_loss(y_obs[rows], y_pred[rows]),
                "brier": m.brier(y_obs[rows], y_pred[rows]),
                "miscalibration": m.corp(y_obs[rows], y_pred[rows]).miscalibration,
                "discrimination": m.corp(y_obs[rows], y_pred[rows]).discrimination,
                "roc_auc": m.roc_auc(y_obs[rows], y_pred[rows]),
                "pr_auc": m.pr_auc(y_obs[rows], y_pred[rows]),
                "lift_at_10": m.lift_at(y_obs[rows], y_pred[rows]),
                "wins_at_capacity": m.wins_at(y_obs[rows], y_pred[rows], capacity=20, periods=periods[rows]),
                "calibration_in_the_large": m.calibration_in_the_large(y_obs[rows], y_pred[rows]).ratio,
                "calibration_slope": m.calibration_slope(y_obs[rows], y_pred[rows]),
            }
            assert dict(zip(drawn.metrics, drawn.draws[draw, i], strict=True)) == pytest.approx(slow, abs=1e-6)


def test_the_point_figures_are_those_of_the_rows_as_they_are() -> None:
    y_obs, p = logistic_rows(np.random.default_rng(2), 200)
    drawn = paired_bootstrap(
        y_obs, {"a": p}, clusters=np.arange(200), capacity=9, rng=np.random.default_rng(0), replicates=3
    )
    assert drawn.interval("a", "log_loss").value == pytest.approx(m.log_loss(y_obs, p))
    assert drawn.interval("a", "wins_at_capacity").value == pytest.approx(m.wins_at(y_obs, p, capacity=9))
    assert drawn.interval("a", "calibration_slope").value == pytest.approx(m.calibration_slope(y_obs, p), abs=1e-6)


@pytest.mark.parametrize("metric", ["roc_auc", "brier"])
def test_95_percent_intervals_hold_the_true_figure_about_95_times_in_100(metric: str) -> None:
    """Scores N(1, 1) for wins, N(0, 1) for losses: AUC = Phi(1 / sqrt 2). Calibrated p: Brier has mean p(1 - p)."""
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        if metric == "roc_auc":
            y_obs = (rng.random(400) < 0.3).astype(float)
            y_pred, truth = 1 / (1 + np.exp(-rng.normal(y_obs, 1))), NormalDist().cdf(1 / math.sqrt(2))
        else:
            y_pred = rng.choice([0.1, 0.5], size=400)
            y_obs, truth = (rng.random(400) < y_pred).astype(float), (0.09 + 0.25) / 2
        drawn = paired_bootstrap(y_obs, {"a": y_pred}, clusters=np.arange(400), capacity=10, rng=rng, replicates=200)
        _, low, high = drawn.interval("a", metric, level=LEVEL)
        held += low <= truth <= high
    # The share of 200 trials has a standard deviation of 1.5 percent points.
    assert 0.90 <= held / 200 <= 0.985


def test_reflected_intervals_hold_the_true_parts_of_brier_where_percentiles_do_not() -> None:
    """Predictions twice too extreme: true miscalibration E(f - p)^2, true discrimination Var(p), over x ~ N(-2, 1)."""
    grid = np.linspace(-8, 4, 20_001)
    density = np.exp(-((grid + 2) ** 2) / 2)
    density /= density.sum()
    p, f = 1 / (1 + np.exp(-grid)), 1 / (1 + np.exp(-2 * grid))
    truth = {"miscalibration": density @ (f - p) ** 2, "discrimination": density @ p**2 - (density @ p) ** 2}
    held, plainly = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for seed in range(80):
        rng = np.random.default_rng(seed)
        x = rng.normal(-2, 1, 800)
        y_obs = (rng.random(800) < 1 / (1 + np.exp(-x))).astype(float)
        extreme = {"a": 1 / (1 + np.exp(-2 * x))}
        drawn = paired_bootstrap(y_obs, extreme, clusters=np.arange(800), capacity=10, rng=rng, replicates=120)
        for metric, true in truth.items():
            value, low, high = drawn.interval("a", metric)
            assert 0 <= low <= value <= high
            held[metric] += int(low <= true <= high)
            plain = np.quantile(drawn.draws[:, 0, drawn.metrics.index(metric)], [0.025, 0.975])
            plainly[metric] += int(plain[0] <= true <= plain[1])
    assert min(held.values()) >= 0.88 * 80, held
    assert plainly["miscalibration"] <= 0.6 * 80
    assert plainly["discrimination"] < held["discrimination"]


@pytest.mark.parametrize("seed", range(4))
def test_pooling_beforehand_changes_no_isotonic_fit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y_obs, p = logistic_rows(rng, 400)
    p = np.round(p, 2) if seed % 2 else p
    few = cluster_weights(np.arange(400) // 40, rng, replicates=30)  # whole clusters are missing from a draw
    ranked = _Ranked.of(y_obs, p, np.arange(400))
    pools = ranked.pools()
    assert len(pools) < 0.6 * len(ranked.starts) or seed % 2
    size, won = ranked.groups(few)
    pooled, each = (_discrimination(size, won, starts) for starts in (pools, np.arange(len(size))))
    assert pooled == pytest.approx(each, abs=1e-12)


def test_identical_predictions_differ_by_exactly_nothing() -> None:
    rng = np.random.default_rng(3)
    y_obs, p = logistic_rows(rng, 300)
    drawn = paired_bootstrap(
        y_obs, {"a": p, "b": p.copy()}, clusters=np.arange(300), capacity=9, rng=rng, replicates=50
    )
    assert {drawn.difference("b", metric, to="a") for metric in drawn.metrics} == {(0.0, 0.0, 0.0)}


def test_pairing_makes_a_small_steady_difference_visible() -> None:
    rng = np.random.default_rng(4)
    y_obs, p = logistic_rows(rng, 2000)
    worse = np.clip(p * 1.2, 0, 0.99)
    drawn = paired_bootstrap(y_obs, {"a": p, "b": worse}, clusters=np.arange(2000), capacity=9, rng=rng)
    apart = drawn.difference("b", "log_loss", to="a")
    mine, theirs = drawn.interval("a", "log_loss"), drawn.interval("b", "log_loss")
    assert apart.low > 0
    assert theirs.low < mine.high  # the two intervals alone would not tell them apart
    assert apart.high - apart.low < 0.5 * (mine.high - mine.low)


@pytest.mark.parametrize("seed", range(3))
def test_repeated_rows_of_one_account_widen_the_interval_by_the_root_of_their_number(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y_obs, p = logistic_rows(rng, 400)
    four_times = np.repeat(np.arange(400), 4)

    def width(clusters: np.ndarray) -> float:
        drawn = paired_bootstrap(
            y_obs[four_times], {"a": p[four_times]}, clusters=clusters, capacity=9, rng=rng, replicates=400
        )
        _, low, high = drawn.interval("a", "roc_auc")
        return high - low

    assert width(four_times) / width(np.arange(1600)) == pytest.approx(2, rel=0.25)


def test_a_difference_of_figures_near_one_compares_distances_from_one() -> None:
    y_obs = np.array([1.0, 0, 0, 0] * 50)
    drawn = paired_bootstrap(
        y_obs,
        {"too low": np.full(200, 0.20), "too high": np.full(200, 0.35)},
        clusters=np.arange(200),
        capacity=9,
        rng=np.random.default_rng(0),
        replicates=20,
    )
    apart = drawn.difference("too high", "calibration_in_the_large", to="too low")
    assert apart.value == pytest.approx(0.4 - 0.2)


def test_the_same_generator_gives_the_same_intervals() -> None:
    y_obs, p = logistic_rows(np.random.default_rng(6), 100)
    twice = [
        paired_bootstrap(
            y_obs, {"a": p}, clusters=np.arange(100), capacity=5, rng=np.random.default_rng(9), replicates=20
        )
        for _ in range(2)
    ]
    assert np.array_equal(twice[0].draws, twice[1].draws)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_rows_of_one_outcome_give_figures_without_warnings_and_no_interval_for_a_rank(outcome: float) -> None:
    drawn = paired_bootstrap(
        np.full(20, outcome),
        {"a": np.linspace(0, 1, 20), "constant": np.full(20, 0.1)},
        clusters=np.arange(20),
        capacity=5,
        rng=np.random.default_rng(0),
        replicates=20,
    )
    assert all(math.isnan(part) for part in drawn.interval("a", "roc_auc"))
    assert all(math.isnan(part) for part in drawn.interval("a", "calibration_slope"))
    assert math.isfinite(drawn.interval("a", "brier").high)


def test_a_constant_prediction_has_no_calibration_slope_even_when_rounding_gives_it_a_spread() -> None:
    y_obs, _ = logistic_rows(np.random.default_rng(7), 4001)
    rounded = np.where(np.arange(4001) % 2 == 0, 0.3, np.nextafter(0.3, 1))
    assert m.logit(rounded).std() > 0
    constants = {"rounded": rounded, **{f"{p:.3f}": np.full(4001, p) for p in np.linspace(0.05, 0.4, 15)}}
    drawn = paired_bootstrap(
        y_obs, constants, clusters=np.arange(4001), capacity=5, rng=np.random.default_rng(0), replicates=3
    )
    assert np.isnan(drawn.draws[:, :, drawn.metrics.index("calibration_slope")]).all()


def test_a_slope_that_has_not_settled_is_not_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    y_obs, p = logistic_rows(np.random.default_rng(8), 60)
    given = {"clusters": np.arange(60), "capacity": 5, "replicates": 40}
    settled = paired_bootstrap(y_obs, {"a": p}, rng=np.random.default_rng(0), **given)  # type: ignore[arg-type]
    monkeypatch.setattr("training.evaluation.bootstrap._MAX_NEWTON", 1)
    hasty = paired_bootstrap(y_obs, {"a": p}, rng=np.random.default_rng(0), **given)  # type: ignore[arg-type]
    one, other = (drawn.draws[:, 0, drawn.metrics.index("calibration_slope")] for drawn in (settled, hasty))
    assert np.isnan(other).sum() > np.isnan(one).sum()
    kept = np.isfinite(other)
    assert other[kept] == pytest.approx(one[kept], abs=1e-4)


def test_draws_that_part_wins_from_losses_completely_have_no_slope() -> None:
    y_obs, p = np.array([0.0, 0, 0, 1, 0, 1, 1, 1]), np.linspace(0.1, 0.9, 8)
    drawn = paired_bootstrap(
        y_obs, {"a": p}, clusters=np.arange(8), capacity=5, rng=np.random.default_rng(0), replicates=200
    )
    slopes = drawn.draws[:, 0, drawn.metrics.index("calibration_slope")]
    known = slopes[np.isfinite(slopes)]
    assert 0 < known.size < 200
    assert np.abs(known).max() < 100


def test_leads_without_an_account_are_drawn_alone() -> None:
    codes = cluster_codes(np.array(["a", None, np.nan, "a", None], dtype=object), np.array(["1", "2", "3", "4", "2"]))
    assert codes.tolist() == [0, 1, 2, 0, 1]
    # An account and a lead of the same name are two things.
    assert cluster_codes(np.array(["x", None], dtype=object), np.array(["1", "x"])).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"clusters": np.array(["a", None], dtype=object)}, "cluster or period is missing"),
        ({"clusters": np.array([1])}, "one per row"),
        ({"predictions": {"a": np.array([0.5])}}, "'a' gives"),
        ({"predictions": {"a": np.array([0.5, 1.5])}}, "no probability"),
        ({"y_obs": np.array([1.0, 3.0])}, "other than 0 and 1"),
    ],
)
def test_wrong_input_is_named(change: dict[str, object], named: str) -> None:
    given = {"y_obs": np.array([1.0, 0.0]), "predictions": {"a": np.array([0.5, 0.5])}, "clusters": np.array([1, 2])}
    with pytest.raises(DataError, match=named):
        paired_bootstrap(**{**given, **change}, capacity=1, rng=np.random.default_rng(0))  # type: ignore[arg-type]


def test_asking_for_a_method_that_was_not_judged_names_those_that_were() -> None:
    drawn = paired_bootstrap(
        np.array([1, 0]), {"a": np.array([0.5, 0.5])}, clusters=np.arange(2), capacity=1, rng=np.random.default_rng(0)
    )
    with pytest.raises(UsageError, match="judged were methods a"):
        drawn.interval("b", "brier")
