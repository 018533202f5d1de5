"""The command `clew monthly`: the page for the manager of one month, in English and Chinese."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from data.console import console, print_json, step

if TYPE_CHECKING:
    from features.words import Language
    from monitoring.monthly.report import MonthlyReport

__all__ = ["monthly"]


def monthly(
    as_of: Annotated[str | None, typer.Option("--as-of", help="Only what was known by then; default: now.")] = None,
    month: Annotated[
        str | None, typer.Option(help="The month, such as 2026-10; default: the last one that is over.")
    ] = None,
    language: Annotated[Literal["en", "zh"], typer.Option(help="Of --output and of what is shown.")] = "en",
    output: Annotated[Path | None, typer.Option(help="Write the page to this file too, .html.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write everything as JSON to standard output.")] = False,
) -> None:
    """Write the manager's page of a month: promised and won, the funnel, what drives wins, what to do.

    The page lies in the home folder, monitoring/monthly-YYYY-MM.en.html and .zh.html. What cannot be measured, without
    a store of scores or without a model, is said to be so.
    """
    from data.commands import cutoff_of
    from data.errors import UsageError
    from data.settings import load_settings
    from features.words import LANGUAGES
    from monitoring.monthly.page import monthly_file, write_monthly_page
    from monitoring.monthly.report import collect_month

    if output is not None and output.suffix != ".html":
        raise UsageError("--output: a file .html was expected", hint="choose that ending")
    settings = load_settings()
    moment = cutoff_of(as_of, settings)
    with step("measuring the month") as tell:
        report = collect_month(settings, as_of=moment, month=month, tell=tell)
        pages = {of: monthly_file(settings.home, report.month, of) for of in LANGUAGES}
        for of, path in pages.items():
            write_monthly_page(report, path, language=of)
        if output is not None:
            write_monthly_page(report, output, language=language)
    if as_json:
        print_json({**report.as_dict(), "pages": {of: str(path) for of, path in pages.items()}})
        return
    _show(report, output or pages[language], language)


def _show(report: MonthlyReport, page: Path, language: Language) -> None:
    """Say in a few lines what the page tells, and where it lies."""
    out = console()
    rows, promised, wins = report.matured
    if rows:
        out.print(f"{wins:,} won of {promised:,.0f} promised on matured lists")
    for line in report.funnel:
        if line.step in {"lead", "won"} and line.now is not None:
            out.print(f"{line.step}: {line.now:,} in {report.month}, {line.before or 0:,} in {report.month_before}")
    for why in report.missing.values():
        out.print(f"[yellow]not measured[/yellow]  {why.in_language(language)}", soft_wrap=True)
    for number, advice in enumerate(report.advice, start=1):
        out.print(f"{number}. {advice.what.in_language(language)}", markup=False, soft_wrap=True)
    out.print(f"page: {page}", markup=False, soft_wrap=True)
