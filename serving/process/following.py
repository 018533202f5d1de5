"""A worker follows the pointer `current`: a new bundle is tried in a child process, then it answers or is refused.

What answers is replaced as a whole (`ServingState.now`): a request that has begun ends with the bundle it began with.
"""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import ClewError
from serving.process.loading import load_checked, remember
from serving.process.state import Answering, scorer_of
from training.bundles.bundle import pointed_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from data.settings import Settings
    from serving.process.state import ServingState

__all__ = ["Follower", "Stamp", "pointer_stamp"]

# A refused bundle is tried again: what was wrong may have been this machine. Twice as long each time.
_AGAIN_SECONDS, _AGAIN_MOST_SECONDS = 30.0, 900.0

Stamp = tuple[int, int, int]


class Follower:
    """Looks at the pointer whenever it is called, and changes what answers if the pointer names another bundle.

    Parameters
    ----------
    settings
        Bundles, scorecard and zone.
    state
        What answers; filled already.
    seen
        The stamp of the pointer from before `state` was filled: what changed since is a change.
    tell
        Called with `taken` or `refused`, the digest or the folder's name, and why.
    """

    def __init__(
        self, settings: Settings, state: ServingState, *, seen: Stamp | None, tell: Callable[[str, str, str], None]
    ) -> None:
        self._settings = settings
        self._state = state
        self._tell = tell
        self._stamp = seen
        self._refused_again_at: float | None = None
        self._pause = _AGAIN_SECONDS
        if state.now is not None and state.now.pointer != "current" and self._stamp is not None:
            self._refused_again_at = time.monotonic() + self._pause

    def look(self) -> bool:
        """Look once; return whether what answers was replaced."""
        stamp = pointer_stamp(self._settings.bundles_dir)
        due = self._refused_again_at is not None and time.monotonic() >= self._refused_again_at
        if stamp is None or (stamp == self._stamp and not due):
            return False
        if stamp != self._stamp:
            self._pause = _AGAIN_SECONDS
        self._stamp = stamp
        folder = pointed_bundle(self._settings.bundles_dir)
        return folder is not None and self._take(folder)

    def _take(self, folder: Path) -> bool:
        before = self._state.now
        if before is not None and before.scorer.bundle is not None and before.scorer.bundle.folder == folder:
            self._refused_again_at = None
            self._state.now = Answering(before.scorer, "current")
            return True
        try:
            bundle = load_checked(folder)
        except ClewError as error:
            self._refuse(folder, f"current: {error}")
            return False
        self._state.now = Answering(scorer_of(bundle, self._settings), "current")
        self._refused_again_at = None
        remember(self._settings.bundles_dir, folder)
        del before
        self._tell("taken", bundle.digest, "")
        _tidy()
        return True

    def _refuse(self, folder: Path, why: str) -> None:
        """Go on with what answers, which is no longer what `current` names."""
        before = self._state.now
        if before is not None:
            pointer = None if before.scorer.bundle is None else "last_good"
            self._state.now = Answering(before.scorer, pointer, (why,))
        self._refused_again_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _AGAIN_MOST_SECONDS)
        self._tell("refused", folder.name, why)


def pointer_stamp(bundles: Path) -> Stamp | None:
    """Return what changes whenever the pointer is replaced; None where there is none."""
    try:
        found = (bundles / "current").stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _tidy() -> None:
    """Collect the bundle before and keep the new one out of later collections; a tenth of a second, once a month."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
