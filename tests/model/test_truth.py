"""What is promised forward in time, held against the true probabilities that only the simulator knows.

`make evidence` trains on 8,000 leads three times over, asks the bundles about the lists of the months after, and leaves
the table in `var/evidence`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest

from data.clock import parse_moment
from data.importing import import_export
from data.mapping import load_mapping
from data.settings import Settings
from data.simulator import simulate
from data.warehouse import Warehouse
from tests.model.asked import asked_in, monthly_truth, nearness, ranges_of
from tests.model.conftest import CUTOFF, SimulatedWorld
from tests.reference.worlds import EVIDENCE
from training.run import train

SEEDS, LEADS, TRAINED = (1, 2, 3), 8_000, "2026-05-01"
LATER = ("2026-05-01", "2026-06-01", "2026-07-01", "2026-08-01")


def test_judged_probabilities_are_near_the_true_ones(world: SimulatedWorld) -> None:
    trained = world.trained
    asked = trained.judgement.spine[["lead_id", "as_of_us"]].assign(promised=trained.judged_probabilities)
    logit = np.log(trained.judged_probabilities / (1 - trained.judged_probabilities))
    asked["low"], asked["high"] = ranges_of(trained.bundle, logit)
    truth = monthly_truth(world.truth)
    truth = truth.assign(as_of_us=truth["as_of"].astype("datetime64[us, UTC]").astype("int64"))
    found = nearness(asked.merge(truth[["lead_id", "as_of_us", "probability_90d"]], on=["lead_id", "as_of_us"]))
    # One small world: the mean slope of three larger ones is held to 0.9 to 1.1 by `make evidence`.
    assert 0.7 < found.slope < 1.3
    assert found.mean_error < 0.03
    assert found.covered >= 0.7


@dataclass(frozen=True)
class _Line:
    seed: int
    leads: int
    slope: float
    mean_error: float
    covered: float


# Minutes of training; the test above holds one small world to wider bounds on every run.
@pytest.mark.skipif(not EVIDENCE, reason="three trainings on 8,000 leads; `make evidence` runs them")
@pytest.mark.timeout(3600)
def test_what_a_bundle_promises_of_later_months_is_near_the_truth(tmp_path: Path) -> None:
    lines = []
    for seed in SEEDS:
        home = tmp_path / str(seed)
        report = simulate(leads=LEADS, seed=seed, out=home / "simulated", end=CUTOFF)
        settings = Settings(home=home / "home", mlruns=home / "mlruns", query_threads=1)
        warehouse = Warehouse(settings.warehouse_dir)
        import_export(report.export, load_mapping(report.export / "mapping.yaml"), warehouse, now=CUTOFF)
        bundle = train(warehouse, settings, as_of=parse_moment(TRAINED)).bundle
        truth = monthly_truth(report.truth)
        for as_of in LATER:
            came = truth[truth["as_of"].dt.strftime("%Y-%m-%d") == as_of]
            asked = asked_in(warehouse, bundle, as_of).merge(came[["lead_id", "probability_90d"]], on="lead_id")
            found = nearness(asked)
            lines.append(_Line(seed, len(asked), found.slope, found.mean_error, found.covered))
    folder = Path("var/evidence")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "truth.json").write_text(json.dumps([asdict(line) for line in lines], indent=1))
    assert 0.9 < np.mean([line.slope for line in lines]) < 1.1
    assert np.mean([line.mean_error for line in lines]) < 0.015
    # Measured: 0.95, 0.94 and, where the calibration of the folds did not last, 0.59.
    assert 0.8 <= np.mean([line.covered for line in lines]) <= 0.98
