"""The tables of the store as queries see them; the migrations make them, and a test holds the two equal.

The facts are the canonical tables of `data.tables` under the same keys, with one text column `custom` in `leads` for
the customer's own columns (JSON, keys sorted). All moments are whole microseconds UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.tables import IN_WAREHOUSE_ONLY, TABLES

if TYPE_CHECKING:
    from data.tables import Kind

__all__ = [
    "API_KEYS",
    "CONFIRMATIONS",
    "CURRENT_SCORES",
    "CUSTOM",
    "DIRTY_LEADS",
    "FACTS",
    "FEEDBACK",
    "FORGOTTEN",
    "ID",
    "LEASES",
    "LISTED",
    "METADATA",
    "MODEL_CHANGES",
    "MODEL_MOVES",
    "OUTBOX",
    "SAVED_VIEWS",
    "SCHEMA",
    "SCORES",
    "VERSION_TABLE",
    "VISITS",
    "WEBHOOK_TARGETS",
]

SCHEMA = "0005"  # the newest migration; a test holds it against the folder of migrations
VERSION_TABLE = "clew_schema"  # not Alembic's default, which MLflow uses in the same server
CUSTOM = "custom"

METADATA = sa.MetaData()

# Byte order everywhere: paging by id and the order of locks must not depend on the language of a server.
ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_TYPES: dict[Kind, sa.types.TypeEngine[Any]] = {
    "id": ID,
    "category": ID,
    "text": sa.Text(),
    "number": sa.Double(),
    "integer": sa.BigInteger(),
    "time": sa.BigInteger(),
}


def _facts(name: str) -> sa.Table:
    """Return the table of the store that holds a canonical table."""
    contract = TABLES[name]
    columns = [
        sa.Column(
            column.name,
            _TYPES[column.kind],
            primary_key=column.name in contract.key,
            nullable=not (column.required or column.name in contract.key),
            autoincrement=False,
        )
        for column in contract.columns
    ]
    if name == "leads":
        columns.append(sa.Column(CUSTOM, sa.Text(), nullable=False))
    return sa.Table(name, METADATA, *columns)


FACTS: dict[str, sa.Table] = {name: _facts(name) for name in TABLES if name not in IN_WAREHOUSE_ONLY}

sa.Index("leads_by_account", FACTS["leads"].c.account_id)
sa.Index("leads_by_person", FACTS["leads"].c.person_id)
sa.Index("events_by_lead", FACTS["events"].c.lead_id, FACTS["events"].c.occurred_at)
sa.Index("actions_by_lead", FACTS["actions"].c.lead_id)
sa.Index("merges_by_target", FACTS["merges"].c.into_lead_id)

# Moments at which a version was said again: no news, but needed should an older change come in late.
CONFIRMATIONS = sa.Table(
    "confirmations",
    METADATA,
    sa.Column("of_table", sa.Text(), primary_key=True),
    sa.Column("entity_id", ID, primary_key=True),
    sa.Column("known_at", sa.BigInteger(), primary_key=True, autoincrement=False),
)

SCORES = sa.Table(
    "scores",
    METADATA,
    sa.Column("score_id", _ROW_ID, primary_key=True),
    sa.Column("lead_id", ID, nullable=False),
    sa.Column("as_of", sa.BigInteger(), nullable=False),
    sa.Column("given_at", sa.BigInteger(), nullable=False),
    sa.Column("bundle", sa.Text(), nullable=False),  # empty where the rules answered
    sa.Column("source", sa.Text(), nullable=False),
    sa.Column("probability", sa.Double()),
    sa.Column("logit", sa.Double()),
    sa.Column("grade", sa.Text()),
    sa.Column("pool", sa.Text()),
    sa.Column("features", sa.Text(), nullable=False),
    sa.Column("reasons", sa.Text(), nullable=False),
    sa.Column("rules", sa.Text(), nullable=False),
    sa.Column("cause", sa.Text(), nullable=False),
    sa.Column("digest", sa.Text(), nullable=False),
    sa.UniqueConstraint("lead_id", "as_of", "bundle", "digest", name="scores_once"),
)

CURRENT_SCORES = sa.Table(
    "current_scores",
    METADATA,
    sa.Column("lead_id", ID, primary_key=True),
    sa.Column("score_id", sa.BigInteger(), nullable=False),
    sa.Column("as_of", sa.BigInteger(), nullable=False),
    sa.Column("probability", sa.Double()),
    sa.Column("grade", sa.Text()),
    sa.Column("pool", sa.Text()),
    sa.Index("current_scores_by_probability", "probability", "lead_id"),
)

# The open leads as the list of the pages shows and filters them: what else would have to be joined for each of them.
# `place` ranks: the probability, or points below all probabilities where the rules answered.
LISTED = sa.Table(
    "listed",
    METADATA,
    sa.Column("lead_id", ID, primary_key=True),
    sa.Column("place", sa.Double(), nullable=False),
    sa.Column("score_id", sa.BigInteger(), nullable=False),
    sa.Column("as_of", sa.BigInteger(), nullable=False),
    sa.Column("probability", sa.Double()),
    sa.Column("grade", ID),
    sa.Column("pool", ID),
    sa.Column("points", sa.Double(), nullable=False),
    sa.Column("because", ID),
    sa.Column("owner_id", ID),
    sa.Column("source", ID),
    sa.Column("industry", ID),
    sa.Column("account", sa.Text()),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.Column("words", sa.Text(), nullable=False),  # what searching looks through, in lower case
    sa.Index("listed_by_place", "place", "lead_id"),
    sa.Index("listed_by_owner", "owner_id", "place", "lead_id"),
)

# Which score of a lead somebody was shown last, and which one before that, so that a page can say what changed.
VISITS = sa.Table(
    "visits",
    METADATA,
    sa.Column("key_id", ID, primary_key=True),
    sa.Column("lead_id", ID, primary_key=True),
    sa.Column("score_id", sa.BigInteger(), nullable=False),
    sa.Column("seen_at", sa.BigInteger(), nullable=False),
    sa.Column("before_id", sa.BigInteger()),
    sa.Column("before_at", sa.BigInteger()),
    sa.Index("visits_by_lead", "lead_id"),
)

DIRTY_LEADS = sa.Table(
    "dirty_leads",
    METADATA,
    sa.Column("lead_id", ID, primary_key=True),
    sa.Column("since", sa.BigInteger(), nullable=False),
    sa.Column("mark", sa.Text(), nullable=False),
    sa.Index("dirty_leads_by_age", "since", "lead_id"),
)

LEASES = sa.Table(
    "leases",
    METADATA,
    sa.Column("name", sa.Text(), primary_key=True),
    sa.Column("holder", sa.Text(), nullable=False),
    sa.Column("token", sa.BigInteger(), nullable=False),
    sa.Column("expires_at", sa.BigInteger(), nullable=False),
)

API_KEYS = sa.Table(
    "api_keys",
    METADATA,
    sa.Column("key_id", ID, primary_key=True),
    sa.Column("name", sa.Text(), nullable=False),
    sa.Column("salt", sa.Text(), nullable=False),
    sa.Column("hashed", sa.Text(), nullable=False),
    sa.Column("role", sa.Text(), nullable=False),
    sa.Column("scopes", sa.Text(), nullable=False),
    sa.Column("owner_ids", sa.Text(), nullable=False),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.Column("expires_at", sa.BigInteger()),
    sa.Column("revoked_at", sa.BigInteger()),
)

WEBHOOK_TARGETS = sa.Table(
    "webhook_targets",
    METADATA,
    sa.Column("target_id", ID, primary_key=True),
    sa.Column("url", sa.Text(), nullable=False),
    sa.Column("secret", sa.Text(), nullable=False),  # signing needs the secret itself, so it cannot be hashed
    sa.Column("kinds", sa.Text(), nullable=False),
    sa.Column("pools", sa.Text(), nullable=False),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.Column("removed_at", sa.BigInteger()),
)

OUTBOX = sa.Table(
    "outbox",
    METADATA,
    sa.Column("delivery_id", ID, primary_key=True),
    sa.Column("target_id", ID, nullable=False),
    sa.Column("kind", sa.Text(), nullable=False),
    sa.Column("lead_id", ID),
    sa.Column("body", sa.Text(), nullable=False),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.Column("due_at", sa.BigInteger()),  # NULL once delivered or given up
    sa.Column("attempts", sa.Integer(), nullable=False),
    sa.Column("claim", sa.Text()),
    sa.Column("delivered_at", sa.BigInteger()),
    sa.Column("tried_at", sa.BigInteger()),
    sa.Column("last_status", sa.Text()),  # of the last try: a status of HTTP, or a word for what went wrong
    sa.Index("outbox_by_turn", "target_id", "due_at"),
    sa.Index("outbox_by_target", "target_id", "created_at", "delivery_id"),
)

# How many leads a new model has moved from what to what, until that is told; empty texts stand for none.
MODEL_MOVES = sa.Table(
    "model_moves",
    METADATA,
    sa.Column("before_bundle", ID, primary_key=True),
    sa.Column("now_bundle", ID, primary_key=True),
    sa.Column("before_grade", ID, primary_key=True),
    sa.Column("now_grade", ID, primary_key=True),
    sa.Column("before_pool", ID, primary_key=True),
    sa.Column("now_pool", ID, primary_key=True),
    sa.Column("leads", sa.BigInteger(), nullable=False),
)

# The summaries of new models that were told, numbered in their order.
MODEL_CHANGES = sa.Table(
    "model_changes",
    METADATA,
    sa.Column("change_no", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("before_bundle", sa.Text(), nullable=False),
    sa.Column("now_bundle", sa.Text(), nullable=False),
    sa.Column("told_at", sa.BigInteger(), nullable=False),
    sa.Column("body", sa.Text(), nullable=False),
)

FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    sa.Column("feedback_id", ID, primary_key=True),
    sa.Column("lead_id", ID, nullable=False),
    sa.Column("score_id", sa.BigInteger()),
    sa.Column("given_at", sa.BigInteger(), nullable=False),
    sa.Column("key_id", ID, nullable=False),
    sa.Column("verdict", sa.Text(), nullable=False),
    sa.Column("note", sa.Text()),
    sa.Index("feedback_by_lead", "lead_id", "given_at"),
)

SAVED_VIEWS = sa.Table(
    "saved_views",
    METADATA,
    sa.Column("view_id", ID, primary_key=True),
    sa.Column("key_id", ID, nullable=False),
    sa.Column("name", sa.Text(), nullable=False),
    sa.Column("query", sa.Text(), nullable=False),
    sa.Column("saved_at", sa.BigInteger(), nullable=False),
    sa.UniqueConstraint("key_id", "name", name="saved_views_by_name"),
)

# Leads whose person was erased. Only a keyed hash of the id stays, so that an exchange can leave them out.
FORGOTTEN = sa.Table(
    "forgotten",
    METADATA,
    sa.Column("hashed", ID, primary_key=True),
    sa.Column("salt", sa.Text(), nullable=False),
    sa.Column("forgotten_at", sa.BigInteger(), nullable=False),
)
