"""How trees are grown, searched for within a time budget: Optuna on the forward folds inside the fit rows.

A search has to win by more than one standard error over the default shape. What it finds is frozen in the choices, so
that later retrains inherit it without searching again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.errors import UsageError
from training.learning.choosing import FoldTrial, Mixture, best, best_trees, choose, fold_trials
from training.learning.recipe import Choices, Rows, TreeShape

if TYPE_CHECKING:
    import optuna

    from training.evaluation.metrics import Floats

__all__ = ["Tuned", "tune"]

Progress = Callable[[str], None]
_LEAST_SECONDS = 1.0


@dataclass(frozen=True)
class Tuned:
    """What a search came to: the choices with the shape that won, and how many shapes were tried."""

    choices: Choices
    tried: int
    default_loss: float
    best_loss: float

    @property
    def kept_default(self) -> bool:
        """Whether no shape won by more than one standard error."""
        return self.choices.shape == TreeShape()


def tune(
    rows: Rows,
    *,
    monthly_only: bool,
    seconds: float,
    trials: int | None = None,
    seed: int = 7,
    progress: Progress = lambda _: None,
) -> Tuned:
    """Search for the shape of the trees until the time, or the number of trials, is used up.

    Parameters
    ----------
    rows
        The fit rows; no judged row may be among them.
    monthly_only
        Whether to validate on monthly cross-sections only.
    seconds
        Time budget. How many shapes fit into it depends on the machine: give `trials` as well for equal results.
    trials
        The most shapes to try.
    seed
        Of the search.
    progress
        Told what has been tried and what is best so far.

    Raises
    ------
    UsageError
        If the budget is below a second.
    """
    if seconds < _LEAST_SECONDS:
        raise UsageError(f"a time budget of {seconds:g} seconds is none", hint="give at least 1 second")
    first = choose(rows, monthly_only=monthly_only, seed=seed, progress=progress)
    folds = fold_trials(rows, monthly_only=monthly_only, seed=seed)
    if not folds or not first.folds:
        return Tuned(first, 0, float("nan"), float("nan"))
    tried = _search(folds, first, seconds=seconds, trials=trials, seed=seed, progress=progress)
    clusters = np.concatenate([fold.clusters for fold in folds])
    default, better = TreeShape(), min(tried, key=lambda shape: float(tried[shape].mean()))
    winner = best({default: tried[default], better: tried[better]}, clusters)
    chosen = first if winner == default else choose(rows, monthly_only=monthly_only, seed=seed, shape=winner)
    return Tuned(chosen, len(tried), float(tried[default].mean()), float(tried[winner].mean()))


def _search(
    folds: tuple[FoldTrial, ...],
    first: Choices,
    *,
    seconds: float,
    trials: int | None,
    seed: int,
    progress: Progress,
) -> dict[TreeShape, Floats]:
    """Return each row's loss by shape; the default shape is among them."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tried: dict[TreeShape, Floats] = {}
    began = time.monotonic()

    def loss(shape: TreeShape) -> float:
        mixture = Mixture(first.strength, first.half_life_days, first.alpha, shape)
        count = best_trees(folds, mixture)
        tried[shape] = np.concatenate([fold.losses(mixture, count) for fold in folds])
        for fold in folds:
            fold.forget(mixture)
        least = min(float(losses.mean()) for losses in tried.values())
        progress(f"tuning: {len(tried)} shapes, {time.monotonic() - began:.0f} of {seconds:.0f} s, best {least:.5f}")
        return float(tried[shape].mean())

    loss(TreeShape())
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=8))
    left = max(seconds - (time.monotonic() - began), 0.0)
    study.optimize(lambda trial: loss(_suggested(trial)), n_trials=trials, timeout=left)
    return tried


def _suggested(trial: optuna.Trial) -> TreeShape:
    return TreeShape(
        leaves=trial.suggest_int("leaves", 3, 31, log=True),
        rate=trial.suggest_float("rate", 0.01, 0.1, log=True),
        least_rows=trial.suggest_int("least_rows", 20, 500, log=True),
        l2=trial.suggest_float("l2", 0.5, 100.0, log=True),
        features=trial.suggest_float("features", 0.2, 1.0),
        smoothing=trial.suggest_float("smoothing", 5.0, 200.0, log=True),
    )
