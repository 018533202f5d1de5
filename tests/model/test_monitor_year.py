"""A year of Mondays: `clew monitor --act` every week, retrained monthly, and once early when the market has turned.

Scaled down to a month of a small team; `make evidence` runs twelve and leaves a picture and a table in
`var/evidence`, with what the first model of the year would have promised, recalibrated and not.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.model.conftest import beside_prior_and_rules, settings_in
from tests.model.monitored import ARMS, Year, draw_year, live_through, turned_team
from tests.reference.worlds import EVIDENCE
from training.bundles import publishing

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")
LEADS, HISTORY, SEED = (8000, 36, 14) if EVIDENCE else (2000, 24, 14)
# At half as many leads the turn showed only after four weeks, when a retrain was due anyway.
START, TURN, END = (
    ("2025-08-01", "2026-01-12", "2026-07-31") if EVIDENCE else ("2026-06-01", "2026-06-08", "2026-07-02")
)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Year:
    home = tmp_path_factory.mktemp("mondays")
    settings = settings_in(home / "home", judge_from="2025-01-15" if EVIDENCE else "2026-02-01")
    with beside_prior_and_rules(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "_LEAST_BY_HAND", 20)
        truth = turned_team(home, settings, leads=LEADS, months=HISTORY, seed=SEED, turn=TURN)
        days = pd.date_range(START, END, freq="D", tz="UTC")
        if not EVIDENCE:
            # Looks and retrains take seconds each: two and three weeks after the turn, and one list.
            days = days[days.strftime("%m-%d").isin(["06-22", "06-29", "07-01"])]
        lived = live_through(settings, truth, start=START, days=days)
    if EVIDENCE:
        _write(lived)
    return lived


def _write(year: Year) -> None:
    folder = Path("var/evidence")
    folder.mkdir(parents=True, exist_ok=True)
    draw_year(year, folder / "monitored_year.svg", turn=TURN)
    halves = {"the year": "", "after the turn": TURN[:7]}
    ratios = {
        name: {arm: [year.ratio(arm, since=since), year.ratio_error(arm, since=since)] for arm in ARMS}
        for name, since in halves.items()
    }
    told = {"turn": TURN, "looks": [look.as_dict() for look in year.looks], "ratios": ratios, "shifts": year.shifts}
    (folder / "monitored_year.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
    year.asked.to_parquet(folder / "monitored_year.parquet")


def test_one_retrain_is_called_early_by_the_turn_with_its_reason(year: Year) -> None:
    soon = f"{pd.Timestamp(TURN) + pd.Timedelta(days=35):%Y-%m-%d}"
    (early,) = [look for look in year.early if TURN < look.day <= soon]
    assert len(year.early) <= 2, "what moved with the turn may call once more when the models have learnt it"
    assert "leads.source" in early.reason
    assert early.outcome.startswith("retrained: version")


def test_every_other_retrain_is_the_first_look_of_a_month(year: Year) -> None:
    monthly = [look.day[:7] for look in year.looks if look.call == "retrain" and not look.early]
    assert monthly == sorted({look.day[:7] for look in year.looks} - {START[:7]})


def test_nothing_is_taken_for_broken_data(year: Year) -> None:
    assert "mend" not in {look.call for look in year.looks}


def test_all_arms_promise_for_the_same_leads(year: Year) -> None:
    assert year.asked[list(ARMS)].notna().all().all()
    assert year.asked["month"].nunique() == (12 if EVIDENCE else 1)
