"""The BentoML service: a thin shell around `serving.app`, with BentoML's health, metrics and watch over workers.

All scoring is in plain code below this module and could stand on any other ASGI server. BentoML keeps a timer and a
tracing context of every request for as long as its time-out is, and measures and routes each one several times over; so
what is scored does not pass through it (`to_asgi`), and has its own time-outs, limits, metrics and logs.
"""

# The telemetry has to be off before bentoml is imported.
from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

import bentoml

from data.settings import load_settings
from serving.app import create_app
from serving.changes.handlers import changes_routes
from serving.changes.voices import Voices
from serving.http.admission import Admission
from serving.http.connections import bound_connections
from serving.http.event_log import EventLog
from serving.http.metrics import Metrics
from serving.intake.handlers import intake_routes
from serving.keys.keyring import check_bind, keyring_of
from serving.leads.handlers import lead_routes
from serving.pages.handlers import page_routes
from serving.process.chores import Chore, run_chores
from serving.process.following import Follower, pointer_stamp
from serving.process.lean import leave_out_training
from serving.process.owner import follow_owner
from serving.process.state import ServingState, answering
from serving.process.storework import StoreWork, store_chores
from serving.stored.door import Door
from serving.stored.rescoring import Rescored, Rescorer
from serving.stored.score_log import ScoreLog
from serving.today.handlers import today_routes
from serving.watching.handlers import watching_routes
from serving.watching.reading import Standings
from serving.webhooks.delivering import Deliverer, Means
from serving.webhooks.routes import webhook_routes

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from data.settings import Settings
    from data.store.engine import Store
    from serving.http.routing import Route
    from serving.keys.keyring import Keyring
    from serving.scoring.scorer import Scorer
    from serving.webhooks.delivering import News

__all__ = ["LeadScoring"]

# For BentoML's own routes only.
_TIMEOUT_SECONDS = 5
# A thread of Python that works holds the others up for this long; the usual 5 ms are several answers.
_SWITCH_SECONDS = 0.001

follow_owner()
_settings = load_settings()
check_bind(_settings)
_state = ServingState()
_log = EventLog()
_door = Door(_settings.store_url)
_standings = Standings(_settings.home)


class _Fronted(bentoml.Service[Any]):  # type: ignore[misc]  # its attributes carry no types
    """A service whose application has ours in front."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:  # noqa: FBT001 - BentoML's signature
        """Return the application of a worker process."""
        beneath = super().to_asgi(is_main=is_main)
        bound_connections()
        metrics, keyring = Metrics(), keyring_of(_settings)
        admission, scores = Admission(tell=metrics.busy), ScoreLog(_door)
        _log.write_always()
        work = StoreWork(_door, [_rescorer(metrics), _deliverer(metrics)])
        work.look()
        run_chores(_chores(_settings, metrics, keyring, admission), _log)
        run_chores(store_chores(_door, work, scores, metrics), _log)
        return create_app(
            _state,
            keyring=keyring,
            metrics=metrics,
            log=_log,
            admission=admission,
            beneath=beneath,
            more=_store_routes(metrics, keyring),
            score_log=scores.put if _settings.score_log else None,
        )


def _scorer() -> Scorer | None:
    return None if _state.now is None else _state.now.scorer


def _store_routes(metrics: Metrics, keyring: Keyring) -> list[Route]:
    voices = Voices(_settings, _scorer)
    return [
        *intake_routes(_door, metrics),
        *lead_routes(_door, _state, metrics),
        *today_routes(_door, _state, capacity=_settings.capacity),
        *changes_routes(_door, voices),
        *webhook_routes(_door, private=_settings.webhook_private),
        *watching_routes(_standings),
        *page_routes(_door, _state, keyring, metrics, voices=voices, standings=_standings, capacity=_settings.capacity),
    ]


def _rescorer(metrics: Metrics) -> Callable[[Store], Rescorer]:
    def failed(kind: str) -> None:
        _log.tell("rescoring_failed", error=kind)

    def count(done: Rescored) -> None:
        metrics.rescored(scored=done.scored, dropped=done.dropped, failed=done.failed)

    return lambda store: Rescorer(store, _scorer, tell=failed, count=count)


def _deliverer(metrics: Metrics) -> Callable[[Store], Deliverer]:
    def told(news: News, number: int, why: str) -> None:
        metrics.webhook(news, number)
        if news != "waiting":
            _log.tell("webhook", result=news, why=why)

    means = Means(private=_settings.webhook_private)
    return lambda store: Deliverer(store, means=means, tell=told)


def _chores(settings: Settings, metrics: Metrics, keyring: Keyring, admission: Admission) -> list[Chore]:
    follower: list[Follower] = []

    def tell(result: str, bundle: str, why: str) -> None:
        metrics.changed(result)
        _log.tell("bundle", result=result, bundle=bundle, why=why)

    def follow() -> None:
        if _state.now is None:
            return
        if not follower:
            follower.append(Follower(settings, _state, seen=_state.seen, tell=tell))
        follower[0].look()

    def measure() -> None:
        if _state.now is not None:
            model = _state.now.scorer.model or {}
            metrics.serving(model.get("bundle"), model.get("version"), _state.now.pointer, cutoff=model.get("cutoff"))
        metrics.dropped(_log.dropped)
        admission.measured()

    return [
        Chore("follow the pointer", 1.0, follow),
        Chore("measure", 1.0, measure),
        Chore("read the keys", 5.0, keyring.refresh),
        Chore("look at the figures", 10.0, lambda: metrics.monitored(_standings.look().standing)),
        Chore("forget dead workers", 10.0, metrics.forget_the_dead),
    ]


@bentoml.service(
    name="lead_scoring",
    workers=_settings.workers,
    traffic={"timeout": _TIMEOUT_SECONDS},
    logging={"access": {"enabled": False}},
    http={"host": _settings.host, "port": _settings.port},
    service_class=_Fronted,
)
class LeadScoring:
    """Scores leads under /v1; see /v1/openapi.json."""

    def __init__(self) -> None:
        leave_out_training()
        sys.setswitchinterval(_SWITCH_SECONDS)
        _state.seen = pointer_stamp(_settings.bundles_dir)
        _state.now = answering(_settings)
        for why in _state.now.refused:
            _log.tell("bundle", result="refused", why=why)
        # The model stays for good: without it every full collection would walk through it.
        gc.collect()
        gc.freeze()

    def __is_ready__(self) -> bool:
        """Ready as soon as anything can answer, the rules alone can, unless the store is of another version."""
        return _state.ready and _door.is_sound

    def __is_alive__(self) -> bool:
        """Alive as long as this is answered."""
        return True
