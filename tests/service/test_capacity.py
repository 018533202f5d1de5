"""What a list promises to win comes in, nine months in ten; and the list is the best that there is time for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from data.clock import parse_moment
from data.simulator import simulate
from serving.today.capacity import (
    Capacity,
    Ranges,
    call_order,
    capacity_of,
    expected_by_points,
    ranges_of,
    wins_within,
)
from training.certainty.interval import IntervalTable, learn_interval

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CHANCES = st.lists(st.floats(0.001, 0.999), min_size=1, max_size=12)


def logit(chance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(chance / (1 - chance)))


# --- promised and realised on simulated teams ---------------------------------------------------------------------

SEEDS, CAPACITIES = (0, 1, 2, 3), (20, 40, 100, 400)


@dataclass(frozen=True)
class Month:
    """What was promised of one list, and how many of it were won."""

    found: Capacity
    only_coins: Capacity  # the same, as if probabilities were exact
    won: int


def months_of(seed: int, folder: Path) -> list[Month]:
    """Fit on seven months, learn the interval on the eight after, and promise the seven after those."""
    from sklearn.linear_model import LogisticRegression

    simulate(leads=4_000, seed=seed, out=folder, end=parse_moment("2026-11-01"))
    people, looks = (pq.read_table(folder / "truth" / f"{name}.parquet").to_pandas() for name in ("leads", "snapshots"))
    known = people[["lead_id", "industry", "seniority", "market", "employees", "account_id"]]
    rows = looks[looks["kind"] == "monthly"].merge(known, on="lead_id")
    columns = pd.get_dummies(rows[["industry", "seniority", "market", "state"]]).astype(float)
    matrix = columns.assign(size=np.log1p(rows["employees"])).to_numpy()
    y_obs, month = rows["won_90d"].to_numpy(np.int64), rows["as_of"].dt.strftime("%Y-%m").to_numpy()
    names = np.unique(month)
    fitted, judged = np.isin(month, names[2:9]), np.isin(month, names[9:17])
    model = LogisticRegression(max_iter=1_000).fit(matrix[fitted], y_obs[fitted])
    told = model.decision_function(matrix)
    accounts = rows["account_id"].to_numpy(object)
    table = learn_interval(y_obs[judged], told[judged], accounts[judged], month[judged])
    found = []
    for name in names[17:]:
        at = np.flatnonzero(month == name)
        chance = 1 / (1 + np.exp(-told[at]))
        exact = Ranges(told[at], told[at], "learnt")
        for capacity in CAPACITIES:
            promised = capacity_of(chance, capacity, ranges=ranges_of(table, chance))
            coins = capacity_of(chance, capacity, ranges=exact)
            found.append(Month(promised, coins, int(y_obs[at[list(promised.chosen)]].sum())))
    return found


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> list[Month]:
    return [month for seed in SEEDS for month in months_of(seed, tmp_path_factory.mktemp("team"))]


def coverage(months: list[Month], *, width: float = 1.0, coins: bool = False) -> float:
    """Share of the lists whose wins lie in the promised range, or in one of another width around its middle."""
    inside = []
    for month in months:
        told = month.only_coins if coins else month.found
        middle, half = (told.low + told.high) / 2, width * (told.high - told.low) / 2
        inside.append(middle - half <= month.won <= middle + half)
    return float(np.mean(inside))


def test_the_wins_of_later_months_keep_to_the_promised_range(months: list[Month]) -> None:
    assert len(months) >= 100
    assert 0.80 <= coverage(months) <= 0.98


def test_a_broken_range_would_be_found_out(months: list[Month]) -> None:
    assert coverage(months, width=0.1) < 0.5
    # As if whole months were never off: what the interval of the bundle adds is needed.
    assert coverage(months, coins=True) < coverage(months) - 0.1
    assert coverage(months, width=3.0) > 0.98


# --- the pieces ---------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=7), st.floats(0.5, 0.99))
def test_the_number_of_wins_is_poisson_binomial_where_probabilities_are_sure(
    chances: list[float], level: float
) -> None:
    chance = np.array(chances)
    sure = logit(chance)
    law = np.zeros(len(chance) + 1)
    for outcome in product((0, 1), repeat=len(chance)):
        law[sum(outcome)] += np.prod(np.where(outcome, chance, 1 - chance))
    low, high = wins_within(sure, sure, sure, level=level)
    tail = (1 - level) / 2
    # The smallest range that leaves no more than a tail outside on either side, up to rounding.
    assert law[:low].sum() < tail + 1e-9
    assert law[: low + 1].sum() >= tail - 1e-9
    assert law[high + 1 :].sum() <= tail + 1e-9
    assert high == 0 or law[high:].sum() > tail - 1e-9


def test_equal_leads_are_binomial() -> None:
    chance = np.full(200, 0.1)
    sure = logit(chance)
    assert wins_within(sure, sure, sure) == (int(binom.ppf(0.05, 200, 0.1)), int(binom.ppf(0.95, 200, 0.1)))


def test_months_that_are_off_together_are_drawn_with_all_leads_moved_alike() -> None:
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.05, 0.6, 60)
    told = logit(chance)
    low, high = wins_within(told, told - 0.6, told + 0.4)
    month = rng.normal(0, 1 / 1.6448536, (20_000, 1))
    moved = told + np.where(month > 0, month * 0.4, month * 0.6)
    wins = (rng.random(moved.shape) < 1 / (1 + np.exp(-moved))).sum(axis=1)
    assert abs(low - np.quantile(wins, 0.05)) <= 1
    assert abs(high - np.quantile(wins, 0.95)) <= 1


@given(CHANCES, st.floats(0, 1.5), st.floats(0, 1.5))
def test_less_sure_probabilities_never_make_the_range_narrower(
    chances: list[float], below: float, above: float
) -> None:
    told = logit(np.array(chances))
    narrow, wide = wins_within(told, told, told), wins_within(told, told - below, told + above)
    assert wide[1] - wide[0] >= narrow[1] - narrow[0] - 1
    assert 0 <= wide[0] <= wide[1] <= len(chances)


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.integers(0, 2)), min_size=1, max_size=6), st.integers(1, 7))
def test_the_rules_order_is_expected_to_win_what_it_wins_on_average(
    leads: list[tuple[float, int]], capacity: int
) -> None:
    chance, points = (np.array(column, float) for column in zip(*leads, strict=True))
    totals = []
    for order in permutations(range(len(leads))):
        ranked = sorted(order, key=lambda at: -points[at])
        totals.append(chance[ranked[:capacity]].sum())
    groups = [(int((points == n).sum()), float(chance[points == n].mean())) for n in np.unique(points)[::-1]]
    assert expected_by_points(groups, capacity) == pytest.approx(np.mean(totals))


@given(CHANCES, st.integers(1, 14))
def test_the_chosen_leads_are_the_best_and_the_threshold_is_the_last_of_them(
    chances: list[float], capacity: int
) -> None:
    found = capacity_of(chances, capacity)
    best = sorted(chances, reverse=True)[:capacity]
    assert [chances[at] for at in found.chosen] == best
    assert found.threshold == best[-1]
    assert found.expected == pytest.approx(sum(best))
    assert found.low <= found.expected + 1
    assert found.high >= found.expected - 1
    assert found.basis == "assumed"


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.one_of(st.none(), st.floats(0, 0.999))), min_size=1, max_size=40))
def test_leads_by_lot_stand_at_their_place_whatever_their_value(leads: list[tuple[float, float | None]]) -> None:
    values, places = np.array([value for value, _ in leads]), [place for _, place in leads]
    order = call_order(values, places)
    assert sorted(order) == list(range(len(leads)))
    others = [at for at in order if places[at] is None]
    assert [values[at] for at in others] == sorted((values[at] for at in others), reverse=True)
    for at, place in enumerate(places):
        if place is not None and others:
            before = sum(places[one] is None for one in order[: order.index(at)])
            assert abs(before - place * len(others)) <= 1.0
    flipped = np.where([place is not None for place in places], 1 - values, values)
    assert call_order(flipped, places) == order


def test_a_lead_by_lot_does_not_set_the_threshold() -> None:
    found = capacity_of([0.9, 0.01, 0.5, 0.4], 2, places=[None, 0.0, None, None])
    assert found.chosen == (1, 0)
    assert found.threshold == 0.9
    assert found.expected == pytest.approx(0.91)


def test_ranges_come_from_the_bundle_where_it_learnt_them() -> None:
    table = IntervalTable(
        grid=(-7.0, 0.0, 7.0), low=(-7.9, -0.6, 6.5), high=(-6.5, 0.5, 7.8), month_sd=0.3, wins=120, rows=800, periods=6
    )
    chances = np.array([1e-6, 0.01, 0.2, 0.5, 0.77, 0.999999])
    ends = [table.around(value) for value in logit(chances).tolist()]
    np.testing.assert_allclose(ranges_of(table, chances).low, [low for low, _ in ends], atol=1e-12)
    np.testing.assert_allclose(ranges_of(table, chances).high, [high for _, high in ends], atol=1e-12)
    learnt, assumed = ranges_of(table, [0.5]), ranges_of(None, [0.5])
    assert (learnt.low.tolist(), learnt.high.tolist(), learnt.basis) == ([-0.6], [0.5], "learnt")
    assert assumed.basis == "assumed"
    assert assumed.high[0] > learnt.high[0]


def test_five_hundred_leads_are_no_trouble() -> None:
    chance = np.random.default_rng(1).uniform(0.01, 0.5, 2_000)
    found = capacity_of(chance, 500)
    assert len(found.chosen) == 500
    assert found.low < found.expected < found.high
