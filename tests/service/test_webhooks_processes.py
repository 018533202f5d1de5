"""Several processes deliver at once and one is killed: each message arrives, once unless its sender died over it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from data import clock
from data.store import add_target, migrate, open_store, outbox, send_all
from data.store.deliveries import deliveries_of
from data.store.outbox import count_waiting
from serving.webhooks.delivering import Deliverer, Means
from serving.webhooks.posting import Timing
from serving.webhooks.signing import new_secret
from tests.data.stores import BOTH, ROOT, crowd
from tests.postgres import fresh_url
from tests.service.receivers import Got, genuine, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from data.store import Store

PROCESSES, MESSAGES = 4, 20

DELIVER = """
import time
import numpy as np
from data.store import open_store
from data.store.outbox import count_waiting
from serving.webhooks.backoff import Backoff
from serving.webhooks.delivering import Deliverer, Means
def work(each, url):
    store, told = open_store(url), []
    means = Means(private=True, backoff=Backoff(first_s=0.05, most_s=0.2))
    worker = Deliverer(
        store, means=means, generator=np.random.default_rng(each), tell=lambda *news: told.append(news[0])
    )
    until = time.monotonic() + 30
    while count_waiting(store) and time.monotonic() < until:
        worker.round()
        time.sleep(0.01)
    print(told.count("delivered"))
    store.close()
"""

HOLD = """
import sys, time
from data.store import open_store
from serving.webhooks.delivering import Deliverer, Means
from serving.webhooks.posting import Timing
store = open_store(sys.argv[1])
Deliverer(store, means=Means(private=True, timing=Timing(5.0, 60.0, 60.0))).start()
time.sleep(60)
"""


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_url(request.param, tmp_path) as found:
        migrate(found)
        yield found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


def test_processes_that_deliver_at_once_send_each_message_once(url: str, store: Store) -> None:
    refused, locked = Counter[str](), threading.Lock()

    def first_refuse_some(handler: BaseHTTPRequestHandler, got: Got) -> int:
        del handler
        with locked:
            refused[got.message_id] += 1
            return 500 if refused[got.message_id] == 1 and got.message_id[-1] in "01" else 200

    with receiving(first_refuse_some) as receiver:
        targets = [add_target(store, f"{receiver.url}/{n}", secret=new_secret()) for n in range(3)]
        for number in range(MESSAGES):
            send_all(store, "model_changed", {"number": number})
        delivered = [int(line) for line in crowd(DELIVER, PROCESSES, url)]
    assert (sum(delivered), count_waiting(store)) == (3 * MESSAGES, 0)
    expected = {each: 1 + (each[-1] in "01") for each in receiver.ids}
    assert (Counter(receiver.ids), len(expected)) == (expected, 3 * MESSAGES)
    for number, target in enumerate(targets):
        mine = [each for each in receiver.got if each.path == f"/hook/{number}"]
        assert {each.json()["data"]["number"] for each in mine} == set(range(MESSAGES))
        assert all(genuine(each, target.secret) for each in mine)


def test_what_a_killed_process_had_claimed_is_delivered_by_another_when_the_claim_ends(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer, arrived = threading.Event(), threading.Event()

    def stuck(handler: BaseHTTPRequestHandler, got: Got) -> int:
        del handler, got
        arrived.set()
        may_answer.wait(30)
        return 200

    with receiving(stuck) as receiver:
        target = add_target(store, receiver.url, secret=new_secret())
        for number in range(3):
            send_all(store, "model_changed", {"number": number})
        child = subprocess.Popen([sys.executable, "-c", HOLD, url], cwd=ROOT)
        try:
            assert arrived.wait(30)
        finally:
            child.kill()
            child.wait()
        receiver.answer = lambda *_: 200
        hold = timedelta(microseconds=Means(timing=Timing(5.0, 60.0, 60.0)).hold_us)
        worker = Deliverer(store, means=Means(private=True), generator=np.random.default_rng(7))
        for ahead, sent in ((timedelta(0), 1), (hold - timedelta(seconds=60), 1), (hold, 4)):
            monkeypatch.setattr(outbox, "now", lambda ahead=ahead: clock.now() + ahead)
            worker.round()
            assert len(receiver.got) == sent
        may_answer.set()
    assert sorted(Counter(receiver.ids).values()) == [1, 1, 2]
    found = deliveries_of(store, target.target_id) or []
    assert [(each.state, each.attempts) for each in found] == [("delivered", 1)] * 3
