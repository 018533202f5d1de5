"""Eight clients send events, shuffled and some twice, while the server is killed: none is lost, none counted twice."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from data.clock import from_us, iso, now, to_us
from data.store.engine import Store, open_store
from data.store.migrate import migrate
from data.store.schema import FACTS, SCORES
from data.sync import sync
from data.warehouse import Warehouse
from monitoring.served_features import check_served
from serving.process.start import ServiceHandle
from tests.data.stores import BOTH, rows_of
from tests.postgres import fresh_url
from tests.service.running import running, soon, workers_of
from training.bundles.sealing import point_at, publish

if TYPE_CHECKING:
    from training.bundles.bundle import Bundle

EVIDENCE = os.environ.get("CLEW_EVIDENCE") == "1"
EVENTS = 10_000 if EVIDENCE else 800
CLIENTS, LEADS, DUPLICATES = 8, 60, 0.1
TYPES = ("page_view", "whitepaper_download", "webinar", "email_open", "demo_request")


def made_up(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return events of the last 80 days, each with the moment at which it was known."""
    end = to_us(now())
    found = []
    for number in range(EVENTS):
        at_us = end - int(rng.integers(60_000_000, 80 * 86_400_000_000))
        moment = iso(from_us(at_us))
        found.append(
            {
                "specversion": "1.0",
                "source": "site",
                "id": f"e{number}",
                "type": str(rng.choice(TYPES)),
                "time": moment,
                "subject": f"L-{int(rng.integers(LEADS))}",
                "data": {"known_at": moment, "content_id": f"c{int(rng.integers(9))}"},
            }
        )
    return found


@dataclass
class Sender:
    """A client that sends its requests one after the other, each until it is acknowledged."""

    port: int
    batches: list[list[dict[str, Any]]]
    results: Counter[str] = field(default_factory=Counter)
    retries: int = 0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        for batch in self.batches:
            while (told := self._sent(connection, batch)) is None:
                self.retries += 1
                connection.close()
                time.sleep(0.1)
            self.results.update(told)
        connection.close()

    def _sent(self, connection: http.client.HTTPConnection, batch: list[dict[str, Any]]) -> list[str] | None:
        body = json.dumps(batch[0] if len(batch) == 1 else batch)
        try:
            connection.request("POST", "/v1/events", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        if answer.status != 200:
            return None
        told = json.loads(content)
        return [item["result"] for item in told.get("results", [told])]


def dealt(events: list[dict[str, Any]], rng: np.random.Generator) -> list[list[list[dict[str, Any]]]]:
    """Deal the events and a tenth of them again to the clients, in requests of one to twenty."""
    again = rng.choice(len(events), round(DUPLICATES * len(events)), replace=False)
    order = rng.permutation(np.concatenate([np.arange(len(events)), again]))
    found: list[list[list[dict[str, Any]]]] = []
    for share in np.array_split(order, CLIENTS):
        batches, rest = [], list(share)
        while rest:
            size = int(rng.choice([1, 1, 5, 20]))
            batches.append([events[number] for number in rest[:size]])
            rest = rest[size:]
        found.append(batches)
    return found


def put_leads(handle: ServiceHandle) -> None:
    port = int(handle.url.rsplit(":", 1)[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    moment = iso(from_us(to_us(now()) - 90 * 86_400_000_000))
    for number in range(LEADS):
        body = {"created_at": moment, "modified_at": moment, "source": "webinar", "account_id": f"A-{number % 20}"}
        connection.request("PUT", f"/v1/leads/L-{number}", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())) == (200, {"result": "new"})
    connection.close()


def stored(store: Store) -> int:
    return len(rows_of(store, "events")["events"])


@pytest.mark.parametrize("kind", BOTH)
def test_nothing_acknowledged_is_lost_and_nothing_counted_twice(kind: str, tmp_path: Path, bundle: Bundle) -> None:
    rng = np.random.default_rng(11)
    events = made_up(rng)
    point_at(tmp_path / "bundles", "current", publish(bundle, tmp_path / "bundles"))
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(fresh_url(kind, tmp_path))
        migrate(url)
        store = open_store(url)
        stack.callback(store.close)
        handle = stack.enter_context(running(tmp_path, store=url, workers=2))
        put_leads(handle)
        port = int(handle.url.rsplit(":", 1)[1])
        senders = [Sender(port, batches) for batches in dealt(events, rng)]
        threads = [threading.Thread(target=sender.run) for sender in senders]
        for thread in threads:
            thread.start()
        # All workers at once, the first time after a fifth of the events and again after three fifths.
        for share in (0.2, 0.6):
            assert soon(lambda share=share: stored(store) > share * EVENTS, 300)  # type: ignore[misc]
            for worker in workers_of(handle):
                os.kill(worker, signal.SIGKILL)
        for thread in threads:
            thread.join(300)
        assert not any(thread.is_alive() for thread in threads)

        results = sum((sender.results for sender in senders), Counter())
        assert set(results) == {"new", "duplicate"}
        assert results.total() == EVENTS + round(DUPLICATES * EVENTS)
        # The kills hit requests under way: an event that was stored but not acknowledged comes again as a duplicate.
        assert sum(sender.retries for sender in senders) > 0
        assert results["new"] <= EVENTS
        names = [FACTS["events"].c.keys().index(name) for name in ("source", "event_id", "lead_id", "type")]
        found = sorted(tuple(row[place] for place in names) for row in rows_of(store, "events")["events"])
        assert found == sorted((e["source"], e["id"], e["subject"], e["type"]) for e in events)

        # Rescored within a minute of the last change; asked now, from the same features as are computed offline.
        assert soon(lambda: not rows_of(store, "dirty_leads")["dirty_leads"], 60)
        for number in range(LEADS):
            assert httpx.get(f"{handle.url}/v1/leads/L-{number}/score").status_code == 200
        # Earlier scores were given before all events of the account had come.
        store.execute(sa.delete(SCORES).where(SCORES.c.cause != "request"), {})
        warehouse = Warehouse(tmp_path / "warehouse")
        sync(store, warehouse)
        checked = check_served(store, warehouse, lambda _: bundle.catalogue, sample=LEADS, rng=rng)
        assert (checked.compared, checked.agreeing, checked.differing) == (LEADS, LEADS, {})
