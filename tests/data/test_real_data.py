"""The public data sets import completely, with the published numbers of rows."""

from __future__ import annotations

from pathlib import Path

from data.importing import import_export
from data.invariants import check_invariants
from data.mapping import load_mapping
from data.warehouse import Warehouse
from tests.data.exports import NOW, rows
from tests.datasets import public_dataset


def imported(tmp_path: Path, name: str, folder: str) -> Warehouse:
    source = public_dataset(folder)
    warehouse = Warehouse(tmp_path / "warehouse")
    report = import_export(source, load_mapping(name), warehouse, now=NOW)
    report.check()
    check_invariants(warehouse, now=NOW)
    assert all(not file.malformed and not file.unmapped for file in report.files.values())
    return warehouse


def test_bpi2012_is_13087_applications_with_their_log(tmp_path: Path) -> None:
    warehouse = imported(tmp_path, "bpi2012", "bpi2012_loan_funnel")
    counts = warehouse.counts()
    assert (counts["leads"], counts["events"], counts["outcomes"]) == (13087, 262200, 12688)
    found = rows(warehouse, "SELECT reason, outcome, count(*) FROM outcomes GROUP BY ALL ORDER BY 1")
    assert found == [("accepted", "won", 2246), ("cancelled", "lost", 2807), ("declined", "lost", 7635)]
    assert rows(warehouse, "SELECT count(DISTINCT type), count(DISTINCT lead_id) FROM events") == [(36, 13087)]
    first = "SELECT epoch_ms(min(created_at)), count(custom_amount_req) FROM leads"
    assert rows(warehouse, first) == [(1317422324546, 13087)]  # 2011-10-01 00:38:44.546 at +02:00
    plan = warehouse.plan()
    assert plan is not None
    assert (plan.horizon_days, plan.ages_days, plan.monthly) == (30, (1,), False)


def test_olist_is_8000_leads_and_841_of_842_deals(tmp_path: Path) -> None:
    warehouse = imported(tmp_path, "olist", "olist_funnel")
    at_creation = "FROM leads WHERE known_at = created_at"
    assert rows(warehouse, f"SELECT count(*), count(custom_business_segment) {at_creation}") == [(8000, 0)]
    assert rows(warehouse, f"SELECT count(*) {at_creation} AND source IS NULL") == [(60,)]
    assert rows(warehouse, f"SELECT count(*) {at_creation} AND source = 'unknown'") == [(1099,)]
    assert rows(warehouse, "SELECT count(*) FROM leads WHERE known_at > created_at") == [(842,)]
    assert rows(warehouse, "SELECT outcome, count(*) FROM outcomes GROUP BY 1") == [("won", 841)]
    (path,) = (warehouse.path / "quarantine").rglob("outcomes.csv")
    assert "closed_before_created:closed_at" in path.read_text()
    source = public_dataset("olist_funnel")
    assert not import_export(source, load_mapping("olist"), warehouse, now=NOW.replace(hour=15)).changed
    # A naive date is local: midnight in Sao Paulo is 02:00 or 03:00 UTC.
    hours = rows(warehouse, "SELECT DISTINCT extract(hour FROM created_at) FROM leads ORDER BY 1")
    assert [hour for (hour,) in hours] == [2, 3]
    assert "custom_sdr_id" in warehouse.withheld_columns()
    plan = warehouse.plan()
    assert plan is not None
    assert plan.created_from == "2018-01-01"


def test_bank_marketing_is_41188_calls_in_their_months(tmp_path: Path) -> None:
    warehouse = imported(tmp_path, "bank_marketing", "bank_marketing")
    assert rows(warehouse, "SELECT outcome, count(*) FROM outcomes GROUP BY 1 ORDER BY 1") == [
        ("lost", 36548),
        ("won", 4640),
    ]
    at_creation = "FROM leads WHERE known_at = created_at"
    found = rows(warehouse, f"SELECT count(*), count(custom_duration), count(custom_pdays) {at_creation}")
    assert found == [(41188, 0, 1515)]
    span = "SELECT strftime(min(created_at), '%Y-%m'), strftime(max(created_at), '%Y-%m') FROM leads"
    assert rows(warehouse, span) == [("2008-05", "2010-11")]
    months = f"SELECT count(*) {at_creation} AND strftime(created_at, '%b') <> custom_month"
    assert rows(warehouse, months.replace("custom_month", "upper(left(custom_month, 1)) || custom_month[2:]")) == [(0,)]
    late = "SELECT DISTINCT epoch_us(closed_at) - epoch_us(created_at) FROM outcomes JOIN leads USING (lead_id)"
    assert rows(warehouse, late) == [(12 * 3600 * 1_000_000,)]
    plan = warehouse.plan()
    assert plan is not None
    before = f"SELECT count(*) {at_creation} AND created_at < '{plan.judge_from}'::TIMESTAMPTZ"
    assert rows(warehouse, before) == [(int(0.7 * 41188),)]
