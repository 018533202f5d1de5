"""The review of a scorecard finds what was planted: true points, a useless rule, a wrong sign, silent rules."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.clock import DAY_US, parse_moment, to_us
from data.errors import DataError
from data.settings import Plan
from features.scorecard import Condition, read_scorecard
from tests.model.rules_world import TEMPLATE, TRUE_CARD, planted_rows, true_points
from training.evaluation.metrics import lift_at, roc_auc, wins_at
from training.learning.recipe import Rows
from training.rules.history import learn_weights, listed, patterns_of
from training.rules.judging import PRIOR, fitting_threshold, judge_cards
from training.rules.picture import draw_points
from training.rules.review import CARD, RulesReview, review_scorecard
from training.rules.silence import why_silent

SEEDS = (1, 2, 3)


def reviewed(card: Any, rows: Rows, *, capacity: int = 40, plan: Plan | None = None) -> RulesReview:
    return review_scorecard(card, rows, capacity=capacity, rng=np.random.default_rng(0), plan=plan)


@pytest.fixture(scope="module")
def template_review() -> RulesReview:
    return reviewed(TEMPLATE, planted_rows(8000, seed=1))


def test_a_right_card_is_supported_point_by_point() -> None:
    found = [rule for seed in range(8) for rule in reviewed(TRUE_CARD, planted_rows(8000, seed=seed)).rules]
    assert np.mean([abs(rule.supported.value - rule.history.points) for rule in found]) < 2
    inside = [rule.supported.low <= rule.history.points <= rule.supported.high for rule in found]
    assert np.mean(inside) >= 0.85
    assert {rule.verdict for rule in found} <= {"supported", "fewer points", "more points"}


def test_what_was_planted_in_the_template_is_found(template_review: RulesReview) -> None:
    verdicts = {rule.history.rule: rule.verdict for rule in template_review.rules}
    assert verdicts["source = list"] == "wrong way"
    assert verdicts["region = north"] == "no evidence"
    assert verdicts["whitepapers >= 2"] == "more points"
    assert verdicts["legacy = golden"] == verdicts["empty > 5"] == "never fires"


def test_a_silent_rule_says_why_and_has_no_points_of_history(template_review: RulesReview) -> None:
    silent = {rule.history.rule: rule for rule in template_review.rules if rule.verdict == "never fires"}
    assert silent["legacy = golden"].why == "the value asked of legacy was never seen; did you mean gold?"
    assert silent["empty > 5"].why == "empty was never filled"
    assert all(math.isnan(rule.supported.value) for rule in silent.values())


def test_lift_and_win_rates_are_those_of_the_rows(template_review: RulesReview) -> None:
    rows = planted_rows(8000, seed=1)
    fires = (rows.frame["whitepapers"] >= 2).to_numpy()
    (rule,) = [rule for rule in template_review.rules if rule.history.rule == "whitepapers >= 2"]
    rates = rows.y_obs[fires].mean(), rows.y_obs[~fires].mean()
    assert (rule.history.rate_fired, rule.history.rate_else) == pytest.approx(rates)
    assert rule.history.lift.value == pytest.approx(rates[0] / rates[1])
    assert rule.history.lift.low < rule.history.lift.value < rule.history.lift.high


def test_the_interval_of_a_lift_is_wider_where_accounts_share_their_fate() -> None:
    rows = planted_rows(3000, seed=4)
    alone = replace(rows, spine=rows.spine.assign(cluster=[f"c{k}" for k in range(len(rows.spine))]))
    # Ten copies of each row under one account hold no more than one of them does.
    ten = np.repeat(np.arange(len(rows.spine)), 10)
    first, second = (reviewed(TRUE_CARD, told).rules[0] for told in (alone, alone.take(ten)))
    for one, same in ((first.history.lift, second.history.lift), (first.supported, second.supported)):
        assert same.high - same.low == pytest.approx(one.high - one.low, rel=0.25)


def test_the_scale_of_the_card_is_kept(template_review: RulesReview) -> None:
    telling = [rule for rule in template_review.rules if not math.isnan(rule.supported.value)]
    now = sum(abs(rule.history.points) for rule in telling)
    assert sum(abs(rule.supported.value) for rule in telling) == pytest.approx(now)


def test_pools_hold_every_row_and_thresholds_fit_capacity(template_review: RulesReview) -> None:
    rows = planted_rows(8000, seed=1)
    assert sum(pool.rows for pool in template_review.pools) == 8000
    assert sum(pool.wins for pool in template_review.pools) == rows.y_obs.sum()
    points = TEMPLATE.points(rows.frame)
    recent = rows.spine["as_of_us"].isin(np.unique(rows.spine["as_of_us"])[-6:]).to_numpy()
    fit = template_review.fitting
    assert (points[recent] >= fit.threshold).sum() / 6 == pytest.approx(fit.leads_a_month)
    assert fit.leads_a_month <= 44 < (fit.lower_leads_a_month or math.inf)


def test_a_threshold_that_cannot_fit_says_so() -> None:
    found = fitting_threshold(np.zeros(100), np.zeros(100, np.int64), 10)
    assert (found.threshold, found.leads_a_month, found.fits, found.lower) == (0, 100.0, False, None)


@pytest.mark.parametrize("seed", SEEDS)
def test_figures_are_those_of_the_metrics(seed: int) -> None:
    rows = planted_rows(3000, seed=seed)
    on_lists = listed(rows, Plan())
    judged = judge_cards(on_lists, {CARD: TEMPLATE}, capacity=7, rng=np.random.default_rng(seed))
    points, lists = TEMPLATE.points(rows.frame), on_lists.lists
    assert judged.figure(CARD, "roc_auc").value == pytest.approx(roc_auc(rows.y_obs, points))
    assert judged.figure(CARD, "lift_at_10").value == pytest.approx(lift_at(rows.y_obs, points))
    caught = wins_at(rows.y_obs, points, capacity=7, periods=lists)
    assert judged.figure(CARD, "wins_at_capacity").value == pytest.approx(caught)
    chance = wins_at(rows.y_obs, np.zeros(len(points)), capacity=7, periods=lists)
    assert judged.figure(PRIOR, "wins_at_capacity").value == pytest.approx(chance)
    month = judged.months[3]
    inside = lists == on_lists.months[3]
    assert judged.figure(CARD, "roc_auc", group=month).value == pytest.approx(
        roc_auc(rows.y_obs[inside], points[inside])
    )
    assert judged.behind(PRIOR, "roc_auc").value == pytest.approx(roc_auc(rows.y_obs, points) - 0.5)


def test_a_month_without_a_win_has_no_auc_and_stops_nothing() -> None:
    rows = planted_rows(3000, seed=5)
    last = rows.spine["as_of_us"] == rows.spine["as_of_us"].max()
    rows = replace(rows, spine=rows.spine.assign(y_obs=rows.spine["y_obs"].where(~last, 0)))
    review = reviewed(TEMPLATE, rows)
    figure = review.judged.figure(CARD, "roc_auc", group=review.judged.months[-1])
    assert math.isnan(figure.value)
    assert math.isfinite(review.judged.figure(CARD, "roc_auc").low)


def test_every_figure_is_json(template_review: RulesReview) -> None:
    told = json.loads(json.dumps(template_review.as_dict(), allow_nan=False))
    assert len(told["rules"]) == len(TEMPLATE.rules)
    assert told["rules"][-1]["supported_points"] is None
    assert {row["group"] for row in told["figures"]} == {"all", *template_review.judged.months}


def test_few_wins_get_figures_and_no_verdict() -> None:
    review = reviewed(TRUE_CARD, planted_rows(300, seed=6))
    assert review.judged.wins < 100
    assert review.verdict() == f"too few wins to judge the rules: {review.judged.wins} of 100"


def test_one_age_is_judged_by_calendar_month() -> None:
    rows = planted_rows(3000, seed=7)
    aged = replace(rows, spine=rows.spine.assign(monthly=0, age_us=DAY_US))
    review = reviewed(TRUE_CARD, aged, plan=Plan(judge_age_days=1, monthly=False))
    assert review.judged.months[0] == "1970-01-01"
    assert review.judged.n == 3000
    with pytest.raises(DataError, match="stood on a monthly list"):
        reviewed(TRUE_CARD, aged)


def test_a_rule_that_reads_what_is_not_there_is_refused_by_name() -> None:
    rows = planted_rows(300, seed=8)
    without = Rows(rows.frame.drop(columns="whitepapers"), rows.spine, rows.catalogue)
    with pytest.raises(DataError, match="whitepapers"):
        reviewed(TRUE_CARD, without)


def test_weights_of_patterns_are_those_of_the_rows() -> None:
    rng = np.random.default_rng(9)
    fired, lists = rng.random((4000, 2)) < 0.4, rng.integers(0, 4, 4000)
    margin = -1 + 1.2 * fired[:, 0] - 0.7 * fired[:, 1] + 0.3 * lists
    y_obs = (rng.random(4000) < 1 / (1 + np.exp(-margin))).astype(np.int64)
    found = learn_weights(patterns_of(fired, y_obs, lists), strength=1e-6).conditions
    assert found == pytest.approx([1.2, -0.7], abs=0.2)
    held = learn_weights(patterns_of(fired, y_obs, lists), signs=(-1, 1)).conditions
    assert held.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ({"feature": "size", "above": 500}, "size was never above 500: the largest is 480"),
        ({"feature": "size", "at_most": 1}, "size was never at most 1: the smallest is 20"),
        ({"feature": "size", "above": 100, "below": 50}, "the bounds on size hold one by one and never together"),
        ({"feature": "gone", "above": 1}, "gone was never filled"),
        ({"feature": "size", "missing": True}, "size was always filled"),
        ({"feature": "word", "above": 1}, "word holds texts, which are never above a number"),
        ({"feature": "word", "in": ["x", "y"]}, "none of the 2 values asked of word was ever seen; common are trade"),
        ({"feature": "seniority", "at_least": "vp"}, "seniority was never at least vp: seen were staff"),
        (
            {"all": [{"feature": "size", "above": 100}, {"feature": "size", "below": 50}]},
            "its conditions hold one by one and never together",
        ),
        (
            {"any": [{"feature": "gone", "above": 1}, {"feature": "size", "above": 900}]},
            "gone was never filled and size was never above 900: the largest is 480",
        ),
        ({"not": {"feature": "size", "above": 1}}, "what it excludes holds wherever it can be told"),
    ],
)
def test_why_a_condition_is_silent(when: dict[str, Any], why: str) -> None:
    frame = pd.DataFrame(
        {
            "size": [20.0, 480.0] * 15,
            "gone": [np.nan] * 30,
            "word": np.array(["trade"] * 29 + ["Ada Lovelace"], dtype=object),
            "seniority": np.array(["staff"] * 30, dtype=object),
        }
    )
    assert why_silent(Condition.model_validate(when), {}, frame) == why


def test_a_rare_value_is_never_told() -> None:
    frame = pd.DataFrame({"word": np.array(["trade"] * 29 + ["Ada Lovelace"], dtype=object)})
    told = why_silent(Condition.model_validate({"feature": "word", "equals": "Ada Lovelac"}), {}, frame)
    assert "Ada" not in told


def test_the_picture_is_the_same_bytes_twice_and_shows_another_card_otherwise(
    template_review: RulesReview, tmp_path: Any
) -> None:
    first, second = (draw_points(template_review, tmp_path / f"{k}.svg").read_bytes() for k in (1, 2))
    assert first == second
    other = draw_points(reviewed(TRUE_CARD, planted_rows(2000, seed=1)), tmp_path / "other.svg").read_bytes()
    assert other != first


def test_the_order_by_true_points_is_better_than_the_templates() -> None:
    rows = planted_rows(8000, seed=1)
    cards = {"true": TRUE_CARD, "template": TEMPLATE}
    judged = judge_cards(listed(rows, Plan()), cards, capacity=40, rng=np.random.default_rng(0))
    assert judged.behind("template", "wins_at_capacity").low > 0
    assert judged.figure("true", "roc_auc").value == pytest.approx(roc_auc(rows.y_obs, true_points(rows.frame)))


def test_a_list_has_the_day_of_the_zone_that_it_was_drawn_up_in() -> None:
    rows = planted_rows(600, seed=2)
    # Midnight of the first of March in Shanghai is still February in UTC.
    march = to_us(parse_moment("2026-02-28T16:00:00Z"))
    moved = replace(
        rows,
        spine=rows.spine.assign(as_of_us=march),
        catalogue=rows.catalogue.model_copy(update={"timezone": "Asia/Shanghai"}),
    )
    assert listed(moved, Plan()).days == ("2026-03-01",)


def test_rules_that_fire_on_every_lead_are_told() -> None:
    card = read_scorecard(
        {
            "name": "all",
            "rules": [
                {"rule": "always", "when": {"feature": "whitepapers", "at_least": 0}, "points": 5},
                {"rule": "some", "when": {"feature": "whitepapers", "at_least": 2}, "points": 5},
            ],
            "pools": [{"pool": "rest"}],
        }
    )
    review = reviewed(card, planted_rows(3000, seed=2))
    assert [rule.verdict for rule in review.rules] == ["always fires", "supported"]
    assert "always fires on every lead and tells none apart" in review.findings()
