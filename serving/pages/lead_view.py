"""What the page of one lead says of it, in words: the one source of the page and of the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from data.clock import DAY_US, parse_moment, to_us
from serving.pages.behind import behind
from serving.pages.drawing import timeline, waterfall
from serving.pages.evidence import evidence_lines
from serving.pages.rendering import percent
from serving.pages.retelling import evidence_of, steps_of
from serving.pages.wording import say
from serving.scoring.handover import in_language
from serving.scoring.reasons import format_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.words import Language
    from serving.pages.behind import Happening
    from serving.pages.drawing import Timeline
    from serving.pages.one_lead import OneLead
    from serving.pages.retelling import Step
    from serving.scoring.scorer import Scorer

__all__ = ["lead_view"]

_SHOWN_EVENTS, _DRAWN_EVENTS = 60, 300
_LEAST_DRAWN_US = 7 * DAY_US
_LEAST_CHANGE = 0.005  # log-odds: what is written as 0.01 or more
_NOTHING: Mapping[str, Any] = MappingProxyType({"evidence": {}})


@dataclass(frozen=True)
class _Picture:
    """The timeline with the words of its description."""

    dots: Timeline
    start_us: int
    text: str


def lead_view(one: OneLead, scorer: Scorer, language: Language, *, now_us: int, group: str = "") -> dict[str, Any]:
    """Return what is shown beside the lead itself, in words.

    Parameters
    ----------
    one
        The lead, from `serving.pages.one_lead.look_at`.
    scorer
        What answers at the moment: its scorecard has words for the rules.
    language
        Of all texts.
    now_us
        The present, microseconds UTC.
    group
        The group of features whose events are to be shown; all events where it has none.
    """
    steps = [] if one.told is None else steps_of(one.told)
    evidence = evidence_lines(one, [step.reason or _NOTHING for step in steps], language, scorer.catalogue.timezone)
    behind_text, happened = _behind(one, steps, group)
    handover = one.rules.get("handover")
    by = None if handover is None else handover.get("by")
    return {
        "steps": steps,
        "title": (one.account or {}).get("name") or one.lead["lead_id"],
        "hundred": None if one.told is None else _in_hundred(one.told.probability),
        "handover": None if handover is None else in_language(handover, language),
        "by_us": None if by is None else to_us(parse_moment(by)),
        "about": _about(one, language),
        "figure": waterfall(steps) if steps else None,
        "evidence": [lines for lines, _ in evidence],
        "linked": [has_events for _, has_events in evidence],
        "fired": _fired(one, scorer, language),
        "changed": _changed(one),
        "gaps": [(gap.feature.label.in_language(language), f"{gap.factor:.1f}") for gap in one.gaps],
        "picture": _picture(one, language, now_us),
        "behind_text": behind_text,
        "happened": happened[:_SHOWN_EVENTS],
        "unshown": max(len(happened) - _SHOWN_EVENTS, 0),
    }


def _in_hundred(chance: float) -> int | None:
    """Return how many of a hundred, None for fewer than one."""
    return round(100 * chance) or None


def _about(one: OneLead, language: Language) -> list[tuple[str, str]]:
    lead, account, contact = one.lead, one.account or {}, one.contact or {}
    told = [
        *((name, contact.get(name)) for name in ("name", "email", "phone")),
        ("job_title", lead["job_title"]),
        ("company", account.get("name")),
        ("industry", account.get("industry")),
        ("employees", account.get("employees")),
        ("country", account.get("country") or lead["country"]),
        ("source", lead["source"]),
        ("status", lead["status"]),
        ("owner_id", lead["owner_id"] or say("nobody", language)),
    ]
    return [(say(name, language), _shown(value)) for name, value in told if value not in {None, ""}]


def _shown(value: object) -> str:
    return format_number(value) if isinstance(value, float) else str(value)


def _fired(one: OneLead, scorer: Scorer, language: Language) -> list[tuple[str, int]]:
    """Return the rules that gave points, in words where the scorecard at hand has some."""
    words = {rule.rule: rule.words.get(language, rule.rule) for rule in scorer.scorecard.rules}
    return [(words.get(each["rule"], each["rule"]), int(each["points"])) for each in one.rules.get("fired", ())]


def _changed(one: OneLead) -> dict[str, Any] | None:
    """Return the difference between two scores in words, None where there is nothing to tell."""
    changes = one.changes
    if not changes or not changes["since"]:
        return None
    before, after = changes["since"], changes["now"]
    if before["score_id"] == after["score_id"]:
        return None
    both = before["probability"] is not None and after["probability"] is not None
    parts = [part for part in changes["parts"] if abs(part["amount"]) >= _LEAST_CHANGE or part["facts"]]
    if not parts and not changes["untold"]:
        return None
    return {
        "before": percent(before["probability"]) if both else "",
        "now": percent(after["probability"]) if both else "",
        "parts": parts,
        "untold": changes["untold"],
    }


def _behind(one: OneLead, steps: Sequence[Step], group: str) -> tuple[str, Sequence[Happening]]:
    """Return a reason and what stands behind it, where one was asked for; else everything that happened."""
    step = next((each for each in steps if each.reason is not None and each.reason["group"] == group), None)
    if step is None or step.reason is None or one.told is None or one.given is None:
        return "", one.happened
    features = [feature for feature, _ in evidence_of(step.reason, one.told.catalogue)]
    return step.reason["text"], behind(one.happened, features, one.given.score.as_of_us)


def _picture(one: OneLead, language: Language, now_us: int) -> _Picture | None:
    scores = [
        (each.score.as_of_us, each.score.probability) for each in one.scores if each.score.probability is not None
    ]
    events = [(each.at_us, each.kind) for each in one.happened[:_DRAWN_EVENTS]]
    if not scores and not events:
        return None
    first = min(us for us, _ in [*scores, *events])
    start_us = min(first, now_us - _LEAST_DRAWN_US)
    chances = [chance for _, chance in scores] or [0.0]
    text = say(
        "timeline_desc", language, scores=len(scores), low=percent(min(chances)), high=percent(max(chances)),
        events=len(events),
    )  # fmt: skip
    return _Picture(timeline(scores, events, start_us=start_us, end_us=now_us), start_us, text)
