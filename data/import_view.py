"""How the report of an import is shown at a terminal: what became of every row, what changed, what is withheld."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.console import console

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from data.exports import SeriesReport
    from data.import_report import Gone, ImportReport, Withheld

__all__ = ["show_import", "show_series"]

_ROWS = ("rows in", "kept", "duplicates", "quarantined", "filtered")
_KEYS = tuple(name.replace(" ", "_") for name in _ROWS)
_NAMED = 6  # columns named in one line


def show_import(report: ImportReport) -> None:
    """Print what became of every row."""
    out = console()
    if report.repeated:
        out.print(f"  these files were imported as the export of {report.exported_at} before: nothing to do")
        return
    _print_tables(
        out,
        "import",
        {
            name: dict(zip(_KEYS, (t.rows_in, t.kept, t.duplicates, t.refused, t.filtered), strict=True))
            for name, t in report.tables.items()
        },
    )
    for name in report.left_out:
        out.print(f"  {name}: left out, its file is optional and not in the folder")
    _print_changes(out, report)
    _print_quarantine(out, report)
    _print_withheld(out, report.withheld)
    if not report.changed:
        out.print("  nothing new: the warehouse is unchanged")


def show_series(report: SeriesReport) -> None:
    """Print one line for each export, then the sum over all; outcomes that another one took back are `corrected`."""
    from rich.table import Column, Table

    out = console()
    table = Table(Column("export", no_wrap=True), *("kept", "changed", "gone", "quarantined", "corrected"))
    read = [(export, one) for export, one in report.exports if not one.repeated]
    for export, one in read:
        tables = one.tables.values()
        outcomes = one.tables.get("outcomes")
        gone = "" if one.gone is None else f"{one.gone.vanished if one.gone.stored else one.gone.missing:,}"
        table.add_row(
            export.folder.name,
            f"{sum(t.kept for t in tables):,}",
            f"{sum(t.changes.changed for name, t in one.tables.items() if name != 'outcomes'):,}",
            gone,
            f"{sum(t.refused for t in tables):,}",
            f"{outcomes.changes.changed:,}" if outcomes else "",
        )
    if read:
        out.print(table)
        _print_tables(out, "all exports", report.totals())
    if before := len(report.exports) - len(read):
        out.print(f"  {before:,} of {len(report.exports):,} exports were imported before")
    for name in report.to_come:
        out.print(f"  {name}: left for later, its day is not over; with the hour in the name it need not wait")
    if report.passed_over:
        out.print(f"  not read, their names have another form: {', '.join(report.passed_over)}", markup=False)
    if read:
        _print_withheld(out, read[-1][1].withheld)
    if not report.changed:
        out.print("  nothing new: the warehouse is unchanged")


def _print_tables(out: Console, title: str, tables: Mapping[str, Mapping[str, int]]) -> None:
    from rich.table import Table

    shown = Table("table", *_ROWS, title=title)
    for name, row in tables.items():
        if row["rows_in"]:
            shown.add_row(name, *(f"{row[key]:,}" for key in _KEYS))
    out.print(shown)


def _print_changes(out: Console, report: ImportReport) -> None:
    """Say of states known before how many changed and in which columns, and which leads are gone."""
    for name, t in report.tables.items():
        if t.changes.changed:
            listed = [f"{column} {count:,}" for column, count in t.changes.columns.items()]
            more = ", …" if len(listed) > _NAMED else ""
            out.print(f"  {name}: {t.changes.changed:,} changed ({', '.join(listed[:_NAMED])}{more})", soft_wrap=True)
    if report.gone:
        _print_gone(out, report.gone)


def _print_gone(out: Console, gone: Gone) -> None:
    if gone.stored and (gone.vanished or gone.reappeared):
        out.print(f"  leads: {gone.vanished:,} vanished since the export before, {gone.reappeared:,} reappeared")
    elif gone.missing and not gone.stored:
        out.print(
            f"  leads: {gone.missing:,} of earlier exports are not in this one; that counts for nothing unless the "
            "mapping says full_export: true and every row of the file can be read",
            soft_wrap=True,
        )


def _print_quarantine(out: Console, report: ImportReport) -> None:
    from rich.markup import escape

    for name, t in report.tables.items():
        for reason, count in t.quarantined.items():
            out.print(f"  [yellow]{name}: {count:,} quarantined: {escape(reason)}[/yellow]")
    if report.quarantine:
        out.print(f"  the quarantined rows with their reasons are in {report.quarantine}", markup=False, soft_wrap=True)


def _print_withheld(out: Console, withheld: tuple[Withheld, ...]) -> None:
    """Say what a mapping keeps out of predictions, and from when on it need not be kept out."""
    never = [f"{w.column} ({w.filled:,} rows)" for w in withheld if w.known == "after_outcome"]
    if never:
        out.print(f"  withheld for good, known only after the outcome: {', '.join(never)}", soft_wrap=True)
    by_start: dict[str | None, list[str]] = {}
    for w in withheld:
        if w.known == "later":
            by_start.setdefault(w.since, []).append(f"{w.column} ({w.filled:,} rows)")
    for since, columns in by_start.items():
        when = f"dated since {since}, for training that begins no earlier" if since else "not dated yet"
        out.print(f"  withheld, known only later: {', '.join(columns)}; {when}", soft_wrap=True)
