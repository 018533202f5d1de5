"""The paths that read leads in OpenAPI."""

from __future__ import annotations

from typing import Any

from serving.http.describing import ERRORS, LANGUAGE, REQUEST_ID, Described, responses
from serving.leads.answers import HistoryAnswer

__all__ = ["DESCRIBED", "LEAD_ID"]

LEAD_ID: dict[str, Any] = {
    "name": "lead_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
}
_ERRORS = (400, *ERRORS, 404)


def _number(name: str, most: int, meaning: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": most}
    return {"name": name, "in": "query", "required": False, "description": meaning, "schema": schema}


DESCRIBED = Described(
    paths={
        "/v1/leads/{lead_id}/score": {
            "get": {
                "operationId": "scoreLead",
                "summary": "Score a lead from what is known of it now",
                "description": "With the events of its account and its person's other leads. The answer is in the "
                "lead's history before it is sent.",
                "parameters": [LEAD_ID, LANGUAGE, REQUEST_ID],
                "responses": responses("ScoreAnswer", "The answer.", None, *sorted(_ERRORS)),
            }
        },
        "/v1/leads/{lead_id}/history": {
            "get": {
                "operationId": "leadHistory",
                "summary": "The scores that a lead was given, with what they were given from",
                "parameters": [
                    LEAD_ID,
                    _number("limit", 200, "How many; 50 if absent."),
                    _number("before", 2**63 - 1, "The `before` of the page that came before."),
                    REQUEST_ID,
                ],
                "responses": responses("HistoryAnswer", "A page.", None, *sorted(_ERRORS)),
            }
        },
    },
    models=((HistoryAnswer, "serialization"),),
)
