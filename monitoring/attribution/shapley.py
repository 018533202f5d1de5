"""What each channel adds to the chance of a win: Shapley values of a model of early touches.

Channels are learnt at a landmark: a person counts with the channels that touched them up to `landmark_days` after the
lead began, if still open then, and with what came afterwards. Touches later than that are left out of the learning, for
people who are about to buy read more of everything, and would make every channel look like a cause (landmarking: van
Houwelingen, Scandinavian Journal of Statistics 2007). It is still observation and no experiment: a channel that buyers
like gets credit that it did not earn.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import factorial
from typing import TYPE_CHECKING

import numpy as np

from data.clock import DAY_US

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import duckdb
    from numpy.typing import NDArray

    from monitoring.attribution.journeys import Period, Touch
    from monitoring.attribution.rules import Weigher

__all__ = [
    "PENALTY",
    "ChannelSets",
    "WinRates",
    "fit_win_rates",
    "read_channel_sets",
    "shapley_values",
    "shapley_weigher",
]

PENALTY = 4.0  # a prior that puts two thirds of the channels within half a log-odds of no effect
_MOST_STEPS = 100
_MOST_PLAYERS = 12  # of a journey with more channels the strongest play; 2^12 coalitions take milliseconds
_SCALE = 1 << 40

_SETS = """
SELECT channels, COUNT(*), COUNT(*) FILTER (WHERE won)
FROM (SELECT e.primary_id, e.won, LIST_SORT(LIST(DISTINCT t.channel) FILTER (WHERE t.channel IS NOT NULL)) AS channels
      FROM attribution_ends AS e
      LEFT JOIN attribution_touches AS t ON t.primary_id = e.primary_id AND t.at_us < e.began_us + $landmark
                                        AND t.at_us >= e.began_us - $window
      WHERE e.end_us >= e.began_us + $landmark AND e.began_us + $landmark <= $until
      GROUP BY e.primary_id, e.won) AS sets
GROUP BY channels ORDER BY channels
"""


@dataclass(frozen=True)
class ChannelSets:
    """How many people were touched by exactly these channels by the landmark, and how many of them were won later."""

    people: Mapping[frozenset[str], int]
    wins: Mapping[frozenset[str], int]

    @classmethod
    def of(cls, rows: Iterable[tuple[Iterable[str], int, int]], *, without: Iterable[str] = ()) -> ChannelSets:
        """Count rows of channels, people and wins; channels `without` are forgotten.

        Examples
        --------
        >>> ChannelSets.of([(["web", "email"], 2, 1), (["email"], 3, 0)], without=["web"]).people
        {frozenset({'email'}): 5}
        """
        people: Counter[frozenset[str]] = Counter()
        wins: Counter[frozenset[str]] = Counter()
        for channels, count, won in rows:
            key = frozenset(channels) - frozenset(without)
            people[key] += count
            wins[key] += won
        return cls(dict(people), dict(wins))


@dataclass(frozen=True)
class WinRates:
    """The chance of a win by the channels that touched: log-odds without any, and what each adds to them."""

    intercept: float
    effects: Mapping[str, float]

    def chance(self, channels: Iterable[str]) -> float:
        """Return the chance of somebody whom these channels touched, each named once.

        Examples
        --------
        >>> WinRates(0.0, {"web": 1.0}).chance([]), round(WinRates(0.0, {"web": 1.0}).chance(["web"]), 3)
        (0.5, 0.731)
        """
        return float(1 / (1 + np.exp(-self.intercept - sum(self.effects.get(name, 0.0) for name in channels))))


def read_channel_sets(
    connection: duckdb.DuckDBPyConnection,
    period: Period,
    *,
    landmark_days: float = 7.0,
    window_days: float = 180.0,
    without: Iterable[str] = (),
) -> ChannelSets:
    """Return the early channel sets of everybody; `read_journeys` must have been called on the connection."""
    rows = connection.execute(
        _SETS,
        {
            "landmark": round(landmark_days * DAY_US),
            "window": round(window_days * DAY_US),
            "until": period.until_us,
        },
    ).fetchall()
    return ChannelSets.of(((channels or (), people, won) for channels, people, won in rows), without=without)


def fit_win_rates(sets: ChannelSets) -> WinRates:
    """Return a logistic regression of winning on the channels, its effects drawn to zero (ridge, `PENALTY`).

    The rates of the sets themselves are of no use: most sets hold few people, and everybody came by some source, so
    that nobody is in the smaller sets that a Shapley value asks for. Newton's method on the counts of the sets.

    Examples
    --------
    >>> rates = fit_win_rates(ChannelSets.of([(["web"], 900, 90), (["web", "fair"], 900, 450)]))
    >>> rates.effects["fair"] > 1.5, round(rates.chance(["web"]), 2)
    (True, 0.11)
    """
    names = sorted({name for channels in sets.people for name in channels})
    keys = sorted(sets.people, key=sorted)
    design = np.array([[1.0, *(float(name in key) for name in names)] for key in keys]).reshape(-1, len(names) + 1)
    people = np.array([sets.people[key] for key in keys], dtype=np.float64)
    wins = np.array([sets.wins.get(key, 0) for key in keys], dtype=np.float64)
    penalty = np.diag([1e-3, *[PENALTY] * len(names)])  # the intercept is free but for what keeps it finite
    beta = np.zeros(len(names) + 1)
    for _ in range(_MOST_STEPS):
        chance = 1 / (1 + np.exp(-design @ beta))
        slope = design.T @ (wins - people * chance) - penalty @ beta
        bend = (design * (people * chance * (1 - chance))[:, None]).T @ design + penalty
        step = np.linalg.solve(bend, slope)
        beta += step / max(1.0, float(np.abs(step).max()))  # never more than one log-odds at once
        if np.abs(step).max() < 1e-10:
            break
    return WinRates(float(beta[0]), dict(zip(names, beta[1:].tolist(), strict=True)))


def shapley_values(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Shapley value of each player of a game (Shapley 1953).

    phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S with i) - v(S)).

    Parameters
    ----------
    values
        v of each of the 2^n coalitions; bit i of the position says that player i is in it.

    Examples
    --------
    The first player brings 1 alone, the second 3, together they bring 6: the 2 that only both bring are shared.

    >>> shapley_values(np.array([0.0, 1.0, 3.0, 6.0])).tolist()
    [2.0, 4.0]
    """
    count = len(values).bit_length() - 1
    coalitions = np.arange(len(values))
    sizes = np.bitwise_count(coalitions)
    shares = np.array([factorial(k) * factorial(count - k - 1) / factorial(count) for k in range(count)])
    found = np.zeros(count)
    for player in range(count):
        without = coalitions[coalitions & (1 << player) == 0]
        found[player] = shares[sizes[without]] @ (values[without | 1 << player] - values[without])
    return found


def shapley_weigher(sets: ChannelSets) -> Weigher:
    """Return the model that weighs each channel of a journey by what it adds to the chance of a win.

    The game of a journey is played by its own channels, v(S) is the chance by `fit_win_rates`. What a channel gets is
    shared evenly by its touches; one that takes away from the chance gets nothing. Where no channel adds anything all
    channels count alike.

    Examples
    --------
    >>> from monitoring.attribution.journeys import Touch
    >>> weigh = shapley_weigher(ChannelSets.of([(["web"], 90, 0), (["fair"], 10, 10)]))
    >>> [weight > 0 for weight in weigh([Touch("web"), Touch("fair")])]
    [False, True]
    """
    rates = fit_win_rates(sets)
    known: dict[frozenset[str], dict[str, float]] = {}

    def weigh(touches: Sequence[Touch]) -> Sequence[int]:
        names = [touch.channel for touch in touches]
        players = frozenset(names)
        if players not in known:
            gains = _gains(rates, players)
            known[players] = gains if any(gains.values()) else dict.fromkeys(players, 1.0)
        return [round(_SCALE * known[players].get(name, 0.0) / names.count(name)) for name in names]

    return weigh


def _gains(rates: WinRates, players: frozenset[str]) -> dict[str, float]:
    """Return what each of some channels adds to the chance of a win, at least 0."""
    ranked = sorted(players, key=lambda name: (-rates.effects.get(name, 0.0), name))[:_MOST_PLAYERS]
    coalitions = np.arange(1 << len(ranked))
    logits = np.full(len(coalitions), rates.intercept)
    for at, name in enumerate(ranked):
        logits[coalitions & (1 << at) != 0] += rates.effects.get(name, 0.0)
    values = shapley_values(1 / (1 + np.exp(-logits)))
    return {name: max(value, 0.0) for name, value in zip(ranked, values.tolist(), strict=True)}
