"""Traffic from a process of its own: clients that send lead after lead and write down every answer.

As a script: `python -m tests.service.traffic PORT CLIENTS SECONDS [RATE]`; prints one JSON object at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Told", "drive", "request_bytes"]


@dataclass
class Told:
    """What the clients saw: seconds of each answer, statuses, and which bundle gave which answer to which lead."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    answers: dict[str, set[str]] = field(default_factory=dict)

    def quantile(self, share: float) -> float:
        """Return a quantile of the latency in milliseconds."""
        ordered = sorted(self.seconds)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] * 1e3

    def as_dict(self) -> dict[str, Any]:
        return {
            "count": len(self.seconds),
            "p50": self.quantile(0.5) if self.seconds else None,
            "p99": self.quantile(0.99) if self.seconds else None,
            "statuses": dict(self.statuses),
            "answers": {bundle: sorted(told) for bundle, told in self.answers.items()},
        }


def request_bytes(body: bytes, path: str = "/v1/score", headers: bytes = b"") -> bytes:
    """Return a whole request."""
    head = f"POST {path} HTTP/1.1\r\nhost: clew\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + headers + b"\r\n" + body


async def _client(port: int, requests: Sequence[bytes], until: float, pace: float, told: Told, keep: bool) -> None:
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    number, due = 0, time.perf_counter()
    while time.perf_counter() < until:
        if pace:
            due += pace
            await asyncio.sleep(max(due - time.perf_counter(), 0))
        started = time.perf_counter()
        try:
            if reader is None or writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            status = head[9:12].decode()
            if b"connection: close" in lower:
                writer.close()
                reader = None
        except (OSError, asyncio.IncompleteReadError):
            if writer is not None:
                writer.close()
            reader, status, body = None, "broken", b""
        number += 1
        told.statuses[status] += 1
        if status == "200":
            told.seconds.append(time.perf_counter() - started)
            if keep:
                answer = json.loads(body)
                model = answer["model"]["bundle"] if answer["model"] else "rules"
                given = json.dumps([answer["lead_id"], answer["probability"], answer["reasons"]])
                told.answers.setdefault(model, set()).add(given)
    if writer is not None:
        writer.close()


async def drive(
    port: int, requests: Sequence[bytes], *, clients: int, seconds: float, rate: float = 0, keep: bool = False
) -> Told:
    """Send requests from so many clients.

    Parameters
    ----------
    port
        Of the service on this machine.
    requests
        Whole requests, sent in turns.
    clients
        Connections, each waiting for its answer before it sends again.
    seconds
        How long.
    rate
        Requests a second of all clients together; as many as they can by default.
    keep
        Whether to keep the answers.
    """
    told, until = Told(), time.perf_counter() + seconds
    pace = clients / rate if rate else 0.0
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(_client(port, [*requests[number:], *requests[:number]], until, pace, told, keep))
    return told


def main(arguments: Sequence[str]) -> int:
    """Drive the example of the documentation, or the bodies, one a line, of the file that CLEW_TRAFFIC names."""
    from tests.service.running import BODY

    port, clients, seconds = int(arguments[0]), int(arguments[1]), float(arguments[2])
    rate = float(arguments[3]) if len(arguments) > 3 else 0.0
    named = os.environ.get("CLEW_TRAFFIC")
    bodies = [BODY] if named is None else [line.encode() for line in open(named, encoding="utf-8")]  # noqa: PTH123, SIM115
    requests = [request_bytes(body, os.environ.get("CLEW_TRAFFIC_PATH", "/v1/score")) for body in bodies]
    told = asyncio.run(drive(port, requests, clients=clients, seconds=seconds, rate=rate, keep=named is None))
    sys.stdout.write(json.dumps(told.as_dict()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
