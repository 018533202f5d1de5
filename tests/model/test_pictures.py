"""What pictures show is computed apart and can be checked; drawing makes whole, repeatable files."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from data.errors import UsageError
from training.evaluation.metrics import isotonic, lift_at
from training.evaluation.pictures import (
    draw_differences,
    draw_gain,
    draw_reliability,
    draw_scores,
    gain_curve,
    reliability_curve,
)
from training.evaluation.scoreboard import scoreboard

if TYPE_CHECKING:
    from collections.abc import Callable


def sample(n: int = 800, *, stretch: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(-1.5, 1, n)
    return (rng.random(n) < 1 / (1 + np.exp(-x))).astype(int), 1 / (1 + np.exp(-stretch * x))


def inside(stretch: float) -> float:
    """Share of the predictions' range on which the curve stays within the band."""
    curve = reliability_curve(*sample(3000, stretch=stretch), rng=np.random.default_rng(1), replicates=100)
    shown = np.interp(curve.grid, curve.predicted, curve.recalibrated)
    return float(((shown >= curve.low - 1e-9) & (shown <= curve.high + 1e-9)).mean())


def test_an_honest_model_stays_in_the_band_and_a_wrong_one_leaves_it() -> None:
    assert inside(1.0) > 0.75
    assert inside(2.5) < 0.4


def test_the_reliability_curve_never_falls_and_holds_the_corners_of_every_step() -> None:
    y_obs, y_pred = sample()
    curve = reliability_curve(y_obs, y_pred, rng=np.random.default_rng(1), replicates=5)
    assert (np.diff(curve.recalibrated) >= 0).all()
    assert (np.diff(curve.predicted) >= 0).all()
    assert (curve.predicted[0], curve.predicted[-1]) == (y_pred.min(), y_pred.max())
    assert len(curve.predicted) < 100  # of 800 rows
    assert np.interp(y_pred, curve.predicted, curve.recalibrated) == pytest.approx(isotonic(y_obs, y_pred))


def test_the_gain_curve_ends_at_all_wins_and_agrees_with_lift() -> None:
    y_obs, y_pred = sample()
    curve = gain_curve("model", y_obs, np.round(y_pred, 2))
    assert (curve.called[-1], curve.caught[-1]) == (1, 1)
    assert np.interp(0.1, curve.called, curve.caught) / 0.1 == pytest.approx(lift_at(y_obs, np.round(y_pred, 2)))
    shares, lift = curve.lift()
    assert shares[0] == pytest.approx(0.01)
    assert lift[-1] == pytest.approx(1)


def test_a_gain_curve_without_a_win_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one win"):
        gain_curve("model", np.zeros(3), np.full(3, 0.5))


def reliability(path: Path) -> Path:
    return draw_reliability(reliability_curve(*sample(), rng=np.random.default_rng(1), replicates=5), path)


def gain(path: Path) -> Path:
    y_obs, y_pred = sample()
    many = [gain_curve(f"method {i}", y_obs, y_pred**i) for i in range(1, 9)]
    return draw_gain(many, path, capacity_share=0.05)


def differences(path: Path) -> Path:
    y_obs, y_pred = sample()
    methods = {"model": y_pred, "prior": np.full(800, y_obs.mean()), "sharp": y_pred**2}
    rng = np.random.default_rng(2)
    board = scoreboard(y_obs, methods, model="model", clusters=np.arange(800), capacity=80, rng=rng, replicates=50)
    # The prior has no calibration slope: its panel stays empty there.
    return draw_differences(board, path, metrics=("log_loss", "wins_at_capacity", "calibration_slope"))


def scores(path: Path) -> Path:
    return draw_scores(*sample(), path)


def scores_of_losses_only(path: Path) -> Path:
    return draw_scores(np.zeros(5), np.full(5, 0.2), path)


DRAWN = [reliability, gain, differences, scores, scores_of_losses_only]


@pytest.mark.parametrize("draw", DRAWN)
def test_pictures_are_well_formed_svg_the_same_each_time(draw: Callable[[Path], Path], tmp_path: Path) -> None:
    first, second = draw(tmp_path / "new folder" / "a.svg"), draw(tmp_path / "b.svg")
    assert ET.parse(first).getroot().tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - written a line above
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.svg", "new folder"]


def test_png_comes_out_as_png(tmp_path: Path) -> None:
    assert scores(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not as \.jpg"):
        scores(tmp_path / "a.jpg")


def test_drawing_leaves_the_users_settings_as_they_were(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    scores(tmp_path / "a.svg")
    assert dict(mpl.rcParams) == before
