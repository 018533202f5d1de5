"""How many leads stand in each grade, source and industry, the week before beside them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from monitoring.cards.card import Move

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb

    from monitoring.quality.scores import LastScore

__all__ = ["NOT_SCORED", "OTHERS", "UNKNOWN", "Count", "Row", "count_by_band", "count_by_column", "moved"]

UNKNOWN, OTHERS, NOT_SCORED = "(unknown)", "(others)", "(not scored)"
_MOST_ROWS = 10


def moved(now: int, before: int) -> Move:
    """Return how a count changed beyond chance: more than two standard errors of the difference of two Poisson counts.

    Examples
    --------
    >>> moved(130, 100), moved(60, 100), moved(105, 100), moved(1, 0)
    ('level', 'down', 'level', 'level')
    >>> moved(160, 100)
    'up'
    """
    if (now - before) ** 2 <= 4 * max(now + before, 1):
        return "level"
    return "up" if now > before else "down"


@dataclass(frozen=True)
class Count:
    """A count at the week's end, or in the week, and the one of the week before."""

    now: int
    before: int

    @property
    def move(self) -> Move:
        """How it changed beyond chance."""
        return moved(self.now, self.before)

    def __add__(self, other: Count) -> Count:
        """Return both together."""
        return Count(self.now + other.now, self.before + other.before)


@dataclass(frozen=True)
class Row:
    """One value of what leads are told apart by: people with open leads at the end, records that were new."""

    name: str
    open: Count
    new: Count


def count_by_column(connection: duckdb.DuckDBPyConnection, column: Literal["source", "industry"]) -> tuple[Row, ...]:
    """Return the leads by a column, the largest first, small ones together and unknown last.

    Parameters
    ----------
    connection
        On which `prepare_records` was called.
    column
        By which.
    """
    rows = connection.execute(
        f"SELECT COALESCE({column}, '{UNKNOWN}'), moment, COUNT(*) FILTER (WHERE is_open), "  # noqa: S608 - closed set
        "COUNT(*) FILTER (WHERE is_new) FROM quality_records GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    told = {(name, moment): (is_open, is_new) for name, moment, is_open, is_new in rows}
    return _folded([_row(name, told) for name in sorted({name for name, _ in told})])


def count_by_band(
    connection: duckdb.DuckDBPyConnection, scores: Mapping[str, Mapping[str, LastScore]]
) -> tuple[Row, ...]:
    """Return the leads by grade, best first, those without a score last.

    Parameters
    ----------
    connection
        On which `prepare_records` was called.
    scores
        For each moment (`now`, `before`) the last score of each lead.
    """
    rows = connection.execute(
        "SELECT moment, lead_id, primary_id, is_open, is_new FROM quality_records WHERE is_open OR is_new"
    ).fetchall()
    bands: dict[str, tuple[bool, int]] = {}
    opened, new = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for moment, lead_id, primary_id, is_open, is_new in rows:
        known = scores[moment]
        score = known.get(lead_id) or known.get(primary_id)
        name = NOT_SCORED if score is None else score.band
        bands[name] = (score is None, 99 if score is None or score.rank is None else score.rank)
        opened[name, moment] += is_open
        new[name, moment] += is_new
    told = {(name, moment): (opened[name, moment], new[name, moment]) for name in bands for moment in scores}
    return tuple(_row(name, told) for name in sorted(bands, key=lambda name: (*bands[name], name)))


def _row(name: str, told: Mapping[tuple[str, str], tuple[int, int]]) -> Row:
    now, before = told.get((name, "now"), (0, 0)), told.get((name, "before"), (0, 0))
    return Row(name, Count(now[0], before[0]), Count(now[1], before[1]))


def _folded(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Put the largest first and fold what is beyond the tenth, so that the picture stays one."""
    known = sorted(
        (row for row in rows if row.name != UNKNOWN), key=lambda row: (-row.open.now - row.new.now, row.name)
    )
    unknown = tuple(row for row in rows if row.name == UNKNOWN)
    if len(known) <= _MOST_ROWS:
        return (*known, *unknown)
    kept, rest = known[: _MOST_ROWS - 1], known[_MOST_ROWS - 1 :]
    opened = sum((row.open for row in rest), Count(0, 0))
    return (*kept, Row(OTHERS, opened, sum((row.new for row in rest), Count(0, 0))), *unknown)
