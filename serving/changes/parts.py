"""The difference between two scores of a lead, split exactly into what caused it.

Between the two ends lie five states. Each differs from the one before in one respect, so that the parts are differences
of neighbours and add up:

1. the facts of the first score at its moment;
2. the same facts at the later moment: time passing. It comes first, as nothing can be new unless time passes;
3. with corrected data, 4. with new activity, 5. with both: neither comes before the other, so each gets the mean of
   what it adds first and what it adds last (Shapley's value of two);
6. the same facts told by the newer model. It comes last, so that all that data did is told in one model's terms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from data.store.reading import typed_custom
from data.tables import CUSTOM_PREFIX, TABLES
from features.facts import facts_as_of
from features.memory import evaluate
from serving.changes.voices import Said, Voice

if TYPE_CHECKING:
    from data.store.scores import Score
    from features.memory import Values

__all__ = ["PARTS", "Changes", "End", "Part", "PartName", "Untold", "changes_between", "said_at"]

PartName = Literal["time_passing", "corrected_data", "new_activity", "new_model", "data", "everything"]
PARTS: tuple[PartName, ...] = ("new_activity", "time_passing", "corrected_data", "new_model")
"""The parts of a difference that can be told whole. Where facts are gone, `data` stands for the first three; where
nothing can be told apart, `everything` stands for all."""

Untold = Literal["bundle_gone", "facts_changed", "features_erased", "other_scale"]
"""Why parts are told together: the older bundle or scorecard is gone, the facts of then cannot be had again, the person
was forgotten, or one end is points and the other log-odds."""

TOLERANCE = 1e-9
_ACTIVITY = frozenset({"events", "actions"})

Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]
_Key = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class End:
    """One of the two scores: as it was given, who can say it again, and the rows that were known then.

    `voice` is None where the bundle is gone, `tables` where the rows of then cannot be had again. Rows are those of
    `data.store.lead_facts` with the customer's columns as they were sent.
    """

    score: Score
    voice: Voice | None
    tables: Tables | None


@dataclass(frozen=True)
class Part:
    """A cause and what it adds: `amount` is the sum of the `groups` and of what no group holds.

    `groups` and `features` are what groups of features, and features themselves, add; of rules, what rules add.
    `before` and `after` are the values between which it moved. `facts` counts new or corrected rows.
    """

    name: PartName
    amount: float
    groups: Mapping[str, float]
    features: Mapping[str, float]
    before: Values
    after: Said | None
    facts: int = 0

    @property
    def remainder(self) -> float:
        """What no group holds: the base of another model, and what adding up rounds off."""
        return math.fsum([self.amount, *(-amount for amount in self.groups.values())])


@dataclass(frozen=True)
class Changes:
    """A difference (of log-odds or of points) and its parts; None where the ends are of different scales."""

    difference: float | None
    parts: tuple[Part, ...]
    untold: Untold | None = None


def changes_between(before: End, after: End) -> Changes:
    """Split the difference between two scores of a lead into its causes.

    Parameters
    ----------
    before, after
        The ends; the first was given for no later a moment than the second.

    Returns
    -------
    Changes
        Parts that add up to the difference to 1e-9. Where an end cannot be recomputed to 1e-9 parts are told
        together, and `untold` says why; nothing is guessed.
    """
    first, last = before.score, after.score
    if (first.logit is None) != (last.logit is None):
        return Changes(None, (), "other_scale")
    if not first.features or not last.features:
        return _everything(first, last, "features_erased")
    if before.voice is None or after.voice is None or not (_replays(before) and _replays(after)):
        return _everything(first, last, "bundle_gone")
    if before.tables is None or after.tables is None:
        return _from_features(before.voice, after.voice, first, last)
    return _from_facts(before.voice, after.voice, _Between(first, last, before.tables, after.tables))


def said_at(voice: Voice, lead_id: str, tables: Tables, as_of_us: int) -> Said:
    """Return what a model says of a lead at a moment, from rows of the store."""
    facts = facts_as_of(lead_id, as_of_us, **{**tables, "leads": [_typed(row, voice) for row in tables["leads"]]})
    return voice.say(evaluate(voice.catalogue, facts, as_of_us))


def _typed(row: Row, voice: Voice) -> Row:
    """Return a row of `leads` with the customer's columns as this model's catalogue wants them."""
    plain = {name: value for name, value in row.items() if not name.startswith(CUSTOM_PREFIX)}
    own = {
        CUSTOM_PREFIX + name: typed_custom(row.get(CUSTOM_PREFIX + name), kind) for name, kind in voice.custom.items()
    }
    return plain | own


class _Between:
    """The states between two scores: which rows each of them holds."""

    def __init__(self, first: Score, last: Score, before: Tables, after: Tables) -> None:
        self._lead_id = last.lead_id
        self._start_us, self._end_us = first.as_of_us, last.as_of_us
        then, now = _by_key(before), _by_key(after)
        rows = then | now
        fresh = {key for key, row in rows.items() if self._is_activity(key, row)}
        self._shared = (then.keys() & now.keys()) - fresh
        self._dropped, self._corrected = then.keys() - now.keys() - fresh, now.keys() - then.keys() - fresh
        self._fresh = fresh & now.keys()
        self._rows = rows
        self._said: dict[tuple[str, int, bool, bool], Said] = {}

    @property
    def counts(self) -> tuple[int, int]:
        """How many rows are new activity, and how many were corrected."""
        return len(self._fresh), len(self._dropped) + len(self._corrected)

    def said(self, voice: Voice, *, late: bool, corrected: bool = False, fresh: bool = False) -> Said:
        """Return what a model says of a state; a state is said once, so that equal states differ by exactly 0."""
        new, changed = self.counts
        as_of_us = self._end_us if late else self._start_us
        key = (voice.digest, as_of_us, corrected and changed > 0, fresh and new > 0)
        found = self._said.get(key)
        if found is None:
            tables = self._tables(corrected=corrected, fresh=fresh)
            found = self._said[key] = said_at(voice, self._lead_id, tables, as_of_us)
        return found

    def _is_activity(self, key: _Key, row: Row) -> bool:
        # Facts may be sent some minutes ahead: such a one was stored before the first score, but happened after it.
        return key[0] in _ACTIVITY and bool(self._start_us <= row["occurred_at"] < self._end_us)

    def _tables(self, *, corrected: bool, fresh: bool) -> dict[str, list[Row]]:
        keys = self._shared | (self._corrected if corrected else self._dropped) | (self._fresh if fresh else set())
        found: dict[str, list[Row]] = {
            name: [] for name in ("leads", "accounts", "events", "actions", "outcomes", "merges")
        }
        for key in sorted(keys, key=repr):
            found[key[0]].append(self._rows[key])
        return found


def _by_key(tables: Tables) -> dict[_Key, Row]:
    """Return the rows by table and key of the contract: facts are only ever added, so a key names one content."""
    return {
        (name, tuple(row[column] for column in TABLES[name].key)): row for name, rows in tables.items() for row in rows
    }


def _from_facts(old: Voice, new: Voice, between: _Between) -> Changes:
    start = between.said(old, late=False)
    passed = between.said(old, late=True)
    corrected = between.said(old, late=True, corrected=True)
    active = between.said(old, late=True, fresh=True)
    known = between.said(old, late=True, corrected=True, fresh=True)
    end = between.said(new, late=True, corrected=True, fresh=True)
    fresh_rows, corrected_rows = between.counts
    by_name = {
        "new_activity": _part("new_activity", [(passed, active), (corrected, known)], facts=fresh_rows),
        "time_passing": _part("time_passing", [(start, passed)]),
        "corrected_data": _part("corrected_data", [(passed, corrected), (active, known)], facts=corrected_rows),
        "new_model": _part("new_model", [(known, end)]),
    }
    return Changes(end.value - start.value, tuple(by_name[name] for name in PARTS))


def _part(name: PartName, steps: Sequence[tuple[Said, Said]], *, facts: int = 0) -> Part:
    """Return a cause whose amount is the mean of some steps, each from one state to the next."""
    share = 1 / len(steps)
    first, last = steps[-1]
    return Part(
        name,
        math.fsum(share * (there.value - here.value) for here, there in steps),
        _mean_difference([(here.groups, there.groups) for here, there in steps]),
        _mean_difference([(here.features, there.features) for here, there in steps]),
        first.values,
        last,
        facts,
    )


def _mean_difference(steps: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> dict[str, float]:
    share, found = 1 / len(steps), dict[str, float]()
    for name in sorted({name for step in steps for side in step for name in side}):
        amount = math.fsum(share * (there.get(name, 0.0) - here.get(name, 0.0)) for here, there in steps)
        if amount:
            found[name] = amount
    return found


def _from_features(old: Voice, new: Voice, first: Score, last: Score) -> Changes:
    """Tell data and model apart by the features that both scores kept, where the facts of then cannot be had again."""
    if not set(old.catalogue.names) <= last.features.keys():
        return _everything(first, last, "facts_changed")
    start = _of_score(old, first)
    known = _of_score(old, last)
    end = known if new.digest == old.digest else _of_score(new, last)
    parts = (_part("data", [(start, known)]), _part("new_model", [(known, end)]))
    return Changes(end.value - start.value, parts, "facts_changed")


def _everything(first: Score, last: Score, why: Untold) -> Changes:
    difference = _value(last) - _value(first)
    return Changes(difference, (Part("everything", difference, {}, {}, {}, None),), why)


def _replays(end: End) -> bool:
    """Tell whether a model still says of a score's features what it said then."""
    return end.voice is not None and abs(_of_score(end.voice, end.score).value - _value(end.score)) <= TOLERANCE


def _of_score(voice: Voice, score: Score) -> Said:
    values: Values = {name: score.features.get(name) for name in voice.catalogue.names}
    return voice.say(values, profile_only=score.source == "model_profile")


def _value(score: Score) -> float:
    rules: Any = score.rules
    return float(rules.get("points", 0)) if score.logit is None else score.logit
