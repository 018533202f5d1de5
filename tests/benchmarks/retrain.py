"""The monthly retrain on 100,000 leads, in a process of its own, beside what a script without clew would do.

`python -m tests.benchmarks.retrain WAY FOLDER` goes one way and prints seconds and peak memory as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LEADS, AS_OF = 100_000, "2026-11-01"
# The simulator gives about 1.8 million events to so many leads; this makes it 5 million.
ENGAGEMENT = 2.9


def make_home(folder: Path, *, leads: int = LEADS, engagement: float = ENGAGEMENT) -> dict[str, int]:
    """Simulate a team and import its export; return the counts."""
    from data.importing import import_export
    from data.mapping import load_mapping
    from data.simulator import simulate
    from data.warehouse import Warehouse

    report = simulate(leads=leads, seed=1, out=folder / "simulated", engagement=engagement)
    warehouse = Warehouse(folder / "home" / "warehouse")
    import_export(report.export, load_mapping(report.export / "mapping.yaml"), warehouse, threads=2)
    return {"leads": report.leads, "events": report.events, "won": report.won}


def run(way: str, folder: Path) -> dict[str, Any]:
    """Go one way in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.retrain", way, str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return found


def by_clew(folder: Path) -> dict[str, Any]:
    """Run the whole month: checks, leak finder, features, six origins, gate, bundle, MLflow."""
    from data.settings import Settings
    from training.monthly.retrain import retrain

    home = folder / "home"
    outcome = retrain(Settings(home=home, mlruns=home / "mlruns", query_threads=2), as_of=AS_OF)
    return {"decision": outcome.decision}


def by_script(folder: Path) -> dict[str, Any]:
    """Fit logistic regression and LightGBM with defaults at the same six origins, on the features clew has made.

    That is the least that a script has to do for a forward-in-time figure: no features, no checks, no gate.
    """
    import pyarrow.parquet as pq

    from data.settings import Plan
    from features.catalogue import Catalogue
    from training.evaluation.judging import columns_of
    from training.evaluation.peers import LightGBMDefaults, Logistic
    from training.learning.splits import judge_split
    from training.run import frames

    kept = next((folder / "home" / "retrain").glob("*/pairs.parquet"))
    told = json.loads(kept.with_name("prepared.json").read_text("utf-8"))
    rows = frames(pq.read_table(kept), Catalogue.model_validate(told["catalogue"]))
    rows = rows.take(rows.spine["mature_us"].to_numpy() <= told["cutoff_us"])
    for origin in judge_split(rows.spine, Plan.model_validate(told["plan"])).origins:
        fit, judged = rows.take(origin.fit), rows.take(origin.judged)
        for method in (Logistic(), LightGBMDefaults()):
            method.fit(fit.frame, fit.y_obs, columns=columns_of(fit)).predict(judged.frame)
    return {"rows": len(rows.spine)}


def main(way: str, folder: str) -> None:
    """Go a way and print what it took."""
    began = time.monotonic()
    found = {"clew": by_clew, "script": by_script}[way](Path(folder))
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_bytes": peak, **found}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
