"""The correction of the intercept between retrains: one shift of the log-odds from outcomes that have matured since.

A base rate drifts faster than a team retrains. What has matured after the fit says by how much predictions are off as a
whole; the newest moments count most, and a shift that luck could have made is left alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.clock import DAY_US, from_us, iso
from training.evaluation.metrics import log_loss
from training.learning.calibration import MIN_EVENTS
from training.learning.offset import cluster_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HALF_LIFE_DAYS", "LEAST_SHIFT", "PRIOR_SD", "Correction", "measure_correction"]

HALF_LIFE_DAYS = 30.0
# How far the level of a sound model strays between retrains, before anything is seen.
PRIOR_SD = 0.2
# Below a twentieth in odds nobody would call another lead.
LEAST_SHIFT = 0.05
_Z90 = 1.6448536269514722
_MAX_STEPS = 100


@dataclass(frozen=True)
class Correction:
    """What matured outcomes say of a model that had not seen them.

    `estimate` is the shift with its standard error, `shift` what is applied: the estimate, or 0 where it is not worth
    it, and `why` says so. Log losses and the mean prediction before and after are on the evidence itself, each row
    counting alike; `realised` is its win rate with a 90 % interval clustered by account.
    """

    estimate: float
    standard_error: float
    shift: float
    why: str
    rows: int = 0
    wins: int = 0
    oldest_as_of: str | None = None
    newest_as_of: str | None = None
    predicted_before: float | None = None
    predicted_after: float | None = None
    realised: float | None = None
    realised_low: float | None = None
    realised_high: float | None = None
    log_loss_before: float | None = None
    log_loss_after: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON and MLflow."""
        return asdict(self)


def measure_correction(
    y_obs: NDArray[np.int64], logit: NDArray[np.float64], as_of_us: NDArray[np.int64], clusters: NDArray[Any]
) -> Correction:
    """Estimate the shift of the log-odds from pairs that the model was not fitted on.

    The estimate maximises `sum(w_i * log likelihood_i) - shift^2 / (2 * 0.2^2)`, where `w_i` halves with every 30 days
    that a pair lies before the newest one. It is applied if it is at least 0.05 and at least 1.645 standard errors
    (sandwich over accounts) from 0; of models that are sound this lets one in ten through, and the prior keeps what
    gets through small.

    Parameters
    ----------
    y_obs
        (n,) outcomes, 0 or 1, all matured.
    logit
        (n,) calibrated log-odds without any earlier correction.
    as_of_us
        (n,) when each prediction would have been made, in microseconds UTC.
    clusters
        (n,) accounts.

    Examples
    --------
    >>> y_obs = np.array([1, 0] * 500)
    >>> found = measure_correction(y_obs, np.full(1000, -1.0), np.zeros(1000, np.int64), np.arange(1000))
    >>> 0.7 < found.shift < 1.0, found.realised
    (True, 0.5)
    """
    wins = int(y_obs.sum())
    if min(wins, len(y_obs) - wins) < MIN_EVENTS:
        told = f"{wins} wins among {len(y_obs)} newly matured leads; {MIN_EVENTS} wins and as many others are needed"
        return Correction(0.0, 0.0, 0.0, told, rows=len(y_obs), wins=wins)
    weight = 0.5 ** ((as_of_us.max() - as_of_us) / (HALF_LIFE_DAYS * DAY_US))
    estimate, error = _estimate(y_obs, logit, weight, clusters)
    shift, why = _decide(estimate, error)
    realised, spread = _rate(y_obs, clusters)
    before, after = _rates(logit), _rates(logit + shift)
    return Correction(
        estimate=estimate,
        standard_error=error,
        shift=shift,
        why=why,
        rows=len(y_obs),
        wins=wins,
        oldest_as_of=iso(from_us(int(as_of_us.min()))),
        newest_as_of=iso(from_us(int(as_of_us.max()))),
        predicted_before=float(before.mean()),
        predicted_after=float(after.mean()),
        realised=realised,
        realised_low=max(realised - spread, 0.0),
        realised_high=min(realised + spread, 1.0),
        log_loss_before=log_loss(y_obs, before),
        log_loss_after=log_loss(y_obs, after),
    )


def _estimate(
    y_obs: NDArray[np.int64], logit: NDArray[np.float64], weight: NDArray[np.float64], clusters: NDArray[Any]
) -> tuple[float, float]:
    """Return the maximum of the posterior and its standard error, clustered by account."""
    shift = 0.0
    for _ in range(_MAX_STEPS):
        p = _rates(logit + shift)
        information = float(weight @ (p * (1 - p))) + 1 / PRIOR_SD**2
        # Far from the solution the curve flattens and a Newton step would leap over it.
        step = float(np.clip((float(weight @ (y_obs - p)) - shift / PRIOR_SD**2) / information, -1, 1))
        shift += step
        if abs(step) < 1e-12:
            break
    p = _rates(logit + shift)
    information = float(weight @ (p * (1 - p))) + 1 / PRIOR_SD**2
    scores = cluster_sums(clusters, weight * (y_obs - p))
    return shift, float(np.sqrt(scores @ scores)) / information


def _decide(estimate: float, error: float) -> tuple[float, str]:
    told = f"a shift of {estimate:+.3f} with a standard error of {error:.3f}"
    if abs(estimate) < LEAST_SHIFT:
        return 0.0, f"{told} is too small to matter (below {LEAST_SHIFT})"
    if abs(estimate) < _Z90 * error:
        return 0.0, f"{told} could be luck (below {_Z90:.3f} standard errors)"
    return estimate, f"{told} is worth correcting"


def _rate(y_obs: NDArray[np.int64], clusters: NDArray[Any]) -> tuple[float, float]:
    """Return the win rate and the half width of its 90 % interval, clustered by account."""
    rate = float(y_obs.mean())
    scores = cluster_sums(clusters, np.asarray(y_obs - rate, np.float64))
    return rate, _Z90 * float(np.sqrt(scores @ scores)) / len(y_obs)


def _rates(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -500, 500))))
