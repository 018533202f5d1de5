"""A new webhook: its address judged as it will be at each delivery, its secret made; for HTTP and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.store.targets import add_target
from serving.webhooks.addresses import allowed_addresses, place_of
from serving.webhooks.signing import new_secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.store.engine import Store
    from data.store.targets import MessageKind, Target
    from serving.webhooks.addresses import Resolve

__all__ = ["add_webhook", "check_url"]


def check_url(url: str, *, private: bool = False, resolve: Resolve | None = None) -> None:
    """Refuse an address that may not be called; blocks while the name is looked up.

    Raises
    ------
    AddressError
        If it is no https address, its name is unknown, or it leads where nothing is called.
    """
    allowed_addresses(place_of(url, private=private), private=private, resolve=resolve)


def add_webhook(store: Store, url: str, *, kinds: Sequence[MessageKind], pools: Sequence[str]) -> Target:
    """Add a target with a new secret; `check_url` comes first.

    Raises
    ------
    UsageError
        If there are too many targets, or no kind is asked for.
    """
    return add_target(store, url, secret=new_secret(), kinds=kinds, pools=pools)
