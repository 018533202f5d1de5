"""Where the public data sets lie on a machine that has them; users do not, so tests skip with a clear reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["public_dataset"]


def public_dataset(folder: str) -> Path:
    """Return the folder of a data set (`CLEW_DATASETS`, or `../shared/datasets`), or skip the test."""
    default = Path(__file__).parents[1].parent / "shared" / "datasets"
    source = Path(os.environ.get("CLEW_DATASETS", default)) / folder
    if not source.is_dir():
        # Their licences forbid to ship them, so users and CI do not have them; the reader of a report has to see why
        # nothing was tested.
        pytest.skip(f"the public data set {folder} is not here; set CLEW_DATASETS to the folder that holds it")
    return source
