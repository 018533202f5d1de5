"""The restricted SQL subset in Spark's words: translated by sqlglot, with a rule for what means something else there.

DuckDB is the reference. What cannot be made to mean the same is refused by name instead of being answered otherwise.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from data.clock import to_us
from data.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlglot import exp

    from features.sql import Step

__all__ = ["PREFIX", "read_by", "to_spark"]

# Views of a session are shared with whatever else runs in it; ours carry a name that nobody else takes.
PREFIX = "clew_"

# Equal in both engines on every value, or made equal by a rule below. Double-valued functions but the exactly rounded
# square root differ in the last bit between libraries, text functions in their tables of Unicode.
_FUNCTIONS = frozenset(
    (
        *("Abs", "And", "Case", "Cast", "Ceil", "Coalesce", "Count", "DenseRank", "Exists", "FirstValue", "Floor"),
        *("Greatest", "If", "Lag", "LastValue", "Lead", "Least", "Max", "Min", "Nullif", "Or", "Rank", "RowNumber"),
        *("Sqrt", "Sum", "ArgMax", "ArgMin"),
    )
)
_RENAMED = {"EPOCH_US": "UNIX_MICROS"}
_CASTS = frozenset({"BIGINT", "DOUBLE", "TEXT", "TIMESTAMPTZ"})


def to_spark(query: str) -> str:
    """Return a query of the subset, written for DuckDB, as Spark SQL in ANSI mode that gives the same rows.

    Tables become views with the prefix `clew_`; an ORDER BY at the outside is left out, because a frame has no order.

    Raises
    ------
    UsageError
        If the query holds a construct that is not known to mean the same in both engines.

    Examples
    --------
    >>> to_spark("SELECT EPOCH_US(e.known_at) AS known_us FROM events AS e ORDER BY known_us")
    'SELECT UNIX_MICROS(e.known_at) AS known_us FROM clew_events AS e'
    """
    import sqlglot

    tree = sqlglot.parse_one(query, read="duckdb")
    if not tree.args.get("limit"):
        tree.set("order", None)
    _refuse_strangers(tree)
    _rename_tables(tree)
    return tree.transform(_rule).sql("spark")


def read_by(steps: Iterable[Step]) -> dict[str, int]:
    """Return how often each table is read by the steps.

    Examples
    --------
    >>> from features.sql import Step
    >>> read_by([Step("a", "SELECT * FROM leads"), Step("b", "SELECT * FROM a JOIN leads USING (lead_id)")])
    {'leads': 2, 'a': 1}
    """
    import sqlglot
    from sqlglot import exp

    found: dict[str, int] = {}
    for step in steps:
        tree = sqlglot.parse_one(step.query, read="duckdb")
        own = _own_names(tree)
        for table in tree.find_all(exp.Table, bfs=False):
            if table.name not in own:
                found[table.name] = found.get(table.name, 0) + 1
    return found


def _own_names(tree: exp.Expr) -> Collection[str]:
    from sqlglot import exp

    return {cte.alias for cte in tree.find_all(exp.CTE)}


def _rename_tables(tree: exp.Expr) -> None:
    """Prefix the tables; columns go on being qualified by the old name where there was no alias."""
    from sqlglot import exp

    own = _own_names(tree)
    for table in list(tree.find_all(exp.Table)):
        if table.name in own or not isinstance(table.this, exp.Identifier):
            continue
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
        table.set("this", exp.to_identifier(PREFIX + table.name, quoted=bool(table.this.args.get("quoted"))))


def _rule(node: exp.Expr) -> exp.Expr:
    """Return a node that means in Spark what the given one means in DuckDB."""
    from sqlglot import exp

    if isinstance(node, exp.Anonymous):
        return exp.Anonymous(this=_RENAMED[node.name.upper()], expressions=node.expressions)
    if isinstance(node, exp.Cast) and node.to.is_type("TIMESTAMPTZ"):
        return exp.Anonymous(this="TIMESTAMP_MICROS", expressions=[exp.Literal.number(_us_of(node))])
    if isinstance(node, exp.Div) and not node.expression.is_int:
        # Divided by a decimal number, a whole one is a double there and a decimal here.
        return exp.Div(this=node.this.copy(), expression=exp.cast(node.expression.copy(), "DOUBLE"))
    if isinstance(node, exp.ArgMax | exp.ArgMin):
        # DuckDB passes over rows whose value is NULL, Spark answers NULL for them.
        present = exp.Not(this=exp.Is(this=node.this.copy(), expression=exp.Null()))
        return exp.Filter(this=node.copy(), expression=exp.Where(this=present))
    return node


def _refuse_strangers(tree: exp.Expr) -> None:
    for node in tree.walk():
        told = _stranger(node)
        if told:
            raise UsageError(
                f"the feature query holds {told}, which is not known to mean the same on Spark",
                hint="set CLEW_ENGINE=duckdb, or write it in the subset that features.spark_sql knows",
            )


def _stranger(node: exp.Expr) -> str:
    """Return what is foreign about a node, nothing where it is known."""
    from sqlglot import exp

    if isinstance(node, exp.Div | exp.IntDiv | exp.Mod):
        return "" if _is_number(node.expression) else "a division by something else than a number"
    if isinstance(node, exp.Cast):
        return _foreign_cast(node)
    if isinstance(node, exp.Func):
        return _foreign_function(node)
    if isinstance(node, exp.Join) and node.method:
        return f"{node.method} JOIN"
    foreign = isinstance(node, exp.Unnest | exp.Lateral | exp.Bracket | exp.Interval)
    return type(node).__name__.upper() if foreign else ""


def _foreign_function(node: exp.Func) -> str:
    from sqlglot import exp

    if isinstance(node, exp.Anonymous):
        return "" if node.name.upper() in _RENAMED else f"the function {node.name.upper()}"
    if type(node).__name__ not in _FUNCTIONS:
        return f"the function {node.sql_name()}"
    if isinstance(node, exp.Floor | exp.Ceil) and not isinstance(node.parent, exp.Cast):
        # Whole numbers of 64 bits in Spark, doubles in DuckDB; within CAST(... AS BIGINT) both are the former.
        return f"{node.sql_name()} outside of CAST(... AS BIGINT)"
    if isinstance(node, exp.ArgMax | exp.ArgMin) and isinstance(node.parent, exp.Window):
        return f"{node.sql_name()} as a window"
    return ""


def _foreign_cast(node: exp.Cast) -> str:
    """Tell what is wrong with a cast: a fraction becomes a whole number by rounding there and by cutting here."""
    kind = node.to.sql("duckdb")
    if kind not in _CASTS:
        return f"a cast to {kind}"
    if kind == "BIGINT" and not _is_whole(node.this):
        return "a cast to BIGINT of what may be a fraction"
    if kind == "TIMESTAMPTZ" and _us_of(node) is None:
        return "a cast to TIMESTAMPTZ of something else than a time with its offset"
    return ""


def _us_of(node: exp.Cast) -> int | None:
    """Return the microseconds UTC of a time that is written as text, None where it is no such time."""
    if not node.this.is_string:
        return None
    try:
        return to_us(datetime.fromisoformat(node.this.name))
    except (ValueError, DataError):
        return None


def _is_whole(node: exp.Expr) -> bool:
    """Tell whether an expression can only be a whole number (or NULL), by how it is written."""
    from sqlglot import exp

    node = node.unnest()
    if isinstance(node, exp.Div):
        left, by = node.this.unnest(), node.expression
        rest = left.expression.unnest() if isinstance(left, exp.Sub) else None
        return isinstance(rest, exp.Mod) and rest.this.unnest() == left.this.unnest() and rest.expression == by
    whole = (exp.Floor, exp.Ceil, exp.Sum, exp.Count, exp.Min, exp.Max, exp.Null, exp.Window, exp.IntDiv)
    return isinstance(node, whole) or node.is_int


def _is_number(node: exp.Expr) -> bool:
    """Tell whether a divisor is a number other than 0: by 0, one engine fails and the other does not."""
    from sqlglot import exp

    node = node.unnest()
    return isinstance(node, exp.Literal) and not node.is_string and float(node.name) != 0
