"""Events of a request as facts: what is plainly right is read in microseconds, the rest is left to the full check.

A lead may bring thousands of events. Checking each as a model and then copying it took half of the time of an answer.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from data.derive import BLANK_CHARACTERS, seniority
from features.definitions import SENIORITY_RANKS
from features.memory import EventFact

if TYPE_CHECKING:
    from serving.scoring.payload import EventIn

__all__ = ["FIRST_US", "LARGEST_NUMBER", "LAST_US", "LONGEST_TEXT", "clean", "event_fact", "moment_us", "quick_events"]

LONGEST_TEXT = 500
LARGEST_NUMBER = 1e15
_LONGEST_TIME = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_US = -2_208_988_800_000_000  # 1900-01-01
LAST_US = 7_258_118_400_000_000  # 2200-01-01

# Which fields may hold what; anything else is left to the full check.
_TEXTS = frozenset(
    ("source", "id", "type", "occurred_at", "known_at", "content_id", "campaign", "keyword", "channel", "lead_id")
)
_OF_OTHERS = frozenset(("person_id", "job_title"))
_NEVER_NULL = frozenset(("source", "type", "occurred_at"))
_LEAST = {"duration_s": 0.0, "value": -LARGEST_NUMBER}


def moment_us(text: str) -> int | None:
    """Return microseconds UTC of an ISO time with an offset; None where it is none, or outside of 1900 to 2200.

    Examples
    --------
    >>> moment_us("1970-01-01T00:00:01.5Z"), moment_us("1970-01-01T01:00:00+01:00"), moment_us("1970-01-01T00:00:01")
    (1500000, 0, None)
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    since = moment - _EPOCH
    us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return us if FIRST_US <= us < LAST_US else None


def clean(text: str | None) -> str | None:
    """Return a text as the import stores it: without surrounding white space, None where nothing is left."""
    return None if text is None else text.strip(BLANK_CHARACTERS) or None


def quick_events(values: object, *, most: int, of_account: bool) -> list[EventFact] | None:
    """Return the facts of events that are right in every field; None where the full check has to say what is wrong.

    Examples
    --------
    >>> at = "1970-01-01T00:00:01Z"
    >>> [fact.occurred_us for fact in quick_events([{"type": "call", "occurred_at": at}], most=9, of_account=False)]
    [1000000]
    >>> quick_events([{"type": "call", "occurred_at": 7}], most=9, of_account=False) is None
    True
    """
    if type(values) is not list or len(values) > most:
        return None
    texts = _TEXTS | _OF_OTHERS if of_account else _TEXTS
    found: list[EventFact] = []
    for value in values:
        if type(value) is not dict or not _is_right(value, texts):
            return None
        fact = _quick_fact(value, of_account=of_account)
        if fact is None:
            return None
        found.append(fact)
    return found


def _is_right(event: dict[str, Any], texts: frozenset[str]) -> bool:
    """Tell whether every field is known and of its kind and size; times are not read yet."""
    for name, value in event.items():
        kind = type(value)
        if kind is str:
            if name not in texts or len(value) > LONGEST_TEXT:
                return False
        elif value is None:
            if name in _NEVER_NULL or not (name in texts or name in _LEAST):
                return False
        # NaN is in no range.
        elif (kind is not float and kind is not int) or not _LEAST.get(name, math.inf) <= value <= LARGEST_NUMBER:
            return False
    return True


def _quick_fact(event: dict[str, Any], *, of_account: bool) -> EventFact | None:
    at, known_at = event.get("occurred_at", ""), event.get("known_at")
    if not event.get("type", "").strip() or len(at) > _LONGEST_TIME or len(known_at or "") > _LONGEST_TIME:
        return None
    occurred_us = moment_us(at)
    known_us = occurred_us if known_at is None else moment_us(known_at)
    if occurred_us is None or known_us is None:
        return None
    return _fact(event, occurred_us, known_us, of_account=of_account)


def event_fact(event: EventIn, *, of_account: bool) -> EventFact:
    """Return the fact of an event that was checked in full."""
    known_us = event.occurred_at if event.known_at is None else event.known_at
    return _fact(dict(event), event.occurred_at, known_us, of_account=of_account)


def _fact(event: dict[str, Any], occurred_us: int, known_us: int, *, of_account: bool) -> EventFact:
    get, blank = event.get, BLANK_CHARACTERS
    event_id, content_id, lead_id, channel = get("id"), get("content_id"), get("lead_id"), get("channel")
    duration, value = get("duration_s"), get("value")
    kind = event["type"].strip(blank)
    content_id = (content_id.strip(blank) or None) if content_id else None
    lead_id = (lead_id.strip(blank) or None) if lead_id else None
    duration_s = None if duration is None else float(duration)
    amount = None if value is None else float(value)
    told = (
        get("source", "").strip(blank),
        # Without an id the content is the identity, so that a request sent again gives the same answer.
        (event_id and event_id.strip(blank)) or f"{kind}|{occurred_us}|{content_id}|{duration_s}|{amount}|{lead_id}",
        kind,
        occurred_us,
        known_us if known_us > occurred_us else occurred_us,
        content_id,
        duration_s,
        amount,
        lead_id,
        (channel.strip(blank) or None) if channel else None,
        (clean(get("person_id")) or lead_id) if of_account else None,
        _rank(get("job_title")) if of_account else None,
    )
    # As `EventFact(*told)`, without one more call for each event.
    return tuple.__new__(EventFact, told)


@lru_cache(maxsize=4096)
def _rank(job_title: str | None) -> int | None:
    """Return the rank that a title states; a colleague's title stands on every one of the events."""
    return SENIORITY_RANKS.get(seniority(job_title) or "")
