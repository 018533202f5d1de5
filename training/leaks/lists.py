"""Today's list of open leads beside earlier lists of the same ages, whether a column is as full and as telling.

A lead of an earlier list has had time to close, and to be overwritten; today's has not. A column that was known when a
lead was photographed looks the same in both, but for what the business changed; how much that is over as long a time,
the earlier lists say among themselves, and the leads that came and closed lately say whether it has changed now.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.clock import DAY_US

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["YOUNG_DAYS", "Distance", "Lists", "Shift", "Tally", "log_odds", "make_lists"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

YOUNG_DAYS = 30
_AGES_DAYS = (1, 3, 7, 14, YOUNG_DAYS, 60, 90, 180, 360)
_CLASSES = len(_AGES_DAYS) + 1
_FEWEST = 10  # rows of an age on either side, else that age is not compared
_FEWEST_TODAY = 50
_FEWEST_LATELY = 30
_RECENT = 3  # the last lists of the past, taken together
_MONTH_US = 30.4 * DAY_US
_COARSE = 12
_ALIKE = 0.25  # of the change: how far apart leads closed lately and open ones may lie
# What a share, or the shares together, are taken to move by the chances of business where there is no past to tell.
_UNTOLD_CHANGE = float(np.log(2))
_UNTOLD_DISTANCE = 0.25


@dataclass(frozen=True)
class Shift:
    """A share among the leads of earlier lists and among today's, at equal ages.

    `error` is the standard error of the difference, clustered by account; `change` is the difference of the log-odds,
    `usual` the largest such difference that the past itself shows over as long a time. `losers` is the share among past
    leads that did not win; `lately` that among leads which came and closed since, and `beside` today's at their ages.
    """

    past: float
    today: float
    losers: float
    error: float
    change: float
    usual: float
    lately: float | None = None
    beside: float | None = None

    @property
    def z(self) -> float:
        """The difference over its standard error."""
        return (self.today - self.past) / self.error

    @property
    def beyond(self) -> float:
        """By how much the log-odds moved more than they usually do."""
        return abs(self.change) - self.usual

    @property
    def business(self) -> bool:
        """Whether leads that came and closed lately moved alike: then the business changed and nothing was written."""
        if self.lately is None or self.beside is None:
            return False
        return abs(log_odds(self.lately, 100) - log_odds(self.beside, 100)) <= _ALIKE * abs(self.change)


@dataclass(frozen=True)
class Distance:
    """Total variation of a column between earlier lists and today's, and the largest that the past itself shows."""

    now: float
    usual: float


@dataclass(frozen=True)
class Lists:
    """Rows of earlier lists and of today's, as row numbers of one pooled frame.

    Attributes
    ----------
    past, today, lately
        Row numbers: earlier lists, today's, and leads that came and closed since the last of the earlier ones.
    past_age, today_age, lately_age
        Their classes of age; only those that both sides have count.
    month
        (past,) number of the list, oldest first.
    lost
        (past,) whether the row was not won within the horizon.
    past_cluster, today_cluster
        Numbers of the accounts, the same on both sides.
    lag
        How many lists lie between the last of the past and today's.
    overwritten
        Share of today's leads that closed before the data ended: an export of that day has overwritten them already.
    """

    past: Ints
    today: Ints
    lately: Ints
    past_age: Ints
    today_age: Ints
    lately_age: Ints
    month: Ints
    lost: Mask
    past_cluster: Ints
    today_cluster: Ints
    lag: int
    overwritten: float = 0.0

    def tally(self, codes: Ints) -> Tally:
        """Count a column, (pooled rows,) codes, by list, age and code."""
        return Tally(self, codes)

    @property
    def young(self) -> Mask:
        """(ages,) classes of at most 30 days: leads to which little can have happened yet."""
        return np.asarray(np.arange(_CLASSES) <= _AGES_DAYS.index(YOUNG_DAYS))

    @property
    def every(self) -> Mask:
        """(ages,) all classes."""
        return np.ones(_CLASSES, bool)

    @cached_property
    def recent(self) -> Ints:
        """Positions in `past` of the last lists."""
        return np.flatnonzero(self.month > self.month.max(initial=0) - _RECENT)

    @cached_property
    def common(self) -> Floats:
        """(ages,) how many of today's leads have each age that the last lists have too."""
        here = np.bincount(self.today_age, minlength=_CLASSES)
        there = np.bincount(self.past_age[self.recent], minlength=_CLASSES)
        return np.where((here >= _FEWEST) & (there >= _FEWEST), here, 0).astype(np.float64)

    def enough(self, ages: Mask) -> bool:
        """Whether there are leads of these ages to compare."""
        return bool(self.common[ages].sum() >= _FEWEST_TODAY)

    @cached_property
    def pairs(self) -> tuple[tuple[slice, int], ...]:
        """Earlier pairs of (some lists, a later list), as far apart as today is from the past or as there is room."""
        months = int(self.month.max(initial=0)) + 1
        lag = max(1, min(self.lag, months // 2))
        return tuple((slice(max(0, k - lag - _RECENT + 1), k - lag + 1), k) for k in range(lag, months))

    @cached_property
    def stretch(self) -> float:
        """How much more may change until today than between these pairs: as a random walk, with the root of time."""
        months = int(self.month.max(initial=0)) + 1
        return float(np.sqrt(max(self.lag / max(1, min(self.lag, months // 2)), 1.0)))


class Tally:
    """One column counted by list, age and code; shares of any set of codes are sums of these counts."""

    def __init__(self, lists: Lists, codes: Ints) -> None:
        self._lists, self._codes = lists, codes
        self._width = int(codes.max(initial=0)) + 1
        then, now = codes[lists.past], codes[lists.today]
        months = int(lists.month.max(initial=0)) + 1
        self._past = self._count(lists.month * _CLASSES + lists.past_age, then, months * _CLASSES).reshape(
            months, _CLASSES, self._width
        )
        self._today = self._count(lists.today_age, now, _CLASSES)
        lost = lists.recent[lists.lost[lists.recent]]
        self._losers = self._count(lists.past_age[lost], then[lost], _CLASSES)
        self._lately = self._count(lists.lately_age, codes[lists.lately], _CLASSES)

    def _count(self, place: Ints, codes: Ints, places: int) -> Floats:
        cells = np.bincount(place * self._width + codes, minlength=places * self._width)
        return cells.reshape(places, self._width).astype(np.float64)

    def shift(self, inside: Collection[int], ages: Mask) -> Shift:
        """Return how the share of these codes moved from the last lists to today's, among leads of these ages."""
        lists, chosen = self._lists, np.zeros(self._width)
        chosen[[k for k in inside if k < self._width]] = 1
        weights = np.where(ages, lists.common, 0.0)
        weights = weights / weights.sum()
        recent = self._past[-_RECENT:].sum(axis=0)
        rates = _rates(recent, chosen), _rates(self._today, chosen)
        past, today = float(weights @ rates[0]), float(weights @ rates[1])
        sizes = float(recent[weights > 0].sum()), float(self._today[weights > 0].sum())
        lately, beside = self._came_and_closed(chosen, ages)
        return Shift(
            past=past,
            today=today,
            losers=_mean(weights, self._losers, chosen),
            error=self._error(chosen, weights, rates),
            change=_change(past, today, sizes),
            usual=self._usual(chosen, weights),
            lately=lately,
            beside=beside,
        )

    def _error(self, chosen: Floats, weights: Floats, rates: tuple[Floats, Floats]) -> float:
        """Return the standard error of the difference, clustered by account: a lead may stand on both lists."""
        lists = self._lists
        width = int(max(lists.past_cluster.max(initial=0), lists.today_cluster.max(initial=0))) + 1
        age = lists.past_age[lists.recent]
        then = chosen[self._codes[lists.past[lists.recent]]]
        size = np.maximum(np.bincount(age, minlength=_CLASSES), 1)
        spread = np.bincount(
            lists.past_cluster[lists.recent], -(then - rates[0][age]) * (weights / size)[age], minlength=width
        )
        now = chosen[self._codes[lists.today]]
        size = np.maximum(np.bincount(lists.today_age, minlength=_CLASSES), 1)
        part = (now - rates[1][lists.today_age]) * (weights / size)[lists.today_age]
        spread += np.bincount(lists.today_cluster, part, minlength=width)
        # With no single lead inside on one side its spread is 0, which it would not be with one lead more.
        least = 0.5 / max(float(self._today[weights > 0].sum()), 1.0)
        return max(float(np.sqrt((spread**2).sum())), least)

    def _usual(self, chosen: Floats, weights: Floats) -> float:
        changes = []
        for before, after in self._lists.pairs:
            pair = self._past[before].sum(axis=0), self._past[after]
            both = _both(weights, pair)
            if both is None:
                continue
            shares = [float(both @ _rates(cells, chosen)) for cells in pair]
            sizes = float(pair[0][both > 0].sum()), float(pair[1][both > 0].sum())
            changes.append(abs(_change(shares[0], shares[1], sizes)))
        told = len(changes) >= 2
        return self._lists.stretch * max(changes) if told else max([_UNTOLD_CHANGE, *changes])

    def _came_and_closed(self, chosen: Floats, ages: Mask) -> tuple[float | None, float | None]:
        """Return the share among leads that came and closed lately, and among today's open ones of their ages."""
        here, there = self._today.sum(axis=1), self._lately.sum(axis=1)
        weights = np.where((here >= 5) & (there >= 5) & ages, there, 0.0)
        if weights.sum() < _FEWEST_LATELY:
            return None, None
        return _mean(weights, self._lately, chosen), _mean(weights, self._today, chosen)

    def distance(self) -> Distance:
        """Return how far all shares together moved; rare codes count as one."""
        weights = self._lists.common / self._lists.common.sum()
        frequent = np.argsort(-(self._past.sum(axis=(0, 1)) + self._today.sum(axis=0)), kind="stable")[:_COARSE]
        coarse = np.full(self._width, len(frequent))
        coarse[frequent] = np.arange(len(frequent))
        fold = np.eye(len(frequent) + 1)[coarse]
        past, today = self._past @ fold, self._today @ fold
        now = _variation(weights, (past[-_RECENT:].sum(axis=0), today))
        usual = []
        for before, after in self._lists.pairs:
            pair = past[before].sum(axis=0), past[after]
            both = _both(weights, pair)
            usual += [] if both is None else [_variation(both, pair)]
        told = len(usual) >= 2
        return Distance(now, self._lists.stretch * max(usual) if told else max([_UNTOLD_DISTANCE, *usual]))


def _rates(cells: Floats, chosen: Floats) -> Floats:
    return np.asarray((cells @ chosen) / np.maximum(cells.sum(axis=1), 1))


def _mean(weights: Floats, cells: Floats, chosen: Floats) -> float:
    known = weights * (cells.sum(axis=1) > 0)
    return float(known @ _rates(cells, chosen) / max(known.sum(), 1e-12))


def _both(weights: Floats, pair: tuple[Floats, Floats]) -> Floats | None:
    """Return the weights of the ages that both sides have, or None where that is less than half."""
    known = weights * (pair[0].sum(axis=1) >= 5) * (pair[1].sum(axis=1) >= 5)
    return np.asarray(known / known.sum()) if known.sum() >= 0.5 else None


def _variation(weights: Floats, pair: tuple[Floats, Floats]) -> float:
    shares = [weights @ (cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)) for cells in pair]
    return 0.5 * float(np.abs(shares[1] - shares[0]).sum())


def _change(before: float, after: float, sizes: tuple[float, float]) -> float:
    # Both as of the smaller side: none of 1,500 and none of 500 is no change.
    count = min(sizes)
    return log_odds(after, count) - log_odds(before, count)


def log_odds(share: float, count: float) -> float:
    """Return the log-odds of a share of `count` rows, none and all taken as half a row away from it.

    Examples
    --------
    >>> log_odds(0.5, 10), round(log_odds(0.0, 10), 2)
    (0.0, -2.94)
    """
    low = 0.5 / max(count, 1.0)
    share = min(max(share, low), 1 - low)
    return float(np.log(share / (1 - share)))


def make_lists(
    past: pd.DataFrame, today: pd.DataFrame, lately: pd.DataFrame | None = None, *, overwritten: float = 0.0
) -> Lists:
    """Lay the lists side by side.

    Parameters
    ----------
    past
        Spine of the earlier lists: row (its number in the pooled frame), as_of_us, t0_us, y_obs, cluster.
    today
        Spine of today's list: row, as_of_us, t0_us, cluster.
    lately
        Leads that came after the last of the earlier lists and have closed, with their values of today: row, as_of_us
        (today), t0_us.
    overwritten
        Share of today's leads that closed before the data ended.
    """
    if lately is None:
        lately = today.iloc[:0]
    moments, month = np.unique(past["as_of_us"].to_numpy(np.int64), return_inverse=True)
    number = np.unique(
        np.concatenate([past["cluster"].to_numpy(str), today["cluster"].to_numpy(str)]), return_inverse=True
    )[1]
    gap_us = int(today["as_of_us"].max()) - int(moments[-1]) if len(moments) and len(today) else 0
    return Lists(
        past=past["row"].to_numpy(np.int64),
        today=today["row"].to_numpy(np.int64),
        lately=lately["row"].to_numpy(np.int64),
        past_age=_ages(past),
        today_age=_ages(today),
        lately_age=_ages(lately),
        month=np.asarray(month),
        lost=past["y_obs"].to_numpy() == 0,
        past_cluster=number[: len(past)],
        today_cluster=number[len(past) :],
        lag=max(1, round(gap_us / _MONTH_US)),
        overwritten=overwritten,
    )


def _ages(spine: pd.DataFrame) -> Ints:
    age = (spine["as_of_us"] - spine["t0_us"]).to_numpy(np.int64)
    return np.asarray(np.searchsorted(np.array(_AGES_DAYS, np.int64) * DAY_US, age, side="left"))
