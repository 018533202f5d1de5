"""The facts: append-only rows under the keys of the data contract."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0001"
down_revision = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "id": _ID,
    "text": sa.Text(),
    "number": sa.Double(),
    "integer": sa.BigInteger(),
}

# `name:type`, `!` for NOT NULL, `*` for the primary key. Written out, because the contract may change after this step.
_TABLES = {
    "accounts": "account_id:id* name:text industry:id employees:number annual_revenue:number currency:id country:id "
    "region:id founded_year:integer website:text known_at:integer* recorded_at:integer!",
    "leads": "lead_id:id* created_at:integer! account_id:id person_id:id source:id medium:id campaign:id keyword:id "
    "landing_page:id job_title:text country:id owner_id:id status:id seniority:id email_domain_kind:id "
    "contact_completeness:number known_at:integer* recorded_at:integer! custom:text!",
    "contacts": "lead_id:id* person_id:id name:text email:text phone:text known_at:integer* recorded_at:integer!",
    "events": "source:id* event_id:id* lead_id:id! type:id! occurred_at:integer! content_id:id campaign:id keyword:id "
    "channel:id duration_s:number value:number known_at:integer! recorded_at:integer!",
    "stages": "lead_id:id* stage:id* occurred_at:integer* actor_id:id reason:id known_at:integer! recorded_at:integer!",
    "outcomes": "lead_id:id* outcome:id! closed_at:integer! amount:number currency:id reason:id known_at:integer* "
    "recorded_at:integer!",
    "actions": "action_id:id* lead_id:id! type:id! occurred_at:integer! actor_id:id reason:id known_at:integer! "
    "recorded_at:integer!",
    "merges": "lead_id:id* occurred_at:integer* into_lead_id:id! known_at:integer! recorded_at:integer!",
    "confirmations": "of_table:text* entity_id:id* known_at:integer*",
}
_INDEXES = {
    "leads_by_account": ("leads", ["account_id"]),
    "leads_by_person": ("leads", ["person_id"]),
    "events_by_lead": ("events", ["lead_id", "occurred_at"]),
    "actions_by_lead": ("actions", ["lead_id"]),
    "merges_by_target": ("merges", ["into_lead_id"]),
}


def _column(word: str) -> sa.Column[Any]:
    name, kind = word.rstrip("!*").split(":")
    key = word.endswith("*")
    return sa.Column(name, _TYPES[kind], primary_key=key, nullable=word[-1] not in "!*", autoincrement=False)


def upgrade() -> None:
    """Make the tables of the facts."""
    for name, columns in _TABLES.items():
        op.create_table(name, *map(_column, columns.split()))
    for name, (table, indexed) in _INDEXES.items():
        op.create_index(name, table, indexed)
