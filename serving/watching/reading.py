"""The figures of the last look, read when their file has changed and not before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio.to_thread

from monitoring.standing_file import Problem, Read, read_standing, standing_path

if TYPE_CHECKING:
    from pathlib import Path

    from features.words import Language
    from monitoring.standing import Standing

__all__ = ["Seen", "Standings"]

_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Seen:
    """What a file said, and what was made of it since, by language: figures do not change until their file does."""

    standing: Standing | None
    problem: Problem | None = None
    pages: dict[Language, str] = field(default_factory=dict, compare=False)


class Standings:
    """Gives the newest figures.

    Parameters
    ----------
    home
        The folder that `clew monitor` keeps them in.
    """

    def __init__(self, home: Path) -> None:
        self._path = standing_path(home)
        self._stamp: _Stamp | None = None
        self._seen = Seen(None, "missing")

    async def seen(self) -> Seen:
        """Return the figures; the file is looked at in a thread, as its disk may be slow."""
        return await anyio.to_thread.run_sync(self.look)

    def look(self) -> Seen:
        """Return the figures; blocks, so not for the event loop."""
        stamp = _stamp_of(self._path)
        if stamp is None or stamp != self._stamp:
            read: Read = read_standing(self._path)
            # The stamp is older than what was read, so that a change in between is seen at the next look.
            self._stamp, self._seen = stamp, Seen(read.standing, read.problem)
        return self._seen


def _stamp_of(path: Path) -> _Stamp | None:
    """Return what changes whenever the file does, None where it cannot be told."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
