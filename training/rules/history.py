"""What history says of rules: the lists that a team called from, and the weight that outcomes give each condition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from data.clock import DAY_US, from_us
from data.errors import DataError

if TYPE_CHECKING:
    from data.settings import Plan
    from training.learning.recipe import Rows

__all__ = ["Listed", "Patterns", "Weights", "learn_weights", "list_moments", "listed", "patterns_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_STRENGTH = 1.0  # of a condition's weight: that of plain logistic regression
_LIST_STRENGTH = 0.1  # of a list's own level, so that a month without a win stays finite
_MAX_STEPS = 60
_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Listed:
    """Rows on the lists that a team calls from.

    `lists` (n,) is the moment of each row's list, microseconds UTC; `timezone` the zone in which lists have their day.
    """

    rows: Rows
    lists: Ints
    timezone: str = "UTC"

    def take(self, mask: Bools) -> Listed:
        """Return the rows of a mask."""
        return replace(self, rows=self.rows.take(mask), lists=self.lists[mask])

    @property
    def months(self) -> Ints:
        """The moments of the lists, in the order of time."""
        return np.unique(self.lists)

    @property
    def days(self) -> tuple[str, ...]:
        """The days of the lists, in the order of time."""
        zone = ZoneInfo(self.timezone)
        return tuple(f"{from_us(us).astimezone(zone):%Y-%m-%d}" for us in self.months.tolist())


def listed(rows: Rows, plan: Plan) -> Listed:
    """Return the rows that stand on a team's lists.

    These are the monthly cross-sections or, where the plan judges leads at one age, the leads that reached that age in
    each calendar month (UTC).

    Raises
    ------
    DataError
        If no row stands on a list.
    """
    as_of = rows.spine["as_of_us"].to_numpy(np.int64)
    if plan.judge_age_days is None:
        mask = rows.spine["monthly"].to_numpy() == 1
    else:
        mask = rows.spine["age_us"].to_numpy() == round(plan.judge_age_days * DAY_US)
    if not mask.any():
        raise DataError(
            "no lead with a matured outcome stood on a monthly list",
            hint="import a longer history, or move --as-of to a later moment",
        )
    zone = rows.catalogue.timezone if plan.judge_age_days is None else "UTC"
    return Listed(rows.take(mask), list_moments(as_of[mask], plan), zone)


def list_moments(as_of_us: Ints, plan: Plan) -> Ints:
    """Return the moment of the list that each row stands on: its own or, where one age is judged, that of its month.

    Examples
    --------
    >>> from data.settings import Plan
    >>> list_moments(np.array([86_400_000_000]), Plan(judge_age_days=1)).tolist()
    [0]
    """
    if plan.judge_age_days is None:
        return as_of_us
    months = as_of_us.astype("datetime64[us]").astype("datetime64[M]")
    return np.asarray(months.astype("datetime64[us]").astype(np.int64))


@dataclass(frozen=True)
class Patterns:
    """Rows told apart by their list and by which conditions hold; `of_row` (n,) is the pattern of each row.

    A team's few conditions leave few patterns, so that a fit over all rows costs as little as one over hundreds.
    """

    fired: Floats
    list_code: Ints
    rows: Floats
    wins: Floats
    of_row: Ints


def patterns_of(fired: Bools, y_obs: NDArray[np.int64], lists: Ints) -> Patterns:
    """Count rows and wins of each pattern.

    Parameters
    ----------
    fired
        Which conditions hold, shape (n, conditions).
    y_obs
        Outcomes, 0 or 1, shape (n,).
    lists
        The list each row stands on, shape (n,).

    Examples
    --------
    >>> fired = np.array([[True], [True], [False]])
    >>> found = patterns_of(fired, np.array([1, 0, 0]), np.array([5, 5, 5]))
    >>> sorted(zip(found.rows.tolist(), found.wins.tolist()))
    [(1.0, 0.0), (2.0, 1.0)]
    """
    import pandas as pd

    list_code = np.unique(lists, return_inverse=True)[1].astype(np.int64)
    code = list_code
    for column in fired.T:
        code = pd.factorize(code * 2 + column)[0].astype(np.int64)
    _, first, of_row = np.unique(code, return_index=True, return_inverse=True)
    count = len(first)
    return Patterns(
        fired[first].astype(np.float64),
        list_code[first],
        np.bincount(of_row, minlength=count).astype(np.float64),
        np.bincount(of_row, weights=y_obs, minlength=count).astype(np.float64),
        of_row.astype(np.int64),
    )


@dataclass(frozen=True)
class Weights:
    """Log-odds that each condition adds, (conditions,), `intercepts` of the lists, and the loss that was reached.

    `probability` is the fitted win rate of each pattern, `curvature` the penalised Hessian over conditions and lists.
    """

    conditions: Floats
    intercepts: Floats
    probability: Floats
    curvature: Floats
    loss: float

    def covariance(self, patterns: Patterns, y_obs: NDArray[np.int64], clusters: NDArray[np.object_]) -> Floats:
        """Return the covariance of the conditions' weights, robust to leads of one account sharing their fate.

        The sandwich of Liang and Zeger (1986): curvature^-1 (sum over accounts of their scores' outer products)
        curvature^-1.
        """
        import pandas as pd

        account = pd.factorize(clusters)[0]
        residual = y_obs - self.probability[patterns.of_row]
        size, lists = int(account.max()) + 1, len(self.intercepts)
        scores = np.zeros((size, self.conditions.size + lists))
        for j in range(self.conditions.size):
            scores[:, j] = np.bincount(account, weights=residual * patterns.fired[patterns.of_row, j], minlength=size)
        cell = account * lists + patterns.list_code[patterns.of_row]
        scores[:, self.conditions.size :] = np.bincount(cell, weights=residual, minlength=size * lists).reshape(
            size, lists
        )
        bread = np.linalg.inv(self.curvature)
        whole = bread @ (scores.T @ scores) @ bread
        return np.asarray(whole[: self.conditions.size, : self.conditions.size], np.float64)


def learn_weights(patterns: Patterns, *, signs: Iterable[int] | None = None, strength: float = _STRENGTH) -> Weights:
    """Fit a penalised logistic regression of winning on conditions, each list with a level of its own.

    Minimises `sum(log loss) + strength / 2 * |weights|^2 + 0.05 * |levels - mean level|^2` by Newton steps projected
    onto the signs (Bertsekas, 1982). A list's own level keeps apart what a condition says of a lead from what a month
    was like.

    Parameters
    ----------
    patterns
        From `patterns_of`.
    signs
        1 where a weight may not fall below 0, -1 where it may not rise above, 0 where it is free; default: all free.
    strength
        Ridge penalty on the weights.

    Examples
    --------
    >>> fired, won = np.array([[True]] * 40 + [[False]] * 40), np.array([1, 0] * 20 + [1, 0, 0, 0] * 10)
    >>> found = learn_weights(patterns_of(fired, won, np.zeros(80, np.int64)), strength=1e-6)
    >>> bool(np.isclose(found.conditions[0], np.log(3), atol=1e-3))
    True
    """
    width, lists = patterns.fired.shape[1], int(patterns.list_code.max()) + 1
    design = np.column_stack([patterns.fired, np.eye(lists)[patterns.list_code]])
    rate = float(np.clip(patterns.wins.sum() / patterns.rows.sum(), 1e-6, 1 - 1e-6))
    problem = _Problem(design, patterns.rows, patterns.wins, _penalty(width, lists, strength))
    sign = np.zeros(width + lists, np.int64)
    sign[:width] = 0 if signs is None else np.fromiter(signs, np.int64, width)
    at = np.concatenate([np.zeros(width), np.full(lists, np.log(rate / (1 - rate)))])
    at = problem.minimum(at, np.where(sign > 0, 0.0, -np.inf), np.where(sign < 0, 0.0, np.inf))
    probability = problem.probability(at)
    return Weights(at[:width], at[width:], probability, problem.curvature(probability), problem.loss(at))


def _penalty(width: int, lists: int, strength: float) -> Floats:
    """Return the matrix of the quadratic penalty; lists are drawn to their common mean, which is free."""
    penalty = np.zeros((width + lists, width + lists))
    penalty[:width, :width] = strength * np.eye(width)
    penalty[width:, width:] = _LIST_STRENGTH * (np.eye(lists) - 1 / lists) + 1e-9 * np.eye(lists)
    return penalty


@dataclass(frozen=True)
class _Problem:
    design: Floats
    rows: Floats
    wins: Floats
    penalty: Floats

    def probability(self, at: Floats) -> Floats:
        return np.asarray(1 / (1 + np.exp(-np.clip(self.design @ at, -500, 500))))

    def loss(self, at: Floats) -> float:
        margin = self.design @ at
        return float(self.rows @ np.logaddexp(0, margin) - self.wins @ margin + 0.5 * at @ self.penalty @ at)

    def curvature(self, probability: Floats) -> Floats:
        weight = self.rows * probability * (1 - probability)
        return np.asarray(self.design.T @ (self.design * weight[:, None]) + self.penalty)

    def minimum(self, at: Floats, lower: Floats, upper: Floats) -> Floats:
        value = self.loss(at)
        for _ in range(_MAX_STEPS):
            probability = self.probability(at)
            gradient = self.design.T @ (self.rows * probability - self.wins) + self.penalty @ at
            free = ~(((at <= lower) & (gradient > 0)) | ((at >= upper) & (gradient < 0)))
            step = np.zeros_like(at)
            step[free] = -np.linalg.solve(self.curvature(probability)[np.ix_(free, free)], gradient[free])
            at, there = self._walk(at, step, value, (lower, upper))
            if value - there <= 1e-10 * max(1.0, abs(value)):
                return at
            value = there
        return at

    def _walk(self, at: Floats, step: Floats, value: float, bounds: tuple[Floats, Floats]) -> tuple[Floats, float]:
        """Go along the step, halved until the loss falls."""
        for halved in range(30):
            tried = np.clip(at + step / 2**halved, *bounds)
            there = self.loss(tried)
            if there < value:
                return tried, there
        return at, value
