"""How each message fared at its last try, whose turn it is by target, and what a new model moved.

Messages that wait stay as they are; how earlier ones fared was not kept.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0004"
down_revision = "0003"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_MOVED = ("before_bundle", "now_bundle", "before_grade", "now_grade", "before_pool", "now_pool")


def upgrade() -> None:
    """Add two columns to the outbox, change its indexes, make two tables."""
    op.add_column("outbox", sa.Column("tried_at", sa.BigInteger()))
    op.add_column("outbox", sa.Column("last_status", sa.Text()))
    op.drop_index("outbox_by_due", "outbox")
    op.create_index("outbox_by_turn", "outbox", ["target_id", "due_at"])
    op.create_index("outbox_by_target", "outbox", ["target_id", "created_at", "delivery_id"])
    op.create_table(
        "model_moves",
        *(sa.Column(name, _ID, primary_key=True) for name in _MOVED),
        sa.Column("leads", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "model_changes",
        sa.Column("change_no", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("before_bundle", sa.Text(), nullable=False),
        sa.Column("now_bundle", sa.Text(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
