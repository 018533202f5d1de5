"""What the paths of scoring do: one lead, a batch, the card of the model, the description of the interface."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from data.clock import now, to_us
from serving.http.admission import Admission
from serving.http.exchange import Refusal, answer_response, json_response, read_body
from serving.http.problems import PayloadError, error_body
from serving.http.routing import Route
from serving.scoring.payload import parse_batch, parse_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

    from features.words import Language
    from serving.http.metrics import Metrics
    from serving.http.routing import Call
    from serving.process.state import Answering, ServingState
    from serving.scoring.scorer import Scorer, Told

__all__ = ["BATCH_LIMIT", "MOST_VALUES", "SINGLE_LIMIT", "Endpoints", "model_routes"]

SINGLE_LIMIT = 1_000_000
BATCH_LIMIT = 16_000_000
# A body of 16 MB may hold eight million numbers, which become half a gigabyte when they are parsed.
MOST_VALUES = 1_500_000


class Endpoints:
    """The handlers of all paths of scoring."""

    def __init__(
        self,
        state: ServingState,
        *,
        metrics: Metrics,
        admission: Admission | None = None,
        log: Callable[[Scorer, Told], None] | None = None,
    ) -> None:
        self._state = state
        self._metrics = metrics
        self._log = log or (lambda _scorer, _told: None)
        self._admission = admission or Admission(tell=metrics.busy)

    async def score(self, call: Call) -> Response:
        """Answer for one lead, in the event loop: it takes less than handing it to a thread and back would wait."""
        with self._admission.buffer("single") as arrived:
            body = await read_body(call.request, SINGLE_LIMIT, arrived)
        with self._admission.single():
            # All that arrived together are counted before the first of them is worked on.
            await asyncio.sleep(0)
            scorer = self._answering().scorer
            told = scorer.told(parse_request(body), as_of_us=to_us(now()), language=call.language)
        self._metrics.scored(told.body)
        self._log(scorer, told)
        return answer_response(told.body, call.request_id, call.language)

    async def batch(self, call: Call) -> Response:
        """Answer for up to 200 leads; after each of them single leads have their turn."""
        with self._admission.buffer("batch") as arrived:
            body = await read_body(call.request, BATCH_LIMIT, arrived)
        _check_values(body)
        with self._admission.batch() as turns:
            async with turns:
                answering = self._answering()
                items, as_of_us = parse_batch(body), to_us(now())
                del body
                results = []
                for position, item in enumerate(items):
                    results.append(self._item(answering.scorer, item, position, as_of_us, call))
                    await asyncio.sleep(0)
        return answer_response({"results": results}, call.request_id, call.language)

    def _item(self, scorer: Scorer, item: object, position: int, as_of_us: int, call: Call) -> dict[str, Any]:
        try:
            told = scorer.told_item(item, position, as_of_us=as_of_us, language=call.language)
        except PayloadError as error:
            self._metrics.refused(error.problems[0].code)
            return {"status": "error", **error_body(error.problems, call.request_id)}
        self._metrics.scored(told.body)
        self._log(scorer, told)
        return {"status": "ok", **told.body}

    async def model(self, call: Call) -> Response:
        """Tell what answers."""
        told = _model_card(self._answering(), call.language)
        return json_response(told, call.request_id, headers={"content-language": call.language})

    def _answering(self) -> Answering:
        if self._state.now is None:
            raise Refusal(503, "not_ready", "the service is starting", {"retry-after": "2"})
        return self._state.now


def model_routes(endpoints: Endpoints) -> list[Route]:
    """Return the routes of scoring, each with the scopes that a key needs one of."""
    return [
        Route("/v1/score", {"POST": endpoints.score}, ("score",)),
        Route("/v1/score/batch", {"POST": endpoints.batch}, ("score",)),
        Route("/v1/model", {"GET": endpoints.model}, ("score", "read", "admin")),
    ]


def _check_values(body: bytes) -> None:
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MOST_VALUES:
        message = f"the body holds more than the {MOST_VALUES:,} values that this path takes"
        raise Refusal(413, "too_many_values", message)


def _model_card(answering: Answering, language: Language) -> dict[str, Any]:
    scorer = answering.scorer
    groups: dict[str, list[dict[str, str]]] = {}
    for feature in scorer.catalogue.features:
        told = {"feature": feature.name, "label": feature.label.in_language(language)}
        groups.setdefault(feature.group, []).append(told)
    return {
        "source": "rules" if scorer.bundle is None else "model",
        "pointer": answering.pointer,
        "refused": list(answering.refused),
        "model": scorer.model,
        "horizon_days": scorer.horizon_days,
        "goal": None if scorer.bundle is None else scorer.bundle.manifest.get("goal"),
        "grades": [] if scorer.bundle is None else [grade.model_dump() for grade in scorer.bundle.grades],
        "groups": [{"group": group, "features": features} for group, features in groups.items()],
        "scorecard": scorer.scorecard.name,
    }
