"""Pictures of months and segments show the scoreboard's own figures, and are whole and repeatable files."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import numpy as np
import pytest

from data.errors import UsageError
from tests.model.judgements import synthetic_judgement
from training.evaluation.gallery import draw_judgement, picture_names
from training.evaluation.judging import MODEL
from training.evaluation.metrics import log_loss, wilson
from training.evaluation.rolling_pictures import (
    draw_monthly_calibration,
    draw_rolling,
    draw_segments,
    monthly_figures,
    monthly_rates,
    segment_differences,
)
from training.evaluation.scoreboard import Scoreboard, scoreboard
from training.evaluation.segments import months_of

if TYPE_CHECKING:
    from pathlib import Path

    from training.evaluation.judging import Judgement


@pytest.fixture(scope="module")
def judgement() -> Judgement:
    return synthetic_judgement(6000)


def board_without_groups(methods: int = 2) -> Scoreboard:
    y_obs = np.array([1, 0, 0, 0] * 30)
    predictions = {f"m{i}": np.where(y_obs == 1, 0.6 - i / 10, 0.2) for i in range(methods)}
    return scoreboard(
        y_obs,
        predictions,
        model="m0",
        clusters=np.arange(120),
        capacity=5,
        rng=np.random.default_rng(0),
        replicates=10,
    )


def test_months_show_the_figures_of_the_rows_judged_in_them(judgement: Judgement) -> None:
    shown = monthly_figures(judgement.scoreboard, "log_loss")
    months = months_of(judgement.spine)
    assert shown.months == tuple(sorted(set(months)))
    assert len(shown.months) == 6
    for at, month in enumerate(shown.months):
        here = months == month
        for method, y_pred in judgement.predictions.items():
            assert shown.values[method][at] == pytest.approx(log_loss(judgement.y_obs[here], y_pred[here]))
    assert next(iter(shown.values)) == MODEL
    assert ((shown.low <= shown.values[MODEL]) & (shown.values[MODEL] <= shown.high)).all()


def test_what_was_promised_and_what_came_are_means_of_each_month(judgement: Judgement) -> None:
    months, y_pred = months_of(judgement.spine), judgement.predictions[MODEL]
    rates = monthly_rates(judgement.y_obs, y_pred, months)
    for at, month in enumerate(rates.months):
        here = months == month
        assert (rates.rows[at], rates.wins[at]) == (here.sum(), judgement.y_obs[here].sum())
        assert rates.promised[at] == pytest.approx(y_pred[here].mean())
        assert (rates.low[at], rates.high[at]) == wilson(int(rates.wins[at]), int(rates.rows[at]))
    assert ((rates.low < rates.realised) & (rates.realised < rates.high)).all()


def test_segments_are_compared_with_one_rival_and_right_is_always_better_for_it(judgement: Judgement) -> None:
    board = judgement.scoreboard
    rival = board.rival()
    assert rival == "logistic"
    for metric, sign in (("log_loss", -1), ("roc_auc", 1)):
        shown = segment_differences(board, metric)
        assert [part.group for part in shown if part.group.startswith(("month=", "all"))] == []
        assert {part.group.partition("=")[0] for part in shown} >= {"source"}
        for part in shown:
            row = board.figure(rival, metric, group=part.group)
            assert part.value == sign * row["difference"]
            assert part.low <= part.high
            assert (part.rows, part.wins, part.judgeable) == (row["n"], row["wins"], row["wins"] >= 30)
    # The model knows more of every outcome, so nowhere does the rival lie on the better side.
    assert max(part.value for part in segment_differences(board, "log_loss")) < 0


def test_a_board_without_months_or_rivals_says_so() -> None:
    with pytest.raises(UsageError, match="no judged months"):
        monthly_figures(board_without_groups(), "log_loss")
    with pytest.raises(UsageError, match="no other method"):
        segment_differences(board_without_groups(1), "log_loss")


def test_a_board_without_segments_is_not_drawn_as_segments(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no segments"):
        draw_segments(board_without_groups(), tmp_path / "a.svg")


def test_every_picture_of_a_judgement_is_drawn(judgement: Judgement, tmp_path: Path) -> None:
    drawn = draw_judgement(judgement, tmp_path)
    assert tuple(drawn) == picture_names(judgement.scoreboard)
    assert {"rolling", "calibration_by_month", "segments"} < set(drawn)
    for path in drawn.values():
        assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - written a line above
    again = (
        draw_rolling(judgement.scoreboard, tmp_path / "again.svg"),
        draw_segments(judgement.scoreboard, tmp_path / "again too.svg"),
    )
    assert [path.read_bytes() for path in again] == [drawn[name].read_bytes() for name in ("rolling", "segments")]


def test_pictures_follow_what_was_judged() -> None:
    few = ("reliability", "gain", "differences", "scores")
    assert picture_names(board_without_groups()) == few
    y_obs = np.array([1, 0, 0, 0] * 30)
    given = {"model": "m", "clusters": np.arange(120), "capacity": 5, "replicates": 2}
    months = {"month": np.array(["2026-01", "2026-02"] * 60)}
    predictions = {"m": np.full(120, 0.25), "n": np.full(120, 0.3)}
    only = scoreboard(y_obs, predictions, groups=months, rng=np.random.default_rng(0), **given)  # type: ignore[arg-type]
    assert picture_names(only) == (*few, "rolling", "calibration_by_month")


def test_names_in_chinese_formulas_and_endless_ones_can_be_drawn(tmp_path: Path) -> None:
    y_obs = np.array([1, 0, 0, 0] * 30)
    names = np.array(["展会", "5 $ off or 6 $ more", "a long name " * 9] * 40, dtype=object)
    board = scoreboard(
        y_obs,
        {"m": np.linspace(0.1, 0.9, 120), "n": np.full(120, 0.2)},
        model="m",
        clusters=np.arange(120),
        capacity=5,
        rng=np.random.default_rng(0),
        groups={"source": names},
        replicates=10,
    )
    drawn = draw_segments(board, tmp_path / "a.svg").read_text("utf-8")
    assert "source=展会" in drawn
    assert "5 $ off or 6 $ more" in drawn
    assert "a long name a long name a long name a long name" not in drawn
    assert draw_segments(board, tmp_path / "a.png").is_file()


def test_a_month_without_a_win_can_be_drawn(tmp_path: Path) -> None:
    y_obs = np.array([0, 0, 1, 0] * 30)
    months = np.where(np.arange(120) < 60, "2026-01", "2026-02")
    y_obs[:60] = 0
    rates = monthly_rates(y_obs, np.full(120, 0.2), months)
    assert rates.wins.tolist() == [0, 15]
    assert draw_monthly_calibration(rates, tmp_path / "a.svg").is_file()
    board = scoreboard(
        y_obs,
        {"m": np.linspace(0.1, 0.9, 120), "n": np.full(120, 0.2)},
        model="m",
        clusters=np.arange(120),
        capacity=5,
        rng=np.random.default_rng(0),
        groups={"month": months, "half": np.arange(120) < 50},
        replicates=10,
    )
    assert np.isnan(monthly_figures(board, "roc_auc").values["m"][0])
    assert draw_rolling(board, tmp_path / "b.svg").is_file()
    assert draw_segments(board, tmp_path / "c.svg").is_file()
