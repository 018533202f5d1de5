"""What was paid for leads: spend is imported like every table, corrected like a history, and simulated apart."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.mapping import Mapping
from data.simulator import simulate, spending
from data.store.schema import FACTS
from data.sync_tables import EXCHANGED
from data.tables import IN_WAREHOUSE_ONLY, TABLES
from data.warehouse import Warehouse
from tests.data.exports import NOW, rows, run

if TYPE_CHECKING:
    from data.import_report import ImportReport

HEADER = "Channel,Campaign,Keyword,Day,Cost,Currency,Shown,Clicked,Updated\n"


def spend_mapping(**known: Any) -> Mapping:
    columns = {
        "channel": "Channel",
        "campaign": "Campaign",
        "keyword": "Keyword",
        "day": "Day",
        "cost": "Cost",
        "currency": "Currency",
        "impressions": "Shown",
        "clicks": "Clicked",
    }
    table = {"from": "spend", "known_at": known or {"column": "Updated"}, "columns": columns}
    files = {"spend": {"path": "spend.csv"}}
    return Mapping.model_validate(
        {"mapping": 1, "name": "ads", "zone": "UTC", "files": files, "tables": {"spend": table}}
    )


def imported(folder: Path, warehouse: Warehouse, *lines: str, day: int = 0) -> ImportReport:
    folder.mkdir(exist_ok=True)
    (folder / "spend.csv").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return run(folder, warehouse, spend_mapping(), now=NOW + timedelta(days=day))


def test_a_bill_without_campaign_and_keyword_is_kept_and_is_one_row_when_told_twice(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse")
    line = "search,,,2026-03-01,12.50,USD,100,7,2026-03-02T06:00:00Z"
    report = imported(tmp_path / "in", warehouse, line, line)
    assert (report.tables["spend"].kept, report.tables["spend"].duplicates) == (1, 1)
    again = imported(tmp_path / "in", warehouse, line, day=1)
    assert (again.tables["spend"].kept, again.tables["spend"].duplicates) == (0, 1)
    assert rows(warehouse, "SELECT channel, campaign, keyword, cost, clicks FROM spend") == [
        ("search", "", "", 12.5, 7)
    ]


def test_a_corrected_cost_is_a_second_version_and_not_a_second_bill(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse")
    imported(tmp_path / "in", warehouse, "search,a,crm,2026-03-01,12.50,USD,100,7,2026-03-02T06:00:00Z")
    imported(tmp_path / "in", warehouse, "search,a,crm,2026-03-01,11.00,USD,100,6,2026-03-09T06:00:00Z", day=1)
    found = rows(warehouse, "SELECT cost, day(known_at) FROM spend ORDER BY known_at")
    assert found == [(12.5, 2), (11.0, 9)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",a,,2026-03-01,1,USD,,,2026-03-02T06:00:00Z", "missing:channel"),
        ("search,a,,2026-03-01,-1,USD,,,2026-03-02T06:00:00Z", "negative:cost"),
        ("search,a,,2026-03-01,1,,,,2026-03-02T06:00:00Z", "missing:currency"),
        ("search,a,,2027-03-01,1,USD,,,2027-03-02T06:00:00Z", "future:day"),
    ],
)
def test_a_bill_that_breaks_the_contract_is_quarantined(tmp_path: Path, line: str, reason: str) -> None:
    good = "search,a,,2026-03-01,1,USD,,,2026-03-02T06:00:00Z"
    report = imported(tmp_path / "in", Warehouse(tmp_path / "warehouse"), good, line)
    assert report.tables["spend"].quarantined == {reason: 1}


def test_campaign_and_keyword_need_not_be_mapped() -> None:
    raw = spend_mapping().model_dump(by_alias=True, exclude_none=True)
    for name in ("campaign", "keyword"):
        del raw["tables"]["spend"]["columns"][name]
    assert set(Mapping.model_validate(raw).tables["spend"].columns) == {
        *("channel", "day", "cost", "currency", "impressions", "clicks"),
    }


def test_the_store_and_sync_know_of_no_bills() -> None:
    assert "spend" in IN_WAREHOUSE_ONLY
    assert "spend" in TABLES
    assert "spend" not in FACTS
    assert "spend" not in EXCHANGED


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "spend.csv"
    }


def test_what_is_spent_changes_nothing_else_in_a_simulated_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(leads=400, seed=3, out=tmp_path / "a", months=6)

    def no_bills(rng: np.random.Generator, _world: object) -> pa.Table:
        rng.random(1000)  # another number of draws, too
        return pa.table({"Channel": pa.array([], pa.string())})

    monkeypatch.setattr(spending, "spend_table", no_bills)
    simulate(leads=400, seed=3, out=tmp_path / "b", months=6)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert (tmp_path / "a" / "export" / "spend.csv").is_file()
    assert not (tmp_path / "b" / "export" / "spend.csv").exists()


def test_simulated_bills_are_of_the_campaigns_and_keywords_that_leads_name(tmp_path: Path) -> None:
    report = simulate(leads=3000, seed=4, out=tmp_path, months=12)
    spend, leads = (pd.read_csv(report.export / f"{name}.csv") for name in ("spend", "leads"))
    told = leads.dropna(subset=["Campaign", "Lead Source"])
    paid = told[told["Lead Source"].isin(spend["Channel"].unique())]
    assert paid["Campaign"].isin(spend["Campaign"]).mean() > 0.97  # few have no click of their own
    assert set(spend["Keyword"].dropna()) <= set(leads["Keyword"].dropna())
    assert len(spend[["Channel", "Keyword", "Currency"]].drop_duplicates()) == len(
        spend[["Channel", "Keyword"]].drop_duplicates()
    )
    assert set(spend["Currency"]) == {"USD", "CNY"}
    clicked = spend.dropna(subset=["Clicks"])
    assert (clicked["Impressions"] > clicked["Clicks"]).all()
    assert not spend.duplicated(["Channel", "Campaign", "Keyword", "Day"]).any()


def test_only_the_webinar_lift_causes_wins_and_exactly_as_many_as_are_told(tmp_path: Path) -> None:
    plain, lifted = (simulate(leads=6000, seed=1, out=tmp_path / str(lift), webinar_lift=lift) for lift in (1.0, 4.0))
    none = pq.read_table(plain.truth / "channels.parquet").to_pylist()
    told = {row["channel"]: row for row in pq.read_table(lifted.truth / "channels.parquet").to_pylist()}
    assert [row["wins_caused"] for row in none] == [0.0, 0.0, 0.0]
    assert told["web"]["wins_caused"] == told["email"]["wins_caused"] == 0.0
    caused = told["webinar"]["wins_caused"]
    assert caused > 50
    # What came is the sum of wins of few hundred people: three standard deviations of that.
    assert abs((lifted.won - plain.won) - caused) < 3 * (lifted.won + plain.won) ** 0.5
