"""A simulated team whose scores are the simulator's own probabilities, so that each promise is known to be true."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from data.clock import to_us
from data.settings import Plan, Settings
from data.store.engine import open_store
from data.store.migrate import migrate
from data.store.scores import Score, record_scores
from tests.model.asked import monthly_truth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["GRADES", "Promised", "settings_of", "write_promises"]

# Thresholds of probability at which grades begin.
GRADES = (("A", 0.12), ("B", 0.05), ("C", 0.02), ("D", 0.0))


@dataclass(frozen=True)
class Promised:
    """What a month's list said of a lead."""

    lead_id: str
    as_of_us: int
    probability: float
    points: int


def settings_of(home: Path) -> Settings:
    return Settings(home=home, mlruns=home / "mlruns", query_threads=1, plan=Plan(ages_days=(7,)))


def write_promises(
    settings: Settings,
    truth: Path,
    *,
    months: tuple[str, str],
    told: Callable[[NDArray], NDArray] = lambda p: p,  # type: ignore[type-arg]
) -> list[Promised]:
    """Give every open lead of each month a score by a function of its true probability, on the day."""
    known = monthly_truth(truth)
    first, last = (pd.Timestamp(month, tz="UTC") for month in months)
    known = known[(known["as_of"] >= first) & (known["as_of"] <= last)].sort_values(["as_of", "lead_id"])
    values = told(known["probability_90d"].to_numpy(float))
    rows = [
        Promised(str(lead), to_us(at.to_pydatetime()), float(p), int(number % 90))
        for number, (lead, at, p) in enumerate(zip(known["lead_id"], known["as_of"], values, strict=True))
    ]
    migrate(settings.store_url)
    with closing(open_store(settings.store_url)) as store:
        for moment in sorted({row.as_of_us for row in rows}):
            scores = [_score(row) for row in rows if row.as_of_us == moment]
            for start in range(0, len(scores), 500):
                record_scores(store, scores[start : start + 500], now_us=moment)
    return rows


def _score(row: Promised) -> Score:
    grade = next(name for name, least in GRADES if row.probability >= least)
    minutes = 30 if grade == "A" else None
    rules = {"points": row.points, "pool": "C", "assign_within_minutes": minutes, "fired": []}
    return Score(
        lead_id=row.lead_id,
        as_of_us=row.as_of_us,
        bundle="sha256:of-the-simulator",
        source="model",
        probability=row.probability,
        logit=None,
        grade=grade,
        pool="A" if minutes else "C",
        features={},
        reasons=(),
        rules=rules,
        cause="batch",
    )
