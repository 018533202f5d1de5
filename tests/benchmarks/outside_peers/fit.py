"""Run by the peers' own Python, which knows nothing of clew: fit CatBoost and FLAML, predict the judged rows.

`python fit.py FOLDER SECONDS THREADS`
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["by_catboost", "by_flaml", "main"]

_MISSING = "(missing)"


def by_catboost(
    fit: pd.DataFrame, y_obs: pd.Series[int], judged: pd.DataFrame, words: list[str], *, threads: int, **_: Any
) -> tuple[Any, dict[str, Any]]:
    """Fit CatBoost as it comes, told which columns are categories; missing categories are a category."""
    catboost: Any = importlib.import_module("catboost")
    model = catboost.CatBoostClassifier(cat_features=words, thread_count=threads, allow_writing_files=False, verbose=0)
    model.fit(fit.assign(**_texts(fit, words)), y_obs)
    predicted = model.predict_proba(judged.assign(**_texts(judged, words)))[:, 1]
    return predicted, {"version": catboost.__version__, "learner": "catboost", "trees": model.tree_count_}


def by_flaml(
    fit: pd.DataFrame,
    y_obs: pd.Series[int],
    judged: pd.DataFrame,
    words: list[str],
    *,
    threads: int,
    seconds: float,
) -> tuple[Any, dict[str, Any]]:
    """Let FLAML search for its time with its own validation and all estimators that are installed."""
    flaml: Any = importlib.import_module("flaml")
    known = {word: pd.CategoricalDtype([*sorted(fit[word].dropna().unique()), _MISSING]) for word in words}
    search = flaml.AutoML()
    search.fit(
        fit.assign(**_coded(fit, known)),
        y_obs,
        task="classification",
        metric="log_loss",
        time_budget=seconds,
        n_jobs=threads,
        seed=0,
        verbose=0,
    )
    predicted = search.predict_proba(judged.assign(**_coded(judged, known)))[:, 1]
    tried = {name: round(float(loss), 5) for name, loss in search.best_loss_per_estimator.items() if loss < 1e9}
    config = {str(key): value for key, value in search.best_config.items()}
    about = {"learner": search.best_estimator, "its_own_loss": float(search.best_loss), "tried": tried}
    return predicted, {"version": flaml.__version__, **about, "config": config}


def _texts(frame: pd.DataFrame, words: list[str]) -> dict[str, Any]:
    return {word: frame[word].astype(object).where(frame[word].notna(), _MISSING).astype(str) for word in words}


def _coded(frame: pd.DataFrame, known: dict[str, pd.CategoricalDtype]) -> dict[str, Any]:
    """Return categories under the codes of the fit rows; words that these do not hold count as missing.

    FLAML hands the codes of whatever frame it gets to XGBoost: without fixed ones judged rows would mean other words.
    """
    return {word: frame[word].astype(object).astype(dtype).fillna(_MISSING) for word, dtype in known.items()}


def main(folder: Path, seconds: float, threads: int) -> None:
    """Fit every peer on the rows of a folder and leave predictions and what there is to tell beside them."""
    fit, judged, outcomes = (pd.read_parquet(folder / f"{name}.parquet") for name in ("fit", "judged", "outcomes"))
    words = json.loads((folder / "columns.json").read_text("utf-8"))["categorical"]
    predictions, told = {}, {}
    for name, method in (("catboost defaults", by_catboost), (f"flaml {seconds:g} s", by_flaml)):
        began = time.monotonic()
        predictions[name], about = method(fit, outcomes["y_obs"], judged, words, threads=threads, seconds=seconds)
        told[name] = {**about, "seconds": round(time.monotonic() - began, 1)}
    pd.DataFrame(predictions).to_parquet(folder / "predictions.parquet", index=False)
    (folder / "told.json").write_text(json.dumps(told, default=str), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
