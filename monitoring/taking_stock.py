"""What a look leaves behind: record, drift, baselines and attribution put into the figures that a page shows."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from data.clock import iso, now
from features.words import Words
from monitoring.market import NOT_ASKED
from monitoring.standing import (
    AttributionTold,
    BaselinesTold,
    BaselineTold,
    CallTold,
    ChannelTold,
    DriftTold,
    EstimateTold,
    FieldTold,
    FindingTold,
    FlowTold,
    GradeTold,
    LampTold,
    LevelTold,
    MixTold,
    MonthTold,
    OrderTold,
    PointTold,
    RecordTold,
    Standing,
    StepTold,
    Unmeasured,
    WorkedTold,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monitoring.attribution.report import Attribution
    from monitoring.baselines.report import BaselineReport, Row
    from monitoring.drift.finding import Finding
    from monitoring.drift.report import DriftReport
    from monitoring.market import Market
    from monitoring.record.record import Record
    from monitoring.standing import Light
    from monitoring.watch import Watched

__all__ = ["take_stock", "without_people"]

_MONTHS, _FLOWS, _FIELDS, _CHANNELS, _FINDINGS = 24, 40, 30, 15, 60
_ADDRESS = re.compile(r"[^\s@<>'\",;，；、（）()]+@[^\s@<>'\",;，；、（）()]+")
_NUMBER = re.compile(r"\+?\d(?:[ ().-]{0,2}\d){8,}")
_REASONS = (
    (re.escape(NOT_ASKED), "耗时与其余各项之和相当，本次未要求；`clew monitor --attribution` 可一并测量"),
    ("no score had been given by then", "截至该时刻尚无评分；请运行 `clew score`"),
    (
        r"(\d+) whole windows of (\d+) days lie before the judged one, (\d+) are needed",
        "判定窗口之前只有 {0} 个完整的 {1} 天窗口，至少需要 {2} 个；请等待、导入更早的线索，或调整 --as-of",
    ),
)
_OF_ORDER = frozenset({"ranking_lost"})


def take_stock(watched: Watched, market: Market, *, timezone: str) -> Standing:
    """Return the figures of a look as they are kept: bounded in number, and of nobody in particular.

    Parameters
    ----------
    watched
        Record, drift and what follows.
    market
        Baselines and attribution.
    timezone
        In which pages show the moments.
    """
    record = None if watched.record is None else _record(watched.record)
    drift = None if watched.drift is None else _drift(watched.drift)
    baselines = None if market.baselines is None else _told_baselines(market.baselines)
    return Standing(
        as_of=watched.as_of,
        computed_at=iso(now()),
        timezone=timezone,
        bundle=watched.bundle,
        lights=_lights(watched, baselines),
        call=CallTold.model_validate(_plain(watched.call.as_dict())),
        findings=tuple(_finding(finding) for finding in watched.findings[:_FINDINGS]),
        not_measured=_unmeasured(watched, market),
        record=record,
        drift=drift,
        baselines=baselines,
        attribution=None if market.attribution is None else _told_attribution(market.attribution),
    )


def without_people(text: str) -> str:
    """Return a text without what looks like an address or a number of somebody: categories may be typed by hand.

    Examples
    --------
    >>> without_people("leads.source: li@example.org, +86 10 1234 5678; 1,234 leads since 2026-10-01")
    'leads.source: …, …; 1,234 leads since 2026-10-01'
    """
    return _NUMBER.sub("…", _ADDRESS.sub("…", text))


def _plain(told: Any) -> Any:  # noqa: ANN401 - anything that JSON holds
    """Return values of JSON with every text freed of people and every number that is not finite left out."""
    if isinstance(told, str):
        return without_people(told)
    if isinstance(told, float):
        return told if math.isfinite(told) else None
    if isinstance(told, dict):
        return {_plain(key): _plain(value) for key, value in told.items()}
    if isinstance(told, list | tuple):
        return [_plain(value) for value in told]
    return told


def _unmeasured(watched: Watched, market: Market) -> tuple[Unmeasured, ...]:
    told = [reason.partition(": ")[::2] for reason in watched.not_measured]
    return tuple(
        Unmeasured.model_validate({"part": part, "reason": _reason(without_people(why))})
        for part, why in (*told, *market.not_measured)
    )


def _reason(text: str) -> Words:
    """Return a reason in both languages; what an error says has English words only."""
    for pattern, chinese in _REASONS:
        found = re.match(pattern, text)
        if found:
            return Words(en=text, zh=chinese.format(*found.groups()))
    return Words(en=text, zh=text)


def _lights(watched: Watched, baselines: BaselinesTold | None) -> tuple[LampTold, ...]:
    record, drift = watched.record, watched.drift
    of_record = () if record is None else record.findings
    level = [one for one in of_record if one.kind not in _OF_ORDER]
    order = [one for one in of_record if one.kind in _OF_ORDER]
    market: tuple[Light, ...] = () if baselines is None else tuple(row.light for row in baselines.rows)
    return (
        LampTold(name="promise", light=_light(level, measured=record is not None and record.level is not None)),
        LampTold(name="order", light=_light(order, measured=_has_order(record))),
        LampTold(name="data", light=_light(() if drift is None else drift.findings, measured=drift is not None)),
        LampTold(name="baselines", light=_worst(market)),
    )


def _has_order(record: Record | None) -> bool:
    return record is not None and record.order is not None and record.order.model is not None


def _light(findings: Iterable[Finding], *, measured: bool) -> Light:
    found = {finding.severity for finding in findings}
    if not found:
        return "green" if measured else "not_measured"
    return "red" if "act" in found else "amber"


def _worst(lights: Iterable[Light]) -> Light:
    found = set(lights)
    order: tuple[Light, ...] = ("red", "amber", "green")
    return next((light for light in order if light in found), "not_measured")


def _finding(finding: Finding) -> FindingTold:
    told = finding.as_dict()
    return FindingTold.model_validate(_plain({name: told[name] for name in FindingTold.model_fields}))


def _record(record: Record) -> RecordTold:
    from monitoring.page import by_month

    months = sorted({promise.month for promise in record.promises})[-_MONTHS:]
    promises = [promise for promise in record.promises if promise.month in months]
    counts = {
        month: {name: sum(getattr(one, name) for one in promises if one.month == month) for name in ("mature", "young")}
        for month in months
    }
    return RecordTold(
        scores=record.scores,
        left_out=record.left_out,
        fallback_share=record.fallback_share,
        answered={month: dict(told) for month, told in record.answered.items() if month in months},
        months=tuple(MonthTold(**told, **counts[told["month"]]) for told in by_month(promises)),
        grades=tuple(_taken(GradeTold, one.as_dict()) for one in promises),
        level=None if record.level is None else _taken(LevelTold, record.level.as_dict()),
        order=None if record.order is None else _taken(OrderTold, record.order.as_dict()),
        expected_order=record.expected_order,
        estimate=_taken(EstimateTold, record.estimate.as_dict()),
        worked=_taken(WorkedTold, {**record.worked.as_dict(), "share": record.worked.share}),
    )


def _taken(model: Any, told: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the model that was named
    """Return the fields of a model from a larger dictionary."""
    return model.model_validate(_plain({name: told[name] for name in model.model_fields}))


def _drift(drift: DriftReport) -> DriftTold:
    from monitoring.drift.windows import WINDOW_DAYS

    flows = sorted(drift.flows, key=lambda flow: (flow.table, -sum(flow.counts)))[:_FLOWS]
    moved = [one for one in drift.fields if one.move not in {None, "steady"}]
    *before, last = drift.arrivals
    scores = drift.scores
    return DriftTold(
        window_days=WINDOW_DAYS,
        arrivals=last,
        arrivals_usual=sum(before) / max(len(before), 1),
        flows=tuple(
            FlowTold(
                table=flow.table,
                source=without_people(flow.source or ""),
                usual=sum(flow.counts[:-1]) / max(len(flow.counts) - 1, 1),
                now=flow.counts[-1],
                silent_days=_plain(flow.silent_days),
            )
            for flow in flows
        ),
        compared=sum(one.move is not None for one in drift.fields),
        fields=tuple(_taken(FieldTold, one.as_dict()) for one in moved[:_FIELDS]),
        grades=() if scores is None else _mix(scores.grades),
        reasons=() if scores is None else _mix(scores.reasons),
    )


def _mix(shares: Mapping[str, tuple[float, float]]) -> tuple[MixTold, ...]:
    told = sorted(shares.items(), key=lambda item: -max(item[1])) if len(shares) > 8 else list(shares.items())
    return tuple(MixTold(name=without_people(name), usual=usual, now=at) for name, (usual, at) in told[:12])


def _told_baselines(report: BaselineReport) -> BaselinesTold:
    told = report.as_dict()
    return BaselinesTold(
        since=told["since"],
        until=told["until"],
        currency=report.currency,
        rows=tuple(_baseline(row) for row in report.rows),
        funnel=tuple(StepTold(**step.as_dict()) for step in report.funnel.steps),
    )


def _baseline(row: Row) -> BaselineTold:
    """Return a baseline; of an entered figure not who entered it, as that is a person."""
    from monitoring.baselines.definitions import PILLARS

    pillar = PILLARS[row.baseline.pillar].model_dump()
    told = {**row.as_dict(), "is_share": row.is_share, "pillar_words": pillar}
    told["history"] = [{name: one[name] for name in PointTold.model_fields} for one in told["history"]]
    return BaselineTold.model_validate(_plain({name: told[name] for name in BaselineTold.model_fields}))


def _told_attribution(found: Attribution, by: str = "shapley") -> AttributionTold:
    told = found.as_dict()
    channels = [
        ChannelTold(
            channel=without_people(line.key[0]),
            leads=line.counts.leads,
            mqls=line.counts.mqls,
            cost={currency: cents / 100 for currency, cents in sorted(line.spent.cost.items())},
            wins={model: line.wins(model) for model in ("first_touch", "last_touch", by)},
            amounts=line.amounts(by),
            roi=line.roi(by),
        )
        for line in found.lines["channel"][:_CHANNELS]
    ]
    totals = found.totals
    return AttributionTold(
        since=told["since"],
        until=told["until"],
        wins=totals.wins,
        wins_without_touch=totals.wins_without_touch,
        by=by,
        channels=tuple(channels),
    )
