"""Which leads are one person at which moment: duplicates, merges, and people who come back after an ending."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from data.clock import DAY_US, from_us, to_us
from features import people
from features.facts import facts_as_of, related_leads
from features.people import LeadStart, Merge, Outcome, Stretch, merges_in_effect, prepare_people, stretches
from serving.scoring.requests import request_of
from tests.reference import people as reference
from tests.reference.worlds import World, connect, load, random_world, worlds, worlds_profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import duckdb

    from tests.reference.people import Tables

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as opened:
        yield opened


def found_by_sql(connection: duckdb.DuckDBPyConnection, tables: Tables) -> list[Stretch]:
    load(connection, tables)
    prepare_people(connection)
    rows = connection.sql("FROM people ORDER BY lead_id, from_us").select(*Stretch._fields).fetchall()
    return [Stretch(*row) for row in rows]


def starts(tables: Tables) -> list[LeadStart]:
    names = sorted({row["lead_id"] for row in tables["leads"]})
    first = {name: reference.first_version(tables, name) for name in names}
    return [
        LeadStart(to_us(reference.t0(tables, name)), to_us(row["created_at"]), name, row["person_id"])
        for name, row in first.items()
    ]


def found_by_walking(tables: Tables) -> list[Stretch]:
    """Every lead on the way that only the touched ones take."""
    outcomes = [
        Outcome(row["lead_id"], row["outcome"], row["reason"], to_us(row["closed_at"]), to_us(row["known_at"]))
        for row in tables["outcomes"]
    ]
    merges = [
        Merge(row["lead_id"], row["into_lead_id"], to_us(row["occurred_at"]), to_us(row["known_at"]))
        for row in tables["merges"]
    ]
    return stretches(starts(tables), outcomes, merges)


def moments(world: World, found: list[Stretch]) -> list[datetime]:
    """The moments of the world, and those around every change."""
    changes = {us + shift for one in found for us in (one.from_us, one.until_us) if us is not None for shift in (-1, 0)}
    return [*world.as_ofs, *(from_us(us) for us in sorted(changes))]


def primary_at(found: list[Stretch], lead_id: str, us: int) -> str:
    """The primary lead of the one stretch in force."""
    (one,) = (
        one.primary_id
        for one in found
        if one.lead_id == lead_id and one.from_us <= us and (one.until_us is None or us < one.until_us)
    )
    return one


# --- against the reference ---------------------------------------------------------------------------------------


@worlds_profile(few=30)
@given(world=worlds())
def test_every_lead_speaks_for_the_primary_of_the_reference_at_every_moment(
    connection: duckdb.DuckDBPyConnection, world: World
) -> None:
    found = found_by_sql(connection, world.tables)
    for moment in moments(world, found):
        known = reference.known_leads(world.tables, moment)
        expected = {lead_id: reference.primary(world.tables, lead_id, moment) for lead_id in known}
        assert {lead_id: primary_at(found, lead_id, to_us(moment)) for lead_id in known} == expected, moment
        away = {one.lead_id for one in found if one.away_us is not None and one.away_us <= to_us(moment)}
        assert away == reference.merged_away(world.tables, moment)


@worlds_profile(few=25)
@given(world=worlds())
def test_sql_leaves_no_lead_to_itself_that_walking_would_have_joined(
    connection: duckdb.DuckDBPyConnection, world: World
) -> None:
    assert found_by_sql(connection, world.tables) == found_by_walking(world.tables)


@worlds_profile(few=30)
@given(world=worlds())
def test_a_lead_speaks_for_somebody_from_its_start_on_without_a_gap(world: World) -> None:
    found = found_by_walking(world.tables)
    for lead in starts(world.tables):
        own = [one for one in found if one.lead_id == lead.lead_id]
        assert (own[0].from_us, own[-1].until_us) == (lead.t0_us, None)
        assert [one.until_us for one in own[:-1]] == [one.from_us for one in own[1:]]
        assert all(one.until_us is None or one.from_us < one.until_us for one in own)


@worlds_profile(few=25)
@given(world=worlds())
def test_whoever_asks_for_one_lead_is_told_the_same_as_the_reference(world: World) -> None:
    rows = {name: world.tables[name] for name in ("leads", "outcomes", "merges")}
    for moment in world.as_ofs:
        for lead_id in reference.known_leads(world.tables, moment):
            related = related_leads(lead_id, to_us(moment), **rows)
            assert related.own == set(reference.same_person(world.tables, lead_id, moment))
            for other, person in related.person_of.items():
                assert person == reference.primary(world.tables, other, moment)
            assert set(related.person_of) == (related.others or set())


def test_the_worlds_hold_merges_returns_and_corrections() -> None:
    drawn = [random_world(seed, leads=8, events=0, outcomes=8, merges=4) for seed in range(60)]
    found = [found_by_walking(world.tables) for world in drawn]
    renamed = sum(any(one.until_us is not None for one in rows) for rows in found)
    unaware = [{**world.tables, "outcomes": []} for world in drawn]
    returned = sum(found_by_walking(tables) != rows for tables, rows in zip(unaware, found, strict=True))
    assert renamed > 20
    assert returned > 10
    assert sum(row["outcome"] == "open" for world in drawn for row in world.tables["outcomes"]) > 50


# --- coming back -------------------------------------------------------------------------------------------------


def day(number: float) -> int:
    return round(number * DAY_US)


def leads(*begun: float, person: str | None = "p") -> list[LeadStart]:
    """Leads a, b, c ... of one person, begun on these days."""
    return [LeadStart(day(at), day(at), "abcdef"[number], person) for number, at in enumerate(begun)]


def said(lead_id: str, what: str, closed: float, known: float | None = None, reason: str | None = None) -> Outcome:
    return Outcome(lead_id, what, reason, day(closed), day(closed if known is None else known))


def groups(found: list[Stretch], at: float) -> list[str]:
    """The groups at a moment, each with its primary first, such as `ab` and `c`."""
    told: dict[str, list[str]] = {}
    for one in found:
        if one.from_us <= day(at) and (one.until_us is None or day(at) < one.until_us):
            told.setdefault(one.primary_id, []).append(one.lead_id)
    return sorted("".join([first, *sorted(set(members) - {first})]) for first, members in told.items())


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], ["abc"]),
        ([said("a", "lost", 5)], ["a", "bc"]),
        ([said("a", "won", 5)], ["a", "bc"]),
        # Known just in time, too late, dated ahead, or taken back by the day b began.
        ([said("a", "lost", 5, 10)], ["a", "bc"]),
        ([said("a", "lost", 5, 10 + 1 / DAY_US)], ["ab", "c"]),
        ([said("a", "lost", 11, 6)], ["ab", "c"]),
        ([said("a", "lost", 5), said("a", "open", 8)], ["abc"]),
        ([said("a", "lost", 5), said("a", "open", 8, 12)], ["a", "bc"]),
        ([said("a", "lost", 5), said("a", "open", 8), said("a", "won", 9)], ["a", "bc"]),
        # A duplicate's own end leaves the person open as long as another lead stands.
        ([said("a", "lost", 5, reason="Duplicate")], ["a", "bc"]),
        ([said("b", "lost", 12)], ["abc"]),
        ([said("b", "lost", 12), said("a", "lost", 13, reason="duplicate")], ["ab", "c"]),
        ([said("b", "won", 12)], ["ab", "c"]),
    ],
)
def test_a_person_who_was_closed_begins_anew_with_the_next_lead(outcomes: list[Outcome], expected: list[str]) -> None:
    assert groups(stretches(leads(0, 10, 20), outcomes), 30) == expected


def test_what_becomes_known_after_a_return_does_not_undo_it() -> None:
    lost = [said("a", "lost", 5)]
    corrected = [*lost, said("a", "open", 6, 11)]
    assert groups(stretches(leads(0, 10), corrected), 12) == groups(stretches(leads(0, 10), lost), 12) == ["a", "b"]


def test_quiet_days_end_an_episode_whatever_the_outcome() -> None:
    assert groups(stretches(leads(0, 180)), 400) == ["ab"]
    assert groups(stretches(leads(0, 180 + 1 / DAY_US)), 400) == ["a", "b"]
    assert groups(stretches(leads(0, 1, person=None)), 400) == ["a", "b"]


# --- merges ------------------------------------------------------------------------------------------------------


def strangers(*begun: float) -> list[LeadStart]:
    return [lead._replace(person_id=lead.lead_id) for lead in leads(*begun)]


def merge(pair: str, occurred: float, known: float | None = None) -> Merge:
    return Merge(pair[0], pair[1], day(occurred), day(occurred if known is None else known))


@pytest.mark.parametrize(
    ("merges", "at", "expected"),
    [
        ([merge("ab", 5, 8)], 7.999, ["a", "b", "c"]),
        ([merge("ab", 5, 8)], 8, ["ba", "c"]),
        ([merge("ab", 8, 5)], 7.999, ["a", "b", "c"]),
        ([merge("ba", 5)], 6, ["ab", "c"]),
        # Recorded before c had begun.
        ([merge("ac", 1)], 2.999, ["a", "b"]),
        ([merge("ac", 1)], 3, ["b", "ca"]),
        # A chain, and one lead into two.
        ([merge("ab", 5), merge("bc", 6)], 5, ["ba", "c"]),
        ([merge("ab", 5), merge("bc", 6)], 6, ["cab"]),
        ([merge("ab", 5), merge("ac", 6)], 6, ["bac"]),
        # The earliest that is not merged away is the primary, not the last that another one went up in.
        ([merge("bc", 5), merge("ba", 6)], 6, ["abc"]),
        # A circle, a lead into itself, a lead nobody knows.
        ([merge("ab", 5), merge("ba", 6)], 7, ["ba", "c"]),
        ([merge("ab", 5), merge("bc", 6), merge("ca", 7)], 8, ["cab"]),
        ([merge("aa", 5), merge("ax", 5), merge("xb", 5)], 7, ["a", "b", "c"]),
    ],
)
def test_a_merge_joins_two_leads_from_the_moment_it_is_known(
    merges: list[Merge], at: float, expected: list[str]
) -> None:
    begun = strangers(0, 1, 3)
    found = stretches(begun, [], merges)
    assert groups([one for one in found if one.t0_us <= day(at)], at) == expected
    assert stretches(begun, [], merges[::-1] * 2) == found


def test_a_merge_without_effect_is_not_among_those_in_effect() -> None:
    known = {lead.lead_id: lead for lead in strangers(0, 1, 3)}
    merges = [merge("ba", 6), merge("ab", 5), merge("cx", 1), merge("cc", 2), merge("ca", 2, 9)]
    assert [(us // DAY_US, one.lead_id) for us, one in merges_in_effect(known, merges)] == [(5, "a"), (9, "c")]


def test_a_merge_brings_the_duplicates_of_both_persons_together() -> None:
    pairs = [*leads(0, 2), *(lead._replace(lead_id=lead.lead_id.upper(), person_id="q") for lead in leads(1, 3))]
    found = stretches(pairs, [], [merge("ab", 9), merge("bB", 10)])
    assert [groups(found, at) for at in (8, 9, 10)] == [["AB", "ab"], ["AB", "ba"], ["ABab"]]


def test_an_ending_of_the_lead_merged_into_closes_the_person_that_comes_back() -> None:
    begun = [*strangers(0, 1), LeadStart(day(20), day(20), "c", "a")]
    joined = [merge("ab", 5)]
    assert groups(stretches(begun, [], joined), 30) == ["bac"]
    assert groups(stretches(begun, [said("b", "lost", 9)], joined), 30) == ["ba", "c"]
    assert groups(stretches(begun, [said("a", "lost", 9)], joined), 30) == ["bac"]
    assert groups(stretches(begun, [said("a", "won", 9)], joined), 30) == ["ba", "c"]


def test_a_lead_merged_away_does_not_keep_its_person_open() -> None:
    begun = [*strangers(0, 1), LeadStart(day(20), day(20), "c", "a")]
    ended = [said("b", "lost", 9, reason="duplicate")]
    assert groups(stretches(begun, ended, [merge("ab", 5)]), 30) == ["ba", "c"]


def test_facts_of_a_merged_lead_hold_the_events_of_both() -> None:
    lead: dict[str, Any] = {"created_at": 0, "known_at": 0, "account_id": None, "person_id": None}
    event = {"source": "s", "type": "page_view", "occurred_at": 1, "known_at": 1}
    events = [{**event, "event_id": name, "lead_id": name} for name in "ab"]
    rows = {"leads": [{**lead, "lead_id": name} for name in "ab"], "accounts": [], "events": events}
    merges = [{"lead_id": "a", "into_lead_id": "b", "occurred_at": 5, "known_at": 9}]
    for as_of_us, seen in ((8, {"b"}), (9, {"a", "b"})):
        facts = facts_as_of("b", as_of_us, **rows, merges=merges)
        assert {one.lead_id for one in facts.events or ()} == seen


def test_sql_sees_a_loss_that_became_known_at_the_very_moment_of_the_return(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for shift, expected in ((0, ["a", "b"]), (1, ["ab"])):
        tables = random_world(0, leads=0, events=0, outcomes=0, merges=0).tables
        tables["leads"] = [
            {
                "lead_id": lead.lead_id,
                "created_at": from_us(lead.t0_us),
                "known_at": from_us(lead.t0_us),
                "person_id": "p",
            }
            for lead in leads(0, 10)
        ]
        known = {"known_at": from_us(day(10) + shift), "closed_at": from_us(day(5))}
        tables["outcomes"] = [{"lead_id": "a", "outcome": "lost", "reason": None, **known}]
        assert groups(found_by_sql(connection, tables), 30) == expected


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("SELECT lead_id FROM merges UNION SELECT into_lead_id FROM merges", "SELECT lead_id FROM merges"),
        (
            "JOIN (SELECT DISTINCT person_id FROM seeds) AS p ON p.person_id = s.person_id",
            "JOIN seeds AS p USING (lead_id)",
        ),
        ("UNION SELECT lead_id FROM ended", ""),
        ("UNION ALL\nSELECT s.lead_id", "EXCEPT ALL\nSELECT s.lead_id"),
    ],
)
def test_the_worlds_notice_when_a_touched_lead_is_passed_over(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, right: str, wrong: str
) -> None:
    assert right in people.TOUCHED_LEADS
    monkeypatch.setattr(people, "TOUCHED_LEADS", people.TOUCHED_LEADS.replace(right, wrong))
    drawn = (random_world(seed, leads=8, events=0, outcomes=10, merges=2) for seed in range(300))
    assert any(found_by_sql(connection, world.tables) != found_by_walking(world.tables) for world in drawn)


def test_the_request_from_the_warehouse_holds_the_events_of_the_whole_person(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    for seed in range(5):
        world = random_world(seed, leads=8, events=40, outcomes=8, merges=4)
        load(connection, world.tables)
        for moment in world.as_ofs[-2:]:
            for lead_id in reference.known_leads(world.tables, moment):
                sent = request_of(connection, lead_id, to_us(moment))
                own = reference.same_person(world.tables, lead_id, moment)
                seen = [
                    (row["occurred_at"], row["source"], row["event_id"])
                    for row in world.tables["events"]
                    if row["lead_id"] in own and row["occurred_at"] < moment and row["known_at"] <= moment
                ]
                assert [event["id"] for event in sent["events"]] == [event_id for _, _, event_id in sorted(seen)]
                for event in (sent["lead"].get("account") or {"events": []})["events"]:
                    assert event["person_id"] == reference.primary(world.tables, event["lead_id"], moment)
