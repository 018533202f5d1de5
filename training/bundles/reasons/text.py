"""What a LightGBM model file says: the splits, values and row counts of its trees.

The text is the format that LightGBM itself reads back, with every number to its last bit.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, NamedTuple

from data.errors import DataError

__all__ = ["Forest", "Missing", "Split", "Tree", "read_forest"]

Missing = Literal["none", "zero", "nan"]

_VERSION = "v4"
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING: tuple[Missing, ...] = ("none", "zero", "nan")
_WORD = 32


class Split(NamedTuple):
    """A node that asks something; `left` and `right` are split numbers from 0 on, or `~leaf`.

    A categorical split sends `categories` to the left; they are None where values up to `threshold` go there. `rows`
    is the number of rows that came by in training.
    """

    feature: int
    threshold: float
    categories: frozenset[int] | None
    missing: Missing
    default_left: bool
    left: int
    right: int
    rows: float


class Tree(NamedTuple):
    """A tree: its splits, the root first, and value and training rows of each leaf."""

    splits: tuple[Split, ...]
    values: tuple[float, ...]
    rows: tuple[float, ...]

    @property
    def expected(self) -> float:
        """The mean of the leaves' values over the training rows, as LightGBM weighs it."""
        if not self.splits:
            return self.values[0]
        total = self.splits[0].rows
        return math.fsum(rows / total * value for value, rows in zip(self.values, self.rows, strict=True))

    def rows_of(self, child: int) -> float:
        """Return the training rows of a split, or of a leaf given as `~leaf`."""
        return self.splits[child].rows if child >= 0 else self.rows[~child]


class Forest(NamedTuple):
    """All trees of a model that reads so many features."""

    features: int
    trees: tuple[Tree, ...]


def read_forest(text: str) -> Forest:
    r"""Read the text of a LightGBM model whose margin is the sum of its trees.

    Raises
    ------
    DataError
        If the text is of another version, incomplete, or of a model of another kind: several classes, averaged trees,
        linear leaves, or splits that no training row has reached.

    Examples
    --------
    >>> stump = (
    ...     "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=0\n\n"
    ...     "Tree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=1.5\ndecision_type=2\nleft_child=-1\n"
    ...     "right_child=-2\nleaf_value=-1 3\nleaf_count=3 1\ninternal_count=4\nis_linear=0\n\nend of trees\n"
    ... )
    >>> tree = read_forest(stump).trees[0]
    >>> tree.splits[0].threshold, tree.values, tree.expected
    (1.5, (-1.0, 3.0), 0.0)
    """
    head, *parts = text.partition("\nend of trees")[0].split("\nTree=")
    told = _fields(head)
    if told.get("version") != _VERSION:
        raise DataError(f"a LightGBM model text of version {_VERSION} was expected", hint="use LightGBM 4")
    if told.get("num_class") != "1" or told.get("num_tree_per_iteration") != "1" or "average_output" in told:
        raise DataError("the trees are of several classes or averaged", hint="train a boosted binary model")
    try:
        return Forest(int(told["max_feature_idx"]) + 1, tuple([_tree(_fields(part)) for part in parts]))
    except (KeyError, ValueError, IndexError) as error:
        raise DataError(
            f"the LightGBM model text cannot be read ({type(error).__name__})", hint="save the model again"
        ) from None


def _fields(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in text.splitlines())}


def _tree(told: dict[str, str]) -> Tree:
    if told.get("is_linear", "0") != "0":
        raise DataError("the trees have linear models in their leaves", hint="train without linear_tree")
    leaves = int(told["num_leaves"])
    values = _floats(told["leaf_value"])
    if leaves == 1:
        return Tree((), values[:1], (0.0,))
    tree = Tree(_splits(told), values, _floats(told["leaf_count"]))
    if len(tree.splits) != leaves - 1 or len(values) != leaves or len(tree.rows) != leaves:
        raise ValueError("a line is too short or too long")
    if any(0 <= child <= place for place, split in enumerate(tree.splits) for child in (split.left, split.right)):
        raise ValueError("a split stands before its parent")
    if not all(split.rows > 0 for split in tree.splits):
        raise DataError("a split has no training rows, so its reasons have no weights", hint="train the model again")
    return tree


def _splits(told: dict[str, str]) -> tuple[Split, ...]:
    sets = _category_sets(told)
    columns = zip(
        _integers(told["split_feature"]),
        _floats(told["threshold"]),
        _integers(told["decision_type"]),
        _integers(told["left_child"]),
        _integers(told["right_child"]),
        _floats(told["internal_count"]),
        strict=True,
    )
    return tuple(
        [
            Split(
                feature=feature,
                threshold=threshold,
                categories=sets[int(threshold)] if kind & _CATEGORICAL else None,
                missing=_MISSING[kind >> 2 & 3],
                default_left=bool(kind & _DEFAULT_LEFT),
                left=left,
                right=right,
                rows=rows,
            )
            for feature, threshold, kind, left, right, rows in columns
        ]
    )


def _category_sets(told: dict[str, str]) -> list[frozenset[int]]:
    """Return the categories of each categorical split, unpacked from the bits of 32-bit words."""
    if told["num_cat"] == "0":
        return []
    bounds, words = _integers(told["cat_boundaries"]), _integers(told["cat_threshold"])
    return [
        frozenset(
            _WORD * place + bit
            for place, word in enumerate(words[start:stop])
            for bit in range(_WORD)
            if word >> bit & 1
        )
        for start, stop in pairwise(bounds)
    ]


def _floats(line: str) -> tuple[float, ...]:
    return tuple([float(word) for word in line.split()])


def _integers(line: str) -> tuple[int, ...]:
    return tuple([int(word) for word in line.split()])
