"""How far an import is: steps in words, and inside each step the share that the database reports every second."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Pace"]

_TICK = 1.0  # seconds between two looks at the query that runs


class Pace:
    """Tells the step in words and the share done, which never goes back.

    Parameters
    ----------
    tell
        Called with the text and a share from 0 to 1, never twice at the same time, also from another thread.

    Examples
    --------
    >>> told = []
    >>> pace = Pace(lambda text, share: told.append((text, share)))
    >>> pace.step("reading", 0.2, 0.6)
    >>> pace.at(0.5)
    >>> told
    [('reading', 0.2), ('reading', 0.4)]
    """

    def __init__(self, tell: Callable[[str, float], None] | None) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._text, self._low, self._high, self._shown = "", 0.0, 0.0, 0.0
        self._query = 0.0

    def step(self, text: str, low: float, high: float) -> None:
        """Begin a step that takes the work from one share to another."""
        with self._lock:
            self._text, self._low, self._high, self._query = text, low, high, 0.0
        self.at(0.0)

    def at(self, part: float) -> None:
        """Say that a part, 0 to 1, of the present step is done."""
        if self._tell is None:
            return
        with self._lock:
            share = self._low + (self._high - self._low) * min(max(part, 0.0), 1.0)
            self._shown = max(self._shown, round(share, 4))
            self._tell(self._text, self._shown)

    @contextmanager
    def watching(self, con: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Tell about the queries of a connection while they run; printing a bar of its own has to be off."""
        if self._tell is None:
            yield
            return
        con.execute("SET enable_progress_bar = true")
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(con, ended), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()

    def _watch(self, con: duckdb.DuckDBPyConnection, ended: threading.Event) -> None:
        while not ended.wait(_TICK):
            try:
                done = con.query_progress()
            except duckdb.Error:
                continue
            if done >= 0:
                self._at_query(done / 100)
            else:  # between two queries, and in one whose length nobody knows: say at least that it goes on
                self.at(0.0)

    def _at_query(self, done: float) -> None:
        """Go on by what one query has done; how many a step has is not known, so each may take half of the rest."""
        if done < self._query:
            with self._lock:
                self._low = max(self._low, min(self._shown, self._high))
        self._query = done
        self.at(done / 2)
