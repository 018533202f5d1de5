"""One message over the wire: in bounded time, with a bounded answer, no redirects, no proxy from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from monitoring.cards.platforms import Reply

if TYPE_CHECKING:
    import httpcore

    from monitoring.cards.platforms import Message

__all__ = ["Lost", "Post", "Trouble", "post"]

Trouble = Literal["unreachable", "no_answer"]
_SECONDS = 10.0
_MOST_ANSWER = 65_536
_AGENT = "clew-cards/1"


class Lost(Exception):  # noqa: N818 - no error of its own: the sender decides what follows
    """There is no answer. `unreachable` was certainly not taken; `no_answer` may have been.

    The address is not part of it, as it is the robot's password.
    """

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        super().__init__(trouble)


class Post(Protocol):
    """How a message is posted; tests put their own in its place."""

    def __call__(self, address: str, message: Message) -> Reply:
        """Return the answer, or raise `Lost`."""


def post(address: str, message: Message) -> Reply:
    """Post a message once.

    Parameters
    ----------
    address
        Of the robot.
    message
        The body, and what the address gets besides.

    Raises
    ------
    Lost
        If no connection came about, or it broke before there was an answer.
    """
    import httpcore

    query = message.query and f"{'&' if '?' in address else '?'}{message.query}"
    headers: list[tuple[bytes | str, bytes | str]] = [
        ("content-type", "application/json; charset=utf-8"),
        ("user-agent", _AGENT),
        ("accept-encoding", "identity"),
    ]
    waits = {"connect": _SECONDS, "read": _SECONDS, "write": _SECONDS, "pool": _SECONDS}
    try:
        with (
            httpcore.ConnectionPool(max_connections=1) as pool,
            pool.stream(
                "POST", address + query, headers=headers, content=message.body, extensions={"timeout": waits}
            ) as response,
        ):
            return Reply(response.status, _body(response), _asked(response))
    except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.UnsupportedProtocol):
        raise Lost("unreachable") from None
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        raise Lost("no_answer") from None


def _body(response: httpcore.Response) -> bytes:
    read = b""
    for chunk in response.iter_stream():
        read += chunk
        if len(read) > _MOST_ANSWER:
            break
    return read[:_MOST_ANSWER]


def _asked(response: httpcore.Response) -> float | None:
    """Return the seconds of `Retry-After`; its other form, a date, is none that these platforms use."""
    told = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"").strip()
    return float(told[:6]) if told.isdigit() else None
