"""What the store's history had said of leads by a moment: the last score of each, or the last one before its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import sqlalchemy as sa

    from data.store.engine import Store

__all__ = ["LastScore", "read_before_end", "read_scores"]

_NAMES = ("lead_id", "as_of", "bundle", "probability", "grade", "pool")


@dataclass(frozen=True)
class LastScore:
    """A score as the report needs it; `probability` and `grade` are None where the rules answered."""

    lead_id: str
    as_of_us: int
    bundle: str
    probability: float | None
    grade: str | None
    pool: str | None

    @property
    def band(self) -> str:
        """The grade, or the pool of the rules where they answered alone."""
        return self.grade or f"pool {self.pool or '?'}"

    @property
    def rank(self) -> int | None:
        """The place of the band, 0 best; None where it is no single letter.

        Examples
        --------
        >>> LastScore("l", 0, "b", 0.2, "B", "A").rank, LastScore("l", 0, "", None, None, "A").rank
        (1, 0)
        """
        letter = (self.grade or self.pool or "").upper()
        return ord(letter) - ord("A") if len(letter) == 1 and "A" <= letter <= "Z" else None

    @property
    def is_high(self) -> bool:
        """Whether it stands in the best grade, or with rules alone in the best pool."""
        return self.rank == 0


def read_scores(store: Store, *, at_us: int) -> dict[str, LastScore]:
    """Return for each lead the last score given by a moment.

    A score of what a request brought along counts only where there is no other: the store may have known better. What
    was written down later speaks of nothing that anybody saw then.

    Parameters
    ----------
    store
        The open store.
    at_us
        The moment, microseconds UTC.
    """
    import sqlalchemy as sa

    from data.store.schema import SCORES

    order = (sa.case((SCORES.c.cause == "payload", 1), else_=0), SCORES.c.as_of.desc(), SCORES.c.score_id.desc())
    numbered = sa.func.row_number().over(partition_by=SCORES.c.lead_id, order_by=order).label("number")
    known = (
        sa.select(*(SCORES.c[name] for name in _NAMES), numbered)
        .where(SCORES.c.as_of <= at_us, SCORES.c.given_at <= at_us)
        .subquery()
    )
    query = sa.select(*(known.c[name] for name in _NAMES)).where(known.c.number == 1)
    with store.reading() as connection:
        rows = connection.execution_options(yield_per=5000).execute(query)
        return {row[0]: LastScore(*row) for row in rows}


def read_before_end(store: Store, ends: Mapping[str, int], *, known_us: int) -> dict[str, LastScore]:
    """Return for some leads the last score that speaks of a moment before each one's end.

    Parameters
    ----------
    store
        The open store.
    ends
        The leads, and when each ended, microseconds UTC.
    known_us
        Scores given later are not known, microseconds UTC.
    """
    from data.store.statements import chunks

    found: dict[str, LastScore] = {}
    with store.reading() as connection:
        for piece in chunks(sorted(ends)):
            for score in _told(connection, piece, known_us):
                if score.as_of_us < ends[score.lead_id]:
                    found[score.lead_id] = score
    return found


def _told(connection: sa.Connection, lead_ids: Iterable[str], known_us: int) -> Iterable[LastScore]:
    """Return all scores of some leads that were given at their moment, the last ones last."""
    import sqlalchemy as sa

    from data.clock import DAY_US
    from data.store.schema import SCORES

    # Given two days later at most, a score was given for its moment; the record holds to the same rule.
    query: sa.Select[Any] = (
        sa.select(*(SCORES.c[name] for name in _NAMES))
        .where(SCORES.c.lead_id.in_(lead_ids), SCORES.c.given_at <= known_us)
        .where(SCORES.c.given_at <= SCORES.c.as_of + 2 * DAY_US)
        .order_by(sa.case((SCORES.c.cause == "payload", 0), else_=1), SCORES.c.as_of, SCORES.c.score_id)
    )
    return [LastScore(*row) for row in connection.execute(query)]
