"""How far a feature has moved between two moments, and how far it would seem to have moved by chance alone.

The population stability index compares the shares of bins: `PSI = sum_b (p_b - q_b) * ln(p_b / q_b)`, the symmetric
Kullback-Leibler divergence of the two histograms. With nothing moved and samples of n and m, PSI is about
`(1/n + 1/m) * chi2` with B - 1 degrees of freedom for B bins (Yurdakul, Statistical Properties of Population
Stability Index, dissertation, Western Michigan University, 2018), so that the customary fixed limits of 0.1
and 0.25 (Siddiqi, Credit Risk Scorecards, 2006) raise false alarms in small samples. Here an index counts as moved only
where it passes both: the limit of custom and what chance makes of that sample size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGE", "MODERATE", "Drift", "Move", "effective_size", "measure_drift"]

MODERATE, LARGE = 0.1, 0.25
_FEWEST = 10  # of both months together in a bin: below, chi-square is a bad guide
_FAMILY_ALARMS = 0.05

Move = Literal["steady", "slight", "moved", "far"]


@dataclass(frozen=True)
class Drift:
    """How far the shares moved: the index, what chance makes at most, what it makes on average, and the verdict.

    `steady` is within chance, `slight` is beyond it but below 0.1, `moved` from 0.1, `far` from 0.25.
    """

    psi: float
    chance: float
    expected: float
    move: Move


def effective_size(sizes: NDArray[np.int64]) -> float:
    """Return how many independent leads clusters are worth whose members are alike: `(sum m)^2 / sum m^2` (Kish).

    Examples
    --------
    >>> effective_size(np.array([1, 1, 1, 1])), effective_size(np.array([4]))
    (4.0, 1.0)
    """
    total = float(sizes.sum())
    return total * total / float((sizes.astype(np.float64) ** 2).sum()) if total else 0.0


def measure_drift(
    before: NDArray[np.int64],
    now: NDArray[np.int64],
    *,
    sizes: tuple[float, float] | None = None,
    family: int = 1,
) -> Drift | None:
    """Compare the counts of the same bins at two moments.

    Bins with fewer than 10 of both moments are taken together with their neighbour, and half a lead is added to each,
    so that an empty bin leaves the index finite. `chance` is the quantile of `(1/n + 1/m) * chi2(B - 1)` that no more
    than 5 % of pages pass anywhere when nothing moved (Bonferroni over the features of the page).

    Parameters
    ----------
    before, now
        Leads in each bin.
    sizes
        How many independent leads the two samples are worth, to which the counts are scaled; their numbers of leads
        by default.
    family
        How many features are held against the limit at once.

    Returns
    -------
    Drift or None
        None where one of the samples is empty.

    Examples
    --------
    >>> measure_drift(np.array([50, 50]), np.array([50, 50])).psi
    0.0
    >>> moved = measure_drift(np.array([900, 100]), np.array([500, 500]))
    >>> round(moved.psi, 2), moved.move
    (0.88, 'far')
    >>> measure_drift(np.array([9, 1]), np.array([5, 5])).move
    'steady'
    """
    from scipy.special import chdtri

    if not before.sum() or not now.sum():
        return None
    n, m = sizes or (float(before.sum()), float(now.sum()))
    merged = _merged(np.stack([before * (n / before.sum()), now * (m / now.sum())]))
    smoothed = merged + 0.5
    q, p = smoothed / smoothed.sum(axis=1, keepdims=True)
    psi = float(((p - q) * np.log(p / q)).sum())
    bins, scale = merged.shape[1], 1 / n + 1 / m
    chance = float(chdtri(bins - 1, _FAMILY_ALARMS / family)) * scale if bins > 1 else 0.0
    return Drift(psi, chance, (bins - 1) * scale, _judged(psi, chance))


def _judged(psi: float, chance: float) -> Move:
    if psi <= chance:
        return "steady"
    if psi < MODERATE:
        return "slight"
    return "moved" if psi < LARGE else "far"


def _merged(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Join each bin that holds too few with the next, the last one with the one before."""
    bins: list[NDArray[np.float64]] = []
    pending = np.zeros(2)
    for column in counts.T:
        pending = pending + column
        if pending.sum() >= _FEWEST:
            bins.append(pending)
            pending = np.zeros(2)
    if bins:
        bins[-1] = bins[-1] + pending
    else:
        bins.append(pending)
    return np.stack(bins, axis=1)
