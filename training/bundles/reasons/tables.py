"""The tables of a forest: for every case of every piece of its trees, what each output is given.

The number of a case is a sum: each class of a feature adds its step, a multiple of the cases that the features before
it in the piece make up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data.errors import DataError
from training.bundles.reasons.axes import Axis, axes_of
from training.bundles.reasons.pieces import MOST_CASES_OF_ALL, Cells, Leaf, Piece, cells_of, cut
from training.bundles.reasons.shares import shap_of_leaves

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from training.bundles.reasons.text import Forest

__all__ = ["BUDGET_BYTES", "MOST_CASES", "Table", "Tables", "build_tables", "room"]

# More cases mean fewer and larger tables; measured on 150 trees of 8 leaves to 300 of 31, this many are quickest.
MOST_CASES = 1024
# A model of 8 leaves a tree takes a few megabytes, 300 trees of 31 leaves 50 to 80, of 63 leaves 240.
BUDGET_BYTES = 1 << 28
_TREES_AT_ONCE = 32


def room(outputs: int) -> int:
    """Return how many numbers a row of a table takes up in memory: a line of the cache, or one and a half, or two ...

    Examples
    --------
    >>> room(3), room(9), room(13)
    (8, 12, 16)
    """
    return max(8, -(-outputs // 4) * 4)


class Table(NamedTuple):
    """One piece: `steps` of each class of each feature it reads, and `parts`, (cases, outputs) in log-odds."""

    features: tuple[int, ...]
    steps: tuple[NDArray[np.int16], ...]
    outputs: tuple[int, ...]
    parts: NDArray[np.float64]


@dataclass(frozen=True)
class Tables:
    """All tables of a forest.

    `base` is the sum of the trees' expected values; `axes` are the features that the trees read; `width` is the number
    of outputs.
    """

    base: float
    axes: tuple[Axis, ...]
    tables: tuple[Table, ...]
    width: int


def build_tables(
    forest: Forest, outputs: Sequence[int], *, most_cases: int = MOST_CASES, budget: int = BUDGET_BYTES
) -> Tables:
    """Tabulate a forest.

    Parameters
    ----------
    forest
        The trees.
    outputs
        For each feature of the matrix the output that its contributions are added to: its own number, or its group's.
    most_cases
        Up to which pieces are joined; more where that makes tables no larger.
    budget
        Bytes that all tables together may take.

    Raises
    ------
    DataError
        If the tables would be larger, or a path is deeper, than is worth it.
    """
    axes = axes_of(forest)
    cuts = list(_cuts(forest, axes, outputs, most_cases, budget))
    some = [cuts[start : start + _TREES_AT_ONCE] for start in range(0, len(cuts), _TREES_AT_ONCE)]
    tables = [table for trees in some for table in _tables(trees, outputs)]
    base = math.fsum(tree.expected for tree in forest.trees)
    return Tables(base, axes, tuple(tables), max(outputs, default=-1) + 1)


_Cut = tuple["dict[int, Cells]", "list[Piece]"]


def _cuts(forest: Forest, axes: Sequence[Axis], outputs: Sequence[int], most_cases: int, budget: int) -> Iterator[_Cut]:
    """Cut the trees, and give up as soon as their tables would not fit: before any is made."""
    known = {axis.feature: axis for axis in axes}
    classes = sum(axis.classes for axis in axes)
    for tree in forest.trees:
        if tree.splits:
            cells = cells_of(tree, known)
            pieces = cut(tree, cells, most_cases=most_cases)
            budget -= sum(_bytes(piece, outputs, classes) for piece in pieces)
            if budget < 0:
                raise DataError("the tables of the trees outgrow their budget of memory", hint="grow shallower trees")
            yield cells, pieces


def _bytes(piece: Piece, outputs: Sequence[int], classes: int) -> int:
    if piece.cases > MOST_CASES_OF_ALL:
        raise DataError("a path of the trees asks for too many features", hint="grow shallower trees")
    width = room(len({outputs[feature] for feature in piece.parts}))
    return piece.cases * width * np.dtype(np.float64).itemsize + classes * np.dtype(np.int16).itemsize


def _tables(trees: Sequence[_Cut], outputs: Sequence[int]) -> Iterator[Table]:
    """Make the tables of some trees at a time, so that the leaves' own tables are never all there at once."""
    leaves = [leaf for _, pieces in trees for piece in pieces for leaf in piece.leaves]
    shap = dict(zip(map(id, leaves), _shap(leaves), strict=True))
    for cells, pieces in trees:
        for piece in pieces:
            yield _table(piece, cells, outputs, shap)


def _shap(leaves: list[Leaf]) -> Iterator[NDArray[np.float64]]:
    """Return each leaf's (features, patterns) table; computed together for leaves with equally many features."""
    order: dict[int, list[int]] = {}
    for place, leaf in enumerate(leaves):
        order.setdefault(len(leaf.holds), []).append(place)
    found: dict[int, NDArray[np.float64]] = {}
    for places in order.values():
        values = np.array([leaves[place].value for place in places])
        shares = np.array([list(leaves[place].shares.values()) for place in places])
        found.update(zip(places, shap_of_leaves(values, shares), strict=True))
    return (found[place] for place in range(len(leaves)))


def _table(
    piece: Piece, cells: Mapping[int, Cells], outputs: Sequence[int], shap: Mapping[int, NDArray[np.float64]]
) -> Table:
    features = tuple(piece.parts)
    told = tuple(sorted({outputs[feature] for feature in features}))
    place = {output: k for k, output in enumerate(told)}
    found = np.zeros((len(told), piece.cases))
    for leaf in piece.leaves:
        contributed = shap[id(leaf)].take(_pattern(piece, leaf), axis=1)
        for feature, part in zip(leaf.holds, contributed, strict=True):
            found[place[outputs[feature]]] += part
    return Table(features, tuple(_steps(piece, cells)), told, np.ascontiguousarray(found.T))


def _steps(piece: Piece, cells: Mapping[int, Cells]) -> Iterator[NDArray[np.int16]]:
    step = 1
    for feature, parts in piece.parts.items():
        own = cells[feature]
        of_cell = np.zeros(own.number, np.int16)
        for k, part in enumerate(parts):
            for cell in range(own.number):
                if part >> cell & 1:
                    of_cell[cell] = k * step
        yield of_cell[own.of_class]
        step *= len(parts)


def _pattern(piece: Piece, leaf: Leaf) -> NDArray[np.intp]:
    """Return for each case of a piece which of a leaf's conditions hold, as the number of a pattern."""
    found = np.zeros(1, np.intp)
    bit = {feature: 1 << j for j, feature in enumerate(leaf.holds)}
    for feature, parts in piece.parts.items():
        # Parts never straddle a leaf's conditions: they hold for all of a part or for none.
        held = [bit[feature] if feature in bit and part & leaf.holds[feature] else 0 for part in parts]
        found = np.add.outer(held, found).ravel()
    return found
