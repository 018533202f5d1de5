"""The page of the week: one HTML file that needs nothing else, for a screen, a phone and two sheets of paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.clock import from_us
from data.files import written_whole
from monitoring.cards.card import LIGHTS, shown_id
from monitoring.quality.pictures import bars, stack, trend
from monitoring.quality.summary import figures_of, number, percent, week_of
from monitoring.quality.words import FIELD_WORDS, KEY_WORDS, NAMES, TEXTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from features.words import Language
    from monitoring.quality.mix import Row
    from monitoring.quality.report import QualityReport

__all__ = ["render_quality_page", "write_quality_page"]

_TEMPLATES = Path(__file__).parents[1] / "templates"
_LISTED = 8  # leads of each alert, so that two sheets hold the page


def write_quality_page(report: QualityReport, path: Path, *, zone: ZoneInfo, language: Language = "en") -> Path:
    """Write the page beside its place and move it there; return the path.

    Raises
    ------
    InfrastructureError
        If the file cannot be written.
    """
    page = render_quality_page(report, zone=zone, language=language)
    with written_whole(path) as beside:
        beside.write_text(page, encoding="utf-8")
    return path


def render_quality_page(report: QualityReport, *, zone: ZoneInfo, language: Language = "en") -> str:
    """Return the page as HTML.

    Parameters
    ----------
    report
        The week.
    zone
        In which days are told.
    language
        Of the texts.
    """
    import jinja2

    # The frame is that of all pages; autoescape keeps names of sources and reasons from being read as markup.
    loader = jinja2.ChoiceLoader([jinja2.FileSystemLoader(_TEMPLATES), jinja2.PackageLoader("training", "templates")])
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"percent": percent, "number": number, "shown": shown_id}
    texts = {name: words.in_language(language) for name, words in TEXTS.items()}
    return environment.get_template("quality.html.j2").render(
        title=texts["title"],
        language=language,
        words=texts,
        week=week_of(report, zone, language),
        known=f"{from_us(report.weeks.now.until_us).astimezone(zone):%Y-%m-%d %H:%M %Z}",
        figures=figures_of(report, language),
        lights={light: words.in_language(language) for light, words in LIGHTS.items()},
        report=report,
        listed=_LISTED,
        pictures=_pictures(report, texts, language),
        fields={name: words.in_language(language) for name, words in FIELD_WORDS.items()},
        keys={name: words.in_language(language) for name, words in KEY_WORDS.items()},
        name=lambda value: _named(value, language),
        trend=lambda reason: _markup(trend(reason.weekly, label=_named(reason.reason, language))),
    )


def _pictures(report: QualityReport, texts: dict[str, str], language: Language) -> dict[str, Any]:
    def drawn(rows: Sequence[Row] | None, title: str) -> Any:  # noqa: ANN401 - a library's type
        return rows and _markup(bars([(_named(row.name, language), row) for row in rows], label=texts[title]))

    told = [(texts[name], int(getattr(report.reach, name))) for name in ("both", "email_only", "phone_only", "neither")]
    return {
        "by_grade": drawn(report.bands, "by_grade"),
        "by_source": drawn(report.sources, "by_source"),
        "by_industry": drawn(report.industries, "by_industry"),
        "reach": _markup(stack(told, label=texts["reach"])) if report.reach.reachable.of else "",
    }


def _named(value: str, language: Language) -> str:
    """Return a value of the data in words: a sign for none in the reader's language, an underscore as a blank."""
    return NAMES[value].in_language(language) if value in NAMES else value.replace("_", " ")


def _markup(markup: str) -> Any:  # noqa: ANN401 - a library's type, imported only where a page is made
    """Return markup of `monitoring.quality.pictures`, which escapes every name, as the template may put it in."""
    from markupsafe import Markup

    return Markup(markup)  # noqa: S704 - numbers and escaped names
