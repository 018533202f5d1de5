"""Damage that exports really have: each is a clear error or a quarantined row, and the warehouse stays as it was."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from data.errors import DataError
from data.preflight import MAX_LINE, survey
from data.warehouse import Warehouse
from tests.data.exports import EVENTS, leads_text, mapping, rows, run, state, write_export

HEADER = "EventId,Lead,Type,At\n"
GOOD = "g1,L1,visit,2026-01-06T00:00:00Z\n"


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """A warehouse with one import, which a failing one must leave as it is."""
    warehouse = Warehouse(tmp_path / "warehouse")
    run(write_export(tmp_path / "first"), warehouse)
    return warehouse


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "events.csv is empty"),
        (HEADER.encode(), "has a header and no rows"),
        (b"PK\x03\x04" + bytes(range(256)) * 9, "zip or Excel file, not a text table"),
        (bytes(range(1, 32)) * 99, "binary file"),
        (b"EventId,Lead,Kind,At\n" + GOOD.encode(), r"lacks 1 mapped column\(s\): Type"),
        (b"EventId,Lead,Typ,At\n" + GOOD.encode(), r"Type \(nearest: Typ\)"),
        (b"EventId,Lead,Type,At,Type\n" + b"g1,L1,v,2026-01-06T00:00:00Z,v\n", "column Type more than once"),
        ((HEADER + "g1,L1,v,06.01.2026\ng2,L1,v,07.01.2026\n").encode(), "none of the 2 rows of events can be kept"),
        ((HEADER + GOOD + "g2,L1,Überweisung,2026-01-06T00:00:00Z\n").encode("cp1252"), "line 3.*encoding: cp1252"),
        ((HEADER + GOOD + "g2,L1,白皮书下载,2026-01-06T00:00:00Z\n").encode("gb18030"), "line 3.*encoding: gb18030"),
        ((HEADER + GOOD).encode("utf-16"), "encoding: utf-16"),
        ((HEADER + GOOD + "g2,L\0,v,2026-01-06T00:00:00Z\n").encode(), "line 3 of events.csv holds a NUL byte"),
        (
            (HEADER + GOOD + 'g2,"L1,v,2026-01-06T00:00:00Z\n' + GOOD * 3).encode(),
            "quote opened in line 3 of events.csv",
        ),
        ((HEADER + "a,b\nc,d\n").encode(), "no row of events.csv could be read: too_few_fields 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_file_is_refused_and_changes_nothing(
    tmp_path: Path, warehouse: Warehouse, content: bytes, message: str
) -> None:
    before = state(warehouse)
    with pytest.raises(DataError, match=message):
        run(write_export(tmp_path / "in", events=content), warehouse)
    assert state(warehouse) == before


def test_rows_with_a_wrong_number_of_fields_are_quarantined_with_their_line(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    events = HEADER + GOOD + "g2,L1\n" + GOOD.replace("g1", "g3") + "g4,L1,v,2026-01-06T00:00:00Z,more\n"
    report = run(write_export(tmp_path / "in", events=events), warehouse)
    assert report.tables["events"].quarantined == {"malformed:too_few_fields": 1, "malformed:too_many_fields": 1}
    assert report.quarantine is not None
    lines = [line.split(",")[1] for line in (report.quarantine / "events.csv").read_text().splitlines()[1:]]
    assert lines == ["3", "5"]
    assert report.tables["events"].kept == 2


def test_one_wrong_date_is_quarantined_and_the_rest_is_kept(tmp_path: Path, warehouse: Warehouse) -> None:
    events = HEADER + GOOD + "g2,L1,v,2026-02-30T00:00:00Z\ng3,L1,v,0001-01-01T00:00:00Z\n"
    report = run(write_export(tmp_path / "in", events=events), warehouse)
    assert report.tables["events"].quarantined == {"bad_time:occurred_at": 1, "before_1970:occurred_at": 1}
    assert report.tables["events"].kept == 1


def test_a_stray_quote_in_one_row_costs_that_row_only(tmp_path: Path, warehouse: Warehouse) -> None:
    events = HEADER + GOOD + 'g2,L1,"v" x,2026-01-06T00:00:00Z\n' + GOOD.replace("g1", "g3")
    report = run(write_export(tmp_path / "in", events=events), warehouse)
    assert report.tables["events"].quarantined == {"malformed:stray_quote": 1}
    assert report.tables["events"].kept == 2


def test_a_missing_file_is_named_with_the_nearest_one(tmp_path: Path, warehouse: Warehouse) -> None:
    folder = write_export(tmp_path / "in")
    (folder / "events.csv").rename(folder / "event.csv")
    with pytest.raises(DataError, match=r"no events.csv in in; the nearest is event.csv"):
        run(folder, warehouse)


@pytest.mark.parametrize("packed", [False, True])
def test_an_endless_line_is_refused_in_bounded_memory(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / ("long.csv.gz" if packed else "long.csv")
    with gzip.open(path, "wb", compresslevel=1) if packed else path.open("wb") as stream:
        stream.write(HEADER.encode())
        for _ in range(64):
            stream.write(b"x" * 1024**2)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"line 2 of long.csv(.gz)? is longer than 2 MiB"):
            survey(path, encoding="utf-8", scratch=tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 12 * 1024**2
    finally:
        tracemalloc.stop()


def test_lines_up_to_the_limit_are_read(tmp_path: Path, warehouse: Warehouse) -> None:
    events = HEADER + GOOD + f"g2,L1,{'v' * (MAX_LINE - 100)},2026-01-06T00:00:00Z\n"
    run(write_export(tmp_path / "in", events=events), warehouse)
    assert rows(warehouse, "SELECT length(type) FROM events WHERE event_id = 'g2'") == [(MAX_LINE - 100,)]


def test_a_cut_gzip_file_and_a_broken_parquet_file_are_refused(tmp_path: Path, warehouse: Warehouse) -> None:
    before = state(warehouse)
    folder = write_export(tmp_path / "in")
    (folder / "events.csv.gz").write_bytes(gzip.compress((HEADER + GOOD * 1000).encode())[:-20])
    (folder / "events.parquet").write_bytes(b"PAR1" + b"\0" * 50 + b"PAR1")
    (folder / "events.xlsx").write_bytes(b"PK\x03\x04 no workbook")
    for name, message in (
        ("events.csv.gz", "damaged gzip"),
        ("events.parquet", "no readable Parquet"),
        ("events.xlsx", "no readable Excel"),
    ):
        files = {"leads": {"path": "leads.csv"}, "events": {"path": name}}
        with pytest.raises(DataError, match=message):
            run(folder, warehouse, mapping(files=files))
    assert state(warehouse) == before


def test_no_message_shows_a_personal_value(tmp_path: Path, warehouse: Warehouse) -> None:
    row = "L1,never,web,,open,many,won,never,Ada Secretname,ada@secret.example,+1 212 555 0100"
    with pytest.raises(DataError) as caught:
        run(write_export(tmp_path / "in", leads=leads_text(row), events=EVENTS), warehouse)
    assert "ecret" not in str(caught.value)
    assert "555" not in str(caught.value)
