"""The log of what requests were answered: best effort, bounded, written beside the traffic, its gaps counted.

A request that brings its facts along is answered from them alone, so the answer must not wait for a disk. What the log
has is in the lead's history like any other score, but never the current one: the store may know better.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from data.errors import ClewError
from data.store.records import is_storable
from data.store.scores import Score, record_scores
from serving.stored.rescoring import score_answer

if TYPE_CHECKING:
    from data.store.scores import Cause
    from serving.scoring.scorer import Scorer, Told
    from serving.stored.door import Door

__all__ = ["ScoreLog", "log_entry"]

_MOST_WAITING = 5_000
# A transaction of this size takes some 30 ms of a processor, of which answers have the rest.
_BATCH = 50


class ScoreLog:
    """A bounded queue of answers on their way into the store.

    Parameters
    ----------
    door
        To the store; while there is none, nothing is logged and nothing counted as missing.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._waiting: deque[tuple[Scorer, Told]] = deque()
        self.dropped = 0

    def put(self, scorer: Scorer, told: Told) -> None:
        """Have an answer logged soon, or count it as dropped where too many wait."""
        if self._door.state == "none" or not is_storable(told.body["lead_id"]):
            return
        if len(self._waiting) >= _MOST_WAITING:
            self.dropped += 1
        else:
            self._waiting.append((scorer, told))

    def write(self) -> int:
        """Write what waits, a batch at most, and return how many; what cannot be written is dropped and counted.

        Blocks, so not for the event loop.
        """
        if not self._waiting or self._door.state != "open":
            return 0
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        scores = [entry for scorer, told in batch if (entry := _entry(scorer, told)) is not None]
        self.dropped += len(batch) - len(scores)
        try:
            record_scores(self._door.store(), scores)
        except Exception:
            self.dropped += len(scores)
            raise
        return len(scores)


def _entry(scorer: Scorer, told: Told) -> Score | None:
    try:
        return log_entry(scorer, told, cause="payload")
    except (ClewError, ValueError):
        return None


def log_entry(scorer: Scorer, told: Told, *, cause: Cause) -> Score:
    """Return what the history keeps of an answer: the features and the reasons, never the payload."""
    values = dict(told.values)
    blank = Score(told.body["lead_id"], told.as_of_us, "", "rules", None, None, None, None, values, (), {}, cause)
    return score_answer(scorer, told.answer, blank)
