"""What every test needs: one thread for the linear algebra, UTC, no telemetry, and an order that wastes no worker."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
for _name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "BENTOML_DO_NOT_TRACK"):
    os.environ[_name] = "true"
os.environ["GX_ANALYTICS_ENABLED"] = "false"
os.environ["TZ"] = "UTC"
time.tzset()

import pytest  # noqa: E402 - nothing may read the environment before it is set

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[1]
# Fixtures of a session that take long to make: the modules that ask for one, found by how they do, go to one worker, so
# that it is made once.
_SHARED = {
    "trained": (ROOT / "tests" / "model", re.compile(r"\b(world|world_prepared|world_rows|little_bundle): ")),
    "spark": (ROOT / "tests", re.compile(r"\bspark: SparkSession")),
}
# Groups and modules of minutes, the longest first: one that began last would leave the other worker idle.
_LONG = (
    "trained",
    "spark",
    "tests/model/test_retrain.py",
    "tests/model/test_notebooks.py",
    "tests/model/test_real_forward.py",
    "tests/code/test_commands.py",
    "tests/service/test_demo.py",
    "tests/model/test_monitor_year.py",
    "tests/model/test_determinism.py",
    "tests/service/test_faults.py",
)


@cache
def _group(module: str) -> str:
    """Return what goes to one worker with a module (its path below the root): the module itself, or its group."""
    path = ROOT / module
    if path.name.startswith("test_"):
        for name, (folder, asks) in _SHARED.items():
            if folder in path.parents and asks.search(path.read_text("utf-8")):
                return name
    return module


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long groups first; all others stay in the order in which they were found."""
    places = {name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(_group(item.nodeid.partition("::")[0]), len(_LONG)))


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nothing asks
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return what hands out groups where modules were to be handed out (`--dist loadfile`)."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    scheduling = LoadFileScheduling(config, log)
    # pytest-xdist's own groups (`--dist loadgroup`) are lost on the structured identities that pytest 9 has.
    scheduling._split_scope = lambda nodeid: _group(nodeid.partition("::")[0])
    config.option.loadscopereorder = False  # in the order of the collection, and not by the number of tests
    return scheduling


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A real session of Spark: to start one takes longer than most tests with it."""
    from tests.spark import local_session

    with local_session() as opened:
        yield opened
