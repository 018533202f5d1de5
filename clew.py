"""The front door: one console script that gives each package's commands."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from data.errors import ClewError

__all__ = ["application", "main"]

# Telemetry of MLflow, BentoML and Great Expectations is off; so is anything that follows the last convention. MLflow
# tells each migration of its database at INFO, which a person at a terminal does not need.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "BENTOML_DO_NOT_TRACK": "True",
    "GX_ANALYTICS_ENABLED": "False",
    "DO_NOT_TRACK": "1",
}
# One thread each: the same bits on every run, and no waiting for each other on a busy machine.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def application() -> typer.Typer:
    """Return the command line with the commands of every package."""
    import typer

    import data.commands
    import features.commands
    import monitoring.commands
    import serving.commands
    import training.commands

    app = typer.Typer(
        name="clew",
        help="Predicts which B2B leads will be won: calibrated scores, reasons that add up, the rules beside them.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # drawing the help with rich costs more than everything else in it
        add_completion=False,
    )
    for package in (data.commands, features.commands, training.commands, monitoring.commands, serving.commands):
        package.register(app)
    return app


def main() -> None:
    """Run a command; errors meant for people end with their exit code and without a traceback."""
    for name, value in {**_QUIET, **_ONE_THREAD}.items():
        os.environ.setdefault(name, value)
    app = application()
    from data.errors import ClewError, InfrastructureError

    try:
        app()
    except ClewError as error:
        _end(error)
    except OSError as error:
        # What no command has put into words: a full disk, a folder without rights. Paths are settings, not data.
        where = f": {error.filename}" if error.filename else ""
        _end(InfrastructureError(f"{error.strerror or type(error).__name__}{where}", hint="check space and rights"))


def _end(error: ClewError) -> None:
    from data.console import show_error

    show_error(error)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
