"""What people leave behind: feedback on a lead's score, and the views of the list that they saved."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import sqlalchemy as sa

from data.clock import now, to_us
from data.errors import UsageError
from data.store.schema import FEEDBACK, SAVED_VIEWS
from data.store.statements import chunks, insert_into

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data.store.engine import Store

__all__ = [
    "Feedback",
    "Opinion",
    "SavedView",
    "add_feedback",
    "delete_view",
    "feedback_on",
    "newest_feedback",
    "save_view",
    "views_of",
]

Opinion = Literal["good", "bad", "wrong_reason", "too_high", "about_right", "too_low"]


@dataclass(frozen=True)
class Feedback:
    """What somebody thinks of a score; the note is theirs and may be personal."""

    feedback_id: str
    lead_id: str
    score_id: int | None
    given_us: int
    key_id: str
    verdict: Opinion
    note: str | None


@dataclass(frozen=True)
class SavedView:
    """A named choice of filters and order, of one key's owner."""

    view_id: str
    key_id: str
    name: str
    query: Mapping[str, Any]
    saved_us: int


def add_feedback(
    store: Store,
    lead_id: str,
    *,
    key_id: str,
    verdict: Opinion,
    score_id: int | None = None,
    note: str | None = None,
    now_us: int | None = None,
) -> Feedback:
    """Keep an opinion on a lead's score.

    Raises
    ------
    UsageError
        If it is none of the known opinions.
    """
    if verdict not in get_args(Opinion):
        raise UsageError("the verdict is unknown", hint=f"choose among {', '.join(get_args(Opinion))}")
    given_us = to_us(now()) if now_us is None else now_us
    found = Feedback(uuid.uuid4().hex, lead_id, score_id, given_us, key_id, verdict, note)
    row = {name: value for name, value in vars(found).items() if name != "given_us"} | {"given_at": given_us}
    store.execute(sa.insert(FEEDBACK), row)
    return found


def feedback_on(store: Store, lead_id: str) -> list[Feedback]:
    """Return the opinions on a lead's scores, the oldest first."""
    query = sa.select(FEEDBACK).where(FEEDBACK.c.lead_id == lead_id)
    with store.reading() as connection:
        rows = connection.execute(query.order_by(FEEDBACK.c.given_at, FEEDBACK.c.feedback_id)).all()
    return [_feedback(row) for row in rows]


def _feedback(row: sa.Row[Any]) -> Feedback:
    return Feedback(row.feedback_id, row.lead_id, row.score_id, row.given_at, row.key_id, row.verdict, row.note)


def newest_feedback(store: Store, lead_ids: Sequence[str]) -> dict[str, Feedback]:
    """Return the newest opinion on each of the leads that has one."""
    found: dict[str, Feedback] = {}
    with store.reading() as connection:
        for piece in chunks(lead_ids):
            query = sa.select(FEEDBACK).where(FEEDBACK.c.lead_id.in_(piece))
            for row in connection.execute(query.order_by(FEEDBACK.c.given_at, FEEDBACK.c.feedback_id)):
                found[row.lead_id] = _feedback(row)
    return found


def save_view(
    store: Store, key_id: str, name: str, query: Mapping[str, Any], *, now_us: int | None = None
) -> SavedView:
    """Keep a view under a name; one of the same name and key is replaced."""

    def work(connection: sa.Connection) -> SavedView:
        at_us = to_us(now()) if now_us is None else now_us
        row = {"view_id": uuid.uuid4().hex, "key_id": key_id, "name": name, "saved_at": at_us}
        row["query"] = json.dumps(dict(query), ensure_ascii=False)
        statement = insert_into(connection, SAVED_VIEWS).values(row)
        kept = statement.on_conflict_do_update(
            index_elements=["key_id", "name"],
            set_={"query": statement.excluded["query"], "saved_at": statement.excluded["saved_at"]},
        )
        view_id = connection.execute(kept.returning(SAVED_VIEWS.c.view_id)).scalar_one()
        return SavedView(view_id, key_id, name, dict(query), at_us)

    return store.write(work)


def views_of(store: Store, key_id: str) -> list[SavedView]:
    """Return the saved views of a key, by name."""
    query = sa.select(SAVED_VIEWS).where(SAVED_VIEWS.c.key_id == key_id).order_by(SAVED_VIEWS.c.name)
    with store.reading() as connection:
        return [
            SavedView(row["view_id"], row["key_id"], row["name"], json.loads(row["query"]), row["saved_at"])
            for row in connection.execute(query).mappings()
        ]


def delete_view(store: Store, key_id: str, view_id: str) -> bool:
    """Delete a view of a key; tell whether there was one."""

    def work(connection: sa.Connection) -> bool:
        own = SAVED_VIEWS.c.view_id == view_id, SAVED_VIEWS.c.key_id == key_id
        return bool(connection.execute(sa.delete(SAVED_VIEWS).where(*own)).rowcount)

    return store.write(work)
