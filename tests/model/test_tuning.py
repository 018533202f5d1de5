"""Searching for the shape of trees: within its budget, on fit rows alone, and only taken where it clearly wins."""

from __future__ import annotations

import time

import numpy as np
import pytest

from data.errors import UsageError
from tests.model.rows import changed, synthetic_rows
from training.learning.recipe import Rows, TreeShape
from training.learning.tuning import tune


def interacting(count: int, seed: int) -> Rows:
    """Wins hang on many narrow pieces of two numbers, which eight leaves at a slow rate see badly."""
    rows, rng = synthetic_rows(count, seed=seed), np.random.default_rng(seed)
    frame = rows.frame.assign(size=rng.uniform(0, 4, count), noise=rng.uniform(0, 4, count))
    even = ((frame["size"] // 1 + frame["noise"] // 1) % 2 == 0).to_numpy()
    y_obs = (rng.random(count) < np.where(even, 0.6, 0.05)).astype(np.int64)
    return changed(rows, frame=frame, y_obs=y_obs)


def test_a_shape_that_clearly_wins_is_taken_and_frozen_in_the_choices() -> None:
    tuned = tune(interacting(3000, 1), monthly_only=True, seconds=300, trials=10)
    assert tuned.tried == 11
    assert not tuned.kept_default
    assert tuned.best_loss < tuned.default_loss
    assert tuned.choices.shape != TreeShape()


def test_where_nothing_can_be_won_the_default_stays() -> None:
    rows = synthetic_rows(900, seed=2)
    noise = changed(rows, y_obs=np.random.default_rng(0).permutation(rows.y_obs))
    tuned = tune(noise, monthly_only=True, seconds=60, trials=4)
    assert tuned.kept_default
    assert tuned.best_loss == tuned.default_loss


def test_the_same_number_of_trials_gives_the_same_choices() -> None:
    rows = synthetic_rows(700, seed=3)
    assert tune(rows, monthly_only=True, seconds=60, trials=3) == tune(rows, monthly_only=True, seconds=60, trials=3)


def test_the_search_ends_with_its_budget_and_tells_how_far_it_is() -> None:
    told: list[str] = []
    began = time.monotonic()
    tuned = tune(synthetic_rows(700, seed=4), monthly_only=True, seconds=3, progress=told.append)
    assert tuned.tried >= 2
    assert time.monotonic() - began < 60
    assert any(text.startswith("tuning: 2 shapes") for text in told)


def test_a_history_without_folds_is_not_searched() -> None:
    assert tune(synthetic_rows(80, seed=5), monthly_only=True, seconds=5).tried == 0


def test_no_time_is_refused() -> None:
    with pytest.raises(UsageError, match="time budget"):
        tune(synthetic_rows(80, seed=5), monthly_only=True, seconds=0)
