"""The regularised linear part: logistic regression with ridge penalty and signs that monotone features must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.learning.encoding import Encoding, NumberCode

__all__ = ["LinearPart", "fit_linear"]

Floats = NDArray[np.float64]
_MAX_STEPS = 100
# A kept curvature is let go when a step with it promises more than this share of what the step before did.
_FAST = 0.3
# Of the loss: a step that promises less ends the descent, and what is left then is less than half of it.
_ENOUGH = 1e-17
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
    Newton steps projected onto the signs (Bertsekas, 1982). The curvature, nine tenths of the work, is kept from step
    to step for as long as steps with it converge fast (Shamanskii, 1967).
    """
    lower, upper = _bounds(encoding)
    full = np.column_stack([design, np.ones(len(design))])
    penalty = np.append(np.full(design.shape[1], strength), 1e-9)
    problem = _Problem(full, y_obs.astype(np.float64), penalty, lower, upper, row_weights)
    parameters = _descend(problem, problem.start() if near is None else np.append(near.weights, near.intercept))
    weights, intercept = parameters[:-1], float(parameters[-1])
    means = np.asarray(design.mean(axis=0) * weights, np.float64)
    centres = np.bincount(encoding.owners, means, minlength=len(encoding.codes)).astype(np.float64)
    return LinearPart(weights, intercept, centres)


def _descend(problem: _Problem, parameters: Floats) -> Floats:
    """Return the optimum, stepping until the gain that a step promises is lost in rounding."""
    at, curvature, before = problem.at(parameters), None, 0.0
    for _ in range(_MAX_STEPS):
        gradient, fresh = problem.gradient(at), curvature is None
        curvature = problem.curvature(at) if curvature is None else curvature
        step = problem.step(at, gradient, curvature)
        promised = abs(float(gradient @ step))
        slow = not fresh and promised > _FAST * before
        if not slow:
            found = problem.walk(at, step)
            slow = found is None
            at = at if found is None else found
        if (slow and fresh) or promised <= _ENOUGH * max(abs(at.loss), 1.0):
            break
        curvature, before = (None if slow else curvature), promised
    return at.parameters


class _Point(NamedTuple):
    """Where a descent is: parameters, each row's log-odds there and the penalised loss."""

    parameters: Floats
    margin: Floats
    loss: float


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
        """Return the parameters of the mean alone."""
        rate = float(np.clip(np.average(self.target, weights=self.weights), 1e-6, 1 - 1e-6))
        parameters = np.zeros(self.full.shape[1])
        parameters[-1] = np.log(rate / (1 - rate))
        return parameters

    def at(self, parameters: Floats) -> _Point:
        """Return the point with its margins and loss."""
        margin = self.full @ parameters
        losses = np.logaddexp(0, margin) - self.target * margin
        ridge = 0.5 * float(self.penalty @ parameters**2)
        return _Point(
            parameters, margin, float(losses.sum() if self.weights is None else self.weights @ losses) + ridge
        )

    def gradient(self, at: _Point) -> Floats:
        """Return the slope of the penalised loss."""
        residual = 1 / (1 + np.exp(-at.margin)) - self.target
        residual = residual if self.weights is None else self.weights * residual
        slope: Floats = residual @ self.full + self.penalty * at.parameters
        return slope

    def curvature(self, at: _Point) -> Floats:
        """Return the matrix of second derivatives."""
        probability = 1 / (1 + np.exp(-at.margin))
        each = probability * (1 - probability)
        matrix = _curvature(self.full, each if self.weights is None else self.weights * each)
        matrix[np.diag_indices_from(matrix)] += self.penalty + 1e-9
        return matrix

    def step(self, at: _Point, gradient: Floats, curvature: Floats) -> Floats:
        """Return the Newton step in the weights that are free to move."""
        held = ((at.parameters <= self.lower) & (gradient > 0)) | ((at.parameters >= self.upper) & (gradient < 0))
        free = np.flatnonzero(~held)
        step = np.zeros_like(gradient)
        step[free] = -np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        return step

    def walk(self, at: _Point, step: Floats) -> _Point | None:
        """Go along the step, halved until the loss falls, and stay within the signs; None where it never falls."""
        length = 1.0
        for _ in range(30):
            there = self.at(np.clip(at.parameters + length * step, self.lower, self.upper))
            # Close to the optimum what a step gains drowns in rounding; the step is right all the same.
            if there.loss < at.loss + 1e-14 * abs(at.loss):
                return there
            length /= 2
        return None


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
