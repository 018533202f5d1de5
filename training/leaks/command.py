"""The command `clew leakage`: which columns know the outcome, on the screen, as JSON, or as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.console import console, next_steps, print_json, step

if TYPE_CHECKING:
    from training.leaks.finder import LeakReport
    from training.leaks.verdicts import Verdict

__all__ = ["leakage", "show_report"]

_COUNTED: tuple[tuple[Verdict, str], ...] = (
    ("leak", "leaks"),
    ("suspect", "suspects"),
    ("clean", "clean"),
    ("cannot tell", "of which nothing can be told"),
)


def leakage(
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="When the data of the training would end; default: now.")
    ] = None,
    known_by: Annotated[
        str | None, typer.Option("--known-by", help="Only what was recorded by then, as an earlier run saw it.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write the findings with pictures to this HTML file.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show clean columns too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the findings as JSON to standard output.")] = False,
) -> None:
    """Look for columns that know the outcome: what was filled in, or overwritten, after a deal was decided."""
    from data.commands import cutoff_of
    from data.settings import load_settings
    from data.warehouse import Warehouse
    from features.training_set import known_by_of
    from training.leaks.finder import find_leaks_in

    settings = load_settings()
    cutoff = cutoff_of(as_of, settings)
    with step(f"looking for leaks as of {cutoff:%Y-%m-%d}") as tell:
        report = find_leaks_in(
            Warehouse(settings.warehouse_dir),
            settings,
            as_of=cutoff,
            known_by=known_by_of(known_by, cutoff=cutoff),
            progress=tell,
        )
    if page is not None:
        from training.leaks.page import write_leakage_page

        write_leakage_page(report, page, as_of=cutoff)
    if as_json:
        print_json(report.to_json() | ({"page": str(page)} if page else {}))
        return
    show_report(report, every=every)
    if page is not None:
        console().print(str(page), markup=False, soft_wrap=True)


def show_report(report: LeakReport, *, every: bool = False) -> None:
    """Print the findings, and what to do about leaks."""
    out = console()
    if every or report.named("leak") or report.named("suspect"):
        out.print(report.table(every=every))
    counts = ", ".join(f"{len(report.named(verdict))} {word}" for verdict, word in _COUNTED)
    out.print(
        f"{len(report.columns)} columns judged on {report.rows:,} matured pairs ({report.wins:,} won) and "
        f"{report.open:,} open leads: {counts}."
    )
    if report.leaks:
        next_steps(
            (
                "clew import FOLDER --mapping FILE",
                "after `known: after_outcome` (or `later`) in the mapping of the column",
            ),
            (f"clew train --allow-leak {report.leaks[0]}", "only if you know that it is known when a lead is scored"),
        )
