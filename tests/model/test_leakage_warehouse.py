"""From the export to the report: the simulator with an honest and with a wrong mapping, and the public data sets."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from data.clock import from_us, parse_moment
from data.importing import import_export
from data.mapping import Mapping, load_mapping
from data.settings import Settings
from data.simulator import simulate
from data.warehouse import Warehouse
from tests.datasets import public_dataset
from training.leaks.facts import end_of_data_us
from training.leaks.finder import LeakReport, find_leaks_in

if TYPE_CHECKING:
    from pathlib import Path

END = parse_moment("2026-11-01")
LEADS = 2500


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(leads=LEADS, seed=4, out=tmp_path_factory.mktemp("simulated"), end=END).export


def examined(folder: Path, export: Path, mapping: Mapping) -> LeakReport:
    settings = Settings(home=folder, mlruns=folder / "mlruns", query_threads=1)
    warehouse = Warehouse(settings.warehouse_dir)
    import_export(export, mapping, warehouse, now=END)
    return find_leaks_in(warehouse, settings, as_of=END)


def all_known_at_creation(mapping: Mapping) -> Mapping:
    """Return the mapping of someone who believes that every column was there when the lead came."""
    tables = {}
    for name, table in mapping.tables.items():
        custom = {key: one.model_copy(update={"known": "at_creation"}) for key, one in table.custom.items()}
        columns = {
            key: one.model_copy(update={"known": "at_creation"}) if hasattr(one, "known") else one
            for key, one in table.columns.items()
        }
        tables[name] = table.model_copy(update={"custom": custom, "columns": columns})
    return mapping.model_copy(update={"tables": tables})


def test_every_column_of_the_honest_simulator_is_clean(export: Path, tmp_path: Path) -> None:
    report = examined(tmp_path, export, load_mapping(export / "mapping.yaml"))
    assert {one.name: one.evidence for one in report.columns if one.verdict in {"leak", "suspect"}} == {}
    assert report.finding("price_page_view").auc_low > 0.55
    assert report.finding("custom_erp").verdict == "clean"
    assert report.open > 100


@pytest.fixture(scope="module")
def wrong(export: Path, tmp_path_factory: pytest.TempPathFactory) -> LeakReport:
    folder = tmp_path_factory.mktemp("wrong")
    copied = folder / "export"
    shutil.copytree(export, copied)
    add_events(copied, "contract_signed", timedelta(days=-2))
    add_events(copied, "onboarding_call", timedelta(days=3))
    return examined(folder, copied, all_known_at_creation(load_mapping(copied / "mapping.yaml")))


def add_events(export: Path, kind: str, after: timedelta) -> None:
    """Give every won lead one more event, that long after its closing."""
    events = pq.read_table(export / "events.parquet")
    outcomes = csv.read_csv(export / "outcomes.csv")
    won = outcomes.filter(pc.equal(outcomes["Outcome"], "Closed Won"))
    rows = []
    first: dict[str, Any] = events.slice(0, 1).to_pylist()[0]
    for number, (lead, closed) in enumerate(zip(won["Lead ID"].to_pylist(), won["Closed At"].to_pylist(), strict=True)):
        at = (
            parse_moment(str(closed).replace(" ", "T") + ("" if str(closed).endswith(("Z", "+00:00")) else "Z")) + after
        )
        if at < END:
            moments = {"occurred_at": at, "received_at": at}
            rows.append(
                {**first, "event_id": f"{kind}-{number}", "lead_id": lead, "activity": kind}
                | {name: to_type(moment, events.schema.field(name).type) for name, moment in moments.items()}
            )
    pq.write_table(pa.concat_tables([events, pa.Table.from_pylist(rows, events.schema)]), export / "events.parquet")


def to_type(moment: Any, kind: pa.DataType) -> Any:
    return moment.isoformat() if pa.types.is_string(kind) else moment


def test_the_simulated_crm_columns_that_closing_overwrites_are_found(wrong: LeakReport) -> None:
    assert {"custom_contract_type", "custom_status_detail"} <= set(wrong.leaks)
    assert wrong.finding("custom_erp").verdict == "clean"
    assert wrong.finding("custom_contract_type").filled_open == 0.0


def test_an_event_that_is_the_signature_is_a_leak_and_one_after_it_a_suspect(wrong: LeakReport) -> None:
    signed, onboarded = wrong.finding("contract_signed"), wrong.finding("onboarding_call")
    assert signed.verdict == "leak"
    assert "is the outcome itself" in " ".join(signed.evidence)
    assert onboarded.verdict == "suspect"
    assert "No training row has seen it" in " ".join(onboarded.evidence)
    assert wrong.finding("price_page_view").verdict == "clean"


def found_in(name: str, folder: str, home: Path) -> LeakReport:
    source = public_dataset(folder)
    settings = Settings(home=home, mlruns=home / "mlruns", query_threads=1)
    warehouse = Warehouse(settings.warehouse_dir)
    import_export(source, all_known_at_creation(load_mapping(name)), warehouse)
    with warehouse.connect() as connection:
        end = from_us(end_of_data_us(connection, cutoff_us=0))
    return find_leaks_in(warehouse, settings, as_of=end)


def test_the_length_of_the_deciding_call_is_the_only_leak_of_the_bank(tmp_path: Path) -> None:
    report = found_in("bank_marketing", "bank_marketing", tmp_path)
    assert report.leaks == ("custom_duration",)
    assert report.named("suspect") == ()


def test_what_olist_fills_in_for_closed_deals_is_found_and_nothing_else(tmp_path: Path) -> None:
    report = found_in("olist", "olist_funnel", tmp_path)
    custom = load_mapping("olist").tables["leads"].custom
    assert set(report.leaks) == {f"custom_{name}" for name in custom}
    assert report.finding("source").verdict == report.finding("landing_page").verdict == "clean"


def test_the_loan_funnel_has_no_leak_and_its_final_steps_are_named(tmp_path: Path) -> None:
    report = found_in("bpi2012", "bpi2012_loan_funnel", tmp_path)
    assert report.leaks == ()
    assert report.finding("custom_amount_req").verdict == "clean"
    assert {"A_APPROVED:COMPLETE", "A_DECLINED:COMPLETE"} <= set(report.named("suspect"))
    assert report.finding("O_SENT:COMPLETE").verdict == "clean"
