"""Each test of the leak finder against a plain count, or against what chance does."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from data.clock import DAY_US
from training.leaks.facts import moves_of
from training.leaks.statistics import Zone, adjusted, clustered_auc, cross_fitted, find_zone, knows_closing, rank_table


@pytest.mark.parametrize("seed", range(4))
def test_the_auc_counts_pairs_within_a_moment(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ranks, y_obs, moments = rng.integers(0, 6, 80), rng.integers(0, 2, 80), rng.integers(0, 3, 80)
    right = pairs = 0.0
    for i in np.flatnonzero(y_obs == 1):
        for j in np.flatnonzero((y_obs == 0) & (moments == moments[i])):
            pairs += 1
            right += 1.0 if ranks[i] > ranks[j] else 0.5 if ranks[i] == ranks[j] else 0.0
    assert clustered_auc(ranks, y_obs, moments, np.arange(80)).value == pytest.approx(right / pairs)


def test_the_interval_of_the_auc_covers_one_half_for_a_column_of_chance() -> None:
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        account = rng.integers(0, 150, 400)
        auc = clustered_auc(rng.normal(size=150).argsort()[account], rng.integers(0, 2, 400), account * 0, account)
        covered += auc.low <= 0.5 <= auc.high
    assert 180 <= covered <= 198


def test_an_account_that_repeats_itself_widens_the_interval() -> None:
    rng = np.random.default_rng(1)
    ranks, y_obs = rng.integers(0, 50, 200), rng.integers(0, 2, 200)
    alone = clustered_auc(ranks, y_obs, np.zeros(200, int), np.arange(200))
    tenfold = clustered_auc(np.tile(ranks, 10), np.tile(y_obs, 10), np.zeros(2000, int), np.tile(np.arange(200), 10))
    assert tenfold.error == pytest.approx(alone.error, rel=0.02)


def test_a_season_that_all_share_ranks_nobody() -> None:
    rng = np.random.default_rng(2)
    month = rng.integers(0, 12, 6000)
    y_obs = (rng.random(6000) < 0.05 + 0.03 * month).astype(int)
    folds = rng.integers(0, 4, 6000)
    ranks = rank_table(cross_fitted(month, y_obs, folds))[folds, month]
    assert clustered_auc(ranks, y_obs, np.zeros(6000, int), np.arange(6000)).value > 0.6
    # Below one half: a fold with more wins of a month leaves fewer for the others to learn from.
    assert 0.4 < clustered_auc(ranks, y_obs, month, np.arange(6000)).value < 0.52


def test_values_of_a_single_lead_are_no_certain_winners() -> None:
    rng = np.random.default_rng(3)
    won = (rng.random(2000) < 0.1).astype(int)
    assert find_zone(np.arange(2000), won, np.arange(2000) % 4, winners=True, least=0.85).rows == 0


def test_odds_of_winners_beyond_the_base_rate_are_judged_by_their_lower_end() -> None:
    assert Zone(rows=40, wins=40, recall=1.0, base=0.1).odds_ratio == pytest.approx(93.4, abs=1)
    assert Zone(rows=10, wins=10, recall=1.0, base=0.1).odds_ratio < 25
    assert Zone(rows=142, wins=140, recall=0.04, base=0.38).odds_ratio < 35


def test_holm_never_lets_a_column_pass_that_stands_behind_a_failing_one() -> None:
    found = adjusted({"a": 0.0001, "b": 0.02, "c": 0.021, "d": 0.9})
    assert found == pytest.approx({"a": 0.0004, "b": 0.06, "c": 0.06, "d": 0.9})


@pytest.mark.parametrize("cycle", [3.0, 90.0])
def test_the_closing_date_is_known_again_in_short_and_long_cycles(cycle: float) -> None:
    rng = np.random.default_rng(4)
    created = np.sort(rng.integers(0, 700, 800))
    closed = created + rng.exponential(cycle, 800)
    for column in (closed, closed - created, -closed, closed + rng.exponential(cycle / 10, 800)):
        found = knows_closing(np.asarray(column, np.float64), created, np.asarray(closed, np.float64))
        assert found is not None
        assert abs(found[0]) > 0.8
    honest = knows_closing(np.asarray(created + rng.random(800), np.float64), created, np.asarray(closed, np.float64))
    assert honest is not None
    assert abs(honest[0]) < 0.2


def test_a_closing_date_that_is_always_the_same_distance_away_tells_nothing() -> None:
    created = np.arange(100)
    value, closed = np.asarray(created, np.float64), np.asarray(created + 12, np.float64)
    assert knows_closing(value, created, closed) is None


def test_only_changes_around_the_closing_count_as_moves() -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE leads (lead_id VARCHAR, known_at TIMESTAMPTZ, erp VARCHAR, note VARCHAR)")
        connection.execute("CREATE TABLE lead_states (lead_id VARCHAR, state VARCHAR, closed_us BIGINT)")
        for k in range(20):
            state = "won" if k < 10 else "open"
            connection.execute(
                "INSERT INTO lead_states VALUES (?, ?, ?)", [f"l{k}", state, 50 * DAY_US if k < 10 else None]
            )
            at = (0, 20, 51) if k < 10 else (0, 20, 60)
            for day, erp, note in zip(at, ("a", "a", "b" if k < 10 else "a"), ("x", "y", "y"), strict=True):
                connection.execute(
                    "INSERT INTO leads VALUES (?, make_timestamptz(?), ?, ?)", [f"l{k}", day * DAY_US, erp, note]
                )
        found = moves_of(connection, ["erp", "note"], at_us=100 * DAY_US)
    assert (found["erp"].closed, found["erp"].closed_moved, found["erp"].open_moved) == (10, 10, 0)
    assert found["note"].closed_moved == 0
