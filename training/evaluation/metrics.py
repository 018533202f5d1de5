"""How good are predicted probabilities against what happened: discrimination, calibration, and wins a team would catch.

Every function takes `y_obs` (n,) of 0 and 1, `y_pred` (n,) and optional `weights` (n,). A figure that the rows cannot
give (an AUC without a win) is NaN, never a number that looks like a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "METRICS",
    "Better",
    "CalibrationInTheLarge",
    "CorpDecomposition",
    "Ece",
    "Floats",
    "Line",
    "Metric",
    "brier",
    "calibration_in_the_large",
    "calibration_slope",
    "corp",
    "ece",
    "isotonic",
    "lift_at",
    "log_loss",
    "logistic_line",
    "logit",
    "pr_auc",
    "roc_auc",
    "wilson",
    "wins_at",
]

Floats = NDArray[np.float64]
Better = Literal["larger", "smaller", "nearer 1"]

# The same clipping as scikit-learn's log_loss, so that a probability of exactly 0 costs 36 and not infinity.
_EPS = float(np.finfo(np.float64).eps)
_LOGIT_BOUND = 1e-12


@dataclass(frozen=True)
class Metric:
    """A figure of the scoreboard: its name, its heading and which way is better."""

    name: str
    label: str
    better: Better

    def loss(self, values: Floats) -> Floats:
        """Return the values so turned that smaller is better: as they are, negated, or as distance from 1."""
        if self.better == "larger":
            return -values
        return values if self.better == "smaller" else np.abs(values - 1.0)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("log_loss", "log loss", "smaller"),
            Metric("brier", "Brier", "smaller"),
            Metric("miscalibration", "miscalibration", "smaller"),
            Metric("discrimination", "discrimination", "larger"),
            Metric("roc_auc", "ROC-AUC", "larger"),
            Metric("pr_auc", "PR-AUC", "larger"),
            Metric("lift_at_10", "lift at 10 %", "larger"),
            Metric("wins_at_capacity", "wins at capacity", "larger"),
            Metric("calibration_in_the_large", "predicted / observed", "nearer 1"),
            Metric("calibration_slope", "calibration slope", "nearer 1"),
        )
    }
)


class CalibrationInTheLarge(NamedTuple):
    """Mean prediction beside the observed rate; `ratio` is predicted / observed, NaN without a win."""

    predicted: float
    observed: float
    ratio: float
    difference: float


class CorpDecomposition(NamedTuple):
    """Brier = miscalibration - discrimination + uncertainty, each at least 0."""

    miscalibration: float
    discrimination: float
    uncertainty: float


class Ece(NamedTuple):
    """Expected calibration error beside what a perfectly calibrated model shows on the same rows by chance alone."""

    value: float
    perfect_mean: float
    perfect_high: float


class Line(NamedTuple):
    """A fitted logistic line: log-odds = intercept + slope * x."""

    intercept: float
    slope: float


def _checked(
    y_obs: NDArray[Any], y_pred: NDArray[Any], *, weights: NDArray[Any] | None, probability: bool
) -> tuple[Floats, Floats, Floats]:
    observed, predicted = np.asarray(y_obs, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    weight = np.ones_like(observed) if weights is None else np.asarray(weights, dtype=np.float64)
    if observed.ndim != 1 or observed.shape != predicted.shape or observed.shape != weight.shape or not observed.size:
        shapes = f"{observed.shape}, {predicted.shape} and {weight.shape}"
        raise DataError(f"y_obs, y_pred and weights have to be one equal, non-empty length; they have shapes {shapes}")
    if not np.isin(observed, (0.0, 1.0)).all():
        raise DataError("y_obs holds something other than 0 and 1", hint="open leads have no label and are left out")
    if not np.isfinite(predicted).all():
        raise DataError("y_pred holds a value that is missing or infinite", hint="give every row a prediction")
    if probability and (predicted.min() < 0 or predicted.max() > 1):
        raise DataError("y_pred holds a value outside 0 to 1", hint="turn scores into probabilities first")
    if not np.isfinite(weight).all() or weight.min() < 0 or weight.sum() <= 0:
        raise DataError("weights have to be finite, at least 0, and not all 0")
    return observed, predicted, weight


def _one_class(y_obs: Floats, weight: Floats) -> bool:
    wins = float(weight @ y_obs)
    return wins <= 0 or wins >= float(weight.sum())


def log_loss(y_obs: NDArray[Any], y_pred: NDArray[Any], *, weights: NDArray[Any] | None = None) -> float:
    """Return the mean of -log(probability given to what happened), in nats.

    Examples
    --------
    >>> round(log_loss(np.array([1, 0]), np.array([0.5, 0.5])), 4)
    0.6931
    """
    from sklearn import metrics

    observed, predicted, weight = _checked(y_obs, y_pred, weights=weights, probability=True)
    return float(metrics.log_loss(observed, predicted, sample_weight=weight, labels=[0.0, 1.0]))


def brier(y_obs: NDArray[Any], y_pred: NDArray[Any], *, weights: NDArray[Any] | None = None) -> float:
    """Return the mean squared difference between probability and outcome.

    Examples
    --------
    >>> brier(np.array([1, 0]), np.array([0.5, 0.0]))
    0.125
    """
    from sklearn import metrics

    observed, predicted, weight = _checked(y_obs, y_pred, weights=weights, probability=True)
    return float(metrics.brier_score_loss(observed, predicted, sample_weight=weight, labels=[0.0, 1.0], pos_label=1.0))


def roc_auc(y_obs: NDArray[Any], y_pred: NDArray[Any], *, weights: NDArray[Any] | None = None) -> float:
    """Return the chance that a random win is ranked above a random loss, ties counting half; NaN with one class.

    Examples
    --------
    >>> roc_auc(np.array([1, 0, 0]), np.array([0.4, 0.4, 0.1]))
    0.75
    """
    from sklearn import metrics

    observed, predicted, weight = _checked(y_obs, y_pred, weights=weights, probability=False)
    if _one_class(observed, weight):
        return float("nan")
    return float(metrics.roc_auc_score(observed, predicted, sample_weight=weight))


def pr_auc(y_obs: NDArray[Any], y_pred: NDArray[Any], *, weights: NDArray[Any] | None = None) -> float:
    """Return average precision: the precision at each win's score, averaged over the wins; NaN without a win.

    Examples
    --------
    >>> pr_auc(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])) == (1 + 2 / 3) / 2
    True
    """
    from sklearn import metrics

    observed, predicted, weight = _checked(y_obs, y_pred, weights=weights, probability=False)
    if float(weight @ observed) <= 0:
        return float("nan")
    return float(metrics.average_precision_score(observed, predicted, sample_weight=weight))


def _wins_in_top(observed: Floats, predicted: Floats, weight: Floats, *, mass: float) -> float:
    """Return the expected wins among the best `mass` of weight; leads with equal scores are taken in random order."""
    _, tie = np.unique(-predicted, return_inverse=True)
    size, wins = np.bincount(tie, weights=weight), np.bincount(tie, weights=weight * observed)
    reached = np.concatenate([[0.0], np.cumsum(size)])
    return float(np.interp(mass, reached, np.concatenate([[0.0], np.cumsum(wins)])))


def lift_at(
    y_obs: NDArray[Any], y_pred: NDArray[Any], *, share: float = 0.10, weights: NDArray[Any] | None = None
) -> float:
    """Return the win rate among the best `share` of leads divided by the win rate of all; NaN without a win.

    Equal scores are taken in random order (the expected value), so a constant prediction has lift 1.

    Examples
    --------
    >>> lift_at(np.array([1, 1, 0, 0]), np.array([0.9, 0.2, 0.3, 0.1]), share=0.25)
    2.0
    """
    if not 0 < share <= 1:
        raise DataError(f"share has to be above 0 and at most 1, it is {share}")
    observed, predicted, weight = _checked(y_obs, y_pred, weights=weights, probability=False)
    total, wins = float(weight.sum()), float(weight @ observed)
    if wins <= 0:
        return float("nan")
    return _wins_in_top(observed, predicted, weight, mass=share * total) / (share * wins)


def wins_at(
    y_obs: NDArray[Any],
    y_pred: NDArray[Any],
    *,
    capacity: int,
    periods: NDArray[Any] | None = None,
    weights: NDArray[Any] | None = None,
) -> float:
    """Return the wins among the best `capacity` leads, summed over periods.

    A team calls `capacity` leads in each period (one month's list), so the best are taken in each period apart; without
    `periods` all rows are one list. Equal scores are taken in random order (the expected value).

    Examples
    --------
    >>> wins_at(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.2, 0.3]), capacity=1)
    1.0
    >>> wins_at(np.array([1, 0, 1]), np.array([0.9, 0.8, 0.2]), capacity=1, periods=np.array([1, 1, 2]))
    2.0
    """
    if capacity < 1:
        raise DataError(f"capacity has to be at least 1, it is {capacity}")
    observed, predicted, weight = _checked(y_obs, y_pred, weights=weights, probability=False)
    if periods is None:
        return _wins_in_top(observed, predicted, weight, mass=capacity)
    masks = [np.asarray(periods) == period for period in np.unique(periods)]
    return sum(_wins_in_top(observed[m], predicted[m], weight[m], mass=capacity) for m in masks)


def calibration_in_the_large(
    y_obs: NDArray[Any], y_pred: NDArray[Any], *, weights: NDArray[Any] | None = None
) -> CalibrationInTheLarge:
    """Return whether the probabilities are right on the whole: mean predicted against mean observed.

    Examples
    --------
    >>> calibration_in_the_large(np.array([1, 0]), np.array([0.75, 0.25])).ratio
    1.0
    """
    observed, predicted, weight = _checked(y_obs, y_pred, weights=weights, probability=True)
    mean_pred, mean_obs = float(np.average(predicted, weights=weight)), float(np.average(observed, weights=weight))
    ratio = mean_pred / mean_obs if mean_obs > 0 else float("nan")
    return CalibrationInTheLarge(mean_pred, mean_obs, ratio, mean_pred - mean_obs)


def wilson(wins: float, rows: float, *, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's interval of a win rate (JASA 1927), at 95 % unless `z` says otherwise; NaN without rows.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(1, 10)]
    [0.018, 0.404]
    """
    if rows <= 0:
        return float("nan"), float("nan")
    rate, scale = wins / rows, 1 + z**2 / rows
    centre = rate + z**2 / (2 * rows)
    spread = z * float(np.sqrt(rate * (1 - rate) / rows + z**2 / (4 * rows**2)))
    return max((centre - spread) / scale, 0.0), min((centre + spread) / scale, 1.0)


def logit(probability: NDArray[Any]) -> Floats:
    """Return log-odds, bounded at probabilities of 1e-12 and 1 - 1e-12.

    Examples
    --------
    >>> logit(np.array([0.5])).tolist()
    [0.0]
    """
    bounded = np.clip(np.asarray(probability, dtype=np.float64), _LOGIT_BOUND, 1 - _LOGIT_BOUND)
    result: Floats = np.log(bounded) - np.log1p(-bounded)
    return result


def logistic_line(y_obs: NDArray[Any], x: NDArray[Any], *, weights: NDArray[Any] | None = None) -> Line:
    """Fit P(y = 1) = 1 / (1 + exp(-(intercept + slope x))) by maximum likelihood, without a penalty.

    Newton's method with step halving. Both figures are NaN where the likelihood has no maximum: one class only, a
    constant `x`, or wins and losses that `x` parts completely.

    Examples
    --------
    >>> line = logistic_line(np.array([1, 0, 0, 1, 1, 0]), np.array([0, 0, 0, 1, 1, 1]))
    >>> bool(np.isclose(line.slope, 2 * np.log(2)))
    True
    """
    observed, values, weight = _checked(y_obs, x, weights=weights, probability=False)
    spread = float(np.sqrt(np.cov(values, aweights=weight, ddof=0)))
    if _one_class(observed, weight) or not spread > 1e-12 * max(1.0, float(np.abs(values).max())):
        return Line(float("nan"), float("nan"))
    center = float(np.average(values, weights=weight))
    line = _newton(observed, (values - center) / spread, weight)
    slope = line.slope / spread
    return Line(line.intercept - slope * center, slope)


def _newton(observed: Floats, z: Floats, weight: Floats) -> Line:
    rate = float(np.average(observed, weights=weight))
    theta = np.array([np.log(rate / (1 - rate)), 0.0])
    design = np.column_stack([np.ones_like(z), z])

    def loss(at: Floats) -> float:
        eta = design @ at
        return float(weight @ (np.logaddexp(0.0, eta) - observed * eta))

    current = loss(theta)
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ theta, -500, 500)))
        gradient = design.T @ (weight * (observed - p))
        hessian = design.T @ (design * (weight * p * (1 - p))[:, None])
        if np.linalg.cond(hessian) > 1e14:
            break
        step = np.linalg.solve(hessian, gradient)
        while loss(theta + step) > current + 1e-12 * abs(current) and np.abs(step).max() > 1e-14:
            step = step / 2
        theta, current = theta + step, loss(theta + step)
        if np.abs(theta).max() > 500:
            break
        if np.abs(step).max() < 1e-10:
            return Line(float(theta[0]), float(theta[1]))
    return Line(float("nan"), float("nan"))


def calibration_slope(y_obs: NDArray[Any], y_pred: NDArray[Any], *, weights: NDArray[Any] | None = None) -> float:
    """Return the slope of a logistic regression of the outcome on the predicted log-odds.

    1 is right; below 1 the predictions are too extreme, above 1 too timid (Cox 1958). NaN for a constant prediction.

    Examples
    --------
    >>> y_obs, y_pred = np.array([1, 0, 0, 0, 1, 1, 1, 0]), np.array([0.25] * 4 + [0.75] * 4)
    >>> round(calibration_slope(y_obs, y_pred), 9)
    1.0
    """
    observed, predicted, weight = _checked(y_obs, y_pred, weights=weights, probability=True)
    return logistic_line(observed, logit(predicted), weights=weight).slope


def isotonic(y_obs: NDArray[Any], y_pred: NDArray[Any], *, weights: NDArray[Any] | None = None) -> Floats:
    """Return each row's recalibrated probability: the non-decreasing fit of outcome on prediction (pool adjacent).

    Examples
    --------
    >>> isotonic(np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])).tolist()
    [0.0, 0.5, 0.5, 1.0]
    """
    from sklearn.isotonic import IsotonicRegression

    observed, predicted, weight = _checked(y_obs, y_pred, weights=weights, probability=False)
    fit = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(predicted, observed, sample_weight=weight)
    return np.asarray(fit, dtype=np.float64)


def corp(y_obs: NDArray[Any], y_pred: NDArray[Any], *, weights: NDArray[Any] | None = None) -> CorpDecomposition:
    """Split the Brier score into miscalibration, discrimination and uncertainty.

    Dimitriadis, Gneiting, Jordan (PNAS 2021): with S(q) the Brier score of q, r the isotonic recalibration and c the
    overall rate, MCB = S(y_pred) - S(r), DSC = S(c) - S(r), UNC = S(c). No bins to choose.

    Examples
    --------
    >>> corp(np.array([1, 0]), np.array([0.5, 0.5]))
    CorpDecomposition(miscalibration=0.0, discrimination=0.0, uncertainty=0.25)
    """
    observed, predicted, weight = _checked(y_obs, y_pred, weights=weights, probability=True)
    recalibrated = isotonic(observed, predicted, weights=weight)
    rate = float(np.average(observed, weights=weight))
    best, constant = (
        float(np.average((observed - q) ** 2, weights=weight)) for q in (recalibrated, np.full_like(observed, rate))
    )
    return CorpDecomposition(brier(observed, predicted, weights=weight) - best, constant - best, constant)


def ece(
    y_obs: NDArray[Any],
    y_pred: NDArray[Any],
    *,
    rng: np.random.Generator,
    bins: int = 10,
    replicates: int = 200,
    weights: NDArray[Any] | None = None,
) -> Ece:
    """Return the expected calibration error over equally filled bins, beside a perfect model's at this n.

    ECE = sum over bins of share * |mean observed - mean predicted|. It is above 0 by chance alone; what chance gives is
    drawn by letting each row win with exactly its predicted probability. `perfect_high` is the 95th percentile.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ece(np.array([1, 0]), np.array([0.5, 0.5]), rng=rng).value
    0.0
    """
    observed, predicted, weight = _checked(y_obs, y_pred, weights=weights, probability=True)
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, bins + 1)))[1:-1]
    cell = np.searchsorted(edges, predicted, side="right")
    share = weight / weight.sum()

    def value(outcome: Floats) -> float:
        return float(np.abs(np.bincount(cell, weights=share * (outcome - predicted))).sum())

    perfect = [value((rng.random(predicted.size) < predicted).astype(np.float64)) for _ in range(replicates)]
    return Ece(value(observed), float(np.mean(perfect)), float(np.quantile(perfect, 0.95)))
