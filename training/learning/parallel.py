"""Work that falls into independent parts, done side by side; the results are those of one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

from threadpoolctl import threadpool_limits

__all__ = ["Each", "side_by_side", "steady_sums", "workers"]

# Each part holds matrices of its own; more of them at once would cost memory rather than save time.
_MOST = 4
Part = TypeVar("Part")
Result = TypeVar("Result")


class Each(Protocol):
    """What does the work of each part and returns the results in order."""

    def __call__(self, work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
        """Return the result of each part."""
        ...


@contextmanager
def steady_sums() -> Iterator[None]:
    """Keep matrix products on one thread: the order of their sums must not hang on the number of cores."""
    with threadpool_limits(1, user_api="blas"):
        yield


@contextmanager
def workers() -> Iterator[Each]:
    """Hold threads that do work side by side: what takes time here lets go of the interpreter.

    Matrix products stay on one thread each, as the order of their sums, and so the last bits of a model, would
    otherwise hang on the number of cores.
    """
    with steady_sums(), ThreadPoolExecutor(min(_MOST, os.cpu_count() or 1)) as pool:

        def each(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
            return list(pool.map(work, parts))

        yield each


def side_by_side(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """Return the work of each part in order, from threads of their own.

    Examples
    --------
    >>> side_by_side(abs, [-2, 1])
    [2, 1]
    """
    with workers() as each:
        return each(work, parts)
