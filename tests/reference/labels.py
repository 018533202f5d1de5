"""Which pairs a training set holds and how they are labelled, said as plainly as Python can.

Nothing is shared with `features.snapshots`. Rows are dicts of the canonical tables with datetimes in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from tests.reference.features import Row, Tables, known_leads, same_episode, t0

GOAL_STAGES = {"won": (), "opportunity": ("opportunity",), "sql": ("sql", "opportunity")}


@dataclass(frozen=True)
class Pair:
    lead_id: str
    as_of: datetime


def leads_of(tables: Tables, primary: str, known_by: datetime) -> list[str]:
    return same_episode(tables, primary, known_by)


def believed_outcome(tables: Tables, lead_id: str, known_by: datetime) -> Row | None:
    known = [row for row in tables["outcomes"] if row["lead_id"] == lead_id and row["known_at"] <= known_by]
    return max(known, key=lambda row: row["known_at"]) if known else None


def goal_times(tables: Tables, primary: str, goal: str, known_by: datetime) -> list[datetime]:
    """All moments at which the person reached the goal, or more than it, by what was known."""
    times = []
    for lead_id in leads_of(tables, primary, known_by):
        outcome = believed_outcome(tables, lead_id, known_by)
        if outcome is not None and outcome["outcome"] == "won":
            times.append(outcome["closed_at"])
        passed = [row for row in tables["stages"] if row["lead_id"] == lead_id and row["known_at"] <= known_by]
        times += [row["occurred_at"] for row in passed if row["stage"].lower() in GOAL_STAGES[goal]]
    return times


def is_closed(tables: Tables, primary: str, goal: str, as_of: datetime, known_by: datetime) -> bool:
    if any(time <= as_of for time in goal_times(tables, primary, goal, known_by)):
        return True
    own = believed_outcome(tables, primary, known_by)
    if own is not None and own["closed_at"] <= as_of and (own["reason"] or "").lower() != "duplicate":
        return True
    begun = [lead_id for lead_id in leads_of(tables, primary, known_by) if t0(tables, lead_id) <= as_of]
    outcomes = [believed_outcome(tables, lead_id, known_by) for lead_id in begun]
    return all(outcome is not None and outcome["closed_at"] <= as_of for outcome in outcomes)


def primaries(tables: Tables, cutoff: datetime) -> list[str]:
    return [each for each in known_leads(tables, cutoff) if same_episode(tables, each, cutoff)[0] == each]


def is_first_of_month(moment: datetime, timezone: str) -> bool:
    """Whether the moment is the first one of a month on the local calendar."""
    zone = ZoneInfo(timezone)
    local, before = moment.astimezone(zone), (moment - timedelta(microseconds=1)).astimezone(zone)
    return local.day == 1 and before.date() < local.date()


@cache
def month_starts(start: datetime, end: datetime, timezone: str) -> list[datetime]:
    """Every whole quarter of an hour near a turn of month is asked: no zone begins its months between two of them."""
    quarter = timedelta(minutes=15)
    moment = start.replace(minute=0, second=0, microsecond=0)
    found = []
    while moment <= end:
        if moment >= start and (moment.day <= 2 or moment.day >= 27) and is_first_of_month(moment, timezone):
            found.append(moment)
        moment += quarter
    return found


def photographs(
    tables: Tables, ages: list[timedelta], cutoff: datetime, timezone: str, *, monthly: bool = True
) -> set[Pair]:
    pairs = set()
    for lead_id in primaries(tables, cutoff):
        start = t0(tables, lead_id)
        moments = [start + age for age in ages] + (month_starts(start, cutoff, timezone) if monthly else [])
        pairs |= {Pair(lead_id, moment) for moment in moments if moment <= cutoff}
    return pairs


def settle(tables: Tables, cutoff: datetime) -> timedelta:
    """The smallest delay that at least 95 % of the outcomes do not exceed."""
    known = [row for row in tables["outcomes"] if row["known_at"] <= cutoff]
    delays: list[timedelta] = sorted(max(row["known_at"] - row["closed_at"], timedelta(0)) for row in known)
    for number, delay in enumerate(delays, start=1):
        if number * 100 >= 95 * len(delays):
            return delay
    return timedelta(0)


def labels(
    tables: Tables, goal: str, horizon: timedelta, pairs: set[Pair], cutoff: datetime
) -> tuple[dict[Pair, int], dict[str, int]]:
    """The labelled pairs, and how many were dropped for which reason."""
    wait = settle(tables, cutoff)
    labelled: dict[Pair, int] = {}
    counts = {"closed": 0, "closed_but_not_known_then": 0, "immature": 0}
    for pair in pairs:
        in_truth = is_closed(tables, pair.lead_id, goal, pair.as_of, cutoff)
        known_then = is_closed(tables, pair.lead_id, goal, pair.as_of, pair.as_of)
        if in_truth or known_then:
            counts["closed"] += 1
            counts["closed_but_not_known_then"] += in_truth and not known_then
        elif pair.as_of + horizon + wait > cutoff:
            counts["immature"] += 1
        else:
            times = goal_times(tables, pair.lead_id, goal, cutoff)
            labelled[pair] = int(any(pair.as_of < time <= pair.as_of + horizon for time in times))
    return labelled, counts
