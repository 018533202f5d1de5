"""From a checked request to the facts that the catalogue reads, as the import would have stored them."""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from data.clock import MINUTE_US
from data.derive import BLANK_CHARACTERS, contact_completeness, email_domain_kind, seniority
from data.tables import CUSTOM_PREFIX
from features.definitions import SENIORITY_RANKS, Filled, LeadAttribute
from features.memory import ActionFact, EventFact, LeadFacts
from serving.notices import Notice
from serving.payload import AccountEventIn
from serving.problems import PayloadError, Problem, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from features.catalogue import Catalogue
    from features.memory import Attribute
    from serving.payload import AccountIn, ActionIn, EventIn, LeadIn, Scalar, ScoreRequest

__all__ = ["CustomKind", "custom_kinds", "to_facts"]

CustomKind = Literal["numeric", "categorical", "text"]

# Two clocks may differ; the import tolerates as much. Only where the request leaves as_of to our clock.
_SKEW_US = 5 * MINUTE_US


def custom_kinds(catalogue: Catalogue) -> dict[str, CustomKind]:
    """Return the customer's columns that the catalogue reads: name without prefix to kind.

    Examples
    --------
    >>> from features.catalogue import build_catalogue
    >>> custom_kinds(build_catalogue(custom={"erp": "categorical"}))
    {'erp': 'categorical'}
    """
    found: dict[str, CustomKind] = {}
    for feature in catalogue.features:
        compute = feature.compute
        if isinstance(compute, LeadAttribute | Filled) and compute.column.startswith(CUSTOM_PREFIX):
            kind: CustomKind = "text" if isinstance(compute, Filled) else feature.kind
            found[compute.column.removeprefix(CUSTOM_PREFIX)] = kind
    return found


def to_facts(
    request: ScoreRequest, as_of_us: int, *, custom: Mapping[str, CustomKind] = MappingProxyType({})
) -> tuple[LeadFacts, list[Notice]]:
    """Return what is known of the lead at `as_of`, and what is worth a warning.

    Contact data are read for the kind of e-mail domain and the completeness and go no further.

    Parameters
    ----------
    request
        The checked request.
    as_of_us
        The moment of the prediction, in microseconds UTC.
    custom
        The customer's columns that the model reads, from `custom_kinds`.

    Raises
    ------
    PayloadError
        If the lead was created after `as_of`, or a custom column has another kind than the model's.
    """
    notices: list[Notice] = []
    account = request.lead.account
    created_us = _created_us(request, as_of_us, notices)
    lead = _lead_attributes(request.lead) | _custom_attributes(request.lead, custom, notices)
    facts = LeadFacts(
        created_us=created_us,
        lead=lead,
        account=None if account is None else _account_attributes(account),
        events=None if request.events is None else _usable(request.events, as_of_us, "events", notices),
        account_events=None
        if account is None or account.events is None
        else _account_events(account, request.lead.lead_id, as_of_us, notices),
        actions=None if request.actions is None else [_action(action) for action in request.actions],
    )
    return facts, notices


def _action(action: ActionIn) -> ActionFact:
    known_us = action.occurred_at if action.known_at is None else max(action.known_at, action.occurred_at)
    return ActionFact(action.type.strip(BLANK_CHARACTERS), action.occurred_at, known_us)


def _created_us(request: ScoreRequest, as_of_us: int, notices: list[Notice]) -> int | None:
    created_us, field = request.lead.created_at, "lead.created_at"
    if created_us is None or created_us <= as_of_us:
        return created_us
    if request.as_of is None and created_us <= as_of_us + _SKEW_US:
        notices.append(Notice("clock_skew", field))
        return as_of_us
    moment = "as_of" if request.as_of is not None else "now, as as_of is absent,"
    message = f"{field}: a time not after {moment} was expected, a later one came"
    raise PayloadError([Problem("invalid_field", message, field)])


def _clean(text: str | None) -> str | None:
    """Return a text as the import stores it: without surrounding white space, None where nothing is left."""
    return None if text is None else text.strip(BLANK_CHARACTERS) or None


def _lead_attributes(lead: LeadIn) -> dict[str, Attribute]:
    contact = lead.contact
    return {
        "source": _clean(lead.source),
        "medium": _clean(lead.medium),
        "campaign": _clean(lead.campaign),
        "keyword": _clean(lead.keyword),
        "landing_page": _clean(lead.landing_page),
        "country": _clean(lead.country),
        "seniority": seniority(lead.job_title),
        "email_domain_kind": None if contact is None else email_domain_kind(contact.email),
        "contact_completeness": None
        if contact is None
        else contact_completeness(contact.name, contact.email, contact.phone),
    }


def _account_attributes(account: AccountIn) -> dict[str, Attribute]:
    return {
        "industry": _clean(account.industry),
        "country": _clean(account.country),
        "region": _clean(account.region),
        "employees": account.employees,
        "annual_revenue": account.annual_revenue,
        "founded_year": account.founded_year,
    }


def _custom_attributes(lead: LeadIn, custom: Mapping[str, CustomKind], notices: list[Notice]) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    for name, value in (lead.custom or {}).items():
        kind = custom.get(name)
        if kind is None:
            notices.append(Notice("unknown_custom_field", f"lead.custom.{name}"))
        elif kind == "numeric":
            found[CUSTOM_PREFIX + name] = _number(name, value)
        else:
            found[CUSTOM_PREFIX + name] = _text(value)
    return found


def _number(name: str, value: Scalar) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool | str):
        field = f"lead.custom.{name}"
        message = f"{field}: a number was expected, {kind_of(value)} came"
        raise PayloadError([Problem("invalid_field", message, field)])
    return float(value)


def _text(value: Scalar) -> str | None:
    """Return a scalar as the text that an export would hold: `true`, `5`, `2.5`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else _clean(str(value))


def _account_events(account: AccountIn, lead_id: str, as_of_us: int, notices: list[Notice]) -> list[EventFact]:
    field, events = "lead.account.events", account.events or ()
    others = [event for event in events if event.lead_id != lead_id]
    notices += [Notice("own_events_in_account", field)] * (len(events) - len(others))
    return _usable(others, as_of_us, field, notices)


def _usable(events: Sequence[EventIn], as_of_us: int, field: str, notices: list[Notice]) -> list[EventFact]:
    """Return the events that had happened and were known, exact duplicates once.

    Of equal keys with different content all are passed on: the evaluator picks one whatever their order.
    """
    first: dict[tuple[str, str], EventFact] = {}
    kept: list[EventFact] = []
    for event in events:
        fact = _fact(event)
        if fact.occurred_us >= as_of_us:
            notices.append(Notice("events_after_as_of", field))
        elif fact.known_us > as_of_us:
            notices.append(Notice("events_not_known_yet", field))
        else:
            other = first.setdefault((fact.source, fact.event_id), fact)
            if other is fact:
                kept.append(fact)
            elif other == fact:
                notices.append(Notice("duplicate_events", field))
            else:
                kept.append(fact)
                notices.append(Notice("conflicting_events", field))
    return kept


def _fact(event: EventIn) -> EventFact:
    occurred_us = event.occurred_at
    content_id, kind = _clean(event.content_id), event.type.strip(BLANK_CHARACTERS)
    # Without an id the content is the identity, so that a request sent again gives the same answer.
    event_id = _clean(event.id) or f"{kind}|{occurred_us}|{content_id}|{event.duration_s}|{event.value}|{event.lead_id}"
    return EventFact(
        source=event.source.strip(BLANK_CHARACTERS),
        event_id=event_id,
        type=kind,
        occurred_us=occurred_us,
        known_us=occurred_us if event.known_at is None else max(event.known_at, occurred_us),
        content_id=content_id,
        duration_s=event.duration_s,
        value=event.value,
        lead_id=_clean(event.lead_id),
        channel=_clean(event.channel),
        person_id=_person(event) if isinstance(event, AccountEventIn) else None,
        seniority_rank=_rank(event.job_title) if isinstance(event, AccountEventIn) else None,
    )


def _person(event: AccountEventIn) -> str | None:
    return _clean(event.person_id) or _clean(event.lead_id)


@lru_cache(maxsize=4096)
def _rank(job_title: str | None) -> int | None:
    """Return the rank that a title states; a colleague's title stands on every one of the events."""
    return SENIORITY_RANKS.get(seniority(job_title) or "")
