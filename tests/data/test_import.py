from __future__ import annotations

import csv
import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from data.errors import DataError
from data.warehouse import Warehouse
from tests.data.exports import LEADS_ROWS, NOW, leads_text, mapping, rows, run, state, write_export


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


def quarantined(folder: Path | None, table: str) -> list[dict[str, str]]:
    assert folder is not None
    with (folder / f"{table}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_rows_become_typed_columns_with_their_times(tmp_path: Path, warehouse: Warehouse) -> None:
    report = run(write_export(tmp_path / "in"), warehouse)
    assert warehouse.counts() == {
        "accounts": 0,
        "leads": 6,
        "contacts": 3,
        "events": 3,
        "stages": 0,
        "outcomes": 2,
        "actions": 0,
        "merges": 0,
        "spend": 0,
    }
    found = rows(
        warehouse,
        "SELECT lead_id, epoch_us(created_at) = epoch_us(known_at), source, custom_staff, status "
        "FROM leads WHERE known_at = created_at ORDER BY lead_id",
    )
    assert found == [
        ("L1", True, "web", 1200.0, None),
        ("L2", True, "fair", None, None),
        ("L3", True, "web", 1200.0, None),
    ]
    assert report.tables["leads"].unmapped == ()
    assert report.tables["outcomes"].filtered == 1


def test_import_twice_leaves_the_warehouse_unchanged(tmp_path: Path, warehouse: Warehouse) -> None:
    folder = write_export(tmp_path / "in")
    run(folder, warehouse)
    before = state(warehouse)
    report = run(folder, warehouse, now=NOW + timedelta(days=3))
    assert state(warehouse) == before
    assert not report.changed
    assert report.tables["events"].duplicates == 3
    assert report.tables["leads"].duplicates == 3


def test_a_column_known_later_is_hidden_at_creation_and_shown_from_the_import_on(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    run(write_export(tmp_path / "in"), warehouse)
    found = rows(warehouse, "SELECT status, epoch_us(known_at) FROM leads WHERE lead_id = 'L1' ORDER BY known_at")
    assert [status for status, _ in found] == [None, "open"]
    assert found[1][1] == round(NOW.timestamp() * 1e6)
    assert warehouse.withheld_columns() == {"status"}


def test_a_changed_later_column_adds_one_version_and_only_for_its_lead(tmp_path: Path, warehouse: Warehouse) -> None:
    folder = write_export(tmp_path / "in")
    run(folder, warehouse)
    write_export(folder, leads=leads_text(LEADS_ROWS[0].replace(",open,", ",meeting,"), *LEADS_ROWS[1:]))
    report = run(folder, warehouse, now=NOW + timedelta(days=1))
    assert report.tables["leads"].kept == 1
    assert report.tables["leads"].duplicates == 2
    found = rows(warehouse, "SELECT status FROM leads WHERE lead_id = 'L1' ORDER BY known_at")
    assert [status for (status,) in found] == [None, "open", "meeting"]
    write_export(folder, leads=leads_text(LEADS_ROWS[0].replace(",open,", ",,"), *LEADS_ROWS[1:]))
    run(folder, warehouse, now=NOW + timedelta(days=2))
    found = rows(warehouse, "SELECT status FROM leads WHERE lead_id = 'L1' ORDER BY known_at")
    assert found[-1] == (None,)


def test_equal_key_with_other_content_is_quarantined_and_the_first_row_stays(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    events = "EventId,Lead,Type,At\ne1,L1,visit,2026-01-06T00:00:00Z\ne1,L1,form,2026-01-06T00:00:00Z\n"
    folder = write_export(tmp_path / "in", events=events)
    report = run(folder, warehouse)
    assert report.tables["events"].quarantined == {"conflict": 1}
    assert rows(warehouse, "SELECT type FROM events") == [("visit",)]
    found = quarantined(report.quarantine, "events")
    assert [(row["file"], row["line"], row["reason"]) for row in found] == [("events.csv", "3", "conflict")]
    assert json.loads(found[0]["row"])["Type"] == "form"
    # The same against the warehouse, from another file.
    write_export(
        folder, events="EventId,Lead,Type,At\ne1,L2,visit,2026-01-06T00:00:00Z\ne2,L1,v,2026-01-09T00:00:00Z\n"
    )
    report = run(folder, warehouse)
    assert report.tables["events"].quarantined == {"conflict": 1}
    assert report.tables["events"].kept == 1
    assert rows(warehouse, "SELECT lead_id FROM events WHERE event_id = 'e1'") == [("L1",)]


def test_a_row_from_the_future_is_quarantined_beyond_five_minutes(tmp_path: Path, warehouse: Warehouse) -> None:
    events = "EventId,Lead,Type,At\n" + "".join(
        f"e{minutes},L1,visit,{(NOW + timedelta(minutes=minutes)).isoformat()}\n" for minutes in (4, 6)
    )
    report = run(write_export(tmp_path / "in", events=events), warehouse)
    assert report.tables["events"].quarantined == {"future:occurred_at": 1}
    assert rows(warehouse, "SELECT event_id FROM events") == [("e4",)]


def test_known_at_is_raised_to_the_time_of_the_fact(tmp_path: Path, warehouse: Warehouse) -> None:
    events = "EventId,Lead,Type,At,Got\ne1,L1,visit,2026-01-06T00:00:00Z,2026-01-01T00:00:00Z\n"
    used = mapping(tables__events__known_at={"column": "Got"})
    run(write_export(tmp_path / "in", events=events), warehouse, used)
    assert rows(warehouse, "SELECT known_at = occurred_at FROM events") == [(True,)]


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ('"1,200"', 1200.0, None),
        ("1200.5", 1200.5, None),
        ("-3", -3.0, None),
        ("1e3", 1000.0, None),
        ("  12 ", 12.0, None),
        ("", None, None),
        ('"1.200,50"', None, "bad_number:custom_staff"),
        ('"12,00"', None, "bad_number:custom_staff"),
        ("€ 3k", None, "bad_number:custom_staff"),
        ("1_000", None, "bad_number:custom_staff"),
        ("NaN", None, "not_finite:custom_staff"),
        ("-inf", None, "not_finite:custom_staff"),
        ("1e400", None, "bad_number:custom_staff"),
        ("1e308", 1e308, None),
    ],
)
def test_numbers_in_text(
    tmp_path: Path, warehouse: Warehouse, text: str, value: float | None, reason: str | None
) -> None:
    row = f"L9,2026-01-05T10:00:00Z,web,,open,{text},,,,,"
    report = run(write_export(tmp_path / "in", leads=leads_text(*LEADS_ROWS, row)), warehouse)
    expected = {reason: 1} if reason else {}
    found = dict(report.tables["leads"].quarantined)
    if text == "1e400":  # beyond a double: refused, under whichever of the two names
        assert sum(found.values()) == 1
        return
    assert found == expected
    if reason is None:
        assert rows(warehouse, "SELECT DISTINCT custom_staff FROM leads WHERE lead_id = 'L9'") == [(value,)]


def test_negative_numbers_are_quarantined_where_they_cannot_be(tmp_path: Path, warehouse: Warehouse) -> None:
    columns = {
        "source": {"value": "s"},
        "event_id": "EventId",
        "lead_id": "Lead",
        "type": "Type",
        "occurred_at": "At",
        "duration_s": "D",
        "value": "V",
    }
    events = "EventId,Lead,Type,At,D,V\ne1,L1,v,2026-01-06T00:00:00Z,-1,1\ne2,L1,v,2026-01-06T00:00:00Z,1,-1\n"
    report = run(write_export(tmp_path / "in", events=events), warehouse, mapping(tables__events__columns=columns))
    assert report.tables["events"].quarantined == {"negative:duration_s": 1}


def test_an_outcome_that_is_neither_won_nor_lost_is_quarantined(tmp_path: Path, warehouse: Warehouse) -> None:
    row = "L4,2026-01-08T10:00:00Z,web,,open,,maybe,2026-03-01T00:00:00Z,,,"
    report = run(write_export(tmp_path / "in", leads=leads_text(*LEADS_ROWS, row)), warehouse)
    assert report.tables["outcomes"].quarantined == {"not_won_or_lost:outcome": 1}


def test_an_outcome_before_the_lead_was_created_is_quarantined(tmp_path: Path, warehouse: Warehouse) -> None:
    row = "L4,2026-01-08T10:00:00Z,web,,open,,won,2026-01-08T09:00:00Z,,,"
    report = run(write_export(tmp_path / "in", leads=leads_text(*LEADS_ROWS, row)), warehouse)
    assert report.tables["outcomes"].quarantined == {"closed_before_created:closed_at": 1}
    assert report.tables["leads"].kept == 4


def test_what_is_derived_comes_from_the_contact_of_the_lead(tmp_path: Path, warehouse: Warehouse) -> None:
    run(write_export(tmp_path / "in"), warehouse)
    found = rows(
        warehouse,
        "SELECT lead_id, seniority, email_domain_kind, contact_completeness, person_id IS NULL FROM leads "
        "WHERE known_at = created_at ORDER BY lead_id",
    )
    assert found == [
        ("L1", "vp", "corporate", 1.0, False),
        ("L2", None, None, 0.0, True),
        ("L3", "junior", "free", 1 / 3, False),
    ]
    pairs = rows(warehouse, "SELECT count(*) FROM leads l JOIN contacts c USING (lead_id, person_id)")
    assert pairs == [(4,)]


def test_contact_data_that_came_later_are_not_shown_at_creation(tmp_path: Path, warehouse: Warehouse) -> None:
    used = mapping(tables__contacts__known_at="import")
    run(write_export(tmp_path / "in"), warehouse, used)
    found = rows(warehouse, "SELECT email_domain_kind FROM leads WHERE lead_id = 'L1' ORDER BY known_at")
    assert found == [(None,), ("corporate",)]
    before = state(warehouse)
    run(tmp_path / "in", warehouse, used, now=NOW + timedelta(days=1))
    assert state(warehouse) == before


def test_rows_known_at_import_are_news_only_when_they_differ(tmp_path: Path, warehouse: Warehouse) -> None:
    used = mapping(tables__leads__known_at="import")
    folder = write_export(tmp_path / "in")
    run(folder, warehouse, used)
    assert warehouse.counts()["leads"] == 3
    report = run(folder, warehouse, used, now=NOW + timedelta(days=1))
    assert report.tables["leads"].duplicates == 3
    write_export(folder, leads=leads_text(LEADS_ROWS[0].replace(",web,", ",ads,"), *LEADS_ROWS[1:]))
    report = run(folder, warehouse, used, now=NOW + timedelta(days=2))
    assert (report.tables["leads"].kept, report.tables["leads"].duplicates) == (1, 2)


def test_quarantine_is_private_and_reports_carry_no_personal_value(tmp_path: Path, warehouse: Warehouse) -> None:
    row = "L8,not a time,web,,open,,,,Zacharias Geheim,zacharias@geheim.example,+49 30 1234567"
    report = run(write_export(tmp_path / "in", leads=leads_text(*LEADS_ROWS, row)), warehouse)
    assert report.quarantine is not None
    for path in report.quarantine.glob("*.csv"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert quarantined(report.quarantine, "leads")[0]["line"] == "5"
    assert "Zacharias" in quarantined(report.quarantine, "leads")[0]["row"]
    assert "eheim" not in json.dumps(report.as_dict())
    assert "eheim" not in (warehouse.path / "manifest.json").read_text()


def test_a_repeated_import_keeps_one_copy_of_its_quarantine(tmp_path: Path, warehouse: Warehouse) -> None:
    row = "L8,not a time,web,,open,,,,,,"
    folder = write_export(tmp_path / "in", leads=leads_text(*LEADS_ROWS, row))
    run(folder, warehouse)
    run(folder, warehouse, now=NOW + timedelta(days=1))
    assert len(list((warehouse.path / "quarantine").iterdir())) == 1


def test_quarantined_lines_are_physical_lines_where_cells_span_lines(tmp_path: Path, warehouse: Warehouse) -> None:
    many = 'L7,2026-01-05T10:00:00Z,"two\nlines",,open,,,,,,'
    bad, short = "L8,not a time,web,,open,,,,,,", "L9,too few"
    report = run(write_export(tmp_path / "in", leads=leads_text(LEADS_ROWS[0], many, short, bad, many)), warehouse)
    found = [(row["line"], row["reason"]) for row in quarantined(report.quarantine, "leads")]
    assert found == [("5", "malformed:too_few_fields"), ("6", "bad_time:created_at")]


def test_unmapped_columns_are_reported_and_ignored_ones_are_not(tmp_path: Path, warehouse: Warehouse) -> None:
    text = "\n".join(line + f",x{at}" for at, line in enumerate(leads_text().splitlines())) + "\n"
    report = run(write_export(tmp_path / "in", leads=text), warehouse)
    assert report.tables["leads"].unmapped == ("x0",)
    report = run(tmp_path / "in", warehouse, mapping(ignored={"leads": ["x0"]}))
    assert report.files["leads"].unmapped == ()


def test_a_naive_time_is_refused_without_a_zone_and_read_with_one(tmp_path: Path, warehouse: Warehouse) -> None:
    events = "EventId,Lead,Type,At\ne1,L1,v,2026-01-06 00:00:00\n"
    folder = write_export(tmp_path / "in", events=events)
    with pytest.raises(DataError, match="time_without_offset:occurred_at 1"):
        run(folder, warehouse)
    run(folder, warehouse, mapping(zone="Asia/Shanghai"))
    assert rows(warehouse, "SELECT epoch_us(occurred_at) FROM events") == [(1767628800000000,)]  # 2026-01-05 16:00 UTC


def test_a_join_with_many_matches_is_refused_unless_the_first_is_picked(tmp_path: Path, warehouse: Warehouse) -> None:
    deals = "Lead,Amount,Won\nL1,5,2026-02-02T00:00:00Z\nL1,7,2026-02-03T00:00:00Z\nL7,1,x\nL7,1,x\n"
    folder = write_export(tmp_path / "in")
    (folder / "deals.csv").write_text(deals)

    def used(**pick: str) -> dict[str, object]:
        return {
            "from": "leads",
            "join": [{"file": "deals", "on": {"Id": "Lead"}, **pick}],
            "where": [{"column": "deals.Won", "filled": True}],
            "known_at": {"after": "closed_at"},
            "columns": {
                "lead_id": "Id",
                "outcome": {"value": "won"},
                "closed_at": "deals.Won",
                "amount": "deals.Amount",
            },
        }

    files = {"leads": {"path": "leads.csv"}, "events": {"path": "events.csv"}, "deals": {"path": "deals.csv"}}
    with pytest.raises(DataError, match=r"1 value\(s\) of Lead stand more than once in deals"):
        run(folder, warehouse, mapping(files=files, tables__outcomes=used()))
    report = run(folder, warehouse, mapping(files=files, tables__outcomes=used(pick="first")))
    assert rows(warehouse, "SELECT lead_id, amount FROM outcomes") == [("L1", 5.0)]
    assert report.tables["outcomes"].filtered == 2


def test_dates_are_rebuilt_from_the_order_of_months(tmp_path: Path, warehouse: Warehouse) -> None:
    body = "".join(f"{month},no\n" for month in ["nov", "nov", "dec", "feb", "dec"])
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "calls.csv").write_text("month,y\n" + body)
    used = mapping(
        zone="UTC",
        files={"calls": {"path": "calls.csv"}},
        tables={
            "leads": {
                "from": "calls",
                "known_at": {"after": "created_at"},
                "columns": {
                    "lead_id": {"row_number": True, "prefix": "r"},
                    "created_at": {"rebuilt_from_month": "month", "start": "2020-11"},
                },
            }
        },
    )
    run(tmp_path / "in", warehouse, used)
    found = rows(warehouse, "SELECT lead_id, strftime(created_at, '%Y-%m-%d') FROM leads ORDER BY lead_id")
    assert [day for _, day in found] == ["2020-11-01", "2020-11-16", "2020-12-01", "2021-02-01", "2021-12-01"]
    assert found[0][0] == "r0"
    (tmp_path / "in" / "calls.csv").write_text("month,y\nnov,no,more\n" + body)
    with pytest.raises(DataError, match="the mapping counts rows"):
        run(tmp_path / "in", warehouse, used)


def test_where_filters_by_value_and_by_time_and_counts(tmp_path: Path, warehouse: Warehouse) -> None:
    where = [{"column": "Type", "in": ["visit"]}, {"column": "At", "from": "2026-01-01", "until": "2026-02-01"}]
    report = run(write_export(tmp_path / "in"), warehouse, mapping(tables__events__where=where))
    assert report.tables["events"].filtered == 2
    assert rows(warehouse, "SELECT event_id FROM events") == [("e1",)]


def test_missing_values_and_value_maps(tmp_path: Path, warehouse: Warehouse) -> None:
    columns = {
        "lead_id": "Id",
        "created_at": "Created",
        "source": {"column": "Source", "values": {"web": "online"}, "missing": ["", "fair"]},
    }
    run(write_export(tmp_path / "in"), warehouse, mapping(tables__leads__columns=columns))
    found = rows(warehouse, "SELECT DISTINCT lead_id, source FROM leads ORDER BY 1")
    assert found == [("L1", "online"), ("L2", None), ("L3", "online")]
