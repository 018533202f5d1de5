"""The paths by which administrators name, test and remove the places that messages go to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread

from data.errors import UsageError
from data.store.deliveries import deliveries_of
from data.store.outbox import send_ping
from data.store.targets import list_targets, remove_target
from serving.http.exchange import Refusal, json_response, read_body
from serving.http.problems import PayloadError, Problem
from serving.http.routing import Route
from serving.intake.parsing import parse_one
from serving.webhooks.adding import add_webhook, check_url
from serving.webhooks.addresses import AddressError
from serving.webhooks.bodies import MOST_DELIVERIES, WebhookPost, chosen_kinds, delivery_answer, webhook_answer
from serving.webhooks.envelope import message_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from data.store.deliveries import DeliveryState
    from data.store.keys import Scope
    from serving.http.routing import Call
    from serving.stored.door import Door
    from serving.webhooks.addresses import Resolve

__all__ = ["BODY_LIMIT", "webhook_routes"]

BODY_LIMIT = 16_000
_LOOKING_UP, _LOOKING_UP_MOST = 2, 16
_ID = re.compile(r"[0-9a-f]{32}")
_STATES = ("waiting", "delivered", "failed")


class Webhooks:
    """The handlers; each asks for the role of an administrator, beside the scope that the route asks for."""

    def __init__(self, door: Door, *, private: bool, resolve: Resolve | None = None) -> None:
        self._door = door
        self._private = private
        self._resolve = resolve
        self._limiter: anyio.CapacityLimiter | None = None
        self._looking_up = 0

    async def add(self, call: Call) -> Response:
        """Add a place, and show its secret this once."""
        _check_role(call)
        body = parse_one(WebhookPost, await read_body(call.request, BODY_LIMIT))
        pools = body.pools or []
        try:
            kinds = chosen_kinds(body.kinds, pools)
        except UsageError as error:
            raise _invalid("pools", str(error)) from None
        await self._check_url(body.url)
        try:
            target = await self._door.run(lambda store: add_webhook(store, body.url, kinds=kinds, pools=pools))
        except UsageError as error:
            raise _invalid("", str(error)) from None
        return json_response(webhook_answer(target) | {"secret": target.secret}, call.request_id)

    async def list(self, call: Call) -> Response:
        """List all places."""
        _check_role(call)
        found = await self._door.run(list_targets)
        return json_response({"webhooks": [webhook_answer(each) for each in found]}, call.request_id)

    async def remove(self, call: Call) -> Response:
        """Send nothing more to a place."""
        _check_role(call)
        target_id = _target_of(call)
        if not await self._door.run(lambda store: remove_target(store, target_id)):
            raise _missing()
        return json_response({"target_id": target_id, "removed": True}, call.request_id)

    async def ping(self, call: Call) -> Response:
        """Send a test message by the way that all messages take."""
        _check_role(call)
        target_id = _target_of(call)
        sent = await self._door.run(lambda store: send_ping(store, target_id))
        if sent is None:
            raise _missing()
        told = {"target_id": target_id, "delivery_id": sent, "message_id": message_id_of(sent)}
        return json_response(told, call.request_id)

    async def deliveries(self, call: Call) -> Response:
        """Tell how the messages to a place have fared."""
        _check_role(call)
        target_id, asked = _target_of(call), _asked(call.request.query_params)
        found = await self._door.run(lambda store: deliveries_of(store, target_id, **asked))
        if found is None:
            raise _missing()
        return json_response({"deliveries": [delivery_answer(each) for each in found]}, call.request_id)

    async def _check_url(self, url: str) -> None:
        """Look an address up beside the event loop, and beside the threads that others need for the store."""
        if self._looking_up >= _LOOKING_UP_MOST:
            raise Refusal(429, "overloaded", "too many addresses are being looked up", {"retry-after": "5"})
        self._limiter = self._limiter or anyio.CapacityLimiter(_LOOKING_UP)
        self._looking_up += 1
        try:
            await anyio.to_thread.run_sync(
                lambda: check_url(url, private=self._private, resolve=self._resolve), limiter=self._limiter
            )
        except AddressError as error:
            raise _invalid("url", str(error)) from None
        finally:
            self._looking_up -= 1


def webhook_routes(door: Door, *, private: bool = False, resolve: Resolve | None = None) -> list[Route]:
    """Return the routes; a key needs the scope `admin`, and its bearer the role of an administrator.

    Parameters
    ----------
    door
        The way to the store.
    private
        Whether private addresses may be named, as the setting `webhook_private` says.
    resolve
        What looks names up, by default the system.
    """
    webhooks, scope = Webhooks(door, private=private, resolve=resolve), cast("tuple[Scope, ...]", ("admin",))
    return [
        Route("/v1/webhooks", {"GET": webhooks.list, "POST": webhooks.add}, scope),
        Route("/v1/webhooks/{target_id}", {"DELETE": webhooks.remove}, scope),
        Route("/v1/webhooks/{target_id}/ping", {"POST": webhooks.ping}, scope),
        Route("/v1/webhooks/{target_id}/deliveries", {"GET": webhooks.deliveries}, scope),
    ]


def _check_role(call: Call) -> None:
    if call.principal.role != "admin":
        raise Refusal(403, "role_missing", "only a key with the role admin may do that")


def _target_of(call: Call) -> str:
    found = str(call.path["target_id"])
    if not _ID.fullmatch(found):
        raise _missing()
    return found


def _missing() -> Refusal:
    return Refusal(404, "not_found", "there is no such webhook; GET /v1/webhooks lists them")


def _invalid(field: str, message: str) -> PayloadError:
    told = f"{field}: {message}" if field else message
    return PayloadError([Problem("invalid_field", told, field)])


def _asked(query: Mapping[str, str]) -> dict[str, Any]:
    """Return which page of deliveries is asked for."""
    limit, before, state = query.get("limit", "50"), query.get("before"), query.get("state")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MOST_DELIVERIES):
        raise _invalid("limit", f"a number from 1 to {MOST_DELIVERIES} was expected, another text came")
    if before is not None and not _ID.fullmatch(before):
        raise _invalid("before", "a delivery_id was expected, another text came")
    if state is not None and state not in _STATES:
        raise _invalid("state", f"one of {', '.join(_STATES)} was expected, another text came")
    return {"limit": int(limit), "before": before, "state": cast("DeliveryState | None", state)}
