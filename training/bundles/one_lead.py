"""One lead through a calibrated model: the matrix path of `LinearTrees` in plain floats, for the endpoint.

A design matrix of one row costs about a millisecond in NumPy calls; the same arithmetic on floats costs some tens of
microseconds. A test holds both equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from training.learning.encoding import MISSING, OTHER, CategoryCode, NumberCode

if TYPE_CHECKING:
    from features.memory import Attribute, Values
    from training.learning.model import Calibrator, LinearTrees

__all__ = ["Explained", "OneLead"]

# The cell of the trees' matrix and the centred linear term.
_Reader = Callable[["Attribute"], tuple[float, float]]


class Explained(NamedTuple):
    """Contributions to the calibrated log-odds, by feature in the order of the encoding; with `base` their sum.

    `cells` are the lead's row of the trees' matrix.
    """

    phi: list[float]
    base: float
    unknown: tuple[str, ...]
    cells: list[float]

    @property
    def logit(self) -> float:
        """The calibrated log-odds."""
        return self.base + math.fsum(self.phi)


class OneLead:
    """A model and its calibrator made ready for single leads."""

    def __init__(self, model: LinearTrees, calibrator: Calibrator) -> None:
        self._codes = model.encoding.codes
        self._readers = _readers(model)
        self._explainer = model.explainer
        self._scale = calibrator.a
        self._alpha = calibrator.a * model.alpha
        self._base = calibrator.a * (model.alpha * model.linear.base + (1 - model.alpha) * model.base) + calibrator.b
        self._categories = [(at, code.name) for at, code in enumerate(self._codes) if isinstance(code, CategoryCode)]

    def __call__(self, values: Values) -> Explained:
        """Return the contributions for the features of one lead."""
        read = [reader(values.get(code.name)) for code, reader in zip(self._codes, self._readers, strict=True)]
        cells = [cell for cell, _ in read]
        phi = [self._alpha * term for _, term in read]
        base = self._base
        if self._explainer is not None:
            trees = self._explainer.one(cells)
            phi = [linear + self._scale * tree for linear, tree in zip(phi, trees, strict=True)]
            base += self._scale * self._explainer.base
        return Explained(phi, base, tuple([name for at, name in self._categories if cells[at] == OTHER]), cells)


def _readers(model: LinearTrees) -> tuple[_Reader, ...]:
    weights, centres = model.linear.weights.tolist(), model.linear.centres.tolist()
    readers, at = [], 0
    for code, centre in zip(model.encoding.codes, centres, strict=True):
        own = weights[at : at + code.width]
        readers.append(_number(code, own, centre) if isinstance(code, NumberCode) else _category(code, own, centre))
        at += code.width
    return tuple(readers)


def _number(code: NumberCode, weights: Sequence[float], centre: float) -> _Reader:
    low, high, mean, sd, weight = code.low, code.high, code.mean, code.sd, weights[0]
    scale = math.log1p if code.log else float
    absent = (math.nan, (weights[1] if code.missing else 0.0) - centre)

    def read(value: Attribute) -> tuple[float, float]:
        if value is None:
            return absent
        number = float(value)
        if number != number:  # noqa: PLR0124 - NaN is the only value unequal to itself
            return absent
        return number, (scale(min(max(number, low), high)) - mean) / sd * weight - centre

    return read


def _category(code: CategoryCode, weights: Sequence[float], centre: float) -> _Reader:
    known = {level: (float(k), weights[k] - centre) for k, level in enumerate(code.levels, start=2)}
    absent, other = (float(MISSING), weights[MISSING] - centre), (float(OTHER), weights[OTHER] - centre)

    def read(value: Attribute) -> tuple[float, float]:
        if value is None or value != value:  # noqa: PLR0124 - NaN is the only value unequal to itself
            return absent
        return known.get(value, other) if isinstance(value, str) else other

    return read
