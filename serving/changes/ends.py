"""The two scores of a lead that are compared, and the facts of the store as they were known when each was given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.clock import MINUTE_US
from data.errors import DataError
from data.store.reading import lead_facts
from data.store.scores import current_score, history
from serving.changes.parts import TOLERANCE, End, said_at

if TYPE_CHECKING:
    from data.store.engine import Store
    from data.store.scores import GivenScore, Score
    from serving.changes.parts import Tables
    from serving.changes.voices import Voice

__all__ = ["Since", "end_of", "newest_of", "score_before"]

_PAGE = 200
_SECOND_US = MINUTE_US // 60
# Facts are read shortly before a score is written, and in a batch other writers may come in between.
_SLACK_US = (0, _SECOND_US, 10 * _SECOND_US, MINUTE_US, -_SECOND_US, -10 * _SECOND_US, -MINUTE_US)


@dataclass(frozen=True)
class Since:
    """Which score to compare with: one by its number, the one in force at a moment, or the one before the newest."""

    score_id: int | None = None
    moment_us: int | None = None


def newest_of(store: Store, lead_id: str) -> GivenScore | None:
    """Return the lead's current score, None where it has none."""
    return current_score(store, lead_id)


def score_before(store: Store, newest: GivenScore, since: Since) -> GivenScore | None:
    """Return the score that the newest one is compared with, None where there is none.

    Parameters
    ----------
    store
        The open store.
    newest
        The later end.
    since
        Which one; where there was none yet at the moment, the first one counts. What requests brought along counts
        only where its number is named.
    """
    lead_id = newest.score.lead_id
    if since.score_id is not None:
        found = history(store, lead_id, before_id=since.score_id + 1, limit=1)
        named = found[0] if found and found[0].score_id == since.score_id else None
        return None if named is None or named.score.as_of_us > newest.score.as_of_us else named
    end = _place(newest)
    earlier = [given for given in _all(store, lead_id) if given.score.cause != "payload" and _place(given) < end]
    then = [given for given in earlier if since.moment_us is None or given.score.as_of_us <= since.moment_us]
    return max(then, key=_place, default=None) or min(earlier, key=_place, default=None)


def end_of(store: Store, voice_of: Callable[[str], Voice | None], given: GivenScore) -> End:
    """Return a score with who gave it and the facts that it was given from, where both can be had again."""
    voice = voice_of(given.score.bundle)
    return End(given.score, voice, None if voice is None else _tables(store, voice, given))


def _tables(store: Store, voice: Voice, given: GivenScore) -> Tables | None:
    """Return the rows from which the score comes out again to 1e-9, None where the store no longer holds them."""
    score = given.score
    for slack_us in _SLACK_US:
        known_by_us = given.given_us + slack_us
        tables = lead_facts(store, score.lead_id, as_of_us=score.as_of_us, known_by_us=known_by_us).tables
        if _gives(voice, score, tables):
            return tables
    return None


def _gives(voice: Voice, score: Score, tables: Tables) -> bool:
    try:
        said = said_at(voice, score.lead_id, tables, score.as_of_us)
    except DataError:
        return False  # the lead itself was recorded later
    rules: Mapping[str, Any] = score.rules  # type: ignore[assignment]  # an object, as scores are written
    told = float(rules.get("points", 0)) if score.logit is None else score.logit
    return abs(said.value - told) <= TOLERANCE and said.values == dict(score.features)


def _all(store: Store, lead_id: str) -> Iterator[GivenScore]:
    before: int | None = None
    while page := history(store, lead_id, before_id=before, limit=_PAGE):
        yield from page
        before = page[-1].score_id
        if len(page) < _PAGE:
            return


def _place(given: GivenScore) -> tuple[int, int]:
    return given.score.as_of_us, given.score_id
