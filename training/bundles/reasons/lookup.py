"""Contributions of trees by look-up in their tables, for one row in microseconds and for many in blocks."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.bundles.reasons.tables import room

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from training.bundles.reasons.axes import Axis
    from training.bundles.reasons.tables import Table, Tables

__all__ = ["TableExplainer"]

Floats = NDArray[np.float64]

_BLOCK = 8192
_LINE = 8  # numbers in a line of the processor's cache


class TableExplainer:
    """Contributions by look-up.

    Every row is computed by itself, in the same order of additions for one and for many: their bits are the same.

    Parameters
    ----------
    tables
        As `training.bundles.reasons.tables.build_tables` makes them.
    """

    def __init__(self, tables: Tables) -> None:
        self.base = tables.base
        self._width = tables.width
        self._axes = tables.axes
        # Narrow ones first, as they stand on the shelves.
        ordered = sorted(tables.tables, key=_room)
        self._shelves = _shelves(ordered, tables.width)
        self._tables = [table for shelf in self._shelves for table in _standing(ordered[shelf.pieces], shelf)]
        self._outputs = np.concatenate([shelf.outputs for shelf in self._shelves] or [np.empty(0, np.intp)])
        self._steps, self._rows = _dense_steps(tables.axes, self._tables)

    def one(self, cells: Sequence[float]) -> list[float]:
        """Return the contributions for one row of the trees' matrix, in log-odds."""
        if not self._shelves:
            return [0.0] * self._width
        rows = [
            absent if math.isnan(value := cells[feature]) else first + bisect_left(edges, value)
            for feature, edges, first, absent in self._rows
        ]
        cases = self._steps.take(rows, axis=0).sum(axis=0, dtype=np.int16)
        parts, start, stop = np.empty(len(self._outputs)), 0, 0
        for shelf in self._shelves:
            start, stop = stop, stop + len(shelf.outputs)
            out = parts[start:stop].reshape(len(shelf.starts), -1)
            shelf.parts.take(cases[shelf.pieces] + shelf.starts, axis=0, out=out, mode="clip")
        found: list[float] = np.bincount(self._outputs, parts, self._width + 1).tolist()
        # What pads the shelves.
        del found[self._width]
        return found

    def many(self, matrix: Floats) -> Floats:
        """Return (n, outputs) contributions for rows of the trees' matrix, in log-odds."""
        found = np.empty((len(matrix), self._width))
        for start in range(0, len(matrix), _BLOCK):
            stop = min(start + _BLOCK, len(matrix))
            found[start:stop] = self._block(matrix[start:stop]).T
        return found

    def _block(self, matrix: Floats) -> Floats:
        """Return (outputs, rows): all rows through one table after the other, so that each stays in the cache."""
        classes = {axis.feature: axis.classify(matrix[:, axis.feature]) for axis in self._axes}
        found = np.zeros((self._width, len(matrix)))
        cases, step = np.empty(len(matrix), np.intp), np.empty(len(matrix), np.intp)
        part = np.empty(len(matrix))
        # Nothing is ever clipped: the mode spares the copy that `take` else makes, to leave `out` whole on errors.
        for features, steps, outputs, parts in self._tables:
            cases[:] = 0
            for feature, of_class in zip(features, steps, strict=True):
                np.take(of_class.astype(np.intp), classes[feature], out=step, mode="clip")
                np.add(cases, step, out=cases)
            for output, column in zip(outputs, np.ascontiguousarray(parts.T), strict=True):
                np.take(column, cases, out=part, mode="clip")
                np.add(found[output], part, out=found[output])
        return found


class _Shelf(NamedTuple):
    """Tables of the same room one below the other, each row padded to it.

    `pieces` are the tables that stand here, `starts` their first rows; `outputs` name the columns of all, in turn.
    """

    pieces: slice
    starts: NDArray[np.intp]
    outputs: NDArray[np.intp]
    parts: Floats


def _room(table: Table) -> int:
    return room(len(table.outputs))


def _shelves(ordered: Sequence[Table], padding: int) -> list[_Shelf]:
    """Return the shelves of tables ordered by their room; padding is given to the output of that number."""
    found, stop = [], 0
    for width, here in groupby(ordered, key=_room):
        tables = list(here)
        start, stop = stop, stop + len(tables)
        found.append(_shelf(tables, slice(start, stop), width, padding))
    return found


def _shelf(tables: Sequence[Table], pieces: slice, width: int, padding: int) -> _Shelf:
    cases = [len(table.parts) for table in tables]
    starts = np.cumsum([0, *cases[:-1]], dtype=np.intp)
    outputs = np.full((len(tables), width), padding, np.intp)
    parts = _aligned(sum(cases), width)
    for row, start, table in zip(outputs, starts, tables, strict=True):
        row[: len(table.outputs)] = table.outputs
        parts[start : start + len(table.parts), : len(table.outputs)] = table.parts
    return _Shelf(pieces, starts, outputs.ravel(), parts)


def _standing(tables: Sequence[Table], shelf: _Shelf) -> Iterator[Table]:
    """Return the tables as views of their shelf, so that nothing is held twice."""
    for start, table in zip(shelf.starts.tolist(), tables, strict=True):
        cases, outputs = table.parts.shape
        yield table._replace(parts=shelf.parts[start : start + cases, :outputs])


def _aligned(rows: int, width: int) -> Floats:
    """Return zeros that begin with a line of the cache: a row of 8 then costs one access to memory."""
    room = np.zeros(rows * width + _LINE)
    skip = -(room.ctypes.data // room.itemsize) % _LINE
    return room[skip : skip + rows * width].reshape(rows, width)


# Feature, edges, row of the first class and row of NaN in the steps.
_AxisRows = tuple[int, tuple[float, ...], int, int]


def _dense_steps(axes: Sequence[Axis], tables: Sequence[Table]) -> tuple[NDArray[np.int16], list[_AxisRows]]:
    """Return (classes of all axes, pieces) steps: a lead's cases are then the sum of some contiguous rows."""
    steps = np.zeros((sum(axis.classes for axis in axes), len(tables)), np.int16)
    first, rows, start = {}, [], 0
    for axis in axes:
        first[axis.feature] = start
        rows.append((axis.feature, axis.edges, start, start + axis.classes - 1))
        start += axis.classes
    for number, table in enumerate(tables):
        for feature, of_class in zip(table.features, table.steps, strict=True):
            steps[first[feature] : first[feature] + len(of_class), number] = of_class
    return steps, rows
