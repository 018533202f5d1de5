"""The list of whom to call in OpenAPI."""

from __future__ import annotations

from typing import Any

from serving.http.describing import ERRORS, LANGUAGE, REQUEST_ID, Described, responses
from serving.today.answers import TodayAnswer
from serving.today.call_list import MOST_LEADS

__all__ = ["DESCRIBED"]

_EXAMPLE: dict[str, Any] = {
    "as_of": "2026-11-21T08:00:00Z",
    "capacity": 1,
    "open_leads": 212,
    "horizon_days": 90,
    "threshold": 0.25,
    "expected_wins": 0.25,
    "range": [0, 1],
    "range_basis": "learnt",
    "expected_wins_by_rules": 0.22,
    "leads": [
        {
            "rank": 1,
            "lead_id": "L-1",
            "score_id": 4711,
            "as_of": "2026-11-21T07:59:02Z",
            "owner_id": "u7",
            "probability": 0.25,
            "grade": "A",
            "points": 90,
            "pool": "A",
            "handover": {
                "pool": "A",
                "priority": 1,
                "respond_within_minutes": 30,
                "by": "2026-11-21T08:29:02Z",
                "because": "both_high",
                "note": "rules and model both speak for this lead: call it first",
                "holdout": False,
            },
            "reasons": [
                {
                    "group": "whitepapers",
                    "text": "2 white papers downloaded (last 30 days)",
                    "direction": "+",
                    "logit": 0.81,
                    "evidence": {"whitepaper_downloads_30d": 2},
                }
            ],
        }
    ],
}


def _text(name: str, meaning: str) -> dict[str, Any]:
    schema = {"type": "string", "maxLength": 200}
    return {"name": name, "in": "query", "required": False, "description": meaning, "schema": schema}


DESCRIBED = Described(
    paths={
        "/v1/today": {
            "get": {
                "operationId": "today",
                "summary": "Whom to call today, and what to expect of it",
                "description": "The open leads by the probability of their last score, as many as there is time for. "
                "Leads that are held out stand where a lot puts them. The range of the wins holds the luck of the "
                "draw and whole months that are better or worse than told; it assumes that leads are won "
                "independently given the month.",
                "parameters": [
                    {
                        "name": "capacity",
                        "in": "query",
                        "required": False,
                        "description": "How many leads; the setting `capacity` if absent.",
                        "schema": {"type": "integer", "minimum": 1, "maximum": MOST_LEADS},
                    },
                    _text("pool", "Only leads that their last score sends to this pool."),
                    _text("owner", "Only leads of this owner; none where the key does not show them."),
                    LANGUAGE,
                    REQUEST_ID,
                ],
                "responses": responses("TodayAnswer", "The list.", _EXAMPLE, *sorted((400, *ERRORS))),
            }
        }
    },
    models=((TodayAnswer, "serialization"),),
)
