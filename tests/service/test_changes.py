"""The difference between two scores is split exactly; what cannot be told apart is told together, and why."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from data.clock import DAY_US, HOUR_US, from_us, iso, now, to_us
from data.errors import UsageError
from data.settings import Settings
from data.store import (
    AccountRecord,
    EventRecord,
    LeadRecord,
    MergeRecord,
    Store,
    add_events,
    add_merges,
    create_key,
    current_score,
    lead_facts,
    put_account,
    put_lead,
    record_scores,
)
from data.store.exchange import take_facts
from data.store.forgetting import erase
from features.facts import facts_as_of
from features.scorecard import load_scorecard
from serving.changes.answers import ChangesAnswer
from serving.changes.commands import register
from serving.changes.ends import Since, end_of, score_before
from serving.changes.handlers import changes_of, changes_routes, parse_since
from serving.changes.parts import End, changes_between
from serving.changes.voices import Voice, Voices
from serving.http.exchange import Refusal
from serving.http.problems import PayloadError
from serving.keys.access import ANYONE
from serving.keys.keyring import Keyring
from serving.scoring.facts import custom_kinds
from serving.scoring.scorer import Scorer
from serving.stored.door import Door
from serving.stored.rescoring import score_facts
from tests.data.stores import BOTH, emptied, made_store
from tests.data.test_sync import sound, stored
from tests.reference.worlds import random_world, worlds_profile
from tests.service.bundles import AS_OF_US
from tests.service.calling import Client, problem
from tests.service.test_intake import url_of
from training.bundles.sealing import publish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from data.store import GivenScore
    from serving.changes.parts import Part
    from training.bundles.bundle import Bundle

START_US, END_US = AS_OF_US, AS_OF_US + 7 * DAY_US


@pytest.fixture(scope="module", params=BOTH)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store(request.param, tmp_path_factory.mktemp("changes")) as store:
        yield store


@pytest.fixture
def store(shared: Store) -> Store:
    return emptied(shared)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Store]:
    """A store in a file: for what is slow and has nothing to do with the database."""
    with made_store("sqlite", tmp_path) as store:
        yield store


@pytest.fixture(scope="module")
def newer(other_bundle: Bundle) -> Scorer:
    return Scorer(other_bundle, load_scorecard())


def voices_of(*scorers: Scorer) -> Any:
    found = {"" if one.bundle is None else one.bundle.digest: Voice(one) for one in scorers}
    return found.get


def put(
    store: Store, lead_id: str = "L-1", *, at_us: int = START_US - 10 * DAY_US, now_us: int = 0, **fields: Any
) -> None:
    told = {
        "created_at": START_US - 30 * DAY_US,
        "account_id": "A",
        "source": "webinar",
        "job_title": "VP Ops",
        **fields,
    }
    put_lead(store, LeadRecord(lead_id=lead_id, **told), modified_us=at_us, now_us=now_us or START_US - 10 * DAY_US)


def clicked(
    store: Store, event_id: str, at_us: int, *, now_us: int, lead_id: str = "L-1", kind: str = "page_view"
) -> None:
    told = EventRecord(
        source="site", event_id=event_id, lead_id=lead_id, type=kind, occurred_at=at_us, known_at=max(at_us, 0)
    )
    assert add_events(store, [told], now_us=now_us) == ("new",)


def scored(store: Store, scorer: Scorer, at_us: int, lead_id: str = "L-1") -> GivenScore:
    custom = custom_kinds(scorer.catalogue)
    facts = facts_as_of(lead_id, at_us, **lead_facts(store, lead_id, as_of_us=at_us, custom=custom).tables)
    given = score_facts(scorer, lead_id, facts, as_of_us=at_us, cause="request")
    record_scores(store, [given], now_us=at_us)
    found = current_score(store, lead_id)
    assert found is not None
    return found


def parts_of(store: Store, first: GivenScore, last: GivenScore, *scorers: Scorer) -> dict[str, Part]:
    found = changes_between(*(end_of(store, voices_of(*scorers), each) for each in (first, last)))
    assert found.untold is None
    return {part.name: part for part in found.parts}


def amounts(parts: dict[str, Part]) -> dict[str, float]:
    return {name: part.amount for name, part in parts.items()}


def begun(store: Store) -> None:
    put(store)
    company = AccountRecord(account_id="A", industry="software", employees=800)
    put_account(store, company, modified_us=1, now_us=START_US - 9 * DAY_US)
    clicked(store, "e1", START_US - 3 * DAY_US, now_us=START_US - 3 * DAY_US, kind="whitepaper_download")


def test_where_nothing_happened_all_is_time(store: Store, scorer: Scorer) -> None:
    begun(store)
    first, last = scored(store, scorer, START_US), scored(store, scorer, END_US)
    parts = parts_of(store, first, last, scorer)
    found = amounts(parts)
    assert (found["new_activity"], found["corrected_data"], found["new_model"]) == (0.0, 0.0, 0.0)
    assert first.score.logit is not None
    assert last.score.logit is not None
    assert found["time_passing"] == last.score.logit - first.score.logit != 0
    assert all(not parts[name].groups for name in ("new_activity", "corrected_data", "new_model"))


def test_scored_twice_at_one_moment_by_two_models_all_is_the_model(store: Store, scorer: Scorer, newer: Scorer) -> None:
    begun(store)
    first, last = scored(store, scorer, START_US), scored(store, newer, START_US)
    found = amounts(parts_of(store, first, last, scorer, newer))
    assert {name for name, amount in found.items() if amount} == {"new_model"}


def test_what_a_lead_did_between_the_scores_is_new_activity(store: Store, scorer: Scorer) -> None:
    begun(store)
    first = scored(store, scorer, START_US)
    for number in range(4):
        at_us = START_US + number * HOUR_US
        clicked(store, f"n{number}", at_us, now_us=at_us, kind="whitepaper_download")
    last = scored(store, scorer, END_US)
    parts = parts_of(store, first, last, scorer)
    assert parts["new_activity"].facts == 4
    assert parts["new_activity"].amount > 0.1
    assert parts["corrected_data"].amount == 0.0
    assert "whitepapers" in parts["new_activity"].groups


def test_an_event_stored_ahead_of_the_first_score_is_activity_all_the_same(store: Store, scorer: Scorer) -> None:
    begun(store)
    # A sender whose clock is two minutes ahead.
    early = EventRecord(
        source="site",
        event_id="n",
        lead_id="L-1",
        type="whitepaper_download",
        occurred_at=START_US + HOUR_US // 30,
        known_at=START_US,
    )
    add_events(store, [early], now_us=START_US - 1)
    first, last = scored(store, scorer, START_US), scored(store, scorer, END_US)
    parts = parts_of(store, first, last, scorer)
    assert (parts["new_activity"].facts, parts["corrected_data"].facts) == (1, 0)
    assert parts["new_activity"].amount != 0


def test_late_events_and_changed_attributes_are_corrected_data(store: Store, scorer: Scorer) -> None:
    begun(store)
    first = scored(store, scorer, START_US)
    clicked(store, "late", START_US - 2 * DAY_US, now_us=START_US + HOUR_US, kind="whitepaper_download")
    company = AccountRecord(account_id="A", industry="software", employees=3)
    put_account(store, company, modified_us=START_US + HOUR_US, now_us=START_US + HOUR_US)
    last = scored(store, scorer, END_US)
    parts = parts_of(store, first, last, scorer)
    assert (parts["corrected_data"].facts, parts["new_activity"].amount) == (2, 0.0)
    assert {"whitepapers", "company_size"} & parts["corrected_data"].groups.keys()


def test_a_merge_brings_the_other_leads_past_as_a_correction(store: Store, scorer: Scorer) -> None:
    begun(store)
    put(store, "L-2", account_id=None)
    clicked(store, "o1", START_US - DAY_US, now_us=START_US - DAY_US, lead_id="L-2", kind="demo_request")
    first = scored(store, scorer, START_US)
    merge = MergeRecord(lead_id="L-2", occurred_at=START_US + HOUR_US, into_lead_id="L-1")
    add_merges(store, [merge], now_us=START_US + 2 * HOUR_US)
    last = scored(store, scorer, END_US)
    parts = parts_of(store, first, last, scorer)
    assert parts["corrected_data"].amount != 0
    assert parts["new_activity"].amount == 0.0


def test_a_score_for_the_past_may_have_known_more_than_the_newest_one(store: Store, scorer: Scorer) -> None:
    begun(store)
    last = scored(store, scorer, END_US)
    clicked(store, "late", START_US - DAY_US, now_us=END_US + HOUR_US, kind="whitepaper_download")
    custom = custom_kinds(scorer.catalogue)
    rows = lead_facts(store, "L-1", as_of_us=START_US, custom=custom).tables
    past = score_facts(scorer, "L-1", facts_as_of("L-1", START_US, **rows), as_of_us=START_US, cause="batch")
    record_scores(store, [past], now_us=END_US + 2 * HOUR_US)
    first = score_before(store, last, Since())
    assert first is not None
    assert first.score == past
    parts = parts_of(store, first, last, scorer)
    # What the newest score did not know counts as taken back.
    assert parts["corrected_data"].facts == 1
    assert parts["corrected_data"].amount != 0
    assert last.score.logit is not None
    assert past.logit is not None
    assert math.fsum(amounts(parts).values()) == pytest.approx(last.score.logit - past.logit, abs=1e-9)


@pytest.mark.parametrize("late_us", [0, 5 * HOUR_US // 3600, 50 * HOUR_US // 3600])
def test_facts_that_came_in_while_a_score_was_given_are_found_again(store: Store, scorer: Scorer, late_us: int) -> None:
    begun(store)
    clicked(store, "meanwhile", START_US - HOUR_US, now_us=START_US + late_us, kind="whitepaper_download")
    first, last = scored(store, scorer, START_US), scored(store, scorer, END_US)
    assert first.given_us == START_US
    assert {name for name, amount in amounts(parts_of(store, first, last, scorer)).items() if amount} == {
        "time_passing"
    }


# --- random histories ---------------------------------------------------------------------------------------------


def by_hand(scorer: Scorer, rows: dict[str, Any], lead_id: str, at_us: int) -> float:
    """The logit from rows of the store, without any of the code that is tested."""
    assert scorer.bundle is not None
    facts = facts_as_of(lead_id, at_us, **rows)
    return scorer.bundle.answer(facts, at_us).logit


def in_two_waves(store: Store, seed: int) -> tuple[int, int]:
    """Fill the store: what was recorded by the first score, and what came by the second; return the two moments."""
    rng = np.random.default_rng(seed)
    world = sound(random_world(seed, leads=6, events=60, outcomes=3, merges=2))
    first_us, last_us = sorted(
        rng.choice([to_us(at) for at in world.as_ofs], 2, replace=len(world.as_ofs) < 2).tolist()
    )
    waves: dict[int, dict[str, list[Any]]] = {first_us: {}, last_us: {}}
    for name in ("leads", "accounts", "events", "actions", "outcomes", "merges"):
        for row in world.tables[name]:
            known_us = to_us(row["known_at"])
            is_early = known_us <= first_us and rng.random() < 0.8
            if known_us <= last_us:
                waves[first_us if is_early else last_us].setdefault(name, []).append(stored(name, row))
    for at_us, tables in waves.items():
        for name, rows in tables.items():
            take_facts(store, name, sorted(rows, key=lambda row: row["known_at"]), now_us=at_us)
    return first_us, last_us


def known_leads(store: Store, at_us: int) -> list[str]:
    found = []
    for lead_id in "abcdefgA":
        rows = lead_facts(store, lead_id, as_of_us=at_us, known_by_us=at_us).leads
        if any(row["lead_id"] == lead_id and max(row["known_at"], row["created_at"]) <= at_us for row in rows):
            found.append(lead_id)
    return found


@worlds_profile(few=10, many=400)
@given(seed=st.integers(0, 2**32 - 1), is_new_model=st.booleans())
def test_on_random_histories_the_parts_add_up_and_are_what_they_say(
    shared: Store, scorer: Scorer, newer: Scorer, seed: int, is_new_model: bool
) -> None:
    store = emptied(shared)
    first_us, last_us = in_two_waves(store, seed)
    later = newer if is_new_model else scorer
    for lead_id in known_leads(store, first_us)[:2]:
        before = {
            name: [row for row in rows if row["known_at"] <= first_us]
            for name, rows in lead_facts(
                store, lead_id, as_of_us=first_us, known_by_us=first_us, custom=custom_kinds(scorer.catalogue)
            ).tables.items()
        }
        custom = custom_kinds(scorer.catalogue)
        after = lead_facts(store, lead_id, as_of_us=last_us, custom=custom).tables
        first = score_facts(
            scorer, lead_id, facts_as_of(lead_id, first_us, **before), as_of_us=first_us, cause="change"
        )
        record_scores(store, [first], now_us=first_us)
        given_first = current_score(store, lead_id)
        given_last = scored(store, later, last_us, lead_id)
        assert given_first is not None
        parts = parts_of(store, given_first, given_last, scorer, newer)
        found = amounts(parts)
        assert given_last.score.logit is not None
        assert first.logit is not None
        assert math.fsum(found.values()) == pytest.approx(given_last.score.logit - first.logit, abs=1e-9)
        for part in parts.values():
            assert math.fsum([*part.groups.values(), part.remainder]) == pytest.approx(part.amount, abs=1e-9)

        # The same, worked out anew from lists of rows.
        def is_fresh(name: str, row: Any) -> bool:
            return name in {"events", "actions"} and first_us <= row["occurred_at"] < last_us

        old = {name: [row for row in rows if not is_fresh(name, row)] for name, rows in before.items()}
        fresh = {name: [row for row in rows if is_fresh(name, row)] for name, rows in after.items()}
        corrected = {name: [row for row in rows if not is_fresh(name, row)] for name, rows in after.items()}
        states: dict[str, dict[str, Any]] = {
            "passed": old,
            "active": {name: old[name] + fresh[name] for name in old},
            "corrected": corrected,
            "known": after,
        }
        value = {name: by_hand(scorer, rows, lead_id, last_us) for name, rows in states.items()}
        activity = (value["active"] - value["passed"] + value["known"] - value["corrected"]) / 2
        correction = (value["corrected"] - value["passed"] + value["known"] - value["active"]) / 2
        assert found["time_passing"] == pytest.approx(value["passed"] - first.logit, abs=1e-9)
        assert found["new_activity"] == pytest.approx(activity, abs=1e-9)
        assert found["corrected_data"] == pytest.approx(correction, abs=1e-9)

        # Exactly nothing where nothing of the kind happened.
        assert any(fresh.values()) or found["new_activity"] == 0.0
        assert parts["corrected_data"].facts or found["corrected_data"] == 0.0
        assert is_new_model or found["new_model"] == 0.0
        assert first_us < last_us or found["time_passing"] == 0.0


# --- what cannot be told ------------------------------------------------------------------------------------------


def test_when_the_older_bundle_is_gone_all_is_told_together(store: Store, scorer: Scorer, newer: Scorer) -> None:
    begun(store)
    first, last = scored(store, scorer, START_US), scored(store, newer, END_US)
    found = changes_between(*(end_of(store, voices_of(newer), each) for each in (first, last)))
    (part,) = found.parts
    assert (found.untold, part.name) == ("bundle_gone", "everything")
    assert part.amount == found.difference == (last.score.logit or 0) - (first.score.logit or 0)


def test_facts_that_were_erased_leave_model_and_data_apart(store: Store, scorer: Scorer, newer: Scorer) -> None:
    begun(store)
    first, last = scored(store, scorer, START_US), scored(store, newer, END_US)
    ends = [replace(end_of(store, voices_of(scorer, newer), each), tables=None) for each in (first, last)]
    found = changes_between(*ends)
    together, model = found.parts
    assert (found.untold, together.name, model.name) == ("facts_changed", "data", "new_model")
    whole = amounts(parts_of(store, first, last, scorer, newer))
    assert model.amount == pytest.approx(whole["new_model"], abs=1e-9)
    assert together.amount == pytest.approx(whole["time_passing"], abs=1e-9)


def test_a_score_that_does_not_come_out_again_is_noticed(store: Store, scorer: Scorer) -> None:
    begun(store)
    first, last = scored(store, scorer, START_US), scored(store, scorer, END_US)
    assert first.score.logit is not None
    shifted = replace(first, score=replace(first.score, logit=first.score.logit + 2e-9))
    ends = [end_of(store, voices_of(scorer), each) for each in (shifted, last)]
    assert ends[0].tables is None
    assert changes_between(*ends).untold == "bundle_gone"
    # An event that an import deleted again: the facts of then are gone, the features of then are not.
    other = {**first.score.features, "page_views_7d": 77.0, "page_views_30d": 77.0, "page_views_90d": 77.0}
    assert scorer.bundle is not None
    moved = replace(first.score, features=other, logit=scorer.bundle.answer_values(dict(other)).logit)
    ends = [end_of(store, voices_of(scorer), each) for each in (replace(first, score=moved), last)]
    told = changes_between(*ends)
    assert told.untold == "facts_changed"
    assert [part.name for part in told.parts] == ["data", "new_model"]
    assert told.parts[1].amount == 0.0


def test_points_and_log_odds_are_not_compared(store: Store, scorer: Scorer) -> None:
    begun(store)
    rules = Scorer(None, load_scorecard())
    first, last = scored(store, rules, START_US), scored(store, scorer, END_US)
    found = changes_between(*(end_of(store, voices_of(scorer, rules), each) for each in (first, last)))
    assert (found.difference, found.parts, found.untold) == (None, (), "other_scale")


def test_scores_of_the_rules_are_split_in_points(store: Store) -> None:
    begun(store)
    rules = Scorer(None, load_scorecard())
    first = scored(store, rules, START_US)
    clicked(store, "n", START_US + HOUR_US, now_us=START_US + HOUR_US, kind="whitepaper_download")
    company = AccountRecord(account_id="A", industry="software", employees=3)
    put_account(store, company, modified_us=START_US + HOUR_US, now_us=START_US + HOUR_US)
    parts = parts_of(store, first, scored(store, rules, END_US), rules)
    assert amounts(parts) == {"new_activity": 20, "time_passing": 0, "corrected_data": -30, "new_model": 0}
    assert parts["corrected_data"].groups == {"employees > 500": -30}


# --- the path -----------------------------------------------------------------------------------------------------


@pytest.fixture
def door(store: Store) -> Iterator[Door]:
    found = Door(url_of(store))
    found.look()
    yield found
    found.close()


@pytest.fixture
def client(door: Door, scorer: Scorer, tmp_path: Path) -> Client:
    return client_of(door, scorer, tmp_path)


def client_of(door: Door, scorer: Scorer, folder: Path, keyring: Keyring | None = None) -> Client:
    voices = Voices(Settings(home=folder), lambda: scorer)
    return Client(scorer, keyring=keyring, more=changes_routes(door, voices))


def test_the_path_tells_the_causes_in_words(store: Store, scorer: Scorer, client: Client) -> None:
    begun(store)
    scored(store, scorer, START_US)
    for number in range(3):
        clicked(store, f"n{number}", START_US + HOUR_US, now_us=START_US + HOUR_US, kind="whitepaper_download")
    scored(store, scorer, END_US)
    told = client("GET", "/v1/leads/L-1/changes", headers={"accept-language": "zh"}).json()
    ChangesAnswer.model_validate(told)
    parts = {part["part"]: part for part in told["parts"]}
    assert math.fsum(part["amount"] for part in told["parts"]) == pytest.approx(told["difference"], abs=1e-9)
    assert parts["new_activity"]["text"] == "新的活动"
    group = next(group for group in parts["new_activity"]["groups"] if group["group"] == "whitepapers")
    assert "下载 4 份白皮书" in group["text"]
    assert {1.0} == {group["before"][name] for name, value in group["evidence"].items() if value == 4}
    for part in told["parts"]:
        total = sum(group["amount"] for group in part["groups"]) + part["remainder"]
        assert total == pytest.approx(part["amount"], abs=1e-9)


def test_since_names_a_score_or_a_moment(store: Store, scorer: Scorer, client: Client) -> None:
    begun(store)
    given_scores = [scored(store, scorer, START_US + day * DAY_US) for day in (0, 2, 5)]
    numbers = [given.score_id for given in given_scores]

    def since(text: str | None) -> int:
        asked = {} if text is None else {"since": text}
        found: int = client("GET", "/v1/leads/L-1/changes", params=asked).json()["since"]["score_id"]
        return found

    assert since(None) == numbers[1]
    assert since(str(numbers[0])) == numbers[0]
    assert since(str(numbers[2])) == numbers[2]
    assert since(iso(from_us(START_US + 3 * DAY_US))) == numbers[1]
    assert since(iso(from_us(START_US + DAY_US))) == numbers[0]
    assert since("2001-01-01T00:00:00+08:00") == numbers[0]
    for odd in ("yesterday", "1.5", "2026-01-01T00:00:00", "9" * 30):
        assert client("GET", "/v1/leads/L-1/changes", params={"since": odd}).status_code == 400
    gone = client("GET", "/v1/leads/L-1/changes", params={"since": "987654321"})
    assert (gone.status_code, problem(gone)["code"]) == (404, "not_found")


def test_a_lead_with_one_score_or_none_has_no_changes(store: Store, scorer: Scorer, client: Client) -> None:
    begun(store)
    none = ChangesAnswer.model_validate(client("GET", "/v1/leads/L-1/changes").json())
    assert (none.now, none.since, none.parts) == (None, None, [])
    scored(store, scorer, START_US)
    one = ChangesAnswer.model_validate(client("GET", "/v1/leads/L-1/changes").json())
    assert one.now is not None
    assert (one.since, one.difference) == (None, None)


def test_a_hidden_lead_is_answered_as_one_that_is_not_there(
    store: Store, door: Door, scorer: Scorer, tmp_path: Path
) -> None:
    put(store, owner_id="u7")
    keys = {
        owner: create_key(store, owner, role="rep", scopes=("read",), owner_ids=(owner,), now_us=to_us(now()))[1]
        for owner in ("u7", "u8")
    }
    keyring = Keyring(url_of(store))
    keyring.refresh()
    client = client_of(door, scorer, tmp_path, keyring)

    def asked(owner: str, lead_id: str) -> tuple[int, str]:
        headers = {"authorization": f"Bearer {keys[owner]}"}
        response = client("GET", f"/v1/leads/{lead_id}/changes", headers=headers)
        return response.status_code, "" if response.is_success else str(problem(response)["message"])

    assert asked("u7", "L-1")[0] == 200
    assert asked("u8", "L-1") == asked("u8", "no such lead")
    assert asked("u8", "L-1")[0] == 404
    keyring.close()


def test_a_forgotten_persons_scores_are_not_taken_apart(store: Store, scorer: Scorer, tmp_path: Path) -> None:
    begun(store)
    first, last = scored(store, scorer, START_US), scored(store, scorer, END_US)
    erase(store, ["L-1"])
    told = changes_of(store, Voices(Settings(home=tmp_path), lambda: scorer), "L-1", Since(), ANYONE, "en")
    assert (told["now"], told["parts"]) == (None, [])
    bare = [replace(given.score, features={}, rules={}) for given in (first, last)]
    found = changes_between(*(End(score, Voice(scorer), None) for score in bare))
    assert found.untold == "features_erased"
    assert found.difference == (last.score.logit or 0) - (first.score.logit or 0)


def test_the_older_bundle_is_loaded_from_those_that_were_published(
    plain: Store, scorer: Scorer, newer: Scorer, bundle: Bundle, tmp_path: Path
) -> None:
    begun(plain)
    first = scored(plain, scorer, START_US)
    scored(plain, newer, END_US)
    settings = Settings(home=tmp_path)
    voices = Voices(settings, lambda: newer)
    before = changes_of(plain, voices, "L-1", Since(), ANYONE, "en")
    assert before["untold"]["code"] == "bundle_gone"
    folder = publish(bundle, settings.bundles_dir)
    told = changes_of(plain, voices, "L-1", Since(score_id=first.score_id), ANYONE, "en")
    assert told["untold"] is None
    assert {part["part"]: bool(part["amount"]) for part in told["parts"]}["new_model"]
    assert math.fsum(part["amount"] for part in told["parts"]) == pytest.approx(told["difference"], abs=1e-9)
    (folder / "model.json").write_text("{}", encoding="utf-8")
    assert Voices(settings, lambda: newer).of(bundle.digest) is None


def test_scores_of_requests_are_compared_only_when_they_are_named(store: Store, scorer: Scorer) -> None:
    begun(store)
    first = scored(store, scorer, START_US)
    brought = replace(first.score, as_of_us=START_US + DAY_US, cause="payload")
    record_scores(store, [brought], now_us=START_US + DAY_US)
    last = scored(store, scorer, END_US)
    before = score_before(store, last, Since())
    assert before is not None
    assert before.score_id == first.score_id
    named = score_before(store, last, Since(score_id=first.score_id + 1))
    assert named is not None
    assert named.score.cause == "payload"


def test_the_command_prints_the_causes(
    plain: Store, scorer: Scorer, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(plain)
    scored(plain, scorer, START_US)
    clicked(plain, "n", START_US + HOUR_US, now_us=START_US + HOUR_US, kind="whitepaper_download")
    scored(plain, scorer, END_US)
    publish(bundle, Settings(home=tmp_path).bundles_dir)
    monkeypatch.setenv("CLEW_HOME", str(tmp_path))
    monkeypatch.setenv("CLEW_STORE", url_of(plain))
    app = typer.Typer()
    register(app)
    told = CliRunner().invoke(app, ["L-1", "--json"], catch_exceptions=False)
    found = ChangesAnswer.model_validate_json(told.stdout)
    assert found.untold is None
    assert found.difference is not None
    assert math.fsum(part.amount for part in found.parts) == pytest.approx(found.difference, abs=1e-9)
    shown = CliRunner().invoke(app, ["L-1", "--language", "zh"], catch_exceptions=False).output
    assert "新的活动" in shown
    assert f"{found.difference:+.3f}" in shown
    with pytest.raises(UsageError, match="no such lead"):
        CliRunner().invoke(app, ["nobody"], catch_exceptions=False)


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_since_is_none(text: str) -> None:
    assert parse_since(text) == Since()


def test_a_moment_without_an_offset_is_refused() -> None:
    with pytest.raises(PayloadError, match="since"):
        parse_since("2026-01-01T08:00:00")


def test_an_unknown_lead_is_refused(store: Store, scorer: Scorer, tmp_path: Path) -> None:
    for lead_id in ("nobody", chr(0)):
        with pytest.raises(Refusal) as refused:
            changes_of(store, Voices(Settings(home=tmp_path), lambda: scorer), lead_id, Since(), ANYONE, "en")
        assert refused.value.status == 404
