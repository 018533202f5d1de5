"""The leads that arrived in equal windows, each described as it stood at the end of its window.

Arrivals and not the list of open leads: every lead is counted once, so windows are independent, and all windows hold
leads of the same ages. A window of 28 days has each day of the week four times.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from data.clock import DAY_US
from data.errors import DataError
from features.sql import compute_features, prepare_people

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from features.definitions import Catalogue

__all__ = ["FEWEST", "REFERENCES", "WINDOW_DAYS", "Cohorts", "Windows", "lay_out", "lend_windows", "read_cohorts"]

WINDOW_DAYS = 28
REFERENCES = 13  # a year: every season is in it once
FEWEST = 4  # with fewer windows nobody knows how much they differ by themselves


@dataclass(frozen=True)
class Windows:
    """Windows `[end - 28 days, end)` in order of time; the last is judged, the others are what it is held against."""

    ends_us: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.ends_us)

    @property
    def starts_us(self) -> tuple[int, ...]:
        """When each begins, microseconds UTC."""
        return tuple(end - WINDOW_DAYS * DAY_US for end in self.ends_us)


@dataclass(frozen=True)
class Cohorts:
    """The arrivals of all windows: `window` (n,) says to which each belongs, `table` holds its features."""

    windows: Windows
    window: np.ndarray[tuple[int], np.dtype[np.int64]]
    table: pa.Table
    catalogue: Catalogue

    @property
    def sizes(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """How many leads arrived in each window."""
        return np.bincount(self.window, minlength=self.windows.count)

    def where(self, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Cohorts:
        """Return the cohorts with only these leads."""
        import pyarrow as pa

        return replace(self, window=self.window[kept], table=self.table.filter(pa.array(kept)))


def lay_out(
    as_of_us: int, *, first_us: int, learnt_until_us: int | None = None, references: int = REFERENCES
) -> Windows:
    """Return the window that ends at `as_of` and the year of windows before it that the model may have learnt from.

    Parameters
    ----------
    as_of_us
        The moment that is judged, microseconds UTC.
    first_us
        Since when there are leads; a window that begins earlier is left out.
    learnt_until_us
        When the data of the served model ended. Later windows are no reference: what has moved since would come to
        look usual.
    references
        How many windows at most.

    Raises
    ------
    DataError
        If fewer than four windows are left to be held against.

    Examples
    --------
    >>> found = lay_out(100 * WINDOW_DAYS * DAY_US, first_us=0, learnt_until_us=98 * WINDOW_DAYS * DAY_US)
    >>> found.count, [end // (WINDOW_DAYS * DAY_US) for end in found.ends_us[-2:]]
    (14, [98, 100])
    """
    step = WINDOW_DAYS * DAY_US
    learnt = as_of_us if learnt_until_us is None else learnt_until_us
    # A model that has just been trained may know the judged window itself, which must not be its own reference.
    newest = max(1, -((learnt - as_of_us) // step))
    ends = [as_of_us - k * step for k in range(newest + references - 1, newest - 1, -1)]
    ends = [end for end in ends if end - step >= first_us]
    if len(ends) < FEWEST:
        raise DataError(
            f"{len(ends)} whole windows of {WINDOW_DAYS} days lie before the judged one, {FEWEST} are needed",
            hint="wait, import older leads, or move --as-of",
        )
    return Windows((*ends, as_of_us))


def lend_windows(connection: duckdb.DuckDBPyConnection, windows: Windows) -> None:
    """Make `monitored(number, start_us, end_us)`, half open, in microseconds UTC."""
    bounds = zip(windows.starts_us, windows.ends_us, strict=True)
    connection.execute("CREATE OR REPLACE TEMP TABLE monitored (number BIGINT, start_us BIGINT, end_us BIGINT)")
    connection.executemany(
        "INSERT INTO monitored VALUES (?, ?, ?)", [(number, *bound) for number, bound in enumerate(bounds)]
    )


def read_cohorts(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, windows: Windows) -> Cohorts:
    """Describe the arrivals of each window, one a person, by what was known at its end.

    Parameters
    ----------
    connection
        With the warehouse's views.
    catalogue
        What to compute.
    windows
        Which.
    """
    prepare_people(connection)
    lend_windows(connection, windows)
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE spine AS
        SELECT ROW_NUMBER() OVER (ORDER BY w.number, p.lead_id) AS row_id, p.lead_id, w.end_us AS as_of_us, w.number
        FROM people AS p
        JOIN monitored AS w ON p.t0_us >= w.start_us AND p.t0_us < w.end_us
        WHERE p.lead_id = p.primary_id AND p.from_us <= w.end_us AND (p.until_us IS NULL OR p.until_us > w.end_us)
        """
    )
    numbers = connection.execute("SELECT number FROM spine ORDER BY row_id").fetchnumpy()["number"]
    return Cohorts(windows, np.asarray(numbers, np.int64), compute_features(connection, catalogue), catalogue)
