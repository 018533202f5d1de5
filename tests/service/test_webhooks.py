"""Messages arrive: signed, once where all goes well, again where it does not, and nowhere else than they should."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa

from data.clock import DAY_US, now, to_us
from data.errors import DataError
from data.store import Store, add_target, claim_deliveries, record_scores, remove_target, send_all
from data.store.deliveries import Message, deliveries_of
from data.store.outbox import count_waiting, due_targets, send_ping
from data.store.schema import OUTBOX
from serving.webhooks import delivering
from serving.webhooks.backoff import Backoff
from serving.webhooks.delivering import Deliverer, Means
from serving.webhooks.posting import Line, Outcome, Timing, retry_after_of
from serving.webhooks.signing import new_secret, signed_headers
from tests.data.stores import BOTH, emptied, made_store, score
from tests.service.receivers import Got, Receiver, genuine, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler

    from data.store import Target

QUICK = Means(private=True, backoff=Backoff(first_s=0.05, most_s=0.5), timing=Timing(1.0, 1.0, 2.0))


@pytest.fixture(scope="module", params=BOTH)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store(request.param, tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def store(shared: Store) -> Store:
    return emptied(shared)


@pytest.fixture(scope="module")
def file_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store("sqlite", tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def simple(file_store: Store) -> Store:
    """For what does not depend on the database."""
    return emptied(file_store)


def target_at(store: Store, receiver: Receiver, **fields: Any) -> Target:
    return add_target(store, fields.pop("url", receiver.url), secret=new_secret(), **fields)


def deliverer(store: Store, means: Means = QUICK, **fields: Any) -> Deliverer:
    return Deliverer(store, means=means, generator=np.random.default_rng(7), **fields)


def deliver_all(store: Store, means: Means = QUICK, *, seconds: float = 10.0, **fields: Any) -> None:
    """Deliver until nothing waits."""
    worker, until = deliverer(store, means, **fields), time.monotonic() + seconds
    while count_waiting(store) and time.monotonic() < until:
        worker.round()
        time.sleep(0.02)
    assert count_waiting(store) == 0


def messages_of(store: Store, target: Target) -> list[Message]:
    found = deliveries_of(store, target.target_id)
    assert found is not None
    return found


def sent_once(store: Store, target: Target, means: Means = QUICK) -> tuple[Outcome, Message]:
    """Send a ping by hand and return how that ended and what one round would have noted."""
    send_ping(store, target.target_id)
    deliverer(store, means).round()
    (message,) = messages_of(store, target)
    return Outcome(str(message.status), delivered=message.state == "delivered"), message


def statuses(*told: int) -> Any:
    left = list(told)

    def answer(handler: BaseHTTPRequestHandler, got: Got) -> int:
        del handler, got
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def test_a_message_that_fails_twice_arrives_at_the_third_try_as_the_same_message(store: Store) -> None:
    with receiving(statuses(500, 503, 200)) as receiver:
        target = target_at(store, receiver)
        send_all(store, "model_changed", {"leads": 7})
        deliver_all(store)
        deliverer(store).round()
    assert len(receiver.got) == 3
    assert len({(each.message_id, each.body) for each in receiver.got}) == 1
    assert all(genuine(each, target.secret) for each in receiver.got)
    (message,) = messages_of(store, target)
    assert (message.state, message.attempts, message.status, message.next_us) == ("delivered", 3, "200", None)
    assert receiver.ids[0] == f"msg_{message.delivery_id}"
    told = receiver.got[0].json()
    assert told.keys() == {"id", "type", "occurred_at", "data"}
    assert (told["id"], told["type"], told["data"]) == (receiver.ids[0], "model_changed", {"leads": 7})


def test_a_change_of_grade_and_an_entered_pool_are_told_with_the_time_by_which_to_act(store: Store) -> None:
    with receiving() as receiver:
        target_at(store, receiver, pools=["A"])
        rules = {"points": 90, "pool": "A", "assign_within_minutes": 30}
        record_scores(store, [score(grade="B", pool="C")])
        record_scores(store, [score(grade="A", pool="A", rules=rules, as_of_us=20_001 * DAY_US, bundle="sha256:2")])
        deliver_all(store)
    told = {each.json()["type"]: each.json()["data"] for each in receiver.got}
    assert told.keys() == {"grade_changed", "pool_entered"}
    assert told["grade_changed"] == {
        "lead_id": "L-1",
        "score_id": told["pool_entered"]["score_id"],
        "as_of": "2024-10-05T00:00:00Z",
        "cause": "change",
        "new_model": True,
        "bundle": {"before": "sha256:1", "now": "sha256:2"},
        "grade": {"before": "B", "now": "A"},
        "pool": {"before": "C", "now": "A"},
    }
    limits = {"assign_within_minutes": 30, "assign_by": "2024-10-05T00:30:00Z"}
    assert told["pool_entered"] == told["grade_changed"] | limits


def test_the_decision_of_a_hand_over_sets_the_time_by_which_to_act(simple: Store) -> None:
    rules = {"assign_within_minutes": 30, "handover": {"pool": "A", "respond_within_minutes": 240}}
    with receiving() as receiver:
        target_at(simple, receiver, pools=["A"])
        record_scores(simple, [score(pool="A", rules=rules)])
        record_scores(simple, [score("L-2", pool="A", rules={"handover": {"respond_within_minutes": None}})])
        deliver_all(simple)
    told = {each.json()["data"]["lead_id"]: each.json()["data"]["assign_by"] for each in receiver.got}
    assert told == {"L-1": "2024-10-04T04:00:00Z", "L-2": None}


def test_a_receiver_that_asks_for_time_gets_it_up_to_a_bound(simple: Store) -> None:
    def busy(handler: BaseHTTPRequestHandler, got: Got) -> None:
        handler.send_response(429 if got.path == "/hook" else 503)
        handler.send_header("retry-after", "40" if got.path == "/hook" else "9999999")
        handler.send_header("content-length", "0")
        handler.end_headers()

    means = Means(private=True, backoff=Backoff(first_s=0.05, most_s=100.0))
    with receiving(busy) as receiver:
        soon, late = target_at(simple, receiver), target_at(simple, receiver, url=f"{receiver.url}/later")
        begun_us = to_us(now())
        waits = [sent_once(simple, target, means)[1].next_us for target in (soon, late)]
    assert all(wait is not None for wait in waits)
    assert [round(((wait or 0) - begun_us) / 5e6) for wait in waits] == [8, 20]


@pytest.mark.parametrize(("status", "final"), [(500, False), (404, False), (301, False), (410, True)])
def test_what_a_receiver_does_not_take_is_tried_again_but_not_where_it_says_never(
    simple: Store, status: int, final: bool
) -> None:
    with receiving(statuses(status)) as receiver:
        _, message = sent_once(simple, target_at(simple, receiver))
    assert (message.state, message.status) == ("failed" if final else "waiting", str(status))


def test_after_three_days_a_message_is_given_up_and_seen_as_failed(store: Store) -> None:
    told: list[tuple[str, int, str]] = []
    with receiving(statuses(500)) as receiver:
        target = target_at(store, receiver)
        send_ping(store, target.target_id, now_us=to_us(now()) - 3 * DAY_US)
        deliverer(store, tell=lambda *news: told.append(news)).round()
    (message,) = messages_of(store, target)
    assert (message.state, message.attempts, message.status, message.next_us) == ("failed", 1, "500", None)
    assert told == [("given_up", 1, "500")]
    assert [each.delivery_id for each in deliveries_of(store, target.target_id, state="failed") or []] == [
        message.delivery_id
    ]
    assert deliveries_of(store, target.target_id, state="delivered") == []


def test_waits_grow_are_scattered_and_end() -> None:
    backoff, generator = Backoff(), np.random.default_rng(7)
    waits = [backoff.next_try(3, created_us=0, now_us=0, generator=generator) or 0 for _ in range(200)]
    assert 22_500_000 <= min(waits) < 25_000_000
    assert 42_500_000 < max(waits) <= 45_000_000
    moment, tries = 0, 1
    while (later := backoff.next_try(tries, created_us=0, now_us=moment, generator=generator)) is not None:
        assert moment < later <= 3 * DAY_US
        moment, tries = later, tries + 1
    assert 15 <= tries <= 40
    assert moment > 2.5 * DAY_US


def test_a_redirect_is_not_followed(simple: Store) -> None:
    with receiving() as inner:

        def elsewhere(handler: BaseHTTPRequestHandler, got: Got) -> None:
            del got
            handler.send_response(307)
            handler.send_header("location", inner.url)
            handler.send_header("content-length", "0")
            handler.end_headers()

        with receiving(elsewhere) as receiver:
            outcome, message = sent_once(simple, target_at(simple, receiver))
    assert (outcome.delivered, message.status, len(receiver.got), inner.got) == (False, "307", 1, [])


def test_a_slow_receiver_holds_up_no_other(store: Store) -> None:
    may_answer = threading.Event()

    def slow(handler: BaseHTTPRequestHandler, got: Got) -> int:
        del handler, got
        may_answer.wait(20)
        return 200

    patient = Means(private=True, timing=Timing(5.0, 20.0, 20.0))
    with receiving(slow) as stuck, receiving() as quick:
        for receiver in (stuck, quick):
            target_at(store, receiver)
        for _ in range(25):
            send_all(store, "model_changed", {})
        worker = deliverer(store, patient, interval_s=0.02)
        worker.start()
        until = time.monotonic() + 10
        while len(quick.got) < 25 and time.monotonic() < until:
            time.sleep(0.02)
        assert (len(quick.got), len(stuck.got)) == (25, 1)
        may_answer.set()
        worker.stop()
    assert len(set(quick.ids)) == 25


def test_a_message_that_stop_leaves_is_due_at_once_for_another_worker(store: Store) -> None:
    with receiving() as receiver:
        target = target_at(store, receiver)
        for _ in range(5):
            send_all(store, "model_changed", {})
        worker = deliverer(store)

        def stop(*_: object) -> int:
            worker.stop(wait_s=0)
            return 200

        receiver.answer = stop
        worker.round()
        assert len(receiver.got) == 1
        receiver.answer = statuses(200)
        deliver_all(store, seconds=3)
    assert len(set(receiver.ids)) == len(receiver.got) == 5
    assert {each.attempts for each in messages_of(store, target)} == {1}


def test_an_answer_that_never_ends_takes_a_bounded_time_and_size(simple: Store) -> None:
    sent = [0]

    def endless(handler: BaseHTTPRequestHandler, got: Got) -> None:
        del got
        handler.send_response(200)
        handler.send_header("content-length", str(10**12))
        handler.end_headers()
        while True:
            sent[0] += handler.wfile.write(b"x" * 100_000)

    with receiving(endless) as receiver:
        outcome, _ = sent_once(simple, target_at(simple, receiver))
    assert outcome.delivered
    assert 0 < sent[0] < 50_000_000


def test_a_receiver_that_drips_is_left_at_the_end_of_the_try(simple: Store) -> None:
    def drip(handler: BaseHTTPRequestHandler, got: Got) -> None:
        del got
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-long: ")
        for _ in range(200):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    means = Means(private=True, timing=Timing(1.0, 0.3, 0.6))
    with receiving(drip) as receiver:
        begun = time.monotonic()
        outcome, message = sent_once(simple, target_at(simple, receiver), means)
        seconds = time.monotonic() - begun
    assert (outcome.delivered, message.status) == (False, "timeout")
    assert seconds < 5


def test_a_target_that_was_removed_gets_nothing_more_not_even_what_is_claimed(store: Store) -> None:
    told: list[tuple[str, int, str]] = []
    with receiving() as receiver:
        target = target_at(store, receiver)
        for _ in range(5):
            send_all(store, "model_changed", {})
        receiver.answer = lambda *_: 204 if remove_target(store, target.target_id) else 500
        worker = deliverer(store, tell=lambda *news: told.append(news))
        worker.round()
        worker.round()
    assert len(receiver.got) == 1
    assert count_waiting(store) == 0
    assert {news[0] for news in told} == {"lost"}
    assert deliveries_of(store, target.target_id) is None


def test_a_target_that_does_not_answer_is_left_alone_for_a_while(simple: Store) -> None:
    means = Means(private=True, backoff=Backoff(first_s=30.0))
    with receiving(statuses(500)) as receiver:
        target = target_at(simple, receiver)
        for _ in range(20):
            send_all(simple, "model_changed", {})
        worker = deliverer(simple, means)
        for _ in range(5):
            worker.round()
    assert len(receiver.got) == 1
    assert sorted(each.attempts for each in messages_of(simple, target)) == [*[0] * 19, 1]


def test_no_secret_address_or_content_comes_into_a_log(simple: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[tuple[str, int, str]] = []
    with receiving(statuses(503, 200)) as receiver:
        target = target_at(simple, receiver, url=f"{receiver.url}/t0ken?key=t0ken")
        record_scores(simple, [score("person-7", grade="B")])
        record_scores(simple, [score("person-7", grade="A", as_of_us=20_001 * DAY_US)])
        deliver_all(simple, tell=lambda *news: told.append(news))
        with Line(target, private=True) as line:
            said = f"{caplog.text} {told} {target!r} {line!r} {deliveries_of(simple, target.target_id)}"
    assert [news[0] for news in told] == ["failed", "delivered"]
    assert receiver.got[-1].path == "/hook/t0ken?key=t0ken"
    assert receiver.got[-1].json()["data"]["lead_id"] == "person-7"
    for hidden in (target.secret, target.secret.removeprefix("whsec_"), "t0ken", "person-7"):
        assert hidden not in said


def test_a_signature_is_what_the_specification_says() -> None:
    # The worked example of the libraries of Standard Webhooks.
    told = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        at_s=1614265330,
    )
    assert told["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_signature_does_not_fit_another_secret_body_id_or_time() -> None:
    rng, secret = np.random.default_rng(7), new_secret()
    for _ in range(20):
        body = rng.bytes(int(rng.integers(0, 200)))
        headers = dict(signed_headers(secret, "msg_1", body, at_s=1_700_000_000))
        assert genuine(Got("/", headers, body), secret)
        assert not genuine(Got("/", headers, body), new_secret())
        assert not genuine(Got("/", headers, body + b" "), secret)
        assert not genuine(Got("/", headers | {"webhook-id": "msg_2"}, body), secret)
        assert not genuine(Got("/", headers | {"webhook-timestamp": "1700000001"}, body), secret)
    with pytest.raises(DataError, match="whsec_"):
        signed_headers("secret", "msg_1", b"", at_s=0)


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    assert [retry_after_of(text) for text in ("7", "", "-7", "१", "soon")] == [7.0, None, None, None, None]
    assert retry_after_of("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    ahead = retry_after_of("Wed, 21 Oct 2099 07:28:00 GMT")
    assert ahead is not None
    assert ahead > 1e9


def test_trouble_with_the_store_is_told_and_the_next_round_goes_on(
    simple: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, str]] = []
    calls = [0]

    def fails_once(store: Store) -> list[Target]:
        calls[0] += 1
        if calls[0] == 1:
            raise OSError("a text that stays here")
        return due_targets(store)

    monkeypatch.setattr(delivering, "due_targets", fails_once)
    with receiving() as receiver:
        target_at(simple, receiver)
        send_all(simple, "model_changed", {})
        worker = Deliverer(simple, means=QUICK, interval_s=0.02, tell=lambda *news: told.append(news))
        worker.start()
        until = time.monotonic() + 5
        while not receiver.got and time.monotonic() < until:
            time.sleep(0.02)
        worker.stop()
    assert told[0] == ("fault", 1, "OSError")
    assert len(receiver.got) == 1
    assert any(news[0] == "waiting" for news in told)


def test_a_message_whose_lead_was_forgotten_is_not_sent(simple: Store) -> None:
    with receiving() as receiver:
        target = target_at(simple, receiver)
        record_scores(simple, [score(grade="B"), score("L-2", grade="B")])
        record_scores(simple, [score(each, grade="A", as_of_us=20_001 * DAY_US) for each in ("L-1", "L-2")])

        def forget(handler: BaseHTTPRequestHandler, got: Got) -> int:
            del handler
            gone = {"L-1", "L-2"} - {got.json()["data"]["lead_id"]}
            simple.write(lambda connection: connection.execute(sa.delete(OUTBOX).where(OUTBOX.c.lead_id.in_(gone))))
            return 200

        receiver.answer = forget
        deliverer(simple).round()
    assert len(receiver.got) == 1
    assert len(messages_of(simple, target)) == 1


def test_claims_are_of_one_target_where_one_is_asked_for(store: Store) -> None:
    with receiving() as receiver:
        first, second = target_at(store, receiver), target_at(store, receiver)
        for _ in range(3):
            send_all(store, "model_changed", {})
        found = claim_deliveries(store, limit=10, hold_us=DAY_US, target_id=second.target_id)
        assert [each.target.target_id for each in found] == [second.target_id] * 3
        rest = claim_deliveries(store, limit=10, hold_us=DAY_US)
    assert [each.target.target_id for each in rest] == [first.target_id] * 3
    assert json.dumps(dict(found[0].body)) == "{}"
