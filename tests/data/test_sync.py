"""Store and warehouse are united both ways: each fact once, with its own clock, and both tell the same features."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.clock import DAY_US, HOUR_US, from_us, to_us
from data.errors import InfrastructureError
from data.invariants import check_invariants
from data.store import (
    AccountRecord,
    OutcomeRecord,
    Store,
    add_events,
    add_outcomes,
    count_dirty,
    lead_facts,
    migrate,
    open_leads,
    open_store,
    put_account,
    put_lead,
    put_leads,
)
from data.store.exchange import take_facts
from data.store.schema import FACTS
from data.sync import SyncReport, sync
from data.tables import TABLES
from data.warehouse import Warehouse
from features.facts import facts_as_of
from features.memory import evaluate
from features.sql import compute_features, prepare_people
from tests.data.stores import BOTH, NOW_US, ROOT, emptied, event, lead, made_store, rows_of
from tests.data.test_features_equal import by_the_book, difference, primary_pairs
from tests.data.test_known_by import record
from tests.postgres import fresh_url
from tests.reference.worlds import CATALOGUES, CUSTOM, EVIDENCE, World, photograph, random_world, utc, worlds_profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from features.definitions import Catalogue
    from tests.reference.features import Row, Tables

LATER = utc(2027, 6, 1)
NOW = from_us(NOW_US)


@pytest.fixture(scope="module", params=BOTH)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store(request.param, tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def store(shared: Store) -> Store:
    return emptied(shared)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


def counts(report: SyncReport) -> dict[str, tuple[int, int]]:
    return {name: (t.to_store, t.to_warehouse) for name, t in report.tables.items() if t.to_store or t.to_warehouse}


def refused(report: SyncReport) -> dict[str, dict[str, int]]:
    return {name: dict(table.refused) for name, table in report.tables.items() if table.refused}


# --- both tell the same -------------------------------------------------------------------------------------------


def sound(world: World) -> World:
    """The world as the contract lets it into a warehouse: known no earlier than it happened, numbers finite."""
    tables: Tables = {}
    for name, rows in world.tables.items():
        table = TABLES[name]
        clean = [{c: None if isinstance(v, float) and not _kept(c, v) else v for c, v in r.items()} for r in rows]
        for row in clean:
            happened: Any = row[table.happened] if table.happened else row["known_at"]
            row["known_at"] = max(happened, row["known_at"])
        tables[name] = list({tuple(row[column] for column in table.key): row for row in clean}.values())
    return World(tables, world.as_ofs, world.timezone, world.drawn)


def _kept(column: str, value: float) -> bool:
    return math.isfinite(value) and (value >= 0 or column in {"value", "custom_size"})


def stored(name: str, row: Row) -> dict[str, Any]:
    """A row of a world as the store holds it."""
    plain = {c.name: row.get(c.name) for c in TABLES[name].columns if c.name != "recorded_at"}
    found: dict[str, Any] = {c: to_us(v) if isinstance(v, datetime) else v for c, v in plain.items()}
    if name == "leads":
        own = {c: row[f"custom_{c}"] for c in CUSTOM if row.get(f"custom_{c}") is not None}
        found["custom"] = json.dumps(own, sort_keys=True, ensure_ascii=False)
    return found


def fill(store: Store, tables: Tables) -> None:
    for name, rows in tables.items():
        if rows and name != "contacts":
            given = sorted((stored(name, row) for row in rows), key=lambda row: row["known_at"])
            take_facts(store, name, given, now_us=to_us(LATER))


def dealt(world: World, rng: np.random.Generator) -> tuple[Tables, Tables]:
    """Give each row to the store, to the warehouse or to both."""
    one: Tables = {name: [] for name in TABLES}
    other: Tables = {name: [] for name in TABLES}
    for name, rows in world.tables.items():
        for row in rows:
            way = int(rng.integers(3))
            one[name] += [row] if way != 0 else []
            other[name] += [row] if way != 1 else []
    return one, other


def of_store(store: Store, catalogue: Catalogue, pairs: list[tuple[str, int]]) -> list[Any]:
    custom: dict[str, Any] = dict(CUSTOM)
    return [
        evaluate(
            catalogue,
            facts_as_of(one, us, **lead_facts(store, one, as_of_us=us, custom=custom).tables),
            us,
        )
        for one, us in pairs
    ]


def of_warehouse(warehouse: Warehouse, catalogue: Catalogue, pairs: list[tuple[str, int]]) -> list[Any]:
    with warehouse.connect() as connection:
        prepare_people(connection)
        photograph(connection, pairs)
        return list(compute_features(connection, catalogue).select(catalogue.names).to_pylist())


@worlds_profile(few=2, many=200)
@given(seed=st.integers(0, 2**32 - 1), outcomes=st.sampled_from((0, 6)), merges=st.sampled_from((0, 2, 5)))
def test_after_a_sync_store_and_warehouse_tell_the_same_features(
    tmp_path_factory: pytest.TempPathFactory, shared: Store, seed: int, outcomes: int, merges: int
) -> None:
    world = sound(random_world(seed, leads=8, events=60, outcomes=outcomes, merges=merges))
    store, warehouse = emptied(shared), Warehouse(tmp_path_factory.mktemp("w") / "warehouse")
    to_store, to_warehouse = dealt(world, np.random.default_rng(seed))
    fill(store, to_store)
    record(warehouse, to_warehouse, LATER)
    report = sync(store, warehouse, now=LATER)
    assert refused(report) == {}
    whole, pairs = CATALOGUES[world.timezone], primary_pairs(world)
    catalogue = whole.keep(whole.names[seed % 4 :: 4])  # all of them, in turn: together they take long
    expected = by_the_book(world.tables, catalogue, pairs)
    assert difference(of_warehouse(warehouse, catalogue, pairs), expected) == []
    # What a closed lead does may stay in the warehouse alone: the store has no need of it.
    standing = set(open_leads(store, as_of_us=to_us(LATER)))
    asked = [(pair, row) for pair, row in zip(pairs, expected, strict=True) if pair[0] in standing]
    assert difference(of_store(store, catalogue, [pair for pair, _ in asked]), [row for _, row in asked]) == []
    before = rows_of(store, *FACTS)
    again = sync(store, warehouse, now=LATER + timedelta(hours=1))
    assert (again.changed, counts(again)) == (False, {})
    assert rows_of(store, *FACTS) == before


def test_what_was_served_is_in_the_warehouse_with_its_own_clock(store: Store, warehouse: Warehouse) -> None:
    told = lead(
        source="ad",
        account_id="A",
        job_title="VP Ops",
        contact={"email": "ada@hidden.example", "name": "Ada Secretname"},
        custom={"erp": "sap", "seats": 12, "flag": True, "Odd Name": "x"},
    )
    put_lead(store, told, modified_us=20 * DAY_US, now_us=NOW_US)
    put_account(store, AccountRecord(account_id="A", employees=800), modified_us=12 * DAY_US, now_us=NOW_US)
    add_events(store, [event("e1", known_at=None), event("e2", day=400)], now_us=NOW_US)
    add_outcomes(store, [OutcomeRecord(lead_id="L-1", outcome="won", closed_at=30 * DAY_US)], now_us=NOW_US)
    report = sync(store, warehouse, now=NOW)
    assert counts(report) == {"leads": (0, 1), "accounts": (0, 1), "events": (0, 2), "outcomes": (0, 1)}
    assert report.left_out == ("Odd Name",)
    with warehouse.connect() as connection:
        (row,) = connection.sql(
            "SELECT lead_id, source, seniority, email_domain_kind, custom_erp, custom_seats, custom_flag, "
            "epoch_us(known_at), epoch_us(recorded_at) FROM leads"
        ).fetchall()
        clocks = connection.sql("SELECT event_id, epoch_us(known_at) FROM events ORDER BY 1").fetchall()
    assert row == ("L-1", "ad", "vp", "corporate", "sap", 12.0, "true", 20 * DAY_US, NOW_US)
    assert clocks == [("e1", NOW_US), ("e2", 400 * DAY_US)]
    assert check_invariants(warehouse, now=NOW).checked
    everything = b"".join(path.read_bytes() for path in warehouse.path.rglob("*") if path.is_file())
    assert b"Secretname" not in everything
    with warehouse.connect() as connection:
        assert connection.sql("SELECT count(*) FROM contacts").fetchall() == [(0,)]
    assert not sync(store, warehouse, now=NOW).changed


def test_a_service_that_starts_after_an_import_finds_the_open_leads_and_what_speaks_for_them(
    store: Store, warehouse: Warehouse
) -> None:
    at = utc(2024, 1, 1)
    leads = [
        {"lead_id": one, "created_at": at, "known_at": at, "account_id": account, "person_id": person}
        for one, account, person in (
            ("open", "A", "p"),
            ("colleague", "A", "q"),
            ("twin", "B", "q"),
            ("gone", "C", None),
        )
    ]
    ended = [
        {"lead_id": one, "outcome": "lost", "closed_at": at, "known_at": at} for one in ("colleague", "twin", "gone")
    ]
    events = [
        {"source": "s", "event_id": one["lead_id"], "lead_id": one["lead_id"], "type": "page_view"}
        | {"occurred_at": at, "known_at": at}
        for one in leads
    ]
    accounts = [{"account_id": one, "known_at": at, "industry": "software"} for one in "ABC"]
    tables: Tables = {name: [] for name in TABLES} | {
        "leads": leads, "outcomes": ended, "events": events, "accounts": accounts
    }  # fmt: skip
    record(warehouse, tables, at)
    report = sync(store, warehouse, now=NOW)
    assert counts(report) == {"leads": (3, 0), "events": (3, 0), "outcomes": (2, 0), "accounts": (2, 0)}
    assert {row[0] for row in rows_of(store, "leads")["leads"]} == {"open", "colleague", "twin"}
    assert count_dirty(store)[0] == 3
    assert {row["event_id"] for row in lead_facts(store, "open", as_of_us=NOW_US).events} >= {"open", "colleague"}
    assert not sync(store, warehouse, now=NOW).changed


# --- contradictions -----------------------------------------------------------------------------------------------


def test_equal_keys_with_other_content_stay_and_are_told_with_their_reason(store: Store, warehouse: Warehouse) -> None:
    add_events(store, [event("e1"), event("e2"), event("e3")], now_us=NOW_US)
    sync(store, warehouse, now=NOW)
    before = warehouse.digest()

    other = emptied(store)
    add_events(other, [event("e1", type="form"), event("e2", known_at=12 * DAY_US), event("e3")], now_us=NOW_US)
    for _ in range(2):
        report = sync(other, warehouse, now=NOW)
        assert refused(report) == {"events": {"conflict": 1, "other_clock": 1}}
        assert (report.changed, counts(report)) == (False, {})
        assert report.quarantine is not None
        with (report.quarantine / "events.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [(row["reason"], "e1" in row["row"]) for row in rows] == [("conflict", True), ("other_clock", False)]
        assert len(list(report.quarantine.parent.iterdir())) == 1
    assert warehouse.digest() == before
    assert {row[3] for row in rows_of(other, "events")["events"]} == {"page_view", "form"}


def test_a_change_between_two_others_is_placed_and_what_it_brings_to_light_is_told_back(
    store: Store, warehouse: Warehouse
) -> None:
    for day in (20, 40):
        put_lead(store, lead(source="ad"), modified_us=day * DAY_US, now_us=NOW_US)
    at = from_us(30 * DAY_US)
    row = {"lead_id": "L-1", "created_at": from_us(10 * DAY_US), "known_at": at, "source": "fair"}
    record(warehouse, {name: [] for name in TABLES} | {"leads": [row]}, at)
    sync(store, warehouse, now=NOW)
    with warehouse.connect() as connection:
        found = connection.sql("SELECT epoch_us(known_at), source FROM leads ORDER BY 1").fetchall()
    assert found == [(20 * DAY_US, "ad"), (30 * DAY_US, "fair"), (40 * DAY_US, "ad")]
    assert sorted(r["source"] for r in lead_facts(store, "L-1", as_of_us=NOW_US).leads) == ["ad", "ad", "fair"]
    assert not sync(store, warehouse, now=NOW).changed


def test_of_several_changes_that_come_at_once_each_is_held_against_the_one_before(
    store: Store, warehouse: Warehouse
) -> None:
    put_lead(store, lead(source="ad"), modified_us=20 * DAY_US, now_us=NOW_US)
    rows = [
        {"lead_id": "L-1", "created_at": from_us(10 * DAY_US), "known_at": from_us(day * DAY_US), "source": source}
        for day, source in ((30, "fair"), (40, "ad"), (50, "ad"))
    ]
    record(warehouse, {name: [] for name in TABLES} | {"leads": rows}, from_us(50 * DAY_US))
    sync(store, warehouse, now=NOW)
    told = sorted((row["known_at"] // DAY_US, row["source"]) for row in lead_facts(store, "L-1", as_of_us=NOW_US).leads)
    assert told == [(20, "ad"), (30, "fair"), (40, "ad")]
    assert not sync(store, warehouse, now=NOW).changed


def test_a_row_that_breaks_the_contract_is_told_and_not_written(store: Store, warehouse: Warehouse) -> None:
    add_events(store, [event("e1", duration_s=-1.0), event("e2", day=11, known_at=2 * DAY_US)], now_us=NOW_US)
    report = sync(store, warehouse, now=NOW)
    assert refused(report) == {"events": {"negative:duration_s": 1}}
    with warehouse.connect() as connection:
        assert connection.sql("SELECT event_id, known_at = occurred_at FROM events").fetchall() == [("e2", True)]
    assert not sync(store, warehouse, now=NOW).changed


def test_a_training_set_of_before_is_the_same_after_a_sync(store: Store, warehouse: Warehouse) -> None:
    put_lead(store, lead(), modified_us=20 * DAY_US, now_us=NOW_US)
    sync(store, warehouse, now=NOW)
    before = warehouse.digest(until=NOW)
    add_events(store, [event("e1")], now_us=NOW_US + HOUR_US)
    later = from_us(NOW_US + HOUR_US)
    assert sync(store, warehouse, now=later).changed
    assert warehouse.digest(until=NOW) == before
    with warehouse.connect(known_by=NOW) as connection:
        assert connection.sql("SELECT count(*) FROM events").fetchall() == [(0,)]


def test_a_sync_that_cannot_write_leaves_the_warehouse_as_it_was(
    store: Store, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_lead(store, lead(), modified_us=20 * DAY_US, now_us=NOW_US)
    sync(store, warehouse, now=NOW)
    add_events(store, [event("e1")], now_us=NOW_US)
    before = {path: path.read_bytes() for path in warehouse.path.rglob("*") if path.is_file()}

    def full(*_: object, **__: object) -> None:
        raise InfrastructureError("the disk is full")

    monkeypatch.setattr(Warehouse, "commit", full)
    with pytest.raises(InfrastructureError):
        sync(store, warehouse, now=NOW)
    assert {path: path.read_bytes() for path in warehouse.path.rglob("*") if path.is_file()} == before
    monkeypatch.undo()
    assert counts(sync(store, warehouse, now=NOW)) == {"events": (0, 1)}


# --- beside a service, and killed ---------------------------------------------------------------------------------


def keys_in(warehouse: Warehouse) -> list[str]:
    with warehouse.connect() as connection:
        return [row[0] for row in connection.sql("SELECT event_id FROM events ORDER BY 1").fetchall()]


def test_what_a_service_writes_during_a_sync_is_taken_by_it_or_by_the_next(store: Store, warehouse: Warehouse) -> None:
    ended, sent = threading.Event(), list[str]()

    def write() -> None:
        while not ended.is_set():
            one = f"e{len(sent):05}"
            assert add_events(store, [event(one)], now_us=NOW_US) == ("new",)
            sent.append(one)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2):
            known = len(sent)
            sync(store, warehouse, now=NOW)
            assert keys_in(warehouse)[:known] == sent[:known]
    finally:
        ended.set()
        writer.join()
    sync(store, warehouse, now=NOW)
    assert keys_in(warehouse) == sent
    assert len(sent) > 4
    assert not sync(store, warehouse, now=NOW).changed


_KILLED = """
import sys
from pathlib import Path
from data.store import open_store
from data.sync import sync
from data.warehouse import Warehouse
store = open_store(sys.argv[1])
print("ready", flush=True)
while True:
    sync(store, Warehouse(Path(sys.argv[2])))
"""


@pytest.mark.parametrize("kind", BOTH if EVIDENCE else BOTH[:1])
def test_a_sync_that_is_killed_leaves_nothing_half_and_the_next_one_finishes(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(5)
    with fresh_url(kind, tmp_path) as url:
        migrate(url)
        store, warehouse = open_store(url), Warehouse(tmp_path / "warehouse")
        at = utc(2024, 1, 1)
        leads = [{"lead_id": f"W-{n:04}", "created_at": at, "known_at": at} for n in range(800)]
        record(warehouse, {name: [] for name in TABLES} | {"leads": leads}, at)
        put_leads(store, [(lead(f"S-{n:04}"), 20 * DAY_US) for n in range(200)])
        for _ in range(2):
            child = subprocess.Popen(
                [sys.executable, "-c", _KILLED, url, str(warehouse.path)], cwd=ROOT, stdout=subprocess.PIPE
            )
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(float(rng.uniform(0.02, 0.5)))
            child.kill()
            child.wait()
            child.stdout.close()
            with warehouse.connect() as connection:
                ((rows, ids),) = connection.sql("SELECT count(*), count(DISTINCT lead_id) FROM leads").fetchall()
            assert rows == ids
            assert rows in {800, 1000}
        sync(store, warehouse)
        assert {row[0] for row in rows_of(store, "leads")["leads"]} == {row["lead_id"] for row in leads} | {
            f"S-{n:04}" for n in range(200)
        }
        assert warehouse.counts()["leads"] == 1000
        assert not sync(store, warehouse).changed
        store.close()
