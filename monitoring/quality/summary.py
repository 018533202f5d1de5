"""The week in six figures and the two most important alerts: what stands on top of the page and on the card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.clock import from_us
from monitoring.cards.card import MOST_ALERTS, Card, Figure, shown_id
from monitoring.quality.fullness import Share
from monitoring.quality.limits import light_of, light_of_share
from monitoring.quality.mix import Count
from monitoring.quality.words import FIELD_WORDS, TEXTS

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from features.words import Language
    from monitoring.quality.report import QualityReport

__all__ = ["card_of", "figures_of", "number", "percent", "week_of"]

_IDS = 3
_BEST = frozenset({"A", "pool A"})
_GAP = 0.25  # a source that leaves out a field so much oftener than the others is worth a word


def percent(rate: float | None) -> str:
    """Return a share for people.

    Examples
    --------
    >>> percent(0.891), percent(0.0412), percent(0.998), percent(1.0), percent(None)
    ('89 %', '4.1 %', '99.8 %', '100 %', '–')
    """
    if rate is None:
        return "–"
    fine = 0 < rate < 0.095 or 0.985 < rate < 1
    return f"{100 * rate:.1f} %" if fine else f"{100 * rate:.0f} %"


def number(value: float) -> str:
    """Return a count with thousands, or a sum of probabilities with one digit.

    Examples
    --------
    >>> number(1234), number(3.14), number(1234.5)
    ('1,234', '3.1', '1,234')
    """
    return f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:,.1f}"


def week_of(report: QualityReport, zone: ZoneInfo, language: Language) -> str:
    """Return which week is told, its last day included, in the team's zone."""
    now = report.weeks.now
    days = [f"{from_us(us).astimezone(zone):%Y-%m-%d}" for us in (now.since_us, now.until_us - 1)]
    return _text("week", language, since=days[0], until=days[1])


def figures_of(report: QualityReport, language: Language) -> tuple[Figure, ...]:
    """Return the figures with their lights; what was not measured says so and has none.

    Parameters
    ----------
    report
        The week.
    language
        Of the words.
    """
    return (
        Figure(_text("new", language), number(report.new.now), _was(number(report.new.before), language),
               move=report.new.move),
        _hot(report, language),
        _complete(report, language),
        _reachable(report, language),
        _doubles(report, language),
        _lost(report, language),
    )  # fmt: skip


def _hot(report: QualityReport, language: Language) -> Figure:
    label = _text("hot", language)
    if not report.bands:
        return Figure(label, _text("not_measured", language))
    best = sum((row.open for row in report.bands if row.name in _BEST), Count(0, 0))
    return Figure(label, number(best.now), _was(number(best.before), language), move=best.move)


def _complete(report: QualityReport, language: Language) -> Figure:
    label, told = _text("complete", language), report.completeness
    if told.mean is None:
        return Figure(label, _text("not_measured", language))
    spread = 1.96 * (told.standard_error or 0.0)
    target = report.limits.complete
    light = light_of(told.mean - spread, told.mean + spread, at_least=target)
    return Figure(label, percent(told.mean), _text("target", language, value=f"≥ {100 * target:g} %"), light)


def _reachable(report: QualityReport, language: Language) -> Figure:
    share, target = report.reach.reachable, report.limits.reachable
    if not share.of:
        return Figure(_text("reachable", language), _text("not_measured", language))
    light = light_of_share(share, at_least=target)
    told = _text("target", language, value=f"≥ {100 * target:g} %")
    return Figure(_text("reachable", language), percent(share.rate), told, light)


def _doubles(report: QualityReport, language: Language) -> Figure:
    share, target = report.duplicates.candidates, report.limits.duplicates
    if not report.duplicates.measured:
        return Figure(_text("doubles", language), _text("not_measured", language))
    light = light_of_share(share, at_most=target)
    told = _text("target", language, value=f"≤ {100 * target:g} %")
    return Figure(_text("doubles", language), number(share.hits), f"{percent(share.rate)}, {told}", light)


def _lost(report: QualityReport, language: Language) -> Figure:
    losses = report.losses
    everyone = losses.lost.now + losses.rejected.now
    explained = Share(everyone - losses.unexplained, everyone)
    note = _text("explained", language, share=percent(explained.rate)) if everyone else ""
    light = light_of_share(explained, at_least=report.limits.explained)
    return Figure(_text("lost", language), number(losses.lost.now), note, light, losses.lost.move)


def card_of(report: QualityReport, *, zone: ZoneInfo, language: Language, link: str | None = None) -> Card:
    """Return the card of the week: counts, shares and ids of leads, and no word that a person typed.

    Parameters
    ----------
    report
        The week.
    zone
        In which days are told.
    language
        Of the words.
    link
        Where the page is found, None where nowhere.
    """
    return Card(
        report=report.weeks.report,
        title=_text("card_title", language),
        under=week_of(report, zone, language),
        figures=figures_of(report, language),
        alerts=tuple(_alerts(report, language)[:MOST_ALERTS]),
        link=link,
        language=language,
    )


def _alerts(report: QualityReport, language: Language) -> list[str]:
    """Return the alerts, the most important first."""
    found, alerts = [], report.alerts
    if alerts is not None and alerts.fallen:
        wins = number(float(sum(one.lost for one in alerts.fallen)))
        ids = _ids([one.lead_id for one in alerts.fallen])
        found.append(_text("card_fallen", language, count=number(len(alerts.fallen)), wins=wins, ids=ids))
    if alerts is not None and alerts.still:
        ids = _ids([one.lead_id for one in alerts.still])
        counts = {"count": number(len(alerts.still)), "high": number(alerts.high)}
        found.append(_text("card_still", language, **counts, days=number(round(alerts.quiet.days)), ids=ids))
    return found + _gaps(report, language) + _news(report, language)


def _gaps(report: QualityReport, language: Language) -> list[str]:
    """Return the widest gap of a source: a field that it leaves out far oftener than all together."""
    told = [
        (field.new.rate - share.rate, field, share)
        for field in report.completeness.fields
        for _, share in field.by_source
        if field.kept and field.new.rate is not None and share.rate is not None and share.interval[1] < field.new.rate
    ]
    wide, field, share = max(told, key=lambda one: one[0], default=(0.0, None, None))
    if wide < _GAP or field is None or share is None:
        return []
    words = FIELD_WORDS[field.field].in_language(language)
    return [_text("card_gap", language, field=words, share=percent(share.rate), usual=percent(field.new.rate))]


def _news(report: QualityReport, language: Language) -> list[str]:
    """Return the loss reason whose share grew beyond chance; its name stays at home, somebody may have typed it."""
    grown = [one for one in report.losses.reasons if one.move == "up"]
    if not grown:
        return []
    most = max(grown, key=lambda one: one.share.hits)
    return [_text("card_reason", language, share=percent(most.share.rate), usual=percent(most.usual))]


def _ids(lead_ids: list[str]) -> str:
    told = ", ".join(shown_id(lead_id) for lead_id in lead_ids[:_IDS])
    return told if len(lead_ids) <= _IDS else f"{told}, …"


def _was(value: str, language: Language) -> str:
    return _text("was", language, value=value)


def _text(name: str, language: Language, **values: str) -> str:
    return TEXTS[name].in_language(language).format(**values)
