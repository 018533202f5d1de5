"""`clew keys`: make, list and revoke the API keys of the endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.console import console, print_json

if TYPE_CHECKING:
    from data.store.engine import Store
    from data.store.keys import ApiKey

__all__ = ["keys_app"]

keys_app = typer.Typer(help="API keys of the endpoint: create, list, revoke.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]


@keys_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, such as crm; no personal data.")],
    role: Annotated[str, typer.Option(help="rep sees own leads, manager a team's or all, admin all.")] = "manager",
    scope: Annotated[list[str] | None, typer.Option(help="score, ingest, read or admin; may be repeated.")] = None,
    owner: Annotated[list[str] | None, typer.Option(help="Whose leads it sees; may be repeated.")] = None,
    days: Annotated[int, typer.Option(help="Days until it expires; 0 for never.", min=0)] = 365,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it once; only its hash is stored."""
    from data.clock import DAY_US, now, to_us
    from data.errors import UsageError
    from data.store.keys import create_key

    if role == "rep" and not owner:
        raise UsageError("the key of a rep without an owner sees no lead", hint="name one or more with --owner")
    expires_us = to_us(now()) + days * DAY_US if days else None
    key, text = create_key(
        _store(),
        name,
        role=role,  # type: ignore[arg-type]
        scopes=scope or ["score"],  # type: ignore[arg-type]
        owner_ids=owner or [],
        expires_us=expires_us,
    )
    if as_json:
        print_json({**_told(key), "key": text})
        return
    out = console()
    out.print(text, markup=False, soft_wrap=True)
    out.print(f"key {key.key_id} ({key.role}; {', '.join(sorted(key.scopes))}): keep it now, it is shown only once")


@keys_app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all keys, revoked and expired ones too; the keys themselves are not known."""
    from rich.table import Table

    from data.store.keys import list_keys

    told = [_told(key) for key in list_keys(_store())]
    if as_json:
        print_json(told)
        return
    table = Table("key", "name", "role", "scopes", "owners", "expires", "state", box=None, padding=(0, 2))
    for row in told:
        scopes, owners = ", ".join(row["scopes"]), ", ".join(row["owner_ids"]) or "-"
        table.add_row(row["key_id"], row["name"], row["role"], scopes, owners, row["expires_at"] or "-", row["state"])
    console().print(table)


@keys_app.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(help="The id of the key, from `clew keys list`.")]) -> None:
    """Make a key invalid; running services follow within seconds."""
    from data.errors import UsageError
    from data.store.keys import list_keys, revoke_key

    store = _store()
    if revoke_key(store, key_id):
        console().print(f"key {key_id} is revoked", markup=False)
    elif any(key.key_id == key_id for key in list_keys(store)):
        console().print(f"key {key_id} had been revoked before", markup=False)
    else:
        raise UsageError("there is no key of that id", hint="look at `clew keys list`")


def _store() -> Store:
    from data.settings import load_settings
    from data.store.engine import expect_schema, open_store

    store = open_store(load_settings().store_url)
    expect_schema(store)
    return store


def _told(key: ApiKey) -> dict[str, Any]:
    from data.clock import from_us, iso, now, to_us

    revoked = key.revoked_us is not None
    state = "valid" if key.is_valid(to_us(now())) else "revoked" if revoked else "expired"
    return {
        "key_id": key.key_id,
        "name": key.name,
        "role": key.role,
        "scopes": sorted(key.scopes),
        "owner_ids": sorted(key.owner_ids),
        "created_at": iso(from_us(key.created_us)),
        "expires_at": None if key.expires_us is None else iso(from_us(key.expires_us)),
        "state": state,
    }
