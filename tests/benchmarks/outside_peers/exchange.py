"""What goes between the two environments: fit rows with outcomes, judged rows without, probabilities back."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import DataError, InfrastructureError
from training.evaluation.peers import Columns

if TYPE_CHECKING:
    import pandas as pd

    from training.evaluation.metrics import Floats
    from training.learning.recipe import Rows

__all__ = ["ENVIRONMENT", "Answer", "ask", "read_answer", "read_rows", "write_rows"]

ENVIRONMENT = Path("var/outside-peers/bin/python")
_FITTING = Path(__file__).with_name("fit.py")


@dataclass(frozen=True)
class Answer:
    """Each peer's probabilities on the judged rows, and what it told of itself: version, seconds, learner."""

    predictions: dict[str, Floats]
    told: dict[str, dict[str, Any]]


def write_rows(folder: Path, fit: Rows, judged: Rows, columns: Columns) -> None:
    """Write raw features of both parts, and the outcomes and accounts of the fit rows; of the judged rows neither."""
    for name, rows in (("fit", fit), ("judged", judged)):
        _shared(rows.frame, columns).to_parquet(folder / f"{name}.parquet", index=False)
    fit.spine[["y_obs", "cluster"]].to_parquet(folder / "outcomes.parquet", index=False)
    told = {"numeric": columns.numeric, "categorical": columns.categorical}
    (folder / "columns.json").write_text(json.dumps(told), "utf-8")


def _shared(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Return numbers as floats and categories as texts, missing ones as nulls."""
    part = frame[[*columns.numeric, *columns.categorical]].copy()
    for name in columns.categorical:
        part[name] = part[name].map(str, na_action="ignore").astype(object)
    return part


def read_rows(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, Columns]:
    """Return fit features, judged features, fit outcomes and columns as they were written."""
    import pandas as pd

    fit, judged, outcomes = (pd.read_parquet(folder / f"{name}.parquet") for name in ("fit", "judged", "outcomes"))
    told = json.loads((folder / "columns.json").read_text("utf-8"))
    return fit, judged, outcomes, Columns(tuple(told["numeric"]), tuple(told["categorical"]))


def ask(folder: Path, *, python: Path, seconds: float, threads: int) -> Answer:
    """Let the peers learn in their own environment and return what they answer.

    Raises
    ------
    InfrastructureError
        If that environment is absent or its run fails.
    """
    if not python.is_file():
        raise InfrastructureError(
            "the environment of the outside peers is absent", hint="make it with make bench-peers"
        )
    command = [str(python.absolute()), str(_FITTING), str(folder), f"{seconds:g}", str(threads)]
    # What the project says of threads would slow the peers down.
    surroundings = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InfrastructureError(f"fitting the outside peers ended with code {done.returncode}: {done.stderr[-800:]}")
    return read_answer(folder)


def read_answer(folder: Path) -> Answer:
    """Read the probabilities and what the peers told of themselves.

    Raises
    ------
    DataError
        If there is not one probability for each judged row.
    """
    import pandas as pd

    asked = len(pd.read_parquet(folder / "judged.parquet"))
    frame = pd.read_parquet(folder / "predictions.parquet")
    told = json.loads((folder / "told.json").read_text("utf-8"))
    if len(frame) != asked or set(frame) != set(told):
        raise DataError(f"{asked} rows were to be predicted by {len(told)} peers, {frame.shape} probabilities came")
    return Answer({str(name): frame[name].to_numpy(np.float64) for name in frame}, told)
