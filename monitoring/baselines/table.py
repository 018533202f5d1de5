"""The baselines as a table for people, in English and Chinese: pillar by pillar, and the funnel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.words import Language, Words
from monitoring.baselines.definitions import PILLARS
from monitoring.baselines.judging import interval_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from monitoring.baselines.report import BaselineReport, Row

__all__ = ["WORDS", "baseline_table", "funnel_table", "shown_value"]

WORDS: Mapping[str, Words] = {
    "baseline": Words(en="baseline", zh="基线"),
    "value": Words(en="value", zh="数值"),
    "interval": Words(en="90 % interval", zh="90% 区间"),
    "threshold": Words(en="threshold", zh="阈值"),
    "light": Words(en="light", zh="状态"),
    "trend": Words(en="trend", zh="趋势"),
    "owner": Words(en="owner", zh="负责人"),
    "title": Words(en="Market-to-lead baselines, {since} to {until}", zh="市场到线索基线，{since} 至 {until}"),
    "green": Words(en="green", zh="绿"),
    "amber": Words(en="amber", zh="黄"),
    "red": Words(en="red", zh="红"),
    "not_measured": Words(en="not measured", zh="未测量"),
    "better": Words(en="better", zh="变好"),
    "worse": Words(en="worse", zh="变差"),
    "steady": Words(en="steady", zh="持平"),
    "no_rows": Words(en="nobody in the period", zh="期间无数据"),
    "no_such_log": Words(en="the data do not log it", zh="数据中没有此类记录"),
    "currencies": Words(en="several currencies, no rate", zh="多币种且无汇率"),
    "not_entered": Words(en="nobody entered it", zh="未录入"),
    "too_old": Words(en="entered too long ago", zh="录入值已过期"),
    "step": Words(en="step", zh="阶段"),
    "count": Words(en="reached", zh="数量"),
    "rate": Words(en="of the step before", zh="转化率"),
    "funnel": Words(en="Funnel of the period", zh="期间漏斗"),
    "exposure": Words(en="exposure", zh="曝光"),
    "click": Words(en="click", zh="点击"),
    "lead": Words(en="lead", zh="线索"),
    "mql": Words(en="MQL", zh="MQL"),
    "sql": Words(en="SQL", zh="SQL"),
    "opportunity": Words(en="opportunity", zh="商机"),
    "won": Words(en="won", zh="成交"),
    "amount": Words(en="amount", zh="成交额"),
}
_COLOURS = {"green": "green", "amber": "yellow", "red": "red", "not_measured": "dim"}


def shown_value(row: Row, value: float) -> str:
    """Write a value of a baseline: shares in per cent, other numbers as they are.

    A share is written with as many places as its threshold needs, so that 97.6 % is not shown as 98 %.
    """
    return f"{value:.1%}" if row.is_share else f"{value:,.2f}".rstrip("0").rstrip(".")


def baseline_table(report: BaselineReport, *, language: Language = "en") -> Table:
    """Return the baselines, one section a pillar."""
    from rich.table import Table
    from rich.text import Text

    from data.clock import from_us

    def say(word: str) -> str:
        return WORDS[word].in_language(language)

    since, until = (from_us(us).date().isoformat() for us in (report.period.since_us, report.period.until_us))
    table = Table(title=say("title").format(since=since, until=until), title_justify="left")
    for name in ("baseline", "value", "interval", "threshold", "light", "trend", "owner"):
        table.add_column(say(name), justify="right" if name in {"value", "interval", "threshold"} else "left")
    pillar = ""
    for row in report.rows:
        if row.baseline.pillar != pillar:
            pillar = row.baseline.pillar
            table.add_section()
            table.add_row(Text(PILLARS[row.baseline.pillar].in_language(language), "bold"))
        table.add_row(
            row.baseline.words.in_language(language),
            *_figures(row, say(row.measured.missing) if row.measured.missing else ""),
            Text(say(row.light), _COLOURS[row.light]),
            say(row.trend) if row.trend else "",
            row.owner,
        )
    return table


def _figures(row: Row, missing: str) -> tuple[str, str, str]:
    """Return value, interval and threshold as written; where there is no value, why."""
    sign = "≥" if row.baseline.at_least is not None else "≤"
    threshold = f"{sign} {shown_value(row, row.baseline.threshold)}"
    if row.measured.value is None:
        return missing, "", threshold
    ends = interval_of(row.measured)
    interval = f"{shown_value(row, ends[0])} – {shown_value(row, ends[1])}" if ends else ""
    return shown_value(row, row.measured.value), interval, threshold


def funnel_table(report: BaselineReport, *, language: Language = "en") -> Table:
    """Return the funnel from exposure to amount."""
    from rich.table import Table

    def say(word: str) -> str:
        return WORDS[word].in_language(language)

    table = Table(title=say("funnel"), title_justify="left")
    for name in ("step", "count", "rate"):
        table.add_column(say(name), justify="left" if name == "step" else "right")
    for step in report.funnel.steps:
        amounts = " + ".join(f"{currency} {cents / 100:,.0f}" for currency, cents in step.amounts)
        count = amounts if step.name == "amount" else say("not_measured") if step.count is None else f"{step.count:,}"
        table.add_row(say(step.name), count, "" if step.rate is None else f"{step.rate:.1%}")
    return table
