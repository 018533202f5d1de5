"""The scoreboard on a terminal: all methods on one group of rows, or one line for each group."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from training.evaluation.metrics import METRICS
from training.evaluation.scoreboard import SEGMENT_WINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table
    from rich.text import Text

    from training.evaluation.scoreboard import Scoreboard

__all__ = ["DECIDING", "figure_text", "method_table", "metrics_for", "segment_table"]

DECIDING = ("log_loss", "roc_auc", "wins_at_capacity")
_MOST = tuple(name for name in METRICS if name not in ("miscalibration", "discrimination"))
# What a table needs beside its figures, and for each of them: the interval, the borders, the space at its sides.
_METHOD_WIDTH, _FIGURE_WIDTH = 22, 17
_FOUR = ("log_loss", "brier", "miscalibration", "discrimination")
_DIGITS = {**dict.fromkeys(_FOUR, 4), "roc_auc": 3, "pr_auc": 3, "wins_at_capacity": 1}


def metrics_for(width: int) -> tuple[str, ...]:
    """Return the figures for which a screen of `width` columns has room; a narrow one gets those that decide.

    Examples
    --------
    >>> metrics_for(80)
    ('log_loss', 'roc_auc', 'wins_at_capacity')
    >>> len(metrics_for(160)), len(metrics_for(200))
    (8, 10)
    """
    for names in (tuple(METRICS), _MOST):
        if width >= _METHOD_WIDTH + _FIGURE_WIDTH * len(names):
            return names
    return DECIDING


def method_table(board: Scoreboard, *, group: str, metrics: Sequence[str]) -> Table:
    """Return the figures of a group: methods down, metrics across, a star where a method clearly beats the model."""
    from rich.table import Table
    from rich.text import Text

    n, wins = board.counts(group)
    said = [board.verdict(group=group), *(f"{caveat[0].upper()}{caveat[1:]}" for caveat in board.caveats)]
    caption = (
        f"{n} judged rows, {wins} wins; {board.level:.0%} intervals; capacity {board.capacity}. {'. '.join(said)}."
    )
    table = Table(title=f"scoreboard ({group})", caption=caption)
    table.add_column("method")
    for name in metrics:
        table.add_column(METRICS[name].label, justify="right")
    for method in board.methods:
        cells = [_cell(board, method, name, group=group) for name in metrics]
        table.add_row(Text(method, style="bold" if method == board.model else ""), *cells)
    return table


def segment_table(board: Scoreboard, *, metric: str = "log_loss") -> Table:
    """Return one line for each group: the model's figure, and how far the best other method is from it there.

    Which method that is, all judged rows say together; choosing it in each segment would flatter it.
    """
    from rich.table import Table
    from rich.text import Text

    rival, label = board.rival(metric), METRICS[metric].label
    segments = len(board.groups) - 1
    caption = (
        f"Difference of {label}: {rival} - {board.model}, {board.level:.0%} paired intervals. Of {segments} segments "
        f"about {(1 - board.level) * segments:.1f} stand out by chance alone; below {SEGMENT_WINS} wins none is named."
    )
    table = Table("group", title="segments", caption=caption)
    for heading in ("rows", "wins", f"{label}: {board.model}", f"difference: {rival}", "ahead"):
        table.add_column(heading, justify="right")
    for group in board.groups:
        n, wins = board.counts(group)
        apart = Text("–") if rival is None else _cell(board, rival, metric, group=group, kind="difference")
        here = _cell(board, board.model, metric, group=group)
        table.add_row(Text(group), str(n), str(wins), here, apart, board.ahead(metric, group=group))
    return table


def _cell(board: Scoreboard, method: str, metric: str, *, group: str, kind: str = "value") -> Text:
    """Return a figure, or with a `kind` of `difference` its difference to the model, above its interval."""
    from rich.text import Text

    row = board.figure(method, metric, group=group)
    beats = kind == "value" and method != board.model and board.significantly_better(method, metric, group=group)
    low, high = (row[f"difference_{end}" if kind == "difference" else end] for end in ("low", "high"))
    cell = Text(figure_text(row[kind], metric) + (" *" if beats else ""))
    if not math.isnan(low):
        cell.append(f"\n{figure_text(low, metric)} – {figure_text(high, metric)}", style="dim")
    return cell


def figure_text(value: float, metric: str) -> str:
    """Return a figure with the digits that matter for it, a dash where it could not be had.

    Examples
    --------
    >>> figure_text(0.28412, "log_loss"), figure_text(0.69712, "roc_auc"), figure_text(float("nan"), "brier")
    ('0.2841', '0.697', '–')
    """
    return "–" if math.isnan(value) else f"{value:.{_DIGITS.get(metric, 2)}f}"
