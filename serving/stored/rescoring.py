"""What the store knows of a lead becomes a score in its history: for a lead that changed, at once; replayed, the same.

Of several workers one holds the lease and rescores; whoever lost it writes nothing. What is stored is enough to have
the answer again to the digit: the features that the model saw, and the bundle that saw them.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from data.clock import MINUTE_US, now, to_us
from data.errors import ClewError, DataError, InfrastructureError
from data.store.dirty import DirtyLead, take_dirty
from data.store.lease import Lease, LeaseLostError, acquire, release, renew
from data.store.reading import StoredFacts, lead_facts
from data.store.scores import Score, record_scores
from features.facts import facts_as_of
from features.memory import evaluate
from serving.scoring.facts import custom_kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.store.engine import Store
    from data.store.scores import Cause
    from features.memory import LeadFacts, Values
    from features.scorecard import RulesResult
    from serving.scoring.scorer import Scorer
    from training.bundles.bundle import Answer

__all__ = [
    "Rescored",
    "Rescorer",
    "Waiting",
    "is_closed",
    "replayed",
    "rescore_dirty",
    "score_answer",
    "score_facts",
    "score_values",
]

RESCORING = "rescoring"  # the name of the lease
_LEASE_US = MINUTE_US // 3
_AHEAD_US = 5 * MINUTE_US  # how far in the future the store lets a fact be, for two clocks may differ
_RETRY_US = MINUTE_US
_BATCH = 100


def score_facts(scorer: Scorer, lead_id: str, facts: LeadFacts, *, as_of_us: int, cause: Cause) -> Score:
    """Return the score of a lead at `as_of` from what is known of it, ready for the history.

    Parameters
    ----------
    scorer
        What answers.
    lead_id
        The lead.
    facts
        What was known of it, from `features.facts.facts_as_of`.
    as_of_us
        The moment of the prediction, microseconds UTC.
    cause
        Why it is scored.
    """
    values = evaluate(scorer.catalogue, facts, as_of_us)
    blank = Score(lead_id, as_of_us, "", "rules", None, None, None, None, {}, (), {}, cause)
    return score_values(scorer, values, blank, profile_only=facts.events is None)


def score_values(
    scorer: Scorer,
    values: Mapping[str, Any],
    about: Score,
    *,
    profile_only: bool = False,
    held: bool | None = None,
) -> Score:
    """Return a score about the same lead and moment, from features that are computed already.

    Parameters
    ----------
    scorer
        What answers.
    values
        The features by name.
    about
        Whose lead, moment and cause are taken over.
    profile_only
        Whether the model for leads whose events are not known answers.
    held
        Whether the lead counts as held out; by default the scorer says.

    Returns
    -------
    Score
        Its `pool` is where the lead goes; what the rules say and the whole decision are in `rules`.
    """
    seen: Values = dict(values)
    answer = None if scorer.bundle is None else scorer.bundle.answer_values(seen, profile_only=profile_only)
    return score_answer(scorer, answer, replace(about, features=seen), held=held)


def score_answer(scorer: Scorer, answer: Answer | None, about: Score, *, held: bool | None = None) -> Score:
    """Return a score about the same lead, moment and features, from what the scorer's bundle said of them.

    Parameters
    ----------
    scorer
        What answered.
    answer
        What the bundle said; None where the rules answered.
    about
        Whose lead, moment, features and cause are taken over.
    held
        Whether the lead counts as held out; by default the scorer says.
    """
    bundle = scorer.bundle
    if bundle is None or answer is None:
        told = scorer.scorecard.evaluate(dict(about.features))
        decided = scorer.hand_over(about.lead_id, told, None, as_of_us=about.as_of_us, held=held)
        return replace(about, pool=decided["pool"], rules=_rules(told) | {"handover": decided})
    grade = bundle.grade(answer.probability)
    decided = scorer.hand_over(about.lead_id, answer.rules, grade, as_of_us=about.as_of_us, held=held)
    reasons, _ = scorer.teller.tell(answer, "en")
    return replace(
        about,
        bundle=bundle.digest,
        source=answer.source,
        probability=answer.probability,
        logit=answer.logit,
        grade=grade,
        pool=decided["pool"],
        reasons=reasons,
        rules=_rules(answer.rules) | {"handover": decided},
    )


def replayed(scorer: Scorer, score: Score) -> Score:
    """Return what a bundle says today of the features that a score was given from: the same, to the digit.

    Raises
    ------
    DataError
        If the scorer holds another bundle than the one that gave the score, or the features were erased.
    """
    bundle = "" if scorer.bundle is None else scorer.bundle.digest
    if bundle != score.bundle:
        raise DataError("the score was given by another bundle", hint="load the bundle that the score names")
    if not score.features:
        raise DataError("the features of the score were erased", hint="a person who was forgotten cannot be replayed")
    rules: Any = score.rules
    # Who was held out is not asked again: the share may have changed since.
    held = rules.get("handover", {}).get("holdout", False)
    return score_values(scorer, score.features, score, profile_only=score.source == "model_profile", held=held)


def _rules(result: RulesResult) -> dict[str, Any]:
    fired = [{"rule": rule.rule, "points": rule.points} for rule in result.fired]
    minutes = result.assign_within_minutes
    return {"points": result.points, "pool": result.pool, "assign_within_minutes": minutes, "fired": fired}


@dataclass(frozen=True)
class Rescored:
    """What a round did: leads scored, those that are closed or gone and need no score, and those put off.

    A lead is put off while a fact of it lies ahead of this clock, or where its facts cannot be read.
    """

    scored: int = 0
    dropped: int = 0
    waiting: int = 0
    failed: int = 0

    @property
    def taken(self) -> int:
        """How many leads are done with."""
        return self.scored + self.dropped

    def __add__(self, other: Rescored) -> Rescored:
        """Return both rounds together; who waits, waits still."""
        return Rescored(
            self.scored + other.scored, self.dropped + other.dropped, other.waiting, self.failed + other.failed
        )


@dataclass
class Waiting:
    """Leads that are looked at again later: until when, microseconds UTC, unless their mark changes."""

    until: dict[tuple[str, str], int] = field(default_factory=dict)

    def holds(self, lead: DirtyLead, now_us: int) -> bool:
        """Tell whether a lead has to wait still."""
        return self.until.get((lead.lead_id, lead.mark), now_us) > now_us

    def put(self, lead: DirtyLead, until_us: int) -> None:
        """Have a lead wait."""
        self.until[lead.lead_id, lead.mark] = until_us

    def prune(self, now_us: int) -> None:
        """Forget those whose time has come."""
        self.until = {key: us for key, us in self.until.items() if us > now_us}


def rescore_dirty(
    store: Store,
    scorer: Scorer,
    now_us: int,
    *,
    limit: int = _BATCH,
    lease: Lease | None = None,
    waiting: Waiting | None = None,
    rest: Callable[[float], object] = lambda _seconds: None,
) -> Rescored:
    """Score the leads that have waited longest since a change, and take their marks away with the scores.

    A lead that changes meanwhile keeps its mark and is scored again. One of which a fact lies ahead of this clock is
    scored now and again when that fact has begun. Closed leads only lose their mark.

    Parameters
    ----------
    store
        The open store.
    scorer
        What answers.
    now_us
        The moment of the prediction, microseconds UTC.
    limit
        How many leads at most, in one transaction.
    lease
        The right to do it, where several might.
    waiting
        Who was put off by earlier rounds of this process.
    rest
        Called after each lead with the seconds that it took, to let others work.

    Raises
    ------
    LeaseLostError
        If the lease has another holder by now; nothing was written.
    InfrastructureError
        If the database cannot be used; then nothing was written.
    """
    waiting = waiting if waiting is not None else Waiting()
    waiting.prune(now_us)
    found = take_dirty(store, limit + len(waiting.until))
    leads = [lead for lead in found if not waiting.holds(lead, now_us)][:limit]
    held = len(found) - len(leads)
    scores, done, dropped, failed = list[Score](), list[DirtyLead](), 0, 0
    custom = custom_kinds(scorer.catalogue)
    for lead in leads:
        started = time.perf_counter()
        stored = lead_facts(store, lead.lead_id, as_of_us=now_us + _AHEAD_US, custom=custom)
        begins_us = _next_begin(stored, now_us)
        try:
            score = _score(scorer, lead.lead_id, stored, now_us)
        except (ClewError, ValueError, OverflowError):
            # One lead with odd facts must not keep the others waiting; its mark stays, so that it is not lost.
            waiting.put(lead, begins_us or now_us + _RETRY_US)
            failed += begins_us is None
            continue
        finally:
            rest(time.perf_counter() - started)
        if score is not None:
            scores.append(score)
        dropped += score is None
        if begins_us is None:
            done.append(lead)
        else:
            waiting.put(lead, begins_us)
    if scores or done:
        record_scores(store, scores, done=done, lease=lease, now_us=now_us)
    return Rescored(len(scores), dropped, held + len(leads) - len(done), failed)


def _score(scorer: Scorer, lead_id: str, stored: StoredFacts, now_us: int) -> Score | None:
    """Return the score of a lead, None where it needs none."""
    if not any(row["lead_id"] == lead_id for row in stored.leads) or is_closed(stored, lead_id, now_us):
        return None
    known = {name: tuple(row for row in rows if row["known_at"] <= now_us) for name, rows in stored.tables.items()}
    facts = facts_as_of(lead_id, now_us, **known)
    return score_facts(scorer, lead_id, facts, as_of_us=now_us, cause="change")


def is_closed(stored: StoredFacts, lead_id: str, now_us: int) -> bool:
    """Tell whether the outcome in force says that the lead has ended."""
    told = [row for row in stored.outcomes if row["lead_id"] == lead_id and row["known_at"] <= now_us]
    last = max(told, key=lambda row: int(row["known_at"]), default=None)
    return last is not None and last["outcome"] != "open" and last["closed_at"] <= now_us


def _next_begin(stored: StoredFacts, now_us: int) -> int | None:
    """Return when the last of the facts that lie ahead of this clock begins to count, None where none does."""
    clocks = ("known_at", "occurred_at", "created_at", "closed_at")
    ahead = [
        row[clock] + (clock == "occurred_at")  # an event counts from the microsecond after it happened
        for rows in stored.tables.values()
        for row in rows
        for clock in clocks
        if clock in row and row[clock] + (clock == "occurred_at") > now_us
    ]
    return max(ahead, default=None)


class Rescorer:
    """Rescores what changes, in rounds; of several workers one does, and another takes over when it ends.

    Parameters
    ----------
    store
        The open store; opened in this process, not before a fork.
    scorer
        Called for each batch, so that a new bundle answers from the next one on; None while nothing can answer yet.
    interval_s
        Seconds between two rounds.
    tell
        Called with the kind of an error that a round met; the next round tries again.
    count
        Called with what each batch did.
    """

    def __init__(
        self,
        store: Store,
        scorer: Callable[[], Scorer | None],
        *,
        interval_s: float = 1.0,
        tell: Callable[[str], None] = lambda _: None,
        count: Callable[[Rescored], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._scorer = scorer
        self._interval_s = interval_s
        self._tell = tell
        self._count = count
        self._holder = uuid.uuid4().hex
        self._waiting = Waiting()
        self._lease: Lease | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Rescore in a thread of its own until `stop`."""
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, name="rescoring", daemon=True)
        self._thread.start()

    def stop(self, *, wait_s: float = 10.0) -> None:
        """End after the batch under way, and give the lease back."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(wait_s)
            self._thread = None

    def round(self) -> Rescored:
        """Rescore all that waits, if this worker holds the lease or can have it.

        Raises
        ------
        InfrastructureError
            If the database cannot be used, or the lease was lost; the next round begins anew.
        """
        done = Rescored()
        # Looked at first, so that a worker with nothing to do writes nothing.
        while not self._ended.is_set() and take_dirty(self._store, 1) and self._hold():
            scorer, at_us = self._scorer(), to_us(now())
            if scorer is None:
                break
            try:
                # Half of the time is left to answers: a lead that rests as long as it took holds nobody up.
                batch = rescore_dirty(
                    self._store, scorer, at_us, lease=self._lease, waiting=self._waiting, rest=self._ended.wait
                )
            except LeaseLostError:
                self._lease = None
                raise
            done = done + batch
            self._count(batch)
            if batch.scored + batch.dropped < _BATCH:
                break
        return done

    def _hold(self) -> bool:
        """Renew the lease or acquire it; tell whether it is ours."""
        if self._lease is not None and self._lease.expires_us < to_us(now()) + _LEASE_US // 2:
            self._lease = renew(self._store, self._lease, ttl_us=_LEASE_US)
        if self._lease is None:
            self._lease = acquire(self._store, RESCORING, holder=self._holder, ttl_us=_LEASE_US)
        return self._lease is not None

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.round()
            except Exception as error:  # noqa: BLE001 - a thread that ended in silence would leave scores to age
                self._tell(type(error).__name__)
            self._ended.wait(self._interval_s)
        if self._lease is not None:
            try:
                release(self._store, self._lease)
            except InfrastructureError as error:
                self._tell(type(error).__name__)
            self._lease = None
