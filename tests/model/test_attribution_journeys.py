"""Which touches count for whom: persons, windows, visits, and nothing that was not known; and what it all cost."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.clock import from_us, to_us
from data.errors import DataError, UsageError
from monitoring.attribution.credit import WIN
from monitoring.attribution.journeys import Journey, Period, Touch, read_journeys
from monitoring.attribution.report import DIMENSIONS, MODELS, Attribution, Options, attribute
from monitoring.attribution.spend import Counts, Rates
from monitoring.attribution.table import money, money_table, notes, wins_table
from tests.model.funnel_world import FunnelWorld, on
from tests.reference.worlds import World, connect, load, worlds, worlds_profile


def period(until: float = 100, *, as_of: float | None = None, since: float = -1000) -> Period:
    return Period.of(on(since), on(until), on(until if as_of is None else as_of))


def journeys(world: FunnelWorld, asked: Period | None = None, **options: object) -> dict[str, Journey]:
    with world.connected() as connection:
        return {one.who: one for one in read_journeys(connection, asked or period(), **options)}  # type: ignore[arg-type]


def names(journey: Journey) -> list[str]:
    return ["/".join(part for part in touch if part) for touch in journey.touches]


def sold() -> FunnelWorld:
    """One person: an ad for a keyword, two pages in one visit, a mail, a page a day later, a win on day 20."""
    return (
        FunnelWorld()
        .lead("L1", 0, source="ads", campaign="spring", keyword="crm", person_id="p", account_id="A")
        .event("L1", 1, channel="web")
        .event("L1", 1.01, channel="web")
        .event("L1", 2, channel="email", campaign="news", type="email_click")
        .event("L1", 3, channel="web")
        .event("L1", 3.5)  # names nothing and is no touch
        .event("L1", 25, channel="web")  # after the win
        .ended("L1", 20, "won", amount=1000.25, currency="EUR")
    )


def test_a_journey_is_the_origin_of_the_lead_and_its_visits_before_the_win() -> None:
    one = journeys(sold())["L1"]
    assert names(one) == ["ads/spring/crm", "web", "email/news", "web"]
    assert (one.won, one.amount, one.currency) == (True, 100_025, "EUR")


@pytest.mark.parametrize(("days", "count"), [(17.5, 1), (18.5, 2), (19.5, 3), (20.5, 4)])
def test_a_touch_before_the_window_does_not_count(days: float, count: int) -> None:
    assert len(journeys(sold(), window_days=days)["L1"].touches) == count


def test_an_event_that_became_known_later_counts_only_then() -> None:
    world = sold().event("L1", 4, known=50, channel="fair")
    assert "fair" not in names(journeys(world, period(40))["L1"])
    assert "fair" in names(journeys(world, period(40, as_of=60))["L1"])


def test_a_win_that_nobody_knew_of_yet_is_no_win() -> None:
    world = FunnelWorld().lead("L1", 0, source="ads").ended("L1", 10, "won", known=30, amount=1, currency="EUR")
    assert not journeys(world, period(20))["L1"].won
    assert journeys(world, period(20, as_of=30))["L1"].won


def test_two_records_of_one_person_are_one_journey_and_one_win() -> None:
    world = (
        sold()
        .lead("L2", 5, source="fair", person_id="p", account_id="A")
        .event("L2", 6, channel="chat")
        .ended("L2", 21, "won", amount=1000.25, currency="EUR")  # the same deal, entered twice
    )
    found = journeys(world)
    assert set(found) == {"L1"}
    assert names(found["L1"]) == ["ads/spring/crm", "web", "email/news", "web", "fair", "chat"]


def test_a_corrected_outcome_takes_the_win_and_its_amount_back() -> None:
    changed = sold().ended("L1", 20, "won", known=22, amount=500.0, currency="EUR")
    assert journeys(changed)["L1"].amount == 50_000
    back = sold().ended("L1", 22, "lost", known=22)
    assert not journeys(back)["L1"].won


def test_touches_of_colleagues_count_where_the_account_is_asked_for() -> None:
    world = sold().lead("L3", 4, source="referral", person_id="q", account_id="A").event("L3", 5, channel="chat")
    world.lead("L4", 4, source="partner", person_id="r", account_id="B")
    assert names(journeys(world, unit="account")["L1"])[-2:] == ["referral", "chat"]
    assert "partner" not in names(journeys(world, unit="account")["L1"])
    assert "referral" not in names(journeys(world)["L1"])
    assert [one.won for one in journeys(world, unit="account").values()] == [True, False, False]


def test_only_ends_inside_the_period_count_and_the_open_ones_at_its_end() -> None:
    world = sold().lead("L5", 0, source="fair").ended("L5", 3, "lost").lead("L6", 0, source="fair")
    assert set(journeys(world, period(100, since=10))) == {"L1", "L6"}
    assert set(journeys(world, period(20, since=1))) == {"L5", "L6"} | {"L1"}
    assert not journeys(world, period(20, since=1))["L1"].won
    assert set(journeys(world, period(100, since=50))) == {"L6"}


def test_the_first_origin_that_was_told_counts_and_not_what_overwrote_it() -> None:
    world = FunnelWorld().lead("L1", 0, source="ads").ended("L1", 9, "won")
    world.tables["leads"].append({**world.tables["leads"][0], "source": "sales", "known_at": on(5)})
    assert names(journeys(world)["L1"]) == ["ads"]
    unknown = FunnelWorld().lead("L1", 0).ended("L1", 9, "won")
    assert names(journeys(unknown)["L1"]) == ["unknown"]


@worlds_profile(few=8, many=100)
@given(worlds(), st.data())
def test_a_future_fact_never_changes_a_journey(world: World, data: st.DataObject) -> None:
    as_of = data.draw(st.sampled_from(world.as_ofs))
    asked = Period(0, to_us(as_of), to_us(as_of))
    known = {name: [row for row in rows if row["known_at"] <= as_of] for name, rows in world.tables.items()}
    with connect() as connection:
        now = read_journeys(load(connection, known), asked)
        assert read_journeys(load(connection, world.tables), asked) == now
    assert all(one.touches == () or one.touches[0].channel for one in now)


def attributed(world: FunnelWorld, asked: Period | None = None, **options: object) -> Attribution:
    with world.connected() as connection:
        return attribute(connection, asked or period(), Options(**options))  # type: ignore[arg-type]


def funded() -> FunnelWorld:
    world = sold().stage("L1", 5, "sql").lead("L7", 1, source="ads", campaign="spring", keyword="crm")
    world.paid(0, 60, campaign="spring", keyword="crm", impressions=900, clicks=10)
    world.paid(0, 50, campaign="spring", keyword="crm", impressions=900, clicks=9, known=8)  # corrected
    return world.paid(1, 150.5, campaign="autumn").paid(2, 99, channel="fair", known=200)  # not known yet


def test_costs_leads_and_wins_meet_on_one_line_computed_by_hand() -> None:
    report = attributed(funded())
    (line,) = (one for one in report.lines["all"] if one.key == ("ads", "spring", "crm"))
    assert (line.counts, line.spent.cost, line.spent.clicks) == (Counts(leads=2, mqls=1), {"EUR": 5000}, 9)
    assert line.wins("first_touch") == 1.0
    assert line.wins("linear") == 0.25
    assert line.amounts("linear") == {"EUR": 250.07}  # 1000.25 / 4 is 250.0625: the first touch takes the odd cent
    assert line.cost_per(line.counts.leads) == {"EUR": 25.0}
    assert line.cost_per(line.wins("linear")) == {"EUR": 200.0}
    assert line.roi("first_touch") == pytest.approx(1000.25 / 50)
    unwon = next(one for one in report.lines["campaign"] if one.key == ("autumn",))
    assert (unwon.spent.cost, unwon.wins("linear"), unwon.roi("linear")) == ({"EUR": 15050}, 0.0, 0.0)
    assert unwon.cost_per(unwon.wins("linear")) is None
    before = attributed(funded(), period(7, as_of=7))
    assert next(one for one in before.lines["keyword"] if one.key == ("crm",)).spent.cost == {"EUR": 6000}


def test_every_dimension_adds_up_to_the_same_wins_amounts_costs_and_leads() -> None:
    report = attributed(funded().lead("L8", 1, source="ads").ended("L8", 9, "won", amount=7, currency="USD"))
    for dimension in DIMENSIONS:
        lines = report.lines[dimension]
        for model in MODELS:
            assert sum(line.credit[model].wins for line in lines) == report.totals.wins * WIN == 2 * WIN
            for currency, cents in {"EUR": 100_025, "USD": 700}.items():
                assert sum(line.credit[model].amounts.get(currency, 0) for line in lines) == cents
        assert sum(line.counts.leads for line in lines) == 3
        assert sum(line.spent.cost.get("EUR", 0) for line in lines) == 20_050
    assert report.total.counts.leads == 3


def test_currencies_are_never_mixed_unless_somebody_entered_what_they_are_worth() -> None:
    world = funded().lead("L8", 1, source="ads").ended("L8", 9, "won", amount=7, currency="USD")
    apart = attributed(world)
    assert apart.lines["channel"][0].roi("linear") is None
    assert apart.currencies == ("EUR", "USD")
    assert "EUR, USD" in notes(apart)[0]
    together = attributed(world, rates=Rates("EUR", {"USD": Decimal("0.9")}))
    assert together.totals.amounts == {"EUR": 100_025 + 630}
    assert together.total.roi("linear") == pytest.approx(1006.55 / 200.5)
    with pytest.raises(DataError, match="no rate from USD to EUR"):
        attributed(world, rates=Rates("EUR", {}))


def test_channels_that_count_only_alone_get_nothing_beside_others_and_all_where_nothing_else_touched() -> None:
    world = sold().lead("L9", 0, source="web").ended("L9", 9, "won")
    report = attributed(world, without=frozenset({"web"}))
    won = {line.key[0]: line.wins("linear") for line in report.lines["channel"] if line.wins("linear")}
    assert won == {"ads": 0.5, "email": 0.5, "web": 1.0}


def test_a_win_without_a_touch_in_the_window_is_told_and_never_dropped() -> None:
    report = attributed(sold(), window_days=1)
    assert {line.key: line.wins("shapley") for line in report.lines["channel"]}["none",] == 1.0
    assert report.totals.wins_without_touch == 1
    assert len(notes(report)) == 2  # this, and that nothing was spent


def test_the_report_is_json_and_a_table_in_both_languages() -> None:
    report = attributed(funded())
    told = json.loads(json.dumps(report.as_dict()))
    assert told["totals"]["wins"] == 1
    assert told["lines"]["channel"][0]["models"]["linear"]["wins"] > 0
    assert told["until"] == from_us(report.period.until_us).isoformat().replace("+00:00", "Z")
    for table in (wins_table, money_table):
        english, chinese = (table(report, "all", language=language, top=1) for language in ("en", "zh"))
        assert (english.columns[0].header, chinese.columns[0].header) == ("channel", "渠道")
        assert (english.row_count, str(english.caption)[:6]) == (2, "3 more")
    assert money({"EUR": 1.6}) == "EUR 2"


def test_an_empty_warehouse_gives_an_empty_report() -> None:
    report = attributed(FunnelWorld())
    assert (report.totals.wins, report.lines["channel"], report.total.roi("linear")) == (0, (), None)


@pytest.mark.parametrize("options", [{"window_days": 0.0}, {"landmark_days": float("nan")}, {"unit": "company"}])
def test_wrong_options_are_refused_by_name(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="--"):
        attributed(sold(), None, **options)


def test_a_period_that_ends_before_it_begins_or_after_what_is_known_is_refused() -> None:
    with pytest.raises(UsageError, match="--since"):
        period(1, since=2)
    with pytest.raises(UsageError, match="--until"):
        period(5, as_of=4)


def test_a_touch_is_told_by_three_names() -> None:
    assert Touch("web") == ("web", "", "")
