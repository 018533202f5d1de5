"""Several processes write at once and some are killed: what was acknowledged is there, once, and nobody works twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from data.errors import InfrastructureError
from data.store import add_events, add_target, engine, lead_facts, migrate, open_store, record_scores
from data.store.schema import FACTS
from tests.data.stores import BOTH, NOW_US, ROOT, SIGNING, crowd, event, rows_of, score
from tests.postgres import fresh_url
from tests.reference.worlds import EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from data.store import Store

PROCESSES, EVENTS, KILLS = (8, 2000, 20) if EVIDENCE else (4, 240, 4)

# Each tells the same events of the same leads, in an order and in portions of its own, with leads in between.
WRITE = """
import json, random
from collections import Counter
from data.clock import DAY_US
from data.store import AccountRecord, add_events, open_store, put_account, put_lead
from tests.data.stores import NOW_US, event, lead
def work(seed, url, number):
    store, dice = open_store(url), random.Random(seed)
    events = [event(f"e{n}", f"L-{n % 7}") for n in range(int(number))]
    dice.shuffle(events)
    told = Counter()
    while events:
        size = dice.randrange(1, 40)
        portion, events = events[:size], events[size:]
        told.update(f"event {verdict}" for verdict in add_events(store, portion, now_us=NOW_US))
        each, day = f"L-{dice.randrange(7)}", dice.randrange(3)
        record = lead(each, account_id="A", source=f"source {day}", contact={"email": f"{each}@acme.example"})
        told[f"lead {put_lead(store, record, modified_us=(20 + day) * DAY_US, now_us=NOW_US)}"] += 1
        account = AccountRecord(account_id="A", industry=f"industry {day}")
        told[f"account {put_account(store, account, modified_us=(20 + day) * DAY_US, now_us=NOW_US)}"] += 1
    print(json.dumps(told))
"""

# For each line of input forks a child that writes event after event, and says of each once the store has answered.
ACKNOWLEDGE = """
import os, sys
from data.clock import DAY_US
from data.store import add_events, open_store, put_lead
from tests.data.stores import NOW_US, event, lead
def work(url, run):
    store = open_store(url)
    for number in range(1_000_000):
        told = add_events(store, [event(f"{run}-{number}-{part}") for part in range(3)], now_us=NOW_US)
        us = (20 + int(run)) * DAY_US + number
        assert told == ("new",) * 3
        assert put_lead(store, lead(source=f"{run}-{number}"), modified_us=us, now_us=NOW_US) == "new"
        print(f"{number} ", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            work(sys.argv[1], line.strip())
        finally:
            os._exit(1)
    print(child, flush=True)
    print("\\nended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

# Asks for the lease until it had it three times; while it has it, nobody else may have the file.
LEASE = """
import os, time
from data.store import acquire, open_store, release
def work(each, url, path):
    store, tokens = open_store(url), []
    while len(tokens) < 3:
        lease = acquire(store, "rescore", holder=str(each), ttl_us=60_000_000)
        if lease is None:
            time.sleep(0.002)
            continue
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        time.sleep(0.01)
        os.unlink(path)
        tokens.append(lease.token)
        release(store, lease)
    print(*tokens)
"""


# Each records the same changes of grade, and then delivers what it can claim.
SCORE = """
import time
from data.store import claim_deliveries, open_store, record_scores, settle_delivery
from tests.data.stores import NOW_US, score
def work(each, url):
    store = open_store(url)
    regraded = 0
    for step in range(1, 6):
        grade = "AB"[step % 2]
        told = [score(f"L-{n}", grade=grade, as_of_us=NOW_US + step, cause="change") for n in range(10)]
        regraded += record_scores(store, told, now_us=NOW_US).regraded
    print("regraded", regraded)
    empty = 0
    while empty < 5:  # a claim may come back empty-handed while others are claiming
        found = claim_deliveries(store, limit=3, hold_us=60_000_000, now_us=NOW_US)
        empty = 0 if found else empty + 1
        time.sleep(0 if found else 0.02)
        for each in found:
            assert settle_delivery(store, each, delivered=True, now_us=NOW_US)
            print("delivered", each.delivery_id)
"""

# Writes until the file may not grow any more; says how many calls were acknowledged, and how the last one ended.
FULL = """
import resource
from data.errors import InfrastructureError
from data.store import add_events, open_store
from tests.data.stores import NOW_US, event
def work(each, url):
    store = open_store(url)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    for number in range(100_000):
        try:
            add_events(store, [event(f"{number}-{part}", content_id="x" * 300) for part in range(5)], now_us=NOW_US)
        except InfrastructureError as error:
            print(number, error.exit_code)
            return
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


def test_processes_that_write_the_same_keys_at_once_lose_nothing_and_double_nothing(url: str, store: Store) -> None:
    counts = [json.loads(line) for line in crowd(WRITE, PROCESSES, url, str(EVENTS))]

    def total(*names: str) -> int:
        return sum(count.get(name, 0) for count in counts for name in names)

    rows = rows_of(store)
    assert total("event new") == len(rows["events"]) == EVENTS
    assert total("event new", "event duplicate") == EVENTS * PROCESSES
    assert total("lead new", "lead older") == len(rows["leads"])
    assert total("lead conflict", "account conflict", "event conflict") == 0
    assert total("account new", "account older") == len(rows["accounts"])
    assert {row[0] for row in rows["dirty_leads"]} == {row[0] for row in rows["leads"]}
    found = lead_facts(store, "L-0", as_of_us=NOW_US)
    assert len(found.events) == sum(n % 7 in {int(row[0][2:]) for row in rows["leads"]} for n in range(EVENTS))


@pytest.fixture
def nursery(url: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", ACKNOWLEDGE, url]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as opened:
        yield opened


def acknowledged_before_a_kill(nursery: subprocess.Popen[str], run: int, after_s: float) -> int:
    """Let a child write, kill it, and return how many rounds it had said to be acknowledged."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    print(run, file=nursery.stdin, flush=True)
    child = int(nursery.stdout.readline())
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    told = []
    while not (line := nursery.stdout.readline()).startswith("ended"):
        told.append(line)
    assert line == f"ended {-signal.SIGKILL}\n"
    # A line that was cut short was not said.
    return sum(line.endswith(" \n") for line in told)


def test_after_a_kill_every_acknowledged_row_is_there_and_none_twice(
    store: Store, nursery: subprocess.Popen[str]
) -> None:
    acknowledged: dict[int, int] = {}
    for run, after_s in enumerate(np.random.default_rng(7).uniform(0.1, 0.6, KILLS)):
        acknowledged[run] = acknowledged_before_a_kill(nursery, run, after_s)
        with store.reading() as connection:
            events = list(connection.scalars(sa.select(FACTS["events"].c.event_id)))
            sources = list(connection.scalars(sa.select(FACTS["leads"].c.source)))
        assert len(events) == len(set(events))
        assert len(sources) == len(set(sources))
        for each, count in acknowledged.items():
            written = {event for event in events if event.startswith(f"{each}-")}
            assert written >= {f"{each}-{number}-{part}" for number in range(count) for part in range(3)}
            # At most the one round that was under way has written more, and its events all at once.
            assert len(written) in {3 * count, 3 * count + 3}
            assert set(sources) >= {f"{each}-{number}" for number in range(count)}
    assert sum(acknowledged.values()) > KILLS


def test_a_lease_is_held_by_one_of_many(url: str, tmp_path: Path) -> None:
    tokens = [int(token) for line in crowd(LEASE, PROCESSES, url, str(tmp_path / "held")) for token in line.split()]
    assert sorted(tokens) == list(range(1, 3 * PROCESSES + 1))


def test_processes_that_score_at_once_see_a_change_of_grade_once_and_deliver_it_once(url: str, store: Store) -> None:
    add_target(store, "https://crm.example/hook", secret=SIGNING)
    record_scores(store, [score(f"L-{n}", grade="A", as_of_us=NOW_US) for n in range(10)], now_us=NOW_US)
    lines = [line.split() for line in crowd(SCORE, PROCESSES, url)]
    rows = rows_of(store, "outbox", "scores")
    assert len(rows["scores"]) == 60
    delivered = [line[1] for line in lines if line[0] == "delivered"]
    assert sum(int(line[1]) for line in lines if line[0] == "regraded") == len(rows["outbox"]) == len(delivered)
    assert len(set(delivered)) == len(delivered)
    assert 10 <= len(delivered) <= 50


def test_a_full_disk_is_told_and_what_was_acknowledged_before_is_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    migrate(url)
    (line,) = crowd(FULL, 1, url)
    acknowledged, code = map(int, line.split())
    assert code == InfrastructureError.exit_code
    store = open_store(url)
    events = {row[1] for row in rows_of(store, "events")["events"]}
    assert acknowledged > 0
    assert events == {f"{number}-{part}" for number in range(acknowledged) for part in range(5)}
    assert add_events(store, [event("after")], now_us=NOW_US) == ("new",)
    store.close()


def test_a_server_that_dropped_its_connections_is_used_again(tmp_path: Path) -> None:
    with fresh_url("postgres", tmp_path) as url:
        migrate(url)
        store = open_store(url)
        add_events(store, [event("before")], now_us=NOW_US)

        def drop(connection: sa.Connection) -> None:
            gone = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()")
            connection.execute(gone)

        with pytest.raises(InfrastructureError, match="cannot be"):
            store.write(drop)
        assert add_events(store, [event("before"), event("after")], now_us=NOW_US) == ("duplicate", "new")
        store.close()


def test_who_waits_too_long_for_another_writer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WAIT_MS", 50)
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    migrate(url)
    store, other = open_store(url), open_store(url)

    def wait(_: sa.Connection) -> None:
        add_events(other, [event("e1")], now_us=NOW_US)

    with pytest.raises(InfrastructureError, match="locked"):
        store.write(wait)
    assert add_events(other, [event("e1")], now_us=NOW_US) == ("new",)
    store.close()
    other.close()
