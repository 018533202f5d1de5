"""What a new model moved, told in one summary: counted in the transaction of the scores, told once and then forgotten.

A batch may be killed and run again, and two may run at once. The count is in the store, beside the scores that it
counts, so that nothing is lost or counted twice; the summary is written under a lock, with its messages.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.clock import now, to_us
from data.store.outbox import message_row
from data.store.schema import MODEL_CHANGES, MODEL_MOVES, OUTBOX
from data.store.statements import insert_into, lock_entities
from data.store.targets import standing_targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from data.store.engine import Store
    from data.store.outbox import Change

__all__ = ["announce_model", "count_moves"]

_MOVED = ("before_bundle", "now_bundle", "before_grade", "now_grade", "before_pool", "now_pool")


def count_moves(connection: sa.Connection, changes: Iterable[Change]) -> None:
    """Count the leads that another model scores now, by what they were moved from and to."""
    moves = Counter(
        tuple(each or "" for each in (*change.bundles, *change.grades, *change.pools))
        for change in changes
        if change.remodelled
    )
    if not moves:
        return
    # All writers in one order, so that none waits in a circle.
    rows = [dict(zip(_MOVED, key, strict=True)) | {"leads": count} for key, count in sorted(moves.items())]
    statement = insert_into(connection, MODEL_MOVES)
    total = MODEL_MOVES.c.leads + statement.excluded["leads"]
    connection.execute(statement.on_conflict_do_update(index_elements=list(_MOVED), set_={"leads": total}), rows)


def announce_model(store: Store, bundle: str, *, now_us: int | None = None) -> bool:
    """Put the summary of a new model into the outbox for every target that asked for it, once; tell whether it was due.

    To be called when every open lead has a score of `bundle`: what was counted until then is told and forgotten. A
    model that was the last one told is not told again, however often this is called and by however many; one that
    comes back after another is.

    Parameters
    ----------
    store
        The open store.
    bundle
        The digest of the bundle that scores now, empty where the rules do.
    now_us
        The present, by default the clock's.
    """

    def work(connection: sa.Connection) -> bool:
        lock_entities(connection, "model_changes", ["all"])
        newest = sa.select(MODEL_CHANGES).order_by(MODEL_CHANGES.c.change_no.desc()).limit(1)
        last = connection.execute(newest).mappings().one_or_none()
        arrived = _taken(connection, bundle)
        if not arrived or (last is not None and last["now_bundle"] == bundle):
            return False
        at_us = to_us(now()) if now_us is None else now_us
        before = _most_frequent(arrived) if last is None else last["now_bundle"]
        body = _summary(arrived, before, bundle)
        row = {
            "change_no": 1 if last is None else last["change_no"] + 1,
            "before_bundle": before,
            "now_bundle": bundle,
            "told_at": at_us,
            "body": json.dumps(body),
        }
        connection.execute(sa.insert(MODEL_CHANGES), row)
        asked = [target for target in standing_targets(connection) if "model_changed" in target.kinds]
        if asked:
            messages = [message_row(target, "model_changed", body, at_us) for target in asked]
            connection.execute(sa.insert(OUTBOX), messages)
        return True

    return store.write(work)


def _taken(connection: sa.Connection, bundle: str) -> Sequence[sa.RowMapping]:
    """Return what was moved to a bundle, and forget it.

    Forgotten as well is what was moved before to the bundles that these leads came from: they have left it again. What
    moves to other bundles still, in a batch under way, stays counted.
    """
    into = sa.delete(MODEL_MOVES).where(MODEL_MOVES.c.now_bundle == bundle).returning(MODEL_MOVES)
    arrived = connection.execute(into).mappings().all()
    left = sorted({move["before_bundle"] for move in arrived})
    connection.execute(sa.delete(MODEL_MOVES).where(MODEL_MOVES.c.now_bundle.in_(left)))
    return arrived


def _most_frequent(moves: Sequence[sa.RowMapping]) -> str:
    leads = Counter[str]()
    for move in moves:
        leads[move["before_bundle"]] += move["leads"]
    return max(sorted(leads), key=lambda bundle: leads[bundle])


def _summary(moves: Sequence[sa.RowMapping], before: str, bundle: str) -> dict[str, Any]:
    grades, pools = _changed(moves, "grade"), _changed(moves, "pool")
    return {
        "cause": "model",
        "bundle": {"before": before or None, "now": bundle or None},
        "leads": sum(move["leads"] for move in moves),
        "regraded": sum(each["leads"] for each in grades),
        "grades": grades,
        "pools": pools,
    }


def _changed(moves: Sequence[sa.RowMapping], what: str) -> list[dict[str, Any]]:
    """Return how many leads went from which grade or pool to which other one."""
    leads = Counter[tuple[str, str]]()
    for move in moves:
        leads[move[f"before_{what}"], move[f"now_{what}"]] += move["leads"]
    return [
        {"before": before or None, "now": after or None, "leads": count}
        for (before, after), count in sorted(leads.items())
        if before != after
    ]
