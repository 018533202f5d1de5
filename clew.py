"""The front door: one console script that gives each package's commands."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run a command; errors meant for people end with their exit code and without a traceback."""
    # One thread each: the same bits on every run, and no waiting for each other on a busy machine.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import typer

    import data.commands
    import features.commands
    import serving.commands
    import training.commands
    from data.errors import ClewError

    app = typer.Typer(
        name="clew",
        help="Predicts which B2B leads will be won: calibrated scores, reasons that add up, the rules beside them.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # drawing the help with rich costs more than everything else in it
        add_completion=False,
    )
    for package in (data.commands, features.commands, training.commands, serving.commands):
        package.register(app)
    try:
        app()
    except ClewError as error:
        from data.console import console

        console().print(f"[red]✗[/red] {error.message}", soft_wrap=True)
        if error.hint:
            console().print(f"  {error.hint}", soft_wrap=True)
        sys.exit(error.exit_code)


# Telemetry of MLflow, BentoML and Great Expectations is off; so is anything that follows these two conventions.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "GX_ANALYTICS_ENABLED": "False",
    "DO_NOT_TRACK": "1",
}

if __name__ == "__main__":
    main()
