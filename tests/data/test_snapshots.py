"""Which pairs of a lead and a moment are photographed, which are labelled, and what their labels are."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data.clock import DAY_US, from_us, to_us
from data.errors import DataError
from data.settings import Plan
from data.tables import TABLES
from features.snapshots import SnapshotCounts, month_starts, open_leads, settle_us, take_snapshots
from features.sql import prepare_people
from tests.reference import labels as reference
from tests.reference.worlds import ANCHORS, World, connect, load, utc, worlds
from tests.reference.worlds import worlds_profile as profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import duckdb

    from tests.reference.features import Row, Tables

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
START = utc(2026, 1, 10)
CUTOFF = utc(2026, 12, 31)
ONE_AGE = Plan(ages_days=(10,), monthly=False, horizon_days=30, settle_days=0)
AS_OF = START + 10 * DAY


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as opened:
        yield opened


def lead(lead_id: str, at: datetime = START, **columns: Any) -> Row:
    return {"lead_id": lead_id, "created_at": at, "known_at": at, "account_id": None, "person_id": None, **columns}


def outcome(lead_id: str, kind: str, closed_at: datetime, known_at: datetime | None = None, reason: str = "") -> Row:
    known = {"known_at": known_at or closed_at, "reason": reason or None}
    return {"lead_id": lead_id, "outcome": kind, "closed_at": closed_at, **known}


def stage(lead_id: str, name: str, occurred_at: datetime, known_at: datetime | None = None) -> Row:
    return {"lead_id": lead_id, "stage": name, "occurred_at": occurred_at, "known_at": known_at or occurred_at}


def tables_of(**rows: list[Row]) -> Tables:
    return {name: rows.get(name, []) for name in TABLES}


def snapshots(
    connection: duckdb.DuckDBPyConnection,
    plan: Plan = ONE_AGE,
    *,
    cutoff: datetime = CUTOFF,
    timezone: str = "UTC",
    **rows: list[Row],
) -> tuple[dict[tuple[str, datetime], int], SnapshotCounts]:
    """Return the label of each pair, and the counts."""
    load(connection, tables_of(**rows))
    counts = take_snapshots(connection, plan, cutoff_us=to_us(cutoff), timezone=timezone)
    found = connection.sql("SELECT lead_id, as_of_us, y_obs FROM spine ORDER BY row_id").fetchall()
    return {(lead_id, from_us(as_of_us)): y_obs for lead_id, as_of_us, y_obs in found}, counts


def label(connection: duckdb.DuckDBPyConnection, **rows: list[Row]) -> int | None:
    """The label of the one pair, or None if it was dropped."""
    rows = {"leads": [lead("a")], **rows}
    found, _ = snapshots(connection, ONE_AGE, cutoff=CUTOFF, timezone="UTC", **rows)
    return found.get(("a", AS_OF))


# --- against the reference ---------------------------------------------------------------------------------------


@profile(few=40)
@given(
    world=worlds(),
    goal=st.sampled_from(("won", "won", "opportunity", "sql")),
    horizon=st.sampled_from((7, 30, 90)),
    days=st.sampled_from((0, 30, 120, 200)),
)
def test_pairs_labels_and_counts_are_those_of_the_reference(
    connection: duckdb.DuckDBPyConnection, world: World, goal: str, horizon: int, days: int
) -> None:
    ages = (0.25, 1, 7, 30, 90, 180)
    plan = Plan.model_validate({"goal": goal, "horizon_days": horizon, "ages_days": ages})
    cutoff = ANCHORS[world.timezone][0] + days * DAY
    pairs = reference.photographs(world.tables, [DAY * age for age in ages], cutoff, world.timezone)
    expected, dropped = reference.labels(world.tables, goal, DAY * horizon, pairs, cutoff)
    if not reference.primaries(world.tables, cutoff):
        with pytest.raises(DataError, match="no leads by the cutoff"):
            snapshots(connection, plan, cutoff=cutoff, timezone=world.timezone, **world.tables)
        return
    found, counts = snapshots(connection, plan, cutoff=cutoff, timezone=world.timezone, **world.tables)
    assert found == {(pair.lead_id, pair.as_of): y_obs for pair, y_obs in expected.items()}
    assert asdict(counts) == {**dropped, "labelled": len(expected), "won": sum(expected.values())}


@profile(few=15, many=300)
@given(world=worlds(), goal=st.sampled_from(("won", "sql")))
def test_every_labelled_pair_stood_on_the_list_of_open_leads_of_its_day(
    connection: duckdb.DuckDBPyConnection, world: World, goal: str
) -> None:
    cutoff = ANCHORS[world.timezone][0] + 200 * DAY
    assume(reference.primaries(world.tables, cutoff))
    plan = Plan.model_validate({"goal": goal, "horizon_days": 7, "ages_days": (1, 30)})
    found, _ = snapshots(connection, plan, cutoff=cutoff, timezone=world.timezone, **world.tables)
    for as_of in sorted({as_of for _, as_of in found})[:4]:
        open_leads(connection, as_of_us=to_us(as_of), goal=goal)
        listed = {row[0] for row in connection.sql("SELECT lead_id FROM spine").fetchall()}
        assert {lead_id for lead_id, moment in found if moment == as_of} <= listed


# --- moments -----------------------------------------------------------------------------------------------------


def test_an_open_lead_is_photographed_at_each_age_and_on_the_first_of_each_month(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    plan = Plan(ages_days=(5 / 1440, 3), horizon_days=10, settle_days=0)
    found, _ = snapshots(connection, plan, cutoff=utc(2026, 3, 20), leads=[lead("a")])
    moments = [START + timedelta(minutes=5), START + 3 * DAY, utc(2026, 2, 1), utc(2026, 3, 1)]
    assert sorted(as_of for _, as_of in found) == moments


def test_an_age_that_falls_on_the_first_of_a_month_is_one_photograph(connection: duckdb.DuckDBPyConnection) -> None:
    plan = Plan(ages_days=(22, 30), horizon_days=10, settle_days=0)
    found, counts = snapshots(connection, plan, cutoff=utc(2026, 2, 20), leads=[lead("a")])
    assert (len(found), counts.labelled) == (2, 2)
    rows = connection.sql("SELECT monthly, age_us FROM spine ORDER BY row_id").fetchall()
    assert rows == [(1, 22 * DAY_US), (0, 30 * DAY_US)]


def test_t0_is_the_later_of_creation_and_first_knowledge(connection: duckdb.DuckDBPyConnection) -> None:
    leads = [lead("a", known_at=START + 5 * DAY), lead("b", START + DAY, known_at=START)]
    found, _ = snapshots(connection, leads=leads)
    assert sorted(found) == [("a", START + 15 * DAY), ("b", START + 11 * DAY)]


@pytest.mark.parametrize(
    ("timezone", "year", "month", "expected"),
    [
        ("UTC", 2026, 3, utc(2026, 3, 1)),
        ("Asia/Shanghai", 2026, 3, utc(2026, 2, 28, 16)),
        ("Europe/Amsterdam", 2026, 4, utc(2026, 3, 31, 22)),
        ("America/Sao_Paulo", 2018, 3, utc(2018, 3, 1, 3)),
        # Clocks went from 23:59:59 to 01:00 here: the month has no midnight.
        ("America/Asuncion", 2017, 10, utc(2017, 10, 1, 4)),
        # Clocks went from 00:59:59 back to midnight here: the month has two.
        ("America/Havana", 2015, 11, utc(2015, 11, 1, 4)),
    ],
)
def test_a_month_starts_at_its_first_local_moment(timezone: str, year: int, month: int, expected: datetime) -> None:
    around = (to_us(utc(year, month, 1)) - 20 * DAY_US, to_us(utc(year, month, 1)) + 5 * DAY_US)
    assert month_starts(*around, timezone) == (to_us(expected),)
    assert reference.is_first_of_month(expected, timezone)


def test_month_starts_hold_both_ends_of_their_range() -> None:
    first, second = to_us(utc(2026, 1, 1)), to_us(utc(2026, 2, 1))
    assert month_starts(first, second, "UTC") == (first, second)
    assert month_starts(first + 1, second - 1, "UTC") == ()


def test_leads_created_before_the_plan_begins_are_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    plan = ONE_AGE.model_copy(update={"created_from": "2026-01-10"})
    found, _ = snapshots(connection, plan, leads=[lead("a"), lead("b", START - MICROSECOND)])
    assert sorted(lead_id for lead_id, _ in found) == ["a"]


# --- labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("won_at", "expected"),
    [
        (AS_OF - MICROSECOND, None),
        (AS_OF, None),
        (AS_OF + MICROSECOND, 1),
        (AS_OF + 30 * DAY, 1),
        (AS_OF + 30 * DAY + MICROSECOND, 0),
    ],
)
def test_a_win_counts_after_as_of_up_to_the_end_of_the_horizon(
    connection: duckdb.DuckDBPyConnection, won_at: datetime, expected: int | None
) -> None:
    assert label(connection, outcomes=[outcome("a", "won", won_at)]) == expected


def test_a_lead_without_an_outcome_is_not_won_once_mature(connection: duckdb.DuckDBPyConnection) -> None:
    assert label(connection) == 0


def test_a_closing_that_became_known_only_later_drops_the_pair_and_is_counted(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    late = outcome("a", "lost", AS_OF - DAY, AS_OF + DAY)
    found, counts = snapshots(connection, leads=[lead("a")], outcomes=[late])
    assert (found, counts.closed, counts.closed_but_not_known_then) == ({}, 1, 1)
    found, counts = snapshots(connection, leads=[lead("a")], outcomes=[outcome("a", "lost", AS_OF - DAY)])
    assert (found, counts.closed, counts.closed_but_not_known_then) == ({}, 1, 0)


def test_the_last_known_of_corrected_outcomes_counts(connection: duckdb.DuckDBPyConnection) -> None:
    lost, won = outcome("a", "lost", AS_OF + DAY), outcome("a", "won", AS_OF + 5 * DAY, AS_OF + 6 * DAY)
    assert label(connection, outcomes=[lost, won]) == 1
    later = outcome("a", "lost", AS_OF + 5 * DAY, AS_OF + 7 * DAY)
    assert label(connection, outcomes=[lost, won, later]) == 0
    after_the_cutoff = outcome("a", "lost", AS_OF + 5 * DAY, CUTOFF + MICROSECOND)
    assert label(connection, outcomes=[lost, won, after_the_cutoff]) == 1


def test_a_pair_believed_lost_at_its_moment_is_not_kept_for_the_win_that_came_of_it(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    believed, corrected = outcome("a", "lost", AS_OF - DAY), outcome("a", "won", AS_OF + DAY)
    found, counts = snapshots(connection, leads=[lead("a")], outcomes=[believed, corrected])
    assert (found, counts.closed, counts.closed_but_not_known_then) == ({}, 1, 0)


def test_a_reopened_deal_is_open_again_until_it_ends_again(connection: duckdb.DuckDBPyConnection) -> None:
    lost, again = outcome("a", "lost", START + 3 * DAY), outcome("a", "open", START + 6 * DAY)
    won = outcome("a", "won", AS_OF + 5 * DAY)
    assert label(connection, outcomes=[lost]) is None
    assert label(connection, outcomes=[lost, again]) == 0
    assert label(connection, outcomes=[lost, again, won]) == 1
    assert label(connection, outcomes=[lost, again, outcome("a", "lost", AS_OF)]) is None


def test_a_pair_between_loss_and_reopening_stood_on_no_list_and_is_dropped(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    lost, again = outcome("a", "lost", AS_OF - DAY), outcome("a", "open", AS_OF + DAY)
    found, counts = snapshots(connection, leads=[lead("a")], outcomes=[lost, again])
    assert (found, counts.closed, counts.closed_but_not_known_then) == ({}, 1, 0)


def test_a_win_that_was_cancelled_by_the_cutoff_was_none(connection: duckdb.DuckDBPyConnection) -> None:
    won = outcome("a", "won", AS_OF + DAY)
    cancelled = outcome("a", "lost", AS_OF + 20 * DAY)
    assert label(connection, outcomes=[won]) == 1
    assert label(connection, outcomes=[won, cancelled]) == 0
    assert label(connection, outcomes=[won, outcome("a", "open", AS_OF + 20 * DAY)]) == 0
    assert label(connection, outcomes=[won, {**cancelled, "known_at": CUTOFF + MICROSECOND}]) == 1


# --- maturity ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settle_days", [0, 2.5])
@pytest.mark.parametrize("outcomes", [[], [outcome("a", "won", AS_OF + DAY)], [outcome("a", "lost", AS_OF + DAY)]])
def test_a_pair_matures_when_horizon_and_settling_are_over_however_early_it_closed(
    connection: duckdb.DuckDBPyConnection, settle_days: float, outcomes: list[Row]
) -> None:
    plan = ONE_AGE.model_copy(update={"settle_days": settle_days})
    mature = AS_OF + 30 * DAY + DAY * settle_days
    found, counts = snapshots(connection, plan, cutoff=mature, leads=[lead("a")], outcomes=outcomes)
    assert (len(found), counts.immature) == (1, 0)
    found, counts = snapshots(connection, plan, cutoff=mature - MICROSECOND, leads=[lead("a")], outcomes=outcomes)
    assert (len(found), counts.immature) == (0, 1)


def test_settling_takes_as_long_as_nineteen_of_twenty_outcomes_take_to_be_entered(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    delays = [DAY * number for number in range(1, 21)]
    rows = [outcome(f"l{number}", "lost", START, START + delay) for number, delay in enumerate(delays)]
    load(connection, tables_of(outcomes=rows))
    assert settle_us(connection, cutoff_us=to_us(CUTOFF)) == 19 * DAY_US
    assert settle_us(connection, cutoff_us=to_us(START + 10 * DAY)) == 10 * DAY_US
    assert settle_us(connection, cutoff_us=to_us(START)) == 0


def test_settling_of_an_earlier_goal_waits_for_its_stages_and_not_for_reopenings(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    stages = [
        stage("a", "SQL", START, START + 3 * DAY),
        stage("a", "Opportunity", START, START + 7 * DAY),
        stage("a", "mql", START, START + 99 * DAY),
    ]
    outcomes = [outcome("a", "lost", START, START + DAY), outcome("a", "open", START, START + 88 * DAY)]
    load(connection, tables_of(outcomes=outcomes, stages=stages))
    found = {goal: settle_us(connection, cutoff_us=to_us(CUTOFF), goal=goal) for goal in ("won", "opportunity", "sql")}
    assert found == {"won": DAY_US, "opportunity": 7 * DAY_US, "sql": 7 * DAY_US}
    assert settle_us(connection, cutoff_us=to_us(START + 4 * DAY), goal="sql") == 3 * DAY_US


def test_pairs_of_an_earlier_goal_mature_when_its_stages_are_entered(connection: duckdb.DuckDBPyConnection) -> None:
    plan = ONE_AGE.model_copy(update={"goal": "opportunity", "settle_days": None})
    stages = [stage("b", "opportunity", START, START + 7 * DAY)]
    for cutoff, mature in ((AS_OF + 37 * DAY, 1), (AS_OF + 37 * DAY - MICROSECOND, 0)):
        found, counts = snapshots(connection, plan, cutoff=cutoff, leads=[lead("a")], stages=stages)
        assert (len(found), counts.immature) == (mature, 1 - mature)


def test_outcomes_dated_ahead_never_make_a_pair_mature_early(connection: duckdb.DuckDBPyConnection) -> None:
    load(connection, tables_of(outcomes=[outcome("b", "won", START + 90 * DAY, START)]))
    assert settle_us(connection, cutoff_us=to_us(CUTOFF)) == 0


# --- one person, several leads -----------------------------------------------------------------------------------


def person(*starts: int) -> list[Row]:
    """Leads a, b, c ... of one person, begun so many days after START."""
    return [lead("abcdef"[number], START + DAY * days, person_id="p") for number, days in enumerate(starts)]


def test_duplicates_of_one_person_are_one_lead_that_any_of_them_wins(connection: duckdb.DuckDBPyConnection) -> None:
    found, _ = snapshots(connection, leads=person(0, 3), outcomes=[outcome("b", "won", AS_OF + DAY)])
    assert found == {("a", AS_OF): 1}


def test_the_outcome_of_a_duplicate_not_begun_by_the_cutoff_says_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    leads = [lead("a", person_id="p"), lead("b", START + 100 * DAY, person_id="p")]
    early = outcome("b", "won", AS_OF + DAY)
    for cutoff, expected in ((START + 100 * DAY, 1), (START + 100 * DAY - MICROSECOND, 0)):
        found, _ = snapshots(connection, cutoff=cutoff, leads=leads, outcomes=[early])
        assert found == {("a", AS_OF): expected}


def test_a_lead_closed_as_a_duplicate_leaves_the_person_open(connection: duckdb.DuckDBPyConnection) -> None:
    duplicate = outcome("a", "lost", START + 5 * DAY, reason="Duplicate")
    assert label(connection, leads=person(0, 3), outcomes=[duplicate]) == 0
    both = [duplicate, outcome("b", "lost", START + 6 * DAY)]
    assert label(connection, leads=person(0, 3), outcomes=both) is None


def test_the_loss_of_a_duplicate_closes_no_person_and_the_loss_of_the_primary_does(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert label(connection, leads=person(0, 3), outcomes=[outcome("b", "lost", START + 5 * DAY)]) == 0
    assert label(connection, leads=person(0, 3), outcomes=[outcome("a", "lost", START + 5 * DAY)]) is None


def test_a_later_win_of_a_duplicate_does_not_bring_back_the_pairs_after_the_loss(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    outcomes = [outcome("a", "lost", START + 5 * DAY), outcome("b", "won", AS_OF + 20 * DAY)]
    plan = ONE_AGE.model_copy(update={"ages_days": (1, 10)})
    found, counts = snapshots(connection, plan, leads=person(0, 3), outcomes=outcomes)
    assert found == {("a", START + DAY): 1}
    assert (counts.closed, counts.closed_but_not_known_then) == (1, 0)


def test_whoever_comes_back_after_a_loss_is_a_new_lead_whose_win_is_its_own(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    outcomes = [outcome("a", "lost", START + 5 * DAY), outcome("b", "won", AS_OF + 20 * DAY)]
    plan = ONE_AGE.model_copy(update={"ages_days": (1, 10)})
    found, counts = snapshots(connection, plan, leads=person(0, 12), outcomes=outcomes)
    assert found == {("a", START + DAY): 0, ("b", START + 13 * DAY): 1, ("b", START + 22 * DAY): 1}
    assert (counts.closed, counts.closed_but_not_known_then) == (1, 0)
    late = [outcome("a", "lost", START + 5 * DAY, START + 13 * DAY), outcomes[1]]
    found, counts = snapshots(connection, plan, leads=person(0, 12), outcomes=late)
    assert found == {("a", START + DAY): 1}
    assert (counts.closed, counts.closed_but_not_known_then) == (1, 1)


def test_a_duplicate_that_comes_later_does_not_reopen_an_earlier_pair(connection: duckdb.DuckDBPyConnection) -> None:
    outcomes = [
        outcome("a", "lost", START + 5 * DAY, START + 25 * DAY, reason="duplicate"),
        outcome("b", "lost", START + 6 * DAY, START + 25 * DAY),
    ]
    assert label(connection, leads=person(0, 3, 20), outcomes=outcomes) is None
    assert label(connection, leads=person(0, 12, 20), outcomes=outcomes[:1]) is None


@pytest.mark.parametrize(("days", "primaries"), [(180, ["a"]), (180 + 1 / 86_400_000_000, ["a", "b"])])
def test_an_episode_ends_after_a_hundred_and_eighty_quiet_days(
    connection: duckdb.DuckDBPyConnection, days: float, primaries: list[str]
) -> None:
    leads = [lead("a", person_id="p"), lead("b", START + timedelta(days=days), person_id="p")]
    found, _ = snapshots(connection, leads=leads)
    assert sorted(lead_id for lead_id, _ in found) == primaries


# --- other goals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "rows", "expected"),
    [
        ("opportunity", {"stages": [stage("a", "opportunity", AS_OF + DAY)]}, 1),
        ("opportunity", {"stages": [stage("a", "Opportunity", AS_OF + DAY)]}, 1),
        ("opportunity", {"stages": [stage("a", "sql", AS_OF + DAY)]}, 0),
        ("opportunity", {"stages": [stage("a", "opportunity", AS_OF)]}, None),
        ("opportunity", {"stages": [stage("a", "opportunity", AS_OF + 31 * DAY)]}, 0),
        ("opportunity", {"stages": [stage("a", "opportunity", AS_OF + DAY, CUTOFF + DAY)]}, 0),
        ("opportunity", {"outcomes": [outcome("a", "won", AS_OF + DAY)]}, 1),
        ("opportunity", {"outcomes": [outcome("a", "lost", AS_OF + DAY)]}, 0),
        ("opportunity", {"outcomes": [outcome("a", "lost", AS_OF)]}, None),
        ("sql", {"stages": [stage("a", "SQL", AS_OF + DAY)]}, 1),
        ("sql", {"stages": [stage("a", "opportunity", AS_OF + DAY)]}, 1),
        ("won", {"stages": [stage("a", "opportunity", AS_OF + DAY)]}, 0),
    ],
)
def test_a_goal_is_reached_by_its_stage_or_by_more_than_it(
    connection: duckdb.DuckDBPyConnection, goal: str, rows: dict[str, list[Row]], expected: int | None
) -> None:
    plan = ONE_AGE.model_copy(update={"goal": goal})
    found, _ = snapshots(connection, plan, cutoff=CUTOFF, timezone="UTC", leads=[lead("a")], **rows)
    assert found.get(("a", AS_OF)) == expected


def test_a_goal_reached_and_known_then_is_not_counted_as_unknown_then(connection: duckdb.DuckDBPyConnection) -> None:
    plan = ONE_AGE.model_copy(update={"goal": "opportunity"})
    _, counts = snapshots(connection, plan, leads=[lead("a")], stages=[stage("a", "opportunity", AS_OF - DAY)])
    assert (counts.closed, counts.closed_but_not_known_then) == (1, 0)


# --- open leads --------------------------------------------------------------------------------------------------


def listed(connection: duckdb.DuckDBPyConnection, goal: str = "won", **rows: list[Row]) -> list[str]:
    load(connection, tables_of(**rows))
    number = open_leads(connection, as_of_us=to_us(AS_OF), goal=goal)
    found = [row[0] for row in connection.sql("SELECT lead_id FROM spine ORDER BY row_id").fetchall()]
    assert number == len(found)
    return found


def test_open_leads_are_the_persons_begun_and_not_known_to_be_closed(connection: duckdb.DuckDBPyConnection) -> None:
    leads = [*(lead(name) for name in "dcba"), lead("later", AS_OF + MICROSECOND), lead("now", AS_OF)]
    outcomes = [
        outcome("a", "won", AS_OF),
        outcome("b", "lost", AS_OF - DAY, AS_OF + MICROSECOND),
        outcome("c", "lost", AS_OF + DAY, AS_OF - DAY),
    ]
    assert listed(connection, leads=leads, outcomes=outcomes) == ["b", "c", "d", "now"]


def test_open_leads_list_a_person_once_and_none_past_the_goal(connection: duckdb.DuckDBPyConnection) -> None:
    leads = [*person(0, 3), lead("x"), lead("y")]
    stages = [stage("x", "opportunity", AS_OF), stage("y", "opportunity", AS_OF - DAY, AS_OF + DAY)]
    assert listed(connection, "opportunity", leads=leads, stages=stages) == ["a", "y"]
    assert listed(connection, leads=leads, stages=stages) == ["a", "x", "y"]


# --- clusters ----------------------------------------------------------------------------------


def test_a_cluster_is_the_account_of_that_moment_and_a_lead_without_one_is_its_own(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    leads = [lead("1", account_id="A"), lead("1", account_id="B", known_at=AS_OF + DAY), lead("A"), lead("b")]
    snapshots(connection, leads=leads)
    clusters = dict(connection.sql("SELECT lead_id, cluster FROM spine").fetchall())
    assert clusters["1"] == "A"
    assert len(set(clusters.values())) == 3


def test_people_are_prepared_again_after_an_import(connection: duckdb.DuckDBPyConnection) -> None:
    load(connection, tables_of(leads=person(0)))
    prepare_people(connection)
    load(connection, tables_of(leads=person(0, 1)))
    prepare_people(connection)
    assert connection.sql("SELECT lead_id, primary_id FROM people ORDER BY ALL").fetchall() == [("a", "a"), ("b", "a")]
