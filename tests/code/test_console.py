"""How commands speak: what is printed can be typed, brackets belong to messages, paths are not broken."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from data.console import next_steps, print_json, program, sentences, show_error, step, typed
from data.errors import DataError


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def installed(folder: Path, name: str) -> Path:
    """Make a program that prints its name."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {name}\n", "utf-8")
    path.chmod(0o755)
    return path


def test_a_program_that_the_shell_finds_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(tmp_path / "bin", "mlflow")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert program("mlflow") == "mlflow"


@pytest.mark.parametrize("name", ["clew", "mlflow"])
def test_a_program_that_the_shell_does_not_find_is_called_by_its_path_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    installed(tmp_path / "my venv" / "bin", name)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my venv" / "bin" / "python"))
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    assert shlex.split(program(name)) == [f"my venv/bin/{name}"]
    monkeypatch.chdir("/")
    assert shlex.split(program(name)) == [str((tmp_path / "my venv" / "bin" / name).relative_to("/"))]


def test_another_program_of_that_name_earlier_on_the_path_is_not_meant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed(tmp_path / "venv", "mlflow")
    installed(tmp_path / "other", "mlflow")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    assert program("mlflow").endswith("venv/mlflow")


def test_a_program_that_is_not_installed_is_called_as_a_module() -> None:
    assert shlex.split(program("no-such-program"))[1:] == ["-m", "no-such-program"]


def test_printed_commands_run_in_a_shell_whatever_the_screen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sh = shutil.which("sh") or "/bin/sh"
    installed(tmp_path / "my venv", "clew").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', "utf-8")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my venv" / "python"))
    monkeypatch.setattr(sys, "argv", ["pytest"])
    folder = tmp_path / "an export [of 2026]" / "with a rather long name"
    next_steps((typed("clew", "import", folder, "--mapping", "it's.yaml"), "bring it in"))
    said = capfd.readouterr().err
    (command,) = [line.strip() for line in said.splitlines() if "import" in line]
    assert os.waitstatus_to_exitcode(os.system(f"{sh} -c {shlex.quote(command)}")) == 0  # noqa: S605 - what is tested
    assert capfd.readouterr().out.splitlines() == ["import", str(folder), "--mapping", "it's.yaml"]
    assert "bring it in" in said


def test_brackets_in_messages_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(DataError("files[0] lacks [bold] and [/]", hint="allowed are ['a']"))
    with step("importing [red]folder[/red] [/]") as tell:
        tell("reading [/]", 0.5)
    said = capsys.readouterr().err
    assert "files[0] lacks [bold] and [/]" in said
    assert "allowed are ['a']" in said
    assert "✓ importing [red]folder[/red] [/] (" in said


def test_a_long_message_is_one_line_that_can_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/".join(["folder"] * 30)
    show_error(DataError(f"{path} cannot be read"))
    assert capsys.readouterr().err == f"✗ {path} cannot be read\n"


def test_a_step_that_fails_claims_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError), step("importing"):
        raise DataError("broken")
    assert "✓" not in capsys.readouterr().err


def test_json_goes_to_standard_output_alone_and_keeps_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": "线索", "path": Path("a")})
    said = capsys.readouterr()
    assert json.loads(said.out) == {"text": "线索", "path": "a"}
    assert "线索" in said.out
    assert not said.err


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (("log loss: clew is ahead; ROC-AUC: too",), "Log loss: clew is ahead. ROC-AUC: too."),
        (("one.", "two"), "One. Two."),
        (("78 wins, 100 are needed", ""), "78 wins, 100 are needed."),
    ],
)
def test_sentences_begin_with_a_capital_and_end_with_a_point(texts: tuple[str, ...], joined: str) -> None:
    assert sentences(*texts) == joined
