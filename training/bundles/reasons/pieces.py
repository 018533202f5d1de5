"""How a tree is cut into pieces small enough to be tabulated.

A leaf's SHAP values depend only on which conditions of its path hold. Leaves that share features share conditions, so
a piece, some leaves together, has far fewer cases than its leaves have one by one: its cases are the combinations of
what the piece tells apart of each of its features.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data.errors import DataError
from training.bundles.reasons.axes import goes_left

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from training.bundles.reasons.axes import Axis
    from training.bundles.reasons.text import Tree

__all__ = ["MOST_CASES_OF_ALL", "Cells", "Leaf", "Piece", "cells_of", "cut"]

# Bits of a signature: more splits of one tree on one feature than any shape that is of use here.
_MOST_SPLITS = 62
# Cases are counted in 16 bits; a path of 14 features has as many.
MOST_CASES_OF_ALL = 1 << 14


class Cells(NamedTuple):
    """What one tree tells apart of one feature: the cell of each class of the axis.

    `left` says for each of the tree's splits on the feature which cells go left. Sets of cells are bit masks.
    """

    of_class: NDArray[np.intp]
    number: int
    left: Mapping[int, int]

    @property
    def full(self) -> int:
        """All cells."""
        return (1 << self.number) - 1


class Leaf(NamedTuple):
    """A leaf with, for each feature of its path, the cells in which all conditions hold and its share.

    The share is the product of the shares of training rows that took the path's side at the splits on the feature.
    """

    value: float
    holds: Mapping[int, int]
    shares: Mapping[int, float]


class Piece(NamedTuple):
    """Leaves of one tree, and the parts into which they divide the cells of each feature."""

    parts: Mapping[int, tuple[int, ...]]
    leaves: tuple[Leaf, ...]

    @property
    def cases(self) -> int:
        """How many combinations of parts there are."""
        return math.prod(map(len, self.parts.values()))

    @property
    def numbers(self) -> int:
        """How many numbers its table takes."""
        return self.cases * len(self.parts)


def cells_of(tree: Tree, axes: Mapping[int, Axis]) -> dict[int, Cells]:
    """Return for each feature of a tree what the tree tells apart.

    Raises
    ------
    DataError
        If the tree asks for one feature more often than fits into a signature.
    """
    asked: dict[int, list[int]] = {}
    for number, split in enumerate(tree.splits):
        asked.setdefault(split.feature, []).append(number)
    return {feature: _cells(tree, axes[feature], numbers) for feature, numbers in asked.items()}


def _cells(tree: Tree, axis: Axis, numbers: list[int]) -> Cells:
    if len(numbers) > _MOST_SPLITS:
        raise DataError(f"a tree splits {len(numbers)} times on one feature", hint="grow smaller trees")
    signature = np.zeros(axis.classes, np.int64)
    for place, number in enumerate(numbers):
        signature |= goes_left(tree.splits[number], axis).astype(np.int64) << place
    known, of_class = np.unique(signature, return_inverse=True)
    told = known.tolist()
    left = {
        number: sum(1 << cell for cell, sides in enumerate(told) if sides >> place & 1)
        for place, number in enumerate(numbers)
    }
    return Cells(of_class, len(told), left)


def cut(tree: Tree, cells: Mapping[int, Cells], *, most_cases: int) -> list[Piece]:
    """Cut a tree into pieces, leaf by leaf joined from below, the smallest result first.

    Two are joined if that makes at most so many cases, or at least no more numbers than both have alone: siblings at
    the end of a long path have all their conditions in common.
    """
    found: dict[int, list[Piece]] = {}
    # Children are numbered after their parents.
    leaves = _leaves(tree, cells)
    for number in range(len(tree.splits) - 1, -1, -1):
        split = tree.splits[number]
        left, right = (found.pop(child) if child >= 0 else [leaves[~child]] for child in (split.left, split.right))
        found[number] = _joined(left, right, most_cases)
    return found[0]


def _leaves(tree: Tree, cells: Mapping[int, Cells]) -> dict[int, Piece]:
    found: dict[int, Piece] = {}
    open_: list[tuple[int, dict[int, int], dict[int, float]]] = [(0, {}, {})]
    while open_:
        number, holds, shares = open_.pop()
        split = tree.splits[number]
        own = cells[split.feature]
        left = own.left[number]
        for child, side in ((split.left, left), (split.right, own.full & ~left)):
            below = holds | {split.feature: holds.get(split.feature, own.full) & side}
            share = shares.get(split.feature, 1.0) * tree.rows_of(child) / split.rows
            weighed = shares | {split.feature: share}
            if child >= 0:
                open_.append((child, below, weighed))
            else:
                found[~child] = _alone(Leaf(tree.values[~child], below, weighed), cells)
    return found


def _alone(leaf: Leaf, cells: Mapping[int, Cells]) -> Piece:
    parts = {}
    for feature, holds in leaf.holds.items():
        rest = cells[feature].full & ~holds
        parts[feature] = tuple([part for part in (holds, rest) if part])
    return Piece(parts, (leaf,))


def _joined(left: list[Piece], right: list[Piece], most_cases: int) -> list[Piece]:
    """Join pieces of two sides as long as two fit together; those of one side have been tried before."""
    pieces = dict(enumerate(left + right))
    border, fresh = len(left), len(pieces)
    pairs = {
        (a, b): joined
        for a in range(border)
        for b in range(border, fresh)
        if (joined := _join(pieces[a], pieces[b], most_cases)) is not None
    }
    while pairs:
        a, b = min(pairs, key=lambda pair: (pairs[pair].cases, pair))
        new = pairs[a, b]
        del pieces[a], pieces[b]
        pairs = {pair: joined for pair, joined in pairs.items() if a not in pair and b not in pair}
        for other, piece in pieces.items():
            if (joined := _join(piece, new, most_cases)) is not None:
                pairs[other, fresh] = joined
        pieces[fresh] = new
        fresh += 1
    return list(pieces.values())


def _join(one: Piece, other: Piece, most_cases: int) -> Piece | None:
    parts = dict(one.parts)
    for feature, theirs in other.parts.items():
        ours = parts.get(feature)
        parts[feature] = theirs if ours is None or ours == theirs else _refined(ours, theirs)
    joined = Piece(parts, one.leaves + other.leaves)
    cheap = joined.cases <= MOST_CASES_OF_ALL and joined.numbers <= one.numbers + other.numbers
    return joined if cheap or joined.cases <= most_cases else None


def _refined(ours: tuple[int, ...], theirs: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([both for one in ours for other in theirs if (both := one & other)])
