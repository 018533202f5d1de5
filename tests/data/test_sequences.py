"""Visits, touches, decay, the buying committee and the response of sales, on logs small enough to count by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from data.clock import to_us
from data.tables import TABLES
from features.catalogue import build_catalogue
from features.facts import facts_as_of
from features.memory import Values, evaluate
from features.sql import compute_features, prepare_people
from tests.reference.worlds import CUSTOM, connect, load, photograph, utc

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from tests.reference.features import Row, Tables

AS_OF = utc(2026, 3, 1)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
CATALOGUE = build_catalogue(event_types=["page_view", "demo_request"], custom=CUSTOM, treatments=True)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as opened:
        yield opened


def lead(lead_id: str = "a", **columns: Any) -> Row:
    born = {"created_at": AS_OF - 50 * DAY, "known_at": AS_OF - 50 * DAY, "account_id": "A"}
    return {"lead_id": lead_id, "person_id": lead_id} | born | columns


def event(ago: timedelta, lead_id: str = "a", **columns: Any) -> Row:
    at = AS_OF - ago
    key = {"source": "site", "event_id": f"{lead_id}{ago}{columns}", "lead_id": lead_id, "type": "page_view"}
    return key | {"occurred_at": at, "known_at": at} | columns


def features_of(connection: duckdb.DuckDBPyConnection, **rows: list[Row]) -> Values:
    """Return the features of lead a, which both evaluators have to agree on."""
    tables: Tables = {name: rows.get(name, []) for name in TABLES}
    tables["leads"] = tables["leads"] or [lead()]
    load(connection, tables)
    prepare_people(connection)
    photograph(connection, [("a", to_us(AS_OF))])
    found: Values = compute_features(connection, CATALOGUE).select(CATALOGUE.names).to_pylist()[0]
    told: dict[str, Any] = {
        name: tables[name] for name in ("leads", "accounts", "events", "actions", "outcomes", "merges")
    }
    assert found == evaluate(CATALOGUE, facts_as_of("a", to_us(AS_OF), **told), to_us(AS_OF))
    return found


def test_half_an_hour_of_silence_belongs_to_the_visit_and_a_microsecond_more_ends_it(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    start, step = 90 * MINUTE, 30 * MINUTE
    one = [event(start), event(start - step), event(start - 2 * step)]
    assert features_of(connection, events=one)["visits_7d"] == 1
    two = [event(start), event(start - step - timedelta(microseconds=1)), event(start - 2 * step)]
    assert features_of(connection, events=two)["visits_7d"] == 2


def test_a_visit_that_goes_on_into_the_window_did_not_begin_there(connection: duckdb.DuckDBPyConnection) -> None:
    border = [event(7 * DAY + 10 * MINUTE), event(7 * DAY)]
    found = features_of(connection, events=border)
    assert (found["events_7d"], found["visits_7d"], found["visits_30d"]) == (1, 0, 1)
    # The same at the border of the longest window, beyond which nothing but the beginning of a visit is read.
    border = [event(90 * DAY + 10 * MINUTE), event(90 * DAY)]
    found = features_of(connection, events=border)
    assert (found["events_90d"], found["visits_90d"]) == (1, 0)


def test_of_touches_at_one_moment_the_channel_first_in_the_alphabet_counts(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    log = [event(3 * DAY), event(2 * DAY, channel="social"), event(2 * DAY, channel="paid"), event(DAY, channel="é")]
    found = features_of(connection, events=log)
    assert (found["first_touch_channel"], found["last_touch_channel"]) == ("paid", "é")


def test_touches_of_more_than_thirty_years_ago_are_equally_old(connection: duckdb.DuckDBPyConnection) -> None:
    log = [event(20_000 * DAY, channel="b"), event(19_000 * DAY, channel="a"), event(9_000 * DAY, channel="A")]
    found = features_of(connection, events=log)
    assert (found["first_touch_channel"], found["last_touch_channel"]) == ("a", "A")


def test_a_lead_without_a_channel_has_no_touch(connection: duckdb.DuckDBPyConnection) -> None:
    found = features_of(connection, events=[event(DAY)])
    assert (found["first_touch_channel"], found["last_touch_channel"]) == (None, None)


def test_engagement_weighs_half_after_fourteen_days_and_nothing_after_ninety(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    log = [event(MINUTE), event(14 * DAY), event(28 * DAY + MINUTE), event(91 * DAY)]
    assert features_of(connection, events=log)["engagement_decayed"] == 1.75


def test_the_committee_counts_people_and_not_leads(connection: duckdb.DuckDBPyConnection) -> None:
    leads = [
        lead(),
        lead("b", person_id="p", seniority="manager"),
        lead("c", person_id="p", seniority="vp"),
        lead("d", seniority="c_level"),
        lead("e", seniority="director"),
    ]
    log = [event(DAY, "b"), event(DAY, "c"), event(40 * DAY, "e"), event(DAY)]
    found = features_of(connection, leads=leads, events=log)
    assert (found["account_other_people_30d"], found["account_other_people_90d"]) == (1, 2)
    # The chief has done nothing, so that the vice president is the most senior of those active.
    assert found["account_most_senior_90d"] == 5


def test_a_rank_is_what_was_known_of_it_then(connection: duckdb.DuckDBPyConnection) -> None:
    later = {"known_at": AS_OF + DAY, "seniority": "c_level"}
    leads = [lead(), lead("b", seniority="junior"), lead("b", **later)]
    assert features_of(connection, leads=leads, events=[event(DAY, "b")])["account_most_senior_90d"] == 1


def action(kind: str, after: timedelta, **columns: Any) -> Row:
    at = AS_OF - 50 * DAY + after
    return {"action_id": f"{kind}{after}", "lead_id": "a", "type": kind, "occurred_at": at, "known_at": at} | columns


def test_the_response_of_sales_runs_until_somebody_gets_in_touch(connection: duckdb.DuckDBPyConnection) -> None:
    assert features_of(connection)["sales_response_hours"] == 50 * 24
    actions = [action("assigned", MINUTE), action("called", 30 * MINUTE), action("met", DAY)]
    assert features_of(connection, actions=actions)["sales_response_hours"] == 0.5
    unknown = [action("called", 30 * MINUTE, known_at=AS_OF + MINUTE)]
    assert features_of(connection, actions=unknown)["sales_response_hours"] == 50 * 24
    # Whoever called before the lead was entered was not late.
    assert features_of(connection, actions=[action("called", -DAY)])["sales_response_hours"] == 0


def test_what_sales_did_feeds_no_model_unless_asked_for() -> None:
    assert not build_catalogue(event_types=["page_view"]).needs("actions")
    assert CATALOGUE.needs("actions")
    assert all(feature.treatment == (feature.needs == "actions") for feature in CATALOGUE.features)


def test_days_since_inbound_look_at_what_asks_for_something(connection: duckdb.DuckDBPyConnection) -> None:
    log = [event(DAY), event(4 * DAY, type="demo_request")]
    assert features_of(connection, events=log)["days_since_inbound"] == 4


def test_ten_thousand_channels_of_the_future_change_no_touch_of_today(connection: duckdb.DuckDBPyConnection) -> None:
    log = [event(DAY, channel="social"), event(2 * DAY, channel="paid")]
    later = [event(-DAY - number * MINUTE, channel=f"a{number}") for number in range(10_000)]
    found = features_of(connection, events=log + later)
    assert (found["first_touch_channel"], found["last_touch_channel"]) == ("paid", "social")
