"""The score of a lead from what is known of it now, written into its history before it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data.clock import from_us, iso, now, to_us
from data.errors import DataError
from data.store.owners import owners_of
from data.store.reading import lead_facts
from data.store.records import is_storable
from data.store.scores import history, record_scores
from features.facts import facts_as_of
from serving.http.exchange import Refusal
from serving.keys.access import sees
from serving.scoring.facts import custom_kinds
from serving.scoring.notices import Notice
from serving.stored.rescoring import is_closed
from serving.stored.score_log import log_entry

if TYPE_CHECKING:
    from data.store.engine import Store
    from data.store.reading import StoredFacts
    from data.store.scores import GivenScore
    from features.words import Language
    from serving.keys.access import Principal
    from serving.scoring.scorer import Scorer

__all__ = ["given_scores", "hidden", "score_known"]


def hidden() -> Refusal:
    """Return the answer for a lead that is not there or that the sender does not see: one and the same."""
    return Refusal(404, "not_found", "there is no such lead, or the key does not show it")


def score_known(store: Store, scorer: Scorer, lead_id: str, who: Principal, language: Language) -> dict[str, Any]:
    """Return the answer for a lead of the store, in the shape of `POST /v1/score`; its history has it then.

    Raises
    ------
    Refusal
        404 if there is no such lead, or the sender does not see it.
    InfrastructureError
        If the store cannot be used; nothing was answered then.
    """
    at_us = to_us(now())
    stored = lead_facts(store, lead_id, as_of_us=at_us, custom=custom_kinds(scorer.catalogue))
    if not sees(who, _owner_in(stored, lead_id)):
        raise hidden()
    try:
        facts = facts_as_of(lead_id, at_us, **stored.tables)
    except DataError:
        raise hidden() from None  # it is said to begin later
    closed = [Notice("lead_closed")] if is_closed(stored, lead_id, at_us) else []
    told = scorer.told_of(lead_id, facts, as_of_us=at_us, language=language, notices=closed)
    record_scores(store, [log_entry(scorer, told, cause="request")])
    return told.body


def _owner_in(stored: StoredFacts, lead_id: str) -> str | None:
    """Return the owner that the newest version of a lead names."""
    versions = [row for row in stored.leads if row["lead_id"] == lead_id]
    if not versions:
        raise hidden()
    owner: str | None = max(versions, key=lambda row: int(row["known_at"]))["owner_id"]
    return owner


def given_scores(
    store: Store, lead_id: str, who: Principal, *, before_id: int | None, limit: int
) -> list[dict[str, Any]]:
    """Return a page of the scores that a lead was given, the newest first, ready for JSON.

    Raises
    ------
    Refusal
        404 if the lead was never heard of, or the sender does not see it.
    """
    if not is_storable(lead_id):
        raise hidden()
    owners = owners_of(store, [lead_id])
    # A lead that only requests have told of has no owner.
    if not sees(who, owners.get(lead_id)):
        raise hidden()
    found = history(store, lead_id, before_id=before_id, limit=limit)
    if not found and lead_id not in owners:
        raise hidden()
    return [_told(given) for given in found]


def _told(given: GivenScore) -> dict[str, Any]:
    score = given.score
    fields = ("source", "cause", "probability", "logit", "grade", "pool", "features", "reasons", "rules")
    return {
        "score_id": given.score_id,
        "given_at": iso(from_us(given.given_us)),
        "as_of": iso(from_us(score.as_of_us)),
        "bundle": score.bundle or None,
        **{name: getattr(score, name) for name in fields},
    }
