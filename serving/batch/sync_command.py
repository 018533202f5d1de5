"""`clew sync`: store and warehouse united, and what was served held against what training sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.console import console, print_json, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from data.settings import Settings
    from data.sync import SyncReport
    from monitoring.served_features import ServedCheck

__all__ = ["register"]

AsJson = Annotated[bool, typer.Option("--json", help="Write the result as JSON to standard output.")]


def register(app: typer.Typer) -> None:
    """Add the command to the front door."""
    app.command("sync")(sync)


def sync(
    check: Annotated[
        int, typer.Option(help="Compute so many served feature vectors again from the warehouse, and compare.", min=0)
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Unite the store and the warehouse: what was served trains the next model, what was imported can be scored."""
    from contextlib import closing

    import numpy as np

    from data.settings import load_settings
    from data.store.engine import expect_schema, open_store
    from data.sync import sync as unite
    from data.warehouse import Warehouse
    from monitoring.served_features import check_served

    settings = load_settings()
    warehouse = Warehouse(settings.warehouse_dir)
    with closing(open_store(settings.store_url)) as store:
        expect_schema(store)
        with step("uniting store and warehouse") as tell:
            report = unite(
                store,
                warehouse,
                threads=settings.query_threads,
                events_from_us=_events_kept_from(settings),
                progress=tell,
            )
        served = None
        if check:
            with step(f"computing {check:,} served feature vectors again"):
                rng = np.random.default_rng(settings.seed)
                served = check_served(store, warehouse, _catalogues(settings), sample=check, rng=rng)
    if as_json:
        print_json(report.as_dict() | {"served": None if served is None else served.as_dict()})
        return
    _show(report)
    if served is not None:
        _show_served(served)


def _show(report: SyncReport) -> None:
    out = console()
    for name, table in report.tables.items():
        if table.to_store or table.to_warehouse or table.refused:
            why = "".join(f", {count:,} refused ({reason})" for reason, count in table.refused.items())
            out.print(f"{name}: {table.to_warehouse:,} to the warehouse, {table.to_store:,} to the store{why}")
    if not report.changed:
        out.print("both held the same already")
    if report.left_out:
        out.print(f"columns whose names cannot be columns of the warehouse: {', '.join(report.left_out)}", markup=False)
    if report.quarantine:
        out.print(f"rows in conflict: {report.quarantine}", markup=False, soft_wrap=True)


def _show_served(served: ServedCheck) -> None:
    if not served.compared:
        console().print("no score of a model is there whose features could be computed again")
        return
    differing = ", ".join(f"{name} in {count:,}" for name, count in served.differing.items())
    console().print(
        f"{served.agreeing:,} of {served.compared:,} served feature vectors agree to the last bit"
        + (f"; different: {differing}" if differing else ""),
        soft_wrap=True,
    )


def _events_kept_from(settings: Settings) -> int | None:
    from data.clock import now, to_us
    from data.retention import Retention

    return Retention.of(settings).events_from_us(to_us(now()))


def _catalogues(settings: Settings) -> Callable[[str], Any]:
    """Return what finds the catalogue of a bundle among the published ones."""
    from functools import cache

    from data.errors import ClewError
    from training.bundles.bundle import Bundle, folder_name

    @cache
    def find(digest: str) -> Any:  # noqa: ANN401 - a catalogue or None
        try:
            return Bundle.load(settings.bundles_dir / folder_name(digest)).catalogue
        except ClewError:
            return None

    return find
