"""Contributions of boosted trees to their margin: by tables where they fit, else by LightGBM itself.

Both give the path-dependent SHAP values of LightGBM's `pred_contrib`. The tables are an order of magnitude faster; a
model that does not fit them, or for which they would not agree with LightGBM, is left to LightGBM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from data.errors import DataError
from training.bundles.reasons.lookup import TableExplainer
from training.bundles.reasons.tables import BUDGET_BYTES, build_tables
from training.bundles.reasons.text import read_forest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import lightgbm

    from training.bundles.reasons.tables import Tables

__all__ = ["LightGBMExplainer", "TableExplainer", "TreeExplainer", "tree_explainer"]

Floats = NDArray[np.float64]

_CHECKED_ROWS = 24
_TOLERANCE = 1e-9


class TreeExplainer(Protocol):
    """Contributions of trees, summed into outputs; with `base` they add up to the trees' margin."""

    base: float

    def one(self, cells: Sequence[float]) -> list[float]:
        """Return the contributions for one row of the trees' matrix, in log-odds."""
        ...

    def many(self, matrix: Floats) -> Floats:
        """Return (n, outputs) contributions for rows of the trees' matrix, in log-odds."""
        ...


def tree_explainer(
    booster: lightgbm.Booster, outputs: Sequence[int] | None = None, *, budget: int = BUDGET_BYTES
) -> TreeExplainer:
    """Return what explains a model's trees: tables where they fit, else LightGBM's own.

    Parameters
    ----------
    booster
        The trees; after an early stop those up to the best iteration, as LightGBM predicts.
    outputs
        For each feature of the matrix the output that its contributions are added to; by default each has its own.
    budget
        Bytes that the tables may take.
    """
    told = range(booster.num_feature()) if outputs is None else outputs
    own = LightGBMExplainer(booster, told)
    try:
        tables = build_tables(read_forest(booster.model_to_string()), told, budget=budget)
    except DataError as error:
        own.why = str(error)
        return own
    quick = TableExplainer(tables)
    if not _agree(quick, own, _examples(tables, booster.num_feature())):
        own.why = "the tables disagree with LightGBM"
        return own
    return quick


class LightGBMExplainer:
    """Contributions as LightGBM computes them; `why` tells why there are no tables."""

    def __init__(self, booster: lightgbm.Booster, outputs: Sequence[int]) -> None:
        self.why = ""
        self._booster = booster
        self._outputs = tuple(outputs)
        self.base = float(self._contributions(np.zeros((1, len(outputs))))[0, -1])

    def one(self, cells: Sequence[float]) -> list[float]:
        """Return the contributions for one row of the trees' matrix, in log-odds."""
        found: list[float] = self.many(np.array([cells]))[0].tolist()
        return found

    def many(self, matrix: Floats) -> Floats:
        """Return (n, outputs) contributions for rows of the trees' matrix, in log-odds."""
        found = np.zeros((len(matrix), max(self._outputs, default=-1) + 1))
        if len(matrix):
            shap = self._contributions(matrix)
            for feature, output in enumerate(self._outputs):
                found[:, output] += shap[:, feature]
        return found

    def _contributions(self, matrix: Floats) -> Floats:
        return np.asarray(self._booster.predict(matrix, pred_contrib=True, num_threads=1))


def _examples(tables: Tables, features: int) -> Floats:
    """Return rows that between them visit many classes of every feature, in combinations that differ."""
    rows = np.zeros((_CHECKED_ROWS, features))
    for place, axis in enumerate(tables.axes):
        rows[:, axis.feature] = axis.examples[(np.arange(_CHECKED_ROWS) * (2 * place + 1) + place) % axis.classes]
    return rows


def _agree(quick: TableExplainer, own: LightGBMExplainer, rows: Floats) -> bool:
    told = own.many(rows)
    scale = max(1.0, float(np.abs(told).max(initial=0.0)))
    near = np.allclose(quick.many(rows), told, rtol=0, atol=_TOLERANCE * scale)
    return bool(near and abs(quick.base - own.base) <= _TOLERANCE * scale)
