"""What Prometheus reads, correct over several worker processes: the client library keeps the values in shared files.

Labels come from closed sets (routes, fields of the catalogue, codes), never from what a sender wrote.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.clock import parse_moment, to_us

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry, Counter, Histogram

    from monitoring.standing import Standing

__all__ = ["Metrics"]

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_SCORES = tuple(range(10, 101, 10))


class Metrics:
    """The counters, histograms and gauges of a worker.

    Parameters
    ----------
    registry
        Where they are registered; by default the library's own, which BentoML's `/metrics` tells.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        # Imported late: the library looks for the folder of shared files once, when it is imported.
        import prometheus_client as client

        told: dict[str, Any] = {"registry": registry or client.REGISTRY}
        self._seconds = client.Histogram(
            "clew_request_seconds",
            "Seconds until a request was answered",
            ["route"],
            buckets=_SECONDS,
            **told,
        )
        self._requests = client.Counter("clew_requests", "Requests answered", ["route", "method", "status"], **told)
        self._refusals = client.Counter("clew_refusals", "Requests refused, by the code of the error", ["code"], **told)
        self._leads = client.Counter("clew_leads", "Leads answered, by what answered", ["source"], **told)
        self._scores = client.Histogram("clew_score", "Scores given, 1 to 100", buckets=_SCORES, **told)
        self._unknown = client.Counter("clew_unknown_categories", "Values hardly known to the model", ["field"], **told)
        self._warnings = client.Counter("clew_warnings", "Warnings given", ["code"], **told)
        self._swaps = client.Counter("clew_bundle_changes", "Bundles taken or refused, by worker", ["result"], **told)
        self._dropped = client.Counter("clew_log_lines_dropped", "Log lines that could not be written", **told)
        self._busy = client.Gauge(
            "clew_in_progress", "Requests admitted and not yet answered", ["kind"], multiprocess_mode="livesum", **told
        )
        self._bundle = client.Gauge(
            "clew_bundle_workers",
            "Workers that answer from a bundle",
            ["bundle", "version", "pointer"],
            multiprocess_mode="livesum",
            **told,
        )
        self._cutoff = client.Gauge(
            "clew_model_cutoff_timestamp_seconds",
            "When what the answering model has learnt from ends, as seconds since 1970; 0 without a model",
            multiprocess_mode="livemin",
            **told,
        )
        self._taken = client.Counter(
            "clew_facts", "Facts that came in, by what became of them", ["kind", "result"], **told
        )
        self._rescored = client.Counter("clew_rescorings", "Leads that a change was scored for", ["result"], **told)
        self._unlogged = client.Counter("clew_scores_not_logged", "Scores of /v1/score that the history lacks", **told)
        self._waiting = client.Gauge(
            "clew_waiting_leads", "Leads that changed and wait for a score", multiprocess_mode="livemax", **told
        )
        self._webhooks = client.Counter("clew_webhook_tries", "Tries to deliver a message", ["result"], **told)
        self._outbox = client.Gauge(
            "clew_webhook_waiting", "Messages not yet delivered or given up", multiprocess_mode="livemax", **told
        )
        self._figures = client.Gauge(
            "clew_monitoring_as_of_timestamp_seconds",
            "When the newest figures of `clew monitor` end, as seconds since 1970; 0 without any",
            multiprocess_mode="livemax",
            **told,
        )
        self._findings = client.Gauge(
            "clew_monitoring_findings",
            "What the newest figures name as not being as it was: to act on, or to watch",
            ["severity"],
            multiprocess_mode="livemax",
            **told,
        )
        self._unlogged_so_far = 0
        self._serving: tuple[str, str, str] | None = None
        self._dropped_so_far = 0
        # A label is looked up under a lock and by hashing; once is enough.
        self._seconds_of = cache(self._seconds.labels)
        self._requests_of = cache(self._requests.labels)
        self._leads_of = cache(self._leads.labels)
        self._warnings_of = cache(self._warnings.labels)
        self._busy_of = cache(self._busy.labels)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the template, not the path."""
        latency: Histogram = self._seconds_of(route)
        count: Counter = self._requests_of(route, method, str(status))
        latency.observe(seconds)
        count.inc()

    def refused(self, code: str) -> None:
        """Count a refusal."""
        self._refusals.labels(code).inc()

    def scored(self, answer: Mapping[str, Any]) -> None:
        """Count what a lead was answered."""
        self._leads_of(answer["source"]).inc()
        if answer["score"] is not None:
            self._scores.observe(answer["score"])
        for warning in answer["warnings"]:
            self._warnings_of(warning["code"]).inc()
            if warning["code"] == "unknown_category":
                self._unknown.labels(warning["field"]).inc()

    def busy(self, kind: str, count: int) -> None:
        """Tell how many requests of a kind are in progress."""
        self._busy_of(kind).set(count)

    def changed(self, result: str) -> None:
        """Count a bundle that was taken or refused."""
        self._swaps.labels(result).inc()

    def serving(
        self, bundle: str | None, version: str | None, pointer: str | None, *, cutoff: str | None = None
    ) -> None:
        """Tell what this worker answers from, and until when (ISO 8601) that has learnt."""
        self._cutoff.set(0 if cutoff is None else to_us(parse_moment(cutoff)) / 1e6)
        told = (bundle or "rules", version or "", pointer or "")
        if self._serving is not None and self._serving != told:
            self._bundle.labels(*self._serving).set(0)
        self._bundle.labels(*told).set(1)
        self._serving = told

    def dropped(self, total: int) -> None:
        """Take over how many log lines were dropped since the start."""
        self._dropped.inc(total - self._dropped_so_far)
        self._dropped_so_far = total

    def taken(self, kind: str, result: str) -> None:
        """Count a fact that came in."""
        self._taken.labels(kind, result).inc()

    def rescored(self, *, scored: int, dropped: int, failed: int) -> None:
        """Count leads that the rescoring is done with, or could not do."""
        for result, count in (("scored", scored), ("dropped", dropped), ("failed", failed)):
            self._rescored.labels(result).inc(count)

    def unlogged(self, total: int) -> None:
        """Take over how many scores were not logged since the start."""
        self._unlogged.inc(total - self._unlogged_so_far)
        self._unlogged_so_far = total

    def waiting(self, count: int) -> None:
        """Tell how many leads wait to be scored."""
        self._waiting.set(count)

    def monitored(self, standing: Standing | None) -> None:
        """Tell of when the figures of the last look are, and how much they found; a rule compares that with now."""
        as_of_us = 0 if standing is None else to_us(parse_moment(standing.as_of))
        self._figures.set(as_of_us / 1_000_000)
        found = [] if standing is None else [finding.severity for finding in standing.findings]
        for severity in ("act", "watch"):
            self._findings.labels(severity).set(found.count(severity))

    def webhook(self, news: str, number: int) -> None:
        """Count how tries to deliver messages ended, or tell how many messages wait."""
        if news == "waiting":
            self._outbox.set(number)
        else:
            self._webhooks.labels(news).inc(number)

    @staticmethod
    def forget_the_dead() -> None:
        """Leave out the gauges of workers that have ended: a killed one could not do so itself."""
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if folder is None:
            return
        from prometheus_client.multiprocess import mark_process_dead

        found = {path.stem.rsplit("_", 1)[1] for path in Path(folder).glob("gauge_live*_*.db")}
        for pid in found:
            if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
                mark_process_dead(int(pid))  # type: ignore[no-untyped-call]
