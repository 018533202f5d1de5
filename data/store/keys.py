"""API keys: shown once when they are made, stored as a salted hash, expiring, and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import sqlalchemy as sa

from data.clock import now, to_us
from data.errors import UsageError
from data.store.schema import API_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data.store.engine import Store

__all__ = [
    "ApiKey",
    "Role",
    "Scope",
    "create_key",
    "list_keys",
    "open_session",
    "revoke_key",
    "session_ends",
    "verify_key",
    "verify_session",
]

Role = Literal["rep", "manager", "admin"]
Scope = Literal["score", "ingest", "read", "admin"]

_PREFIX = "clew"
_ID_BYTES, _SECRET_BYTES = 8, 32
# What a key with an unknown id is compared with, so that the answer takes as long as for a known one.
_NOBODY = {"salt": "0" * 32, "hashed": "0" * 64}


@dataclass(frozen=True)
class ApiKey:
    """Who asks and what they may; `owner_ids` are those whose leads a rep sees. Nothing in it is secret."""

    key_id: str
    name: str
    role: Role
    scopes: frozenset[Scope]
    owner_ids: frozenset[str]
    created_us: int
    expires_us: int | None
    revoked_us: int | None

    def is_valid(self, now_us: int) -> bool:
        """Tell whether the key is neither revoked nor expired, microseconds UTC."""
        return self.revoked_us is None and (self.expires_us is None or now_us < self.expires_us)


def create_key(
    store: Store,
    name: str,
    *,
    role: Role,
    scopes: Sequence[Scope],
    owner_ids: Sequence[str] = (),
    expires_us: int | None = None,
    now_us: int | None = None,
) -> tuple[ApiKey, str]:
    """Return a new key and its text, which is nowhere stored and cannot be had again.

    Raises
    ------
    UsageError
        If role or scopes are none that exist.
    """
    if role not in get_args(Role):
        raise UsageError("the role of a key is unknown", hint=f"choose among {', '.join(get_args(Role))}")
    if not scopes or set(scopes) - set(get_args(Scope)):
        raise UsageError("the scopes of a key are unknown", hint=f"choose among {', '.join(get_args(Scope))}")
    created_us = to_us(now()) if now_us is None else now_us
    # Not from a seeded generator: whoever could draw it again would have the key.
    key_id, secret, salt = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES), secrets.token_hex(16)
    key = ApiKey(key_id, name, role, frozenset(scopes), frozenset(owner_ids), created_us, expires_us, None)
    row = {
        "key_id": key_id,
        "name": name,
        "salt": salt,
        "hashed": _hash(salt, secret),
        "role": role,
        "scopes": json.dumps(sorted(key.scopes)),
        "owner_ids": json.dumps(sorted(key.owner_ids)),
        "created_at": created_us,
        "expires_at": expires_us,
    }
    store.execute(sa.insert(API_KEYS), row)
    return key, f"{_PREFIX}_{key_id}_{secret}"


def verify_key(store: Store, text: str, *, now_us: int | None = None) -> ApiKey | None:
    """Return the key that a text is, or None where it is none, has expired or was revoked.

    How long the answer takes says nothing about the secret, nor whether there is a key of that id.
    """
    _, key_id, secret = (*text.split("_", 2), "", "", "")[:3]
    known_id = key_id if len(key_id) == 2 * _ID_BYTES and key_id.isascii() and key_id.isalnum() else ""
    row = _row_of(store, known_id)
    expected = _NOBODY if row is None else row
    same = hmac.compare_digest(_hash(expected["salt"], secret), expected["hashed"])
    if row is None or not same or not text.startswith(f"{_PREFIX}_"):
        return None
    key = _key(row)
    return key if key.is_valid(to_us(now()) if now_us is None else now_us) else None


def open_session(store: Store, text: str, *, until_us: int, now_us: int | None = None) -> str | None:
    """Return what a browser may show instead of a key until a moment, None where the text is no valid key.

    It names key and moment and is signed with the hash that the store holds of the key: so nothing is stored, and it
    ends with the key. Whoever can read the store could sign; whoever can write it could make keys.
    """
    key = verify_key(store, text, now_us=now_us)
    return None if key is None else _session(_row_of(store, key.key_id), until_us)


def verify_session(store: Store, text: str, *, now_us: int | None = None) -> ApiKey | None:
    """Return the key that a session was opened with, None where it was made up, or it or its key has ended."""
    at_us = to_us(now()) if now_us is None else now_us
    key_id, until_us = text.split(".", maxsplit=1)[0], session_ends(text)
    if until_us is None or until_us <= at_us:
        return None
    known_id = key_id if key_id.isascii() and key_id.isalnum() else ""
    row = _row_of(store, known_id)
    same = hmac.compare_digest(_session(_NOBODY if row is None else row, until_us), text)
    if row is None or not same:
        return None
    key = _key(row)
    return key if key.is_valid(at_us) else None


def session_ends(text: str) -> int | None:
    """Return until when a session claims to last, in microseconds UTC; None where the text is none.

    Examples
    --------
    >>> session_ends("k1.1000000.00"), session_ends("clew_1_2"), session_ends("a.b.c")
    (1000000, None, None)
    """
    parts = text.split(".")
    sound = len(parts) == 3 and text.isascii() and parts[1].isdigit() and len(parts[1]) < 20
    return int(parts[1]) if sound else None


def revoke_key(store: Store, key_id: str, *, now_us: int | None = None) -> bool:
    """Make a key invalid from now on; tell whether it was valid so far. The first moment of revoking stays."""

    def work(connection: sa.Connection) -> bool:
        at_us = to_us(now()) if now_us is None else now_us
        valid = API_KEYS.c.key_id == key_id, API_KEYS.c.revoked_at.is_(None)
        return bool(connection.execute(sa.update(API_KEYS).where(*valid).values(revoked_at=at_us)).rowcount)

    return store.write(work)


def list_keys(store: Store) -> list[ApiKey]:
    """Return all keys, the revoked and expired ones too, in the order in which they were made."""
    query = sa.select(API_KEYS).order_by(API_KEYS.c.created_at, API_KEYS.c.key_id)
    with store.reading() as connection:
        return [_key(row) for row in connection.execute(query).mappings()]


def _row_of(store: Store, key_id: str) -> sa.RowMapping | None:
    with store.reading() as connection:
        return connection.execute(sa.select(API_KEYS).where(API_KEYS.c.key_id == key_id)).mappings().one_or_none()


def _session(row: Mapping[Any, Any] | None, until_us: int) -> str:
    """Return the session of a key; of none the one of nobody, so that making it takes as long."""
    signed = row or _NOBODY
    head = f"{signed.get('key_id', '')}.{until_us}"
    return f"{head}.{hmac.new(signed['hashed'].encode(), f'session.{head}'.encode(), hashlib.sha256).hexdigest()}"


def _hash(salt: str, secret: str) -> str:
    """Return a fast hash: 256 random bits cannot be guessed, so a slow one would only slow down every request."""
    return hashlib.sha256(f"{salt}:{secret}".encode(errors="replace")).hexdigest()


def _key(row: sa.RowMapping) -> ApiKey:
    return ApiKey(
        row["key_id"],
        row["name"],
        row["role"],
        frozenset(json.loads(row["scopes"])),
        frozenset(json.loads(row["owner_ids"])),
        row["created_at"],
        row["expires_at"],
        row["revoked_at"],
    )
