"""Contributions by look-up are LightGBM's own and Shapley's by definition, for models of every kind and any floats."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from data.errors import DataError
from tests.model.forests import KINDS, edge_rows, fit, naive_contributions, rewritten
from training.bundles.reasons import explainer as explainer_module
from training.bundles.reasons.axes import axes_of
from training.bundles.reasons.explainer import LightGBMExplainer, tree_explainer
from training.bundles.reasons.lookup import TableExplainer
from training.bundles.reasons.pieces import cells_of, cut
from training.bundles.reasons.tables import build_tables
from training.bundles.reasons.text import read_forest

if TYPE_CHECKING:
    import lightgbm


def tables_of(booster: lightgbm.Booster, **options: Any) -> TableExplainer:
    forest = read_forest(booster.model_to_string())
    return TableExplainer(build_tables(forest, range(forest.features), **options))


def contributed(booster: lightgbm.Booster, matrix: np.ndarray) -> np.ndarray:
    return np.asarray(booster.predict(matrix, pred_contrib=True, num_threads=1))


def reloaded(text: str) -> lightgbm.Booster:
    import lightgbm

    return lightgbm.Booster(model_str=text)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_tables_contribute_what_lightgbm_does(kind: str, seed: int) -> None:
    booster = fit(KINDS[kind], seed)
    matrix = edge_rows(booster, seed)
    told = contributed(booster, matrix)
    scale = max(1.0, float(np.abs(told).max()))
    # Few cases force leaves apart, many bring them together.
    for most_cases in (1, 16, 1024):
        found = tables_of(booster, most_cases=most_cases)
        np.testing.assert_allclose(found.many(matrix), told[:, :-1], atol=1e-12 * scale)
        assert found.base == pytest.approx(told[0, -1], abs=1e-12 * scale)


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_has_the_bits_of_the_same_row_among_many(kind: str) -> None:
    booster = fit(KINDS[kind], 7)
    matrix = edge_rows(booster, 7)
    found = tables_of(booster)
    many = found.many(matrix)
    assert [found.one(row) for row in matrix.tolist()] == many.tolist()
    assert found.many(matrix[17:18]).tolist() == many[17:18].tolist()
    assert found.many(matrix[:0]).shape == (0, booster.num_feature())


@pytest.mark.parametrize("kind", ["categories", "zero is missing", "deep", "missing is not used"])
def test_tables_contribute_what_shap_does(kind: str) -> None:
    with warnings.catch_warnings():
        # Its plots use what Matplotlib is going to drop.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import shap

    booster = fit(KINDS[kind], 5)
    matrix = edge_rows(booster, 5)
    explained = shap.TreeExplainer(booster, feature_perturbation="tree_path_dependent")(matrix)
    values = explained.values if explained.values.ndim == 2 else explained.values[..., 1]
    found = tables_of(booster)
    np.testing.assert_allclose(found.many(matrix), values, atol=1e-9)
    assert found.base == pytest.approx(float(np.ravel(explained.base_values)[-1]), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_tables_contribute_what_shapley_defines_also_where_a_side_has_no_rows(seed: int) -> None:
    """LightGBM divides by such a share and answers NaN, so the definition is asked."""
    rng = np.random.default_rng(seed)
    booster = fit(KINDS["holes"], seed)
    text = rewritten(booster.model_to_string(), "leaf_count", lambda _, old: [str(k % 2 * 9) for k in range(len(old))])
    text = rewritten(text, "internal_count", lambda _, old: [str(int(rng.integers(1, 9))) for _ in old])
    forest = read_forest(text)
    assert any(rows == 0 for tree in forest.trees for rows in tree.rows)
    found = TableExplainer(build_tables(forest, range(forest.features)))
    for row in edge_rows(booster, seed, count=4):
        told, _ = naive_contributions(forest, row)
        np.testing.assert_allclose(found.many(row[None])[0], told, atol=1e-12 * max(1.0, np.abs(told).max()))


def test_tables_follow_row_counts_that_do_not_add_up() -> None:
    rng = np.random.default_rng(3)
    text = fit(KINDS["categories"], 3).model_to_string()
    for line in ("leaf_count", "internal_count"):
        text = rewritten(text, line, lambda _, old: [str(int(rng.integers(1, 400))) for _ in old])
    booster = reloaded(text)
    matrix = edge_rows(booster, 3)
    told = contributed(booster, matrix)
    found = tables_of(booster)
    np.testing.assert_allclose(found.many(matrix), told[:, :-1], atol=1e-9 * np.abs(told).max())
    assert found.base == pytest.approx(told[0, -1], rel=1e-12)


def test_contributions_and_base_add_up_to_the_margin() -> None:
    booster = fit(KINDS["deep"], 1)
    matrix = edge_rows(booster, 1)
    found = tables_of(booster)
    margin = booster.predict(matrix, raw_score=True, num_threads=1)
    np.testing.assert_allclose(found.base + found.many(matrix).sum(axis=1), margin, atol=1e-12)


def test_only_the_trees_up_to_the_best_iteration_count() -> None:
    booster = fit(KINDS["plain"], 2)
    matrix = edge_rows(booster, 2)
    everything = tables_of(booster).many(matrix)
    booster.best_iteration = 4
    found = tables_of(booster).many(matrix)
    np.testing.assert_allclose(found, contributed(booster, matrix)[:, :-1], atol=1e-12)
    assert np.abs(found - everything).max() > 0.01


def test_blocks_of_rows_do_not_change_a_bit() -> None:
    booster = fit(KINDS["stumps"], 4)
    matrix = np.tile(edge_rows(booster, 4), (150, 1))
    found = tables_of(booster).many(matrix)
    assert len(matrix) > 8192
    assert found.tolist() == np.tile(found[:60], (150, 1)).tolist()


@pytest.mark.parametrize("kind", ["categories", "deep", "wide"])
def test_outputs_are_the_sums_of_their_features(kind: str) -> None:
    booster = fit(KINDS[kind], 6)
    forest, matrix = read_forest(booster.model_to_string()), edge_rows(booster, 6)
    outputs = [feature // 3 for feature in range(forest.features)]
    found = TableExplainer(build_tables(forest, outputs))
    alone = tables_of(booster).many(matrix)
    told = np.column_stack([alone[:, [o == output for o in outputs]].sum(axis=1) for output in sorted(set(outputs))])
    np.testing.assert_allclose(found.many(matrix), told, atol=1e-12)
    assert [found.one(row) for row in matrix.tolist()] == found.many(matrix).tolist()
    own = LightGBMExplainer(booster, outputs)
    np.testing.assert_allclose(own.many(matrix), told, atol=1e-12)


@pytest.mark.parametrize("most_cases", [1, 40, 1024])
def test_pieces_hold_every_leaf_once_and_outgrow_the_limit_only_where_that_is_cheaper(most_cases: int) -> None:
    forest = read_forest(fit(KINDS["deep"], 8).model_to_string())
    axes = {axis.feature: axis for axis in axes_of(forest)}
    for tree in forest.trees:
        pieces = cut(tree, cells_of(tree, axes), most_cases=most_cases)
        values = sorted(leaf.value for piece in pieces for leaf in piece.leaves)
        assert values == sorted(tree.values)
        for piece in pieces:
            alone = sum(2 ** len(leaf.holds) * len(leaf.holds) for leaf in piece.leaves)
            assert piece.cases <= most_cases or piece.numbers <= alone
        if most_cases == 1024:
            assert len(pieces) < len(tree.values) / 3


def test_a_model_that_fits_is_explained_by_tables() -> None:
    booster = fit(KINDS["holes"], 9)
    assert isinstance(tree_explainer(booster), TableExplainer)


def test_a_model_that_outgrows_its_memory_is_left_to_lightgbm() -> None:
    booster = fit(KINDS["deep"], 9)
    matrix = edge_rows(booster, 9)
    found = tree_explainer(booster, budget=20_000)
    assert isinstance(found, LightGBMExplainer)
    assert "budget" in found.why
    told = contributed(booster, matrix)
    assert found.many(matrix).tolist() == told[:, :-1].tolist()
    assert found.one(matrix[0].tolist()) == told[0, :-1].tolist()
    assert found.many(matrix[:0]).shape == (0, booster.num_feature())
    assert found.base == told[0, -1]


def chain(features: int) -> str:
    """Return the text of a model of one tree whose longest path asks for every feature once."""
    import lightgbm

    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(100, features))
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1}
    text = lightgbm.train(parameters, lightgbm.Dataset(matrix, rng.integers(0, 2, 100)), 1).model_to_string()
    lines = {
        "num_leaves": [features + 1],
        "num_cat": [0],
        "split_feature": range(features),
        "split_gain": [1] * features,
        "threshold": rng.normal(size=features).tolist(),
        "decision_type": [8] * features,
        "left_child": [~k for k in range(features)],
        "right_child": [*range(1, features), ~features],
        "leaf_value": rng.normal(size=features + 1).tolist(),
        "leaf_weight": [1] * (features + 1),
        "leaf_count": [10] * (features + 1),
        "internal_value": [0] * features,
        "internal_weight": [1] * features,
        "internal_count": range(10 * (features + 1), 10, -10),
        "is_linear": [0],
        "shrinkage": [1],
    }
    tree = "".join(f"{name}={' '.join(map(str, values))}\n" for name, values in lines.items())
    head = rewritten(text, "shrinkage", lambda _, old: old).partition("\nTree=")[0]
    return f"{head}\nTree=0\n{tree}\n\nend of trees\n"


def test_a_path_is_tabulated_up_to_fourteen_features_and_left_to_lightgbm_beyond() -> None:
    for features, kind in ((14, TableExplainer), (15, LightGBMExplainer)):
        booster = reloaded(chain(features))
        matrix = edge_rows(booster, 1)
        found = tree_explainer(booster)
        assert isinstance(found, kind)
        np.testing.assert_allclose(found.many(matrix), contributed(booster, matrix)[:, :-1], atol=1e-12)


def test_tables_that_disagree_with_lightgbm_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if another version of LightGBM gave the same text another meaning."""
    booster = fit(KINDS["holes"], 10)

    def misread(text: str) -> object:
        forest = read_forest(text)
        tree = forest.trees[3]
        turned = tree.splits[0]._replace(default_left=not tree.splits[0].default_left, missing="nan")
        changed = tree._replace(splits=(turned, *tree.splits[1:]))
        return forest._replace(trees=(*forest.trees[:3], changed, *forest.trees[4:]))

    monkeypatch.setattr(explainer_module, "read_forest", misread)
    found = tree_explainer(booster)
    assert isinstance(found, LightGBMExplainer)
    assert "disagree" in found.why


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"objective": "multiclass", "num_class": 3}, "several classes"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "averaged"),
        ({"linear_tree": True}, "linear models"),
    ],
)
def test_models_of_other_kinds_are_refused(parameters: dict[str, Any], why: str) -> None:
    import lightgbm

    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 3))
    parameters = {"objective": "regression", "verbose": -1, "num_threads": 1, **parameters}
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, rng.integers(0, 3, 200), params=parameters), 3)
    with pytest.raises(DataError, match=why):
        read_forest(booster.model_to_string())


def test_texts_that_are_not_whole_are_refused() -> None:
    text = fit(KINDS["categories"], 0).model_to_string()
    damaged = {
        "version": text.replace("version=v4", "version=v9"),
        "cannot be read": text.replace("\nleaf_value=", "\nleaf_valve="),
        "too short": rewritten(text, "leaf_count", lambda _, old: old[1:]),
        "order": rewritten(text, "left_child", lambda _, old: ["0", *old[1:]]),
        "number": rewritten(text, "threshold", lambda _, old: ["x", *old[1:]]),
        "rows": rewritten(text, "internal_count", lambda _, old: ["0", *old[1:]]),
    }
    for what, wrong in damaged.items():
        assert wrong != text, what
        with pytest.raises(DataError):
            read_forest(wrong)


def test_a_number_is_read_to_its_last_bit() -> None:
    booster = fit(KINDS["regression"], 11)
    forest = read_forest(booster.model_to_string())
    told = [node["leaf_value"] for tree in booster.dump_model()["tree_info"] for node in _leaves(tree)]
    assert sorted(value for tree in forest.trees for value in tree.values) == sorted(told)
    assert math.isfinite(sum(told))


def _leaves(tree: dict[str, Any]) -> list[dict[str, Any]]:
    found, open_ = [], [tree["tree_structure"]]
    while open_:
        node = open_.pop()
        if "leaf_value" in node:
            found.append(node)
        else:
            open_ += [node["left_child"], node["right_child"]]
    return found
