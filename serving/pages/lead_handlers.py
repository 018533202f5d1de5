"""The page of one lead, and what people say of its score."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import HTMLResponse, RedirectResponse, Response

from data.clock import now, to_us
from data.store.notes import add_feedback
from data.store.records import is_storable
from serving.http.exchange import Refusal
from serving.keys.access import oversees
from serving.leads.score import hidden
from serving.pages.comparing import FEWEST, Comparing
from serving.pages.lead_view import lead_view
from serving.pages.list_handlers import scorer_of
from serving.pages.one_lead import Looking, look_at, seen_owner
from serving.pages.rendering import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.store.engine import Store
    from serving.changes.voices import Voices
    from serving.http.routing import Call
    from serving.pages.one_lead import OneLead
    from serving.pages.visitor import Visitor
    from serving.process.state import ServingState
    from serving.scoring.scorer import Scorer
    from serving.stored.door import Door

__all__ = ["LeadPages"]

_LONGEST_NOTE = 1000
_VERDICTS = ("good", "bad", "wrong_reason")


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
            oversees=oversees(visitor.principal),
            feedback_token=visitor.token("feedback"),
            kept=query.get("kept") == "1",
            zone=scorer.catalogue.timezone,
            days=_days(scorer),
            now_us=now_us,
            fewest=FEWEST,
            one=one,
            **lead_view(one, scorer, visitor.language, now_us=now_us, group=str(query.get("behind", ""))),
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


def _days(scorer: Scorer) -> float | int | None:
    days = scorer.horizon_days
    return int(days) if days is not None and float(days).is_integer() else days
