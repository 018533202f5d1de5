"""What clew says and does about the facts: scores, marks and leases, keys, webhooks, feedback, views.

Leads that were stored before have never been scored, so each of them is marked for it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0002"
down_revision = "0001"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "id": _ID,
    "row": _ROW_ID,
    "text": sa.Text(),
    "number": sa.Double(),
    "time": sa.BigInteger(),
    "count": sa.Integer(),
}

# `name:type`, `!` for NOT NULL, `*` for the primary key.
_TABLES = {
    "scores": "score_id:row* lead_id:id! as_of:time! given_at:time! bundle:text! source:text! probability:number "
    "logit:number grade:text pool:text features:text! reasons:text! rules:text! cause:text! digest:text!",
    "current_scores": "lead_id:id* score_id:time! as_of:time! probability:number grade:text pool:text",
    "dirty_leads": "lead_id:id* since:time! mark:text!",
    "leases": "name:text* holder:text! token:time! expires_at:time!",
    "api_keys": "key_id:id* name:text! salt:text! hashed:text! role:text! scopes:text! owner_ids:text! "
    "created_at:time! expires_at:time revoked_at:time",
    "webhook_targets": "target_id:id* url:text! secret:text! kinds:text! pools:text! created_at:time! removed_at:time",
    "outbox": "delivery_id:id* target_id:id! kind:text! lead_id:id body:text! created_at:time! due_at:time "
    "attempts:count! claim:text delivered_at:time",
    "feedback": "feedback_id:id* lead_id:id! score_id:time given_at:time! key_id:id! verdict:text! note:text",
    "saved_views": "view_id:id* key_id:id! name:text! query:text! saved_at:time!",
}
_UNIQUE = {
    "scores": ("scores_once", ("lead_id", "as_of", "bundle", "digest")),
    "saved_views": ("saved_views_by_name", ("key_id", "name")),
}
_INDEXES = {
    "current_scores_by_probability": ("current_scores", ["probability", "lead_id"]),
    "dirty_leads_by_age": ("dirty_leads", ["since", "lead_id"]),
    "outbox_by_due": ("outbox", ["due_at"]),
    "feedback_by_lead": ("feedback", ["lead_id", "given_at"]),
}


def _column(word: str) -> sa.Column[Any]:
    name, kind = word.rstrip("!*").split(":")
    counted = "auto" if kind == "row" else False
    nullable = word[-1] not in "!*"
    return sa.Column(name, _TYPES[kind], primary_key=word[-1] == "*", nullable=nullable, autoincrement=counted)  # type: ignore[arg-type]


def upgrade() -> None:
    """Make the tables and mark the leads that are there."""
    for name, columns in _TABLES.items():
        unique = [sa.UniqueConstraint(*_UNIQUE[name][1], name=_UNIQUE[name][0])] if name in _UNIQUE else []
        op.create_table(name, *map(_column, columns.split()), *unique)
    for name, (table, indexed) in _INDEXES.items():
        op.create_index(name, table, indexed)
    op.execute(
        "INSERT INTO dirty_leads (lead_id, since, mark) SELECT lead_id, MAX(recorded_at), 'upgrade' FROM leads "
        "GROUP BY lead_id"
    )
