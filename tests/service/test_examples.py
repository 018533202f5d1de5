"""The examples in the docstrings of serving, which are not collected: importing bentoml costs seconds and warnings."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "access",
        "event_log",
        "events",
        "exchange",
        "facts",
        "loading",
        "notices",
        "openapi",
        "payload",
        "problems",
        "reasons",
        "routing",
        "scorer",
    ],
)
def test_the_examples_of_serving_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"serving.{name}"))
    assert result.attempted
    assert not result.failed
