"""The picture of a scorecard: the points that each rule gives now against the points that history supports."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from training.evaluation.drawing import COLOURS, GREY, in_style, new_figure, save

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from training.rules.review import RuleReview, RulesReview

__all__ = ["draw_points"]

_LONGEST = 44
_ROOM_FOR_NOTES = 0.3
_NOTES = {
    "never fires": "never fires",
    "always fires": "fires on every lead",
    "wrong way": "points the wrong way",
    "no evidence": "not told from nothing",
}


@in_style
def draw_points(review: RulesReview, path: Path) -> Path:
    """Draw each rule's points beside those that history supports, with their 95 % interval.

    Where the interval does not hold the points they are drawn in the warning colour; a rule that history cannot speak
    of has no second point.
    """
    rules = sorted(review.rules, key=lambda rule: -rule.history.points)
    figure = new_figure(8.4, 1.7 + 0.52 * len(rules))
    axes = figure.subplots()
    axes.axvline(0, color=GREY, linewidth=1)
    for at, rule in enumerate(rules):
        _draw_rule(axes, at, rule)
    axes.set_yticks(range(len(rules)), [_shortened(rule.history.rule) for rule in rules])
    axes.set_ylim(len(rules) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + _ROOM_FOR_NOTES * (high - low))
    axes.set_xlabel("points")
    figure.suptitle(
        f"Points now and points that history supports ({review.judged.wins:,} wins)", fontsize=11, fontweight="bold"
    )
    axes.plot([], [], "D", color=GREY, markersize=7, label="now")
    axes.plot([], [], "o-", color=COLOURS[0], markersize=7, label="history, 95 % interval")
    axes.plot([], [], "o-", color=COLOURS[1], markersize=7, label="history, away from the points")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return save(figure, path)


def _draw_rule(axes: Axes, at: int, rule: RuleReview) -> None:
    now, found = rule.history.points, rule.supported
    note, beside = _NOTES.get(rule.verdict, ""), float(now)
    if not math.isnan(found.value):
        colour = COLOURS[0] if found.low <= now <= found.high else COLOURS[1]
        axes.plot([now, found.value], [at, at], color=GREY, linewidth=1, linestyle=":")
        axes.plot([found.low, found.high], [at, at], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot([found.value], [at], "o", color=colour, markersize=8, zorder=3)
        beside = max(now, found.high)
    axes.plot([now], [at], "D", color=GREY, markersize=8, zorder=4)
    if note:
        axes.annotate(
            note, (beside, at), xytext=(9, 0), textcoords="offset points", va="center", color=GREY, fontsize=9
        )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
