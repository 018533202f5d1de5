"""A part that a test needs and that is not there: a failure in CI, which installs all of them; elsewhere a skip."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

__all__ = ["missing_part"]


def missing_part(reason: str) -> NoReturn:
    """End the test: failed under `CI=true`, else skipped with the reason."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI has to have every part: {reason}")
    # A user without Java or a browser tests the rest; CI, which installs every part, has failed above.
    pytest.skip(reason)
