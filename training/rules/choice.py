"""How conditions are chosen one after the other, and how the weights of the chosen become whole points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.rules.conditions import Candidate
from training.rules.history import Listed, learn_weights, patterns_of

if TYPE_CHECKING:
    from training.learning.recipe import Rows

__all__ = ["MOST_RULES", "ConditionPool", "Learnt", "Step", "sure_enough"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MOST_RULES = 10
_TOTAL, _STEP = 100, 5
# A condition of the current card is kept where it does as well as the best up to so much.
_KEPT_WITHIN = 0.02
_LEAST_GAIN = 1.5
_RIDGE = 0.1


@dataclass(frozen=True)
class Learnt:
    """Chosen conditions in the order of choice, and their points."""

    chosen: tuple[Candidate, ...]
    points: tuple[int, ...]

    def total(self, rows: Rows) -> Floats:
        """Return the points of each row."""
        total = np.zeros(len(rows.spine))
        for candidate, points in zip(self.chosen, self.points, strict=True):
            total += points * candidate.holds(rows.frame)
        return total


@dataclass(frozen=True)
class Step:
    """A condition by its place among the candidates, and how sure it is that it says something new."""

    candidate: int
    evidence: float


def sure_enough(path: Sequence[Step], asked: float) -> list[int]:
    """Return the conditions before the first one that falls short of the evidence asked for."""
    return [step.candidate for step in takewhile(lambda step: step.evidence >= asked, path)]


@dataclass(frozen=True)
class ConditionPool:
    """Candidates with the rows on which each holds, (rows, candidates), beside outcomes, lists and accounts."""

    candidates: tuple[Candidate, ...]
    fired: NDArray[np.float32]
    y_obs: NDArray[np.int64]
    lists: NDArray[np.int64]
    account: NDArray[np.int64]

    @classmethod
    def of(cls, found: Sequence[Candidate], fit: Listed) -> ConditionPool:
        """Return the candidates on fit rows."""
        fired = np.empty((len(fit.lists), len(found)), np.float32, order="F")
        for at, candidate in enumerate(found):
            fired[:, at] = candidate.holds(fit.rows.frame)
        account = np.unique(fit.rows.clusters.astype(str), return_inverse=True)[1].astype(np.int64)
        return cls(tuple(found), fired, fit.rows.y_obs, fit.lists, account)

    @cached_property
    def signs(self) -> NDArray[np.int64]:
        """Return in which direction each candidate's points may go; 0 where they are free."""
        return np.array([candidate.sign for candidate in self.candidates], np.int64)

    @cached_property
    def levels(self) -> NDArray[np.float32]:
        """Return which list each row stands on, (rows, lists) of 0 and 1."""
        place = np.unique(self.lists, return_inverse=True)[1]
        return np.asarray(np.eye(int(place.max()) + 1, dtype=np.float32)[place])

    def path(self) -> list[Step]:
        """Return the conditions in the order in which they add most to the likelihood."""
        steps: list[Step] = []
        while len(steps) < min(MOST_RULES, len(self.candidates)):
            chosen = [step.candidate for step in steps]
            probability = self._fitted(chosen)
            gain = self._gain(chosen, probability)
            best = int(np.argmax(gain))
            if gain[best] < _LEAST_GAIN:
                break
            near = np.flatnonzero(gain >= (1 - _KEPT_WITHIN) * gain[best]).tolist()
            best = next((at for at in near if self.candidates[at].current), best)
            steps.append(Step(best, self._evidence(chosen, probability, best)))
        return steps

    def _gain(self, chosen: Sequence[int], probability: Floats) -> Floats:
        """Return by how much each condition would raise the log-likelihood, by Rao's score test.

        What the lists and the conditions chosen before already say is taken out of the curvature.
        """
        weight = (probability * (1 - probability)).astype(np.float32)
        beside = np.column_stack([self.fired[:, list(chosen)], self.levels])
        weighted = weight[:, None] * beside
        slope = self.fired.T @ (self.y_obs - probability).astype(np.float32)
        alone, shared = self.fired.T @ weight, self.fired.T @ weighted
        inner = np.linalg.inv(beside.T @ weighted + _RIDGE * np.eye(beside.shape[1]))
        curvature = alone - ((shared @ inner) * shared).sum(axis=1)
        usable = (curvature > 0.01 * alone + 1e-6) & (slope * self.signs >= 0)
        usable[list(chosen)] = False
        return np.asarray(np.where(usable, slope**2 / (2 * (np.maximum(curvature, 0) + 1)), 0), np.float64)

    def _evidence(self, chosen: Sequence[int], probability: Floats, candidate: int) -> float:
        """Return half the score statistic of a condition, robust to leads of one account sharing their fate.

        The same lead stands on several lists, which makes the likelihood look surer than it is (Boos, On Generalized
        Score Tests, The American Statistician 1992).
        """
        weight = probability * (1 - probability)
        beside = np.column_stack([self.fired[:, list(chosen)], self.levels]).astype(np.float64)
        held = self.fired[:, candidate].astype(np.float64)
        inner = beside.T @ (weight[:, None] * beside) + _RIDGE * np.eye(beside.shape[1])
        apart = held - beside @ np.linalg.solve(inner, beside.T @ (weight * held))
        scores = np.bincount(self.account, apart * (self.y_obs - probability))
        square = float((scores**2).sum())
        return float(scores.sum() ** 2 / (2 * square)) if square > 0 else 0.0

    def _fitted(self, chosen: Sequence[int]) -> Floats:
        patterns = patterns_of(self._fired(chosen), self.y_obs, self.lists)
        return np.asarray(learn_weights(patterns, signs=self.signs[list(chosen)]).probability[patterns.of_row])

    def _fired(self, chosen: Sequence[int]) -> Bools:
        return np.asarray(self.fired[:, list(chosen)] > 0)

    def rounded(self, chosen: Sequence[int]) -> Learnt:
        """Return the conditions with their points, multiples of 5; those that come to no points are left out."""
        patterns = patterns_of(self._fired(chosen), self.y_obs, self.lists)
        weights = learn_weights(patterns, signs=self.signs[list(chosen)]).conditions
        total = np.abs(weights).sum()
        points = (
            _STEP * np.rint(weights * _TOTAL / total / _STEP).astype(int) if total > 0 else np.zeros(len(chosen), int)
        )
        kept = [(self.candidates[at], int(p)) for at, p in zip(chosen, points, strict=True) if p]
        return Learnt(tuple(c for c, _ in kept), tuple(p for _, p in kept))
