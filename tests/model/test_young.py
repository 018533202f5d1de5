"""Recent leads help without teaching speed: labels as a moment knew them, and what completes those still open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.clock import DAY_US
from features.catalogue import Catalogue
from tests.model.rows import HORIZON_US, numeric, spine_of
from training.learning.choosing import log_loss_rows
from training.learning.recipe import Choices, Rows, fit_model
from training.learning.young import as_known, completed

NOW, SPAN = 400 * DAY_US, 220 * DAY_US
CATALOGUE = Catalogue(features=(numeric("fast"), numeric("good")))


def world(seed: int, count: int = 6000) -> Rows:
    """Leads in two kinds that win equally often, one within days and one after weeks; `good` is what decides."""
    rng = np.random.default_rng(seed)
    as_of = np.sort(rng.integers(NOW - SPAN, NOW, count))
    fast, good = rng.integers(0, 2, count), rng.normal(size=count)
    won = rng.random(count) < 1 / (1 + np.exp(1.8 - 0.8 * good))
    took = np.where(fast == 1, rng.uniform(1, 12, count), rng.uniform(40, 85, count)) * DAY_US
    spine = spine_of(np.arange(count), np.zeros(count, np.int64), won.astype(np.int64), count).assign(
        row_id=np.arange(count), as_of_us=as_of, mature_us=as_of + HORIZON_US, lost_known_us=np.nan
    )
    spine["won_known_us"] = np.where(won, as_of + took, np.nan)
    return Rows(pd.DataFrame({"fast": fast.astype(float), "good": good}), spine, CATALOGUE)


def effect_of_fast(rows: Rows) -> float:
    """What a fitted model adds to the log-odds of a fast lead."""
    model = fit_model(rows, Choices(alpha=1.0, strength=1.0, trees=0))
    encoding = model.encoding
    asked = pd.DataFrame({"fast": [0.0, 1.0], "good": [0.0, 0.0]})
    slow, fast = model.margin(encoding.tree_matrix(asked)).tolist()
    return float(fast - slow)


def test_a_moment_knows_only_the_wins_that_were_known_by_then() -> None:
    rows = world(1)
    matured, young = as_known(rows, NOW)
    assert len(matured.spine) + len(young.spine) == len(rows.spine)
    known = rows.spine["won_known_us"].to_numpy() <= NOW
    assert matured.y_obs.sum() + young.y_obs.sum() == known.sum()
    late = replace(rows, spine=rows.spine.assign(won_known_us=rows.spine["won_known_us"] + 300 * DAY_US))
    assert as_known(late, NOW)[0].y_obs.sum() < matured.y_obs.sum()


def test_recent_leads_do_not_teach_that_fast_leads_win() -> None:
    told, naive = [], []
    for seed in range(4):
        rows = world(seed)
        matured, young = as_known(rows, NOW)
        # What a fit would say that knew how every young pair ends: the draw of the world is no fault of the method.
        whole = effect_of_fast(rows)
        told.append(effect_of_fast(completed(matured, young, at_us=NOW, strength=1.0)) - whole)
        closed = young.take(young.y_obs == 1)
        early = Rows(
            pd.concat([matured.frame, closed.frame], ignore_index=True),
            pd.concat([matured.spine, closed.spine], ignore_index=True),
            CATALOGUE,
        )
        naive.append(effect_of_fast(early) - whole)
    assert abs(np.mean(told)) < 0.05
    # The test has to be able to fail: keeping only the young that closed early teaches speed.
    assert np.mean(naive) > 0.2


def test_the_completed_labels_hold_as_many_wins_as_there_will_be() -> None:
    shares = []
    for seed in range(4):
        rows = world(seed, 3000)
        matured, young = as_known(rows, NOW)
        whole = completed(matured, young, at_us=NOW, strength=1.0)
        assert whole.weights is not None
        told = float(whole.weights @ whole.y_obs) - matured.y_obs.sum()
        shares.append(told / rows.spine["y_obs"].to_numpy()[rows.spine["mature_us"].to_numpy() > NOW].sum())
        assert whole.weights.sum() == pytest.approx(len(rows.spine), abs=5)
    assert 0.9 < np.mean(shares) < 1.1


def test_young_pairs_make_a_model_of_few_leads_better() -> None:
    gains = []
    for seed in range(6):
        rows, later = world(seed, 1500), world(seed + 100, 4000)
        at_us = NOW - 60 * DAY_US
        matured, young = as_known(rows, at_us)

        def loss(fitted: Rows, later: Rows = later) -> float:
            model = fit_model(fitted, Choices(alpha=1.0, strength=1.0, trees=0, half_life_days=None))
            return float(log_loss_rows(model.margin(model.encoding.tree_matrix(later.frame)), later.y_obs).mean())

        gains.append(loss(matured) - loss(completed(matured, young, at_us=at_us, strength=1.0)))
    assert np.mean(gains) > 0


def test_without_young_pairs_or_with_too_few_wins_the_matured_stay_alone() -> None:
    rows = world(1)
    matured, young = as_known(rows, NOW)
    nobody = young.take(np.zeros(len(young.spine), bool))
    assert completed(matured, nobody, at_us=NOW, strength=1.0) is matured
    few = matured.take(np.cumsum(matured.y_obs) <= 5)
    assert completed(few, young, at_us=NOW, strength=1.0) is few


def test_a_known_loss_is_no_open_lead() -> None:
    rows = world(2)
    matured, young = as_known(rows, NOW)
    lost = replace(young, spine=young.spine.assign(lost_known_us=np.where(young.y_obs == 1, np.nan, NOW - 1.0)))
    whole = completed(matured, lost, at_us=NOW, strength=1.0)
    assert whole.weights is not None
    assert set(whole.weights) == {1.0}
    assert len(whole.spine) == len(rows.spine)
