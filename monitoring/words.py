"""The words of the monitor's page in both languages."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from features.words import Words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ACTS", "COLUMNS", "HEADINGS"]

ACTS: Mapping[str, Words] = MappingProxyType(
    {
        "none": Words(en="nothing", zh="无需行动"),
        "retrain": Words(en="retrain", zh="重新训练"),
        "recalibrate": Words(en="recalibrate", zh="重新校准"),
        "mend": Words(en="mend the data", zh="先修复数据"),
    }
)

HEADINGS: Mapping[str, Words] = MappingProxyType(
    {
        "title": Words(en="Do the scores keep their promise?", zh="评分是否兑现了承诺？"),
        "as_of": Words(en="as of", zh="截至"),
        "found": Words(en="What was found", zh="发现"),
        "nothing": Words(en="Nothing beyond chance and season.", zh="未发现超出偶然与季节因素的变化。"),
        "due": Words(en="What is due", zh="应采取的行动"),
        "not_measured": Words(en="Not measured", zh="未测量"),
        "record": Words(en="Promised and realised", zh="承诺与结果"),
        "picture": Words(
            en="Line: promised. Dot with bar: won, with its 95 % interval. A line alone: too young to tell.",
            zh="横线：承诺；圆点与竖线：实际赢单率及 95 % 区间；仅有横线：尚未成熟。",
        ),
        "order": Words(en="Model and rules on the same leads", zh="同一批线索上的模型与规则"),
        "young": Words(en="Too young to tell", zh="尚未成熟"),
        "worked": Words(en="Hot leads worked in time", zh="热线索及时跟进"),
        "fallback": Words(en="Answered by fallback", zh="由后备方式回答"),
        "fields": Words(en="Fields beyond chance", zh="超出偶然波动的字段"),
        "steady": Words(en="All fields lie within what windows differ by themselves.", zh="所有字段均在正常波动之内。"),
        "flows": Words(en="Volume and freshness", zh="数量与新鲜度"),
        "mix": Words(en="Grades and main reasons of the arrivals", zh="新增线索的等级与主要理由"),
        "wins_expected": Words(en="wins expected", zh="预期赢单"),
        "by_chance": Words(en="by chance", zh="偶然波动"),
        "of": Words(en="of", zh="/"),
        "first": Words(en="wins among the first of each month", zh="每月排名靠前线索中的赢单"),
    }
)

COLUMNS: Mapping[str, Words] = MappingProxyType(
    {
        "month": Words(en="month", zh="月份"),
        "grade": Words(en="grade", zh="等级"),
        "leads": Words(en="mature leads", zh="已成熟线索"),
        "promised": Words(en="promised", zh="承诺"),
        "realised": Words(en="won", zh="赢单率"),
        "interval": Words(en="95 % interval", zh="95 % 区间"),
        "young": Words(en="too young", zh="未成熟"),
        "field": Words(en="field", zh="字段"),
        "missing": Words(en="missing", zh="缺失"),
        "unknown": Words(en="unknown", zh="未知类别"),
        "psi": Words(en="PSI", zh="PSI"),
        "chance": Words(en="at most by chance", zh="偶然上限"),
        "source": Words(en="source", zh="来源"),
        "before": Words(en="usual in 28 days", zh="28 天通常数量"),
        "now": Words(en="now", zh="本期"),
        "silent": Words(en="days since the newest", zh="距最近一条（天）"),
        "name": Words(en="name", zh="名称"),
        "usual": Words(en="usual", zh="通常"),
        "model": Words(en="model", zh="模型"),
        "rules": Words(en="rules", zh="规则"),
    }
)
