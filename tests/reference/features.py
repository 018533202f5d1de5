"""What a feature is, said as plainly as Python can: loops over rows, no indices, nothing shared with the evaluators.

Only the catalogue's definitions are common ground. Rows are dicts of the canonical tables with datetimes in UTC.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from features.definitions import (
    AccountAttribute,
    Catalogue,
    Decayed,
    DistinctCount,
    EventCount,
    Feature,
    Filled,
    LeadAge,
    LeadAttribute,
    MostSenior,
    Recency,
    SalesResponse,
    Total,
    Touch,
    Trend,
    Visits,
)
from tests.reference.people import Row, Tables, known_leads, primary, same_person

__all__ = ["Row", "Tables", "features", "known_leads", "primary"]

MICROSECOND = timedelta(microseconds=1)
MICROSECONDS_A_DAY = 24 * 60 * 60 * 1_000_000


def days_between(start: datetime, end: datetime) -> float:
    return float((end - start) // MICROSECOND) / MICROSECONDS_A_DAY


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


def visible(events: list[Row], as_of: datetime) -> list[Row]:
    return [row for row in events if row["occurred_at"] < as_of and row["known_at"] <= as_of]


def events_of(tables: Tables, feature: Feature, lead_id: str, as_of: datetime) -> list[Row] | None:
    """The visible events that a feature reads, or None where nobody can know them."""
    own = same_person(tables, lead_id, as_of)
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


RANKS = ["junior", "staff", "manager", "director", "vp", "c_level"]


def visit_starts(events: list[Row]) -> list[datetime]:
    """Each event that nothing came before within half an hour."""
    times = [row["occurred_at"] for row in events]
    return [at for at in sorted(set(times)) if not any(timedelta(0) < at - t <= timedelta(minutes=30) for t in times)]


def touched(events: list[Row], which: str) -> str | None:
    named = [row for row in events if row["channel"] is not None]
    if not named:
        return None
    at = (min if which == "first" else max)(row["occurred_at"] for row in named)
    return str(min(row["channel"] for row in named if row["occurred_at"] == at))


def weight(age: timedelta, half_life_days: int) -> int:
    return int(round(1e6 * 0.5 ** (age.days / half_life_days), 0))


def sales_response(tables: Tables, types: tuple[str, ...], lead_id: str, as_of: datetime) -> float:
    own = same_person(tables, lead_id, as_of)
    actions = visible([row for row in tables["actions"] if row["lead_id"] in own and row["type"] in types], as_of)
    first = min([row["occurred_at"] for row in actions], default=as_of)
    waited = max(first - lead_now(tables, lead_id, as_of)["created_at"], timedelta(0))
    return float(waited // MICROSECOND) / 3_600_000_000


def people_value(
    compute: DistinctCount | MostSenior, tables: Tables, events: list[Row], as_of: datetime
) -> float | None:
    """What the people behind the account's events say."""
    active = {row["lead_id"] for row in within(events, as_of, compute.days)}
    if isinstance(compute, DistinctCount):
        return float(len({primary(tables, each, as_of) for each in active}))
    told = [lead_now(tables, each, as_of)["seniority"] for each in active]
    return max((float(RANKS.index(each) + 1) for each in told if each in RANKS), default=None)


def event_value(  # noqa: PLR0911 - one return a kind of feature
    feature: Feature, events: list[Row], as_of: datetime, timezone: str
) -> float | str | None:
    compute = feature.compute
    if isinstance(compute, Visits):
        return float(sum(as_of - timedelta(days=compute.days) <= start for start in visit_starts(events)))
    if isinstance(compute, Touch):
        return touched(events, compute.which)
    if isinstance(compute, Decayed):
        recent = within(of_types(events, compute.types), as_of, compute.days)
        return sum(weight(as_of - row["occurred_at"], compute.half_life_days) for row in recent) / 1e6
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
    elif isinstance(compute, SalesResponse):
        found = sales_response(tables, compute.types, lead_id, as_of)
    else:
        events = events_of(tables, feature, lead_id, as_of)
        if events is None:
            found = None
        elif isinstance(compute, MostSenior) or (isinstance(compute, DistinctCount) and compute.column == "person_id"):
            found = people_value(compute, tables, events, as_of)
        else:
            found = event_value(feature, events, as_of, catalogue.timezone)
    return float(found) if isinstance(found, int) else found


def features(catalogue: Catalogue, tables: Tables, lead_id: str, as_of: datetime) -> dict[str, float | str | None]:
    """Every feature of one lead at one moment, by the book."""
    return {feature.name: value(catalogue, feature, tables, lead_id, as_of) for feature in catalogue.features}
