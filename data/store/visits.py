"""Which score of a lead somebody was shown last, so that the page can say what has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from data.store.schema import VISITS
from data.store.statements import insert_into

if TYPE_CHECKING:
    from data.store.engine import Store

__all__ = ["visit"]


def visit(store: Store, key_id: str, lead_id: str, score_id: int, *, now_us: int) -> tuple[int, int] | None:
    """Remember which score is being shown; return the other one that was shown before, and when it was last.

    Looking at the same score again keeps what was shown before it, so that the difference does not vanish when a page
    is opened twice.

    Parameters
    ----------
    store
        The open store.
    key_id
        Who looks; empty where there are no keys.
    lead_id, score_id
        What is shown.
    now_us
        The present, microseconds UTC.

    Returns
    -------
    tuple of int or None
        The number of the score and the moment; None on the first visit.
    """

    def work(connection: sa.Connection) -> tuple[int, int] | None:
        own = VISITS.c.key_id == key_id, VISITS.c.lead_id == lead_id
        last = connection.execute(sa.select(VISITS).where(*own)).one_or_none()
        before = None if last is None else (last.before_id, last.before_at)
        if last is not None and last.score_id != score_id:
            before = last.score_id, last.seen_at
        row = {"key_id": key_id, "lead_id": lead_id, "score_id": score_id, "seen_at": now_us}
        row |= (
            {"before_id": None, "before_at": None}
            if before is None
            else dict(zip(("before_id", "before_at"), before, strict=True))
        )
        statement = insert_into(connection, VISITS).values(row)
        told = {name: statement.excluded[name] for name in ("score_id", "seen_at", "before_id", "before_at")}
        connection.execute(statement.on_conflict_do_update(index_elements=["key_id", "lead_id"], set_=told))
        return None if before is None or before[0] is None else (int(before[0]), int(before[1]))

    return store.write(work)
