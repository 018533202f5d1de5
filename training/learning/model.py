"""The model: `margin = alpha * linear(x) + (1 - alpha) * base + trees(x)`, with reasons that add up exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.learning.encoding import Encoding
from training.learning.linear import LinearPart

if TYPE_CHECKING:
    import lightgbm

__all__ = ["Calibrator", "LinearTrees"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibrator:
    """Platt on the margin: `logit = a * margin + b`; a keeps the order, so it has to be positive."""

    a: float = 1.0
    b: float = 0.0

    def logit(self, margin: Floats) -> Floats:
        """Return the calibrated log-odds."""
        return self.a * margin + self.b


@dataclass(frozen=True)
class LinearTrees:
    """A fitted model.

    `base` is the log-odds of the fit's win rate. `trees` is None where zero trees were chosen.
    """

    encoding: Encoding
    linear: LinearPart
    alpha: float
    base: float
    trees: lightgbm.Booster | None

    def start(self, matrix: Floats) -> Floats:
        """Return the margin before the trees."""
        return self.alpha * self.linear.margin(self.encoding.design(matrix)) + (1 - self.alpha) * self.base

    def margin(self, matrix: Floats) -> Floats:
        """Return the (n,) margin of rows of the trees' matrix."""
        margin = self.start(matrix)
        if self.trees is not None:
            margin = margin + np.asarray(self.trees.predict(matrix, raw_score=True, num_threads=1))
        return margin

    def contributions(self, matrix: Floats) -> tuple[Floats, float]:
        """Return (n, features) contributions to the margin and the base they start from; together the margin.

        The linear part contributes its centred terms, the trees their path-dependent SHAP values (Lundberg et al.,
        2018) as LightGBM computes them.
        """
        phi = self.alpha * self.linear.terms(self.encoding.design(matrix), self.encoding)
        base = self.alpha * self.linear.base + (1 - self.alpha) * self.base
        if self.trees is not None:
            shap = np.asarray(self.trees.predict(matrix, pred_contrib=True, num_threads=1))
            phi = phi + shap[:, :-1]
            base += float(shap[0, -1]) if len(shap) else 0.0
        return phi, base
