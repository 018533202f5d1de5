"""The list of open leads: filtered, searched, ranked and paged by the database, fast with a hundred thousand of them.

Each open lead with a score has one row in `listed` with all that is shown and filtered. It is written with the lead's
score and with the end of its mark, in that transaction; so it follows every change as soon as the score does. Whoever
shows rows asks again whether they are open and whose they are: `standing` knows it at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import sqlalchemy as sa

from data.store.open_leads import open_among
from data.store.schema import CURRENT_SCORES, FACTS, LISTED, SCORES
from data.store.statements import chunks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from data.store.engine import Store

__all__ = [
    "COLUMNS",
    "Choice",
    "ListedLead",
    "Place",
    "Wanted",
    "choices_of",
    "count_listed",
    "list_again",
    "listed",
    "standing",
]

Choice = Literal["grade", "pool", "source", "industry", "owner_id", "because"]
"""The columns that are filtered by equality."""

COLUMNS: tuple[Choice, ...] = get_args(Choice)
# Below every probability, and in the order of the points.
_BY_POINTS, _MOST_POINTS = -1.0, 1e6
_LONGEST_WORDS = 500
_LIKE_SIGNS = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})

Place = tuple[float, str]
"""Where a lead stands in the list: what it is ranked by, and its id."""


@dataclass(frozen=True)
class ListedLead:
    """A row of the list; `because` says how rules and model agree, moments are microseconds UTC."""

    lead_id: str
    place: float
    score_id: int
    as_of_us: int
    probability: float | None
    grade: str | None
    pool: str | None
    points: float
    because: str | None
    owner_id: str | None
    source: str | None
    industry: str | None
    account: str | None
    created_us: int


@dataclass(frozen=True)
class Wanted:
    """Which leads are wanted: equal in some columns, begun within some time, holding some words.

    `owners` None means everybody's; `created_from_us` is included, `created_until_us` is not.
    """

    equal: Mapping[Choice, str]
    owners: frozenset[str] | None = None
    words: str = ""
    created_from_us: int | None = None
    created_until_us: int | None = None


_NAMES = {"as_of_us": "as_of", "created_us": "created_at"}
_SHOWN = [LISTED.c[_NAMES.get(name, name)] for name in ListedLead.__dataclass_fields__]


def listed(store: Store, wanted: Wanted, *, after: Place | None = None, limit: int = 50) -> list[ListedLead]:
    """Return the next leads of the list, the most probable first, equal ones in falling order of their ids.

    Parameters
    ----------
    store
        The open store.
    wanted
        Which leads.
    after
        Where the page before ended.
    limit
        Leads a page.

    Raises
    ------
    InfrastructureError
        If the database cannot be used.
    """
    if wanted.owners is not None and not wanted.owners:
        return []
    query = sa.select(*_SHOWN).where(*_conditions(wanted))
    if after is not None:
        place, lead_id = after
        query = query.where(LISTED.c.place <= place, sa.or_(LISTED.c.place < place, LISTED.c.lead_id < lead_id))
    query = query.order_by(LISTED.c.place.desc(), LISTED.c.lead_id.desc()).limit(limit)
    with store.reading() as connection:
        return [ListedLead(*row) for row in connection.execute(query)]


def count_listed(store: Store, wanted: Wanted) -> int:
    """Return how many leads are wanted."""
    if wanted.owners is not None and not wanted.owners:
        return 0
    with store.reading() as connection:
        return int(connection.execute(sa.select(sa.func.count()).where(*_conditions(wanted))).scalar_one())


def choices_of(store: Store, owners: Collection[str] | None = None) -> dict[Choice, list[str]]:
    """Return what the columns hold that are filtered by equality, in byte order; of some owners' leads, or of all."""
    found: dict[Choice, list[str]] = {name: [] for name in COLUMNS}
    if owners is not None and not owners:
        return found
    with store.reading() as connection:
        for name in COLUMNS:
            column = LISTED.c[name]
            query = sa.select(column).where(column.is_not(None)).distinct()
            if owners is not None:
                query = query.where(LISTED.c.owner_id.in_(sorted(owners)))
            found[name] = sorted(connection.scalars(query))
    return found


def standing(store: Store, lead_ids: Sequence[str], *, as_of_us: int) -> dict[str, str | None]:
    """Return the owners of those of the leads that are open at this moment; the list may be a second behind."""
    leads = FACTS["leads"].c
    found: dict[str, str | None] = {}
    with store.reading() as connection:
        for piece in chunks(lead_ids):
            still = open_among(connection, piece, as_of_us=as_of_us)
            query = sa.select(leads.lead_id, leads.owner_id).where(leads.lead_id.in_(sorted(still)))
            found |= {row[0]: row[1] for row in connection.execute(query.order_by(leads.known_at))}
    return found


def list_again(connection: sa.Connection, lead_ids: Iterable[str], now_us: int) -> None:
    """Write the rows of some leads anew, or take them from the list where they are no longer open; within a write."""
    for piece in chunks(sorted(lead_ids)):
        connection.execute(sa.delete(LISTED).where(LISTED.c.lead_id.in_(piece)))
        rows = _rows(connection, sorted(open_among(connection, piece, as_of_us=now_us)), now_us)
        if rows:
            connection.execute(sa.insert(LISTED), rows)


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    columns = LISTED.c
    found: list[sa.ColumnElement[bool]] = [columns[name] == value for name, value in wanted.equal.items()]
    if wanted.owners is not None:
        found.append(columns.owner_id.in_(sorted(wanted.owners)))
    if wanted.created_from_us is not None:
        found.append(columns.created_at >= wanted.created_from_us)
    if wanted.created_until_us is not None:
        found.append(columns.created_at < wanted.created_until_us)
    return found + [_holds(word) for word in wanted.words.lower().split()]


def _holds(word: str) -> sa.ColumnElement[bool]:
    """Say that a lead's own words hold one, or what the store knows of its person does."""
    pattern = f"%{word.translate(_LIKE_SIGNS)}%"
    person = FACTS["contacts"].c
    known = sa.select(person.lead_id).where(
        sa.or_(*(sa.func.lower(column).like(pattern, escape="\\") for column in (person.name, person.email)))
    )
    return sa.or_(LISTED.c.words.like(pattern, escape="\\"), LISTED.c.lead_id.in_(known))


def _rows(connection: sa.Connection, lead_ids: Sequence[str], now_us: int) -> list[dict[str, Any]]:
    """Return what the list says of open leads that have a score."""
    current, leads, accounts = CURRENT_SCORES.c, FACTS["leads"].c, FACTS["accounts"].c
    query = (
        sa.select(
            current.lead_id, current.score_id, current.as_of, current.probability, current.grade, current.pool,
            SCORES.c.rules, leads.owner_id, leads.source, leads.created_at, accounts.industry, accounts.name,
        )
        .join(SCORES, SCORES.c.score_id == current.score_id)
        .join(FACTS["leads"], sa.and_(leads.lead_id == current.lead_id, leads.known_at == _newest("leads", now_us)))
        .outerjoin(
            FACTS["accounts"],
            sa.and_(accounts.account_id == leads.account_id, accounts.known_at == _newest("accounts", now_us)),
        )
        .where(current.lead_id.in_(lead_ids))
    )  # fmt: skip
    return [_row(found) for found in connection.execute(query).mappings()] if lead_ids else []


def _newest(table: str, now_us: int) -> sa.ScalarSelect[Any]:
    """Return when the version in force of a lead, or of the account it stands at, became known."""
    key = "lead_id" if table == "leads" else "account_id"
    version = FACTS[table].alias("newest_" + table).c
    newest = sa.select(sa.func.max(version.known_at)).where(
        version[key] == FACTS["leads"].c[key], version.known_at <= now_us
    )
    return newest.correlate(FACTS["leads"]).scalar_subquery()


def _row(found: Mapping[Any, Any]) -> dict[str, Any]:
    rules = json.loads(found["rules"])
    points = float(rules.get("points", 0))
    chance = found["probability"]
    words = " ".join(text for text in (found["lead_id"], found["name"]) if text)
    return {
        **{name: found[name] for name in ("lead_id", "score_id", "as_of", "probability", "grade", "pool")},
        **{name: found[name] for name in ("owner_id", "source", "industry", "created_at")},
        "place": _BY_POINTS + points / _MOST_POINTS if chance is None else chance,
        "points": points,
        "because": (rules.get("handover") or {}).get("because"),
        "account": found["name"],
        "words": words.lower()[:_LONGEST_WORDS],
    }
