"""The commands: what they leave, what they say, and the code they end with."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import training.bundles.publishing
from data.settings import load_settings
from data.warehouse import Warehouse, file_sha256
from tests.commands import CommandLine, Ran
from tests.data.exports import LEADS_HEADER, LEADS_ROWS, leads_text, write_export

ROOT = Path(__file__).parents[2]
AS_OF = "2026-11-01"
EARLIER = "2026-08-01"  # by then too few wins can be judged even for a promotion by hand


@pytest.fixture
def clew(tmp_path: Path) -> CommandLine:
    """The command line in an empty folder."""
    return CommandLine(tmp_path)


@pytest.fixture(scope="module")
def steps() -> dict[str, Ran]:
    """What the commands of the module's one line left, by name."""
    return {}


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, steps: dict[str, Ran]) -> CommandLine:
    """A simulated team: imported, trained twice on the same data and once on less, the first version promoted."""
    line = CommandLine(tmp_path_factory.mktemp("team"))
    # Fewer photographs than by default: half the time, and the file is read by every command.
    (line.folder / "clew.yaml").write_text("plan: {ages_days: [7]}\n", "utf-8")
    steps["init"] = line("init")
    # A year of it: three lists are judged, a dear refit for each, and they hold the 40 wins that a promotion wants.
    steps["simulate"] = line("simulate", "--leads", 1500, "--months", 12)
    steps["import"] = line("import", "var/simulated/export", "--mapping", "var/simulated/export/mapping.yaml")
    steps["train"] = line("train", "--as-of", AS_OF)
    steps["again"] = line("train", "--as-of", AS_OF, "--json")
    steps["earlier"] = line("train", "--as-of", EARLIER, "--json")
    steps["promote"] = line("promote", 1, "--reason", "the first one")
    assert {name: ran.code for name, ran in steps.items()} == dict.fromkeys(steps, 0), steps
    return line


def lead_of(line: CommandLine) -> str:
    """Return an open lead with events, not so many that it would be unlike all that was fitted."""
    with Warehouse(line.settings().warehouse_dir).connect() as connection:
        found = connection.execute(
            "SELECT lead_id FROM events WHERE lead_id NOT IN (SELECT lead_id FROM outcomes) "
            "GROUP BY 1 HAVING count(*) < 20 ORDER BY count(*) DESC, 1 LIMIT 1"
        ).fetchone()
    assert found is not None
    return str(found[0])


def told(ran: Ran, code: int, *parts: str) -> None:
    """Hold a refusal against its code and against what it has to say on standard error alone."""
    assert ran.code == code, ran
    assert not ran.out
    for part in parts:
        assert part in ran.err, ran.err


@pytest.mark.parametrize("name", ["simulate", "import", "train", "promote"])
def test_a_command_says_what_to_type_next_and_writes_nothing_to_standard_output(
    team: CommandLine, steps: dict[str, Ran], name: str
) -> None:
    assert not steps[name].out
    shown = re.findall(r"^  (\S.*)$", steps[name].err.split("Next\n")[1], flags=re.MULTILINE)
    assert shown
    for command in shown:
        words = command.split()
        program = words[0] if words[1] != "-m" else words[2]
        assert Path(program).name in {"clew", "mlflow"}


def test_training_again_on_the_same_data_gives_the_same_bundle_and_no_new_version(
    team: CommandLine, steps: dict[str, Ran]
) -> None:
    again = json.loads(steps["again"].out)
    assert again["version"] == "1"
    assert again["bundle"][:19] in steps["train"].err
    assert json.loads(steps["earlier"].out)["version"] == "2"


def test_the_scoreboard_fits_a_narrow_screen_with_whole_intervals(team: CommandLine, steps: dict[str, Ran]) -> None:
    lines = [line for line in steps["train"].err.splitlines() if line.startswith(("┃", "│"))]
    assert max(map(len, lines)) <= 80
    heading = lines[0]
    assert all(label in heading for label in ("log loss", "ROC-AUC", "wins at capacity"))
    whole = re.compile(r"\d – \d")
    intervals = [len(whole.findall(line)) for line in lines]
    assert set(intervals) == {0, 3}
    assert not any(line.rstrip("│ ").endswith("–") for line in lines)


def test_importing_twice_leaves_the_warehouse_unchanged(team: CommandLine, steps: dict[str, Ran]) -> None:
    warehouse = Warehouse(team.settings().warehouse_dir)
    before = warehouse.manifest()
    again = team("import", "var/simulated/export", "--mapping", "var/simulated/export/mapping.yaml", "--json")
    assert again.code == 0
    report = json.loads(again.out)
    assert not report["changed"]
    assert report["left_out"] == []
    assert report["tables"]["leads"]["duplicates"] == 1500
    assert warehouse.manifest() == before


def test_init_and_simulate_can_be_run_again(clew: CommandLine) -> None:
    for _ in range(2):
        assert clew("init").code == 0
    digests = []
    for _ in range(2):
        assert clew("simulate", "--leads", 60).code == 0
        digests.append({path.name: file_sha256(path) for path in (clew.folder / "var" / "simulated").rglob("*.*")})
    assert len(digests[0]) >= 7
    assert digests[0] == digests[1]


def test_check_passes_on_a_sound_warehouse_and_writes_only_json(team: CommandLine) -> None:
    ran = team("check", "--json")
    assert ran.code == 0
    report = json.loads(ran.out)
    assert report["passed"]
    assert report["invariants"] > 50
    assert (team.settings().home / "data-docs" / "index.html").is_file()


def test_features_are_the_same_file_twice_and_the_catalogue_is_json(team: CommandLine) -> None:
    target = team.settings().home / "features.parquet"
    digests = []
    for _ in range(2):
        ran = team("features", "--as-of", "2026-10-01")
        assert ran.code == 0
        assert "open leads" in ran.err
        digests.append(file_sha256(target))
    assert digests[0] == digests[1]
    names = [feature["name"] for feature in json.loads(team("features", "--as-of", AS_OF, "--list", "--json").out)]
    assert "whitepaper_downloads_30d" in names


def test_explain_adds_up_and_is_the_same_twice(team: CommandLine) -> None:
    arguments = ("explain", lead_of(team), "--as-of", AS_OF, "--json")
    ran = team(*arguments)
    assert ran.code == 0
    answer: dict[str, Any] = json.loads(ran.out)
    total = answer["base_logit"] + sum(reason["logit"] for reason in answer["reasons"]) + answer["remainder_logit"]
    assert total == pytest.approx(math.log(answer["probability"] / (1 - answer["probability"])), abs=1e-6)
    assert answer["model"]["version"] in {"1", "2"}
    assert {warning["code"] for warning in answer["warnings"]} <= {"little_data", "unknown_category"}
    assert team(*arguments).out == ran.out


def test_explain_speaks_chinese(team: CommandLine) -> None:
    ran = team("explain", lead_of(team), "--as-of", AS_OF, "--language", "zh", "--json")
    reasons = json.loads(ran.out)["reasons"]
    assert reasons
    assert all(re.search("[\u4e00-\u9fff：]", reason["text"]) for reason in reasons)
    shown = team("explain", lead_of(team), "--as-of", AS_OF, "--language", "zh")
    assert reasons[0]["text"] in shown.err
    assert not shown.out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("explain", "nobody", "--as-of", AS_OF), ("not in the warehouse", "--as-of")),
        (("explain", "L-0000001", "--language", "fr"), ("--language", "'en', 'zh'")),
        (("explain", "L-0000001", "--as-of", "soon"), ("--as-of: a time was expected, a text of 4 characters",)),
        (("explain", "L-0000001", "--as-of", "2026-11-01T08:00"), ("--as-of: a time without an offset", "+08:00")),
        (("train", "--as-of", "2999-01-01"), ("--as-of: 2999-01-01T00:00:00Z lies in the future",)),
        (("train", "--as-of", "1999-01-01"), ("--as-of: 1999-01-01T00:00:00Z lies before the first lead of 2025-11",)),
        (("features", "--as-of", "1999-01-01"), ("before the first lead", "import older leads")),
        (("train", "--as-of", "2025-12-01"), ("no snapshot has matured", "90 days")),
        (("train", "--as-of", "2026-03-20"), ("the split forward in time leaves 0 rows to fit", "longer history")),
        (("promote", "1"), ("--reason",)),
        (("promote", "1", "--reason", "  "), ("needs a reason", "--reason")),
        (("promote", "99", "--reason", "x"), ("there is no version '99'", "clew train")),
    ],
)  # fmt: skip
def test_wrong_use_of_a_trained_team_ends_with_2(
    team: CommandLine, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    told(team(*arguments), 2, *parts)


def test_a_promotion_below_the_least_number_of_wins_ends_with_3_and_serves_nothing_else(team: CommandLine) -> None:
    current = (team.settings().bundles_dir / "current").read_text("utf-8")
    told(team("promote", 2, "--reason", "let me"), 3, "version 2 was judged on", "the rules answer")
    assert (team.settings().bundles_dir / "current").read_text("utf-8") == current


def test_promote_and_rollback_change_what_is_served_and_back(
    team: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.bundles.publishing, "_LEAST_BY_HAND", 1)
    current = team.settings().bundles_dir / "current"
    again = team("promote", 1, "--reason", "once more")
    assert again.code == 0
    assert "clew rollback" not in again.err
    first = current.read_text("utf-8")
    newer = team("promote", 2, "--reason", "newer")
    assert newer.code == 0
    assert "clew rollback" in newer.err
    second = current.read_text("utf-8")
    assert second != first
    for version, pointed in ((1, first), (2, second), (1, first)):
        back = team("rollback")
        assert back.code == 0
        assert f"version {version} is served again" in back.err
        assert current.read_text("utf-8") == pointed


def test_rollback_without_a_previous_version_ends_with_2(clew: CommandLine) -> None:
    told(clew("rollback"), 2, "no previous version", "clew promote")


@pytest.mark.timeout(300)  # a word that never comes would be waited for until the suite is ended
def test_serve_listens_until_ctrl_c_and_ends_with_0(team: CommandLine) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CLEW_")}
    with subprocess.Popen(
        [sys.executable, str(ROOT / "clew.py"), "serve", "--port", str(port)],
        cwd=team.folder,
        env=environment | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            heard = _until(process.stderr, "stop with Ctrl-C")
            assert f"http://127.0.0.1:{port}" in heard
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/model", timeout=90) as answer:
                assert json.load(answer)["pointer"] == "current"
            told(team("serve", "--port", port), 4, f"port {port}", "CLEW_PORT")
            process.send_signal(signal.SIGINT)
            assert process.wait(90) == 0
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


def _until(lines: Iterator[str], last: str) -> str:
    heard = ""
    for line in lines:
        heard += line
        if last in line:
            return heard
    raise AssertionError(f"{last!r} was never said: {heard}")


@pytest.mark.parametrize(
    "arguments",
    [("check",), ("train",), ("features", "--as-of", AS_OF), ("explain", "L-1")],
    ids=lambda words: words[0],
)
def test_without_leads_every_command_says_so_and_how_to_get_some(clew: CommandLine, arguments: tuple[str, ...]) -> None:
    told(clew(*arguments), 2, "holds no leads", "clew import FOLDER --mapping NAME", "CLEW_HOME")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("train", "--asof", AS_OF), ("No such option: --asof",)),
        (("trian",), ("No such command 'trian'",)),
        (("simulate", "--leads", "many"), ("'--leads'",)),
        (("simulate", "--leads", "5"), ("'--leads'", "20")),
        (("import", "nowhere", "--mapping", "odoo"), ("nowhere", "does not exist")),
        (("import", "."), ("--mapping",)),
        (("import", ".", "--mapping", "salesfroce"), ("did you mean salesforce?",)),
        (("import", ".", "--mapping", "salesforce"), ("Lead.csv, Opportunity.csv, Account.csv, Task.csv",)),
        (("demo", "--data", "."), ("bpi2012, olist, bank_marketing",)),
    ],
)
def test_wrong_use_ends_with_2_and_names_the_option_or_file(
    clew: CommandLine, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    told(clew(*arguments), 2, *parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("prot: 3", ("prot is no setting", "did you mean port?", "clew.yaml")),
        ("plan: {horizon: 3}", ("plan.horizon is no setting", "did you mean horizon_days?")),
        ("port: many", ("port: ", "integer")),
        ("port: [", ("clew.yaml is no YAML at line",)),
        ("timezone: Mars/Base", ("timezone: a time zone", "Asia/Shanghai")),
    ],
)
def test_a_wrong_clew_yaml_is_refused_with_the_key_and_the_nearest_one(
    clew: CommandLine, text: str, parts: tuple[str, ...]
) -> None:
    (clew.folder / "clew.yaml").write_text(f"{text}\n", "utf-8")
    told(clew("init"), 2, *parts)
    assert not (clew.folder / "var").exists()


def test_a_mapping_of_a_missing_column_is_refused_with_the_nearest_and_no_personal_value(clew: CommandLine) -> None:
    text = leads_text().replace(LEADS_HEADER, LEADS_HEADER.replace("Title", "Job Title"))
    _, mapping = _small_export(clew, text)
    ran = clew("import", "in", "--mapping", mapping)
    told(ran, 2, "leads.csv lacks 1 mapped column(s): Title (nearest: Job Title)", "correct the mapping")
    _no_person(ran)


@pytest.mark.parametrize(
    ("row", "part"),
    [
        (
            'L1,2026-01-05T10:00:00Z,web,"VP,open,1200,,,Ada Secretname,ada@acme.example,\nL3,2026-01-05T10:00:00Z',
            "a quote opened in line 3 of leads.csv is not closed",
        ),
        ("L1,Ada Secretname,web,VP,open,1200,,,Ada Secretname,ada@acme.example,", "bad_time:created_at 1"),
        ("L1,2026-01-05T10:00:00Z,Ada Secretname", "no row of leads.csv could be read: too_few_fields 1"),
    ],
)
def test_a_broken_file_is_refused_with_the_place_and_no_personal_value(clew: CommandLine, row: str, part: str) -> None:
    whole = [LEADS_ROWS[1]] if '"' in row else []
    warehouse, mapping = _small_export(clew, leads_text(*whole, row))
    ran = clew("import", "in", "--mapping", mapping)
    told(ran, 2, part)
    _no_person(ran)
    assert sum(warehouse.counts().values()) == 0


def _small_export(clew: CommandLine, leads: str) -> tuple[Warehouse, Path]:
    import yaml

    from tests.data.exports import MAPPING

    write_export(clew.folder / "in", leads=leads)
    mapping = clew.folder / "small.yaml"
    mapping.write_text(yaml.safe_dump(MAPPING), "utf-8")
    return Warehouse(clew.settings().warehouse_dir), mapping


def _no_person(ran: Ran) -> None:
    assert not any(value in ran.out + ran.err for value in ("Ada", "Secretname", "acme", "555"))


def test_a_table_whose_optional_file_is_absent_is_left_out_and_named(clew: CommandLine) -> None:
    export = clew.folder / "in"
    export.mkdir()
    header = (
        "Id,IsDeleted,CreatedDate,LeadSource,Title,Country,OwnerId,Status,Industry,NumberOfEmployees,AnnualRevenue,"
        "Rating,Name,Email,Phone,ConvertedAccountId,ConvertedOpportunityId"
    )
    row = "00Q1,false,2026-01-05T10:00:00Z,Web,VP,DE,5,Open,Retail,30,,Hot,Ada Secretname,ada@acme.example,,,0061"
    (export / "Lead.csv").write_text(f"{header}\n{row}\n", "utf-8")
    told(clew("import", "in", "--mapping", "salesforce"), 2, "there is no Opportunity.csv in in")
    deal = "Id,IsClosed,IsWon,CloseDate,Amount,StageName\n0061,true,true,2026-02-03,5000,Closed Won\n"
    (export / "Opportunity.csv").write_text(deal, "utf-8")
    ran = clew("import", "in", "--mapping", "salesforce")
    assert ran.code == 0
    for table in ("accounts", "events", "stages"):
        assert f"{table}: left out" in ran.err
    again = json.loads(clew("import", "in", "--mapping", "salesforce", "--json").out)
    assert again["left_out"] == ["accounts", "events", "stages"]
    assert not again["changed"]
    counts = Warehouse(clew.settings().warehouse_dir).counts()
    assert (counts["leads"] > 0, counts["outcomes"], counts["events"]) == (True, 1, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("init",),
        ("simulate", "--leads", "20"),
        ("import", "in", "--mapping", "small.yaml"),
        ("serve",),
        ("demo", "--leads", "500", "--home", "taken/demo"),
        ("promote", "1", "--reason", "x"),
    ],
    ids=lambda words: words[0],
)
def test_a_home_that_cannot_be_written_ends_with_4(clew: CommandLine, arguments: tuple[str, ...]) -> None:
    _small_export(clew, leads_text())
    (clew.folder / "taken").write_text("a file where a folder is needed", "utf-8")
    told(clew(*arguments, CLEW_HOME="taken/var", CLEW_MLRUNS="taken/mlruns"), 4, "Not a directory")


def test_simulate_refuses_a_file_in_place_of_its_folder(clew: CommandLine) -> None:
    (clew.folder / "taken").touch()
    told(clew("simulate", "--leads", "20", "--out", "taken/x"), 4, "could not be written")


def test_settings_of_the_tests_are_those_of_the_commands(clew: CommandLine) -> None:
    assert clew("init").code == 0
    assert clew.settings().warehouse_dir.is_dir()
    assert load_settings(home=clew.folder).warehouse_dir == clew.folder / "warehouse"
