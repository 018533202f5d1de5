"""The facts of one lead at a moment, chosen from plain rows of the canonical tables: what the store gives the endpoint.

The same choice that `features.people` and `features.sql` make in SQL over the warehouse: the versions in force, the
events of the person's leads, and those of the account's other leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, cast

from data.clock import to_us
from data.errors import DataError
from features.definitions import SENIORITY_RANKS
from features.memory import ActionFact, Attribute, EventFact, LeadFacts
from features.people import LeadStart, Merge, Outcome, stretches

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["RelatedLeads", "Row", "facts_as_of", "related_leads"]

Row = Mapping[str, object]


@dataclass(frozen=True)
class RelatedLeads:
    """Whose events speak for a lead.

    `own` are the leads of the person, the lead among them; `others` the account's other leads, or None where the lead
    has no account. `person_of` names for each of the others the primary lead of its person.
    """

    own: frozenset[str]
    others: frozenset[str] | None
    person_of: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Lead:
    """A lead as it stood: its start, its person, and the version in force."""

    start: LeadStart
    now: Row


def related_leads(
    lead_id: str,
    as_of_us: int,
    *,
    leads: Iterable[Row],
    outcomes: Iterable[Row] = (),
    merges: Iterable[Row] = (),
) -> RelatedLeads:
    """Return whose events speak for a lead at `as_of`, so that only those need to be fetched.

    Parameters
    ----------
    lead_id
        Any lead of the person.
    as_of_us
        The moment, microseconds UTC.
    leads
        Versions of leads (rows of `leads`), in any order: at least all of this account's leads, all of this person's
        and of theirs, and those that merges connect with them.
    outcomes, merges
        Rows of these tables, in any order: at least those of these leads. They say who is one person: a lead after a
        loss begins anew, a merge joins two.

    Raises
    ------
    DataError
        If the lead was not known yet, or a time has no offset.

    Examples
    --------
    >>> row = {"created_at": 0, "known_at": 0, "account_id": "A"}
    >>> rows = [{**row, "lead_id": "a", "person_id": "p"}, {**row, "lead_id": "b", "person_id": "p"},
    ...         {**row, "lead_id": "c", "person_id": None}]
    >>> found = related_leads("a", 1, leads=rows)
    >>> sorted(found.own), sorted(found.others)
    (['a', 'b'], ['c'])
    """
    known = _leads_as_of(leads, as_of_us)
    return _related(lead_id, known, _primaries(as_of_us, known, outcomes, merges))


def facts_as_of(
    lead_id: str,
    as_of_us: int,
    *,
    leads: Iterable[Row],
    accounts: Iterable[Row],
    events: Iterable[Row],
    actions: Iterable[Row] = (),
    outcomes: Iterable[Row] = (),
    merges: Iterable[Row] = (),
) -> LeadFacts:
    """Return what was known of a lead at `as_of`, ready for `features.memory.evaluate`.

    Parameters
    ----------
    lead_id
        Any lead of the person; its own attributes are taken. Training takes those of the person's primary lead.
    as_of_us
        The moment, microseconds UTC.
    leads, accounts, events, actions, outcomes, merges
        Rows of the canonical tables, in any order, with moments as datetimes with an offset or as microseconds UTC.
        Rows of other people and accounts do no harm; `related_leads` says whose are needed.

    Returns
    -------
    LeadFacts
        With `account` and `account_events` None where the lead has no account. The events of the right leads are all
        there: which of them were visible at `as_of` is decided by the evaluator.

    Raises
    ------
    DataError
        If the lead was not known yet, or a time has no offset.

    Examples
    --------
    >>> lead = {"lead_id": "a", "created_at": 0, "account_id": None, "person_id": None}
    >>> leads = [{**lead, "known_at": 0, "source": "ad"}, {**lead, "known_at": 9, "source": "fair"}]
    >>> facts_as_of("a", 8, leads=leads, accounts=[], events=[]).lead["source"]
    'ad'
    """
    known = _leads_as_of(leads, as_of_us)
    related = _related(lead_id, known, _primaries(as_of_us, known, outcomes, merges))
    now = known[lead_id].now
    own, others = _split_events(events, related, known)
    return LeadFacts(
        created_us=_us(now, "created_at"),
        lead=cast("Mapping[str, Attribute]", now),
        account=_account(now.get("account_id"), accounts, as_of_us),
        events=own,
        account_events=None if related.others is None else others,
        actions=[_action(row) for row in actions if str(row["lead_id"]) in related.own],
    )


def _leads_as_of(rows: Iterable[Row], as_of_us: int) -> dict[str, _Lead]:
    """Return the leads that had begun by `as_of`, each with the last version that may be used."""
    versions: dict[str, list[tuple[int, int, Row]]] = {}
    for row in rows:
        known_us = _us(row, "known_at")
        usable_us = max(known_us, _us(row, "created_at"))
        versions.setdefault(str(row["lead_id"]), []).append((known_us, usable_us, row))
    found = {}
    for lead_id, history in versions.items():
        usable = [version for version in history if version[1] <= as_of_us]
        if usable:
            _, t0_us, first = min(usable, key=lambda version: (version[1], version[0]))
            person_id = first.get("person_id")
            start = LeadStart(t0_us, _us(first, "created_at"), lead_id, None if person_id is None else str(person_id))
            found[lead_id] = _Lead(start, max(usable, key=lambda version: version[0])[2])
    return found


def _primaries(
    as_of_us: int, known: Mapping[str, _Lead], outcomes: Iterable[Row], merges: Iterable[Row]
) -> dict[str, str]:
    """Return the primary lead of every lead's person at `as_of`."""
    said = [
        Outcome(
            str(row["lead_id"]),
            str(row["outcome"]),
            cast("str | None", row.get("reason")),
            _us(row, "closed_at"),
            _us(row, "known_at"),
        )
        for row in outcomes
    ]
    joined = [
        Merge(str(row["lead_id"]), str(row["into_lead_id"]), _us(row, "occurred_at"), _us(row, "known_at"))
        for row in merges
    ]
    found = stretches((lead.start for lead in known.values()), said, joined)
    return {
        one.lead_id: one.primary_id
        for one in found
        if one.from_us <= as_of_us and (one.until_us is None or one.until_us > as_of_us)
    }


def _related(lead_id: str, known: Mapping[str, _Lead], primaries: Mapping[str, str]) -> RelatedLeads:
    if lead_id not in known:
        raise DataError("the lead was not known yet at as_of", hint="ask for a later as_of, or import the lead first")
    primary_id, account_id = primaries[lead_id], known[lead_id].now.get("account_id")
    own = frozenset(each for each, first in primaries.items() if first == primary_id)
    if account_id is None:
        return RelatedLeads(own, None)
    others = frozenset(each for each, lead in known.items() if lead.now.get("account_id") == account_id) - own
    return RelatedLeads(own, others, {each: primaries[each] for each in others})


def _account(account_id: object, rows: Iterable[Row], as_of_us: int) -> Mapping[str, Attribute] | None:
    """Return the last version of the account known by `as_of`; an account nobody has described is an unknown one."""
    if account_id is None:
        return None
    known = [row for row in rows if row["account_id"] == account_id and _us(row, "known_at") <= as_of_us]
    last = max(known, key=lambda row: _us(row, "known_at"), default=None)
    return None if last is None else cast("Mapping[str, Attribute]", last)


def _split_events(
    rows: Iterable[Row], related: RelatedLeads, known: Mapping[str, _Lead]
) -> tuple[list[EventFact], list[EventFact]]:
    own: list[EventFact] = []
    others: list[EventFact] = []
    for row in rows:
        lead_id = str(row["lead_id"])
        if lead_id in related.own:
            own.append(_event(row, lead_id))
        elif related.others is not None and lead_id in related.others:
            rank = SENIORITY_RANKS.get(str(known[lead_id].now.get("seniority")))
            others.append(_event(row, lead_id, person_id=related.person_of[lead_id], seniority_rank=rank))
    return own, others


def _event(row: Row, lead_id: str, *, person_id: str | None = None, seniority_rank: int | None = None) -> EventFact:
    return EventFact(
        source=str(row["source"]),
        event_id=str(row["event_id"]),
        type=str(row["type"]),
        occurred_us=_us(row, "occurred_at"),
        known_us=_us(row, "known_at"),
        content_id=cast("str | None", row.get("content_id")),
        duration_s=cast("float | None", row.get("duration_s")),
        value=cast("float | None", row.get("value")),
        lead_id=lead_id,
        channel=cast("str | None", row.get("channel")),
        person_id=person_id,
        seniority_rank=seniority_rank,
    )


def _action(row: Row) -> ActionFact:
    return ActionFact(str(row["type"]), _us(row, "occurred_at"), _us(row, "known_at"))


def _us(row: Row, column: str) -> int:
    moment = row.get(column)
    if isinstance(moment, datetime):
        return to_us(moment)
    if isinstance(moment, int):
        return moment
    raise DataError(
        f"{column}: a time was expected, a value of type {type(moment).__name__} came",
        hint="give a datetime with an offset, or whole microseconds UTC",
    )
