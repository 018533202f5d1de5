"""How people come to buy: a Markov chain in continuous time whose win probabilities have a closed form.

A person is browsing or evaluating (the buying window is open) until won or lost. The five rates (see `RATES`) are
constant inside a calendar month: a person's own rates times the month's factor for the person's group, so seasons and
drift are part of the exact truth. Method: Kolmogorov's equations, the 2x2 exponential of the open states written out
with hyperbolic functions, chained over the months.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.clock import DAY_US

if TYPE_CHECKING:
    from data.simulator.arrays import Bools, Floats, Ints

__all__ = ["BROWSING", "EVALUATING", "LOST", "RATES", "STATES", "WON", "Rates", "Walk", "transition", "walk"]

BROWSING, EVALUATING, WON, LOST = range(4)
STATES = ("browsing", "evaluating", "won", "lost")
# browsing -> evaluating, browsing -> lost, evaluating -> browsing, evaluating -> won, evaluating -> lost
RATES = ("open", "drop", "lapse", "win", "lose")

_SECOND_US = 1_000_000
_LONGEST_WAIT_DAYS = 1e5  # an exponential wait beyond it becomes whole microseconds without overflow


@dataclass(frozen=True)
class Rates:
    """Rates per day of every person in every month.

    `own` is (people, 5) in the order of `RATES`, `factors` is (months, groups, 5), `bounds` holds the first moments of
    the months in microseconds and one moment more, the end of the last.
    """

    own: Floats
    group: Ints
    factors: Floats
    bounds: Ints

    def at(self, who: Ints, month: int | Ints) -> Floats:
        """Return the rates per day of some people in a month, (len(who), 5)."""
        table: Floats = self.own[who] * self.factors[month, self.group[who]]
        return table

    def win_probability(self, who: Ints, state: Ints, start: Ints, *, horizon_us: int | Ints) -> Floats:
        """Return P(won in (start, start + horizon] | state at start), exactly; 0 for those already closed.

        Parameters
        ----------
        who, state, start
            People, their states and the moments (microseconds) from which the horizon runs; equally long.
        horizon_us
            Length of the horizon in microseconds, one for all or one each; it has to end inside the last month of
            `bounds`.
        """
        share = np.stack([state == BROWSING, state == EVALUATING], axis=1).astype(np.float64)
        won = np.zeros(len(who))
        cursor, stop = start.copy(), start + horizon_us
        while (cursor < stop).any():
            month = np.searchsorted(self.bounds, cursor, side="right") - 1
            upto = np.maximum(cursor, np.minimum(self.bounds[np.minimum(month + 1, len(self.bounds) - 1)], stop))
            month = np.minimum(month, len(self.bounds) - 2)
            stay, win = transition(self.at(who, month), (upto - cursor) / DAY_US)
            won += (share * win).sum(axis=1)
            share = np.einsum("ni,nij->nj", share, stay)
            cursor = upto
        return won


def transition(rates: Floats, days: Floats) -> tuple[Floats, Floats]:
    """Return what a stretch of constant rates does to the two open states.

    With Q the generator restricted to (browsing, evaluating), m half its trace and D = sqrt(m^2 - det Q),
    exp(Qt) = exp(mt) (cosh(Dt) I + sinh(Dt)/D (Q - mI)), and the probability to be won by t is
    Q^-1 (exp(Qt) - I) (0, win)'.

    Parameters
    ----------
    rates
        (n, 5) rates per day in the order of `RATES`.
    days
        (n,) lengths in days.

    Returns
    -------
    tuple
        (n, 2, 2) probabilities to be in each open state at the end, and (n, 2) probabilities to be won by then, each
        given the state at the beginning.

    Examples
    --------
    Evaluating, with win the only way out at 0.1 a day: after 10 days won with 1 - 1/e.

    >>> stay, win = transition(np.array([[0.0, 0.2, 0.0, 0.1, 0.0]]), np.array([10.0]))
    >>> win[0, 1].round(4).item(), stay[0, 1, 1].round(4).item()
    (0.6321, 0.3679)
    """
    opens, drop, lapse, win, lose = rates.T
    leave0, leave1 = opens + drop, lapse + win + lose
    mean, half = -(leave0 + leave1) / 2, (leave1 - leave0) / 2
    root = np.sqrt(half**2 + opens * lapse)
    level = np.exp(mean * days) * np.cosh(root * days)
    safe = np.where(root > 0, root, 1.0)
    slope = np.exp(mean * days) * np.where(root > 0, np.sinh(root * days) / safe, days)
    stay = np.empty((len(rates), 2, 2))
    stay[:, 0, 0], stay[:, 0, 1] = level + slope * half, slope * opens
    stay[:, 1, 0], stay[:, 1, 1] = slope * lapse, level - slope * half
    determinant = leave0 * leave1 - opens * lapse
    # Q^-1 = -1/det [[leave1, open], [lapse, leave0]], applied to win times the second column of exp(Qt) - I
    first, second = stay[:, 0, 1] * win, (stay[:, 1, 1] - 1) * win
    won = np.stack([leave1 * first + opens * second, lapse * first + leave0 * second], axis=1)
    return stay, -won / determinant[:, None]


@dataclass(frozen=True)
class Walk:
    """What happened: the stays in open states, ordered by person and time, and how each person ended.

    A stay covers [start, stop). `closed_at` is the moment of winning or losing in microseconds; where a person is
    still open when the walk ends it is the end, and `final` is an open state.
    """

    who: Ints
    state: Ints
    start: Ints
    stop: Ints
    closed_at: Ints
    final: Ints

    def open_at(self, moment: int) -> tuple[Ints, Ints]:
        """Return the people who are open at a moment and their states."""
        here = (self.start <= moment) & (moment < self.stop)
        return self.who[here], self.state[here]

    def states_at(self, moment: Ints) -> Ints:
        """Return each person's state at a moment of the person's own, not before birth."""
        states = self.final.copy()
        asked = moment[self.who]
        here = (self.start <= asked) & (asked < self.stop)
        states[self.who[here]] = self.state[here]
        return states


def walk(rng: np.random.Generator, rates: Rates, born: Ints, state: Ints, *, until: int) -> Walk:
    """Let everyone live from birth in a state until won, lost or the end of the walk.

    Waiting times are drawn month by month (exponential waits have no memory) and rounded up to whole seconds, the
    resolution of a CRM export.
    """
    here, since, now = state.copy(), born.copy(), born.copy()
    stays: list[tuple[Ints, Ints, Ints, Ints]] = []
    for month in range(len(rates.bounds) - 1):
        stop = min(int(rates.bounds[month + 1]), until)
        moving = np.flatnonzero((now < stop) & (here <= EVALUATING))
        while moving.size:
            then, target = _next(rng, rates.at(moving, month), here[moving], now[moving])
            jumped = then < stop
            now[moving] = np.minimum(then, stop)
            movers = moving[jumped]
            stays.append((movers, here[movers], since[movers], now[movers]))
            here[movers], since[movers] = target[jumped], now[movers]
            moving = movers[here[movers] <= EVALUATING]
    still = np.flatnonzero(here <= EVALUATING)
    stays.append((still, here[still], since[still], np.full(len(still), until, dtype=np.int64)))
    return _gathered(stays, closed_at=np.where(here <= EVALUATING, until, now), final=here)


def _next(rng: np.random.Generator, rates: Floats, here: Ints, now: Ints) -> tuple[Ints, Ints]:
    """Draw when each person leaves the present state, and for which."""
    opens, drop, lapse, win, lose = rates.T
    browsing: Bools = here == BROWSING
    other = np.where(browsing, opens, lapse)
    winning = np.where(browsing, 0.0, win)
    total = other + winning + np.where(browsing, drop, lose)
    days = np.minimum(rng.exponential(1.0, len(now)) / total, _LONGEST_WAIT_DAYS)
    then = now + np.ceil(days * (DAY_US / _SECOND_US)).astype(np.int64) * _SECOND_US
    level = rng.random(len(now)) * total
    target = np.where(level < other, 1 - here, np.where(level < other + winning, WON, LOST))
    return then, target


def _gathered(stays: list[tuple[Ints, Ints, Ints, Ints]], *, closed_at: Ints, final: Ints) -> Walk:
    who, state, start, stop = (np.concatenate(parts) for parts in zip(*stays, strict=True))
    order = np.lexsort((start, who))
    return Walk(who[order], state[order], start[order], stop[order], closed_at, final)
