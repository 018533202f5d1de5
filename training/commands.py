"""The commands of training: train, promote, rollback; the larger ones have modules of their own."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.console import console, next_steps, print_json, sentences, step
from training.certainty.recalibrate_command import recalibrate
from training.evaluation.compare_command import compare
from training.leaks.command import leakage
from training.monthly.command import retrain
from training.rules.command import scorecard

if TYPE_CHECKING:
    from collections.abc import Collection

    from data.settings import Settings
    from training.evaluation.scoreboard import Scoreboard
    from training.run import Trained

__all__ = ["register", "run_training", "show_scoreboard"]

AsOf = Annotated[str | None, typer.Option("--as-of", help="When the data of the run ends; default: now.")]
KnownBy = Annotated[
    str | None, typer.Option("--known-by", help="Only what was recorded by then, as an earlier run saw it.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the front door."""
    app.command("train")(train)
    app.command("promote")(promote)
    app.command("rollback")(rollback)
    for command in (compare, leakage, recalibrate, retrain, scorecard):
        app.command(command.__name__)(command)


def train(
    as_of: AsOf = None,
    known_by: KnownBy = None,
    allow_leak: Annotated[
        list[str] | None,
        typer.Option("--allow-leak", help="A column to use although it looks like a leak; may be given again."),
    ] = None,
    tune: Annotated[
        float, typer.Option(help="Seconds to search for a better shape of the trees; later runs take it over.", min=0)
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Write the scoreboard as JSON to standard output.")] = False,
) -> None:
    """Judge the recipe forward in time beside its peers, refit it, register and seal it.

    The first model that beats prior and rules is promoted at once; a later one waits for `clew promote`.
    """
    from data.commands import cutoff_of
    from data.settings import load_settings
    from features.training_set import known_by_of

    settings = load_settings()
    cutoff = cutoff_of(as_of, settings)
    trained, published = run_training(
        settings,
        cutoff,
        known_by=known_by_of(known_by, cutoff=cutoff),
        allowed=allow_leak or (),
        search_s=tune,
    )
    board = trained.judgement.scoreboard
    if as_json:
        print_json({**json.loads(board.to_json()), **published})
        return
    show_scoreboard(board)
    show_published(published)
    if published["promoted"]:
        next_steps(("clew serve", "answer the CRM over HTTP"), ("clew explain LEAD_ID", "read one lead's reasons"))
    else:
        next_steps((f"clew promote {published['version']} --reason '...'", "serve this version from now on"))


def run_training(
    settings: Settings,
    as_of: datetime,
    *,
    known_by: datetime | None = None,
    allowed: Collection[str] = (),
    search_s: float = 0.0,
) -> tuple[Trained, dict[str, Any]]:
    """Train with progress shown, register the run, and promote a first model that deserves it."""
    from data.warehouse import Warehouse
    from training.bundles.publishing import publish_run
    from training.run import train as run

    with step(f"training as of {as_of:%Y-%m-%d}") as tell:
        trained = run(
            Warehouse(settings.warehouse_dir),
            settings,
            as_of=as_of,
            known_by=known_by,
            allowed=allowed,
            search_s=search_s,
            progress=tell,
        )
    with step("registering in MLflow, drawing pictures"):
        return trained, publish_run(trained, settings)


def show_scoreboard(board: Scoreboard) -> None:
    """Print the scoreboard; a narrow screen gets the figures that decide."""
    from training.evaluation.scoreboard_table import metrics_for

    out = console()
    out.print(board.table(metrics=metrics_for(out.width)))


def show_published(published: dict[str, Any]) -> None:
    """Say what became of the model."""
    out = console()
    out.print(f"version {published['version']} of lead-conversion, bundle {published['bundle'][:19]}…")
    promoted = "[green]Promoted.[/green]" if published["promoted"] else "[yellow]Not promoted.[/yellow]"
    out.print(f"{promoted} {sentences(published['verdict'])}")
    out.print(f"report: {published['report']}", markup=False, soft_wrap=True)


def promote(
    version: Annotated[str, typer.Argument(help="The version to serve.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept with the version.")],
) -> None:
    """Serve a version from now on; the one served so far becomes `previous`."""
    from data.settings import load_settings
    from training.bundles.publishing import promote_version
    from training.bundles.registry import Registry

    settings = load_settings()
    with step(f"promoting version {version}"):
        target = promote_version(settings, version, reason=reason)
    console().print(f"current bundle: {target.name}")
    steps = [("clew serve", "answer the CRM over HTTP; a running service takes the bundle up by itself")]
    if Registry(settings.mlruns).version_of("previous") is not None:
        steps.append(("clew rollback", "go back to the version before"))
    next_steps(*steps)


def rollback() -> None:
    """Serve the previous version again."""
    from data.settings import load_settings
    from training.bundles.publishing import roll_back

    with step("rolling back"):
        version, target = roll_back(load_settings())
    console().print(f"version {version} is served again, bundle {target.name}")
