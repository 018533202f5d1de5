"""From what people are to what they do: the rates of the chain and of visits, the one place with the buying rules.

Firmographics and engagement both matter, and neither simply: middle-sized companies fit best and show it most clearly
when they evaluate, an enterprise buys only through senior people and slowly, trainees read everything and buy nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.simulator.chain import BROWSING, EVALUATING, RATES
from data.simulator.vocabulary import BUDGETS, ERPS, INDUSTRIES, LEVELS, SOURCES, Fit

if TYPE_CHECKING:
    from data.simulator.arrays import Bools, Floats, Ints
    from data.simulator.population import Accounts, People

__all__ = ["ENTERPRISE", "chain_rates", "fit", "initial_states", "lifted", "middle", "visit_rates"]

ENTERPRISE = 1000

_DIRECTOR, _INTERN = 2, 5
# Per day, in the order of chain.RATES, before fit, size, pool and month.
_BASE = np.array([1 / 1050, 1 / 150, 1 / 100, 1 / 160, 1 / 130])
_FIT_EFFECT = np.array([0.7, -0.25, -0.1, 0.6, -0.3])
_ENTERPRISE_PACE = np.array([0.8, 0.75, 0.7, 0.55, 0.6])
_SMALL_PACE = np.array([1.0, 1.15, 1.1, 1.5, 1.4])
# What a call by a good seller does: pool C, B, A.
_POOL_EFFECT = np.array([[1.0, 1.0, 1.0, 1.0, 1.0], [1.08, 1.0, 1.0, 1.04, 1.0], [1.25, 0.95, 0.9, 1.15, 0.95]])


def middle(employees: Floats) -> Floats:
    """Return how middle-sized a company is, 1 at 400 employees and near 0 for the very small and the very large.

    Examples
    --------
    >>> middle(np.array([400.0, 4.0])).round(3).tolist()
    [1.0, 0.006]
    """
    distance = np.log10(employees / 400) / 0.88
    bump: Floats = np.exp(-(distance**2))
    return bump


def _effects(kinds: tuple[Fit, ...]) -> Floats:
    return np.array([kind.fit for kind in kinds])


def fit(people: People, accounts: Accounts) -> Floats:
    """Return the fit of each person on the log scale of rates, hidden traits included."""
    enterprise: Bools = people.employees > ENTERPRISE
    senior: Bools = people.level <= _DIRECTOR
    observed = (
        1.0 * middle(people.employees)
        + _effects(LEVELS)[people.level]
        + np.where(enterprise, np.where(senior, 0.45, -0.8), 0.0)
        + _effects(INDUSTRIES)[people.industry]
        + np.array([source.fit for source in SOURCES])[people.source]
        + _effects(ERPS)[people.erp] * np.where(people.employees > 100, 1.5, 0.5)
        + _effects(BUDGETS)[people.budget]
        + np.where(people.fleet > 40, 0.45, 0.0)
    )
    total: Floats = observed - 0.75 + people.quality + accounts.warmth[people.account]
    return total


def initial_states(rng: np.random.Generator, people: People, fits: Floats) -> Ints:
    """Draw who is evaluating already when the lead is created."""
    logit = -3.0 + 0.5 * fits + np.array([source.warm for source in SOURCES])[people.source]
    return np.where(rng.random(len(fits)) < 1 / (1 + np.exp(-logit)), EVALUATING, BROWSING)


def chain_rates(people: People, fits: Floats, pool: Ints) -> Floats:
    """Return everyone's own rates per day in the order of `chain.RATES`; pool is 0 for C, 1 for B, 2 for A."""
    pace = np.where(
        (people.employees > ENTERPRISE)[:, None],
        _ENTERPRISE_PACE,
        np.where((people.employees < 50)[:, None], _SMALL_PACE, 1.0),
    )
    rates: Floats = _BASE * np.exp(fits[:, None] * _FIT_EFFECT) * pace * _POOL_EFFECT[pool]
    return rates


def lifted(rates: Floats, lift: Floats) -> Floats:
    """Return the rates of people of whom a channel multiplied those of opening a buying window and of winning.

    Examples
    --------
    >>> lifted(np.ones((1, 5)), np.array([3.0])).tolist()
    [[3.0, 1.0, 1.0, 3.0, 1.0]]
    """
    raised = rates.copy()
    raised[:, [RATES.index("open"), RATES.index("win")]] *= lift[:, None]
    return raised


def visit_rates(people: People, who: Ints, state: Ints) -> Floats:
    """Return visits per day at working hours, before they fade with age.

    The loud are loud in any state; evaluating shows most in middle-sized companies, hardly in enterprises, where
    others do the reading; trainees read much whatever their state.
    """
    clear = 0.35 + 0.65 * middle(people.employees[who])
    curious = np.where(people.level[who] == _INTERN, 2.2, 1.0)
    evaluating: Bools = state == EVALUATING
    rates: Floats = people.loudness[who] * np.where(evaluating, 0.12 + 0.95 * clear, 0.16 * curious)
    return rates
