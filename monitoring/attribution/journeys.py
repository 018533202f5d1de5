"""Who was touched by what before the end: one journey a person (or account), as it was known at a moment.

A touch is the way a lead came in (its own source, campaign and keyword, as first known) or an event that names a
channel, a campaign or a keyword. Touches of one person with the same three names that follow each other within half an
hour are one visit and count once. A touch counts if `end - window <= occurred_at < end` and it was known at `as_of`,
where `end` is the win, the loss, or for those still open the end of the period.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from data.clock import DAY_US, MINUTE_US, to_us
from data.errors import UsageError
from features.people import prepare_people
from features.snapshots import person_outcomes

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

__all__ = ["UNKNOWN", "VISIT_US", "Journey", "Period", "Touch", "Unit", "prepare_members", "read_journeys"]

Unit = Literal["person", "account"]
UNKNOWN = "unknown"
VISIT_US = 30 * MINUTE_US  # the pause after which web analytics speak of a new visit


class Touch(NamedTuple):
    """What a touch is known by; campaign and keyword are empty where it has none."""

    channel: str
    campaign: str = ""
    keyword: str = ""


@dataclass(frozen=True)
class Journey:
    """The touches of one person or account in order of time, and how it ended.

    `amount` is the won amount in hundredths of `currency`, None where the deal carries none.
    """

    who: str
    touches: tuple[Touch, ...]
    won: bool
    amount: int | None = None
    currency: str | None = None


@dataclass(frozen=True)
class Period:
    """Which ends count: those in `[since, until)`, as known at `as_of`; all in microseconds UTC.

    Examples
    --------
    >>> Period(0, 10 * DAY_US, 20 * DAY_US).days
    10.0
    """

    since_us: int
    until_us: int
    as_of_us: int

    @classmethod
    def of(cls, since: datetime, until: datetime, as_of: datetime) -> Period:
        """Read moments.

        Raises
        ------
        UsageError
            If the period is empty, or ends after what is known.
        """
        period = cls(to_us(since), to_us(until), to_us(as_of))
        if period.since_us >= period.until_us:
            raise UsageError("--since does not lie before --until", hint="name an earlier --since")
        if period.until_us > period.as_of_us:
            raise UsageError("--until lies after --as-of, where nothing is known", hint="name an earlier --until")
        return period

    @property
    def days(self) -> float:
        """The length in days."""
        return (self.until_us - self.since_us) / DAY_US


# The lead's own origin is taken from the first version that names it: systems overwrite it later.
_MEMBERS = """
SELECT p.lead_id, p.primary_id, v.created_us, v.t0_us,
       COALESCE(NULLIF(v.source, ''), '{unknown}') AS channel, COALESCE(v.campaign, '') AS campaign,
       COALESCE(v.keyword, '') AS keyword, v.account_id
FROM people AS p
JOIN (SELECT l.lead_id, MIN(l.created_us) AS created_us, MIN(l.usable_us) AS t0_us,
             ARG_MIN(l.source, l.usable_us) AS source, ARG_MIN(l.campaign, l.usable_us) AS campaign,
             ARG_MIN(l.keyword, l.usable_us) AS keyword, ARG_MAX(l.account_id, l.usable_us) AS account_id
      FROM lead_versions AS l WHERE l.usable_us <= $as_of GROUP BY l.lead_id) AS v ON v.lead_id = p.lead_id
WHERE p.from_us <= $as_of AND (p.until_us IS NULL OR p.until_us > $as_of)
"""

# One row a person: when it ended, or the end of the period, and the deal that was won by then; a lead lost as a
# duplicate ends nobody.
_ENDS = """
SELECT m.primary_id, LEAST(COALESCE(o.goal_us, o.lost_us), $until) AS end_us,
       COALESCE(o.goal_us < $until, false) AS won, m.began_us, m.account_id, d.amount, d.currency
FROM (SELECT primary_id, MIN(t0_us) AS began_us,
             COALESCE(MIN(CASE WHEN lead_id = primary_id THEN account_id END), primary_id) AS account_id
      FROM attribution_members GROUP BY primary_id) AS m
LEFT JOIN person_outcomes AS o ON o.lead_id = m.primary_id
LEFT JOIN (SELECT n.primary_id, EPOCH_US(w.closed_at) AS closed_us, w.amount, w.currency
           FROM outcomes AS w JOIN attribution_members AS n ON n.lead_id = w.lead_id
           WHERE w.outcome = 'won' AND EPOCH_US(w.known_at) <= $as_of
           QUALIFY ROW_NUMBER() OVER (PARTITION BY n.primary_id, w.closed_at
                                      ORDER BY w.known_at DESC, w.amount DESC NULLS LAST, w.lead_id) = 1) AS d
       ON d.primary_id = m.primary_id AND d.closed_us = o.goal_us
"""

_TOUCHES = """
WITH every AS (
    SELECT primary_id, created_us AS at_us, channel, campaign, keyword FROM attribution_members
    UNION ALL
    SELECT m.primary_id, EPOCH_US(e.occurred_at), COALESCE(NULLIF(e.channel, ''), '{unknown}'),
           COALESCE(e.campaign, ''), COALESCE(e.keyword, '')
    FROM events AS e JOIN attribution_members AS m ON m.lead_id = e.lead_id
    WHERE EPOCH_US(e.known_at) <= $as_of AND EPOCH_US(e.occurred_at) < $as_of
      AND (e.channel IS NOT NULL OR e.campaign IS NOT NULL OR e.keyword IS NOT NULL)),
paused AS (
    SELECT *, at_us - LAG(at_us) OVER (PARTITION BY primary_id, channel, campaign, keyword ORDER BY at_us) AS pause_us
    FROM every)
SELECT primary_id, at_us, channel, campaign, keyword FROM paused WHERE pause_us IS NULL OR pause_us > {visit}
"""

_JOURNEYS = """
WITH ended AS (
    SELECT {key} AS who, primary_id, end_us, won, CAST(ROUND(amount * 100) AS BIGINT) AS amount, currency
    FROM attribution_ends
    WHERE end_us >= $since AND began_us < $until)
SELECT e.primary_id, e.won, e.amount, e.currency, t.channel, t.campaign, t.keyword
FROM ended AS e
LEFT JOIN (SELECT s.{key} AS who, a.at_us, a.channel, a.campaign, a.keyword
           FROM attribution_touches AS a JOIN attribution_ends AS s ON s.primary_id = a.primary_id) AS t
       ON t.who = e.who AND t.at_us < e.end_us AND t.at_us >= e.end_us - $window
ORDER BY e.primary_id, t.at_us, t.channel, t.campaign, t.keyword
"""


def read_journeys(
    connection: duckdb.DuckDBPyConnection, period: Period, *, window_days: float = 180.0, unit: Unit = "person"
) -> tuple[Journey, ...]:
    """Return the journeys that ended in the period, and those still open at its end, ordered by person.

    Parameters
    ----------
    connection
        With the warehouse's views; temporary tables are made in it.
    period
        Which ends count, and when the data end.
    window_days
        How far back a touch counts, in days before the end.
    unit
        Whose touches count: the person's, or those of everybody at the account. Deals stay the persons'.

    Raises
    ------
    UsageError
        If the window is not positive, or the unit is unknown.
    """
    if not window_days > 0:
        raise UsageError("--window-days: a number above 0 was expected", hint="180 is the default")
    if unit not in get_args(Unit):
        raise UsageError("--unit: person or account was expected", hint="leave it out for person")
    prepare_members(connection, period)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE attribution_touches AS " + _TOUCHES.format(unknown=UNKNOWN, visit=VISIT_US),
        {"as_of": period.as_of_us},
    )
    key = "primary_id" if unit == "person" else "account_id"
    rows = connection.execute(
        _JOURNEYS.format(key=key),
        {"since": period.since_us, "until": period.until_us, "window": round(window_days * DAY_US)},
    ).fetchall()
    return _gathered(rows)


def prepare_members(connection: duckdb.DuckDBPyConnection, period: Period) -> None:
    """Make `attribution_members` (leads with their person and origin) and `attribution_ends` (one row a person)."""
    prepare_people(connection)
    person_outcomes(connection, known_by_us=period.as_of_us, goal="won")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE attribution_members AS " + _MEMBERS.format(unknown=UNKNOWN),
        {"as_of": period.as_of_us},
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE attribution_ends AS {_ENDS}",
        {"as_of": period.as_of_us, "until": period.until_us},
    )


def _gathered(rows: list[tuple[str, bool, int | None, str | None, str | None, str, str]]) -> tuple[Journey, ...]:
    """Put the rows of each person together; they come in order of person and time."""
    found: list[Journey] = []
    touches: list[Touch] = []
    for at, (who, won, amount, currency, channel, campaign, keyword) in enumerate(rows):
        if channel is not None:
            touches.append(Touch(channel, campaign, keyword))
        if at + 1 == len(rows) or rows[at + 1][0] != who:
            found.append(Journey(who, tuple(touches), won, amount, currency))
            touches = []
    return tuple(found)
