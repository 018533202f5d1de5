"""The examples of operation are sound where they run, and each calls `clew retrain --as-of` and nothing else."""

from __future__ import annotations

import configparser
import os
import re
import runpy
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FIRST_OF_MONTH = re.compile(r"^retrain --as-of \d{4}-\d{2}-01\n$")
# Of systemd.service(5), systemd.exec(5) and systemd.timer(5): what these files use; a misspelt key is only warned of.
KEYS = {
    "Unit": {"Description", "Documentation", "After", "Wants"},
    "Service": {"Type", "User", "WorkingDirectory", "ExecStart", "TimeoutStartSec", "Nice"},
    "Timer": {"OnCalendar", "Persistent"},
    "Install": {"WantedBy"},
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a `clew` that only says how it was called: what a schedule calls is tested, not a training."""
    echoing = tmp_path / ".venv" / "bin" / "clew"
    echoing.parent.mkdir(parents=True)
    echoing.write_text('#!/bin/sh\necho "$@"\n')
    echoing.chmod(0o755)
    return tmp_path


def told_by(command: str, home: Path, **env: str) -> str:
    """Run a command of an example in that folder; return what `clew` was called with."""
    here = command.replace("/srv/clew", str(home))
    given = {"PATH": os.environ["PATH"], **env}
    return subprocess.run(
        ["/bin/sh", "-c", here], cwd=home, env=given, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def unit(name: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # keys are case-sensitive
    parser.read_string((EXAMPLES / name).read_text("utf-8"))
    return {section: dict(parser[section]) for section in parser.sections()}


# What retrains once a month, and the rest.
MONTHLY = {"crontab", "clew-retrain.service", "clew-retrain.timer", "github-actions.yml", "airflow_dag.py"}
OTHERS = {"crontab-weekly", "prometheus-rules.yml"}


def test_every_example_is_named_in_the_overview_and_calls_only_the_command() -> None:
    overview = (EXAMPLES / "__init__.py").read_text("utf-8")
    names = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"__init__.py"}
    assert names == MONTHLY | OTHERS
    for name in names:
        assert f"`{name}`" in overview
        text = (EXAMPLES / name).read_text("utf-8")
        if name in MONTHLY - {"clew-retrain.timer"}:
            assert len(re.findall(r"bin/clew retrain --as-of", text)) == 1, name
            assert len(re.findall(r"bin/clew", text)) == 1, name


def test_the_crontab_calls_the_command_for_the_first_of_the_month(home: Path) -> None:
    lines = [line for line in (EXAMPLES / "crontab").read_text("utf-8").splitlines() if not line.startswith("#")]
    (job,) = [line for line in lines if not re.match(r"^[A-Z_]+=", line)]
    *when, command = job.split(maxsplit=5)
    assert when == ["30", "4", "1", "*", "*"]
    assert not re.search(r"(?<!\\)%", command), "cron ends a command at a bare percent sign"
    assert FIRST_OF_MONTH.match(told_by(command.replace("\\%", "%"), home))


@pytest.mark.parametrize("name", ["clew-retrain.service", "clew-retrain.timer"])
def test_a_unit_holds_only_keys_that_systemd_knows(name: str) -> None:
    for section, keys in unit(name).items():
        assert set(keys) <= KEYS[section], section


def test_the_service_calls_the_command_for_the_first_of_the_month(home: Path) -> None:
    service = unit("clew-retrain.service")["Service"]
    assert service["Type"] == "oneshot"
    line = service["ExecStart"]
    assert not re.search(r"(?<!%)%(?!%)", line), "a single percent sign is a specifier"
    words = shlex.split(line.replace("%%", "%").replace("$$", "$"))
    assert words[:2] == ["/bin/sh", "-c"]
    assert FIRST_OF_MONTH.match(told_by(words[2], home))


def test_the_timer_fires_on_the_first_and_makes_up_for_a_missed_start() -> None:
    timer = unit("clew-retrain.timer")
    assert re.fullmatch(r"\*-\*-01 \d{2}:\d{2}:\d{2} UTC", timer["Timer"]["OnCalendar"])
    assert timer["Timer"]["Persistent"] == "true"
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_the_workflow_runs_once_a_month_one_at_a_time(home: Path) -> None:
    workflow = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text("utf-8"))
    # YAML 1.1 reads the key `on` as true.
    assert workflow[True]["schedule"] == [{"cron": "30 4 1 * *"}]
    assert workflow["concurrency"] == {"group": "clew-retrain", "cancel-in-progress": False}
    job = workflow["jobs"]["retrain"]
    assert "self-hosted" in job["runs-on"]
    (step,) = job["steps"]
    assert "${{" not in step["run"], "an input in a script would be run as a script"
    assert FIRST_OF_MONTH.match(told_by(step["run"], home))
    assert told_by(step["run"], home, AS_OF="2026-11-01") == "retrain --as-of 2026-11-01\n"


class _Dag:
    """Takes the place of Airflow's DAG."""

    def __init__(self, **about: Any) -> None:
        self.about = about

    def __enter__(self) -> _Dag:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def test_the_dag_has_one_task_that_calls_the_command_for_its_own_month(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow is not installed here: its two names are put in their places."""
    from jinja2 import Template

    tasks: list[dict[str, Any]] = []
    path = "airflow.providers.standard.operators.bash"
    for name in ("airflow", "airflow.sdk", *(path.rsplit(".", k)[0] for k in range(4))):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["airflow.sdk"], "DAG", _Dag, raising=False)
    monkeypatch.setattr(sys.modules[path], "BashOperator", lambda **about: tasks.append(about), raising=False)
    dag = runpy.run_path(str(EXAMPLES / "airflow_dag.py"))["dag"]
    assert dag.about["schedule"] == "30 4 1 * *"
    assert (dag.about["catchup"], dag.about["max_active_runs"]) == (False, 1)
    (task,) = tasks
    command = Template(task["bash_command"]).render(data_interval_end=datetime(2026, 11, 1, 4, 30, tzinfo=UTC))
    assert told_by(command, home) == "retrain --as-of 2026-11-01\n"
