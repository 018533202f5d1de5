"""The three evaluators agree to the last bit: SQL over the warehouse, one lead in memory, and the slow reference."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.clock import DAY_US, from_us, to_us
from data.errors import DataError
from data.tables import TABLES
from features import sql
from features.catalogue import build_catalogue
from features.definitions import VISIT_GAP_US
from features.facts import facts_as_of, related_leads
from features.memory import EventFact, LeadFacts, Values, evaluate
from features.sql import compute_features, prepare_people
from tests.reference import features as reference
from tests.reference.worlds import (
    CATALOGUES,
    World,
    connect,
    load,
    photograph,
    random_world,
    shuffled,
    utc,
    worlds,
    worlds_profile,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from features.definitions import Catalogue
    from tests.reference.features import Tables

Pairs = list[tuple[str, int]]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as opened:
        yield opened


def primary_pairs(world: World) -> Pairs:
    """Every person's primary lead at every moment of the world, by the reference."""
    return [
        (lead_id, to_us(as_of))
        for as_of in world.as_ofs
        for lead_id in reference.known_leads(world.tables, as_of)
        if reference.primary(world.tables, lead_id, as_of) == lead_id
    ]


def by_sql(connection: duckdb.DuckDBPyConnection, tables: Tables, catalogue: Catalogue, pairs: Pairs) -> list[Values]:
    load(connection, tables)
    prepare_people(connection)
    photograph(connection, pairs)
    rows: list[Values] = compute_features(connection, catalogue).select(catalogue.names).to_pylist()
    return rows


def in_memory(tables: Tables, catalogue: Catalogue, pairs: Pairs) -> list[Values]:
    rows = {name: tables[name] for name in ("leads", "accounts", "events", "actions", "outcomes", "merges")}
    return [evaluate(catalogue, facts_as_of(lead_id, as_of_us, **rows), as_of_us) for lead_id, as_of_us in pairs]


def by_the_book(tables: Tables, catalogue: Catalogue, pairs: Pairs) -> list[Values]:
    return [reference.features(catalogue, tables, lead_id, from_us(as_of_us)) for lead_id, as_of_us in pairs]


def difference(left: list[Values], right: list[Values]) -> list[str]:
    """Name what differs, missing values and types included."""
    if len(left) != len(right):
        return [f"{len(left)} rows against {len(right)}"]
    return [
        f"row {row}: {name} is {a[name]!r} against {b[name]!r}"
        for row, (a, b) in enumerate(zip(left, right, strict=True))
        for name in a
        if a[name] != b[name] or type(a[name]) is not type(b[name])
    ]


@worlds_profile(few=40)
@given(world=worlds())
def test_sql_memory_and_reference_agree_to_the_last_bit(connection: duckdb.DuckDBPyConnection, world: World) -> None:
    catalogue, pairs = CATALOGUES[world.timezone], primary_pairs(world)
    expected = by_the_book(world.tables, catalogue, pairs)
    assert difference(by_sql(connection, world.tables, catalogue, pairs), expected) == []
    assert difference(in_memory(world.tables, catalogue, pairs), expected) == []


@pytest.mark.parametrize(
    ("step", "right", "wrong"),
    [
        ("lead_recent", "EPOCH_US(e.occurred_at) < m.as_of_us", "EPOCH_US(e.occurred_at) <= m.as_of_us"),
        ("lead_recent", "EPOCH_US(e.known_at) <= m.as_of_us", "EPOCH_US(e.known_at) < m.as_of_us"),
        ("lead_recent", f">= m.as_of_us - {200 * DAY_US + VISIT_GAP_US}", f">= m.as_of_us - {90 * DAY_US}"),
        ("lead_ever_values", "EPOCH_US(e.known_at) <= m.as_of_us", "TRUE"),
        ("lead_ever_values", "8191 - channel", "channel"),
        ("lead_channels", "ORDER BY channel", "ORDER BY channel DESC"),
        ("lead_visit_values", f"silence_us > {VISIT_GAP_US}", f"silence_us >= {VISIT_GAP_US}"),
        ("lead_members", "p.from_us <= s.as_of_us", "TRUE"),
        ("lead_now", "v.usable_us <= s.as_of_us", "v.usable_us < s.as_of_us"),
        ("account_now", "a.known_us <= l.as_of_us", "a.known_us < l.as_of_us"),
        ("account_leads", "v.usable_us <= l.as_of_us", "v.usable_us < l.as_of_us"),
        ("account_members", "p.primary_id <> v.own_id", "p.lead_id <> v.own_id"),
        ("account_recent", "EPOCH_US(e.known_at) <= m.as_of_us", "TRUE"),
        ("sales_values", "EPOCH_US(c.known_at) <= m.as_of_us", "TRUE"),
    ],
)
def test_the_worlds_tell_a_wrong_condition_from_the_right_one(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, step: str, right: str, wrong: str
) -> None:
    sound = sql.compile_features

    def spoiled(catalogue: Catalogue, as_of_range_us: tuple[int, int]) -> tuple[sql.Step, ...]:
        steps = sound(catalogue, as_of_range_us)
        assert any(each.name == step and right in each.query for each in steps)
        return tuple(
            replace(each, query=each.query.replace(right, wrong)) if each.name == step else each for each in steps
        )

    monkeypatch.setattr(sql, "compile_features", spoiled)
    for seed in range(60):
        world = random_world(seed, leads=8, events=120, outcomes=0)
        catalogue, pairs = CATALOGUES[world.timezone], primary_pairs(world)
        wrongly = by_sql(connection, world.tables, catalogue, pairs)
        if difference(wrongly, in_memory(world.tables, catalogue, pairs)):
            return
    pytest.fail("no world noticed")


@worlds_profile(few=30)
@given(world=worlds(), seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter_in_memory(world: World, seed: int) -> None:
    catalogue, pairs = CATALOGUES[world.timezone], primary_pairs(world)
    other = shuffled(world.tables, np.random.default_rng(seed).shuffle)
    assert difference(in_memory(other, catalogue, pairs), in_memory(world.tables, catalogue, pairs)) == []


@worlds_profile(few=6, many=100)
@given(world=worlds(), seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter_in_sql(
    connection: duckdb.DuckDBPyConnection, world: World, seed: int
) -> None:
    catalogue, pairs = CATALOGUES[world.timezone], primary_pairs(world)
    other = shuffled(world.tables, np.random.default_rng(seed).shuffle)
    before = by_sql(connection, world.tables, catalogue, pairs)
    assert difference(by_sql(connection, other, catalogue, pairs), before) == []


@worlds_profile(few=30)
@given(world=worlds())
def test_an_event_delivered_twice_counts_once_in_memory(world: World) -> None:
    catalogue, pairs = CATALOGUES[world.timezone], primary_pairs(world)
    twice = world.with_rows(events=world.tables["events"]).tables
    assert difference(in_memory(twice, catalogue, pairs), in_memory(world.tables, catalogue, pairs)) == []


AS_OF = utc(2026, 3, 20)
MICROSECOND = timedelta(microseconds=1)


def counted(connection: duckdb.DuckDBPyConnection, occurred_at: datetime, known_at: datetime) -> float:
    """The one event of a lead, as all three count it in the last seven days."""
    tables: Tables = {name: [] for name in TABLES}
    tables["leads"] = [{"lead_id": "a", "created_at": utc(2026, 1, 1), "known_at": utc(2026, 1, 1)}]
    event = {"source": "s", "event_id": "1", "lead_id": "a", "type": "page_view", "content_id": None}
    measures = {"duration_s": None, "value": None}
    tables["events"] = [{**event, **measures, "occurred_at": occurred_at, "known_at": known_at}]
    for row in tables["leads"]:
        row.update(account_id=None, person_id=None)
    catalogue = build_catalogue(event_types=["page_view"]).keep(["page_views_7d"])
    pairs = [("a", to_us(AS_OF))]
    (found,) = {
        rows[0]["page_views_7d"]
        for rows in (
            by_sql(connection, tables, catalogue, pairs),
            in_memory(tables, catalogue, pairs),
            by_the_book(tables, catalogue, pairs),
        )
    }
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize(
    ("occurred_at", "expected"),
    [
        (AS_OF - timedelta(days=7) - MICROSECOND, 0.0),
        (AS_OF - timedelta(days=7), 1.0),
        (AS_OF - timedelta(days=7) + MICROSECOND, 1.0),
        (AS_OF - MICROSECOND, 1.0),
        (AS_OF, 0.0),
        (AS_OF + MICROSECOND, 0.0),
    ],
)
def test_a_window_holds_its_first_moment_and_not_as_of(
    connection: duckdb.DuckDBPyConnection, occurred_at: datetime, expected: float
) -> None:
    assert counted(connection, occurred_at, utc(2026, 1, 1)) == expected


@pytest.mark.parametrize(("known_at", "expected"), [(AS_OF, 1.0), (AS_OF + MICROSECOND, 0.0)])
def test_an_event_counts_from_the_moment_it_is_known(
    connection: duckdb.DuckDBPyConnection, known_at: datetime, expected: float
) -> None:
    assert counted(connection, AS_OF - timedelta(days=1), known_at) == expected


def test_a_lead_older_than_doubles_count_microseconds_has_the_same_age_in_all_evaluators(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    catalogue = build_catalogue().keep(["lead_age_days"])
    lead = {"lead_id": "a", "account_id": None, "person_id": None, "known_at": utc(2026, 1, 1)}
    tables: Tables = {name: [] for name in TABLES}
    for shift in range(1, 9):
        tables["leads"] = [{**lead, "created_at": utc(1601, 1, 1) + shift * MICROSECOND}]
        expected = by_the_book(tables, catalogue, [("a", to_us(AS_OF))])
        assert difference(by_sql(connection, tables, catalogue, [("a", to_us(AS_OF))]), expected) == []
        assert difference(in_memory(tables, catalogue, [("a", to_us(AS_OF))]), expected) == []


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_beyond_what_doubles_count_round_alike(connection: duckdb.DuckDBPyConnection, sign: int) -> None:
    event = {"source": "s", "lead_id": "a", "type": "page_view", "content_id": None, "value": None}
    times = {"occurred_at": AS_OF - timedelta(days=1), "known_at": AS_OF}
    tables: Tables = {name: [] for name in TABLES}
    tables["leads"] = [
        {"lead_id": "a", "account_id": None, "person_id": None, "created_at": times["occurred_at"], "known_at": AS_OF}
    ]
    # Together 2**53 + 2 thousandths: a double holds them, and not the number beside them.
    measures = [999_999_999_999.0] * 9 + [7_199_254_749.994]
    tables["events"] = [
        {**event, **times, "event_id": f"{number}", "duration_s": sign * measure}
        for number, measure in enumerate(measures)
    ]
    catalogue, pairs = build_catalogue(event_types=["page_view"]).keep(["engagement_time_30d"]), [("a", to_us(AS_OF))]
    expected = by_the_book(tables, catalogue, pairs)
    assert expected == [{"engagement_time_30d": sign * (2**53 + 2) / 1000}]
    assert difference(by_sql(connection, tables, catalogue, pairs), expected) == []
    assert difference(in_memory(tables, catalogue, pairs), expected) == []


def test_an_event_of_the_first_century_neither_fails_nor_counts(connection: duckdb.DuckDBPyConnection) -> None:
    assert counted(connection, utc(1, 1, 1), utc(2026, 1, 1)) == 0.0


LEADS = [
    {"lead_id": "a", "created_at": 0, "known_at": 0, "account_id": "A", "person_id": "p"},
    {"lead_id": "b", "created_at": 0, "known_at": 10, "account_id": None, "person_id": "p"},
    {"lead_id": "c", "created_at": 0, "known_at": 0, "account_id": "A", "person_id": None},
    {"lead_id": "c", "created_at": 0, "known_at": 20, "account_id": "B", "person_id": None},
]


def test_a_duplicate_is_the_same_person_from_the_moment_it_is_known() -> None:
    assert related_leads("a", 9, leads=LEADS).own == {"a"}
    assert related_leads("a", 10, leads=LEADS).own == {"a", "b"}
    assert related_leads("b", 10, leads=LEADS).own == {"a", "b"}


def test_of_leads_that_became_known_at_once_the_one_created_first_is_the_primary(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    lead = {"known_at": AS_OF, "person_id": "p", "account_id": None}
    tables: Tables = {name: [] for name in TABLES}
    tables["leads"] = [{**lead, "lead_id": f"{day}", "created_at": utc(2026, 3, 9 - day)} for day in range(1, 5)]
    load(connection, tables)
    prepare_people(connection)
    assert connection.sql("SELECT DISTINCT primary_id FROM people").fetchall() == [("4",)]
    assert reference.primary(tables, "1", AS_OF) == "4"


def test_another_lead_is_the_accounts_as_long_as_it_stands_there() -> None:
    assert related_leads("a", 19, leads=LEADS).others == frozenset({"c"})
    assert related_leads("a", 20, leads=LEADS).others == frozenset()
    assert related_leads("b", 20, leads=LEADS).others is None


def test_related_leads_are_all_the_store_has_to_fetch_events_of() -> None:
    for seed in range(20):
        world = random_world(seed, leads=8, events=60, outcomes=0)
        for lead_id, as_of_us in primary_pairs(world):
            told = {name: world.tables[name] for name in ("leads", "outcomes", "merges")}
            related = related_leads(lead_id, as_of_us, **told)
            wanted = related.own | (related.others or frozenset())
            fewer = {**world.tables, "events": [row for row in world.tables["events"] if row["lead_id"] in wanted]}
            pair, catalogue = [(lead_id, as_of_us)], CATALOGUES[world.timezone]
            assert difference(in_memory(fewer, catalogue, pair), in_memory(world.tables, catalogue, pair)) == []


def test_facts_of_a_lead_that_is_not_known_yet_are_refused() -> None:
    with pytest.raises(DataError, match="not known yet"):
        facts_as_of("b", 9, leads=LEADS, accounts=[], events=[])


@pytest.mark.parametrize("moment", ["2026-01-01", None, datetime(2026, 1, 1)])  # noqa: DTZ001 - what is refused
def test_a_time_that_is_no_moment_is_refused(moment: object) -> None:
    with pytest.raises(DataError, match="time"):
        facts_as_of("a", 9, leads=[{**LEADS[0], "known_at": moment}], accounts=[], events=[])


def test_the_evaluator_of_a_catalogue_is_made_once_and_never_mistaken_for_anothers() -> None:
    facts = LeadFacts(created_us=0, events=[EventFact("s", "1", "page_view", 1, 1)])
    for number in range(40):
        catalogue = build_catalogue(event_types=["page_view", f"type_{number}"])
        assert set(evaluate(catalogue, facts, 2)) == set(catalogue.names)
