"""The command of the features: what a model may know of a lead at a moment, as a table, a list or a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.console import console, print_json, step

if TYPE_CHECKING:
    import duckdb

    from data.settings import Settings
    from features.definitions import Catalogue, Feature
    from features.engine import FeatureComputer

__all__ = ["register"]

_MONTHS = 6


def register(app: typer.Typer) -> None:
    """Add the command to the front door."""
    app.command("features")(features)


def features(
    as_of: Annotated[
        str | None, typer.Option(help="The moment, such as 2026-11-01 or 2026-11-01T08:00:00Z; default: now.")
    ] = None,
    known_by: Annotated[
        str | None, typer.Option("--known-by", help="Only what was recorded by then, as an earlier run saw it.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write; default: features.parquet, or features.html, in the home folder."),
    ] = None,
    page: Annotated[
        bool, typer.Option("--page", help="Write the catalogue as a page: words, missing, typical values, drift.")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="Only list the catalogue.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the result as JSON to standard output.")] = False,
) -> None:
    """Compute the features of all open leads as they stood at a moment, list them, or show them on a page."""
    from data.clock import to_us
    from data.commands import cutoff_of
    from data.errors import UsageError
    from data.settings import load_settings
    from data.warehouse import Warehouse
    from features.engine import feature_computer
    from features.own import own_features
    from features.training_set import catalogue_of, known_by_of

    if page and listed:
        raise UsageError("--page and --list were both given", hint="give one of them")
    settings = load_settings()
    warehouse = Warehouse(settings.warehouse_dir)
    cutoff = cutoff_of(as_of, settings)
    as_of_us, recorded = to_us(cutoff), known_by_of(known_by, cutoff=cutoff)
    own = own_features(settings, warehouse, known_by=recorded)
    with warehouse.connect(threads=settings.query_threads, known_by=recorded) as connection:
        catalogue = catalogue_of(
            connection,
            warehouse,
            cutoff_us=as_of_us,
            timezone=settings.timezone,
            known_by=recorded,
            own=own,
            treatments=settings.treatments,
        )
        compute = feature_computer(settings, warehouse, known_by=recorded)
        asked = _Asked(settings, connection, compute, catalogue, own, as_of_us, out)
        show = _show_page if page else _show_list if listed else _show_table
        told = show(asked, as_json=as_json)
        unseen = _unseen_types(connection, own)
    if as_json:
        print_json(told)
    for line in unseen:
        console().print(line, style="yellow", markup=False)


@dataclass(frozen=True)
class _Asked:
    """What all three ways of showing the features need."""

    settings: Settings
    connection: duckdb.DuckDBPyConnection
    compute: FeatureComputer
    catalogue: Catalogue
    own: tuple[Feature, ...]
    as_of_us: int
    out: Path | None


def _show_table(asked: _Asked, *, as_json: bool) -> object:
    """Compute the features and write them as Parquet."""
    import pyarrow.parquet as pq

    from data.files import written_whole
    from features.snapshots import open_leads
    from features.training_set import table_digest

    with step("computing features"):
        count = open_leads(asked.connection, as_of_us=asked.as_of_us)
        table = asked.compute(asked.connection, asked.catalogue)
    target = asked.out or asked.settings.home / "features.parquet"
    with written_whole(target) as beside:
        pq.write_table(table, beside)
    digest, number = table_digest(table), len(asked.catalogue.features)
    if not as_json:
        console().print(
            f"{count:,} open leads, {number} features: {target}\n{digest}",
            markup=False,
            soft_wrap=True,
        )
    return {"open_leads": count, "features": number, "file": str(target), "digest": digest}


def _show_list(asked: _Asked, *, as_json: bool) -> object:
    """Print one row a feature."""
    from features.listing import print_listing

    if not as_json:
        print_listing(asked.catalogue, own={feature.name for feature in asked.own}, out=console())
    return [feature.model_dump() for feature in asked.catalogue.features]


def _show_page(asked: _Asked, *, as_json: bool) -> object:
    """Describe the features over half a year and write the page."""
    from features.catalogue_page import PageContent, summary_of, write_page
    from features.profile import months_back, photograph_months, profile_features

    timezone = asked.settings.timezone
    moments = months_back(asked.as_of_us, timezone, _MONTHS)
    with step("describing the features") as tell:
        sections = photograph_months(asked.connection, moments, progress=tell)
        tell(f"computing {len(asked.catalogue.features)} features at {len(sections)} moments")
        table = asked.compute(asked.connection, asked.catalogue)
        tell("comparing the months")
        before = len(sections) > 1 and sections[-2].as_of_us == moments[-2]
        profiles = profile_features(table, asked.catalogue, sections, month_before=before)
    content = PageContent(sections, profiles, before, timezone, frozenset(feature.name for feature in asked.own))
    target = write_page(content, asked.out or asked.settings.home / "features.html")
    summary = summary_of(profiles)
    if not as_json:
        told = f", {len(summary.moved)} moved beyond chance ({summary.drifted} by PSI 0.1 or more)" if before else ""
        console().print(
            f"{summary.features} features of {sections[-1].leads:,} open leads: {len(summary.always_missing)} always "
            f"missing, {len(summary.constant)} the same for every lead{told}\n{target}",
            markup=False,
            soft_wrap=True,
        )
    return {
        "page": str(target),
        "open_leads": sections[-1].leads,
        "features": summary.features,
        "always_missing": summary.always_missing,
        "constant": summary.constant,
        "moved": {name: vars(drift) for name, drift in summary.moved},
    }


def _unseen_types(connection: duckdb.DuckDBPyConnection, own: tuple[Feature, ...]) -> list[str]:
    """Return a warning for each event type that an own feature names and nobody has shown: it may be misspelt."""
    from features.own_entry import nearest
    from features.reading import types_of

    named = {event_type: feature for feature in own for event_type in types_of(feature)}
    if not named:
        return []
    seen = [str(row[0]) for row in connection.execute("SELECT DISTINCT type FROM events ORDER BY type").fetchall()]
    return [
        f"{feature.name}: no event of the type {event_type} has been imported{nearest(event_type, seen)}"
        for event_type, feature in sorted(named.items())
        if event_type not in seen
    ]
