# ruff: noqa: S608, PT012 - names of the contract; patches belong inside the block that raises
from __future__ import annotations

import fcntl
import json
from datetime import timedelta
from pathlib import Path

import pytest

from data.errors import DataError, InfrastructureError
from data.manifest import Manifest
from data.tables import TABLES, arrow_schema
from data.warehouse import Warehouse
from tests.data.exports import EVENTS, LEADS_ROWS, NOW, leads_text, mapping, rows, run, state, write_export


def test_an_empty_warehouse_has_every_table_with_the_types_of_the_contract(tmp_path: Path) -> None:
    with Warehouse(tmp_path / "none").connect() as con:
        for name, table in TABLES.items():
            found = con.sql(f"SELECT * FROM {name}").to_arrow_table().schema
            assert found.equals(arrow_schema(table)), name


def test_a_filled_warehouse_keeps_these_types_with_the_customers_columns(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    run(write_export(tmp_path / "in"), warehouse)
    kinds = {name: column.kind for name, column in warehouse.custom_columns().items()}
    with warehouse.connect() as con:
        for name, table in TABLES.items():
            found = con.sql(f"SELECT * FROM {name}").to_arrow_table().schema
            assert found.equals(arrow_schema(table, kinds)), name


def test_parts_lie_by_month_and_the_manifest_names_them_all(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    run(write_export(tmp_path / "in"), warehouse)
    events = [part for part in warehouse.manifest().parts if part.table == "events"]
    assert [Path(part.path).name[:7] for part in events] == ["2026-01", "2026-02"]
    assert [part.rows for part in events] == [1, 2]
    low, high = events[1].times["occurred_at"]
    assert low is not None
    assert high is not None
    assert high - low == 86_400_000_000


def test_the_digest_does_not_depend_on_parts_order_or_time_of_import(tmp_path: Path) -> None:
    lines = EVENTS.splitlines()
    one, two = Warehouse(tmp_path / "one"), Warehouse(tmp_path / "two")
    write_export(tmp_path / "all")
    run(tmp_path / "all", one)
    for at, picked in enumerate(([3, 1], [2])):
        body = "\n".join([lines[0], *(lines[number] for number in picked)]) + "\n"
        run(write_export(tmp_path / f"part{at}", events=body), two, now=NOW + timedelta(hours=at))
    assert len(one.manifest().parts) < len(two.manifest().parts)
    assert one.digest() == two.digest()
    assert one.digest(["events"]) == two.digest(["events"]) != one.digest(["leads"])


def test_the_digest_changes_with_any_value_and_ignores_contacts(tmp_path: Path) -> None:
    digests = []
    for at, rows_ in enumerate(
        (LEADS_ROWS, (LEADS_ROWS[0].replace(",web,", ",ads,"), *LEADS_ROWS[1:]),
         (LEADS_ROWS[0].replace("Secretname", "Othername"), *LEADS_ROWS[1:]))
    ):  # fmt: skip
        warehouse = Warehouse(tmp_path / f"w{at}")
        run(write_export(tmp_path / f"in{at}", leads=leads_text(*rows_)), warehouse)
        digests.append(warehouse.digest())
    assert digests[0] != digests[1]
    assert digests[0] == digests[2]


def test_the_digest_until_a_moment_is_rebuilt_after_later_imports(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    folder = write_export(tmp_path / "in")
    run(folder, warehouse)
    before = warehouse.digest(until=NOW)
    assert before == warehouse.digest()
    custom = {"staff": {"column": "Employees", "kind": "numeric"}, "way": {"column": "Source", "kind": "text"}}
    write_export(folder, leads=leads_text(*LEADS_ROWS, "L5,2026-02-01T00:00:00Z,web,,open,,,,,,"))
    run(folder, warehouse, mapping(tables__leads__custom=custom), now=NOW + timedelta(days=1))
    assert warehouse.digest(until=NOW) == before != warehouse.digest()


def test_a_second_importer_is_turned_away_while_the_first_works(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    run(write_export(tmp_path / "in"), warehouse)
    with (warehouse.path / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(InfrastructureError, match="another import holds"), warehouse.locked(wait_s=0):
            pytest.fail("the lock was given twice")
    with warehouse.locked(wait_s=0):
        pass


def test_a_crash_before_the_manifest_leaves_the_warehouse_and_the_next_import_cleans_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(tmp_path / "w")
    folder = write_export(tmp_path / "in")
    run(folder, warehouse)
    before, digest = state(warehouse), warehouse.digest()
    write_export(folder, events=EVENTS + "e9,L1,visit,2026-03-01T00:00:00Z\n")

    class PowerCut(BaseException):
        pass

    def cut(self: Warehouse, manifest: Manifest) -> None:
        raise PowerCut

    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(Warehouse, "commit", cut)
        run(folder, warehouse)
    assert len(state(warehouse)) > len(before)
    assert warehouse.digest() == digest
    run(write_export(tmp_path / "first"), warehouse)
    assert state(warehouse) == before
    run(folder, warehouse)
    assert warehouse.counts()["events"] == 4


def test_a_full_disk_stops_the_import_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(tmp_path / "w")

    def full(path: Path) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(InfrastructureError, match="nothing was imported"):
        patch.setattr("data.parts.file_sha256", full)
        run(write_export(tmp_path / "in"), warehouse)
    assert warehouse.counts()["leads"] == 0
    assert warehouse.manifest() == Manifest()


def test_a_customer_column_keeps_its_kind_and_the_stricter_clock(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    folder = write_export(tmp_path / "in")
    run(folder, warehouse)
    before = state(warehouse)
    other = mapping(tables__leads__custom__staff={"column": "Employees", "kind": "text"})
    with pytest.raises(DataError, match="'staff' is numeric in the warehouse, text in small"):
        run(folder, warehouse, other)
    assert state(warehouse) == before
    late = mapping(tables__leads__custom__staff={"column": "Employees", "kind": "numeric", "known": "after_outcome"})
    write_export(
        folder,
        leads=leads_text("L7,2026-01-05T10:00:00Z,web,,open,5,,,,,"),
        events="EventId,Lead,Type,At\nz,L7,v,2026-01-09T00:00:00Z\n",
    )
    run(folder, warehouse, late)
    run(write_export(tmp_path / "again"), warehouse)
    assert warehouse.custom_columns()["staff"].known == "after_outcome"
    assert warehouse.withheld_columns() == {"status", "custom_staff"}


def test_a_reader_opened_before_an_import_goes_on_reading_what_it_saw(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    folder = write_export(tmp_path / "in")
    run(folder, warehouse)
    with warehouse.connect() as con:
        write_export(folder, events=EVENTS + "e9,L1,visit,2026-03-01T00:00:00Z\n")
        run(folder, warehouse)
        assert con.execute("SELECT count(*) FROM events").fetchall() == [(3,)]
    assert rows(warehouse, "SELECT count(*) FROM events") == [(4,)]


def test_a_changed_and_a_lost_part_are_noticed(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    run(write_export(tmp_path / "in"), warehouse)
    warehouse.verify()
    part = warehouse.path / warehouse.manifest().parts[0].path
    part.write_bytes(part.read_bytes() + b"x")
    with pytest.raises(DataError, match="was changed after its import"):
        warehouse.verify()
    part.unlink()
    with pytest.raises(InfrastructureError, match="gone"):
        warehouse.connect()


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    run(write_export(tmp_path / "in"), warehouse)
    (warehouse.path / "manifest.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(DataError, match="damaged or of another version"):
        warehouse.counts()


def test_the_plan_of_the_last_mapping_with_one_is_kept(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    folder = write_export(tmp_path / "in")
    assert warehouse.plan() is None
    run(folder, warehouse, mapping(plan={"horizon_days": 30}))
    run(folder, warehouse)
    plan = warehouse.plan()
    assert plan is not None
    assert plan.horizon_days == 30
