"""A change is followed by a score within seconds, once, by one of the workers; and every score can be had again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from data.clock import DAY_US, HOUR_US, MINUTE_US, now, to_us
from data.errors import DataError
from data.store import (
    AccountRecord,
    EventRecord,
    LeadRecord,
    LeaseLostError,
    OutcomeRecord,
    Store,
    acquire,
    add_events,
    add_outcomes,
    count_dirty,
    current_score,
    history,
    lead_facts,
    put_account,
    put_lead,
    put_leads,
    take_dirty,
)
from data.store.exchange import columns_of, take_facts
from features.scorecard import load_scorecard
from serving.scoring.payload import parse_item
from serving.scoring.scorer import Scorer
from serving.stored import rescoring
from serving.stored.rescoring import RESCORING, Rescorer, Waiting, replayed, rescore_dirty
from tests.data.stores import BOTH, emptied, made_store
from tests.service.bundles import AS_OF_US

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.bundles.bundle import Bundle

SECOND_US = 1_000_000


@pytest.fixture(scope="module", params=BOTH)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store(request.param, tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def store(shared: Store) -> Store:
    return emptied(shared)


def put(store: Store, lead_id: str = "L-1", *, at_us: int = AS_OF_US - DAY_US, **fields: Any) -> None:
    told = {"created_at": at_us - 20 * DAY_US, "account_id": "A", "source": "webinar", "job_title": "VP Ops", **fields}
    put_lead(store, LeadRecord(lead_id=lead_id, **told), modified_us=at_us, now_us=at_us)


def clicked(store: Store, event_id: str, *, lead_id: str = "L-1", at_us: int, now_us: int) -> None:
    told = EventRecord(
        source="site", event_id=event_id, lead_id=lead_id, type="whitepaper_download", occurred_at=at_us, known_at=at_us
    )
    assert add_events(store, [told], now_us=now_us) == ("new",)


def test_a_changed_lead_is_scored_as_the_endpoint_would_and_loses_its_mark(store: Store, scorer: Scorer) -> None:
    put(store, custom={"erp": "sap", "seats": 20})
    put_account(
        store, AccountRecord(account_id="A", industry="software", employees=800), modified_us=1, now_us=AS_OF_US
    )
    clicked(store, "e1", at_us=AS_OF_US - 3 * DAY_US, now_us=AS_OF_US)
    done = rescore_dirty(store, scorer, AS_OF_US)
    assert (done.scored, done.taken, done.waiting, count_dirty(store)) == (1, 1, 0, (0, None))
    given = current_score(store, "L-1")
    assert given is not None
    moments = {"created": "2026-10-31T08:00:00Z", "event": "2026-11-18T08:00:00Z"}
    request = {
        "lead": {
            "lead_id": "L-1",
            "created_at": moments["created"],
            "source": "webinar",
            "job_title": "VP Ops",
            "custom": {"erp": "sap", "seats": 20},
            "account": {"industry": "software", "employees": 800, "events": []},
        },
        "events": [{"source": "site", "id": "e1", "type": "whitepaper_download", "occurred_at": moments["event"]}],
    }
    answer = scorer.score(parse_item(request, 0), as_of_us=AS_OF_US)
    told = given.score
    assert (told.probability, told.grade, list(told.reasons)) == (
        answer["probability"],
        answer["grade"],
        answer["reasons"],
    )
    assert told.rules == answer["rules"] | {"handover": answer["handover"]}
    assert (told.pool, told.cause) == (answer["handover"]["pool"], "change")
    assert told.bundle == answer["model"]["bundle"]


def test_a_score_of_the_history_is_had_again_to_the_digit(store: Store, scorer: Scorer, other_bundle: Bundle) -> None:
    for number in range(5):
        put(store, f"L-{number}", custom={"seats": 1 / (number + 3)})
        clicked(store, f"e{number}", lead_id=f"L-{number}", at_us=AS_OF_US - number * HOUR_US, now_us=AS_OF_US)
    assert rescore_dirty(store, scorer, AS_OF_US + 1).scored == 5
    for number in range(5):
        (given,) = history(store, f"L-{number}")
        again = replayed(scorer, given.score)
        assert (again.probability, again.logit) == (given.score.probability, given.score.logit)
        assert again == given.score
    with pytest.raises(DataError, match="another bundle"):
        replayed(Scorer(other_bundle, load_scorecard()), given.score)


def test_without_a_model_the_rules_are_remembered_and_replayed(store: Store) -> None:
    put(store)
    scorer = Scorer(None, load_scorecard())
    assert rescore_dirty(store, scorer, AS_OF_US).scored == 1
    (given,) = history(store, "L-1")
    assert (given.score.source, given.score.bundle, given.score.probability) == ("rules", "", None)
    assert replayed(scorer, given.score) == given.score


def test_what_changes_while_it_is_scored_is_scored_again(
    store: Store, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store)
    plain = lead_facts

    def slow(*arguments: Any, **options: Any) -> Any:
        found = plain(*arguments, **options)
        clicked(store, "e1", at_us=AS_OF_US - HOUR_US, now_us=AS_OF_US)
        monkeypatch.undo()
        return found

    monkeypatch.setattr(rescoring, "lead_facts", slow)
    assert rescore_dirty(store, scorer, AS_OF_US).scored == 1
    assert count_dirty(store)[0] == 1
    assert rescore_dirty(store, scorer, AS_OF_US + 1).scored == 1
    newest, before = (given.score.features["whitepaper_downloads_30d"] for given in history(store, "L-1"))
    assert (before, newest) == (0.0, 1.0)
    assert count_dirty(store)[0] == 0


def test_a_fact_a_little_ahead_of_this_clock_is_scored_when_it_has_begun(store: Store, scorer: Scorer) -> None:
    put(store)
    clicked(store, "e1", at_us=AS_OF_US + 2 * SECOND_US, now_us=AS_OF_US)
    waiting = Waiting()
    assert rescore_dirty(store, scorer, AS_OF_US, waiting=waiting).scored == 1
    held = rescore_dirty(store, scorer, AS_OF_US + SECOND_US, waiting=waiting)
    assert (held.scored, held.waiting, count_dirty(store)[0]) == (0, 1, 1)
    assert rescore_dirty(store, scorer, AS_OF_US + 2 * SECOND_US + 1, waiting=waiting).scored == 1
    assert count_dirty(store)[0] == 0
    found = [given.score.features["whitepaper_downloads_30d"] for given in history(store, "L-1")]
    assert found == [1.0, 0.0]


def test_a_closed_lead_loses_its_mark_and_is_not_scored(store: Store, scorer: Scorer) -> None:
    put(store)
    lost = OutcomeRecord(lead_id="L-1", outcome="lost", closed_at=AS_OF_US - HOUR_US)
    add_outcomes(store, [lost], now_us=AS_OF_US - MINUTE_US)
    done = rescore_dirty(store, scorer, AS_OF_US)
    assert (done.scored, done.dropped, count_dirty(store)[0]) == (0, 1, 0)
    again = OutcomeRecord(lead_id="L-1", outcome="open", closed_at=AS_OF_US)
    add_outcomes(store, [again], now_us=AS_OF_US)
    assert rescore_dirty(store, scorer, AS_OF_US).scored == 1


def test_a_lead_that_cannot_be_scored_keeps_its_mark_and_nobody_waiting(
    store: Store, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "bad", at_us=AS_OF_US - 2 * DAY_US)
    put(store, "good")
    plain = rescoring.score_facts

    def broken(scorer: Scorer, lead_id: str, *arguments: Any, **options: Any) -> Any:
        if lead_id == "bad":
            raise DataError("odd facts")
        return plain(scorer, lead_id, *arguments, **options)

    monkeypatch.setattr(rescoring, "score_facts", broken)
    waiting = Waiting()
    first = rescore_dirty(store, scorer, AS_OF_US, limit=1, waiting=waiting)
    assert (first.scored, first.failed) == (0, 1)
    assert rescore_dirty(store, scorer, AS_OF_US, limit=1, waiting=waiting).scored == 1
    assert [lead.lead_id for lead in take_dirty(store)] == ["bad"]
    monkeypatch.undo()
    assert rescore_dirty(store, scorer, AS_OF_US + 2 * MINUTE_US, waiting=waiting).scored == 1


def test_a_change_goes_before_what_came_in_bulk(store: Store, scorer: Scorer) -> None:
    for lead_id in ("bulk", "changed"):
        row = dict.fromkeys(columns_of("leads")) | {"lead_id": lead_id, "created_at": 1, "known_at": 1, "custom": "{}"}
        row.pop("recorded_at")
        assert take_facts(store, "leads", [row], now_us=AS_OF_US - DAY_US // 2).written == 1
    clicked(store, "e1", lead_id="changed", at_us=AS_OF_US - HOUR_US, now_us=AS_OF_US)
    put(store, "new", at_us=AS_OF_US)
    assert [lead.lead_id for lead in take_dirty(store)] == ["changed", "new", "bulk"]
    assert rescore_dirty(store, scorer, AS_OF_US).scored == 3


def test_a_worker_that_lost_the_lease_writes_nothing(store: Store, scorer: Scorer) -> None:
    put(store)
    old = acquire(store, RESCORING, holder="old", ttl_us=SECOND_US, now_us=AS_OF_US)
    assert acquire(store, RESCORING, holder="new", ttl_us=SECOND_US, now_us=AS_OF_US + 2 * SECOND_US)
    with pytest.raises(LeaseLostError):
        rescore_dirty(store, scorer, AS_OF_US, lease=old)
    assert (history(store, "L-1"), count_dirty(store)[0]) == ([], 1)


def test_of_several_rescorers_each_change_is_scored_once_and_soon_and_another_takes_over(
    store: Store, scorer: Scorer
) -> None:
    met: list[str] = []
    crew = [Rescorer(store, lambda: scorer, interval_s=0.02, tell=met.append) for _ in range(3)]
    for each in crew:
        each.start()
    try:
        at_us = to_us(now()) - DAY_US
        records = [(LeadRecord(lead_id=f"L-{n:03}", created_at=at_us), at_us) for n in range(150)]
        put_leads(store, records)
        _until(lambda: count_dirty(store)[0] == 0)
        assert {len(history(store, f"L-{n:03}")) for n in range(150)} == {1}
        for each in crew[:2]:
            each.stop()
        clicked(store, "e1", lead_id="L-007", at_us=to_us(now()) - SECOND_US, now_us=to_us(now()))
        _until(lambda: count_dirty(store)[0] == 0)
        assert [given.score.features["whitepaper_downloads_30d"] for given in history(store, "L-007")] == [1.0, 0.0]
    finally:
        for each in crew:
            each.stop()
    assert met == []


def test_when_a_worker_dies_with_the_lease_another_goes_on(store: Store, scorer: Scorer) -> None:
    assert acquire(store, RESCORING, holder="dead", ttl_us=SECOND_US)
    put(store)
    other = Rescorer(store, lambda: scorer, interval_s=0.05)
    assert other.round().taken == 0
    assert Rescorer(store, lambda: None).round().taken == 0
    other.start()
    try:
        _until(lambda: count_dirty(store)[0] == 0)
    finally:
        other.stop()
    assert len(history(store, "L-1")) == 1
    assert acquire(store, RESCORING, holder="next", ttl_us=SECOND_US), "a lease that is not needed is given back"


def _until(done: Any) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline, "a change was not followed by a score within 30 seconds"
        time.sleep(0.02)
