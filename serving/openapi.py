"""The description of the interface in OpenAPI 3.1, made from the models that check it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from serving.answers import BatchAnswer, ErrorAnswer, ModelCard, ScoreAnswer
from serving.payload import MOST_LEADS, ScoreRequest

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode

__all__ = ["EXAMPLE_REQUEST", "openapi_document"]

EXAMPLE_REQUEST: dict[str, Any] = {
    "lead": {
        "lead_id": "L-1",
        "created_at": "2026-11-02T09:00:00Z",
        "source": "webinar",
        "job_title": "VP Ops",
        "account": {"industry": "medical devices", "employees": 800},
        "custom": {"erp": "sap"},
    },
    "events": [
        {"source": "site", "id": "e1", "type": "whitepaper_download", "occurred_at": "2026-11-10T03:00:00Z"},
        {"source": "site", "id": "e2", "type": "whitepaper_download", "occurred_at": "2026-11-18T07:30:00Z"},
    ],
    "as_of": "2026-11-21T08:00:00Z",
}
_RULES: dict[str, Any] = {
    "points": 90,
    "pool": "A",
    "assign_within_minutes": 30,
    "fired": [
        {"rule": "employees > 500", "points": 30},
        {"rule": "whitepapers_30d >= 2", "points": 20},
        {"rule": "seniority >= vp", "points": 25},
        {"rule": "industry in target", "points": 15},
    ],
}
_EXAMPLE_ANSWER: dict[str, Any] = {
    "lead_id": "L-1",
    "as_of": "2026-11-21T08:00:00Z",
    "horizon_days": 90,
    "source": "model",
    "probability": 0.25,
    "interval": [0.19, 0.32],
    "score": 94,
    "grade": "A",
    "base_logit": -2.0,
    "remainder_logit": 0.09138771133189,
    "reasons": [
        {
            "group": "whitepapers",
            "text": "2 white papers downloaded (last 30 days)",
            "direction": "+",
            "logit": 0.81,
            "evidence": {"whitepaper_downloads_30d": 2},
        }
    ],
    "rules": _RULES,
    "agreement": "both_high",
    "warnings": [],
    "model": {"name": "lead-conversion", "version": "7", "bundle": "sha256:0f", "cutoff": "2026-11-01T00:00:00Z"},
}
_ERROR_EXAMPLES: dict[int, tuple[str, str, str | None]] = {
    400: ("invalid_field", "lead.account.employees: a number was expected, a text came", "lead.account.employees"),
    401: ("key_required", "send an API key: Authorization: Bearer clew_…", None),
    403: ("scope_missing", "the API key lacks the scope score", None),
    404: ("not_found", "there is no such path; /v1/openapi.json lists them", None),
    405: ("method_not_allowed", "this path does not take that method; /v1/openapi.json lists them", None),
    408: ("body_timeout", "the body did not arrive within 4 s", None),
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
    404: "No such path.",
    405: "The path takes another method.",
    408: "The body came too slowly.",
    413: "The body is too large or holds too many values; nothing was parsed.",
    415: "The body is not application/json.",
    429: "More is asked than can be answered; Retry-After tells in how many seconds to ask again.",
    500: "A fault of the service.",
    503: "The service is starting, or the store of the keys is away; Retry-After tells when to ask again.",
}
_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "Up to 64 letters, digits and . _ : -; it comes back with the answer.",
    "schema": {"type": "string"},
}
_LANGUAGE = {
    "name": "Accept-Language",
    "in": "header",
    "required": False,
    "description": "en or zh, with q-values; English by default.",
    "schema": {"type": "string"},
    "example": "zh-CN, en;q=0.5",
}


@cache
def openapi_document() -> dict[str, Any]:
    """Return the whole description.

    Examples
    --------
    >>> sorted(openapi_document()["paths"])
    ['/v1/model', '/v1/openapi.json', '/v1/score', '/v1/score/batch']
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "clew",
            "version": "1",
            "description": "Calibrated conversion probabilities for B2B leads, reasons that add up to them, and the "
            "rule-based score beside them. Every call is a pure function of its body, the model and as_of, so it is "
            "safe to repeat.",
        },
        "paths": {
            "/v1/score": {"post": _score()},
            "/v1/score/batch": {"post": _batch()},
            "/v1/model": {"get": _model()},
            "/v1/openapi.json": {"get": _document()},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key. Demanded on every public address, and everywhere once one was made.",
                }
            },
        },
        # The empty one: on the machine itself, as long as no key was ever made.
        "security": [{"key": []}, {}],
    }


def _schemas() -> dict[str, Any]:
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (ScoreRequest, "validation"),
        (ScoreAnswer, "serialization"),
        (BatchAnswer, "serialization"),
        (ModelCard, "serialization"),
        (ErrorAnswer, "serialization"),
    ]
    _, told = models_json_schema(models, ref_template="#/components/schemas/{model}")
    found: dict[str, Any] = told["$defs"]
    found["BatchRequest"] = {
        "type": "object",
        "properties": {
            "leads": {
                "type": "array",
                "maxItems": MOST_LEADS,
                "description": "Each is checked on its own: one that is no ScoreRequest is answered with its error.",
                "items": {"anyOf": [{"$ref": "#/components/schemas/ScoreRequest"}, {}]},
            }
        },
        "required": ["leads"],
        "additionalProperties": False,
    }
    return found


def _json(schema: str, example: object | None = None) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {"application/json": media if example is None else media | {"example": example}}


def _responses(schema: str, meaning: str, example: object | None, *statuses: int) -> dict[str, Any]:
    found = {"200": {"description": meaning, "content": _json(schema, example)}}
    for status in statuses:
        code, message, field = _ERROR_EXAMPLES[status]
        error = {"error": {"code": code, "message": message, "field": field, "request_id": "r-1"}}
        found[str(status)] = {"description": _MEANINGS[status], "content": _json("ErrorAnswer", error)}
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
_ERRORS = (401, 403, 405, 429, 500, 503)
_POST_ERRORS = (400, 401, 403, 405, 408, 413, 415, 429, 500, 503)


def _score() -> dict[str, Any]:
    return {
        "operationId": "score",
        "summary": "Score one lead",
        "description": "Bodies up to 1 MB. Fields that are absent or null are unknown; `events: []` means none.",
        "parameters": [_LANGUAGE, _REQUEST_ID],
        "requestBody": {"required": True, "content": _json("ScoreRequest", EXAMPLE_REQUEST)},
        "responses": _responses("ScoreAnswer", "The answer.", _EXAMPLE_ANSWER, *_POST_ERRORS),
    }


def _batch() -> dict[str, Any]:
    error = {"code": "missing_field", "message": "leads.1.lead is required", "field": "leads.1.lead"}
    item_error = {"status": "error", "error": {**error, "request_id": "r-1"}}
    example = {"results": [{"status": "ok", **_EXAMPLE_ANSWER}, item_error]}
    return {
        "operationId": "scoreBatch",
        "summary": f"Score up to {MOST_LEADS} leads",
        "description": "Bodies up to 16 MB. Answered in order; a lead that breaks the contract is answered with its "
        "error and does not harm the others.",
        "parameters": [_LANGUAGE, _REQUEST_ID],
        "requestBody": {"required": True, "content": _json("BatchRequest", {"leads": [EXAMPLE_REQUEST, {}]})},
        "responses": _responses("BatchAnswer", "One result for each lead.", example, *_POST_ERRORS),
    }


def _model() -> dict[str, Any]:
    return {
        "operationId": "model",
        "summary": "Which model answers, and what its grades have been worth",
        "parameters": [_LANGUAGE, _REQUEST_ID],
        "responses": _responses("ModelCard", "The model, or the rules where there is none.", None, *_ERRORS),
    }


def _document() -> dict[str, Any]:
    described = {
        "200": {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}}
    }
    described |= {
        status: told for status, told in _responses("ErrorAnswer", "", None, 405, 500).items() if status != "200"
    }
    return {"operationId": "openapi", "summary": "This description", "security": [], "responses": described}
