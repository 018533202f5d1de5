"""A receiver of webhooks that answers as it is told, and a check of signatures from first principles."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

__all__ = ["Got", "Receiver", "genuine", "receiving"]

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@dataclass(frozen=True)
class Got:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[BaseHTTPRequestHandler, Got], int | None]


def _yes(handler: BaseHTTPRequestHandler, got: Got) -> int:
    del handler, got
    return 204


@dataclass
class Receiver:
    """What came in; `answer` returns a status, or None where it has answered itself."""

    port: int = 0
    answer: Answer = _yes
    got: list[Got] = field(default_factory=list)
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [each.message_id for each in self.got]


@contextmanager
def receiving(answer: Answer = _yes, *, context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Give a receiver that runs in threads of its own."""
    receiver = Receiver(answer=answer, scheme="https" if context else "http")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            got = Got(self.path, headers, self.rfile.read(int(headers["content-length"])))
            receiver.got.append(got)
            status = receiver.answer(self, got)
            if status is not None:
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            del request, client_address  # a sender that has gone is no news

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def genuine(got: Got, secret: str) -> bool:
    """Tell whether a message was signed under a secret: HMAC as RFC 2104 defines it, base64 bit by bit."""
    key = _bytes_of(secret.removeprefix("whsec_"))
    key = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    inner = hashlib.sha256(bytes(each ^ 0x36 for each in key) + signed).digest()
    outer = hashlib.sha256(bytes(each ^ 0x5C for each in key) + inner).digest()
    told = got.headers["webhook-signature"].split(",")
    return told[0] == "v1" and _bytes_of(told[1]) == outer


def _bytes_of(text: str) -> bytes:
    bits = "".join(f"{_ALPHABET.index(letter):06b}" for letter in text.rstrip("="))
    return bytes(int(bits[start : start + 8], 2) for start in range(0, len(bits) - 7, 8))
