"""One page that says how good a model is: a self-contained HTML file to open, print or send, without a network."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import InfrastructureError, UsageError
from data.files import written_whole
from training.evaluation.drivers import Drivers, strongest
from training.evaluation.metrics import METRICS
from training.evaluation.picture_words import method_name, metric_name
from training.evaluation.report_words import REPORT

if TYPE_CHECKING:
    from features.words import Language
    from training.evaluation.changes import Changed
    from training.evaluation.drivers import Band, Driver
    from training.evaluation.scoreboard import Scoreboard

__all__ = [
    "CheckLine",
    "ExplainedLead",
    "GradeLine",
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
_MOST_DRIVERS = 12
_FIRST = ("gain", "reliability", "scores")  # what decides stands before what only explains
_DIGITS = {**dict.fromkeys(_FOUR, 4), "roc_auc": 3, "pr_auc": 3, "wins_at_capacity": 1}


@dataclass(frozen=True)
class Picture:
    """A picture on disk (SVG or PNG) with what it shows; the caption is also read to those who cannot see it.

    A `broad` picture takes the whole width of the page, others stand two abreast. By its `name` a page puts it where it
    belongs.
    """

    path: Path
    title: str
    caption: str
    broad: bool = False
    name: str = ""


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
class CheckLine:
    """What the gate asked and whether it passed; None where it could not be checked."""

    question: str
    passed: bool | None


@dataclass(frozen=True)
class GradeLine:
    """A grade on the judged rows: the mean probability beside what was won, with its interval; None without rows."""

    grade: str
    at_least: float
    rows: int
    promised: float | None
    won: int
    low: float | None
    high: float | None

    @property
    def realised(self) -> float | None:
        """The share that was won."""
        return self.won / self.rows if self.rows else None

    @property
    def kept(self) -> bool | None:
        """Whether the promise lies within the interval, None without rows."""
        if self.promised is None or self.low is None or self.high is None:
            return None
        return self.low <= self.promised <= self.high


@dataclass(frozen=True)
class ReportContent:
    """Everything the report says; what is not given is left out.

    `headline` are the sentences that a reader sees first, `decision` is what the gate said, `compared` that a model
    before was asked for, so that a report without `changed` says that there was none.
    """

    title: str
    cutoff: str
    summary: tuple[tuple[str, str], ...]
    scoreboard: Scoreboard | None = None
    verdict: str = ""
    pictures: tuple[Picture, ...] = ()
    explained: ExplainedLead | None = None
    next_steps: tuple[str, ...] = ()
    language: Language = "en"
    decision: str = ""
    headline: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    checks: tuple[CheckLine, ...] = ()
    grades: tuple[GradeLine, ...] = ()
    drivers: Drivers | None = None
    changed: Changed | None = None
    compared: bool = False


@dataclass(frozen=True)
class _DriverRow:
    driver: Driver
    width: float


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
    parts = shown(content.scoreboard, content.pictures, language=content.language)
    drawn: Sequence[tuple[Picture, str]] = parts.pop("pictures")
    return render_page(
        "report.html.j2",
        content=content,
        bars=_bars(content.explained) if content.explained is not None else [],
        drivers=_driver_rows(content.drivers),
        say=lambda words: words.in_language(content.language),
        first_pictures=[pair for pair in drawn if pair[0].name in _FIRST],
        other_pictures=[pair for pair in drawn if pair[0].name not in _FIRST],
        **parts,
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
    environment.filters["percent"] = _percent
    environment.filters["bands"] = _bands
    return environment.get_template(template).render(**values)


def shown(scoreboard: Scoreboard | None, pictures: Sequence[Picture], *, language: Language = "en") -> dict[str, Any]:
    """Return what the shared parts of a page need to show a scoreboard and pictures.

    Raises
    ------
    UsageError
        If a picture is neither SVG nor PNG.
    InfrastructureError
        If a picture cannot be read.
    """
    return {
        "words": {name: words.in_language(language) for name, words in REPORT.items()},
        "headings": [metric_name(name, language) for name in METRICS],
        "rows": _rows(scoreboard, language) if scoreboard is not None else [],
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


def _driver_rows(drivers: Drivers | None) -> list[_DriverRow]:
    """Return the strongest drivers with the width of their bars, 0 to 100."""
    found = [] if drivers is None else strongest(drivers, _MOST_DRIVERS)
    most = max((driver.strength for driver in found), default=0.0)
    return [_DriverRow(driver, 100 * driver.strength / most if most else 0.0) for driver in found]


def _bands(bands: Sequence[Band], language: Language) -> str:
    """Return values with what they add on average, in one line."""
    return "; ".join(f"{band.words.in_language(language)} ({_signed(band.effect)})" for band in bands) or "–"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _rows(board: Scoreboard, language: Language) -> list[_Row]:
    return [
        _Row(
            method_name(method, language), method == board.model, tuple(_cell(board, method, name) for name in METRICS)
        )
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
