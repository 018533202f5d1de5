"""`clew changes`: why a lead's newest score differs from an earlier one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from data.console import console, print_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the front door."""
    app.command("changes")(changes)


def changes(
    lead_id: Annotated[str, typer.Argument(help="A lead of the store.")],
    since: Annotated[
        str | None, typer.Option(help="The number of a score or a moment; default: the one before.")
    ] = None,
    language: Annotated[Literal["en", "zh"], typer.Option(help="Of the words.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Write the answer as JSON to standard output.")] = False,
) -> None:
    """Say what changed between two scores of a lead: new activity, time passing, corrected data, a new model."""
    from contextlib import closing

    from data.errors import UsageError
    from data.settings import load_settings
    from data.store.engine import expect_schema, open_store
    from serving.changes.handlers import changes_of, parse_since
    from serving.changes.voices import Voices
    from serving.http.exchange import Refusal
    from serving.keys.access import ANYONE

    settings, chosen = load_settings(), parse_since(since)
    with closing(open_store(settings.store_url)) as store:
        expect_schema(store)
        try:
            told = changes_of(store, Voices(settings, lambda: None), lead_id, chosen, ANYONE, language)
        except Refusal as refused:
            raise UsageError(refused.problem.message, hint="see `clew score` and the lead's history") from None
    if as_json:
        print_json(told)
    else:
        _show(told)


def _show(told: dict[str, Any]) -> None:
    from rich.table import Table

    out = console()
    if told["since"] is None:
        out.print("the lead has no earlier score to compare with")
        return
    before, now = told["since"], told["now"]
    out.print(
        f"{told['lead_id']}: {_value(before)} as of {before['as_of']}, {_value(now)} as of {now['as_of']}", markup=False
    )
    unit = "points" if told["scale"] == "points" else "log-odds"
    table = Table(unit, "why", box=None, padding=(0, 2))
    for part in told["parts"]:
        table.add_row(f"{part['amount']:+.3f}", f"[bold]{part['text']}[/bold]")
        for group in part["groups"]:
            table.add_row("", f"{group['amount']:+.3f}  {group['text']}", style="dim")
    if told["difference"] is not None:
        table.add_row(f"{told['difference']:+.3f}", "= the difference")
    out.print(table)
    if told["untold"] is not None:
        out.print(f"[yellow]{told['untold']['message']}[/yellow]")


def _value(score: dict[str, Any]) -> str:
    return f"{score['points']} points" if score["probability"] is None else f"{score['probability']:.1%}"
