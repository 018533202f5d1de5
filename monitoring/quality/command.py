"""The command `clew quality`: the week's leads on a page, as JSON, and as a card in the team's chat."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from data.console import console, print_json, step

if TYPE_CHECKING:
    from data.settings import Settings
    from features.words import Language
    from monitoring.cards.sending import Sent
    from monitoring.cards.targets import CardSettings, Target
    from monitoring.quality.report import QualityReport

__all__ = ["quality"]


def quality(
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="The week that ended last by then; default: now.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Where the period begins, instead of the last week.")] = None,
    until: Annotated[str | None, typer.Option(help="Where the period ends, itself not counted.")] = None,
    weeks: Annotated[int, typer.Option(help="How many whole weeks one period has.", min=1, max=13)] = 1,
    language: Annotated[Literal["en", "zh"], typer.Option(help="Of the page, the card and what is shown.")] = "en",
    output: Annotated[Path | None, typer.Option(help="Write the page to this file, .html.")] = None,
    send: Annotated[
        list[str] | None,
        typer.Option(
            help="Send a card to this target of cards.yaml, or to wecom, feishu, dingtalk, slack; again for more."
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Send also what was sent, or may have been.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write everything as JSON to standard output.")] = False,
) -> None:
    """Report the leads of a week: mix, gaps, duplicates, who can be reached, who falls or stands still, and losses.

    Run it every Monday with --output and --send. A card goes once to each target, also where the command runs again;
    the exit code is 3 where one did not arrive.
    """
    from data.commands import cutoff_of
    from data.errors import UsageError
    from data.settings import load_settings
    from monitoring.cards.sending import raise_undelivered
    from monitoring.cards.targets import load_card_settings, targets_of
    from monitoring.quality.limits import load_limits
    from monitoring.quality.page import write_quality_page
    from monitoring.quality.report import report_quality
    from monitoring.quality.weeks import reported_weeks

    if output is not None and output.suffix != ".html":
        raise UsageError("--output: a file .html was expected", hint="choose that ending")
    settings = load_settings()
    moment = cutoff_of(as_of, settings)
    told = reported_weeks(moment, zone=settings.zone, weeks=weeks, since=since, until=until)
    limits, cards = load_limits(settings.home / "quality.yaml"), load_card_settings(settings.home / "cards.yaml")
    targets = targets_of(send or (), cards, plain_http=settings.webhook_private)
    with step("reporting the quality of leads") as tell:
        report = report_quality(settings, told, limits, tell=tell)
        if output is not None:
            write_quality_page(report, output, zone=settings.zone, language=language)
    sent = _send(settings, report, targets, cards, language=language, again=again)
    if as_json:
        print_json({**report.as_dict(), "sent": [one.as_dict() for one in sent]})
    else:
        _show(settings, report, sent, language)
    raise_undelivered(sent)


def _send(
    settings: Settings,
    report: QualityReport,
    targets: tuple[Target, ...],
    cards: CardSettings,
    *,
    language: Language,
    again: bool,
) -> list[Sent]:
    """Send the card to each target in its language; one that fails keeps no other one from getting it."""
    if not targets:
        return []
    import numpy as np

    from monitoring.cards.sending import send_card
    from monitoring.quality.summary import card_of

    rng, sent = np.random.default_rng(settings.seed), []
    with step("sending cards") as tell:
        for target in targets:
            tell(target.name)
            card = card_of(report, zone=settings.zone, language=target.language or language, link=cards.page)
            folder = settings.home / "monitoring" / "cards"
            sent.append(send_card(card, target, folder=folder, rng=rng, again=again))
    return sent


def _show(settings: Settings, report: QualityReport, sent: list[Sent], language: Language) -> None:
    from monitoring.cards.card import LIGHTS
    from monitoring.quality.summary import card_of

    out = console()
    card = card_of(report, zone=settings.zone, language=language)
    out.print(f"{card.title}: {card.under}", markup=False, soft_wrap=True)
    for figure in card.figures:
        told: list[Any] = [figure.label + ":", figure.value, figure.arrow, f"({figure.note})" if figure.note else ""]
        light = "" if figure.light == "none" else f"{figure.sign} {LIGHTS[figure.light].in_language(language)}"
        out.print("  " + " ".join(part for part in (*told, light) if part), markup=False, soft_wrap=True)
    for alert in card.alerts:
        out.print(f"  ! {alert}", markup=False, soft_wrap=True)
    for reason in report.not_measured:
        out.print("[yellow]–[/yellow] ", end="")
        out.print(reason.in_language(language), markup=False, soft_wrap=True)
    for one in sent:
        state = one.state if one.fresh else f"{one.state} by an earlier run"
        out.print(f"card to {one.target}: {state}", markup=False, soft_wrap=True)
