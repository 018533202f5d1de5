"""`clew quality` as a person and cron call it: a page, JSON, and a card that is sent once."""

from __future__ import annotations

import json
import os
import re
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from data.clock import DAY_US, parse_moment, to_us
from data.importing import import_export
from data.mapping import load_mapping
from data.simulator import simulate
from data.store.engine import open_store
from data.store.migrate import migrate
from data.store.scores import Score, record_scores
from data.warehouse import Warehouse
from features.snapshots import open_leads
from tests.commands import CommandLine
from tests.model.cards import check
from tests.model.test_cards import receiving

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
MONDAY = "2026-03-02T08:00:00Z"
END = parse_moment("2026-03-04")


@pytest.fixture(scope="module")
def clew(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A folder whose home has the warehouse of 300 leads."""
    folder = tmp_path_factory.mktemp("quality")
    export = simulate(leads=300, seed=3, out=folder / "simulated", end=END).export
    import_export(export, load_mapping(export / "mapping.yaml"), Warehouse(folder / "var" / "warehouse"), now=END)
    return CommandLine(folder)


@pytest.fixture(scope="module")
def scored(clew: CommandLine) -> CommandLine:
    """The same folder with scores on two Sundays; one lead of the best grade has lost nearly everything since."""
    settings = clew.settings()
    migrate(settings.store_url)
    with closing(open_store(settings.store_url)) as store, Warehouse(settings.warehouse_dir).connect() as connection:
        for week, day in enumerate(("2026-02-22", "2026-03-01")):
            at_us = to_us(parse_moment(day)) - DAY_US
            open_leads(connection, as_of_us=at_us)
            ids = [row[0] for row in connection.execute("SELECT lead_id FROM spine ORDER BY lead_id").fetchall()]
            record_scores(store, [_score(lead, at_us, number, week) for number, lead in enumerate(ids)], now_us=at_us)
    return clew


def _score(lead_id: str, at_us: int, number: int, week: int) -> Score:
    high = number < 8
    chance = (0.3 if high else 0.02) if not (number == 0 and week) else 0.01
    grade = "A" if chance >= 0.2 else "D"
    return Score(
        lead_id=lead_id,
        as_of_us=at_us,
        bundle="sha256:test",
        source="model",
        probability=chance,
        logit=None,
        grade=grade,
        pool="C",
        features={},
        reasons=(),
        rules={},
        cause="batch",
    )


def test_without_a_store_the_rest_is_told_and_the_store_is_not_made(clew: CommandLine) -> None:
    empty = str(clew.folder / "none.sqlite")
    ran = clew("quality", "--as-of", MONDAY, "--json", CLEW_STORE=f"sqlite:///{empty}")
    told = json.loads(ran.out)
    assert ran.code == 0, ran.err
    assert (told["bands"], told["alerts"]) == (None, None)
    assert "grades" in told["not_measured"][0]["en"]
    assert told["open"]["now"] > 20
    assert not Path(empty).exists()


def test_the_page_and_the_figures_are_written_in_both_languages(scored: CommandLine) -> None:
    for language, words in (("en", "Lead quality"), ("zh", "线索质量周报")):
        page = scored.folder / f"{language}.html"
        ran = scored("quality", "--as-of", MONDAY, "--language", language, "--output", page, width=200)
        assert ran.code == 0, ran.err
        assert words in page.read_text("utf-8")
        assert words.split()[0].lower() in ran.err.lower()
    told = json.loads(scored("quality", "--as-of", MONDAY, "--json").out)
    assert told["since"] == "2026-02-23T00:00:00Z"
    assert len(told["alerts"]["fallen"]) == 1
    assert told["alerts"]["high"] <= 8


def test_a_score_given_after_the_week_changes_nothing(scored: CommandLine) -> None:
    def told() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(scored("quality", "--as-of", MONDAY, "--json").out)
        return found

    before, at_us = told(), to_us(parse_moment("2026-03-01T12:00:00Z"))
    leads = {one["lead_id"] for one in before["alerts"]["fallen"]}
    with closing(open_store(scored.settings().store_url)) as store:
        late = [_score(lead, at_us, 1, 0) for lead in sorted(leads)]
        record_scores(store, late, now_us=to_us(parse_moment("2026-03-02T00:00:01Z")))
        assert told() == before
        record_scores(store, [_score(lead, at_us + 1, 1, 0) for lead in sorted(leads)], now_us=at_us + 1)
    # The same score given in time lifts the lead again.
    assert told()["alerts"]["fallen"] == []
    with closing(open_store(scored.settings().store_url)) as store:
        record_scores(store, [_score(lead, at_us + 2, 0, 1) for lead in sorted(leads)], now_us=at_us + 2)
    assert len(told()["alerts"]["fallen"]) == 1


def test_a_card_goes_once_and_what_fails_ends_with_four(scored: CommandLine) -> None:
    called = ("quality", "--as-of", MONDAY, "--json", "--send", "wecom")
    with receiving((200, b'{"errcode":93000}'), (200, b'{"errcode":0}')) as robot:
        given: dict[str, Any] = {"CLEW_CARD_WECOM": robot.address, "CLEW_WEBHOOK_PRIVATE": "true"}
        refused = scored(*called, **given)
        assert (refused.code, json.loads(refused.out)["sent"][0]["state"]) == (4, "refused")
        assert robot.address not in refused.err + refused.out
        assert scored(*called, **given).code == 0
        again = scored(*called, **given)
        assert (again.code, json.loads(again.out)["sent"][0]["fresh"], len(robot.asked)) == (0, False, 2)
    told = check("wecom", robot.asked[-1][1])["markdown"]["content"]
    assert "good leads that fell sharply: 1," in told


def test_targets_speak_their_own_language_and_limits_are_the_teams(scored: CommandLine) -> None:
    home = scored.folder / "var"
    (home / "cards.yaml").write_text(
        "page: https://bi.example/q.html\ntargets:\n  team: {platform: slack, language: zh}\n"
    )
    (home / "quality.yaml").write_text("complete: 1.0\nstill_days: 3\n")
    try:
        with receiving((200, b"ok")) as robot:
            given: dict[str, Any] = {"CLEW_CARD_TEAM": robot.address, "CLEW_WEBHOOK_PRIVATE": "true"}
            ran = scored("quality", "--as-of", MONDAY, "--send", "team", **given)
        assert ran.code == 0, ran.err
        told = json.dumps(check("slack", robot.asked[0][1]), ensure_ascii=False)
        assert "线索质量周报" in told
        assert "目标 ≥ 100 %" in told
        assert "https://bi.example/q.html" in told
    finally:
        (home / "cards.yaml").unlink()
        (home / "quality.yaml").unlink()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--output", "page.txt"), "a file .html was expected"),
        (("--send", "mail"), "there is no target of this name"),
        (("--send", "slack"), "CLEW_CARD_SLACK is not set"),
        (("--since", "2026-02-01"), "only one of --since and --until"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_measured(
    clew: CommandLine, arguments: tuple[str, ...], told: str
) -> None:
    ran = clew("quality", "--as-of", MONDAY, *arguments, width=200)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


def test_the_example_for_cron_calls_the_command_on_monday_at_eight(tmp_path: Path) -> None:
    text = (EXAMPLES / "crontab-weekly").read_text("utf-8")
    (job,) = [line for line in text.splitlines() if "clew quality" in line and not line.startswith("#")]
    *when, command = job.split(maxsplit=5)
    assert when == ["0", "8", "*", "*", "1"]
    assert not re.search(r"(?<!\\)%", command), "cron ends a command at a bare percent sign"
    echoing = tmp_path / ".venv" / "bin" / "clew"
    echoing.parent.mkdir(parents=True)
    echoing.write_text('#!/bin/sh\necho "$CLEW_CARD_WECOM $@"\n')
    echoing.chmod(0o755)
    (tmp_path / "cards.env").write_text("CLEW_CARD_WECOM='https://robot.example/send?key=a&b'\n")
    ran = subprocess.run(
        ["/bin/sh", "-c", command.replace("/srv/clew", str(tmp_path))],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout == "https://robot.example/send?key=a&b quality --output reports/quality.html --send wecom\n"
