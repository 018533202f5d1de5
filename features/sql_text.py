"""The small change of the SQL that features are compiled to: steps, names and literals."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Step", "literal", "quoted"]


@dataclass(frozen=True)
class Step:
    """One named intermediate table, the query that makes it, and the tables that nothing reads after it."""

    name: str
    query: str
    last_use_of: tuple[str, ...] = ()


def quoted(name: str) -> str:
    """Return a name as an SQL identifier.

    Examples
    --------
    >>> quoted('it"s')
    '"it""s"'
    """
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as an SQL literal.

    Examples
    --------
    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"
