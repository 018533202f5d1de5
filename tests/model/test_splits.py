"""Forward in time: what is fitted has closed before what is judged begins, whatever the history and the plan."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.clock import DAY_US, from_us, iso
from data.errors import DataError
from data.settings import Plan
from tests.model.rows import synthetic_rows
from training.learning.splits import JudgeSplit, account_folds, forward_folds, judge_split

MONTH_US = 30 * DAY_US
AGES_DAYS = (1.0, 7.0, 30.0)


def drawn_spine(seed: int, *, leads: int, months: int, horizon_days: int, settle_days: int) -> pd.DataFrame:
    """Return snapshots at three ages and on monthly cross-sections of leads created at random."""
    rng = np.random.default_rng(seed)
    created = rng.integers(0, months * MONTH_US, leads)
    parts: list[dict[str, Any]] = []
    for lead, at in enumerate(created.tolist()):
        aged = [(at + round(days * DAY_US), 0, round(days * DAY_US)) for days in AGES_DAYS]
        listed = [
            (month * MONTH_US, 1, None) for month in range(1, months + 4) if at < month * MONTH_US < at + 4 * MONTH_US
        ]
        for as_of, monthly, age in (*aged, *listed):
            parts.append(
                {"lead_id": f"l{lead}", "created_us": at, "as_of_us": as_of, "monthly": monthly, "age_us": age}
            )
    spine = pd.DataFrame(parts).astype({"age_us": float})
    spine["mature_us"] = spine["as_of_us"] + (horizon_days + settle_days) * DAY_US
    spine["y_obs"] = (rng.random(len(spine)) < 0.3).astype(np.int64)
    spine["cluster"] = [f"a{int(lead[1:]) % max(leads // 2, 1)}" for lead in spine["lead_id"]]
    return spine.sort_values(["as_of_us", "lead_id"], ignore_index=True)


def moment(months: float | None) -> str | None:
    return None if months is None else iso(from_us(round(months * MONTH_US)))


def assert_forward(spine: pd.DataFrame, split: JudgeSplit) -> None:
    assert split.judged.any()
    assert spine["mature_us"].to_numpy()[split.fit].max() <= split.judge_from_us
    assert spine["as_of_us"].to_numpy()[split.judged].min() >= split.judge_from_us
    assert not (split.fit & split.judged).any()
    won = spine["y_obs"].to_numpy()[split.fit]
    assert won.min() < won.max()


PLANS = st.fixed_dictionaries(
    {
        "judge_age_days": st.none() | st.sampled_from(AGES_DAYS),
        "judge_from": st.none() | st.floats(2, 14),
        "judge_until": st.none() | st.floats(6, 20),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(30, 80), st.integers(3, 14), st.integers(5, 90), st.integers(0, 40), PLANS)
def test_every_fit_label_closes_and_settles_before_the_judged_part_begins(
    seed: int, leads: int, months: int, horizon: int, settle: int, told: dict[str, Any]
) -> None:
    spine = drawn_spine(seed, leads=leads, months=months, horizon_days=horizon, settle_days=settle)
    plan = Plan(
        judge_age_days=told["judge_age_days"],
        judge_from=moment(told["judge_from"]),
        judge_until=moment(told["judge_until"]),
    )
    try:
        split = judge_split(spine, plan)
    except DataError:
        # Too short a history; what it is told, other tests hold.
        return
    assert_forward(spine, split)
    judged = spine[split.judged]
    if plan.judge_age_days is None:
        assert (judged["monthly"] == 1).all()
        assert len(judged["as_of_us"].unique()) <= 6 or plan.judge_from
    else:
        assert (judged["age_us"] == plan.judge_age_days * DAY_US).all()
        assert not judged["lead_id"].duplicated().any()


def test_the_last_third_of_the_months_is_judged_at_most_six() -> None:
    for months, judged in ((3, 1), (9, 3), (30, 6)):
        spine = drawn_spine(1, leads=400, months=months, horizon_days=5, settle_days=0)
        # A cross-section a month, the first one after 30 days.
        spine = spine[(spine["monthly"] == 0) | (spine["as_of_us"] <= months * MONTH_US)].reset_index(drop=True)
        split = judge_split(spine, Plan())
        assert_forward(spine, split)
        assert len(spine["as_of_us"][split.judged].unique()) == judged
        assert spine["as_of_us"][split.judged].max() == months * MONTH_US


@pytest.mark.parametrize("age", [None, 7.0])
def test_the_judged_part_keeps_to_the_plans_half_open_range(age: float | None) -> None:
    spine = drawn_spine(2, leads=300, months=12, horizon_days=5, settle_days=2)
    split = judge_split(spine, Plan(judge_age_days=age, judge_from=moment(6), judge_until=moment(8)))
    assert_forward(spine, split)
    at = spine["as_of_us" if age is None else "created_us"][split.judged]
    assert at.min() >= 6 * MONTH_US
    assert at.max() < 8 * MONTH_US
    assert split.judge_from_us == 6 * MONTH_US


def test_a_history_too_short_for_the_horizon_is_told_in_numbers() -> None:
    spine = drawn_spine(3, leads=60, months=3, horizon_days=400, settle_days=0)
    with pytest.raises(DataError, match="leaves 0 rows to fit with 0 won") as caught:
        judge_split(spine, Plan())
    assert "longer history" in caught.value.hint


@pytest.mark.parametrize("won", [0, 1])
def test_one_class_in_the_fit_rows_is_refused(won: int) -> None:
    spine = drawn_spine(4, leads=60, months=12, horizon_days=5, settle_days=0).assign(y_obs=won)
    with pytest.raises(DataError, match="to fit with"):
        judge_split(spine, Plan())


def test_a_plan_whose_age_or_months_were_never_photographed_is_told_what_to_change() -> None:
    spine = drawn_spine(4, leads=60, months=12, horizon_days=5, settle_days=0)
    with pytest.raises(DataError, match="0 to judge") as caught:
        judge_split(spine, Plan(judge_age_days=2.5))
    assert "ages_days" in caught.value.hint
    with pytest.raises(DataError, match="0 to judge") as caught:
        judge_split(spine.assign(monthly=0), Plan(monthly=False))
    assert "judge_age_days" in caught.value.hint


@pytest.mark.parametrize("seed", range(4))
def test_purged_folds_fit_only_labels_that_closed_before_validation(seed: int) -> None:
    spine = drawn_spine(seed, leads=500, months=14, horizon_days=30, settle_days=3)
    folds = forward_folds(spine, monthly_only=True)
    assert len(folds) == 3
    for fold in folds:
        assert fold.purged
        start = spine["as_of_us"][fold.validate].min()
        assert spine["mature_us"][fold.fit].max() <= start
        assert (spine["monthly"][fold.validate] == 1).all()
        assert spine["y_obs"][fold.fit].sum() >= 20


@pytest.mark.parametrize("seed", range(4))
def test_folds_follow_each_other_and_share_the_later_half_of_the_wins(seed: int) -> None:
    spine = drawn_spine(seed, leads=800, months=14, horizon_days=10, settle_days=0)
    folds = forward_folds(spine, monthly_only=False)
    edges = [(spine["as_of_us"][f.validate].min(), spine["as_of_us"][f.validate].max()) for f in folds]
    assert all(before[1] < after[0] for before, after in pairwise(edges))
    wins = [int(spine["y_obs"][f.validate].sum()) for f in folds]
    assert sum(wins) == pytest.approx(spine["y_obs"].sum() / 2, rel=0.1)
    assert max(wins) < 1.5 * min(wins)


def test_unpurged_folds_say_so_and_never_fit_an_account_that_they_validate() -> None:
    spine = drawn_spine(5, leads=600, months=5, horizon_days=400, settle_days=0)
    folds = forward_folds(spine, monthly_only=True)
    assert folds
    for fold in folds:
        assert not fold.purged
        assert spine["as_of_us"][fold.fit].max() < spine["as_of_us"][fold.validate].min()
        assert not set(spine["cluster"][fold.fit]) & set(spine["cluster"][fold.validate])


def test_folds_without_enough_outcomes_are_left_out() -> None:
    spine = drawn_spine(6, leads=60, months=12, horizon_days=10, settle_days=0)
    assert forward_folds(spine.assign(y_obs=0), monthly_only=True) == ()
    assert forward_folds(spine.assign(y_obs=1), monthly_only=True) == ()
    few = np.zeros(len(spine), np.int64)
    few[::40] = 1
    assert forward_folds(spine.assign(y_obs=few), monthly_only=True) == ()


@given(st.lists(st.text(max_size=8), min_size=1, max_size=60), st.integers(2, 7))
def test_accounts_never_straddle_folds_and_keep_theirs_in_any_company(accounts: list[str], count: int) -> None:
    clusters = np.array(accounts, dtype=object)
    folds = account_folds(clusters, count)
    assert folds.min() >= 0
    assert folds.max() < count
    assert len(set(zip(accounts, folds.tolist(), strict=True))) == len(set(accounts))
    assert account_folds(clusters[::-1], count).tolist() == folds[::-1].tolist()


def test_account_folds_are_of_about_equal_size() -> None:
    folds = account_folds(synthetic_rows(2000, seed=1).clusters)
    assert np.bincount(folds).min() > 500
