"""The list of open leads: filtered, searched, ranked and paged by the database, fast with a hundred thousand of them.

Each open lead with a score has one row in `listed` with all that is shown and filtered. It is written with the lead's
score and with the end of its mark, in that transaction; so it follows every change as soon as the score does. Whoever
shows rows asks again whether they are open and whose they are: `standing` knows it at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

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
    "Standing",
    "Wanted",
    "chances_by_points",
    "choices_of",
    "count_listed",
    "doubles_among",
    "drawn_among",
    "list_again",
    "listed",
    "narrowed",
    "standing",
]

Choice = Literal["grade", "pool", "source", "industry", "owner_id", "because"]
"""The columns that are filtered by equality."""

COLUMNS: tuple[Choice, ...] = get_args(Choice)
# Below every probability, and in the order of the points.
_BY_POINTS, _MOST_POINTS = -1.0, 1e6
_LONGEST_WORDS = 500
_BY_LOT = "holdout"

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

    `owners` None means everybody's; `created_from_us` is included, `created_until_us` is not. `among` are the only ids
    that can be meant, where `narrowed` has found few.
    """

    equal: Mapping[Choice, str]
    owners: frozenset[str] | None = None
    words: str = ""
    created_from_us: int | None = None
    created_until_us: int | None = None
    among: frozenset[str] | None = None


_NAMES = {"as_of_us": "as_of", "created_us": "created_at"}
_SHOWN = [LISTED.c[_NAMES.get(name, name)] for name in ListedLead.__dataclass_fields__]


def listed(
    store: Store, wanted: Wanted, *, after: Place | None = None, limit: int = 50, drawn: bool | None = None
) -> list[ListedLead]:
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
    drawn
        Only those that a lot decided about, or only the others.

    Raises
    ------
    InfrastructureError
        If the database cannot be used.
    """
    if limit < 1 or (wanted.owners is not None and not wanted.owners):
        return []
    query = sa.select(*_SHOWN).where(*_conditions(wanted, drawn=drawn))
    if after is not None:
        place, lead_id = after
        query = query.where(LISTED.c.place <= place, sa.or_(LISTED.c.place < place, LISTED.c.lead_id < lead_id))
    query = query.order_by(LISTED.c.place.desc(), LISTED.c.lead_id.desc()).limit(limit)
    with store.reading() as connection:
        return [ListedLead(*row) for row in connection.execute(query)]


def narrowed(store: Store, wanted: Wanted, *, few: int = 1000) -> Wanted:
    """Return the same, with the ids of the leads where there are few: found in one pass, they need no other.

    Looking for few leads along the order of the list would visit nearly all of it, row by row: with a hundred thousand
    leads most of a second. Where there are many the first ones are near.
    """
    if not (wanted.equal or wanted.words or wanted.created_from_us or wanted.created_until_us):
        return wanted
    query = sa.select(LISTED.c.lead_id).where(*_conditions(wanted)).limit(few + 1)
    with store.reading() as connection:
        found = frozenset(connection.scalars(query))
    return wanted if len(found) > few else replace(wanted, words="", among=found)


def count_listed(store: Store, wanted: Wanted, *, drawn: bool | None = None) -> int:
    """Return how many leads are wanted; those that a lot decided about, or the others, where one says so."""
    if wanted.among is not None and drawn is None:
        return len(wanted.among)
    if wanted.owners is not None and not wanted.owners:
        return 0
    query = sa.select(sa.func.count()).select_from(LISTED).where(*_conditions(wanted, drawn=drawn))
    with store.reading() as connection:
        return int(connection.execute(query).scalar_one())


def drawn_among(store: Store, wanted: Wanted) -> list[str]:
    """Return the wanted leads that a lot decided about."""
    if wanted.owners is not None and not wanted.owners:
        return []
    with store.reading() as connection:
        return list(connection.scalars(sa.select(LISTED.c.lead_id).where(*_conditions(wanted, drawn=True))))


def doubles_among(store: Store, wanted: Wanted) -> int:
    """Return how many of the wanted leads are further ones of a person who has several."""
    leads = FACTS["leads"].c
    several = sa.select(leads.person_id).where(leads.person_id.is_not(None)).group_by(leads.person_id)
    query = (
        sa.select(leads.person_id, leads.lead_id)
        .distinct()
        .join(LISTED, LISTED.c.lead_id == leads.lead_id)
        .where(leads.person_id.in_(several.having(sa.func.count() > 1)), *_conditions(wanted))
    )
    with store.reading() as connection:
        found = connection.execute(query).all()
    return len(found) - len({row[0] for row in found})


def chances_by_points(store: Store, wanted: Wanted) -> list[tuple[int, float]]:
    """Return for each number of points, the most first, how many of the leads have it and their mean probability."""
    columns = LISTED.c
    query = (
        sa.select(sa.func.count(), sa.func.avg(columns.probability))
        .where(columns.probability.is_not(None), *_conditions(wanted))
        .group_by(columns.points)
        .order_by(columns.points.desc())
    )
    with store.reading() as connection:
        return [(int(row[0]), float(row[1])) for row in connection.execute(query)]


def choices_of(store: Store, owners: Collection[str] | None = None) -> dict[Choice, list[str]]:
    """Return what the columns hold that are filtered by equality, in byte order; of some owners' leads, or of all."""
    found: dict[Choice, list[str]] = {name: [] for name in COLUMNS}
    if owners is not None and not owners:
        return found
    query = sa.select(*(LISTED.c[name] for name in COLUMNS)).distinct()
    if owners is not None:
        query = query.where(LISTED.c.owner_id.in_(sorted(owners)))
    with store.reading() as connection:
        rows = connection.execute(query).all()
    for name, values in zip(COLUMNS, zip(*rows, strict=True), strict=False):
        found[name] = sorted(set(values) - {None})
    return found


@dataclass(frozen=True)
class Standing:
    """Whose an open lead is now, and who the person is."""

    owner_id: str | None
    person_id: str | None


def standing(store: Store, lead_ids: Sequence[str], *, as_of_us: int) -> dict[str, Standing]:
    """Return whose those of the leads are that are open at this moment; the list may be a second behind."""
    leads = FACTS["leads"].c
    found: dict[str, Standing] = {}
    with store.reading() as connection:
        for piece in chunks(lead_ids):
            still = open_among(connection, piece, as_of_us=as_of_us)
            query = sa.select(leads.lead_id, leads.owner_id, leads.person_id).where(
                leads.lead_id.in_(sorted(still)), leads.known_at <= as_of_us
            )
            found |= {row[0]: Standing(*row[1:]) for row in connection.execute(query.order_by(leads.known_at))}
    return found


def list_again(connection: sa.Connection, lead_ids: Iterable[str], now_us: int) -> None:
    """Write the rows of some leads anew, or take them from the list where they are no longer open; within a write."""
    for piece in chunks(sorted(lead_ids)):
        connection.execute(_UNLIST, {"lead_ids": piece})
        still = sorted(open_among(connection, piece, as_of_us=now_us))
        found = connection.execute(_FACTS_AND_SCORES, {"lead_ids": still, "now": now_us}).mappings() if still else ()
        rows = [_row(each) for each in found]
        if rows:
            connection.execute(sa.insert(LISTED), rows)


def _conditions(wanted: Wanted, *, drawn: bool | None = None) -> list[sa.ColumnElement[bool]]:
    columns = LISTED.c
    found: list[sa.ColumnElement[bool]] = [columns[name] == value for name, value in wanted.equal.items()]
    if drawn is not None:
        found.append(
            sa.func.coalesce(columns.because, "") == _BY_LOT
            if drawn
            else sa.func.coalesce(columns.because, "") != _BY_LOT
        )
    if wanted.owners is not None:
        found.append(columns.owner_id.in_(sorted(wanted.owners)))
    if wanted.created_from_us is not None:
        found.append(columns.created_at >= wanted.created_from_us)
    if wanted.created_until_us is not None:
        found.append(columns.created_at < wanted.created_until_us)
    if wanted.among is not None:
        found.append(columns.lead_id.in_(sorted(wanted.among)))
    return found + [_holds(word) for word in wanted.words.lower().split()]


def _holds(word: str) -> sa.ColumnElement[bool]:
    """Say that a lead's own words hold one, or what the store knows of its person does."""
    person = FACTS["contacts"].c
    known = sa.select(person.lead_id).where(
        sa.or_(*(_within(sa.func.lower(each), word) for each in (person.name, person.email)))
    )
    return sa.or_(_within(LISTED.c.words, word), LISTED.c.lead_id.in_(known))


class _Within(sa.sql.functions.GenericFunction[int]):
    """Where one text begins in another, 0 where it does not: both databases know it under another name."""

    inherit_cache = True
    type = sa.Integer()
    name = "clew_within"


@compiles(_Within)
def _spelt(element: _Within, compiler: Any, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    name = "strpos" if compiler.dialect.name == "postgresql" else "instr"
    return f"{name}{compiler.process(element.clause_expr, **options)}"


def _within(text: sa.ColumnElement[Any], word: str) -> sa.ColumnElement[bool]:
    return _Within(text, word) > 0


def _newest(table: str) -> sa.ScalarSelect[Any]:
    """Return when the version in force of a lead, or of the account it stands at, became known."""
    key = "lead_id" if table == "leads" else "account_id"
    version = FACTS[table].alias("newest_" + table).c
    newest = sa.select(sa.func.max(version.known_at)).where(
        version[key] == FACTS["leads"].c[key], version.known_at <= sa.bindparam("now")
    )
    return newest.correlate(FACTS["leads"]).scalar_subquery()


def _facts_and_scores() -> sa.Select[Any]:
    current, leads, accounts = CURRENT_SCORES.c, FACTS["leads"].c, FACTS["accounts"].c
    columns = [current[name] for name in ("lead_id", "score_id", "as_of", "probability", "grade", "pool")]
    columns += [leads[name] for name in ("owner_id", "source", "created_at")]
    at_account = sa.and_(accounts.account_id == leads.account_id, accounts.known_at == _newest("accounts"))
    return (
        sa.select(*columns, SCORES.c.rules, accounts.industry, accounts.name)
        .join(SCORES, SCORES.c.score_id == current.score_id)
        .join(FACTS["leads"], sa.and_(leads.lead_id == current.lead_id, leads.known_at == _newest("leads")))
        .outerjoin(FACTS["accounts"], at_account)
        .where(current.lead_id.in_(sa.bindparam("lead_ids", expanding=True)))
    )


# Made once: building them anew took longer than the database does, and single scores wait for this.
_FACTS_AND_SCORES = _facts_and_scores()
_UNLIST = sa.delete(LISTED).where(LISTED.c.lead_id.in_(sa.bindparam("lead_ids", expanding=True)))


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
