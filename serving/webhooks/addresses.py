"""Which addresses a webhook may call: public ones over https, unless the operator allows the private network.

A name is looked up by us, the addresses that come back are judged, and the connection goes to one of those very
addresses: what a name says a moment later does not matter. Judged are the blocks of IANA's registries of special
addresses, and those behind which clouds hand out a machine's credentials.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from data.errors import DataError

__all__ = ["AddressError", "Place", "Reach", "Resolve", "allowed_addresses", "place_of", "reach_of", "resolve_name"]

Reach = Literal["public", "private", "refused"]
Resolve = Callable[[str, int], Sequence[str]]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LONGEST_URL = 2_000
_PORTS = {"https": 443, "http": 80}
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")


def _blocks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(each) for each in text.split())


_PRIVATE = _blocks("10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 172.16.0.0/12 192.168.0.0/16 ::1/128 fc00::/7")
# Link-local with the metadata services, "this network", documentation, benchmarks, relays, multicast, reserved; then
# the metadata services that lie elsewhere: Azure's in public space, Alibaba's in that of carriers, Amazon's over IPv6.
_REFUSED = _blocks(
    "0.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 "
    "224.0.0.0/4 240.0.0.0/4 168.63.129.16/32 100.100.100.200/32 fd00:ec2::/32 fd20:ce::/32"
)
# Of IPv6 only this block is handed out; within it: protocols and Teredo, documentation, 6to4.
_UNICAST = ipaddress.IPv6Network("2000::/3")
_SPECIAL = _blocks("2001::/23 2001:db8::/32 2002::/16 3fff::/20")
# IPv4 within IPv6, as sockets and as translators of a network write it: judged by the address inside.
_MAPPED, _TRANSLATED = ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = frozenset((0x00005EFE, 0x02005EFE))


class AddressError(DataError):
    """An address that may not be called; `code` says why without naming it."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        self.code = code
        super().__init__(message, hint=hint)


@dataclass(frozen=True)
class Place:
    """A parsed address; `target` is the path with the query, which may hold a secret and is not shown."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    target: str

    def __repr__(self) -> str:
        """Leave the address out: this may end up in a log."""
        return f"Place(scheme={self.scheme!r})"

    @property
    def host_header(self) -> str:
        """What the `Host` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def place_of(url: str, *, private: bool = False) -> Place:
    """Return the parts of an address.

    Parameters
    ----------
    url
        An absolute URL.
    private
        Whether http is allowed as well; `allowed_addresses` holds it to private addresses.

    Raises
    ------
    AddressError
        If it is no URL, not https, or holds credentials or a fragment.

    Examples
    --------
    >>> place_of("https://crm.example:8443/hook?team=7").host_header
    'crm.example:8443'
    >>> place_of("http://crm.example/hook")
    Traceback (most recent call last):
    serving.webhooks.addresses.AddressError: the address is not https; messages are for nobody on the way to read
    """
    if not 0 < len(url) <= _LONGEST_URL or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise _unreadable()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _unreadable() from None
    if parts.scheme not in _PORTS:
        raise AddressError("address_invalid", "the address does not begin with https://")
    if parts.scheme == "http" and not private:
        hint = "messages are for nobody on the way to read"
        raise AddressError("address_invalid", "the address is not https", hint=hint)
    if "@" in parts.netloc or "#" in url:
        hint = "messages are signed, so that the receiver need not know more"
        raise AddressError("address_invalid", "the address holds credentials or a fragment", hint=hint)
    if port == 0 or not (_is_ipv6(host) if "[" in parts.netloc else _NAME.fullmatch(host) and len(host) <= 253):
        raise _unreadable()
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.scheme, host, port or _PORTS[parts.scheme], target)  # type: ignore[arg-type]


def allowed_addresses(place: Place, *, private: bool = False, resolve: Resolve | None = None) -> tuple[str, ...]:
    """Return the addresses of a place, all of which may be called.

    One that may not spoils the others: a name that points both ways is made to deceive.

    Parameters
    ----------
    place
        From `place_of`.
    private
        Whether the private network and this machine may be called.
    resolve
        What looks a name up, by default the system.

    Raises
    ------
    AddressError
        If the name is unknown, or one of its addresses may not be called.
    """
    found = tuple(dict.fromkeys((resolve or resolve_name)(place.host, place.port)))
    reaches = {reach_of(address) for address in found}
    if not found:
        raise _unknown()
    if "refused" in reaches or ("private" in reaches and not private):
        raise AddressError(
            "address_refused",
            "the address leads to this machine, the private network or another place that may not be called",
            hint="choose a public address; private ones are allowed by the setting webhook_private",
        )
    if place.scheme == "http" and reaches != {"private"}:
        hint = "plain http stays within the private network"
        raise AddressError("address_refused", "the address is public and not https", hint=hint)
    return found


def reach_of(address: str) -> Reach:
    """Tell whether an address is public, of this machine or the private network, or never to be called.

    Examples
    --------
    >>> [reach_of(each) for each in ("93.184.216.34", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1")]
    ['public', 'private', 'refused', 'private']
    """
    try:
        parsed: _Address = ipaddress.ip_address(address)
    except ValueError:
        return "refused"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.scope_id is not None:
            return "refused"
        if parsed in _MAPPED or parsed in _TRANSLATED:
            parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
    if any(parsed in block for block in _REFUSED):
        return "refused"
    if any(parsed in block for block in _PRIVATE):
        return "private"
    if isinstance(parsed, ipaddress.IPv6Address):
        special = parsed not in _UNICAST or any(parsed in block for block in _SPECIAL)
        return "refused" if special or (int(parsed) >> 32) & 0xFFFFFFFF in _ISATAP else "public"
    return "public" if parsed.is_global else "refused"


def resolve_name(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name as the system knows them; an address in any way of writing is its own.

    Raises
    ------
    AddressError
        If there are none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise _unknown() from None
    return [str(each[4][0]) for each in found]


def _unreadable() -> AddressError:
    return AddressError(
        "address_invalid", "the address is no URL that can be called", hint="write it as https://crm.example/hook"
    )


def _unknown() -> AddressError:
    return AddressError("name_unknown", "the name in the address is not known", hint="check its spelling, and the DNS")


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.IPv6Address(host).scope_id is None
    except ValueError:
        return False
