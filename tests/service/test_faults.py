"""What the running service survives: each test is a row of the table of faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from serving.openapi import EXAMPLE_REQUEST
from serving.process.start import ServiceHandle
from serving.scoring.answers import ErrorAnswer
from serving.scoring.handlers import BATCH_LIMIT, SINGLE_LIMIT
from tests.missing import missing_part
from tests.service.running import BODY, HEAD, Wire, log_lines, megabytes_of, metric, post, running, soon, workers_of
from training.bundles.sealing import point_at, publish

if TYPE_CHECKING:
    from training.bundles.bundle import Bundle

EVIDENCE = os.environ.get("CLEW_EVIDENCE") == "1"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Iterator[ServiceHandle]:
    home = tmp_path_factory.mktemp("faults")
    point_at(home / "bundles", "current", publish(bundle, home / "bundles"))
    with running(home) as handle:
        yield handle


def error_of(body: bytes) -> str:
    return ErrorAnswer.model_validate_json(body).error.code


def is_closed(wire: Wire) -> bool:
    try:
        return wire.answer() is None
    except ConnectionResetError:
        return True


def dripped(wire: Wire, byte: bytes) -> bool:
    """Send one more byte of a head; tell whether somebody still took it."""
    try:
        wire.send(byte)
    except OSError:
        return False
    return True


def test_a_42_mb_body_is_refused_before_parsing_and_others_are_answered_meanwhile(service: ServiceHandle) -> None:
    (worker,) = workers_of(service)
    before = megabytes_of(worker)
    with Wire(service) as large:
        large.send(HEAD + b"content-length: 42000000\r\n\r\n" + b"[" * 3_000_000)
        started = time.monotonic()
        assert post(service).status == 200
        assert time.monotonic() - started < 1
        try:
            for _ in range(39):
                large.send(b"[" * 1_000_000)
        except OSError:
            pass
        else:
            answer = large.answer()
            assert answer is None or (answer.status, error_of(answer.body)) == (413, "body_too_large")
    assert megabytes_of(worker) - before < 60


@pytest.mark.parametrize(("path", "limit"), [(b"/v1/score", SINGLE_LIMIT), (b"/v1/score/batch", BATCH_LIMIT)])
def test_a_body_just_over_the_limit_is_told_so(service: ServiceHandle, path: bytes, limit: int) -> None:
    answer = post(service, b" " * (limit + 1), path)
    assert (answer.status, error_of(answer.body)) == (413, "body_too_large")


def test_half_sent_requests_lock_nobody_out_and_are_given_up(service: ServiceHandle) -> None:
    heads = [Wire(service) for _ in range(150)]
    bodies = [Wire(service) for _ in range(150)]
    try:
        for wire in heads:
            wire.send(HEAD[:40])
        for wire in bodies:
            wire.send(HEAD + b"content-length: 1000\r\n\r\n{")
        started = time.monotonic()
        assert all(post(service).status == 200 for _ in range(30))
        assert time.monotonic() - started < 3
        late = bodies[0].answer()
        assert late is not None
        assert (late.status, error_of(late.body)) == (408, "body_timeout")
        assert is_closed(heads[0])
        assert time.monotonic() - started < 8
    finally:
        for wire in (*heads, *bodies):
            wire.close()


def test_a_client_that_drips_its_head_is_given_up(service: ServiceHandle) -> None:
    with Wire(service) as wire:
        started = time.monotonic()
        for byte in HEAD:
            if not dripped(wire, bytes([byte])):
                break
            time.sleep(0.5)
        assert 4 < time.monotonic() - started < 8


def test_a_head_without_end_is_given_up_at_once(service: ServiceHandle) -> None:
    with Wire(service) as wire:
        started = time.monotonic()
        taken = dripped(wire, b"GET / HTTP/1.1\r\nx: ")
        while taken and time.monotonic() - started < 4:
            taken = dripped(wire, b"x" * 10_000)
        assert time.monotonic() - started < 3
    assert post(service).status == 200


@pytest.mark.parametrize(
    ("fields", "named", "code"),
    [
        (b'"account": {"employees": NaN}', "lead.account.employees", "invalid_field"),
        (b'"account": {"employees": -Infinity}', "lead.account.employees", "invalid_field"),
        (b'"account": {"employees": 1e999}', "lead.account.employees", "invalid_field"),
        (b'"account": {"employees": 1e16}', "lead.account.employees", "invalid_field"),
        (b'"custom": {"seats": NaN}', "lead.custom.seats", "invalid_field"),
        (b'"shoe_size": 43', "lead.shoe_size", "unknown_field"),
        (b'"source": 7', "lead.source", "invalid_field"),
    ],
)
def test_bad_values_are_400_naming_the_field_alone_and_in_a_batch(
    service: ServiceHandle, fields: bytes, named: str, code: str
) -> None:
    lead = b'{"lead": {"lead_id": "L", ' + fields + b"}}"
    alone, batch = post(service, lead), post(service, b'{"leads": [' + BODY + b"," + lead + b"]}", b"/v1/score/batch")
    assert (alone.status, alone.json()["error"]["field"], error_of(alone.body)) == (400, named, code)
    first, second = batch.json()["results"]
    assert (batch.status, first["status"], second["status"]) == (200, "ok", "error")
    assert (second["error"]["field"], second["error"]["code"]) == (f"leads.1.{named}", code)


def test_deep_json_is_400_and_the_worker_lives(service: ServiceHandle) -> None:
    before = workers_of(service)
    for path in (b"/v1/score", b"/v1/score/batch"):
        answer = post(service, b'{"leads": ' + b"[" * 400_000, path)
        assert (answer.status, error_of(answer.body)) == (400, "invalid_json")
    assert workers_of(service) == before


def test_a_lead_of_which_nothing_is_known_and_one_of_unknown_categories_are_scored_and_flagged(
    service: ServiceHandle,
) -> None:
    before = metric(service, "clew_unknown_categories_total")
    nothing = post(service, b'{"lead": {"lead_id": "L"}, "events": []}').json()
    assert (nothing["source"], 0 < nothing["probability"] < 1) == ("model", True)
    strange = json.dumps({**EXAMPLE_REQUEST, "lead": {"lead_id": "L", "source": "carrier pigeon"}}).encode()
    assert [each["code"] for each in post(service, strange).json()["warnings"]][:1] == ["unknown_category"]
    assert soon(lambda: metric(service, "clew_unknown_categories_total") == before + 1)


def test_what_a_request_says_never_reaches_the_log(service: ServiceHandle) -> None:
    secret = b'{"lead": {"lead_id": "L-secret-1", "contact": {"email": "li.wei@acme.example"}, "x": 1}}'
    post(service, secret)
    post(service, secret.replace(b', "x": 1', b""))
    post(service, BODY, b"/v1/score?lead=L-secret-1")
    statuses = [400, 200, 200]
    assert soon(
        lambda: (
            [line["status"] for line in log_lines(service, "request") if line["route"] == "/v1/score"][-3:] == statuses
        )
    )
    assert not any(part in service.log.read_text("utf-8") for part in ("L-secret-1", "acme"))


def test_overload_is_429_with_retry_after_and_what_is_accepted_is_answered_soon(service: ServiceHandle) -> None:
    events = [{**EXAMPLE_REQUEST["events"][0], "id": f"e{k}"} for k in range(500)]
    body = json.dumps({**EXAMPLE_REQUEST, "events": events}).encode()
    request = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    crowd = [Wire(service) for _ in range(200)]
    for wire in crowd:
        wire.send(request)
    started = time.monotonic()
    answers = [answer for answer in (wire.answer() for wire in crowd) if answer is not None]
    assert time.monotonic() - started < 5
    refused = [answer for answer in answers if answer.status == 429]
    assert len(answers) == 200
    assert {answer.status for answer in answers} == {200, 429}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    # A connection that was refused goes on.
    assert all(wire.post().status == 200 for wire in crowd[:5] + crowd[-5:])  # type: ignore[union-attr]
    assert metric(service, "clew_refusals_total", code="overloaded") == len(refused)
    for wire in crowd:
        wire.close()


@pytest.fixture
def full_disk() -> Path:
    """A device on which nothing can be written, as a disk that is full."""
    device = Path("/dev/full")
    if not device.exists():
        missing_part("this system has no /dev/full")
    return device


def test_scoring_goes_on_where_the_disk_of_the_log_is_full(full_disk: Path, tmp_path: Path, bundle: Bundle) -> None:
    point_at(tmp_path / "bundles", "current", publish(bundle, tmp_path / "bundles"))
    (tmp_path / "serving.log").symlink_to(full_disk)
    with running(tmp_path) as handle:
        assert [post(handle).status for _ in range(20)] == [200] * 20
        assert soon(lambda: metric(handle, "clew_log_lines_dropped_total") >= 20)


def test_a_soak_at_half_of_what_it_can_do_gives_no_error_and_takes_no_more_memory(service: ServiceHandle) -> None:
    port = service.url.rsplit(":", 1)[1]

    def traffic(clients: int, seconds: float, rate: float = 0) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.service.traffic", port, str(clients), str(seconds), str(rate)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    seconds = 600 if EVIDENCE else 60
    capacity = traffic(4, 2)["count"] / 2
    (worker,) = workers_of(service)
    before = megabytes_of(worker)
    told = traffic(8, seconds, capacity / 2)
    grown = megabytes_of(worker) - before
    sys.stdout.write(f"soak: {capacity:.0f}/s possible, {told['count'] / seconds:.0f}/s for {seconds} s, ")
    sys.stdout.write(f"p50 {told['p50']:.2f} ms, p99 {told['p99']:.2f} ms, {grown:+.1f} MB\n")
    assert set(told["statuses"]) == {"200"}
    assert told["count"] > seconds * capacity / 4
    assert grown < 20
