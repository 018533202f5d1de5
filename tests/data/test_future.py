"""A fact from the future, or one that becomes known only in the future, changes no row of features of the past."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from data.clock import from_us, to_us
from features import sql
from tests.data.test_features_equal import Pairs, by_sql, difference, in_memory, primary_pairs
from tests.reference import features as reference
from tests.reference.worlds import CATALOGUES, EVIDENCE, LEADS, World, connect, random_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import duckdb

    from tests.reference.features import Row

WORLDS = 100 if EVIDENCE else 8
FACTS_A_WORLD = 40


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as opened:
        yield opened


class _Prophet:
    """Tells facts that nobody could know at a moment."""

    def __init__(self, world: World, today: datetime, rng: np.random.Generator) -> None:
        self.world = world
        self.today = today
        self.rng = rng
        self.told = 0

    def one_of(self, options: list[Row]) -> Row:
        return options[int(self.rng.integers(len(options)))]

    def _past(self) -> datetime:
        return self.today - timedelta(days=int(self.rng.integers(0, 100)), microseconds=int(self.rng.integers(1, 3)))

    def _future(self) -> datetime:
        return self.today + timedelta(
            days=int(self.rng.choice([0, 0, 1, 30])), microseconds=int(self.rng.integers(1, 3))
        )

    def lead_id(self) -> str:
        return str(self.rng.choice(LEADS))

    def event(self) -> tuple[str, Row]:
        """An event that becomes known later, or is announced for today or later."""
        late = bool(self.rng.random() < 0.5)
        occurred_at = self._past() if late else self._future() - timedelta(microseconds=int(self.rng.integers(0, 2)))
        occurred_at = occurred_at if late else max(occurred_at, self.today)
        event = {
            "source": "future",
            "event_id": f"f{self.told}",
            "lead_id": self.lead_id(),
            "type": str(self.rng.choice(["page_view", "demo_request", "it's"])),
            "content_id": "secret",
            "duration_s": 7777.0,
            "value": 7777.0,
        }
        return "events", {**event, "occurred_at": occurred_at, "known_at": self._future() if late else self._past()}

    def lead(self) -> tuple[str, Row]:
        """A change of a lead, or a duplicate of one under a new name; known later, or created later."""
        like = self.one_of(self.world.tables["leads"])
        name = like["lead_id"] if self.rng.random() < 0.5 else f"{like['lead_id']}{self.told}"
        created_at, known_at = (
            (self._past(), self._future()) if self.rng.random() < 0.5 else (self._future(), self._past())
        )
        new = {"source": "future", "account_id": str(self.rng.choice(["A", "B"])), "custom_size": 7777.0}
        return "leads", {**like, **new, "lead_id": name, "created_at": created_at, "known_at": known_at}

    def account(self) -> tuple[str, Row]:
        row = {"account_id": str(self.rng.choice(["A", "B"])), "industry": "future", "employees": 7777.0}
        return "accounts", {**row, "known_at": self._future()}

    def outcome(self) -> tuple[str, Row]:
        row = {"lead_id": self.lead_id(), "outcome": "won", "closed_at": self._past(), "reason": None}
        return "outcomes", {**row, "known_at": self._future()}

    def stage(self) -> tuple[str, Row]:
        row = {"lead_id": self.lead_id(), "stage": "opportunity", "occurred_at": self._past()}
        return "stages", {**row, "known_at": self._future()}

    def tell(self) -> tuple[str, Row]:
        self.told += 1
        kinds = [self.event, self.event, self.lead, self.lead, self.account, self.outcome, self.stage]
        return kinds[self.told % len(kinds)]()


def past_pairs(world: World, today: datetime) -> Pairs:
    return [pair for pair in primary_pairs(world) if pair[1] <= to_us(today)]


def prophecies(seed: int) -> tuple[World, Pairs, list[tuple[str, Row]]]:
    """Return a world, its pairs up to a moment, and facts from beyond that moment."""
    rng = np.random.default_rng(seed)
    world = random_world(seed, leads=8, events=80, outcomes=6)
    today = world.as_ofs[len(world.as_ofs) // 2]
    prophet = _Prophet(world, today, rng)
    return world, past_pairs(world, today), [prophet.tell() for _ in range(FACTS_A_WORLD)]


def with_facts(world: World, facts: list[tuple[str, Row]]) -> World:
    """Add the facts under the contract's keys: a version known at the same moment as another one is no new version."""
    for table, row in facts:
        if table in {"leads", "accounts"}:
            key = ("lead_id" if table == "leads" else "account_id", "known_at")
            if any(all(row[column] == other[column] for column in key) for other in world.tables[table]):
                continue
        world = world.with_rows(**{table: [row]})
    return world


def changes(connection: duckdb.DuckDBPyConnection, seed: int) -> list[str]:
    """Name the features of the past that facts from the future change."""
    world, pairs, facts = prophecies(seed)
    catalogue = CATALOGUES[world.timezone]
    before = by_sql(connection, world.tables, catalogue, pairs)
    return difference(by_sql(connection, with_facts(world, facts).tables, catalogue, pairs), before)


@pytest.mark.parametrize("seed", range(WORLDS))
def test_facts_from_the_future_change_no_past_row_of_the_warehouse(
    connection: duckdb.DuckDBPyConnection, seed: int
) -> None:
    assert changes(connection, seed) == []


@pytest.mark.parametrize("seed", range(WORLDS))
def test_no_single_fact_from_the_future_changes_a_past_row_in_memory(seed: int) -> None:
    world, pairs, facts = prophecies(seed)
    catalogue = CATALOGUES[world.timezone]
    before = in_memory(world.tables, catalogue, pairs)
    for fact in facts:
        assert difference(in_memory(with_facts(world, [fact]).tables, catalogue, pairs), before) == [], fact


@pytest.mark.parametrize("seed", range(WORLDS))
def test_the_persons_primary_lead_of_a_past_moment_stays_the_primary(seed: int) -> None:
    world, pairs, facts = prophecies(seed)
    later = with_facts(world, facts)
    for lead_id, as_of_us in pairs:
        assert reference.primary(later.tables, lead_id, from_us(as_of_us)) == lead_id


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("_LEAD_EVENTS", "AND EPOCH_US(e.known_at) <= s.as_of_us"),
        ("_LEAD_EVENTS", "AND EPOCH_US(e.occurred_at) < s.as_of_us"),
        ("_ACCOUNT_EVENTS", "AND EPOCH_US(e.known_at) <= m.as_of_us"),
        ("_ACCOUNT_EVENTS", "AND EPOCH_US(e.occurred_at) < m.as_of_us"),
        ("_LEAD_NOW", "AND v.usable_us <= s.as_of_us"),
        ("_ACCOUNT_NOW", "AND a.known_us <= l.as_of_us"),
        ("_MEMBERS", "AND v.usable_us <= l.as_of_us"),
        ("_LEAD_EVENTS", "AND p.t0_us <= s.as_of_us"),
    ],
)
def test_without_its_condition_the_future_would_be_seen(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, query: str, condition: str
) -> None:
    sound: str = getattr(sql, query)
    assert condition in sound
    monkeypatch.setattr(sql, query, sound.replace(condition, ""))
    assert any(changes(connection, seed) for seed in range(8))


def test_at_least_two_hundred_facts_are_told_of_every_kind_about_leads_with_a_past() -> None:
    told = [facts for _, pairs, facts in map(prophecies, range(WORLDS)) if pairs]
    kinds = [table for facts in told for table, _ in facts]
    assert len(kinds) >= 200
    assert set(kinds) == {"events", "leads", "accounts", "outcomes", "stages"}
