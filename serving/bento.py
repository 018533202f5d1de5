"""Building the Bento: the service with its code and its pinned requirements, to run outside of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from data.errors import InfrastructureError

__all__ = ["BENTOFILE", "Built", "build_bento"]

ROOT = Path(__file__).parents[1]
BENTOFILE = Path(__file__).with_name("bentofile.yaml")
_BUILD_SECONDS = 300


@dataclass(frozen=True)
class Built:
    """A built Bento: its tag in the store, and its folder."""

    tag: str
    folder: Path


def build_bento(store: Path | None = None) -> Built:
    """Build the Bento as `bentofile.yaml` describes it.

    Parameters
    ----------
    store
        BentoML's home, where the Bento is put; by default that of the environment.

    Raises
    ------
    InfrastructureError
        If BentoML cannot build it; the last line of its output is told.
    """
    # BentoML wraps what it prints at the width of the terminal, paths too.
    environment = {**os.environ, "BENTOML_DO_NOT_TRACK": "True", "COLUMNS": "10000"}
    if store is not None:
        environment["BENTOML_HOME"] = str(store.absolute())
    command = [sys.executable, "-m", "bentoml", "build", "-f", str(BENTOFILE), "--output", "tag", str(ROOT)]
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        command, env=environment, capture_output=True, text=True, timeout=_BUILD_SECONDS, cwd=ROOT, check=False
    )
    tag = done.stdout.strip().splitlines()[-1:]
    if done.returncode or not tag or not tag[0].startswith("__tag__:"):
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no output"]
        raise InfrastructureError(
            f"the Bento could not be built: {last[0]}", hint="run `bentoml build` to see all of it"
        )
    return _described(tag[0].removeprefix("__tag__:"), environment)


def _described(tag: str, environment: dict[str, str]) -> Built:
    """Ask BentoML where the Bento lies."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "bentoml", "get", tag, "--output", "path"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise InfrastructureError(f"the Bento {tag} was built but is not found", hint="look at `bentoml list`")
    return Built(tag, Path(lines[-1]))
