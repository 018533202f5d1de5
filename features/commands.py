"""The command of the features: what a model may know of a lead at a moment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.console import console, print_json, step

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the front door."""
    app.command("features")(features)


def features(
    as_of: Annotated[str, typer.Option(help="The moment, such as 2026-11-01 or 2026-11-01T08:00:00Z.")],
    out: Annotated[
        Path | None, typer.Option(help="Parquet file to write; default: features.parquet, in the home folder.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Only list the catalogue, as JSON.")] = False,
) -> None:
    """Compute the features of all open leads as they stood at a moment."""
    from data.clock import to_us
    from data.commands import cutoff_of
    from data.settings import load_settings
    from data.warehouse import Warehouse
    from features.snapshots import open_leads
    from features.sql import compute_features
    from features.training_set import catalogue_of, table_digest

    settings = load_settings()
    warehouse = Warehouse(settings.warehouse_dir)
    as_of_us = to_us(cutoff_of(as_of, settings))
    with warehouse.connect(threads=settings.query_threads) as connection:
        catalogue = catalogue_of(connection, warehouse, cutoff_us=as_of_us, timezone=settings.timezone)
        if listed:
            print_json([feature.model_dump() for feature in catalogue.features])
            return
        with step("computing features"):
            count = open_leads(connection, as_of_us=as_of_us)
            table = compute_features(connection, catalogue)
    target = out or settings.home / "features.parquet"
    _write(table, target)
    console().print(
        f"{count:,} open leads, {len(catalogue.features)} features: {target}\n{table_digest(table)}",
        markup=False,
        soft_wrap=True,
    )


def _write(table: pa.Table, target: Path) -> None:
    """Write beside the place and move it there, so that no half file is ever found."""
    import pyarrow.parquet as pq

    from data.errors import InfrastructureError

    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, part)
        part.replace(target)
    except OSError as error:
        raise InfrastructureError(
            f"{target} cannot be written: {error.strerror or type(error).__name__}", hint="choose another --out"
        ) from None
