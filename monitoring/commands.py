"""The commands of monitoring: attribution of wins, market-to-lead baselines, and whether promises are kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from data.console import console, print_json, step
from monitoring.monitor_command import monitor
from monitoring.monthly.command import monthly
from monitoring.quality.command import quality

if TYPE_CHECKING:
    from datetime import datetime

    from data.settings import Settings
    from monitoring.attribution.journeys import Period

__all__ = ["register"]

AsOf = Annotated[str | None, typer.Option("--as-of", help="Only what was known by then; default: now.")]
Since = Annotated[str | None, typer.Option(help="Where the period begins, such as 2026-07-01.")]
Until = Annotated[str | None, typer.Option(help="Where the period ends, itself not counted.")]
Language = Annotated[Literal["en", "zh"], typer.Option(help="Of the tables.")]
Currency = Annotated[
    str | None, typer.Option(help="Convert amounts into this currency by the entered rates; else they stay apart.")
]
FiguresFile = Annotated[
    Path | None, typer.Option(help="Entered figures and rates; default: figures.yaml in the home folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write the result as JSON to standard output.")]

_DEFAULT_DAYS = 365


def register(app: typer.Typer) -> None:
    """Add the commands to the front door."""
    app.command("attribution")(attribution)
    app.command("baselines")(baselines)
    app.command("monitor")(monitor)
    app.command("monthly")(monthly)
    app.command("quality")(quality)


def attribution(  # noqa: PLR0913, PLR0917 - Typer reads a command's options from its arguments
    as_of: AsOf = None,
    since: Since = None,
    until: Until = None,
    by: Annotated[
        Literal["channel", "campaign", "keyword", "all"], typer.Option(help="What the table tells apart.")
    ] = "channel",
    model: Annotated[
        Literal["first_touch", "last_touch", "linear", "u_shaped", "shapley", "markov"],
        typer.Option(help="By which model the table tells amounts and ROI."),
    ] = "shapley",
    unit: Annotated[
        Literal["person", "account"], typer.Option(help="Whose touches count: the person's, or all of the account.")
    ] = "person",
    without: Annotated[
        list[str] | None,
        typer.Option(help="A channel that counts only where nothing else touched; may be given again."),
    ] = None,
    window_days: Annotated[float, typer.Option(help="How many days before the end a touch counts.")] = 180.0,
    landmark_days: Annotated[
        float, typer.Option(help="Shapley learns from the touches up to so many days after a lead began.")
    ] = 7.0,
    currency: Currency = None,
    figures: FiguresFile = None,
    top: Annotated[int, typer.Option(help="Lines of the table.", min=1)] = 20,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Hand out every won deal among the touches before it, by six models, and set it against what they cost.

    The period ends at --as-of and is a year long unless --since and --until say otherwise.
    """
    from data.settings import load_settings
    from data.warehouse import Warehouse
    from monitoring.attribution.report import Options, attribute
    from monitoring.attribution.table import money_table, notes, wins_table
    from monitoring.baselines.figures import load_figures

    settings = load_settings()
    period = _period(settings, as_of, since, until)
    entered = load_figures(figures or settings.home / "figures.yaml")
    options = Options(
        window_days=window_days,
        landmark_days=landmark_days,
        unit=unit,
        without=frozenset(without or ()),
        rates=entered.rates_to(currency, period.until_us, settings.zone) if currency else None,
    )
    with (
        step("attributing wins to touches") as tell,
        Warehouse(settings.warehouse_dir).connect(threads=settings.query_threads) as connection,
    ):
        report = attribute(connection, period, options, progress=tell)
    if as_json:
        print_json(report.as_dict())
        return
    out = console()
    out.print(wins_table(report, by, language=language, top=top))
    out.print()
    out.print(money_table(report, by, model=model, language=language, top=top))
    for note in notes(report, language=language):
        out.print(f"[yellow]{note}[/yellow]", soft_wrap=True)


def baselines(  # noqa: PLR0913, PLR0917 - Typer reads a command's options from its arguments
    as_of: AsOf = None,
    since: Since = None,
    until: Until = None,
    every: Annotated[Literal["week", "month"], typer.Option(help="Whole weeks or months.")] = "month",
    periods: Annotated[
        int, typer.Option(help="How many periods the trend looks back, the last one among them.", min=1)
    ] = 6,
    file: Annotated[Path | None, typer.Option(help="Your own baselines; default: those that come with clew.")] = None,
    figures: FiguresFile = None,
    currency: Currency = None,
    measures: Annotated[bool, typer.Option("--measures", help="Only list the named measures.")] = False,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Hold the funnel from market insight to won amounts against its baselines: green, amber, red or not measured.

    The last whole month is judged, or with --since and --until that period, beside as many periods before it.
    """
    from data.settings import load_settings
    from data.warehouse import Warehouse
    from monitoring.baselines.definitions import ENTERED, load_baselines
    from monitoring.baselines.figures import load_figures
    from monitoring.baselines.measures import MEASURES
    from monitoring.baselines.report import measure_baselines
    from monitoring.baselines.table import baseline_table, funnel_table

    if measures:
        _list_measures((ENTERED, *MEASURES), as_json=as_json)
        return
    settings = load_settings()
    looked_at = _periods(settings, as_of, since, until, every=every, count=periods)
    asked, entered = load_baselines(file), load_figures(figures or settings.home / "figures.yaml")
    with (
        step("measuring the baselines") as tell,
        Warehouse(settings.warehouse_dir).connect(threads=settings.query_threads) as connection,
    ):
        report = measure_baselines(
            connection, asked, entered, looked_at, zone=settings.zone, currency=currency, progress=tell
        )
    if as_json:
        print_json(report.as_dict())
        return
    out = console()
    out.print(baseline_table(report, language=language))
    out.print(funnel_table(report, language=language))


def _list_measures(names: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(list(names))
        return
    console().print("\n".join(names), markup=False)


def _period(settings: Settings, as_of: str | None, since: str | None, until: str | None) -> Period:
    """Return the period that was asked for, a year before `--as-of` by default."""
    from datetime import timedelta

    from data.clock import parse_moment
    from data.commands import cutoff_of
    from monitoring.attribution.journeys import Period

    known = cutoff_of(as_of, settings)
    end = parse_moment(until, field="--until") if until else known
    begin = parse_moment(since, field="--since") if since else end - timedelta(days=_DEFAULT_DAYS)
    return Period.of(begin, end, known)


def _periods(
    settings: Settings,
    as_of: str | None,
    since: str | None,
    until: str | None,
    *,
    every: Literal["week", "month"],
    count: int,
) -> tuple[Period, ...]:
    from data.clock import parse_moment
    from data.commands import cutoff_of
    from data.errors import UsageError
    from monitoring.baselines.periods import calendar_periods, equal_periods

    known: datetime = cutoff_of(as_of, settings)
    if since is None and until is None:
        return calendar_periods(known, every, count, settings.zone)
    if since is None or until is None:
        raise UsageError("only one of --since and --until was given", hint="give both, or neither for whole months")
    return equal_periods(parse_moment(since, field="--since"), parse_moment(until, field="--until"), known, count)
