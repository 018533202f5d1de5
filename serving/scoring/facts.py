"""From a checked request to the facts that the catalogue reads, as the import would have stored them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from data.clock import MINUTE_US
from data.derive import BLANK_CHARACTERS, contact_completeness, email_domain_kind, seniority
from data.tables import CUSTOM_PREFIX
from features.definitions import Filled, LeadAttribute
from features.memory import ActionFact, LeadFacts
from serving.http.problems import PayloadError, Problem, kind_of
from serving.scoring.events import clean
from serving.scoring.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from features.catalogue import Catalogue
    from features.memory import Attribute, EventFact
    from serving.scoring.payload import AccountIn, ActionIn, LeadIn, Scalar, ScoreRequest

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


def _lead_attributes(lead: LeadIn) -> dict[str, Attribute]:
    contact = lead.contact
    return {
        "source": clean(lead.source),
        "medium": clean(lead.medium),
        "campaign": clean(lead.campaign),
        "keyword": clean(lead.keyword),
        "landing_page": clean(lead.landing_page),
        "country": clean(lead.country),
        "seniority": seniority(lead.job_title),
        "email_domain_kind": None if contact is None else email_domain_kind(contact.email),
        "contact_completeness": None
        if contact is None
        else contact_completeness(contact.name, contact.email, contact.phone),
    }


def _account_attributes(account: AccountIn) -> dict[str, Attribute]:
    return {
        "industry": clean(account.industry),
        "country": clean(account.country),
        "region": clean(account.region),
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
    return None if value is None else clean(str(value))


def _account_events(account: AccountIn, lead_id: str, as_of_us: int, notices: list[Notice]) -> list[EventFact]:
    field, events = "lead.account.events", account.events or ()
    own_id = clean(lead_id)
    others = [event for event in events if event.lead_id != own_id]
    notices += [Notice("own_events_in_account", field)] * (len(events) - len(others))
    return _usable(others, as_of_us, field, notices)


def _usable(events: Sequence[EventFact], as_of_us: int, field: str, notices: list[Notice]) -> list[EventFact]:
    """Return the events that had happened and were known, exact duplicates once.

    Of equal keys with different content all are passed on: the evaluator picks one whatever their order.
    """
    first: dict[tuple[str, str], EventFact] = {}
    kept: list[EventFact] = []
    for fact in events:
        # By position, which takes half as long: source, id, type, occurred, known.
        if fact[3] >= as_of_us:
            notices.append(Notice("events_after_as_of", field))
        elif fact[4] > as_of_us:
            notices.append(Notice("events_not_known_yet", field))
        else:
            other = first.setdefault(fact[:2], fact)
            if other is fact:
                kept.append(fact)
            elif other == fact:
                notices.append(Notice("duplicate_events", field))
            else:
                kept.append(fact)
                notices.append(Notice("conflicting_events", field))
    return kept
