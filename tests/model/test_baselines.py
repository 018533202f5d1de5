"""The baselines of a small world computed by hand, what turns which light, and what is never green."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from data.clock import from_us
from data.errors import UsageError
from monitoring.baselines.definitions import PILLARS, Baseline, Baselines, load_baselines
from monitoring.baselines.figures import Figures, load_figures
from monitoring.baselines.judging import judge, trend_of
from monitoring.baselines.measures import MEASURES, Measured
from monitoring.baselines.periods import calendar_periods, equal_periods
from monitoring.baselines.report import BaselineReport, measure_baselines
from monitoring.baselines.table import baseline_table, funnel_table
from tests.commands import CommandLine
from tests.model.funnel_world import FunnelWorld, on

if TYPE_CHECKING:
    from pathlib import Path

UTC_ZONE = ZoneInfo("UTC")


def funnel() -> FunnelWorld:
    """Days count from a Monday. The judged period is the second fourth of a year: days 100 to 200, as of day 400."""
    world = FunnelWorld().account("A", 20).account("B", 150).account("C", 1)
    for at, (day, account) in enumerate([(101, "A"), (110, "B"), (120, "C"), (130, "B"), (10, None)]):
        world.lead(f"L{at}", day, source="ads" if at < 3 else "fair", person_id=f"p{at}", account_id=account)
    # MQL: L0, L1, L2, L3 in the period; within 24 h assigned: L0 (before), L1 (after 20 h); L2 after 30 h; L3 never.
    world.stage("L0", 105, "mql").stage("L1", 112, "mql").stage("L2", 121, "mql").stage("L3", 131, "mql")
    world.action("L0", 102, "assigned").action("L1", 112 + 20 / 24, "assigned").action("L2", 121 + 30 / 24, "assigned")
    # Of the three that were assigned two were accepted within 7 days.
    world.action("L0", 106, "accepted").action("L1", 114, "accepted").action("L2", 135, "accepted")
    # Called within 24 h of being MQL: L0.
    world.action("L0", 104, "called").action("L1", 119, "called")
    # SQL within 30 days: L0, L1; L2 after 40. Opportunity within 30 days of SQL: L0. Won within 90 days: L0.
    world.stage("L0", 115, "sql").stage("L1", 140, "sql").stage("L2", 161, "sql")
    world.stage("L0", 130, "opportunity").stage("L1", 185, "opportunity")
    world.ended("L0", 160, "won", amount=1000.5, currency="EUR").ended("L4", 170, "won", amount=500, currency="EUR")
    world.ended("L2", 190, "lost")
    # Pages: L0, L1, L2; white papers: L0. Mails opened: L0, L1; clicked: L1.
    world.event("L0", 101.5).event("L1", 111, type="content_view").event("L2", 121).event("L2", 122)
    world.event("L0", 103, type="whitepaper_download").event("L3", 132, type="whitepaper_download")
    world.event("L0", 140, type="email_open").event("L1", 141, type="email_open").event("L1", 141, type="email_click")
    world.paid(100, 200, impressions=10_000, clicks=150).paid(199, 100, impressions=5_000, clicks=50)
    return world.paid(150, 700, channel="fair").paid(200, 9999)  # the last one is the next period's


HAND = {
    "profile_refresh": (1, 3),  # 90 days before the end is day 110: only B was told since
    "download_rate": (1, 3),
    "interaction_rate": (1, 2),
    "handed_over_24h": (2, 5),  # L4 was won on day 170 without its stages, and has passed them
    "accepted": (2, 3),
    "first_response_24h": (1, 5),
    "click_rate": (200, 15_000),
    "click_to_mql": (3, 200),
    "mql_to_sql": (2, 4),
    "sql_to_opportunity": (1, 3),
    "opportunity_to_won": (2, 3),  # of the later period
}


def measured(
    world: FunnelWorld,
    *,
    figures: Figures | None = None,
    baselines: Baselines | None = None,
    count: int = 1,
    currency: str | None = None,
    since: float = 100,
    until: float = 200,
    as_of: float = 400,
) -> BaselineReport:
    with world.connected() as connection:
        return measure_baselines(
            connection,
            baselines or load_baselines(),
            figures or Figures(),
            equal_periods(on(since), on(until), on(as_of), count),
            zone=UTC_ZONE,
            currency=currency,
        )


def values(report: BaselineReport) -> dict[str, Measured]:
    return {row.baseline.name: row.measured for row in report.rows}


def test_a_fixture_computed_by_hand_equals_the_report_to_the_digit() -> None:
    found = values(measured(funnel()))
    # Waiting measures look at those who entered that much earlier: by 24 hours and 7 days nobody is lost here, by 30
    # days (70 to 170) L4, by 90 days (10 to 110) there is no opportunity.
    shares = {name: (one.hits, one.of) for name, one in found.items() if one.of is not None}
    assert shares == {name: told for name, told in HAND.items() if name != "opportunity_to_won"}
    assert all(found[name].value == hits / of for name, (hits, of) in HAND.items() if name in shares)
    assert found["opportunity_to_won"].missing == "no_rows"
    later = values(measured(funnel(), since=190, until=290))
    assert (later["opportunity_to_won"].hits, later["opportunity_to_won"].of) == HAND["opportunity_to_won"]
    assert found["cost_per_mql"].value == 1000 / 5 == 200.0
    assert found["roi"].value == 1500.5 / 1000
    # L4 came by a fair and was won in the period: 500 for 700; the ads won 1000.5 for 300.
    assert found["efficient_spend"].value == 300 / 1000
    assert found["efficient_spend"].detail == (("ads", 1000.5 / 300), ("fair", 500 / 700))
    assert found["attendance_rate"].missing == "no_such_log"


def test_the_funnel_tells_every_step_with_its_rate() -> None:
    steps = measured(funnel()).funnel.steps
    counts = {step.name: step.count for step in steps}
    won = {"lead": 4, "mql": 5, "sql": 4, "opportunity": 3, "won": 2}  # L4 became a lead before the period
    assert counts == {"exposure": 15_000, "click": 200, **won, "amount": None}
    assert [step.rate for step in steps[1:-1]] == [200 / 15_000, 4 / 200, 5 / 4, 4 / 5, 3 / 4, 2 / 3]
    assert steps[-1].amounts == (("EUR", 150_050),)


def test_whoever_was_won_without_its_stages_has_passed_them() -> None:
    world = FunnelWorld().lead("L1", 110, source="ads").ended("L1", 120, "won", amount=1, currency="EUR")
    counts = {step.name: step.count for step in measured(world).funnel.steps}
    assert [counts[name] for name in ("mql", "sql", "opportunity", "won")] == [1, 1, 1, 1]


def test_two_records_of_one_person_are_one_lead_of_the_funnel() -> None:
    world = funnel().lead("L9", 103, source="fair", person_id="p0").stage("L9", 106, "mql")
    assert {step.name: step.count for step in measured(world).funnel.steps}["mql"] == 5
    assert values(measured(world))["handed_over_24h"].of == 5


def test_what_was_not_known_at_as_of_is_not_counted() -> None:
    world = funnel().stage("L3", 133, "sql")
    world.tables["stages"][-1]["known_at"] = on(300)
    assert values(measured(world, as_of=250))["mql_to_sql"].hits == 2
    assert values(measured(world, as_of=350))["mql_to_sql"].hits == 3


def test_every_pillar_of_the_default_has_baselines_with_words_owner_and_threshold() -> None:
    told = load_baselines().baselines
    assert {one.pillar for one in told} == set(PILLARS)
    assert [one.pillar for one in told] == sorted((one.pillar for one in told), key=list(PILLARS).index)
    assert {one.measure for one in told} == {"entered", *MEASURES}
    for one in told:
        assert all((one.words.en, one.words.zh, one.definition.en, one.definition.zh, one.owner))


@pytest.mark.parametrize(
    ("name", "threshold"),
    [
        *(
            ("profile_accuracy", 0.85),
            ("insight_conversion", 0.30),
            ("content_coverage", 0.90),
            ("download_rate", 0.02),
        ),
        *(("handed_over_24h", 0.98), ("accepted", 0.70), ("roi", 3.0), ("ab_coverage", 0.50)),
    ],
)
def test_the_agreed_thresholds_are_the_default(name: str, threshold: float) -> None:
    assert load_baselines().baseline(name).at_least == threshold


def test_nothing_that_the_data_cannot_tell_is_green() -> None:
    report = measured(FunnelWorld())
    assert {row.light for row in report.rows} == {"not_measured"}
    assert {row.trend for row in report.rows} == {None}
    assert all(row.measured.missing for row in report.rows)
    without = FunnelWorld().lead("L1", 110, source="ads").stage("L1", 120, "mql")
    found = {row.baseline.name: row for row in measured(without).rows}
    for name in ("handed_over_24h", "accepted", "first_response_24h"):
        assert (found[name].light, found[name].measured.missing) == ("not_measured", "no_such_log")


def test_several_currencies_are_not_measured_until_rates_are_entered() -> None:
    world = funnel().paid(120, 100, currency="USD", channel="social")
    apart = values(measured(world))
    assert [apart[name].missing for name in ("cost_per_mql", "roi", "efficient_spend")] == ["currencies"] * 3
    figures = Figures.model_validate(
        {"rates": [{"currency": "USD", "in": "EUR", "worth": "0.9", "at": "2026-03-02", "owner": "finance"}]}
    )
    together = values(measured(world, figures=figures, currency="EUR"))
    assert together["roi"].value == 1500.5 / 1090
    # A rate that was entered only after the period does not reach back.
    late = figures.model_copy(update={"rates": (figures.rates[0].model_copy(update={"at": on(300).date()}),)})
    assert values(measured(world, figures=late, currency="EUR"))["roi"].missing == "currencies"


def entered(**figure: Any) -> Figures:
    told = {"baseline": "profile_accuracy", "at": on(150).date(), "value": 0.9, "owner": "Kim"} | figure
    return Figures.model_validate({"figures": [told]})


@pytest.mark.parametrize(
    ("figure", "light"),
    [
        ({}, "green"),
        ({"value": 0.8}, "amber"),  # within a tenth of 0.85
        ({"value": 0.7}, "red"),
        ({"of": 20}, "amber"),  # 18 of 20: nobody can say
        ({"of": 2000}, "green"),
        ({"at": on(90).date()}, "not_measured"),  # valid for 100 days
        ({"at": on(200).date()}, "not_measured"),  # after the period
    ],
)
def test_an_entered_figure_holds_from_its_day_until_it_is_too_old(figure: dict[str, Any], light: str) -> None:
    rows = {row.baseline.name: row for row in measured(funnel(), figures=entered(**figure)).rows}
    assert rows["profile_accuracy"].light == light
    if light != "not_measured":
        assert rows["profile_accuracy"].owner == "Kim"


def test_a_figure_that_stands_for_several_periods_makes_no_trend() -> None:
    rows = {
        row.baseline.name: row
        for row in measured(funnel(), figures=entered(at=on(170).date()), count=3, since=180).rows
    }
    assert [point.measured.value for point in rows["profile_accuracy"].points] == [None, 0.9, 0.9]
    assert rows["profile_accuracy"].trend is None


def test_a_figure_for_a_baseline_that_is_not_entered_is_refused() -> None:
    with pytest.raises(UsageError, match="roi"):
        measured(funnel(), figures=entered(baseline="roi"))


def ceiling() -> Baseline:
    return load_baselines().baseline("cost_per_mql")


@pytest.mark.parametrize(("value", "light"), [(300.0, "green"), (330.0, "amber"), (331.0, "red")])
def test_a_ceiling_is_green_below_amber_near_and_red_beyond(value: float, light: str) -> None:
    assert judge(ceiling(), Measured(value)) == light


def test_a_share_is_amber_wherever_chance_may_have_put_it_on_the_other_side() -> None:
    floor = load_baselines().baseline("handed_over_24h")
    assert judge(floor, Measured.share(10, 10)) == "amber"
    assert judge(floor, Measured.share(1000, 1000)) == "green"
    assert judge(floor, Measured.share(90, 100)) == "red"


def test_a_trend_is_a_difference_that_chance_does_not_explain() -> None:
    share, cost = load_baselines().baseline("accepted"), ceiling()
    even, high = Measured.share(60, 100), Measured.share(80, 100)
    assert [trend_of(share, told) for told in ([even, even, high], [high, high, even], [even, even], [even])] == [
        *("better", "worse", "steady", None),
    ]
    numbers = [Measured(200.0), Measured(None, missing="no_rows"), Measured(210.0)]
    assert trend_of(cost, [*numbers, Measured(100.0)]) == "better"
    assert trend_of(cost, [*numbers, Measured(300.0)]) == "worse"
    assert trend_of(cost, [*numbers, Measured(206.0)]) == "steady"
    assert trend_of(cost, [*numbers, Measured(None, missing="no_rows")]) is None


def test_chance_alone_rarely_lights_up() -> None:
    """At the threshold itself green and red may each come up in about one of twenty periods, by the 90 % interval."""
    import numpy as np

    floor = load_baselines().baseline("accepted")
    hits = np.random.default_rng(5).binomial(80, 0.70, 4000)
    lights = [judge(floor, Measured.share(int(one), 80)) for one in hits]
    assert 0.02 < lights.count("green") / 4000 < 0.08
    assert 0.02 < lights.count("red") / 4000 < 0.08


def test_weeks_begin_on_monday_and_months_on_the_first_in_the_teams_zone() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    as_of = datetime(2026, 3, 4, 18, tzinfo=UTC)  # Thursday there already
    (week,) = calendar_periods(as_of, "week", 1, shanghai)
    assert [from_us(us).isoformat() for us in (week.since_us, week.until_us)] == [
        "2026-02-22T16:00:00+00:00",
        "2026-03-01T16:00:00+00:00",
    ]
    new_york = calendar_periods(datetime(2026, 4, 2, tzinfo=UTC), "month", 2, ZoneInfo("America/New_York"))
    # The clock went forward in March: the month begins at five and ends at four.
    assert [from_us(p.since_us).hour for p in new_york] == [5, 5]
    assert from_us(new_york[-1].until_us).hour == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"at_most": 1}, "exactly one of at_least and at_most"),
        ({"measure": "drop table"}, "measure 'drop table' is unknown"),
        ({"pillar": "luck"}, "pillar"),
        ({"treshold": 1}, "treshold"),
    ],
)
def test_a_wrong_definition_is_refused_with_its_key(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    one = load_baselines().baseline("accepted").model_dump(exclude_none=True) | change
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps({"baselines": [one]}), encoding="utf-8")
    with pytest.raises(UsageError, match="mine") as caught:
        load_baselines(file)
    assert message in str(caught.value)


def test_two_baselines_of_one_name_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    one = load_baselines().baseline("accepted").model_dump(exclude_none=True)
    (tmp_path / "twice.yaml").write_text(json.dumps({"baselines": [one, one]}), encoding="utf-8")
    with pytest.raises(UsageError, match="accepted stands twice"):
        load_baselines(tmp_path / "twice.yaml")
    with pytest.raises(UsageError, match="there is no file"):
        load_baselines(tmp_path / "nothing.yaml")
    assert load_figures(tmp_path / "nothing.yaml") == Figures()


def test_the_report_is_json_and_tables_in_both_languages() -> None:
    report = measured(funnel(), count=2)
    told = json.loads(json.dumps(report.as_dict()))
    assert sum(told["counts"].values()) == len(told["baselines"]) == len(load_baselines().baselines)
    accepted = next(one for one in told["baselines"] if one["name"] == "accepted")
    assert (accepted["hits"], accepted["of"], len(accepted["history"])) == (2, 3, 2)
    for language, title in (("en", "Market-to-lead baselines"), ("zh", "市场到线索基线")):
        table = baseline_table(report, language=language)  # type: ignore[arg-type]
        assert title in str(table.title)
        assert table.row_count == len(report.rows) + len(PILLARS)
        assert funnel_table(report, language=language).row_count == 8  # type: ignore[arg-type]


def test_the_commands_answer_on_a_simulated_team(tmp_path: Path) -> None:
    clew = CommandLine(tmp_path)
    assert clew("simulate", "--leads", 400, "--months", 4).code == 0
    assert clew("import", "var/simulated/export", "--mapping", "var/simulated/export/mapping.yaml").code == 0
    as_of = ("--as-of", "2026-11-01")
    ran = clew("attribution", *as_of, "--json")
    told = json.loads(ran.out)
    won = sum(line["models"]["shapley"]["wins"] for line in told["lines"]["keyword"])
    assert won == pytest.approx(told["totals"]["wins"])
    assert told["totals"]["wins"] > 2
    assert json.loads(clew("baselines", *as_of, "--json").out)["counts"]["not_measured"] > 0
    assert "市场洞察" in clew("baselines", *as_of, "--language", "zh", width=160).err
    assert "渠道" in clew("attribution", *as_of, "--language", "zh", "--top", 3, width=200).err
    assert "handed_over_24h" in clew("baselines", "--measures").err
    wrong = clew("baselines", *as_of, "--since", "2026-09-01")
    assert (wrong.code, "--since and --until" in wrong.err) == (2, True)
