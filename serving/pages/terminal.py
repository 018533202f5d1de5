"""The page of one lead in the terminal: the same facts in the same words, from the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.clock import from_us, iso
from serving.pages.comparing import FEWEST
from serving.pages.rendering import moment, percent, signed
from serving.pages.wording import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from data.settings import Settings
    from features.words import Language
    from serving.pages.one_lead import OneLead
    from serving.scoring.scorer import Scorer

__all__ = ["facts_of", "seen_in_store", "show_lead"]

# Under which the terminal's own visits are remembered: who sits at it has no key.
_TERMINAL = "terminal"


def seen_in_store(
    settings: Settings, scorer: Scorer, lead_id: str, language: Language, now_us: int
) -> tuple[OneLead, dict[str, Any]] | None:
    """Return a lead and what its page shows of it; None where the store is not there or does not know the lead.

    Parameters
    ----------
    settings
        Where the store is and where older bundles lie.
    scorer
        What answers at the moment.
    lead_id
        The lead.
    language
        Of all texts.
    now_us
        The present, microseconds UTC.

    Raises
    ------
    InfrastructureError
        If there is a store, and it cannot be used.
    """
    from data.store.engine import open_store
    from data.store.records import is_storable
    from serving.changes.voices import Voices
    from serving.http.exchange import Refusal
    from serving.keys.access import ANYONE
    from serving.pages.comparing import Comparing
    from serving.pages.lead_view import lead_view
    from serving.pages.one_lead import Looking, look_at

    if not is_storable(lead_id) or not _is_there(settings.store_url):
        return None
    store = open_store(settings.store_url)
    try:
        looking = Looking(lead_id, ANYONE, _TERMINAL, language, now_us)
        one = look_at(store, scorer, looking, comparing=Comparing(), voices=Voices(settings, lambda: scorer))
    except Refusal:
        return None
    finally:
        store.close()
    return one, lead_view(one, scorer, language, now_us=now_us)


def _is_there(url: str) -> bool:
    """Tell whether there is a store to ask: a team that has never made one works from the warehouse alone."""
    file = url.removeprefix("sqlite:///")
    return file == url or Path(file).exists()


def facts_of(one: OneLead, view: Mapping[str, Any], scorer: Scorer) -> dict[str, Any]:
    """Return what the page shows, ready for JSON; what the answer of /v1/score has too bears its name."""
    told, given = one.told, one.given
    changed = view["changed"]
    return {
        "lead_id": one.lead["lead_id"],
        "as_of": None if given is None else iso(from_us(given.score.as_of_us)),
        "horizon_days": scorer.horizon_days,
        "source": None if given is None else given.score.source,
        "probability": None if told is None else told.probability,
        "interval": None if told is None or told.interval is None else list(told.interval),
        "grade": None if given is None else given.score.grade,
        "grade_record": None if told is None or told.grade is None else told.grade.model_dump(mode="json"),
        "base_logit": None if told is None else told.base,
        "remainder_logit": None if told is None else told.remainder,
        "reasons": None if told is None else _reasons(view),
        "rules": dict(one.rules),
        "handover": view["handover"],
        "changed": None if changed is None else {**changed, "since": iso(from_us(one.since_us or 0))},
        "similar": None if one.compared is None else _similar(one),
        "gaps": [*one.unreachable, *(gap.feature.name for gap in one.gaps)],
    }


def show_lead(one: OneLead, view: Mapping[str, Any], scorer: Scorer, language: Language) -> None:
    """Print a lead as its page shows it."""
    from data.console import console

    for heading, lines in _parts(one, view, scorer, language):
        if heading:
            console().print(f"\n{heading}", style="bold", markup=False)
        for line in lines:
            if isinstance(line, str):
                console().print(line, markup=False)
            else:
                console().print(line)


def _parts(
    one: OneLead, view: Mapping[str, Any], scorer: Scorer, language: Language
) -> list[tuple[str, Sequence[object]]]:
    zone = scorer.catalogue.timezone
    parts: list[tuple[str, Sequence[object]]] = [("", _head(one, view, scorer, language, zone))]
    if one.told is not None:
        parts.append((say("reasons", language), [_waterfall(view, one, language)]))
    if one.given is not None:
        parts.append((say("rules", language), _rules(one, view, language)))
        key = "changed_visit" if one.visited else "changed_week"
        parts.append((say(key, language), _changes(one, view, language, zone)))
    if one.compared is not None:
        parts.append((say("similar", language), _endings(one, language)))
    gaps = [say(f"gap_{name}", language) for name in one.unreachable]
    gaps += [say("gap", language, field=field, factor=factor) for field, factor in view["gaps"]]
    return [*parts, (say("gaps", language), gaps or [say("gaps_none", language)])]


def _head(one: OneLead, view: Mapping[str, Any], scorer: Scorer, language: Language, zone: str) -> list[str]:
    lead_id, told, given = one.lead["lead_id"], one.told, one.given
    title = lead_id if view["title"] == lead_id else f"{view['title']} ({lead_id})"
    if given is None:
        return [title, say("never_scored", language)]
    lines = [f"{title}, {say('as_of', language, when=moment(given.score.as_of_us, zone))} {zone}"]
    if one.ended is not None:
        lines.append(say(f"ended_{one.ended['outcome']}", language, when=moment(one.ended["closed_at"], zone)[:10]))
    if told is None:
        lines.append(say("rules_answered", language, n=one.rules.get("points", 0)))
    else:
        days = scorer.horizon_days
        many = "in_hundred" if view["hundred"] else "in_hundred_low"
        lines.append(f"{percent(told.probability)}  {say(many, language, n=view['hundred'], days=f'{days:g}')}")
        lines += _sureness(one, language)
    return [*lines, *_decision(view, language, zone)]


def _sureness(one: OneLead, language: Language) -> Iterable[str]:
    """Yield how far the probability may be off, and what the grade has really converted at."""
    told, given = one.told, one.given
    if told is None or given is None:
        return
    if told.interval is None:
        yield say("range_none", language)
    else:
        yield say("range", language, low=percent(told.interval[0]), high=percent(told.interval[1]))
    record = told.grade
    if record is None or not record.judged or record.conversion is None:
        yield say("grade_unproved", language, grade=given.score.grade)
        return
    ends = {"low": percent(max(record.low or 0.0, 0.0)), "high": percent(min(record.high or 1.0, 1.0))}
    counts = {"judged": f"{record.judged:,}", "won": f"{record.won:,}", "rate": percent(record.conversion)}
    yield say("grade_record", language, grade=record.grade, **counts, **ends)


def _decision(view: Mapping[str, Any], language: Language, zone: str) -> Iterable[str]:
    decided = view["handover"]
    if decided is not None:
        by = "" if view["by_us"] is None else f" · {say('respond', language)} {moment(view['by_us'], zone)}"
        yield f"{say('pool_told', language, pool=decided['pool'])}{by}: {decided['note']}"


def _waterfall(view: Mapping[str, Any], one: OneLead, language: Language) -> object:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2))
    for key in ("adds", "then", "reason"):
        table.add_column(say(key, language), justify="left" if key == "reason" else "right")
    rest = "step_written" if one.told is not None and one.told.base is None else "step_rest"
    for step, evidence in zip(view["steps"], view["evidence"], strict=True):
        if step.reason is None:
            text = say({"base": "step_base", "end": "step_end"}.get(step.kind, rest), language)
        else:
            text = escape(step.reason["text"]) + (f"\n[dim]{escape(' · '.join(evidence))}[/dim]" if evidence else "")
        colour = "green" if step.logit > 0 else "red"
        amount = signed(step.logit) if step.kind in {"base", "end"} else f"[{colour}]{signed(step.logit)}[/{colour}]"
        table.add_row(amount, percent(step.probability), text)
    return table


def _rules(one: OneLead, view: Mapping[str, Any], language: Language) -> list[str]:
    points, pool = one.rules.get("points", 0), one.rules.get("pool", "–")
    head = say("rules_points", language, n=points, pool=pool)
    if view["handover"] is not None:
        head += f" · {say('agree_' + view['handover']['because'], language)}"
    fired = [f"  {given:+d}  {text}" for text, given in view["fired"]]
    return [head, *(fired or [say("rules_none", language)])]


def _changes(one: OneLead, view: Mapping[str, Any], language: Language, zone: str) -> list[str]:
    changed = view["changed"]
    if changed is None:
        if one.changes and not one.changes["since"]:
            return [say("changed_first", language)]
        return [say("changed_nothing", language, when=moment(one.since_us or 0, zone))]
    lines = [say("changed_from", language, before=changed["before"], now=changed["now"])] if changed["before"] else []
    for part in changed["parts"]:
        lines.append(f"  {signed(part['amount'])}  {part['text']}")
        lines += [f"         {group['text']} {signed(group['amount'])}" for group in part["groups"][:3]]
    return [*lines, changed["untold"]["message"]] if changed["untold"] else lines


def _endings(one: OneLead, language: Language) -> list[str]:
    compared = one.compared
    if compared is None or not compared.looked:
        known = 0 if compared is None else compared.known
        return [say("similar_few", language, known=known, least=FEWEST)]
    told = say("similar_told", language, looked=compared.looked, known=f"{compared.known:,}", won=compared.won)
    return [told, say("similar_how", language)]


def _reasons(view: Mapping[str, Any]) -> list[dict[str, Any]]:
    pairs = zip(view["steps"], view["evidence"], strict=True)
    return [{**step.reason, "behind": list(lines)} for step, lines in pairs if step.reason is not None]


def _similar(one: OneLead) -> dict[str, int]:
    compared = one.compared
    return {} if compared is None else {"known": compared.known, "looked": compared.looked, "won": compared.won}
