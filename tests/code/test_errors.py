"""Errors for people: exit codes by cause, a message with its hint, and no traceback at the front door."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import clew
from data.errors import ClewError, DataError, InfrastructureError, RefusedError, UsageError
from serving.http.problems import PayloadError, Problem

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("kind", "code"), [(UsageError, 2), (DataError, 2), (RefusedError, 3), (InfrastructureError, 4)]
)
def test_each_cause_has_its_exit_code(kind: type[ClewError], code: int) -> None:
    assert kind("x").exit_code == code
    assert issubclass(kind, ClewError)


def test_the_text_of_an_error_is_its_message_and_its_hint() -> None:
    assert str(DataError("a is missing", hint="map another column")) == "a is missing; map another column"
    assert str(DataError("a is missing")) == "a is missing"


def test_a_bad_payload_is_bad_data() -> None:
    assert PayloadError([Problem("missing_field", "lead.lead_id is required", "lead.lead_id")]).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("the column [x] is missing", hint="map it"), 2, "✗ the column [x] is missing\n  map it\n"),
        (RefusedError("no"), 3, "✗ no\n"),
        (InfrastructureError("no disk"), 4, "✗ no disk\n"),
        (
            PermissionError(13, "Permission denied", "var/x"),
            4,
            "✗ Permission denied: var/x\n  check space and rights\n",
        ),
        (OSError(28, "No space left on device"), 4, "✗ No space left on device\n  check space and rights\n"),
    ],
)
def test_the_front_door_turns_errors_into_words_and_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int, said: str
) -> None:
    def failing() -> None:
        raise error

    monkeypatch.setattr(clew, "application", lambda: failing)
    with pytest.raises(SystemExit) as end:
        clew.main()
    assert end.value.code == code
    assert capsys.readouterr().err == said


def test_a_fault_of_clew_itself_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(clew, "application", lambda: failing)
    with pytest.raises(ZeroDivisionError):
        clew.main()


def test_a_wrong_command_in_a_process_of_its_own_shows_no_traceback(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "clew.py"), "import", ".", "--mapping", "nope"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert not ran.stdout
    assert "there is no mapping 'nope'" in ran.stderr
    assert "Traceback" not in ran.stderr
