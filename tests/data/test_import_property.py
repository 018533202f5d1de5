"""Random logs, dirty and repeated, against a slow and obvious import: a dictionary that is filled row by row."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given, settings

from data.warehouse import Warehouse
from tests.data.exports import NOW, rows, run, state, write_export

GOOD = ("2026-01-06T00:00:00Z", "2026-02-06T01:00:00+01:00")
TIMES = (*GOOD, "2026-02-30T00:00:00Z", "", "2027-01-01T00:00:00Z", "2026-01-06 00:00:00", "1969-01-01T00:00:00Z")
REASONS = {
    TIMES[2]: "bad_time:occurred_at",
    TIMES[3]: "missing:occurred_at",
    TIMES[4]: "future:occurred_at",
    TIMES[5]: "time_without_offset:occurred_at",
    TIMES[6]: "before_1970:occurred_at",
}
Row = tuple[str, str, str, str]
ROW = st.tuples(
    st.sampled_from(["e1", "e2", "e3", ""]), st.just("L1"), st.sampled_from("ab"), st.sampled_from(GOOD * 4 + TIMES[2:])
)
FIRST: Row = ("e0", "L1", "a", GOOD[0])  # one sound row, so that no import is refused as a whole


def expected(log: list[Row], kept: dict[str, Row]) -> Counter[str]:
    """Fill `kept` and count what becomes of each row."""
    counts: Counter[str] = Counter()
    for row in log:
        key, moment = row[0], row[3]
        if moment in REASONS and REASONS[moment].split(":")[0] in {"bad_time", "time_without_offset", "before_1970"}:
            counts[REASONS[moment]] += 1
        elif not key:
            counts["missing:event_id"] += 1
        elif moment in REASONS:
            counts[REASONS[moment]] += 1
        elif key not in kept:
            kept[key] = row
            counts["kept"] += 1
        else:
            counts["duplicate" if kept[key] == row else "conflict"] += 1
    return counts


@settings(max_examples=6, deadline=None)
@given(st.lists(st.lists(ROW, max_size=12), min_size=1, max_size=2))
def test_any_log_is_imported_as_a_dictionary_would_be_filled(logs: list[list[Row]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        warehouse = Warehouse(Path(name) / "warehouse")
        kept: dict[str, Row] = {}
        for number, drawn in enumerate(logs):
            log = [FIRST, *drawn]
            text = "EventId,Lead,Type,At\n" + "".join(",".join(row) + "\n" for row in log)
            folder = write_export(Path(name) / f"in{number}", events=text)
            report = run(folder, warehouse, now=NOW + timedelta(hours=number)).tables["events"]
            counts = expected(log, kept)
            assert (report.kept, report.duplicates) == (counts.pop("kept", 0), counts.pop("duplicate", 0))
            assert dict(report.quarantined) == dict(counts)
            before = state(warehouse)
            run(folder, warehouse, now=NOW + timedelta(hours=number, minutes=1))
            assert state(warehouse) == before
        found = rows(warehouse, "SELECT event_id, type FROM events ORDER BY 1")
        assert found == sorted((key, row[2]) for key, row in kept.items())
