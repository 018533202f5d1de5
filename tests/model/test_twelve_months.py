"""Month after month without a person: retrained, gated and served; what was promised beside what came true.

`make evidence` runs twelve months of 4,000 leads and leaves a picture and a table in `var/evidence`; scaled down,
`test_monitor_year.py` lives through a month.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.importing import import_export
from data.mapping import load_mapping
from data.settings import Settings
from data.simulator import simulate
from data.warehouse import Warehouse
from tests.model.asked import asked_in, monthly_truth
from tests.model.conftest import CUTOFF
from tests.reference.worlds import EVIDENCE
from training.bundles.bundle import Bundle, pointed_bundle
from training.bundles.publishing import promote_version
from training.evaluation.rolling_pictures import draw_monthly_calibration, monthly_rates
from training.monthly.retrain import retrain

# MLflow's own use of SQLAlchemy.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*noload.*"),
    pytest.mark.skipif(not EVIDENCE, reason="test_monitor_year.py lives through a month; `make evidence` runs twelve"),
]
LEADS, HISTORY = 4000, 36
# The last of these lists has come true by the end of the export.
MONTHS = pd.date_range("2025-08-01", "2026-07-01", freq="MS")[-12:]


@pytest.fixture(scope="module")
def year(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """What each month decided, and every open lead of each month with its promise and what became of it."""
    home = tmp_path_factory.mktemp("year")
    report = simulate(leads=LEADS, seed=12, out=home / "simulated", end=CUTOFF, months=HISTORY)
    settings = Settings(home=home / "home", mlruns=home / "mlruns", query_threads=1)
    import_export(report.export, load_mapping(report.export / "mapping.yaml"), Warehouse(settings.warehouse_dir))
    truth = monthly_truth(report.truth)
    decided, lists = [], []
    for month in MONTHS:
        outcome = retrain(settings, as_of=f"{month:%Y-%m-%d}")
        if pointed_bundle(settings.bundles_dir) is None:
            promote_version(settings, outcome.version, reason="the first of the year")
        decided.append({"month": f"{month:%Y-%m}", "decision": outcome.decision, "sentence": outcome.sentence})
        folder = pointed_bundle(settings.bundles_dir)
        assert folder is not None
        asked = asked_in(Warehouse(settings.warehouse_dir), Bundle.load(folder), f"{month:%Y-%m-%d}")
        came = truth[truth["as_of"] == month.tz_localize("UTC")]
        lists.append(asked.merge(came[["lead_id", "won_90d", "probability_90d"]], on="lead_id"))
    return decided, pd.concat(lists, ignore_index=True)


def test_every_month_ends_with_a_verdict_and_a_served_model(
    year: tuple[list[dict[str, Any]], pd.DataFrame],
) -> None:
    decided, asked = year
    assert [one["month"] for one in decided] == [f"{month:%Y-%m}" for month in MONTHS]
    assert {one["decision"] for one in decided} <= {"promote", "keep", "by_hand"}
    assert set(asked["month"]) == {one["month"] for one in decided}


def test_what_was_promised_over_the_months_is_about_what_came_true(
    year: tuple[list[dict[str, Any]], pd.DataFrame],
) -> None:
    decided, asked = year
    ratio = asked["promised"].sum() / asked["won_90d"].sum()
    rates = monthly_rates(
        asked["won_90d"].to_numpy(np.int64), asked["promised"].to_numpy(), asked["month"].to_numpy(object)
    )
    folder = Path("var/evidence")
    folder.mkdir(parents=True, exist_ok=True)
    draw_monthly_calibration(rates, folder / "twelve_months.svg", title="Twelve months: promised and realised")
    (folder / "twelve_months.json").write_text(json.dumps({"decided": decided, "ratio": ratio}, indent=1))
    asked.to_parquet(folder / "twelve_months.parquet")
    assert 0.8 < ratio < 1.25
