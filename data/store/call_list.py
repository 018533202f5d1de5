"""The open leads with their current scores: what a list of whom to call is made from.

In two steps, as reasons are long and lists are short: all candidates with what ranks them, then the words of the few.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from data.store.open_leads import open_leads
from data.store.schema import CURRENT_SCORES, FACTS, SCORES
from data.store.statements import chunks

if TYPE_CHECKING:
    from data.store.engine import Store

__all__ = ["Candidate", "Given", "candidates", "given_scores"]

_PAGE = 2_000


@dataclass(frozen=True)
class Candidate:
    """An open lead as it was scored last: what ranks it, and whose it is. `points` are the rules'."""

    lead_id: str
    score_id: int
    probability: float | None
    pool: str | None
    points: float
    is_held: bool
    owner_id: str | None
    person_id: str | None


@dataclass(frozen=True)
class Given:
    """The words of a score: when it was given, by which bundle, from which features, and why."""

    as_of_us: int
    bundle: str
    source: str
    grade: str | None
    features: Mapping[str, Any]
    reasons: Sequence[Mapping[str, Any]]
    rules: Mapping[str, Any]


def candidates(
    store: Store,
    *,
    as_of_us: int,
    owners: Collection[str] | None = None,
    pool: str | None = None,
) -> list[Candidate]:
    """Return the open leads that have been scored, in the byte order of their ids.

    Parameters
    ----------
    store
        The open store.
    as_of_us
        The moment, microseconds UTC: leads that have ended by then are left out.
    owners
        Only leads of these owners; None for everybody's.
    pool
        Only leads whose current score sends them there.

    Raises
    ------
    InfrastructureError
        If the database cannot be used.
    """
    if owners is not None and not owners:
        return []
    with store.reading() as connection:
        rows = connection.execute(_scored(store, owners, pool), {"as_of": as_of_us}).all()
    if not rows:
        return []
    standing = _standing(store, as_of_us)
    found = (dict(zip(Candidate.__dataclass_fields__, row, strict=True)) for row in rows if row[0] in standing)
    return [Candidate(**told) for told in found]


def given_scores(store: Store, score_ids: Sequence[int]) -> dict[int, Given]:
    """Return the words of some scores by their numbers."""
    found: dict[int, Given] = {}
    texts = ("features", "reasons", "rules")
    columns = ("score_id", "as_of", "bundle", "source", "grade", *texts)
    query = sa.select(*(SCORES.c[name] for name in columns))
    with store.reading() as connection:
        for piece in chunks(score_ids):
            for row in connection.execute(query.where(SCORES.c.score_id.in_(piece))).mappings():
                told = {name: json.loads(row[name]) for name in texts}
                found[row["score_id"]] = Given(row["as_of"], row["bundle"], row["source"], row["grade"], **told)
    return found


def _scored(store: Store, owners: Collection[str] | None, pool: str | None) -> sa.Select[Any]:
    """Return the query for the current scores, with owner and person as the newest version of each lead says.

    Points and mark are read by the database: parsing twenty thousand texts here took longer than all the rest.
    """
    current, scores, leads = CURRENT_SCORES.c, SCORES.c, FACTS["leads"].c
    version = FACTS["leads"].alias("version").c
    newest = sa.select(sa.func.max(version.known_at)).where(
        version.lead_id == current.lead_id, version.known_at <= sa.bindparam("as_of")
    )
    points, is_held = _of_rules(store)
    query = (
        sa.select(
            current.lead_id,
            current.score_id,
            current.probability,
            current.pool,
            sa.func.coalesce(points, 0.0),
            sa.func.coalesce(is_held, sa.false()),
            leads.owner_id,
            leads.person_id,
        )
        .join(SCORES, scores.score_id == current.score_id)
        .join(FACTS["leads"], sa.and_(leads.lead_id == current.lead_id, leads.known_at == newest.scalar_subquery()))
        .order_by(current.lead_id)
    )
    if pool is not None:
        query = query.where(current.pool == pool)
    return query if owners is None else query.where(leads.owner_id.in_(sorted(owners)))


def _of_rules(store: Store) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """Return how each database reads the points and the mark of a hold-out from what the rules said."""
    rules = SCORES.c.rules
    if store.is_postgres:
        told = sa.cast(rules, postgresql.JSONB)
        return told["points"].as_float(), told[("handover", "holdout")].as_boolean()
    points, held = (sa.func.json_extract(rules, path) for path in ("$.points", "$.handover.holdout"))
    return sa.cast(points, sa.Double()), sa.cast(held, sa.Boolean())


def _standing(store: Store, as_of_us: int) -> set[str]:
    """Return the leads that are open."""
    found: set[str] = set()
    after = ""
    while page := open_leads(store, as_of_us=as_of_us, after=after, limit=_PAGE):
        found.update(page)
        after = page[-1]
        if len(page) < _PAGE:
            break
    return found
