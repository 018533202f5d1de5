"""The commands of the data: init, simulate, import, check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.console import console, next_steps, print_json, step

if TYPE_CHECKING:
    from data.import_report import ImportReport
    from data.settings import Settings

__all__ = ["register"]

AsJson = Annotated[bool, typer.Option("--json", help="Write the result as JSON to standard output.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the front door."""
    app.command("init")(init)
    app.command("simulate")(simulate)
    app.command("import")(import_)
    app.command("check")(check)


def init() -> None:
    """Make the folders and the MLflow database that the other commands use."""
    from data.settings import load_settings

    settings = load_settings()
    for folder in (settings.home, settings.warehouse_dir, settings.bundles_dir):
        folder.mkdir(parents=True, exist_ok=True)
    console().print(f"warehouse {settings.warehouse_dir}, bundles {settings.bundles_dir}")
    next_steps(("clew simulate --leads 20000", "make a B2B team's CRM export to try with"))


def simulate(
    leads: Annotated[int, typer.Option(help="Leads to make, duplicates included.", min=20)] = 20_000,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 7,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("var/simulated"),
    months: Annotated[int, typer.Option(help="Months of history.", min=1)] = 24,
    engagement: Annotated[float, typer.Option(help="Factor on the number of events.")] = 1.0,
) -> None:
    """Make the CRM export of a B2B team, with the true probabilities kept apart."""
    from data.simulator import simulate as run

    with step(f"simulating {leads:,} leads") as tell:
        report = run(leads=leads, seed=seed, out=out, months=months, engagement=engagement, progress=tell)
    console().print(
        f"{report.leads:,} leads of {report.people:,} people, {report.events:,} events, "
        f"{report.won:,} won, {report.lost:,} lost, {report.open:,} open"
    )
    next_steps(
        (f"clew import {report.export} --mapping {report.export / 'mapping.yaml'}", "bring it into the warehouse")
    )


def import_(
    folder: Annotated[Path, typer.Argument(help="Folder with the exported files.", exists=True, file_okay=False)],
    mapping: Annotated[
        str,
        typer.Option(
            help="A mapping file, or a name: salesforce, hubspot, dynamics, odoo, bpi2012, olist, bank_marketing."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Bring exported files into the warehouse: all or nothing, twice the same is once."""
    from data.settings import load_settings

    report = run_import(folder, mapping, load_settings())
    if as_json:
        print_json(report.as_dict())
        return
    show_import(report)
    next_steps(("clew check", "hold the warehouse against the contract"), ("clew train", "train and judge a model"))


def run_import(folder: Path, mapping: str | Path, settings: Settings) -> ImportReport:
    """Import with progress shown."""
    from data.importing import import_export
    from data.mapping import load_mapping
    from data.warehouse import Warehouse

    with step(f"importing {folder}") as tell:
        return import_export(
            folder,
            load_mapping(mapping),
            Warehouse(settings.warehouse_dir),
            progress=tell,
            threads=settings.query_threads,
        )


def show_import(report: ImportReport) -> None:
    """Print what became of every row."""
    from rich.table import Table

    table = Table("table", *("rows in", "kept", "duplicates", "quarantined", "filtered"), title="import")
    for name, t in report.tables.items():
        table.add_row(name, *(f"{n:,}" for n in (t.rows_in, t.kept, t.duplicates, t.refused, t.filtered)))
    out = console()
    out.print(table)
    for name, t in report.tables.items():
        for reason, count in t.quarantined.items():
            out.print(f"  [yellow]{name}: {count:,} quarantined: {reason}[/yellow]")
    if report.quarantine:
        out.print(f"  the quarantined rows with their reasons are in {report.quarantine}")
    if not report.changed:
        out.print("  nothing new: the warehouse is unchanged")


def check(
    docs: Annotated[Path | None, typer.Option(help="Folder for Data Docs (HTML); default: in the home folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold the warehouse against the contract: hard invariants first, then Great Expectations with Data Docs."""
    from data.settings import load_settings

    settings = load_settings()
    passed = run_checks(settings, docs or settings.home / "data-docs", as_json=as_json)
    raise typer.Exit(0 if passed else 2)


def run_checks(settings: Settings, docs: Path, *, as_json: bool = False) -> bool:
    """Check and print; tell whether everything was checked and met."""
    from data.checks import check_warehouse
    from data.invariants import check_invariants
    from data.warehouse import Warehouse

    warehouse = Warehouse(settings.warehouse_dir)
    with step("checking the warehouse"):
        invariants = check_invariants(warehouse)
        report = check_warehouse(warehouse, docs)
    if as_json:
        results = [vars(result) for result in report.results]
        print_json({"passed": report.passed, "invariants": invariants.checked, "results": results})
        return report.passed
    out = console()
    out.print(
        f"{invariants.checked} invariants hold; {len(report.results)} expectations: {len(report.failed)} not met, "
        f"{len(report.unchecked)} could not be checked; Data Docs: {report.docs}"
    )
    for result in (*report.failed, *report.unchecked):
        where = f"{result.table}.{', '.join(result.columns)}" if result.columns else result.table
        out.print(f"  [yellow]{where}: {result.expectation}: {result.state}, {result.unexpected:,} rows[/yellow]")
    for table, count in invariants.unknown_leads.items():
        if count:
            out.print(f"  [dim]{table}: {count:,} rows speak of leads that were not imported[/dim]")
    return report.passed
