"""The catalogue for one lead in memory: the same definitions, in microseconds, for the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from data.clock import DAY_US, HOUR_US
from features.definitions import (
    AccountAttribute,
    Catalogue,
    Feature,
    Filled,
    LeadAge,
    LeadAttribute,
    SalesResponse,
)
from features.event_log import Attribute, EventFact, EventLog, days_in, event_reader, visible_events

__all__ = ["ActionFact", "Attribute", "Evaluator", "EventFact", "LeadFacts", "Values", "evaluate", "visible_events"]

Values = dict[str, Attribute]


class ActionFact(NamedTuple):
    """Something that sales did with the lead; times in microseconds UTC."""

    type: str
    occurred_us: int
    known_us: int


@dataclass(frozen=True)
class LeadFacts:
    """What is known of one lead; a block that is None is unknown, an empty one is known to be empty.

    `events` are those of the person, `account_events` those of the account's other people, each with the `person_id`
    and the `seniority_rank` of who showed it.
    """

    created_us: int | None = None
    lead: Mapping[str, Attribute] = field(default_factory=dict)
    account: Mapping[str, Attribute] | None = None
    events: Sequence[EventFact] | None = None
    account_events: Sequence[EventFact] | None = None
    actions: Sequence[ActionFact] | None = None


_Reader = Callable[[LeadFacts, int], Attribute]


class Evaluator:
    """A catalogue made ready for many leads.

    Examples
    --------
    >>> from features.catalogue import build_catalogue
    >>> evaluator = Evaluator(build_catalogue())
    >>> evaluator(LeadFacts(created_us=0), DAY_US)["lead_age_days"]
    1.0
    """

    def __init__(self, catalogue: Catalogue) -> None:
        features = catalogue.features
        self._names = catalogue.names
        self._plain = [(f.name, _reader(f)) for f in features if f.needs not in {"events", "account_events"}]
        self._of_own = [(f.name, event_reader(f)) for f in features if f.needs == "events"]
        self._of_others = [(f.name, event_reader(f)) for f in features if f.needs == "account_events"]
        self._days_of = days_in(catalogue.timezone, catalogue.longest_window_days)

    def __call__(self, facts: LeadFacts, as_of_us: int) -> Values:
        """Return the features of one lead at `as_of`."""
        values: Values = dict.fromkeys(self._names)
        for name, read in self._plain:
            values[name] = read(facts, as_of_us)
        for events, readers in ((facts.events, self._of_own), (facts.account_events, self._of_others)):
            if events is not None:
                log = EventLog(events, as_of_us, self._days_of)
                for name, read_log in readers:
                    values[name] = read_log(log)
        return values


# Keyed by identity, as comparing catalogues costs more than evaluating them; the entry keeps the id from being reused.
_EVALUATORS: dict[int, tuple[Catalogue, Evaluator]] = {}
_MOST_EVALUATORS = 8


def evaluate(catalogue: Catalogue, facts: LeadFacts, as_of_us: int) -> Values:
    """Return the features of one lead at `as_of`: floats, texts, or None for missing.

    Examples
    --------
    >>> from features.catalogue import build_catalogue
    >>> catalogue = build_catalogue(event_types=["page_view"])
    >>> events = [EventFact("site", "e1", "page_view", 10, 10)]
    >>> evaluate(catalogue, LeadFacts(created_us=0, events=events), 11)["page_views_7d"]
    1.0
    """
    found = _EVALUATORS.get(id(catalogue))
    if found is None:
        if len(_EVALUATORS) >= _MOST_EVALUATORS:
            _EVALUATORS.clear()
        found = _EVALUATORS[id(catalogue)] = (catalogue, Evaluator(catalogue))
    return found[1](facts, as_of_us)


def _reader(feature: Feature) -> _Reader:
    """Return how a feature is read from what is no event."""
    compute = feature.compute
    if isinstance(compute, LeadAttribute):
        return _attribute_reader(compute.column, numeric=feature.kind == "numeric", block="lead")
    if isinstance(compute, AccountAttribute):
        return _attribute_reader(compute.column, numeric=feature.kind == "numeric", block="account")
    if isinstance(compute, Filled):
        column = compute.column
        return lambda facts, _: 0.0 if facts.lead.get(column) is None else 1.0
    if isinstance(compute, LeadAge):
        return _lead_age
    if isinstance(compute, SalesResponse):
        return _response_reader(compute.types)
    raise TypeError(f"{feature.name}: {type(compute).__name__} reads events")


def _lead_age(facts: LeadFacts, as_of_us: int) -> float | None:
    return None if facts.created_us is None else float(as_of_us - facts.created_us) / DAY_US


def _response_reader(types: tuple[str, ...]) -> _Reader:
    chosen = frozenset(types)

    def read(facts: LeadFacts, as_of_us: int) -> float | None:
        created_us, actions = facts.created_us, facts.actions
        if created_us is None or actions is None:
            return None
        seen = (a.occurred_us for a in actions if a.type in chosen and a.occurred_us < as_of_us >= a.known_us)
        return float(max(min(seen, default=as_of_us) - created_us, 0)) / HOUR_US

    return read


def _attribute_reader(column: str, *, numeric: bool, block: Literal["lead", "account"]) -> _Reader:
    def read(facts: LeadFacts, _: int) -> Attribute:
        values = facts.lead if block == "lead" else facts.account
        value = None if values is None else values.get(column)
        # Whole numbers become floats here, as the warehouse casts them to double.
        return float(value) if numeric and isinstance(value, int) else value

    return read
