"""The running service, keys demanded, against its own description: what Schemathesis makes up is answered as told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from data.store.engine import Store, open_store
from data.store.keys import create_key, revoke_key
from data.store.migrate import migrate
from serving.keys.keyring import FRESH_SECONDS
from serving.openapi import EXAMPLE_REQUEST
from serving.process.start import ServiceHandle
from tests.service.running import running, soon
from training.bundles.sealing import point_at, publish

if TYPE_CHECKING:
    from training.bundles.bundle import Bundle


CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = 500 if os.environ.get("CLEW_EVIDENCE") == "1" else 8


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path_factory.mktemp('contract') / 'store.sqlite'}"
    migrate(url)
    found = open_store(url)
    yield found
    found.close()


@pytest.fixture(scope="module")
def key(store: Store) -> str:
    return create_key(store, "crm", role="manager", scopes=["score"])[1]


@pytest.fixture(scope="module")
def master(store: Store) -> str:
    return create_key(store, "all", role="admin", scopes=["score", "ingest", "read", "admin"])[1]


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, store: Store, key: str, bundle: Bundle
) -> Iterator[ServiceHandle]:
    home = tmp_path_factory.mktemp("contract-home")
    point_at(home / "bundles", "current", publish(bundle, home / "bundles"))
    path = str(store.engine.url.database).removeprefix("file:")
    with running(home, store=f"sqlite:///{path}") as handle:
        yield handle


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_every_request_that_can_be_made_up_is_answered_as_described(service: ServiceHandle, master: str) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "--no-color", "run"]
    options = ["--header", f"Authorization: Bearer {master}", "--max-examples", str(EXAMPLES), "--seed", "7"]
    done = subprocess.run(
        [*command, f"{service.url}/v1/openapi.json", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=service.log.parent,
    )
    told = [line[:300] for line in done.stdout.splitlines()]
    assert done.returncode == 0, "\n".join(told[-60:])
    assert any("generated" in line and "passed" in line for line in told), told[-5:]


@pytest.mark.parametrize("path", ["/v1/model", "/metrics", "/docs.json", "/schema.json"])
def test_without_a_key_nothing_is_told_but_the_description_and_health(service: ServiceHandle, path: str) -> None:
    assert httpx.get(service.url + path).status_code == 401
    for open_path in ("/readyz", "/livez", "/healthz", "/v1/openapi.json"):
        assert httpx.get(service.url + open_path).status_code == 200
    asked = httpx.get(service.url)
    assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=%2F")


def test_a_key_opens_what_its_scopes_name_and_nothing_else(service: ServiceHandle, store: Store, key: str) -> None:
    reader = create_key(store, "prometheus", role="admin", scopes=["read"])[1]
    for path, scoring, reading in (("/v1/model", 200, 200), ("/metrics", 403, 200), ("/docs.json", 403, 200)):
        assert httpx.get(service.url + path, headers=bearer(key)).status_code == scoring
        assert httpx.get(service.url + path, headers=bearer(reader)).status_code == reading
    posted = httpx.post(f"{service.url}/v1/score", json=EXAMPLE_REQUEST, headers=bearer(reader))
    assert (posted.status_code, posted.json()["error"]["code"]) == (403, "scope_missing")


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi", "Bearer clew_0000000000000000_x", "Bearer \xe9"])
def test_what_is_no_key_is_401_with_a_challenge(service: ServiceHandle, header: str) -> None:
    answer = httpx.get(f"{service.url}/v1/model", headers={b"authorization": header.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_key_ends_within_seconds(service: ServiceHandle, store: Store) -> None:
    made, text = create_key(store, "leaver", role="manager", scopes=["score"])

    def status() -> int:
        return httpx.get(f"{service.url}/v1/model", headers=bearer(text)).status_code

    assert status() == 200
    assert revoke_key(store, made.key_id)
    assert soon(lambda: status() == 401, FRESH_SECONDS + 2)
