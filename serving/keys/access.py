"""Who asks, what they may, and whose leads they see: the one place that JSON routes and pages ask.

A key says what its bearer may do (scopes) and whose leads they see (role and owners). A lead that is not seen is
answered as one that does not exist: 404 tells nothing, 403 would tell that it is there.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.store.keys import ApiKey, Role, Scope

__all__ = ["ANYONE", "Principal", "is_loopback", "may", "oversees", "principal_of", "sees", "visible_owners"]

_ALL: frozenset[Scope] = frozenset(("score", "ingest", "read", "admin"))


@dataclass(frozen=True)
class Principal:
    """Who sent a request; without keys everybody on this machine is one administrator."""

    key_id: str | None
    role: Role
    scopes: frozenset[Scope]
    owner_ids: frozenset[str] = field(default_factory=frozenset)


ANYONE = Principal(None, "admin", _ALL)


def principal_of(key: ApiKey) -> Principal:
    """Return who bears a key."""
    return Principal(key.key_id, key.role, key.scopes, key.owner_ids)


def may(principal: Principal, *scopes: Scope) -> bool:
    """Tell whether one of the scopes is the principal's.

    Examples
    --------
    >>> crm = Principal("k1", "manager", frozenset(("score", "ingest")))
    >>> may(crm, "score"), may(crm, "read", "admin")
    (True, False)
    """
    return any(scope in principal.scopes for scope in scopes)


def visible_owners(principal: Principal) -> frozenset[str] | None:
    """Return whose leads the principal sees, None for everybody's.

    A rep sees the leads of the owners that the key names, and none where it names none. A manager whose key names
    owners sees theirs, another one and an administrator see all.

    Examples
    --------
    >>> visible_owners(Principal("k1", "rep", frozenset(("read",))))
    frozenset()
    >>> visible_owners(Principal("k2", "manager", frozenset(("read",)))) is None
    True
    """
    if principal.role == "admin" or (principal.role == "manager" and not principal.owner_ids):
        return None
    return principal.owner_ids


def oversees(principal: Principal) -> bool:
    """Tell whether the principal may read figures of the whole team: managers and administrators do, a rep does not.

    Examples
    --------
    >>> oversees(Principal("k1", "rep", frozenset(("read",)))), oversees(Principal("k2", "manager", frozenset()))
    (False, True)
    """
    return principal.role in {"manager", "admin"}


def sees(principal: Principal, owner_id: str | None) -> bool:
    """Tell whether a lead of an owner is visible; a lead without an owner only for those who see all.

    Examples
    --------
    >>> rep = Principal("k1", "rep", frozenset(("read",)), frozenset(("u7",)))
    >>> sees(rep, "u7"), sees(rep, "u8"), sees(rep, None)
    (True, False, False)
    """
    owners = visible_owners(principal)
    return owners is None or owner_id in owners


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address; a name other than localhost counts as public.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
