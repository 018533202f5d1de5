"""What recent leads teach: pairs whose horizon has not ended by the moment of fitting, without teaching speed.

Keeping only those that ended early would teach that fast leads win; counting the others as lost would teach that recent
leads lose. Instead every young pair that is still open counts twice, as won with the probability q that it will be, and
as lost with 1 - q. q comes from matured pairs that were open at the same time after their own photograph: one model for
each of a few elapsed times, as with delay buckets (arXiv 2101.02284, Google, 2021).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.learning.counters import without_counters
from training.learning.encoding import learn_encoding
from training.learning.linear import fit_linear

if TYPE_CHECKING:
    from training.learning.recipe import Rows

__all__ = ["as_known", "completed"]

Floats = NDArray[np.float64]
# Elapsed times at which a model is learnt, as shares of horizon and settling.
_BUCKETS = (0.0, 0.15, 0.3, 0.5, 0.7)
_LEAST_WINS = 20
_LEARNING_ROWS = 12_000
# A completed label that light changes nothing but the size of the fit.
_LEAST_WEIGHT = 1e-3


def as_known(rows: Rows, at_us: int) -> tuple[Rows, Rows]:
    """Return the pairs that had matured by a moment and the younger ones, labelled as that moment knew them.

    A win that became known only later counts as not won: nobody could have learnt from it.
    """
    spine = rows.spine
    known = _moments(rows, "won_known_us") <= at_us
    told = replace(rows, spine=spine.assign(y_obs=(spine["y_obs"].to_numpy(bool) & known).astype(np.int64)))
    as_of, mature = spine["as_of_us"].to_numpy(), spine["mature_us"].to_numpy()
    return told.take(mature <= at_us), told.take((as_of < at_us) & (mature > at_us))


def completed(matured: Rows, young: Rows, *, at_us: int, strength: float) -> Rows:
    """Return matured and young pairs together, those still open at `at_us` counted as won and as lost in part.

    Parameters
    ----------
    matured, young
        From `as_known` at the same moment.
    at_us
        The moment of fitting, in microseconds UTC.
    strength
        Ridge penalty of the models that complete the labels: the one chosen for the model itself. A stronger one would
        shrink what the completed labels teach.

    Returns
    -------
    Rows
        With weights, the matured pairs first; `matured` itself where there is nothing young, or too few wins to learn
        from.
    """
    if young.spine.empty or int(matured.y_obs.sum()) < _LEAST_WINS:
        return matured
    ended = (_moments(young, "lost_known_us") <= at_us) | (young.y_obs == 1)
    waiting = young.take(~ended)
    elapsed = (at_us - waiting.spine["as_of_us"].to_numpy()).astype(np.float64)
    won = _still_to_win(matured, waiting, elapsed, strength) if len(elapsed) else np.empty(0)
    known = _joined(matured, young.take(ended), np.ones(len(matured.spine) + int(ended.sum())))
    both = _joined(_labelled(waiting, 1), _labelled(waiting, 0), np.concatenate([won, 1 - won]))
    whole = _joined(known, both, np.concatenate([_weights(known), _weights(both)]))
    return whole.take(_weights(whole) > _LEAST_WEIGHT)


def _still_to_win(matured: Rows, waiting: Rows, elapsed: Floats, strength: float) -> Floats:
    """Return for each waiting pair the probability of a win before its horizon ends, by elapsed time and features."""
    # What completes a recent lead is learnt from what is nearest to it.
    newest = matured.take(np.arange(len(matured.spine))[-_LEARNING_ROWS:])
    spine = newest.spine
    length = float((spine["mature_us"] - spine["as_of_us"]).max())
    ends = np.minimum(_moments(newest, "won_known_us"), _moments(newest, "lost_known_us"))
    took = ends - spine["as_of_us"].to_numpy()
    chances = _chances(newest, waiting, [took > share * length for share in _BUCKETS], strength)
    grid = np.array([*_BUCKETS, 1.0]) * length
    table = np.column_stack([*chances, np.zeros(len(elapsed))])
    low = np.clip(np.searchsorted(grid, elapsed, side="right") - 1, 0, len(grid) - 2)
    part = np.clip((elapsed - grid[low]) / (grid[low + 1] - grid[low]), 0.0, 1.0)
    at = np.arange(len(elapsed))
    result: Floats = (1 - part) * table[at, low] + part * table[at, low + 1]
    return result


def _chances(learnt: Rows, asked: Rows, open_then: list[NDArray[np.bool_]], strength: float) -> list[Floats]:
    """Return what a linear model of the rows of each mask says of others; with few wins, their rate for everybody."""
    encoding, y_obs = learn_encoding(learnt.frame, without_counters(learnt)), learnt.y_obs
    design, other = (encoding.design(encoding.tree_matrix(rows.frame)) for rows in (learnt, asked))
    found, part = [], None
    for mask in open_then:
        wins, rows = int(y_obs[mask].sum()), int(mask.sum())
        if min(wins, rows - wins) < _LEAST_WINS or not encoding.codes:
            found.append(np.full(len(other), wins / max(rows, 1)))
            continue
        part = fit_linear(design[mask], y_obs[mask], encoding, strength=strength, near=part)
        found.append(np.asarray(1 / (1 + np.exp(-part.margin(other)))))
    return found


def _moments(rows: Rows, name: str) -> Floats:
    return rows.spine[name].to_numpy(np.float64, na_value=np.inf)


def _labelled(rows: Rows, label: int) -> Rows:
    return replace(rows, spine=rows.spine.assign(y_obs=label))


def _weights(rows: Rows) -> Floats:
    return np.ones(len(rows.spine)) if rows.weights is None else rows.weights


def _joined(first: Rows, second: Rows, weights: Floats) -> Rows:
    import pandas as pd

    frames = [part for part in (first, second) if len(part.spine)] or [first]
    return replace(
        first,
        frame=pd.concat([part.frame for part in frames], ignore_index=True),
        spine=pd.concat([part.spine for part in frames], ignore_index=True),
        weights=weights,
    )
