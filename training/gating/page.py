"""The page on which a person reads what the gate decided and why: one HTML file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from data.files import written_whole
from training.evaluation.report import Picture, render_page, shown

if TYPE_CHECKING:
    from training.evaluation.scoreboard import Scoreboard
    from training.gating.gate import Check, Verdict

__all__ = ["LeakLine", "render_gate_page", "write_gate_page"]

_HEADLINES = {
    "promote": "Promote the challenger",
    "keep": "Keep what is served",
    "by_hand": "A person has to decide",
}
_MARKS: Mapping[bool | None, tuple[str, str, str]] = {
    True: ("✓", "passed", "yes"),
    False: ("✗", "failed", "no"),
    None: ("–", "not checked", "open"),
}
_QUESTIONS = {
    "log loss": "Is it as good as what is served?",
    "calibration": "Are its probabilities right on later months?",
    "wins at capacity": "Does a team win more with it than with the rules?",
    "refit": "Does the model that would ship say what was judged?",
    "segments": "Is any part of the leads worse off?",
}


@dataclass(frozen=True)
class LeakLine:
    """What the leak finder says of one column."""

    column: str
    verdict: Literal["leak", "suspect", "clean", "cannot tell"]
    evidence: str


@dataclass(frozen=True)
class _Shown:
    question: str
    name: str
    mark: str
    word: str
    kind: str
    evidence: str
    figures: tuple[tuple[str, str], ...]


def render_gate_page(
    verdict: Verdict,
    *,
    about: Mapping[str, str],
    scoreboard: Scoreboard | None = None,
    pictures: Sequence[Picture] = (),
    leaks: Sequence[LeakLine] | None = None,
    title: str = "May the challenger be served?",
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    verdict
        What the gate said.
    about
        What was judged, as label and value: cutoff, versions, rows.
    scoreboard, pictures
        Shown below the checks.
    leaks
        What the leak finder said; None means that it did not run, which the page says.
    title
        The heading.

    Raises
    ------
    UsageError
        If a picture is neither SVG nor PNG.
    InfrastructureError
        If a picture cannot be read.

    Examples
    --------
    >>> from training.gating.gate import Check, Verdict
    >>> verdict = Verdict("keep", (Check("refit", None, "3 open leads, 30 are needed"),), "The champion stays.")
    >>> page = render_gate_page(verdict, about={"cutoff": "2026-11-01"})
    >>> "The champion stays." in page, "not checked" in page, "http" in page
    (True, True, False)
    """
    return render_page(
        "gate.html.j2",
        title=title,
        language="en",
        headline=_HEADLINES[verdict.decision],
        verdict=verdict,
        about=dict(about),
        checks=[_shown(check) for check in verdict.checks],
        scoreboard=scoreboard,
        leaks=leaks,
        told=[line for line in leaks or () if line.verdict != "clean"],
        **shown(scoreboard, pictures),
    )


def write_gate_page(
    verdict: Verdict,
    *,
    about: Mapping[str, str],
    path: Path,
    scoreboard: Scoreboard | None = None,
    pictures: Sequence[Picture] = (),
    leaks: Sequence[LeakLine] | None = None,
) -> Path:
    """Write the page beside its place and move it there; return the path.

    Raises
    ------
    UsageError
        If a picture is neither SVG nor PNG.
    InfrastructureError
        If a picture cannot be read or the file cannot be written.
    """
    page = render_gate_page(verdict, about=about, scoreboard=scoreboard, pictures=pictures, leaks=leaks)
    with written_whole(path) as beside:
        beside.write_text(page, encoding="utf-8")
    return path


def _shown(check: Check) -> _Shown:
    mark, word, kind = _MARKS[check.passed]
    figures = tuple((name, _number(value)) for name, value in check.figures.items())
    return _Shown(_QUESTIONS[check.name], check.name, mark, word, kind, check.evidence, figures)


def _number(value: float) -> str:
    """Return a figure with as many digits as it deserves: whole numbers whole, small ones with four."""
    if not math.isfinite(value):
        return "–"
    if value == round(value) and abs(value) >= 1:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.{4 if abs(value) < 1 else 2}f}".replace("-", "−")
