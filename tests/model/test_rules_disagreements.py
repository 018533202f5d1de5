"""Who rules and model would call differently, and which of them was right, on made-up lists where that is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.errors import DataError
from training.evaluation.metrics import wilson
from training.rules.disagreements import Sides, disagreements, sides_of

MONTH = np.int64(1_700_000_000_000_000)


def table_of(points: list[float], probability: list[float], *, capacity: int, **more: Any) -> pd.DataFrame:
    count = len(points)
    return disagreements(
        np.array(points),
        np.array(probability),
        lead_id=np.array([f"l{k}" for k in range(count)]),
        as_of_us=np.full(count, MONTH),
        capacity=capacity,
        **more,
    )


def drawn(seed: int, *, better: str) -> tuple[pd.DataFrame, Sides]:
    """Return six lists of 500 leads of which one side's score says much more than the other's."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=3000)
    near, far = truth + rng.normal(0, 0.3, 3000), truth + rng.normal(0, 4.0, 3000)
    won = (rng.random(3000) < 1 / (1 + np.exp(2 - 2 * truth))).astype(np.int64)
    rules, model = (far, near) if better == "model" else (near, far)
    table = disagreements(
        np.round(rules * 10),
        1 / (1 + np.exp(-model)),
        lead_id=np.array([f"l{k}" for k in range(3000)]),
        as_of_us=MONTH + np.arange(3000) // 500,
        capacity=50,
        y_obs=won,
        clusters=np.array([f"a{k % 900}" for k in range(3000)]),
    )
    return table, sides_of(table, rng=rng)


def test_high_is_who_stands_within_capacity_and_the_rest_is_low() -> None:
    table = table_of([90, 80, 10, 5], [0.9, 0.1, 0.8, 0.2], capacity=2)
    assert dict(zip(table["lead_id"], table["side"], strict=True)) == {
        "l0": "both_high",
        "l1": "rules_high",
        "l2": "model_high",
    }


def test_leads_that_share_the_last_place_are_no_opinion() -> None:
    table = table_of([90, 50, 50, 50, 0], [0.1, 0.9, 0.2, 0.3, 0.8], capacity=2)
    assert dict(zip(table["lead_id"], table["side"], strict=True)) == {"l0": "rules_high", "l4": "model_high"}


def test_each_list_has_its_own_capacity() -> None:
    table = disagreements(
        np.array([90, 10, 20, 10]),
        np.array([0.1, 0.9, 0.1, 0.9]),
        lead_id=np.array(["a", "b", "a", "b"]),
        as_of_us=np.array([1, 1, 2, 2]),
        capacity=1,
    )
    assert table[["as_of_us", "lead_id", "side"]].to_numpy().tolist() == [
        [1, "a", "rules_high"],
        [1, "b", "model_high"],
        [2, "a", "rules_high"],
        [2, "b", "model_high"],
    ]


def test_the_strongest_disagreement_comes_first() -> None:
    table = table_of([100, 90, 80, 3, 2, 1], [0.1, 0.2, 0.9, 0.95, 0.3, 0.92], capacity=3)
    assert table["lead_id"].tolist() == ["l0", "l5", "l1", "l3", "l2"]


def test_where_everybody_fits_nobody_disagrees() -> None:
    table = table_of([3, 2, 1], [0.1, 0.2, 0.3], capacity=3)
    assert set(table["side"]) == {"both_high"}


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("better", ["model", "rules"])
def test_the_side_that_knows_more_is_found_to_be_right(seed: int, better: str) -> None:
    _, sides = drawn(seed, better=better)
    assert (
        sides.verdict()
        == f"where they disagreed the {better} {'was' if better == 'model' else 'were'} right more often"
    )


def test_rates_and_wilson_intervals_are_those_of_the_leads() -> None:
    table, sides = drawn(1, better="model")
    for row in sides.rows:
        of = table[table["side"] == row["side"]]
        wins, count = int(of["y_obs"].sum()), len(of)
        assert (row["rows"], row["wins"], row["leads"]) == (count, wins, of["lead_id"].nunique())
        assert (row["rate"], row["low"], row["high"]) == pytest.approx((wins / count, *wilson(wins, count)))
    by_side = {row["side"]: row["rate"] for row in sides.rows}
    assert sides.difference.value == pytest.approx(by_side["model_high"] - by_side["rules_high"])


def test_a_lead_that_is_told_five_times_is_no_more_evidence_than_once() -> None:
    table, once = drawn(2, better="model")
    five = sides_of(pd.concat([table] * 5, ignore_index=True), rng=np.random.default_rng(2))
    width = five.difference.high - five.difference.low
    assert width == pytest.approx(once.difference.high - once.difference.low, rel=0.25)


def test_few_disagreements_say_nothing() -> None:
    table = table_of([9, 1], [0.1, 0.9], capacity=1, y_obs=np.array([0, 1]), clusters=np.array(["a", "b"]))
    told = sides_of(table, rng=np.random.default_rng(0))
    assert told.verdict() == "too few disagreements to say who was right: 1 of 20 on one side"
    nobody = table_of([1, 2], [0.1, 0.2], capacity=5, y_obs=np.array([0, 1]))
    assert sides_of(nobody[nobody["side"] == "rules_high"], rng=np.random.default_rng(0)).rows[0]["rate"] is None


def test_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="different lengths"):
        table_of([1, 2], [0.1], capacity=1)
