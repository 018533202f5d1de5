"""The endpoint as a Starlette application; all that it knows of scoring is `Scorer`.

Bodies are bounded before they are parsed, every error has one shape, and no log line holds anything a sender wrote.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from data.clock import now, to_us
from serving.exchange import Refusal, accepted_language, error_response, json_response, read_body, request_id_of
from serving.openapi import openapi_document
from serving.payload import parse_batch, parse_request
from serving.problems import PayloadError, Problem, error_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from features.words import Language
    from serving.state import Answering, ServingState

__all__ = ["BATCH_LIMIT", "SINGLE_LIMIT", "create_app"]

SINGLE_LIMIT = 1_000_000
BATCH_LIMIT = 16_000_000
# Two large batches at a time leave the event loop free for single leads.
_BATCHES_AT_ONCE = 2

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

_Handler = Callable[["Request", str], Awaitable["Response"]]
_log = logging.getLogger(__name__)


def create_app(state: ServingState) -> Starlette:
    """Return the application; `state` may be filled later, until then every score is answered with 503."""
    endpoints = _Endpoints(state)
    routes = [
        Route("/v1/score", _guarded(endpoints.score), methods=["POST"]),
        Route("/v1/score/batch", _guarded(endpoints.batch), methods=["POST"]),
        Route("/v1/model", _guarded(endpoints.model), methods=["GET"]),
        Route("/v1/openapi.json", _guarded(endpoints.openapi), methods=["GET"]),
        # BentoML's own page here loads scripts from elsewhere.
        Route("/", _guarded(endpoints.front), methods=["GET"]),
    ]
    allowed = {route.path: ", ".join(sorted(route.methods or ())) for route in routes}
    routes.append(Route("/v1/{rest:path}", _nothing(allowed), methods=_METHODS))
    return Starlette(routes=routes, exception_handlers={HTTPException: _http_error})


class _Endpoints:
    """The handlers of all paths."""

    def __init__(self, state: ServingState) -> None:
        self._state = state
        self._batches: anyio.CapacityLimiter | None = None

    async def score(self, request: Request, request_id: str) -> Response:
        """Answer for one lead, in the event loop: it takes less than handing it to a thread and back would wait."""
        body = await read_body(request, SINGLE_LIMIT)
        answering = self._answering()
        language = _language(request)
        parsed = parse_request(body)
        answer = answering.scorer.score(parsed, as_of_us=to_us(now()), language=language)
        return json_response(answer, request_id, headers={"content-language": language})

    async def batch(self, request: Request, request_id: str) -> Response:
        """Answer for up to 200 leads, in a thread of its own."""
        body = await read_body(request, BATCH_LIMIT)
        answering = self._answering()
        language = _language(request)
        self._batches = self._batches or anyio.CapacityLimiter(_BATCHES_AT_ONCE)
        results = await anyio.to_thread.run_sync(
            _score_batch, answering, body, language, request_id, limiter=self._batches
        )
        return json_response({"results": results}, request_id, headers={"content-language": language})

    async def model(self, request: Request, request_id: str) -> Response:
        """Tell what answers."""
        language = _language(request)
        told = _model_card(self._answering(), language)
        return json_response(told, request_id, headers={"content-language": language})

    async def openapi(self, _: Request, request_id: str) -> Response:
        """Describe this interface."""
        return json_response(openapi_document(), request_id)

    async def front(self, _: Request, request_id: str) -> Response:
        """Point to the description."""
        return json_response({"service": "clew", "description": "/v1/openapi.json"}, request_id)

    def _answering(self) -> Answering:
        if self._state.now is None:
            raise Refusal(503, "not_ready", "the service is starting", {"retry-after": "2"})
        return self._state.now


def _nothing(allowed: Mapping[str, str]) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of everything else under /v1: another method of a path, or no path of ours."""

    async def endpoint(request: Request) -> Response:
        methods = allowed.get(request.scope["path"])
        if methods is None:
            raise HTTPException(404)
        raise HTTPException(405, headers={"Allow": methods})

    return endpoint


def _language(request: Request) -> Language:
    return accepted_language(request.headers.get("accept-language", ""))


def _score_batch(answering: Answering, body: bytes, language: Language, request_id: str) -> list[dict[str, Any]]:
    found = answering.scorer.score_many(parse_batch(body), as_of_us=to_us(now()), language=language)
    return [
        {"status": "error", **error_body(item.problems, request_id)}
        if isinstance(item, PayloadError)
        else {"status": "ok", **item}
        for item in found
    ]


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


def _guarded(handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint whose every failure is an answer in the one shape."""

    async def endpoint(request: Request) -> Response:
        request_id = request_id_of(request)
        try:
            return await handler(request, request_id)
        except PayloadError as error:
            return error_response(400, error.problems, request_id)
        except Refusal as refusal:
            return error_response(refusal.status, [refusal.problem], request_id, refusal.headers)
        except Exception as error:  # noqa: BLE001 - the sender gets an answer whatever happens
            # The message may repeat what was sent, so only the place is logged.
            _log.error("request %s failed with %s at %s", request_id, type(error).__name__, _place(error))
            problem = Problem("internal", "the lead could not be scored; the fault is ours, not the request's")
            return error_response(500, [problem], request_id)

    return endpoint


def _place(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return f"{'/'.join(last[0].filename.split('/')[-2:])}:{last[0].lineno}" if last else "an unknown place"


async def _http_error(request: Request, error: Exception) -> Response:
    """Give Starlette's own refusals (404, 405) the shape of ours."""
    if not isinstance(error, HTTPException):
        raise error
    words = {
        404: ("not_found", "there is no such path; /v1/openapi.json lists them"),
        405: ("method_not_allowed", "this path does not take that method; /v1/openapi.json lists them"),
    }
    code, message = words.get(error.status_code, ("refused", "the request was refused"))
    return error_response(error.status_code, [Problem(code, message)], request_id_of(request), error.headers)
