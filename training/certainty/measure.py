"""A fitted model with what it needs to say how sure it is: its 90 % range, and what is unlike its training data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from training.certainty.interval import blocks_of_time, learn_interval
from training.certainty.likeness import learn_likeness
from training.evaluation.metrics import logit

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from data.settings import Plan
    from training.bundles.bundle import SealedModel
    from training.certainty.interval import IntervalTable
    from training.learning.recipe import Rows

__all__ = ["judged_interval", "with_certainty"]


def with_certainty(sealed: SealedModel, rows: Rows, *, interval: IntervalTable | None = None) -> SealedModel:
    """Return the model with what is odd among its fit rows and, where it was judged, its interval."""
    encoding = sealed.model.encoding
    return replace(sealed, interval=interval, likeness=learn_likeness(encoding, encoding.tree_matrix(rows.frame)))


def judged_interval(spine: pd.DataFrame, probability: NDArray[np.float64], plan: Plan) -> IntervalTable | None:
    """Learn the interval from the judged rows; None below 100 wins or losses, or with one stretch of time only.

    Parameters
    ----------
    spine
        The judged rows: `as_of_us`, `y_obs` and `cluster`.
    probability
        (n,) what the model said of them out of time.
    plan
        Says whether leads are judged on monthly cross-sections; those are the periods then, else blocks of 30 days with
        at least 30 wins.
    """
    y_obs, as_of = spine["y_obs"].to_numpy(np.int64), spine["as_of_us"].to_numpy(np.int64)
    periods = as_of if plan.judge_age_days is None else blocks_of_time(as_of, y_obs)
    return learn_interval(y_obs, logit(probability), spine["cluster"].to_numpy(object), periods)
