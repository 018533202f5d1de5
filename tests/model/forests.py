"""Small random LightGBM models of every kind that tables have to follow, and rows that try their edges."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.bundles.reasons.axes import axes_of, goes_left
from training.bundles.reasons.text import Forest, Tree, read_forest

if TYPE_CHECKING:
    import lightgbm

__all__ = ["KINDS", "Kind", "edge_rows", "fit", "naive_contributions", "rewritten"]

Floats = NDArray[np.float64]
_ROWS = 400


@dataclass(frozen=True)
class Kind:
    """A kind of model: columns, parameters, rounds."""

    numbers: int = 4
    categories: int = 2
    levels: int = 12
    holes: float = 0.2
    rounds: int = 12
    parameters: Mapping[str, Any] | None = None


KINDS: Mapping[str, Kind] = {
    "plain": Kind(categories=0, holes=0.0),
    "holes": Kind(categories=0, holes=0.4),
    "categories": Kind(numbers=1, categories=4),
    "many levels": Kind(levels=90, parameters={"max_cat_threshold": 64, "cat_smooth": 1.0, "min_data_per_group": 1}),
    "one against the rest": Kind(levels=4, parameters={"max_cat_to_onehot": 4}),
    "zero is missing": Kind(parameters={"zero_as_missing": True}),
    "missing is not used": Kind(parameters={"use_missing": False}),
    "categories without missing values": Kind(numbers=0, categories=3, holes=0.0),
    "one feature, many splits": Kind(numbers=1, categories=0, parameters={"num_leaves": 25}),
    "one category, many splits": Kind(numbers=0, categories=1, levels=40, parameters={"num_leaves": 10}),
    "deep": Kind(numbers=8, categories=2, rounds=6, parameters={"num_leaves": 50, "min_data_in_leaf": 1}),
    "stumps": Kind(parameters={"num_leaves": 2}),
    "one tree": Kind(rounds=1),
    "leaves only": Kind(rounds=3, parameters={"min_data_in_leaf": _ROWS}),
    "monotone": Kind(categories=0, parameters={"monotone_constraints": [1, -1, 0, 1]}),
    "regression": Kind(parameters={"objective": "regression", "learning_rate": 0.9}),
    "coarse": Kind(parameters={"max_bin": 3, "linear_tree": False, "lambda_l1": 1.0}),
    "wide": Kind(numbers=20, categories=6, parameters={"feature_fraction": 0.3}),
}


def fit(kind: Kind, seed: int) -> lightgbm.Booster:
    """Return a model of a kind, fitted on random rows."""
    import lightgbm

    rng = np.random.default_rng(seed)
    matrix = _matrix(kind, rng)
    margin = np.nan_to_num(matrix, nan=0.7) @ rng.normal(size=matrix.shape[1]) + rng.normal(size=_ROWS)
    label = (margin > np.median(margin)).astype(float)
    parameters = {
        "objective": "binary",
        "num_leaves": int(rng.integers(4, 16)),
        "learning_rate": 0.3,
        "min_data_in_leaf": 5,
        "min_data_per_group": 5,
        "cat_smooth": 2.0,
        "num_threads": 1,
        "deterministic": True,
        "seed": seed,
        "verbose": -1,
        **(kind.parameters or {}),
    }
    categorical = list(range(kind.numbers, kind.numbers + kind.categories))
    data = lightgbm.Dataset(matrix, label, categorical_feature=categorical or "auto", params=parameters)
    return lightgbm.train(parameters, data, kind.rounds)


def _matrix(kind: Kind, rng: np.random.Generator) -> Floats:
    scales: list[Callable[[], Floats]] = [
        lambda: rng.normal(size=_ROWS),
        lambda: rng.poisson(1.0, _ROWS).astype(float),
        lambda: rng.lognormal(size=_ROWS) * (rng.random(_ROWS) < 0.5),
        lambda: rng.normal(size=_ROWS) * 1e-35,
    ]
    columns = [scales[k % len(scales)]() for k in range(kind.numbers)]
    columns += [rng.integers(0, kind.levels, _ROWS).astype(float) for _ in range(kind.categories)]
    matrix = np.column_stack(columns)
    matrix[rng.random(matrix.shape) < kind.holes] = math.nan
    return matrix


def edge_rows(booster: lightgbm.Booster, seed: int, count: int = 60) -> Floats:
    """Return rows made of the model's own thresholds, their neighbours, and what else may be asked of a float."""
    rng = np.random.default_rng(seed)
    matrix = np.empty((count, booster.num_feature()))
    asked = {axis.feature: axis.edges for axis in axes_of(read_forest(booster.model_to_string()))}
    for feature in range(matrix.shape[1]):
        near = [value for edge in asked.get(feature, ()) for value in _around(edge)]
        odd = [math.nan, 0.0, -0.0, math.inf, -math.inf, 1e300, -1e300, 1e-36, -1e-36, 1e-35, -1e-35, 5e-324]
        codes = [-1.0, -0.5, 0.5, 1.9, 2.0, 3.0, 31.0, 32.0, 77.0, 1e6, 2.0**31, -(2.0**31), 1e10]
        matrix[:, feature] = rng.choice([*near, *odd, *codes, *rng.normal(size=20)], count)
    return matrix


def _around(edge: float) -> tuple[float, float, float]:
    return math.nextafter(edge, -math.inf), edge, math.nextafter(edge, math.inf)


def rewritten(text: str, line: str, new: Callable[[int, list[str]], list[str]]) -> str:
    """Return a model text with the words of a line of every tree replaced; `new` gets the number of the tree."""
    numbers = itertools.count()

    def change(found: re.Match[str]) -> str:
        return f"\n{line}={' '.join(new(next(numbers), found[1].split()))}\n"

    # With their sizes LightGBM would read trees from places where they no longer are.
    return re.sub(rf"\n{line}=(.*)\n", change, re.sub(r"\ntree_sizes=.*\n", "\n", text))


def naive_contributions(forest: Forest, row: Floats) -> tuple[Floats, float]:
    """Return Shapley's values by their definition, over all sets of features, and the expectation over the paths."""
    axes = {axis.feature: axis for axis in axes_of(forest)}
    phi, base = np.zeros(forest.features), 0.0
    for tree in forest.trees:
        features = sorted({split.feature for split in tree.splits})
        classes = {f: int(axes[f].classify(row[f : f + 1])[0]) for f in features}
        sides = [bool(goes_left(split, axes[split.feature])[classes[split.feature]]) for split in tree.splits]
        worth = {
            known: _expected(tree, sides, frozenset(known))
            for size in range(len(features) + 1)
            for known in itertools.combinations(features, size)
        }
        base += worth[()]
        for known, value in worth.items():
            size, count = len(known), len(features)
            for feature in set(features) - set(known):
                share = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
                phi[feature] += share * (worth[tuple(sorted((*known, feature)))] - value)
    return phi, base


def _expected(tree: Tree, sides: list[bool], known: frozenset[int], node: int = 0) -> float:
    if not tree.splits:
        return tree.values[0]
    if node < 0:
        return tree.values[~node]
    split = tree.splits[node]
    if split.feature in known:
        return _expected(tree, sides, known, split.left if sides[node] else split.right)
    return math.fsum(
        tree.rows_of(child) / split.rows * _expected(tree, sides, known, child) for child in (split.left, split.right)
    )
