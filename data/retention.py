"""How long raw events, scores and contacts are kept, and deleting what is older from the store and the warehouse."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from data.clock import DAY_US

if TYPE_CHECKING:
    import sqlalchemy as sa

    from data.settings import Settings
    from data.store.engine import Store
    from data.warehouse import Warehouse

__all__ = ["Retained", "Retention", "retain"]

_AT_ONCE = 5_000  # rows a transaction, so that other writers need not wait
_WAIT_S = 60.0


@dataclass(frozen=True)
class Retention:
    """For how many days what is kept; None is for ever."""

    events_days: float | None = None
    scores_days: float | None = None
    contacts_days: float | None = None

    @classmethod
    def of(cls, settings: Settings) -> Retention:
        """Return what the settings say."""
        return cls(settings.keep_events_days, settings.keep_scores_days, settings.keep_contacts_days)

    def events_from_us(self, now_us: int) -> int | None:
        """Return the moment before which events are not kept, microseconds UTC.

        Examples
        --------
        >>> Retention(events_days=2).events_from_us(3 * DAY_US) == DAY_US
        True
        """
        return _cut(self.events_days, now_us)


def _cut(days: float | None, now_us: int) -> int | None:
    return None if days is None else now_us - round(days * DAY_US)


@dataclass(frozen=True)
class Retained:
    """How many rows were deleted: of the store, and of the warehouse."""

    store_events: int = 0
    store_scores: int = 0
    store_contacts: int = 0
    store_messages: int = 0
    warehouse_events: int = 0
    warehouse_contacts: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers for JSON."""
        return asdict(self)


def retain(store: Store, warehouse: Warehouse, retention: Retention, *, now_us: int) -> Retained:
    """Delete events that happened, contacts that became known and scores that were given before their time.

    Messages to other systems go with the scores, once they are delivered or given up. The current score of a lead
    stays, whatever its age. Whatever is computed from older events becomes another; models that were trained before are
    not touched.

    Parameters
    ----------
    store
        The open store; services may go on writing to it.
    warehouse
        Parts that hold older rows are written anew.
    retention
        What is kept how long.
    now_us
        The present, microseconds UTC.

    Raises
    ------
    InfrastructureError
        If the database, the disk or an import under way stand in the way; doing it again finishes it.
    """
    events, scores, contacts = (
        _cut(days, now_us) for days in (retention.events_days, retention.scores_days, retention.contacts_days)
    )
    found = _delete_from_store(store, events, scores, contacts)
    edits = {"events": ("occurred_at", events), "contacts": ("known_at", contacts)}
    met = _delete_from_warehouse(
        warehouse, {name: (clock, us) for name, (clock, us) in edits.items() if us is not None}
    )
    return Retained(found[0], found[1], found[2], found[3], met.get("events", 0), met.get("contacts", 0))


def _delete_from_store(store: Store, events: int | None, scores: int | None, contacts: int | None) -> tuple[int, ...]:
    import sqlalchemy as sa

    from data.store.schema import CURRENT_SCORES, FACTS, OUTBOX, SCORES

    held = sa.select(CURRENT_SCORES.c.score_id)
    return tuple(
        0 if us is None else _delete(store, table, table.c[clock] < us, *more)
        for table, clock, us, more in (
            (FACTS["events"], "occurred_at", events, ()),
            (SCORES, "given_at", scores, (SCORES.c.score_id.not_in(held),)),
            (FACTS["contacts"], "known_at", contacts, ()),
            (OUTBOX, "created_at", scores, (OUTBOX.c.due_at.is_(None),)),
        )
    )


def _delete(store: Store, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    import sqlalchemy as sa

    from data.store.statements import chunks

    keys = tuple(table.primary_key.columns)

    def work(connection: sa.Connection) -> int:
        found = [tuple(row) for row in connection.execute(sa.select(*keys).where(*conditions).limit(_AT_ONCE))]
        for piece in chunks(found):
            connection.execute(sa.delete(table).where(sa.tuple_(*keys).in_(piece)))
        return len(found)

    deleted = 0
    while gone := store.write(work):
        deleted += gone
    return deleted


def _delete_from_warehouse(warehouse: Warehouse, cuts: dict[str, tuple[str, int]]) -> dict[str, int]:
    if not cuts:
        return {}
    import duckdb

    from data.erasure import Edit, rewrite
    from data.warehouse import limited

    edits = {name: Edit(f"epoch_us({clock}) < {us}") for name, (clock, us) in cuts.items()}
    with warehouse.locked(wait_s=_WAIT_S), closing(duckdb.connect(config=limited(threads=1))) as con:
        con.execute("SET TimeZone = 'UTC'")
        return rewrite(warehouse, con, edits)
