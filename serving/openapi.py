"""The description of the interface in OpenAPI 3.1, made from the models that check it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from serving.changes import described as changes
from serving.http.describing import ERRORS, LANGUAGE, POST_ERRORS, REQUEST_ID, Described, json_content, responses
from serving.http.exchange import json_response
from serving.http.routing import Route
from serving.intake import described as intake
from serving.leads import described as leads
from serving.scoring.answers import BatchAnswer, ErrorAnswer, ModelCard, ScoreAnswer
from serving.scoring.payload import MOST_LEADS, ScoreRequest
from serving.today import described as today
from serving.watching import described as watching
from serving.webhooks import described as webhooks

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode
    from starlette.responses import Response

    from serving.http.routing import Call

__all__ = ["EXAMPLE_REQUEST", "description_routes", "openapi_document"]

# Each describes its own paths.
ROOMS: tuple[Described, ...] = (
    intake.DESCRIBED,
    leads.DESCRIBED,
    today.DESCRIBED,
    changes.DESCRIBED,
    watching.DESCRIBED,
    webhooks.DESCRIBED,
)

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
    "handover": {
        "pool": "A",
        "priority": 1,
        "respond_within_minutes": 30,
        "by": "2026-11-21T08:30:00Z",
        "because": "both_high",
        "note": "rules and model both speak for this lead: call it first",
        "holdout": False,
    },
    "warnings": [],
    "model": {"name": "lead-conversion", "version": "7", "bundle": "sha256:0f", "cutoff": "2026-11-01T00:00:00Z"},
}


@cache
def openapi_document() -> dict[str, Any]:
    """Return the whole description.

    Examples
    --------
    >>> [path for path in openapi_document()["paths"] if path.startswith("/v1/score")]
    ['/v1/score', '/v1/score/batch']
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "clew",
            "version": "1",
            "description": "Calibrated conversion probabilities for B2B leads, reasons that add up to them, and the "
            "rule-based score beside them. /v1/score is a pure function of its body, the model and as_of; what takes "
            "facts in counts each once. So every call is safe to repeat.",
        },
        "paths": {
            "/v1/score": {"post": _score()},
            "/v1/score/batch": {"post": _batch()},
            "/v1/model": {"get": _model()},
            "/v1/openapi.json": {"get": _document()},
            **{path: told for room in ROOMS for path, told in room.paths.items()},
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
        *(model for room in ROOMS for model in room.models),
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


def _score() -> dict[str, Any]:
    return {
        "operationId": "score",
        "summary": "Score one lead",
        "description": "Bodies up to 1 MB. Fields that are absent or null are unknown; `events: []` means none.",
        "parameters": [LANGUAGE, REQUEST_ID],
        "requestBody": {"required": True, "content": json_content("ScoreRequest", EXAMPLE_REQUEST)},
        "responses": responses("ScoreAnswer", "The answer.", _EXAMPLE_ANSWER, *POST_ERRORS),
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
        "parameters": [LANGUAGE, REQUEST_ID],
        "requestBody": {"required": True, "content": json_content("BatchRequest", {"leads": [EXAMPLE_REQUEST, {}]})},
        "responses": responses("BatchAnswer", "One result for each lead.", example, *POST_ERRORS),
    }


def _model() -> dict[str, Any]:
    return {
        "operationId": "model",
        "summary": "Which model answers, and what its grades have been worth",
        "parameters": [LANGUAGE, REQUEST_ID],
        "responses": responses("ModelCard", "The model, or the rules where there is none.", None, *ERRORS),
    }


def _document() -> dict[str, Any]:
    described = {
        "200": {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}}
    }
    described |= {
        status: told for status, told in responses("ErrorAnswer", "", None, 405, 500).items() if status != "200"
    }
    return {"operationId": "openapi", "summary": "This description", "security": [], "responses": described}


def description_routes() -> list[Route]:
    """Return the paths that tell of the interface; they are open to all."""
    return [
        Route("/v1/openapi.json", {"GET": _describe}),
        # BentoML's own page here loads scripts from elsewhere.
        Route("/", {"GET": _front}),
    ]


async def _describe(call: Call) -> Response:
    return json_response(openapi_document(), call.request_id)


async def _front(call: Call) -> Response:
    return json_response({"service": "clew", "description": "/v1/openapi.json"}, call.request_id)
