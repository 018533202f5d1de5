"""Who could buy: companies and the people in them, what is true of them and how much of it the CRM was told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.clock import DAY_US, from_us
from data.simulator.arrays import Bools, Floats, Ints, draw_codes, draw_rows
from data.simulator.seasons import Calendar, rhythm, source_weights, volume
from data.simulator.vocabulary import BUDGETS, COUNTRIES, EN, ERPS, INDUSTRIES, LEVELS, MARKETS, ZH

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Accounts", "People", "draw_accounts", "draw_people"]

_PEOPLE_PER_ACCOUNT = 1.7
_MOST_ROUNDS = 60


@dataclass(frozen=True)
class Accounts:
    """Companies; codes point into the vocabulary, `*_known` says what the CRM was told, `warmth` nobody sees."""

    country: Ints
    industry: Ints
    employees: Floats
    revenue: Floats
    region: Ints
    founded: Ints
    warmth: Floats
    wave: Ints
    employees_known: Bools
    revenue_known: Bools
    industry_known: Bools


@dataclass(frozen=True)
class People:
    """People; `created` is when their first lead is created (microseconds), hidden traits are quality and loudness."""

    account: Ints
    market: Ints
    offset: Ints
    created: Ints
    source: Ints
    level: Ints
    erp: Ints
    fleet: Floats
    budget: Ints
    quality: Floats
    loudness: Floats
    employees: Floats
    industry: Ints
    linked: Bools
    title_known: Bools
    erp_known: Bools
    fleet_known: Bools
    budget_known: Bools


def draw_accounts(rng: np.random.Generator, calendar: Calendar, people: int) -> Accounts:
    """Draw the companies for that many people: sizes are log-normal with a heavy tail, knowledge depends on size."""
    count = max(3, round(people / _PEOPLE_PER_ACCOUNT))
    market = (rng.random(count) < 0.45).astype(np.int64)
    shares = np.array([[c.share * (c.market == market) for c in COUNTRIES] for market in range(len(MARKETS))])
    country = draw_rows(rng, shares[market])
    employees = np.ceil(np.exp(rng.normal(np.log(140), 1.75, count))).clip(1, 400_000)
    usd = np.array([c.usd for c in COUNTRIES])[country]
    warmth = rng.normal(0.0, 0.35, count)
    # Small companies and cold ones leave the form empty more often: missing is informative, but not only that.
    blank = 1 / (1 + np.exp(1.25 + 0.35 * np.log10(employees / 140) + 0.9 * warmth))
    return Accounts(
        country=country,
        industry=draw_codes(rng, [i.share for i in INDUSTRIES], count),
        employees=employees,
        revenue=np.round(employees * np.exp(rng.normal(np.log(180_000), 0.7, count)) / usd, -3),
        region=rng.integers(0, 1000, count) % np.array([len(c.regions) for c in COUNTRIES])[country],
        founded=from_us(calendar.start).year - 1 - np.minimum(rng.gamma(1.6, 14.0, count), 150).astype(np.int64),
        warmth=warmth,
        wave=rng.integers(calendar.start, calendar.end, count),
        employees_known=rng.random(count) >= blank,
        revenue_known=rng.random(count) >= 0.45,
        industry_known=rng.random(count) >= 0.08,
    )


def draw_people(rng: np.random.Generator, calendar: Calendar, accounts: Accounts, count: int) -> People:
    """Draw people: buying committees in large companies, arrivals in waves, at working hours, by season."""
    # The cap keeps a buying committee a committee: without it the largest company would hold a tenth of a small CRM.
    account = draw_codes(rng, np.minimum(accounts.employees / 140, 40.0) ** 0.35, count)
    country = accounts.country[account]
    market = np.array([c.market for c in COUNTRIES])[country]
    offset = np.array([c.offset for c in COUNTRIES])[country]
    created = _arrivals(rng, calendar, market, offset, wave=accounts.wave[account])
    quality = rng.normal(0.0, 0.5, count)
    fleet = np.ceil(np.exp(rng.normal(np.log(18), 1.2, count) + 0.2 * np.log10(accounts.employees[account])))
    careful = rng.random(count) + 0.08 * quality  # careful people fill in more of the form
    return People(
        account=account,
        market=market,
        offset=offset,
        created=created,
        source=draw_rows(rng, source_weights(calendar.month(created), market)),
        level=_levels(rng, accounts.employees[account]),
        erp=_systems(rng, market),
        fleet=fleet,
        budget=draw_codes(rng, [b.share for b in BUDGETS], count),
        quality=quality,
        loudness=np.exp(rng.normal(-0.3, 0.7, count)),
        employees=accounts.employees[account],
        industry=accounts.industry[account],
        linked=rng.random(count) >= 0.06,
        title_known=careful > 0.06,
        erp_known=rng.random(count) > 0.25,
        fleet_known=rng.random(count) > 0.5,
        budget_known=careful > 0.3,
    )


def _levels(rng: np.random.Generator, employees: Floats) -> Ints:
    """Draw seniorities: the boss fills in the form in a small company, a vice president exists in a large one."""
    weights = np.tile([level.share for level in LEVELS], (len(employees), 1))
    weights[:, 0] *= np.where(employees < 60, 2.5, 0.6)
    weights[:, 1] *= np.where(employees > 500, 2.0, 0.6)
    return draw_rows(rng, weights)


def _systems(rng: np.random.Generator, market: Ints) -> Ints:
    """Draw ERP systems: the Chinese ones belong to the Chinese market."""
    weights = np.tile([erp.share for erp in ERPS], (len(market), 1))
    local = np.array([erp.name in {"kingdee", "yonyou"} for erp in ERPS])
    weights[market == EN] *= np.where(local, 0.1, 1.0)
    weights[market == ZH] *= np.where(local, 1.5, 0.8)
    return draw_rows(rng, weights)


def _arrivals(rng: np.random.Generator, calendar: Calendar, market: Ints, offset: Ints, *, wave: Ints) -> Ints:
    """Draw when leads are created, whole seconds: half of them in a wave of their company, all by season and hour."""
    by_month = volume(calendar)
    in_wave = rng.random(len(market)) < 0.5

    def propose(who: Ints) -> Ints:
        anywhere = rng.integers(calendar.start, calendar.end, len(who))
        near = wave[who] + (rng.exponential(30.0, len(who)) * DAY_US).astype(np.int64)
        return np.where(in_wave[who] & (near < calendar.end), near, anywhere)

    def chance(who: Ints, us: Ints) -> Floats:
        weight: Floats = rhythm(us, market[who], offset[who]) * by_month[calendar.month(us), market[who]]
        return weight

    return _thinned(rng, len(market), propose, chance) // 1_000_000 * 1_000_000


def _thinned(
    rng: np.random.Generator, count: int, propose: Callable[[Ints], Ints], chance: Callable[[Ints, Ints], Floats]
) -> Ints:
    """Draw from proposals by rejection; who is refused all the time takes the last proposal."""
    times = np.zeros(count, dtype=np.int64)
    waiting = np.arange(count)
    for _ in range(_MOST_ROUNDS):
        times[waiting] = propose(waiting)
        waiting = waiting[rng.random(len(waiting)) >= chance(waiting, times[waiting])]
        if not waiting.size:
            break
    return times
