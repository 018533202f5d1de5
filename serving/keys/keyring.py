"""The API keys as a worker knows them: asked of the store, remembered for seconds, demanded wherever it matters.

Nothing here blocks the event loop. A key that was verified goes on working while the store is away; a new one waits.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from data.clock import now, to_us
from data.errors import ClewError, InfrastructureError, UsageError
from serving.http.exchange import Refusal
from serving.keys.access import ANYONE, is_loopback, principal_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from data.settings import Settings
    from data.store.engine import Store
    from data.store.keys import ApiKey
    from serving.keys.access import Principal

T = TypeVar("T")

__all__ = ["FRESH_SECONDS", "Keyring", "check_bind", "keyring_of"]

# How long a verified key is believed without asking again: a revoked one ends within this time.
FRESH_SECONDS = 5.0
_AWAY_SECONDS = 3600.0
_REMEMBERED = 4_096
_ASKING_AT_ONCE, _ASKING_MOST = 4, 64
_SESSION = b"session."
_CHALLENGE = {"www-authenticate": 'Bearer realm="clew"'}


@dataclass(frozen=True)
class _Seen:
    """What the store said of a text, and when (seconds of the monotonic clock)."""

    key: ApiKey | None
    at: float


class Keyring:
    """Turns an `Authorization` header, or the session of a browser, into a principal.

    Parameters
    ----------
    url
        Of the operational store; None where there are no keys for sure.
    public
        Whether other machines reach the service: keys are demanded then whatever the store says.
    """

    def __init__(self, url: str | None, *, public: bool = False) -> None:
        self._url = url
        self._public = public
        self._store: Store | None = None
        self._keys_exist = False
        # Until the store was read nobody knows whether there are keys, so they are demanded.
        self._known = url is None
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        self._asking = 0
        self._limiter: anyio.CapacityLimiter | None = None

    @property
    def demanded(self) -> bool:
        """Whether a request needs a key: on a public address, and everywhere as soon as one was ever made."""
        return self._public or self._keys_exist or not self._known

    def refresh(self) -> int:
        """Read from the store whether keys exist; return how many are valid. Blocks, so not for the event loop.

        Raises
        ------
        InfrastructureError
            If there is a store and it cannot be read; what was known stays.
        """
        if self._url is None or not _is_there(self._url):
            self._known = True
            return 0
        from data.store.keys import list_keys

        keys = list_keys(self._opened()) if self._has_schema() else []
        self._keys_exist, self._known = self._keys_exist or bool(keys), True
        now_us = to_us(now())
        return sum(key.is_valid(now_us) for key in keys)

    async def principal(
        self, authorization: str | None, address: str | None = None, *, session: str | None = None
    ) -> Principal:
        """Return who sent a request.

        Parameters
        ----------
        authorization
            The header, `Bearer` and a key.
        address
            Our own address that the request came in at: without keys only a loopback one is answered.
        session
            From `sign_in`, as a browser sends it back; only pages take one. It counts where there is no header.

        Raises
        ------
        Refusal
            401 without a valid key, 429 if too many unknown keys are being looked up, 503 if the store is away.
        """
        if not self.demanded and (address is None or is_loopback(address)):
            return ANYONE
        if session and not authorization:
            from data.store.keys import session_ends

            key, ends_us = await self._verified(session, _SESSION), session_ends(session)
            at_us = to_us(now())
            if key is None or not key.is_valid(at_us) or ends_us is None or ends_us <= at_us:
                raise Refusal(401, "session_ended", "the session has ended; sign in again")
            return principal_of(key)
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise Refusal(401, "key_required", "send an API key: Authorization: Bearer clew_…", _CHALLENGE)
        key = await self._verified(text.strip())
        if key is None or not key.is_valid(to_us(now())):
            raise Refusal(401, "key_invalid", "the API key is unknown, has expired or was revoked", _CHALLENGE)
        return principal_of(key)

    async def sign_in(self, text: str, *, until_us: int) -> str | None:
        """Return the session of a key until a moment, None where it is no valid key.

        Raises
        ------
        Refusal
            429 if too many unknown keys are being looked up, 503 if the store is away.
        """

        def work() -> str | None:
            from data.store.keys import open_session

            return open_session(self._opened(), text, until_us=until_us) if self._is_made() else None

        return await self._asked(work)

    async def _verified(self, text: str, kind: bytes = b"") -> ApiKey | None:
        # The text itself is not kept; how long looking up its hash takes tells nothing about it.
        digest = hashlib.sha256(kind + text.encode(errors="replace")).digest()
        seen = self._seen.get(digest)
        if seen is not None and time.monotonic() - seen.at < FRESH_SECONDS:
            return seen.key
        try:
            key = await self._asked(lambda: self._ask_session(text) if kind == _SESSION else self._ask(text))
        except Refusal as refusal:
            recent = seen is not None and time.monotonic() - seen.at < _AWAY_SECONDS
            if refusal.status == 503 and seen is not None and seen.key is not None and recent:
                return seen.key
            raise
        self._remember(digest, _Seen(key, time.monotonic()))
        return key

    async def _asked(self, work: Callable[[], T]) -> T:
        """Return what the store says, asked in a thread."""
        if self._asking >= _ASKING_MOST:
            raise Refusal(429, "overloaded", "too many unknown keys are being looked up", {"retry-after": "1"})
        self._limiter = self._limiter or anyio.CapacityLimiter(_ASKING_AT_ONCE)
        self._asking += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        except ClewError:
            message = "the store of the keys cannot be reached"
            raise Refusal(503, "keys_unavailable", message, {"retry-after": "5"}) from None
        finally:
            self._asking -= 1

    def _ask(self, text: str) -> ApiKey | None:
        from data.store.keys import verify_key

        return verify_key(self._opened(), text) if self._is_made() else None

    def _ask_session(self, text: str) -> ApiKey | None:
        from data.store.keys import verify_session

        return verify_session(self._opened(), text) if self._is_made() else None

    def _is_made(self) -> bool:
        return self._url is not None and _is_there(self._url) and self._has_schema()

    def _remember(self, digest: bytes, seen: _Seen) -> None:
        self._seen[digest] = seen
        self._seen.move_to_end(digest)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def _opened(self) -> Store:
        if self._store is None:
            from data.store.engine import open_store

            self._store = open_store(str(self._url))
        return self._store

    def _has_schema(self) -> bool:
        from data.store.engine import schema_of

        with self._opened().reading() as connection:
            return schema_of(connection) is not None

    def close(self) -> None:
        """Give back the connections to the store."""
        if self._store is not None:
            self._store.close()


def _is_there(url: str) -> bool:
    """Tell whether there may be a store: a file of SQLite that was never made holds no keys for sure."""
    from data.store.engine import store_url

    parsed = store_url(url)
    return parsed.get_backend_name() != "sqlite" or Path(str(parsed.database)).exists()


def keyring_of(settings: Settings) -> Keyring:
    """Return the keyring of the settings, refreshed once; a store that cannot be read demands keys."""
    found = Keyring(settings.store_url, public=not is_loopback(settings.host))
    try:
        found.refresh()
    except InfrastructureError:
        return found
    return found


def check_bind(settings: Settings) -> None:
    """Refuse an address that other machines reach as long as there is no valid key.

    Raises
    ------
    UsageError
        If there is none.
    InfrastructureError
        If the store cannot be read.
    """
    if is_loopback(settings.host):
        return
    keyring = Keyring(settings.store_url, public=True)
    try:
        valid = keyring.refresh()
    finally:
        keyring.close()
    if not valid:
        raise UsageError(
            f"{settings.host} is reached from other machines, and there is no valid API key",
            hint="make one with `clew init` and `clew keys create NAME --scope score`, or listen on 127.0.0.1",
        )
