"""The paths of intake in OpenAPI."""

from __future__ import annotations

from typing import Any

from serving.http.describing import POST_ERRORS, REQUEST_ID, Described, json_content, responses
from serving.intake.answers import Taken, TakenMany
from serving.intake.bodies import AccountPut, ActionPost, EventPost, LeadPut, MergePost, OutcomePost, StagePost
from serving.intake.parsing import MOST_ITEMS

__all__ = ["DESCRIBED"]

_EVENT = {
    "specversion": "1.0",
    "id": "e2",
    "source": "site",
    "type": "whitepaper_download",
    "time": "2026-11-18T07:30:00Z",
    "subject": "L-1",
    "data": {"content_id": "wp-7", "channel": "search"},
}
_POSTED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "events": ("EventPost", "what leads did", _EVENT),
    "actions": (
        "ActionPost",
        "what sales did",
        {
            "id": "a1",
            "lead_id": "L-1",
            "type": "rejected",
            "occurred_at": "2026-11-18T09:00:00Z",
            "reason": "no budget",
        },
    ),
    "outcomes": (
        "OutcomePost",
        "how leads ended",
        {"lead_id": "L-1", "outcome": "won", "closed_at": "2026-11-20T10:00:00Z", "amount": 12000, "currency": "EUR"},
    ),
    "stages": (
        "StagePost",
        "stages that leads reached",
        {"lead_id": "L-1", "stage": "mql", "occurred_at": "2026-11-18T08:00:00Z"},
    ),
    "merges": (
        "MergePost",
        "leads that went up in others",
        {"lead_id": "L-2", "into_lead_id": "L-1", "occurred_at": "2026-11-19T08:00:00Z"},
    ),
}
_ITEM_ERROR = {
    "status": "error",
    "error": {"code": "missing_field", "message": "1.type is required", "field": "1.type", "request_id": "r-1"},
}
_LEAD = {
    "created_at": "2026-11-02T09:00:00Z",
    "modified_at": "2026-11-18T09:00:00Z",
    "account_id": "A-1",
    "source": "webinar",
    "job_title": "VP Ops",
    "owner_id": "u7",
    "contact": {"name": "Example Name", "email": "name@example.com"},
    "custom": {"erp": "sap"},
}
_ACCOUNT = {"modified_at": "2026-11-18T09:00:00Z", "industry": "medical devices", "employees": 800}
# What a key may not show is 404, what contradicts the store 409.
_ERRORS = tuple(sorted((*POST_ERRORS, 404, 409)))


def _one_or_many(schema: str) -> dict[str, Any]:
    item = {"$ref": f"#/components/schemas/{schema}"}
    listed = {
        "type": "array",
        "maxItems": MOST_ITEMS,
        "items": {"anyOf": [item, {}]},
        "description": "Each is checked on its own: one that breaks the contract is answered with its error.",
    }
    return {"oneOf": [item, listed]}


def _posted(name: str) -> dict[str, Any]:
    schema, what, example = _POSTED[name]
    body = {"schema": _one_or_many(schema), "examples": {"one": {"value": example}, "list": {"value": [example]}}}
    types = ["application/json"]
    if name == "events":
        types += ["application/cloudevents+json", "application/cloudevents-batch+json"]
    told = responses("Taken", "On disk.", None, *_ERRORS)
    told["200"]["content"]["application/json"] = {
        "schema": {"oneOf": [{"$ref": f"#/components/schemas/{each}"} for each in ("Taken", "TakenMany")]},
        "examples": {
            "one": {"value": {"result": "new"}},
            "list": {"value": {"results": [{"status": "ok", "result": "duplicate"}, _ITEM_ERROR]}},
        },
    }
    return {
        "post": {
            "operationId": f"post{name.title()}",
            "summary": f"Take in {what}",
            "description": f"One, or a list of up to {MOST_ITEMS:,}; up to 4 MB. On disk when answered; sent again, "
            "and in any order, it is counted once.",
            "parameters": [REQUEST_ID],
            "requestBody": {"required": True, "content": dict.fromkeys(types, body)},
            "responses": told,
        }
    }


def _put(of: str, schema: str, example: dict[str, Any]) -> dict[str, Any]:
    name = f"{of}_id"
    parameter = {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 500, "pattern": r"\S"},
    }
    return {
        "put": {
            "operationId": f"put{of.title()}",
            "summary": f"Take in {'a lead' if of == 'lead' else 'a company'} as it stands",
            "description": "The whole of it. Unchanged content writes nothing; content older than what is known enters "
            "the history without becoming current; other content of the same moment is a conflict. Up to 256 kB.",
            "parameters": [parameter, REQUEST_ID],
            "requestBody": {"required": True, "content": json_content(schema, example)},
            "responses": responses("Taken", "On disk.", {"result": "new"}, *_ERRORS),
        }
    }


DESCRIBED = Described(
    paths={
        **{f"/v1/{name}": _posted(name) for name in _POSTED},
        "/v1/leads/{lead_id}": _put("lead", "LeadPut", _LEAD),
        "/v1/accounts/{account_id}": _put("account", "AccountPut", _ACCOUNT),
    },
    models=(
        *(
            (model, "validation")
            for model in (LeadPut, AccountPut, EventPost, ActionPost, OutcomePost, StagePost, MergePost)
        ),
        (Taken, "serialization"),
        (TakenMany, "serialization"),
    ),
)
