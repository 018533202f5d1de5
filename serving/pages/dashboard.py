"""The dashboard: how things stand at a glance, and why, from figures that `clew monitor` has computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from data.clock import now, parse_moment, to_us
from monitoring.standing_file import age_days, is_stale
from monitoring.words import ACTS, COLUMNS, HEADINGS
from serving.keys.access import oversees
from serving.pages.dashboard_drawing import course, months
from serving.pages.rendering import day, moment, percent, render
from serving.pages.wording import say
from serving.watching.handlers import require_oversight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.words import Language
    from monitoring.standing import BaselineTold, LampTold, Standing
    from serving.http.routing import Call
    from serving.pages.visitor import Visitor
    from serving.watching.reading import Seen, Standings

__all__ = ["DashboardPage"]

_MARKS = {"green": "✓", "amber": "!", "red": "✗", "not_measured": "–"}


class DashboardPage:
    """The handler of the dashboard."""

    def __init__(self, standings: Standings | None) -> None:
        self._standings = standings

    async def show(self, call: Call, visitor: Visitor) -> Response:  # noqa: ARG002 - a page's signature
        """Show how things stand.

        Raises
        ------
        Refusal
            403 for a rep.
        """
        require_oversight(visitor.principal)
        seen = None if self._standings is None else await self._standings.seen()
        standing = None if seen is None else seen.standing
        now_us = to_us(now())
        page = render(
            "dashboard.html.j2",
            visitor.language,
            here="/monitoring",
            sign_out_token=visitor.token("sign-out") if visitor.can_sign_out else "",
            oversees=oversees(visitor.principal),
            problem=("missing" if seen is None else seen.problem),
            stale=f"{age_days(standing, now_us):.0f}" if standing and is_stale(standing, now_us) else "",
            head=None if standing is None else _head(standing),
            figures="" if seen is None or standing is None else _figures(seen, standing, visitor.language),
        )
        return HTMLResponse(page)


def _head(standing: Standing) -> dict[str, str]:
    zone = standing.timezone
    as_of, computed = (moment(to_us(parse_moment(each)), zone) for each in (standing.as_of, standing.computed_at))
    return {"as_of": as_of, "computed": computed, "zone": zone}


def _figures(seen: Seen, standing: Standing, language: Language) -> Markup:
    """Return the figures as HTML, made once for each file and language."""
    found = seen.pages.get(language)
    if found is None:
        found = seen.pages[language] = render("dashboard_figures.html.j2", language, **_told(standing, language))
    return Markup(found)  # noqa: S704 - a template that escapes whatever it is given


def _told(standing: Standing, language: Language) -> dict[str, Any]:
    record, baselines = standing.record, standing.baselines
    return {
        "standing": standing,
        "marks": _MARKS,
        "words": {name: words.in_language(language) for name, words in HEADINGS.items()},
        "columns": {name: words.in_language(language) for name, words in COLUMNS.items()},
        "act": ACTS[standing.call.act].in_language(language),
        "lamps": [(lamp, _lamp(standing, lamp, language)) for lamp in standing.lights],
        "names": {light: _names(standing, light, language) for light in _MARKS},
        "picture": months(record.months) if record and len(record.months) > 1 else None,
        "pillars": [] if baselines is None else _pillars(baselines.rows),
        "course_of": _course,
        "shown": _shown,
        "sign_of": lambda row: "≥" if row.at_least is not None else "≤",
        "first_day": lambda text: day(to_us(parse_moment(text)), standing.timezone),
        "last_day": lambda text: day(to_us(parse_moment(text)) - 1, standing.timezone),
        "money": _money,
    }


def _names(standing: Standing, light: str, language: Language) -> str:
    """Return which questions have a light."""
    found = [say(f"name_{lamp.name}", language) for lamp in standing.lights if lamp.light == light]
    return say("between_names", language).join(found)


def _lamp(standing: Standing, lamp: LampTold, language: Language) -> str:
    """Return what a light stands for, in a line."""
    record = standing.record
    if lamp.name == "promise":
        return _promise(standing, language)
    if lamp.name == "order":
        order = None if record is None else record.order
        if order is None or order.model is None or order.rules is None:
            return "" if record is None else say("lamp_young", language)
        value, low, high = (f"{each:.2f}" for each in order.model)
        return say("lamp_order_told", language, value=value, low=low, high=high, rules=f"{order.rules[0]:.2f}")
    if lamp.name == "data":
        return _data(standing, language)
    lights = [row.light for row in (standing.baselines.rows if standing.baselines else ())]
    found = [(light, lights.count(light)) for light in ("red", "amber", "green", "not_measured") if light in lights]
    return " · ".join(f"{count} {say(f'colour_{light}', language)}" for light, count in found)


def _promise(standing: Standing, language: Language) -> str:
    record = standing.record
    if record is None:
        return ""
    if record.level is None:
        return say("lamp_young_why", language, n=f"{record.estimate.rows:,}")
    level = record.level
    return say(
        "lamp_promise_told",
        language,
        promised=percent(level.promised),
        realised=percent(level.realised),
        n=f"{level.rows:,}",
    )


def _data(standing: Standing, language: Language) -> str:
    if standing.drift is None:
        return ""
    of_data = [one for one in standing.findings if not _is_of_record(one.subject, one.kind)]
    act = sum(one.severity == "act" for one in of_data)
    if not of_data:
        return say("lamp_data_quiet", language)
    return say("lamp_data_told", language, act=act, watch=len(of_data) - act)


def _is_of_record(subject: str, kind: str) -> bool:
    return kind in {"promise_broken", "ranking_lost"} or subject == "record"


def _pillars(rows: tuple[BaselineTold, ...]) -> list[tuple[Any, list[BaselineTold]]]:
    """Return the baselines pillar by pillar, in their order."""
    found: dict[str, tuple[Any, list[BaselineTold]]] = {}
    for row in rows:
        found.setdefault(row.pillar, (row.pillar_words, []))[1].append(row)
    return list(found.values())


def _course(row: BaselineTold) -> Any:  # noqa: ANN401 - what the template draws
    values = [point.value for point in row.history]
    if sum(value is not None for value in values) < 2:
        return None
    return course(values, row.at_least if row.at_least is not None else row.at_most or 0.0)


def _shown(row: BaselineTold, value: float) -> str:
    """Write a value of a baseline: a share in percent with as many places as thresholds have, numbers as they are."""
    if row.is_share:
        return f"{100 * value:.1f}".rstrip("0").rstrip(".") + " %"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}".rstrip("0").rstrip(".")


def _money(amounts: Mapping[str, float]) -> list[str]:
    """Return amounts one by one: currencies are not added up."""
    return [f"{currency} {amount:,.0f}" for currency, amount in amounts.items()] or ["–"]
