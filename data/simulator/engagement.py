"""What people do while they browse, evaluate or come back: visits in bursts, at working hours, known with a delay."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from data.clock import DAY_US, HOUR_US, MINUTE_US
from data.simulator.arrays import Bools, Floats, Ints, draw_rows, exponential_us
from data.simulator.behaviour import visit_rates
from data.simulator.chain import EVALUATING, Walk
from data.simulator.seasons import rhythm
from data.simulator.vocabulary import SOURCES

if TYPE_CHECKING:
    from data.simulator.population import People

__all__ = [
    "CHANNELS",
    "EVENT_TYPES",
    "Events",
    "Spans",
    "before_creation",
    "sent_forms",
    "spans_of",
    "took_part",
    "visit",
]

EVENT_TYPES = (
    "page_view",
    "content_view",
    "price_page_view",
    "whitepaper_download",
    "form_submit",
    "demo_request",
    "trial_start",
    "webinar_attended",
    "email_open",
    "email_click",
)
CHANNELS = ("web", "email", "webinar")
_FORM = EVENT_TYPES.index("form_submit")
_TRIAL = EVENT_TYPES.index("trial_start")
_WEBINAR = EVENT_TYPES.index("webinar_attended")
_OPEN = EVENT_TYPES.index("email_open")
_CLICK = EVENT_TYPES.index("email_click")

# What kind of time a span is: the two open states have the codes of the chain.
_BEFORE, _AFTER = 2, 3
_CHANNEL_MIX = np.array([[0.60, 0.33, 0.07], [0.74, 0.20, 0.06], [0.86, 0.06, 0.08], [0.35, 0.65, 0.0]])
_TYPE_MIX = np.zeros((4, len(EVENT_TYPES)))
_TYPE_MIX[:, :7] = [
    [0.53, 0.27, 0.05, 0.10, 0.04, 0.004, 0.006],
    [0.37, 0.21, 0.19, 0.12, 0.05, 0.035, 0.025],
    [0.42, 0.24, 0.06, 0.25, 0.03, 0.0, 0.0],
    [0.70, 0.25, 0.03, 0.02, 0.0, 0.0, 0.0],
]
_SECONDS = np.array([45.0, 110.0, 70.0, 0.0, 40.0, 60.0, 300.0, 1900.0, 0.0, 0.0])  # median durations, 0: not measured
_CONTENTS = 40
_LONGEST_VISIT = 60
_FORM_TAKES_US = 2_000_000  # from sending a form to the record in the CRM
_FADE_DAYS = 24.0
_FADE_FLOOR = 0.12


@dataclass(frozen=True)
class Spans:
    """Stretches of time in which a person may visit: who, what kind of time, [start, stop), visits a day."""

    who: Ints
    kind: Ints
    start: Ints
    stop: Ints
    rate: Floats


@dataclass(frozen=True)
class Events:
    """What people did; `content` is -1 and `duration`, `value` are NaN where there is none; times in microseconds."""

    who: Ints
    at: Ints
    received: Ints
    kind: Ints
    channel: Ints
    content: Ints
    duration: Floats
    value: Floats

    def take(self, rows: Ints | Bools) -> Self:
        """Return some rows."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def joined(cls, *parts: Events) -> Events:
        """Put several batches behind each other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def spans_of(walk: Walk, people: People, *, end: int, engagement: float) -> Spans:
    """Return the open stays of everyone up to `end`, and the quiet time after closing with its few stray visits."""
    alive = walk.start < end
    who, state = walk.who[alive], walk.state[alive]
    closed = np.flatnonzero(walk.closed_at < end)
    return Spans(
        who=np.concatenate([who, closed]),
        kind=np.concatenate([state, np.full(len(closed), _AFTER, dtype=np.int64)]),
        start=np.concatenate([walk.start[alive], walk.closed_at[closed]]),
        stop=np.concatenate([np.minimum(walk.stop[alive], end), np.minimum(walk.closed_at[closed] + 60 * DAY_US, end)]),
        rate=engagement * np.concatenate([visit_rates(people, who, state), np.full(len(closed), 0.012)]),
    )


def before_creation(rng: np.random.Generator, people: People, state: Ints, *, engagement: float) -> Events:
    """Return what was done before the lead existed: anonymous visits, attached and known when the form was sent."""
    who = np.arange(len(state))
    tracked = np.array([source.tracked for source in SOURCES])[people.source]
    length = np.minimum(exponential_us(rng, 12.0 * DAY_US, len(who)), 45 * DAY_US)
    rate = engagement * tracked * np.maximum(visit_rates(people, who, np.full_like(who, EVALUATING)) * 0.5, 0.25)
    rate = rate * np.where(state == EVALUATING, 1.6, 1.0)
    kind = np.full_like(who, _BEFORE)
    visits = visit(rng, Spans(who, kind, people.created - length, people.created, rate), people)
    forms = np.flatnonzero(rng.random(len(who)) < np.minimum(tracked, 0.95))
    events = Events.joined(visits, sent_forms(forms, people.created[forms] - _FORM_TAKES_US))
    attached = people.created[events.who] + exponential_us(rng, 0.5 * MINUTE_US, len(events.who))
    return replace(events, received=np.maximum(events.received, attached))


def sent_forms(who: Ints, at: Ints) -> Events:
    """Return the forms that create lead records, at given moments, known a second later."""
    zero = np.zeros(len(who), dtype=np.int64)
    nothing = np.full(len(who), np.nan)
    return Events(who, at, at + 1_000_000, zero + _FORM, zero, zero - 1, np.full(len(who), 40.0), nothing)


def took_part(events: Events, people: int) -> Bools:
    """Return which of the people attended a webinar in these events."""
    attended: Bools = np.bincount(events.who[events.kind == _WEBINAR], minlength=people) > 0
    return attended


def visit(rng: np.random.Generator, spans: Spans, people: People) -> Events:
    """Let people visit: a Poisson process thinned by the hour of the week and fading with age, in bursts of events.

    What happens depends on the past only: a burst that began while evaluating is cut off where the stay ends.
    """
    begun, span = _beginnings(rng, spans, people)
    size = np.minimum(1 + rng.lognormal(0.7, 0.95, len(begun)).astype(np.int64), _LONGEST_VISIT)
    of = np.repeat(np.arange(len(begun)), size)
    first = np.cumsum(size) - size
    gap = exponential_us(rng, 70e6, len(of))
    elapsed = np.cumsum(gap)
    at = begun[of] + elapsed - elapsed[first][of]
    kept = at < spans.stop[span[of]]
    rank = (np.arange(len(of)) - first[of])[kept]
    of, at = of[kept], at[kept]
    where = spans.kind[span]
    channel = draw_rows(rng, _CHANNEL_MIX[where])[of]
    kind = draw_rows(rng, _TYPE_MIX[where[of]])
    kind = np.where((channel == 1) & (rank == 0), _OPEN, np.where((channel == 1) & (rank == 1), _CLICK, kind))
    kind = np.where((channel == 2) & (rank == 0), _WEBINAR, kind)
    return Events(
        who=spans.who[span[of]],
        at=at,
        received=at + _delays(rng, len(at)),
        kind=kind,
        channel=channel,
        content=np.where(kind < _FORM, np.minimum(rng.zipf(1.6, len(at)), _CONTENTS) - 1, -1),
        duration=_durations(rng, kind),
        value=np.where(kind == _TRIAL, np.minimum(rng.geometric(0.15, len(at)), 200), np.nan),
    )


def _beginnings(rng: np.random.Generator, spans: Spans, people: People) -> tuple[Ints, Ints]:
    """Draw when visits begin, with the span of each."""
    length = spans.stop - spans.start
    span = np.repeat(np.arange(len(length)), rng.poisson(spans.rate * length / DAY_US))
    at = spans.start[span] + (rng.random(len(span)) * length[span]).astype(np.int64) // 1000 * 1000
    who = spans.who[span]
    age = np.maximum(at - people.created[who], 0) / DAY_US
    fading = np.where(spans.kind[span] == EVALUATING, 1.0, _FADE_FLOOR + (1 - _FADE_FLOOR) * np.exp(-age / _FADE_DAYS))
    kept = rng.random(len(span)) < fading * rhythm(at, people.market[who], people.offset[who])
    return at[kept], span[kept]


def _delays(rng: np.random.Generator, size: int) -> Ints:
    """Draw how long it takes until something is known: mostly minutes, sometimes hours, seldom days."""
    kind = rng.random(size)
    mean = np.where(kind < 0.86, 2.0 * MINUTE_US, np.where(kind < 0.97, 5.0 * HOUR_US, 3.0 * DAY_US))
    floor = np.where(kind < 0.97, 0, DAY_US)
    return floor + exponential_us(rng, mean, size)


def _durations(rng: np.random.Generator, kind: Ints) -> Floats:
    """Draw how long something was looked at, seconds, log-normal around a median of its type."""
    median = _SECONDS[kind]
    drawn = np.round(median * rng.lognormal(0.0, 0.9, len(kind)), 1)
    return np.where(median > 0, drawn, np.nan)
