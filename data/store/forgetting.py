"""Who was forgotten, and how a person is erased from the store: the facts stay countable, nobody can be told by them.

Of a forgotten lead only a keyed hash of its id is kept. An id can be guessed, so the key matters: without it the
hashes of all possible ids could be tried out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.clock import now, to_us
from data.store.schema import (
    CONFIRMATIONS,
    CURRENT_SCORES,
    CUSTOM,
    DIRTY_LEADS,
    FACTS,
    FEEDBACK,
    FORGOTTEN,
    LISTED,
    OUTBOX,
    SCORES,
    VISITS,
)
from data.store.statements import chunks, insert_into, lock_entities

if TYPE_CHECKING:
    from collections.abc import Collection

    from data.store.engine import Store

__all__ = [
    "PERSONAL_COLUMNS",
    "Erased",
    "Oblivion",
    "add_forgotten",
    "erase",
    "forgotten_among",
    "identifiers_of",
    "lead_ids",
    "list_forgotten",
    "person_leads",
]

# What is noted of a forgotten lead: the keyed hash of its id, the key, and when.
Oblivion = tuple[str, str, int]

# What is derived from contact data, or says who somebody is at work. The customer's own columns go as well: nobody
# can say what they hold.
PERSONAL_COLUMNS = (
    "person_id",
    "job_title",
    "landing_page",  # an address may carry who followed it
    "seniority",
    "email_domain_kind",
    "contact_completeness",
)


@dataclass(frozen=True)
class Erased:
    """How many rows of the store were deleted or blanked, by table."""

    contacts: int
    leads: int
    scores: int
    feedback: int
    messages: int


def forgotten_among(store: Store, lead_ids: Collection[str]) -> set[str]:
    """Return those of the leads that were forgotten."""
    with store.reading() as connection:
        rows = connection.execute(sa.select(FORGOTTEN.c.hashed, FORGOTTEN.c.salt)).all()
    hashed = {row.hashed for row in rows}
    return {one for salt in {row.salt for row in rows} for one in lead_ids if _hashed(one, salt) in hashed}


def list_forgotten(store: Store) -> list[Oblivion]:
    """Return what is noted of the forgotten leads, to carry it into another store."""
    with store.reading() as connection:
        rows = connection.execute(sa.select(FORGOTTEN.c.hashed, FORGOTTEN.c.salt, FORGOTTEN.c.forgotten_at))
        return [(row[0], row[1], row[2]) for row in rows]


def add_forgotten(store: Store, noted: Collection[Oblivion]) -> None:
    """Take over what another store noted of its forgotten leads."""
    rows = [dict(zip(("hashed", "salt", "forgotten_at"), each, strict=True)) for each in noted]

    def work(connection: sa.Connection) -> None:
        if rows:
            connection.execute(insert_into(connection, FORGOTTEN).on_conflict_do_nothing(), rows)

    store.write(work)


def person_leads(store: Store, lead_ids: Collection[str]) -> set[str]:
    """Return the leads together with all others of the same persons, as the store knows them, merged ones included."""
    leads, merges = FACTS["leads"], FACTS["merges"]
    found = set(lead_ids)
    with store.reading() as connection:
        while True:
            known = sorted(found)
            persons = sa.select(leads.c.person_id).where(leads.c.lead_id.in_(known), leads.c.person_id.is_not(None))
            found |= set(connection.scalars(sa.select(leads.c.lead_id).where(leads.c.person_id.in_(persons))))
            found |= set(connection.scalars(sa.select(merges.c.into_lead_id).where(merges.c.lead_id.in_(known))))
            found |= set(connection.scalars(sa.select(merges.c.lead_id).where(merges.c.into_lead_id.in_(known))))
            if len(found) == len(known):
                return found


def lead_ids(store: Store) -> set[str]:
    """Return all leads that the store knows by a version or by contact data."""
    leads, contacts = FACTS["leads"], FACTS["contacts"]
    with store.reading() as connection:
        return set(connection.scalars(sa.select(leads.c.lead_id).union(sa.select(contacts.c.lead_id))))


def identifiers_of(store: Store, lead_ids: Collection[str]) -> set[str]:
    """Return the names, addresses and numbers that the store holds of some leads, to look for them elsewhere."""
    contacts = FACTS["contacts"]
    query = sa.select(contacts.c.name, contacts.c.email, contacts.c.phone)
    with store.reading() as connection:
        rows = connection.execute(query.where(contacts.c.lead_id.in_(sorted(lead_ids)))).all()
    return {value for row in rows for value in row if value}


def erase(store: Store, lead_ids: Collection[str], *, now_us: int | None = None) -> Erased:
    """Erase the persons of some leads from the store and note the leads as forgotten, in one transaction.

    Contacts, feedback and messages are deleted. Scores keep their figures and lose features, reasons and rules; leads
    lose what was derived from the person and the customer's own columns. On SQLite the freed pages are overwritten.

    Raises
    ------
    InfrastructureError
        If the database cannot be used; then nothing was erased.
    """
    ids = sorted(lead_ids)

    def work(connection: sa.Connection) -> Erased:
        lock_entities(connection, "leads", ids)
        at_us = to_us(now()) if now_us is None else now_us
        _note(connection, ids, at_us)
        counts = [_erase(connection, list(piece)) for piece in chunks(ids)]
        return Erased(*(sum(each) for each in zip(*counts, strict=True))) if counts else Erased(0, 0, 0, 0, 0)

    if not store.is_postgres:
        _overwrite_freed(store)
    erased = store.write(work)
    _forget_old_pages(store)
    return erased


def _erase(connection: sa.Connection, ids: list[str]) -> tuple[int, int, int, int, int]:
    def delete(table: sa.Table, *more: sa.ColumnElement[bool]) -> int:
        return connection.execute(sa.delete(table).where(table.c.lead_id.in_(ids), *more)).rowcount

    leads = FACTS["leads"]
    blank: dict[str, Any] = {**dict.fromkeys(PERSONAL_COLUMNS), CUSTOM: "{}"}
    blanked = connection.execute(sa.update(leads).where(leads.c.lead_id.in_(ids)).values(blank)).rowcount
    bare = {"features": "{}", "reasons": "[]", "rules": "{}"}
    scores = connection.execute(sa.update(SCORES).where(SCORES.c.lead_id.in_(ids)).values(bare)).rowcount
    contacts = delete(FACTS["contacts"])
    connection.execute(
        sa.delete(CONFIRMATIONS).where(CONFIRMATIONS.c.of_table == "contacts", CONFIRMATIONS.c.entity_id.in_(ids))
    )
    for table in (CURRENT_SCORES, DIRTY_LEADS, LISTED, VISITS):
        delete(table)
    return contacts, blanked, scores, delete(FEEDBACK), delete(OUTBOX)


def _note(connection: sa.Connection, ids: list[str], at_us: int) -> None:
    salt = connection.execute(sa.select(FORGOTTEN.c.salt).limit(1)).scalar() or secrets.token_hex(32)
    rows = [{"hashed": _hashed(one, salt), "salt": salt, "forgotten_at": at_us} for one in ids]
    if rows:
        connection.execute(insert_into(connection, FORGOTTEN).on_conflict_do_nothing(), rows)


def _hashed(lead_id: str, salt: str) -> str:
    return hmac.new(bytes.fromhex(salt), lead_id.encode(), hashlib.sha256).hexdigest()


def _overwrite_freed(store: Store) -> None:
    """Have SQLite overwrite what it deletes, on every connection that this store opens from now on."""
    store.engine.dispose()
    sa.event.listen(store.engine, "connect", lambda raw, _: raw.execute("PRAGMA secure_delete=ON"))


def _forget_old_pages(store: Store) -> None:
    """Empty SQLite's log of changes, or have PostgreSQL clear the rows that no transaction sees any more."""
    engine = store.engine.execution_options(isolation_level="AUTOCOMMIT") if store.is_postgres else store.engine
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        if store.is_postgres:
            cursor.execute("VACUUM contacts, leads, scores, feedback, outbox")
        else:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.close()
