"""Which leads are the same person, from when to when: duplicates of one person are one lead.

A person's leads form an episode as long as each begins within `EPISODE_DAYS` of the one before and finds the person
still open; whoever comes back after an ending starts anew. A merge joins two leads from the moment it is known. The
earliest lead of such a group (by t0, then by creation) that is not merged away is its primary. All of it looks
backwards only: what becomes known later never changes which lead was the primary at an earlier moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from data.clock import DAY_US

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import duckdb

__all__ = [
    "EPISODE_DAYS",
    "LEAD_STARTS",
    "LEAD_VERSIONS",
    "PEOPLE",
    "TOUCHED_LEADS",
    "LeadStart",
    "Merge",
    "Outcome",
    "Stretch",
    "merges_in_effect",
    "prepare_people",
    "stretches",
]

EPISODE_DAYS = 180

# One row a version of a lead, in force in [usable_us, next_us): an attribute may be used once it has occurred and is
# known, and gives way as soon as a version that became known later may be used.
LEAD_VERSIONS = """
SELECT u.*, MIN(u.usable_us) OVER (PARTITION BY u.lead_id ORDER BY u.known_us
                                   ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS next_us
FROM (SELECT v.*, EPOCH_US(v.created_at) AS created_us, EPOCH_US(v.known_at) AS known_us,
             GREATEST(EPOCH_US(v.created_at), EPOCH_US(v.known_at)) AS usable_us
      FROM leads AS v) AS u
"""

# One row a lead: t0 is the later of its creation and of its first being known, the moment from which any version may be
# used. Versions that may only be used later cannot move it. Without a person id nobody knows of a duplicate: the lead
# is a person of its own, told by `alone_id`.
LEAD_STARTS = """
SELECT lead_id, person_id, CASE WHEN person_id IS NULL THEN lead_id END AS alone_id, created_us, usable_us AS t0_us
FROM (SELECT lead_id, person_id, created_us, usable_us, known_us,
             ROW_NUMBER() OVER (PARTITION BY lead_id ORDER BY usable_us, known_us) AS version
      FROM lead_versions) AS first_versions
WHERE version = 1
"""

# The leads whose groups depend on more than their starts: all leads of a person of whom one was merged, or had an
# outcome that was known when a later one began. Few, so that `stretches` may go through them one by one.
TOUCHED_LEADS = """
WITH merged AS (
    SELECT lead_id FROM merges UNION SELECT into_lead_id FROM merges),
ended AS (
    SELECT r.lead_id
    FROM (SELECT lead_id, MAX(t0_us) OVER (PARTITION BY person_id) AS last_us,
                 ROW_NUMBER() OVER (PARTITION BY person_id
                                    ORDER BY t0_us DESC, created_us DESC, lead_id DESC) AS from_last
          FROM lead_starts WHERE person_id IS NOT NULL) AS r
    JOIN outcomes AS o ON o.lead_id = r.lead_id AND EPOCH_US(o.known_at) <= r.last_us
    WHERE r.from_last > 1),
seeds AS (
    SELECT s.lead_id, s.person_id
    FROM lead_starts AS s JOIN (SELECT lead_id FROM merged UNION SELECT lead_id FROM ended) AS m
      ON m.lead_id = s.lead_id)
SELECT s.lead_id, s.person_id, s.created_us, s.t0_us
FROM lead_starts AS s JOIN (SELECT DISTINCT person_id FROM seeds) AS p ON p.person_id = s.person_id
UNION ALL
SELECT s.lead_id, s.person_id, s.created_us, s.t0_us
FROM lead_starts AS s JOIN seeds AS d ON d.lead_id = s.lead_id
WHERE s.person_id IS NULL
"""

# One row a stretch of time: in [from_us, until_us) the lead's events and outcomes speak for primary_id, for good where
# until_us is NULL; away_us is when the lead was merged into another one. Most leads have one row, from their t0 on.
PEOPLE = f"""
SELECT lead_id, primary_id, from_us, until_us, t0_us, created_us, away_us
FROM touched_people
UNION ALL
SELECT lead_id,
       FIRST_VALUE(lead_id) OVER (PARTITION BY person_id, alone_id, episode ORDER BY t0_us, created_us, lead_id),
       t0_us, CAST(NULL AS BIGINT), t0_us, created_us, CAST(NULL AS BIGINT)
FROM (SELECT lead_id, t0_us, created_us, person_id, alone_id,
             SUM(CASE WHEN gap_us IS NULL OR gap_us > {EPISODE_DAYS * DAY_US} THEN 1 ELSE 0 END)
                 OVER (PARTITION BY person_id, alone_id
                       ORDER BY t0_us, created_us, lead_id ROWS UNBOUNDED PRECEDING) AS episode
      FROM (SELECT s.lead_id, s.t0_us, s.created_us, s.person_id, s.alone_id,
                   s.t0_us - LAG(s.t0_us) OVER (PARTITION BY s.person_id, s.alone_id
                                                ORDER BY s.t0_us, s.created_us, s.lead_id) AS gap_us
            FROM lead_starts AS s LEFT JOIN touched_leads AS t ON t.lead_id = s.lead_id
            WHERE t.lead_id IS NULL) AS gaps) AS episodes
"""  # noqa: S608 - the only value is a constant of this module


class LeadStart(NamedTuple):
    """When a lead began, and whose it is; leads of a person are ordered as these are. Moments in microseconds UTC."""

    t0_us: int
    created_us: int
    lead_id: str
    person_id: str | None


class Outcome(NamedTuple):
    """What was said of a lead from `known_us` on, until the next outcome of it became known."""

    lead_id: str
    outcome: str
    reason: str | None
    closed_us: int
    known_us: int


class Merge(NamedTuple):
    """A lead that went up in another one."""

    lead_id: str
    into_lead_id: str
    occurred_us: int
    known_us: int


class Stretch(NamedTuple):
    """In `[from_us, until_us)` the lead speaks for `primary_id`; from `away_us` on it is merged away."""

    lead_id: str
    primary_id: str
    from_us: int
    until_us: int | None
    t0_us: int
    created_us: int
    away_us: int | None


def prepare_people(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables `lead_versions`, `lead_starts` and `people` from the warehouse's views.

    SQL alone decides about the mass of leads; the few touched ones go through `stretches`.
    """
    first = (("lead_versions", LEAD_VERSIONS), ("lead_starts", LEAD_STARTS), ("touched_leads", TOUCHED_LEADS))
    for name, query in first:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
    _put(connection, stretches(*_touched(connection)))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE people AS {PEOPLE}")
    connection.execute("DROP TABLE touched_leads; DROP TABLE touched_people")


def _touched(connection: duckdb.DuckDBPyConnection) -> tuple[list[LeadStart], list[Outcome], list[Merge]]:
    """Return what decides about the touched leads."""
    leads = connection.execute("SELECT t0_us, created_us, lead_id, person_id FROM touched_leads").fetchall()
    outcomes = connection.execute(
        "SELECT o.lead_id, o.outcome, o.reason, EPOCH_US(o.closed_at), EPOCH_US(o.known_at) "
        "FROM outcomes AS o JOIN touched_leads AS t ON t.lead_id = o.lead_id"
    ).fetchall()
    merges = connection.execute(
        "SELECT lead_id, into_lead_id, EPOCH_US(occurred_at), EPOCH_US(known_at) FROM merges"
    ).fetchall()
    return [LeadStart(*row) for row in leads], [Outcome(*row) for row in outcomes], [Merge(*row) for row in merges]


def _put(connection: duckdb.DuckDBPyConnection, found: list[Stretch]) -> None:
    """Make `touched_people`."""
    import pyarrow as pa

    columns = list(zip(*found, strict=True)) or [()] * len(Stretch._fields)
    kinds = (pa.string(), pa.string(), *[pa.int64()] * 5)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    connection.register("incoming_people", pa.table(arrays, names=list(Stretch._fields)))
    connection.execute("CREATE OR REPLACE TEMP TABLE touched_people AS SELECT * FROM incoming_people")
    connection.unregister("incoming_people")


def stretches(
    leads: Iterable[LeadStart], outcomes: Iterable[Outcome] = (), merges: Iterable[Merge] = ()
) -> list[Stretch]:
    """Return for whom each lead speaks from when to when, by going through the moments of change in order.

    Parameters
    ----------
    leads
        All leads of the persons in question, and those that a merge connects with them.
    outcomes
        Everything said of their outcomes, corrections included. An outcome counts from the moment it has happened
        and is known, until the next one of the lead is known; `open` takes back what was said before.
    merges
        A merge counts once it has happened, is known, and both leads have begun. One that names an unknown lead, or
        would close a circle, has no effect.

    Examples
    --------
    A lead of the same person after a loss starts anew, and a later merge joins the two.

    >>> leads = [LeadStart(0, 0, "a", "p"), LeadStart(9, 9, "b", "p")]
    >>> lost = [Outcome("a", "lost", "price", 4, 5)]
    >>> [(one.lead_id, one.primary_id) for one in stretches(leads, lost)]
    [('a', 'a'), ('b', 'b')]
    >>> [one[:4] for one in stretches(leads, lost, [Merge("a", "b", 20, 30)])]
    [('a', 'a', 0, 30), ('a', 'b', 30, None), ('b', 'b', 9, None)]
    """
    known = {lead.lead_id: lead for lead in leads}
    joins = _joins(merges_in_effect(known, merges), known)
    walk = _Walk()
    for change in sorted([*_endings(outcomes, known), *joins, *_starts(known)]):
        walk.take(change)
    return walk.stretches(known)


def merges_in_effect(known: Mapping[str, LeadStart], merges: Iterable[Merge]) -> list[tuple[int, Merge]]:
    """Return the merges that join leads, each with the moment from which it does, in microseconds UTC.

    Earlier ones go first, so that what becomes known later cannot undo them: of two that close a circle the later one
    has no effect.

    Examples
    --------
    >>> known = {name: LeadStart(0, 0, name, None) for name in "ab"}
    >>> circle = [Merge("b", "a", 7, 7), Merge("a", "b", 5, 6), Merge("a", "unknown", 1, 1)]
    >>> [(us, merge.lead_id) for us, merge in merges_in_effect(known, circle)]
    [(6, 'a')]
    """
    usable = sorted(
        (max(merge.occurred_us, merge.known_us, known[merge.lead_id].t0_us, known[merge.into_lead_id].t0_us), merge)
        for merge in set(merges)
        if merge.lead_id in known and merge.into_lead_id in known
    )
    into: dict[str, list[str]] = {}
    found = []
    for us, merge in usable:
        if merge.lead_id not in _reached(merge.into_lead_id, into):
            into.setdefault(merge.lead_id, []).append(merge.into_lead_id)
            found.append((us, merge))
    return found


def _reached(lead_id: str, into: Mapping[str, list[str]]) -> set[str]:
    """Return the lead and all those that it went up in."""
    found, left = {lead_id}, [lead_id]
    while left:
        new = [target for target in into.get(left.pop(), ()) if target not in found]
        found.update(new)
        left += new
    return found


class _Change(NamedTuple):
    """What happens at a moment. The order matters: endings, merges of older leads, then the leads that begin."""

    us: int
    rank: int
    start: tuple[int, str]  # (created_us, lead_id) of the lead that begins, so that a merge may follow it at once
    step: int
    lead: LeadStart
    into: str = ""
    ended: str = ""


_NO_START = (0, "")


def _endings(outcomes: Iterable[Outcome], known: Mapping[str, LeadStart]) -> Iterator[_Change]:
    """Yield when each lead came to be seen as ended, and when no longer."""
    said: dict[str, list[Outcome]] = {}
    for outcome in set(outcomes):
        if outcome.lead_id in known:
            said.setdefault(outcome.lead_id, []).append(outcome)
    for lead_id, rows in said.items():
        rows.sort(key=lambda row: (row.known_us, row.closed_us, row.outcome))
        ends = [*(row.known_us for row in rows[1:]), None]
        for row, next_us in zip(rows, ends, strict=True):
            us = max(row.known_us, row.closed_us)
            if row.outcome == "open" or (next_us is not None and us >= next_us):
                continue
            yield _Change(us, 1, _NO_START, 0, known[lead_id], ended=_kind(row))
            if next_us is not None:
                yield _Change(next_us, 0, _NO_START, 0, known[lead_id])


def _kind(row: Outcome) -> str:
    return "duplicate" if row.outcome == "lost" and (row.reason or "").lower() == "duplicate" else row.outcome


def _joins(merges: Iterable[tuple[int, Merge]], known: Mapping[str, LeadStart]) -> Iterator[_Change]:
    for us, merge in merges:
        lead = known[merge.lead_id]
        later = max(lead, known[merge.into_lead_id])
        if us > later.t0_us:
            yield _Change(us, 2, _NO_START, 0, lead, into=merge.into_lead_id)
        else:
            yield _Change(us, 3, (later.created_us, later.lead_id), 1, lead, into=merge.into_lead_id)


def _starts(known: Mapping[str, LeadStart]) -> Iterator[_Change]:
    for lead in known.values():
        yield _Change(lead.t0_us, 3, (lead.created_us, lead.lead_id), 0, lead)


@dataclass
class _Group:
    """Leads that are one person; `standing` counts those neither ended nor merged away."""

    members: list[LeadStart]
    primary: LeadStart
    won: int
    standing: int


@dataclass
class _Walk:
    """The groups as they stand at a moment, and the stretches that are over."""

    groups: dict[str, _Group] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    away: dict[str, int] = field(default_factory=dict)
    last: dict[str, LeadStart] = field(default_factory=dict)
    now: dict[str, tuple[str, int]] = field(default_factory=dict)
    over: list[tuple[str, str, int, int | None]] = field(default_factory=list)

    def take(self, change: _Change) -> None:
        if change.into:
            self._merge(change.us, change.lead.lead_id, change.into)
        elif change.rank == 3:
            self._begin(change.lead)
        else:
            self._end(change.lead.lead_id, change.ended)

    def _begin(self, lead: LeadStart) -> None:
        ended = self.ended.get(lead.lead_id, "")
        group = _Group([lead], lead, won=int(ended == "won"), standing=int(not ended))
        self.groups[lead.lead_id] = group
        if lead.person_id is not None:
            before = self.last.get(lead.person_id)
            if before and lead.t0_us - before.t0_us <= EPISODE_DAYS * DAY_US and self._is_open(before):
                group = self._join(self.groups[before.lead_id], group)
            self.last[lead.person_id] = lead
        self.now[lead.lead_id] = (group.primary.lead_id, lead.t0_us)

    def _is_open(self, lead: LeadStart) -> bool:
        """Tell whether a lead's group has no win, a primary that is not lost, and some lead without an end.

        `features.snapshots` closes pairs by the same notion.
        """
        group = self.groups[lead.lead_id]
        return not group.won and self.ended.get(group.primary.lead_id) != "lost" and group.standing > 0

    def _end(self, lead_id: str, ended: str) -> None:
        """Note what is believed of a lead from now on, nothing where `ended` is empty."""
        before, self.ended[lead_id] = self.ended.get(lead_id, ""), ended
        group = self.groups.get(lead_id)
        if group:
            group.won += (ended == "won") - (before == "won")
            if lead_id not in self.away:
                group.standing += (not ended) - (not before)

    def _merge(self, us: int, lead_id: str, into: str) -> None:
        one, other = self.groups[lead_id], self.groups[into]
        if lead_id not in self.away:
            self.away[lead_id] = us
            one.standing -= not self.ended.get(lead_id)
        sides = [one] if one is other else [one, other]
        primary = min(lead for side in sides for lead in self._candidates(side))
        for side in sides:
            if side.primary != primary:
                self._rename(side, primary, us)
        if one is not other:
            self._join(one, other)

    def _candidates(self, group: _Group) -> list[LeadStart]:
        """Return the first lead of a group that is not merged away; all members are looked at only if need be."""
        if group.primary.lead_id not in self.away:
            return [group.primary]
        return [lead for lead in group.members if lead.lead_id not in self.away]

    def _rename(self, group: _Group, primary: LeadStart, us: int) -> None:
        group.primary = primary
        for lead in group.members:
            told, from_us = self.now[lead.lead_id]
            if from_us < us:
                self.over.append((lead.lead_id, told, from_us, us))
            self.now[lead.lead_id] = (primary.lead_id, us)

    def _join(self, one: _Group, other: _Group) -> _Group:
        """Put the smaller group into the larger one."""
        small, large = sorted((one, other), key=lambda group: len(group.members))
        large.primary = min(one.primary, other.primary)
        large.won += small.won
        large.standing += small.standing
        large.members += small.members
        for lead in small.members:
            self.groups[lead.lead_id] = large
        return large

    def stretches(self, known: Mapping[str, LeadStart]) -> list[Stretch]:
        rows = [*self.over, *((lead_id, primary_id, us, None) for lead_id, (primary_id, us) in self.now.items())]
        return [
            Stretch(*row, known[row[0]].t0_us, known[row[0]].created_us, self.away.get(row[0]))
            for row in sorted(rows, key=lambda row: (row[0], row[2]))
        ]
