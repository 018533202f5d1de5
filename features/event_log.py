"""The visible events of one lead at a moment, and how each kind of event feature is read from them, in microseconds.

Times and what follows from them alone (days, visits, decay) go through NumPy; what needs texts through plain loops,
which for some hundred events are quicker than making arrays of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from data.clock import DAY_US
from features.days import last_of_days, offsets_around
from features.definitions import (
    DECAY_UNIT,
    LARGEST_MEASURE,
    OLDEST_TOUCH_US,
    VISIT_GAP_US,
    Decayed,
    DistinctCount,
    EventCount,
    Feature,
    MostSenior,
    Recency,
    Total,
    Touch,
    Trend,
    Visits,
    decay_weights,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["Attribute", "EventFact", "EventLog", "LastOfDays", "days_in", "event_reader", "visible_events"]

Attribute = float | str | None


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
    channel: str | None = None
    person_id: str | None = None
    seniority_rank: int | None = None


# Positions instead of names: reading them is most of what the endpoint spends on features.
_TIME = 3
_POSITION: Mapping[str, int] = {name: at for at, name in enumerate(EventFact._fields)}


def visible_events(events: Iterable[EventFact], as_of_us: int) -> list[EventFact]:
    """Return the events that had happened before and were known by `as_of`, each (source, id) once, in total order.

    Equal keys with different content cannot both be true; the smallest is taken, whatever order they came in.

    Examples
    --------
    >>> late = EventFact("site", "e1", "page_view", 5, 9)
    >>> visible_events([late], 8), visible_events([late, late], 9) == [late]
    ([], True)
    """
    return sorted(_visible(events, as_of_us), key=itemgetter(_TIME, 0, 1))


def _visible(events: Iterable[EventFact], as_of_us: int) -> list[EventFact]:
    """Return the visible events, each once, by time alone: no feature depends on the order of equal times."""
    seen = [event for event in events if event[3] < as_of_us and event[4] <= as_of_us]
    # Where even the ids alone differ, no key can stand twice.
    if len(set(map(itemgetter(1), seen))) < len(seen):
        found: dict[tuple[str, str], EventFact] = {}
        for event in seen:
            other = found.setdefault(event[:2], event)
            if other is not event and _order(event) < _order(other):
                found[event[:2]] = event
        seen = list(found.values())
    seen.sort(key=itemgetter(_TIME))
    return seen


def _order(event: EventFact) -> tuple[object, ...]:
    return (event.known_us, event.occurred_us, event.type, *(str(part) for part in event[5:]))


LastOfDays = Callable[["NDArray[np.int64]", int], list[int]]


def days_in(timezone: str, longest_days: int) -> LastOfDays:
    """Return a function from sorted times to the last time of each local day that a window may hold."""

    def last_times(times: NDArray[np.int64], as_of_us: int) -> list[int]:
        start = as_of_us - longest_days * DAY_US
        return last_of_days(times[int(times.searchsorted(start)) :], offsets_around(timezone, start, as_of_us))

    return last_times


class EventLog:
    """Visible events of one scope, indexed once for all windows that end at `as_of`."""

    def __init__(self, events: Iterable[EventFact], as_of_us: int, days_of: LastOfDays) -> None:
        self.as_of_us = as_of_us
        self._days_of = days_of
        self._events = _visible(events, as_of_us)
        self._all_times = list(map(itemgetter(_TIME), self._events))
        by_type: defaultdict[str, list[int]] = defaultdict(list)
        for event in self._events:
            by_type[event[2]].append(event[3])
        self._times = dict(by_type)
        self._latest: dict[str, list[int]] = {}

    @cached_property
    def _array(self) -> NDArray[np.int64]:
        return np.fromiter(self._all_times, np.int64, len(self._all_times))

    @cached_property
    def _visits(self) -> list[int]:
        """When each visit began."""
        times = self._array
        later: list[int] = times[1:][times[1:] - times[:-1] > VISIT_GAP_US].tolist()
        return self._all_times[:1] + later

    def count(self, types: tuple[str, ...], start_us: int) -> int:
        """Count the events of the types (all, if empty) since `start_us`."""
        if not types:
            return len(self._all_times) - bisect_left(self._all_times, start_us)
        lists = [self._times[name] for name in types if name in self._times]
        return sum([len(times) - bisect_left(times, start_us) for times in lists])

    def count_type(self, name: str, start_us: int) -> int:
        """Count the events of one type since `start_us`."""
        times = self._times.get(name)
        return len(times) - bisect_left(times, start_us) if times else 0

    def last(self, types: tuple[str, ...]) -> int | None:
        """Return the time of the last event of the types, or None."""
        if not types:
            return self._all_times[-1] if self._all_times else None
        return max([self._times[name][-1] for name in types if name in self._times], default=None)

    def distinct(self, column: str, start_us: int) -> int:
        """Count the values of a column since `start_us`: those whose latest time lies in the window."""
        latest = self._latest.get(column)
        if latest is None:
            latest = self._latest[column] = self._latest_of(column)
        return len(latest) - bisect_left(latest, start_us)

    def _latest_of(self, column: str) -> list[int]:
        if column == "day":
            return self._days_of(self._array, self.as_of_us) if self._all_times else []
        found: dict[object, int] = dict(
            zip(map(itemgetter(_POSITION[column]), self._events), self._all_times, strict=True)
        )
        found.pop(None, None)
        return sorted(found.values())

    def visits(self, start_us: int) -> int:
        """Count the visits that began since `start_us`."""
        return len(self._visits) - bisect_left(self._visits, start_us)

    def decayed(self, types: tuple[str, ...], weights: NDArray[np.int64], start_us: int) -> int:
        """Add the weights of the events of the types (all, if empty) since `start_us` by their whole days of age."""
        if not types:
            recent = self._array[bisect_left(self._all_times, start_us) :]
        else:
            lists = [self._times[name] for name in types if name in self._times]
            recent = np.array([at for times in lists for at in times[bisect_left(times, start_us) :]], np.int64)
        return int(weights[(self.as_of_us - recent) // DAY_US].sum())

    def touch(self, which: Literal["first", "last"]) -> str | None:
        """Return the channel of the first or the last event that names one; of equal times the least channel."""
        ordered = self._events if which == "first" else reversed(self._events)
        oldest_us = self.as_of_us - OLDEST_TOUCH_US
        found: list[str] = []
        at = None
        for event in ordered:
            if event.channel is not None:
                if at is not None and max(event.occurred_us, oldest_us) != at:
                    break
                at = max(event.occurred_us, oldest_us)
                found.append(event.channel)
        return min(found, default=None)

    def most_senior(self, start_us: int) -> int | None:
        """Return the highest rank of anybody active since `start_us`."""
        recent = self._events[bisect_left(self._all_times, start_us) :]
        return max((event.seniority_rank for event in recent if event.seniority_rank is not None), default=None)

    def total(self, column: Literal["duration_s", "value"], start_us: int) -> int:
        """Add a column since `start_us` in whole thousandths."""
        recent = self._events[bisect_left(self._all_times, start_us) :]
        # What is not there becomes NaN, which no bound holds.
        values = np.array(list(map(itemgetter(_POSITION[column]), recent)), np.float64)
        measured = values[np.abs(values) < LARGEST_MEASURE]
        # Added as Python's integers, which know no overflow.
        return sum(np.floor(measured * 1000 + 0.5).astype(np.int64).tolist())


Reader = Callable[[EventLog], Attribute]


def event_reader(feature: Feature) -> Reader:  # noqa: PLR0911 - one return a kind of feature
    """Return how a feature is read from a log; every one ends in at most one division, as in `features.sql`."""
    compute = feature.compute
    if isinstance(compute, EventCount):
        return _count_reader(compute)
    if isinstance(compute, DistinctCount):
        column, reach = compute.column, compute.days * DAY_US
        return lambda log: float(log.distinct(column, log.as_of_us - reach))
    if isinstance(compute, Total):
        summed, reach = compute.column, compute.days * DAY_US
        return lambda log: log.total(summed, log.as_of_us - reach) / 1000.0
    if isinstance(compute, Visits):
        reach = compute.days * DAY_US
        return lambda log: float(log.visits(log.as_of_us - reach))
    if isinstance(compute, Touch):
        which = compute.which
        return lambda log: log.touch(which)
    if isinstance(compute, Trend):
        return _trend_reader(compute.types)
    if isinstance(compute, Recency):
        return _recency_reader(compute.types)
    if isinstance(compute, Decayed):
        return _decayed_reader(compute)
    if isinstance(compute, MostSenior):
        return _most_senior_reader(compute.days)
    raise TypeError(f"{feature.name}: {type(compute).__name__} reads no events")


def _count_reader(compute: EventCount) -> Reader:
    types, reach = compute.types, compute.days * DAY_US
    if len(types) == 1:
        (name,) = types
        return lambda log: float(log.count_type(name, log.as_of_us - reach))
    return lambda log: float(log.count(types, log.as_of_us - reach))


def _trend_reader(types: tuple[str, ...]) -> Reader:
    def read(log: EventLog) -> float:
        short, long = (log.count(types, log.as_of_us - days * DAY_US) for days in (7, 30))
        return (30 * short - 7 * long) / 210.0

    return read


def _recency_reader(types: tuple[str, ...]) -> Reader:
    def read(log: EventLog) -> float | None:
        last = log.last(types)
        return None if last is None else float(log.as_of_us - last) / DAY_US

    return read


def _decayed_reader(compute: Decayed) -> Reader:
    types, reach = compute.types, compute.days * DAY_US
    weights = np.array(decay_weights(compute.half_life_days, compute.days), np.int64)
    return lambda log: log.decayed(types, weights, log.as_of_us - reach) / float(DECAY_UNIT)


def _most_senior_reader(days: int) -> Reader:
    def read(log: EventLog) -> float | None:
        rank = log.most_senior(log.as_of_us - days * DAY_US)
        return None if rank is None else float(rank)

    return read
