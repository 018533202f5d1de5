"""The store knows the same whatever the order of what it was told, and the same as the warehouse that was told it."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from data.clock import DAY_US, from_us, iso, to_us
from data.store import (
    AccountRecord,
    ActionRecord,
    EventRecord,
    LeadRecord,
    MergeRecord,
    OutcomeRecord,
    Store,
    add_actions,
    add_events,
    add_merges,
    add_outcomes,
    lead_facts,
    open_leads,
    put_account,
    put_lead,
    put_leads,
    take_dirty,
)
from data.store.schema import CUSTOM, FACTS
from data.tables import CUSTOM_PREFIX, TABLES
from data.warehouse import Warehouse
from features.catalogue import build_catalogue
from features.facts import facts_as_of, related_leads
from features.memory import Values, evaluate
from features.snapshots import open_leads as open_leads_of_people
from tests.data.exports import mapping, rows, run
from tests.data.stores import BOTH, NOW_US, emptied, event, lead, made_store, rows_of
from tests.data.test_features_equal import by_sql, difference, primary_pairs
from tests.reference import features as reference
from tests.reference.worlds import CATALOGUES, connect, load, random_world, worlds_profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb

    from data.store.records import Record, Verdict
    from features.definitions import Catalogue

CATALOGUE = build_catalogue(event_types=["page_view"], custom={"erp": "categorical"}, treatments=True)
IDS = ("a", "b", "c")
# Few, so that the same is often said again.
PROFILES = (("p@acme.example", "x", "A"), ("p+1@acme.example", "x", None), ("q@gmail.com", "y", "A"))
LOGS = {ActionRecord: add_actions, EventRecord: add_events, MergeRecord: add_merges, OutcomeRecord: add_outcomes}


@pytest.fixture(scope="module", params=BOTH)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store(request.param, tmp_path_factory.mktemp("store")) as opened:
        yield opened


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as opened:
        yield opened


@dataclass(frozen=True)
class Change:
    """Something the store is told, and when it was so. What has the same `key` would contradict each other."""

    key: tuple[object, ...]
    record: Record
    known_us: int

    def tell(self, store: Store) -> Verdict:
        if isinstance(self.record, LeadRecord):
            return put_lead(store, self.record, modified_us=self.known_us, now_us=NOW_US)
        if isinstance(self.record, AccountRecord):
            return put_account(store, self.record, modified_us=self.known_us, now_us=NOW_US)
        told: Verdict = LOGS[type(self.record)](store, [self.record], now_us=NOW_US)[0]  # type: ignore[operator]
        return told


def drawn(dice: random.Random, number: int) -> Change:
    """Draw a change of one of a few leads of one account and, now and then, of one person."""
    each, day = dice.choice(IDS), dice.randrange(20, 32)
    us = day * DAY_US
    clock: dict[str, Any] = {"occurred_at": us, "known_at": us}
    kind = dice.choices(("lead", "event", "outcome", "account", "action", "merge"), weights=(12, 4, 3, 2, 1, 1))[0]
    if kind == "lead":
        email, source, account_id = dice.choice(PROFILES)
        record = lead(each, source=source, account_id=account_id, contact={"email": email}, custom={"erp": "s"})
        return Change((kind, each, day), record, us)
    if kind == "event":
        return Change((kind, number), event(f"e{number}", each, day=day, duration_s=dice.choice((None, 0.1))), us)
    if kind == "outcome":
        told = {"outcome": dice.choice(("won", "lost", "open")), "closed_at": 20 * DAY_US, "known_at": us}
        return Change((kind, each, day), OutcomeRecord.model_validate({"lead_id": each, **told}), us)
    if kind == "account":
        return Change((kind, day), AccountRecord(account_id="A", industry=dice.choice("uv")), us)
    if kind == "action":
        return Change((kind, number), ActionRecord(action_id=f"{number}", lead_id=each, type="called", **clock), us)
    return Change((kind, each, day), MergeRecord(lead_id=each, into_lead_id=dice.choice(IDS), **clock), us)


def known(store: Store) -> list[tuple[str, int, Values | None]]:
    """Return the features of every lead at moments between the changes and after them."""
    found = []
    for lead_id in IDS:
        for day in (*range(20, 33, 2), 400):
            as_of_us = day * DAY_US
            told = lead_facts(store, lead_id, as_of_us=as_of_us)
            facts = facts_as_of(lead_id, as_of_us, **told.tables) if told.leads else None
            found.append((lead_id, day, None if facts is None else evaluate(CATALOGUE, facts, as_of_us)))
    return found


def state(store: Store) -> tuple[Any, ...]:
    marks = sorted(each.lead_id for each in take_dirty(store))
    return known(store), rows_of(store, "events", "actions", "merges"), marks


@worlds_profile(few=10, many=300)
@given(seed=st.integers(0, 2**32 - 1), number=st.sampled_from((60, 60, 30, 6)))
def test_any_order_and_repetition_of_the_same_changes_ends_in_the_same_knowledge(
    store: Store, seed: int, number: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - a world for a test
    told = list({change.key: change for change in (drawn(dice, place) for place in range(number))}.values())
    emptied(store)
    for change in sorted(told, key=lambda each: each.known_us):
        assert change.tell(store) in {"new", "unchanged"}
    expected = state(store)
    mixed = told + dice.choices(told, k=len(told) // 2)
    dice.shuffle(mixed)
    emptied(store)
    assert {change.tell(store) for change in mixed} <= {"new", "older", "unchanged", "duplicate"}
    assert state(store) == expected


def fill(store: Store, tables: dict[str, list[dict[str, Any]]]) -> None:
    """Write the rows of a world as they are, times in microseconds."""
    emptied(store)
    with store.engine.begin() as connection:
        for name, table in FACTS.items():
            if told := [_stored(name, row) for row in tables[name]]:
                connection.execute(sa.insert(table), told)


def _stored(table: str, row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(FACTS[table].columns.keys()) | {"recorded_at": row["known_at"]} | row
    if table == "leads":
        custom = {name: value for name, value in found.items() if name.startswith(CUSTOM_PREFIX)}
        found = {name: value for name, value in found.items() if name not in custom}
        text = ", ".join(f'"{name.removeprefix(CUSTOM_PREFIX)}": {_json(value)}' for name, value in custom.items())
        found[CUSTOM] = f"{{{text}}}"
    return {name: to_us(value) if hasattr(value, "tzinfo") else value for name, value in found.items()}


def _json(value: object) -> str:
    return "null" if value is None else repr(value) if isinstance(value, float) else '"' + str(value) + '"'


def from_store(store: Store, catalogue: Catalogue, pairs: list[tuple[str, int]]) -> list[Values]:
    found = []
    for lead_id, as_of_us in pairs:
        told = lead_facts(store, lead_id, as_of_us=as_of_us)
        found.append(evaluate(catalogue, facts_as_of(lead_id, as_of_us, **told.tables), as_of_us))
    return found


@worlds_profile(few=6, many=300)
@given(seed=st.integers(0, 2**32 - 1), events=st.sampled_from((60, 10)), outcomes=st.integers(0, 12))
def test_features_from_the_store_are_those_of_the_warehouse_with_the_same_facts(
    store: Store, duck: duckdb.DuckDBPyConnection, seed: int, events: int, outcomes: int
) -> None:
    world = random_world(seed, leads=8, events=events, outcomes=outcomes, merges=4)
    for row in world.tables["events"]:
        if row["duration_s"] != row["duration_s"]:
            row["duration_s"] = None  # the store refuses NaN
        if row["value"] != row["value"]:
            row["value"] = None
    fill(store, world.tables)
    catalogue, pairs = CATALOGUES[world.timezone], primary_pairs(world)
    expected = by_sql(duck, world.tables, catalogue, pairs)
    assert difference(from_store(store, catalogue, pairs), expected) == []


@worlds_profile(few=6, many=300)
@given(seed=st.integers(0, 2**32 - 1), limit=st.sampled_from((1, 2, 100)))
def test_every_person_who_is_open_in_the_warehouse_has_an_open_lead_in_the_store(
    store: Store, duck: duckdb.DuckDBPyConnection, seed: int, limit: int
) -> None:
    world = random_world(seed, leads=8, events=20, outcomes=8, merges=3)
    fill(store, {**world.tables, "events": []})
    load(duck, world.tables)
    told = {name: world.tables[name] for name in ("leads", "outcomes", "merges")}
    for as_of in world.as_ofs[::3]:
        as_of_us = to_us(as_of)
        found = pages(store, as_of_us=as_of_us, limit=limit)
        assert found == sorted(set(found))
        people = {one: related_leads(one, as_of_us, **told).own for one in reference.known_leads(world.tables, as_of)}
        open_leads_of_people(duck, as_of_us=as_of_us)
        people_open = {row[0] for row in duck.sql("SELECT lead_id FROM spine").fetchall()}
        assert set(found) <= people.keys()
        assert [one for one in people_open if not people[one] & set(found)] == []
        alone = {one for one, own in people.items() if len(own) == 1}
        assert alone & set(found) == alone & people_open


def pages(store: Store, *, as_of_us: int, limit: int) -> list[str]:
    found: list[str] = []
    while page := open_leads(store, as_of_us=as_of_us, after=found[-1] if found else "", limit=limit):
        found += page
    return found


NAMES = (" Ada ", "n/a", "李伟", "", "\u3000")
EMAILS = ("Ada+fair@Acme.example", "ada@acme.example", "x@gmail.com", "no address", "x@tsinghua.edu.cn", " ")
PHONES = ("+86 138 0013 8000", "13800138000", "12", "")
TITLES = ("VP Ops", " 副总经理 ", "Assistant to the CEO", "实习生", "", "N/A", "Инженер")


def test_what_is_derived_and_kept_of_a_lead_is_what_the_import_derives_and_keeps(store: Store, tmp_path: Path) -> None:
    dice = random.Random(7)  # noqa: S311 - a world for a test
    exported, records, header = (
        [],
        [],
        ["Id", "Created", "Source", "Title", "Status", "Employees", "Outcome", "Closed", "Name", "Email", "Phone"],
    )
    for number in range(60):
        created_us = (19_000 + number) * DAY_US
        name, email, phone = dice.choice(NAMES), dice.choice(EMAILS), dice.choice(PHONES)
        source, title, size = dice.choice((" web ", "fair", "")), dice.choice(TITLES), dice.choice(("1200", "0.1", ""))
        exported.append([f" L{number} ", iso(from_us(created_us)), source, title, "", size, "", "", name, email, phone])
        contact = {"name": name, "email": email, "phone": phone}
        custom = {"staff": float(size) if size else None}
        record = lead(
            f" L{number} ", created_at=created_us, source=source, job_title=title, contact=contact, custom=custom
        )
        records.append((record, created_us))
    assert set(put_leads(emptied(store), records, now_us=NOW_US)) == {"new"}
    with (tmp_path / "leads.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *exported])
    used = mapping()
    used = used.model_copy(update={"tables": {name: used.tables[name] for name in ("leads", "contacts")}})
    warehouse = Warehouse(tmp_path / "warehouse")
    run(tmp_path, warehouse, used)
    for table in ("leads", "contacts"):
        columns = [column.name for column in TABLES[table].columns if column.name not in {"recorded_at", "lead_id"}]
        listed = ", ".join(f"epoch_us({name})" if name.endswith("_at") else name for name in columns)
        imported = rows(warehouse, f"SELECT lead_id, {listed} FROM {table} ORDER BY lead_id")  # noqa: S608 - the contract's
        with store.reading() as connection:
            chosen = sa.select(*(FACTS[table].c[name] for name in ("lead_id", *columns)))
            assert [tuple(row) for row in connection.execute(chosen.order_by("lead_id"))] == imported
    staff = rows(warehouse, "SELECT lead_id, custom_staff FROM leads ORDER BY lead_id")
    told = [lead_facts(store, lead_id, as_of_us=NOW_US).leads for lead_id, _ in staff]
    assert [
        (row["lead_id"], row["custom_staff"])
        for found, (each, _) in zip(told, staff, strict=True)
        for row in found
        if row["lead_id"] == each
    ] == staff
