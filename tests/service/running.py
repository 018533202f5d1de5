"""A service in processes of its own, and the bare means to call, hurt and watch it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.settings import load_settings
from serving.openapi import EXAMPLE_REQUEST
from serving.process.start import ServiceHandle, serve

__all__ = [
    "BODY",
    "HEAD",
    "Answer",
    "Wire",
    "children_of",
    "free_port",
    "gone",
    "log_lines",
    "megabytes_of",
    "metric",
    "post",
    "running",
    "soon",
    "workers_of",
]

BODY = json.dumps(EXAMPLE_REQUEST).encode()
HEAD = b"POST /v1/score HTTP/1.1\r\nhost: clew\r\ncontent-type: application/json\r\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [int(child) for child in found]


def workers_of(handle: ServiceHandle) -> list[int]:
    """Return the processes that answer."""
    return [
        pid for pid in children_of(handle.process.pid) if b"worker.service" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def megabytes_of(pid: int) -> float:
    """Return the memory of a process."""
    line = next(one for one in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0] == "Z"


def soon(holds: Callable[[], bool], seconds: float = 90.0) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.1)
    return holds()


@contextlib.contextmanager
def running(home: Path, **settings: Any) -> Iterator[ServiceHandle]:
    """Run the service as `clew serve` does, and end it."""
    handle = serve(load_settings(home=home, port=free_port(), **settings), background=True, progress=lambda _: None)
    try:
        yield handle
    finally:
        handle.stop()


@dataclass(frozen=True)
class Answer:
    """What came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection; sends what it is told, byte for byte."""

    def __init__(self, handle: ServiceHandle, seconds: float = 20) -> None:
        self.socket = socket.create_connection(("127.0.0.1", int(handle.url.rsplit(":", 1)[1])), timeout=seconds)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> Answer | None:
        """Return the next answer, None where the connection was closed instead."""
        line = self._file.readline()
        if not line:
            return None
        headers = {}
        while header := self._file.readline().strip():
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self._file.read(int(headers.get("content-length", 0)))
        return Answer(int(line.split()[1]), headers, body)

    def post(self, body: bytes = BODY, path: bytes = b"/v1/score") -> Answer | None:
        head = HEAD.replace(b"/v1/score", path)
        self.send(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        return self.answer()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def post(handle: ServiceHandle, body: bytes = BODY, path: bytes = b"/v1/score") -> Answer:
    """Send one request on a connection of its own."""
    with Wire(handle) as wire:
        found = wire.post(body, path)
        assert found is not None
        return found


def log_lines(handle: ServiceHandle, event: str) -> list[dict[str, Any]]:
    """Return the lines of one kind that the service has written."""
    lines = handle.log.read_text("utf-8", errors="replace").splitlines()
    told = [json.loads(line) for line in lines if line.startswith('{"time"')]
    return [line for line in told if line["event"] == event]


def metric(handle: ServiceHandle, name: str, **labels: str) -> float:
    """Return the sum of a metric over the samples with these labels."""
    from prometheus_client.parser import text_string_to_metric_families

    with Wire(handle) as wire:
        wire.send(b"GET /metrics HTTP/1.1\r\nhost: clew\r\n\r\n")
        found = wire.answer()
    assert found is not None
    families = text_string_to_metric_families(found.body.decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())
