"""The running service while its store is away, locked, full or of another version: scores go on, nothing is lost."""

from __future__ import annotations

import json
import resource
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
import sqlalchemy as sa

from data.store.engine import open_store
from data.store.migrate import migrate
from data.store.schema import SCHEMA, SCORES
from serving.openapi import EXAMPLE_REQUEST
from serving.process.start import ServiceHandle
from tests.data.stores import rows_of
from tests.missing import missing_part
from tests.postgres import fresh_url
from tests.service.running import metric, post, running, soon, workers_of
from training.bundles.sealing import point_at, publish

if TYPE_CHECKING:
    from training.bundles.bundle import Bundle

LEAD = {"created_at": "2026-01-02T09:00:00Z", "modified_at": "2026-01-03T09:00:00Z", "source": "webinar"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Path:
    folder = tmp_path_factory.mktemp("store-faults")
    point_at(folder / "bundles", "current", publish(bundle, folder / "bundles"))
    return folder


def put(handle: ServiceHandle, lead_id: str, **change: Any) -> httpx.Response:
    return httpx.put(f"{handle.url}/v1/leads/{lead_id}", json={**LEAD, **change}, timeout=20)


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.fixture
def server(home: Path) -> Iterator[tuple[str, ServiceHandle]]:
    with fresh_url("postgres", home) as url:
        migrate(url)
        with running(home / "postgres", bundles=home / "bundles", store=url) as handle:
            yield url, handle


def test_scores_go_on_while_the_database_is_down_and_writes_are_told_to_come_again(
    server: tuple[str, ServiceHandle],
) -> None:
    url, handle = server
    assert put(handle, "L-1").json() == {"result": "new"}
    plain = sa.make_url(url)
    other = plain.set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(other, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{plain.database}" ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [plain.database])
        refused = put(handle, "L-2")
        assert (code(refused), refused.headers["retry-after"]) == ((503, "store_unavailable"), "5")
        assert code(httpx.get(f"{handle.url}/v1/leads/L-1/score")) == (503, "store_unavailable")
        assert post(handle).status == 200
        assert httpx.get(f"{handle.url}/readyz").status_code == 200
        admin.execute(f'ALTER DATABASE "{plain.database}" ALLOW_CONNECTIONS true')
    assert soon(lambda: put(handle, "L-2").status_code == 200, 15)
    assert httpx.get(f"{handle.url}/v1/leads/L-1/score").status_code == 200


@pytest.fixture(scope="module")
def file_of(home: Path) -> Iterator[tuple[Path, ServiceHandle]]:
    migrate(f"sqlite:///{home / 'store.sqlite'}")
    with running(home) as handle:
        yield home / "store.sqlite", handle


def test_a_locked_file_is_waited_for_and_then_refused_and_others_are_answered(
    file_of: tuple[Path, ServiceHandle],
) -> None:
    path, handle = file_of
    assert put(handle, "locked-1").status_code == 200
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        started = time.monotonic()
        refused = put(handle, "locked-2")
        assert code(refused) == (503, "store_unavailable")
        assert 5 < time.monotonic() - started < 15
        assert post(handle).status == 200
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    assert put(handle, "locked-2").json() == {"result": "new"}


def test_on_a_full_disk_nothing_is_acknowledged_and_when_there_is_space_again_all_goes_on(
    file_of: tuple[Path, ServiceHandle],
) -> None:
    if not hasattr(resource, "prlimit"):
        missing_part("this system cannot limit the files of another process")
    path, handle = file_of
    store = open_store(f"sqlite:///{path}")
    before = {row[0] for row in rows_of(store, "leads")["leads"]}
    assert put(handle, "L-0").status_code == 200
    (worker,) = workers_of(handle)
    free = resource.prlimit(worker, resource.RLIMIT_FSIZE)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (path.stat().st_size, free[1]))
    wide = {f"c{number}": "x" * 400 for number in range(400)}
    sent = [put(handle, f"L-{number}", custom=wide) for number in range(1, 30)]
    refused = [answer for answer in sent if answer.status_code != 200]
    assert refused
    assert {code(answer) for answer in refused} == {(503, "store_unavailable")}
    assert post(handle).status == 200
    resource.prlimit(worker, resource.RLIMIT_FSIZE, free)
    assert soon(lambda: put(handle, "L-30", custom=wide).status_code == 200)
    acknowledged = {f"L-{number}" for number, answer in enumerate(sent, 1) if answer.status_code == 200}
    assert {row[0] for row in rows_of(store, "leads")["leads"]} - before == acknowledged | {"L-0", "L-30"}
    store.close()
    assert workers_of(handle) == [worker]


def test_a_store_that_is_made_later_is_taken_and_one_of_another_version_ends_readiness(
    home: Path, tmp_path: Path
) -> None:
    with running(tmp_path, bundles=home / "bundles") as handle:
        assert code(put(handle, "L-1")) == (503, "store_missing")
        assert httpx.get(f"{handle.url}/readyz").status_code == 200
        url = f"sqlite:///{tmp_path / 'store.sqlite'}"
        migrate(url)
        assert soon(lambda: put(handle, "L-1").status_code == 200)
        with sqlite3.connect(tmp_path / "store.sqlite") as connection:
            connection.execute("UPDATE clew_schema SET version_num = '0001'")
        assert soon(lambda: httpx.get(f"{handle.url}/readyz").status_code == 503)
        assert code(put(handle, "L-2")) == (503, "store_schema")
        with sqlite3.connect(tmp_path / "store.sqlite") as connection:
            connection.execute("UPDATE clew_schema SET version_num = ?", [SCHEMA])
        assert soon(lambda: httpx.get(f"{handle.url}/readyz").status_code == 200)


def test_a_change_is_scored_soon_and_the_log_of_scores_is_written(file_of: tuple[Path, ServiceHandle]) -> None:
    path, handle = file_of
    store = open_store(f"sqlite:///{path}")
    taken = metric(handle, "clew_facts_total", kind="leads", result="new")
    assert put(handle, "changed").status_code == 200
    body = json.dumps({**EXAMPLE_REQUEST, "lead": {"lead_id": "asked"}}).encode()
    assert post(handle, body).status == 200

    def causes() -> set[tuple[str, str]]:
        lead_id, cause = (SCORES.c.keys().index(name) for name in ("lead_id", "cause"))
        return {(row[lead_id], row[cause]) for row in rows_of(store, "scores")["scores"]}

    assert soon(lambda: causes() >= {("changed", "change"), ("asked", "payload")}, 20)
    assert soon(lambda: metric(handle, "clew_facts_total", kind="leads", result="new") == taken + 1)
    store.close()
