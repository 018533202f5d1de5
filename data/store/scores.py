"""What was said of a lead and why: written once, never changed, to be had again to the digit.

A score, the lead's place in the lists, the messages that a change of grade or pool causes, and the end of the lead's
mark are one transaction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from data.clock import now, to_us
from data.store.dirty import unmark
from data.store.lease import hold
from data.store.listing import list_again
from data.store.model_moves import count_moves
from data.store.outbox import Change, announce
from data.store.schema import CURRENT_SCORES, SCORES
from data.store.statements import chunks, insert_into, lock_entities

if TYPE_CHECKING:
    from data.store.dirty import DirtyLead
    from data.store.engine import Store
    from data.store.lease import Lease

__all__ = [
    "Cause",
    "GivenScore",
    "Recorded",
    "Score",
    "current_bundles",
    "current_score",
    "history",
    "newest_scores",
    "record_scores",
]

Cause = Literal["request", "payload", "change", "batch", "model"]
"""Why a lead was scored: somebody asked, a fact changed, the nightly list, or a new model.

`payload` is a score of what a request brought along. The store may know better, so it is kept but never current.
"""

Json = Mapping[str, Any] | Sequence[Any]
_TEXTS = ("features", "reasons", "rules")


@dataclass(frozen=True)
class Score:
    """An answer for a lead at `as_of_us`; where the rules answered, the model's fields are None and `bundle` is empty.

    `features` are the values that the model saw, `reasons` and `rules` what the answer told: all of it JSON.
    """

    lead_id: str
    as_of_us: int
    bundle: str
    source: str
    probability: float | None
    logit: float | None
    grade: str | None
    pool: str | None
    features: Mapping[str, Any]
    reasons: Json
    rules: Json
    cause: Cause


@dataclass(frozen=True)
class GivenScore:
    """A score with its number and the moment at which it was given."""

    score_id: int
    given_us: int
    score: Score


@dataclass(frozen=True)
class Recorded:
    """What a call wrote: scores that were not there yet, changes of grade among them, messages put into the outbox."""

    written: int
    regraded: int
    messages: int


def record_scores(
    store: Store,
    scores: Sequence[Score],
    *,
    done: Sequence[DirtyLead] = (),
    lease: Lease | None = None,
    now_us: int | None = None,
) -> Recorded:
    """Write scores, each once however often it is sent, and what follows from them, in one transaction.

    The score with the latest `as_of` is the lead's current one. If its grade or its pool differs from the one before,
    the targets that asked for it get a message; with cause `model` they get none, since a new model moves many leads
    at once: what it moved is counted here and told in one summary by `announce_model`.

    Parameters
    ----------
    store
        The open store.
    scores
        At most some hundred, so that other writers need not wait.
    done
        Marks that these scores answer; a lead that changed since keeps its mark.
    lease
        The right to do this, where several might; it is checked within the transaction.
    now_us
        The present, by default the clock's.

    Raises
    ------
    LeaseLostError
        If the lease has another holder by now; nothing was written.
    InfrastructureError
        If the database cannot be used; then nothing was written.
    """

    def work(connection: sa.Connection) -> Recorded:
        if lease is not None:
            hold(connection, lease)
        touched = {score.lead_id for score in scores} | {lead.lead_id for lead in done}
        lock_entities(connection, "scores", touched)
        at_us = to_us(now()) if now_us is None else now_us
        written = _insert(connection, scores, at_us)
        changes = _follow(connection, written)
        count_moves(connection, changes)
        messages = announce(connection, changes, at_us)
        unmark(connection, done)
        list_again(connection, touched - _told_only(scores, done), at_us)
        return Recorded(len(written), sum(change.regraded for change in changes), messages)

    return store.write(work)


def _told_only(scores: Sequence[Score], done: Sequence[DirtyLead]) -> set[str]:
    """Return the leads about which nothing was learnt: requests brought their own facts along."""
    known = {score.lead_id for score in scores if score.cause != "payload"} | {lead.lead_id for lead in done}
    return {score.lead_id for score in scores} - known


def current_score(store: Store, lead_id: str) -> GivenScore | None:
    """Return the lead's score with the latest `as_of`, None where it was never scored."""
    query = (
        sa.select(SCORES)
        .join(CURRENT_SCORES, CURRENT_SCORES.c.score_id == SCORES.c.score_id)
        .where(CURRENT_SCORES.c.lead_id == lead_id)
    )
    with store.reading() as connection:
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _given(row)


def current_bundles(store: Store, lead_ids: Sequence[str]) -> dict[str, str]:
    """Return for each lead that has a current score the bundle that gave it, empty where the rules did."""
    found: dict[str, str] = {}
    both = sa.select(SCORES.c.lead_id, SCORES.c.bundle).join(
        CURRENT_SCORES, CURRENT_SCORES.c.score_id == SCORES.c.score_id
    )
    with store.reading() as connection:
        for piece in chunks(lead_ids):
            found |= {row[0]: row[1] for row in connection.execute(both.where(SCORES.c.lead_id.in_(piece)))}
    return found


def newest_scores(store: Store, *, limit: int, source: str = "model") -> list[GivenScore]:
    """Return the scores given last by a source from what the store knew, the newest first."""
    query = (
        sa.select(SCORES)
        .where(SCORES.c.source == source, SCORES.c.cause != "payload")
        .order_by(SCORES.c.score_id.desc())
        .limit(limit)
    )
    with store.reading() as connection:
        return [_given(row) for row in connection.execute(query).mappings()]


def history(store: Store, lead_id: str, *, before_id: int | None = None, limit: int = 100) -> list[GivenScore]:
    """Return the scores that a lead was given, the newest first; `before_id` is the last of the page before."""
    query = sa.select(SCORES).where(SCORES.c.lead_id == lead_id).order_by(SCORES.c.score_id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(SCORES.c.score_id < before_id)
    with store.reading() as connection:
        return [_given(row) for row in connection.execute(query).mappings()]


def _row(score: Score, at_us: int) -> dict[str, Any]:
    row: dict[str, Any] = {name: value for name, value in vars(score).items() if name not in {"as_of_us", *_TEXTS}}
    # Python writes a float so that reading it gives the same float: what is stored can be replayed to the digit.
    row |= {name: _text(getattr(score, name)) for name in _TEXTS}
    content = [score.source, score.probability, score.logit, score.grade, score.pool, *(row[name] for name in _TEXTS)]
    row["digest"] = hashlib.sha256(_text(content).encode()).hexdigest()
    return {**row, "as_of": score.as_of_us, "given_at": at_us}


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=dict)


def _given(row: sa.RowMapping) -> GivenScore:
    fields = {name: row[name] for name in Score.__dataclass_fields__ if name not in {"as_of_us", *_TEXTS}}
    told = {name: json.loads(row[name]) for name in _TEXTS}
    return GivenScore(row["score_id"], row["given_at"], Score(**fields, **told, as_of_us=row["as_of"]))


def _insert(connection: sa.Connection, scores: Sequence[Score], at_us: int) -> list[Mapping[str, Any]]:
    """Write the scores that are not there yet and return them with their numbers, per lead in order of `as_of`."""
    rows = [_row(score, at_us) for score in scores]
    rows.sort(key=lambda row: (row["lead_id"], row["as_of"]))
    if not rows:
        return []
    columns = ("score_id", "lead_id", "as_of", "bundle", "probability", "grade", "pool", "rules", "cause")
    statement = (
        insert_into(connection, SCORES)
        .on_conflict_do_nothing(index_elements=["lead_id", "as_of", "bundle", "digest"])
        .returning(*(SCORES.c[name] for name in columns))
    )
    found = [dict(row) for row in connection.execute(statement, rows).mappings()]
    return sorted(found, key=lambda row: (row["lead_id"], row["as_of"], row["score_id"]))


def _follow(connection: sa.Connection, written: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Put the newest scores into the list of current ones and return what changed by it."""
    last = _current(connection, sorted({row["lead_id"] for row in written}))
    changes, newest = [], dict[str, dict[str, Any]]()
    for row in written:
        before = last.get(row["lead_id"])
        if row["cause"] == "payload" or (before is not None and before["as_of"] > row["as_of"]):
            continue  # a score for the past changes nothing about the present
        changes.append(
            Change(
                lead_id=row["lead_id"],
                score_id=row["score_id"],
                as_of_us=row["as_of"],
                cause=row["cause"],
                bundles=(None if before is None else before["bundle"], row["bundle"]),
                grades=(None if before is None else before["grade"], row["grade"]),
                pools=(None if before is None else before["pool"], row["pool"]),
                first=before is None,
                minutes=None if before is not None and before["pool"] == row["pool"] else _minutes(row["rules"]),
            )
        )
        last[row["lead_id"]] = row
        newest[row["lead_id"]] = {name: row[name] for name in CURRENT_SCORES.columns.keys()}  # noqa: SIM118 - no mapping
    if newest:
        statement = insert_into(connection, CURRENT_SCORES)
        told = {name: statement.excluded[name] for name in CURRENT_SCORES.columns.keys() if name != "lead_id"}  # noqa: SIM118
        connection.execute(
            statement.on_conflict_do_update(index_elements=["lead_id"], set_=told), list(newest.values())
        )
    return changes


def _current(connection: sa.Connection, lead_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for piece in chunks(lead_ids):
        query = sa.select(CURRENT_SCORES, SCORES.c.bundle).join(SCORES, SCORES.c.score_id == CURRENT_SCORES.c.score_id)
        chosen = query.where(CURRENT_SCORES.c.lead_id.in_(piece))
        found |= {row["lead_id"]: row for row in connection.execute(chosen).mappings()}
    return found


def _minutes(rules: str) -> int | None:
    """Return within how many minutes the decision of a score asks somebody to be assigned."""
    told = json.loads(rules)
    if not isinstance(told, dict):
        return None
    decision = told.get("handover") or {"respond_within_minutes": told.get("assign_within_minutes")}
    minutes = decision.get("respond_within_minutes")
    return None if minutes is None else int(minutes)
