"""The recipe: how strength, mixture and number of trees are chosen forward in time, and how a model is fitted.

Choices are made on forward folds inside the fit rows and never on judged ones; the refit that ships uses them frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from training.calibration import fit_platt
from training.encoding import Encoding, learn_encoding
from training.linear import LinearPart, fit_linear
from training.model import Calibrator, LinearTrees
from training.splits import Fold, account_folds, forward_folds

if TYPE_CHECKING:
    import lightgbm
    import pandas as pd

__all__ = ["ALPHAS", "Choices", "Rows", "choose", "fit_model", "log_loss_rows"]

Floats = NDArray[np.float64]
Progress = Callable[[str], None]

ALPHAS = (0.5, 0.0, 1.0)
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
MAX_TREES = 400
_PATIENCE = 60
_STEP = 10
# Without any evidence: on simulated histories of 300 to 500 leads a strength of 1 and 100 trees did worse than the
# prior in log loss by 0.06, this did better by 0.01.
_CAUTIOUS_STRENGTH = 100.0
# Choosing needs far fewer rows than fitting; whole accounts are left out, never single snapshots.
_CHOOSING_ROWS = 40_000


@dataclass(frozen=True)
class Rows:
    """Fit rows: raw features in `frame`, the spine (as_of_us, mature_us, monthly ...) and labels beside it."""

    frame: pd.DataFrame
    spine: pd.DataFrame
    catalogue: Catalogue

    @property
    def y_obs(self) -> NDArray[np.int64]:
        """(n,) 0 or 1."""
        return self.spine["y_obs"].to_numpy(np.int64)

    @property
    def clusters(self) -> NDArray[np.object_]:
        """(n,) account, or the lead where there is none."""
        return self.spine["cluster"].to_numpy(object)

    def take(self, index: NDArray[Any]) -> Rows:
        """Return the rows of an index or a mask."""
        keep = np.flatnonzero(index) if index.dtype == bool else index
        return Rows(
            self.frame.iloc[keep].reset_index(drop=True), self.spine.iloc[keep].reset_index(drop=True), self.catalogue
        )


@dataclass(frozen=True)
class Choices:
    """What was chosen, on what evidence; `evidence` holds the mean log loss of each candidate on the forward folds."""

    alpha: float = 0.5
    strength: float = STRENGTHS[0]
    trees: int = 100
    seed: int = 7
    folds: int = 0
    purged: bool = True
    calibrator: Calibrator = field(default_factory=Calibrator)
    evidence: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON and MLflow."""
        return asdict(self)


def choose(rows: Rows, *, monthly_only: bool, seed: int = 7, progress: Progress = lambda _: None) -> Choices:
    """Choose strength, alpha and the number of trees on forward folds, then fit Platt on their pooled margins.

    A strength other than 1 (plain logistic regression's) and an alpha other than 0.5 have to win by more than one
    standard error of the paired difference: on short histories the differences between candidates are mostly luck.
    A history too short for any fold gets a strong penalty and no trees.
    """
    rows = _thinned(rows, seed)
    folds = forward_folds(rows.spine, monthly_only=monthly_only)
    tried = [t for fold in folds if (t := _try_fold(rows, fold, seed=seed, progress=progress)) is not None]
    if not tried:
        return Choices(seed=seed, strength=_CAUTIOUS_STRENGTH, trees=0)
    clusters = np.concatenate([t.clusters for t in tried])
    linear = {s: np.concatenate([t.linear_loss[s] for t in tried]) for s in STRENGTHS}
    strength = _best(linear, clusters)
    curves = {a: _mean_curve([t.curve(strength, a) for t in tried]) for a in ALPHAS}
    best = {a: _STEP * int(np.argmin(curve)) for a, curve in curves.items()}
    losses = {a: np.concatenate([t.losses(strength, a, best[a]) for t in tried]) for a in ALPHAS}
    alpha = _best(losses, clusters)
    margins = [t.margin(strength, alpha, best[alpha]) for t in tried]
    evidence = {f"alpha={a:g}, {best[a]} trees": float(losses[a].mean()) for a in ALPHAS}
    evidence |= {f"strength={s:g}": float(losses.mean()) for s, losses in linear.items()}
    return Choices(
        alpha=alpha,
        strength=strength,
        trees=best[alpha],
        seed=seed,
        folds=len(tried),
        purged=all(t.purged for t in tried),
        calibrator=fit_platt(np.concatenate(margins), np.concatenate([t.y_obs for t in tried])),
        evidence=evidence,
    )


def fit_model(rows: Rows, choices: Choices, *, threads: int = 1) -> LinearTrees:
    """Fit the linear part and the trees on all rows with the choices frozen.

    The trees are boosted on what the linear part leaves over, starting from margins that were cross-fitted by account,
    so that they never see a margin that already knows its own label.
    """
    encoding = learn_encoding(rows.frame, rows.catalogue)
    matrix = encoding.tree_matrix(rows.frame)
    design = encoding.design(matrix)
    # A sixth of the rows brings the start near; the steps over all rows, the dear ones, are then few.
    near = fit_linear(design[::6], rows.y_obs[::6], encoding, strength=choices.strength / 6)
    linear = fit_linear(design, rows.y_obs, encoding, strength=choices.strength, near=near)
    base = _log_odds(rows.y_obs)
    trees = None
    # LightGBM refuses a matrix without columns.
    if choices.trees and encoding.codes:
        start = choices.alpha * _cross_fitted(rows, design, encoding, choices.strength, linear)
        start = start + (1 - choices.alpha) * base
        trees = _boost(matrix, rows.y_obs, start, encoding, rounds=choices.trees, seed=choices.seed, threads=threads)
    return LinearTrees(encoding, linear, choices.alpha, base, trees)


def log_loss_rows(margin: Floats, y_obs: NDArray[np.int64]) -> Floats:
    """Return each row's log loss from log-odds."""
    return np.asarray(np.logaddexp(0, margin) - y_obs * margin)


class _Tried:
    """One fold's candidates: the linear part at each strength, the trees' staged margins at each alpha."""

    def __init__(self, held: Rows, *, purged: bool) -> None:
        self.y_obs, self.clusters, self.purged = held.y_obs, held.clusters, purged
        self.linear_loss: dict[float, Floats] = {}
        self.boost: Callable[[float, float], tuple[Floats, lightgbm.Booster, Floats]]
        self._done: dict[tuple[float, float], tuple[Floats, lightgbm.Booster, Floats]] = {}

    def _run(self, strength: float, alpha: float) -> tuple[Floats, lightgbm.Booster, Floats]:
        if (strength, alpha) not in self._done:
            self._done[strength, alpha] = self.boost(strength, alpha)
        return self._done[strength, alpha]

    def curve(self, strength: float, alpha: float) -> Floats:
        """Return the validation log loss after 0, 10, 20 ... trees."""
        start, booster, matrix = self._run(strength, alpha)
        grown = booster.num_trees()
        losses = [float(log_loss_rows(start, self.y_obs).mean())]
        margin = start
        for k in range(0, grown, _STEP):
            margin = margin + booster.predict(
                matrix, raw_score=True, start_iteration=k, num_iteration=_STEP, num_threads=1
            )
            losses += [float(log_loss_rows(margin, self.y_obs).mean())]
        return np.asarray(losses)

    def margin(self, strength: float, alpha: float, step: int) -> Floats:
        start, booster, matrix = self._run(strength, alpha)
        if not step:
            return start
        return np.asarray(start + booster.predict(matrix, raw_score=True, num_iteration=step, num_threads=1))

    def losses(self, strength: float, alpha: float, step: int) -> Floats:
        return log_loss_rows(self.margin(strength, alpha, step), self.y_obs)


def _try_fold(rows: Rows, fold: Fold, *, seed: int, progress: Progress) -> _Tried | None:
    """Return the candidates of a fold, or None where its fit rows hold nothing to learn from."""
    fit, held = rows.take(fold.fit), rows.take(fold.validate)
    encoding = learn_encoding(fit.frame, rows.catalogue)
    if not encoding.codes:
        return None
    matrix, held_matrix = encoding.tree_matrix(fit.frame), encoding.tree_matrix(held.frame)
    design, held_design = encoding.design(matrix), encoding.design(held_matrix)
    tried = _Tried(held, purged=fold.purged)
    parts: dict[float, LinearPart] = {}
    part: LinearPart | None = None
    for strength in sorted(STRENGTHS, reverse=True):
        progress(f"linear part, strength {strength:g}, {len(fold.fit):,} rows")
        part = parts[strength] = fit_linear(design, fit.y_obs, encoding, strength=strength, near=part)
        tried.linear_loss[strength] = log_loss_rows(part.margin(held_design), held.y_obs)
    base = _log_odds(fit.y_obs)
    crossed: dict[float, Floats] = {}

    def boost(strength: float, alpha: float) -> tuple[Floats, lightgbm.Booster, Floats]:
        progress(f"trees, alpha {alpha:g}, {len(fold.fit):,} rows")
        if alpha and strength not in crossed:
            crossed[strength] = _cross_fitted(fit, design, encoding, strength, parts[strength])
        own = crossed[strength] if alpha else np.zeros(len(design))
        held_start = alpha * parts[strength].margin(held_design) + (1 - alpha) * base
        booster = _boost(
            matrix,
            fit.y_obs,
            alpha * own + (1 - alpha) * base,
            encoding,
            rounds=MAX_TREES,
            seed=seed,
            held=(held_matrix, held.y_obs, held_start),
        )
        return held_start, booster, held_matrix

    tried.boost = boost
    return tried


def _mean_curve(curves: list[Floats]) -> Floats:
    """Average curves of different lengths; a fold that stopped early counts with its last value."""
    length = max(len(curve) for curve in curves)
    padded = [np.pad(curve, (0, length - len(curve)), mode="edge") for curve in curves]
    return np.asarray(np.mean(padded, axis=0), np.float64)


def _best(losses: dict[float, Floats], clusters: NDArray[np.object_]) -> float:
    """Return the candidate with the least loss, or the first one where the gain is within one standard error.

    The error is that of the paired difference, clustered by account.
    """
    default, *others = losses
    chosen, gain = default, 0.0
    _, index = np.unique(clusters.astype(str), return_inverse=True)
    for candidate in others:
        difference = losses[default] - losses[candidate]
        centred = np.bincount(index, difference - difference.mean())
        error = float(np.sqrt((centred**2).sum())) / len(difference)
        if difference.mean() > max(error, gain):
            chosen, gain = candidate, float(difference.mean())
    return chosen


def _cross_fitted(rows: Rows, design: Floats, encoding: Encoding, strength: float, whole: LinearPart) -> Floats:
    """Return each row's linear margin from a fit that has not seen the row's account."""
    folds = account_folds(rows.clusters)
    margin = np.empty(len(design))
    for fold in np.unique(folds):
        inside = folds == fold
        if inside.all() or len(np.unique(rows.y_obs[~inside])) < 2:
            return whole.margin(design)
        part = fit_linear(design[~inside], rows.y_obs[~inside], encoding, strength=strength, near=whole)
        margin[inside] = part.margin(design[inside])
    return margin


def _boost(
    matrix: Floats,
    y_obs: NDArray[np.int64],
    start: Floats,
    encoding: Encoding,
    *,
    rounds: int,
    seed: int,
    threads: int = 1,
    held: tuple[Floats, NDArray[np.int64], Floats] | None = None,
) -> lightgbm.Booster:
    import lightgbm

    parameters = {
        "objective": "binary",
        "num_leaves": 8,
        "learning_rate": 0.03,
        "min_data_in_leaf": 50,
        "lambda_l2": 5.0,
        "feature_fraction": 0.5,
        "cat_smooth": 20.0,
        "monotone_constraints": encoding.monotone,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "num_threads": threads,
        "verbosity": -1,
    }
    names = [f"f{k}" for k in range(len(encoding.codes))]
    fitted = lightgbm.Dataset(
        matrix, y_obs, init_score=start, feature_name=names, categorical_feature=encoding.categorical, params=parameters
    )
    if held is None:
        return lightgbm.train(parameters, fitted, rounds)
    judged = fitted.create_valid(held[0], held[1], init_score=held[2])
    stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
    return lightgbm.train(
        parameters | {"metric": "binary_logloss"}, fitted, rounds, valid_sets=[judged], callbacks=[stop]
    )


def _log_odds(y_obs: NDArray[np.int64]) -> float:
    rate = float(np.clip(y_obs.mean(), 1e-6, 1 - 1e-6))
    return float(np.log(rate / (1 - rate)))


def _thinned(rows: Rows, seed: int) -> Rows:
    """Keep whole accounts by the hash of their account until about `_CHOOSING_ROWS` rows are left."""
    share = _CHOOSING_ROWS / max(len(rows.spine), 1)
    if share >= 1:
        return rows
    marks = account_folds(np.asarray([f"{seed}:{c}" for c in rows.clusters], object), 1000)
    return rows.take(marks < share * 1000)
