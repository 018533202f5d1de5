"""Who looks at a page: cookies, the proof that a form was ours, and the headers that keep a page to itself."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import Response

from serving.http.exchange import header_of
from serving.keys.access import ANYONE, is_loopback

if TYPE_CHECKING:
    from starlette.requests import Request

    from features.words import Language
    from serving.keys.access import Principal

__all__ = [
    "LANGUAGE_COOKIE",
    "SESSION_COOKIE",
    "VISITOR_COOKIE",
    "Visitor",
    "came_from_elsewhere",
    "cookies_of",
    "drop_cookie",
    "guarded",
    "host_of",
    "keep_cookie",
    "local_path",
    "new_mark",
]

SESSION_COOKIE, VISITOR_COOKIE, LANGUAGE_COOKIE = "clew_session", "clew_visitor", "clew_language"
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True)
class Visitor:
    """Who looks: the principal, and what the browser holds. `mark` is a random text that no other page can read."""

    principal: Principal
    language: Language
    mark: str
    session: str = ""

    @property
    def key_id(self) -> str:
        """Under what their views and visits are kept; empty where there are no keys."""
        return self.principal.key_id or ""

    @property
    def can_sign_out(self) -> bool:
        """Whether there is a session to end."""
        return bool(self.session) and self.principal is not ANYONE

    def token(self, purpose: str) -> str:
        """Return what a form of ours carries: nobody else can make it, as nobody else knows the cookies.

        Examples
        --------
        >>> visitor = Visitor(ANYONE, "en", "m")
        >>> visitor.token("feedback") == visitor.token("views"), visitor.sent("feedback", visitor.token("feedback"))
        (False, True)
        """
        key = f"{self.mark}.{self.session}".encode()
        return hmac.new(key, purpose.encode(), hashlib.sha256).hexdigest()

    def sent(self, purpose: str, token: str) -> bool:
        """Tell whether a form is one that this browser was given for that purpose."""
        return hmac.compare_digest(self.token(purpose).encode(), token.encode(errors="replace"))


def new_mark() -> str:
    """Return a new random mark; not from a seeded generator, as nobody may guess it."""
    return secrets.token_hex(16)


def cookies_of(request: Request) -> dict[str, str]:
    """Return the cookies of a request; what cannot be read counts as none."""
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header_of(request, b"cookie")).items()}
    except CookieError:
        return {}


def host_of(request: Request) -> str:
    """Return the host that the browser has in its address bar, without the port."""
    try:
        return urlsplit(f"//{header_of(request, b'host')}").hostname or ""
    except ValueError:
        return ""


def came_from_elsewhere(request: Request) -> bool:
    """Tell whether another site had the browser send a form; browsers say so, other clients say nothing."""
    if header_of(request, b"sec-fetch-site") not in {"", "same-origin", "none"}:
        return True
    origin = header_of(request, b"origin")
    # Without a referrer some browsers say `null` for a form of the page itself; the form's token decides then.
    return origin not in {"", "null"} and urlsplit(origin).netloc != header_of(request, b"host")


def keep_cookie(response: Response, request: Request, name: str, value: str, *, seconds: int | None = None) -> None:
    """Give the browser a cookie that scripts cannot read and other sites cannot have sent.

    Secure everywhere but on this machine, where browsers may not have TLS.
    """
    response.set_cookie(
        name, value, max_age=seconds, path="/", secure=not is_loopback(host_of(request)), httponly=True,
        samesite="strict",
    )  # fmt: skip


def drop_cookie(response: Response, request: Request, name: str) -> None:
    """Take a cookie back."""
    keep_cookie(response, request, name, "", seconds=0)


def guarded(response: Response, *, lasting: bool = False) -> Response:
    """Return the response with the headers of a page; only a `lasting` one may be kept by browsers."""
    response.headers.update(_HEADERS)
    response.headers["cache-control"] = "public, max-age=3600" if lasting else "no-store"
    return response


def local_path(text: str, otherwise: str = "/") -> str:
    """Return a path of this service to go on to, never one that leads elsewhere.

    Examples
    --------
    >>> local_path("/leads/L-1?a=b"), local_path("//evil.example"), local_path("https://evil.example")
    ('/leads/L-1?a=b', '/', '/')
    """
    plain = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and text.isascii()
    return text if plain and "\\" not in text else otherwise
