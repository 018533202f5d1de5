"""The model: `margin = alpha * linear(x) + (1 - alpha) * base + trees(x)`, with reasons that add up exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.learning.encoding import Encoding
from training.learning.linear import LinearPart

if TYPE_CHECKING:
    import lightgbm

    from training.bundles.reasons.explainer import TreeExplainer

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

    @cached_property
    def explainer(self) -> TreeExplainer | None:
        """What explains the trees, made ready at the first use; None where there are none."""
        from training.bundles.reasons.explainer import tree_explainer

        return None if self.trees is None else tree_explainer(self.trees)

    def contributions(self, matrix: Floats) -> tuple[Floats, float]:
        """Return (n, features) contributions to the margin and the base they start from; together the margin.

        The linear part contributes its centred terms, the trees their path-dependent SHAP values (Lundberg et al.,
        2018), those of LightGBM's `pred_contrib`.
        """
        phi = self.alpha * self.linear.terms(self.encoding.design(matrix), self.encoding)
        base = self.alpha * self.linear.base + (1 - self.alpha) * self.base
        if self.explainer is not None:
            phi = phi + self.explainer.many(matrix)
            base += self.explainer.base
        return phi, base
