"""Platt scaling with a weak prior: the two numbers that turn margins into log-odds one can believe."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.learning.model import Calibrator
from training.learning.offset import cluster_sums

__all__ = ["MIN_EVENTS", "SHIFT_SD", "SLOPE_SD", "fit_platt"]

# Below this many wins (or losses) a slope says more about luck than about the model.
MIN_EVENTS = 30
# How far a margin learnt by likelihood strays, before anything is seen: its slope from 1, its mean from the truth.
SLOPE_SD = 0.1
SHIFT_SD = 0.15
_MAX_STEPS = 100
Floats = NDArray[np.float64]


def fit_platt(
    margin: NDArray[np.float64], y_obs: NDArray[np.int64], *, clusters: NDArray[Any] | None = None
) -> Calibrator:
    """Fit `logit = a * margin + b`, shrunk towards the margin itself, or keep the margin as it is.

    Written as `logit = margin + shift + tilt * (margin - mean margin)`, it is the maximum of the posterior under
    `shift ~ N(0, 0.15^2)` and `tilt ~ N(0, 0.1^2)`: Platt's line (1999) where outcomes are many, the margin where they
    are few.

    Parameters
    ----------
    margin
        (n,) out-of-sample log-odds.
    y_obs
        (n,) 0 or 1.
    clusters
        (n,) accounts. Rows of one account say less than as many strangers: the likelihood counts by the effective
        number of rows, from the sandwich of the clusters.

    Notes
    -----
    The identity is kept with fewer than 30 wins or losses, where nothing speaks for a line (a constant margin, or one
    that parts wins and losses completely) and where the slope would not be positive: a calibrator that turns the order
    around is a sign of noise, never a correction.

    Examples
    --------
    >>> margin = np.tile([-1.0, 0.0, 1.0], 2000)
    >>> y_obs = (np.random.default_rng(1).random(6000) < 1 / (1 + np.exp(-2 * margin))).astype(int)
    >>> 1.5 < fit_platt(margin, y_obs).a < 2.1
    True
    """
    wins = int(y_obs.sum())
    if min(wins, len(y_obs) - wins) < MIN_EVENTS or _parted(margin, y_obs):
        return Calibrator()
    mean = float(margin.mean())
    design = np.column_stack([np.ones(len(margin)), margin - mean])
    found = _posterior_mode(design, margin, y_obs, 1.0)
    if clusters is not None:
        found = _posterior_mode(design, margin, y_obs, _design_effect(design, margin, y_obs, clusters, found))
    shift, tilt = found.tolist()
    return Calibrator(1 + tilt, shift - tilt * mean) if tilt > -1 else Calibrator()


def _parted(margin: Floats, y_obs: NDArray[np.int64]) -> bool:
    """Tell whether one threshold parts wins and losses, or all margins are equal: a line has no likelihood maximum."""
    won, lost = margin[y_obs == 1], margin[y_obs == 0]
    return bool(won.min() >= lost.max() or won.max() <= lost.min())


def _posterior_mode(design: Floats, margin: Floats, y_obs: NDArray[np.int64], effect: float) -> Floats:
    """Return shift and tilt by Newton's method with step halving; `effect` divides the likelihood."""
    precision = np.array([1 / SHIFT_SD**2, 1 / SLOPE_SD**2])

    def loss(at: Floats) -> float:
        eta = margin + design @ at
        return float((np.logaddexp(0, eta) - y_obs * eta).sum() / effect + precision @ at**2 / 2)

    # From the flat line, where the curvature is sound; margins that are far too sure have next to none of their own.
    wins = float(y_obs.mean())
    found = np.array([np.log(wins / (1 - wins)) - float(margin.mean()), -1.0])
    current = loss(found)
    for _ in range(_MAX_STEPS):
        p = 1 / (1 + np.exp(-np.clip(margin + design @ found, -500, 500)))
        slope = design.T @ (y_obs - p) / effect - precision * found
        curve = (design.T * (p * (1 - p))) @ design / effect + np.diag(precision)
        step = np.linalg.solve(curve, slope)
        while (tried := loss(found + step)) > current + 1e-12 * abs(current) and np.abs(step).max() > 1e-14:
            step = step / 2
        found, current = found + step, tried
        if np.abs(step).max() < 1e-12:
            break
    return found


def _design_effect(
    design: Floats, margin: Floats, y_obs: NDArray[np.int64], clusters: NDArray[Any], at: Floats
) -> float:
    """Return how many rows are worth one independent row: the mean ratio of clustered to plain variance, from 1 on."""
    p = 1 / (1 + np.exp(-np.clip(margin + design @ at, -500, 500)))
    scores = np.stack([cluster_sums(clusters, column * (y_obs - p)) for column in design.T])
    information = (design.T * (p * (1 - p))) @ design
    return max(1.0, float(np.trace(np.linalg.solve(information, scores @ scores.T))) / 2)
