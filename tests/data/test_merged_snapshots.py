"""Two leads that turn out to be one person: whose photographs are kept, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.data.test_snapshots import (
    AS_OF,
    CUTOFF,
    DAY,
    MICROSECOND,
    ONE_AGE,
    START,
    connection,
    label,
    lead,
    listed,
    outcome,
    snapshots,
)

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

    from tests.reference.features import Row

__all__ = ["connection"]


def merge(lead_id: str, into: str, at: datetime, known_at: datetime | None = None) -> Row:
    return {"lead_id": lead_id, "into_lead_id": into, "occurred_at": at, "known_at": known_at or at}


TWO = [lead("a"), lead("b")]


def test_two_leads_that_turn_out_to_be_one_person_count_once(connection: duckdb.DuckDBPyConnection) -> None:
    for pair, kept in ((("a", "b"), "b"), (("b", "a"), "a")):
        joined = [merge(*pair, AS_OF + DAY)]
        found, counts = snapshots(connection, leads=TWO, merges=joined)
        assert (found, counts.labelled, counts.duplicates) == ({(kept, AS_OF): 0}, 1, 1)
        found, counts = snapshots(connection, leads=TWO, merges=[{**joined[0], "known_at": CUTOFF + MICROSECOND}])
        assert (sorted(found), counts.duplicates) == ([("a", AS_OF), ("b", AS_OF)], 0)


def test_one_pair_is_left_of_a_person_whose_primary_was_not_on_the_list(connection: duckdb.DuckDBPyConnection) -> None:
    joined = [merge("a", "c", AS_OF + 9 * DAY), merge("b", "c", AS_OF + 9 * DAY)]
    leads = [*TWO, lead("c", AS_OF + DAY)]
    found, counts = snapshots(connection, leads=leads, merges=joined)
    assert (found, counts.duplicates) == ({("a", AS_OF): 0, ("c", AS_OF + 11 * DAY): 0}, 1)
    # The primary by the cutoff was believed lost then: the other one is who stood on the list.
    outcomes = [outcome("b", "lost", AS_OF - DAY), outcome("b", "open", AS_OF + DAY)]
    found, counts = snapshots(connection, leads=TWO, outcomes=outcomes, merges=[merge("a", "b", AS_OF + 9 * DAY)])
    assert (found, counts.closed, counts.duplicates) == ({("a", AS_OF): 0}, 1, 0)


def test_a_lead_is_photographed_as_long_as_it_is_nobody_elses(connection: duckdb.DuckDBPyConnection) -> None:
    plan = ONE_AGE.model_copy(update={"ages_days": (1, 10)})
    later = lead("b", START + 2 * DAY)
    found, _ = snapshots(connection, plan, leads=[lead("a"), later], merges=[merge("a", "b", START + 5 * DAY)])
    assert sorted(found) == [("a", START + DAY), ("b", START + 3 * DAY), ("b", START + 12 * DAY)]
    found, _ = snapshots(connection, plan, leads=[lead("a"), later], merges=[merge("b", "a", START + 5 * DAY)])
    assert sorted(found) == [("a", START + DAY), ("a", AS_OF), ("b", START + 3 * DAY)]


@pytest.mark.parametrize("winner", ["a", "b"])
def test_a_win_of_either_lead_is_the_win_of_all_pairs_of_the_merged_person(
    connection: duckdb.DuckDBPyConnection, winner: str
) -> None:
    plan = ONE_AGE.model_copy(update={"ages_days": (1, 10)})
    leads, joined = [lead("a"), lead("b", START + 2 * DAY)], [merge("a", "b", START + 5 * DAY)]
    outcomes = [outcome(winner, "won", START + 20 * DAY)]
    found, _ = snapshots(connection, plan, leads=leads, merges=joined, outcomes=outcomes)
    assert found == {("a", START + DAY): 1, ("b", START + 3 * DAY): 1, ("b", START + 12 * DAY): 1}


def test_the_loss_of_the_surviving_lead_closes_the_person_and_that_of_the_other_does_not(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    joined = [merge("a", "b", START + 5 * DAY)]
    for loser, expected in (("b", None), ("a", 0)):
        lost = [outcome(loser, "lost", START + 6 * DAY)]
        found, _ = snapshots(connection, leads=TWO, merges=joined, outcomes=lost)
        assert found.get(("b", AS_OF)) == expected


def test_an_end_of_the_survivor_that_became_known_late_closes_the_pairs_of_before_the_merge(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    lost = [outcome("b", "lost", AS_OF - DAY, AS_OF + 2 * DAY)]
    found, counts = snapshots(connection, leads=TWO, outcomes=lost, merges=[merge("a", "b", AS_OF + DAY)])
    assert (found, counts.closed, counts.closed_but_not_known_then) == ({}, 2, 2)
    found, _ = snapshots(connection, leads=TWO, outcomes=lost)
    assert found == {("a", AS_OF): 0}


def test_a_lead_merged_away_does_not_stand_for_a_person_without_any_other(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    ended = [outcome("b", "lost", START + 6 * DAY, reason="duplicate")]
    assert label(connection, leads=TWO, outcomes=ended, merges=[merge("a", "b", START + 5 * DAY)]) is None
    found, _ = snapshots(connection, leads=TWO, outcomes=ended, merges=[merge("a", "b", START + 5 * DAY)])
    assert found == {}
    # On the day of the photograph it still stood.
    found, _ = snapshots(connection, leads=TWO, outcomes=ended, merges=[merge("a", "b", AS_OF + DAY)])
    assert found == {("a", AS_OF): 0}


def test_the_pairs_of_one_person_are_one_cluster(connection: duckdb.DuckDBPyConnection) -> None:
    plan = ONE_AGE.model_copy(update={"ages_days": (1, 10)})
    leads = [lead("a"), lead("b", START + 2 * DAY), lead("c")]
    snapshots(connection, plan, leads=leads, merges=[merge("a", "b", START + 5 * DAY)])
    rows = connection.sql("SELECT DISTINCT lead_id, cluster FROM spine ORDER BY ALL").fetchall()
    assert rows == [("a", "lead:b"), ("b", "lead:b"), ("c", "lead:c")]


def test_open_leads_are_those_of_the_day_before_a_merge_and_after_it(connection: duckdb.DuckDBPyConnection) -> None:
    for at, expected in ((AS_OF, ["b"]), (AS_OF + MICROSECOND, ["a", "b"])):
        assert listed(connection, leads=TWO, merges=[merge("a", "b", START + 5 * DAY, at)]) == expected
