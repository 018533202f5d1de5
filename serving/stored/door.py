"""The door to the operational store: opened in the worker that uses it, off the event loop, closed in words.

A service without a store scores all the same. One whose store has another schema is not ready: it would lose what it
acknowledges.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import anyio
import anyio.to_thread

from data.errors import InfrastructureError
from serving.http.exchange import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from data.store.engine import Store

__all__ = ["Door", "DoorState"]

T = TypeVar("T")

DoorState = Literal["open", "none", "schema", "away"]
"""Whether the store can be used: `none` was ever made, it is of another `schema`, or it cannot be reached."""

# As many as the store keeps connections; who waits longer than the queue is told so.
_AT_ONCE, _MOST = 8, 256
_WORDS = {
    "none": ("store_missing", "there is no store: run `clew init` once, and ask again"),
    "schema": ("store_schema", "the store is of another version of clew: run `clew init` with this one"),
    "away": ("store_unavailable", "the store cannot be used; nothing was acknowledged"),
}
_RETRY = {"retry-after": "5"}


class Door:
    """Gives the store to whoever may wait for it.

    Parameters
    ----------
    url
        Of the operational store.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._store: Store | None = None
        self._stamp: int | None = None
        self._looking = threading.Lock()
        self._limiter: anyio.CapacityLimiter | None = None
        self._inside = 0
        self.state: DoorState = "none"

    @property
    def is_sound(self) -> bool:
        """Whether a worker may call itself ready: nothing that it acknowledged would be lost."""
        return self.state != "schema"

    def look(self) -> DoorState:
        """See how the store stands and open it; blocks, so not for the event loop.

        A file that was replaced, as by `clew restore`, is opened anew.
        """
        with self._looking:
            stamp = _stamp_of(self._url)
            if stamp != self._stamp:
                self.close()
            self._stamp = stamp
            self.state = "none" if stamp is None else self._found()
            return self.state

    def store(self) -> Store:
        """Return the open store.

        Raises
        ------
        Refusal
            503 if it cannot be used, saying what to do.
        """
        if self.state != "open" or self._store is None:
            raise self._closed()
        return self._store

    async def run(self, work: Callable[[Store], T]) -> T:
        """Do something with the store in a thread and return what it gave.

        Raises
        ------
        Refusal
            503 if the store cannot be used, 429 if too many wait for it.
        """
        store = self.store()
        if self._inside >= _MOST:
            raise Refusal(429, "overloaded", "too many wait for the store; try again", {"retry-after": "1"})
        self._limiter = self._limiter or anyio.CapacityLimiter(_AT_ONCE)
        self._inside += 1
        try:
            return await anyio.to_thread.run_sync(work, store, limiter=self._limiter)
        except InfrastructureError:
            raise Refusal(503, *_WORDS["away"], _RETRY) from None
        finally:
            self._inside -= 1

    def _found(self) -> DoorState:
        from data.store.engine import open_store, schema_of
        from data.store.schema import SCHEMA

        store = self._store = self._store or open_store(self._url)
        try:
            with store.reading() as connection:
                schema = schema_of(connection)
        except InfrastructureError:
            return "away"
        if schema is None:
            return "none"
        return "open" if schema == SCHEMA else "schema"

    def _closed(self) -> Refusal:
        code, message = _WORDS.get(self.state, _WORDS["away"])
        return Refusal(503, code, message, _RETRY)

    def close(self) -> None:
        """Give back the connections."""
        if self._store is not None:
            self._store.close()
        self._store = None


def _stamp_of(url: str) -> int | None:
    """Return what tells one SQLite file from another that took its place, None where there is none; 0 for a server."""
    from data.store.engine import store_url

    parsed = store_url(url)
    if parsed.get_backend_name() != "sqlite":
        return 0
    try:
        return Path(str(parsed.database)).stat().st_ino
    except OSError:
        return None
