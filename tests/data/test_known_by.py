"""What was recorded later changes no training set of a moment before, however far back it is dated."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.clock import from_us, iso, to_us
from data.errors import ClewError, DataError, UsageError
from data.manifest import CustomColumn, ImportRecord, Manifest, PartRecord, read_manifest, write_manifest
from data.settings import Plan, Settings
from data.tables import TABLES, arrow_schema
from data.warehouse import Warehouse
from features.training_set import build_training_set, catalogue_of, known_by_of
from tests.commands import CommandLine
from tests.data.exports import EVENTS as EXPORTED_EVENTS
from tests.data.exports import LEADS_ROWS, NOW, leads_text, mapping, write_export
from tests.data.exports import run as run_import
from tests.data.test_snapshots import START, lead, tables_of
from tests.reference.worlds import CUSTOM, World, random_world, utc, worlds_profile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from tests.reference.people import Row, Tables

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
CUTOFF = utc(2026, 12, 20)
FIRST = utc(2027, 1, 1)
PLAN = Plan(horizon_days=7, ages_days=(1, 7, 30, 60, 90))
# One feature of each table: all of them would take minutes.
LOOKED_AT = {"source", "industry", "page_views_90d", "account_other_people_90d", "account_days_since_other_event"}
KINDS = {name: CustomColumn.model_validate({"kind": kind}) for name, kind in CUSTOM.items()}


def record(
    warehouse: Warehouse,
    tables: Tables,
    *recorded: datetime,
    custom: Mapping[str, CustomColumn] = KINDS,
    **declared: Any,
) -> None:
    """Put rows into a warehouse as one import at the last of these moments; each row was recorded at one of them."""
    with warehouse.locked():
        before = warehouse.manifest()
        told = ImportRecord(id=str(len(before.imports)), at=iso(recorded[-1]), mapping="m", source_sha256="")
        parts = [
            write_part(warehouse, name, rows, recorded, (told.id, custom)) for name, rows in tables.items() if rows
        ]
        more = {"parts": (*before.parts, *parts), "imports": (*before.imports, told)}
        warehouse.commit(before.model_copy(update={**more, "custom": {**before.custom, **custom}, **declared}))


def write_part(
    warehouse: Warehouse,
    name: str,
    rows: list[Row],
    recorded: tuple[datetime, ...],
    made: tuple[str, Mapping[str, CustomColumn]],
) -> PartRecord:
    number, custom = made
    stamped = [{**row, "recorded_at": recorded[place % len(recorded)]} for place, row in enumerate(rows)]
    path = f"{name}/{number}.parquet"
    (warehouse.path / name).mkdir(parents=True, exist_ok=True)
    schema = arrow_schema(TABLES[name], {column: one.kind for column, one in custom.items()})
    pq.write_table(pa.Table.from_pylist(stamped, schema=schema), warehouse.path / path)
    used = {clock: [to_us(row[clock]) for row in stamped] for clock in ("recorded_at", "known_at")}
    times = {clock: (min(moments), max(moments)) for clock, moments in used.items()}
    return PartRecord(path=path, table=name, rows=len(rows), sha256="", import_id=number, times=times)


def digest(warehouse: Warehouse, known_by: datetime | None = None, *, timezone: str = "UTC") -> str:
    """The names of the catalogue and the digest of the training set of CUTOFF, or why there is none."""
    with warehouse.connect(known_by=known_by) as connection:
        catalogue = catalogue_of(connection, warehouse, cutoff_us=to_us(CUTOFF), timezone=timezone, known_by=known_by)
        names = [name for name in catalogue.names if name in LOOKED_AT or name.startswith("custom_")]
        plan = warehouse.plan(known_by=known_by) or PLAN
        try:
            built = build_training_set(connection, catalogue.keep(names), plan, cutoff_us=to_us(CUTOFF))
        except DataError as error:
            return str(error)
    return f"{built.digest} {' '.join(catalogue.names)}"


def test_what_is_looked_at_reads_every_table(warehouse: Warehouse) -> None:
    assert catalogue_names(warehouse) >= LOOKED_AT


def catalogue_names(warehouse: Warehouse, known_by: datetime | None = None) -> set[str]:
    with warehouse.connect(known_by=known_by) as connection:
        found = catalogue_of(connection, warehouse, cutoff_us=to_us(CUTOFF), timezone="UTC", known_by=known_by)
        return set(found.names)


def instalments(world: World, number: int, rng: np.random.Generator) -> list[Tables]:
    """Deal the rows out, whatever their `known_at`."""
    dealt: list[Tables] = [{name: [] for name in TABLES} for _ in range(number)]
    for name, rows in world.tables.items():
        for row in rows:
            dealt[int(rng.integers(number))][name].append(row)
    return dealt


# Each import after the first brings more columns, a stricter clock for one of them, or another plan.
DECLARED: tuple[dict[str, Any], ...] = (
    {"custom": {"erp": KINDS["erp"], "size": KINDS["size"]}},
    {
        "custom": {**KINDS, "size": CustomColumn(kind="numeric", known="later")},
        "withheld": {"leads": {"source": "later"}},
    },
    {"plan": Plan(horizon_days=30, ages_days=(1, 30))},
)


@worlds_profile(few=3, many=200)
@given(seed=st.integers(0, 2**32 - 1), number=st.sampled_from((2, 3)))
def test_a_training_set_of_a_moment_is_the_same_to_the_byte_after_any_later_import(
    tmp_path_factory: pytest.TempPathFactory, seed: int, number: int
) -> None:
    world = random_world(seed, leads=8, events=60, outcomes=10, merges=3)
    warehouse = Warehouse(tmp_path_factory.mktemp("w"))
    moments = [FIRST + DAY * place for place in range(number)]
    expected = []
    for moment, rows, declared in zip(
        moments, instalments(world, number, np.random.default_rng(seed)), DECLARED, strict=False
    ):
        record(warehouse, rows, moment, **declared)
        expected.append(digest(warehouse, timezone=world.timezone))
    for moment, told in zip(moments, expected, strict=True):
        assert digest(warehouse, moment, timezone=world.timezone) == told
        assert digest(warehouse, moment + DAY - MICROSECOND, timezone=world.timezone) == told
    assert len(set(expected)) == number


# --- what a later import may bring -------------------------------------------------------------------------------


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """Leads with events, outcomes and a merge, recorded on FIRST."""
    made = Warehouse(tmp_path / "w")
    drawn = (random_world(seed, leads=8, events=60, outcomes=2) for seed in range(20))
    record(made, next(world for world in drawn if world.timezone == "UTC").tables, FIRST)
    assert digest(made).startswith("sha256:")
    return made


TIMES = {"occurred_at": utc(2026, 3, 1), "known_at": utc(2026, 3, 1)}
EVENTS: list[Row] = [
    {"source": "s", "event_id": f"late{name}", "lead_id": name, "type": "page_view", "content_id": "c", **TIMES}
    for name in "abcdefgA"
]
BACK = START - 300 * DAY
BACK_DATED: dict[str, Tables] = {
    "a lead": tables_of(leads=[lead("new", BACK)]),
    "a version of a lead": tables_of(leads=[lead("a", BACK, source="late")]),
    "a duplicate": tables_of(leads=[lead("b0", START, person_id="p"), lead("b1", START, person_id="q")]),
    "an account": tables_of(accounts=[{"account_id": "A", "known_at": BACK, "industry": "late"}]),
    "an event": tables_of(events=EVENTS),
    "an event of a new type": tables_of(events=[{**EVENTS[0], "type": "fresh"}]),
    "an outcome": tables_of(
        outcomes=[
            {"lead_id": name, "outcome": "won", "closed_at": BACK, "known_at": utc(2026, 12, 1)} for name in "abcdefgA"
        ]
    ),
    "a merge": tables_of(
        merges=[
            {"lead_id": one, "into_lead_id": other, "occurred_at": BACK, "known_at": BACK + MICROSECOND}
            for one, other in zip("abcdefg", "bcdefgA", strict=True)
        ]
    ),
}


@pytest.mark.parametrize("kind", BACK_DATED)
def test_a_back_dated_row_changes_the_training_set_of_today_and_not_that_of_before(
    warehouse: Warehouse, kind: str
) -> None:
    before = digest(warehouse)
    record(warehouse, BACK_DATED[kind], FIRST + DAY)
    assert digest(warehouse, FIRST) == before
    assert digest(warehouse, FIRST + DAY) == digest(warehouse) != before


def test_columns_clocks_types_and_plan_are_those_declared_by_then(warehouse: Warehouse) -> None:
    before = catalogue_names(warehouse)
    more = {"vat": CustomColumn(kind="text"), "size": CustomColumn(kind="numeric", known="after_outcome")}
    record(
        warehouse,
        BACK_DATED["an event of a new type"],
        FIRST + DAY,
        custom=more,
        withheld={"leads": {"source": "later"}},
        plan=Plan(goal="sql"),
    )
    assert catalogue_names(warehouse, FIRST) == before
    assert (before - catalogue_names(warehouse)) >= {"custom_size", "source"}
    assert any("fresh" in name for name in catalogue_names(warehouse) - before)
    assert (warehouse.plan(known_by=FIRST), warehouse.plan()) == (None, Plan(goal="sql"))
    assert set(warehouse.custom_columns(known_by=FIRST)) == set(CUSTOM)
    assert warehouse.withheld_columns(known_by=FIRST) == frozenset()
    with warehouse.connect(known_by=FIRST) as connection:
        assert "custom_vat" not in connection.sql("FROM leads").columns


def test_before_the_first_import_there_was_nothing(warehouse: Warehouse) -> None:
    assert warehouse.manifest(known_by=FIRST - MICROSECOND) == Manifest()
    assert "no leads" in digest(warehouse, FIRST - MICROSECOND)


def test_a_part_that_holds_younger_rows_is_read_without_them(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    record(warehouse, tables_of(leads=[lead("a"), lead("b"), lead("c")]), FIRST, FIRST + DAY)
    manifest = warehouse.manifest()
    earlier = manifest.imports[0].model_copy(update={"id": "-", "at": iso(FIRST)})
    write_manifest(warehouse.path, manifest.model_copy(update={"imports": (earlier, *manifest.imports)}))
    for moment, expected in ((FIRST, "ac"), (FIRST + DAY - MICROSECOND, "ac"), (FIRST + DAY, "abc")):
        with warehouse.connect(known_by=moment) as connection:
            rows = connection.sql("SELECT lead_id FROM leads ORDER BY 1").fetchall()
        assert "".join(row[0] for row in rows) == expected


def test_a_later_import_of_an_export_leaves_the_views_of_the_first(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "imported")
    folder = write_export(tmp_path / "in")
    run_import(folder, warehouse)
    before = tables_seen(warehouse, NOW)
    later = "e0,L1,fresh,2026-01-06T00:00:01Z\n"
    write_export(
        folder, leads=leads_text(*LEADS_ROWS, "L0,2026-01-01T00:00:00Z,web,,open,,,,,,"), events=EXPORTED_EVENTS + later
    )
    custom = {
        "staff": {"column": "Employees", "kind": "numeric", "known": "later"},
        "way": {"column": "Source", "kind": "text"},
    }
    run_import(folder, warehouse, mapping(tables__leads__custom=custom), now=NOW + DAY)
    assert tables_seen(warehouse, NOW) == before
    assert (set(warehouse.custom_columns(known_by=NOW)), set(warehouse.custom_columns())) == (
        {"staff"},
        {"staff", "way"},
    )
    assert "custom_staff" in warehouse.withheld_columns() - warehouse.withheld_columns(known_by=NOW)
    with warehouse.connect() as connection:
        assert connection.sql("SELECT count(DISTINCT lead_id) FROM leads WHERE lead_id = 'L0'").fetchall() == [(1,)]


def tables_seen(warehouse: Warehouse, known_by: datetime) -> dict[str, pa.Table]:
    with warehouse.connect(known_by=known_by) as connection:
        return {name: connection.sql(f"FROM {name} ORDER BY ALL").to_arrow_table() for name in TABLES}


# --- warehouses of earlier versions ------------------------------------------------------------------------------


def forget_declared(warehouse: Warehouse) -> None:
    """Make the manifest one that an earlier version wrote."""
    manifest = read_manifest(warehouse.path)
    imports = tuple(one.model_copy(update={"declared": None}) for one in manifest.imports)
    write_manifest(warehouse.path, manifest.model_copy(update={"imports": imports}))


def test_an_older_manifest_stays_readable_and_its_last_state_is_kept_from_now_on(warehouse: Warehouse) -> None:
    forget_declared(warehouse)
    before = digest(warehouse)
    assert digest(warehouse, FIRST) == before
    record(warehouse, BACK_DATED["a lead"], FIRST + DAY, custom={"vat": CustomColumn(kind="text")})
    assert digest(warehouse, FIRST) == before != digest(warehouse)


def test_what_an_older_version_did_not_keep_is_refused_and_not_guessed(warehouse: Warehouse) -> None:
    record(warehouse, BACK_DATED["a lead"], FIRST + DAY, custom={"vat": CustomColumn(kind="text")})
    forget_declared(warehouse)
    with pytest.raises(DataError, match=r"2027-01-01T00:00:00Z declared was not kept.* from 2027-01-02T00:00:00Z on"):
        warehouse.connect(known_by=FIRST)
    assert warehouse.manifest(known_by=FIRST + DAY) == warehouse.manifest()


# --- the option --------------------------------------------------------------------------------------------------


def test_known_by_lies_between_the_cutoff_and_the_present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.training_set.now", lambda: FIRST)
    assert known_by_of(None, cutoff=CUTOFF) is None
    assert known_by_of(iso(CUTOFF), cutoff=CUTOFF) == CUTOFF
    assert known_by_of(iso(FIRST), cutoff=CUTOFF) == FIRST
    with pytest.raises(UsageError, match="lies before the end of the data"):
        known_by_of(iso(CUTOFF - MICROSECOND), cutoff=CUTOFF)
    with pytest.raises(UsageError, match="lies in the future"):
        known_by_of(iso(FIRST + MICROSECOND), cutoff=CUTOFF)
    with pytest.raises(DataError, match="--known-by"):
        known_by_of("soon", cutoff=CUTOFF)


class _StopError(ClewError):
    """Ends a run where nothing more has to be seen."""


def test_a_run_reads_what_was_recorded_by_then(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import run

    seen: list[tuple[Any, ...]] = []

    def stop(rows: Any, plan: Plan, *_: Any, **__: Any) -> None:
        seen.append((plan, rows.catalogue, rows.frame.to_csv(), rows.spine.to_csv()))
        raise _StopError("seen")

    monkeypatch.setattr(run, "judge", stop)
    settings = Settings(home=warehouse.path)
    declared: dict[str, Any] = {
        "custom": {"vat": CustomColumn(kind="text")},
        "plan": PLAN.model_copy(update={"horizon_days": 20}),
    }
    for known_by in (None, FIRST, None):
        with pytest.raises(_StopError):
            run.train(warehouse, settings, as_of=CUTOFF, known_by=known_by)
        if known_by is None and len(seen) == 1:
            record(warehouse, BACK_DATED["a lead"], FIRST + DAY, **declared)
    assert seen[0] == seen[1] != seen[2]


def test_the_command_passes_the_moment_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = CommandLine(tmp_path)
    record(Warehouse(line.settings().warehouse_dir), tables_of(leads=[lead("a", utc(2026, 1, 1))]), utc(2026, 1, 5))

    def stop(*_: Any, known_by: datetime | None, **__: Any) -> None:
        raise _StopError(f"known by {known_by}")

    monkeypatch.setattr("training.run.train", stop)
    ran = line("train", "--as-of", "2026-02-01", "--known-by", "2026-02-03")
    assert "known by 2026-02-03 00:00:00+00:00" in ran.err
    refused = line("train", "--as-of", "2026-02-01", "--known-by", "2026-01-31")
    assert refused.code == 2
    assert "--known-by" in refused.err


def test_the_digest_of_the_warehouse_agrees_with_the_views_of_a_moment(warehouse: Warehouse) -> None:
    counts = warehouse.counts()
    record(warehouse, BACK_DATED["an event"], FIRST + DAY)
    with warehouse.connect(known_by=from_us(to_us(FIRST))) as connection:
        for name, expected in counts.items():
            assert connection.sql(f"SELECT count(*) FROM {name}").fetchall() == [(expected,)]  # noqa: S608 - contract
