"""How much a worker takes on at a time; what is more is refused at once, with the time after which to ask again.

A worker answers single leads one after the other. Those that wait are counted, so that the last one in never waits
longer than the queue is long, and large batches give way after every lead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from serving.http.exchange import Refusal

__all__ = ["Admission", "Limits"]


@dataclass(frozen=True)
class Limits:
    """Bounds of one worker.

    `singles` in the queue at a time take about a millisecond each. `batches` are worked on in turns, `waiting_batches`
    wait. `buffered_bytes` bounds all bodies, of each kind, that have arrived in part.
    """

    singles: int = 64
    batches: int = 2
    waiting_batches: int = 6
    buffered_bytes: int = 96_000_000


class Admission:
    """Counts what is in progress."""

    def __init__(self, limits: Limits | None = None, *, tell: Callable[[str, int], None] | None = None) -> None:
        self._limits = limits or Limits()
        self._tell = tell or (lambda _kind, _count: None)
        self._singles = 0
        self._batches = 0
        self._turns: asyncio.Semaphore | None = None
        self._buffered = {"single": 0, "batch": 0}

    @contextmanager
    def single(self) -> Iterator[None]:
        """Be one of the single leads.

        Raises
        ------
        Refusal
            429 if the queue is full.
        """
        if self._singles >= self._limits.singles:
            raise _overloaded()
        self._singles += 1
        try:
            yield
        finally:
            self._singles -= 1

    @contextmanager
    def batch(self) -> Iterator[asyncio.Semaphore]:
        """Be one of the batches; the semaphore gives the turn.

        Raises
        ------
        Refusal
            429 if too many wait.
        """
        if self._batches >= self._limits.batches + self._limits.waiting_batches:
            raise _overloaded()
        self._turns = self._turns or asyncio.Semaphore(self._limits.batches)
        self._count_batches(1)
        try:
            yield self._turns
        finally:
            self._count_batches(-1)

    @contextmanager
    def buffer(self, kind: str) -> Iterator[Callable[[int], None]]:
        """Account for the bytes of a body while it arrives: a slow crowd must not fill the memory.

        Raises
        ------
        Refusal
            429, from the function that is given, if all bodies together are too large.
        """
        own = 0

        def arrived(size: int) -> None:
            nonlocal own
            own += size
            self._buffered[kind] += size
            if self._buffered[kind] > self._limits.buffered_bytes:
                raise _overloaded()

        try:
            yield arrived
        finally:
            self._buffered[kind] -= own

    def _count_batches(self, change: int) -> None:
        self._batches += change
        self._tell("batch", self._batches)

    def measured(self) -> None:
        """Tell how many are in progress."""
        self._tell("single", self._singles)


def _overloaded() -> Refusal:
    return Refusal(
        429, "overloaded", "more is being asked than this worker can answer; try again", {"retry-after": "1"}
    )
