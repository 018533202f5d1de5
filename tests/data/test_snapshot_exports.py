from __future__ import annotations

import json
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from data.errors import DataError, UsageError
from data.exports import import_series
from data.history import observed_since
from data.import_report import ImportReport
from data.importing import import_export
from data.invariants import check_invariants
from data.mapping import Mapping
from data.warehouse import Warehouse
from tests.data.exports import rows, state
from tests.data.weekly import HEADER, NOW, Expected, Lead, crm, expected, export, hour, us, week

LEADS = [
    Lead("L1", hour(1), [(hour(200), "Owner", "bob"), (hour(400), "Status", "demo"), (hour(410), "Owner", "ann")]),
    Lead(
        "L2", hour(2), [(hour(100), "Outcome", "Lost"), (hour(300), "Outcome", "Open"), (hour(500), "Outcome", "Won")]
    ),
    Lead("L3", hour(200), [(hour(400), "gone", True), (hour(600), "gone", False)]),
    Lead("L4", hour(3), [(hour(330), "Outcome", "Won"), (hour(340), "Outcome", "Lost")]),
]


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


def take(folder: Path, leads: list[Lead], *weeks: int) -> Path:
    for number in weeks:
        export(folder / f"crm_{week(number):%Y-%m-%d_%H%M}", leads, week(number))
    return folder


def bring(warehouse: Warehouse, leads: list[Lead], number: int, used: Mapping | None = None) -> ImportReport:
    """Export the CRM as it stands in a week, and import that."""
    folder = export(warehouse.path.parent / "in", leads, week(number))
    report = import_export(folder, used or crm(), warehouse, now=NOW, exported_at=week(number))
    report.check()
    return report


def derived(warehouse: Warehouse) -> Expected:
    def table(query: str) -> set[tuple[Any, ...]]:
        found = rows(warehouse, query)
        assert len(found) == len(set(found))
        return set(found)

    return Expected(
        table("SELECT lead_id, owner_id, status, epoch_us(known_at) FROM leads"),
        table("SELECT lead_id, stage, epoch_us(occurred_at), epoch_us(known_at) FROM stages"),
        table("SELECT lead_id, outcome, epoch_us(closed_at), epoch_us(known_at) FROM outcomes"),
        table("SELECT lead_id, type, epoch_us(occurred_at), epoch_us(known_at) FROM actions"),
    )


@pytest.mark.parametrize("at_import", [True, False])
def test_weekly_exports_tell_the_true_history_rounded_up_to_the_next_export(
    tmp_path: Path, warehouse: Warehouse, at_import: bool
) -> None:
    report = import_series(
        take(tmp_path / "all", LEADS, 1, 2, 3, 4), "crm_%Y-%m-%d_%H%M", crm(at_import=at_import), warehouse, now=NOW
    )
    assert derived(warehouse) == expected(LEADS, [1, 2, 3, 4], at_import=at_import)
    assert len(report.exports) == 4
    assert {row[0] for row in rows(warehouse, "SELECT DISTINCT epoch_us(recorded_at) FROM leads")} == {us(NOW)}
    check_invariants(warehouse, now=NOW)


def test_the_expected_history_of_these_tests_is_the_one_told_by_hand() -> None:
    by_hand = expected(LEADS, [1, 2, 3, 4], at_import=True)
    assert {row for row in by_hand.outcomes if row[0] == "L2"} == {
        ("L2", "lost", us(hour(100)), us(hour(100))),
        ("L2", "open", us(week(2)), us(week(2))),
        ("L2", "won", us(hour(500)), us(hour(500))),
    }
    assert by_hand.actions == {
        ("L3", "vanished", us(week(3)), us(week(3))),
        ("L3", "reappeared", us(week(4)), us(week(4))),
    }
    assert {row for row in by_hand.leads if row[0] == "L1"} == {
        ("L1", "ann", "new", us(week(1))),
        ("L1", "bob", "new", us(week(2))),
        ("L1", "ann", "demo", us(week(3))),
    }


CHANGE = st.one_of(
    st.tuples(st.integers(0, 900), st.just("Owner"), st.sampled_from(["ann", "bob", None])),
    st.tuples(st.integers(0, 900), st.just("Status"), st.sampled_from(["new", "demo", "offer", None])),
    st.tuples(st.integers(0, 900), st.just("Outcome"), st.sampled_from(["Open", "Won", "Lost"])),
    st.tuples(st.integers(0, 900), st.just("gone"), st.booleans()),
)
HISTORY = st.lists(
    st.tuples(st.integers(0, 700), st.lists(CHANGE, max_size=6, unique_by=lambda change: change[0])),
    min_size=1,
    max_size=7,
)


@settings(max_examples=5, deadline=None)
@given(HISTORY, st.booleans(), st.sampled_from([[1, 2, 3, 4, 5], [1, 4, 5], [2, 3]]))
def test_any_history_comes_out_of_its_exports(
    drawn: list[tuple[int, list[tuple[int, str, Any]]]], at_import: bool, weeks: list[int]
) -> None:
    # A first lead that never changes keeps every export from being empty.
    leads = [Lead("L", hour(0))]
    for number, (created, changes) in enumerate(drawn):
        moved = [(hour(created + after), name, value) for after, name, value in changes]
        leads.append(Lead(f"L{number}", hour(created), moved))
    with tempfile.TemporaryDirectory() as name:
        warehouse = Warehouse(Path(name) / "warehouse")
        folder = take(Path(name) / "all", leads, *weeks)
        used = crm(at_import=at_import)
        import_series(folder, "crm_%Y-%m-%d_%H%M", used, warehouse, now=NOW)
        assert derived(warehouse) == expected(leads, weeks, at_import=at_import)
        # An export without a date is one taken now: the newest state again is no news.
        last = folder / f"crm_{week(weeks[-1]):%Y-%m-%d_%H%M}"
        before = state(warehouse)
        assert not import_export(last, used, warehouse, now=NOW).changed
        assert state(warehouse) == before


def test_a_series_imported_twice_leaves_the_warehouse_unchanged_to_the_byte(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    folder = take(tmp_path / "all", LEADS, 1, 2, 3)
    import_series(folder, "crm_%Y-%m-%d_%H%M", crm(), warehouse, now=NOW)
    before = state(warehouse)
    again = import_series(folder, "crm_%Y-%m-%d_%H%M", crm(), warehouse, now=NOW + timedelta(days=1))
    assert state(warehouse) == before
    assert not again.changed
    assert all(report.repeated for _, report in again.exports)
    # A further week is all that is read the next time.
    take(folder, LEADS, 4)
    more = import_series(folder, "crm_%Y-%m-%d_%H%M", crm(), warehouse, now=NOW + timedelta(days=2))
    assert [report.repeated for _, report in more.exports] == [True, True, True, False]
    assert derived(warehouse) == expected(LEADS, [1, 2, 3, 4], at_import=True)


def test_an_export_older_than_the_newest_is_refused_and_changes_nothing(warehouse: Warehouse) -> None:
    bring(warehouse, LEADS, 1)
    bring(warehouse, LEADS, 3)
    before = state(warehouse)
    with pytest.raises(DataError, match=r"2026-01-15T00:00:00Z is older than the one of 2026-01-22T00:00:00Z.*order"):
        bring(warehouse, LEADS, 2)
    assert state(warehouse) == before


def test_an_export_that_confirmed_everything_still_bars_older_ones(warehouse: Warehouse) -> None:
    still = [Lead("L1", hour(1))]
    bring(warehouse, still, 1)
    assert not bring(warehouse, still, 4).changed
    with pytest.raises(DataError, match="older than"):
        bring(warehouse, [Lead("L1", hour(1), [(hour(200), "Owner", "bob")])], 2)


def test_logs_with_their_own_clock_may_come_in_any_order(tmp_path: Path, warehouse: Warehouse) -> None:
    raw = {
        "mapping": 1,
        "name": "site",
        "files": {"visits": {"path": "visits.csv"}},
        "tables": {
            "events": {
                "from": "visits",
                "known_at": {"after": "occurred_at"},
                "columns": {
                    "source": {"value": "s"},
                    "event_id": "E",
                    "lead_id": "L",
                    "type": "T",
                    "occurred_at": "At",
                },
            }
        },
    }
    for number in (2, 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "visits.csv").write_text(f"E,L,T,At\ne{number},L1,visit,{hour(number).isoformat()}\n")
        import_export(folder, Mapping.model_validate(raw), warehouse, now=NOW, exported_at=week(number))
    assert rows(warehouse, "SELECT count(*) FROM events") == [(2,)]


def test_a_damaged_week_stops_the_series_and_a_mended_one_lets_it_go_on(tmp_path: Path, warehouse: Warehouse) -> None:
    folder = take(tmp_path / "all", LEADS, 1, 2, 3, 4)
    damaged = folder / f"crm_{week(3):%Y-%m-%d_%H%M}" / "crm.csv"
    sound = damaged.read_text()
    damaged.write_text(sound.replace("Created", "Maed"))
    with pytest.raises(DataError, match=r"crm_2026-01-22_0000: crm\.csv lacks 1 mapped column.*2 of 4 exports are in"):
        import_series(folder, "crm_%Y-%m-%d_%H%M", crm(), warehouse, now=NOW)
    assert derived(warehouse) == expected(LEADS, [1, 2], at_import=True)
    damaged.write_text(sound)
    import_series(folder, "crm_%Y-%m-%d_%H%M", crm(), warehouse, now=NOW)
    assert derived(warehouse) == expected(LEADS, [1, 2, 3, 4], at_import=True)


def test_what_lies_after_the_moment_of_the_export_is_from_the_future(tmp_path: Path, warehouse: Warehouse) -> None:
    folder = export(tmp_path / "in", LEADS, week(2))
    report = import_export(folder, crm(), warehouse, now=NOW, exported_at=week(1))
    assert report.tables["leads"].quarantined == {"future:created_at": 1}
    with pytest.raises(UsageError, match="lies in the future"):
        import_export(folder, crm(), warehouse, now=NOW, exported_at=NOW + timedelta(hours=1))


def test_the_report_says_what_changed_and_who_is_gone(warehouse: Warehouse) -> None:
    bring(warehouse, LEADS, 1)
    bring(warehouse, LEADS, 2)
    report = bring(warehouse, LEADS, 3)
    changes = report.tables["leads"].changes
    assert (changes.new, changes.changed, dict(changes.columns)) == (0, 1, {"owner_id": 1, "status": 1})
    assert report.gone is not None
    assert (report.gone.missing, report.gone.vanished, report.gone.reappeared) == (1, 1, 0)
    assert report.tables["outcomes"].changes.changed == 2  # L2 is won after all, L4 is lost after all
    again = bring(warehouse, LEADS, 4)
    assert again.gone is not None
    assert (again.gone.missing, again.gone.reappeared) == (0, 1)


def test_a_vanished_lead_stays_in_the_warehouse_with_all_it_said(warehouse: Warehouse) -> None:
    bring(warehouse, LEADS, 2)
    bring(warehouse, LEADS, 3)
    assert rows(warehouse, "SELECT owner_id FROM leads WHERE lead_id = 'L3'") == [("ann",)]
    bring(warehouse, LEADS[:2], 4)
    found = rows(warehouse, "SELECT lead_id, type FROM actions ORDER BY occurred_at, lead_id")
    assert found == [("L3", "vanished"), ("L4", "vanished")]


def test_without_full_export_who_is_missing_is_counted_and_nothing_more(warehouse: Warehouse) -> None:
    bring(warehouse, LEADS, 2, crm(full=False))
    report = bring(warehouse, LEADS[:1], 3, crm(full=False))
    assert report.gone is not None
    assert (report.gone.missing, report.gone.vanished, report.gone.stored) == (3, 0, False)
    assert warehouse.counts()["actions"] == 0


def test_a_full_export_that_lacks_most_leads_is_refused(warehouse: Warehouse) -> None:
    many = [Lead(f"L{number}", hour(number)) for number in range(20)]
    bring(warehouse, many, 1)
    before = state(warehouse)
    with pytest.raises(DataError, match=r"11 of the 20 leads .* are missing"):
        bring(warehouse, many[:9], 2)
    assert state(warehouse) == before
    report = bring(warehouse, many[:10], 2)
    assert report.gone is not None
    assert report.gone.vanished == 10


def test_a_lead_whose_row_cannot_be_read_has_not_vanished(tmp_path: Path, warehouse: Warehouse) -> None:
    bring(warehouse, LEADS, 2)
    text = (tmp_path / "in" / "crm.csv").read_text()
    (tmp_path / "in" / "crm.csv").write_text(text.replace(f"L3,{hour(200).isoformat()}", "L3,once"))
    report = import_export(tmp_path / "in", crm(), warehouse, now=NOW, exported_at=week(3))
    assert report.tables["leads"].quarantined == {"bad_time:created_at": 1}
    assert report.gone is not None
    assert report.gone.missing == 0
    (tmp_path / "in" / "crm.csv").write_text(text.replace("L3,", "L3 "))
    report = import_export(tmp_path / "in", crm(), warehouse, now=NOW, exported_at=week(4))
    assert report.gone is not None
    assert (report.gone.missing, report.gone.stored) == (1, False)


def test_an_open_deal_is_no_outcome_until_a_closed_one_was_told(warehouse: Warehouse) -> None:
    lead = Lead("L1", hour(1), [(hour(200), "Outcome", "Won"), (hour(400), "Outcome", "Open")])
    first = bring(warehouse, [lead], 1)
    assert (first.tables["outcomes"].filtered, first.tables["outcomes"].kept) == (1, 0)
    bring(warehouse, [lead], 2)
    assert bring(warehouse, [lead], 3).tables["outcomes"].kept == 1
    assert bring(warehouse, [lead], 4).tables["outcomes"].duplicates == 1
    assert rows(warehouse, "SELECT outcome FROM outcomes ORDER BY known_at") == [("won",), ("open",)]


def test_a_win_that_is_cancelled_with_the_same_date_is_a_correction_from_the_export_on(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    lead = Lead("L1", hour(1), [(hour(100), "Outcome", "Won")])
    bring(warehouse, [lead], 1)
    text = (tmp_path / "in" / "crm.csv").read_text()
    for number, word in ((2, "Lost"), (3, "Lost"), (4, "Won")):
        (tmp_path / "in" / "crm.csv").write_text(text.replace("Won", word))
        import_export(tmp_path / "in", crm(), warehouse, now=NOW, exported_at=week(number))
    found = rows(warehouse, "SELECT outcome, epoch_us(closed_at), epoch_us(known_at) FROM outcomes ORDER BY known_at")
    closed = us(hour(100))
    assert found == [("won", closed, closed), ("lost", closed, us(week(2))), ("won", closed, us(week(4)))]


def test_an_outcome_entered_late_is_known_from_the_export_that_first_tells_it(warehouse: Warehouse) -> None:
    bring(warehouse, [Lead("L1", hour(1)), Lead("L2", hour(1))], 2)
    late = Lead("L1", hour(1), [(hour(100), "Outcome", "Won")])  # closed in week 1, and week 2 did not show it
    bring(warehouse, [late, Lead("L2", hour(1), [(hour(400), "Outcome", "Lost")])], 3)
    found = rows(warehouse, "SELECT lead_id, epoch_us(closed_at), epoch_us(known_at) FROM outcomes ORDER BY 1")
    assert found == [("L1", us(hour(100)), us(week(3))), ("L2", us(hour(400)), us(hour(400)))]


def test_a_lead_that_the_full_export_before_did_not_hold_is_known_from_this_one_on(warehouse: Warehouse) -> None:
    # Created in week 1 and brought into the CRM in week 2; without full exports its own date is believed.
    hidden = [(hour(10), "gone", True), (hour(200), "gone", False)]
    leads = [Lead("L1", hour(1)), Lead("L2", hour(10), hidden)]
    for number in (1, 2, 3):
        bring(warehouse, leads, number, crm(at_import=False))
    assert derived(warehouse) == expected(leads, [1, 2, 3], at_import=False)
    assert rows(warehouse, "SELECT status, epoch_us(known_at) FROM leads WHERE lead_id = 'L2'") == [
        ("new", us(week(2)))
    ]  # fmt: skip


def test_outcomes_without_a_date_are_closed_by_the_export_that_first_tells_them(warehouse: Warehouse) -> None:
    outcomes = {
        "from": "crm",
        "where": [{"column": "Outcome", "in": ["Won", "Lost"]}],
        "known_at": {"after": "closed_at"},
        "columns": {
            "lead_id": "Id",
            "outcome": {"column": "Outcome", "values": {"Won": "won", "Lost": "lost"}},
            "closed_at": {"exported_at": True},
        },
    }
    lead = Lead("L1", hour(1), [(hour(100), "Outcome", "Lost"), (hour(600), "Outcome", "Won")])
    for number in (1, 2, 3, 4):
        bring(warehouse, [lead], number, crm(outcomes=outcomes))
    found = rows(warehouse, "SELECT outcome, epoch_us(closed_at), epoch_us(known_at) FROM outcomes ORDER BY known_at")
    assert found == [("lost", us(week(1)), us(week(1))), ("won", us(week(4)), us(week(4)))]


def test_a_stage_with_a_date_of_change_keeps_it_and_one_without_has_the_export(warehouse: Warehouse) -> None:
    stages = {
        "from": "crm",
        "known_at": "import",
        "columns": {"lead_id": "Id", "stage": "Status", "occurred_at": {"column": "Closed", "exported_at": True}},
    }
    dated = Lead("L1", hour(1), [(hour(100), "Outcome", "Won"), (hour(99), "Status", "demo")])
    bring(warehouse, [dated, Lead("L2", hour(1))], 1, crm(stages=stages))
    bring(warehouse, [dated, Lead("L2", hour(1))], 2, crm(stages=stages))
    found = rows(warehouse, "SELECT lead_id, stage, epoch_us(occurred_at), epoch_us(known_at) FROM stages ORDER BY 1")
    assert found == [("L1", "demo", us(hour(100)), us(week(1))), ("L2", "new", us(week(1)), us(week(1)))]


def test_a_single_export_withholds_what_it_cannot_date_and_says_what_that_costs(warehouse: Warehouse) -> None:
    report = bring(warehouse, LEADS, 1, crm(at_import=False))
    (status,) = report.withheld
    assert (status.column, status.known, status.filled, status.since) == (
        "leads.status", "later", 3, "2026-01-08T00:00:00Z"
    )  # fmt: skip
    assert warehouse.withheld_columns() == {"status"}
    hidden = rows(warehouse, "SELECT DISTINCT status FROM leads WHERE known_at = created_at")
    assert hidden == [(None,)]


def test_a_later_column_is_observed_since_the_first_export_and_one_after_the_outcome_never(
    warehouse: Warehouse,
) -> None:
    columns: dict[str, Any] = {
        "lead_id": "Id",
        "created_at": "Created",
        "owner_id": {"column": "Owner", "known": "later"},
        "status": {"column": "Status", "known": "after_outcome"},
    }
    leads = {"from": "crm", "known_at": {"after": "created_at"}, "columns": columns}
    for number in (1, 2):
        bring(warehouse, LEADS, number, crm(leads=leads))
    manifest = warehouse.manifest()
    assert observed_since(manifest) == {"leads.owner_id": us(week(1))}
    assert warehouse.withheld_columns(from_us=us(week(1)) - 1) == {"owner_id", "status"}
    assert warehouse.withheld_columns(from_us=us(week(1))) == {"status"}
    # One import that puts the values at creation spoils the column for good.
    columns["owner_id"] = "Owner"
    bring(warehouse, LEADS, 3, crm(leads=leads))
    assert warehouse.withheld_columns(from_us=us(week(3))) == {"owner_id", "status"}


def test_another_mapping_of_the_same_leads_is_no_change_of_what_this_one_said(warehouse: Warehouse) -> None:
    bring(warehouse, LEADS, 1, crm(at_import=False))
    other = crm(at_import=False).model_copy(update={"name": "other"})
    report = bring(warehouse, [Lead("L1", hour(1), [(hour(5), "Owner", "eve")])], 2, other)
    assert report.tables["leads"].quarantined == {"conflict": 1}
    assert report.gone is None


def test_the_command_imports_a_folder_of_exports_and_reports_each(tmp_path: Path) -> None:
    from tests.commands import CommandLine

    clew = CommandLine(tmp_path)
    mapping = tmp_path / "crm.yaml"
    mapping.write_text(json.dumps(crm().model_dump(mode="json", by_alias=True, exclude_defaults=True)))
    folder = take(tmp_path / "exports", LEADS, 1, 2, 3)
    (folder / "notes").mkdir()
    ran = clew("import", folder, "--mapping", mapping, "--each", "crm_%Y-%m-%d_%H%M", "--json")
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert [one["folder"] for one in said["exports"]] == [path.name for path in sorted(folder.glob("crm_*"))]
    assert said["sum"]["leads"]["rows_in"] == 3 + 4 + 3
    assert said["passed_over"] == ["notes"]
    shown = clew("import", folder, "--mapping", mapping, "--each", "crm_%Y-%m-%d_%H%M", width=120)
    assert "3 of 3 exports were imported before" in shown.err
    single = export(tmp_path / "single", LEADS, week(4))
    ran = clew("import", single, "--mapping", mapping, "--exported-at", week(4).isoformat(), width=120)
    assert ran.code == 0, ran.err
    assert "1 reappeared" in ran.err
    assert clew("import", single, "--mapping", mapping, "--exported-at", week(2).isoformat()).code == 2
    for wrong in (["--exported-at", "2026-01-29"], ["--exported-at", week(5).isoformat(), "--each", "%Y-%m-%d"]):
        assert clew("import", single, "--mapping", mapping, *wrong).code == 2


@pytest.mark.parametrize(
    ("names", "form", "message"),
    [
        (["a"], "%Y-%m-%d", r"no folder .* like '%Y-%m-%d'.*there are a"),
        (["2026-01"], "%Y-%m", "does not say year and day"),
        (["2026-01-05_a", "2026-01-05_b"], "2026-01-05_%d", "does not say year"),
        (["2026-01-05", "2026-1-5"], "%Y-%m-%d", "name the same moment"),
    ],
)
def test_a_form_that_does_not_order_the_folders_is_refused(
    tmp_path: Path, warehouse: Warehouse, names: list[str], form: str, message: str
) -> None:
    for name in names:
        (tmp_path / "all" / name).mkdir(parents=True)
    with pytest.raises(UsageError, match=message):
        import_series(tmp_path / "all", form, crm(), warehouse, now=NOW)


def test_a_day_without_an_hour_counts_from_its_end_and_waits_until_it_is_over(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    moment = week(1) + timedelta(hours=6)
    export(tmp_path / "all" / f"{moment:%Y-%m-%d}", LEADS, moment)
    early = import_series(tmp_path / "all", "%Y-%m-%d", crm(), warehouse, now=moment + timedelta(hours=1))
    assert (early.exports, early.to_come) == ((), ("2026-01-08",))
    import_series(tmp_path / "all", "%Y-%m-%d", crm(), warehouse, now=moment + timedelta(days=1))
    assert rows(warehouse, "SELECT DISTINCT epoch_us(known_at) FROM leads") == [(us(week(1) + timedelta(days=1)) - 1,)]


def test_two_states_of_one_lead_in_one_export_are_quarantined(tmp_path: Path, warehouse: Warehouse) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    made = hour(1).isoformat()
    lines = [
        HEADER,
        *(f"{lead},{made},ann,{stage},Open," for lead, stage in (("L1", "new"), ("L1", "demo"), ("L2", "new"))),
    ]
    (folder / "crm.csv").write_text("\n".join(lines) + "\n")
    report = import_export(folder, crm(), warehouse, now=NOW, exported_at=week(1))
    assert report.tables["stages"].quarantined == {"more_than_one:stage": 2}
