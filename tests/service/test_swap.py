"""The champion is replaced while leads are being scored, by two workers, one of which is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from features.scorecard import load_scorecard
from serving.openapi import EXAMPLE_REQUEST
from serving.process.start import ServiceHandle
from serving.scoring.payload import parse_request
from serving.scoring.scorer import Scorer
from tests.service.running import log_lines, metric, post, running, soon, workers_of
from tests.service.traffic import Told, drive, request_bytes
from training.bundles.bundle import pointed_bundle
from training.bundles.sealing import point_at, publish

if TYPE_CHECKING:
    from pathlib import Path

    from training.bundles.bundle import Bundle

LEADS = [{**EXAMPLE_REQUEST, "lead": {**EXAMPLE_REQUEST["lead"], "lead_id": f"L-{k}"}} for k in range(8)]
# Seconds until a worker that comes or changes has to be seen: an upper bound, for a machine that does much else.
WAIT = 90
REQUESTS = [request_bytes(json.dumps(lead).encode()) for lead in LEADS]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Path:
    folder = tmp_path_factory.mktemp("swap")
    point_at(folder / "bundles", "current", publish(bundle, folder / "bundles"))
    return folder


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[ServiceHandle]:
    with running(home, workers=2) as handle:
        yield handle


class Traffic:
    """Clients in a thread, for as long as the block lasts."""

    def __init__(self, handle: ServiceHandle) -> None:
        self.told = Told()
        self._port = int(handle.url.rsplit(":", 1)[1])
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.is_set():
            told = asyncio.run(drive(self._port, REQUESTS, clients=4, seconds=0.5, keep=True))
            self.told.statuses += told.statuses
            for bundle, answers in told.answers.items():
                self.told.answers.setdefault(bundle, set()).update(answers)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def answers_of(bundle: Bundle) -> set[str]:
    scorer = Scorer(bundle, load_scorecard())
    told = [scorer.score(parse_request(json.dumps(lead).encode()), as_of_us=0) for lead in LEADS]
    return {json.dumps([answer["lead_id"], answer["probability"], answer["reasons"]]) for answer in told}


def workers_with(handle: ServiceHandle, bundle: Bundle) -> float:
    return metric(handle, "clew_bundle_workers", bundle=bundle.digest)


def test_a_new_champion_is_taken_by_all_workers_during_traffic_with_no_failed_and_no_mixed_answer(
    service: ServiceHandle, home: Path, bundle: Bundle, other_bundle: Bundle
) -> None:
    assert soon(lambda: workers_with(service, bundle) == 2, WAIT)
    with Traffic(service) as traffic:
        point_at(home / "bundles", "current", publish(other_bundle, home / "bundles"))
        assert soon(lambda: workers_with(service, other_bundle) == 2, WAIT)
    assert set(traffic.told.statuses) == {"200"}
    assert traffic.told.answers == {each.digest: answers_of(each) for each in (bundle, other_bundle)}
    assert workers_with(service, bundle) == 0
    assert soon(lambda: pointed_bundle(home / "bundles", "last_good") == pointed_bundle(home / "bundles"), WAIT)


def test_a_bad_bundle_is_refused_logged_and_counted_and_the_old_one_stays(
    service: ServiceHandle, home: Path, bundle: Bundle, other_bundle: Bundle
) -> None:
    bad = publish(bundle, home / "bundles")
    trees = bad / "model.trees.txt"
    whole = trees.read_bytes()
    trees.write_bytes(whole[: len(whole) // 2])
    before = metric(service, "clew_bundle_changes_total", result="refused")
    with Traffic(service) as traffic:
        point_at(home / "bundles", "current", bad)
        assert soon(lambda: metric(service, "clew_bundle_changes_total", result="refused") == before + 2, WAIT)
    assert set(traffic.told.statuses) == {"200"}
    assert set(traffic.told.answers) == {other_bundle.digest}
    assert soon(lambda: len(log_lines(service, "bundle")) >= 2, WAIT)
    assert "has been changed or damaged" in log_lines(service, "bundle")[-1]["why"]
    assert pointed_bundle(home / "bundles", "last_good") != bad


def test_a_worker_killed_under_load_costs_no_more_than_what_it_was_answering(service: ServiceHandle) -> None:
    before = set(workers_of(service))
    with Traffic(service) as traffic:
        os.kill(min(before), signal.SIGKILL)
        assert soon(lambda: len(set(workers_of(service)) - before) == 1, WAIT)
    # Four clients: what was on the way to the killed worker breaks, everything after is answered.
    assert set(traffic.told.statuses) <= {"200", "broken"}
    assert traffic.told.statuses["broken"] <= 4
    assert soon(lambda: post(service).status == 200, WAIT)
    assert soon(lambda: metric(service, "clew_bundle_workers") == 2, WAIT)
