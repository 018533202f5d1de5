"""Reasons by look-up in a served bundle: ready before the first lead, and the same as LightGBM's own."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from serving.process.loading import load_checked
from tests.service.bundles import AS_OF_US, random_facts, small_bundle
from training.bundles.bundle import Bundle
from training.bundles.reasons import explainer
from training.bundles.reasons.explainer import LightGBMExplainer, tree_explainer
from training.bundles.reasons.lookup import TableExplainer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle")).folder


def left_to_lightgbm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """Return the bundle as it answers where no table fits into memory."""
    with monkeypatch.context() as patch:
        patch.setattr(explainer, "tree_explainer", partial(tree_explainer, budget=0))
        bundle = Bundle.load(folder)
        for sealed in (bundle.full, bundle.profile):
            assert isinstance(sealed.model.explainer, LightGBMExplainer)
    return bundle


def test_a_loaded_bundle_has_the_tables_of_both_its_models_ready(folder: Path) -> None:
    bundle = load_checked(folder)
    for sealed in (bundle.full, bundle.profile):
        assert isinstance(vars(sealed.model).get("explainer"), TableExplainer)


def test_golden_leads_sealed_by_tables_are_answered_alike_by_lightgbm(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_to_lightgbm(folder, monkeypatch).recheck()


def test_tables_answer_a_lead_as_lightgbm_does_and_add_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, own = Bundle.load(folder), left_to_lightgbm(folder, monkeypatch)
    rng = np.random.default_rng(4)
    for _ in range(60):
        facts = random_facts(rng)
        answer, told = quick.answer(facts, AS_OF_US), own.answer(facts, AS_OF_US)
        assert answer.contributions == pytest.approx(told.contributions, abs=1e-9)
        assert answer.base_logit == pytest.approx(told.base_logit, abs=1e-9)
        assert answer.logit == pytest.approx(answer.base_logit + math.fsum(answer.groups.values()), abs=1e-9)
        sealed = quick.full if answer.source == "model" else quick.profile
        row = sealed.model.encoding.tree_row(answer.values)
        assert answer.logit == pytest.approx(float(sealed.logit(row)[0]), abs=1e-9)
