"""The attribution of a period: wins and amounts by channel, campaign and keyword, beside what they cost."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from data.clock import from_us, iso
from data.errors import UsageError
from monitoring.attribution.credit import NO_CURRENCY, NONE, WIN, Credit, hand_out
from monitoring.attribution.journeys import Journey, Period, Touch, Unit, read_journeys
from monitoring.attribution.markov import markov_weigher
from monitoring.attribution.rules import RULES, Weigher
from monitoring.attribution.shapley import read_channel_sets, shapley_weigher
from monitoring.attribution.spend import Counts, Rates, Spent, read_counts, read_spend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import duckdb

__all__ = ["DIMENSIONS", "MODELS", "Attribution", "Dimension", "Line", "Options", "Totals", "attribute"]

Dimension = Literal["channel", "campaign", "keyword", "all"]
MODELS = (*RULES, "shapley", "markov")
DIMENSIONS: Mapping[Dimension, tuple[str, ...]] = MappingProxyType(
    {
        "channel": ("channel",),
        "campaign": ("campaign",),
        "keyword": ("keyword",),
        "all": ("channel", "campaign", "keyword"),
    }
)


@dataclass(frozen=True)
class Options:
    """How to attribute: days before the end in which touches count, whose touches, channels that count only alone.

    `without` names channels, such as direct visits, that get a win only where nothing else touched it.
    """

    window_days: float = 180.0
    landmark_days: float = 7.0
    unit: Unit = "person"
    without: frozenset[str] = frozenset()
    rates: Rates | None = None


@dataclass(frozen=True)
class Totals:
    """What there was to hand out: wins, won amounts in hundredths by currency, and what is missing in them."""

    journeys: int
    wins: int
    amounts: Mapping[str, int]
    wins_without_amount: int
    wins_without_touch: int


@dataclass(frozen=True)
class Line:
    """One channel, campaign, keyword or combination: what it brought, what it cost, what each model gives it."""

    key: tuple[str, ...]
    counts: Counts = field(default_factory=Counts)
    spent: Spent = field(default_factory=Spent)
    credit: Mapping[str, Credit] = field(default_factory=dict)

    def wins(self, model: str) -> float:
        """Return the wins that a model gives."""
        return self.credit[model].wins / WIN if model in self.credit else 0.0

    def amounts(self, model: str) -> dict[str, float]:
        """Return the won amount that a model gives, by currency."""
        told = self.credit[model].amounts if model in self.credit else {}
        return {currency: cents / 100 for currency, cents in sorted(told.items())}

    def cost_per(self, count: float) -> dict[str, float] | None:
        """Return the cost of each, by currency; None without a cost or with nothing to divide by.

        Examples
        --------
        >>> Line(("web",), spent=Spent({"USD": 1000})).cost_per(4)
        {'USD': 2.5}
        """
        if not self.spent.cost or count <= 0:
            return None
        return {currency: cents / 100 / count for currency, cents in sorted(self.spent.cost.items())}

    def roi(self, model: str) -> float | None:
        """Return the won amount for each unit spent; None without a cost, or where currencies would be mixed.

        Examples
        --------
        >>> won = {"linear": Credit(WIN, {"USD": 3000})}
        >>> Line(("web",), spent=Spent({"USD": 1000}), credit=won).roi("linear")
        3.0
        >>> Line(("web",), spent=Spent({"CNY": 1000}), credit=won).roi("linear") is None
        True
        """
        earned = self.credit[model].amounts if model in self.credit else {}
        currencies = {name for told in (earned, self.spent.cost) for name, cents in told.items() if cents}
        cost = sum(self.spent.cost.values())
        return sum(earned.values()) / cost if cost and len(currencies) == 1 else None

    def as_dict(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the line for JSON."""
        return {
            **dict(zip(names, self.key, strict=True)),
            "leads": self.counts.leads,
            "mqls": self.counts.mqls,
            "cost": {currency: cents / 100 for currency, cents in sorted(self.spent.cost.items())},
            "impressions": self.spent.impressions,
            "clicks": self.spent.clicks,
            "cost_per_lead": self.cost_per(self.counts.leads),
            "cost_per_mql": self.cost_per(self.counts.mqls),
            "models": {
                model: {
                    "wins": self.wins(model),
                    "amounts": self.amounts(model),
                    "cost_per_win": self.cost_per(self.wins(model)),
                    "roi": self.roi(model),
                }
                for model in MODELS
            },
        }


@dataclass(frozen=True)
class Attribution:
    """What every model gives to every line, by dimension; each model's lines add up to the totals exactly."""

    period: Period
    options: Options
    totals: Totals
    lines: Mapping[Dimension, tuple[Line, ...]]

    @property
    def currencies(self) -> tuple[str, ...]:
        """The currencies of amounts and costs; more than one means that no ROI over all can be told."""
        costs = (line.spent.cost for line in self.lines["channel"])
        return tuple(sorted({*self.totals.amounts, *(name for cost in costs for name in cost)}))

    @property
    def total(self) -> Line:
        """All lines together."""
        whole = Line(())
        for line in self.lines["channel"]:
            whole = _joined(whole, line.counts, line.spent, line.credit)
        return whole

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON; moments in ISO 8601."""
        told = self.totals
        return {
            "since": iso(from_us(self.period.since_us)),
            "until": iso(from_us(self.period.until_us)),
            "as_of": iso(from_us(self.period.as_of_us)),
            "window_days": self.options.window_days,
            "landmark_days": self.options.landmark_days,
            "unit": self.options.unit,
            "without": sorted(self.options.without),
            "currency": self.options.rates.currency if self.options.rates else None,
            "currencies": list(self.currencies),
            "totals": {
                "journeys": told.journeys,
                "wins": told.wins,
                "amounts": {currency: cents / 100 for currency, cents in sorted(told.amounts.items())},
                "wins_without_amount": told.wins_without_amount,
                "wins_without_touch": told.wins_without_touch,
            },
            "lines": {name: [line.as_dict(DIMENSIONS[name]) for line in lines] for name, lines in self.lines.items()},
        }


def attribute(
    connection: duckdb.DuckDBPyConnection,
    period: Period,
    options: Options | None = None,
    *,
    progress: Callable[[str, float], None] | None = None,
) -> Attribution:
    """Return the attribution of the wins of a period, from the warehouse's views.

    Parameters
    ----------
    connection
        With the warehouse's views; temporary tables are made in it.
    period
        Which wins count, and when the data end.
    options
        How to attribute.
    progress
        Called with the name of a step and the share of the work done before it.

    Raises
    ------
    UsageError
        If an option is out of range.
    DataError
        If amounts are to be converted and a rate is missing.
    """
    chosen, tell = options or Options(), progress or (lambda _step, _share: None)
    if not chosen.landmark_days > 0:
        raise UsageError("--landmark-days: a number above 0 was expected", hint="7 is the default")
    tell("journeys", 0.0)
    read = read_journeys(connection, period, window_days=chosen.window_days, unit=chosen.unit)
    journeys = [_prepared(journey, chosen) for journey in read]
    tell("models", 0.6)
    sets = read_channel_sets(
        connection,
        period,
        landmark_days=chosen.landmark_days,
        window_days=chosen.window_days,
        without=chosen.without,
    )
    models: dict[str, Weigher] = {**RULES, "shapley": shapley_weigher(sets), "markov": markov_weigher(journeys)}
    credit = {name: hand_out(journeys, models[name]) for name in MODELS}
    tell("costs", 0.9)
    spent, counts = read_spend(connection, period, chosen.rates), read_counts(connection, period)
    lines = {name: _lines(columns, credit, spent, counts) for name, columns in DIMENSIONS.items()}
    return Attribution(period, chosen, _totals(journeys), MappingProxyType(lines))


def _prepared(journey: Journey, options: Options) -> Journey:
    """Leave out the channels that count only alone, and convert the amount if there are rates."""
    kept = tuple(touch for touch in journey.touches if touch.channel not in options.without)
    prepared = replace(journey, touches=kept or journey.touches)
    if options.rates is None or journey.amount is None or journey.currency is None:
        return prepared
    amount = options.rates.converted(journey.amount, journey.currency)
    return replace(prepared, amount=amount, currency=options.rates.currency)


def _totals(journeys: Iterable[Journey]) -> Totals:
    told = list(journeys)
    won = [journey for journey in told if journey.won]
    amounts: defaultdict[str, int] = defaultdict(int)
    for journey in won:
        if journey.amount is not None:
            amounts[journey.currency or NO_CURRENCY] += journey.amount
    return Totals(
        journeys=len(told),
        wins=len(won),
        amounts=dict(amounts),
        wins_without_amount=sum(journey.amount is None for journey in won),
        wins_without_touch=sum(not journey.touches for journey in won),
    )


def _lines(
    columns: tuple[str, ...],
    credit: Mapping[str, Mapping[Touch, Credit]],
    spent: Mapping[Touch, Spent],
    counts: Mapping[Touch, Counts],
) -> tuple[Line, ...]:
    """Put together what belongs to the same key, most wins first."""

    def key(touch: Touch) -> tuple[str, ...]:
        # Wins without a touch stand under `none` in every dimension, apart from touches without a keyword.
        return tuple(NONE.channel if touch == NONE else getattr(touch, column) for column in columns)

    found: dict[tuple[str, ...], Line] = {}
    for touch in {*spent, *counts, *(touch for told in credit.values() for touch in told)}:
        given = {model: told[touch] for model, told in credit.items() if touch in told}
        line = found.get(key(touch), Line(key(touch)))
        found[key(touch)] = _joined(line, counts.get(touch, Counts()), spent.get(touch, Spent()), given)
    order = sorted(found.values(), key=lambda line: (-line.wins("shapley"), -line.counts.leads, line.key))
    return tuple(order)


def _joined(line: Line, counts: Counts, spent: Spent, credit: Mapping[str, Credit]) -> Line:
    """Return the line with more counts, spend and credit."""
    nothing = Credit(0, {})
    return Line(
        line.key,
        Counts(line.counts.leads + counts.leads, line.counts.mqls + counts.mqls),
        Spent(
            _added(line.spent.cost, spent.cost),
            line.spent.impressions + spent.impressions,
            line.spent.clicks + spent.clicks,
        ),
        {
            model: Credit(
                line.credit.get(model, nothing).wins + credit.get(model, nothing).wins,
                _added(line.credit.get(model, nothing).amounts, credit.get(model, nothing).amounts),
            )
            for model in MODELS
        },
    )


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}
