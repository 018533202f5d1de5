"""Are probabilities right on later months? Ratio and slope over all months, with what months differ by in the interval.

One odd month must not refuse a sound model, and a wide interval must not excuse a poor one. So the interval is that of
a random-effects summary over the months (Riley and others, BMJ 353:i3140, 2016): what drawn accounts vary by, and what
months vary by (DerSimonian and Laird, Controlled Clinical Trials 7:177, 1986); and even where it holds 1, the figure
itself has to lie within wider limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from training.evaluation.bootstrap import Interval, Replicates
from training.evaluation.metrics import Floats, logistic_line, logit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LEVEL", "ForwardCalibration", "between_months", "forward_calibration", "no_worse", "sound"]

SOUND = (0.8, 1.25)
# Two figures are looked at each month: at 95 % a sound model would be refused in one month of ten or twenty.
LEVEL = 0.99
# A figure outside these is wrong by half whatever its interval says; with 100 wins a sound model is hardly ever.
OUTER = (2 / 3, 3 / 2)
_TOLERANCE = float(np.log(1.1))
# Below this a slope has no direction worth a logarithm.
_LEAST = 0.05
_LEAST_EACH = 10
_LEAST_MONTHS = 3


@dataclass(frozen=True)
class ForwardCalibration:
    """Predicted / observed (`ratio`) and slope with intervals, and `months`, the ratio of each month by its order."""

    ratio: Interval
    slope: Interval
    months: tuple[float, ...]


def forward_calibration(
    drawn: Replicates,
    method: str,
    *,
    y_obs: NDArray[Any],
    y_pred: NDArray[Any],
    periods: NDArray[Any],
    level: float = LEVEL,
) -> ForwardCalibration:
    """Return ratio and slope of a judged method with intervals that hold what accounts and months vary by.

    ``interval = figure -+ sqrt(z ** 2 * v + t ** 2 * tau2 * sum(share ** 2))``, `v` the variance over the bootstrap's
    draws, `tau2` between the k months, `share` each month's part of the wins, `t` Student's quantile with k - 1 degrees
    of freedom, because a handful of months tells their variance badly; for the ratio on its logarithm.

    Parameters
    ----------
    drawn
        What `paired_bootstrap` returned for the same rows.
    method
        The method's name there.
    y_obs, y_pred, periods
        Outcome, probability and month of each row, shape (n,).
    level
        Of the intervals.
    """
    from scipy.stats import norm, t

    i = drawn.methods.index(method)
    months = [np.asarray(periods) == month for month in np.unique(periods)]
    z, student = (float(q) for q in (norm.ppf((1 + level) / 2), t.ppf((1 + level) / 2, max(len(months) - 1, 1))))
    ratio_extra, slope_extra = _month_variance(np.asarray(y_obs, np.float64), np.asarray(y_pred), months)

    def figure(metric: str) -> tuple[float, Floats]:
        j = drawn.metrics.index(metric)
        return float(drawn.point[i, j]), drawn.draws[:, i, j]

    ratio, ratios = figure("calibration_in_the_large")
    slope, slopes = figure("calibration_slope")
    centre, half = _log(ratio), float(np.hypot(z * _deviation(_logs(ratios)), student * np.sqrt(ratio_extra)))
    wide = float(np.hypot(z * _deviation(slopes), student * np.sqrt(slope_extra)))
    return ForwardCalibration(
        ratio=Interval(ratio, float(np.exp(centre - half)), float(np.exp(centre + half))),
        slope=Interval(slope, slope - wide, slope + wide),
        months=tuple(_ratio(np.asarray(y_obs)[m], np.asarray(y_pred)[m]) for m in months),
    )


def sound(figure: Interval) -> bool:
    """Tell whether a figure that should be 1 is: within 0.8 to 1.25, or not far off with an interval that holds 1.

    Examples
    --------
    >>> sound(Interval(1.2, 1.1, 1.3)), sound(Interval(1.3, 0.9, 1.8)), sound(Interval(1.3, 1.2, 1.4))
    (True, True, False)
    >>> sound(Interval(2.0, 0.5, 8.0)), sound(Interval(float("nan"), float("nan"), float("nan")))
    (False, False)
    """
    within = SOUND[0] <= figure.value <= SOUND[1]
    by_chance = figure.low <= 1 <= figure.high and OUTER[0] <= figure.value <= OUTER[1]
    return bool(within or by_chance)


def no_worse(drawn: Replicates, metric: str, method: str, *, than: str) -> bool:
    """Tell whether a figure is not further from 1 than another method's by a tenth, on the logarithm, with 95 % surety.

    Far above and far below 1 count alike: 0.5 is as far from 1 as 2 is.
    """
    j = drawn.metrics.index(metric)
    i, k = drawn.methods.index(method), drawn.methods.index(than)
    apart = np.abs(_logs(drawn.draws[:, i, j])) - np.abs(_logs(drawn.draws[:, k, j]))
    if not np.isfinite([drawn.point[i, j], drawn.point[k, j]]).all() or not np.isfinite(apart).mean() > 0.9:
        return False
    return bool(np.quantile(apart[np.isfinite(apart)], 0.95) <= _TOLERANCE)


def between_months(figures: Floats, variances: Floats) -> float:
    """Return the variance between months beyond what chance gives each of them (DerSimonian and Laird), at least 0.

    Examples
    --------
    >>> between_months(np.array([1.0, 2.0, 3.0]), np.array([0.25, 0.25, 0.25]))
    0.75
    >>> between_months(np.array([1.0, 1.1, 0.9]), np.array([1.0, 1.0, 1.0]))
    0.0
    """
    if len(figures) < _LEAST_MONTHS:
        return 0.0
    weight = 1 / variances
    mean = float(weight @ figures / weight.sum())
    beyond = float(weight @ (figures - mean) ** 2) - (len(figures) - 1)
    return max(0.0, beyond / float(weight.sum() - (weight**2).sum() / weight.sum()))


def _month_variance(y_obs: Floats, y_pred: Floats, months: list[NDArray[np.bool_]]) -> tuple[float, float]:
    """Return what differences between months add to the variance of the ratio's logarithm, and of the slope."""
    wins = np.array([y_obs[m].sum() for m in months])
    spread = float(((wins / max(wins.sum(), 1)) ** 2).sum())
    predicted = np.array([y_pred[m].sum() for m in months])
    size = np.array([m.sum() for m in months])
    # Half a win more on both sides: a month without a win says something too.
    ratios = np.log((predicted + 0.5) / (wins + 0.5))
    tau2 = between_months(ratios, (1 - wins / (size + 1)) / (wins + 0.5))
    enough = [m for m, won in zip(months, wins, strict=True) if min(won, m.sum() - won) >= _LEAST_EACH]
    lines = np.array([_slope(y_obs[m], y_pred[m]) for m in enough]).reshape(-1, 2)
    lines = lines[np.isfinite(lines).all(axis=1)]
    return tau2 * spread, between_months(lines[:, 0], lines[:, 1]) * spread


def _slope(y_obs: Floats, y_pred: Floats) -> tuple[float, float]:
    """Return a month's calibration slope and its variance, the inverse of the information."""
    x = logit(y_pred)
    line = logistic_line(y_obs, x)
    p = 1 / (1 + np.exp(-np.clip(line.intercept + line.slope * x, -500, 500)))
    weight = p * (1 - p)
    total = float(weight.sum())
    if not total > 0:  # NaN as well: a constant prediction has no slope
        return float("nan"), float("nan")
    information = float(weight @ (x - float(weight @ x) / total) ** 2)
    return line.slope, 1 / information if information > 0 else float("nan")


def _deviation(draws: Floats) -> float:
    known = draws[np.isfinite(draws)]
    return float(known.std()) if known.size > 0.9 * draws.size else float("nan")


def _logs(values: Floats) -> Floats:
    result: Floats = np.log(np.maximum(values, _LEAST))
    return result


def _log(value: float) -> float:
    return float(_logs(np.array([value]))[0])


def _ratio(y_obs: NDArray[Any], y_pred: NDArray[Any]) -> float:
    wins = float(y_obs.sum())
    return float(y_pred.sum()) / wins if wins else float("nan")
