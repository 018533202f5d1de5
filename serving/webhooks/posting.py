"""One message over the wire: to an address that was checked, in bounded time, with a bounded answer, no redirects.

httpcore speaks HTTP; what it connects to is decided here (its documented network backends), so that the address that
was judged is the one that is called, under the name that stands in the URL and in the certificate. It reads no proxy
from the environment and follows no redirect.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpcore

from data.clock import now
from data.errors import DataError
from serving.webhooks.addresses import AddressError, allowed_addresses, place_of
from serving.webhooks.envelope import body_of, message_id_of
from serving.webhooks.signing import signed_headers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from data.store.outbox import Delivery, Target
    from serving.webhooks.addresses import Place, Resolve

__all__ = ["ATTEMPT_SECONDS", "Line", "Outcome", "Timing", "retry_after_of"]

_AGENT = "clew-webhooks/1"
_MOST_ADDRESSES = 3
_MOST_ANSWER = 65_536  # bytes of an answer that are read, only to use the connection again
_IDLE_SECONDS = 5.0
_BUSY = frozenset((429, 503))
_GONE = 410
ATTEMPT_SECONDS = 10.0


@dataclass(frozen=True)
class Timing:
    """Seconds for a connection, for each part of an answer, and for a whole try without the look-up of the name."""

    connect_s: float = 5.0
    read_s: float = 5.0
    total_s: float = ATTEMPT_SECONDS


@dataclass(frozen=True)
class Outcome:
    """How a try ended: a status of HTTP, or a word for what went wrong.

    `asked_s` are the seconds after which the receiver wants the next try; `final` says that it wants none; `down` that
    other messages would hardly fare better now.
    """

    status: str
    delivered: bool = False
    asked_s: float | None = None
    final: bool = False
    down: bool = False


class Line:
    """The way to one target for the messages of a turn, which share a connection.

    Parameters
    ----------
    target
        Where the messages go.
    private
        Whether the private network may be called.
    resolve
        What looks the name up, by default the system.
    context
        What certificates are checked with, by default the system's and certifi's authorities.
    timing
        How long to wait.
    """

    def __init__(
        self,
        target: Target,
        *,
        private: bool = False,
        resolve: Resolve | None = None,
        context: ssl.SSLContext | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._target = target
        self._private = private
        self._resolve = resolve
        self._context = context
        self._timing = timing or Timing()
        self._deadline = _Deadline()
        self._place: Place | None = None
        self._pool: httpcore.ConnectionPool | None = None

    def __enter__(self) -> Line:
        """Return the line; nothing is looked up or connected before the first message."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        if self._pool is not None:
            self._pool.close()

    def post(self, delivery: Delivery) -> Outcome:
        """Send a message once and tell how that ended; nothing is raised for what a receiver does."""
        body = body_of(delivery)
        try:
            place, pool = self._connected()
            signed = signed_headers(
                self._target.secret, message_id_of(delivery.delivery_id), body, at_s=int(now().timestamp())
            )
            return self._send(pool, place, body, list(signed.items()))
        except AddressError as error:
            return Outcome(error.code, down=True)
        except httpcore.TimeoutException:
            return Outcome("timeout", down=True)
        except httpcore.NetworkError as error:
            return Outcome("tls_failed" if _is_about_tls(error) else "unreachable", down=True)
        except httpcore.ProtocolError:
            return Outcome("protocol_error", down=True)
        except DataError:
            return Outcome("secret_invalid", down=True)

    def _connected(self) -> tuple[Place, httpcore.ConnectionPool]:
        if self._place is None or self._pool is None:
            self._place = place_of(self._target.url, private=self._private)
            self._pool = httpcore.ConnectionPool(
                ssl_context=self._context,
                max_connections=1,
                keepalive_expiry=_IDLE_SECONDS,
                network_backend=_CheckedBackend(
                    self._place, self._deadline, private=self._private, resolve=self._resolve
                ),
            )
        return self._place, self._pool

    def _send(self, pool: httpcore.ConnectionPool, place: Place, body: bytes, signed: list[tuple[str, str]]) -> Outcome:
        timing = self._timing
        self._deadline.restart(timing.total_s)
        # Built from the parts that were checked: another parser might read the text another way.
        url = httpcore.URL(scheme=place.scheme, host=place.host, port=place.port, target=place.target)
        headers = [
            ("host", place.host_header),
            ("content-type", "application/json"),
            ("user-agent", _AGENT),
            ("accept-encoding", "identity"),
            *signed,
        ]
        waits = {"connect": timing.connect_s, "read": timing.read_s, "write": timing.read_s, "pool": timing.connect_s}
        with pool.stream("POST", url, headers=headers, content=body, extensions={"timeout": waits}) as response:
            outcome = _outcome(response)
            try:
                _read_some(response)
            except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
                return outcome  # the status has been given; what follows it does not matter
        return outcome


def retry_after_of(text: str) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, None where it asks for nothing readable.

    Examples
    --------
    >>> retry_after_of("120"), retry_after_of("soon")
    (120.0, None)
    """
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    return None if moment.tzinfo is None else max((moment - now()).total_seconds(), 0.0)


def _outcome(response: httpcore.Response) -> Outcome:
    status = response.status
    asked = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
    return Outcome(
        str(status),
        delivered=200 <= status < 300,
        asked_s=retry_after_of(asked.decode("latin-1").strip()) if status in _BUSY else None,
        final=status == _GONE,
        down=status in _BUSY or status >= 500,
    )


def _read_some(response: httpcore.Response) -> None:
    """Read an answer up to a bound and keep nothing of it; a longer one costs the connection."""
    size = 0
    for chunk in response.iter_stream():
        size += len(chunk)
        if size > _MOST_ANSWER:
            return


def _is_about_tls(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


class _Deadline:
    """When a try has to be over, however slowly its bytes come."""

    def __init__(self) -> None:
        self._until = 0.0

    def restart(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def left(self, timeout: float | None) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the try took too long")
        return left if timeout is None else min(timeout, left)


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to the addresses of a place that may be called, and to nothing else."""

    def __init__(self, place: Place, deadline: _Deadline, *, private: bool, resolve: Resolve | None) -> None:
        self._place = place
        self._deadline = deadline
        self._private = private
        self._resolve = resolve
        self._beneath = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the name was looked up and judged; its addresses are called
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = allowed_addresses(self._place, private=self._private, resolve=self._resolve)
        failed: Exception = httpcore.ConnectError("no address")
        for address in addresses[:_MOST_ADDRESSES]:
            try:
                stream = self._beneath.connect_tcp(
                    address, port, self._deadline.left(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _BoundedStream(stream, self._deadline)
        raise failed


class _BoundedStream(httpcore.NetworkStream):
    """A connection on which everything together ends by the deadline."""

    def __init__(self, beneath: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._beneath = beneath
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._beneath.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._beneath.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._beneath.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        beneath = self._beneath.start_tls(ssl_context, server_hostname, self._deadline.left(timeout))
        return _BoundedStream(beneath, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._beneath.get_extra_info(info)
