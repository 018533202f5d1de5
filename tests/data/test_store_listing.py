"""The list of open leads in the store: it follows every change, ranks, pages and finds alike on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from data.clock import DAY_US
from data.store import (
    AccountRecord,
    MergeRecord,
    OutcomeRecord,
    Store,
    add_merges,
    add_outcomes,
    migrate,
    open_store,
    put_account,
    put_lead,
    record_scores,
    take_dirty,
)
from data.store.forgetting import erase
from data.store.listing import Standing, Wanted, choices_of, count_listed, listed, standing
from data.store.notes import add_feedback, newest_feedback
from data.store.past import past_leads
from data.store.schema import LISTED, SCHEMA, VISITS
from data.store.visits import visit
from tests.data.stores import BOTH, NOW_US, emptied, lead, made_store, rows_of, score
from tests.postgres import fresh_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVERYTHING = Wanted({})


@pytest.fixture(scope="module", params=BOTH)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store(request.param, tmp_path_factory.mktemp("listing")) as store:
        yield store


@pytest.fixture
def store(shared: Store) -> Store:
    return emptied(shared)


def put(store: Store, lead_id: str, chance: float | None = 0.5, **fields: Any) -> None:
    put_lead(store, lead(lead_id, **fields), modified_us=NOW_US - 9, now_us=NOW_US - 9)
    rules = {"points": 30, "handover": {"because": "both_low"}}
    given = score(lead_id, probability=chance, grade=None if chance is None else "B", rules=rules)
    record_scores(store, [given], done=take_dirty(store), now_us=NOW_US)


def done(store: Store, *, now_us: int = NOW_US) -> None:
    """End the marks as rescoring does with leads that need no score."""
    record_scores(store, [], done=take_dirty(store), now_us=now_us)


def ids(store: Store, wanted: Wanted = EVERYTHING, **options: Any) -> list[str]:
    return [each.lead_id for each in listed(store, wanted, **options)]


def test_a_row_holds_what_the_facts_and_the_score_say(store: Store) -> None:
    account = AccountRecord(account_id="A", name="Harbor Medical", industry="medical devices")
    put_account(store, account, modified_us=NOW_US - 9, now_us=NOW_US - 9)
    put(store, "a", 0.25, account_id="A", owner_id="u7", source="fair")
    (row,) = listed(store, EVERYTHING)
    assert (row.account, row.industry, row.owner_id, row.source) == ("Harbor Medical", "medical devices", "u7", "fair")
    assert (row.probability, row.grade, row.pool, row.points, row.because) == (0.25, "B", "C", 30.0, "both_low")
    assert (row.as_of_us, row.created_us) == (NOW_US, 10 * DAY_US)


def test_leads_without_a_model_come_after_those_with_one_by_their_points(store: Store) -> None:
    for name, points in (("few", 10), ("many", 90)):
        put_lead(store, lead(name), modified_us=1, now_us=NOW_US - 9)
        record_scores(store, [score(name, probability=None, grade=None, rules={"points": points})], now_us=NOW_US)
    put(store, "model", 0.001)
    assert ids(store) == ["model", "many", "few"]


def test_pages_hold_every_lead_once_though_many_are_equal(store: Store) -> None:
    for number in range(9):
        put(store, f"l{number}", 0.5 if number % 2 else 0.25)
    found: list[str] = []
    after = None
    while page := listed(store, EVERYTHING, after=after, limit=2):
        found += [each.lead_id for each in page]
        after = page[-1].place, page[-1].lead_id
    assert found == ["l7", "l5", "l3", "l1", "l8", "l6", "l4", "l2", "l0"]


def test_filters_words_owners_and_ages_narrow_the_list(store: Store) -> None:
    put(store, "a", 0.9, owner_id="u7", source="fair", created_at=5)
    put(
        store,
        "b_%",
        0.8,
        owner_id="u8",
        source="fair",
        created_at=50,
        contact={"name": "Zoë", "email": "Z@Example.com"},
    )
    put(store, "c", 0.7, owner_id=None, source="web", created_at=500)
    assert ids(store, Wanted({"source": "fair"})) == ["a", "b_%"]
    assert ids(store, Wanted({"source": "fair"}, frozenset(["u8", "u9"]))) == ["b_%"]
    assert ids(store, Wanted({}, frozenset())) == []
    assert count_listed(store, Wanted({}, frozenset())) == 0
    assert ids(store, Wanted({}, created_from_us=50)) == ["b_%", "c"]
    assert ids(store, Wanted({}, created_until_us=50)) == ["a"]
    for words, found in (("_", ["b_%"]), ("%", ["b_%"]), ("z@example", ["b_%"]), ("zo B_", ["b_%"]), ("\\", [])):
        assert ids(store, Wanted({}, words=words)) == found, words
        assert count_listed(store, Wanted({}, words=words)) == len(found)
    assert choices_of(store)["owner_id"] == ["u7", "u8"]
    assert choices_of(store, {"u7"})["source"] == ["fair"]
    assert choices_of(store, set())["source"] == []


def test_the_list_follows_every_change(store: Store) -> None:
    put_account(store, AccountRecord(account_id="A", name="Old"), modified_us=1, now_us=NOW_US - 9)
    put(store, "a", account_id="A", owner_id="u7")
    put(store, "b")
    put_account(store, AccountRecord(account_id="A", name="New"), modified_us=2, now_us=NOW_US)
    put_lead(store, lead("a", account_id="A", owner_id="u8"), modified_us=NOW_US - 5, now_us=NOW_US)
    assert standing(store, ["a", "b", "none"], as_of_us=NOW_US) == {
        "a": Standing("u8", None),
        "b": Standing(None, None),
    }
    done(store)
    row = next(each for each in listed(store, EVERYTHING) if each.lead_id == "a")
    assert (row.owner_id, row.account) == ("u8", "New")
    add_outcomes(
        store, [OutcomeRecord(lead_id="a", outcome="won", closed_at=NOW_US - 3, known_at=NOW_US - 3)], now_us=NOW_US
    )
    assert standing(store, ["a", "b"], as_of_us=NOW_US) == {"b": Standing(None, None)}
    done(store)
    assert ids(store) == ["b"]
    add_outcomes(
        store, [OutcomeRecord(lead_id="a", outcome="open", closed_at=NOW_US - 2, known_at=NOW_US - 2)], now_us=NOW_US
    )
    done(store)
    assert ids(store) == ["b", "a"]
    add_merges(
        store, [MergeRecord(lead_id="b", into_lead_id="a", occurred_at=NOW_US - 2, known_at=NOW_US - 2)], now_us=NOW_US
    )
    done(store)
    assert ids(store) == ["a"]


def test_what_requests_bring_along_lists_nothing(store: Store) -> None:
    record_scores(store, [score("stranger", cause="payload")], now_us=NOW_US)
    put(store, "a", 0.5)
    before = rows_of(store, "listed")
    record_scores(store, [score("a", probability=0.9, cause="payload", as_of_us=NOW_US + 1)], now_us=NOW_US + 1)
    assert rows_of(store, "listed") == before
    assert ids(store) == ["a"]


def test_forgetting_a_person_takes_the_row_and_the_visits(store: Store) -> None:
    put(store, "a")
    visit(store, "k", "a", 1, now_us=NOW_US)
    erase(store, ["a"], now_us=NOW_US)
    assert rows_of(store, "listed", "visits") == {"listed": [], "visits": []}


def test_past_leads_are_told_by_their_last_score_before_the_end(store: Store) -> None:
    for name, chance in (("a", 0.1), ("b", 0.2), ("open", 0.3)):
        put(store, name, chance)
    later = NOW_US + 10 * DAY_US
    ends = [("a", "won", NOW_US + DAY_US), ("b", "lost", NOW_US + 2 * DAY_US)]
    record_scores(store, [score("a", probability=0.9, as_of_us=NOW_US + 5 * DAY_US)], now_us=later)
    outcomes = [OutcomeRecord(lead_id=one, outcome=how, closed_at=us, known_at=us) for one, how, us in ends]  # type: ignore[arg-type]
    add_outcomes(store, outcomes, now_us=later)
    found = [(one.lead_id, one.is_won, one.closed_us, one.given.as_of_us) for one in past_leads(store, as_of_us=later)]
    assert found == [("b", False, NOW_US + 2 * DAY_US, NOW_US), ("a", True, NOW_US + DAY_US, NOW_US)]
    assert [one.lead_id for one in past_leads(store, as_of_us=NOW_US + DAY_US)] == ["a"]
    back = OutcomeRecord(lead_id="a", outcome="open", closed_at=NOW_US + 3 * DAY_US, known_at=NOW_US + 3 * DAY_US)
    add_outcomes(store, [back], now_us=later)
    assert [one.lead_id for one in past_leads(store, as_of_us=later)] == ["b"]


def test_the_newest_opinion_counts(store: Store) -> None:
    add_feedback(store, "a", key_id="k", verdict="good", now_us=1)
    add_feedback(store, "a", key_id="o", verdict="wrong_reason", now_us=2)
    assert {one: told.verdict for one, told in newest_feedback(store, ["a", "b"]).items()} == {"a": "wrong_reason"}


@pytest.mark.parametrize("kind", BOTH)
def test_after_an_upgrade_scored_leads_are_listed_with_their_next_score(kind: str, tmp_path: Path) -> None:
    with fresh_url(kind, tmp_path) as url:
        migrate(url, to="0004")
        old = open_store(url)
        begun = {"lead_id": "a", "known_at": 1, "recorded_at": 1, "created_at": 1, "custom": "{}"}
        row = {"score_id": 7, "lead_id": "a", "as_of": 2}
        texts = dict.fromkeys(("bundle", "source", "cause", "digest"), "x") | {
            "features": "{}",
            "reasons": "[]",
            "rules": "{}",
        }
        for table, values in (("leads", begun), ("scores", row | texts | {"given_at": 2}), ("current_scores", row)):
            names = ", ".join(values)
            marks = ", ".join(f":{name}" for name in values)
            statement = sa.text(f"INSERT INTO {table} ({names}) VALUES ({marks})")  # noqa: S608 - of this test
            old.execute(statement, values)
        old.close()
        assert migrate(url).after == SCHEMA
        store = open_store(url)
        assert rows_of(store, "listed", "visits") == {"listed": [], "visits": []}
        assert [each.lead_id for each in take_dirty(store)] == ["a"]
        record_scores(store, [score("a")], done=take_dirty(store), now_us=NOW_US)
        assert ids(store) == ["a"]
        store.close()


def test_the_tables_of_the_pages_are_in_the_schema() -> None:
    assert {"place", "words"} <= set(LISTED.columns.keys())
    assert [column.name for column in VISITS.primary_key] == ["key_id", "lead_id"]
