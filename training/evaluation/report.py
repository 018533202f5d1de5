"""One page that says how good a model is: a self-contained HTML file to open, print or send, without a network."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import InfrastructureError, UsageError
from data.files import written_whole
from training.evaluation.metrics import METRICS

if TYPE_CHECKING:
    from training.evaluation.scoreboard import Scoreboard

__all__ = [
    "ExplainedLead",
    "Picture",
    "Reason",
    "ReportContent",
    "render",
    "render_page",
    "shown",
    "write_report",
]

_TEMPLATES = Path(__file__).parents[1] / "templates"
_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
_FOUR = ("log_loss", "brier", "miscalibration", "discrimination")
_DIGITS = {**dict.fromkeys(_FOUR, 4), "roc_auc": 3, "pr_auc": 3, "wins_at_capacity": 1}


@dataclass(frozen=True)
class Picture:
    """A picture on disk (SVG or PNG) with what it shows; the caption is also read to those who cannot see it.

    A `broad` picture takes the whole width of the page, others stand two abreast.
    """

    path: Path
    title: str
    caption: str
    broad: bool = False


@dataclass(frozen=True)
class Reason:
    """One reason in words and what it adds to the log-odds."""

    text: str
    logit: float


@dataclass(frozen=True)
class ExplainedLead:
    """A lead as an example: base + reasons + remainder = log-odds of the probability."""

    lead_id: str
    probability: float
    base_logit: float
    remainder_logit: float
    reasons: tuple[Reason, ...]
    rules: str = ""

    @property
    def logit(self) -> float:
        """The sum that the reasons make, shown beside them."""
        return self.base_logit + sum(reason.logit for reason in self.reasons) + self.remainder_logit


@dataclass(frozen=True)
class ReportContent:
    """Everything the report says; without a scoreboard, pictures or lead their parts are left out."""

    title: str
    cutoff: str
    summary: tuple[tuple[str, str], ...]
    scoreboard: Scoreboard | None = None
    verdict: str = ""
    pictures: tuple[Picture, ...] = ()
    explained: ExplainedLead | None = None
    next_steps: tuple[str, ...] = ()
    language: str = "en"


@dataclass(frozen=True)
class _Cell:
    value: str
    interval: str
    better: bool


@dataclass(frozen=True)
class _Row:
    method: str
    is_model: bool
    cells: tuple[_Cell, ...]


def render(content: ReportContent) -> str:
    """Return the report as HTML; every text is escaped, pictures are inside, nothing is loaded from elsewhere.

    Raises
    ------
    UsageError
        If a picture is neither SVG nor PNG.
    InfrastructureError
        If a picture cannot be read.

    Examples
    --------
    >>> page = render(ReportContent("Leads <2026>", "2026-11-01T00:00:00Z", (("judged rows", "4,000"),)))
    >>> "Leads &lt;2026&gt;" in page, "http" in page
    (True, False)
    """
    return render_page(
        "report.html.j2",
        content=content,
        bars=_bars(content.explained) if content.explained is not None else [],
        **shown(content.scoreboard, content.pictures),
    )


def render_page(template: str, **values: object) -> str:
    """Return a page of the house from one of its templates; every text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = _signed
    environment.filters["percent"] = lambda value: f"{100 * value:.1f} %"
    return environment.get_template(template).render(**values)


def shown(scoreboard: Scoreboard | None, pictures: Sequence[Picture]) -> dict[str, object]:
    """Return what the shared parts of a page need to show a scoreboard and pictures.

    Raises
    ------
    UsageError
        If a picture is neither SVG nor PNG.
    InfrastructureError
        If a picture cannot be read.
    """
    return {
        "headings": [metric.label for metric in METRICS.values()],
        "rows": _rows(scoreboard) if scoreboard is not None else [],
        "pictures": [(picture, _inline(picture.path)) for picture in pictures],
    }


def write_report(content: ReportContent, path: Path) -> Path:
    """Write the report beside its place and move it there; return the path.

    Raises
    ------
    InfrastructureError
        If the file cannot be written.
    """
    page = render(content)
    with written_whole(path) as beside:
        beside.write_text(page, encoding="utf-8")
    return path


def _rows(board: Scoreboard) -> list[_Row]:
    return [
        _Row(method, method == board.model, tuple(_cell(board, method, name) for name in METRICS))
        for method in board.methods
    ]


def _cell(board: Scoreboard, method: str, name: str) -> _Cell:
    row = board.figure(method, name)
    interval = "" if math.isnan(row["low"]) else f"{_number(row['low'], name)} – {_number(row['high'], name)}"
    better = method != board.model and board.significantly_better(method, name)
    return _Cell(_number(row["value"], name), interval, better)


def _number(value: float, name: str) -> str:
    return "–" if math.isnan(value) else f"{value:.{_DIGITS.get(name, 2)}f}"


def _signed(value: float) -> str:
    # A real minus sign, as wide as the plus above it.
    return f"{value:+.2f}".replace("-", "−")


def _bars(lead: ExplainedLead) -> list[tuple[Reason, float]]:
    """Return each reason with the width of its bar, 0 to 100; the strongest fills the half."""
    strongest = max((abs(reason.logit) for reason in lead.reasons), default=0.0)
    return [(reason, 100 * abs(reason.logit) / strongest if strongest else 0.0) for reason in lead.reasons]


def _inline(path: Path) -> str:
    """Return a picture as a data URI: an image cannot run a script, and ids of two SVGs cannot clash."""
    if path.suffix not in _KINDS:
        raise UsageError(f"a picture of a report is .svg or .png, not {path.suffix or 'a file without an ending'}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InfrastructureError(f"the picture {path} cannot be read ({type(error).__name__})") from error
    return f"data:{_KINDS[path.suffix]};base64,{base64.b64encode(content).decode('ascii')}"
