"""What the store knows of a lead at a moment, as rows that `features.facts` reads, and which leads are open.

A row counts if it was known by `as_of` and recorded by `known_by`. Both default to everything that is known.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from data.store.records import is_storable
from data.store.schema import CUSTOM, FACTS
from data.tables import CUSTOM_PREFIX

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from data.store.engine import Store
    from data.store.records import CustomValue

__all__ = ["EVER_US", "CustomKind", "StoredFacts", "lead_facts", "typed_custom"]

CustomKind = Literal["numeric", "categorical", "text"]
Row = dict[str, Any]
EVER_US = 2**63 - 1

# Columns that no feature of one lead reads; an account's events are many.
_UNREAD = {"events": {"campaign", "keyword", "recorded_at"}}


@dataclass(frozen=True)
class StoredFacts:
    """Rows of the canonical tables that speak of one lead: its person's, its account's, and its account's people's.

    `tables` are the arguments of `features.facts.facts_as_of`, which picks the versions in force and tells own events
    from those of others.
    """

    leads: tuple[Row, ...]
    accounts: tuple[Row, ...]
    events: tuple[Row, ...]
    actions: tuple[Row, ...]
    outcomes: tuple[Row, ...]
    merges: tuple[Row, ...]

    @property
    def tables(self) -> dict[str, tuple[Row, ...]]:
        """The rows by table."""
        return dict(vars(self))


def lead_facts(
    store: Store,
    lead_id: str,
    *,
    as_of_us: int,
    known_by_us: int = EVER_US,
    custom: Mapping[str, CustomKind] | None = None,
) -> StoredFacts:
    """Return all rows that the features of a lead at `as_of` may be read from; none where the lead is not known.

    Parameters
    ----------
    store
        The open store.
    lead_id
        The lead.
    as_of_us
        The moment of the prediction, microseconds UTC: later facts, and facts known later, are left out.
    known_by_us
        Facts recorded after it are left out, so that an earlier answer can be had again.
    custom
        The kinds of the customer's columns that are wanted, by name without prefix; their values come as the warehouse
        would hold them. Without it all columns come as they were sent.

    Raises
    ------
    InfrastructureError
        If the database cannot be used.
    """
    if not is_storable(lead_id):
        return StoredFacts((), (), (), (), (), ())
    with store.reading() as connection:
        reader = _Reader(connection.connection.cursor(), store.is_postgres, as_of_us, known_by_us)
        leads, merges = reader.connected(lead_id)
        ids = {row["lead_id"] for row in leads}
        accounts = {row["account_id"] for row in leads if row["lead_id"] == lead_id} - {None}
        return StoredFacts(
            leads=tuple(_with_custom(row, custom) for row in leads),
            accounts=tuple(reader.rows("accounts", "account_id", ids=accounts)),
            events=tuple(reader.rows("events", "lead_id", ids=ids)),
            actions=tuple(reader.rows("actions", "lead_id", ids=ids)),
            outcomes=tuple(reader.rows("outcomes", "lead_id", ids=ids)),
            merges=tuple(merges),
        )


@dataclass(frozen=True)
class _Reader:
    """Reads the rows of one moment."""

    cursor: Any
    postgres: bool
    as_of_us: int
    known_by_us: int

    def rows(self, table: str, column: str, *others: str, ids: Collection[str]) -> list[Row]:
        """Return the rows of a table in which one of the columns holds one of the ids."""
        columns = (column, *others)
        return self._fetch(_matching(table, columns, postgres=self.postgres), *[ids] * len(columns)) if ids else []

    def connected(self, lead_id: str) -> tuple[list[Row], list[Row]]:
        """Return all versions of the leads that decide about a lead, and the merges between them.

        These are the leads of its accounts, those of their persons, and those that merges connect with them: the more
        of them are found, the more persons and merges there are to follow.
        """
        leads = _by_lead(self.rows("leads", "lead_id", ids={lead_id}))
        merges: dict[tuple[str, int], Row] = {}
        persons, merged = set[str](), set[str]()
        accounts, ids = _named(leads, "account_id"), set[str]()
        while leads:
            new_persons = _named(leads, "person_id") - persons
            if new_persons or accounts or ids:
                found = self._fetch(_related(postgres=self.postgres), accounts, new_persons, ids)
                leads |= _by_lead(row for row in found if row["lead_id"] not in leads)
                persons |= new_persons
                accounts, ids = set(), set()
            elif unmerged := leads.keys() - merged:
                for row in self.rows("merges", "lead_id", "into_lead_id", ids=unmerged):
                    merges[row["lead_id"], row["occurred_at"]] = row
                merged |= unmerged
                ids = {row[end] for row in merges.values() for end in ("lead_id", "into_lead_id")} - leads.keys()
            else:
                break
        return [row for rows in leads.values() for row in rows], list(merges.values())

    def _fetch(self, query: _Query, *ids: Collection[str]) -> list[Row]:
        lists = [sorted(each) for each in ids]
        bound = lists if self.postgres else [json.dumps(each) for each in lists]
        self.cursor.execute(query.sql, (*bound, self.as_of_us, self.known_by_us))
        return [dict(zip(query.columns, row, strict=True)) for row in self.cursor.fetchall()]


def _by_lead(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["lead_id"], []).append(row)
    return found


def _named(leads: Mapping[str, Sequence[Row]], column: str) -> set[str]:
    """Return what any version of the leads says in a column."""
    return {row[column] for rows in leads.values() for row in rows} - {None}


def _with_custom(row: Row, kinds: Mapping[str, CustomKind] | None) -> Row:
    """Return a row of `leads` as the warehouse has it: the customer's columns under their prefix."""
    text = row.pop(CUSTOM)
    told: dict[str, CustomValue] = {} if text == "{}" else json.loads(text)
    if kinds is not None:
        told = {name: typed_custom(told.get(name), kind) for name, kind in kinds.items()}
    return row | {CUSTOM_PREFIX + name: value for name, value in told.items()}


def typed_custom(value: CustomValue, kind: CustomKind) -> float | str | None:
    """Return a customer's value as the warehouse would hold it; what is no number is missing in a numeric column.

    Examples
    --------
    >>> typed_custom(5.0, "numeric"), typed_custom("five", "numeric")
    (5.0, None)
    >>> typed_custom(5.0, "categorical"), typed_custom(True, "text"), typed_custom(None, "text")
    ('5', 'true', None)
    """
    if kind == "numeric":
        return None if value is None or isinstance(value, bool | str) else float(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else str(value)


@dataclass(frozen=True)
class _Query:
    """SQL of one database, ready for its driver: lists of ids first, then `as_of` and `known_by`."""

    sql: str
    columns: tuple[str, ...]


# Compiling and binding a query costs SQLAlchemy ten times what the database spends on it, and this is the endpoint's
# own path; so the few queries are written out once, and one parameter carries a list of any length.
@cache
def _matching(table: str, columns: tuple[str, ...], *, postgres: bool) -> _Query:
    """Return the query for the rows in which one of the columns holds one of the ids."""
    return _query(table, " OR ".join(f"{column} {_member(postgres=postgres)}" for column in columns), postgres=postgres)


@cache
def _related(*, postgres: bool) -> _Query:
    """Return the query for all versions of the leads of which any version names an account, a person or an id."""
    member = _member(postgres=postgres)
    named = " UNION ".join(
        f"SELECT lead_id FROM leads WHERE {column} {member}"  # noqa: S608 - names of the contract
        for column in ("account_id", "person_id", "lead_id")
    )
    return _query("leads", f"lead_id IN ({named})", postgres=postgres)


def _member(*, postgres: bool) -> str:
    return "= ANY(%s)" if postgres else "IN (SELECT value FROM json_each(?))"


def _query(table: str, condition: str, *, postgres: bool) -> _Query:
    columns = tuple(column.name for column in FACTS[table].columns if column.name not in _UNREAD.get(table, ()))
    mark = "%s" if postgres else "?"
    return _Query(
        f"SELECT {', '.join(columns)} FROM {table} "  # noqa: S608 - names of the contract
        f"WHERE ({condition}) AND known_at <= {mark} AND recorded_at <= {mark}",
        columns,
    )
