"""How often the gate is wrong: drawn again and again, it seldom lets a worse model through nor stops a sound one."""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.model.judged import World, open_leads, world
from training.evaluation.metrics import log_loss
from training.gating.gate import WINS, gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

EVIDENCE = os.environ.get("CLEW_EVIDENCE") == "1"
BASE, OWN, NEAR = -2.2, 0.25, 0.1
Pair = tuple["NDArray[np.float64]", "NDArray[np.float64]"]


@cache
def blind_for(share: float) -> float:
    """Return how much of what it knows a model has to lose to be worse by that share of the prior's log loss."""
    of, tried = world(40_000, seed=0, base=BASE, own=OWN), np.linspace(0, 0.5, 11)
    prior = log_loss(of.y_obs, np.full(len(of.y_obs), of.y_obs.mean()))
    best = log_loss(of.y_obs, of.first_model())
    lost = [(log_loss(of.y_obs, of.second_model(blind=b, rng=np.random.default_rng(1))) - best) / prior for b in tried]
    return float(np.interp(share, lost, tried))


def worse_by(share: float) -> Callable[[World, int], Pair]:
    return lambda of, seed: (
        of.second_model(blind=blind_for(share), rng=np.random.default_rng(seed)),
        of.first_model(),
    )


def equal(of: World, seed: int) -> Pair:
    return of.second_model(), of.first_model()


def better(of: World, seed: int) -> Pair:
    return worse_by(0.03)(of, seed)[::-1]


def same_recipe(of: World, seed: int) -> Pair:
    return of.first_model(), of.first_model()


CASES: dict[str, tuple[Callable[[World, int], Pair], dict[str, float]]] = {
    "same recipe, newer data": (same_recipe, {"own": OWN}),
    "same recipe, months differ": (same_recipe, {"own": OWN, "shock": 0.3}),
    "equally good, correlation 0.99": (equal, {"own": NEAR}),
    "equally good, correlation 0.94": (equal, {"own": OWN}),
    "better by 3 %": (better, {"own": OWN}),
    "worse by 1 %": (worse_by(0.01), {"own": OWN}),
    "worse by 3 %": (worse_by(0.03), {"own": OWN}),
}


def rates(case: str, *, wins: int, times: int) -> dict[str, float]:
    """Return the share of promotions and of each failed check among `times` drawn worlds with enough wins."""
    make, about = CASES[case]
    told: Counter[str] = Counter()
    seed = done = 0
    while done < times:
        seed += 1
        of = world(wins, seed=seed, base=BASE, **about)
        if of.y_obs.sum() < WINS:
            continue
        done += 1
        challenger, champion = make(of, seed)
        rows = of.rows(challenger, champion)
        verdict = gate(rows, open_leads(seed=seed), capacity=30, rng=np.random.default_rng(seed), replicates=100)
        told.update([verdict.decision, *(check.name for check in verdict.checks if check.passed is False)])
    return {key: told[key] / times for key in ("promote", "log loss", "calibration", "wins at capacity", "segments")}


def test_a_model_worse_by_three_percent_is_seldom_promoted() -> None:
    assert rates("worse by 3 %", wins=300, times=15)["promote"] <= 0.2


def test_the_same_recipe_is_promoted_however_much_months_differ() -> None:
    assert rates("same recipe, months differ", wins=200, times=15)["promote"] >= 0.8


# 5,000 draws take minutes; the two tests above hold the ends of the table on every run.
@pytest.mark.skipif(not EVIDENCE, reason="the whole table takes minutes: run `make evidence`")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("wins", "times"), [(115, 120), (300, 80), (1000, 40)])
def test_the_table_of_measured_rates(case: str, wins: int, times: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = rates(case, wins=wins, times=times)
    with capsys.disabled():
        print(f"\n{case:32s} {wins:5d} " + "  ".join(f"{k} {v:.2f}" for k, v in found.items()))  # noqa: T201 - a table
    assert found["promote"] <= 0.15 if case.startswith("worse") else found["promote"] >= 0.05
