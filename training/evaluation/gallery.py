"""All pictures of one judgement in a folder: which there are, and drawing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.judging import MODEL
from training.evaluation.picture_words import CAPTIONS
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

    from features.words import Language
    from training.evaluation.judging import Judgement
    from training.evaluation.scoreboard import Scoreboard

__all__ = ["captioned", "draw_judgement", "picture_file", "picture_names"]


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


def draw_judgement(judgement: Judgement, folder: Path, *, language: Language = "en") -> Mapping[str, Path]:
    """Draw everything there is to see of a judgement as SVG files; the same judgement gives the same bytes.

    Files are named `gain.svg`, and in Chinese `gain.zh.svg`.

    Raises
    ------
    UsageError
        If there is no win among the judged rows.
    InfrastructureError
        If a file cannot be written.
    """
    board, y_obs, y_pred = judgement.scoreboard, judgement.y_obs, judgement.predictions[MODEL]
    paths = {name: folder / picture_file(name, language) for name in picture_names(board)}
    curves = [gain_curve(name, y_obs, predicted) for name, predicted in judgement.predictions.items()]
    curve = reliability_curve(y_obs, y_pred, rng=np.random.default_rng(0))
    capacity_share = min(1.0, board.capacity * len(np.unique(judgement.periods)) / len(y_obs))
    draw_reliability(curve, paths["reliability"], language=language)
    draw_gain(curves, paths["gain"], capacity_share=capacity_share, language=language)
    draw_differences(board, paths["differences"], language=language)
    draw_scores(y_obs, y_pred, paths["scores"], language=language)
    if "rolling" in paths:
        rates = monthly_rates(y_obs, y_pred, months_of(judgement.spine))
        draw_rolling(board, paths["rolling"], language=language)
        draw_monthly_calibration(rates, paths["calibration_by_month"], language=language)
    if "segments" in paths:
        draw_segments(board, paths["segments"], language=language)
    return paths


def picture_file(name: str, language: Language) -> str:
    """Return the name of a picture's file.

    Examples
    --------
    >>> picture_file("gain", "en"), picture_file("gain", "zh")
    ('gain.svg', 'gain.zh.svg')
    """
    return f"{name}.svg" if language == "en" else f"{name}.{language}.svg"


def captioned(paths: Mapping[str, Path], *, language: Language = "en") -> tuple[Picture, ...]:
    """Return drawn pictures with their titles and captions, in the order in which a page shows them."""
    return tuple(
        Picture(paths[name], title.in_language(language), caption.in_language(language), broad=broad, name=name)
        for name, (title, caption, broad) in CAPTIONS.items()
        if name in paths
    )
