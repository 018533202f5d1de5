"""What the pages list and filter, and what each key was shown last.

Leads that have a score are marked: the row of the list is written with the next one, and it is the same score.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0005"
down_revision = "0004"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _must(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    """Make two tables and mark the leads that were scored."""
    op.create_table(
        "listed",
        sa.Column("lead_id", _ID, primary_key=True),
        _must("place", sa.Double()),
        _must("score_id", sa.BigInteger()),
        _must("as_of", sa.BigInteger()),
        sa.Column("probability", sa.Double()),
        sa.Column("grade", _ID),
        sa.Column("pool", _ID),
        _must("points", sa.Double()),
        *(sa.Column(name, _ID) for name in ("because", "owner_id", "source", "industry")),
        sa.Column("account", sa.Text()),
        _must("created_at", sa.BigInteger()),
        _must("words", sa.Text()),
    )
    op.create_index("listed_by_place", "listed", ["place", "lead_id"])
    op.create_index("listed_by_owner", "listed", ["owner_id", "place", "lead_id"])
    op.create_table(
        "visits",
        sa.Column("key_id", _ID, primary_key=True),
        sa.Column("lead_id", _ID, primary_key=True),
        _must("score_id", sa.BigInteger()),
        _must("seen_at", sa.BigInteger()),
        sa.Column("before_id", sa.BigInteger()),
        sa.Column("before_at", sa.BigInteger()),
    )
    op.create_index("visits_by_lead", "visits", ["lead_id"])
    op.execute(
        "INSERT INTO dirty_leads (lead_id, since, mark) SELECT lead_id, as_of, 'upgrade' FROM current_scores "
        "WHERE lead_id NOT IN (SELECT lead_id FROM dirty_leads)"
    )
