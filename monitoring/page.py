"""The page on which a person reads whether scores keep their promise: one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.files import written_whole
from monitoring.drift.finding import KINDS
from monitoring.record.promises import ASSUMPTION
from monitoring.words import ACTS, COLUMNS, HEADINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.words import Language
    from monitoring.record.promises import Promise
    from monitoring.watch import Watched

__all__ = [
    "as_markup",
    "by_month",
    "promise_picture",
    "render_monitor_page",
    "render_template",
    "write_monitor_page",
]

_TEMPLATES = Path(__file__).parent / "templates"
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 720.0, 260.0, 52.0, 14.0, 36.0


def write_monitor_page(watched: Watched, path: Path, *, language: Language = "en") -> Path:
    """Write the page beside its place and move it there; return the path.

    Raises
    ------
    InfrastructureError
        If the file cannot be written.
    """
    page = render_monitor_page(watched, language=language)
    with written_whole(path) as beside:
        beside.write_text(page, encoding="utf-8")
    return path


def render_monitor_page(watched: Watched, *, language: Language = "en") -> str:
    """Return the page as HTML: what was found, what is due, the record with its picture, and the drift.

    Parameters
    ----------
    watched
        What was seen.
    language
        Of the texts.
    """
    record, drift = watched.record, watched.drift
    return render_template(
        "monitor.html.j2",
        title=HEADINGS["title"].in_language(language),
        language=language,
        words={name: words.in_language(language) for name, words in HEADINGS.items()},
        columns={name: words.in_language(language) for name, words in COLUMNS.items()},
        watched=watched,
        act=ACTS[watched.call.act].in_language(language),
        kinds={kind: words.in_language(language) for kind, words in KINDS.items()},
        picture=as_markup(promise_picture(record.promises, language=language)) if record and record.promises else "",
        record=record,
        drift=drift,
        moved=[] if drift is None else [one for one in drift.fields if one.move not in {None, "steady"}],
        assumption=ASSUMPTION.in_language(language),
    )


def render_template(name: str, **values: object) -> str:
    """Return a page of monitoring from one of its templates, in the frame that all pages share."""
    import jinja2

    # Autoescape keeps names of sources from being read as markup.
    loader = jinja2.ChoiceLoader([jinja2.FileSystemLoader(_TEMPLATES), jinja2.PackageLoader("training", "templates")])
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    page: str = environment.get_template(name).render(**values)
    return page


def promise_picture(promises: Sequence[Promise], *, language: Language = "en") -> str:
    """Return promised beside realised by month, all grades together, as inline SVG.

    A dot is the realised rate with Wilson's 95 % interval, a short line the promise; months without mature leads show
    the promise alone. Dot and line differ in shape, so that the picture is read without colours.

    Examples
    --------
    >>> import numpy as np
    >>> from monitoring.record.promises import keep_promise
    >>> told = keep_promise("2026-05", "A", np.full(10, 0.4), np.array([1] * 4 + [0] * 6), np.ones(10, bool))
    >>> drawn = promise_picture([told])
    >>> drawn.count("<circle"), "2026-05" in drawn
    (1, True)
    """
    months = by_month(promises)
    top = max([0.01, *(max(m["promised"], m["high"] or 0.0) for m in months)]) * 1.1
    step = (_WIDTH - _LEFT) / max(len(months), 1)

    def height(rate: float) -> float:
        return float(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - rate / top))

    parts = [_axis(height(top * k / 4), top * k / 4) for k in range(5)]
    for place, month in enumerate(months):
        x = _LEFT + (place + 0.5) * step
        parts.append(_month(month, x, step, height, every=max(1, -(-len(months) // 12)), place=place))
    label = HEADINGS["picture"].in_language(language)
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="{label}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def as_markup(text: str) -> Any:  # noqa: ANN401 - a library's type, imported only where a page is made
    """Return a picture of this module as markup, which a template puts in as it is."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - made of numbers and escaped labels


def by_month(promises: Sequence[Promise]) -> list[dict[str, Any]]:
    """Add the grades of each month up; the interval is Wilson's of the month."""
    from training.evaluation.metrics import wilson

    found = []
    for name in sorted({promise.month for promise in promises}):
        of_month = [promise for promise in promises if promise.month == name]
        mature, wins = sum(p.mature for p in of_month), sum(p.wins for p in of_month)
        weight = [p.mature if mature else p.young for p in of_month]
        rates = [p.promised if mature else p.expected_wins / max(p.young, 1) for p in of_month]
        promised = sum(w * (r or 0.0) for w, r in zip(weight, rates, strict=True)) / max(sum(weight), 1)
        low, high = wilson(wins, mature) if mature else (None, None)
        realised = wins / mature if mature else None
        found.append({"month": name, "promised": promised, "realised": realised, "low": low, "high": high})
    return found


def _axis(y: float, rate: float) -> str:
    return (
        f'<line class="grid" x1="{_LEFT:.0f}" x2="{_WIDTH:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 8:.0f}" y="{y + 4:.1f}" text-anchor="end">{100 * rate:.1f} %</text>'
    )


def _month(month: dict[str, Any], x: float, step: float, height: Any, *, every: int, place: int) -> str:  # noqa: ANN401
    half = min(step * 0.3, 16.0)
    y = height(month["promised"])
    drawn = f'<line class="promised" x1="{x - half:.1f}" x2="{x + half:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
    if month["realised"] is not None:
        low, high, dot = height(month["low"]), height(month["high"]), height(month["realised"])
        drawn += f'<line class="realised" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
        drawn += f'<circle class="realised" cx="{x:.1f}" cy="{dot:.1f}" r="4"/>'
    if place % every == 0:
        drawn += f'<text x="{x:.1f}" y="{_HEIGHT - 12:.0f}" text-anchor="middle">{month["month"]}</text>'
    return drawn
