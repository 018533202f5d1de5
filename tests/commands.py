"""The command line as a person calls it, in this process: arguments, folder and environment in; code and texts out."""

from __future__ import annotations

import io
import os
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clew import main
from data.settings import Settings, load_settings

__all__ = ["CommandLine", "Ran"]


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """Commands called in a folder of their own, which also holds everything they write."""

    folder: Path

    def __call__(self, *arguments: object, width: int = 80, **environment: str) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(out),
            redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            # Hidden from a person at a terminal; MLflow's use of SQLAlchemy raises some. All other warnings are errors.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._prepare(patch, width, environment)
            patch.setattr(sys, "argv", ["clew", *map(str, arguments)])
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            else:
                code = 0
        assert "Traceback" not in err.getvalue()
        return Ran(code, out.getvalue(), err.getvalue())

    def settings(self, **overrides: Any) -> Settings:
        """Return the settings that the commands see."""
        with pytest.MonkeyPatch.context() as patch:
            self._prepare(patch, 80, {})
            home = {"home": self.folder / "var", "mlruns": self.folder / "mlruns"}
            return load_settings(**home, **overrides)

    def _prepare(self, patch: pytest.MonkeyPatch, width: int, environment: dict[str, str]) -> None:
        for name in [name for name in os.environ if name.startswith("CLEW_")]:
            patch.delenv(name)
        patch.chdir(self.folder)
        for name, value in {"COLUMNS": str(width), **environment}.items():
            patch.setenv(name, value)
        # What the front door sets for good is set for this call only.
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(name, "1")
