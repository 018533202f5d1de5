"""What changed, in OpenAPI."""

from __future__ import annotations

from typing import Any

from serving.changes.answers import ChangesAnswer
from serving.http.describing import ERRORS, LANGUAGE, REQUEST_ID, Described, responses
from serving.leads.described import LEAD_ID

__all__ = ["DESCRIBED"]

_SINCE: dict[str, Any] = {
    "name": "since",
    "in": "query",
    "required": False,
    "description": "The number of a score, or a time with an offset: the score in force then. The score before the "
    "newest one if absent.",
    "schema": {"type": "string"},
    "example": "2026-11-14T08:00:00Z",
}

DESCRIBED = Described(
    paths={
        "/v1/leads/{lead_id}/changes": {
            "get": {
                "operationId": "leadChanges",
                "summary": "Why the newest score of a lead differs from an earlier one",
                "description": "The difference in log-odds, split into new activity, time passing, corrected or late "
                "data, and a new model; the parts add up to it. Between scores of the rules it is told in points. "
                "What cannot be told apart any more is told together, and `untold` says why.",
                "parameters": [LEAD_ID, _SINCE, LANGUAGE, REQUEST_ID],
                "responses": responses("ChangesAnswer", "The causes.", None, *sorted((400, *ERRORS, 404))),
            }
        }
    },
    models=((ChangesAnswer, "serialization"),),
)
