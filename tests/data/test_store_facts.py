"""Facts come in late, twice and contradicting each other: nothing is lost, overwritten or counted twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from data.clock import DAY_US, HOUR_US
from data.errors import DataError
from data.store import (
    AccountRecord,
    ActionRecord,
    EventRecord,
    LeadRecord,
    MergeRecord,
    OutcomeRecord,
    StageRecord,
    Store,
    add_actions,
    add_events,
    add_merges,
    add_outcomes,
    add_stages,
    count_dirty,
    lead_facts,
    put_account,
    put_lead,
    put_leads,
    record_of,
    take_dirty,
)
from data.store.engine import Store as OpenStore
from data.store.schema import DIRTY_LEADS, FACTS
from tests.data.stores import BOTH, NOW_US, emptied, event, lead, made_store, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from data.store.reading import CustomKind

KEPT = tuple(FACTS)
SECRET = {"name": "Ada Secretname", "email": "ada@hidden.example", "phone": "+86 138 0013 8000"}


@pytest.fixture(scope="module", params=BOTH)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStore]:
    with made_store(request.param, tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def store(shared: OpenStore) -> OpenStore:
    return emptied(shared)


def put(store: Store, record: LeadRecord, day: float) -> str:
    return put_lead(store, record, modified_us=round(day * DAY_US), now_us=NOW_US)


def dirty(store: Store) -> set[str]:
    return {each.lead_id for each in take_dirty(store)}


def current(store: Store, lead_id: str = "L-1", *, as_of_us: int = NOW_US) -> dict[str, Any]:
    rows = [row for row in lead_facts(store, lead_id, as_of_us=as_of_us).leads if row["lead_id"] == lead_id]
    return max(rows, key=lambda row: row["known_at"])


def test_unchanged_content_writes_no_row_and_leaves_the_lead_clean(store: OpenStore) -> None:
    assert put(store, lead(source="ad", contact=SECRET), 20) == "new"
    (marked,) = take_dirty(store)
    before = rows_of(store, *KEPT, "dirty_leads")
    assert put(store, lead(source=" ad ", contact=SECRET), 20) == "unchanged"
    assert put(store, lead(source="ad", contact=SECRET), 30) == "unchanged"
    assert rows_of(store, *KEPT, "dirty_leads") == before
    assert put(store, lead(source="fair", contact=SECRET), 31) == "new"
    assert {name: len(rows) for name, rows in rows_of(store, "leads", "contacts").items()} == {
        "leads": 2,
        "contacts": 1,
    }
    assert take_dirty(store)[0].mark != marked.mark


def test_older_content_enters_the_history_without_becoming_current(store: OpenStore) -> None:
    assert put(store, lead(source="fair"), 30) == "new"
    assert put(store, lead(source="ad"), 20) == "older"
    assert current(store)["source"] == "fair"
    assert current(store, as_of_us=25 * DAY_US)["source"] == "ad"


def test_a_change_that_comes_late_does_not_undo_what_was_said_again_after_it(store: OpenStore) -> None:
    for source, day in (("ad", 20), ("ad", 40), ("ad", 50), ("fair", 30)):
        put(store, lead(source=source), day)
    assert current(store)["source"] == "ad"
    assert current(store, as_of_us=35 * DAY_US)["source"] == "fair"
    assert put(store, lead(source="mail"), 45) == "older"
    assert [current(store, as_of_us=day * DAY_US)["source"] for day in (44, 46, 50)] == ["ad", "mail", "ad"]


@pytest.mark.parametrize("said_again", [False, True])
def test_other_content_at_a_moment_that_is_taken_is_told_and_nothing_overwritten(
    store: OpenStore, said_again: bool
) -> None:
    put(store, lead(source="ad", contact=SECRET), 20)
    day = 30 if said_again else 20
    put(store, lead(source="ad", contact=SECRET), day)
    before = rows_of(store)
    assert put(store, lead(source="fair", contact=SECRET), day) == "conflict"
    assert put(store, lead(source="ad", contact=SECRET | {"name": "Bob"}), day) == "conflict"
    assert rows_of(store) == before


def test_personal_data_are_in_contacts_and_nowhere_else(store: OpenStore) -> None:
    put(store, lead(job_title="VP Ops", contact=SECRET), 20)
    rows = rows_of(store)
    told = repr(rows.pop("contacts"))
    assert all(value in told for value in SECRET.values())
    assert not any(value in repr(rows) for value in SECRET.values())
    found = current(store)
    assert (found["seniority"], found["email_domain_kind"], found["contact_completeness"]) == ("vp", "corporate", 1.0)
    assert len(found["person_id"]) == 16


def test_an_event_counts_once_and_the_first_to_come_stays(store: OpenStore) -> None:
    put(store, lead(), 20)
    first, other, again = event("e1"), event("e2"), event("e1", type=" page_view ")
    assert add_events(store, [first, other, again], now_us=NOW_US) == ("new", "new", "duplicate")
    assert add_events(store, [again, event("e1", type="form")], now_us=NOW_US) == ("duplicate", "conflict")
    assert add_events(store, [event("e1", source="mail")], now_us=NOW_US) == ("new",)
    assert len(rows_of(store, "events")["events"]) == 3


def test_in_one_call_a_conflict_with_its_own_first_is_told_too(store: OpenStore) -> None:
    told = add_events(store, [event("e1"), event("e1", type="form"), event("e1")], now_us=NOW_US)
    assert told == ("new", "conflict", "duplicate")


def test_an_event_without_its_own_clock_is_known_from_now_on_and_can_be_sent_again(store: OpenStore) -> None:
    put(store, lead(), 20)
    told = event("e1", known_at=None)
    assert add_events(store, [told], now_us=NOW_US) == ("new",)
    assert add_events(store, [told], now_us=NOW_US + HOUR_US) == ("duplicate",)
    assert lead_facts(store, "L-1", as_of_us=NOW_US - 1).events == ()
    assert [row["known_at"] for row in lead_facts(store, "L-1", as_of_us=NOW_US).events] == [NOW_US]


def test_what_claims_to_be_from_the_future_is_not_written(store: OpenStore) -> None:
    late_us = NOW_US + HOUR_US
    assert put(store, lead(), NOW_US / DAY_US + 1) == "future"
    assert put(store, lead(created_at=late_us), 20) == "future"
    assert add_events(store, [event("e1", occurred_at=late_us), event("e2")], now_us=NOW_US) == ("future", "new")
    outcome = OutcomeRecord(lead_id="L-1", outcome="won", closed_at=late_us)
    assert add_outcomes(store, [outcome], now_us=NOW_US) == ("future",)
    account = AccountRecord(account_id="A")
    assert put_account(store, account, modified_us=late_us, now_us=NOW_US) == "future"
    assert {name for name, rows in rows_of(store).items() if rows} == {"events"}


def test_every_accepted_change_marks_its_lead_and_an_account_marks_all_of_its(store: OpenStore) -> None:
    put_leads(store, [(lead(each, account_id="A"), DAY_US) for each in ("a", "b")], now_us=NOW_US)
    put_leads(store, [(lead("c", account_id="B"), DAY_US)], now_us=NOW_US)
    assert dirty(store) == {"a", "b", "c"}
    known: dict[str, Any] = {"occurred_at": 11 * DAY_US, "known_at": 11 * DAY_US}
    for expected, change in (
        ({"a"}, lambda: add_events(store, [event("e", "a"), event("e", "a")], now_us=NOW_US)),
        ({"b"}, lambda: add_actions(store, [ActionRecord(action_id="1", lead_id="b", type="called", **known)])),
        ({"c"}, lambda: add_stages(store, [StageRecord(lead_id="c", stage="sql", **known)])),
        ({"a"}, lambda: add_outcomes(store, [OutcomeRecord(lead_id="a", outcome="won", closed_at=12 * DAY_US)])),
        ({"b", "c"}, lambda: add_merges(store, [MergeRecord(lead_id="b", into_lead_id="c", **known)])),
        ({"a", "b"}, lambda: put_account(store, AccountRecord(account_id="A"), modified_us=DAY_US)),
        (set(), lambda: put_account(store, AccountRecord(account_id="A"), modified_us=2 * DAY_US)),
        (set(), lambda: add_events(store, [event("e", "a"), event("x", "ghost")], now_us=NOW_US)),
    ):
        store.execute(sa.delete(DIRTY_LEADS), {})
        change()
        assert dirty(store) == expected
    assert put(store, lead("ghost"), 20) == "new"
    assert dirty(store) == {"ghost"}
    assert count_dirty(store) == (1, NOW_US)
    assert len(lead_facts(store, "ghost", as_of_us=NOW_US).events) == 1


def test_an_outcome_counts_until_another_is_known(store: OpenStore) -> None:
    def add(outcome: str, day: int) -> tuple[str, ...]:
        told = {"lead_id": "L-1", "outcome": outcome, "closed_at": 15 * DAY_US, "known_at": day * DAY_US}
        return add_outcomes(store, [record_of(OutcomeRecord, told)], now_us=NOW_US)

    put(store, lead(), 20)
    told = [add("lost", 20), add("lost", 30), add("open", 25), add("won", 28), add("won", 28), add("lost", 28)]
    assert told == [("new",), ("unchanged",), ("older",), ("older",), ("unchanged",), ("conflict",)]
    outcomes = sorted(lead_facts(store, "L-1", as_of_us=NOW_US).outcomes, key=lambda row: row["known_at"])
    assert [(row["outcome"], row["known_at"] // DAY_US) for row in outcomes] == [
        ("lost", 20),
        ("open", 25),
        ("won", 28),
        ("lost", 30),
    ]


def test_what_was_recorded_later_is_left_out_where_an_earlier_answer_is_wanted(store: OpenStore) -> None:
    put_lead(store, lead(source="ad"), modified_us=DAY_US, now_us=NOW_US)
    put_lead(store, lead(source="fair"), modified_us=2 * DAY_US, now_us=NOW_US + 5)
    add_events(store, [event("e1")], now_us=NOW_US + 5)
    then = lead_facts(store, "L-1", as_of_us=NOW_US, known_by_us=NOW_US)
    assert ([row["source"] for row in then.leads], then.events) == (["ad"], ())
    assert lead_facts(store, "L-1", as_of_us=NOW_US, known_by_us=NOW_US - 1).leads == ()


@pytest.mark.parametrize("lead_id", ["线索 🧶 'L'", '"; DROP TABLE leads', "%s ? :x", "{}", "e\u0301"])
def test_an_id_may_be_any_text(store: OpenStore, lead_id: str) -> None:
    record = lead(lead_id, account_id=lead_id, custom={lead_id: lead_id, "n": 0.1, "yes": True, "no": None})
    assert put(store, record, 20) == "new"
    assert add_events(store, [event(lead_id, lead_id)], now_us=NOW_US) == ("new",)
    found = lead_facts(store, lead_id, as_of_us=NOW_US)
    assert [row["lead_id"] for row in (*found.leads, *found.events)] == [lead_id, lead_id]
    assert found.leads[0][f"custom_{lead_id}"] == lead_id
    assert (found.leads[0]["custom_n"], found.leads[0]["custom_yes"], found.leads[0]["custom_no"]) == (0.1, True, None)


def test_own_columns_come_as_the_warehouse_would_hold_them(store: OpenStore) -> None:
    put(store, lead(custom={"erp": 5, "vip": True, "size": 2, "note": None, "other": "x"}), 20)
    kinds: dict[str, CustomKind] = {"erp": "categorical", "vip": "text", "size": "numeric", "absent": "text"}
    (row,) = lead_facts(store, "L-1", as_of_us=NOW_US, custom=kinds).leads
    found = {name: value for name, value in row.items() if name.startswith("custom")}
    assert found == {"custom_erp": "5", "custom_vip": "true", "custom_size": 2.0, "custom_absent": None}


@pytest.mark.parametrize("lead_id", ["nobody", "", "a\x00", "\ud800"])
def test_of_a_lead_that_nobody_knows_there_are_no_facts(store: OpenStore, lead_id: str) -> None:
    put(store, lead(), 20)
    found = lead_facts(store, lead_id, as_of_us=NOW_US)
    assert set(found.tables.values()) == {()}


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        (LeadRecord, {"lead_id": "Li Wei\x00"}, "lead_id"),
        (LeadRecord, {"lead_id": " \u3000"}, "lead_id"),
        (LeadRecord, {"contact": {"name": "Li Wei \ud800"}}, "contact.name"),
        (LeadRecord, {"contact": {"nickname": "Li Wei"}}, "contact.nickname"),
        (LeadRecord, {"custom": {"size": float("nan")}}, "custom.size"),
        (LeadRecord, {"custom": {"a": ["Li Wei"]}}, "custom.a"),
        (LeadRecord, {"created_at": 2**63}, "created_at"),
        (LeadRecord, {"created_at": "Li Wei"}, "created_at"),
        (EventRecord, {"value": float("inf")}, "value"),
        (EventRecord, {"seniority": "Li Wei"}, "seniority"),
        (OutcomeRecord, {"outcome": "Li Wei"}, "outcome"),
        (AccountRecord, {"employees": "Li Wei"}, "employees"),
    ],
)
def test_a_record_that_no_database_could_hold_is_refused_by_field_and_without_its_value(
    kind: type[LeadRecord], fields: dict[str, Any], field: str
) -> None:
    each: dict[str, dict[str, Any]] = {
        "LeadRecord": {"lead_id": "L", "created_at": 0},
        "EventRecord": {"source": "s", "event_id": "e", "lead_id": "L", "type": "t", "occurred_at": 0},
        "OutcomeRecord": {"lead_id": "L", "outcome": "won", "closed_at": 0},
        "AccountRecord": {"account_id": "A"},
    }
    sound = each[kind.__name__]
    record_of(kind, sound)
    with pytest.raises(DataError) as caught:
        record_of(kind, sound | fields)
    assert caught.value.message.startswith(f"{kind.__name__}.{field}")
    assert "Li Wei" not in str(caught.value)
