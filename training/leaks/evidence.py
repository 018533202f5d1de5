"""What speaks for or against each column: figures only, no verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.definitions import AccountAttribute, Filled, LeadAge, LeadAttribute
from features.reading import types_of
from training.leaks.codes import Coded, code_column
from training.leaks.statistics import Auc, Zone, clustered_auc, cross_fitted, find_zone, knows_closing, rank_table

if TYPE_CHECKING:
    from features.definitions import Catalogue, Feature
    from training.leaks.facts import EventTiming, Moves
    from training.leaks.lists import Distance, Shift, Tally
    from training.leaks.material import Material

__all__ = ["LOSERS_TO", "WINNERS_FROM", "Evidence", "Shifts", "Subject", "gather", "subjects_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WINNERS_FROM = 0.85
LOSERS_TO = 0.1  # of the base rate
_TOP = 0.2  # the codes that promise most, up to this share of the rows
_FEWEST_CLOSED = 20
_MANY = 12
_FEWEST_SHOWN = 10  # leads that share a value before it is shown
_NAMED = 3


@dataclass(frozen=True)
class Subject:
    """What is judged as one: a column, or an event type with the features that count only it."""

    name: str
    features: tuple[Feature, ...]
    event_type: str | None = None

    @property
    def stands(self) -> bool:
        """Whether the values come as they stand in a table of the customer, and not from dated events."""
        return isinstance(self.features[0].compute, LeadAttribute | AccountAttribute | Filled)

    @property
    def column(self) -> str | None:
        """The column of `leads` that it reads, where it reads one."""
        compute = self.features[0].compute
        return compute.column if isinstance(compute, LeadAttribute | Filled) else None


@dataclass(frozen=True)
class Shifts:
    """How shares moved from earlier lists to today's: of the filled, of the most promising, of the certain winners."""

    full: Shift
    telling: Shift | None = None
    telltale: Shift | None = None

    def named(self) -> list[tuple[str, Shift]]:
        """Return those that were measured, the certain winners' first."""
        found = (("telltale", self.telltale), ("full", self.full), ("telling", self.telling))
        return [(name, shift) for name, shift in found if shift is not None]


@dataclass(frozen=True)
class Evidence:
    """All figures of one subject. What could not be measured is None.

    Attributes
    ----------
    filled_rows
        Labelled rows with a value.
    auc
        How it alone ranks wins, on other accounts than it was learnt from, within the same month.
    final
        The same between leads won and lost for good, created at about the same time, one lead an account.
    filled
        Share filled among leads won, lost, and open today.
    winners, losers
        Values of certain wins and of certain losses, with `winning` and `losing` as they read.
    whole, young
        How shares moved to today's list, among leads of all ages and of at most 30 days.
    distance
        How far all values together moved.
    closing
        Rank correlation with the time to the closing given the creation date, and its error.
    """

    filled_rows: int
    auc: Auc
    final: Auc | None
    filled: tuple[float | None, float | None, float | None]
    winners: Zone
    losers: Zone
    winning: tuple[str, ...] = ()
    losing: tuple[str, ...] = ()
    whole: Shifts | None = None
    young: Shifts | None = None
    distance: Distance | None = None
    closing: tuple[float, float] | None = None
    moves: Moves | None = None
    timing: EventTiming | None = None
    constant: bool = False
    shapes: bool = False


def subjects_of(catalogue: Catalogue) -> tuple[Subject, ...]:
    """Return what is judged as one: each feature, those that count one event type together.

    The age of a lead is left out: clew computes it.

    Examples
    --------
    >>> from features.catalogue import build_catalogue
    >>> found = {one.name: len(one.features) for one in subjects_of(build_catalogue(event_types=["page_view"]))}
    >>> found["source"], found["page_view"] > 3, "lead_age_days" in found
    (1, True, False)
    """
    families: dict[str, list[Feature]] = {}
    singles = []
    for feature in catalogue.features:
        types = types_of(feature)
        if len(types) == 1 and feature.needs == "events":
            families.setdefault(types[0], []).append(feature)
        elif not isinstance(feature.compute, LeadAge):
            singles.append(Subject(feature.name, (feature,)))
    taken = {one.name for one in singles}
    named = (
        Subject(name if name not in taken else f"event {name}", tuple(features), name)
        for name, features in families.items()
    )
    return (*singles, *named)


def gather(material: Material, subject: Subject) -> Evidence:
    """Return the figures of one subject; of several features the one that ranks best speaks for all."""
    best: tuple[Auc, Feature, Coded] | None = None
    for feature in subject.features:
        coded = code_column(material.frame[feature.name], feature, material.sample)
        auc = _auc(material, coded)
        if best is None or auc.low > best[0].low:
            best = auc, feature, coded
    assert best is not None  # noqa: S101 - a subject has a feature
    auc, feature, coded = best
    return _measure(material, subject, feature, coded, auc)


def _auc(material: Material, coded: Coded) -> Auc:
    judged = material.judged
    codes, y_obs, folds = coded.codes[judged], material.rows.y_obs[judged], material.folds[judged]
    clusters = material.clusters[judged]
    if not material.forward:
        ranks = rank_table(cross_fitted(codes, y_obs, folds))[folds, codes]
        return clustered_auc(ranks, y_obs, material.moments, clusters)
    ranks, used = np.zeros(len(codes), np.int64), np.zeros(len(codes), bool)
    for learnt, later in material.forward:
        ranks[later] = rank_table(cross_fitted(codes, y_obs, folds, learnt=learnt))[folds[later], codes[later]]
        used |= later
    return clustered_auc(ranks[used], y_obs[used], material.moments[used], clusters[used])


def _measure(material: Material, subject: Subject, feature: Feature, coded: Coded, auc: Auc) -> Evidence:
    labelled = coded.codes[: len(material.rows.spine)]
    # What stands in a table is taken as it stood first; what events say as it stood last before the closing.
    place = "first" if subject.stands else "last"
    closed, won = material.closed, material.closed_won
    codes, folds = labelled[closed[place].to_numpy()], material.folds[closed["first"].to_numpy()]
    base = float(won.mean()) if len(won) else 0.0
    winners = find_zone(codes, won, folds, winners=True, least=WINNERS_FROM)
    losers = find_zone(codes, won, folds, winners=False, least=LOSERS_TO * base)
    whole, young, distance = _shifts(material, coded, winners)
    return Evidence(
        filled_rows=int((~np.isin(labelled, coded.empty)).sum()),
        auc=auc,
        final=_final(material, codes, won, folds),
        filled=_filled(material, coded, place),
        winners=winners,
        losers=losers,
        winning=_told(coded, winners, codes),
        losing=_told(coded, losers, codes),
        whole=whole,
        young=young,
        distance=distance,
        closing=_closing(material, subject, feature),
        moves=material.moves.get(subject.column or ""),
        timing=material.timings.get(subject.event_type or ""),
        constant=bool((labelled == labelled[:1]).all()),
        shapes=coded.shapes,
    )


def _told(coded: Coded, zone: Zone, codes: Ints) -> tuple[str, ...]:
    """Return what the most frequent codes of a zone mean, of values that enough leads share to be shown."""
    shared = np.bincount(codes, minlength=len(coded.labels)) >= _FEWEST_SHOWN
    return tuple(coded.labels[k] for k in zone.codes[:_NAMED] if shared[k])


def _final(material: Material, codes: Ints, won: Ints, folds: Ints) -> Auc | None:
    if min(int(won.sum()), len(won) - int(won.sum())) < _FEWEST_CLOSED:
        return None
    ranks = rank_table(cross_fitted(codes, won, folds))[folds, codes]
    return clustered_auc(ranks, won, material.closed_moments, np.arange(len(won)))


def _filled(material: Material, coded: Coded, place: str) -> tuple[float | None, float | None, float | None]:
    leads = material.leads
    filled = ~np.isin(coded.codes, coded.empty)
    at, state = filled[leads[place].to_numpy()], leads["state"].to_numpy(str)
    return _share(at[state == "won"]), _share(at[state == "lost"]), _share(filled[material.today])


def _share(inside: NDArray[np.bool_]) -> float | None:
    return float(inside.mean()) if len(inside) else None


def _closing(material: Material, subject: Subject, feature: Feature) -> tuple[float, float] | None:
    if feature.kind != "numeric" or not subject.stands:
        return None
    closed = material.closed
    return knows_closing(
        material.frame[feature.name].to_numpy(np.float64)[closed["first"].to_numpy()],
        closed["created_us"].to_numpy(np.int64),
        closed["closed_us"].to_numpy(np.float64),
    )


def _shifts(material: Material, coded: Coded, winners: Zone) -> tuple[Shifts | None, Shifts | None, Distance | None]:
    lists = material.lists
    if lists is None or not lists.enough(lists.every):
        return None, None, None
    tally = lists.tally(coded.codes)
    present = [k for k in range(len(coded.labels)) if k not in coded.empty]
    # Campaigns and the like come and go: which of many values promised most says nothing of today's.
    many = len(coded.labels) > _MANY and coded.categories
    top = [] if many else _promising(material, coded.codes)

    def moved(ages: NDArray[np.bool_]) -> Shifts:
        return _moved(tally, ages, present, top, winners.codes)

    young = moved(lists.young) if lists.enough(lists.young) else None
    return moved(lists.every), young, tally.distance()


def _moved(
    tally: Tally, ages: NDArray[np.bool_], present: list[int], top: list[int], certain: tuple[int, ...]
) -> Shifts:
    return Shifts(
        full=tally.shift(present, ages),
        telling=tally.shift(top, ages) if top else None,
        telltale=tally.shift(certain, ages) if certain else None,
    )


def _promising(material: Material, codes: Ints) -> list[int]:
    """Return the codes with the best rates that together hold at most a fifth of the rows, at least the best one."""
    own, y_obs = codes[material.judged], material.rows.y_obs[material.judged]
    rows, wins = np.bincount(own), np.bincount(own, y_obs)
    rate = (wins + 20 * y_obs.mean()) / (rows + 20)
    order = np.argsort(-rate, kind="stable")
    order = order[rows[order] > 0]
    if len(order) < 2:
        return []
    upto = max(1, int((np.cumsum(rows[order]) <= _TOP * rows.sum()).sum()))
    return [int(k) for k in order[:upto]]
