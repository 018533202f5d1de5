"""Judgements of synthetic rows without any fitting: methods that know more or less of the outcome."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from data.settings import Plan
from tests.model.rows import synthetic_rows
from training.evaluation.judging import MODEL, Judgement, judged_as
from training.learning.recipe import Choices
from training.learning.splits import judge_split

if TYPE_CHECKING:
    from numpy.typing import NDArray


def knowing(y_obs: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return probabilities that know a share of the outcome and are otherwise noise."""
    margin = np.log(y_obs.mean() / (1 - y_obs.mean())) + share * (y_obs - y_obs.mean()) + rng.normal(0, 0.3, len(y_obs))
    return np.asarray(1 / (1 + np.exp(-margin)))


@cache
def synthetic_judgement(count: int = 6000, *, seed: int = 0, share: float = 1.5, rows_seed: int = 0) -> Judgement:
    """Return a judgement of the last months of `synthetic_rows`; the model knows `share` of each outcome."""
    drawn, rng = synthetic_rows(count, seed=rows_seed), np.random.default_rng(seed)
    # On no list does a lead stand twice.
    rows = replace(drawn, spine=drawn.spine.assign(lead_id=[f"l{k}" for k in range(count)]))
    split = judge_split(rows.spine, Plan())
    y_obs = rows.take(split.judged).y_obs
    predictions = {
        MODEL: knowing(y_obs, share, rng),
        "prior": np.full(len(y_obs), y_obs.mean()),
        "logistic": knowing(y_obs, 1.0, rng),
    }
    nobody = np.empty(0)
    return judged_as(rows, split, Choices(), predictions, nobody, monthly=True, capacity=20, seed=1)
