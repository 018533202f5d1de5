"""The service as it runs: BentoML in a child process, called over the network."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from data.errors import InfrastructureError
from data.settings import load_settings
from serving.openapi import EXAMPLE_REQUEST
from serving.process.start import ServiceHandle, serve
from serving.scoring.answers import BatchAnswer, ErrorAnswer, ModelCard, ScoreAnswer
from serving.scoring.handlers import SINGLE_LIMIT
from serving.scoring.payload import parse_request
from serving.scoring.scorer import Scorer
from tests.service.running import children_of, free_port, gone, soon
from training.bundles.sealing import point_at, publish

if TYPE_CHECKING:
    from pathlib import Path

    from training.bundles.bundle import Bundle

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle, other_bundle: Bundle) -> Iterator[ServiceHandle]:
    """The service beside a `current` that was damaged after `last_good` had been serving."""
    home = tmp_path_factory.mktemp("serving")
    point_at(home / "bundles", "last_good", publish(bundle, home / "bundles"))
    damaged = publish(other_bundle, home / "bundles")
    (damaged / "model.trees.txt").write_text("no trees", "utf-8")
    point_at(home / "bundles", "current", damaged)
    waits: list[str] = []
    handle = serve(load_settings(home=home, port=free_port()), background=True, progress=waits.append)
    assert waits[0].startswith("waiting for the service")
    yield handle
    supervised = children_of(handle.process.pid)
    handle.stop()
    assert supervised
    assert soon(lambda: all(gone(pid) for pid in supervised), 90)


@pytest.fixture(scope="module")
def client(service: ServiceHandle) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=20) as found:
        yield found


def test_a_damaged_current_leaves_last_good_serving_and_the_card_says_why(client: httpx.Client, bundle: Bundle) -> None:
    card = ModelCard.model_validate(client.get("/v1/model").json())
    assert card.pointer == "last_good"
    assert card.model is not None
    assert card.model.bundle == bundle.digest
    assert "model.trees.txt has been changed or damaged" in card.refused[0]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_another_process_gives_the_identical_answer_and_its_reasons_add_up(
    client: httpx.Client, scorer: Scorer, language: Any
) -> None:
    response = client.post("/v1/score", json=EXAMPLE_REQUEST, headers={"accept-language": language})
    request = parse_request(json.dumps(EXAMPLE_REQUEST).encode())
    assert response.json() == scorer.score(request, as_of_us=0, language=language)
    answer = ScoreAnswer.model_validate(response.json())
    assert answer.probability is not None
    assert answer.reasons is not None
    assert answer.base_logit is not None
    assert answer.remainder_logit is not None
    total = answer.base_logit + sum(reason.logit for reason in answer.reasons) + answer.remainder_logit
    assert total == pytest.approx(math.log(answer.probability / (1 - answer.probability)), abs=1e-6)
    assert any("份白皮书" in reason.text for reason in answer.reasons) == (language == "zh")
    assert answer.rules.points == 90


def test_as_of_is_now_by_default(client: httpx.Client) -> None:
    answer = client.post("/v1/score", json={"lead": {"lead_id": "L"}}).json()
    assert answer["source"] == "model_profile"
    assert answer["as_of"].endswith("Z")


def test_a_batch_of_200_with_one_bad_lead_is_answered_in_order(client: httpx.Client) -> None:
    leads: list[Any] = [{**EXAMPLE_REQUEST, "lead": {"lead_id": f"L-{k}"}} for k in range(200)]
    leads[7] = {"lead": {"lead_id": "L-7", "account": {"employees": "many"}}}
    results = BatchAnswer.model_validate(client.post("/v1/score/batch", json={"leads": leads}).json()).results
    assert [result.status for result in results].index("error") == 7
    told = [result.model_dump() for result in results]
    assert told[7]["error"]["field"] == "leads.7.lead.account.employees"
    assert [result.get("lead_id") for result in told] == [None if k == 7 else f"L-{k}" for k in range(200)]


def test_a_body_that_is_too_large_is_413_whether_its_length_is_declared_or_not(client: httpx.Client) -> None:
    large = b" " * (SINGLE_LIMIT + 1)
    chunks = (large[at : at + 100_000] for at in range(0, len(large), 100_000))
    for body in (large, chunks):
        response = client.post("/v1/score", content=body, headers=JSON)
        assert response.status_code == 413
        assert ErrorAnswer.model_validate(response.json()).error.code == "body_too_large"


def test_another_content_type_is_415(client: httpx.Client) -> None:
    response = client.post(
        "/v1/score", content=b"\x80\x04.", headers={"content-type": "application/vnd.bentoml+pickle"}
    )
    assert response.status_code == 415
    assert ErrorAnswer.model_validate(response.json()).error.code == "unsupported_media_type"


def test_every_documented_path_answers_and_unknown_ones_have_our_shape(client: httpx.Client) -> None:
    document = client.get("/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path in ("/v1/score", "/v1/score/batch", "/v1/model", "/v1/openapi.json"):
        for method, operation in document["paths"][path].items():
            media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            response = (
                client.request(method, path, json=media.get("example")) if media else client.request(method, path)
            )
            assert response.status_code == 200, path
    for method, path, status in (("GET", "/v1/nothing", 404), ("POST", "/v1/nothing", 404), ("GET", "/v1/score", 405)):
        response = client.request(method, path)
        assert response.status_code == status
        assert ErrorAnswer.model_validate(response.json()).error.request_id


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/livez", "/readyz", "/docs.json"])
def test_bentomls_own_routes_stay(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert "googletagmanager" not in response.text


def test_a_port_in_use_is_an_error_that_names_it(service: ServiceHandle, tmp_path: Path) -> None:
    port = int(service.url.rsplit(":", 1)[1])
    with pytest.raises(InfrastructureError, match=f"port {port} .*CLEW_PORT"):
        serve(load_settings(home=tmp_path, port=port), background=True)


_FOLLOWER = "from serving.process.owner import follow_owner; follow_owner(); import time; time.sleep(60)"
_OWNER = f"""
import os, subprocess, sys, time
os.environ['CLEW_OWNER_PID'] = str(os.getpid())
print(subprocess.Popen([sys.executable, '-c', {_FOLLOWER!r}]).pid, flush=True)
time.sleep(60)
"""


def test_a_service_ends_with_the_command_that_started_it_even_if_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        follower = int(owner.stdout.readline())
        time.sleep(1.5)
        assert not gone(follower)
        owner.kill()
    assert soon(lambda: gone(follower), 90)
