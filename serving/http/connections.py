"""Connections that are slow, idle or too many are bounded in the server itself, where no application sees them.

The server's own time-out covers only the pause between two requests: a connection that sends half a head, or never
reads its answer, would be kept for ever.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

__all__ = ["HEAD_SECONDS", "MOST_CONNECTIONS", "Bounds", "bound_connections", "bounded"]

# From the first byte of a connection, or of the next request on it, until the head of the request is complete.
HEAD_SECONDS = 5.0
MOST_CONNECTIONS = 1_000
# Not every parser that uvicorn may use bounds a head. After an early answer the rest of its body comes first.
_HEAD_BYTES, _LEFT_BYTES = 65_536, 128_000_000


class WholeAnswers:
    """A transport that sends the head of an answer together with the body that follows it at once.

    Sent alone it costs one more call of the system and wakes the client for nothing, which is a tenth of an answer.
    """

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Keep a head, send anything else with what was kept."""
        if not self._head and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
        else:
            self._transport.write(self._head + data if self._head else data)
            self._head = b""

    def close(self) -> None:
        """Send what was kept, and close."""
        if self._head:
            self.write(b"")
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a transport has
        return getattr(self._transport, name)


class Bounds:
    """What is mixed into a protocol of uvicorn so that it gives up connections which do not get on."""

    head_seconds = HEAD_SECONDS
    most = MOST_CONNECTIONS
    _head_timer: asyncio.TimerHandle | None = None
    _waiting_bytes = 0

    def connection_made(self: Any, transport: asyncio.Transport) -> None:
        """Take a connection, or give it up where there are too many."""
        super().connection_made(WholeAnswers(transport))  # type: ignore[misc]
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def data_received(self: Any, data: bytes) -> None:
        """Take bytes; those of a head have to become a whole one in time."""
        super().data_received(data)  # type: ignore[misc]
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_timer()
            return
        self._waiting_bytes += len(data)
        if self._waiting_bytes > (_HEAD_BYTES if self.cycle is None else _LEFT_BYTES):
            self.transport.abort()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def on_response_complete(self: Any) -> None:
        """Wait for the next request, as long as the server does."""
        super().on_response_complete()  # type: ignore[misc]
        self._forget_timer()

    def connection_lost(self: Any, exc: Exception | None) -> None:
        """Forget a connection."""
        self._forget_timer()
        super().connection_lost(exc)  # type: ignore[misc]

    def timeout_keep_alive_handler(self: Any) -> None:
        """End an idle connection; one whose answer was not read by now at once, as closing would wait for that."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()  # type: ignore[misc]

    def _head_is_late(self: Any) -> None:
        self._head_timer = None
        self.transport.abort()

    def _forget_timer(self: Any) -> None:
        self._waiting_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def bounded(protocol: type[Any]) -> type[Any]:
    """Return a protocol of uvicorn with bounds and whole answers; a process has so many files, one a connection."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return type("Bounded", (Bounds, protocol), {"most": min(MOST_CONNECTIONS, files * 3 // 4)})


def bound_connections() -> None:
    """Make the server of this process take bounded connections; to be called before it starts."""
    import uvicorn.config
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    # uvicorn imports its protocol by this name.
    globals()["Protocol"] = bounded(AutoHTTPProtocol)
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:Protocol"
