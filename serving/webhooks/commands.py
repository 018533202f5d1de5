"""`clew webhooks`: add, list, test and remove the places that messages go to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from data.console import console, print_json

if TYPE_CHECKING:
    from data.store.engine import Store

__all__ = ["webhooks_app"]

webhooks_app = typer.Typer(help="Messages to other systems: add, list, ping, remove.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]
TargetId = Annotated[str, typer.Argument(help="The id of the webhook, from `clew webhooks list`.")]


@webhooks_app.command("add")
def add(
    url: Annotated[str, typer.Argument(help="An https address, without credentials.")],
    kind: Annotated[
        list[str] | None,
        typer.Option(help="grade_changed, pool_entered or model_changed; may be repeated; default: all."),
    ] = None,
    pool: Annotated[list[str] | None, typer.Option(help="A pool whose entering is told; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Have messages sent to an address, and print the secret that signs them, once."""
    from data.settings import load_settings
    from serving.webhooks.adding import add_webhook, check_url
    from serving.webhooks.bodies import chosen_kinds, webhook_answer

    kinds = chosen_kinds(kind, pool or [])  # type: ignore[arg-type]  # checked when it is added
    check_url(url, private=load_settings().webhook_private)
    target = add_webhook(_store(), url, kinds=kinds, pools=pool or [])
    if as_json:
        print_json({**webhook_answer(target), "secret": target.secret})
        return
    out = console()
    out.print(target.secret, markup=False, soft_wrap=True)
    out.print(
        f"webhook {target.target_id} ({', '.join(target.kinds)}): give the receiver its secret, it is shown only once",
        markup=False,
        soft_wrap=True,
    )


@webhooks_app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all webhooks; their secrets are not shown again."""
    from rich.table import Table

    from data.store.targets import list_targets
    from serving.webhooks.bodies import webhook_answer

    targets = list_targets(_store())
    if as_json:
        print_json([webhook_answer(target) for target in targets])
        return
    table = Table("webhook", "address", "kinds", "pools", box=None, padding=(0, 2))
    for target in targets:
        table.add_row(target.target_id, target.url, ", ".join(target.kinds), ", ".join(target.pools) or "-")
    console().print(table)


@webhooks_app.command("ping")
def ping(target_id: TargetId) -> None:
    """Have a running service send a test message."""
    from data.store.outbox import send_ping

    if send_ping(_store(), target_id) is None:
        raise _missing()
    console().print(f"a test message waits for webhook {target_id}; a running service sends it", markup=False)


@webhooks_app.command("remove")
def remove(target_id: TargetId) -> None:
    """Send nothing more to an address, not even what waits for it."""
    from data.store.targets import remove_target

    if not remove_target(_store(), target_id):
        raise _missing()
    console().print(f"webhook {target_id} is removed", markup=False)


def _missing() -> Exception:
    from data.errors import UsageError

    return UsageError("there is no webhook of that id", hint="look at `clew webhooks list`")


def _store() -> Store:
    from data.settings import load_settings
    from data.store.engine import expect_schema, open_store

    store = open_store(load_settings().store_url)
    expect_schema(store)
    return store
