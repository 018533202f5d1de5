"""Is a lead like those the model has learnt from? A count of kinds of facts that hardly any of them had.

A kind of facts (a group of features) is odd where a feature of it holds a category that the model knows only as OTHER,
no category, or a number beyond the range that the model follows, and fewer than 1 in 200 fit rows did the same. A
number that is not there is never odd: many systems send no events of the account, and the model then reads the mean.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.learning.encoding import MISSING, OTHER, CategoryCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.learning.encoding import Encoding, NumberCode

__all__ = ["Likeness", "Oddity", "learn_likeness"]

_RARE = 0.005
_FLAGGED = 0.01
_LEAST = 1


class Oddity(BaseModel):
    """What is odd in a feature, told by its cell in the trees' matrix.

    `codes` are odd codes of a category, `low` and `high` the bounds of a number (None where many fit rows passed them).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    codes: tuple[int, ...] = ()
    low: float | None = None
    high: float | None = None


class Likeness(BaseModel):
    """The oddities of the features in the order of the encoding; from `least` odd groups on a lead is unlike the fit's.

    Examples
    --------
    >>> size, source = Oddity(group="size", low=0, high=10), Oddity(group="source", codes=(1,))
    >>> likeness = Likeness(features=(size, source), least=2)
    >>> likeness.odd_groups([11.0, 2.0]), likeness.unlike([11.0, 1.0])
    (('size',), True)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[Oddity, ...]
    least: int

    def odd_groups(self, cells: Sequence[float]) -> tuple[str, ...]:
        """Return the odd groups of one lead, each once; `cells` is its row of the trees' matrix."""
        found = {
            group: None
            for cell, (group, low, high, codes) in zip(cells, self._ordinary, strict=True)
            if cell < low or cell > high or cell in codes
        }
        return tuple(found)

    def unlike(self, cells: Sequence[float]) -> bool:
        """Tell whether a lead is unlike those the model has learnt from."""
        return len(self.odd_groups(cells)) >= self.least

    def count(self, matrix: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the number of odd groups of each row of the trees' matrix."""
        found: dict[str, NDArray[np.bool_]] = {}
        for cells, (group, low, high, codes) in zip(matrix.T, self._ordinary, strict=True):
            odd = (cells < low) | (cells > high) | np.isin(cells, codes)
            found[group] = found.get(group, np.zeros(len(cells), bool)) | odd
        return np.asarray(np.sum([*found.values(), np.zeros(len(matrix), bool)], axis=0), np.int64)

    @cached_property
    def _ordinary(self) -> tuple[tuple[str, float, float, tuple[int, ...]], ...]:
        """Return the oddities in plain values, for speed: group, range, odd codes."""
        return tuple(
            (
                feature.group,
                -math.inf if feature.low is None else feature.low,
                math.inf if feature.high is None else feature.high,
                feature.codes,
            )
            for feature in self.features
        )


def learn_likeness(encoding: Encoding, matrix: NDArray[np.float64]) -> Likeness:
    """Learn what is odd from the trees' matrix of the fit rows; no outcome is looked at.

    A lead is unlike them from one odd group on, or from as many more that no more than 1 in 100 fit rows have them.

    Parameters
    ----------
    encoding
        Gives the groups and the ranges that numbers are clipped to.
    matrix
        (n, features) from `Encoding.tree_matrix`.
    """
    features = tuple(_learn(code, matrix[:, k]) for k, code in enumerate(encoding.codes))
    odd = Likeness(features=features, least=_LEAST).count(matrix)
    least = _LEAST
    while (odd >= least).mean() > _FLAGGED:
        least += 1
    return Likeness(features=features, least=least)


def _learn(code: CategoryCode | NumberCode, cells: NDArray[np.float64]) -> Oddity:
    if isinstance(code, CategoryCode):
        return Oddity(group=code.group, codes=tuple(k for k in (MISSING, OTHER) if (cells == k).mean() < _RARE))
    return Oddity(
        group=code.group,
        low=code.low if (cells < code.low).mean() < _RARE else None,
        high=code.high if (cells > code.high).mean() < _RARE else None,
    )
