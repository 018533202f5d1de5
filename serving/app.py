"""The endpoint as an ASGI application: who asks, how much is taken on, what answers, and what is told about it.

It stands in front of BentoML's own application, whose health, metrics and supervision stay, and lets nothing of it into
the path of a score. Every error has one shape, and no log line holds anything a sender wrote.
"""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING

from starlette.requests import Request

from serving.http.exchange import Refusal, accepted_language, error_response, header_of, request_id_of
from serving.http.problems import PayloadError, Problem
from serving.http.routing import Call, Route, Routes
from serving.keys.access import ANYONE, may
from serving.openapi import description_routes
from serving.scoring.handlers import Endpoints, model_routes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from serving.http.admission import Admission
    from serving.http.event_log import EventLog
    from serving.http.metrics import Metrics
    from serving.http.routing import Handler
    from serving.keys.access import Principal
    from serving.keys.keyring import Keyring
    from serving.process.state import ServingState
    from serving.scoring.scorer import Scorer, Told

__all__ = ["BENTOML_ROUTES", "PAGE_PRINCIPAL", "App", "create_app"]

PAGE_PRINCIPAL = "clew.principal"
"""Under which name a page leaves in the scope who asked for it, so that the log tells it."""

# What BentoML answers itself: health for everybody, the rest for whoever may read or administer.
BENTOML_ROUTES = (
    Route("/livez"),
    Route("/healthz"),
    Route("/readyz"),
    Route("/metrics", scopes=("read", "admin")),
    Route("/docs.json", scopes=("read", "admin")),
    Route("/schema.json", scopes=("read", "admin")),
)
_OTHER = "other"
_NOWHERE = Route(_OTHER)


class App:
    """An ASGI application.

    Parameters
    ----------
    routes
        What is answered here, and what beneath.
    keyring
        Who asks.
    metrics, log
        What is told about each request.
    beneath
        BentoML's application, for its own routes and for the start and end of the process.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        keyring: Keyring,
        metrics: Metrics,
        log: EventLog,
        state: ServingState,
        beneath: ASGIApp | None = None,
    ) -> None:
        self._routes = Routes([*routes, *(BENTOML_ROUTES if beneath else ())])
        self._keyring = keyring
        self._metrics = metrics
        self._log = log
        self._state = state
        self._beneath = beneath

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; whatever else a server asks goes to BentoML."""
        if scope["type"] != "http":
            if self._beneath is not None:
                await self._beneath(scope, receive, send)
            return
        started = time.perf_counter()
        request = Request(scope, receive)
        request_id = request_id_of(request)
        found, parameters = self._routes.find(_path_of(scope))
        route = _NOWHERE if found is None else found
        principal = ANYONE
        try:
            principal = await self._let_in(request, route)
            if not route.handlers and self._beneath is not None:
                status = await _pass_on(self._beneath, scope, receive, send, request_id)
                self._tell(request, route, request_id, status, started, principal)
                return
            language = accepted_language(header_of(request, b"accept-language"))
            call = Call(request, request_id, principal, language, parameters)
            response = await _handler(route, request.method)(call)
        except Exception as error:  # noqa: BLE001 - the sender gets an answer whatever happens
            response = self._failed(error, request_id)
        await response(scope, receive, send)
        # A page lets in by itself, as a browser that has not signed in is to be asked and not refused.
        principal = scope.get(PAGE_PRINCIPAL, principal)
        self._tell(request, route, request_id, response.status_code, started, principal)

    async def _let_in(self, request: Request, route: Route) -> Principal:
        if route is _NOWHERE:
            raise Refusal(404, "not_found", "there is no such path; /v1/openapi.json lists them")
        if route.scopes is None:
            return ANYONE
        server = request.scope.get("server")
        principal = await self._keyring.principal(header_of(request, b"authorization"), server[0] if server else None)
        if not may(principal, *route.scopes):
            needed = " or ".join(route.scopes)
            raise Refusal(403, "scope_missing", f"the API key lacks the scope {needed}")
        return principal

    def _failed(self, error: Exception, request_id: str) -> Response:
        """Return the answer to a request that failed, in the one shape."""
        if isinstance(error, PayloadError):
            self._metrics.refused(error.problems[0].code)
            return error_response(400, error.problems, request_id)
        if isinstance(error, Refusal):
            self._metrics.refused(error.problem.code)
            return error_response(error.status, [error.problem], request_id, error.headers)
        # The message may repeat what was sent, so only the place is logged.
        self._log.tell("fault", request_id=request_id, error=type(error).__name__, place=_place(error))
        self._metrics.refused("internal")
        problem = Problem("internal", "the lead could not be scored; the fault is ours, not the request's")
        return error_response(500, [problem], request_id)

    def _tell(
        self, request: Request, route: Route, request_id: str, status: int, started: float, principal: Principal
    ) -> None:
        seconds = time.perf_counter() - started
        template = route.template
        method = request.method if request.method in _METHODS else _OTHER
        self._metrics.answered(template, method, status, seconds)
        self._log.tell(
            "request",
            method=method,
            route=template,
            status=status,
            ms=round(seconds * 1e3, 3),
            bundle=self._state.digest,
            request_id=request_id,
            key=principal.key_id,
        )


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def create_app(
    state: ServingState,
    *,
    keyring: Keyring,
    metrics: Metrics,
    log: EventLog,
    admission: Admission | None = None,
    beneath: ASGIApp | None = None,
    more: Sequence[Route] = (),
    score_log: Callable[[Scorer, Told], None] | None = None,
) -> App:
    """Return the application; `state` may be filled later, until then every score is answered with 503.

    Parameters
    ----------
    state
        What answers.
    keyring, metrics, log
        As `App` takes them.
    admission
        How much is taken on at a time.
    beneath
        BentoML's application.
    more
        Further routes, under the same keys, limits and logs.
    score_log
        Told of each score that was given.
    """
    endpoints = Endpoints(state, metrics=metrics, admission=admission, log=score_log)
    routes = [*model_routes(endpoints), *description_routes(), *more]
    return App(routes, keyring=keyring, metrics=metrics, log=log, state=state, beneath=beneath)


def _handler(route: Route, method: str) -> Handler:
    handler = route.handlers.get("GET" if method == "HEAD" else method)
    if handler is None:
        message = "this path does not take that method; /v1/openapi.json lists them"
        raise Refusal(405, "method_not_allowed", message, {"allow": route.methods})
    return handler


async def _pass_on(beneath: ASGIApp, scope: Scope, receive: Receive, send: Send, request_id: str) -> int:
    """Let BentoML answer; return the status it gave."""
    statuses = [500]

    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses[0] = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", request_id.encode())]}
        await send(message)

    await beneath(scope, receive, noted)
    return statuses[0]


def _path_of(scope: Scope) -> str:
    """Return the path as it was sent; a server that does not tell it has decoded it."""
    raw = scope.get("raw_path")
    return str(scope["path"]) if raw is None else bytes(raw).split(b"?")[0].decode("latin-1")


def _place(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return f"{'/'.join(last[0].filename.split('/')[-2:])}:{last[0].lineno}" if last else "an unknown place"
