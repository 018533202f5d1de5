"""The event features in SQL: one narrow table of the recent events of each row, then one pass for each kind of count.

Events are read twice: those that lie in some window in full, all of them only for what looks back for ever (the last of
each type, the first and the last touch). Types become small numbers once, as comparing texts for each of fifty counts
costs more than all the counting.
"""
# ruff: noqa: S608 - names of the contract, numbers, and quoted literals are put into the SQL

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from data.clock import DAY_US, from_us
from features.days import DAY_SHIFT_US, offsets_around
from features.definitions import (
    LARGEST_MEASURE,
    MOST_CHANNELS,
    OLDEST_TOUCH_US,
    SENIORITY_RANKS,
    VISIT_GAP_US,
    Catalogue,
    Decayed,
    DistinctCount,
    EventCount,
    Feature,
    MostSenior,
    Recency,
    Total,
    Touch,
    Trend,
    Visits,
    decay_weights,
)
from features.sql_text import Step, literal, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["ACTIONS", "MEMBERS", "event_steps"]

_RANK = " ".join(f"WHEN '{name}' THEN {rank}" for name, rank in SENIORITY_RANKS.items())

# Whose events speak for a row. A lead's: those of its duplicates from the moment they are known to be one person. An
# account's: those of its other leads, as the account stood then; the person's own duplicates are not others. Its leads
# come first, its people after: in one query DuckDB joins every row with every person where few rows share a moment.
MEMBERS: Mapping[str, str] = {
    "lead": """
SELECT s.row_id, s.as_of_us, p.lead_id
FROM spine AS s
JOIN people AS p
  ON p.primary_id = s.lead_id AND p.from_us <= s.as_of_us AND (p.until_us IS NULL OR p.until_us > s.as_of_us)
""",
    "account_leads": """
SELECT l.row_id, l.as_of_us, l.lead_id AS own_id, v.lead_id, v.seniority
FROM lead_now AS l
JOIN lead_versions AS v
  ON v.account_id = l.account_id AND v.usable_us <= l.as_of_us AND (v.next_us IS NULL OR v.next_us > l.as_of_us)
""",
    "account": f"""
SELECT v.row_id, v.as_of_us, v.lead_id, p.primary_id AS person_id, CASE v.seniority {_RANK} END AS seniority_rank
FROM account_leads AS v
JOIN people AS p
  ON p.lead_id = v.lead_id AND p.from_us <= v.as_of_us AND (p.until_us IS NULL OR p.until_us > v.as_of_us)
 AND p.primary_id <> v.own_id
""",
}

ACTIONS = """
SELECT m.row_id, c.type, EPOCH_US(c.occurred_at) AS occurred_us
FROM lead_members AS m
JOIN actions AS c
  ON c.lead_id = m.lead_id AND EPOCH_US(c.occurred_at) < m.as_of_us AND EPOCH_US(c.known_at) <= m.as_of_us
"""

# The oldest event is the first touch, the youngest the last; of equally old ones the channel first in the alphabet.
_TOUCHED = {
    "first": f"MAX(touch_age_us * {MOST_CHANNELS} + {MOST_CHANNELS - 1} - channel)",
    "last": f"MIN(touch_age_us * {MOST_CHANNELS} + channel)",
}

_Scope = Literal["lead", "account"]
_OCCURRED = "EPOCH_US(e.occurred_at)"
_AGE = f"(m.as_of_us - {_OCCURRED})"


def event_steps(catalogue: Catalogue, scope: _Scope, as_of_range_us: tuple[int, int]) -> Iterator[Step]:
    """Yield the steps that end in tables `<scope>_..._values` with one row for each row that has such events."""
    wanted = [
        feature
        for feature in catalogue.features
        if feature.needs in {"events", "account_events"} and getattr(feature.compute, "scope", "lead") == scope
    ]
    computes = [feature.compute for feature in wanted]
    reach_us = max((getattr(compute, "days", 30) for compute in computes), default=30) * DAY_US
    source = _Source(catalogue, scope, _codes(wanted), as_of_range_us, reach_us)
    if any(isinstance(compute, Touch) for compute in computes):
        yield source.channels()
    ever = [feature for feature in wanted if isinstance(feature.compute, Recency | Touch)]
    if ever:
        yield source.ever(ever)
    *steps, last = _recent_steps(source, wanted)
    yield from steps
    yield Step(last.name, last.query, last_use_of=(f"{scope}_recent",))


def _recent_steps(source: _Source, wanted: list[Feature]) -> Iterator[Step]:
    computes = [feature.compute for feature in wanted]
    yield source.recent(wanted)
    yield from _plain(source, wanted)
    distinct: dict[str, dict[int, None]] = {}
    for compute in computes:
        if isinstance(compute, DistinctCount):
            distinct.setdefault(compute.column, {})[compute.days] = None
    for column, windows in distinct.items():
        yield _distinct(source.scope, column, windows)
    windows = dict.fromkeys(compute.days for compute in computes if isinstance(compute, Visits))
    if windows:
        yield _visits(source.scope, windows)


def _codes(wanted: Iterable[Feature]) -> dict[str, int]:
    """Return a number for each event type that a feature names; all others are 0."""
    types = {event_type for feature in wanted for event_type in getattr(feature.compute, "types", ())}
    return {event_type: code for code, event_type in enumerate(sorted(types), start=1)}


class _Source:
    """How the events of one scope are read from the warehouse."""

    def __init__(
        self,
        catalogue: Catalogue,
        scope: _Scope,
        codes: Mapping[str, int],
        as_of_range_us: tuple[int, int],
        reach_us: int,
    ) -> None:
        self.scope = scope
        self.codes = codes
        self.reach_us = reach_us
        self._low_us, self._high_us = as_of_range_us
        # A visit that began within the window may go on from an event just before it.
        self._recent_us = reach_us + VISIT_GAP_US
        # Days before every window are counted by no feature, so that their offsets need not be known.
        self._day = _local_day(catalogue.timezone, (self._low_us - reach_us, self._high_us))

    @property
    def type_code(self) -> str:
        """SQL for the number of an event's type."""
        if not self.codes:
            return "0"
        cases = " ".join(f"WHEN {literal(event_type)} THEN {code}" for event_type, code in self.codes.items())
        return f"CASE e.type {cases} ELSE 0 END"

    def recent(self, wanted: Iterable[Feature]) -> Step:
        """Return the events that some window may hold, with just the columns that are read."""
        computes = [feature.compute for feature in wanted]
        columns = {"code": self.type_code}
        columns |= {f"thousandths_{c.column}": _thousandths(c.column) for c in computes if isinstance(c, Total)}
        for compute in computes:
            if isinstance(compute, DistinctCount):
                columns[f"d_{compute.column}"] = self._counted(compute.column)
            elif isinstance(compute, MostSenior):
                columns["seniority_rank"] = "m.seniority_rank"
            elif isinstance(compute, Decayed):
                columns["age_day"] = f"CAST(({_AGE} - {_AGE} % {DAY_US}) / {DAY_US} AS BIGINT)"
        listed = "".join(f", {sql} AS {name}" for name, sql in columns.items())
        within = f" AND {_OCCURRED} >= m.as_of_us - {self._recent_us}"
        return Step(
            f"{self.scope}_recent",
            f"SELECT m.row_id, {_AGE} AS age_us, {_OCCURRED} AS occurred_us{listed}\n"
            f"{self._joined(within)}WHERE e.occurred_at < {_moment(self._high_us)}"
            f" AND e.occurred_at >= {_moment(self._low_us - self._recent_us)}",
        )

    def _counted(self, column: str) -> str:
        return {"day": self._day, "person_id": "m.person_id"}.get(column, f"e.{column}")

    def _joined(self, condition: str = "") -> str:
        """Return the visible events of each row; the fixed bounds tell the reader which files and blocks to skip."""
        return (
            f"FROM {self.scope}_members AS m\nJOIN events AS e\n"
            f"  ON e.lead_id = m.lead_id AND {_OCCURRED} < m.as_of_us"
            f" AND EPOCH_US(e.known_at) <= m.as_of_us{condition}\n"
        )

    def channels(self) -> Step:
        """Return a number for each channel that some row may know: later ones must not even change the numbers."""
        high = _moment(self._high_us)
        known = f"e.channel IS NOT NULL AND e.occurred_at < {high} AND e.known_at <= {high}"
        return Step(
            f"{self.scope}_channels",
            "SELECT channel, ROW_NUMBER() OVER (ORDER BY channel) - 1 AS number\n"
            f"FROM (SELECT DISTINCT e.channel FROM events AS e WHERE {known}) AS channels",
        )

    def ever(self, wanted: Iterable[Feature]) -> Step:
        """Return what looks back for ever: the last event of each feature's types, the first and the last touch."""
        columns = {}
        for feature in wanted:
            compute = feature.compute
            if isinstance(compute, Recency):
                columns[feature.name] = f"MAX(CASE WHEN {self.of_types(compute.types)} THEN occurred_us END)"
            elif isinstance(compute, Touch):
                columns[f"{compute.which}_touch"] = _TOUCHED[compute.which]
        listed = "".join(f",\n  {sql} AS {quoted(name)}" for name, sql in columns.items())
        read, channels = "", ""
        if any(isinstance(feature.compute, Touch) for feature in wanted):
            read = (
                f",\n      CASE WHEN {_AGE} < {OLDEST_TOUCH_US} THEN {_AGE} ELSE {OLDEST_TOUCH_US} END AS touch_age_us"
            )
            read += ", c.number AS channel"
            channels = f"LEFT JOIN {self.scope}_channels AS c ON c.channel = e.channel\n"
        inner = (
            f"SELECT m.row_id, {_OCCURRED} AS occurred_us, {self.type_code} AS code{read}\n"
            f"{self._joined()}{channels}WHERE e.occurred_at < {_moment(self._high_us)}"
        )
        return Step(f"{self.scope}_ever_values", f"SELECT row_id{listed}\nFROM ({inner}) AS ever\nGROUP BY row_id")

    def of_types(self, types: tuple[str, ...]) -> str:
        """Return the condition that an event is of one of the types (any, if empty)."""
        numbers = ", ".join(str(self.codes[event_type]) for event_type in types)
        return f"code IN ({numbers})" if types else "TRUE"


def _plain(source: _Source, wanted: Iterable[Feature]) -> Iterator[Step]:
    """Yield the table of all counts, sums and maxima that need no grouping of their own."""
    columns: dict[str, str] = {}
    tables: dict[str, str] = {}
    for feature in wanted:
        columns |= _atoms(source, feature, tables)
    if not columns:
        return
    listed = "".join(f",\n  {sql} AS {quoted(name)}" for name, sql in columns.items())
    joins = "".join(f"\nLEFT JOIN {table} ON {name}.age_day = r.age_day" for name, table in tables.items())
    yield Step(
        f"{source.scope}_plain_values",
        f"SELECT r.row_id{listed}\nFROM {source.scope}_recent AS r{joins}\nGROUP BY r.row_id",
    )


def _atoms(source: _Source, feature: Feature, tables: dict[str, str]) -> dict[str, str]:
    """Return the integer aggregates that a feature is made of; note the tables of weights that they need."""
    compute, name = feature.compute, feature.name
    if isinstance(compute, EventCount):
        return {name: _count(source.of_types(compute.types), compute.days)}
    if isinstance(compute, Trend):
        chosen = source.of_types(compute.types)
        return {f"{name}_short": _count(chosen, 7), f"{name}_long": _count(chosen, 30)}
    if isinstance(compute, Total):
        return {name: _sum(_within(compute.days), f"thousandths_{compute.column}")}
    if isinstance(compute, MostSenior):
        return {name: f"MAX(CASE WHEN {_within(compute.days)} THEN seniority_rank END)"}
    if isinstance(compute, Decayed):
        table = f"decay_{compute.half_life_days}_{compute.days}"
        weights = enumerate(decay_weights(compute.half_life_days, compute.days))
        tables[table] = (
            f"(VALUES {', '.join(f'({age}, {weight})' for age, weight in weights)}) AS {table}(age_day, weight)"
        )
        chosen = f"{source.of_types(compute.types)} AND {_within(compute.days)}"
        return {name: _sum(chosen, f"{table}.weight")}
    return {}


def _within(days: int) -> str:
    return f"age_us <= {days * DAY_US}"


def _count(condition: str, days: int) -> str:
    return f"COUNT(CASE WHEN {condition} AND {_within(days)} THEN 1 END)"


def _sum(condition: str, value: str) -> str:
    # DuckDB adds in 128 bits, and its way from there to double does not round to the nearest.
    return f"CAST(SUM(CASE WHEN {condition} THEN {value} END) AS BIGINT)"


def _thousandths(column: str) -> str:
    whole = f"CAST(FLOOR(e.{column} * 1000 + 0.5) AS BIGINT)"
    return f"CASE WHEN ABS(e.{column}) < {LARGEST_MEASURE!r} THEN {whole} END"


def _distinct(scope: str, column: str, windows: Iterable[int]) -> Step:
    """Return the distinct counts of a column in two levels: the age of each value's latest event, then the counts.

    A window that ends at `as_of` holds exactly the values whose latest event lies in it, for all windows in one pass.
    """
    counts = "".join(
        f",\n  COUNT(CASE WHEN {_within(days)} THEN 1 END) AS {quoted(f'{scope}_{column}_{days}')}" for days in windows
    )
    latest = (
        f"SELECT row_id, d_{column}, MIN(age_us) AS age_us\n"
        f"      FROM {scope}_recent WHERE d_{column} IS NOT NULL GROUP BY row_id, d_{column}"
    )
    return Step(f"{scope}_{column}_values", f"SELECT row_id{counts}\nFROM ({latest}) AS latest\nGROUP BY row_id")


def _visits(scope: str, windows: Iterable[int]) -> Step:
    """Return the visits begun in each window; first by half hours, within which no silence can end a visit."""
    shifted = f"(occurred_us + {DAY_SHIFT_US})"
    slots = (
        f"SELECT row_id, {shifted} - {shifted} % {VISIT_GAP_US} AS slot,\n"
        f"             MAX(age_us) AS from_age, MIN(age_us) AS to_age\n      FROM {scope}_recent GROUP BY row_id, slot"
    )
    follows = (
        "SELECT row_id, from_age, LAG(to_age) OVER (PARTITION BY row_id ORDER BY slot) - from_age AS silence_us\n"
        f"FROM ({slots}) AS slots"
    )
    counts = "".join(
        f",\n  COUNT(CASE WHEN (silence_us IS NULL OR silence_us > {VISIT_GAP_US})"
        f" AND from_age <= {days * DAY_US} THEN 1 END) AS visits_{days}"
        for days in windows
    )
    return Step(f"{scope}_visit_values", f"SELECT row_id{counts}\nFROM ({follows}) AS follows\nGROUP BY row_id")


def _moment(us: int) -> str:
    return f"CAST({literal(from_us(us).isoformat())} AS TIMESTAMPTZ)"


def _local_day(timezone: str, range_us: tuple[int, int]) -> str:
    """Return SQL for the number of an event's local day; the newest offsets are asked for first."""
    table = offsets_around(timezone, *range_us)
    shift = str(table[0][1])
    if len(table) > 1:
        cases = " ".join(f"WHEN {_OCCURRED} >= {start} THEN {offset}" for start, offset in reversed(table[1:]))
        shift = f"CASE {cases} ELSE {table[0][1]} END"
    shifted = f"({_OCCURRED} + {DAY_SHIFT_US} + {shift})"
    return f"({shifted} - {shifted} % {DAY_US}) / {DAY_US}"
