"""Path-dependent SHAP values of leaves, for every combination of conditions that hold on their paths.

Lundberg et al. (2018) define them; Yang (2021, "Fast TreeSHAP") notes that a leaf has one answer for each pattern. For
a leaf of value v with features 1..m on its path, z_i the share of training rows that took the path's side at the splits
on feature i, and o_i = 1 where the conditions on it hold, else 0,

    phi_j = v (o_j - z_j) sum over S without j of |S|! (m - |S| - 1)! / m! prod_{i in S} o_i prod_{i not in S} z_i
          = v (o_j - z_j) integral over t in [0, 1] of prod_{i != j} (t o_i + (1 - t) z_i),

because the weights are values of the beta function. The integrand is a polynomial of degree m - 1, for which Gauss's
rule with m/2 nodes, rounded up, is exact, and all its terms are of one sign, so that nothing cancels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["patterns", "shap_of_leaves"]

Floats = NDArray[np.float64]


def patterns(features: int) -> NDArray[np.bool_]:
    """Return (features, 2**features): in pattern p feature j's conditions hold if bit j of p is set.

    Examples
    --------
    >>> patterns(2).astype(int).tolist()
    [[0, 1, 0, 1], [0, 0, 1, 1]]
    """
    return np.asarray((np.arange(1 << features) >> np.arange(features)[:, None] & 1).astype(np.bool_))


def shap_of_leaves(values: Floats, shares: Floats) -> Floats:
    """Return the contributions of leaves that have the same number of features on their paths.

    Parameters
    ----------
    values
        (n,) the leaves' values in log-odds.
    shares
        (n, m) the share of training rows for each feature.

    Returns
    -------
    numpy.ndarray
        (n, m, 2**m) contribution of each feature in each pattern, in log-odds.

    Examples
    --------
    A leaf of value 4 that a quarter of the rows reach by one condition: 4 (0 - 1/4) or 4 (1 - 1/4).

    >>> shap_of_leaves(np.array([4.0]), np.array([[0.25]])).tolist()
    [[[-1.0, 3.0]]]
    """
    count, features = shares.shape
    holds = patterns(features)
    found = np.zeros((count, features, 1 << features))
    for node, weight in zip(*_rule(features), strict=True):
        factors = np.where(holds, node, 0.0) + (1 - node) * shares[:, :, None]
        found += weight * _others(factors)
    return np.asarray(found * (holds - shares[:, :, None]) * values[:, None, None])


def _rule(features: int) -> tuple[list[float], list[float]]:
    """Return nodes and weights of Gauss's rule on [0, 1] that integrates degree m - 1 exactly."""
    nodes, weights = np.polynomial.legendre.leggauss((features + 1) // 2)
    return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()


def _others(factors: Floats) -> Floats:
    """Return for each feature the product of the others' factors; without division, as a factor may be 0."""
    found = np.ones_like(factors)
    features = factors.shape[1]
    before, after = np.ones_like(factors[:, 0]), np.ones_like(factors[:, 0])
    for j in range(features):
        found[:, j] *= before
        found[:, features - 1 - j] *= after
        before = before * factors[:, j]
        after = after * factors[:, features - 1 - j]
    return found
