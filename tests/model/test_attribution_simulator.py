"""On a team whose truth is known: who gets credit for the wins that webinars caused, and nothing is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest

from data.importing import import_export
from data.mapping import load_mapping
from data.simulator import simulate
from data.warehouse import Warehouse
from monitoring.attribution.credit import WIN
from monitoring.attribution.journeys import Period
from monitoring.attribution.report import DIMENSIONS, MODELS, Attribution, attribute

END = datetime(2026, 11, 1, tzinfo=UTC)
OF_EVENTS = ("web", "email", "webinar")


@cache
def team(seed: int, lift: float = 4.0) -> tuple[Attribution, dict[str, float]]:
    """The attribution of two years, and the wins that each channel of the events caused."""
    with TemporaryDirectory() as folder:
        report = simulate(leads=4000, seed=seed, out=Path(folder), end=END, webinar_lift=lift)
        warehouse = Warehouse(Path(folder) / "warehouse")
        import_export(report.export, load_mapping(report.export / "mapping.yaml"), warehouse)
        truth = pq.read_table(report.truth / "channels.parquet").to_pylist()
        with warehouse.connect() as connection:
            told = attribute(connection, Period.of(datetime(2024, 11, 1, tzinfo=UTC), END, END))
    return told, {row["channel"]: row["wins_caused"] for row in truth}


def distance(told: Attribution, caused: dict[str, float], model: str) -> float:
    """How far the shares of the channels of the events are from their shares of what was caused (0 to 1)."""
    wins = {line.key[0]: line.wins(model) for line in told.lines["channel"]}
    whole = sum(wins.get(name, 0.0) for name in OF_EVENTS)
    return sum(abs(wins.get(name, 0.0) / whole - caused[name] / sum(caused.values())) for name in OF_EVENTS) / 2


@pytest.mark.parametrize("seed", [7, 9])
def test_the_data_driven_model_comes_nearer_to_what_was_caused_than_last_touch(seed: int) -> None:
    told, caused = team(seed)
    found = {model: distance(told, caused, model) for model in MODELS}
    assert found["shapley"] < found["last_touch"] - 0.25, found
    assert found["shapley"] == min(found.values()), found


def test_no_win_and_no_cent_is_lost_in_any_model_and_dimension() -> None:
    told, _ = team(7)
    assert told.totals.wins > 200
    assert len(told.totals.amounts) > 3
    for dimension in DIMENSIONS:
        for model in MODELS:
            credit = [line.credit[model] for line in told.lines[dimension]]
            assert sum(part.wins for part in credit) == told.totals.wins * WIN
            for currency, cents in told.totals.amounts.items():
                assert sum(part.amounts.get(currency, 0) for part in credit) == cents


def test_keywords_and_campaigns_have_costs_and_wins() -> None:
    told, _ = team(7)
    keywords = {line.key[0]: line for line in told.lines["keyword"] if line.key[0]}
    assert len(keywords) >= 7
    assert all(line.spent.cost and line.counts.leads for name, line in keywords.items() if name != "none")
    assert sum(line.wins("linear") for line in keywords.values()) > 5
