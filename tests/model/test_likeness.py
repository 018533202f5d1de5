"""Leads unlike the training data are noticed; the ordinary ones of a later month hardly ever are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from data.clock import to_us
from tests.model.conftest import CUTOFF
from tests.model.rows import synthetic_rows
from training.certainty.likeness import Likeness, learn_likeness
from training.learning.encoding import MISSING, OTHER, learn_encoding

if TYPE_CHECKING:
    from training.learning.encoding import Encoding
    from training.learning.recipe import Rows


def of(rows: Rows) -> tuple[Encoding, Likeness]:
    encoding = learn_encoding(rows.frame, rows.catalogue)
    return encoding, learn_likeness(encoding, encoding.tree_matrix(rows.frame))


def test_later_leads_of_the_same_kind_are_hardly_ever_unlike() -> None:
    for seed in range(5):
        encoding, likeness = of(synthetic_rows(2000, seed=seed))
        later = synthetic_rows(2000, seed=100 + seed)
        assert (likeness.count(encoding.tree_matrix(later.frame)) >= likeness.least).mean() < 0.03


def test_ordinary_months_of_the_simulated_team_hold_few_unlike_leads(world_rows: Rows) -> None:
    half = to_us(CUTOFF) - 300 * 86_400_000_000
    as_of = world_rows.spine["as_of_us"].to_numpy()
    encoding, likeness = of(world_rows.take(as_of < half))
    later = world_rows.take((as_of >= half) & (world_rows.spine["monthly"].to_numpy() == 1))
    assert (likeness.count(encoding.tree_matrix(later.frame)) >= likeness.least).mean() < 0.03


@pytest.mark.parametrize(
    "change",
    [{"source": "never seen"}, {"size": 1e12}, {"silence": 1e6}],
    ids=["category", "size", "silence"],
)
def test_planted_foreign_leads_are_noticed(change: dict[str, float | str]) -> None:
    rows = synthetic_rows(2000, seed=1)
    encoding, likeness = of(rows)
    foreign = replace(rows, frame=rows.frame.assign(**change))
    counted = likeness.count(encoding.tree_matrix(foreign.frame))
    assert (counted >= likeness.least).mean() > 0.95


def test_a_number_that_is_not_there_is_not_odd_and_a_category_is_where_it_always_was() -> None:
    rows = synthetic_rows(2000, seed=7)
    filled = replace(rows, frame=rows.frame.assign(source=rows.frame["source"].fillna("fair")))
    encoding, likeness = of(filled)
    for column, odd in (("visits", False), ("source", True)):
        gone = encoding.tree_matrix(filled.frame.assign(**{column: None}).astype({"visits": float}))
        assert (likeness.count(gone) >= likeness.least).mean() == pytest.approx(float(odd), abs=0.05)


def test_what_many_fit_rows_had_is_not_odd() -> None:
    rows = synthetic_rows(2000, seed=2)
    encoding, likeness = of(rows)
    common = rows.frame.assign(source=None, size=np.nan)
    assert (likeness.count(encoding.tree_matrix(common)) >= likeness.least).mean() < 0.03


def test_one_lead_and_the_matrix_of_many_agree() -> None:
    rows = synthetic_rows(1000, seed=3)
    encoding, likeness = of(rows)
    rng = np.random.default_rng(4)
    matrix = encoding.tree_matrix(rows.frame)
    for k, code in enumerate(encoding.codes):
        marked = rng.random(len(matrix)) < 0.1
        odd = (
            rng.choice([MISSING, OTHER], len(matrix))
            if k in encoding.categorical
            else rng.choice([np.nan, 1e15, -1e15], len(matrix))
        )
        matrix[marked, k] = odd[marked]
        assert likeness.features[k].group == code.group
    counted = likeness.count(matrix)
    assert [len(likeness.odd_groups(row)) for row in matrix.tolist()] == counted.tolist()
    assert [likeness.unlike(row) for row in matrix.tolist()] == (counted >= likeness.least).tolist()
    assert 0.2 < (counted >= likeness.least).mean() < 0.9


def test_where_oddities_are_common_more_of_them_are_asked_for() -> None:
    rows = synthetic_rows(4000, seed=5)
    # Eight columns, each odd in 4 of 1,000 rows: about one lead in thirty has some oddity.
    rng = np.random.default_rng(6)
    encoding = learn_encoding(rows.frame, rows.catalogue)
    matrix = encoding.tree_matrix(rows.frame)
    for k in range(matrix.shape[1]):
        matrix[rng.random(len(matrix)) < 0.004, k] = OTHER if k in encoding.categorical else 1e15
    likeness = learn_likeness(encoding, matrix)
    assert likeness.least >= 2
    assert (likeness.count(matrix) >= likeness.least).mean() <= 0.01


def test_a_model_without_features_finds_nobody_unlike() -> None:
    assert Likeness(features=(), least=1).count(np.empty((3, 0))).tolist() == [0, 0, 0]
    assert not Likeness(features=(), least=1).unlike([])
