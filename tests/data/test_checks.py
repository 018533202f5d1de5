# ruff: noqa: S608 - paths and names of the test itself
from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from data.checks import check_frame, check_warehouse
from data.errors import DataError
from data.invariants import check_invariants
from data.manifest import write_manifest
from data.tables import TABLES
from data.warehouse import Warehouse, file_sha256
from tests.data.exports import NOW, run, write_export


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    warehouse = Warehouse(tmp_path / "warehouse")
    run(write_export(tmp_path / "in"), warehouse)
    return warehouse


def tamper(warehouse: Warehouse, table: str, select: str) -> None:
    """Write other rows into a part and sign them, as only a fault in clew itself could."""
    manifest = warehouse.manifest()
    parts = list(manifest.parts)
    at = next(number for number, part in enumerate(parts) if part.table == table)
    path = warehouse.path / parts[at].path
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"CREATE TABLE t AS SELECT * FROM read_parquet('{path}')")
        con.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    parts[at] = parts[at].model_copy(update={"sha256": file_sha256(path)})
    write_manifest(warehouse.path, manifest.model_copy(update={"parts": tuple(parts)}))


def test_a_sound_warehouse_passes_checks_and_docs_show_counts_but_no_value(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    report = check_warehouse(warehouse, tmp_path / "docs")
    assert report.passed, (report.failed, report.unchecked)
    assert {name: sample.rows for name, sample in report.samples.items()} == {
        "leads": 6, "contacts": 3, "events": 3, "outcomes": 2
    }  # fmt: skip
    assert report.docs is not None
    pages = [page.read_text(encoding="utf-8") for page in report.docs.parent.rglob("*.html")]
    assert len(pages) >= 5
    assert not any(
        value in page for page in pages for value in ("Secretname", "ada@acme", "555 0100", ">L1<", "VP Ops")
    )


def test_broken_rows_fail_checks_with_counts_and_docs_do_not_list_them(tmp_path: Path, warehouse: Warehouse) -> None:
    tamper(warehouse, "outcomes", "SELECT * REPLACE ('maybe-later' AS outcome) FROM t")
    report = check_warehouse(warehouse, tmp_path / "docs")
    assert [(f.table, f.columns, f.unexpected) for f in report.failed] == [("outcomes", ("outcome",), 2)]
    assert not report.unchecked
    assert not any("maybe-later" in page.read_text() for page in (tmp_path / "docs").rglob("*.html"))


def test_an_expectation_that_cannot_be_checked_is_a_third_state(warehouse: Warehouse) -> None:
    with warehouse.connect() as con:
        frame = con.execute("SELECT lead_id, outcome FROM outcomes").df()
    states = {(result.columns, result.expectation): result.state for result in check_frame(TABLES["outcomes"], frame)}
    assert states[("outcome",), "expect_column_values_to_be_in_set"] == "passed"
    assert states[("closed_at",), "expect_column_values_to_not_be_null"] == "could_not_check"


def test_an_empty_warehouse_fails_on_its_row_count() -> None:
    report = check_warehouse(Warehouse(Path("nowhere")))
    assert {(r.table, r.expectation) for r in report.failed} == {
        ("leads", "expect_table_row_count_to_be_between"),
        ("outcomes", "expect_table_row_count_to_be_between"),
    }


def test_great_expectations_reports_nothing_to_anybody(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: asked.append(address))
    assert check_warehouse(warehouse).passed
    assert asked == []


def test_invariants_hold_after_an_import_and_unknown_leads_are_counted(warehouse: Warehouse) -> None:
    report = check_invariants(warehouse, now=NOW)
    assert dict(report.unknown_leads) == {"events": 1}
    assert report.checked > 50


@pytest.mark.parametrize(
    ("table", "select", "message"),
    [
        ("outcomes", "SELECT * FROM t UNION ALL SELECT * FROM t", r"outcomes: keys are unique, broken by 2 row"),
        ("outcomes", "SELECT * REPLACE ('maybe' AS outcome) FROM t", r"won, lost or open again, broken by 2"),
        ("events", "SELECT * REPLACE (occurred_at - INTERVAL 1 SECOND AS known_at) FROM t", "not before occurred_at"),
        ("leads", "SELECT * REPLACE (NULL AS lead_id) FROM t", "leads: lead_id is filled, broken by 6"),
        ("leads", "SELECT * REPLACE (recorded_at + INTERVAL 1 DAY AS known_at) FROM t", "not after recorded_at"),
        ("outcomes", "SELECT * REPLACE ('inf'::DOUBLE AS amount) FROM t", "amount is finite"),
        ("events", "SELECT * REPLACE (-1.0 AS duration_s) FROM t", "duration_s is not negative"),
    ],
    ids=range(7),
)
def test_a_broken_invariant_raises(warehouse: Warehouse, table: str, select: str, message: str) -> None:
    tamper(warehouse, table, select)
    with pytest.raises(DataError, match=message):
        check_invariants(warehouse, now=NOW)


def test_an_event_of_the_future_breaks_an_invariant(warehouse: Warehouse) -> None:
    with pytest.raises(DataError, match="occurred_at is not in the future, broken by 2"):
        check_invariants(warehouse, now=NOW - timedelta(days=270))
