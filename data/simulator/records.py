"""From people to rows of a CRM: one person may have several lead records, and the team goes on with one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.clock import DAY_US
from data.simulator.arrays import Bools, Ints, exponential_us

if TYPE_CHECKING:
    from data.simulator.chain import Walk
    from data.simulator.population import People

__all__ = ["DUPLICATE_SHARE", "Records", "draw_records"]

DUPLICATE_SHARE = 0.2


@dataclass(frozen=True)
class Records:
    """Lead records in the order of creation, so that a record's number says nothing but its age.

    `primary` and `survivor` give each person's first record and the one on which sales works once it exists.
    """

    person: Ints
    created: Ints
    duplicate: Bools
    primary: Ints
    survivor: Ints

    def worked(self, who: Ints, at: Ints) -> Ints:
        """Return the record on which a person's sales work at a moment is written down."""
        survivor = self.survivor[who]
        return np.where(at >= self.created[survivor], survivor, self.primary[who])

    def logged(self, rng: np.random.Generator, who: Ints, at: Ints) -> Ints:
        """Draw the record to which an event is attached: any of the person's that exists by then."""
        latest = self.primary.copy()
        extra = np.flatnonzero(self.duplicate)
        latest[self.person[extra]] = extra  # in order of creation, so the latest stays
        other = (rng.random(len(who)) < 0.4) & (at >= self.created[latest[who]])
        return np.where(other, latest[who], self.primary[who])


def draw_records(rng: np.random.Generator, people: People, walk: Walk, *, leads: int, end: int) -> Records:
    """Draw duplicates until there are `leads` records: forms sent again by people who are not closed yet.

    When a duplicate comes is drawn before it is asked whether the person is still open: a duplicate must not say
    anything about the future.
    """
    count = len(people.created)
    first = people.created + exponential_us(rng, 11.0 * DAY_US, count)
    second = first + exponential_us(rng, 20.0 * DAY_US, count)
    who = np.tile(np.arange(count), 2)
    at = np.concatenate([first, second])
    wanted = np.concatenate([np.ones(count, dtype=bool), rng.random(count) < 0.2])
    possible = np.flatnonzero(wanted & (at < np.minimum(walk.closed_at[who], end)))
    chosen = rng.permutation(possible)[: leads - count]
    person = np.concatenate([np.arange(count), who[chosen]])
    created = np.concatenate([people.created, at[chosen]])
    duplicate = np.arange(len(person)) >= count
    order = np.lexsort((person, duplicate, created))
    return _numbered(rng, person[order], created[order], duplicate[order])


def _numbered(rng: np.random.Generator, person: Ints, created: Ints, duplicate: Bools) -> Records:
    count = int(person.max()) + 1
    primary = np.empty(count, dtype=np.int64)
    primary[person[~duplicate]] = np.flatnonzero(~duplicate)
    survivor = primary.copy()
    extra = np.flatnonzero(duplicate)[::-1]
    moved = extra[(rng.random(count) < 0.2)[person[extra]]]
    survivor[person[moved]] = moved
    return Records(person, created, duplicate, primary, survivor)
