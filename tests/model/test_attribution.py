"""Every model hands out every win and every cent; Shapley and Markov are what their definitions say."""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.attribution.credit import NO_CURRENCY, NONE, WIN, hand_out, handed_out
from monitoring.attribution.journeys import Journey, Touch
from monitoring.attribution.markov import fit_chain, markov_weigher
from monitoring.attribution.rules import RULES
from monitoring.attribution.shapley import PENALTY, ChannelSets, fit_win_rates, shapley_values, shapley_weigher

if TYPE_CHECKING:
    from collections.abc import Sequence

TOUCHES = st.builds(
    Touch, st.sampled_from(["web", "email", "fair", "ads"]), st.sampled_from(["", "a"]), st.sampled_from(["", "crm"])
)
JOURNEYS = st.lists(
    st.builds(
        Journey,
        st.text("abc", min_size=1, max_size=2),
        st.lists(TOUCHES, max_size=7).map(tuple),
        won=st.booleans(),
        amount=st.none() | st.integers(-500, 10**9),
        currency=st.sampled_from([None, "EUR", "USD"]),
    ),
    max_size=12,
)


def models(journeys: Sequence[Journey]) -> dict[str, Any]:
    rows = [({touch.channel for touch in one.touches}, 1, int(one.won)) for one in journeys]
    return {**RULES, "shapley": shapley_weigher(ChannelSets.of(rows)), "markov": markov_weigher(journeys)}


@settings(max_examples=150, deadline=None)
@given(JOURNEYS)
def test_every_model_hands_out_every_win_and_every_cent(journeys: list[Journey]) -> None:
    won = [one for one in journeys if one.won]
    amounts: Counter[str] = Counter()
    for one in won:
        amounts[one.currency or NO_CURRENCY] += one.amount or 0
    for name, weigh in models(journeys).items():
        credit = hand_out(journeys, weigh)
        assert sum(part.wins for part in credit.values()) == WIN * len(won), name
        handed: Counter[str] = Counter()
        for part in credit.values():
            handed.update(part.amounts)
        assert {k: v for k, v in handed.items() if v} == {k: v for k, v in amounts.items() if v}, name
        untouched = sum(not one.touches for one in won)
        assert (credit[NONE].wins if NONE in credit else 0) == WIN * untouched, name


def shares(name: str, count: int) -> list[Fraction]:
    """What each of so many touches gets, as one would say it."""
    if name == "first_touch":
        return [Fraction(1)] + [Fraction(0)] * (count - 1)
    if name == "last_touch":
        return [Fraction(0)] * (count - 1) + [Fraction(1)]
    if name == "linear" or count <= 2:
        return [Fraction(1, count)] * count
    return [Fraction(2, 5), *[Fraction(1, 5) / (count - 2)] * (count - 2), Fraction(2, 5)]


@settings(max_examples=100, deadline=None)
@given(JOURNEYS, st.sampled_from(sorted(RULES)))
def test_the_rules_are_what_one_would_say_to_the_last_millionth(journeys: list[Journey], name: str) -> None:
    expected: defaultdict[Touch, Fraction] = defaultdict(Fraction)
    parts: Counter[Touch] = Counter()
    for one in journeys:
        if one.won:
            touches = one.touches or (NONE,)
            for touch, share in zip(touches, shares(name, len(touches)), strict=True):
                expected[touch] += share * WIN
                parts[touch] += 1
    credit = hand_out(journeys, RULES[name])
    assert set(credit) == set(expected)
    for touch, value in expected.items():
        assert abs(credit[touch].wins - value) < parts[touch]


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**13), min_size=1, max_size=20))
def test_parts_are_whole_add_up_and_are_nearly_in_proportion(total: int, weights: list[int]) -> None:
    parts = handed_out(total, weights)
    used = weights if any(weights) else [1] * len(weights)
    assert sum(parts) == total
    assert all(abs(part - Fraction(total * w, sum(used))) < 1 for part, w in zip(parts, used, strict=True))


def by_permutations(values: Sequence[float]) -> list[float]:
    """The mean of what each player adds, over every order in which the players may come."""
    count = len(values).bit_length() - 1
    added = [0.0] * count
    orders = list(permutations(range(count)))
    for order in orders:
        here = 0
        for player in order:
            added[player] += values[here | 1 << player] - values[here]
            here |= 1 << player
    return [value / len(orders) for value in added]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.floats(-5, 5), min_size=2**n, max_size=2**n)))
def test_shapley_values_are_the_mean_over_all_orders_and_add_up(values: list[float]) -> None:
    found = shapley_values(np.array(values))
    assert found == pytest.approx(by_permutations(values), abs=1e-9)
    assert found.sum() == pytest.approx(values[-1] - values[0], abs=1e-9)


CHANNELS = ("web", "email", "fair", "ads")
COUNTED = st.dictionaries(
    st.frozensets(st.sampled_from(CHANNELS)), st.tuples(st.integers(1, 90), st.integers(0, 90)), min_size=1
).map(lambda told: ChannelSets.of([(key, people, min(people, wins)) for key, (people, wins) in told.items()]))


@settings(max_examples=100, deadline=None)
@given(COUNTED)
def test_the_win_rates_are_at_the_top_of_their_penalised_likelihood(sets: ChannelSets) -> None:
    """There the wins that are told beyond those that came equal what the penalty pulls, channel by channel."""
    rates = fit_win_rates(sets)
    for name, effect in rates.effects.items():
        over = sum(
            people * rates.chance(channels) - sets.wins[channels]
            for channels, people in sets.people.items()
            if name in channels
        )
        assert over == pytest.approx(-PENALTY * effect, abs=1e-6)
    told = sum(people * rates.chance(channels) for channels, people in sets.people.items())
    assert told == pytest.approx(sum(sets.wins.values()), abs=0.05)


@settings(max_examples=60, deadline=None)
@given(COUNTED, st.lists(st.sampled_from([*CHANNELS, "never seen"]), min_size=1, max_size=6))
def test_a_journey_is_weighed_by_the_game_of_its_own_channels(sets: ChannelSets, path: list[str]) -> None:
    rates = fit_win_rates(sets)
    players = sorted(set(path))
    coalitions = [[name for at, name in enumerate(players) if mask >> at & 1] for mask in range(1 << len(players))]
    values = by_permutations([rates.chance(coalition) for coalition in coalitions])
    gains = {name: max(value, 0.0) for name, value in zip(players, values, strict=True)}
    weights = shapley_weigher(sets)([Touch(name) for name in path])
    total = sum(gains.values())
    # Below what floating point can tell from nothing, the two ways may differ in who counts.
    if 0 < total < 1e-6:
        return
    if not total:
        gains, total = dict.fromkeys(players, 1.0), float(len(players))
    for name, weight in zip(path, weights, strict=True):
        assert weight / sum(weights) == pytest.approx(gains[name] / path.count(name) / total, abs=1e-5)


def test_of_more_than_twelve_channels_the_strongest_play() -> None:
    weigh = shapley_weigher(ChannelSets.of([([f"c{at:02d}"], 100, at) for at in range(30)]))
    weights = weigh([Touch(f"c{at:02d}") for at in range(30)])
    assert [weight > 0 for weight in weights] == [at >= 18 for at in range(30)]
    assert weights == sorted(weights)


def test_removal_effects_of_a_chain_computed_by_hand() -> None:
    """Three journeys: web > email > won, web > not won, email > won.

    Steps: start -> web 2/3, email 1/3; web -> email 1/2, not won 1/2; email -> won 1.
    P(won) = 2/3 * 1/2 + 1/3 = 2/3; without web 1/3, without email 0.
    """
    web, email = Touch("web"), Touch("email")
    journeys = [
        Journey("a", (web, email), won=True, amount=300, currency="EUR"),
        Journey("b", (web,), won=False),
        Journey("c", (email,), won=True),
    ]
    chain = fit_chain(journeys)
    assert chain.win_probability() == pytest.approx(2 / 3)
    assert chain.win_probability(without="web") == pytest.approx(1 / 3)
    assert chain.removal_effects() == pytest.approx({"web": 0.5, "email": 1.0})
    credit = hand_out(journeys, markov_weigher(journeys))
    # The deal of `a` is shared 1 : 2, the one of `c` is email's alone.
    assert (credit[web].wins, credit[email].wins) == (333_333, 1_666_667)
    assert (credit[web].amounts, credit[email].amounts) == ({"EUR": 100}, {"EUR": 200})


def test_a_chain_that_goes_in_circles_still_ends() -> None:
    loops = [Journey("a", (Touch("web"), Touch("web"), Touch("email"), Touch("web")), won=True)]
    lost = [Journey("b", (Touch("web"), Touch("web")), won=False)]
    chain = fit_chain([*loops, *lost])
    # web is left 5 times: 2 to itself, 1 to email, 1 to won, 1 to not won; email always goes back to web.
    assert chain.win_probability() == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(4))
def test_what_a_channel_causes_is_found_where_touches_are_by_chance(seed: int) -> None:
    """Web and mail touch everybody by chance; only the fair raises the chance to be won, from 5 to 25 %."""
    rng = np.random.default_rng(seed)
    told = rng.random((4000, 3)) < (0.8, 0.5, 0.3)
    won = rng.random(4000) < np.where(told[:, 2], 0.25, 0.05)
    names = ("web", "email", "fair")
    journeys = [
        # In an order of chance, the fair first or last alike.
        Journey(str(at), tuple(Touch(names[k]) for k in rng.permutation(np.flatnonzero(row))), won=bool(win))
        for at, (row, win) in enumerate(zip(told, won, strict=True))
    ]
    sets = ChannelSets.of([({touch.channel for touch in one.touches}, 1, int(one.won)) for one in journeys])

    def of_fair(weigh: Any) -> float:
        both = [one for one in journeys if one.won and len(one.touches) > 1 and Touch("fair") in one.touches]
        credit = hand_out(both, weigh)
        return credit[Touch("fair")].wins / (WIN * len(both))

    assert of_fair(shapley_weigher(sets)) > 0.85
    assert of_fair(RULES["last_touch"]) < 0.55
