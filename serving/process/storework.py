"""What a worker does with the store beside answering: rescore what changed, log what was answered, tell the gauges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from serving.process.chores import Chore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from data.store.engine import Store
    from serving.http.metrics import Metrics
    from serving.stored.door import Door
    from serving.stored.score_log import ScoreLog

__all__ = ["StoreWork", "Worker", "store_chores"]


class Worker(Protocol):
    """Something that works on an open store in a thread of its own."""

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """End after what is under way."""
        ...


class StoreWork:
    """Keeps workers going on whatever store the door has open; a store that is replaced gets workers of its own.

    Parameters
    ----------
    door
        To the store.
    makers
        What makes each worker.
    """

    def __init__(self, door: Door, makers: Sequence[Callable[[Store], Worker]]) -> None:
        self._door = door
        self._makers = makers
        self._on: Store | None = None
        self._workers: list[Worker] = []

    def look(self) -> None:
        """See how the store stands, and begin or end accordingly; blocks."""
        state = self._door.look()
        store = self._door.store() if state == "open" else self._on if state == "away" else None
        if store is self._on:
            return
        for worker in self._workers:
            worker.stop()
        self._on, self._workers = store, [] if store is None else [make(store) for make in self._makers]
        for worker in self._workers:
            worker.start()


def store_chores(door: Door, work: StoreWork, scores: ScoreLog, metrics: Metrics) -> list[Chore]:
    """Return the chores that concern the store."""
    from data.store.dirty import count_dirty

    def measure() -> None:
        metrics.unlogged(scores.dropped)
        if door.state == "open":
            metrics.waiting(count_dirty(door.store())[0])

    return [
        Chore("look after the store", 1.0, work.look),
        Chore("log scores", 0.2, scores.write),
        Chore("measure the store", 5.0, measure),
    ]
