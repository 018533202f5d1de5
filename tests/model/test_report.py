"""The report is one file that needs nothing else, says everything it was given, and trusts no text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from data.errors import InfrastructureError, UsageError
from training.evaluation.pictures import draw_scores
from training.evaluation.report import ExplainedLead, Picture, Reason, ReportContent, render, write_report
from training.evaluation.scoreboard import Scoreboard, scoreboard

VOID = {"meta", "img", "br", "link"}


class Reader(HTMLParser):
    """Collects texts and attributes, and fails on a tag that is not closed in its place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(page)
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.texts))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)


def board() -> Scoreboard:
    rng = np.random.default_rng(0)
    y_obs = np.array([1, 0, 0, 0] * 60)
    good, flat = np.where(y_obs == 1, 0.6, 0.2), np.full(240, 0.25)
    given = {"clusters": np.arange(240), "capacity": 20, "rng": rng, "replicates": 50}
    return scoreboard(y_obs, {"model": flat, "<b>better</b>": good}, model="model", **given)  # type: ignore[arg-type]


def content(tmp_path: Path) -> ReportContent:
    picture = draw_scores(np.array([0, 1]), np.array([0.2, 0.4]), tmp_path / "scores.svg")
    judged = board()
    lead = ExplainedLead(
        "L-1", 0.231, -2.0, -0.0126733, (Reason("下载 2 份白皮书", 0.81), Reason("5 < 10 employees", -0.4)), "90 points"
    )
    return ReportContent(
        "Leads & <script>alert(1)</script>",
        "2026-11-01T00:00:00Z",
        (("judged rows", "240"), ("wins", "60")),
        scoreboard=judged,
        verdict=judged.verdict(),
        pictures=(Picture(picture, "Scores", 'won "and" not'),),
        explained=lead,
        next_steps=("clew promote 7", "call pool A"),
    )


def test_everything_given_is_said_and_the_page_is_well_formed(tmp_path: Path) -> None:
    given = content(tmp_path)
    reader = Reader(render(given))
    for word in (
        *(
            "Leads & <script>alert(1)</script>",
            given.cutoff,
            given.verdict,
            "240",
            "<b>better</b>",
            "calibration slope",
        ),
        *("L-1", "23.1 %", "下载 2 份白皮书", "+0.81", "5 < 10 employees", "−0.40", "90 points", "call pool A"),
    ):
        assert word in reader.text, word


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    page = render(content(tmp_path))
    assert "<script" not in page
    assert "<b>better" not in page
    assert ("img", "alt", 'Scores: won "and" not') in Reader(page).attributes


def test_the_page_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    reader = Reader(render(content(tmp_path)))
    sources = [value for _, name, value in reader.attributes if name in ("src", "href")]
    assert len(sources) == 1
    assert sources[0].startswith("data:image/svg+xml;base64,")
    assert not {tag for tag, _, _ in reader.attributes} & {"link", "script", "iframe"}


def test_a_method_that_beats_the_model_is_marked(tmp_path: Path) -> None:
    page = render(content(tmp_path))
    assert page.count("▲") > 1  # the legend and at least one figure
    alone = replace(content(tmp_path), scoreboard=None)
    assert "▲" not in render(alone)


def test_the_reasons_shown_add_up_to_the_sum_shown(tmp_path: Path) -> None:
    text = Reader(render(content(tmp_path))).text
    assert "where every lead starts −2.00" in text
    assert "everything else −0.01" in text
    assert "sum −1.60" in text


def test_parts_that_were_not_given_are_left_out() -> None:
    reader = Reader(render(ReportContent("t", "2026-11-01", (("rows", "1"),))))
    assert "The data" in reader.text
    for heading in ("The scoreboard", "In pictures", "One lead, explained", "What to do next"):
        assert heading not in reader.text


def test_the_file_is_written_whole_and_again(tmp_path: Path) -> None:
    given = content(tmp_path)
    first = write_report(given, tmp_path / "out" / "report.html").read_bytes()
    assert write_report(given, tmp_path / "out" / "report.html").read_bytes() == first
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.html"]


def test_a_picture_that_is_none_or_not_there_is_named(tmp_path: Path) -> None:
    given = content(tmp_path)
    with pytest.raises(UsageError, match=r"not \.gif"):
        render(replace(given, pictures=(Picture(tmp_path / "a.gif", "a", "b"),)))
    with pytest.raises(InfrastructureError, match="cannot be read"):
        render(replace(given, pictures=(Picture(tmp_path / "gone.svg", "a", "b"),)))
