"""The pieces that descriptions of the interface are made of: errors with examples, headers, bodies by schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode

__all__ = ["ERRORS", "LANGUAGE", "POST_ERRORS", "REQUEST_ID", "Described", "json_content", "responses"]

_ERROR_EXAMPLES: dict[int, tuple[str, str, str | None]] = {
    400: ("invalid_field", "lead.account.employees: a number was expected, a text came", "lead.account.employees"),
    401: ("key_required", "send an API key: Authorization: Bearer clew_…", None),
    403: ("scope_missing", "the API key lacks the scope score", None),
    404: ("not_found", "there is no such path; /v1/openapi.json lists them", None),
    405: ("method_not_allowed", "this path does not take that method; /v1/openapi.json lists them", None),
    408: ("body_timeout", "the body did not arrive within 4 s", None),
    409: ("conflict", "something else is known under the same key already; what came was not stored", None),
    413: ("body_too_large", "the body is larger than the 1,000,000 bytes that this path takes", None),
    429: ("overloaded", "more is being asked than this worker can answer; try again", None),
    415: ("unsupported_media_type", "the body has to be application/json in UTF-8, not compressed", None),
    500: ("internal", "the lead could not be scored; the fault is ours, not the request's", None),
    503: ("not_ready", "the service is starting", None),
}
_MEANINGS = {
    400: "The body is no JSON or breaks the contract; every problem names its field.",
    401: "Keys are demanded and none came, or it is unknown, expired or revoked.",
    403: "The key lacks the scope.",
    404: "No such path, or nothing of that name that the key shows.",
    405: "The path takes another method.",
    408: "The body came too slowly.",
    409: "Something else is known under the same key; sending it again does not help.",
    413: "The body is too large or holds too many values; nothing was parsed.",
    415: "The body is not application/json.",
    429: "More is asked than can be answered; Retry-After tells in how many seconds to ask again.",
    500: "A fault of the service.",
    503: "The service is starting, or its store is away and nothing was acknowledged; Retry-After tells when to ask.",
}
REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "Up to 64 letters, digits and . _ : -; it comes back with the answer.",
    "schema": {"type": "string"},
}
LANGUAGE = {
    "name": "Accept-Language",
    "in": "header",
    "required": False,
    "description": "en or zh, with q-values; English by default.",
    "schema": {"type": "string"},
    "example": "zh-CN, en;q=0.5",
}


@dataclass(frozen=True)
class Described:
    """What a room adds to the description of the interface: its paths, and the models that they name."""

    paths: Mapping[str, Any]
    models: tuple[tuple[type[BaseModel], JsonSchemaMode], ...] = ()


def json_content(schema: str, example: object | None = None) -> dict[str, Any]:
    """Return the content of a body that a schema describes."""
    media: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {"application/json": media if example is None else media | {"example": example}}


def responses(schema: str, meaning: str, example: object | None, *statuses: int) -> dict[str, Any]:
    """Return the answers of a path: 200 with its schema, and each error with an example and its headers."""
    found = {"200": {"description": meaning, "content": json_content(schema, example)}}
    for status in statuses:
        code, message, field = _ERROR_EXAMPLES[status]
        error = {"error": {"code": code, "message": message, "field": field, "request_id": "r-1"}}
        found[str(status)] = {"description": _MEANINGS[status], "content": json_content("ErrorAnswer", error)}
        if status in _HEADERS:
            found[str(status)]["headers"] = _HEADERS[status]
    return found


_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    405: {"Allow": {"schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}
ERRORS = (401, 403, 405, 429, 500, 503)
POST_ERRORS = (400, 401, 403, 405, 408, 413, 415, 429, 500, 503)
