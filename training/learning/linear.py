"""The regularised linear part: logistic regression with ridge penalty and signs that monotone features must keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.learning.encoding import Encoding, NumberCode

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
    row_weights: Floats | None = None,
) -> LinearPart:
    """Minimise `sum(row weight * log loss) + strength / 2 * |weights|^2` under the signs of monotone features.

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
    row_weights
        (n,) how much each row counts; all alike without it.

    Notes
    -----
    Newton steps projected onto the signs (Bertsekas, 1982).
    """
    lower, upper = _bounds(encoding)
    full = np.column_stack([design, np.ones(len(design))])
    penalty = np.append(np.full(design.shape[1], strength), 1e-9)
    problem = _Problem(full, y_obs.astype(np.float64), penalty, lower, upper, row_weights)
    parameters = problem.start() if near is None else np.append(near.weights, near.intercept)
    value = problem.loss(parameters)
    for _ in range(_MAX_STEPS):
        parameters, value, gained = problem.walk(parameters, problem.newton_step(parameters), value)
        if gained <= 1e-12 * max(abs(value), 1.0):
            break
    weights, intercept = parameters[:-1], float(parameters[-1])
    means = np.asarray(design.mean(axis=0) * weights, np.float64)
    centres = np.bincount(encoding.owners, means, minlength=len(encoding.codes)).astype(np.float64)
    return LinearPart(weights, intercept, centres)


@dataclass(frozen=True)
class _Problem:
    """The penalised, weighted log loss and how to go down it."""

    full: Floats
    target: Floats
    penalty: Floats
    lower: Floats
    upper: Floats
    weights: Floats | None

    def start(self) -> Floats:
        rate = float(np.clip(np.average(self.target, weights=self.weights), 1e-6, 1 - 1e-6))
        parameters = np.zeros(self.full.shape[1])
        parameters[-1] = np.log(rate / (1 - rate))
        return parameters

    def loss(self, parameters: Floats) -> float:
        margin = self.full @ parameters
        ridge = 0.5 * self.penalty @ parameters**2
        if self.weights is None:
            return float(np.logaddexp(0, margin).sum() - self.target @ margin + ridge)
        return float(self.weights @ np.logaddexp(0, margin) - (self.weights * self.target) @ margin + ridge)

    def newton_step(self, parameters: Floats) -> Floats:
        """Return the Newton step in the weights that are free to move."""
        probability = 1 / (1 + np.exp(-(self.full @ parameters)))
        residual, curvature = probability - self.target, probability * (1 - probability)
        if self.weights is not None:
            residual, curvature = self.weights * residual, self.weights * curvature
        gradient = residual @ self.full + self.penalty * parameters
        held = ((parameters <= self.lower) & (gradient > 0)) | ((parameters >= self.upper) & (gradient < 0))
        free = np.flatnonzero(~held)
        hessian = _curvature(self.full, curvature)[np.ix_(free, free)]
        hessian[np.diag_indices_from(hessian)] += self.penalty[free] + 1e-9
        step = np.zeros_like(parameters)
        step[free] = -np.linalg.solve(hessian, gradient[free])
        return step

    def walk(self, parameters: Floats, step: Floats, value: float) -> tuple[Floats, float, float]:
        """Go along the step, halved until the loss falls, and stay within the signs; return point, loss and gain."""
        length = 1.0
        for _ in range(30):
            tried = np.clip(parameters + length * step, self.lower, self.upper)
            there = self.loss(tried)
            # Close to the optimum what a step gains drowns in rounding; the step is right all the same.
            if there < value + 1e-14 * abs(value):
                return tried, there, value - there
            length /= 2
        return parameters, value, 0.0


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


def _bounds(encoding: Encoding) -> tuple[Floats, Floats]:
    """Return lower and upper bounds of the weights and the intercept."""
    signs: list[int] = []
    for code in encoding.codes:
        signs += [code.monotone if isinstance(code, NumberCode) else 0] + [0] * (code.width - 1)
    sign = np.array([*signs, 0])
    return np.where(sign > 0, 0.0, -np.inf), np.where(sign < 0, 0.0, np.inf)
