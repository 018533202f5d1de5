"""Each preset reads a small made-up export with the headers of its system."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path

from data.import_report import ImportReport
from data.mapping import load_mapping
from data.warehouse import Warehouse
from tests.data.exports import NOW, rows, run

DAY = "2026-01-05T10:00:00.000+0000"


def table(folder: Path, name: str, *records: dict[str, str], needed: tuple[str, ...]) -> None:
    """Write records as CSV with every column that the preset asks for."""
    folder.mkdir(exist_ok=True)
    header = list(dict.fromkeys([*needed, *(key for record in records for key in record)]))
    with (folder / name).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, header)
        writer.writeheader()
        writer.writerows(records)


def imported(tmp_path: Path, preset: str, **records: list[dict[str, str]]) -> tuple[Warehouse, ImportReport]:
    mapping = load_mapping(preset)
    wanted = mapping.wanted()
    for name, file in mapping.files.items():
        table(tmp_path / "in", file.path.replace("*", "_2026"), *records[name], needed=wanted[name])
    warehouse = Warehouse(tmp_path / "warehouse")
    report = run(tmp_path / "in", warehouse, mapping)
    assert all(not t.quarantined for t in report.tables.values()), report.tables
    return warehouse, report


def test_salesforce_leads_are_decided_by_the_opportunity_they_became(tmp_path: Path) -> None:
    alive = {"IsDeleted": "false", "CreatedDate": DAY}
    warehouse, report = imported(
        tmp_path,
        "salesforce",
        leads=[
            {"Id": "00Q1", "Title": "VP Ops", "Email": "a@acme.example", "ConvertedOpportunityId": "0061",
             "ConvertedAccountId": "0011", "NumberOfEmployees": "1200", "Status": "Qualified", **alive},
            {"Id": "00Q2", "Title": "Buyer", "Status": "Open", **alive},
            {"Id": "00Q3", "Status": "Open", **alive, "IsDeleted": "true"},
        ],
        opportunities=[{"Id": "0061", "IsClosed": "true", "IsWon": "true", "CloseDate": "2026-02-03",
                        "Amount": "5000.0", "StageName": "Closed Won"}],
        accounts=[{"Id": "0011", "Name": "Acme", "NumberOfEmployees": "1200", **alive}],
        tasks=[{"Id": "00T1", "WhoId": "00Q1", "TaskSubtype": "Call", "CallDurationInSeconds": "61", **alive}],
        stages=[{"OpportunityId": "0061", "StageName": "Prospecting", "CreatedDate": DAY}],
    )  # fmt: skip
    assert report.tables["leads"].filtered == 1
    assert rows(warehouse, "SELECT lead_id, outcome, amount, closed_at::VARCHAR FROM outcomes") == [
        ("00Q1", "won", 5000.0, "2026-02-03 23:59:59+00")
    ]
    assert rows(warehouse, "SELECT lead_id, type, duration_s FROM events") == [("00Q1", "call", 61.0)]
    assert rows(warehouse, "SELECT lead_id, stage FROM stages") == [("00Q1", "Prospecting")]
    first = "SELECT seniority, account_id, status FROM leads WHERE lead_id = '00Q1' ORDER BY known_at"
    assert rows(warehouse, first) == [("vp", None, None), ("vp", "0011", "Qualified")]


def test_hubspot_contacts_are_decided_by_their_deal(tmp_path: Path) -> None:
    warehouse, _ = imported(
        tmp_path,
        "hubspot",
        contacts=[{"hs_object_id": "101", "createdate": "2026-01-05T10:00:00.123Z", "jobtitle": "Head of IT",
                   "email": "x@uni.edu", "hs_analytics_source": "ORGANIC_SEARCH", "lifecyclestage": "customer",
                   "hs_lifecyclestage_salesqualifiedlead_date": "2026-01-09T10:00:00Z"}],
        deals=[
            {"hs_is_closed": "true", "hs_is_closed_won": "false", "closedate": "2026-03-01T00:00:00Z",
             "associated_contact_id": "101", "dealstage": "closedlost"},
            {"hs_is_closed": "false", "associated_contact_id": "101"},
        ],
        companies=[{"hs_object_id": "7", "createdate": "2026-01-01T00:00:00Z", "numberofemployees": "30"}],
    )  # fmt: skip
    assert rows(warehouse, "SELECT lead_id, outcome, reason FROM outcomes") == [("101", "lost", "closedlost")]
    assert rows(warehouse, "SELECT stage FROM stages") == [("sql",)]
    assert rows(warehouse, "SELECT seniority, email_domain_kind FROM leads ORDER BY known_at LIMIT 1") == [
        ("director", "education")
    ]
    assert "custom_lifecycle_stage" in warehouse.withheld_columns()


def test_dynamics_leads_are_decided_by_their_opportunity_or_disqualified(tmp_path: Path) -> None:
    made = {"createdon": "2026-01-05T10:00:00Z"}
    warehouse, report = imported(
        tmp_path,
        "dynamics",
        leads=[
            {"leadid": "a-1", "statecode": "1", "_qualifyingopportunityid_value": "o-1",
             "numberofemployees": "1,500", "jobtitle": "采购总监", **made},
            {"leadid": "a-2", "statecode": "0", **made},
            {"leadid": "a-3", "statecode": "Qualified", "_qualifyingopportunityid_value": "o-2", **made},
            {"leadid": "a-4", "statecode": "1", "_qualifyingopportunityid_value": "o-3", **made},
            {"leadid": "a-5", "statecode": "2", **made},
        ],
        opportunities=[
            {"opportunityid": "o-1", "statecode": "2", "actualclosedate": "2026-02-01"},
            {"opportunityid": "o-2", "statecode": "Won", "actualclosedate": "2026-02-02"},
            {"opportunityid": "o-3", "statecode": "0"},
        ],
    )  # fmt: skip
    found = rows(warehouse, "SELECT lead_id, outcome, closed_at::VARCHAR FROM outcomes ORDER BY 1")
    assert found == [
        ("a-1", "lost", "2026-02-01 23:59:59+00"),
        ("a-3", "won", "2026-02-02 23:59:59+00"),
        ("a-5", "lost", "2026-11-01 12:00:00+00"),  # disqualified, and the export is the first to say so
    ]
    assert report.tables["outcomes"].filtered == 2
    found = rows(warehouse, "SELECT seniority, custom_company_employees FROM leads WHERE lead_id = 'a-1'")
    assert found == [("director", 1500.0)]


def test_odoo_leads_are_decided_by_probability_and_closing_date(tmp_path: Path) -> None:
    shared = {"create_date": "2026-01-05 10:00:00", "function": "经理"}
    warehouse, report = imported(
        tmp_path,
        "odoo",
        leads=[
            {"id": "1", "probability": "100.0", "date_closed": "2026-02-01 10:00:00", "stage_id": "Won", **shared},
            {
                "id": "2",
                "probability": "0.0",
                "date_closed": "2026-02-02 10:00:00",
                "lost_reason_id": "Price",
                **shared,
            },
            {"id": "3", "probability": "40.0", "stage_id": "New", **shared},
        ],
    )
    assert rows(warehouse, "SELECT lead_id, outcome, reason FROM outcomes ORDER BY 1") == [
        ("1", "won", None), ("2", "lost", "Price")
    ]  # fmt: skip
    assert report.tables["outcomes"].filtered == 1
    assert "status" in warehouse.withheld_columns()


def test_a_deal_reopened_in_salesforce_is_open_again_from_the_export_that_shows_it(tmp_path: Path) -> None:
    alive = {"IsDeleted": "false", "CreatedDate": DAY}
    mapping = load_mapping("salesforce")
    wanted = mapping.wanted()
    warehouse = Warehouse(tmp_path / "warehouse")
    closed = {"IsClosed": "true", "IsWon": "false", "CloseDate": "2026-02-03"}
    for number, deal in enumerate((closed, {"IsClosed": "false", "IsWon": "false", "CloseDate": "2027-01-01"}, closed)):
        folder = tmp_path / f"in{number}"
        lead = {"Id": "00Q1", "ConvertedOpportunityId": "0061", **alive}
        table(folder, "Lead.csv", lead, needed=wanted["leads"])
        table(folder, "Opportunity.csv", {"Id": "0061", **deal}, needed=wanted["opportunities"])
        run(folder, warehouse, mapping, now=NOW + timedelta(weeks=number))
    found = rows(warehouse, "SELECT outcome, known_at::VARCHAR FROM outcomes ORDER BY known_at")
    assert found == [
        ("lost", "2026-02-03 23:59:59+00"), ("open", "2026-11-08 12:00:00+00"), ("lost", "2026-11-15 12:00:00+00")
    ]  # fmt: skip
