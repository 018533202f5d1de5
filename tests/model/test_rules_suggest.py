"""A suggested scorecard recovers what was planted, is one a person accepts, and never sees the judged outcomes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.errors import DataError
from data.settings import Plan
from features.catalogue import build_catalogue
from features.scorecard import Condition, Scorecard, load_scorecard, read_scorecard
from tests.model.rules_world import CATALOGUE, TEMPLATE, TRUE_CARD, planted_rows, true_points
from training.evaluation.metrics import roc_auc
from training.learning.recipe import Rows
from training.learning.splits import judge_split
from training.rules.conditions import candidates, direction_of, holds, round_thresholds
from training.rules.file import suggestion_yaml, write_suggestion
from training.rules.history import listed
from training.rules.suggest import CURRENT, SUGGESTED, Suggestion, suggest_scorecard

SEEDS = (1, 2, 3, 4)
FRESH = 99


def suggested(rows: Rows, *, current: Scorecard = TEMPLATE, capacity: int = 40) -> Suggestion:
    return suggest_scorecard(rows, rows.catalogue, capacity=capacity, seed=7, current=current)


@cache
def of_seed(seed: int) -> Suggestion:
    return suggested(planted_rows(9000, seed=seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_suggestion_ranks_nearly_as_well_as_the_truth(seed: int) -> None:
    fresh = planted_rows(20_000, seed=FRESH)
    truth = roc_auc(fresh.y_obs, true_points(fresh.frame))
    ours = roc_auc(fresh.y_obs, of_seed(seed).scorecard.points(fresh.frame))
    template = roc_auc(fresh.y_obs, TEMPLATE.points(fresh.frame))
    assert truth - ours < 0.015
    assert ours - template > 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_the_suggestion_beats_the_template_at_capacity_on_later_months(seed: int) -> None:
    found = of_seed(seed)
    assert found.gain("wins_at_capacity").low > 0
    assert found.gain("roc_auc").low > 0
    assert found.verdict().startswith("the suggestion catches more wins than the current scorecard")
    assert found.judged.methods == (SUGGESTED, CURRENT, "prior")


@pytest.mark.parametrize("seed", SEEDS)
def test_points_are_few_and_round_and_go_the_right_way(seed: int) -> None:
    card = of_seed(seed).scorecard
    assert 1 <= len(card.rules) <= 10
    assert all(rule.points % 5 == 0 and rule.points for rule in card.rules)
    assert 80 <= sum(abs(rule.points) for rule in card.rules) <= 120
    for rule in card.rules:
        direction = direction_of(rule.when, CATALOGUE)
        assert direction is not None
        assert rule.points * direction >= 0


@pytest.mark.parametrize("seed", SEEDS)
def test_more_engagement_or_a_higher_seniority_never_costs_points(seed: int) -> None:
    card = of_seed(seed).scorecard
    base: dict[str, float | str | None] = {"employees": 800.0, "source": "fair", "region": "north"}
    by_papers = [card.evaluate({**base, "whitepapers": float(n)}).points for n in range(12)]
    levels = ("junior", "staff", "manager", "director", "vp", "c_level")
    by_level = [card.evaluate({**base, "seniority": level}).points for level in levels]
    by_silence = [card.evaluate({**base, "days_silent": float(n)}).points for n in range(60, -1, -2)]
    for row in (by_papers, by_level, by_silence):
        assert row == sorted(row)


def test_what_was_planted_is_found_with_its_sign() -> None:
    found = [of_seed(seed).scorecard for seed in SEEDS]
    for card in found:
        points = dict.fromkeys(CATALOGUE.names, 0)
        for rule in card.rules:
            points[str(rule.when.feature)] += abs(rule.points)
        assert max(points, key=lambda name: points[name]) == "whitepapers"
        assert points["legacy"] == points["empty"] == 0
        lists = card.evaluate({"source": "list"}).points
        assert lists < card.evaluate({"source": "fair"}).points
    useless = sum("region" in card.features() for card in found)
    assert useless <= 1


def test_a_condition_of_the_current_card_keeps_its_name_where_it_is_as_good() -> None:
    rows = planted_rows(9000, seed=1)
    found = suggested(rows, current=TRUE_CARD)
    assert "source = list" in found.kept
    assert set(found.kept) | set(found.dropped) == {rule.rule for rule in TRUE_CARD.rules}
    assert not found.gain("wins_at_capacity").low > 0


def test_judged_outcomes_change_nothing_of_the_card() -> None:
    rows = planted_rows(9000, seed=2)
    judged = judge_split(rows.spine, Plan()).judged
    # Outcomes that had not matured when the judged lists begin are not known to the fit either.
    hidden = judged | (rows.spine["mature_us"] > rows.spine["as_of_us"][judged].min()).to_numpy()
    rng = np.random.default_rng(0)
    turned = np.where(hidden, rng.permutation(rows.y_obs), rows.y_obs)
    other = suggested(replace(rows, spine=rows.spine.assign(y_obs=turned)))
    assert other.scorecard == of_seed(2).scorecard
    assert other.judged.figure(SUGGESTED, "roc_auc") != of_seed(2).judged.figure(SUGGESTED, "roc_auc")


def test_a_win_that_became_known_later_is_not_learnt_from() -> None:
    rows = planted_rows(9000, seed=2)
    late = replace(rows, spine=rows.spine.assign(won_known_us=float(2**60)))
    with pytest.raises(DataError, match="0 wins matured"):
        suggested(late)


def test_the_same_seed_gives_the_same_suggestion() -> None:
    assert suggested(planted_rows(9000, seed=1)).as_dict() == of_seed(1).as_dict()


def test_without_any_signal_nothing_is_promised() -> None:
    told = [_promised(planted_rows(6000, seed=seed, signal=False)) for seed in (11, 12, 13)]
    assert all(low is None or low <= 0 for low in told)


def _promised(rows: Rows) -> float | None:
    """Return the least gain that a suggestion promises, None where none is made."""
    try:
        return suggested(rows).gain("wins_at_capacity").low
    except DataError:
        return None


def test_too_few_wins_are_refused() -> None:
    rows = planted_rows(9000, seed=1)
    with pytest.raises(DataError, match="points need 20"):
        suggested(rows.take(np.arange(0, 9000, 60)))


def test_little_data_gets_figures_and_no_verdict() -> None:
    found = suggested(planted_rows(1400, seed=3))
    assert found.judged.wins < 100
    assert found.verdict() == f"too few wins to judge the suggestion: {found.judged.wins} of 100"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_file_reads_back_as_the_card_it_was_written_from(seed: int, tmp_path: Path) -> None:
    found = of_seed(seed)
    path = write_suggestion(found, tmp_path / "suggested rules.yaml")
    assert load_scorecard(path, features=set(CATALOGUE.names)) == found.scorecard
    again = write_suggestion(found, path).read_text("utf-8")
    assert again == suggestion_yaml(found, path)


def test_awkward_words_survive_the_file(tmp_path: Path) -> None:
    rows = planted_rows(9000, seed=1)
    # Words that YAML would take for a truth value, a number, a comment and a mapping.
    awkward = {"list": "no", "search": "1e5", "webinar": "a: b # c", "fair": "“线索”, x"}
    rows = replace(rows, frame=rows.frame.assign(source=rows.frame["source"].map(awkward)))
    current = TEMPLATE.model_copy(update={"rules": TEMPLATE.rules[:3]})
    found = suggested(rows, current=current)
    assert "source" in found.scorecard.features()
    assert load_scorecard(write_suggestion(found, tmp_path / "rules.yaml")) == found.scorecard


def test_the_file_tells_a_person_what_to_do_and_why(tmp_path: Path) -> None:
    found, path = of_seed(1), tmp_path / "rules.yaml"
    text = suggestion_yaml(found, path)
    assert f"#   scorecard: {path}" in text
    assert text.count("times as often") == 2 * len(found.scorecard.rules)
    assert found.verdict() in text


def test_named_lists_go_with_the_rules_that_ask_them(tmp_path: Path) -> None:
    current = read_scorecard(
        {
            "name": "ours",
            "lists": {"target": ["list"], "unused": ["x"]},
            "rules": [
                {"rule": "bad source", "when": {"feature": "source", "in": "target"}, "points": -20},
                {"rule": "papers", "when": {"feature": "whitepapers", "at_least": 2}, "points": 35},
            ],
            "pools": [{"pool": "rest"}],
        }
    )
    found = suggested(planted_rows(9000, seed=1), current=current)
    assert "bad source" in found.kept
    assert dict(found.scorecard.lists) == {"target": ("list",)}
    assert load_scorecard(write_suggestion(found, tmp_path / "rules.yaml")) == found.scorecard
    # A card without thresholds gets one, fitted to capacity.
    assert [pool.pool for pool in found.scorecard.pools] == ["first", "rest"]


def test_pool_a_fits_capacity_on_the_newest_lists() -> None:
    rows, found = planted_rows(9000, seed=1), of_seed(1)
    lists = listed(rows, Plan())
    recent = np.isin(lists.lists, lists.months[-6:])
    points = found.scorecard.points(rows.frame)[recent]
    first = found.scorecard.pools[0].threshold
    assert first is not None
    assert (points >= first).sum() / 6 == pytest.approx(found.fitting.leads_a_month)
    assert found.fitting.leads_a_month <= 44
    assert found.fitting.lower_leads_a_month is not None
    assert found.fitting.lower_leads_a_month > 44


def test_every_figure_is_json() -> None:
    told = json.loads(json.dumps(of_seed(1).as_dict(), allow_nan=False))
    assert set(told["gain"]) == {"wins_at_capacity", "roc_auc", "lift_at_10"}
    assert {row["method"] for row in told["figures"]} == {SUGGESTED, CURRENT, "prior"}
    assert read_scorecard(told["scorecard"]) == of_seed(1).scorecard


def test_candidates_hold_as_a_scorecard_would_say() -> None:
    rows = planted_rows(3000, seed=1)
    found = candidates(rows, rows.catalogue, TEMPLATE)
    assert len({candidate.rule for candidate in found}) == len(found) > 40
    for candidate in found:
        card = Scorecard(name="one", rules=(candidate.as_rule(1),), pools=TEMPLATE.pools)
        assert candidate.holds(rows.frame).tolist() == (card.points(rows.frame) == 1).tolist(), candidate.rule


def test_no_candidate_reads_what_nobody_can_check_or_what_sales_did() -> None:
    catalogue = build_catalogue(event_types=["demo_request", "page_view"], treatments=True)
    frame = pd.DataFrame({f.name: np.arange(3000.0) % 7 for f in catalogue.features if f.kind == "numeric"})
    for feature in catalogue.features:
        if feature.kind == "categorical":
            frame[feature.name] = np.array(["a", "b"], dtype=object)[np.arange(3000) % 2]
    spine = planted_rows(3000, seed=1).spine
    found = candidates(Rows(frame, spine, catalogue), catalogue, read_scorecard(_TINY))
    read = {feature for candidate in found for feature in candidate.when.features()}
    assert "demo_requests_30d" in read
    hidden = {f.name for f in catalogue.features if f.treatment or f.compute.how in ("decayed", "trend")}
    assert len(hidden) >= 4
    assert not hidden & read


_TINY: dict[str, Any] = {
    "name": "t",
    "rules": [{"rule": "r", "when": {"feature": "page_views_30d", "at_least": 3}, "points": 5}],
    "pools": [{"pool": "rest"}],
}


@pytest.mark.parametrize(
    ("when", "direction"),
    [
        ({"feature": "whitepapers", "at_least": 2}, 1),
        ({"feature": "whitepapers", "below": 2}, -1),
        ({"feature": "whitepapers", "above": 1, "below": 5}, None),
        ({"feature": "days_silent", "at_most": 7}, 1),
        ({"feature": "employees", "at_least": 7}, 0),
        ({"feature": "source", "equals": "x"}, 0),
        ({"not": {"feature": "whitepapers", "at_least": 2}}, -1),
        ({"all": [{"feature": "employees", "above": 1}, {"feature": "whitepapers", "above": 1}]}, 1),
        ({"any": [{"feature": "days_silent", "above": 1}, {"feature": "whitepapers", "above": 1}]}, None),
        ({"feature": "seniority", "at_least": "manager"}, 1),
    ],
)
def test_the_direction_of_a_condition_is_that_of_its_features(when: dict[str, Any], direction: int | None) -> None:
    assert direction_of(Condition.model_validate(when), CATALOGUE) == direction


def test_a_campaign_that_no_longer_comes_is_no_candidate() -> None:
    rows = planted_rows(6000, seed=1)
    early = (rows.spine["as_of_us"] < rows.spine["as_of_us"].quantile(0.4)).to_numpy()
    source = np.where(early, "spring fair", rows.frame["source"].to_numpy(object))
    found = candidates(Rows(rows.frame.assign(source=source), rows.spine, rows.catalogue), rows.catalogue, TEMPLATE)
    assert not [c.rule for c in found if "spring fair" in c.rule]
    assert [c.rule for c in found if c.rule == "source = webinar"]


@pytest.mark.parametrize(
    "values", [[0.0, 0.0, 1.0, 2.0, 40.0], [0.99, 1.0, 1.001], [5191.0, 5228.1, 4963.6], [-3.0, 2.0]]
)
def test_thresholds_are_short_numbers(values: list[float]) -> None:
    for threshold in round_thresholds(np.array(values * 20)):
        assert len(f"{abs(threshold):.12g}".replace(".", "").strip("0")) <= 4


def test_a_short_way_is_the_long_way() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, np.nan, 3.0]})
    for when in ({"feature": "x", "at_least": 2}, {"feature": "x", "at_most": 2}, {"feature": "x", "missing": True}):
        card = read_scorecard(
            {"name": "t", "rules": [{"rule": "r", "when": when, "points": 1}], "pools": [{"pool": "C"}]}
        )
        assert holds(Condition.model_validate(when), frame).tolist() == card.fired(frame)[:, 0].tolist()
