"""The routes of the pages, and what all of them share: who looks, in which language, and errors as pages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from starlette.responses import HTMLResponse, RedirectResponse, Response

from data.clock import HOUR_US, now, to_us
from serving.app import PAGE_PRINCIPAL
from serving.http.exchange import Refusal, header_of, read_body
from serving.http.problems import PayloadError
from serving.http.routing import Route
from serving.keys.access import ANYONE, is_loopback, may
from serving.pages.dashboard import DashboardPage
from serving.pages.lead_handlers import LeadPages
from serving.pages.list_handlers import ListPages
from serving.pages.rendering import ASSETS, render
from serving.pages.visitor import (
    LANGUAGE_COOKIE,
    SESSION_COOKIE,
    VISITOR_COOKIE,
    Visitor,
    came_from_elsewhere,
    cookies_of,
    drop_cookie,
    guarded,
    host_of,
    keep_cookie,
    local_path,
    new_mark,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from features.words import Language
    from serving.changes.voices import Voices
    from serving.http.metrics import Metrics
    from serving.http.routing import Call, Handler
    from serving.keys.keyring import Keyring
    from serving.process.state import ServingState
    from serving.stored.door import Door
    from serving.watching.reading import Standings

    Work = Callable[[Call, Visitor], Awaitable[Response]]
    FormWork = Callable[[Call, Visitor, Mapping[str, str]], Awaitable[Response]]

__all__ = ["SESSION_HOURS", "page_routes"]

SESSION_HOURS = 12
_LONGEST_FORM = 20_000
_FORM_TYPES = ("application/x-www-form-urlencoded",)
_YEAR_SECONDS = 365 * 24 * 3600
_ASSET_TYPES = {"style.css": "text/css", "dashboard.css": "text/css", "icon.svg": "image/svg+xml"}
_TOLD_CODES = {
    "scope_missing": "key_no_read",
    "role_missing": "error_role",
    "store_missing": "no_store",
    "store_schema": "old_store",
}
_TOLD_STATUSES = {400: "error_400", 403: "error_403", 404: "error_404", 503: "error_503", 429: "error_503"}


def page_routes(
    door: Door,
    state: ServingState,
    keyring: Keyring,
    metrics: Metrics,
    *,
    voices: Voices | None = None,
    standings: Standings | None = None,
    capacity: int = 40,
) -> list[Route]:
    """Return the routes of the pages.

    They let in by themselves (`scopes` None), as a browser without a session is sent to sign in and not refused: who
    looks needs a key with the scope `read`, sent as the JSON paths want it or as the cookie of a session.

    Parameters
    ----------
    door
        To the store.
    state
        What answers at the moment.
    keyring
        Who may look.
    metrics
        Told of what was refused.
    voices
        Finds older bundles, to say what changed; without it that part is left out.
    standings
        The figures of the dashboard; without them it says how to make some.
    capacity
        For how many calls there is time where nobody says.
    """
    desk = _Desk(keyring, metrics)
    lists, leads = ListPages(door, state, capacity=capacity), LeadPages(door, state, voices=voices)
    signing = _Signing(keyring)
    return [
        Route("/", {"GET": desk.page(lists.show)}),
        Route("/leads.csv", {"GET": desk.page(lists.export)}),
        Route("/views", {"POST": desk.form("views", lists.save_view)}),
        Route("/views/delete", {"POST": desk.form("views", lists.delete_view)}),
        Route("/monitoring", {"GET": desk.page(DashboardPage(standings).show)}),
        Route("/leads/{lead_id}", {"GET": desk.page(leads.show)}),
        Route("/leads/{lead_id}/feedback", {"POST": desk.form("feedback", leads.feedback)}),
        Route("/sign-in", {"GET": desk.open(signing.ask), "POST": desk.form("sign-in", signing.check, known=False)}),
        Route("/sign-out", {"POST": desk.form("sign-out", signing.end)}),
        Route("/language", {"GET": desk.open(_choose_language)}),
        *(Route(f"/assets/{name}", {"GET": _asset(name)}) for name in _ASSET_TYPES),
    ]


class _Desk:
    """Lets visitors in, and answers them with a page whatever happens."""

    def __init__(self, keyring: Keyring, metrics: Metrics) -> None:
        self._keyring = keyring
        self._metrics = metrics

    def page(self, work: Work) -> Handler:
        """Return what answers with a page that only those see who may read leads."""

        async def answer(call: Call) -> Response:
            async def admitted(call: Call, visitor: Visitor) -> Response:
                known = await self._known(call, visitor)
                return await work(replace(call, principal=known.principal, language=known.language), known)

            return await self._answer(call, admitted)

        return answer

    def open(self, work: Work) -> Handler:
        """Return what answers everybody."""

        async def answer(call: Call) -> Response:
            return await self._answer(call, work)

        return answer

    def form(self, purpose: str, work: FormWork, *, known: bool = True) -> Handler:
        """Return what takes a form that this browser was given for a purpose."""

        async def answer(call: Call) -> Response:
            async def checked(call: Call, visitor: Visitor) -> Response:
                visitor = await self._known(call, visitor) if known else visitor
                fields = await _fields(call)
                if came_from_elsewhere(call.request) or not visitor.sent(purpose, fields.get("token", "")):
                    raise Refusal(403, "form_invalid", "the form was not given out to this browser, or is too old")
                return await work(replace(call, principal=visitor.principal), visitor, fields)

            return await self._answer(call, checked)

        return answer

    async def _known(self, call: Call, visitor: Visitor) -> Visitor:
        """Return the visitor with the principal.

        Raises
        ------
        Refusal
            401 without one, 403 where the key may not read leads.
        """
        server = call.request.scope.get("server")
        principal = await self._keyring.principal(
            header_of(call.request, b"authorization"), server[0] if server else None, session=visitor.session
        )
        # A name that somebody else's server gives to this machine's address must not open what needs no key.
        if principal is ANYONE and not is_loopback(host_of(call.request)):
            raise Refusal(403, "host_unknown", "without keys the pages answer on localhost only")
        call.request.scope[PAGE_PRINCIPAL] = principal
        if not may(principal, "read"):
            raise Refusal(403, "scope_missing", "the API key lacks the scope read")
        return replace(visitor, principal=principal)

    async def _answer(self, call: Call, work: Work) -> Response:
        cookies = cookies_of(call.request)
        mark = cookies.get(VISITOR_COOKIE, "")
        visitor = Visitor(ANYONE, _language(call, cookies), mark or new_mark(), cookies.get(SESSION_COOKIE, ""))
        try:
            response = await work(call, visitor)
        except PayloadError as error:
            response = self._refused(call, visitor, Refusal(400, error.problems[0].code, error.problems[0].message))
        except Refusal as refusal:
            response = self._refused(call, visitor, refusal)
        if not mark:
            keep_cookie(response, call.request, VISITOR_COOKIE, visitor.mark)
        response.headers["x-request-id"] = call.request_id
        response.headers["content-language"] = visitor.language
        return guarded(response)

    def _refused(self, call: Call, visitor: Visitor, refusal: Refusal) -> Response:
        self._metrics.refused(refusal.problem.code)
        if refusal.status == 401:
            here = _here(call) if call.request.method == "GET" else "/"
            response: Response = RedirectResponse(f"/sign-in?next={quote(here, safe='')}", 303)
            if visitor.session:
                drop_cookie(response, call.request, SESSION_COOKIE)
            return response
        text = _TOLD_CODES.get(refusal.problem.code) or _TOLD_STATUSES.get(refusal.status)
        page = render(
            "error.html.j2",
            visitor.language,
            here="/",
            sign_out_token=visitor.token("sign-out") if visitor.session else "",
            status=refusal.status,
            text=text or "error_other",
            request_id=call.request_id,
        )
        return HTMLResponse(page, refusal.status, refusal.headers)


class _Signing:
    """Signing in with an API key and out again."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    async def ask(self, call: Call, visitor: Visitor) -> Response:
        """Ask for the key; where there are no keys there is nothing to ask."""
        server = call.request.scope.get("server")
        if not self._keyring.demanded and (server is None or is_loopback(server[0])):
            return RedirectResponse("/", 303)
        return self._form(visitor, str(call.request.query_params.get("next", "/")))

    async def check(self, call: Call, visitor: Visitor, fields: Mapping[str, str]) -> Response:
        """Open a session for a key."""
        going_on = local_path(fields.get("next", "/"))
        origin = header_of(call.request, b"origin")
        if origin.startswith("http://") and not is_loopback(host_of(call.request)):
            return self._form(visitor, going_on, "needs_https", 403)
        until_us = to_us(now()) + SESSION_HOURS * HOUR_US
        session = await self._keyring.sign_in(fields.get("key", "").strip(), until_us=until_us)
        if session is None:
            return self._form(visitor, going_on, "key_wrong", 403)
        if not may(await self._keyring.principal(None, session=session, address=""), "read"):
            return self._form(visitor, going_on, "key_no_read", 403)
        response = RedirectResponse(going_on, 303)
        keep_cookie(response, call.request, SESSION_COOKIE, session, seconds=SESSION_HOURS * 3600)
        # Forms of whoever looked before are worth nothing to whoever looks now.
        keep_cookie(response, call.request, VISITOR_COOKIE, new_mark())
        return response

    async def end(self, call: Call, visitor: Visitor, fields: Mapping[str, str]) -> Response:  # noqa: ARG002 - a form's signature
        """End the session."""
        response = RedirectResponse("/sign-in", 303)
        drop_cookie(response, call.request, SESSION_COOKIE)
        drop_cookie(response, call.request, VISITOR_COOKIE)
        return response

    def _form(self, visitor: Visitor, going_on: str, wrong: str = "", status: int = 200) -> Response:
        page = render(
            "sign_in.html.j2",
            visitor.language,
            here="/sign-in",
            sign_out_token="",
            token=visitor.token("sign-in"),
            next=local_path(going_on),
            wrong=wrong,
            hours=SESSION_HOURS,
        )
        return HTMLResponse(page, status)


async def _choose_language(call: Call, visitor: Visitor) -> Response:  # noqa: ARG001 - a page's signature
    query = call.request.query_params
    response = RedirectResponse(local_path(str(query.get("back", "/"))), 303)
    chosen = "zh" if query.get("to") == "zh" else "en"
    keep_cookie(response, call.request, LANGUAGE_COOKIE, chosen, seconds=_YEAR_SECONDS)
    return response


def _asset(name: str) -> Handler:
    body, media_type = (ASSETS / name).read_bytes(), _ASSET_TYPES[name]

    async def answer(call: Call) -> Response:
        return guarded(Response(body, 200, {"x-request-id": call.request_id}, media_type), lasting=True)

    return answer


async def _fields(call: Call) -> dict[str, str]:
    """Return the fields of a form.

    Raises
    ------
    Refusal
        400 if they cannot be read, 413, 415 or 408 as for every body.
    """
    body = await read_body(call.request, _LONGEST_FORM, media_types=_FORM_TYPES)
    try:
        pairs: list[tuple[str, Any]] = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=50, errors="strict"
        )
    except ValueError:
        raise Refusal(400, "invalid_form", "the form cannot be read") from None
    return dict(pairs)


def _language(call: Call, cookies: Mapping[str, str]) -> Language:
    chosen = cookies.get(LANGUAGE_COOKIE)
    return "zh" if chosen == "zh" else "en" if chosen == "en" else call.language


def _here(call: Call) -> str:
    """Return the path and query of a request, to come back to."""
    url = call.request.url
    return local_path(f"{url.path}?{url.query}" if url.query else url.path)
