"""The page of one lead, and what people say of its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import HTMLResponse, RedirectResponse, Response

from data.clock import DAY_US, now, parse_moment, to_us
from data.store.notes import add_feedback
from data.store.records import is_storable
from serving.http.exchange import Refusal
from serving.leads.score import hidden
from serving.pages.behind import behind, reads_events
from serving.pages.comparing import FEWEST, Comparing
from serving.pages.drawing import timeline, waterfall
from serving.pages.list_handlers import scorer_of
from serving.pages.one_lead import Looking, look_at, seen_owner
from serving.pages.rendering import percent, render
from serving.pages.retelling import evidence_of, steps_of
from serving.pages.wording import say
from serving.scoring.handover import in_language
from serving.scoring.reasons import format_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data.store.engine import Store
    from features.words import Language
    from serving.changes.voices import Voices
    from serving.http.routing import Call
    from serving.pages.behind import Happening
    from serving.pages.drawing import Timeline
    from serving.pages.one_lead import OneLead
    from serving.pages.retelling import Step
    from serving.pages.visitor import Visitor
    from serving.process.state import ServingState
    from serving.scoring.scorer import Scorer
    from serving.stored.door import Door

__all__ = ["LeadPages"]

_SHOWN_EVENTS, _DRAWN_EVENTS = 60, 300
_LONGEST_NOTE = 1000
_VERDICTS = ("good", "bad", "wrong_reason")
_LEAST_DRAWN_US = 7 * DAY_US


@dataclass(frozen=True)
class _Picture:
    """The timeline with the words of its description."""

    dots: Timeline
    start_us: int
    text: str


class LeadPages:
    """The handlers of one lead."""

    def __init__(self, door: Door, state: ServingState, *, voices: Voices | None) -> None:
        self._door = door
        self._state = state
        self._voices = voices
        self._comparing = Comparing()

    async def show(self, call: Call, visitor: Visitor) -> Response:
        """Show a lead."""
        scorer, lead_id, now_us = scorer_of(self._state), _lead_id(call), to_us(now())
        looking = Looking(lead_id, visitor.principal, visitor.key_id, visitor.language, now_us)

        def work(store: Store) -> OneLead:
            return look_at(store, scorer, looking, comparing=self._comparing, voices=self._voices)

        one = await self._door.run(work)
        query = call.request.query_params
        path = f"/leads/{quote(lead_id, safe='')}"
        page = render(
            "lead.html.j2",
            visitor.language,
            here=path,
            path=path,
            sign_out_token=visitor.token("sign-out") if visitor.can_sign_out else "",
            feedback_token=visitor.token("feedback"),
            kept=query.get("kept") == "1",
            zone=scorer.catalogue.timezone,
            days=_days(scorer),
            now_us=now_us,
            fewest=FEWEST,
            one=one,
            **_told(one, scorer, visitor.language, str(query.get("behind", "")), now_us),
        )
        return HTMLResponse(page)

    async def feedback(self, call: Call, visitor: Visitor, fields: Mapping[str, str]) -> Response:
        """Keep what somebody says of a score."""
        lead_id, verdict, note = _lead_id(call), fields.get("verdict", ""), fields.get("note", "").strip()
        if verdict not in _VERDICTS or len(note) > _LONGEST_NOTE or not is_storable(note):
            raise Refusal(400, "invalid_feedback", "a verdict and a note of at most 1000 characters were expected")

        def work(store: Store) -> None:
            given = seen_owner(store, lead_id, visitor.principal, to_us(now()))
            shown = fields.get("score_id", "")
            known = shown if shown.isascii() and shown.isdigit() and len(shown) < 19 else ""
            score_id = int(known) if known else None if given is None else given.score_id
            add_feedback(
                store, lead_id, key_id=visitor.key_id, verdict=verdict, score_id=score_id, note=note or None  # type: ignore[arg-type]
            )  # fmt: skip

        await self._door.run(work)
        return RedirectResponse(f"/leads/{quote(lead_id, safe='')}?kept=1", 303)


def _lead_id(call: Call) -> str:
    lead_id = str(call.path["lead_id"])
    if not is_storable(lead_id):
        raise hidden()
    return lead_id


def _told(one: OneLead, scorer: Scorer, language: Language, group: str, now_us: int) -> dict[str, Any]:
    """Return what the template shows beside the lead itself, in words."""
    steps = [] if one.told is None else steps_of(one.told)
    catalogue = None if one.told is None else one.told.catalogue
    found = [[] if step.reason is None else evidence_of(step.reason, catalogue) for step in steps]
    behind_text, happened = _behind(one, steps, group)
    handover = one.rules.get("handover")
    by = None if handover is None else handover.get("by")
    return {
        "title": (one.account or {}).get("name") or one.lead["lead_id"],
        "hundred": None if one.told is None else _in_hundred(one.told.probability),
        "handover": None if handover is None else in_language(handover, language),
        "by_us": None if by is None else to_us(parse_moment(by)),
        "about": _about(one, language),
        "figure": waterfall(steps) if steps else None,
        # The first one is what the reason itself says.
        "evidence": [[(it.label.in_language(language), _value(value)) for it, value in each[1:]] for each in found],
        "linked": [any(reads_events(feature) for feature, _ in each) for each in found],
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


def _value(value: object) -> str:
    """Write a value of a feature for people: tenths are enough beside a reason."""
    return format_number(round(float(value), 1)) if isinstance(value, int | float) else str(value).replace("_", " ")


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
    return {
        "before": percent(before["probability"]) if both else "",
        "now": percent(after["probability"]) if both else "",
        "parts": [part for part in changes["parts"] if abs(part["amount"]) >= 0.005 or part["facts"]],
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


def _days(scorer: Scorer) -> float | int | None:
    days = scorer.horizon_days
    return int(days) if days is not None and float(days).is_integer() else days
