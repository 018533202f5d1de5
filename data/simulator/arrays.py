"""The array types of the simulator and the three draws that all of its parts share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Bools", "Floats", "Ints", "Texts", "draw_codes", "draw_rows", "exponential_us", "moments", "words"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]


def words(values: Sequence[str | None]) -> Texts:
    """Return texts as an array of objects, which may be indexed by codes and may hold None."""
    return np.array(values, dtype=object)


def draw_codes(rng: np.random.Generator, weights: Sequence[float] | Floats, size: int) -> Ints:
    """Draw positions in `weights` with probability in proportion to them.

    Examples
    --------
    >>> draw_codes(np.random.default_rng(0), [0, 1, 0], 3).tolist()
    [1, 1, 1]
    """
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    codes: Ints = np.searchsorted(edges, rng.random(size) * edges[-1], side="right").astype(np.int64)
    return codes


def draw_rows(rng: np.random.Generator, weights: Floats) -> Ints:
    """Draw one column for each row of a table of weights.

    Examples
    --------
    >>> draw_rows(np.random.default_rng(0), np.array([[0.0, 2.0], [5.0, 0.0]])).tolist()
    [1, 0]
    """
    edges = np.cumsum(weights, axis=1)
    codes: Ints = (rng.random((len(weights), 1)) * edges[:, -1:] >= edges).sum(axis=1).astype(np.int64)
    return codes


def exponential_us(rng: np.random.Generator, mean_us: float | Floats, size: int) -> Ints:
    """Draw exponential waiting times of that mean in microseconds, as whole seconds, at least one."""
    return np.ceil(rng.exponential(1.0, size) * mean_us / 1e6).astype(np.int64) * 1_000_000


def moments(us: Ints) -> Texts:
    """Write moments as a CRM export does: ISO 8601 in UTC, whole seconds.

    Examples
    --------
    >>> moments(np.array([0, 61_500_000])).tolist()
    ['1970-01-01T00:00:00Z', '1970-01-01T00:01:01Z']
    """
    stamps = (us // 1_000_000).astype("datetime64[s]")
    return np.array([f"{text}Z" for text in np.datetime_as_string(stamps)], dtype=object)
