"""The regularised linear part: logistic regression with ridge penalty and signs that monotone features must keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.encoding import Encoding, NumberCode

__all__ = ["LinearPart", "fit_linear"]

Floats = NDArray[np.float64]
_MAX_STEPS = 50
_BLOCK = 4096


@dataclass(frozen=True)
class LinearPart:
    """Weights over the design's columns; `centres` are the features' mean terms on the fit rows.

    The term of feature j is `sum(weights * its columns) - centres[j]`, `base` the intercept plus all centres, so that
    terms have mean zero on the fit rows, as LightGBM's SHAP values are centred on theirs.
    """

    weights: Floats
    intercept: float
    centres: Floats

    @property
    def base(self) -> float:
        """The margin of the mean fit row."""
        return self.intercept + float(self.centres.sum())

    def margin(self, design: Floats) -> Floats:
        """Return the (n,) log-odds."""
        return np.asarray(design @ self.weights + self.intercept)

    def terms(self, design: Floats, encoding: Encoding) -> Floats:
        """Return the (n, features) centred terms; they and `base` add up to the margin."""
        weighted = design * self.weights
        starts = np.flatnonzero(np.diff(encoding.owners, prepend=-1))
        return np.asarray(np.add.reduceat(weighted, starts, axis=1) - self.centres)


def fit_linear(
    design: Floats,
    y_obs: NDArray[np.int64],
    encoding: Encoding,
    *,
    strength: float,
    near: LinearPart | None = None,
) -> LinearPart:
    """Minimise `sum(log loss) + strength / 2 * |weights|^2` under the signs of monotone features.

    Parameters
    ----------
    design
        (n, columns) from `Encoding.design`.
    y_obs
        (n,) 0 or 1.
    encoding
        Gives the signs: the weight of a monotone feature may not point the other way.
    strength
        Ridge penalty; the intercept is free.
    near
        A solution of a similar problem to start from. It changes the time and not the result: the steps go on to the
        optimum, so that nothing of the start (which may have seen rows that this fit must not) is left.

    Notes
    -----
    Newton steps projected onto the signs (Bertsekas, 1982).
    """
    lower, upper = _bounds(encoding)
    full = np.column_stack([design, np.ones(len(design))])
    penalty = np.append(np.full(design.shape[1], strength), 1e-9)
    target = y_obs.astype(np.float64)
    parameters = _start(target, full.shape[1]) if near is None else np.append(near.weights, near.intercept)
    value = _loss(parameters, full, target, penalty)
    for _ in range(_MAX_STEPS):
        step = _newton_step(parameters, full, target, penalty, (lower, upper))
        parameters, value, gained = _walk(parameters, step, value, full, target, penalty, (lower, upper))
        if gained <= 1e-12 * max(abs(value), 1.0):
            break
    weights, intercept = parameters[:-1], float(parameters[-1])
    means = np.asarray(design.mean(axis=0) * weights, np.float64)
    centres = np.bincount(encoding.owners, means, minlength=len(encoding.codes)).astype(np.float64)
    return LinearPart(weights, intercept, centres)


def _start(target: Floats, columns: int) -> Floats:
    rate = float(np.clip(target.mean(), 1e-6, 1 - 1e-6))
    parameters = np.zeros(columns)
    parameters[-1] = np.log(rate / (1 - rate))
    return parameters


def _loss(parameters: Floats, full: Floats, target: Floats, penalty: Floats) -> float:
    margin = full @ parameters
    return float(np.logaddexp(0, margin).sum() - target @ margin + 0.5 * penalty @ parameters**2)


def _newton_step(
    parameters: Floats, full: Floats, target: Floats, penalty: Floats, bounds: tuple[Floats, Floats]
) -> Floats:
    """Return the Newton step in the weights that are free to move."""
    probability = 1 / (1 + np.exp(-(full @ parameters)))
    gradient = (probability - target) @ full + penalty * parameters
    held = ((parameters <= bounds[0]) & (gradient > 0)) | ((parameters >= bounds[1]) & (gradient < 0))
    free = np.flatnonzero(~held)
    hessian = _curvature(full, probability * (1 - probability))[np.ix_(free, free)]
    hessian[np.diag_indices_from(hessian)] += penalty[free] + 1e-9
    step = np.zeros_like(parameters)
    step[free] = -np.linalg.solve(hessian, gradient[free])
    return step


def _curvature(full: Floats, weights: Floats) -> Floats:
    """Return `full' diag(weights) full`, block by block in single precision.

    The curvature only turns the step; where the steps end, the gradient decides, and that is in double precision.
    """
    total = np.zeros((full.shape[1], full.shape[1]))
    roots = np.sqrt(weights)[:, None]
    for start in range(0, len(full), _BLOCK):
        block = (full[start : start + _BLOCK] * roots[start : start + _BLOCK]).astype(np.float32)
        total += block.T @ block
    return total


def _walk(
    parameters: Floats,
    step: Floats,
    value: float,
    full: Floats,
    target: Floats,
    penalty: Floats,
    bounds: tuple[Floats, Floats],
) -> tuple[Floats, float, float]:
    """Go along the step, halved until the loss falls, and stay within the signs; return point, loss and gain."""
    length = 1.0
    for _ in range(30):
        tried = np.clip(parameters + length * step, *bounds)
        there = _loss(tried, full, target, penalty)
        # Close to the optimum what a step gains drowns in rounding; the step is right all the same.
        if there < value + 1e-14 * abs(value):
            return tried, there, value - there
        length /= 2
    return parameters, value, 0.0


def _bounds(encoding: Encoding) -> tuple[Floats, Floats]:
    """Return lower and upper bounds of the weights and the intercept."""
    signs: list[int] = []
    for code in encoding.codes:
        signs += [code.monotone if isinstance(code, NumberCode) else 0] + [0] * (code.width - 1)
    sign = np.array([*signs, 0])
    return np.where(sign > 0, 0.0, -np.inf), np.where(sign < 0, 0.0, np.inf)
