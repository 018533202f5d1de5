"""The findings of the leak finder as one page: each column in words, how it ranks, how full it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.files import written_whole
from training.leaks.words import percent

if TYPE_CHECKING:
    from datetime import datetime

    from training.leaks.finder import ColumnFinding, LeakReport
    from training.leaks.verdicts import Verdict

__all__ = ["render_leakage_page", "write_leakage_page"]

_TEMPLATES = Path(__file__).parents[1] / "templates"
_WIDTH = 160.0
_WORDS: dict[Verdict, tuple[str, str, str]] = {
    "leak": ("Leaks", "泄漏", "know what could not have been known when a lead was scored; training stops for them"),
    "suspect": ("Suspects", "可疑", "look odd, but an honest column might; training goes on"),
    "cannot tell": ("Cannot tell", "无法判断", "have too few leads, wins or losses"),
    "clean": ("Clean", "正常", "show nothing that an honest column would not"),
}


@dataclass(frozen=True)
class _Bar:
    """One bar of a filling: whose, how much of the width, in words; an absent share has no bar."""

    whose: str
    width: float | None
    told: str


@dataclass(frozen=True)
class _Row:
    finding: ColumnFinding
    low: float
    high: float
    at: float
    told: str
    bars: tuple[_Bar, ...]


def render_leakage_page(report: LeakReport, *, as_of: datetime) -> str:
    """Return the page as HTML; every text is escaped, pictures are inside."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups = [
        (verdict.replace(" ", "-"), *words, [_row(one) for one in report.columns if one.verdict == verdict])
        for verdict, words in _WORDS.items()
    ]
    return environment.get_template("leakage.html.j2").render(
        report=report, day=as_of.date().isoformat(), groups=groups, width=_WIDTH
    )


def write_leakage_page(report: LeakReport, path: Path, *, as_of: datetime) -> Path:
    """Write the page beside its place and move it there; return the path.

    Raises
    ------
    InfrastructureError
        If the file cannot be written.
    """
    page = render_leakage_page(report, as_of=as_of)
    with written_whole(path) as beside:
        beside.write_text(page, encoding="utf-8")
    return path


def _row(finding: ColumnFinding) -> _Row:
    shares = (("won", finding.filled_won), ("lost", finding.filled_lost), ("open", finding.filled_open))
    return _Row(
        finding=finding,
        low=_WIDTH * finding.auc_low,
        high=_WIDTH * finding.auc_high,
        at=_WIDTH * finding.auc,
        told=f"AUC alone {finding.auc:.2f}, 95 % interval {finding.auc_low:.2f} to {finding.auc_high:.2f}",
        bars=tuple(
            _Bar(whose, None if share is None else _WIDTH * share, "no such leads" if share is None else percent(share))
            for whose, share in shares
        ),
    )
