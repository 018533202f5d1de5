"""The shift of the intercept: it finds drift, follows the newest, leaves luck alone, and on real drift it helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from data.clock import DAY_US, to_us
from data.importing import import_export
from data.mapping import load_mapping
from data.settings import load_settings
from data.warehouse import Warehouse
from features.training_set import build_training_set, catalogue_of, first_as_of
from serving.demo.run import end_of_data
from tests.datasets import public_dataset
from training.certainty.correction import LEAST_SHIFT, PRIOR_SD, measure_correction
from training.learning.calibration import fit_platt
from training.learning.recipe import Choices, Rows, fit_model
from training.learning.splits import judge_split
from training.run import frames, plan_of, scorecard_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Drawn = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.object_]]

MONTH_US = 30 * DAY_US


def drawn(rng: np.random.Generator, offsets: list[float], *, rows: int = 1000) -> Drawn:
    """Return monthly cross-sections whose true log-odds lie `offset` above what was predicted."""
    month = np.repeat(np.arange(len(offsets)), rows)
    logit = rng.normal(-2.5, 1.0, len(month))
    truth = 1 / (1 + np.exp(-(logit + np.array(offsets)[month])))
    y_obs = (rng.random(len(month)) < truth).astype(np.int64)
    return y_obs, logit, month * MONTH_US, rng.integers(0, 700, len(month)).astype(str).astype(object)


@pytest.mark.parametrize("offset", [-0.8, 0.6, 1.5])
def test_it_finds_a_drift_and_moves_the_mean_prediction_to_what_was_realised(offset: float) -> None:
    found = measure_correction(*drawn(np.random.default_rng(1), [offset] * 3, rows=4000))
    assert found.shift == pytest.approx(offset, abs=0.15)
    told = (found.realised, found.predicted_before, found.predicted_after, found.log_loss_before, found.log_loss_after)
    realised, before, after, loss_before, loss_after = (value or 0.0 for value in told)
    assert abs(after - realised) < 0.2 * abs(before - realised)
    assert loss_after < loss_before
    assert found.realised_low is not None
    assert found.realised_high is not None
    assert found.realised_low < realised < found.realised_high
    assert not found.realised_low < before < found.realised_high


def test_the_newest_month_counts_most() -> None:
    rising = measure_correction(*drawn(np.random.default_rng(2), [-0.6, 0.0, 0.6], rows=3000))
    falling = measure_correction(*drawn(np.random.default_rng(2), [0.6, 0.0, -0.6], rows=3000))
    assert rising.shift > 0.15
    assert falling.shift < -0.15


def test_without_drift_it_does_no_harm() -> None:
    rng = np.random.default_rng(3)
    harm, applied = [], []
    for _ in range(120):
        y_obs, logit, as_of, clusters = drawn(rng, [0.0] * 3)
        shift = measure_correction(y_obs, logit, as_of, clusters).shift
        truth = 1 / (1 + np.exp(-logit))
        moved = logit + shift
        harm.append(
            float((np.logaddexp(0, moved) - truth * moved).mean() - (np.logaddexp(0, logit) - truth * logit).mean())
        )
        applied.append(shift != 0)
    # In expectation over what is true: the loss of a shift is never below 0.
    assert np.mean(harm) < 0.0003
    assert max(harm) < 0.004
    assert np.mean(applied) < 0.2


def test_few_leads_move_it_little() -> None:
    rng = np.random.default_rng(4)
    found = [measure_correction(*drawn(rng, [0.5], rows=400)) for _ in range(20)]
    assert np.mean([abs(one.estimate) for one in found]) < 0.45
    assert PRIOR_SD < 0.5


@pytest.mark.parametrize(("wins", "losses"), [(29, 500), (500, 29), (0, 0)])
def test_below_thirty_wins_or_losses_nothing_is_shifted_and_it_says_so(wins: int, losses: int) -> None:
    y_obs = np.repeat([1, 0], [wins, losses])
    found = measure_correction(y_obs, np.full(len(y_obs), -9.0), np.zeros(len(y_obs), np.int64), y_obs.astype(object))
    assert found.shift == 0
    assert f"{wins} wins" in found.why


def test_what_is_too_small_to_matter_is_left_alone_however_sure() -> None:
    y_obs = np.repeat([1, 0], [51_000, 49_000])
    found = measure_correction(y_obs, np.zeros(100_000), np.zeros(100_000, np.int64), np.arange(100_000))
    assert 0.03 < found.estimate < LEAST_SHIFT
    assert (found.shift, "too small" in found.why) == (0, True)


def test_accounts_that_share_their_fate_make_it_less_sure() -> None:
    y_obs, logit, as_of, _ = drawn(np.random.default_rng(5), [0.2], rows=600)
    copies = np.repeat(np.arange(600), 4)
    alone = measure_correction(y_obs[copies], logit[copies], as_of[copies], np.arange(2400))
    shared = measure_correction(y_obs[copies], logit[copies], as_of[copies], copies)
    assert shared.standard_error == pytest.approx(2 * alone.standard_error, rel=0.1)


def walked(rows: Rows, logit: NDArray[np.float64], start_us: int) -> NDArray[np.float64]:
    """Return the shift each row would have got, corrected every 30 days by what had matured by then."""
    as_of, mature = rows.spine["as_of_us"].to_numpy(np.int64), rows.spine["mature_us"].to_numpy(np.int64)
    shifts = np.zeros(len(as_of))
    for now in range(start_us + MONTH_US, int(as_of.max()) + MONTH_US, MONTH_US):
        known, asked = mature <= now, (as_of >= now) & (as_of < now + MONTH_US)
        shifts[asked] = measure_correction(rows.y_obs[known], logit[known], as_of[known], rows.clusters[known]).shift
    return shifts


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], tuple[Rows, NDArray[np.float64], int]]:
    """What a model fitted on the first 70 % of bank marketing says of the rest, calibrated before the judged period."""
    source = public_dataset("bank_marketing")
    home: Path = tmp_path_factory.mktemp("bank")
    settings = load_settings(home=home, mlruns=home / "mlruns")
    warehouse = Warehouse(settings.warehouse_dir)
    import_export(source, load_mapping("bank_marketing"), warehouse)
    plan, cutoff_us = plan_of(settings, warehouse), to_us(end_of_data(settings))
    with warehouse.connect() as connection:
        catalogue = catalogue_of(
            connection,
            warehouse,
            cutoff_us=cutoff_us,
            timezone="UTC",
            wanted=scorecard_of(settings).features(),
            from_us=first_as_of(connection, plan),
        )
        rows = frames(build_training_set(connection, catalogue, plan, cutoff_us=cutoff_us).table, catalogue)
    split = judge_split(rows.spine, plan)
    fit, judged = rows.take(split.fit), rows.take(split.judged)
    border = int(np.quantile(fit.spine["as_of_us"], 0.7))
    earlier = fit.take(fit.spine["mature_us"].to_numpy() <= border)
    later = fit.take(fit.spine["as_of_us"].to_numpy() >= border)

    def margin(of: Rows, asked: Rows) -> NDArray[np.float64]:
        model = fit_model(of, Choices(trees=100))
        return model.margin(model.encoding.tree_matrix(asked.frame))

    calibrator = fit_platt(margin(earlier, later), later.y_obs, clusters=later.clusters)
    logit = calibrator.logit(margin(fit, judged))
    return lambda: (judged, logit, split.judge_from_us)


def test_on_bank_marketing_where_the_base_rate_drifts_it_helps_month_by_month(
    bank: Callable[[], tuple[Rows, NDArray[np.float64], int]],
) -> None:
    judged, logit, start_us = bank()
    shifts = walked(judged, logit, start_us)
    before, after = (np.logaddexp(0, moved) - judged.y_obs * moved for moved in (logit, logit + shifts))
    gain = before - after
    months = (judged.spine["as_of_us"].to_numpy() - start_us) // MONTH_US
    rng = np.random.default_rng(6)
    # Whole months are drawn: leads of one month share their drift.
    sums, sizes = np.bincount(months, gain), np.bincount(months)
    picks = rng.integers(0, len(sums), (2000, len(sums)))
    low, high = np.quantile(sums[picks].sum(axis=1) / sizes[picks].sum(axis=1), (0.025, 0.975))
    assert low > 0, (before.mean(), gain.mean(), high)
    assert gain.mean() > 0.01
