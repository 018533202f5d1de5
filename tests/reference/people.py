"""Which leads are one person at a moment, said as plainly as Python can: nothing is shared with `features.people`.

Every question is answered from the start, by asking who was known then, which of them were linked, and who is reached
through the links. Rows are dicts of the canonical tables with datetimes in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]
Tables = dict[str, list[Row]]
Links = set[tuple[str, str]]


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


def order(tables: Tables, lead_id: str) -> tuple[datetime, datetime, str]:
    return t0(tables, lead_id), first_version(tables, lead_id)["created_at"], lead_id


def believed_outcome(tables: Tables, lead_id: str, known_by: datetime) -> Row | None:
    """What was last said of the lead; nothing if that was that it is open again."""
    known = [row for row in tables["outcomes"] if row["lead_id"] == lead_id and row["known_at"] <= known_by]
    last = max(known, key=lambda row: row["known_at"]) if known else None
    return None if last is None or last["outcome"] == "open" else last


def has_ended(tables: Tables, lead_id: str, known_by: datetime, as_of: datetime) -> Row | None:
    outcome = believed_outcome(tables, lead_id, known_by)
    return outcome if outcome is not None and outcome["closed_at"] <= as_of else None


def merges_by(tables: Tables, moment: datetime) -> Links:
    """The merges in force: whoever went up in whom. One that would lead back to where it began has no effect."""
    begun = known_leads(tables, moment)
    usable = [
        (max(row["occurred_at"], row["known_at"], t0(tables, lead), t0(tables, into)), lead, into)
        for row in tables["merges"]
        for lead, into in [(row["lead_id"], row["into_lead_id"])]
        if lead in begun and into in begun
    ]
    found: Links = set()
    for when, lead, into in sorted(usable):
        if when <= moment and lead not in downstream(into, found):
            found.add((lead, into))
    return found


def downstream(lead_id: str, merges: Links) -> set[str]:
    reached = {lead_id}
    for _ in merges:
        reached |= {into for lead, into in merges if lead in reached}
    return reached


def connected(lead_id: str, leads: list[str], links: Links) -> list[str]:
    reached = {lead_id}
    for _ in leads:
        reached |= {b for a, b in links if a in reached and b in leads}
        reached |= {a for a, b in links if b in reached and a in leads}
    return [each for each in leads if each in reached]


def primary_first(group: list[str], merges: Links) -> list[str]:
    """The group in order; before all others the first that is not merged away."""
    away = {lead for lead, into in merges if into in group}
    return sorted(group, key=lambda each: each in away)


def is_over(tables: Tables, group: list[str], merges: Links, moment: datetime) -> bool:
    """Whether nothing is left to predict for the person: a win, the loss of the primary, or the end of all leads."""
    endings = {each: has_ended(tables, each, moment, moment) for each in group}
    if any(ending is not None and ending["outcome"] == "won" for ending in endings.values()):
        return True
    own = endings[primary_first(group, merges)[0]]
    if own is not None and (own["reason"] or "").lower() != "duplicate":
        return True
    away = {lead for lead, into in merges if into in group}
    return all(endings[each] is not None for each in group if each not in away)


def episodes(tables: Tables) -> Links:
    """For each lead the one before it of the same person, if it carries on what that one began."""
    leads = sorted({row["lead_id"] for row in tables["leads"]}, key=lambda each: order(tables, each))
    links: Links = set()
    for number, lead_id in enumerate(leads):
        start, before = t0(tables, lead_id), leads[:number]
        person = first_version(tables, lead_id)["person_id"]
        same = [each for each in before if person is not None and first_version(tables, each)["person_id"] == person]
        if not same or start - t0(tables, same[-1]) > timedelta(days=180):
            continue
        merges = {(lead, into) for lead, into in merges_by(tables, start) if lead in before and into in before}
        if not is_over(tables, connected(same[-1], before, links | merges), merges, start):
            links.add((lead_id, same[-1]))
    return links


@dataclass
class _Remembered:
    """What was already answered of some rows: every feature of every pair asks the same again."""

    rows: list[list[Row]]
    size: int
    links: Links
    answers: dict[tuple[str, datetime], list[str]] = field(default_factory=dict)

    def of(self, rows: list[list[Row]]) -> bool:
        return self.size == sum(map(len, rows)) and all(a is b for a, b in zip(rows, self.rows, strict=True))


_last: list[_Remembered] = []


def same_person(tables: Tables, lead_id: str, as_of: datetime) -> list[str]:
    """The leads that are one person with the lead, as known at a moment, the primary first."""
    rows = [tables[name] for name in ("leads", "outcomes", "merges")]
    if not _last or not _last[0].of(rows):
        _last[:] = [_Remembered(rows, sum(map(len, rows)), episodes(tables))]
    answers = _last[0].answers
    if (lead_id, as_of) not in answers:
        leads = sorted(known_leads(tables, as_of), key=lambda each: order(tables, each))
        merges = merges_by(tables, as_of)
        answers[lead_id, as_of] = primary_first(connected(lead_id, leads, _last[0].links | merges), merges)
    return answers[lead_id, as_of]


def merged_away(tables: Tables, as_of: datetime) -> set[str]:
    """The leads that had gone up in others."""
    return {lead for lead, _ in merges_by(tables, as_of)}


def primary(tables: Tables, lead_id: str, as_of: datetime) -> str:
    return same_person(tables, lead_id, as_of)[0]
