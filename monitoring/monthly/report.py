"""Everything that the monthly page tells, measured once; what cannot be measured says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from data.clock import from_us, iso, to_us
from data.errors import ClewError
from features.words import Words
from monitoring.monthly.advice import what_to_do
from monitoring.monthly.disagreed import measure_disagreement
from monitoring.monthly.driving import bundle_of, measure_driving
from monitoring.monthly.month import months_of

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import duckdb

    from data.settings import Plan, Settings
    from monitoring.baselines.definitions import Baselines
    from monitoring.baselines.figures import Figures
    from monitoring.baselines.report import BaselineReport
    from monitoring.monthly.advice import Advice
    from monitoring.monthly.disagreed import Disagreed
    from monitoring.monthly.driving import Driving
    from monitoring.monthly.month import Months
    from monitoring.record.given import Given
    from monitoring.record.outcomes import Outcomes, Worked
    from monitoring.record.promises import Promise
    from monitoring.watch import Watched
    from training.bundles.bundle import Bundle

__all__ = ["FunnelLine", "MonthlyReport", "Part", "collect_month"]

Part = Literal["promises", "worked", "drivers", "changes", "disagreed"]
Tell = Callable[[str], None]
_LISTS = 6  # matured lists that the page has room for

_NO_STORE = Words(en="the store of scores cannot be read here", zh="无法读取评分存储")
_NO_SCORES = Words(en="no score had been given by then", zh="当时尚未给出任何评分")
_NOT_MATURE = Words(
    en="no list has matured yet: {days} days have to pass before won and lost can be told",
    zh="尚无已成熟的名单：需经过 {days} 天才能判定结果",
)
_NO_MODEL = Words(en="no model is served yet, the rules answer", zh="尚无在用模型，由规则回答")
_NO_LIST = Words(
    en="no list had been scored by model and rules by the end of the month", zh="截至月末尚无由模型与规则共同评分的名单"
)
_NO_OPEN = Words(en="no lead was open at the end of the month", zh="月末没有进行中的线索")
_NO_OPEN_BEFORE = Words(en="no lead was open a month earlier", zh="上月末没有进行中的线索")
_NO_HOT = Words(en="no lead with a time limit fell due in the month", zh="本月没有到期的限时线索")


@dataclass(frozen=True)
class FunnelLine:
    """A step of the funnel in both months; None where the data do not tell it."""

    step: str
    now: int | None
    before: int | None

    @property
    def moved(self) -> bool | None:
        """Whether the two counts differ by more than chance (two Poisson counts, 5 %), None where one is missing.

        Examples
        --------
        >>> FunnelLine("lead", 130, 100).moved, FunnelLine("lead", 110, 100).moved
        (True, False)
        """
        if self.now is None or self.before is None:
            return None
        return bool(abs(self.now - self.before) > 1.959964 * (self.now + self.before) ** 0.5)


@dataclass(frozen=True)
class MonthlyReport:
    """One month for the manager.

    `promises` are of the newest lists that have matured, by month and grade; `amounts` are what was won in both months
    by currency. Parts that are None stand in `missing` with the reason.
    """

    month: str
    month_before: str
    as_of: str
    horizon_days: float
    promises: tuple[Promise, ...]
    funnel: tuple[FunnelLine, ...]
    amounts: Mapping[str, tuple[float, float]]
    worked: Worked | None
    worked_before: Worked | None
    driving: Driving | None
    disagreed: Disagreed | None
    advice: tuple[Advice, ...]
    missing: Mapping[Part, Words] = field(default_factory=dict)

    @property
    def matured(self) -> tuple[int, float, int]:
        """Over all shown lists: leads, the wins that were promised, and the wins that came."""
        rows = sum(one.mature for one in self.promises)
        promised = sum((one.promised or 0.0) * one.mature for one in self.promises)
        return rows, promised, sum(one.wins for one in self.promises)

    def line(self, step: str) -> FunnelLine:
        """Return a step of the funnel, or raise KeyError."""
        for one in self.funnel:
            if one.step == step:
                return one
        raise KeyError(step)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""

        def told(part: Any) -> Any:  # noqa: ANN401 - values that know how to tell themselves
            return None if part is None else part.as_dict()

        return {
            "month": self.month,
            "month_before": self.month_before,
            "as_of": self.as_of,
            "horizon_days": self.horizon_days,
            "promises": [one.as_dict() for one in self.promises],
            "funnel": [{**asdict(line), "moved": line.moved} for line in self.funnel],
            "amounts": {currency: list(pair) for currency, pair in self.amounts.items()},
            "worked": told(self.worked),
            "worked_before": told(self.worked_before),
            "driving": told(self.driving),
            "disagreed": told(self.disagreed),
            "advice": [advice.as_dict() for advice in self.advice],
            "not_measured": {part: why.model_dump() for part, why in self.missing.items()},
        }


def collect_month(
    settings: Settings,
    *,
    as_of: datetime,
    month: str | None = None,
    baselines: Path | None = None,
    tell: Tell = lambda _: None,
) -> MonthlyReport:
    """Measure a month by what was known at a moment; works without a store of scores and without a model.

    Parameters
    ----------
    settings
        Where everything is.
    as_of
        The moment of knowledge.
    month
        Such as `2026-10`; the last one that is over by default.
    baselines
        The team's own baselines; those that come with clew by default.
    tell
        Told what is going on.

    Raises
    ------
    UsageError
        If the month is none or not over, or a file of baselines or figures is not right.
    InfrastructureError
        If the warehouse cannot be read.
    """
    from data.warehouse import Warehouse
    from monitoring.watch import watch
    from training.run import champion_of, plan_of

    months, as_of_us = months_of(as_of, month, settings.zone), to_us(as_of)
    warehouse = Warehouse(settings.warehouse_dir)
    plan, served = plan_of(settings, warehouse), champion_of(settings)
    watched = watch(settings, as_of_us=as_of_us, tell=tell)
    given, missing = _given(settings, as_of_us)
    with warehouse.connect(threads=settings.query_threads) as connection:
        tell("holding the funnel against the month before")
        report, funnel, amounts = _funnel(connection, settings, months, baselines)
        told = _Told(connection, settings, months, plan, as_of_us)
        scores = told.of_scores(given, watched) if given is not None else _Scores((), None, None, None)
        tell("comparing what drives wins now and a month ago")
        driving = told.driving(given, served)
    missing = {**_reasons(scores, driving, served, plan, has_scores=given is not None), **missing}
    red = [row for row in report.rows if row.light == "red"]
    return MonthlyReport(
        month=months.name,
        month_before=months.name_before,
        as_of=iso(from_us(as_of_us)),
        horizon_days=plan.horizon_days,
        promises=scores.promises,
        funnel=funnel,
        amounts=amounts,
        worked=scores.worked,
        worked_before=scores.worked_before,
        driving=driving,
        disagreed=scores.disagreed,
        advice=what_to_do(watched.findings, red, watched.call),
        missing=missing,
    )


@dataclass(frozen=True)
class _Scores:
    promises: tuple[Promise, ...]
    worked: Worked | None
    worked_before: Worked | None
    disagreed: Disagreed | None


@dataclass(frozen=True)
class _Told:
    """What is asked of the warehouse for a month."""

    connection: duckdb.DuckDBPyConnection
    settings: Settings
    months: Months
    plan: Plan
    as_of_us: int

    def of_scores(self, given: Given, watched: Watched) -> _Scores:
        from monitoring.record.outcomes import read_outcomes

        outcomes: Outcomes = read_outcomes(self.connection, given, self.plan, as_of_us=self.as_of_us)
        kept = () if watched.record is None else watched.record.promises
        matured = [one for one in kept if one.mature and one.month <= self.months.name]
        lists = sorted({one.month for one in matured})[-_LISTS:]
        disagreed = measure_disagreement(
            given,
            outcomes,
            month=self.months.name,
            capacity=self.settings.capacity,
            rng=np.random.default_rng(self.settings.seed),
        )
        worked = [self._worked(given, period.since_us, period.until_us) for period in self.months.periods[-2:]]
        return _Scores(tuple(one for one in matured if one.month in lists), worked[1], worked[0], disagreed)

    def _worked(self, given: Given, since_us: int, until_us: int) -> Worked | None:
        from monitoring.record.outcomes import measure_worked

        hot = [lead for lead in given.hot if since_us <= lead.since_us < until_us]
        found = measure_worked(self.connection, hot, as_of_us=self.as_of_us)
        return found if found.hot else None

    def driving(self, given: Given | None, served: Bundle | None) -> Driving | None:
        now, before = (
            bundle_of(given, name, self.settings.bundles_dir, served)
            for name in (self.months.name, self.months.name_before)
        )
        if now is None:
            return None
        return measure_driving(self.connection, self.months, self.plan, now=now, before=before or now)


def _given(settings: Settings, as_of_us: int) -> tuple[Given | None, dict[Part, Words]]:
    """Return the scores that had been given, or why there are none."""
    from data.store.engine import expect_schema, open_store
    from monitoring.record.given import read_given

    try:
        with closing(open_store(settings.store_url)) as store:
            expect_schema(store)
            given = read_given(store, as_of_us=as_of_us, timezone=settings.timezone, bundles=settings.bundles_dir)
    except ClewError:
        return None, dict.fromkeys(("promises", "worked", "disagreed"), _NO_STORE)
    if not len(given):
        return None, dict.fromkeys(("promises", "worked", "disagreed"), _NO_SCORES)
    return given, {}


def _reasons(
    scores: _Scores, driving: Driving | None, served: Bundle | None, plan: Plan, *, has_scores: bool
) -> dict[Part, Words]:
    """Say of each part that is not there why."""
    found: dict[Part, Words] = {}
    days = f"{plan.horizon_days:g}"
    young = Words(en=_NOT_MATURE.en.format(days=days), zh=_NOT_MATURE.zh.format(days=days))
    if has_scores and not scores.promises:
        found["promises"] = young
    if has_scores and (scores.disagreed is None or not scores.disagreed.lists):
        found["disagreed"] = young if scores.disagreed is not None else _NO_LIST
    if has_scores and scores.worked is None:
        found["worked"] = _NO_HOT
    if driving is None:
        found["drivers"] = _NO_MODEL if served is None else _NO_OPEN
    elif driving.changes is None:
        found["changes"] = _NO_OPEN_BEFORE
    return found


def _funnel(
    connection: duckdb.DuckDBPyConnection, settings: Settings, months: Months, file: Path | None
) -> tuple[BaselineReport, tuple[FunnelLine, ...], dict[str, tuple[float, float]]]:
    """Return the baselines of the month, and the funnel of both months."""
    from monitoring.baselines.definitions import load_baselines
    from monitoring.baselines.figures import Figures, load_figures
    from monitoring.baselines.report import measure_baselines

    asked: Baselines = load_baselines(file)
    entered: Figures = load_figures(settings.home / "figures.yaml")
    report = measure_baselines(connection, asked, entered, months.periods, zone=settings.zone)
    # Of the month before only the funnel is wanted, which comes with any one baseline.
    fewest = asked.model_copy(update={"baselines": asked.baselines[:1]})
    before = measure_baselines(connection, fewest, Figures(), [months.before], zone=settings.zone)
    steps = {step.name: step for step in before.funnel.steps}
    lines = tuple(
        FunnelLine(step.name, step.count, steps[step.name].count)
        for step in report.funnel.steps
        if step.name != "amount"
    )
    now, earlier = (dict(one.funnel.steps[-1].amounts) for one in (report, before))
    amounts = {name: (now.get(name, 0) / 100, earlier.get(name, 0) / 100) for name in sorted({*now, *earlier})}
    return report, lines, amounts
