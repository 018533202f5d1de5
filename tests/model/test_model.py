"""Contributions that add up to the margin, whatever the mixture and the leads; one lead as the matrix of many."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from features.memory import Values
from tests.model.rows import synthetic_rows
from training.bundles.one_lead import OneLead
from training.learning.model import Calibrator, LinearTrees
from training.learning.recipe import Choices, fit_model

LEADS = 300


@cache
def fitted(alpha: float, trees: int) -> LinearTrees:
    return fit_model(synthetic_rows(900, seed=11), Choices(alpha=alpha, strength=3.0, trees=trees))


def leads(seed: int = 12) -> list[Values]:
    """Return leads with holes, values far outside the fit's range and categories that it has not seen."""
    rng = np.random.default_rng(seed)
    found = synthetic_rows(LEADS, seed=seed).frame.to_dict("records")
    for lead in found:
        if rng.random() < 0.3:
            lead[str(rng.choice(["size", "visits", "silence", "noise"]))] = float(rng.choice([-1e9, 0, 1e12]))
        if rng.random() < 0.3:
            lead["source"] = str(rng.choice(["never seen", "other thing"]))
        if rng.random() < 0.3:
            lead[str(rng.choice(["size", "visits", "noise", "source"]))] = None
    return [{str(name): value for name, value in lead.items()} for lead in found]


def matrix_of(model: LinearTrees, values: list[Values]) -> np.ndarray:
    return np.vstack([model.encoding.tree_row(lead) for lead in values])


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("trees", [0, 40])
def test_contributions_and_base_add_up_to_the_margin(alpha: float, trees: int) -> None:
    model = fitted(alpha, trees)
    matrix = matrix_of(model, leads())
    phi, base = model.contributions(matrix)
    assert phi.shape == (LEADS, 5)
    np.testing.assert_allclose(base + phi.sum(axis=1), model.margin(matrix), atol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_margin_is_the_mixture_of_the_design_document(alpha: float) -> None:
    model = fitted(alpha, 40)
    assert model.trees is not None
    matrix = matrix_of(model, leads())
    linear = model.linear.margin(model.encoding.design(matrix))
    expected = alpha * linear + (1 - alpha) * model.base + model.trees.predict(matrix, raw_score=True)
    np.testing.assert_allclose(model.margin(matrix), expected, atol=1e-12)


def test_zero_trees_and_alpha_zero_leave_the_weighted_win_rate() -> None:
    model = fitted(0.0, 0)
    rows = synthetic_rows(900, seed=11).decayed(Choices().half_life_days)
    rate = np.average(rows.y_obs, weights=rows.weights)
    np.testing.assert_allclose(1 / (1 + np.exp(-model.margin(matrix_of(model, leads())))), rate, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("trees", [0, 40])
def test_one_lead_is_explained_as_in_the_matrix_of_many(alpha: float, trees: int) -> None:
    model, calibrator = fitted(alpha, trees), Calibrator(1.3, -0.2)
    one_lead = OneLead(model, calibrator)
    phi, base = model.contributions(matrix_of(model, leads()))
    for lead, expected in zip(leads(), phi, strict=True):
        explained = one_lead(lead)
        assert explained.phi == pytest.approx((calibrator.a * expected).tolist(), abs=1e-9)
        assert explained.base == pytest.approx(calibrator.a * base + calibrator.b, abs=1e-9)
        assert explained.logit == pytest.approx(
            float(calibrator.logit(model.margin(model.encoding.tree_row(lead)))[0]), abs=1e-9
        )


def test_one_lead_names_the_categories_it_has_not_seen() -> None:
    one_lead = OneLead(fitted(0.5, 0), Calibrator())
    lead = leads()[0]
    assert one_lead(lead | {"source": "never seen"}).unknown == ("source",)
    assert one_lead(lead | {"source": "webinar"}).unknown == ()
    assert one_lead(lead | {"source": None}).unknown == ()
    assert one_lead(lead | {"source": math.nan}).unknown == ()


def test_shap_of_the_trees_is_what_lightgbm_contributes() -> None:
    with warnings.catch_warnings():
        # Its plots use what Matplotlib is going to drop.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import shap

    model = fitted(0.0, 40)
    assert model.trees is not None
    matrix = matrix_of(model, leads())
    explained = shap.TreeExplainer(model.trees, feature_perturbation="tree_path_dependent")(matrix)
    phi, base = model.contributions(matrix)
    values = explained.values if explained.values.ndim == 2 else explained.values[..., 1]
    np.testing.assert_allclose(values, phi, atol=1e-9)
    assert float(np.ravel(explained.base_values)[-1]) + model.base == pytest.approx(base, abs=1e-9)


def test_more_of_a_monotone_feature_never_lowers_the_margin_and_more_silence_never_raises_it() -> None:
    model = fitted(0.5, 40)
    for name, direction in (("visits", 1), ("silence", -1)):
        for lead in leads()[:50]:
            grid = [lead | {name: value} for value in np.linspace(0, 40, 30).tolist()]
            steps = np.diff(model.margin(matrix_of(model, grid)))
            assert (steps * direction >= -1e-12).all()


def test_contributions_change_with_the_linear_weights() -> None:
    """The sums above would also hold for a model that ignored its linear part."""
    model = fitted(0.5, 40)
    doubled = replace(model, linear=replace(model.linear, weights=2 * model.linear.weights))
    matrix = matrix_of(model, leads())
    assert np.abs(doubled.margin(matrix) - model.margin(matrix)).max() > 0.1
