"""Pictures of a judgement: reliability, gain and lift, differences as a forest plot, scores by outcome.

What a picture shows is computed by one function and drawn by another, so that the figures can be tested without
looking. Drawing uses matplotlib's Figure without pyplot: no global state, no window. The same figures give the same
bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import UsageError
from training.evaluation.drawing import COLOURS, GREY, PALE, in_style, line_style, new_figure, percent, save
from training.evaluation.metrics import METRICS, CorpDecomposition, Floats, corp, isotonic
from training.evaluation.picture_words import CAPTIONS, method_name, metric_name, said
from training.evaluation.scoreboard import EVERYONE, Scoreboard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from features.words import Language

__all__ = [
    "GainCurve",
    "ReliabilityCurve",
    "draw_differences",
    "draw_gain",
    "draw_reliability",
    "draw_scores",
    "gain_curve",
    "reliability_curve",
]

_GRID_POINTS = 200


@dataclass(frozen=True)
class ReliabilityCurve:
    """Recalibrated against predicted probability, with the band in which a calibrated model stays 9 times in 10.

    `predicted`, `recalibrated` are the corners of the isotonic curve; `grid`, `low`, `high` the pointwise consistency
    band; `parts` the Brier score's decomposition; `scores` every prediction, for the histogram.
    """

    predicted: Floats
    recalibrated: Floats
    grid: Floats
    low: Floats
    high: Floats
    parts: CorpDecomposition
    scores: Floats


@dataclass(frozen=True)
class GainCurve:
    """Share of all wins (`caught`) among the best `called` share of leads; both start at 0 and end at 1."""

    method: str
    called: Floats
    caught: Floats

    def lift(self, *, least: float = 0.01) -> tuple[Floats, Floats]:
        """Return shares called and the lift at each; below `least` a share is a handful of leads and is left out."""
        shares = np.linspace(least, 1.0, _GRID_POINTS)
        return shares, np.interp(shares, self.called, self.caught) / shares


def reliability_curve(
    y_obs: NDArray[Any], y_pred: NDArray[Any], *, rng: np.random.Generator, replicates: int = 200
) -> ReliabilityCurve:
    """Return the CORP reliability curve with a 90 % consistency band.

    Dimitriadis, Gneiting, Jordan (PNAS 2021): the curve is the isotonic fit, without bins to choose. For the band each
    row wins with exactly its predicted probability, `replicates` times, and the curve is fitted again.

    Examples
    --------
    >>> y_obs, y_pred = np.array([0, 1, 0, 1]), np.array([0.2, 0.2, 0.8, 0.8])
    >>> reliability_curve(y_obs, y_pred, rng=np.random.default_rng(0), replicates=5).recalibrated.tolist()
    [0.5, 0.5]
    """
    scores = np.asarray(y_pred, dtype=np.float64)
    fitted = isotonic(y_obs, scores)
    order = np.argsort(scores, kind="stable")
    grid = np.linspace(scores.min(), scores.max(), _GRID_POINTS)

    def again() -> Floats:
        curve = isotonic((rng.random(scores.size) < scores).astype(np.float64), scores)
        return np.asarray(np.interp(grid, scores[order], curve[order]), np.float64)

    low, high = np.quantile(np.stack([again() for _ in range(replicates)]), [0.05, 0.95], axis=0)
    corners = _corners(scores[order], fitted[order])
    return ReliabilityCurve(*corners, grid, low, high, corp(y_obs, scores), scores)


def _corners(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Keep the first and last point of each level: thousands of points inside a step draw nothing."""
    turns = np.flatnonzero(np.diff(y) != 0)
    kept = np.unique(np.concatenate([[0], turns, turns + 1, [len(x) - 1]]))
    return x[kept], y[kept]


def gain_curve(method: str, y_obs: NDArray[Any], y_pred: NDArray[Any]) -> GainCurve:
    """Return which share of the wins the best leads hold; leads with equal scores share a straight piece.

    Examples
    --------
    >>> curve = gain_curve("m", np.array([1, 0, 1, 0]), np.array([0.9, 0.4, 0.4, 0.1]))
    >>> curve.called.tolist(), curve.caught.tolist()
    ([0.0, 0.25, 0.75, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    observed, predicted = np.asarray(y_obs, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    if not observed.sum():
        raise UsageError("a gain curve needs at least one win among the judged rows")
    _, tie = np.unique(-predicted, return_inverse=True)
    called, caught = np.cumsum(np.bincount(tie)), np.cumsum(np.bincount(tie, weights=observed))
    return GainCurve(method, np.concatenate([[0.0], called / called[-1]]), np.concatenate([[0.0], caught / caught[-1]]))


@in_style
def draw_reliability(
    curve: ReliabilityCurve, path: Path, *, title: str | None = None, language: Language = "en"
) -> Path:
    """Draw the reliability curve above a histogram of the predictions; the ending of `path` says SVG or PNG."""
    title = title or CAPTIONS["reliability"][0].in_language(language)
    figure = new_figure(5.6, 6.2)
    above, beneath = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    # Only as far as there are predictions: the few best leads may all have won, and 100 % would squeeze the rest.
    end = min(1.0, 1.15 * float(curve.scores.max()) + 1e-9)
    above.plot([0, end], [0, end], color=GREY, linewidth=1, label=said("perfect", language))
    above.fill_between(curve.grid, curve.low, curve.high, color=PALE, linewidth=0, label=said("by_chance", language))
    above.plot(curve.predicted, curve.recalibrated, color=COLOURS[0], linewidth=2, label=said("observed", language))
    above.set(xlim=(0, end), ylim=(0, end), ylabel=said("observed_rate", language), title=title)
    above.legend(loc="upper left", frameon=False)
    note = said("parts", language).format(*curve.parts)
    above.text(0.97, 0.03, note, transform=above.transAxes, ha="right", va="bottom", color=GREY, fontsize=9)
    beneath.hist(curve.scores, bins=np.linspace(0, end, 41).tolist(), color=COLOURS[0], alpha=0.7)
    beneath.set(xlabel=said("predicted", language), ylabel=said("leads", language))
    percent(above, "both")
    return save(figure, path, words=[title])


@in_style
def draw_gain(
    curves: Sequence[GainCurve], path: Path, *, capacity_share: float | None = None, language: Language = "en"
) -> Path:
    """Draw gain and lift of all methods side by side; the first method is drawn strongest.

    `capacity_share` is the share of leads a team can call, marked by a line.
    """
    figure = new_figure(10.4, 4.8)
    gain, lift = figure.subplots(1, 2)
    gain.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    lift.axhline(1, color=GREY, linewidth=1)
    for at, curve in enumerate(curves):
        style = line_style(at)
        gain.plot(curve.called, curve.caught, label=method_name(curve.method, language), **style)
        lift.plot(*curve.lift(), **style)
    for axes in (gain, lift):
        if capacity_share is not None:
            axes.axvline(capacity_share, color=GREY, linewidth=1, linestyle=":")
        axes.set(xlim=(0, 1), xlabel=said("called", language))
    if capacity_share is not None:
        gain.text(capacity_share + 0.015, 0.02, said("capacity", language), color=GREY, fontsize=9)
    gain.set(ylim=(0, 1.01), ylabel=said("caught", language), title=said("gain", language))
    lift.set(ylim=(0, None), ylabel=said("lift_of", language), title=said("lift", language))
    percent(gain, "both")
    percent(lift, "x")
    figure.legend(loc="outside lower center", ncols=min(len(curves), 4), frameon=False)
    return save(figure, path, words=[said("gain", language)])


@in_style
def draw_differences(
    board: Scoreboard,
    path: Path,
    *,
    metrics: Sequence[str] = ("log_loss", "roc_auc", "wins_at_capacity"),
    language: Language = "en",
) -> Path:
    """Draw each method's paired difference to the model as a forest plot, one panel per metric.

    Right of the line is always better than the model, so figures of which less is better are turned round.
    """
    others = [method for method in board.methods if method != board.model]
    figure = new_figure(3.4 * len(metrics) + 1.2, 1.7 + 0.42 * len(others))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, metrics, strict=True):
        _forest(axes, board, name, others, language)
    panels[0].set_yticks(range(len(others)), [method_name(method, language) for method in others])
    panels[0].set_ylim(len(others) - 0.5, -0.5)
    heading = said("apart", language, model=board.model, level=board.level, wins=board.wins)
    figure.suptitle(heading, fontsize=11)
    return save(figure, path, words=[heading])


def _forest(axes: Axes, board: Scoreboard, name: str, others: Sequence[str], language: Language) -> None:
    metric = METRICS[name]
    sign = 1.0 if metric.better == "larger" else -1.0
    axes.axvline(0, color=GREY, linewidth=1)
    for at, method in enumerate(others):
        row = board.figure(method, name, group=EVERYONE)
        value, *ends = (sign * row[key] for key in ("difference", "difference_low", "difference_high"))
        colour = GREY
        if board.significantly_better(method, name):
            colour = COLOURS[1]
        elif board.significantly_worse(method, name):
            colour = COLOURS[0]
        axes.plot(sorted(ends), [at, at], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([value], [at], "o", color=colour, markersize=6)
    axes.set_title(metric_name(name, language), fontsize=11)
    axes.set_xlabel(said("sides", language), fontsize=8, color=GREY)
    axes.margins(x=0.12)
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


@in_style
def draw_scores(
    y_obs: NDArray[Any],
    y_pred: NDArray[Any],
    path: Path,
    *,
    title: str | None = None,
    language: Language = "en",
) -> Path:
    """Draw how predictions are spread among the won and among the others, each as shares of its own group."""
    title = title or CAPTIONS["scores"][0].in_language(language)
    observed, predicted = np.asarray(y_obs), np.asarray(y_pred, dtype=np.float64)
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    bins = np.linspace(0, min(1.0, 1.02 * float(predicted.max()) + 1e-9), 41)
    for outcome, label, colour in ((0, said("not_won", language), GREY), (1, said("won", language), COLOURS[1])):
        scores = predicted[observed == outcome]
        if scores.size:
            share = np.full(scores.size, 1 / scores.size)
            shown = f"{label} ({scores.size})"
            axes.hist(scores, bins=bins.tolist(), weights=share, histtype="stepfilled", color=colour, alpha=0.35)
            axes.hist(
                scores, bins=bins.tolist(), weights=share, histtype="step", color=colour, linewidth=1.8, label=shown
            )
            axes.axvline(float(np.median(scores)), color=colour, linestyle=":", linewidth=1.4)
    axes.set(xlabel=said("median", language), ylabel=said("group_share", language), title=title)
    axes.set_xlim(0, bins[-1])
    axes.locator_params(nbins=6)
    axes.legend(frameon=False)
    percent(axes, "both")
    return save(figure, path, words=[title])
