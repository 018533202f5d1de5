"""A fact from the future, or one that becomes known only in the future, changes no row of features of the past."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from data.clock import from_us, to_us
from data.tables import TABLES
from features import people, sql
from features.sql import prepare_people
from tests.data.test_features_equal import Pairs, by_sql, difference, in_memory, primary_pairs
from tests.reference import features as reference
from tests.reference.worlds import CATALOGUES, EVIDENCE, LEADS, World, connect, load, random_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import duckdb

    from tests.reference.features import Row

WORLDS = 100 if EVIDENCE else 6
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
        """A win, a cancelled one, or a deal opened again; told later, or dated ahead."""
        kind = str(self.rng.choice(["won", "lost", "open"]))
        closed_at = self._past() if self.rng.random() < 0.7 else self._future()
        row = {"lead_id": self.lead_id(), "outcome": kind, "closed_at": closed_at, "reason": None}
        return "outcomes", {**row, "known_at": self._future()}

    def merge(self) -> tuple[str, Row]:
        """A merge that becomes known later, or is announced for later."""
        late = bool(self.rng.random() < 0.7)
        row = {"lead_id": self.lead_id(), "into_lead_id": self.lead_id()}
        if late:
            return "merges", {**row, "occurred_at": self._past(), "known_at": self._future()}
        return "merges", {**row, "occurred_at": self._future(), "known_at": self._past()}

    def stage(self) -> tuple[str, Row]:
        row = {"lead_id": self.lead_id(), "stage": "opportunity", "occurred_at": self._past()}
        return "stages", {**row, "known_at": self._future()}

    def tell(self) -> tuple[str, Row]:
        self.told += 1
        kinds = [
            *(self.event, self.event, self.lead, self.lead, self.account),
            *(self.outcome, self.outcome, self.stage, self.merge, self.merge),
        ]
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
        key = TABLES[table].key
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


@pytest.mark.parametrize("seed", range(WORLDS))
def test_facts_from_the_future_leave_every_lead_its_person_of_the_past(
    connection: duckdb.DuckDBPyConnection, seed: int
) -> None:
    world, _, facts = prophecies(seed)
    today_us = to_us(world.as_ofs[len(world.as_ofs) // 2])
    before = people_until(connection, world, today_us)
    assert before
    assert people_until(connection, with_facts(world, facts), today_us) == before


def people_until(connection: duckdb.DuckDBPyConnection, world: World, until_us: int) -> list[tuple[object, ...]]:
    """Return who spoke for whom, as far as it had come by a moment."""
    load(connection, world.tables)
    prepare_people(connection)
    return connection.execute(
        """
        SELECT lead_id, primary_id, from_us, CASE WHEN until_us <= $until THEN until_us END,
               CASE WHEN away_us <= $until THEN away_us END
        FROM people WHERE from_us <= $until ORDER BY ALL
        """,
        {"until": until_us},
    ).fetchall()


# The condition, and the fixed bound beside it that only helps the reader.
_BOUNDS_OF_OCCURRENCE = r"EPOCH_US\(e.occurred_at\) < m.as_of_us AND|e.occurred_at < CAST\('[^']*' AS TIMESTAMPTZ\) AND"


@pytest.mark.parametrize(
    ("step", "condition"),
    [
        ("lead_recent", r"AND EPOCH_US\(e.known_at\) <= m.as_of_us"),
        ("lead_recent", _BOUNDS_OF_OCCURRENCE),
        ("account_recent", r"AND EPOCH_US\(e.known_at\) <= m.as_of_us"),
        ("account_recent", _BOUNDS_OF_OCCURRENCE),
        ("lead_now", "AND v.usable_us <= s.as_of_us"),
        ("account_now", "AND a.known_us <= l.as_of_us"),
        ("account_leads", "AND v.usable_us <= l.as_of_us"),
        ("lead_members", "AND p.from_us <= s.as_of_us"),
        ("account_members", "AND p.from_us <= v.as_of_us"),
    ],
)
def test_without_its_condition_the_future_would_be_seen(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, step: str, condition: str
) -> None:
    sound = sql.compile_features

    def unsound(*arguments: Any) -> tuple[sql.Step, ...]:
        steps = sound(*arguments)
        (told,) = (one for one in steps if one.name == step)
        assert re.search(condition, told.query)
        wrong = replace(told, query=re.sub(condition, "", told.query))
        return tuple(wrong if one is told else one for one in steps)

    monkeypatch.setattr(sql, "compile_features", unsound)
    assert any(changes(connection, seed) for seed in range(20))


@pytest.mark.parametrize("clock", ["known_us", "occurred_us"])
def test_a_merge_used_before_its_time_would_be_seen(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    sound = people.merges_in_effect

    def unsound(known: Any, merges: Any) -> Any:
        return sound(known, [merge._replace(**{clock: 0}) for merge in merges])

    monkeypatch.setattr(people, "merges_in_effect", unsound)
    assert any(changes(connection, seed) for seed in range(20))


def test_an_outcome_used_before_it_is_known_would_be_seen(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = people._endings

    def unsound(outcomes: Any, known: Any) -> Any:
        return sound([one._replace(known_us=one.closed_us) for one in outcomes], known)

    monkeypatch.setattr(people, "_endings", unsound)
    monkeypatch.setattr(people, "TOUCHED_LEADS", "SELECT lead_id, person_id, created_us, t0_us FROM lead_starts")
    assert any(changes(connection, seed) for seed in range(60))


def test_at_least_two_hundred_facts_are_told_of_every_kind_about_leads_with_a_past() -> None:
    told = [facts for _, pairs, facts in map(prophecies, range(WORLDS)) if pairs]
    kinds = [table for facts in told for table, _ in facts]
    assert len(kinds) >= 200
    assert set(kinds) == {"events", "leads", "accounts", "outcomes", "stages", "merges"}
