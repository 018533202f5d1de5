"""The paths that read: a lead's score from what is known now, and its history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from serving.http.exchange import Refusal, answer_response, json_response
from serving.http.problems import PayloadError, Problem
from serving.http.routing import Route
from serving.leads.score import given_scores, score_known

if TYPE_CHECKING:
    from starlette.responses import Response

    from data.store.engine import Store
    from data.store.keys import Scope
    from serving.http.metrics import Metrics
    from serving.http.routing import Call
    from serving.process.state import ServingState
    from serving.stored.door import Door

__all__ = ["Leads", "lead_routes", "whole_number"]

MOST_SCORES = 200
_USUAL_SCORES = 50
_LARGEST = 2**63 - 1


class Leads:
    """The handlers."""

    def __init__(self, door: Door, state: ServingState, metrics: Metrics) -> None:
        self._door = door
        self._state = state
        self._metrics = metrics

    async def score(self, call: Call) -> Response:
        """Answer for a lead from what the store knows now."""
        answering = self._state.now
        if answering is None:
            raise Refusal(503, "not_ready", "the service is starting", {"retry-after": "2"})
        lead_id = str(call.path["lead_id"])

        def work(store: Store) -> dict[str, Any]:
            return score_known(store, answering.scorer, lead_id, call.principal, call.language)

        answer = await self._door.run(work)
        self._metrics.scored(answer)
        return answer_response(answer, call.request_id, call.language)

    async def history(self, call: Call) -> Response:
        """Tell the scores that a lead was given."""
        limit = whole_number(call, "limit", _USUAL_SCORES, MOST_SCORES)
        before = whole_number(call, "before", None, _LARGEST)
        lead_id = str(call.path["lead_id"])

        def work(store: Store) -> list[dict[str, Any]]:
            return given_scores(store, lead_id, call.principal, before_id=before, limit=limit or _USUAL_SCORES)

        scores = await self._door.run(work)
        more = scores[-1]["score_id"] if len(scores) == limit else None
        return json_response({"lead_id": lead_id, "scores": scores, "before": more}, call.request_id)


def whole_number(call: Call, name: str, usual: int | None, most: int) -> int | None:
    """Return a number of the query, from 1 to `most`; `usual` where it is absent.

    Raises
    ------
    PayloadError
        If something else was sent; the parameter is named.
    """
    sent = call.request.query_params.get(name)
    if sent is None:
        return usual
    if not (sent.isascii() and sent.isdigit() and len(sent) < 20 and 1 <= int(sent) <= most):
        problem = Problem("invalid_field", f"{name}: a whole number from 1 to {most} was expected", name)
        raise PayloadError([problem])
    return int(sent)


def lead_routes(door: Door, state: ServingState, metrics: Metrics) -> list[Route]:
    """Return the routes that read; each needs the scope `read`."""
    leads, scope = Leads(door, state, metrics), cast("tuple[Scope, ...]", ("read",))
    return [
        Route("/v1/leads/{lead_id}/score", {"GET": leads.score}, scope),
        Route("/v1/leads/{lead_id}/history", {"GET": leads.history}, scope),
    ]
