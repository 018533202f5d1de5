"""What the pages are shown with: a scorer over a small bundle that was fitted for the session, and a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from features.scorecard import load_scorecard
from serving.scoring.scorer import Scorer
from tests.browser.looking import chromium
from tests.service.bundles import small_bundle

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["chromium"]


@pytest.fixture(scope="session")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    folder: Path = tmp_path_factory.mktemp("sealed") / "bundle"
    return Scorer(small_bundle(folder), load_scorecard())
