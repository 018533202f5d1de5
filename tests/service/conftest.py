"""Bundles for the tests of serving: fitted and sealed once a session."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from features.scorecard import load_scorecard
from serving.openapi import EXAMPLE_REQUEST
from serving.scoring.scorer import Scorer
from tests.service.bundles import small_bundle
from training.bundles.sealing import point_at, publish

if TYPE_CHECKING:
    from pathlib import Path

    from training.bundles.bundle import Bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("sealed") / "bundle")


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("sealed") / "other", seed=6)


@pytest.fixture(scope="session")
def scorer(bundle: Bundle) -> Scorer:
    return Scorer(bundle, load_scorecard())


@pytest.fixture
def bundles(tmp_path: Path, bundle: Bundle) -> Path:
    """A folder with one published bundle that `current` names."""
    folder = tmp_path / "bundles"
    point_at(folder, "current", publish(bundle, folder))
    return folder


@pytest.fixture
def payload() -> dict[str, Any]:
    """The example of the documentation, to be changed at will."""
    copied: dict[str, Any] = json.loads(json.dumps(EXAMPLE_REQUEST))
    return copied
