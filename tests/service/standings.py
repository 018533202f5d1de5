"""How things stand, made up: every part of the figures is filled, with red, amber, green and what is not measured."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from data.clock import DAY_US, from_us, iso
from features.words import Words
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
from training.evaluation.metrics import wilson

if TYPE_CHECKING:
    from monitoring.standing import Light

__all__ = ["EMPTIED", "STOPPED", "days_before", "standing_at"]

MONTHS = tuple(f"{2025 + (month - 1) // 12}-{(month - 1) % 12 + 1:02}" for month in range(9, 23))
SHARES = {"A": (0.21, 90), "B": (0.09, 160), "C": (0.04, 310), "D": (0.012, 520)}
STOPPED = FindingTold(
    kind="source_stopped",
    name=Words(en="a source has stopped", zh="某个来源中断"),
    subject="leads.source: webinar",
    severity="act",
    evidence=Words(
        en="0 came in 28 days, about 41 were expected; the last one 30 days ago",
        zh="28 天内仅 0 条，预期约 41 条；最近一条在 30 天前",
    ),
    remedy=Words(en="ask whoever runs this source whether it was switched off", zh="先问该来源的负责人是否主动停用"),
)
EMPTIED = FindingTold(
    kind="volume_moved",
    name=Words(en="the number of arrivals has moved", zh="新增数量变化"),
    subject="leads",
    severity="watch",
    evidence=Words(en="96 leads arrived in 28 days, 214 are usual", zh="28 天内新增 96 条线索，通常约 214 条"),
    remedy=Words(en="compare with campaigns and budgets", zh="对照活动与预算"),
)


def standing_at(as_of_us: int, **changes: Any) -> Standing:
    """Return figures as of a moment; fields may be replaced."""
    as_of = iso(from_us(as_of_us))
    told = {
        "as_of": as_of,
        "computed_at": iso(from_us(as_of_us + 70_000_000)),
        "timezone": "UTC",
        "bundle": "sha256:0f",
        "lights": tuple(
            LampTold(name=name, light=light)
            for name, light in (("promise", "green"), ("order", "green"), ("data", "red"), ("baselines", "amber"))
        ),
        "call": CallTold(
            act="mend",
            reason=Words(
                en="a source has stopped (leads.source: webinar): no retrain before it is mended",
                zh="某个来源中断（leads.source: webinar）：修复之前不重新训练",
            ),
            because=("source_stopped leads.source: webinar",),
        ),
        "findings": (STOPPED, EMPTIED),
        "not_measured": (Unmeasured(part="attribution", reason=Words(en="it was not asked for", zh="本次未要求")),),
        "record": _record(),
        "drift": _drift(),
        "baselines": _baselines(),
        "attribution": _attribution(),
    }
    return Standing(**{**told, **changes})


def days_before(now_us: int, days: float) -> int:
    """Return a moment some days earlier."""
    return now_us - round(days * DAY_US)


def _record() -> RecordTold:
    young = MONTHS[-3:]
    grades = [_grade(month, at, grade, young=month in young) for at, month in enumerate(MONTHS) for grade in SHARES]
    return RecordTold(
        scores=15_120,
        left_out=0,
        fallback_share=0.0132,
        answered={month: {"model": 1066, "rules": 14} for month in MONTHS},
        months=tuple(_month(month, [one for one in grades if one.month == month]) for month in MONTHS),
        grades=tuple(grades),
        level=LevelTold(rows=6480, wins=318, promised=0.0502, realised=0.0491, shift=-0.024, low=-0.13, high=0.08),
        order=OrderTold(
            rows=6480,
            wins=318,
            capacity=40,
            model=(0.742, 0.713, 0.771),
            rules=(0.661, 0.628, 0.695),
            difference=(0.081, 0.044, 0.117),
            model_wins=92.0,
            rules_wins=61.4,
        ),
        expected_order=0.751,
        estimate=EstimateTold(
            rows=3240,
            wins=161.4,
            spread=11.8,
            roc_auc=0.748,
            log_loss=0.17,
            assumes=Words(
                en="estimated without outcomes: right only if probabilities are calibrated",
                zh="尚无结果时的估计：仅当概率已校准时成立",
            ),
        ),
        worked=WorkedTold(hot=212, in_time=181, late=22, never=9, share=181 / 212, median_minutes=18.0),
    )


def _grade(month: str, at: int, grade: str, *, young: bool) -> GradeTold:
    promised, leads = SHARES[grade]
    wins = round(promised * leads * (1 + 0.25 * ((at * 7) % 5 - 2) / 2))
    low, high = wilson(wins, leads)
    none = {"promised": None, "realised": None, "low": None, "high": None, "kept": None, "mature": 0, "wins": 0}
    told = {
        "promised": promised,
        "realised": wins / leads,
        "low": low,
        "high": high,
        "kept": low <= promised <= high,
        "mature": leads,
        "wins": wins,
    }
    expected = promised * leads if young else 0.0
    return GradeTold(
        month=month, grade=grade, young=leads if young else 0, expected_wins=expected, **(none if young else told)
    )


def _month(month: str, grades: list[GradeTold]) -> MonthTold:
    mature, young, wins = sum(g.mature for g in grades), sum(g.young for g in grades), sum(g.wins for g in grades)
    promised = sum(SHARES[g.grade][0] * SHARES[g.grade][1] for g in grades) / sum(leads for _, leads in SHARES.values())
    low, high = wilson(wins, mature) if mature else (None, None)
    realised = wins / mature if mature else None
    return MonthTold(month=month, mature=mature, young=young, promised=promised, realised=realised, low=low, high=high)


def _drift() -> DriftTold:
    field = FieldTold(
        feature="webinar_visits_30d",
        psi=0.31,
        chance=0.12,
        missing_before=0.02,
        missing_now=0.02,
        unknown_now=None,
        move="shape",
    )
    flows = [
        ("leads", "webinar", 40.8, 0, 29.5),
        ("leads", "search", 96.2, 88, 0.2),
        ("events", "", 3012.0, 2961, 0.01),
    ]
    return DriftTold(
        window_days=28,
        arrivals=180,
        arrivals_usual=214.5,
        flows=tuple(
            FlowTold(table=table, source=source, usual=usual, now=now, silent_days=silent)
            for table, source, usual, now, silent in flows
        ),
        compared=31,
        fields=(field,),
        grades=tuple(MixTold(name=grade, usual=0.25, now=0.25) for grade in SHARES),
        reasons=(MixTold(name="whitepapers", usual=0.31, now=0.28), MixTold(name="fit", usual=0.69, now=0.72)),
    )


def _baselines() -> BaselinesTold:
    steps = [("exposure", 181_000), ("click", 4_950), ("lead", 214), ("mql", 96), ("sql", 41), ("won", 9)]
    rates = [None, *(after / before for (_, before), (_, after) in pairwise(steps))]
    return BaselinesTold(
        since="2026-10-01T00:00:00Z",
        until="2026-11-01T00:00:00Z",
        currency=None,
        rows=(
            _baseline("profile_refresh", "market_insight", "Market insight", "green", 0.91, share=True),
            _baseline("content_coverage", "content", "Content", "not_measured", None, share=True),
            _baseline("cost_per_mql", "campaigns", "Campaigns", "amber", 214.5, share=False),
            _baseline("handed_over_24h", "lead_management", "Lead management", "amber", 0.976, share=True),
            _baseline("roi", "results", "Results", "green", 3.4, share=False),
        ),
        funnel=(
            *(StepTold(step=name, count=n, rate=r, amounts={}) for (name, n), r in zip(steps, rates, strict=True)),
            StepTold(step="amount", count=None, rate=None, amounts={"CNY": 1_240_000.0, "USD": 98_000.0}),
        ),
    )


def _baseline(name: str, pillar: str, words: str, light: Light, value: float | None, *, share: bool) -> BaselineTold:
    past = (None, 0.8, 0.84, None, 0.9) if share else (180.0, 190.5, 201.0, 220.0, 214.5)
    history = [*past, value] if value is not None else [None] * 6
    return BaselineTold(
        name=name,
        pillar=pillar,
        pillar_words=Words(en=words, zh={"Results": "结果"}.get(words, "线索管理")),
        words=Words(en=name.replace("_", " "), zh="基线名称"),
        definition=Words(en="share of what was agreed", zh="约定口径的比例"),
        owner="marketing operations",
        at_least=(0.8 if share else 3.0) if name != "cost_per_mql" else None,
        at_most=200.0 if name == "cost_per_mql" else None,
        is_share=share,
        value=value,
        interval=(value - 0.02, value + 0.02) if share and value is not None else None,
        missing=None if value is not None else "not_entered",
        light=light,
        trend=None if value is None else "steady",
        history=tuple(PointTold(since=f"2026-0{at + 4}-01T00:00:00Z", value=one) for at, one in enumerate(history)),
    )


def _attribution() -> AttributionTold:
    channels = [
        ChannelTold(
            channel=name,
            leads=leads,
            mqls=leads // 3,
            cost=cost,
            wins={"first_touch": wins * 1.1, "last_touch": wins * 0.9, "shapley": wins},
            amounts={"CNY": wins * 90_000},
            roi=roi,
        )
        for name, leads, wins, cost, roi in (
            ("search", 900, 41.2, {"CNY": 410_000.0}, 9.04),
            ("webinar", 420, 30.9, {"CNY": 350_000.0}, 7.95),
            ("none", 0, 3.0, {}, None),
        )
    ]
    return AttributionTold(
        since="2025-11-16T00:00:00Z",
        until="2026-11-16T00:00:00Z",
        wins=75,
        wins_without_touch=3,
        by="shapley",
        channels=tuple(channels),
    )
