"""The 90 % range holds the win rate of later months about nine times in ten, and never leaves the probability out."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import minimize_scalar
from scipy.stats import t as student

from training.certainty import interval as module
from training.certainty.interval import IntervalTable, blocks_of_time, learn_interval, measure_coverage
from training.learning.offset import measure_offset

if TYPE_CHECKING:
    from numpy.typing import NDArray

Drawn = tuple["NDArray[np.int64]", "NDArray[np.float64]", "NDArray[np.object_]", "NDArray[np.int64]"]


def rates(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-logit)))


def drawn(rng: np.random.Generator, offsets: NDArray[np.float64], *, rows: int = 700, slope: float = 1.0) -> Drawn:
    """Return cross-sections whose true log-odds are `slope * logit + offset of the month`."""
    period = np.repeat(np.arange(len(offsets)), rows)
    logit = rng.normal(-2.5, 1.0, len(period))
    y_obs = (rng.random(len(period)) < rates(slope * (logit + 2.5) - 2.5 + offsets[period])).astype(np.int64)
    return y_obs, logit, rng.integers(0, 400, len(period)).astype(str).astype(object), period


def learnt(seed: int, *, month: float = 0.2, months: int = 6, rows: int = 400) -> IntervalTable:
    rng = np.random.default_rng(seed)
    table = learn_interval(*drawn(rng, rng.normal(0, month, months), rows=rows))
    assert table is not None
    return table


TABLE = learnt(1)


@pytest.mark.parametrize("month", [0.05, 0.3, 0.6])
def test_the_next_month_keeps_to_the_range_about_nine_times_in_ten(month: float) -> None:
    rng = np.random.default_rng(11)
    inside = []
    for _ in range(150):
        offsets = rng.normal(0, month, 7)
        y_obs, logit, clusters, period = drawn(rng, offsets[:6], rows=400)
        table = module._learn(y_obs, logit, clusters.astype(np.int64), period)
        truths = [(score, score + offsets[6]) for score in (-4.0, -3.0, -2.0, -1.0)]
        inside += [low <= truth <= high for score, truth in truths for low, high in (table.around(score),)]
    # Shrunk towards what is common: calm teams get a range that is too wide rather than too narrow.
    assert 0.85 <= float(np.mean(inside)) <= (1.0 if month < 0.2 else 0.97)


def test_months_that_stray_far_make_the_range_wide() -> None:
    widths = [
        np.mean([np.subtract(*learnt(seed, month=month).around(-2.0)[::-1]) for seed in range(5)])
        for month in (0.05, 0.3, 0.8)
    ]
    assert all(one < 0.8 * other for one, other in pairwise(widths))


def test_a_lasting_bias_makes_the_range_wide_as_well() -> None:
    rng = np.random.default_rng(3)
    table = learn_interval(*drawn(rng, np.full(6, 0.7)))
    assert table is not None
    assert table.around(-2.0)[1] > -1.3


def test_a_wrong_slope_widens_the_ends_and_not_the_middle() -> None:
    rng = np.random.default_rng(4)
    right, wrong = (learn_interval(*drawn(rng, np.zeros(6), rows=3000, slope=slope)) for slope in (1.0, 1.6))
    assert right is not None
    assert wrong is not None
    ratio = {s: np.subtract(*wrong.around(s)) / np.subtract(*right.around(s)) for s in (-2.2, -5.0)}
    assert ratio[-5.0] > 1.3 * ratio[-2.2]


@given(st.floats(-6.9, 6.9), st.floats(-6.9, 6.9), st.booleans())
def test_the_range_holds_the_probability_and_rises_with_it(one: float, other: float, unlike: bool) -> None:
    small, large = sorted((one, other))
    (low, high), (next_low, next_high) = (TABLE.around(at, unlike=unlike) for at in (small, large))
    assert low <= small <= high
    assert low <= next_low + 1e-9
    assert high <= next_high + 1e-9


@given(st.floats(-6.9, 6.9))
def test_a_lead_unlike_the_training_data_gets_a_wider_range(logit: float) -> None:
    (low, high), (wide_low, wide_high) = TABLE.around(logit), TABLE.around(logit, unlike=True)
    assert wide_low < low - 0.1
    assert wide_high > high + 0.1


@given(st.floats(-6.0, 6.0), st.floats(-1.5, 1.5))
def test_after_a_shift_the_range_is_as_wide_around_the_new_log_odds(logit: float, shift: float) -> None:
    before, after = TABLE.around(logit), TABLE.shifted(shift).around(logit + shift)
    assert after == pytest.approx([value + shift for value in before], abs=1e-9)


def test_the_same_rows_in_another_order_give_the_same_range() -> None:
    whole = drawn(np.random.default_rng(5), np.zeros(6))
    order = np.random.default_rng(6).permutation(len(whole[0]))
    y_obs, logit, clusters, period = whole
    one, other = learn_interval(*whole), learn_interval(y_obs[order], logit[order], clusters[order], period[order])
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.low, other.low, atol=1e-9)


@pytest.mark.parametrize(
    ("wins", "losses", "months", "known"),
    [(99, 900, 6, False), (900, 99, 6, False), (100, 100, 2, True), (400, 400, 1, False)],
)
def test_below_a_hundred_wins_or_losses_or_with_one_period_there_is_no_range(
    wins: int, losses: int, months: int, known: bool
) -> None:
    rng = np.random.default_rng(7)
    y_obs = rng.permutation(np.repeat([1, 0], [wins, losses]))
    found = learn_interval(
        y_obs, rng.normal(size=len(y_obs)), np.arange(len(y_obs)).astype(object), np.arange(len(y_obs)) % months
    )
    assert (found is not None) is known


def test_months_without_a_single_win_are_learnt_from_without_a_warning() -> None:
    y_obs, logit, clusters, period = drawn(np.random.default_rng(8), np.zeros(6))
    y_obs[period == 2] = 0
    found = learn_interval(y_obs, logit, clusters, period)
    assert found is not None
    assert np.isfinite([*found.low, *found.high]).all()


def test_the_coverage_measured_on_months_left_out_is_told() -> None:
    shares = [learnt(seed, month=0.2).coverage for seed in range(5)]
    assert all(coverage is not None and coverage.bins >= 60 for coverage in shares)
    assert np.mean([coverage.share for coverage in shares if coverage is not None]) > 0.85


def test_a_range_that_is_far_too_narrow_is_found_out() -> None:
    rng = np.random.default_rng(9)
    narrow = IntervalTable(
        grid=(-8, 8), low=(-8.001, 7.999), high=(-7.999, 8.001), month_sd=0.1, wins=1, rows=1, periods=2
    )
    y_obs, logit, *_ = drawn(rng, np.array([0.8]), rows=20_000)
    assert measure_coverage(y_obs, logit, narrow).share < 0.3
    y_obs, logit, *_ = drawn(rng, np.array([0.0]), rows=20_000)
    assert measure_coverage(y_obs, logit, narrow).share > 0.7


@pytest.mark.parametrize(
    "change",
    [{"low": (-1.0, 0.5)}, {"high": (-3.0, 1.0)}, {"grid": (0.0, 0.0)}, {"low": (-1.0,)}, {"grid": (1.0, 0.0)}],
)
def test_a_table_that_does_not_rise_or_leaves_the_log_odds_out_is_refused(change: dict[str, tuple[float, ...]]) -> None:
    sound = {
        "grid": (-2.0, 0.0),
        "low": (-3.0, -1.0),
        "high": (-1.0, 1.0),
        "month_sd": 0.2,
        "wins": 1,
        "rows": 2,
        "periods": 2,
    }
    IntervalTable.model_validate(sound)
    with pytest.raises(ValidationError):
        IntervalTable.model_validate(sound | change)


@pytest.mark.parametrize("degrees", [4.0, 6.0, 20.0])
def test_the_quantile_is_students(degrees: float) -> None:
    assert module._quantile(degrees) == pytest.approx(student.ppf(0.95, degrees), rel=2e-3)


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 1)), min_size=1, max_size=200),
    st.integers(1, 60),
    st.integers(1, 10),
)
def test_blocks_of_time_are_ordered_keep_moments_together_and_hold_enough(
    rows: list[tuple[int, int]], span: int, least: int
) -> None:
    moment, won = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    block = blocks_of_time(moment, won, span_us=span, least=least)
    order = np.argsort(moment, kind="stable")
    assert (np.diff(block[order]) >= 0).all()
    assert all(len(set(block[moment == at].tolist())) == 1 for at in set(moment.tolist()))
    if block.max():
        for number in range(int(block.max()) + 1):
            wins = int(won[block == number].sum())
            assert min(wins, int((block == number).sum()) - wins) >= least


def test_an_offset_is_the_maximum_of_the_likelihood() -> None:
    y_obs, logit, clusters, _ = drawn(np.random.default_rng(10), np.array([0.4]), rows=3000)
    peer = minimize_scalar(lambda e: float((np.logaddexp(0, logit + e) - y_obs * (logit + e)).sum() + e**2 / 8))
    assert measure_offset(y_obs, logit, clusters).value == pytest.approx(peer.x, abs=1e-5)


def test_an_offset_is_as_sure_as_it_says_with_accounts_that_share_their_fate() -> None:
    rng = np.random.default_rng(12)
    found = []
    for _ in range(200):
        account = np.repeat(np.arange(300), 3)
        won = (rng.random(300) < rates(np.full(300, -1.0))).astype(np.int64)
        found.append(measure_offset(won[account], np.full(900, -1.0), account.astype(object)))
    spread = np.std([offset.value for offset in found])
    assert np.mean([offset.variance**0.5 for offset in found]) == pytest.approx(spread, rel=0.15)


def test_an_offset_of_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="one row"):
        measure_offset(np.empty(0, np.int64), np.empty(0), np.empty(0, object))
