"""What the service did, one JSON object a line: requests, swaps, faults. Never anything that a sender wrote.

Lines are written by a thread of their own, and lost rather than waited for where the disk is full or slow.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from typing import IO, TYPE_CHECKING

from data.clock import from_us, iso, now, to_us

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EventLog"]

Field = str | int | float | bool | None

_MOST_LINES = 20_000
_INTERVAL_SECONDS = 0.2


class EventLog:
    r"""A bounded queue of lines and the thread that writes them.

    Parameters
    ----------
    stream
        Where the lines go; standard output by default, as services are supervised.

    Examples
    --------
    >>> import io
    >>> out = io.StringIO()
    >>> log = EventLog(out)
    >>> log.tell("swap", bundle="sha256:0f")
    >>> log.flush()
    >>> out.getvalue().endswith('"event": "swap", "bundle": "sha256:0f"}\n')
    True
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream
        self._lines: deque[tuple[int, str, Mapping[str, Field]]] = deque()
        self._writing = threading.Lock()
        self.dropped = 0

    def tell(self, event: str, **fields: Field) -> None:
        """Put a line into the queue, or count it as dropped where the queue is full."""
        if len(self._lines) >= _MOST_LINES:
            self.dropped += 1
        else:
            self._lines.append((to_us(now()), event, fields))

    def flush(self) -> None:
        """Write what waits; what cannot be written is dropped and counted."""
        with self._writing:
            waiting = [self._lines.popleft() for _ in range(len(self._lines))]
            if not waiting:
                return
            text = "".join(
                json.dumps({"time": iso(from_us(us)), "event": event, **fields}) + "\n" for us, event, fields in waiting
            )
            stream = self._stream or sys.stdout
            try:
                stream.write(text)
                stream.flush()
            except (OSError, ValueError):
                self.dropped += len(waiting)

    def write_always(self) -> None:
        """Start the thread that writes every 0.2 s until the process ends."""
        threading.Thread(target=self._write, name="event log", daemon=True).start()

    def _write(self) -> None:
        pause = threading.Event()
        while not pause.wait(_INTERVAL_SECONDS):
            self.flush()
