"""The rules say what their author wrote, for one lead and for a table alike."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import DataError
from features.scorecard import DEFAULT_SCORECARD, SENIORITY, Condition, load_scorecard, read_scorecard

FEATURES = {"employees", "whitepaper_downloads_30d", "seniority", "industry"}
HOT: dict[str, Any] = {
    "employees": 800.0,
    "whitepaper_downloads_30d": 2.0,
    "seniority": "vp",
    "industry": "medical devices",
}


def card(when: dict[str, Any], **more: Any) -> Any:
    raw = {"name": "t", "rules": [{"rule": "r", "when": when, "points": 7}], "pools": [{"pool": "C"}], **more}
    return read_scorecard(raw)


def fires(when: dict[str, Any], values: dict[str, Any]) -> bool:
    return bool(card(when).evaluate(values).fired)


def test_the_default_gives_every_rule_and_pool_a_to_the_hottest_lead() -> None:
    result = load_scorecard(features=FEATURES).evaluate(HOT)
    assert [(fired.rule, fired.points) for fired in result.fired] == [
        ("employees > 500", 30),
        ("whitepapers_30d >= 2", 20),
        ("seniority >= vp", 25),
        ("industry in target", 15),
    ]
    assert (result.points, result.pool, result.assign_within_minutes, result.to) == (90, "A", 30, "top seller")
    assert all(set(fired.words) == {"en", "zh"} for fired in result.fired)


@pytest.mark.parametrize(
    ("changed", "points", "pool", "minutes"),
    [
        ({"employees": 500.0}, 60, "B", 1440),
        ({"employees": 500.001}, 90, "A", 30),
        ({"whitepaper_downloads_30d": 1.0}, 70, "B", 1440),
        ({"seniority": "director"}, 65, "B", 1440),
        ({"seniority": "c_level"}, 90, "A", 30),
        ({"industry": "retail"}, 75, "B", 1440),
        ({"industry": "Medical Devices "}, 90, "A", 30),
        ({"employees": None, "seniority": None}, 35, "C", None),
        ({"employees": math.nan, "seniority": "no level we know"}, 35, "C", None),
    ],
)
def test_each_default_rule_turns_at_its_threshold(
    changed: dict[str, Any], points: int, pool: str, minutes: int | None
) -> None:
    result = load_scorecard().evaluate({**HOT, **changed})
    assert (result.points, result.pool, result.assign_within_minutes) == (points, pool, minutes)


def test_exactly_80_points_are_not_over_80() -> None:
    raw = yaml.safe_load(DEFAULT_SCORECARD.read_text(encoding="utf-8"))
    raw["rules"] = [{"rule": "r", "when": {"feature": "x", "missing": True}, "points": 80}]
    assert read_scorecard(raw).evaluate({}).pool == "B"
    raw["rules"][0]["points"] = 81
    assert read_scorecard(raw).evaluate({}).pool == "A"


def test_target_industries_can_be_replaced() -> None:
    ours = load_scorecard(target_industries=("aerospace",))
    assert ours.evaluate({"industry": "aerospace"}).points == 15
    assert ours.evaluate({"industry": "software"}).points == 0


@pytest.mark.parametrize(
    ("when", "values", "held"),
    [
        ({"feature": "x", "above": 1, "below": 3}, {"x": 2.0}, True),
        ({"feature": "x", "above": 1, "below": 3}, {"x": 3.0}, False),
        ({"feature": "x", "at_most": 3}, {"x": 3.0}, True),
        ({"feature": "x", "equals": "Web"}, {"x": "web"}, True),
        ({"feature": "x", "equals": 3}, {"x": 3.0}, True),
        ({"feature": "x", "in": [1, 2]}, {"x": 2.0}, True),
        ({"feature": "x", "above": 1}, {"x": "many"}, False),
        ({"feature": "x", "missing": True}, {}, True),
        ({"feature": "x", "missing": True}, {"x": 0.0}, False),
        ({"feature": "x", "missing": False}, {"x": math.nan}, False),
        ({"not": {"feature": "x", "above": 1}}, {"x": 1.0}, True),
        ({"not": {"feature": "x", "above": 1}}, {}, False),
        ({"any": [{"feature": "x", "above": 1}, {"feature": "y", "above": 1}]}, {"y": 2.0}, True),
        ({"all": [{"feature": "x", "above": 1}, {"feature": "y", "above": 1}]}, {"y": 2.0}, False),
        ({"not": {"all": [{"feature": "x", "above": 1}, {"feature": "y", "above": 1}]}}, {"y": 0.0}, True),
        ({"feature": "seniority", "below": "manager"}, {"seniority": "staff"}, True),
    ],
)
def test_conditions_mean_what_they_say_and_missing_values_never_speak(
    when: dict[str, Any], values: dict[str, Any], held: bool
) -> None:
    assert fires(when, values) is held


@pytest.mark.parametrize(
    ("when", "named"),
    [
        ({"feature": "x", "abov": 1}, "abov"),
        ({"feature": "x"}, "no comparison"),
        ({}, "exactly one of"),
        ({"feature": "x", "above": 1, "any": [{"feature": "y", "above": 1}]}, "exactly one of"),
        ({"not": {"feature": "x", "above": 1}, "above": 2}, "belong to a feature"),
        ({"feature": "x", "above": "vp"}, "ordered comparison"),
        ({"feature": "seniority", "above": "emperor"}, "ordered comparison"),
        ({"feature": "x", "in": "nowhere"}, "no list 'nowhere'"),
        ({"feature": "country", "equals": False}, "quote the word"),
        ({"feature": "country", "in": ["DE", False]}, "quote the word"),
        ({"feature": "x", "missing": True, "above": 1}, "stands alone"),
        ({"any": []}, "any"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused_by_name(when: dict[str, Any], named: str) -> None:
    with pytest.raises(DataError, match=named):
        card(when)


@pytest.mark.parametrize(
    "pools",
    [
        [{"pool": "A", "above": 10}],
        [{"pool": "C"}, {"pool": "A", "above": 10}],
        [{"pool": "B", "above": 10}, {"pool": "A", "above": 20}, {"pool": "C"}],
        [{"pool": "A", "above": 10, "at_least": 10}, {"pool": "C"}],
        [],
    ],
)
def test_pools_that_leave_leads_over_or_never_fill_are_refused(pools: list[dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="pool"):
        card({"feature": "x", "above": 1}, pools=pools)


def test_a_feature_that_the_catalogue_lacks_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="whitepaper_downloads_30d"):
        load_scorecard(features=FEATURES - {"whitepaper_downloads_30d"})


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Any) -> None:
    (tmp_path / "bad.yaml").write_text("rules: [", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read"):
        load_scorecard(tmp_path / "bad.yaml")


def test_a_table_without_a_feature_that_a_rule_reads_is_refused() -> None:
    with pytest.raises(DataError, match="seniority"):
        load_scorecard().points(
            pd.DataFrame({"employees": [1.0], "industry": ["x"], "whitepaper_downloads_30d": [1.0]})
        )


def test_a_scorecard_survives_being_written_and_read() -> None:
    before = load_scorecard(target_industries=("aerospace",))
    assert read_scorecard(before.model_dump(mode="json", by_alias=True, exclude_none=True)) == before


def test_reading_one_lead_needs_neither_pandas_nor_numpy() -> None:
    code = (
        "import sys; from features.scorecard import load_scorecard; load_scorecard().evaluate({'employees': 900.0});"
        "raise SystemExit(any(m in sys.modules for m in ('pandas', 'numpy', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


NUMBERS = st.one_of(st.none(), st.just(math.nan), st.integers(0, 4).map(float))
WORDS = st.sampled_from([None, "a", "B", "b", "c"])
LEVELS = st.sampled_from([None, "unheard of", *SENIORITY])
ROWS = st.lists(st.fixed_dictionaries({"x": NUMBERS, "y": WORDS, "seniority": LEVELS}), min_size=1, max_size=8)
ORDERED = st.sampled_from(["above", "at_least", "below", "at_most"])
LEAVES = st.one_of(
    st.tuples(ORDERED, st.integers(0, 4)).map(lambda t: {"feature": "x", t[0]: t[1]}),
    st.tuples(ORDERED, st.sampled_from(SENIORITY)).map(lambda t: {"feature": "seniority", t[0]: t[1]}),
    st.sampled_from(["a", "B", "d"]).map(lambda v: {"feature": "y", "equals": v}),
    st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2).map(lambda v: {"feature": "y", "in": v}),
    st.tuples(st.sampled_from(["x", "y", "seniority"]), st.booleans()).map(
        lambda t: {"feature": t[0], "missing": t[1]}
    ),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        inner.map(lambda part: {"not": part}),
    ),
    max_leaves=6,
)


def slow_truth(when: dict[str, Any], row: dict[str, Any]) -> bool | None:
    """The meaning of a condition, spelt out without any of the module's helpers."""
    if "not" in when:
        inner = slow_truth(when["not"], row)
        return None if inner is None else not inner
    if "any" in when or "all" in when:
        deciding = "any" in when
        held = [slow_truth(part, row) for part in when["any" if deciding else "all"]]
        return deciding if deciding in held else (None if None in held else not deciding)
    return slow_comparison(when, row[when["feature"]])


def slow_comparison(when: dict[str, Any], value: Any) -> bool | None:
    unknown = value is None or (isinstance(value, float) and math.isnan(value))
    if "missing" in when:
        return bool(unknown == when["missing"])
    if unknown or (when["feature"] == "seniority" and value not in SENIORITY):
        return None
    (comparison, bound), *_ = [(key, val) for key, val in when.items() if key != "feature"]
    if comparison in ("equals", "in"):
        return value.lower() in [word.lower() for word in ([bound] if comparison == "equals" else bound)]
    if when["feature"] == "seniority":
        value, bound = SENIORITY.index(value), SENIORITY.index(bound)
    reached = {"above": value > bound, "at_least": value >= bound, "below": value < bound, "at_most": value <= bound}
    return bool(reached[comparison])


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, when=CONDITIONS)
def test_one_lead_and_the_table_agree_with_the_meaning_spelt_out(
    rows: list[dict[str, Any]], when: dict[str, Any]
) -> None:
    rules = card(when)
    frame = pd.DataFrame(rows).astype({"x": float, "y": object, "seniority": object})
    expected = [7 if slow_truth(when, row) is True else 0 for row in rows]
    assert [rules.evaluate(row).points for row in rows] == expected
    assert rules.points(frame).tolist() == expected
    assert rules.points(frame.astype({"y": "category"})).tolist() == expected


def test_points_of_a_table_agree_with_single_leads_for_the_default() -> None:
    rng = np.random.default_rng(3)
    n = 500
    frame = pd.DataFrame(
        {
            "employees": np.where(rng.random(n) < 0.2, np.nan, rng.integers(1, 1000, n)),
            "whitepaper_downloads_30d": rng.integers(0, 4, n).astype(float),
            "seniority": rng.choice(np.array([None, *SENIORITY], dtype=object), n),
            "industry": rng.choice(np.array([None, "software", "retail"], dtype=object), n),
        }
    )
    rules = load_scorecard()
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in frame.to_dict(orient="records")]
    single = [rules.evaluate(row).points for row in rows]
    assert rules.points(frame).tolist() == single
    assert len(set(single)) > 5


def test_features_of_nested_conditions_are_all_found() -> None:
    nested = Condition.model_validate(
        {"any": [{"not": {"feature": "a", "above": 1}}, {"feature": "b", "missing": True}]}
    )
    assert nested.features() == {"a", "b"}
