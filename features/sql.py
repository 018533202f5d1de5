"""The catalogue over the warehouse: compiled to a restricted SQL subset and run on DuckDB.

The subset (joins with inequality, COUNT, SUM over integers, MIN, MAX, ROW_NUMBER, LAG, LEAD, CASE, integer
microseconds) means the same in other engines. Every aggregate is an integer; each feature ends in at most one division
of doubles, so that the evaluators agree to the last bit.
"""
# ruff: noqa: S608 - names of the contract, numbers and quoted names are put into the SQL

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from data.clock import DAY_US, HOUR_US
from features.definitions import (
    DECAY_UNIT,
    MOST_CHANNELS,
    AccountAttribute,
    Catalogue,
    Decayed,
    DistinctCount,
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
from features.people import prepare_people
from features.sql_events import ACTIONS, MEMBERS, event_steps
from features.sql_text import Step, literal, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb
    import pyarrow as pa

__all__ = ["Step", "compile_features", "compute_features", "only_row", "prepare_people"]


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
    try:
        for step in steps:
            _run(connection, step)
            for name in step.last_use_of:
                connection.execute(f"DROP TABLE {name}")
        return _in_order(connection.sql(last.query).to_arrow_table())
    finally:
        for step in steps:
            connection.execute(f"DROP TABLE IF EXISTS {step.name}")


def _in_order(table: pa.Table) -> pa.Table:
    """Return the table by `row_id`; mostly it comes so, and where not, sorting it here costs less than in SQL."""
    import numpy as np

    numbers = table["row_id"].to_numpy()
    return table if (numbers[1:] > numbers[:-1]).all() else table.take(np.argsort(numbers, kind="stable"))


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
    """Return the steps whose last one is the feature table, in no order; the range bounds which events are read."""
    needs = {feature.needs for feature in catalogue.features}
    steps = [Step("lead_now", _lead_now(catalogue)), Step("account_now", _account_now(catalogue))]
    if needs & {"events", "actions"}:
        steps.append(Step("lead_members", MEMBERS["lead"]))
    if "events" in needs:
        steps += event_steps(catalogue, "lead", as_of_range_us)
    if "account_events" in needs:
        steps += [
            Step("account_leads", MEMBERS["account_leads"]),
            Step("account_members", MEMBERS["account"], last_use_of=("account_leads",)),
            *event_steps(catalogue, "account", as_of_range_us),
        ]
    if "actions" in needs:
        steps.append(_first_actions(catalogue))
    values = [step.name for step in steps if step.name.endswith("_values")]
    joins = "".join(f"\nLEFT JOIN {name} ON {name}.row_id = s.row_id" for name in values)
    joins += "".join(
        _channel_join(feature.compute.which) for feature in catalogue.features if isinstance(feature.compute, Touch)
    )
    columns = "".join(f",\n  {_finish(feature)} AS {quoted(feature.name)}" for feature in catalogue.features)
    query = (
        f"SELECT s.row_id, s.lead_id, s.as_of_us{columns}\nFROM spine AS s\n"
        "LEFT JOIN lead_now AS l ON l.row_id = s.row_id\n"
        f"LEFT JOIN account_now AS a ON a.row_id = s.row_id{joins}"
    )
    return (*steps, Step("features", query))


def _lead_now(catalogue: Catalogue) -> str:
    """Return the version of each row's lead that is in force, with just the columns that are read."""
    read = {f.compute.column: None for f in catalogue.features if isinstance(f.compute, LeadAttribute | Filled)}
    columns = "".join(f", v.{quoted(column)}" for column in read)
    return f"""
SELECT s.row_id, s.as_of_us, v.lead_id, v.account_id, v.created_us{columns}
FROM spine AS s
JOIN lead_versions AS v
  ON v.lead_id = s.lead_id AND v.usable_us <= s.as_of_us AND (v.next_us IS NULL OR v.next_us > s.as_of_us)
"""


def _account_now(catalogue: Catalogue) -> str:
    read = {f.compute.column: None for f in catalogue.features if isinstance(f.compute, AccountAttribute)}
    columns = "".join(f", a.{quoted(column)}" for column in read)
    return f"""
SELECT l.row_id{columns}
FROM lead_now AS l
JOIN (SELECT c.*, EPOCH_US(c.known_at) AS known_us,
             LEAD(EPOCH_US(c.known_at)) OVER (PARTITION BY c.account_id ORDER BY c.known_at) AS next_us
      FROM accounts AS c) AS a
  ON a.account_id = l.account_id AND a.known_us <= l.as_of_us AND (a.next_us IS NULL OR a.next_us > l.as_of_us)
"""


def _first_actions(catalogue: Catalogue) -> Step:
    """Return the first sales action of each set of types, on any lead of the person."""
    columns = "".join(
        f",\n  MIN(CASE WHEN type IN ({', '.join(literal(t) for t in feature.compute.types)}) THEN occurred_us END)"
        f" AS {quoted(feature.name)}"
        for feature in catalogue.features
        if isinstance(feature.compute, SalesResponse)
    )
    return Step("sales_values", f"SELECT row_id{columns}\nFROM ({ACTIONS}) AS visible\nGROUP BY row_id")


def _channel_join(which: Literal["first", "last"]) -> str:
    """Return the join that turns the number of a touch back into its channel."""
    number = f"lead_ever_values.{which}_touch % {MOST_CHANNELS}"
    number = f"{MOST_CHANNELS - 1} - {number}" if which == "first" else number
    return f"\nLEFT JOIN lead_channels AS {which}_channel ON {which}_channel.number = {number}"


def _finish(feature: Feature) -> str:
    """Return the SQL that turns attributes and atoms into the feature."""
    compute = feature.compute
    if isinstance(compute, LeadAttribute):
        return _attribute("l", compute.column, numeric=feature.kind == "numeric")
    if isinstance(compute, AccountAttribute):
        return _attribute("a", compute.column, numeric=feature.kind == "numeric")
    if isinstance(compute, Filled):
        return f"CAST(CASE WHEN l.{quoted(compute.column)} IS NULL THEN 0 ELSE 1 END AS DOUBLE)"
    if isinstance(compute, LeadAge):
        return f"CAST(s.as_of_us - l.created_us AS DOUBLE) / {DAY_US}.0"
    if isinstance(compute, SalesResponse):
        until = f"COALESCE(sales_values.{quoted(feature.name)}, s.as_of_us)"
        return f"CAST(CASE WHEN {until} > l.created_us THEN {until} - l.created_us ELSE 0 END AS DOUBLE) / {HOUR_US}.0"
    value = _finish_events(feature)
    # Without an account nobody can say what its other leads did: unknown, not none.
    return f"CASE WHEN l.account_id IS NULL THEN NULL ELSE {value} END" if feature.needs == "account_events" else value


def _finish_events(feature: Feature) -> str:  # noqa: PLR0911 - one return a kind of feature
    compute = feature.compute
    scope = getattr(compute, "scope", "lead")
    name = quoted(feature.name)
    plain = f"{scope}_plain_values."
    if isinstance(compute, Recency):
        return f"CAST(s.as_of_us - {scope}_ever_values.{name} AS DOUBLE) / {DAY_US}.0"
    if isinstance(compute, Trend):
        short, long = (f"COALESCE({plain}{quoted(f'{feature.name}_{part}')}, 0)" for part in ("short", "long"))
        return f"CAST(30 * {short} - 7 * {long} AS DOUBLE) / 210.0"
    if isinstance(compute, Total):
        return f"CAST(COALESCE({plain}{name}, 0) AS DOUBLE) / 1000.0"
    if isinstance(compute, Decayed):
        return f"CAST(COALESCE({plain}{name}, 0) AS DOUBLE) / {DECAY_UNIT}.0"
    if isinstance(compute, MostSenior):
        return f"CAST({plain}{name} AS DOUBLE)"
    if isinstance(compute, Touch):
        return f"{compute.which}_channel.channel"
    if isinstance(compute, Visits):
        return f"CAST(COALESCE({scope}_visit_values.visits_{compute.days}, 0) AS DOUBLE)"
    if isinstance(compute, DistinctCount):
        counted = quoted(f"{scope}_{compute.column}_{compute.days}")
        return f"CAST(COALESCE({scope}_{compute.column}_values.{counted}, 0) AS DOUBLE)"
    return f"CAST(COALESCE({plain}{name}, 0) AS DOUBLE)"


def _attribute(alias: str, column: str, *, numeric: bool) -> str:
    return f"CAST({alias}.{quoted(column)} AS {'DOUBLE' if numeric else 'VARCHAR'})"
