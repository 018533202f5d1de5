"""What the simulated team pays for its leads: clicks by day and keyword, bills by campaign, in two currencies."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from data.clock import DAY_US, HOUR_US, from_us
from data.simulator.arrays import Ints, moments
from data.simulator.export import KEYWORDS
from data.simulator.vocabulary import EN, SOURCES, ZH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from data.simulator.export import World

__all__ = ["spend_table"]

CAMPAIGNS = 3  # a quarter and source, as the leads' own column Campaign has them
_CLICKS_A_LEAD = {"paid_search": 22.0, "paid_social": 40.0}
_CLICK_COST = {"paid_search": (4.2, 11.0), "paid_social": (2.6, 2.6)}  # USD and, in the Chinese market, CNY
_SHOWN_A_CLICK = {"paid_search": 28, "paid_social": 110}
_BILLED_A_LEAD = {"webinar": 95.0, "trade_show": 310.0, "partner": 140.0}  # USD
_LEAST_BILL = 400.0
_CURRENCIES = ("USD", "CNY")
_COLUMNS = ("Channel", "Campaign", "Keyword", "Day", "Cost", "Currency", "Impressions", "Clicks", "Updated At")


class _Bill(NamedTuple):
    channel: str
    campaign: str
    keyword: str | None
    day: int
    cost: float
    currency: str
    impressions: int | None
    clicks: int | None


def spend_table(rng: np.random.Generator, world: World) -> pa.Table:
    """Return `spend.csv`, as far as known before the export: a platform tells a day on the next morning.

    A channel costs in proportion to the leads it brought in the month, so that what one costs can be held against what
    it is worth; nothing that a person did depends on it.
    """
    bills = [bill for bill in _bills(rng, world) if bill.day + DAY_US + 6 * HOUR_US < world.calendar.end]
    bills.sort(key=lambda bill: (bill.day, bill.channel, bill.campaign, bill.keyword or ""))
    days = np.array([bill.day for bill in bills], dtype=np.int64)
    arrays = [
        pa.array([bill.channel for bill in bills], pa.string()),
        pa.array([bill.campaign for bill in bills], pa.string()),
        pa.array([bill.keyword for bill in bills], pa.string()),
        pa.array(moments(days), pa.string()),
        pa.array([bill.cost for bill in bills], pa.float64()),
        pa.array([bill.currency for bill in bills], pa.string()),
        pa.array([bill.impressions for bill in bills], pa.int64()),
        pa.array([bill.clicks for bill in bills], pa.int64()),
        pa.array(moments(days + DAY_US + 6 * HOUR_US), pa.string()),
    ]
    return pa.table(dict(zip(_COLUMNS, arrays, strict=True)))


def _bills(rng: np.random.Generator, world: World) -> Iterator[_Bill]:
    """Yield every bill of every month, in a fixed order of draws."""
    bounds, leads = world.calendar.bounds, _leads_by_month(world)
    for month in range(len(bounds) - 1):
        first, last = int(bounds[month]), min(int(bounds[month + 1]), world.calendar.end)
        days = np.arange(first, last, DAY_US, dtype=np.int64)
        at = from_us(first)
        quarter = f"{at.year}q{(at.month + 2) // 3}"
        for code, source in enumerate(SOURCES):
            if source.name in _CLICKS_A_LEAD and len(days):
                yield from _clicked(rng, source.name, quarter, days, leads[month, code])
            elif source.name in _BILLED_A_LEAD and len(days):
                yield from _billed(rng, source.name, quarter, first, int(leads[month, code].sum()))


def _leads_by_month(world: World) -> Ints:
    """Return how many people each source brought, (months, sources, markets)."""
    people = world.people
    counts = np.zeros((len(world.calendar.bounds) - 1, len(SOURCES), 2), dtype=np.int64)
    np.add.at(counts, (world.calendar.month(people.created), people.source, people.market), 1)
    return counts


def _clicked(rng: np.random.Generator, name: str, quarter: str, days: Ints, leads: Ints) -> Iterator[_Bill]:
    """Yield what clicks cost, a row for each day, campaign and keyword that had any."""
    for market in (EN, ZH):
        terms: tuple[str | None, ...] = KEYWORDS[market] if name == "paid_search" else (None,)
        if name != "paid_search" and market == ZH:
            continue  # one account pays for both markets, in USD
        brought = leads[market] if name == "paid_search" else leads.sum()
        mean = _CLICKS_A_LEAD[name] * brought / (len(days) * CAMPAIGNS * len(terms))
        clicks = rng.poisson(mean, (len(days), CAMPAIGNS, len(terms)))
        price = _CLICK_COST[name][market] * rng.lognormal(0.0, 0.25, clicks.shape)
        for day, number, term in np.argwhere(clicks > 0).tolist():
            count = int(clicks[day, number, term])
            yield _Bill(
                channel=name,
                campaign=f"{name}-{quarter}-{number}",
                keyword=terms[term],
                day=int(days[day]),
                cost=round(count * float(price[day, number, term]), 2),
                currency=_CURRENCIES[market],
                impressions=count * _SHOWN_A_CLICK[name],
                clicks=count,
            )


def _billed(rng: np.random.Generator, name: str, quarter: str, first: int, leads: int) -> Iterator[_Bill]:
    """Yield the bills of a month that come by campaign: an organiser counts neither impressions nor clicks."""
    for number in range(CAMPAIGNS):
        cost = max(_BILLED_A_LEAD[name] * leads / CAMPAIGNS * rng.lognormal(0.0, 0.2), _LEAST_BILL)
        yield _Bill(name, f"{name}-{quarter}-{number}", None, first, round(cost, 2), "USD", None, None)
