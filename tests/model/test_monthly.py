"""The manager's page: its figures are those of the months, it says what is not measured, and speaks two languages."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from typer.testing import CliRunner

from clew import application
from data.clock import parse_moment, to_us
from data.errors import UsageError
from data.importing import import_export
from data.mapping import load_mapping
from data.simulator import simulate
from data.warehouse import Warehouse
from features.sql import only_row
from features.words import LANGUAGES, Words
from monitoring.baselines.definitions import load_baselines
from monitoring.baselines.measures import Measured
from monitoring.baselines.report import Point, Row
from monitoring.drift.finding import Finding
from monitoring.monthly.advice import what_to_do
from monitoring.monthly.disagreed import measure_disagreement
from monitoring.monthly.driving import bundle_of
from monitoring.monthly.month import months_of
from monitoring.monthly.page import monthly_page
from monitoring.monthly.report import FunnelLine, collect_month
from monitoring.monthly.words import MONTHLY, RIGHT
from monitoring.record.given import Given
from monitoring.record.outcomes import Outcomes
from monitoring.trigger import Call
from tests.model.pages import expect_both_languages, expect_self_contained, text_of
from tests.model.reported import bundle_in, month_told
from tests.model.watched import settings_of, write_promises

if TYPE_CHECKING:
    from pathlib import Path

    from features.words import Language
    from monitoring.drift.finding import Kind, Severity

END = parse_moment("2026-11-01")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A team with a warehouse, without a model and without a store."""
    folder = tmp_path_factory.mktemp("month")
    report = simulate(leads=900, seed=4, out=folder, end=END, months=12)
    import_export(report.export, load_mapping(report.export / "mapping.yaml"), Warehouse(folder / "warehouse"), now=END)
    return folder


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_figures_on_the_page_are_those_worked_out_by_hand(language: Language) -> None:
    page = monthly_page(month_told(), language=language)
    expect_self_contained(page)
    text = text_of(page)
    # 80 leads were promised a quarter: 20 wins, of which 11 came.
    assert "55 %" in text
    assert ("11 won, 20 promised, 2 lists" if language == "en" else "赢单 11，承诺 20，2 张名单") in text
    # Wilson's interval of 1 of 40 is 0.4 to 12.9 %, which a quarter lies outside; that of 10 of 40 holds it.
    assert ("2.5 % ✗ 1 of 40 · 0.4 % to 13 %" if language == "en" else "2.5 % ✗ 1 / 40 · 0.4 % 至 13 %") in text
    assert len(re.findall("✗ (?=1 )", text)) == 1
    assert ("lead 100 130 +30 % · more" if language == "en" else "线索 100 130 +30 % · 增加") in text
    assert ("MQL 50 52 +4 % · within chance" if language == "en" else "MQL 50 52 +4 % · 在偶然范围内") in text
    assert "8,000 12,000 +50 %" in text
    assert "75 %" in text  # 15 of 20 hot leads in time
    assert "+20" in text  # percentage points between 25 and 5 %
    assert MONTHLY["title"].in_language(language).format(month="2026-10") in text


def test_what_comes_from_the_data_is_no_markup_and_commands_are_set_as_code() -> None:
    page = monthly_page(month_told())
    assert "leads.source &lt;web&gt;" in page
    assert "<web>" not in page
    assert "<code>values</code>" in page


def test_in_chinese_nothing_is_left_in_english() -> None:
    text = text_of(monthly_page(month_told(), language="zh"))
    words = {word.lower() for word in re.findall(r"[A-Za-z]{2,}", text)}
    assert words <= {"mql", "sql", "eur", "leads", "source", "web", "lt", "gt", "webinar", "event", "values", "odoo"}


def test_each_part_that_is_missing_says_why() -> None:
    why = Words(en="because of nothing", zh="没有原因")
    bare = replace(
        month_told(),
        promises=(),
        worked=None,
        driving=None,
        disagreed=None,
        advice=(),
        missing=dict.fromkeys(("promises", "worked", "drivers", "disagreed"), why),
    )
    for language in LANGUAGES:
        page = monthly_page(bare, language=language)
        expect_self_contained(page)
        told = MONTHLY["not_measured"].in_language(language).format(why=why.in_language(language))
        assert text_of(page).count(told) == 4
        assert MONTHLY["advice_none"].in_language(language) in text_of(page)


def test_the_words_exist_in_both_languages() -> None:
    expect_both_languages(MONTHLY, alike=frozenset({"of_hot", "cell_of"}))
    expect_both_languages(RIGHT)


def test_the_last_whole_month_is_told_and_one_that_is_not_over_is_refused() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    # In Shanghai October begins eight hours earlier than in UTC and is over by then.
    found = months_of(parse_moment("2026-10-31T17:00:00Z"), None, zone)
    assert (found.name_before, found.name) == ("2026-09", "2026-10")
    assert found.told.since_us == to_us(parse_moment("2026-09-30T16:00:00Z"))
    assert months_of(END, "2026-03", zone).name == "2026-03"
    for name in ("2026-11", "2026-13", "October"):
        with pytest.raises(UsageError, match="--month"):
            months_of(END, name, zone)


def given_of(points: list[float], p: list[float], months: list[str]) -> Given:
    count = len(p)
    texts = {"lead_id": [f"l{k}" for k in range(count)], "month": months, "grade": ["A"] * count}
    columns = {name: np.array(values, object) for name, values in texts.items()}
    return Given(
        as_of_us=np.zeros(count, np.int64),
        probability=np.array(p),
        source=np.array(["model"] * count, object),
        bundle=np.array(["sha256:x"] * count, object),
        points=np.array(points),
        hot=(),
        left_out=0,
        **columns,
    )


def test_disagreements_are_counted_on_matured_lists_and_open_on_this_months() -> None:
    # On each list model and rules call one of three leads, and never the same one.
    months = ["2026-07"] * 3 + ["2026-10"] * 3
    given = given_of([90, 10, 5] * 2, [0.1, 0.8, 0.05] * 2, months)
    mature = np.array([True] * 3 + [False] * 3)
    outcomes = Outcomes(np.ones(6, bool), mature, np.array([0, 1, 0, 0, 0, 0]), given.lead_id)
    found = measure_disagreement(given, outcomes, month="2026-10", capacity=1, rng=np.random.default_rng(0))
    assert found is not None
    assert (found.lists, found.now_model, found.now_rules) == (1, 1, 1)
    assert (found.model.rows, found.model.wins, found.rules.rows, found.rules.wins) == (1, 1, 1, 0)
    assert found.right == "few"
    # Where nothing has matured there is nobody to be right.
    young = replace(outcomes, mature=np.zeros(6, bool))
    none = measure_disagreement(given, young, month="2026-10", capacity=1, rng=np.random.default_rng(0))
    assert none is not None
    assert (none.lists, none.gap, none.right) == (0, None, "few")


def test_a_side_that_wins_more_often_beyond_chance_is_said_to_be_right() -> None:
    months = [f"2026-0{k}" for k in range(1, 8) for _ in range(40)]
    points, p = ([1.0] * 10 + [0.0] * 30) * 7, ([0.0] * 10 + [0.9] * 10 + [0.1] * 20) * 7
    given = given_of(points, p, months)
    for won, right in (([0] * 10 + [1] * 8 + [0] * 22, "model"), ([1] * 8 + [0] * 32, "rules"), ([0] * 40, "neither")):
        outcomes = Outcomes(np.ones(280, bool), np.ones(280, bool), np.array(won * 7), given.lead_id)
        found = measure_disagreement(given, outcomes, month="2026-07", capacity=10, rng=np.random.default_rng(0))
        assert found is not None
        assert found.right == right
        assert (found.model.rows, found.rules.rows) == (70, 70)


def found_of(kind: Kind, subject: str = "x", severity: Severity = "act") -> Finding:
    return Finding(kind, subject, severity, Words(en="seen", zh="所见"))


def red(name: str, value: float, *, trend: str = "steady") -> Row:
    return Row(load_baselines().baseline(name), "red", trend, (Point(0, 1, Measured(value)),), "sales")  # type: ignore[arg-type]


def test_broken_data_come_first_and_three_things_at_most_are_asked_for() -> None:
    findings = [found_of("volume_moved", severity="watch"), found_of("promise_broken"), found_of("field_emptied")]
    told = what_to_do(findings, [red("accepted", 0.2), red("first_response_24h", 0.1)], None)
    assert [one.why.en.split(" (")[0] for one in told[:2]] == [
        "a field has gone empty",
        "promises and outcomes differ",
    ]
    assert len(told) == 3


def test_one_cause_fills_no_page_and_red_baselines_are_ranked_by_what_got_worse() -> None:
    gone = [found_of("source_stopped", f"leads.source: {name}") for name in "abcd"]
    near, far = red("accepted", 0.6), red("first_response_24h", 0.1)
    told = what_to_do(gone, [near, far], None)
    assert [one.owner for one in told] == ["", "sales", "sales"]
    assert "10 %, at least 90 % was agreed" in told[1].why.en
    worse = what_to_do([], [far, replace(near, trend="worse")], None)
    assert worse[0].why.en.endswith("and it got worse")
    due = Call("retrain", Words(en="a month is over", zh="已满一个月"))
    assert "clew monitor --act" in what_to_do([], [], due)[0].what.en
    assert what_to_do([], [], Call("none", Words(en="x", zh="x"))) == ()


def test_the_bundle_of_a_month_is_the_one_that_gave_most_of_its_scores(tmp_path: Path) -> None:
    bundle = bundle_in(tmp_path / "bundle")
    given = given_of([1.0] * 3, [0.5] * 3, ["2026-10"] * 3)
    served = replace(given, bundle=np.array([bundle.digest, bundle.digest, "sha256:gone"], object))
    assert bundle_of(served, "2026-10", tmp_path, bundle) is bundle
    assert bundle_of(None, "2026-10", tmp_path, None) is None
    # One that was deleted since cannot be asked.
    assert bundle_of(given, "2026-10", tmp_path, bundle) is bundle


def test_without_a_store_and_a_model_the_funnel_is_told_and_the_rest_says_why(home: Path) -> None:
    settings = settings_of(home)
    report = collect_month(settings, as_of=END)
    assert (report.month, report.month_before) == ("2026-10", "2026-09")
    assert set(report.missing) == {"promises", "worked", "drivers", "disagreed"}
    with Warehouse(settings.warehouse_dir).connect() as connection:
        came, won = only_row(
            connection,
            """
            WITH born AS (
                SELECT COALESCE(person_id, lead_id) AS person, MIN(created_at) AS since FROM leads GROUP BY person)
            SELECT (SELECT COUNT(*) FROM born WHERE since >= '2026-10-01'),
                   (SELECT COUNT(DISTINCT COALESCE(l.person_id, l.lead_id)) FROM outcomes AS o
                    JOIN leads AS l ON l.lead_id = o.lead_id
                    WHERE o.outcome = 'won' AND o.closed_at >= '2026-10-01' AND o.known_at <= '2026-11-01')
            """,
        )
    leads, wins = report.line("lead").now, report.line("won").now
    # Some know a person by more than that: leads that were merged count with the one they were merged into.
    assert leads is not None
    assert 0 <= came - leads <= 0.1 * came
    assert wins == won > 0
    for language in LANGUAGES:
        expect_self_contained(monthly_page(report, language=language))


@pytest.fixture(scope="module")
def scored(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same team with a store of its own in which scores were given every month."""
    folder = tmp_path_factory.mktemp("scored")
    (folder / "warehouse").symlink_to(home / "warehouse")
    write_promises(settings_of(folder), home / "truth", months=("2026-04-01", "2026-10-01"))
    return folder


def test_only_lists_that_have_matured_are_told_and_agree_with_the_record(scored: Path) -> None:
    report = collect_month(settings_of(scored), as_of=END)
    months = {one.month for one in report.promises}
    # 90 days and the delay of entering outcomes reach back to the list of July at the latest.
    assert {"2026-04", "2026-05", "2026-06"} <= months
    assert not months & {"2026-09", "2026-10"}
    rows, promised, wins = report.matured
    assert rows == sum(one.mature for one in report.promises)
    # The promises are the simulator's own probabilities: about as many wins came.
    assert abs(wins - promised) < 4 * promised**0.5
    assert report.disagreed is not None
    assert report.disagreed.lists == len(months)
    assert "promises" not in report.missing
    earlier = collect_month(settings_of(scored), as_of=END, month="2026-05")
    assert max(one.month for one in earlier.promises) == "2026-05"
    text = text_of(monthly_page(report))
    for one in report.promises:
        assert f"{one.wins} of {one.mature:,} · " in text


def test_the_command_leaves_both_pages_and_tells_the_same_as_json(
    scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("HOME", scored), ("MLRUNS", scored / "mlruns"), ("QUERY_THREADS", 1)):
        monkeypatch.setenv(f"CLEW_{name}", str(value))
    asked = ["monthly", "--as-of", "2026-11-01", "--language", "zh", "--output", str(tmp_path / "mine.html"), "--json"]
    result = CliRunner().invoke(application(), asked)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["month"] == "2026-10"
    for language in LANGUAGES:
        page = (scored / "monitoring" / f"monthly-2026-10.{language}.html").read_text("utf-8")
        assert f'lang="{language}"' in page
    assert (tmp_path / "mine.html").read_text("utf-8") == page
    assert told["pages"]["zh"].endswith("monthly-2026-10.zh.html")
    refused = CliRunner().invoke(application(), ["monthly", "--output", "page.pdf"])
    assert isinstance(refused.exception, UsageError)


def test_counts_that_chance_explains_are_not_called_a_change() -> None:
    assert FunnelLine("won", 12, 8).moved is False
    assert FunnelLine("exposure", 165_982, 113_064).moved is True
    assert FunnelLine("exposure", None, 5).moved is None
