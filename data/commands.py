"""The commands of the data: init, simulate, import, check, and those that keep and let go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.console import console, next_steps, print_json, step, typed
from data.import_report import ImportReport
from data.import_view import show_import, show_series
from data.keeping_commands import register as register_keeping

if TYPE_CHECKING:
    from datetime import datetime

    from data.exports import SeriesReport
    from data.settings import Settings

__all__ = ["cutoff_of", "register", "require_leads", "run_checks", "run_import", "show_import"]

AsJson = Annotated[bool, typer.Option("--json", help="Write the result as JSON to standard output.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the front door."""
    app.command("init")(init)
    app.command("simulate")(simulate)
    app.command("import")(import_)
    app.command("check")(check)
    register_keeping(app)


def init() -> None:
    """Make the folders and the store that the other commands use, or bring the store up to date; say where they are."""
    from data.errors import InfrastructureError
    from data.settings import load_settings
    from data.store.migrate import migrate

    settings = load_settings()
    for folder in (settings.home, settings.warehouse_dir, settings.bundles_dir, settings.mlruns):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InfrastructureError(
                f"{folder} cannot be made: {error.strerror}",
                hint="check its rights, or set CLEW_HOME, CLEW_WAREHOUSE, CLEW_BUNDLES or CLEW_MLRUNS to another place",
            ) from None
    store = migrate(settings.store_url)
    console().print(
        f"warehouse {settings.warehouse_dir}, bundles {settings.bundles_dir}, MLflow {settings.mlruns}, "
        f"store {store.place} (schema {store.after})",
        markup=False,
        soft_wrap=True,
    )
    next_steps(
        ("clew simulate --leads 20000", "make a B2B team's CRM export to try with"),
        ("clew import FOLDER --mapping salesforce", "bring your own export (or hubspot, dynamics, odoo, a YAML file)"),
    )


def simulate(
    leads: Annotated[int, typer.Option(help="Leads to make, duplicates included.", min=20)] = 20_000,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 7,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; default: simulated, in the home folder.")
    ] = None,
    months: Annotated[int, typer.Option(help="Months of history.", min=1)] = 24,
    engagement: Annotated[float, typer.Option(help="Factor on the number of events.")] = 1.0,
) -> None:
    """Make the CRM export of a B2B team, with the true probabilities kept apart."""
    from data.settings import load_settings
    from data.simulator import simulate as run

    target = out or load_settings().home / "simulated"
    with step(f"simulating {leads:,} leads") as tell:
        report = run(leads=leads, seed=seed, out=target, months=months, engagement=engagement, progress=tell)
    console().print(
        f"{report.leads:,} leads of {report.people:,} people, {report.events:,} events, "
        f"{report.won:,} won, {report.lost:,} lost, {report.open:,} open"
    )
    mapping = report.export / "mapping.yaml"
    next_steps((typed("clew", "import", report.export, "--mapping", mapping), "bring it into the warehouse"))


def import_(
    folder: Annotated[Path, typer.Argument(help="Folder with the exported files.", exists=True, file_okay=False)],
    mapping: Annotated[
        str,
        typer.Option(
            help="A mapping file, or a name: salesforce, hubspot, dynamics, odoo, bpi2012, olist, bank_marketing."
        ),
    ],
    exported_at: Annotated[
        str | None,
        typer.Option(help="When the export was taken, as 2026-01-05T06:00:00+08:00; default: now.", metavar="TIME"),
    ] = None,
    each: Annotated[
        str | None,
        typer.Option(
            help="FOLDER holds one folder for each export, and their names say when it was taken: 'crm_%Y-%m-%d'.",
            metavar="FORM",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring exported files into the warehouse: all or nothing, twice the same is once.

    Exports taken one after the other tell a history: what changed, and since when it was known.
    """
    from data.settings import load_settings

    report = _run_import(folder, mapping, load_settings(), exported_at=exported_at, each=each)
    if as_json:
        print_json(report.as_dict())
        return
    if isinstance(report, ImportReport):
        show_import(report)
    else:
        show_series(report)
    next_steps(("clew check", "hold the warehouse against the contract"), ("clew train", "train and judge a model"))


def _run_import(
    folder: Path, mapping: str, settings: Settings, *, exported_at: str | None, each: str | None
) -> ImportReport | SeriesReport:
    """Import one export or a series of them."""
    from data.clock import parse_moment
    from data.errors import UsageError
    from data.exports import import_series
    from data.mapping import load_mapping
    from data.warehouse import Warehouse

    if each is None:
        if exported_at and len(exported_at.strip()) <= len("2026-01-05"):
            raise UsageError("--exported-at: a day without a time was given", hint="write 2026-01-05T06:00:00+08:00")
        moment = parse_moment(exported_at, field="--exported-at") if exported_at else None
        return run_import(folder, mapping, settings, exported_at=moment)
    if exported_at:
        raise UsageError("--exported-at and --each were both given", hint="--each reads the times from the names")
    used, warehouse = load_mapping(mapping), Warehouse(settings.warehouse_dir)
    with step(f"importing the exports in {folder}") as tell:
        return import_series(folder, each, used, warehouse, progress=tell, threads=settings.query_threads)


def run_import(
    folder: Path, mapping: str | Path, settings: Settings, *, exported_at: datetime | None = None
) -> ImportReport:
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
            exported_at=exported_at,
        )


def check(
    docs: Annotated[Path | None, typer.Option(help="Folder for Data Docs (HTML); default: in the home folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold the warehouse against the contract: hard invariants first, then Great Expectations with Data Docs."""
    from data.settings import load_settings

    settings = load_settings()
    require_leads(settings)
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
        f"{invariants.checked} invariants hold. Of {len(report.results)} expectations {len(report.failed)} are not "
        f"met, {len(report.unchecked)} could not be checked.\nData Docs: {report.docs}",
        markup=False,
        soft_wrap=True,
    )
    for result in (*report.failed, *report.unchecked):
        where = f"{result.table}.{', '.join(result.columns)}" if result.columns else result.table
        out.print(f"  [yellow]{where}: {result.expectation}: {result.state}, {result.unexpected:,} rows[/yellow]")
    for table, count in invariants.unknown_leads.items():
        if count:
            out.print(f"  [dim]{table}: {count:,} rows speak of leads that were not imported[/dim]")
    return report.passed


def require_leads(settings: Settings) -> int:
    """Return when the first lead of the warehouse became known, in microseconds UTC.

    Raises
    ------
    DataError
        If nothing has been imported yet.
    """
    from data.errors import DataError
    from data.warehouse import Warehouse

    parts = [part for part in Warehouse(settings.warehouse_dir).manifest().parts if part.table == "leads"]
    first = [low for part in parts for low in part.times["known_at"][:1] if low is not None]
    if not first:
        raise DataError(
            f"the warehouse {settings.warehouse_dir} holds no leads",
            hint="bring some with `clew import FOLDER --mapping NAME`, or name another place with CLEW_HOME",
        )
    return min(first)


def cutoff_of(as_of: str | None, settings: Settings) -> datetime:
    """Return the moment that `--as-of` names, by default the present.

    Raises
    ------
    DataError
        If the text is no time, or the warehouse holds no leads.
    UsageError
        If the moment lies in the future, where nothing is known yet, or before the first lead.
    """
    from data.clock import from_us, iso, now, parse_moment, to_us
    from data.errors import UsageError

    first_us, present = require_leads(settings), now()
    moment = parse_moment(as_of, field="--as-of") if as_of else present
    if moment > present:
        raise UsageError(f"--as-of: {iso(moment)} lies in the future", hint="leave it out for the present moment")
    if to_us(moment) < first_us:
        raise UsageError(
            f"--as-of: {iso(moment)} lies before the first lead of {iso(from_us(first_us))}",
            hint="name a later moment, or import older leads",
        )
    return moment
