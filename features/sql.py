"""The catalogue over the warehouse: compiled to a restricted SQL subset and run on DuckDB.

The subset (joins with inequality, COUNT, SUM over integers, MIN, MAX, ROW_NUMBER, LAG, LEAD, CASE, integer
microseconds) means the same in other engines. Every aggregate is an integer; each feature ends in at most one division
of doubles, so that the three evaluators agree to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.clock import DAY_US
from features.days import DAY_SHIFT_US, offsets_around
from features.definitions import (
    LARGEST_MEASURE,
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
from features.people import LEAD_STARTS, LEAD_VERSIONS, PEOPLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb
    import pyarrow as pa

__all__ = ["Step", "compile_features", "compute_features", "only_row", "prepare_people"]


@dataclass(frozen=True)
class Step:
    """One named intermediate table and the query that makes it."""

    name: str
    query: str


def prepare_people(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables `lead_versions`, `lead_starts` and `people` from the warehouse's views."""
    for step in (Step("lead_versions", LEAD_VERSIONS), Step("lead_starts", LEAD_STARTS), Step("people", PEOPLE)):
        _run(connection, step)


def compute_features(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> pa.Table:
    """Return one row of features for each row of the table `spine`, in the order of `row_id`.

    Parameters
    ----------
    connection
        With the warehouse's views, the tables of `prepare_people`, and `spine(row_id, lead_id, as_of_us)` where
        `lead_id` is the primary lead of a person.
    catalogue
        What to compute.

    Returns
    -------
    pyarrow.Table
        `row_id`, `lead_id`, `as_of_us`, then one column a feature: double with null as missing, or string.
    """
    low, high = only_row(connection, "SELECT MIN(as_of_us), MAX(as_of_us) FROM spine")
    *steps, last = compile_features(catalogue, (low or 0, high or 0))
    for step in steps:
        _run(connection, step)
    table = connection.sql(last.query).to_arrow_table()
    for step in steps:
        connection.execute(f"DROP TABLE {step.name}")
    return table


def only_row(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, object] | None = None
) -> tuple[Any, ...]:
    """Return the one row of an aggregate query.

    All rows are fetched: after `fetchone` DuckDB holds the result open and refuses other work on the connection.
    """
    (row,) = connection.execute(query, dict(parameters or {})).fetchall()
    return tuple(row)


def _run(connection: duckdb.DuckDBPyConnection, step: Step) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {step.name} AS {step.query}")


def compile_features(catalogue: Catalogue, as_of_range_us: tuple[int, int]) -> tuple[Step, ...]:
    """Return the steps whose last one is the feature table; the range of `as_of` bounds the zone's offsets."""
    scopes = {getattr(f.compute, "scope", "lead") for f in catalogue.features if _reads_events(f)}
    low, high = as_of_range_us
    # Days before every window are counted by no feature, so that their offsets need not be known.
    day = _local_day(catalogue.timezone, (low - catalogue.longest_window_days * DAY_US, high))
    steps = [Step("lead_now", _LEAD_NOW), Step("account_now", _ACCOUNT_NOW)]
    if "lead" in scopes:
        steps.append(Step("lead_events", _LEAD_EVENTS))
        steps += _aggregates(catalogue, "lead", day)
    if "account" in scopes:
        steps += [Step("members", _MEMBERS), Step("account_events", _ACCOUNT_EVENTS)]
        steps += _aggregates(catalogue, "account", day)
    values = [step.name for step in steps if step.name.endswith("_values")]
    joins = "".join(f"\nLEFT JOIN {name} ON {name}.row_id = s.row_id" for name in values)
    columns = "".join(f",\n  {_finish(feature)} AS {_quote(feature.name)}" for feature in catalogue.features)
    query = (
        f"SELECT s.row_id, s.lead_id, s.as_of_us{columns}\nFROM spine AS s\n"
        "LEFT JOIN lead_now AS l ON l.row_id = s.row_id\n"
        f"LEFT JOIN account_now AS a ON a.row_id = s.row_id{joins}\nORDER BY s.row_id"
    )
    return (*steps, Step("features", query))


_LEAD_NOW = """
SELECT s.row_id, s.as_of_us, v.*
FROM spine AS s
JOIN lead_versions AS v
  ON v.lead_id = s.lead_id AND v.usable_us <= s.as_of_us AND (v.next_us IS NULL OR v.next_us > s.as_of_us)
"""

_ACCOUNT_NOW = """
SELECT l.row_id, a.*
FROM lead_now AS l
JOIN (SELECT c.*, EPOCH_US(c.known_at) AS known_us,
             LEAD(EPOCH_US(c.known_at)) OVER (PARTITION BY c.account_id ORDER BY c.known_at) AS next_us
      FROM accounts AS c) AS a
  ON a.account_id = l.account_id AND a.known_us <= l.as_of_us AND (a.next_us IS NULL OR a.next_us > l.as_of_us)
"""

# An event of a duplicate counts for the primary from the moment the two are known to be one.
_LEAD_EVENTS = """
SELECT s.row_id, s.as_of_us, e.type, e.content_id, e.duration_s, e.value, e.lead_id,
       EPOCH_US(e.occurred_at) AS occurred_us
FROM spine AS s
JOIN people AS p ON p.primary_id = s.lead_id AND p.t0_us <= s.as_of_us
JOIN events AS e
  ON e.lead_id = p.lead_id AND EPOCH_US(e.occurred_at) < s.as_of_us AND EPOCH_US(e.known_at) <= s.as_of_us
"""

# The account's other leads, as the account stood at that moment; the person's own duplicates are not others.
_MEMBERS = """
SELECT l.row_id, l.as_of_us, v.lead_id
FROM lead_now AS l
JOIN lead_versions AS v
  ON v.account_id = l.account_id AND v.usable_us <= l.as_of_us AND (v.next_us IS NULL OR v.next_us > l.as_of_us)
JOIN people AS p ON p.lead_id = v.lead_id AND p.primary_id <> l.lead_id
"""

_ACCOUNT_EVENTS = """
SELECT m.row_id, m.as_of_us, e.type, e.content_id, e.duration_s, e.value, e.lead_id,
       EPOCH_US(e.occurred_at) AS occurred_us
FROM members AS m
JOIN events AS e
  ON e.lead_id = m.lead_id AND EPOCH_US(e.occurred_at) < m.as_of_us AND EPOCH_US(e.known_at) <= m.as_of_us
"""


def _reads_events(feature: Feature) -> bool:
    return feature.needs in {"events", "account_events"}


def _aggregates(catalogue: Catalogue, scope: str, day: str) -> Iterator[Step]:
    """Yield one table of plain aggregates, and one for each column that is counted distinctly.

    Distinct counts go in two levels: the latest time of each value first; a window that ends at `as_of` then holds
    exactly the values whose latest time lies in it, for all windows in one pass.
    """
    wanted = [f for f in catalogue.features if _reads_events(f) and getattr(f.compute, "scope", "lead") == scope]
    plain = dict(item for f in wanted for item in _atoms(f))
    if plain:
        columns = "".join(f",\n  {sql} AS {_quote(name)}" for name, sql in plain.items())
        yield Step(f"{scope}_plain_values", f"SELECT row_id{columns}\nFROM {scope}_events GROUP BY row_id")
    distinct: dict[str, dict[int, None]] = {}
    for feature in wanted:
        if isinstance(feature.compute, DistinctCount):
            distinct.setdefault(feature.compute.column, {})[feature.compute.days] = None
    for column, windows in distinct.items():
        value = day if column == "day" else column
        counts = "".join(
            f",\n  COUNT(CASE WHEN last_us >= as_of_us - {days * DAY_US} THEN 1 END)"
            f" AS {_quote(f'{scope}_{column}_{days}')}"
            for days in windows
        )
        latest = (
            f"SELECT row_id, as_of_us, {value} AS counted, MAX(occurred_us) AS last_us\n"  # noqa: S608 - see above
            f"      FROM {scope}_events WHERE {value} IS NOT NULL GROUP BY row_id, as_of_us, counted"
        )
        yield Step(f"{scope}_{column}_values", f"SELECT row_id{counts}\nFROM ({latest}) AS latest\nGROUP BY row_id")


def _atoms(feature: Feature) -> Iterator[tuple[str, str]]:
    """Yield the integer aggregates that a feature is made of: name and SQL."""
    compute = feature.compute
    if isinstance(compute, EventCount):
        yield feature.name, _count(compute.types, compute.days)
    elif isinstance(compute, Recency):
        yield feature.name, f"MAX(CASE WHEN {_of_types(compute.types)} THEN occurred_us END)"
    elif isinstance(compute, Trend):
        yield f"{feature.name}_short", _count(compute.types, 7)
        yield f"{feature.name}_long", _count(compute.types, 30)
    elif isinstance(compute, Total):
        thousandths = f"CAST(FLOOR({compute.column} * 1000 + 0.5) AS BIGINT)"
        within = f"occurred_us >= as_of_us - {compute.days * DAY_US} AND ABS({compute.column}) < {LARGEST_MEASURE!r}"
        # DuckDB adds in 128 bits, and its way from there to double does not round to the nearest.
        yield feature.name, f"CAST(SUM(CASE WHEN {within} THEN {thousandths} ELSE 0 END) AS BIGINT)"


def _count(types: tuple[str, ...], days: int) -> str:
    return f"COUNT(CASE WHEN {_of_types(types)} AND occurred_us >= as_of_us - {days * DAY_US} THEN 1 END)"


def _of_types(types: tuple[str, ...]) -> str:
    return f"type IN ({', '.join(_literal(t) for t in types)})" if types else "TRUE"


def _finish(feature: Feature) -> str:
    """Return the SQL that turns attributes and atoms into the feature."""
    compute = feature.compute
    if isinstance(compute, LeadAttribute):
        return _attribute("l", compute.column, numeric=feature.kind == "numeric")
    if isinstance(compute, AccountAttribute):
        return _attribute("a", compute.column, numeric=feature.kind == "numeric")
    if isinstance(compute, Filled):
        return f"CAST(CASE WHEN l.{_quote(compute.column)} IS NULL THEN 0 ELSE 1 END AS DOUBLE)"
    if isinstance(compute, LeadAge):
        return f"CAST(s.as_of_us - l.created_us AS DOUBLE) / {DAY_US}.0"
    return _finish_events(feature)


def _finish_events(feature: Feature) -> str:
    compute = feature.compute
    scope = getattr(compute, "scope", "lead")
    plain = f"{scope}_plain_values."
    if isinstance(compute, Recency):
        value = f"CAST(s.as_of_us - {plain}{_quote(feature.name)} AS DOUBLE) / {DAY_US}.0"
    elif isinstance(compute, Trend):
        short, long = (f"COALESCE({plain}{_quote(f'{feature.name}_{part}')}, 0)" for part in ("short", "long"))
        value = f"CAST(30 * {short} - 7 * {long} AS DOUBLE) / 210.0"
    elif isinstance(compute, Total):
        value = f"CAST(COALESCE({plain}{_quote(feature.name)}, 0) AS DOUBLE) / 1000.0"
    elif isinstance(compute, DistinctCount):
        name = _quote(f"{scope}_{compute.column}_{compute.days}")
        value = f"CAST(COALESCE({scope}_{compute.column}_values.{name}, 0) AS DOUBLE)"
    else:
        value = f"CAST(COALESCE({plain}{_quote(feature.name)}, 0) AS DOUBLE)"
    # Without an account nobody can say what its other leads did: unknown, not none.
    return f"CASE WHEN l.account_id IS NULL THEN NULL ELSE {value} END" if scope == "account" else value


def _attribute(alias: str, column: str, *, numeric: bool) -> str:
    return f"CAST({alias}.{_quote(column)} AS {'DOUBLE' if numeric else 'VARCHAR'})"


def _local_day(timezone: str, range_us: tuple[int, int]) -> str:
    """Return SQL for the number of the local day of `occurred_us`; the newest offsets are asked for first."""
    table = offsets_around(timezone, *range_us)
    shift = str(table[0][1])
    if len(table) > 1:
        cases = " ".join(f"WHEN occurred_us >= {start} THEN {offset}" for start, offset in reversed(table[1:]))
        shift = f"CASE {cases} ELSE {table[0][1]} END"
    shifted = f"(occurred_us + {DAY_SHIFT_US} + {shift})"
    return f"({shifted} - {shifted} % {DAY_US}) / {DAY_US}"


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
