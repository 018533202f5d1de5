"""Writing what changes over time: leads with their contacts, accounts, outcomes. Each is a history of whole rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.clock import MINUTE_US, now, to_us
from data.derive import contact_facts, seniority
from data.store.dirty import mark_account, mark_leads
from data.store.schema import CONFIRMATIONS, CUSTOM, FACTS
from data.store.statements import insert_into, lock_entities
from data.store.versions import Placement, place
from data.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data.store.engine import Store
    from data.store.records import AccountRecord, LeadRecord, OutcomeRecord, Verdict
    from data.store.versions import Content

__all__ = [
    "FUTURE_TOLERANCE_US",
    "add_outcomes",
    "lead_content",
    "put_account",
    "put_lead",
    "put_leads",
    "take_versions",
]

FUTURE_TOLERANCE_US = 5 * MINUTE_US  # two clocks may differ; the import tolerates as much
_WRITTEN = frozenset({"new", "older"})


@dataclass(frozen=True)
class _Said:
    """What was said of an entity in one of the tables."""

    table: str
    entity_id: str
    known_us: int
    content: Content


def put_lead(store: Store, record: LeadRecord, *, modified_us: int, now_us: int | None = None) -> Verdict:
    """Take in a lead as it stands since `modified_us`, and tell what became of it.

    Content that was in force at `modified_us` anyway writes no row; older content enters the history without becoming
    current. The contact data go into `contacts`; the lead keeps what is derived from them.

    Parameters
    ----------
    store
        The open store.
    record
        The whole lead.
    modified_us
        When the CRM last changed it, microseconds UTC: from then on it counts as known.
    now_us
        The present, by default the clock's.

    Raises
    ------
    InfrastructureError
        If the database cannot be used; then nothing was written.
    """
    return put_leads(store, [(record, modified_us)], now_us=now_us)[0]


def put_leads(
    store: Store, records: Sequence[tuple[LeadRecord, int]], *, now_us: int | None = None
) -> tuple[Verdict, ...]:
    """Take in leads, each with the moment of its change, in one transaction; as `put_lead` otherwise."""

    def work(connection: sa.Connection) -> tuple[Verdict, ...]:
        lock_entities(connection, "leads", [record.lead_id for record, _ in records])
        at_us = _present(now_us)
        found = [_put_lead(connection, record, modified_us, at_us) for record, modified_us in records]
        changed = {record.lead_id for (record, _), told in zip(records, found, strict=True) if told in _WRITTEN}
        mark_leads(connection, changed, at_us)
        return tuple(found)

    return store.write(work)


def put_account(store: Store, record: AccountRecord, *, modified_us: int, now_us: int | None = None) -> Verdict:
    """Take in a company as it stands since `modified_us`; as `put_lead`, and all its leads are to be scored again.

    Raises
    ------
    InfrastructureError
        If the database cannot be used; then nothing was written.
    """
    said = _Said("accounts", record.account_id, modified_us, record.model_dump(exclude={"account_id"}))

    def work(connection: sa.Connection) -> Verdict:
        lock_entities(connection, "accounts", [record.account_id])
        at_us = _present(now_us)
        verdict = _say(connection, [said], at_us)
        if verdict in _WRITTEN:
            mark_account(connection, record.account_id, at_us)
        return verdict

    return store.write(work)


def add_outcomes(store: Store, records: Sequence[OutcomeRecord], *, now_us: int | None = None) -> tuple[Verdict, ...]:
    """Take in what became of leads, in one transaction; the last outcome known counts, and saying it again is no news.

    Raises
    ------
    InfrastructureError
        If the database cannot be used; then nothing was written.
    """

    def work(connection: sa.Connection) -> tuple[Verdict, ...]:
        lock_entities(connection, "outcomes", [record.lead_id for record in records])
        at_us = _present(now_us)
        found = [_add_outcome(connection, record, at_us) for record in records]
        changed = {record.lead_id for record, told in zip(records, found, strict=True) if told in _WRITTEN}
        mark_leads(connection, changed, at_us)
        return tuple(found)

    return store.write(work)


def lead_content(record: LeadRecord) -> dict[str, object]:
    """Return the columns of `leads` that a record fills, with what is derived from title and contact.

    Examples
    --------
    >>> from data.store.records import LeadRecord
    >>> content = lead_content(LeadRecord(lead_id="L-1", created_at=0, job_title="VP Ops", custom={"erp": "sap"}))
    >>> content["seniority"], content["custom"], content["contact_completeness"] is None
    ('vp', '{"erp": "sap"}', True)
    """
    content: dict[str, object] = record.model_dump(exclude={"lead_id", "contact", CUSTOM})
    content[CUSTOM] = json.dumps(record.custom, sort_keys=True, ensure_ascii=False)
    content["seniority"] = seniority(record.job_title)
    contact = record.contact
    facts = None if contact is None else contact_facts(contact.name, contact.email, contact.phone)
    content["email_domain_kind"] = None if facts is None else facts.email_domain_kind
    content["contact_completeness"] = None if facts is None else facts.contact_completeness
    if record.person_id is None and facts is not None:
        content["person_id"] = facts.person_id
    return content


def take_versions(
    connection: sa.Connection, table: str, rows: Sequence[Mapping[str, Any]], at_us: int
) -> list[Verdict]:
    """Place versions that are known from elsewhere in the histories of their entities; tell what became of each.

    Parameters
    ----------
    connection
        Of a transaction that writes; the entities are locked.
    table
        `leads`, `accounts` or `outcomes`.
    rows
        Whole rows but `recorded_at`, those of an entity in order of `known_at`.
    at_us
        The present, microseconds UTC.
    """
    (entity,) = (name for name in TABLES[table].key if name != "known_at")
    ids = sorted({str(row[entity]) for row in rows})
    histories, confirmed = _histories(connection, table, ids)
    verdicts: list[Verdict] = []
    versions, moments = list[dict[str, Any]](), list[dict[str, Any]]()
    for row in rows:
        one, content = str(row[entity]), {n: v for n, v in row.items() if n not in {entity, "known_at"}}
        placement = place(histories[one], confirmed[one], content, row["known_at"])
        verdicts.append(placement.verdict)
        histories[one] = sorted([*histories[one], *placement.versions], key=lambda version: version[0])
        versions += [{**said, entity: one, "known_at": us, "recorded_at": at_us} for us, said in placement.versions]
        if placement.confirmed_us is not None:
            confirmed[one] = sorted([*confirmed[one], placement.confirmed_us])
            moments.append({"of_table": table, "entity_id": one, "known_at": placement.confirmed_us})
    if versions:
        connection.execute(sa.insert(FACTS[table]), versions)
    if moments:
        connection.execute(insert_into(connection, CONFIRMATIONS).on_conflict_do_nothing(), moments)
    return verdicts


def _histories(
    connection: sa.Connection, table: str, ids: Sequence[str]
) -> tuple[dict[str, list[tuple[int, Content]]], dict[str, list[int]]]:
    """Return for each entity its versions and the moments at which they were said again, in order of time."""
    rows = FACTS[table]
    (entity,) = (name for name in TABLES[table].key if name != "known_at")
    histories: dict[str, list[tuple[int, Content]]] = {one: [] for one in ids}
    confirmed: dict[str, list[int]] = {one: [] for one in ids}
    for row in connection.execute(sa.select(rows).where(rows.c[entity].in_(ids)).order_by(rows.c.known_at)).mappings():
        histories[row[entity]].append((row["known_at"], _content(row, entity)))
    again = sa.select(CONFIRMATIONS).where(CONFIRMATIONS.c.of_table == table, CONFIRMATIONS.c.entity_id.in_(ids))
    for row in connection.execute(again.order_by(CONFIRMATIONS.c.known_at)).mappings():
        confirmed[row["entity_id"]].append(row["known_at"])
    return histories, confirmed


def _present(now_us: int | None) -> int:
    """Return the present; asked inside a transaction, so that what is written later is recorded later."""
    return to_us(now()) if now_us is None else now_us


def _put_lead(connection: sa.Connection, record: LeadRecord, modified_us: int, at_us: int) -> Verdict:
    content = lead_content(record)
    said = [_Said("leads", record.lead_id, modified_us, content)]
    if record.contact is not None:
        contact = {**record.contact.model_dump(), "person_id": content["person_id"]}
        said.append(_Said("contacts", record.lead_id, modified_us, contact))
    if record.created_at > at_us + FUTURE_TOLERANCE_US:
        return "future"
    return _say(connection, said, at_us)


def _add_outcome(connection: sa.Connection, record: OutcomeRecord, at_us: int) -> Verdict:
    known_us = at_us if record.known_at is None else record.known_at
    if record.closed_at > at_us + FUTURE_TOLERANCE_US:
        return "future"
    content = record.model_dump(exclude={"lead_id", "known_at"})
    return _say(connection, [_Said("outcomes", record.lead_id, known_us, content)], at_us)


def _say(connection: sa.Connection, said: Sequence[_Said], at_us: int) -> Verdict:
    """Write what belongs together, all or, where one part is in conflict, nothing; the first part gives the verdict."""
    if any(each.known_us > at_us + FUTURE_TOLERANCE_US for each in said):
        return "future"
    placed = [
        (each, place(*_history(connection, each.table, each.entity_id), each.content, each.known_us)) for each in said
    ]
    if any(placement.verdict == "conflict" for _, placement in placed):
        return "conflict"
    for each, placement in placed:
        _write(connection, each, placement, at_us)
    return _verdict([placement.verdict for _, placement in placed])


def _verdict(told: Sequence[Verdict]) -> Verdict:
    """Return that of the first part which brought something, `unchanged` where none did."""
    return next((verdict for verdict in told if verdict != "unchanged"), "unchanged")


def _history(
    connection: sa.Connection, table: str, entity_id: str
) -> tuple[list[tuple[int, dict[str, Any]]], list[int]]:
    """Return the versions of an entity and the moments at which they were said again."""
    rows = FACTS[table]
    (entity,) = (name for name in TABLES[table].key if name != "known_at")
    found = connection.execute(sa.select(rows).where(rows.c[entity] == entity_id).order_by(rows.c.known_at))
    history = [(row["known_at"], _content(row, entity)) for row in found.mappings()]
    again = sa.select(CONFIRMATIONS.c.known_at).where(
        CONFIRMATIONS.c.of_table == table, CONFIRMATIONS.c.entity_id == entity_id
    )
    return history, list(connection.scalars(again.order_by(CONFIRMATIONS.c.known_at)))


def _content(row: sa.RowMapping, entity: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in {entity, "known_at", "recorded_at"}}


def _write(connection: sa.Connection, said: _Said, placement: Placement, at_us: int) -> None:
    (entity,) = (name for name in TABLES[said.table].key if name != "known_at")
    for known_us, content in placement.versions:
        row = {**content, entity: said.entity_id, "known_at": known_us, "recorded_at": at_us}
        connection.execute(sa.insert(FACTS[said.table]), row)
    if placement.confirmed_us is not None:
        moment = {"of_table": said.table, "entity_id": said.entity_id, "known_at": placement.confirmed_us}
        connection.execute(insert_into(connection, CONFIRMATIONS).on_conflict_do_nothing(), moment)
