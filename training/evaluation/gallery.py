"""All pictures of one judgement in a folder: which there are, and drawing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.judging import MODEL
from training.evaluation.pictures import (
    draw_differences,
    draw_gain,
    draw_reliability,
    draw_scores,
    gain_curve,
    reliability_curve,
)
from training.evaluation.report import Picture
from training.evaluation.rolling_pictures import draw_monthly_calibration, draw_rolling, draw_segments, monthly_rates
from training.evaluation.scoreboard import EVERYONE
from training.evaluation.segments import MONTH, months_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.evaluation.judging import Judgement
    from training.evaluation.scoreboard import Scoreboard

__all__ = ["captioned", "draw_judgement", "picture_names"]

# In the order in which a page shows them: the title, what there is to see, and whether it takes the whole width.
_CAPTIONS = {
    "gain": ("Gain and lift", "Share of wins caught by calling the best leads first.", True),
    "reliability": ("Reliability", "Observed win rate against the predicted probability.", False),
    "scores": ("Scores by outcome", "Predicted probabilities of won and other leads.", False),
    "rolling": ("Month by month", "Each method refitted at the start of each month and judged on that month.", True),
    "calibration_by_month": (
        "Promised and realised",
        "Mean predicted probability of each month's list beside the win rate that it came to.",
        True,
    ),
    "segments": ("Where it holds", "The best other method against the model, by segment, with paired intervals.", True),
    "differences": (
        "Differences to the model",
        "Each method's paired difference to the model with its 95 % interval; right of the line is better.",
        True,
    ),
}


def picture_names(board: Scoreboard) -> tuple[str, ...]:
    """Return which pictures a scoreboard has; months and segments only where they were judged."""
    groups = [group for group in board.groups if group != EVERYONE]
    months = any(group.startswith(f"{MONTH}=") for group in groups)
    segments = len(board.methods) > 1 and not all(group.startswith(f"{MONTH}=") for group in groups)
    return (
        *("reliability", "gain", "differences", "scores"),
        *(("rolling", "calibration_by_month") if months else ()),
        *(("segments",) if segments else ()),
    )


def draw_judgement(judgement: Judgement, folder: Path) -> Mapping[str, Path]:
    """Draw everything there is to see of a judgement as SVG files; the same judgement gives the same bytes.

    Raises
    ------
    UsageError
        If there is no win among the judged rows.
    InfrastructureError
        If a file cannot be written.
    """
    board, y_obs, y_pred = judgement.scoreboard, judgement.y_obs, judgement.predictions[MODEL]
    curves = [gain_curve(name, y_obs, predicted) for name, predicted in judgement.predictions.items()]
    curve = reliability_curve(y_obs, y_pred, rng=np.random.default_rng(0))
    drawn = [
        draw_reliability(curve, folder / "reliability.svg"),
        draw_gain(curves, folder / "gain.svg"),
        draw_differences(board, folder / "differences.svg"),
        draw_scores(y_obs, y_pred, folder / "scores.svg"),
    ]
    names = picture_names(board)
    if "rolling" in names:
        rates = monthly_rates(y_obs, y_pred, months_of(judgement.spine))
        drawn += [
            draw_rolling(board, folder / "rolling.svg"),
            draw_monthly_calibration(rates, folder / "calibration_by_month.svg"),
        ]
    if "segments" in names:
        drawn.append(draw_segments(board, folder / "segments.svg"))
    return {path.stem: path for path in drawn}


def captioned(paths: Mapping[str, Path]) -> tuple[Picture, ...]:
    """Return drawn pictures with their titles and captions, in the order in which a page shows them."""
    return tuple(
        Picture(paths[name], title, caption, broad=broad)
        for name, (title, caption, broad) in _CAPTIONS.items()
        if name in paths
    )
