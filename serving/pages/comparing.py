"""What past leads say about a new one: how similar ones ended, and what a missing field would tell.

Similar are leads for which the model gives similar reasons: near in the contributions of the groups of features. Of
past leads nothing is told but how they ended, how they were scored and how long it took.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from data.clock import DAY_US
from data.store.past import past_leads
from data.store.scores import newest_scores
from features.definitions import AccountAttribute, LeadAttribute

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from data.store.engine import Store
    from data.store.past import PastLead
    from features.catalogue import Catalogue, Feature
    from training.bundles.bundle import Answer, Bundle

__all__ = ["Compared", "Comparing", "Gap", "Similar", "gaps_of", "nearest"]

_LASTS_SECONDS = 600.0
NEIGHBOURS, FEWEST = 20, 20
_SHOWN = 5
_USUAL = 200  # scores from which is learnt how much a group usually moves
_MOST_GAPS = 4
_LEAST_FACTOR = 1.05  # what is written as 1.1 or more
# How a lead came is known to the website or not at all: nobody can ask for it on the phone.
_NOT_ASKED = frozenset({"source", "medium", "campaign", "keyword", "landing_page", "contact_completeness"})


@dataclass(frozen=True)
class Similar:
    """A past lead without a name: how it ended, its probability then, and the days from that score to its end."""

    is_won: bool
    probability: float
    days: int


@dataclass(frozen=True)
class Compared:
    """How the `looked` nearest of `known` past leads ended, and the nearest few."""

    known: int
    looked: int
    won: int
    nearest: tuple[Similar, ...]


@dataclass(frozen=True)
class Gap:
    """A field that the model reads and nobody filled in; `factor` is how much its group usually moves the odds."""

    feature: Feature
    factor: float


@dataclass(frozen=True)
class _Past:
    """Past leads by the groups' contributions, shape (leads, groups), and what each group usually moves."""

    groups: tuple[str, ...]
    lead_ids: tuple[str, ...]
    places: NDArray[np.float64]
    told: tuple[Similar, ...]
    usual: Mapping[str, float]
    at: float


class Comparing:
    """Keeps what past leads say for some minutes: working it out anew takes a third of a second."""

    def __init__(self) -> None:
        self._kept: dict[str, _Past] = {}
        self._working = Lock()

    def similar(self, store: Store, bundle: Bundle, answer: Answer, lead_id: str, *, now_us: int) -> Compared:
        """Return how leads with similar reasons ended; blocks.

        Parameters
        ----------
        store
            The open store.
        bundle
            In whose terms leads are compared.
        answer
            What it says of the lead.
        lead_id
            The lead, which is not compared with itself.
        now_us
            The moment, microseconds UTC: what ended later is not known.
        """
        past = self._past(store, bundle, now_us)
        others = [at for at, other in enumerate(past.lead_ids) if other != lead_id]
        if len(others) < FEWEST:
            return Compared(len(others), 0, 0, ())
        place = np.array([answer.groups.get(group, 0.0) for group in past.groups])
        order = nearest(past.places[others], place)[:NEIGHBOURS]
        found = [past.told[others[at]] for at in order]
        return Compared(len(others), len(found), sum(one.is_won for one in found), tuple(found[:_SHOWN]))

    def gaps(self, store: Store, bundle: Bundle, answer: Answer, *, now_us: int) -> list[Gap]:
        """Return the missing fields that would tell most; blocks."""
        return gaps_of(bundle.catalogue, answer, self._past(store, bundle, now_us).usual)

    def _past(self, store: Store, bundle: Bundle, now_us: int) -> _Past:
        with self._working:
            kept = self._kept.get(bundle.digest)
            if kept is None or time.monotonic() - kept.at > _LASTS_SECONDS:
                kept = _past_of(store, bundle, now_us)
                self._kept = {bundle.digest: kept}
            return kept


def nearest(places: NDArray[np.float64], place: NDArray[np.float64]) -> list[int]:
    """Return the rows of `places` (n, groups) by their distance from `place` (groups,), the nearest first.

    Examples
    --------
    >>> nearest(np.array([[0.0, 2.0], [1.0, 0.0]]), np.array([0.0, 0.0]))
    [1, 0]
    """
    found: list[int] = np.argsort(((places - place) ** 2).sum(axis=1), kind="stable").tolist()
    return found


def gaps_of(catalogue: Catalogue, answer: Answer, usual: Mapping[str, float]) -> list[Gap]:
    """Return the fields that somebody could fill in, those first whose group usually moves most.

    Parameters
    ----------
    catalogue
        What the model may read.
    answer
        What it says of a lead, and from which values.
    usual
        The mean size of each group's contribution, in log-odds.
    """
    found = [
        Gap(feature, math.exp(usual.get(feature.group, 0.0)))
        for feature in catalogue.features
        if isinstance(feature.compute, LeadAttribute | AccountAttribute)
        and feature.compute.column not in _NOT_ASKED
        and feature.name in answer.contributions
        and answer.values.get(feature.name) is None
    ]
    return sorted((gap for gap in found if gap.factor >= _LEAST_FACTOR), key=lambda gap: -gap.factor)[:_MOST_GAPS]


def _past_of(store: Store, bundle: Bundle, now_us: int) -> _Past:
    leads = [
        (lead, told) for lead in past_leads(store, as_of_us=now_us) if (told := _answer(bundle, lead.given.features))
    ]
    recent = [told for given in newest_scores(store, limit=_USUAL) if (told := _answer(bundle, given.score.features))]
    groups = tuple(sorted({group for _, told in leads for group in told.groups}))
    places = np.array([[told.groups.get(group, 0.0) for group in groups] for _, told in leads])
    return _Past(
        groups,
        tuple(lead.lead_id for lead, _ in leads),
        places,
        tuple(_similar(lead, told) for lead, told in leads),
        _usual(recent),
        time.monotonic(),
    )


def _answer(bundle: Bundle, features: Mapping[str, Any]) -> Answer | None:
    """Return what a bundle says of kept features, None where they are of another catalogue."""
    values = dict(features)
    return bundle.answer_values(values) if set(bundle.catalogue.names) <= values.keys() else None


def _similar(lead: PastLead, told: Answer) -> Similar:
    return Similar(lead.is_won, told.probability, max(lead.closed_us - lead.given.as_of_us, 0) // DAY_US)


def _usual(recent: Sequence[Answer]) -> dict[str, float]:
    """Return the mean size of each group's contribution."""
    sums: dict[str, float] = {}
    for group, size in _sizes(recent):
        sums[group] = sums.get(group, 0.0) + size
    return {group: total / len(recent) for group, total in sums.items()}


def _sizes(recent: Iterable[Answer]) -> Iterable[tuple[str, float]]:
    return ((group, abs(amount)) for told in recent for group, amount in told.groups.items())
