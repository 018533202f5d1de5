"""The commands that keep and let go: backup, restore, forget, retain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from data.console import console, next_steps, print_json, step, typed

__all__ = ["register"]

AsJson = Annotated[bool, typer.Option("--json", help="Write the result as JSON to standard output.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the front door."""
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.command("forget")(forget)
    app.command("retain")(retain)


def backup(
    target: Annotated[Path, typer.Argument(help="A new folder, or a new file .tar, .tar.gz or .tgz.")],
    rows: Annotated[
        bool, typer.Option("--rows", help="Hold the store as rows, which SQLite and PostgreSQL both take in.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy warehouse, store, bundles and mlruns, each of one moment, while the service goes on."""
    from data.backup import back_up
    from data.settings import load_settings

    with step(f"backing up to {target}") as tell:
        done = back_up(load_settings(), target, rows_only=rows, progress=tell)
    if as_json:
        print_json(done.as_dict())
        return
    store = "no store" if done.store is None else f"the store as {done.store}"
    console().print(
        f"{done.files:,} files, {done.bytes / 1e6:,.1f} MB, {store}. It holds personal data.",
        markup=False,
        soft_wrap=True,
    )
    next_steps((typed("clew", "restore", target), "put it back, into another CLEW_HOME to try"))


def restore(
    source: Annotated[Path, typer.Argument(help="The folder or file of a backup.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup back, after every file of it was held against its hash. Stop the service first."""
    from data.backup import restore as put_back
    from data.settings import load_settings

    with step(f"restoring {source}") as tell:
        done = put_back(load_settings(), source, force=force, progress=tell)
    if as_json:
        print_json(done.as_dict())
        return
    console().print(f"{done.files:,} files as of {done.at}", markup=False, soft_wrap=True)
    next_steps(("clew init", "bring the store up to date, if the backup is of an older clew"))


def forget(
    lead_id: Annotated[str, typer.Argument(help="Any lead of the person.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a person everywhere: contacts, what was derived from them, features and reasons, feedback, quarantine."""
    from contextlib import closing

    from data.forget import forget as erase
    from data.settings import load_settings
    from data.store.engine import expect_schema, open_store
    from data.warehouse import Warehouse

    if not yes:
        typer.confirm("This cannot be undone. Erase the person?", abort=True, err=True)
    settings = load_settings()
    with closing(open_store(settings.store_url)) as store:
        expect_schema(store)
        with step("erasing"):
            done = erase(store, Warehouse(settings.warehouse_dir), lead_id)
    if as_json:
        print_json(done.as_dict())
        return
    kept = done.store
    console().print(
        f"{done.leads:,} lead(s) of the person. Store: {kept.contacts:,} contact rows, {kept.scores:,} scores, "
        f"{kept.feedback:,} opinions, {kept.messages:,} messages. Warehouse: {done.contacts:,} contact rows, "
        f"{done.lead_rows:,} rows of leads, {done.quarantined:,} rows of the quarantine.\n"
        "Backups hold the person until they are thrown away; an export that still names the person brings it back.",
        soft_wrap=True,
    )


def retain(as_json: AsJson = False) -> None:
    """Delete events, scores and contacts that are older than the settings keep_*_days say; default: keep all."""
    from contextlib import closing

    from data.clock import now, to_us
    from data.retention import Retention
    from data.retention import retain as delete
    from data.settings import load_settings
    from data.store.engine import expect_schema, open_store
    from data.warehouse import Warehouse

    settings = load_settings()
    retention = Retention.of(settings)
    with closing(open_store(settings.store_url)) as store:
        expect_schema(store)
        with step("deleting what is past its time"):
            done = delete(store, Warehouse(settings.warehouse_dir), retention, now_us=to_us(now()))
    if as_json:
        print_json(done.as_dict())
        return
    if retention == Retention():
        console().print("everything is kept: set keep_events_days, keep_scores_days or keep_contacts_days")
        return
    console().print(
        f"store: {done.store_events:,} events, {done.store_scores:,} scores, {done.store_contacts:,} contact rows; "
        f"warehouse: {done.warehouse_events:,} events, {done.warehouse_contacts:,} contact rows",
        soft_wrap=True,
    )
