"""The benchmarks, by the name that `make bench NAME=...` takes."""

from __future__ import annotations

import atexit
import json
import math
import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from data.clock import DAY_US
from features.catalogue import build_catalogue
from features.memory import Evaluator, EventFact, LeadFacts
from features.words import EVENT_TYPES
from tests.benchmarks import event_log, monitoring, pages, reasons, retrain, serving
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
            channel=("paid", "search", None)[int(rng.integers(3))],
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


LARGE, SMALL = 20_000_000, 2_000_000
_ROUNDS = 3


@lru_cache
def _log(events: int) -> Path:
    """Return a log of so many events, 20 a lead, that lives as long as this run."""
    folder = Path(tempfile.mkdtemp(prefix="clew-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    event_log.write_log(folder, events=events, leads=events // 20)
    return folder


@lru_cache
def _runs(events: int, ways: tuple[str, ...]) -> tuple[dict[str, dict[str, Any]], ...]:
    """Go the ways in turns, so that a busy moment of the machine hits all, and hold their columns equal."""
    rounds = tuple({way: event_log.run(way, _log(events)) for way in ways} for _ in range(_ROUNDS))
    for told in rounds:
        for way in ways:
            wrong = [n for n, v in told[way]["sums"].items() if not math.isclose(v, told[ways[0]]["sums"][n])]
            if wrong:
                raise AssertionError(f"{way} and {ways[0]} differ in {', '.join(wrong)}")
    return rounds


def _compared(rounds: tuple[dict[str, dict[str, Any]], ...], peer: str) -> Measured:
    ratios = sorted(told[peer]["seconds"] / told["catalogue"]["seconds"] for told in rounds)
    return Measured(
        value=statistics.median(told["catalogue"]["seconds"] for told in rounds),
        unit="s",
        peer=statistics.median(told[peer]["seconds"] for told in rounds),
        ratio=statistics.median(ratios),
        n=len(rounds),
        spread=(ratios[0], ratios[-1]),
        also={
            "events": LARGE,
            "leads": LARGE // 20,
            "columns": len(rounds[0]["catalogue"]["sums"]),
            "peak_gib": max(told["catalogue"]["peak_bytes"] for told in rounds) / 2**30,
            "peer_peak_gib": max(told[peer]["peak_bytes"] for told in rounds) / 2**30,
        },
    )


def sql_vs_handwritten() -> Measured:
    """Measure a lead's event features over 20 million events against a query written by hand for just this log."""
    return _compared(_runs(LARGE, ("catalogue", "hand", "pandas")), "hand")


def sql_vs_pandas() -> Measured:
    """Measure the same columns against pandas."""
    return _compared(_runs(LARGE, ("catalogue", "hand", "pandas")), "pandas")


def growth_2m_20m() -> Measured:
    """Measure what ten times the events and leads cost: `also.growth` is the ratio of times, at most 11 is wanted."""
    small = [told["catalogue"]["seconds"] for told in _runs(SMALL, ("catalogue",))]
    large = [told["catalogue"]["seconds"] for told in _runs(LARGE, ("catalogue", "hand", "pandas"))]
    ratios = sorted(10 * s / v for s, v in zip(small, large, strict=True))
    value, peer = statistics.median(large), statistics.median(small)
    return Measured(
        value=value,
        unit="s",
        peer=peer,
        ratio=10 * peer / value,
        n=len(large),
        spread=(ratios[0], ratios[-1]),
        also={"growth": value / peer},
    )


def month() -> Measured:
    """Measure `clew retrain` on 100,000 leads and 5 million events against a script that only fits and judges."""
    folder = Path(tempfile.mkdtemp(prefix="clew-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    counts = retrain.make_home(folder)
    ours, peer = retrain.run("clew", folder), retrain.run("script", folder)
    ratio = peer["seconds"] / ours["seconds"]
    return Measured(
        value=ours["seconds"],
        unit="s",
        peer=peer["seconds"],
        ratio=ratio,
        n=1,
        spread=(ratio, ratio),
        also={
            "leads": counts["leads"],
            "events": counts["events"],
            "peak_gib": ours["peak_bytes"] / 2**30,
            "peer_peak_gib": peer["peak_bytes"] / 2**30,
        },
    )


BENCHMARKS: Mapping[str, Callable[[], Measured]] = MappingProxyType(
    {
        "features.growth_2m_20m": growth_2m_20m,
        "features.one_lead": one_lead,
        "features.sql_vs_handwritten": sql_vs_handwritten,
        "features.sql_vs_pandas": sql_vs_pandas,
        "monitoring.faults_found": monitoring.faults_found,
        "pages.first_list": pages.first_list,
        "reasons.bulk_vs_lightgbm": reasons.bulk_vs_lightgbm,
        "reasons.bulk_vs_shap": reasons.bulk_vs_shap,
        "reasons.single_vs_lightgbm": reasons.single_vs_lightgbm,
        "serving.http_vs_mlflow": serving.http_vs_mlflow,
        "training.retrain": month,
    }
)
