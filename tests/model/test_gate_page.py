"""The gate's page says all that the verdict says, marks what was not checked, and needs nothing from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from data.errors import InfrastructureError
from tests.model.test_report import Reader, board
from training.evaluation.pictures import draw_scores
from training.evaluation.report import Picture
from training.gating.gate import Check, Verdict
from training.gating.page import LeakLine, render_gate_page, write_gate_page

if TYPE_CHECKING:
    from pathlib import Path

CHECKS = (
    Check(
        "log loss", True, "no worse than the champion: difference -0.0012", {"allowed": 0.0033, "none": float("nan")}
    ),
    Check("calibration", False, "slope 0.50 (0.40 to 0.60), off", {"slope": -0.5}),
    Check("wins at capacity", None, "the team can call <all> leads of every list", {"wins caught": 1234.0}),
)
KEPT = Verdict("keep", CHECKS, "The champion stays. calibration: slope 0.50, off. Not checked: wins at capacity.")


def test_everything_the_verdict_says_is_on_the_page_and_well_formed() -> None:
    reader = Reader(render_gate_page(KEPT, about={"cutoff": "2026-11-01", "version": "7"}))
    for word in (
        *("Keep what is served", KEPT.sentence, "2026-11-01", "version", "0.0033", "−0.5000", "1,234"),
        *(check.evidence for check in CHECKS),
        "The leak finder did not run.",
    ):
        assert word in reader.text, word
    assert "nan" not in reader.text


def test_passed_failed_and_not_checked_look_and_read_differently() -> None:
    text = Reader(render_gate_page(KEPT, about={})).text
    assert [text.count(word) for word in ("✓", "✗", "log loss: passed", "calibration: failed")] == [1, 1, 1, 1]
    assert "wins at capacity: not checked" in text
    assert text.count("passed") == 1


@pytest.mark.parametrize(
    ("decision", "headline"),
    [("promote", "Promote the challenger"), ("by_hand", "A person has to decide"), ("keep", "Keep what is served")],
)
def test_the_headline_says_what_was_decided(decision: str, headline: str) -> None:
    page = render_gate_page(Verdict(decision, (), "Nothing new."), about={})  # type: ignore[arg-type]
    text = Reader(page).text
    assert headline in text
    assert "What was checked" not in text


def test_columns_that_may_know_the_outcome_are_shown_and_clean_ones_counted() -> None:
    leaks = [
        LeakLine("duration", "leak", "filled for the won only"),
        LeakLine("source", "clean", "known at creation"),
        LeakLine("seats", "cannot tell", "too few rows"),
    ]
    text = Reader(render_gate_page(KEPT, about={}, leaks=leaks)).text
    assert "duration leak filled for the won only" in text
    assert "seats cannot tell too few rows" in text
    assert "known at creation" not in text
    assert "1 more columns are clean" in text
    assert "All 1 columns are clean" in Reader(render_gate_page(KEPT, about={}, leaks=leaks[1:2])).text


def test_scoreboard_and_pictures_are_inside_the_file_and_no_text_becomes_markup(tmp_path: Path) -> None:
    picture = draw_scores(np.array([0, 1]), np.array([0.2, 0.4]), tmp_path / "scores.svg")
    page = render_gate_page(
        KEPT, about={"<b>": "<script>"}, scoreboard=board(), pictures=(Picture(picture, "Scores", "of all"),)
    )
    reader = Reader(page)
    assert "The scoreboard" in reader.text
    assert [v[:26] for _, name, v in reader.attributes if name in ("src", "href")] == ["data:image/svg+xml;base64,"]
    assert "<script" not in page
    assert "<all>" in reader.text


def test_the_page_is_written_whole_and_the_same_again(tmp_path: Path) -> None:
    first = write_gate_page(KEPT, about={}, path=tmp_path / "out" / "gate.html").read_bytes()
    assert write_gate_page(KEPT, about={}, path=tmp_path / "out" / "gate.html").read_bytes() == first
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["gate.html"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(InfrastructureError):
        write_gate_page(KEPT, about={}, path=tmp_path / "file" / "gate.html")
