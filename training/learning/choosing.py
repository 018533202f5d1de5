"""How strength, recency, mixture and number of trees are chosen: on forward folds inside the fit rows.

Judged rows are never looked at. A candidate other than the default has to win by more than one standard error of the
paired difference, clustered by account: on short histories the differences between candidates are mostly luck.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.learning.calibration import MIN_EVENTS, fit_platt
from training.learning.counters import without_counters
from training.learning.encoding import Encoding, learn_encoding
from training.learning.linear import LinearPart, fit_linear
from training.learning.parallel import side_by_side
from training.learning.recipe import Choices, Held, Rows, TreeShape, boost, cross_fitted, log_odds, thinned
from training.learning.splits import Fold, forward_folds

if TYPE_CHECKING:
    import lightgbm

__all__ = ["ALPHAS", "HALF_LIVES", "STRENGTHS", "FoldTrial", "Mixture", "choose", "fold_trials", "log_loss_rows"]

Floats = NDArray[np.float64]
Progress = Callable[[str], None]
Candidate = TypeVar("Candidate", bound=Hashable)

ALPHAS = (0.5, 0.0, 1.0)
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
HALF_LIVES: tuple[float | None, ...] = (365.0, None, 120.0)
MAX_TREES = 400
_STEP = 10
# Without any evidence: on simulated histories of 300 to 500 leads a strength of 1 and 100 trees did worse than the
# prior in log loss by 0.06, this did better by 0.01.
_CAUTIOUS_STRENGTH = 100.0
_MARGIN_VARIANCE = 2.25
# Choosing needs fewer rows than there may be.
_CHOOSING_ROWS = 40_000


@dataclass(frozen=True)
class Mixture:
    """One candidate for everything but the number of trees."""

    strength: float
    half_life_days: float | None = HALF_LIVES[0]
    alpha: float = ALPHAS[0]
    shape: TreeShape = field(default_factory=TreeShape)


def choose(
    rows: Rows,
    *,
    monthly_only: bool,
    seed: int = 7,
    shape: TreeShape | None = None,
    progress: Progress = lambda _: None,
) -> Choices:
    """Choose strength, recency, alpha and the number of trees, one after the other, then fit Platt on pooled margins.

    Parameters
    ----------
    rows
        The fit rows.
    monthly_only
        Whether to validate on monthly cross-sections only, as these are judged.
    seed
        Of thinning and of LightGBM.
    shape
        How trees are grown, from `training.learning.tuning` or the champion; the default shape without it.
    progress
        Told what is going on.

    Returns
    -------
    Choices
        With a strong penalty and no trees where the history is too short for any fold.
    """
    shape = shape or TreeShape()
    trials = fold_trials(rows, monthly_only=monthly_only, seed=seed, progress=progress)
    if not trials:
        return Choices(seed=seed, shape=shape, strength=_CAUTIOUS_STRENGTH, trees=0)
    clusters = np.concatenate([trial.clusters for trial in trials])
    # The strongest first: each solution is a good start for the next.
    strengths = _strengths(trials)
    falling = {
        s: _pooled(trials, partial(FoldTrial.linear_loss, strength=s, half_life_days=HALF_LIVES[0]))
        for s in sorted(strengths, reverse=True)
    }
    by_strength = {s: falling[s] for s in strengths}
    strength = best(by_strength, clusters)
    by_age = {
        h: _pooled(trials, partial(FoldTrial.linear_loss, strength=strength, half_life_days=h)) for h in HALF_LIVES
    }
    half_life = best(by_age, clusters)
    mixtures = {a: Mixture(strength, half_life, a, shape) for a in ALPHAS}
    trees = {a: _worthwhile_trees(trials, mixture) for a, mixture in mixtures.items()}
    losses = {a: _pooled(trials, partial(FoldTrial.losses, mixture=mixtures[a], trees=trees[a])) for a in ALPHAS}
    alpha = best(losses, clusters)
    margins = _pooled(trials, partial(FoldTrial.margin, mixture=mixtures[alpha], trees=trees[alpha]))
    return Choices(
        alpha=alpha,
        strength=strength,
        trees=trees[alpha],
        half_life_days=half_life,
        shape=shape,
        seed=seed,
        folds=len(trials),
        purged=all(trial.purged for trial in trials),
        calibrator=fit_platt(margins, np.concatenate([trial.y_obs for trial in trials]), clusters=clusters),
        evidence={
            **{f"alpha={a:g}, {trees[a]} trees": float(losses[a].mean()) for a in ALPHAS},
            **{f"strength={s:g}": float(loss.mean()) for s, loss in by_strength.items()},
            **{f"half-life={h or 'none'}": float(loss.mean()) for h, loss in by_age.items()},
        },
    )


def fold_trials(
    rows: Rows, *, monthly_only: bool, seed: int, progress: Progress = lambda _: None
) -> tuple[FoldTrial, ...]:
    """Return the forward folds of a sample of the pairs, but for those with nothing to learn from."""
    rows = thinned(rows, _CHOOSING_ROWS, seed=seed)
    folds = forward_folds(rows.spine, monthly_only=monthly_only)
    trials = (FoldTrial(rows, fold, seed=seed, progress=progress) for fold in folds)
    return tuple(trial for trial in trials if trial.encoding.codes)


def log_loss_rows(margin: Floats, y_obs: NDArray[np.int64]) -> Floats:
    """Return each row's log loss from log-odds."""
    return np.asarray(np.logaddexp(0, margin) - y_obs * margin)


class FoldTrial:
    """One forward fold on which candidates are tried; what several of them share is fitted once."""

    def __init__(self, rows: Rows, fold: Fold, *, seed: int, progress: Progress) -> None:
        self.fit, held = rows.take(fold.fit), rows.take(fold.validate)
        self.y_obs, self.clusters, self.purged = held.y_obs, held.clusters, fold.purged
        self.encoding: Encoding = learn_encoding(self.fit.frame, without_counters(self.fit))
        self._matrix, self._held = (self.encoding.tree_matrix(part.frame) for part in (self.fit, held))
        self._design, self._held_design = (self.encoding.design(part) for part in (self._matrix, self._held))
        self._seed, self._progress = seed, progress
        self._parts: dict[tuple[float, float | None], LinearPart] = {}
        self._crossed: dict[tuple[float, float | None], Floats] = {}
        self._grown: dict[Mixture, tuple[Floats, lightgbm.Booster]] = {}

    def linear_loss(self, strength: float, half_life_days: float | None) -> Floats:
        """Return each validated row's log loss by the linear part alone."""
        return log_loss_rows(self._part(strength, half_life_days).margin(self._held_design), self.y_obs)

    def curve(self, mixture: Mixture) -> Floats:
        """Return the validation log loss after 0, 10, 20 ... trees."""
        margin, booster = self._run(mixture)
        losses = [float(log_loss_rows(margin, self.y_obs).mean())]
        for k in range(0, booster.num_trees(), _STEP):
            margin = margin + booster.predict(
                self._held, raw_score=True, start_iteration=k, num_iteration=_STEP, num_threads=1
            )
            losses += [float(log_loss_rows(margin, self.y_obs).mean())]
        return np.asarray(losses)

    def margin(self, mixture: Mixture, trees: int) -> Floats:
        """Return the margin of the validated rows."""
        start, booster = self._run(mixture)
        if not trees:
            return start
        return np.asarray(start + booster.predict(self._held, raw_score=True, num_iteration=trees, num_threads=1))

    def losses(self, mixture: Mixture, trees: int) -> Floats:
        """Return each validated row's log loss."""
        return log_loss_rows(self.margin(mixture, trees), self.y_obs)

    def forget(self, mixture: Mixture) -> None:
        """Let go of the trees of a candidate."""
        self._grown.pop(mixture, None)

    def _part(self, strength: float, half_life_days: float | None) -> LinearPart:
        key = strength, half_life_days
        if key not in self._parts:
            self._progress(f"linear part, strength {strength:g}, {len(self._design):,} rows")
            near = next(reversed(self._parts.values()), None)
            weights = self.fit.decayed(half_life_days).weights
            self._parts[key] = fit_linear(
                self._design, self.fit.y_obs, self.encoding, strength=strength, near=near, row_weights=weights
            )
        return self._parts[key]

    def _run(self, mixture: Mixture) -> tuple[Floats, lightgbm.Booster]:
        if mixture not in self._grown:
            self._progress(f"trees, alpha {mixture.alpha:g}, {len(self._design):,} rows")
            fit, alpha = self.fit.decayed(mixture.half_life_days), mixture.alpha
            rest = (1 - alpha) * log_odds(fit)
            part = self._part(mixture.strength, mixture.half_life_days)
            held = Held(self._held, self.y_obs, alpha * part.margin(self._held_design) + rest)
            start = rest + (alpha * self._cross(fit, mixture, part) if alpha else np.zeros(len(self._design)))
            booster = boost(
                self._matrix,
                fit,
                start,
                self.encoding,
                shape=mixture.shape,
                rounds=MAX_TREES,
                seed=self._seed,
                held=held,
            )
            self._grown[mixture] = held.start, booster
        return self._grown[mixture]

    def _cross(self, fit: Rows, mixture: Mixture, part: LinearPart) -> Floats:
        key = mixture.strength, mixture.half_life_days
        if key not in self._crossed:
            self._crossed[key] = cross_fitted(fit, self._design, self.encoding, mixture.strength, part)
        return self._crossed[key]


def best_trees(trials: tuple[FoldTrial, ...], mixture: Mixture) -> int:
    """Return the number of trees with the least mean validation loss over the folds."""
    return _STEP * int(np.argmin(_mean_curve(side_by_side(partial(FoldTrial.curve, mixture=mixture), trials))))


def _worthwhile_trees(trials: tuple[FoldTrial, ...], mixture: Mixture) -> int:
    """Return the best number of trees, or 0 where that they help is luck.

    Trees have to win by more than one standard error, as everything that is chosen; and on fewer than 30 validated wins
    (or losses) even that happens by chance, as the best of forty places to stop is compared.
    """
    if _few(trials):
        return 0
    count = best_trees(trials, mixture)
    losses = {trees: _pooled(trials, partial(FoldTrial.losses, mixture=mixture, trees=trees)) for trees in (0, count)}
    return best(losses, np.concatenate([trial.clusters for trial in trials]))


def _few(trials: tuple[FoldTrial, ...]) -> bool:
    """Tell whether the folds validate fewer than 30 wins, or losses."""
    wins = sum(int(trial.y_obs.sum()) for trial in trials)
    return min(wins, sum(len(trial.y_obs) for trial in trials) - wins) < MIN_EVENTS


def _strengths(trials: tuple[FoldTrial, ...]) -> tuple[float, ...]:
    """Return the strengths to try: with few validated wins none that lets margins go anywhere.

    A ridge of strength s is the prior N(0, 1 / s) on each weight. Features are standardised or one-hot, so that margins
    vary by about (number of features) / s before anything is seen. A variance of 2.25 means an AUC of about 0.83, more
    than lead data give.
    """
    if not _few(trials):
        return STRENGTHS
    least = max(len(trial.encoding.codes) for trial in trials) / _MARGIN_VARIANCE
    return tuple(s for s in STRENGTHS if s >= least) or STRENGTHS[-1:]


def _pooled(trials: Iterable[FoldTrial], work: Callable[[FoldTrial], Floats]) -> Floats:
    return np.concatenate(side_by_side(work, trials))


def _mean_curve(curves: list[Floats]) -> Floats:
    """Average curves of different lengths; a fold that stopped early counts with its last value."""
    length = max(len(curve) for curve in curves)
    padded = [np.pad(curve, (0, length - len(curve)), mode="edge") for curve in curves]
    return np.asarray(np.mean(padded, axis=0), np.float64)


def best(losses: Mapping[Candidate, Floats], clusters: NDArray[np.object_]) -> Candidate:
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
