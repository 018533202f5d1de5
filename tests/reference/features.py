"""What a feature is, said as plainly as Python can: loops over rows, no indices, nothing shared with the evaluators.

Only the catalogue's definitions are common ground. Rows are dicts of the canonical tables with datetimes in UTC.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from features.definitions import (
    AccountAttribute,
    Catalogue,
    DistinctCount,
    EventCount,
    Feature,
    Filled,
    LeadAge,
    LeadAttribute,
    Recency,
    Total,
    Trend,
)

Row = dict[str, Any]
Tables = dict[str, list[Row]]

MICROSECOND = timedelta(microseconds=1)
MICROSECONDS_A_DAY = 24 * 60 * 60 * 1_000_000


def days_between(start: datetime, end: datetime) -> float:
    return float((end - start) // MICROSECOND) / MICROSECONDS_A_DAY


def usable_from(row: Row) -> datetime:
    created_at: datetime = row["created_at"]
    known_at: datetime = row["known_at"]
    return max(created_at, known_at)


def first_version(tables: Tables, lead_id: str) -> Row:
    versions = [row for row in tables["leads"] if row["lead_id"] == lead_id]
    return min(versions, key=lambda row: (usable_from(row), row["known_at"]))


def t0(tables: Tables, lead_id: str) -> datetime:
    return usable_from(first_version(tables, lead_id))


def known_leads(tables: Tables, as_of: datetime) -> list[str]:
    return [lead_id for lead_id in sorted({row["lead_id"] for row in tables["leads"]}) if t0(tables, lead_id) <= as_of]


def lead_now(tables: Tables, lead_id: str, as_of: datetime) -> Row:
    usable = [
        row
        for row in tables["leads"]
        if row["lead_id"] == lead_id and row["created_at"] <= as_of and row["known_at"] <= as_of
    ]
    return max(usable, key=lambda row: row["known_at"])


def account_now(tables: Tables, account_id: str | None, as_of: datetime) -> Row | None:
    known = [row for row in tables["accounts"] if row["account_id"] == account_id and row["known_at"] <= as_of]
    return max(known, key=lambda row: row["known_at"]) if known else None


def same_episode(tables: Tables, lead_id: str, as_of: datetime) -> list[str]:
    """The leads of the person known by as_of, in order, between two gaps of more than 180 days."""
    person = first_version(tables, lead_id)["person_id"]
    if person is None:
        return [lead_id]
    leads = [each for each in known_leads(tables, as_of) if first_version(tables, each)["person_id"] == person]
    leads.sort(key=lambda each: (t0(tables, each), first_version(tables, each)["created_at"], each))
    episode: list[str] = []
    for each in leads:
        if episode and t0(tables, each) - t0(tables, episode[-1]) > timedelta(days=180):
            if lead_id in episode:
                return episode
            episode = []
        episode.append(each)
    return episode


def visible(events: list[Row], as_of: datetime) -> list[Row]:
    return [row for row in events if row["occurred_at"] < as_of and row["known_at"] <= as_of]


def events_of(tables: Tables, feature: Feature, lead_id: str, as_of: datetime) -> list[Row] | None:
    """The visible events that a feature reads, or None where nobody can know them."""
    own = same_episode(tables, lead_id, as_of)
    if getattr(feature.compute, "scope", "lead") == "lead":
        return visible([row for row in tables["events"] if row["lead_id"] in own], as_of)
    account_id = lead_now(tables, lead_id, as_of)["account_id"]
    if account_id is None:
        return None
    others = [
        each
        for each in known_leads(tables, as_of)
        if each not in own and lead_now(tables, each, as_of)["account_id"] == account_id
    ]
    return visible([row for row in tables["events"] if row["lead_id"] in others], as_of)


def of_types(events: list[Row], types: tuple[str, ...]) -> list[Row]:
    return [row for row in events if not types or row["type"] in types]


def within(events: list[Row], as_of: datetime, days: int) -> list[Row]:
    return [row for row in events if as_of - timedelta(days=days) <= row["occurred_at"]]


def event_value(feature: Feature, events: list[Row], as_of: datetime, timezone: str) -> float | None:
    compute = feature.compute
    if isinstance(compute, EventCount):
        return float(len(within(of_types(events, compute.types), as_of, compute.days)))
    if isinstance(compute, Trend):
        chosen = of_types(events, compute.types)
        return (30 * len(within(chosen, as_of, 7)) - 7 * len(within(chosen, as_of, 30))) / 210.0
    if isinstance(compute, Recency):
        times = [row["occurred_at"] for row in of_types(events, compute.types)]
        return days_between(max(times), as_of) if times else None
    if isinstance(compute, Total):
        values: list[float | None] = [row[compute.column] for row in within(events, as_of, compute.days)]
        return sum(math.floor(v * 1000 + 0.5) for v in values if v is not None and abs(v) < 1e12) / 1000.0
    assert isinstance(compute, DistinctCount)
    recent = within(events, as_of, compute.days)
    if compute.column == "day":
        return float(len({row["occurred_at"].astimezone(ZoneInfo(timezone)).date() for row in recent}))
    return float(len({row[compute.column] for row in recent} - {None}))


def value(catalogue: Catalogue, feature: Feature, tables: Tables, lead_id: str, as_of: datetime) -> float | str | None:
    """One feature of one lead at one moment."""
    compute = feature.compute
    lead = lead_now(tables, lead_id, as_of)
    if isinstance(compute, LeadAttribute):
        found = lead.get(compute.column)
    elif isinstance(compute, AccountAttribute):
        found = (account_now(tables, lead["account_id"], as_of) or {}).get(compute.column)
    elif isinstance(compute, Filled):
        found = 0.0 if lead.get(compute.column) is None else 1.0
    elif isinstance(compute, LeadAge):
        found = days_between(lead["created_at"], as_of)
    else:
        events = events_of(tables, feature, lead_id, as_of)
        found = None if events is None else event_value(feature, events, as_of, catalogue.timezone)
    return float(found) if isinstance(found, int) else found


def features(catalogue: Catalogue, tables: Tables, lead_id: str, as_of: datetime) -> dict[str, float | str | None]:
    """Every feature of one lead at one moment, by the book."""
    return {feature.name: value(catalogue, feature, tables, lead_id, as_of) for feature in catalogue.features}


def primary(tables: Tables, lead_id: str, as_of: datetime) -> str:
    return same_episode(tables, lead_id, as_of)[0]
