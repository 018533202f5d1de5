"""By how much a set of predictions was off as a whole: a shift of the log-odds with its standard error."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Offset", "cluster_sums", "measure_offset"]

# A set without a win, or without a loss, has no finite maximum; this prior keeps it finite and moves nothing else.
_WIDE = 2.0
_MAX_STEPS = 100


class Offset(NamedTuple):
    """The shift of the log-odds that makes mean prediction and realised rate agree, and its variance."""

    value: float
    variance: float


def measure_offset(y_obs: NDArray[np.int64], logit: NDArray[np.float64], clusters: NDArray[Any]) -> Offset:
    """Return the maximum-likelihood `e` of `P(y = 1) = 1 / (1 + exp(-(logit + e)))`, clustered by account.

    The variance is the larger of the sandwich over accounts and the plain inverse information: few accounts make the
    sandwich too small.

    Raises
    ------
    ValueError
        If there are no rows.

    Examples
    --------
    >>> found = measure_offset(np.array([1, 0] * 500), np.full(1000, -1.0), np.arange(1000))
    >>> round(found.value, 2)
    1.0
    """
    if not len(y_obs):
        raise ValueError("an offset needs at least one row")
    shift, penalty = 0.0, 1 / _WIDE**2
    for _ in range(_MAX_STEPS):
        p = 1 / (1 + np.exp(-np.clip(logit + shift, -500, 500)))
        information = float((p * (1 - p)).sum()) + penalty
        # Far from the solution the curve flattens and a Newton step would leap over it.
        step = float(np.clip((float((y_obs - p).sum()) - penalty * shift) / information, -1, 1))
        shift += step
        if abs(step) < 1e-12:
            break
    p = 1 / (1 + np.exp(-np.clip(logit + shift, -500, 500)))
    information = float((p * (1 - p)).sum()) + penalty
    scores = cluster_sums(clusters, y_obs - p)
    return Offset(shift, max(float(scores @ scores) / information**2, 1 / information))


def cluster_sums(clusters: NDArray[Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of the values of each cluster; names are compared as text, numbers as they are.

    Examples
    --------
    >>> cluster_sums(np.array(["a", "b", "a"], dtype=object), np.array([1.0, 2.0, 3.0])).tolist()
    [4.0, 2.0]
    """
    named = clusters if np.issubdtype(clusters.dtype, np.integer) else clusters.astype(str)
    _, place = np.unique(named, return_inverse=True)
    return np.asarray(np.bincount(place, values), np.float64)
