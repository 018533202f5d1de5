"""Leaks of many kinds are found and honest columns are cleared, over several seeds."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from data.clock import parse_moment
from data.errors import DataError
from tests.model.leaky import find, honest, leaks, team
from training.leaks.command import show_report
from training.leaks.finder import LeakReport, refuse_leaks
from training.leaks.page import render_leakage_page
from training.leaks.verdicts import Judged

SEEDS = range(6)
# Known without any open lead: impossible values, or too good. The others only show beside today's leads.
ALONE = {
    "lost_reason",
    "segment_of_deal",
    "status",
    "crm_probability",
    "owner",
    "owner_often",
    "customer_number",
    "record_number",
    "target_with_noise",
    "target_with_gaps",
    "final_stage",
    "invoiced",
}


@pytest.fixture(scope="module")
def reports() -> list[LeakReport]:
    teams = [team(4000, seed=seed) for seed in SEEDS]
    return [find(one, {**leaks(one), **honest(one)}) for one in teams]


def test_every_kind_of_leak_is_found_on_most_teams(reports: list[LeakReport]) -> None:
    found = Counter(name for report in reports for name in report.leaks)
    kinds = set(leaks(team(50, seed=0)))
    assert {name: found[name] for name in kinds if found[name] < len(reports) - 2} == {}
    assert sum(found[name] for name in kinds) >= 0.95 * len(kinds) * len(reports)


def test_no_honest_column_is_called_a_leak_or_a_suspect(reports: list[LeakReport]) -> None:
    names = set(honest(team(50, seed=0)))
    alarms = [
        (seed, one.name, one.verdict, one.evidence)
        for seed, report in zip(SEEDS, reports, strict=True)
        for one in report.columns
        if one.name in names and one.verdict in {"leak", "suspect"}
    ]
    assert alarms == []


def test_honest_strong_columns_are_strong_enough_to_be_mistaken(reports: list[LeakReport]) -> None:
    strong = [report.finding(name).auc for report in reports for name in ("fit_score", "fit_grade")]
    assert np.mean(strong) > 0.75


@pytest.mark.parametrize("seed", [0, 1])
def test_impossible_values_are_found_without_any_open_lead(seed: int) -> None:
    one = team(4000, seed=seed)
    report = find(one, {**leaks(one), **honest(one)}, beside=False)
    assert set(report.leaks) >= ALONE
    assert not set(report.leaks) & set(honest(one))
    assert report.finding("fit_score").filled_open is None


def test_a_small_team_gets_no_false_alarm() -> None:
    for seed in SEEDS:
        one = team(600, seed=seed)
        report = find(one, {**leaks(one), **honest(one)})
        assert not set(report.leaks) & set(honest(one)), seed
        assert {"status", "segment_of_deal"} <= set(report.leaks), seed


def test_too_few_wins_tell_nothing() -> None:
    one = team(70, seed=3)
    report = find(one, leaks(one))
    assert report.wins < 20
    assert {finding.verdict for finding in report.columns} == {"cannot tell"}


def test_columns_of_chance_raise_no_alarm_however_many_they_are() -> None:
    one = team(2000, seed=9)
    columns = {f"c{k}": ("numeric", one.rng.normal(size=len(one))) for k in range(150)}
    report = find(one, columns)  # type: ignore[arg-type]
    assert {finding.verdict for finding in report.columns} == {"clean"}


def test_the_evidence_says_what_was_seen(reports: list[LeakReport]) -> None:
    report = reports[0]
    told = {one.name: " ".join(one.evidence) for one in report.columns}
    assert "knows when a lead closes" in told["days_open"]
    assert "were won, against" in told["segment_of_deal"]
    assert "of today's open leads" in told["close_reason"]
    assert "CUST-9" in told["record_number"]
    assert all(one.evidence for one in report.columns)


def test_a_field_given_up_is_told_from_a_field_filled_at_the_end(reports: list[LeakReport]) -> None:
    given_up, filled_late = (reports[0].finding(name) for name in ("field_given_up", "close_reason"))
    assert given_up.verdict == "clean"
    assert "so the business did" in " ".join(given_up.evidence)
    assert filled_late.verdict == "leak"
    assert (filled_late.filled_won, filled_late.filled_open) == (1.0, 0.0)


def test_the_same_rows_give_the_same_report() -> None:
    one = team(1500, seed=4)
    columns = {**leaks(one), **honest(one)}
    assert find(one, columns) == find(one, columns)


def test_many_rows_are_thinned_by_whole_accounts_and_leaks_still_found() -> None:
    one = team(24_000, seed=5)
    columns = leaks(one)
    report = find(one, {name: columns[name] for name in ("status", "lost_reason_often", "days_open")})
    assert report.rows > 50_000
    assert set(report.leaks) == {"status", "lost_reason_often", "days_open"}


def test_a_leak_stops_training_unless_it_is_allowed_by_name(reports: list[LeakReport]) -> None:
    report = reports[0]
    with pytest.raises(DataError, match=r"status.*--allow-leak") as caught:
        refuse_leaks(report, [name for name in report.leaks if name != "status"])
    assert caught.value.exit_code == 2
    assert "segment_of_deal" not in str(caught.value)
    refuse_leaks(report, report.leaks)


def test_the_refusal_shows_no_value_of_a_column(reports: list[LeakReport]) -> None:
    with pytest.raises(DataError) as caught:
        refuse_leaks(reports[0], ())
    assert not any(value in str(caught.value) for value in ("farm-1", "silent", "Working", "CUST"))


def test_the_report_reads_as_json_as_a_table_and_as_a_page(reports: list[LeakReport]) -> None:
    report = reports[0]
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["leaks"] == list(report.leaks)
    assert [one["verdict"] for one in plain["columns"]][: len(report.leaks)] == ["leak"] * len(report.leaks)
    out = Console(width=160, file=StringIO())
    out.print(report.table(every=True))
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    assert all(word in shown for word in ("days_open", "noise", "clean"))
    page = render_leakage_page(report, as_of=parse_moment("2026-11-01"))
    assert page.count("<circle") == len(report.columns)
    assert "http" not in page.replace("http-equiv", "")


def test_the_page_escapes_what_customers_wrote() -> None:
    one = team(3000, seed=2)
    bad = np.where(one.state == "won", "<script>x</script>", one.pick("a", "b")).astype(object)
    report = find(one, {"<b>": ("categorical", bad)})
    page = render_leakage_page(report, as_of=parse_moment("2026-11-01"))
    assert report.leaks == ("<b>",)
    assert "<script" not in page
    assert "<b>&lt;" not in page
    assert "&lt;script&gt;" in page


def test_the_screen_says_what_to_do_about_a_leak(
    reports: list[LeakReport], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    show_report(replace(reports[0], columns=reports[0].columns[:1]))
    assert "--allow-leak" in capsys.readouterr().err


def test_an_empty_verdict_is_clean() -> None:
    assert Judged("clean", ()).cleared is False
