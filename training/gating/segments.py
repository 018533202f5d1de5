"""Did a part of the leads lose? The log loss against the champion in each segment, all segments looked at together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from training.evaluation.bootstrap import cluster_weights
from training.evaluation.metrics import Floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SEGMENT_ACCOUNTS", "SEGMENT_WINS", "judgeable", "worse_by"]

SEGMENT_WINS = 30
# With fewer accounts that won, drawing accounts says little about how sure a difference is.
SEGMENT_ACCOUNTS = 10
# Cells of a block of draws: about eight megabytes a matrix.
_CELLS = 1_000_000
_EPS = float(np.finfo(np.float64).eps)


def judgeable(
    y_obs: NDArray[Any], clusters: NDArray[Any], segments: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, NDArray[np.bool_]], int]:
    """Return the rows of each segment with at least 30 wins of 10 accounts, and how many segments have fewer.

    A row without a label is in the segment `missing`: a source that is no longer filled must not hide there.

    Examples
    --------
    >>> y_obs, labels = np.array([1, 0] * 30), np.array(["fair", None] * 30, dtype=object)
    >>> masks, small = judgeable(y_obs, np.arange(60), {"source": labels})
    >>> list(masks), int(masks["source=fair"].sum()), small
    (['source=fair'], 30, 1)
    """
    won, accounts, found, small = np.asarray(y_obs) == 1, np.asarray(clusters), {}, 0
    for name, labels in segments.items():
        texts = np.array([_text(label) for label in np.asarray(labels).tolist()])
        for value in np.unique(texts):
            mask = np.asarray(texts == value)
            if (mask & won).sum() >= SEGMENT_WINS and len(set(accounts[mask & won].tolist())) >= SEGMENT_ACCOUNTS:
                found[f"{name}={value}"] = mask
            else:
                small += 1
    return found, small


def worse_by(
    y_obs: NDArray[Any],
    challenger: Floats,
    champion: Floats,
    *,
    clusters: NDArray[Any],
    masks: Sequence[NDArray[np.bool_]],
    rng: np.random.Generator,
    replicates: int = 1000,
) -> tuple[Floats, Floats]:
    """Return each segment's log loss difference to the champion and its lower end, 95 % sure for all together.

    The lower ends are ``difference - c * error``, `c` the 95th percentile of the largest studentised difference in a
    draw (single-step max-T: Westfall and Young, Resampling-Based Multiple Testing, 1993), so that one of many segments
    does not look lost by chance.

    Parameters
    ----------
    y_obs, challenger, champion
        Outcomes and probabilities, shape (n,).
    clusters
        What is drawn together, shape (n,).
    masks
        The rows of each segment, shape (n,) each.
    rng, replicates
        Source and number of the draws.

    Examples
    --------
    >>> y_obs, half = np.array([1, 0]), np.full(2, 0.5)
    >>> everyone = np.ones(2, dtype=bool)
    >>> rng = np.random.default_rng(0)
    >>> apart, low = worse_by(y_obs, half, half, clusters=np.arange(2), masks=(everyone,), rng=rng)
    >>> apart.tolist(), low.tolist()
    ([0.0], [0.0])
    """
    losses = _losses(y_obs, challenger) - _losses(y_obs, champion)
    codes = np.unique(np.asarray(clusters).astype(str), return_inverse=True)[1]
    sums = np.stack([np.bincount(codes, losses * mask) for mask in masks], dtype=np.float64)
    counts = np.stack([np.bincount(codes, mask.astype(np.float64)) for mask in masks], dtype=np.float64)
    point = sums.sum(axis=1) / counts.sum(axis=1)
    drawn = _draws(sums, counts, point, rng, replicates)
    error = drawn.std(axis=1)
    scaled = np.divide(drawn - point[:, None], error[:, None], out=np.zeros_like(drawn), where=error[:, None] > 0)
    return point, point - float(np.quantile(scaled.max(axis=0), 0.95)) * error


def _draws(sums: Floats, counts: Floats, point: Floats, rng: np.random.Generator, replicates: int) -> Floats:
    """Return the differences on every draw of clusters, shape (segments, replicates), from sums by cluster."""
    clusters = sums.shape[1]
    block, parts = max(1, _CELLS // clusters), []
    for done in range(0, replicates, block):
        times = cluster_weights(np.arange(clusters), rng, replicates=min(block, replicates - done))
        size = counts @ times
        # A segment that a draw missed says nothing there.
        parts.append(np.divide(sums @ times, size, out=np.repeat(point[:, None], times.shape[1], 1), where=size > 0))
    return np.concatenate(parts, axis=1)


def _losses(y_obs: NDArray[Any], y_pred: NDArray[Any]) -> Floats:
    bounded = np.clip(np.asarray(y_pred, np.float64), _EPS, 1 - _EPS)
    result: Floats = -np.where(np.asarray(y_obs) == 1, np.log(bounded), np.log1p(-bounded))
    return result


def _text(label: object) -> str:
    absent = label is None or (isinstance(label, float) and np.isnan(label))
    return "missing" if absent else str(label)
