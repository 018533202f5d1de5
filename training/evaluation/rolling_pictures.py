"""Pictures of a rolling judgement: figures month by month, promised against realised win rates, segments apart.

As in `training.evaluation.pictures`, what is shown is computed by one function and drawn by another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import UsageError
from training.evaluation.drawing import COLOURS, GREY, PALE, in_style, label, line_style, new_figure, percent, save
from training.evaluation.metrics import METRICS, Floats, wilson
from training.evaluation.picture_words import CAPTIONS, method_name, metric_name, said
from training.evaluation.scoreboard import EVERYONE, SEGMENT_WINS
from training.evaluation.segments import MONTH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from features.words import Language
    from training.evaluation.scoreboard import Scoreboard

__all__ = [
    "MonthlyFigures",
    "MonthlyRates",
    "SegmentDifference",
    "draw_monthly_calibration",
    "draw_rolling",
    "draw_segments",
    "monthly_figures",
    "monthly_rates",
    "segment_differences",
]

_MONTH = f"{MONTH}="


@dataclass(frozen=True)
class MonthlyFigures:
    """One metric of every method in each judged month, the model first, with the model's interval."""

    metric: str
    months: tuple[str, ...]
    values: Mapping[str, Floats]
    low: Floats
    high: Floats


@dataclass(frozen=True)
class MonthlyRates:
    """Mean probability and realised win rate of each judged month, the latter with Wilson's 95 % interval."""

    months: tuple[str, ...]
    rows: NDArray[np.int64]
    wins: NDArray[np.int64]
    promised: Floats
    low: Floats
    high: Floats

    @property
    def realised(self) -> Floats:
        """The share of each month's leads that were won."""
        return np.asarray(self.wins / self.rows, np.float64)


@dataclass(frozen=True)
class SegmentDifference:
    """How far the rival is from the model in one segment; above 0 the rival is better, whatever the metric."""

    group: str
    rows: int
    wins: int
    value: float
    low: float
    high: float

    @property
    def judgeable(self) -> bool:
        """Whether there are enough wins to say something."""
        return self.wins >= SEGMENT_WINS


def monthly_figures(board: Scoreboard, metric: str) -> MonthlyFigures:
    """Return a metric by judged month.

    Raises
    ------
    UsageError
        If the scoreboard has no months.
    """
    groups = [group for group in board.groups if group.startswith(_MONTH)]
    if not groups:
        raise UsageError("this scoreboard has no judged months", hint="judge monthly cross-sections")
    found = {m: [board.figure(m, metric, group=group) for group in groups] for m in board.methods}
    mine = found[board.model]
    return MonthlyFigures(
        metric,
        tuple(group.removeprefix(_MONTH) for group in groups),
        {method: np.asarray([row["value"] for row in rows], np.float64) for method, rows in found.items()},
        *(np.asarray([row[end] for row in mine], np.float64) for end in ("low", "high")),
    )


def monthly_rates(y_obs: NDArray[Any], y_pred: NDArray[Any], months: NDArray[Any]) -> MonthlyRates:
    """Return what was promised and what came, month by month.

    Examples
    --------
    >>> months = np.array(["2026-01", "2026-01", "2026-02"])
    >>> rates = monthly_rates(np.array([1, 0, 0]), np.array([0.4, 0.2, 0.5]), months)
    >>> rates.realised.tolist(), [round(p, 6) for p in rates.promised.tolist()]
    ([0.5, 0.0], [0.3, 0.5])
    """
    names, at = np.unique(np.asarray(months).astype(str), return_inverse=True)
    rows, wins = np.bincount(at), np.bincount(at, weights=y_obs).astype(np.int64)
    ends = np.asarray([wilson(w, n) for w, n in zip(wins.tolist(), rows.tolist(), strict=True)])
    promised = np.bincount(at, weights=y_pred) / rows
    return MonthlyRates(tuple(names.tolist()), rows, wins, promised, ends[:, 0], ends[:, 1])


def segment_differences(board: Scoreboard, metric: str) -> tuple[SegmentDifference, ...]:
    """Return how the best other method compares with the model in every segment, months left out.

    Raises
    ------
    UsageError
        If no other method was judged.
    """
    rival = board.rival()
    if rival is None:
        raise UsageError("no other method was judged, so no segment can be compared")
    sign = 1.0 if METRICS[metric].better == "larger" else -1.0
    found = []
    for group in board.groups:
        if group == EVERYONE or group.startswith(_MONTH):
            continue
        row = board.figure(rival, metric, group=group)
        value, *ends = (sign * row[key] for key in ("difference", "difference_low", "difference_high"))
        found.append(SegmentDifference(group, int(row["n"]), int(row["wins"]), value, min(ends), max(ends)))
    return tuple(found)


@in_style
def draw_rolling(
    board: Scoreboard,
    path: Path,
    *,
    metrics: Sequence[str] = ("log_loss", "roc_auc"),
    language: Language = "en",
) -> Path:
    """Draw each method's figures by judged month, the model's with its interval, one panel for each metric."""
    figure = new_figure(5.2 * len(metrics), 4.6)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        shown = monthly_figures(board, metric)
        places = np.arange(len(shown.months))
        axes.fill_between(places, shown.low, shown.high, color=COLOURS[0], alpha=0.15, linewidth=0)
        for at, (method, values) in enumerate(shown.values.items()):
            axes.plot(
                places,
                values,
                marker="o",
                markersize=4 if at else 5,
                label=method_name(method, language),
                **line_style(at),
            )
        axes.set_xticks(places, list(shown.months))
        better = "higher" if METRICS[metric].better == "larger" else "lower"
        axes.set_title(said(better, language, metric=metric_name(metric, language)))
        axes.margins(x=0.06)
        axes.grid(visible=False, axis="x")
    heading = said("shaded", language, level=board.level, model=board.model)
    figure.suptitle(heading, fontsize=10, color=GREY)
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=min(len(names), 4), frameon=False)
    return save(figure, path, words=[heading])


@in_style
def draw_monthly_calibration(
    rates: MonthlyRates, path: Path, *, title: str | None = None, language: Language = "en"
) -> Path:
    """Draw each month's mean probability beside the win rate that came, with Wilson's interval."""
    title = title or CAPTIONS["calibration_by_month"][0].in_language(language)
    figure = new_figure(max(4.6, 1.4 + 1.0 * len(rates.months)), 4.2)
    axes = figure.subplots()
    places = np.arange(len(rates.months))
    # The bound of the interval may by rounding lie on the wrong side of a rate of 0.
    spread = np.maximum([rates.realised - rates.low, rates.high - rates.realised], 0)
    axes.errorbar(
        places,
        rates.realised,
        yerr=spread,
        fmt="o",
        color=GREY,
        capsize=4,
        markersize=6,
        label=said("realised", language),
    )
    axes.plot(
        places, rates.promised, "D-", color=COLOURS[0], markersize=6, linewidth=1.5, label=said("promised", language)
    )
    counts = [
        said("of_rows", language, month=m, wins=w, rows=n)
        for m, w, n in zip(rates.months, rates.wins, rates.rows, strict=True)
    ]
    axes.set_xticks(places, counts, fontsize=9)
    axes.set_title(title, pad=26)
    axes.set(ylim=(0, None), ylabel=said("win_rate", language))
    axes.margins(x=0.1)
    axes.grid(visible=False, axis="x")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    percent(axes, "y")
    return save(figure, path, words=[title])


@in_style
def draw_segments(
    board: Scoreboard,
    path: Path,
    *,
    metrics: Sequence[str] = ("log_loss", "roc_auc"),
    language: Language = "en",
) -> Path:
    """Draw how far the best other method is from the model in each segment; right of the line it is better there.

    Segments with too few wins for a verdict are pale.
    """
    shown = [segment_differences(board, metric) for metric in metrics]
    if not shown[0]:
        raise UsageError("this scoreboard has no segments", hint="pass groups to scoreboard")
    places = _places([part.group for part in shown[0]])
    figure = new_figure(3.6 * len(metrics) + 2.8, 1.6 + 0.27 * (max(places) + 1))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric, parts in zip(panels, metrics, shown, strict=True):
        _forest(axes, parts, places, language)
        axes.set_title(metric_name(metric, language), fontsize=11)
    named = [said("segment", language, group=label(part.group), wins=part.wins, rows=part.rows) for part in shown[0]]
    panels[0].set_yticks(places, named, fontsize=9)
    panels[0].set_ylim(max(places) + 0.7, -0.7)
    few = said("few", language, wins=SEGMENT_WINS) if any(not part.judgeable for part in shown[0]) else ""
    rival = method_name(board.rival() or "", language)
    heading = said("segments", language, rival=rival, model=board.model, level=board.level, few=few)
    figure.suptitle(heading, fontsize=11)
    return save(figure, path, words=[heading, *(part.group for part in shown[0])])


def _places(groups: Sequence[str]) -> list[float]:
    """Return a place for each segment, with half a line between different ways of cutting."""
    places, at = [], 0.0
    for before, group in zip((groups[0], *groups), groups, strict=False):
        at += 0.5 if before.partition("=")[0] != group.partition("=")[0] else 0.0
        places.append(at)
        at += 1
    return places


def _forest(axes: Axes, parts: Sequence[SegmentDifference], places: Sequence[float], language: Language) -> None:
    axes.axvline(0, color=GREY, linewidth=1)
    for part, at in zip(parts, places, strict=True):
        colour = GREY if part.judgeable else PALE
        if part.judgeable and part.low > 0:
            colour = COLOURS[1]
        elif part.judgeable and part.high < 0:
            colour = COLOURS[0]
        if not math.isnan(part.low):
            axes.plot([part.low, part.high], [at, at], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([part.value], [at], "o", color=colour, markersize=5)
    axes.set_xlabel(said("rival_sides", language), fontsize=8, color=GREY)
    axes.margins(x=0.08)
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
