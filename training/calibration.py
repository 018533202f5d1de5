"""Platt scaling: the two numbers that turn margins into log-odds one can believe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.metrics import logistic_line
from training.model import Calibrator

__all__ = ["fit_platt"]

# Below this many wins (or losses) a slope says more about luck than about the model.
MIN_EVENTS = 30


def fit_platt(margin: NDArray[np.float64], y_obs: NDArray[np.int64]) -> Calibrator:
    """Fit `logit = a * margin + b` by maximum likelihood (Platt, 1999), or keep the margin as it is.

    The identity is kept with fewer than 30 wins or losses, where the likelihood has no maximum (the margin parts wins
    and losses completely, or is constant) and where the slope would not be positive: a calibrator that turns the order
    around is a sign of noise, never a correction.

    Examples
    --------
    >>> margin = np.tile([-1.0, 0.0, 1.0], 200)
    >>> y_obs = (np.random.default_rng(1).random(600) < 1 / (1 + np.exp(-2 * margin))).astype(int)
    >>> 1.5 < fit_platt(margin, y_obs).a < 2.5
    True
    """
    wins = int(y_obs.sum())
    if min(wins, len(y_obs) - wins) < MIN_EVENTS:
        return Calibrator()
    line = logistic_line(y_obs, margin)
    return Calibrator(line.slope, line.intercept) if line.slope > 0 else Calibrator()
