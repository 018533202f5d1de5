"""The catalogue for one lead in memory: the same definitions, in microseconds, for the endpoint."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

from data.clock import DAY_US
from features.days import day_number, offsets_around
from features.definitions import (
    LARGEST_MEASURE,
    AccountAttribute,
    Catalogue,
    DistinctCount,
    EventCount,
    Feature,
    Filled,
    LeadAge,
    LeadAttribute,
    Recency,
    Total,
    Trend,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Attribute", "Evaluator", "EventFact", "LeadFacts", "Values", "evaluate", "visible_events"]

Attribute = float | str | None
Values = dict[str, Attribute]


class EventFact(NamedTuple):
    """One event as the evaluators read it; times in microseconds UTC."""

    source: str
    event_id: str
    type: str
    occurred_us: int
    known_us: int
    content_id: str | None = None
    duration_s: float | None = None
    value: float | None = None
    lead_id: str | None = None


@dataclass(frozen=True)
class LeadFacts:
    """What is known of one lead; a block that is None is unknown, an empty one is known to be empty."""

    created_us: int | None = None
    lead: Mapping[str, Attribute] = field(default_factory=dict)
    account: Mapping[str, Attribute] | None = None
    events: Sequence[EventFact] | None = None
    account_events: Sequence[EventFact] | None = None


def visible_events(events: Iterable[EventFact], as_of_us: int) -> list[EventFact]:
    """Return the events that had happened before and were known by `as_of`, each (source, id) once, in total order.

    Equal keys with different content cannot both be true; the smallest is taken, whatever order they came in.

    Examples
    --------
    >>> late = EventFact("site", "e1", "page_view", 5, 9)
    >>> visible_events([late], 8), visible_events([late, late], 9) == [late]
    ([], True)
    """
    return sorted(_visible(events, as_of_us), key=itemgetter(3, 0, 1))


def _visible(events: Iterable[EventFact], as_of_us: int) -> list[EventFact]:
    """Return the visible events, each once, by time alone: no feature depends on the order of equal times."""
    found: dict[tuple[str, str], EventFact] = {}
    for event in events:
        # Positions instead of names: this loop is most of what the endpoint spends on features.
        if event[3] < as_of_us and event[4] <= as_of_us:
            key = event[:2]
            other = found.setdefault(key, event)
            if other is not event and _order(event) < _order(other):
                found[key] = event
    return sorted(found.values(), key=itemgetter(3))


def _order(event: EventFact) -> tuple[object, ...]:
    return (event.known_us, event.occurred_us, event.type, *(str(part) for part in event[5:]))


class _Log:
    """Visible events of one scope, indexed once for all windows that end at `as_of`."""

    def __init__(self, events: Iterable[EventFact], as_of_us: int, days_of: _DaysOf) -> None:
        self.as_of_us = as_of_us
        self._days_of = days_of
        self._events = _visible(events, as_of_us)
        self._all_times = [event[3] for event in self._events]
        self._times: defaultdict[str, list[int]] = defaultdict(list)
        for event in self._events:
            self._times[event[2]].append(event[3])
        self._latest: dict[str, list[int]] = {}

    def count(self, types: tuple[str, ...], start_us: int) -> int:
        """Count the events of the types (all, if empty) since `start_us`."""
        if not types:
            return len(self._all_times) - bisect_left(self._all_times, start_us)
        lists = [self._times[name] for name in types if name in self._times]
        return sum(len(times) - bisect_left(times, start_us) for times in lists)

    def last(self, types: tuple[str, ...]) -> int | None:
        """Return the time of the last event of the types, or None."""
        if not types:
            return self._all_times[-1] if self._all_times else None
        return max((self._times[name][-1] for name in types if name in self._times), default=None)

    def distinct(self, column: str, start_us: int) -> int:
        """Count the values of a column since `start_us`: those whose latest time lies in the window."""
        if column not in self._latest:
            self._latest[column] = sorted(self._latest_of(column).values())
        latest = self._latest[column]
        return len(latest) - bisect_left(latest, start_us)

    def _latest_of(self, column: str) -> dict[object, int]:
        if column == "day":
            return self._days_of(self._all_times, self.as_of_us)
        position = EventFact._fields.index(column)
        found: dict[object, int] = {event[position]: event[3] for event in self._events}
        found.pop(None, None)
        return found

    def total(self, column: Literal["duration_s", "value"], start_us: int) -> int:
        """Add a column since `start_us` in whole thousandths."""
        recent = self._events[bisect_left(self._all_times, start_us) :]
        values = [event.duration_s if column == "duration_s" else event.value for event in recent]
        return sum(math.floor(v * 1000 + 0.5) for v in values if v is not None and abs(v) < LARGEST_MEASURE)


_DaysOf = Callable[[list[int], int], dict[object, int]]


def _days_in(timezone: str, longest_days: int) -> _DaysOf:
    """Return a function from sorted times to the latest time of each local day that a window may hold."""

    def latest_times(times: list[int], as_of_us: int) -> dict[object, int]:
        start = as_of_us - longest_days * DAY_US
        table = offsets_around(timezone, start, as_of_us)
        return {day_number(us, table): us for us in times[bisect_left(times, start) :]}

    return latest_times


class _Moment(NamedTuple):
    """All that a feature may read."""

    facts: LeadFacts
    as_of_us: int
    own: _Log | None
    others: _Log | None


_Reader = Callable[[_Moment], Attribute]


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
        self._readers = tuple((feature.name, _reader(feature)) for feature in catalogue.features)
        self._days_of = _days_in(catalogue.timezone, catalogue.longest_window_days)

    def __call__(self, facts: LeadFacts, as_of_us: int) -> Values:
        """Return the features of one lead at `as_of`."""
        own = None if facts.events is None else _Log(facts.events, as_of_us, self._days_of)
        others = None if facts.account_events is None else _Log(facts.account_events, as_of_us, self._days_of)
        moment = _Moment(facts, as_of_us, own, others)
        return {name: read(moment) for name, read in self._readers}


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
    """Return how a feature is read from a moment."""
    compute = feature.compute
    if isinstance(compute, LeadAttribute):
        return _attribute_reader(compute.column, numeric=feature.kind == "numeric", block="lead")
    if isinstance(compute, AccountAttribute):
        return _attribute_reader(compute.column, numeric=feature.kind == "numeric", block="account")
    if isinstance(compute, Filled):
        column = compute.column
        return lambda moment: 0.0 if moment.facts.lead.get(column) is None else 1.0
    if isinstance(compute, LeadAge):
        return _lead_age
    read = _event_reader(feature)
    if feature.needs == "account_events":
        return lambda moment: None if moment.others is None else read(moment.others)
    return lambda moment: None if moment.own is None else read(moment.own)


def _lead_age(moment: _Moment) -> float | None:
    created_us = moment.facts.created_us
    return None if created_us is None else float(moment.as_of_us - created_us) / DAY_US


def _attribute_reader(column: str, *, numeric: bool, block: Literal["lead", "account"]) -> _Reader:
    def read(moment: _Moment) -> Attribute:
        values = moment.facts.lead if block == "lead" else moment.facts.account
        value = None if values is None else values.get(column)
        # Whole numbers become floats here, as the warehouse casts them to double.
        return float(value) if numeric and isinstance(value, int) else value

    return read


def _event_reader(feature: Feature) -> Callable[[_Log], float | None]:
    """Return how a feature is read from a log; every one ends in at most one division, as in `features.sql`."""
    compute = feature.compute
    if isinstance(compute, EventCount):
        types, reach = compute.types, compute.days * DAY_US
        return lambda log: float(log.count(types, log.as_of_us - reach))
    if isinstance(compute, DistinctCount):
        column, reach = compute.column, compute.days * DAY_US
        return lambda log: float(log.distinct(column, log.as_of_us - reach))
    if isinstance(compute, Total):
        summed, reach = compute.column, compute.days * DAY_US
        return lambda log: log.total(summed, log.as_of_us - reach) / 1000.0
    if isinstance(compute, Trend):
        return _trend_reader(compute.types)
    if isinstance(compute, Recency):
        return _recency_reader(compute.types)
    raise TypeError(f"{feature.name}: {type(compute).__name__} reads no events")


def _trend_reader(types: tuple[str, ...]) -> Callable[[_Log], float | None]:
    def read(log: _Log) -> float:
        short, long = (log.count(types, log.as_of_us - days * DAY_US) for days in (7, 30))
        return (30 * short - 7 * long) / 210.0

    return read


def _recency_reader(types: tuple[str, ...]) -> Callable[[_Log], float | None]:
    def read(log: _Log) -> float | None:
        last = log.last(types)
        return None if last is None else float(log.as_of_us - last) / DAY_US

    return read
