"""Segments cover every judged row once, and each is worth its line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.clock import DAY_US, parse_moment, to_us
from training.evaluation.segments import MISSING, OTHER, months_of, segments_of


def spine_of(ages: list[float], *, as_of: str = "2026-05-01", monthly: int = 0) -> pd.DataFrame:
    moment = to_us(parse_moment(as_of))
    started = [moment - round(age * DAY_US) for age in ages]
    return pd.DataFrame({"as_of_us": moment, "t0_us": started, "created_us": 0, "monthly": monthly})


def cut(values: Sequence[str | None], *, least: int, column: str = "source") -> list[str] | None:
    found = segments_of(pd.DataFrame({column: list(values)}, dtype=object), spine_of([1.0] * len(values)), least=least)
    labels = found.get("source" if column == "source" else "industry")
    return None if labels is None else labels.tolist()


def test_rare_values_are_put_together_and_missing_is_a_value() -> None:
    told = cut(["fair"] * 5 + ["search"] * 4 + [None] * 4 + ["post"] * 3 + ["fax"], least=4)
    assert told is not None
    assert Counter(told) == {"fair": 5, "search": 4, MISSING: 4, OTHER: 4}
    assert told[-4:] == [OTHER] * 4


def test_too_few_rare_rows_take_the_rarest_segment_with_them() -> None:
    told = cut(["fair"] * 9 + ["search"] * 6 + ["post"] * 4 + ["fax"], least=4)
    assert told is not None
    assert Counter(told) == {"fair": 9, "search": 6, OTHER: 5}


def test_one_segment_is_no_cut() -> None:
    assert cut(["fair"] * 9 + ["post"], least=4) is None
    assert cut([f"own {i}" for i in range(20)], least=4) is None
    assert segments_of(pd.DataFrame(index=range(3)), spine_of([1.0] * 3), least=1) == {}


def test_a_column_of_endless_values_gives_few_lines() -> None:
    told = cut([f"v{i % 30}" for i in range(600)], least=10)
    assert told is not None
    assert len(set(told)) == 9


@pytest.mark.parametrize("column", ["industry", "account_industry"])
def test_industry_is_found_under_either_name(column: str) -> None:
    assert cut(["a", "b"] * 5, least=5, column=column) == ["a", "b"] * 5


def test_bands_of_age_begin_where_they_say_and_small_ones_join_their_neighbour() -> None:
    ages = [0.0, 6.99, 7.0, 29.9, 30.0, 89.0, 90.0, 180.0, 900.0]
    every = segments_of(pd.DataFrame(index=range(9)), spine_of(ages), least=1)["age"].tolist()
    assert every == [
        *(["0-7 days"] * 2 + ["7-30 days"] * 2 + ["30-90 days"] * 2),
        *(["90-180 days"] + ["over 180 days"] * 2),
    ]
    assert segments_of(pd.DataFrame(index=range(9)), spine_of(ages), least=3)["age"].tolist() == (
        ["0-30 days"] * 4 + ["over 30 days"] * 5
    )


def test_without_t0_the_age_counts_from_creation() -> None:
    spine = spine_of([1.0, 40.0]).drop(columns="t0_us")
    spine["created_us"] = spine["as_of_us"] - np.array([8, 100]) * DAY_US
    assert segments_of(pd.DataFrame(index=range(2)), spine, least=1)["age"].tolist() == ["0-30 days", "over 30 days"]


def test_months_are_those_of_the_cross_sections_and_only_theirs() -> None:
    spine = pd.concat([spine_of([1.0] * 2, as_of=day, monthly=1) for day in ("2026-05-01", "2026-06-01")])
    spine = spine.reset_index(drop=True)
    frame = pd.DataFrame(index=range(4))
    assert segments_of(frame, spine)["month"].tolist() == ["2026-05", "2026-05", "2026-06", "2026-06"]
    assert "month" not in segments_of(frame, spine.assign(monthly=0))
    assert months_of(spine).tolist() == ["2026-05", "2026-05", "2026-06", "2026-06"]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60), st.integers(1, 12))
def test_every_row_has_one_band_and_every_band_enough_rows(ages: list[int], least: int) -> None:
    found = segments_of(pd.DataFrame(index=range(len(ages))), spine_of([float(a) for a in ages]), least=least)
    if "age" in found:
        counts = Counter(found["age"].tolist())
        assert None not in counts
        assert sum(counts.values()) == len(ages)
        assert min(counts.values()) >= least
