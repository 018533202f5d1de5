"""A new model is told once, by numbers that no crash loses; messages and what causes them are written together."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa

from data.store import Store, add_target, claim_deliveries, migrate, open_store, record_scores, settle_delivery
from data.store.deliveries import deliveries_of
from data.store.model_moves import announce_model
from data.store.outbox import count_waiting, due_targets, give_back, is_claimed
from data.store.schema import SCHEMA
from tests.data.stores import BOTH, NOW_US, ROOT, SIGNING, crowd, emptied, made_store, rows_of, score
from tests.postgres import fresh_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOOK = "https://crm.example/hook"
_TARGET = """
INSERT INTO webhook_targets (target_id, url, secret, kinds, pools, created_at)
VALUES ('t1', 'https://crm.example/hook', 'x', '["model_changed"]', '[]', 1)
"""
_WAITING = """
INSERT INTO outbox (delivery_id, target_id, kind, body, created_at, due_at, attempts)
VALUES ('m1', 't1', 'model_changed', '{"leads"\\: 7}', 5, 6, 2)
"""


@pytest.fixture(scope="module", params=BOTH)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store(request.param, tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def store(shared: Store) -> Store:
    return emptied(shared)


def url_of(store: Store) -> str:
    if store.is_postgres:
        return store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return f"sqlite:///{str(store.engine.url.database).removeprefix('file:')}"


def given(store: Store, model: str, grades: dict[str, str], *, hour: int, cause: Any = "model") -> None:
    """Have a model score leads."""
    scores = [
        score(lead_id, bundle=model, grade=grade, pool=grade, as_of_us=NOW_US + hour, cause=cause)
        for lead_id, grade in grades.items()
    ]
    record_scores(store, scores, now_us=NOW_US + hour)


def bodies(store: Store) -> list[dict[str, Any]]:
    rows = claim_deliveries(store, limit=100, hold_us=1, now_us=NOW_US * 2)
    return [dict(row.body) for row in rows]


def test_a_new_model_is_summed_up_by_what_it_moved(store: Store) -> None:
    add_target(store, HOOK, secret=SIGNING)
    add_target(store, HOOK, secret=SIGNING, kinds=["grade_changed"])
    given(store, "sha256:a", dict(zip("123456", "AABBCC", strict=True)), hour=1, cause="batch")
    given(store, "sha256:b", dict(zip("1234567", "ABABBCA", strict=True)), hour=2)
    assert announce_model(store, "sha256:b", now_us=NOW_US)
    (body,) = bodies(store)
    changed = [
        {"before": "A", "now": "B", "leads": 1},
        {"before": "B", "now": "A", "leads": 1},
        {"before": "C", "now": "B", "leads": 1},
    ]
    assert body == {
        "cause": "model",
        "bundle": {"before": "sha256:a", "now": "sha256:b"},
        "leads": 6,  # the seventh was scored for the first time
        "regraded": 3,
        "grades": changed,
        "pools": changed,
    }


def test_the_same_model_is_told_once_and_one_that_comes_back_again(store: Store) -> None:
    add_target(store, HOOK, secret=SIGNING)
    grades = dict.fromkeys("123", "A")
    assert not announce_model(store, "sha256:a")
    given(store, "sha256:a", grades, hour=1, cause="batch")
    assert not announce_model(store, "sha256:a")
    told = []
    for hour, model in enumerate(["sha256:b", "sha256:b", "sha256:a", "sha256:a", "sha256:b", ""], start=2):
        given(store, model, grades, hour=hour)
        told.append((announce_model(store, model), announce_model(store, model)))
    assert told == [(True, False), (False, False), (True, False), (False, False), (True, False), (True, False)]
    # Sent at once, they are in no order.
    found = sorted((str(body["bundle"]["before"]), str(body["bundle"]["now"])) for body in bodies(store))
    assert found == sorted(
        [("sha256:a", "sha256:b"), ("sha256:b", "sha256:a"), ("sha256:a", "sha256:b"), ("sha256:b", "None")]
    )


def test_what_a_batch_moved_before_it_was_killed_is_told_by_the_next(store: Store) -> None:
    add_target(store, HOOK, secret=SIGNING)
    given(store, "sha256:a", dict.fromkeys("1234", "A"), hour=1, cause="batch")
    given(store, "sha256:b", dict.fromkeys("12", "B"), hour=2)
    given(store, "sha256:b", dict.fromkeys("12", "B"), hour=3, cause="batch")
    given(store, "sha256:b", dict.fromkeys("34", "A"), hour=3)
    assert announce_model(store, "sha256:b")
    (body,) = bodies(store)
    assert (body["leads"], body["regraded"]) == (4, 2)


def test_a_batch_of_the_model_before_that_ends_late_takes_nothing_from_the_summary(store: Store) -> None:
    add_target(store, HOOK, secret=SIGNING)
    given(store, "sha256:a", dict.fromkeys("1234", "A"), hour=1, cause="batch")
    given(store, "sha256:b", dict.fromkeys("12", "B"), hour=2)
    assert not announce_model(store, "sha256:a")
    given(store, "sha256:b", dict.fromkeys("34", "B"), hour=2)
    assert announce_model(store, "sha256:b")
    assert [body["leads"] for body in bodies(store)] == [4]


def test_a_model_that_was_taken_back_before_it_was_told_is_not_told(store: Store) -> None:
    add_target(store, HOOK, secret=SIGNING)
    grades = dict.fromkeys("123", "A")
    given(store, "", grades, hour=0, cause="batch")
    given(store, "sha256:a", grades, hour=1)
    assert announce_model(store, "sha256:a")
    given(store, "sha256:b", {"1": "B"}, hour=2, cause="change")
    given(store, "sha256:a", {"1": "A"}, hour=3)
    assert not announce_model(store, "sha256:a")
    given(store, "sha256:b", grades, hour=4)
    assert announce_model(store, "sha256:b")
    found = {body["bundle"]["now"]: body for body in bodies(store) if body["cause"] == "model"}
    assert (found["sha256:a"]["bundle"]["before"], found["sha256:b"]["leads"]) == (None, 3)


def test_what_a_model_moved_is_counted_as_a_slow_count_does(store: Store) -> None:
    add_target(store, HOOK, secret=SIGNING)
    rng = np.random.default_rng(7)
    last, moved, regraded = dict[str, tuple[str, str]](), 0, 0
    for hour in range(40):
        model, lead_id, grade = (str(rng.choice(list(each))) for each in ("xy", "12345678", "ABC"))
        record_scores(store, [score(lead_id, bundle=model, grade=grade, pool=grade, as_of_us=NOW_US + hour)])
        before = last.get(lead_id)
        if before is not None and before[0] != model == "y":
            moved, regraded = moved + 1, regraded + (before[1] != grade)
        last[lead_id] = (model, grade)
    assert announce_model(store, "y")
    (body,) = [each for each in bodies(store) if "regraded" in each]
    assert (body["leads"], body["regraded"]) == (moved, regraded)
    assert moved > regraded > 0


ANNOUNCE = """
from data.store import open_store, record_scores
from data.store.model_moves import announce_model
from tests.data.stores import NOW_US, score
def work(each, url):
    store = open_store(url)
    for start in range(0, 40, 8):
        told = dict(bundle="sha256:b", grade="B", as_of_us=NOW_US + 1, cause="model")
        record_scores(store, [score(f"L-{n}", **told) for n in range(start, start + 8)], now_us=NOW_US)
    print(announce_model(store, "sha256:b", now_us=NOW_US))
    store.close()
"""


def test_of_several_processes_that_score_with_a_new_model_one_tells_it_and_counts_each_lead_once(store: Store) -> None:
    add_target(store, HOOK, secret=SIGNING)
    given(store, "sha256:a", {f"L-{n}": "A" for n in range(40)}, hour=0, cause="batch")
    told = crowd(ANNOUNCE, 4, url_of(store))
    assert sorted(told) == ["False", "False", "False", "True"]
    (body,) = bodies(store)
    assert (body["leads"], body["regraded"]) == (40, 40)
    assert len(rows_of(store, "model_changes")["model_changes"]) == 1


KILLED = """
import os, signal, sys
from data.store import open_store, record_scores, scores
from data.store.outbox import announce
from tests.data.stores import NOW_US, score
url, where = sys.argv[1:]
def die(*told, **named):
    if where == "after the messages":
        assert announce(*told) == 1
    os.kill(os.getpid(), signal.SIGKILL)
scores.announce = die
record_scores(open_store(url), [score(grade="A", as_of_us=NOW_US + 1)], now_us=NOW_US)
"""


@pytest.mark.parametrize("where", ["before the messages", "after the messages"])
def test_a_process_killed_between_score_and_message_has_written_neither(store: Store, where: str) -> None:
    add_target(store, HOOK, secret=SIGNING)
    record_scores(store, [score(grade="B")], now_us=NOW_US)
    before = rows_of(store)
    done = subprocess.run([sys.executable, "-c", KILLED, url_of(store), where], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    again = open_store(url_of(store))
    assert rows_of(again) == before
    assert record_scores(again, [score(grade="A", as_of_us=NOW_US + 1)], now_us=NOW_US).messages == 1
    again.close()


def test_a_change_says_whether_another_model_made_it(store: Store) -> None:
    add_target(store, HOOK, secret=SIGNING)
    given(store, "sha256:a", {"1": "A", "2": "A"}, hour=0, cause="batch")
    given(store, "sha256:a", {"1": "B"}, hour=1, cause="change")
    given(store, "sha256:b", {"2": "B"}, hour=1, cause="change")
    found = {body["lead_id"]: (body["new_model"], body["bundle"]["now"]) for body in bodies(store)}
    assert found == {"1": (False, "sha256:a"), "2": (True, "sha256:b")}


@pytest.mark.parametrize("kind", BOTH)
def test_a_message_that_waits_during_an_upgrade_is_sent_after_it(kind: str, tmp_path: Path) -> None:
    with fresh_url(kind, tmp_path) as url:
        migrate(url, to="0003")
        old = open_store(url)
        old.write(lambda connection: connection.execute(sa.text(_WAITING)).close())
        old.write(lambda connection: connection.execute(sa.text(_TARGET)).close())
        old.close()
        assert migrate(url).after == SCHEMA
        store = open_store(url)
        (found,) = claim_deliveries(store, limit=9, hold_us=1, now_us=10)
        assert (found.delivery_id, dict(found.body), found.attempts, found.created_us) == ("m1", {"leads": 7}, 2, 5)
        store.close()


def test_what_is_given_back_is_due_again_and_was_not_tried(store: Store) -> None:
    target = add_target(store, HOOK, secret=SIGNING)
    given(store, "a", {"1": "A", "2": "A"}, hour=0)
    given(store, "a", {"1": "B", "2": "B"}, hour=1, cause="change")
    first, second = claim_deliveries(store, limit=9, hold_us=1_000, now_us=NOW_US + 9)
    assert due_targets(store, now_us=NOW_US + 9) == []
    assert is_claimed(store, first)
    assert give_back(store, [first], due_us=NOW_US + 20) == 1
    assert not is_claimed(store, first)
    assert give_back(store, [first], due_us=0) == 0
    assert [each.target_id for each in due_targets(store, now_us=NOW_US + 20)] == [target.target_id]
    assert settle_delivery(store, second, delivered=False, retry_us=None, status="500", now_us=NOW_US + 21)
    assert count_waiting(store) == 1
    found = {each.delivery_id: each for each in deliveries_of(store, target.target_id) or []}
    assert (found[first.delivery_id].state, found[first.delivery_id].attempts) == ("waiting", 0)
    gone = found[second.delivery_id]
    assert (gone.state, gone.attempts, gone.status, gone.tried_us) == ("failed", 1, "500", NOW_US + 21)
    assert deliveries_of(store, target.target_id, before="0" * 32) == []
    assert json.dumps([each.kind for each in found.values()]) == '["grade_changed", "grade_changed"]'
