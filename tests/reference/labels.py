"""Which pairs a training set holds and how they are labelled, said as plainly as Python can.

Nothing is shared with `features.snapshots`. Rows are dicts of the canonical tables with datetimes in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from tests.reference.people import (
    Tables,
    believed_outcome,
    has_ended,
    known_leads,
    merged_away,
    order,
    primary,
    same_person,
    t0,
)

GOAL_STAGES = {"won": (), "opportunity": ("opportunity",), "sql": ("sql", "opportunity")}


@dataclass(frozen=True)
class Pair:
    lead_id: str
    as_of: datetime


def goal_times(tables: Tables, lead_id: str, goal: str, known_by: datetime) -> list[datetime]:
    """All moments at which the lead's person reached the goal, or more than it, by what was known."""
    times = []
    for each in same_person(tables, lead_id, known_by):
        outcome = believed_outcome(tables, each, known_by)
        if outcome is not None and outcome["outcome"] == "won":
            times.append(outcome["closed_at"])
        passed = [row for row in tables["stages"] if row["lead_id"] == each and row["known_at"] <= known_by]
        times += [row["occurred_at"] for row in passed if row["stage"].lower() in GOAL_STAGES[goal]]
    return times


def is_closed(tables: Tables, lead_id: str, goal: str, as_of: datetime, known_by: datetime) -> bool:
    if any(time <= as_of for time in goal_times(tables, lead_id, goal, known_by)):
        return True
    person = same_person(tables, lead_id, known_by)
    own = has_ended(tables, person[0], known_by, as_of)
    if own is not None and (own["reason"] or "").lower() != "duplicate":
        return True
    away = merged_away(tables, as_of)
    standing = [each for each in person if t0(tables, each) <= as_of and each not in away]
    return all(
        has_ended(tables, each, known_by, as_of) is not None or has_vanished(tables, each, known_by, as_of)
        for each in standing
    )


def has_vanished(tables: Tables, lead_id: str, known_by: datetime, as_of: datetime) -> bool:
    """Whether the last export that spoke of it no longer held the lead."""
    spoken = [
        row
        for row in tables["actions"]
        if row["lead_id"] == lead_id and row["type"] in {"vanished", "reappeared"} and row["known_at"] <= known_by
    ]
    last = max(spoken, key=lambda row: (row["known_at"], row["action_id"])) if spoken else None
    return last is not None and last["type"] == "vanished" and last["occurred_at"] <= as_of


def primaries(tables: Tables, moment: datetime) -> list[str]:
    return [each for each in known_leads(tables, moment) if primary(tables, each, moment) == each]


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
    for lead_id in known_leads(tables, cutoff):
        start = t0(tables, lead_id)
        moments = [start + age for age in ages] + (month_starts(start, cutoff, timezone) if monthly else [])
        pairs |= {
            Pair(lead_id, moment)
            for moment in moments
            if moment <= cutoff and primary(tables, lead_id, moment) == lead_id
        }
    return pairs


def settle(tables: Tables, goal: str, cutoff: datetime) -> timedelta:
    """The smallest delay that at least 95 % of the outcomes, and of the stages that reach the goal, do not exceed."""
    entered = [(row["closed_at"], row["known_at"]) for row in tables["outcomes"] if row["outcome"] != "open"]
    stages = [row for row in tables["stages"] if row["stage"].lower() in GOAL_STAGES[goal]]
    entered += [(row["occurred_at"], row["known_at"]) for row in stages]
    delays: list[timedelta] = sorted(max(known - at, timedelta(0)) for at, known in entered if known <= cutoff)
    for number, delay in enumerate(delays, start=1):
        if number * 100 >= 95 * len(delays):
            return delay
    return timedelta(0)


def repeated(tables: Tables, pairs: set[Pair], cutoff: datetime) -> set[Pair]:
    """The pairs beside another one of the same moment that the cutoff knows to be the same person."""
    found = set()
    for pair in pairs:
        person = same_person(tables, pair.lead_id, cutoff)
        beside = [each.lead_id for each in pairs if each.as_of == pair.as_of and each.lead_id in person]
        first = person[0] if person[0] in beside else min(beside, key=lambda each: order(tables, each))
        if pair.lead_id != first:
            found.add(pair)
    return found


def labels(
    tables: Tables, goal: str, horizon: timedelta, pairs: set[Pair], cutoff: datetime
) -> tuple[dict[Pair, int], dict[str, int]]:
    """The labelled pairs, and how many were dropped for which reason."""
    wait = settle(tables, goal, cutoff)
    labelled: dict[Pair, int] = {}
    counts = {"closed": 0, "closed_but_not_known_then": 0, "immature": 0}
    open_pairs = set()
    for pair in pairs:
        in_truth = is_closed(tables, pair.lead_id, goal, pair.as_of, cutoff)
        known_then = is_closed(tables, pair.lead_id, goal, pair.as_of, pair.as_of)
        counts["closed"] += in_truth or known_then
        counts["closed_but_not_known_then"] += in_truth and not known_then
        if not in_truth and not known_then:
            open_pairs.add(pair)
    twice = repeated(tables, open_pairs, cutoff)
    for pair in open_pairs - twice:
        if pair.as_of + horizon + wait > cutoff:
            counts["immature"] += 1
        else:
            times = goal_times(tables, pair.lead_id, goal, cutoff)
            labelled[pair] = int(any(pair.as_of < time <= pair.as_of + horizon for time in times))
    return labelled, {**counts, "duplicates": len(twice)}
