"""Which path is answered by what, and which keys may ask: one table for JSON routes, pages and BentoML's own routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.routing import compile_path

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from data.store.keys import Scope
    from features.words import Language
    from serving.keys.access import Principal

__all__ = ["Call", "Handler", "Route", "Routes"]


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was let in: who asks, in which language, for what."""

    request: Request
    request_id: str
    principal: Principal
    language: Language
    path: Mapping[str, Any] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable["Response"]]


@dataclass(frozen=True)
class Route:
    """A path, what answers it by method, and the scopes of which a key needs one; None lets everybody in.

    `template` is what logs and metrics name, such as `/v1/leads/{lead_id}/score`. A route without handlers is one that
    BentoML answers.
    """

    template: str
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    scopes: tuple[Scope, ...] | None = None

    @property
    def methods(self) -> str:
        """What the `Allow` header tells."""
        return ", ".join(sorted({*self.handlers, "HEAD"} if "GET" in self.handlers else self.handlers))


class Routes:
    """Finds the route of a path: plain ones at once, those with parameters in their order.

    Examples
    --------
    >>> routes = Routes([Route("/v1/score"), Route("/v1/leads/{lead_id}/score")])
    >>> route, parameters = routes.find("/v1/leads/L-1/score")
    >>> route.template, parameters
    ('/v1/leads/{lead_id}/score', {'lead_id': 'L-1'})
    >>> routes.find("/v1/leads/00Q%2F7/score")[1]
    {'lead_id': '00Q/7'}
    >>> routes.find("/v1/nothing")
    (None, {})
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._plain = {route.template: route for route in routes if "{" not in route.template}
        self._open = [(compile_path(route.template)[0], route) for route in routes if "{" in route.template]

    def find(self, path: str) -> tuple[Route | None, Mapping[str, Any]]:
        """Return the route of a path and the values of its parameters.

        Parameters
        ----------
        path
            As it was sent, so that an id may hold an encoded slash.
        """
        route = self._plain.get(path)
        if route is not None:
            return route, {}
        for pattern, found in self._open:
            match = pattern.match(path)
            if match:
                return found, {name: unquote(value) for name, value in match.groupdict().items()}
        return None, {}
