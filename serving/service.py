"""The BentoML service: a thin shell around `serving.app`, with BentoML's health, metrics and supervision of workers.

All scoring is in plain code below this module and could stand on any other ASGI server.
"""

# The telemetry has to be off before bentoml is imported.
from __future__ import annotations

import gc
import os

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

import bentoml

from data.settings import load_settings
from serving.app import create_app
from serving.lean import leave_out_training
from serving.owner import follow_owner
from serving.state import ServingState, answering

__all__ = ["LeadScoring"]

# BentoML keeps the context of every request for this long, so it is short; it covers a batch of 200 with reasons.
_TIMEOUT_SECONDS = 5

follow_owner()
_settings = load_settings()
_state = ServingState()


@bentoml.service(
    name="lead_scoring",
    workers=_settings.workers,
    traffic={"timeout": _TIMEOUT_SECONDS},
    logging={"access": {"enabled": False}},
    http={"host": _settings.host, "port": _settings.port},
)
@bentoml.asgi_app(create_app(_state), path="/")
class LeadScoring:
    """Scores leads under /v1; see /v1/openapi.json."""

    def __init__(self) -> None:
        leave_out_training()
        _state.now = answering(_settings)
        # The model stays for good: without it every full collection would walk through it.
        gc.collect()
        gc.freeze()

    def __is_ready__(self) -> bool:
        """Ready as soon as anything can answer; the rules alone can."""
        return _state.ready

    def __is_alive__(self) -> bool:
        """Alive as long as this is answered."""
        return True
