"""The benchmarks, by the name that `make bench NAME=...` takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from data.clock import DAY_US
from features.catalogue import build_catalogue
from features.memory import Evaluator, EventFact, LeadFacts
from features.words import EVENT_TYPES
from tests.benchmarks.measure import Measured, against

__all__ = ["BENCHMARKS"]

_AS_OF_US = 1_790_000_000_000_000


def _events(count: int) -> list[EventFact]:
    rng = np.random.default_rng(1)
    types = sorted(EVENT_TYPES)
    return [
        EventFact(
            source="site",
            event_id=f"e{k}",
            type=types[int(rng.integers(len(types)))],
            occurred_us=(at := _AS_OF_US - int(rng.integers(1, 120 * DAY_US))),
            known_us=at,
            content_id=f"c{int(rng.integers(40))}",
            duration_s=float(rng.integers(0, 300)),
        )
        for k in range(count)
    ]


def one_lead() -> Measured:
    """Measure all features of one lead with 500 events against parsing the same events from JSON."""
    catalogue = build_catalogue(event_types=sorted(EVENT_TYPES), timezone="Asia/Shanghai")
    evaluator = Evaluator(catalogue)
    facts = LeadFacts(created_us=_AS_OF_US - 100 * DAY_US, events=_events(500), account={}, account_events=[])
    text = json.dumps([event._asdict() for event in facts.events or ()])
    return against(lambda: evaluator(facts, _AS_OF_US), lambda: json.loads(text), rounds=15, each=40)


BENCHMARKS: Mapping[str, Callable[[], Measured]] = MappingProxyType({"features.one_lead": one_lead})
