"""Logs of any size: the verdicts of a slow and obvious import, bounded memory and scratch space, steady progress."""
# ruff: noqa: S608 - names and paths of the test itself

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pytest

from data import logs, pace
from data.errors import DataError, InfrastructureError
from data.importing import import_export
from data.mapping import Mapping
from data.warehouse import Warehouse
from tests.data.big_export import big_mapping, write_big
from tests.data.exports import NOW, mapping, rows, run, state, write_export
from tests.reference.worlds import EVIDENCE

ROOT = Path(__file__).parents[2]
Cells = tuple[str, str, str, str, str]  # EventId, Lead, Type, At, Got
HEADER = ("EventId", "Lead", "Type", "At", "Got")


@dataclass(frozen=True)
class Judged:
    """What a slow import made of a log."""

    kept: int
    duplicates: int
    reasons: dict[str, int]


def slowly(log: list[Cells], stored: dict[str, Cells]) -> Judged:
    """Judge row by row: against the warehouse as it was, then against the first sound row of the log with that key."""
    reasons: Counter[str] = Counter()
    first: dict[str, Cells] = {}
    kept = duplicates = 0
    for row in log:
        key, moment = row[0], row[3]
        if moment == "never":
            reasons["bad_time:occurred_at"] += 1
        elif not key:
            reasons["missing:event_id"] += 1
        elif moment > NOW.isoformat():
            reasons["future:occurred_at"] += 1
        elif key in stored:
            same = stored[key] == row
            duplicates += same
            reasons["conflict"] += not same
            first.setdefault(key, row)
        elif key not in first:
            first[key] = row
            kept += 1
        else:
            same = first[key][:4] == row[:4]  # when it became known does not make it another event
            duplicates += same
            reasons["conflict"] += not same
    stored |= {key: row for key, row in first.items() if key not in stored}
    return Judged(kept, duplicates, {reason: count for reason, count in reasons.items() if count})


def drawn(rng: np.random.Generator, size: int, keys: int) -> list[Cells]:
    """Draw a log over a year, in any order, with repeats, contradictions in type, month or lead, and damage."""
    log: list[Cells] = []
    for _ in range(size):
        key = int(rng.integers(keys))
        moment = (datetime(2025, 11, 2, tzinfo=UTC) + timedelta(hours=7 * key % 8000)).isoformat()
        got = moment
        kind, lead = f"t{key % 5}", f"L{key % 7}"
        chance = rng.random()
        if chance < 0.03:
            kind = "other"
        elif chance < 0.05:
            moment = got = "2026-03-01T00:00:00+00:00"  # perhaps another month than the key had before
        elif chance < 0.06:
            lead = "L99"
        elif chance < 0.07:
            got = "2026-10-30T00:00:00+00:00"
        elif chance < 0.08:
            moment = "never"
        elif chance < 0.09:
            moment = got = "2027-01-01T00:00:00+00:00"
        log.append(("" if 0.09 <= chance < 0.1 else f"e{key}", lead, kind, moment, got))
    return log


def write_log(folder: Path, log: list[Cells], *, parquet: bool) -> Path:
    folder.mkdir()
    if not parquet:
        (folder / "events.csv").write_text("\n".join(",".join(row) for row in (HEADER, *log)) + "\n")
        return folder
    with duckdb.connect() as con:
        listed = ", ".join(f'unnest(?::VARCHAR[]) AS "{name}"' for name in HEADER)
        con.execute(f"CREATE TABLE log AS SELECT {listed}", [list(column) for column in zip(*log, strict=True)])
        con.execute(f"COPY log TO '{folder / 'events.parquet'}' (FORMAT parquet)")
    return folder


def log_mapping(*, parquet: bool = False, known_at: object = None) -> Mapping:
    events = dict(mapping().model_dump(by_alias=True, exclude_unset=True)["tables"]["events"])
    events["known_at"] = known_at or {"column": "Got"}
    path = "events.parquet" if parquet else "events.csv"
    return mapping(files={"events": {"path": path}}, tables={"events": events})


@pytest.mark.parametrize("parquet", [False, True])
@pytest.mark.parametrize("at_once", [1_000_000, 7])
def test_logs_are_judged_as_row_by_row_against_the_warehouse_and_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parquet: bool, at_once: int
) -> None:
    monkeypatch.setattr(logs, "_KEYS_AT_ONCE", at_once)
    rng = np.random.default_rng([int(parquet), at_once])
    warehouse, stored = Warehouse(tmp_path / "w"), dict[str, Cells]()
    for number in range(12 if EVIDENCE else 3):
        log = drawn(rng, size=600, keys=400 * (number + 1))
        folder = write_log(tmp_path / f"in{number}", log, parquet=parquet)
        used = log_mapping(parquet=parquet)
        report = run(folder, warehouse, used, now=NOW + timedelta(minutes=number)).tables["events"]
        expected = slowly(log, stored)
        assert Judged(report.kept, report.duplicates, dict(report.quarantined)) == expected
        assert min(expected.kept, expected.duplicates, expected.reasons["conflict"]) > 5
        before = state(warehouse)
        assert not run(folder, warehouse, used, now=NOW + timedelta(minutes=number, seconds=9)).changed
        assert state(warehouse) == before
        found = rows(warehouse, "SELECT event_id, lead_id, type, epoch_us(occurred_at), epoch_us(known_at) FROM events")
        assert sorted(found) == sorted(
            (key, row[1], row[2], *(round(datetime.fromisoformat(text).timestamp() * 1e6) for text in row[3:]))
            for key, row in stored.items()
        )


def test_rows_that_only_share_the_hash_of_their_key_are_no_duplicates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a hash that nearly always collides every verdict has to come from the keys themselves."""
    real = logs._hash_sql
    monkeypatch.setattr(logs, "_hash_sql", lambda key: f"({real(key)} % 3)")
    warehouse, stored = Warehouse(tmp_path / "w"), dict[str, Cells]()
    rng = np.random.default_rng(3)
    for number in range(2):
        log = drawn(rng, size=300, keys=150 * (number + 1))
        folder = write_log(tmp_path / f"in{number}", log, parquet=False)
        report = run(folder, warehouse, log_mapping(), now=NOW + timedelta(minutes=number)).tables["events"]
        assert Judged(report.kept, report.duplicates, dict(report.quarantined)) == slowly(log, stored)


def test_events_known_at_import_are_no_news_when_they_come_again(tmp_path: Path) -> None:
    warehouse, used = Warehouse(tmp_path / "w"), log_mapping(known_at="import")
    folder = write_export(tmp_path / "in")
    assert run(folder, warehouse, used).tables["events"].kept == 3
    report = run(folder, warehouse, used, now=NOW + timedelta(days=1)).tables["events"]
    assert (report.kept, report.duplicates, report.refused) == (0, 3, 0)


def test_csv_and_parquet_of_one_log_give_one_warehouse(tmp_path: Path) -> None:
    digests = []
    for parquet in (False, True):
        folder = write_big(tmp_path / f"in{parquet}", events=40_000, leads=300, parquet=parquet)
        warehouse = Warehouse(tmp_path / f"w{parquet}")
        report = run(folder, warehouse, big_mapping(parquet=parquet)).tables["events"]
        digests.append((warehouse.digest(), report.kept, report.duplicates, dict(report.quarantined)))
    assert digests[0] == digests[1]
    assert digests[0][3]["conflict"] > 100


def test_a_reader_of_late_events_needs_no_earlier_part(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    run(write_export(tmp_path / "in"), warehouse)
    february = 1_769_904_000_000_000
    (warehouse.path / next(p.path for p in warehouse.manifest().parts if "2026-01" in p.path)).unlink()
    with pytest.raises(InfrastructureError, match="gone"):
        warehouse.connect()
    with warehouse.connect(events_from_us=february + 5 * 86_400_000_000 + 1) as con:
        assert con.execute("SELECT event_id FROM events").fetchall() == [("e3",)]
        assert con.execute("SELECT count(DISTINCT lead_id) FROM leads").fetchall() == [(3,)]


def test_progress_never_goes_back_and_goes_on_inside_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_TICK", 0.01)
    told: list[tuple[str, float]] = []
    folder = write_big(tmp_path / "in", events=60_000, leads=300)
    import_export(
        folder,
        big_mapping(),
        Warehouse(tmp_path / "w"),
        now=NOW,
        progress=lambda text, share: told.append((text, share)),
    )
    assert told[-1] == ("done", 1.0)
    assert all(one[1] <= other[1] for one, other in pairwise(told))
    words = list(dict.fromkeys(text for text, _ in told))
    assert words[0].startswith("reading ")
    assert [word.split()[0] for word in words if "events" in word][:4] == ["reading", "typing", "comparing", "writing"]
    shares = {share for text, share in told if text == "typing events"}
    assert len(shares) > 1
    assert not [thread for thread in threading.enumerate() if "_watch" in thread.name]


def test_a_folder_name_with_an_equals_sign_adds_no_column(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "run=5" / "w")
    run(write_export(tmp_path / "day=1"), warehouse)
    with warehouse.connect() as con:
        assert "run" not in con.sql("SELECT * FROM events").columns
        assert con.execute("SELECT count(*) FROM events").fetchall() == [(3,)]


def test_a_parquet_column_named_as_the_number_of_the_row_is_only_a_column(tmp_path: Path) -> None:
    log = [(f"e{at}", "L1", "v", "2026-01-06T00:00:00Z" if at else "never", "2026-01-06T00:00:00Z") for at in range(3)]
    folder = write_log(tmp_path / "in", log, parquet=True)
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE log AS SELECT *, 77 AS file_row_number FROM '{folder / 'events.parquet'}'")
        con.execute(f"COPY log TO '{folder / 'events.parquet'}' (FORMAT parquet)")
    report = run(folder, Warehouse(tmp_path / "w"), log_mapping(parquet=True))
    assert (report.tables["events"].kept, dict(report.tables["events"].quarantined)) == (2, {"bad_time:occurred_at": 1})
    assert report.quarantine is not None
    assert (report.quarantine / "events.csv").read_text().splitlines()[1].startswith("events.parquet,1,bad_time")


def test_a_parquet_file_damaged_inside_is_named_and_changes_nothing(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    folder = write_big(tmp_path / "in", events=20_000, leads=50, parquet=True)
    run(folder, warehouse, big_mapping(parquet=True))
    before = state(warehouse)
    path = folder / "events.parquet"
    content = bytearray(path.read_bytes())
    content[200 : len(content) // 2] = bytes(len(content) // 2 - 200)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"events.parquet is no readable Parquet file"):
        run(folder, warehouse, big_mapping(parquet=True), now=NOW + timedelta(days=1))
    assert state(warehouse) == before


CHILD = """
import os, re, resource, sys, threading
from pathlib import Path
from data.importing import import_export
from data.warehouse import Warehouse
from tests.data.big_export import big_mapping
from tests.data.exports import NOW
folder, warehouse = Path(sys.argv[1]), Warehouse(Path(sys.argv[2]))
largest, ended = [0], threading.Event()
def look():
    while not ended.wait(0.05):
        sizes = []
        for root, _, names in os.walk(warehouse.scratch):
            for name in names:
                try:
                    sizes.append(os.stat(os.path.join(root, name)).st_blocks * 512)
                except FileNotFoundError:
                    pass
        largest[0] = max(largest[0], sum(sizes))
watcher = threading.Thread(target=look)
watcher.start()
report = import_export(folder, big_mapping(), warehouse, now=NOW, threads=2)
ended.set()
watcher.join()
# Linux counts what the parent held before this program began; the peak of this program alone is in /proc.
status = Path("/proc/self/status")
peak = (
    int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1])
    if status.is_file()
    else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
)
print(report.tables["events"].rows_in, peak, largest[0])
"""


@pytest.mark.timeout(3600)
def test_memory_and_scratch_space_stay_bounded(tmp_path: Path) -> None:
    events, most_kib = (20_000_000, 4 * 1024**2) if EVIDENCE else (300_000, 1024**2)
    folder = write_big(tmp_path / "in", events=events, leads=events // 20)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(tmp_path / "w")],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows_in, peak, scratch = map(int, done.stdout.split())
    assert rows_in == events
    assert peak * (1 if sys.platform == "linux" else 1 / 1024) < most_kib
    assert 0 < scratch < 3 * sum(path.stat().st_size for path in folder.iterdir())
