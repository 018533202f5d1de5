"""What the description of the interface says about webhooks: the paths here, and the messages that go out."""

from __future__ import annotations

from typing import Any

from serving.http.describing import ERRORS, POST_ERRORS, REQUEST_ID, Described, json_content, responses
from serving.webhooks.bodies import (
    MOST_DELIVERIES,
    DeliveryList,
    PingAnswer,
    WebhookList,
    WebhookMade,
    WebhookPost,
    WebhookRemoved,
)

__all__ = ["DESCRIBED"]

_ID = "5f0c6a1e9d3b4c7f8a2e1d0c9b8a7f6e"
_DELIVERY = "0b1c2d3e4f5a69788796a5b4c3d2e1f0"
_ANSWER: dict[str, Any] = {
    "target_id": _ID,
    "url": "https://crm.example/hooks/clew",
    "kinds": ["grade_changed", "pool_entered", "model_changed"],
    "pools": ["A"],
    "created_at": "2026-11-21T08:00:00Z",
}
_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the example of the specification
_DELIVERED: dict[str, Any] = {
    "delivery_id": _DELIVERY,
    "message_id": f"msg_{_DELIVERY}",
    "type": "pool_entered",
    "created_at": "2026-11-21T08:00:00Z",
    "state": "waiting",
    "attempts": 1,
    "last_status": "503",
    "tried_at": "2026-11-21T08:00:01Z",
    "next_try_at": "2026-11-21T08:00:06Z",
    "delivered_at": None,
}
_TARGET = {
    "name": "target_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "example": _ID,
}


def _list() -> dict[str, Any]:
    return {
        "operationId": "listWebhooks",
        "summary": "The places that messages go to",
        "parameters": [REQUEST_ID],
        "responses": responses("WebhookList", "All of them, without secrets.", {"webhooks": [_ANSWER]}, *ERRORS),
    }


def _add() -> dict[str, Any]:
    request = {name: _ANSWER[name] for name in ("url", "kinds", "pools")}
    return {
        "operationId": "addWebhook",
        "summary": "Have messages sent to an address",
        "description": "Messages are posted as JSON, signed after Standard Webhooks, at least once, each with an id "
        "(`webhook-id`) that stays the same on every try. Answer with any 2xx; anything else is tried again for three "
        "days. Redirects are not followed. Not safe to repeat: each call adds a place.",
        "parameters": [REQUEST_ID],
        "requestBody": {"required": True, "content": json_content("WebhookPost", request)},
        "responses": responses("WebhookMade", "Added.", _ANSWER | {"secret": _SECRET}, *POST_ERRORS),
    }


def _remove() -> dict[str, Any]:
    return {
        "operationId": "removeWebhook",
        "summary": "Send nothing more to an address, not even what waits",
        "parameters": [_TARGET, REQUEST_ID],
        "responses": responses("WebhookRemoved", "Removed.", {"target_id": _ID, "removed": True}, 404, *ERRORS),
    }


def _ping() -> dict[str, Any]:
    example = {"target_id": _ID, "delivery_id": _DELIVERY, "message_id": f"msg_{_DELIVERY}"}
    return {
        "operationId": "pingWebhook",
        "summary": "Send a test message; its deliveries tell how it fared",
        "parameters": [_TARGET, REQUEST_ID],
        "responses": responses("PingAnswer", "On its way.", example, 404, *ERRORS),
    }


def _deliveries() -> dict[str, Any]:
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_DELIVERIES, "default": 50}
    before = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
    state = {"type": "string", "enum": ["waiting", "delivered", "failed"]}
    asked = (("limit", limit), ("before", before), ("state", state))
    parameters = [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in asked]
    return {
        "operationId": "webhookDeliveries",
        "summary": "How the messages to an address have fared",
        "parameters": [_TARGET, *parameters, REQUEST_ID],
        "responses": responses("DeliveryList", "The newest first.", {"deliveries": [_DELIVERED]}, 400, 404, *ERRORS),
    }


DESCRIBED = Described(
    paths={
        "/v1/webhooks": {"get": _list(), "post": _add()},
        "/v1/webhooks/{target_id}": {"delete": _remove()},
        "/v1/webhooks/{target_id}/ping": {"post": _ping()},
        "/v1/webhooks/{target_id}/deliveries": {"get": _deliveries()},
    },
    models=(
        (WebhookPost, "validation"),
        (WebhookMade, "serialization"),
        (WebhookList, "serialization"),
        (WebhookRemoved, "serialization"),
        (PingAnswer, "serialization"),
        (DeliveryList, "serialization"),
    ),
)
