"""Many leads at once are answered as each of them alone: probability, score, grade and reasons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from data.errors import DataError
from features.memory import evaluate
from tests.service.bundles import AS_OF_US, random_facts, small_bundle
from training.bundles.batch import answer_schema, score_table

if TYPE_CHECKING:
    from features.memory import Values
    from training.bundles.bundle import Answer, Bundle

ROWS = 1000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def values(bundle: Bundle) -> list[Values]:
    rng = np.random.default_rng(11)
    rows = [evaluate(bundle.catalogue, random_facts(rng), AS_OF_US) for _ in range(ROWS)]
    rows[0]["source"] = "never seen"
    rows[1] = dict.fromkeys(bundle.catalogue.names)
    rows[2]["employees"] = math.nan
    return rows


def table_of(bundle: Bundle, rows: list[Values]) -> pa.Table:
    kinds = {f.name: pa.float64() if f.kind == "numeric" else pa.string() for f in bundle.catalogue.features}
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))
    table = table.append_column("lead_id", pa.array([f"l{k}" for k in range(len(rows))], pa.string()))
    return table.append_column("as_of_us", pa.array([AS_OF_US] * len(rows), pa.int64()))


def strongest(answer: Answer, count: int) -> list[tuple[str, float]]:
    return sorted(answer.groups.items(), key=lambda group: -abs(group[1]))[:count]


@pytest.mark.parametrize("profile_only", [False, True])
@pytest.mark.parametrize("reasons", [0, 3])
def test_a_table_is_answered_as_its_leads_are_one_by_one(
    bundle: Bundle, values: list[Values], profile_only: bool, reasons: int
) -> None:
    found = score_table(bundle, table_of(bundle, values), profile_only=profile_only, reasons=reasons)
    assert found.schema == answer_schema(reasons=reasons)
    answers = [bundle.answer_values(row, profile_only=profile_only) for row in values]
    rows = found.to_pylist()
    assert max(abs(row["logit"] - answer.logit) for row, answer in zip(rows, answers, strict=True)) < 1e-12
    assert max(abs(row["probability"] - answer.probability) for row, answer in zip(rows, answers, strict=True)) < 1e-12
    assert [row["score"] for row in rows] == [bundle.score(answer.probability) for answer in answers]
    assert [row["grade"] for row in rows] == [bundle.grade(answer.probability) for answer in answers]
    assert len({row["grade"] for row in rows}) > 2
    assert [row["unlike"] for row in rows] == [answer.unlike for answer in answers]
    assert any(row["unlike"] for row in rows) is not profile_only
    for row, answer in zip(rows, answers, strict=True):
        around = bundle.interval_of(answer)
        assert (around is None) is profile_only
        assert (row["low"], row["high"]) == pytest.approx((None, None) if around is None else around, abs=1e-12)
        assert around is None or around[0] < answer.probability < around[1]
    if reasons:
        for row, answer in zip(rows, answers, strict=True):
            expected = strongest(answer, reasons)
            assert [reason["group"] for reason in row["reasons"]] == [group for group, _ in expected]
            assert np.allclose(
                [reason["logit"] for reason in row["reasons"]], [part for _, part in expected], atol=1e-12
            )


def test_an_answer_does_not_depend_on_the_other_rows_by_a_bit(bundle: Bundle, values: list[Values]) -> None:
    table = table_of(bundle, values)
    whole = score_table(bundle, table)
    for size in (1, 7, 333):
        pieces = [score_table(bundle, table.slice(start, size)) for start in range(0, 3 * size, size)]
        assert pa.concat_tables(pieces).equals(whole.slice(0, 3 * size))
    assert score_table(bundle, pa.concat_tables([table] * 20)).slice(19 * ROWS).equals(whole)


def test_an_empty_table_has_no_answers(bundle: Bundle, values: list[Values]) -> None:
    assert score_table(bundle, table_of(bundle, values).slice(0, 0)).equals(answer_schema().empty_table())


def test_a_table_without_a_feature_is_refused_by_its_name(bundle: Bundle, values: list[Values]) -> None:
    name = bundle.full.model.encoding.names[0]
    with pytest.raises(DataError, match=f"lacks 1 column.*{name}"):
        score_table(bundle, table_of(bundle, values).drop_columns([name]))
