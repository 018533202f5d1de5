"""What a worker does beside answering: follow the pointer, read the keys, tell the gauges. All in one thread."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from serving.http.event_log import EventLog

__all__ = ["Chore", "run_chores"]


@dataclass(frozen=True)
class Chore:
    """Something to be done every so many seconds."""

    name: str
    seconds: float
    work: Callable[[], object]


def run_chores(chores: Sequence[Chore], log: EventLog) -> threading.Event:
    """Start the thread; set the returned event to end it. A chore that fails is told of and tried again."""
    ended = threading.Event()
    threading.Thread(target=_run, args=(chores, log, ended), name="chores", daemon=True).start()
    return ended


def _run(chores: Sequence[Chore], log: EventLog, ended: threading.Event) -> None:
    due = [time.monotonic() + chore.seconds for chore in chores]
    while not ended.wait(max(min(due) - time.monotonic(), 0.05)):
        for position, chore in enumerate(chores):
            if time.monotonic() < due[position]:
                continue
            try:
                chore.work()
            except Exception as error:  # noqa: BLE001 - the other chores have to go on
                # The message may hold what no log should; the kind says where to look.
                log.tell("chore_failed", chore=chore.name, error=type(error).__name__)
            due[position] = time.monotonic() + chore.seconds
