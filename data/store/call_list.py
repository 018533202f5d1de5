"""The words of scores: what a list of whom to call says of the few leads that it shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.store.schema import SCORES
from data.store.statements import chunks

if TYPE_CHECKING:
    from data.store.engine import Store

__all__ = ["Given", "given_scores"]


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
