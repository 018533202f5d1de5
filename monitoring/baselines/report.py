"""The report of the baselines: every one with its value, interval, light and trend, and the funnel of the period."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from data.clock import DAY_US, from_us, iso
from data.errors import UsageError
from monitoring.attribution.spend import Rates, read_spend
from monitoring.baselines.definitions import ENTERED, Baseline, Baselines
from monitoring.baselines.figures import Figures, begins_us
from monitoring.baselines.judging import LEVEL, Light, Trend, interval_of, judge, trend_of
from monitoring.baselines.measures import MEASURES, Context, Measured, prepare_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from zoneinfo import ZoneInfo

    import duckdb

    from monitoring.attribution.journeys import Period

__all__ = ["BaselineReport", "Funnel", "FunnelStep", "Point", "Row", "measure_baselines"]


@dataclass(frozen=True)
class Point:
    """A baseline in one period."""

    since_us: int
    until_us: int
    measured: Measured

    def as_dict(self) -> dict[str, Any]:
        """Return the point for JSON."""
        ends = interval_of(self.measured)
        return {
            "since": iso(from_us(self.since_us)),
            "until": iso(from_us(self.until_us)),
            "value": self.measured.value,
            "hits": self.measured.hits,
            "of": self.measured.of,
            "interval": list(ends) if ends else None,
            "missing": self.measured.missing,
        }


@dataclass(frozen=True)
class Row:
    """One baseline: its definition, where it stands, which way it goes, and its periods, the newest last.

    `owner` is who entered the figure where one was entered, else who answers for the baseline.
    """

    baseline: Baseline
    light: Light
    trend: Trend | None
    points: tuple[Point, ...]
    owner: str

    @property
    def measured(self) -> Measured:
        """The value of the last period."""
        return self.points[-1].measured

    @property
    def is_share(self) -> bool:
        """Whether the value is a share of 1."""
        measure = MEASURES.get(self.baseline.measure)
        return measure.kind == "share" if measure else self.baseline.threshold < 1

    def as_dict(self) -> dict[str, Any]:
        """Return the row for JSON."""
        return {
            **self.baseline.as_dict(),
            **self.points[-1].as_dict(),
            "light": self.light,
            "trend": self.trend,
            "told_by": self.owner,
            "detail": dict(self.measured.detail),
            "history": [point.as_dict() for point in self.points],
        }


@dataclass(frozen=True)
class FunnelStep:
    """How many reached a step in the period, and that as a share of the step before; amounts by currency."""

    name: str
    count: int | None
    rate: float | None = None
    amounts: tuple[tuple[str, int], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the step for JSON; amounts in units of the currency."""
        told = {currency: cents / 100 for currency, cents in self.amounts}
        return {"step": self.name, "count": self.count, "rate": self.rate, "amounts": told}


@dataclass(frozen=True)
class Funnel:
    """From exposure to amount: what passed each step in the period (not the same people at every step)."""

    steps: tuple[FunnelStep, ...]


@dataclass(frozen=True)
class BaselineReport:
    """All baselines of a period, in the order of the configuration."""

    period: Period
    rows: tuple[Row, ...]
    funnel: Funnel
    currency: str | None

    def counts(self) -> dict[Light, int]:
        """Return how many baselines show each light."""
        lights: tuple[Light, ...] = ("green", "amber", "red", "not_measured")
        return {light: sum(row.light == light for row in self.rows) for light in lights}

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            "since": iso(from_us(self.period.since_us)),
            "until": iso(from_us(self.period.until_us)),
            "as_of": iso(from_us(self.period.as_of_us)),
            "currency": self.currency,
            "interval_level": LEVEL,
            "counts": self.counts(),
            "funnel": [step.as_dict() for step in self.funnel.steps],
            "baselines": [row.as_dict() for row in self.rows],
        }


def measure_baselines(
    connection: duckdb.DuckDBPyConnection,
    baselines: Baselines,
    figures: Figures,
    periods: Sequence[Period],
    *,
    zone: ZoneInfo,
    currency: str | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> BaselineReport:
    """Measure every baseline in every period, all as known at the `as_of` that the periods share.

    Parameters
    ----------
    connection
        With the warehouse's views; temporary tables are made in it.
    baselines, figures
        What is asked, and what people entered.
    periods
        Oldest first; the last one is judged, the others are its past.
    zone
        In which the days of entered figures begin.
    currency
        Into which amounts are converted by the entered rates; without it currencies are never added up.
    progress
        Called with the name of a baseline and the share of the work done before it.

    Raises
    ------
    UsageError
        If there is no period, or a figure was entered for a baseline that there is not.
    """
    if not periods:
        raise UsageError("no period was named", hint="ask for at least one")
    _refuse_unknown(baselines, figures)
    tell = progress or (lambda _name, _share: None)
    prepare_steps(connection, periods[-1].as_of_us)
    rates = [figures.rates_to(currency, period.until_us, zone) if currency else None for period in periods]
    contexts = [Context(connection, period, rate) for period, rate in zip(periods, rates, strict=True)]
    rows = []
    for at, baseline in enumerate(baselines.baselines):
        tell(baseline.name, at / len(baselines.baselines))
        rows.append(_row(baseline, figures, contexts, zone))
    return BaselineReport(periods[-1], tuple(rows), _funnel(contexts[-1]), currency)


def _refuse_unknown(baselines: Baselines, figures: Figures) -> None:
    entered = {one.name for one in baselines.baselines if one.measure == ENTERED}
    for figure in figures.figures:
        if figure.baseline not in entered:
            raise UsageError(
                f"a figure was entered for {figure.baseline}, which is no entered baseline",
                hint=f"there are {', '.join(sorted(entered))}",
            )


def _row(baseline: Baseline, figures: Figures, contexts: Sequence[Context], zone: ZoneInfo) -> Row:
    if baseline.measure == ENTERED:
        told = [_entered(baseline, figures, context.period, zone) for context in contexts]
    else:
        told = [MEASURES[baseline.measure].ask(context) for context in contexts]
    points = tuple(
        Point(context.period.since_us, context.period.until_us, one)
        for context, one in zip(contexts, told, strict=True)
    )
    figure = figures.newest(baseline.name, contexts[-1].period.until_us, zone)
    owner = figure.owner if figure else baseline.owner
    return Row(baseline, judge(baseline, told[-1]), trend_of(baseline, _changes(baseline, told)), points, owner)


def _changes(baseline: Baseline, told: Sequence[Measured]) -> Sequence[Measured]:
    """Return the values to compare: an entered figure that stands for several periods is one figure, not several."""
    if baseline.measure != ENTERED:
        return told
    last = told[-1]
    before = [one for one in dict.fromkeys(told[:-1]) if one != last]
    return [*before, last]


def _entered(baseline: Baseline, figures: Figures, period: Period, zone: ZoneInfo) -> Measured:
    """Return the newest figure at the end of a period, unless it is too old by then."""
    figure = figures.newest(baseline.name, period.until_us, zone)
    if figure is None:
        return Measured(None, missing="not_entered")
    if begins_us(figure.at, zone) + baseline.valid_days * DAY_US < period.until_us:
        return Measured(None, missing="too_old")
    if figure.of is None:
        return Measured(figure.value)
    return Measured(figure.value, round(figure.value * figure.of), figure.of)


_REACHED = """
SELECT COUNT(*) FILTER (WHERE began_us >= $since AND began_us < $until),
       COUNT(*) FILTER (WHERE mql_us >= $since AND mql_us < $until),
       COUNT(*) FILTER (WHERE sql_us >= $since AND sql_us < $until),
       COUNT(*) FILTER (WHERE opportunity_us >= $since AND opportunity_us < $until),
       COUNT(*) FILTER (WHERE won_us >= $since AND won_us < $until)
FROM steps
"""
_AMOUNTS = """
SELECT COALESCE(currency, 'none'), CAST(SUM(ROUND(amount * 100)) AS BIGINT) FROM steps
WHERE won_us >= $since AND won_us < $until AND amount IS NOT NULL GROUP BY ALL ORDER BY ALL
"""


def _funnel(context: Context) -> Funnel:
    """Return the funnel of a period; exposure and clicks are unknown where no spend was told."""
    bounds = {"since": context.period.since_us, "until": context.period.until_us}
    spent = read_spend(context.connection, context.period).values()
    shown, clicked = sum(one.impressions for one in spent), sum(one.clicks for one in spent)
    counts: list[tuple[str, int | None]] = [("exposure", shown or None), ("click", clicked or None)]
    counts += list(zip(("lead", "mql", "sql", "opportunity", "won"), context.row(_REACHED), strict=True))
    steps = [FunnelStep(counts[0][0], counts[0][1])]
    for (_, before), (name, count) in pairwise(counts):
        steps.append(FunnelStep(name, count, count / before if count is not None and before else None))
    told = context.connection.execute(_AMOUNTS, bounds).fetchall()
    amounts = _converted(context.rates, told)
    return Funnel((*steps, FunnelStep("amount", None, None, amounts)))


def _converted(rates: Rates | None, told: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Return amounts by currency, those with a rate in the report's."""
    total: dict[str, int] = {}
    for currency, cents in told:
        known = rates is not None and (currency == rates.currency or currency in rates.worth)
        name, worth = (rates.currency, rates.converted(cents, currency)) if rates and known else (currency, cents)
        total[name] = total.get(name, 0) + worth
    return tuple(sorted(total.items()))
