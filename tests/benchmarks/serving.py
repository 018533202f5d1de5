"""One lead over HTTP, features, reasons and rules included, against `mlflow models serve` with ready-made features.

One worker each, on a core of its own; the clients are a process on another core.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.clock import from_us, iso
from data.settings import load_settings
from serving.process.start import serve
from tests.benchmarks.measure import Measured
from tests.service.bundles import AS_OF, AS_OF_US, EVENT_TYPES, random_rows, sealed_bundle
from tests.service.running import children_of, free_port, megabytes_of, workers_of
from training.bundles.sealing import point_at, publish
from training.learning.recipe import Choices

if TYPE_CHECKING:
    from training.bundles.bundle import Bundle
    from training.learning.recipe import Rows

__all__ = ["http_vs_mlflow"]

EVENTS = 50
_FIT_ROWS, _LEADS = 3_000, 200
_ROUNDS, _SECONDS = 5, 3.0
# Enough to see what every request would leave behind; CLEW_EVIDENCE=1 sends ten times as many.
_MANY = 200_000 if os.environ.get("CLEW_EVIDENCE") == "1" else 20_000
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class _Served:
    """A server that answers, and what to send to it."""

    port: int
    bodies: Path
    path: str
    process: int


@lru_cache
def _rows() -> Rows:
    return random_rows(_FIT_ROWS)


def _bundle(folder: Path, trees: int, leaves: int) -> Bundle:
    choices = Choices(trees=trees)
    shape = dataclasses.replace(choices.shape, leaves=leaves)
    return sealed_bundle(folder, _rows(), dataclasses.replace(choices, shape=shape))


def _leads(path: Path) -> Path:
    """Write one request a line: a lead with its account, columns of the customer's own, contact and 50 events."""
    rng = np.random.default_rng(3)
    lines = []
    for k in range(_LEADS):
        events = [
            {
                "source": "site",
                "id": f"e{k}-{j}",
                "type": str(rng.choice(EVENT_TYPES)),
                "occurred_at": iso(from_us(AS_OF_US - int(rng.integers(1, 120 * 86_400)) * 1_000_000)),
                "content_id": f"c{rng.integers(12)}",
                "duration_s": float(rng.integers(300)),
            }
            for j in range(EVENTS)
        ]
        lead = {
            "lead_id": f"L-{k}",
            "created_at": "2026-09-02T09:00:00Z",
            "source": ("webinar", "fair", "search")[k % 3],
            "job_title": ("VP Ops", "Engineer", "Head of IT")[k % 3],
            "account": {"industry": "software", "employees": int(rng.integers(10, 3_000))},
            "custom": {"erp": "sap", "seats": int(rng.integers(500))},
            "contact": {"name": "A", "email": "a@acme.example", "phone": "1"},
        }
        lines.append(json.dumps({"lead": lead, "events": events, "as_of": AS_OF}))
    path.write_text("\n".join(lines), "utf-8")
    return path


@contextlib.contextmanager
def _on_core(core: int) -> Iterator[None]:
    """Let what is started inside run on one core only, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[core % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _ours(folder: Path, bundle: Bundle) -> Iterator[_Served]:
    point_at(folder / "bundles", "current", publish(bundle, folder / "bundles"))
    with _on_core(0):
        handle = serve(load_settings(home=folder, port=free_port()), background=True, progress=lambda _: None)
    try:
        yield _Served(int(handle.url.rsplit(":", 1)[1]), _leads(folder / "leads"), "/v1/score", workers_of(handle)[0])
    finally:
        handle.stop()


@contextlib.contextmanager
def _mlflow(folder: Path, bundle: Bundle) -> Iterator[_Served]:
    encoding = bundle.full.model.encoding
    matrix = encoding.tree_matrix(_rows().frame.head(_LEADS))
    script = "import sys; from tests.benchmarks.serving_peer import save_peer; save_peer(*sys.argv[1:3], sys.argv[3:])"
    trees = str(bundle.folder / "model.trees.txt")
    environment = {
        **os.environ,
        # MLflow calls uvicorn by its name.
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
        "PYTHONPATH": str(_ROOT),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }
    model, port = folder / "peer", free_port()
    command = [sys.executable, "-c", script, str(model), trees, *encoding.names]
    subprocess.run(command, env=environment, check=True, capture_output=True, cwd=folder)
    bodies = folder / "rows"
    data = [{"dataframe_split": {"columns": list(encoding.names), "data": [row]}} for row in _plain(matrix)]
    bodies.write_text("\n".join(map(json.dumps, data)), "utf-8")
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model), "-p", str(port)]
    with _on_core(0), (folder / "peer.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--env-manager", "local", "--workers", "1"],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    try:
        _await(f"http://127.0.0.1:{port}/ping")
        yield _Served(port, bodies, "/invocations", process.pid)
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def _plain(matrix: Any) -> list[list[float | None]]:
    return [[None if value != value else value for value in row] for row in matrix.tolist()]  # noqa: PLR0124 - NaN


def _await(url: str) -> None:
    until = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - a url made above
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)


def _drive(served: _Served, clients: int, seconds: float) -> dict[str, Any]:
    """Return what a process of clients saw; every answer has to be one."""
    environment = {**os.environ, "CLEW_TRAFFIC": str(served.bodies), "CLEW_TRAFFIC_PATH": served.path}
    command = [sys.executable, "-m", "tests.service.traffic", str(served.port), str(clients), str(seconds)]
    before = _cpu_seconds(served.process)
    with _on_core(1):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=_ROOT)
    told: dict[str, Any] = json.loads(done.stdout)
    if set(told["statuses"]) != {"200"}:
        raise AssertionError(f"not every request was answered: {told['statuses']}")
    return {
        **told,
        "rate": told["count"] / seconds,
        "cpu_us": (_cpu_seconds(served.process) - before) / told["count"] * 1e6,
    }


def _cpu_seconds(pid: int) -> float:
    """Return what a process and its children have taken of a core so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_cpu_seconds(child) for child in children_of(pid))


def _memory(served: _Served) -> float:
    """Return by how many megabytes a worker has grown over many requests, after as many to begin with."""
    rate = _drive(served, 16, 3)["rate"]
    before = megabytes_of(served.process)
    _drive(served, 16, _MANY / rate)
    return megabytes_of(served.process) - before


def _compared(folder: Path, trees: int, leaves: int) -> dict[str, float]:
    bundle = _bundle(folder / "sealed", trees, leaves)
    with _ours(folder, bundle) as ours, _mlflow(folder, bundle) as peer:
        for served in (ours, peer):
            _drive(served, 1, 1)
        alone = [(_drive(ours, 1, _SECONDS), _drive(peer, 1, _SECONDS)) for _ in range(_ROUNDS)]
        crowd = [(_drive(ours, 16, _SECONDS), _drive(peer, 16, _SECONDS)) for _ in range(_ROUNDS)]
        grown = _memory(ours)
    ratios = sorted(our["rate"] / their["rate"] for our, their in crowd)

    def median(pairs: list[tuple[dict[str, Any], dict[str, Any]]], side: int, name: str) -> float:
        return float(statistics.median(pair[side][name] for pair in pairs))

    return {
        "ratio": statistics.median(ratios),
        "low": ratios[0],
        "high": ratios[-1],
        "rate": median(crowd, 0, "rate"),
        "peer_rate": median(crowd, 1, "rate"),
        "cpu_us": median(crowd, 0, "cpu_us"),
        "peer_cpu_us": median(crowd, 1, "cpu_us"),
        "ratio_cpu": statistics.median(their["cpu_us"] / our["cpu_us"] for our, their in crowd),
        "p50_1": median(alone, 0, "p50"),
        "peer_p50_1": median(alone, 1, "p50"),
        "p50_16": median(crowd, 0, "p50"),
        "p99_16": median(crowd, 0, "p99"),
        "p99_16_over_p50": statistics.median(our["p99"] / our["p50"] for our, _ in crowd),
        "grown_mb": grown,
    }


def http_vs_mlflow() -> Measured:
    """Measure answers a second on one core at 16 clients, 400 trees of 8 leaves; `also` tells 300 × 31 as well."""
    folder = Path(tempfile.mkdtemp(prefix="clew-bench-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            told = _compared(folder / "small", 400, 8)
            large = _compared(folder / "large", 300, 31)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Measured(
        value=told["rate"],
        unit="requests/s",
        peer=told["peer_rate"],
        ratio=told["ratio"],
        n=_ROUNDS,
        spread=(told["low"], told["high"]),
        also={
            "requests_for_memory": _MANY,
            **{
                name: value for name, value in told.items() if name not in {"ratio", "low", "high", "rate", "peer_rate"}
            },
            **{f"{name}_300x31": value for name, value in large.items() if name not in {"low", "high"}},
        },
    )
