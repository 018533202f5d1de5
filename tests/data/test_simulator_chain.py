"""The closed form of the simulated buying process against matrix exponentials and against many lives."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from data.clock import DAY_US, from_us
from data.simulator.chain import BROWSING, EVALUATING, LOST, WON, Rates, transition, walk
from data.simulator.seasons import Calendar, lunar_new_year

if TYPE_CHECKING:
    from data.simulator.arrays import Floats


def generator(rates: Floats) -> Floats:
    """The whole generator over browsing, evaluating, won, lost."""
    opens, drop, lapse, win, lose = rates
    return np.array(
        [[-(opens + drop), opens, 0, drop], [lapse, -(lapse + win + lose), win, lose], [0, 0, 0, 0], [0, 0, 0, 0]]
    )


def some_rates(seed: int, people: int, months: int = 5) -> Rates:
    rng = np.random.default_rng(seed)
    return Rates(
        own=rng.uniform(0.002, 0.05, (people, 5)),
        group=rng.integers(0, 3, people),
        factors=rng.uniform(0.4, 2.0, (months, 3, 5)),
        bounds=np.arange(months + 1, dtype=np.int64) * 30 * DAY_US,
    )


@given(
    st.lists(st.floats(1e-4, 2.0), min_size=5, max_size=5),
    st.floats(1e-3, 60.0),
)
@settings(max_examples=150, deadline=None)
def test_transition_equals_the_matrix_exponential(rates: list[float], days: float) -> None:
    stay, win = transition(np.array([rates]), np.array([days]))
    whole = expm(generator(np.array(rates)) * days)
    np.testing.assert_allclose(stay[0], whole[:2, :2], atol=1e-9)
    np.testing.assert_allclose(win[0], whole[:2, WON], atol=1e-9)


def test_transition_is_exact_where_both_eigenvalues_coincide() -> None:
    rates = np.array([[0.1, 0.2, 0.0, 0.25, 0.05]])
    stay, win = transition(rates, np.array([7.0]))
    whole = expm(generator(rates[0]) * 7.0)
    np.testing.assert_allclose(stay[0], whole[:2, :2], atol=1e-12)
    np.testing.assert_allclose(win[0], whole[:2, WON], atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_win_probability_chains_the_months_exactly(seed: int) -> None:
    rates = some_rates(seed, people=6)
    start, horizon = int(12.3 * DAY_US), 90 * DAY_US
    who, state = np.arange(6), np.array([0, 1, 0, 1, 2, 3])
    got = rates.win_probability(who, state, np.full(6, start), horizon_us=horizon)
    edges = [start, *(b for b in rates.bounds.tolist() if start < b < start + horizon), start + horizon]
    for person in range(4):
        own, group = rates.own[person], rates.group[person]
        parts = [
            expm(generator(own * rates.factors[a // (30 * DAY_US), group]) * (b - a) / DAY_US)
            for a, b in pairwise(edges)
        ]
        assert got[person] == pytest.approx(reduce(np.matmul, parts)[state[person], WON], abs=1e-10)
    assert got[4:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("state", [BROWSING, EVALUATING])
@pytest.mark.parametrize("seed", [3, 4])
def test_win_probability_is_the_share_of_simulated_lives_that_win(seed: int, state: int) -> None:
    lives = 60_000
    one = some_rates(seed, people=1)
    rates = Rates(np.repeat(one.own, lives, axis=0), np.repeat(one.group, lives), one.factors, one.bounds)
    start, horizon = 20 * DAY_US, 90 * DAY_US
    born, states = np.full(lives, start), np.full(lives, state)
    life = walk(np.random.default_rng(seed), rates, born, states, until=start + horizon)
    expected = one.win_probability(np.array([0]), np.array([state]), np.array([start]), horizon_us=horizon)[0]
    assert 0.02 < expected < 0.9
    share = (life.final == WON).mean()
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / lives)


def test_a_life_is_a_chain_of_stays_without_gaps() -> None:
    people = 2000
    rates = some_rates(9, people)
    born = np.random.default_rng(1).integers(0, 100, people) * DAY_US
    until = 140 * DAY_US
    life = walk(np.random.default_rng(2), rates, born, np.zeros(people, dtype=np.int64), until=until)
    same = life.who[1:] == life.who[:-1]
    assert (life.stop > life.start).all()
    assert (life.start[1:][same] == life.stop[:-1][same]).all()
    assert (life.state[1:][same] != life.state[:-1][same]).all()
    first = np.concatenate([[True], ~same])
    assert (life.start[first] == born).all()
    last = np.concatenate([~same, [True]])
    assert (life.stop[last] == life.closed_at).all()
    assert ((life.closed_at == until) == (life.final <= EVALUATING)).all()
    assert (life.state[last][life.final == WON] == EVALUATING).all()
    assert (life.final == LOST).any()


def test_states_at_a_moment_agree_with_the_list_of_open_people() -> None:
    people = 500
    life = walk(
        np.random.default_rng(0),
        some_rates(5, people),
        np.zeros(people, dtype=np.int64),
        np.zeros(people, dtype=np.int64),
        until=140 * DAY_US,
    )
    for day in (0, 31, 90):
        states = life.states_at(np.full(people, day * DAY_US))
        who, state = life.open_at(day * DAY_US)
        assert set(who.tolist()) == set(np.flatnonzero(states <= EVALUATING).tolist())
        assert (states[who] == state).all()


@pytest.mark.parametrize(
    "day", ["2020-01-25", "2023-01-22", "2024-02-10", "2025-01-29", "2026-02-17", "2027-02-06", "2034-02-19"]
)
def test_lunar_new_year_is_right_to_a_day(day: str) -> None:
    known = date.fromisoformat(day)
    assert abs((lunar_new_year(known.year) - known).days) <= 1


@pytest.mark.parametrize("end", [datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 3, 31, 17, 5, tzinfo=UTC)])
def test_the_calendar_covers_the_last_horizon(end: datetime) -> None:
    calendar = Calendar.of(end, 13)
    assert calendar.bounds[0] <= calendar.start < calendar.end
    assert calendar.bounds[-1] >= calendar.end + 91 * DAY_US
    assert all(from_us(int(bound)).day == 1 for bound in calendar.bounds)
    assert 390 <= (calendar.end - calendar.start) / DAY_US <= 397
