"""The command `clew retrain`: the whole month in one call, for a person or a scheduler."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from data.console import console, next_steps, print_json, sentences, step

if TYPE_CHECKING:
    from training.monthly.retrain import Retrained

__all__ = ["retrain"]


def retrain(
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="When the data of the run ends; default: now, which is another run each time."),
    ] = None,
    known_by: Annotated[
        str | None, typer.Option("--known-by", help="Only what was recorded by then, as an earlier run saw it.")
    ] = None,
    allow_leak: Annotated[
        list[str] | None,
        typer.Option("--allow-leak", help="A column to use although it looks like a leak; may be given again."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the verdict as JSON to standard output.")] = False,
) -> None:
    """Import what is new, check, look for leaks, train, judge, ask the gate, and serve what passed it.

    Run it every month: it takes in the exports named in clew.yaml, does nothing twice, and goes on where it stopped.
    The exit code is 0 also where the champion stays.
    """
    from data.settings import load_settings
    from training.monthly.retrain import retrain as run

    with step("retraining") as tell:
        outcome = run(load_settings(), as_of=as_of, known_by=known_by, allowed=allow_leak or (), tell=tell)
    if as_json:
        print_json(asdict(outcome))
    else:
        _show(outcome)


def _show(outcome: Retrained) -> None:
    out = console()
    if not outcome.fresh:
        out.print("Nothing to do: this run has been made before, on the same data and settings.")
    for check in outcome.checks:
        mark = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]–[/yellow]"}[check["passed"]]
        out.print(f"  {mark} {check['name']}: ", end="")
        out.print(check["evidence"], markup=False)
    state = "[green]Promoted.[/green]" if outcome.promoted else "[yellow]Not promoted.[/yellow]"
    out.print(f"{state} {sentences(outcome.sentence)}")
    out.print(f"version {outcome.version}, bundle {outcome.bundle[:19]}…; the verdict as a page: {outcome.page}")
    if outcome.promoted:
        next_steps(("clew serve", "answer the CRM"), ("clew rollback", "serve the version before again"))
    else:
        next_steps((f"clew promote {outcome.version} --reason '...'", "serve this version all the same"))
