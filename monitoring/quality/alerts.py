"""Which leads somebody has to look at: those whose score fell sharply, and good ones with which nothing happens."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from data.clock import DAY_US
from features.snapshots import person_outcomes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import duckdb

    from monitoring.quality.scores import LastScore

__all__ = [
    "FEWEST_WINS",
    "Fallen",
    "Quiet",
    "Still",
    "fallen_leads",
    "prepare_signs",
    "still_leads",
    "usual_quiet",
]

FEWEST_WINS = 20  # of fewer won leads the median says little
# Half the odds: less is what scores do by themselves from week to week, whatever their noise was measured to be.
_FLOOR = math.log(2.0)
_NOISE = 3.0
_FEWEST_PAIRS = 20
_TO_SD = 1.4826  # from the median absolute deviation, under a normal law
_WIN_DAYS = 365
# What the import notes of a record, and what mail servers say, is nobody's engagement and nobody's work.
_SILENT = (
    *("vanished", "reappeared", "merged"),
    *("bounce", "bounced", "email_bounce", "email_bounced", "hard_bounce"),
    *("opt_out", "opted_out", "email_opt_out", "unsubscribe", "unsubscribed", "email_unsubscribed"),
)


@dataclass(frozen=True)
class Fallen:
    """An open lead that stood high and fell: its band and probability at the week's start and at its end."""

    lead_id: str
    band_before: str
    band_now: str
    probability_before: float | None
    probability_now: float | None

    @property
    def lost(self) -> float:
        """The expected wins that went with it, 0 where the rules answered."""
        if self.probability_before is None or self.probability_now is None:
            return 0.0
        return self.probability_before - self.probability_now


def fallen_leads(
    open_leads: Iterable[str], before: Mapping[str, LastScore], now: Mapping[str, LastScore], *, grades: int = 2
) -> tuple[Fallen, ...]:
    """Return the open leads of the two best bands whose score fell sharply within the week, the dearest first.

    The log-odds fell by more than the noise of that week, three robust standard deviations of all moves and at least
    the half of the odds, or the band fell by `grades`. Moves are taken against the median of the leads that were scored
    by the same two models: a new model that says less of everybody is no news of anybody.

    Parameters
    ----------
    open_leads
        Who is open at the end.
    before, now
        The last scores by the week's start and by its end.
    grades
        By how many bands a fall is sharp, whatever the log-odds.

    Examples
    --------
    >>> from monitoring.quality.scores import LastScore
    >>> was = {"a": LastScore("a", 0, "m", 0.5, "A", "A"), "b": LastScore("b", 0, "m", 0.3, "B", "B")}
    >>> is_ = {"a": LastScore("a", 1, "m", 0.2, "B", "B"), "b": LastScore("b", 1, "m", 0.28, "B", "B")}
    >>> [(one.lead_id, one.band_now, round(one.lost, 2)) for one in fallen_leads("ab", was, is_)]
    [('a', 'B', 0.3)]
    """
    pairs = [(before[lead], now[lead]) for lead in open_leads if lead in before and lead in now]
    usual, limit = _usual_moves(pairs)
    found = [
        Fallen(was.lead_id, was.band, is_now.band, was.probability, is_now.probability)
        for was, is_now in pairs
        if was.rank is not None and was.rank <= 1 and _fell(was, is_now, usual, limit, grades)
    ]
    return tuple(sorted(found, key=lambda one: (-one.lost, one.lead_id)))


def _move(was: LastScore, is_now: LastScore) -> float | None:
    """Return by how much the log-odds fell, None where the rules answered."""
    if was.probability is None or is_now.probability is None:
        return None
    return _logit(was.probability) - _logit(is_now.probability)


def _logit(probability: float) -> float:
    bounded = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(bounded / (1 - bounded))


def _usual_moves(pairs: list[tuple[LastScore, LastScore]]) -> tuple[dict[tuple[str, str], float], float]:
    """Return the median fall by pair of models, and how far beyond it a fall is sharp."""
    falls: dict[tuple[str, str], list[float]] = defaultdict(list)
    for was, is_now in pairs:
        fall = _move(was, is_now)
        if fall is not None:
            falls[was.bundle, is_now.bundle].append(fall)
    middles = {models: median(told) for models, told in falls.items()}
    # Of one model with itself no shift is usual: who falls with half of the others has still fallen.
    usual = {
        models: middles[models] if models[0] != models[1] and len(told) >= _FEWEST_PAIRS else 0.0
        for models, told in falls.items()
    }
    apart = [abs(fall - middles[models]) for models, told in falls.items() for fall in told]
    noise = _TO_SD * median(apart) if len(apart) >= _FEWEST_PAIRS else 0.0
    return usual, max(_NOISE * noise, _FLOOR)


def _fell(was: LastScore, is_now: LastScore, usual: Mapping[tuple[str, str], float], limit: float, grades: int) -> bool:
    bands = (is_now.rank or 0) - (was.rank or 0) >= grades and (was.grade is None) == (is_now.grade is None)
    fall = _move(was, is_now)
    if fall is None:
        return bands
    beyond = fall - usual[was.bundle, is_now.bundle]
    return beyond >= limit or (bands and beyond >= _FLOOR)


@dataclass(frozen=True)
class Quiet:
    """How long is long: days without any sign, and of how many won leads that was learnt, None where it was set."""

    days: float
    wins: int | None


def prepare_signs(connection: duckdb.DuckDBPyConnection, scores: Mapping[str, LastScore], *, at_us: int) -> None:
    """Make `quality_won`, `quality_hot` and `quality_signs`: who won in a year, who is in the best band, and signs.

    A sign is when somebody did something (an event), or something was done about somebody (an action).

    Parameters
    ----------
    connection
        On which `prepare_records` was called.
    scores
        The last score of each lead by the end of the week.
    at_us
        The end of the week, microseconds UTC.
    """
    person_outcomes(connection, known_by_us=at_us, goal="won")
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE quality_won AS
        SELECT lead_id AS primary_id, MIN(goal_us) AS end_us FROM person_outcomes
        WHERE goal_us <= $at AND goal_us > $at - {_WIN_DAYS * DAY_US} GROUP BY lead_id
        """,  # noqa: S608 - a number of this module
        {"at": at_us},
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE quality_hot AS SELECT DISTINCT primary_id FROM quality_records "
        "WHERE is_open AND moment = 'now' AND lead_id IN (SELECT UNNEST($high::VARCHAR[]))",
        {"high": [lead_id for lead_id, score in scores.items() if score.is_high]},
    )
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE quality_members AS
        SELECT p.lead_id, p.primary_id, p.t0_us FROM people AS p
        JOIN (SELECT primary_id FROM quality_won UNION SELECT primary_id FROM quality_hot) AS w
          ON w.primary_id = p.primary_id
        WHERE p.from_us <= $at AND (p.until_us IS NULL OR p.until_us > $at)
        """,
        {"at": at_us},
    )
    silent = ", ".join(f"'{name}'" for name in _SILENT)
    told = " UNION ALL ".join(
        f"SELECT p.primary_id, EPOCH_US(x.occurred_at) AS at_us FROM {table} AS x "  # noqa: S608 - this module's words
        f"JOIN quality_members AS p ON p.lead_id = x.lead_id WHERE LOWER(x.type) NOT IN ({silent}) "
        "AND EPOCH_US(x.occurred_at) < $at AND EPOCH_US(x.known_at) <= $at"
        for table in ("events", "actions")
    )
    begun = "SELECT primary_id, MIN(t0_us) FROM quality_members GROUP BY primary_id"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE quality_signs AS {told} UNION ALL {begun}", {"at": at_us})


def usual_quiet(connection: duckdb.DuckDBPyConnection, *, fallback_days: float) -> Quiet:
    """Return the median, over the leads won in a year, of the longest time that each was quiet before its win.

    Quiet is a lead without engagement and without anything that somebody did. The median of single gaps would be the
    minutes between two pages of one visit; that of the longest ones says how long winners rest.

    Parameters
    ----------
    connection
        On which `prepare_signs` was called.
    fallback_days
        The answer where fewer than 20 leads were won.
    """
    (row,) = connection.execute(
        """
        WITH told AS (
            SELECT w.primary_id, LEAST(s.at_us, w.end_us) AS at_us
            FROM quality_won AS w JOIN quality_signs AS s ON s.primary_id = w.primary_id
            UNION ALL SELECT primary_id, end_us FROM quality_won),
        gaps AS (
            SELECT primary_id, at_us - LAG(at_us) OVER (PARTITION BY primary_id ORDER BY at_us) AS gap_us FROM told)
        SELECT MEDIAN(longest), COUNT(*) FROM (SELECT MAX(gap_us) AS longest FROM gaps GROUP BY primary_id) AS each_lead
        """
    ).fetchall()
    if row[1] < FEWEST_WINS:
        return Quiet(fallback_days, None)
    return Quiet(max(float(row[0]) / DAY_US, 1.0), int(row[1]))


@dataclass(frozen=True)
class Still:
    """A lead in the best band with which nothing has happened for so many days."""

    lead_id: str
    band: str
    probability: float | None
    days: float


def still_leads(
    connection: duckdb.DuckDBPyConnection, scores: Mapping[str, LastScore], *, at_us: int, days: float
) -> tuple[Still, ...]:
    """Return the open leads of the best band that were quiet longer than `days`, the likeliest first.

    Parameters
    ----------
    connection
        On which `prepare_signs` was called.
    scores
        The last score of each lead by the end of the week.
    at_us
        The end of the week, microseconds UTC.
    days
        How long is too long.
    """
    rows = connection.execute(
        "SELECT h.primary_id, MAX(s.at_us) FROM quality_hot AS h JOIN quality_signs AS s "
        "ON s.primary_id = h.primary_id GROUP BY h.primary_id"
    ).fetchall()
    found = [
        Still(lead_id, scores[lead_id].band, scores[lead_id].probability, (at_us - last_us) / DAY_US)
        for lead_id, last_us in rows
        if at_us - last_us > days * DAY_US
    ]
    return tuple(sorted(found, key=lambda one: (-(one.probability or 0.0), -one.days, one.lead_id)))
