"""Forward in time: which rows are fitted, which are judged, and the folds between them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.clock import DAY_US, parse_moment, to_us
from data.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from data.settings import Plan

__all__ = ["Fold", "JudgeSplit", "Origin", "account_folds", "forward_folds", "judge_split"]

Mask = NDArray[np.bool_]
_MIN_WINS = 20


@dataclass(frozen=True)
class Origin:
    """One moment of judging: what had matured by `at_us` is fitted, `judged` are the rows predicted from there."""

    at_us: int
    fit: Mask
    judged: Mask


@dataclass(frozen=True)
class JudgeSplit:
    """The rows to fit and the rows to judge; every label of the former closes and settles before `judge_from_us`.

    Each of `origins` fits on what had matured by its own moment and judges its part of the judged rows. Choices are
    made once, on `fit`: the fit rows of the first origin.
    """

    fit: Mask
    judged: Mask
    judge_from_us: int
    origins: tuple[Origin, ...]


@dataclass(frozen=True)
class Fold:
    """Row numbers of a forward fold; `purged` tells whether all fit labels had closed when validation begins."""

    fit: NDArray[np.int64]
    validate: NDArray[np.int64]
    purged: bool


def judge_split(spine: pd.DataFrame, plan: Plan) -> JudgeSplit:
    """Split matured snapshots into fit and judged.

    Judged are the leads of one age created in `[judge_from, judge_until)` where the plan names an age, from one origin;
    else the last third (at most six) of the matured monthly cross-sections, each from an origin of its own.

    Raises
    ------
    DataError
        If no judged rows remain, or the fit rows before them hold no win or no loss.
    """
    split = _one_age(spine, plan) if plan.judge_age_days is not None else _monthly(spine, plan)
    wins = int(spine["y_obs"].to_numpy()[split.fit].sum())
    if not split.judged.any() or wins == 0 or wins == split.fit.sum():
        raise DataError(
            f"the split forward in time leaves {int(split.fit.sum())} rows to fit with {wins} won, and "
            f"{int(split.judged.sum())} to judge: {_lacking(split, wins)}",
            hint=_remedy(spine, plan),
        )
    return split


def _lacking(split: JudgeSplit, wins: int) -> str:
    """Say what a split lacks, the first thing first."""
    if not split.fit.any():
        return "there is nothing to learn from"
    if not wins:
        return "there is no win to learn from"
    if wins == split.fit.sum():
        return "there is nothing but wins to learn from"
    return "there is nothing to judge"


def _remedy(spine: pd.DataFrame, plan: Plan) -> str:
    if plan.judge_age_days is not None and not _of_age(spine, plan).any():
        return f"no lead was photographed at {plan.judge_age_days:g} days: name that age in the plan's ages_days"
    if plan.judge_age_days is None and not (spine["monthly"] == 1).any():
        return "no monthly cross-section has matured: set monthly in the plan, or name judge_age_days"
    return "import a longer history, or shorten the horizon"


def _one_age(spine: pd.DataFrame, plan: Plan) -> JudgeSplit:
    created = spine["created_us"].to_numpy()
    start = to_us(parse_moment(plan.judge_from)) if plan.judge_from else int(np.quantile(created, 0.7))
    end = to_us(parse_moment(plan.judge_until)) if plan.judge_until else 2**63 - 1
    only = Origin(
        start,
        fit=spine["mature_us"].to_numpy() <= start,
        judged=_of_age(spine, plan) & (created >= start) & (created < end),
    )
    return JudgeSplit(only.fit, only.judged, start, (only,))


def _of_age(spine: pd.DataFrame, plan: Plan) -> Mask:
    return np.asarray(spine["age_us"].to_numpy() == round((plan.judge_age_days or 0) * DAY_US))


def _monthly(spine: pd.DataFrame, plan: Plan) -> JudgeSplit:
    as_of = spine["as_of_us"].to_numpy()
    monthly = spine["monthly"].to_numpy() == 1
    low = to_us(parse_moment(plan.judge_from)) if plan.judge_from else -(2**63)
    high = to_us(parse_moment(plan.judge_until)) if plan.judge_until else 2**63 - 1
    months = np.unique(as_of[monthly & (as_of >= low) & (as_of < high)])
    if not plan.judge_from:
        months = months[-max(1, min(6, len(months) // 3)) :]
    mature = spine["mature_us"].to_numpy()
    origins = tuple(Origin(m, mature <= m, monthly & (as_of == m)) for m in months.tolist())
    start = origins[0].at_us if origins else 2**63 - 1
    return JudgeSplit(mature <= start, monthly & np.isin(as_of, months), start, origins)


def forward_folds(spine: pd.DataFrame, *, monthly_only: bool, count: int = 3) -> tuple[Fold, ...]:
    """Cut the fit rows into forward folds: validate on later blocks, fit on what had closed before each begins.

    The blocks share the wins of the later half of the period about equally. Where the period is so short that purging
    leaves fewer than 20 wins to fit, the fit rows of that fold are the earlier rows of accounts that are not validated:
    of the same account they could hold the very outcomes that are validated. Their labels still close before anything
    is judged, but the choice may be a little optimistic, and the fold says so.
    """
    as_of, y_obs = spine["as_of_us"].to_numpy(), spine["y_obs"].to_numpy()
    mature, clusters = spine["mature_us"].to_numpy(), _codes(spine["cluster"])
    candidates = (spine["monthly"].to_numpy() == 1) if monthly_only else np.ones(len(spine), bool)
    edges = _edges(as_of[candidates], y_obs[candidates], count)
    folds = []
    for start, end in pairwise(edges):
        validate = np.flatnonzero(candidates & (as_of >= start) & (as_of < end))
        purged = np.flatnonzero(mature <= start)
        enough = _both_classes(y_obs[purged], _MIN_WINS)
        fit = purged if enough else np.flatnonzero((as_of < start) & ~np.isin(clusters, clusters[validate]))
        if _both_classes(y_obs[fit], _MIN_WINS) and _both_classes(y_obs[validate], 5):
            folds.append(Fold(fit, validate, purged=enough))
    return tuple(folds)


def _codes(names: pd.Series[Any]) -> NDArray[np.int64]:
    """Return a number for each name: numbers are compared a hundred times as fast."""
    import pandas as pd

    return np.asarray(pd.factorize(names)[0], np.int64)


def _edges(as_of: NDArray[np.int64], y_obs: NDArray[np.int64], count: int) -> list[int]:
    """Return block borders on distinct moments so that the later half of the wins is shared about equally."""
    wins = np.sort(as_of[y_obs == 1])
    if len(wins) < count:
        return []
    picks = [int(wins[int(len(wins) * (0.5 + 0.5 * k / count))]) for k in range(count)]
    return [*sorted(set(picks)), int(as_of.max()) + 1]


def _both_classes(y_obs: NDArray[np.int64], least: int) -> bool:
    wins = int(y_obs.sum())
    return wins >= least and len(y_obs) - wins >= least


def account_folds(clusters: NDArray[np.object_], count: int = 3) -> NDArray[np.int64]:
    """Return a fold number for each row; all rows of an account share it, on every machine alike.

    Examples
    --------
    >>> folds = account_folds(np.array(["a", "b", "a"], dtype=object))
    >>> bool(folds[0] == folds[2])
    True
    """
    return np.fromiter((zlib.crc32(str(c).encode()) % count for c in clusters), np.int64, len(clusters))
