"""The command `clew monitor`: do scores keep their promise, do the data look as they did, and is a retrain due.

What it finds is kept for the page `/monitoring` of the service.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from data.console import console, next_steps, print_json, step

if TYPE_CHECKING:
    from rich.table import Table

    from features.words import Language
    from monitoring.record.record import Record
    from monitoring.watch import Done, Watched

__all__ = ["monitor", "show_watched"]


def monitor(
    as_of: Annotated[str | None, typer.Option("--as-of", help="What was known then; default: now.")] = None,
    act: Annotated[bool, typer.Option("--act", help="Retrain or recalibrate if that is due, once a day.")] = False,
    page: Annotated[Path | None, typer.Option(help="Write the page to this file, .html.")] = None,
    attribution: Annotated[
        bool, typer.Option("--attribution", help="Hand out the wins of a year too; takes as long as all the rest.")
    ] = False,
    baselines: Annotated[Path | None, typer.Option(help="Your own baselines, as of `clew baselines --file`.")] = None,
    currency: Annotated[
        str | None, typer.Option(help="Convert amounts into this currency by the entered rates; else they stay apart.")
    ] = None,
    language: Annotated[Literal["en", "zh"], typer.Option(help="Of the page and of what is shown.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Write everything as JSON to standard output.")] = False,
) -> None:
    """Hold promises against outcomes and arrivals against the past, name what is not as it was, say what is due.

    Run it every Monday with --act: it retrains once a month, sooner when something calls for it, and never from data
    that are broken. The figures are kept in monitoring/ of the home folder, for the page /monitoring of the service.
    The exit code is 0 also where something was found.
    """
    from data.clock import to_us
    from data.commands import cutoff_of
    from data.errors import UsageError
    from data.settings import load_settings
    from monitoring.market import measure_market
    from monitoring.page import write_monitor_page
    from monitoring.standing_file import write_standing
    from monitoring.taking_stock import take_stock
    from monitoring.watch import act_on, watch

    if page is not None and page.suffix != ".html":
        raise UsageError("--page: a file .html was expected", hint="choose that ending")
    settings = load_settings()
    moment = cutoff_of(as_of, settings)
    with step(f"monitoring as of {moment:%Y-%m-%d}") as tell:
        watched = watch(settings, as_of_us=to_us(moment), tell=tell)
        if page is not None:
            write_monitor_page(watched, page, language=language)
        market = measure_market(
            settings, to_us(moment), with_attribution=attribution, file=baselines, currency=currency, tell=tell
        )
        kept = write_standing(take_stock(watched, market, timezone=settings.timezone), settings)
        done = act_on(settings, watched, tell=tell) if act else None
    if as_json:
        print_json({**watched.as_dict(), "done": None if done is None else done.as_dict()})
        return
    show_watched(watched, done, language=language)
    console().print(f"[dim]kept for the page /monitoring of the service: {kept}[/dim]", soft_wrap=True)


def show_watched(watched: Watched, done: Done | None = None, *, language: Language = "en") -> None:
    """Say what was found, what follows, and what was done."""
    from monitoring.drift.finding import KINDS
    from monitoring.words import ACTS

    out = console()
    if watched.record is not None:
        out.print(_promises(watched.record))
        _show_record(watched.record, language)
    for reason in watched.not_measured:
        out.print(f"[yellow]not measured[/yellow]  {reason}", soft_wrap=True)
    if not watched.findings:
        out.print("[green]✓[/green] nothing was found beyond chance and season")
    for finding in watched.findings:
        mark = "[red]✗[/red]" if finding.severity == "act" else "[yellow]–[/yellow]"
        out.print(f"{mark} {KINDS[finding.kind].in_language(language)}: ", end="")
        out.print(f"{finding.subject}: {finding.evidence.in_language(language)}", markup=False, soft_wrap=True)
        out.print(f"    {finding.remedy.in_language(language)}", markup=False, soft_wrap=True)
    out.print(f"[bold]{ACTS[watched.call.act].in_language(language)}[/bold]: ", end="")
    out.print(watched.call.reason.in_language(language), markup=False, soft_wrap=True)
    if done is not None:
        out.print(f"{'' if done.fresh else 'done before today: '}{done.outcome}", markup=False, soft_wrap=True)
    elif watched.call.act in {"retrain", "recalibrate"}:
        next_steps(("clew monitor --act", "do it"))


def _promises(record: Record) -> Table:
    from rich.table import Table

    table = Table("month", "grade", "leads", "promised", "won", "95 % interval", "too young", box=None, padding=(0, 2))
    for one in record.promises[-24:]:
        rates = ["–", "–", "–"]
        if one.promised is not None and one.realised is not None and one.low is not None and one.high is not None:
            rates = [f"{one.promised:.1%}", f"{one.realised:.1%}", f"{one.low:.1%} to {one.high:.1%}"]
        table.add_row(one.month, one.grade, f"{one.mature:,}", *rates, f"{one.young:,}")
    return table


def _show_record(record: Record, language: Language) -> None:
    out = console()
    level, order, worked = record.level, record.order, record.worked
    if level is not None:
        told = f"{level.promised:.1%} promised, {level.realised:.1%} won of {level.rows:,} matured scores"
        out.print(f"all grades: {told}")
    if order is not None and order.model is not None and order.rules is not None:
        out.print(
            f"ROC-AUC on the same leads: model {order.model[0]:.3f} ({order.model[1]:.3f} to {order.model[2]:.3f}), "
            f"rules {order.rules[0]:.3f}; wins among the first {order.capacity} of each month: "
            f"model {order.model_wins:.1f}, rules {order.rules_wins:.1f}"
        )
    if record.estimate.rows:
        expected = record.estimate
        out.print(f"{expected.rows:,} too young: {expected.wins:.1f} wins expected (± {expected.spread:.1f} by chance)")
        out.print(f"  [dim]{record.as_dict()['assumption'][language]}[/dim]", soft_wrap=True)
    if record.fallback_share is not None:
        out.print(f"answered by fallback: {record.fallback_share:.1%}")
    if worked.share is not None:
        out.print(f"hot leads worked in time: {worked.share:.0%} of {worked.hot:,} ({worked.never:,} not at all)")
