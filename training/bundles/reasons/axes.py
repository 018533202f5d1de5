"""Which values of a feature no split of a model tells apart: classes of values, found by look-up.

Decisions are LightGBM's (`Tree::NumericalDecision` and `Tree::CategoricalDecision` of its sources, 4.7): asked once
about one example of each class, at load, and never again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from training.bundles.reasons.text import Forest, Split

__all__ = ["Axis", "axes_of", "goes_left"]

# LightGBM's kZeroThreshold, a 32-bit literal: what lies between it and its negative is read as 0.
_ZERO = float(np.float32(1e-35))
_BELOW_ZERO = math.nextafter(-_ZERO, -math.inf)


@dataclass(frozen=True)
class Axis:
    """The classes of one feature.

    Class k holds the values above `edges[k - 1]` up to and with `edges[k]`; beyond the last edge lies one more, and the
    last class of all is NaN. `examples` holds a value of each class. On a categorical axis class 0 is everything below
    the categories and class k + 1 is category k.
    """

    feature: int
    edges: tuple[float, ...]
    examples: NDArray[np.float64]
    categorical: bool

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.edges) + 2

    def classify(self, values: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the class of each value.

        Examples
        --------
        >>> axis = Axis(0, (1.0, 3.0), np.array([1.0, 3.0, np.inf, np.nan]), categorical=False)
        >>> axis.classify(np.array([-5.0, 1.0, 2.0, 9.0, np.nan])).tolist()
        [0, 0, 1, 2, 3]
        """
        found = np.searchsorted(self.edges, values, side="left")
        found[np.isnan(values)] = len(self.edges) + 1
        return found


def axes_of(forest: Forest) -> tuple[Axis, ...]:
    """Return the axis of each feature that the trees read, in the order of the features.

    Raises
    ------
    DataError
        If a feature is split as a number and as a category.
    """
    asked: dict[int, list[Split]] = {}
    for tree in forest.trees:
        for split in tree.splits:
            asked.setdefault(split.feature, []).append(split)
    return tuple([_axis(feature, asked[feature]) for feature in sorted(asked)])


def _axis(feature: int, splits: Sequence[Split]) -> Axis:
    sets = [split.categories for split in splits if split.categories is not None]
    if not sets:
        return _numeric_axis(feature, splits)
    if len(sets) < len(splits):
        raise DataError(f"feature {feature} is split as a number and as a category", hint="train the model again")
    return _categorical_axis(feature, sets)


def _numeric_axis(feature: int, splits: Iterable[Split]) -> Axis:
    edges: set[float] = set()
    for split in splits:
        edges.add(_flushed(split.threshold))
        if split.missing == "zero":
            edges |= {_BELOW_ZERO, _ZERO}
    ordered = tuple(sorted(edges))
    examples = [0.0 if edge == _ZERO else edge for edge in ordered]
    return Axis(feature, ordered, np.array([*examples, math.inf, math.nan]), categorical=False)


def _flushed(threshold: float) -> float:
    """Return the edge that divides raw values as the threshold divides them after tiny ones have been read as 0."""
    if not -_ZERO <= threshold <= _ZERO:
        return threshold
    return _BELOW_ZERO if threshold < 0 else _ZERO


def _categorical_axis(feature: int, sets: Iterable[frozenset[int]]) -> Axis:
    """Codes are cut off towards 0, so that category 0 begins above -1 and category k at k."""
    count = max((category for categories in sets for category in categories), default=0) + 1
    edges = (-1.0, *(math.nextafter(code, -math.inf) for code in range(1, count + 1)))
    return Axis(feature, edges, np.array([-1.0, *range(count + 1), math.nan]), categorical=True)


def goes_left(split: Split, axis: Axis) -> NDArray[np.bool_]:
    """Return for each class of the split's feature whether it goes to the left."""
    if split.categories is not None:
        left = np.zeros(axis.classes, np.bool_)
        left[[category + 1 for category in split.categories]] = True
        return left
    values = axis.examples
    left = np.asarray(values <= split.threshold)
    if split.missing == "nan":
        left[-1] = split.default_left
    else:
        # NaN is read as 0.
        left[-1] = split.threshold >= 0
    if split.missing == "zero":
        left[values == 0] = split.default_left
        left[-1] = split.default_left
    return left
