"""A client that calls an application in this process, and what errors look like."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from serving.app import create_app
from serving.http.event_log import EventLog
from serving.http.metrics import Metrics
from serving.intake.handlers import intake_routes
from serving.keys.keyring import Keyring
from serving.leads.handlers import lead_routes
from serving.process.state import Answering, ServingState
from serving.scoring.answers import ErrorAnswer
from serving.scoring.scorer import Scorer
from serving.stored.door import Door

__all__ = ["HERE", "Client", "problem"]

HERE = "http://127.0.0.1"


class Client:
    """Calls an application in this process, one request after the other."""

    def __init__(
        self, scorer: Scorer | None, *, keyring: Keyring | None = None, door: Door | None = None, **options: Any
    ) -> None:
        self.lines = io.StringIO()
        self.log = EventLog(self.lines)
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.state = ServingState(None if scorer is None else Answering(scorer, "current"))
        if door is not None:
            options["more"] = [*intake_routes(door, self.metrics), *lead_routes(door, self.state, self.metrics)]
        keyring = keyring or Keyring(None)
        self.app = create_app(self.state, keyring=keyring, metrics=self.metrics, log=self.log, **options)

    @property
    def logged(self) -> str:
        self.log.flush()
        return self.lines.getvalue()

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=HERE) as client:
                return await client.request(method, path, **options)

        return asyncio.run(call())


def problem(response: httpx.Response) -> dict[str, Any]:
    """Return the error of a response, after checking its shape."""
    told = ErrorAnswer.model_validate(response.json())
    assert response.headers["x-request-id"] == told.error.request_id
    error: dict[str, Any] = response.json()["error"]
    return error
