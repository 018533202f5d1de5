"""Everything that the page of one lead shows, gathered from the store at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.clock import DAY_US
from data.errors import DataError
from data.store.notes import feedback_on
from data.store.reading import lead_facts
from data.store.schema import FACTS
from data.store.scores import current_score, history
from data.store.visits import visit
from features.facts import facts_as_of
from serving.changes.ends import Since
from serving.changes.handlers import changes_of
from serving.http.exchange import Refusal
from serving.keys.access import sees
from serving.leads.score import hidden
from serving.pages.behind import Happening, happenings
from serving.pages.retelling import bundle_of, retell
from serving.stored.rescoring import is_closed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data.store.engine import Store
    from data.store.notes import Feedback
    from data.store.reading import StoredFacts
    from data.store.scores import GivenScore
    from features.words import Language
    from serving.changes.voices import Voices
    from serving.keys.access import Principal
    from serving.pages.comparing import Compared, Comparing, Gap
    from serving.pages.retelling import Retelling
    from serving.scoring.scorer import Scorer

__all__ = ["Looking", "OneLead", "look_at", "seen_owner"]

_SCORES = 200
_WEEK_US = 7 * DAY_US


@dataclass(frozen=True)
class Looking:
    """Who looks at which lead, when, in which language; `key_id` is under what the visit is remembered."""

    lead_id: str
    who: Principal
    key_id: str
    language: Language
    now_us: int


@dataclass(frozen=True)
class OneLead:
    """A lead as its page shows it; what is not known is None or empty.

    `changes` are those since `since_us`, the last visit where `visited`, else a week ago. `happened` are its events and
    what sales did, the newest first.
    """

    lead: Mapping[str, Any]
    account: Mapping[str, Any] | None
    contact: Mapping[str, Any] | None
    ended: Mapping[str, Any] | None
    given: GivenScore | None
    told: Retelling | None
    rules: Mapping[str, Any]
    scores: Sequence[GivenScore]
    happened: Sequence[Happening]
    changes: Mapping[str, Any] | None
    since_us: int | None
    visited: bool
    compared: Compared | None
    gaps: Sequence[Gap]
    unreachable: Sequence[str]
    feedback: Sequence[Feedback]


def look_at(
    store: Store, scorer: Scorer, looking: Looking, *, comparing: Comparing, voices: Voices | None = None
) -> OneLead:
    """Return what the page of a lead shows, and remember that it was looked at; blocks.

    Parameters
    ----------
    store
        The open store.
    scorer
        What answers at the moment.
    looking
        Who looks at what.
    comparing
        What past leads say.
    voices
        Finds older bundles; without it their scores are told as they were written down, and no changes are.

    Raises
    ------
    Refusal
        404 if there is no such lead, or whoever looks does not see it.
    InfrastructureError
        If the store cannot be used.
    """
    stored = lead_facts(store, looking.lead_id, as_of_us=looking.now_us)
    lead = _newest(stored.leads, "lead_id", looking.lead_id)
    if lead is None or not sees(looking.who, lead["owner_id"]):
        raise hidden()
    given = current_score(store, looking.lead_id)
    bundle = None if given is None else bundle_of(given.score, scorer, voices)
    told = None if given is None else retell(given.score, bundle, looking.language)
    answer = None if told is None else told.answer
    contact = _contact(store, looking.lead_id)
    changes, since_us, visited = _changes(store, given, looking, voices)
    known = None if bundle is None or answer is None else (bundle, answer)
    closed = is_closed(stored, looking.lead_id, looking.now_us)
    rules: Any = {} if given is None else given.score.rules
    return OneLead(
        lead=lead,
        account=_newest(stored.accounts, "account_id", lead["account_id"]),
        contact=contact,
        ended=_newest(stored.outcomes, "lead_id", looking.lead_id) if closed else None,
        given=given,
        told=told,
        rules=rules,
        scores=[
            one for one in reversed(history(store, looking.lead_id, limit=_SCORES)) if one.score.cause != "payload"
        ],
        happened=_happened(stored, looking),
        changes=changes,
        since_us=since_us,
        visited=visited,
        compared=None if known is None else comparing.similar(store, *known, lead["lead_id"], now_us=looking.now_us),
        gaps=[] if known is None else comparing.gaps(store, *known, now_us=looking.now_us),
        unreachable=[name for name in ("email", "phone") if contact is None or not contact[name]],
        feedback=feedback_on(store, looking.lead_id),
    )


def seen_owner(store: Store, lead_id: str, who: Principal, now_us: int) -> GivenScore | None:
    """Return the current score of a lead after checking that it is seen.

    Raises
    ------
    Refusal
        404 if there is no such lead, or whoever asks does not see it.
    """
    lead = _newest(lead_facts(store, lead_id, as_of_us=now_us).leads, "lead_id", lead_id)
    if lead is None or not sees(who, lead["owner_id"]):
        raise hidden()
    return current_score(store, lead_id)


def _newest(rows: Sequence[Mapping[str, Any]], key: str, value: str | None) -> Mapping[str, Any] | None:
    """Return the newest version of what has a key, None where there is none."""
    found = [row for row in rows if row[key] == value]
    return max(found, key=lambda row: int(row["known_at"]), default=None)


def _contact(store: Store, lead_id: str) -> Mapping[str, Any] | None:
    contacts = FACTS["contacts"]
    query = sa.select(contacts).where(contacts.c.lead_id == lead_id).order_by(contacts.c.known_at.desc()).limit(1)
    with store.reading() as connection:
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else dict(row)


def _changes(
    store: Store, given: GivenScore | None, looking: Looking, voices: Voices | None
) -> tuple[Mapping[str, Any] | None, int | None, bool]:
    """Return what changed since the last visit, or in the last week on the first one; and since when that is."""
    if given is None:
        return None, None, False
    before = visit(store, looking.key_id, looking.lead_id, given.score_id, now_us=looking.now_us)
    since_us = looking.now_us - _WEEK_US if before is None else before[1]
    if voices is None:
        return None, since_us, before is not None
    try:
        since = Since(moment_us=since_us) if before is None else Since(score_id=before[0])
        told = changes_of(store, voices, looking.lead_id, since, looking.who, looking.language)
    except Refusal:  # what was seen then is no longer kept
        told = changes_of(store, voices, looking.lead_id, Since(moment_us=since_us), looking.who, looking.language)
    return told, since_us, before is not None


def _happened(stored: StoredFacts, looking: Looking) -> list[Happening]:
    try:
        facts = facts_as_of(looking.lead_id, looking.now_us, **stored.tables)
    except DataError:
        return []  # it is said to begin later
    own = [row for row in stored.actions if row["lead_id"] == looking.lead_id]
    return happenings(facts.events or (), facts.account_events or (), own)
