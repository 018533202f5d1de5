"""How raw features become numbers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue import Catalogue
from tests.model.rows import CATALOGUE, categorical, numeric, synthetic_rows
from training.learning.encoding import MISSING, OTHER, CategoryCode, Encoding, NumberCode, learn_encoding


def learnt(values: list[float] | np.ndarray, *, scale: str = "linear") -> NumberCode | None:
    """Return the code of one numeric column, None where it is left out."""
    catalogue = Catalogue(features=(numeric("x", scale=scale),))  # type: ignore[arg-type]
    codes = learn_encoding(pd.DataFrame({"x": np.asarray(values, float)}), catalogue).codes
    assert all(isinstance(code, NumberCode) for code in codes)
    return codes[0] if codes else None  # type: ignore[return-value]


def vocabulary(values: list[str | None], *, min_rows: int = 20) -> tuple[str, ...] | None:
    catalogue = Catalogue(features=(categorical("c"),))
    codes = learn_encoding(pd.DataFrame({"c": pd.Series(values, dtype=object)}), catalogue, min_rows=min_rows).codes
    assert all(isinstance(code, CategoryCode) for code in codes)
    return codes[0].levels if codes else None  # type: ignore[union-attr]


def test_a_category_enters_the_vocabulary_from_min_rows_on() -> None:
    assert vocabulary(["b"] * 20 + ["a"] * 19 + ["c"] * 21 + [None]) == ("b", "c")


def test_at_most_sixty_categories_are_kept_the_commonest_whatever_the_order_of_rows() -> None:
    values: list[str | None] = [f"v{k:02d}" for k in range(70) for _ in range(3 + (k >= 65))]
    expected = tuple(sorted([f"v{k:02d}" for k in range(65, 70)] + [f"v{k:02d}" for k in range(55)]))
    for seed in range(3):
        shuffled = [values[k] for k in np.random.default_rng(seed).permutation(len(values))]
        assert vocabulary(shuffled, min_rows=2) == expected


def test_missing_and_other_are_two_things() -> None:
    code = CategoryCode(name="c", group="c", levels=("a", "b"))
    assert code.codes([None, math.nan, "rare", "a", "b", "MISSING"]).tolist() == [MISSING, MISSING, OTHER, 2, 3, OTHER]
    design = Encoding(codes=(code,)).design(np.array([[0.0], [1.0], [3.0]]))
    assert design.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]


def test_numbers_are_clipped_to_the_1_to_99_percent_range_extended_by_its_width() -> None:
    code = learnt(np.arange(101.0))
    assert code is not None
    assert not code.log
    assert (code.low, code.high) == pytest.approx((1 - 98, 99 + 98))
    inside, above, far_above = code.standardised(np.array([150.0, 197.0, 1e9])).tolist()
    assert inside < above == far_above


def test_logarithms_are_clipped_by_their_own_range_and_never_below_zero() -> None:
    values = np.expm1(np.linspace(1, 3, 201))
    code = learnt(values, scale="log")
    assert code is not None
    assert code.log
    low, high = np.quantile(np.log1p(values), (0.01, 0.99))
    assert code.low == 0.0
    assert code.high == pytest.approx(np.expm1(high + (high - low)))


@pytest.mark.parametrize(
    ("values", "scale", "log"),
    [
        (np.arange(100.0), "log", True),
        (np.arange(100.0), "linear", False),
        (np.arange(100.0) - 1, "log", False),
        (np.exp(np.linspace(0, 9, 100)), "linear", True),
        (-np.exp(np.linspace(0, 9, 100)), "linear", False),
    ],
    ids=["told", "even", "told-but-negative", "heavy-tailed", "heavy-tailed-to-the-left"],
)
def test_log_is_taken_where_told_or_where_the_upper_half_stretches_and_nothing_is_negative(
    values: np.ndarray, scale: str, log: bool
) -> None:
    code = learnt(values, scale=scale)
    assert code is not None
    assert code.log is log


def test_missing_numbers_read_as_the_mean_and_raise_the_indicator() -> None:
    code = learnt([*range(50), math.nan])
    assert code is not None
    design = Encoding(codes=(code,)).design(np.array([[math.nan], [code.mean]]))
    assert design.tolist() == [[0.0, 1.0], [pytest.approx(0.0), 0.0]]


def test_without_missing_values_in_the_fit_there_is_no_indicator() -> None:
    code = learnt(list(range(50)))
    assert code is not None
    assert (code.missing, code.width) == (False, 1)


@pytest.mark.parametrize("value", [0.0, 0.1, 3.3, 1e9])
@pytest.mark.parametrize("count", [3, 7, 1001])
def test_the_standard_deviation_of_equal_numbers_is_one_to_the_last_bit(value: float, count: int) -> None:
    code = learnt([value] * count + [math.nan], scale="log")
    assert code is not None
    assert code.sd == 1.0
    assert code.standardised(np.array([value, value + 1])) == pytest.approx(0, abs=1e-9)


def test_constant_and_empty_features_are_left_out() -> None:
    assert learnt([5.0] * 40) is None
    assert learnt([math.nan] * 40) is None
    assert vocabulary(["a"] * 40) is None
    assert vocabulary([None] * 40) is None
    assert vocabulary(["a"] * 40 + [None]) == ("a",)
    assert vocabulary([f"v{k}" for k in range(40)]) is None


def test_of_windows_that_hold_the_same_numbers_the_first_is_kept() -> None:
    rng = np.random.default_rng(0)
    seven = np.where(rng.random(60) < 0.5, np.nan, rng.poisson(2, 60))
    frame = pd.DataFrame({"d7": seven, "d30": seven, "d90": seven + (np.arange(60) == 5), "d7b": seven[::-1]})
    catalogue = Catalogue(features=tuple(numeric(str(name)) for name in frame))
    assert learn_encoding(frame, catalogue).names == ("d7", "d90", "d7b")


def test_equal_categories_are_not_taken_for_copies() -> None:
    values = ["a"] * 30 + ["b"] * 30
    frame = pd.DataFrame({"one": values, "two": values})
    assert learn_encoding(frame, Catalogue(features=(categorical("one"), categorical("two")))).names == ("one", "two")


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "size": st.none() | st.floats(-1e6, 1e12) | st.just(math.nan),
                "visits": st.floats(0, 1e4),
                "silence": st.none() | st.floats(0, 1e4),
                "source": st.sampled_from(["fair", "webinar", "never seen", None]),
                "noise": st.floats(-1e3, 1e3),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_the_matrix_of_a_frame_is_the_row_of_each_lead(leads: list[dict[str, float | str | None]]) -> None:
    frame = pd.DataFrame(leads).astype(dict.fromkeys(("size", "visits", "silence", "noise"), float))
    rows = np.vstack([ENCODING.tree_row(lead) for lead in leads])
    np.testing.assert_array_equal(ENCODING.tree_matrix(frame), rows)


def test_an_absent_feature_is_missing() -> None:
    row = ENCODING.tree_row({})
    assert np.isnan(row[0, [0, 1, 2, 4]]).all()
    assert row[0, 3] == MISSING


def test_columns_are_found_by_name_and_not_by_position() -> None:
    rows = synthetic_rows(50, seed=3)
    turned = rows.frame[list(reversed(rows.frame.columns))]
    np.testing.assert_array_equal(ENCODING.tree_matrix(turned), ENCODING.tree_matrix(rows.frame))


def test_learning_is_the_same_in_any_order_of_rows_but_for_the_last_bits() -> None:
    rows = synthetic_rows(400, seed=1)
    first, again = (learn_encoding(rows.frame, CATALOGUE) for _ in range(2))
    assert first == again
    turned = learn_encoding(rows.frame.iloc[::-1].reset_index(drop=True), CATALOGUE)
    assert turned.names == first.names
    for one, other in zip(first.codes, turned.codes, strict=True):
        if isinstance(one, NumberCode) and isinstance(other, NumberCode):
            assert (one.low, one.high, one.log, one.missing) == (other.low, other.high, other.log, other.missing)
            assert (other.mean, other.sd) == pytest.approx((one.mean, one.sd), rel=1e-12)
        else:
            assert one == other


def test_json_gives_back_the_very_same_encoding() -> None:
    again = Encoding.model_validate_json(ENCODING.model_dump_json())
    assert again == ENCODING
    assert [type(code) for code in again.codes] == [type(code) for code in ENCODING.codes]


def test_positions_signs_and_owners_follow_the_catalogue() -> None:
    assert ENCODING.names == CATALOGUE.names
    assert ENCODING.categorical == [3]
    assert ENCODING.monotone == [0, 1, -1, 0, 0]
    assert ENCODING.owners.tolist() == [0, 0, 1, 2, 2, 3, 3, 3, 3, 3, 4]


ENCODING = learn_encoding(synthetic_rows(400, seed=1).frame, CATALOGUE)


def test_a_column_at_once_has_the_codes_of_its_values_one_by_one() -> None:
    code = CategoryCode(name="source", group="source", levels=("fair", "web"))
    values = np.array(["web", None, "fair", "new", np.nan, "web"], dtype=object)
    assert code.column(pd.Series(values, dtype=object)).tolist() == code.codes(values).tolist() == [3, 0, 2, 1, 0, 3]
