"""The commands of serving: serve, explain, changes, score, sync, demo, keys, webhooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from data.console import console, print_json, step
from serving.batch.score_command import register as register_score
from serving.batch.sync_command import register as register_sync
from serving.changes.commands import register as register_changes
from serving.keys.commands import keys_app
from serving.webhooks.commands import webhooks_app

if TYPE_CHECKING:
    from data.settings import Settings
    from features.words import Language
    from serving.scoring.scorer import Scorer

__all__ = ["register", "show_answer"]

AsOf = Annotated[str | None, typer.Option("--as-of", help="The moment of the prediction; default: now.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the front door."""
    app.command("serve")(serve)
    app.command("explain")(explain)
    register_changes(app)
    register_score(app)
    register_sync(app)
    app.command("demo")(demo)
    app.add_typer(keys_app, name="keys")
    app.add_typer(webhooks_app, name="webhooks")


def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind; 127.0.0.1 unless you know better.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind.")] = None,
) -> None:
    """Answer over HTTP until Ctrl-C, with the promoted bundle or, without one, with the rules."""
    from data.settings import load_settings
    from serving.process.start import serve as start

    given = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings(**given)
    with step("starting the service") as tell:
        handle = start(settings, background=True, progress=tell)
    routes = "POST /v1/score, /v1/score/batch, GET /v1/model, /v1/openapi.json"
    console().print(f"listening on {handle.url}: {routes}", markup=False, soft_wrap=True)
    console().print(f"log: {handle.log}; stop with Ctrl-C", markup=False, soft_wrap=True)
    handle.wait()


def explain(
    lead_id: Annotated[str, typer.Argument(help="A lead of the store or of the warehouse.")],
    as_of: AsOf = None,
    language: Annotated[Literal["en", "zh"], typer.Option(help="Of the reasons.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Write the answer as JSON to standard output.")] = False,
) -> None:
    """Read one lead's score, the reasons that add up to it, and the rules beside it.

    A lead of the store is shown as its page shows it, with what changed and how similar ones ended. With --as-of, and
    for a lead that only the warehouse knows, it is scored from the warehouse.
    """
    from data.clock import now, parse_moment, to_us
    from data.settings import load_settings
    from serving.pages.terminal import facts_of, seen_in_store, show_lead
    from serving.process.state import answering

    settings = load_settings()
    now_us = to_us(now())
    as_of_us = to_us(parse_moment(as_of, field="--as-of")) if as_of else now_us
    scorer = answering(settings).scorer
    seen = None if as_of else seen_in_store(settings, scorer, lead_id, language, now_us)
    if seen is None:
        answer = _of_warehouse(settings, scorer, lead_id, as_of_us, language)
        print_json(answer) if as_json else show_answer(answer, language)
    elif as_json:
        print_json(facts_of(*seen, scorer))
    else:
        show_lead(*seen, scorer, language)


def _of_warehouse(
    settings: Settings, scorer: Scorer, lead_id: str, as_of_us: int, language: Language
) -> dict[str, Any]:
    """Return the answer for a lead as the warehouse knew it at a moment."""
    from data.commands import require_leads
    from data.warehouse import Warehouse
    from serving.scoring.facts import custom_kinds
    from serving.scoring.payload import parse_item
    from serving.scoring.requests import request_of

    require_leads(settings)
    with Warehouse(settings.warehouse_dir).connect() as connection:
        request = request_of(
            connection,
            lead_id,
            as_of_us,
            custom=custom_kinds(scorer.catalogue),
            actions=scorer.catalogue.needs("actions"),
        )
    return scorer.score(parse_item(request, 0), as_of_us=as_of_us, language=language)


def show_answer(answer: dict[str, Any], language: Language = "en") -> None:
    """Print an answer as a person reads it: the probability, what speaks for and against, the rules."""
    import math

    from rich.table import Table

    from serving.pages.rendering import percent
    from serving.pages.wording import say

    out = console()
    rules = answer["rules"]
    told = ", ".join(f"{fired['rule']} (+{fired['points']})" for fired in rules["fired"]) or "no rule fired"
    if answer["probability"] is None:
        out.print(f"[bold]{answer['lead_id']}[/bold]: no model is promoted, the rules answer")
    else:
        out.print(
            f"[bold]{answer['lead_id']}[/bold] as of {answer['as_of']}: "
            f"[bold]{answer['probability']:.1%}[/bold] to win within {answer['horizon_days']} days, "
            f"score {answer['score']} of 100, grade {answer['grade']}"
        )
        if answer["interval"]:
            low, high = map(percent, answer["interval"])
            out.print(say("range", language, low=low, high=high), markup=False)
        table = Table("log-odds", "why", box=None, padding=(0, 2))
        table.add_row(f"{answer['base_logit']:+.3f}", "[dim]an average lead[/dim]")
        for reason in answer["reasons"]:
            colour = "green" if reason["logit"] > 0 else "red"
            table.add_row(f"[{colour}]{reason['logit']:+.3f}[/{colour}]", reason["text"])
        table.add_row(f"{answer['remainder_logit']:+.3f}", "[dim]everything else[/dim]")
        total = answer["base_logit"] + sum(r["logit"] for r in answer["reasons"]) + answer["remainder_logit"]
        table.add_row(f"[bold]{total:+.3f}[/bold]", f"= {1 / (1 + math.exp(-total)):.1%}")
        out.print(table)
    out.print(f"rules: {rules['points']} points, pool {rules['pool']}: {told}")
    decided = answer["handover"]
    within = f", within {decided['respond_within_minutes']} minutes" if decided["respond_within_minutes"] else ""
    out.print(f"hand over to pool {decided['pool']}, priority {decided['priority']}{within}: {decided['note']}")
    for warning in answer["warnings"]:
        out.print(f"[yellow]{warning.get('message', warning)}[/yellow]")


def demo(
    leads: Annotated[int, typer.Option(help="Leads to simulate.", min=500)] = 20_000,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 7,
    folder: Annotated[
        Path | None,
        typer.Option("--data", help="A folder with one of the known public data sets, instead of simulating."),
    ] = None,
    home: Annotated[Path, typer.Option(help="Where everything of the demo goes; made anew.")] = Path("var/demo"),
) -> None:
    """Show the main job from end to end: import, check, train, judge, register, seal, serve, score, explain."""
    from serving.demo.run import run_demo

    run_demo(leads=leads, seed=seed, folder=folder, home=home)
