"""What a monitor says when something is not as it was: what it is, of what, how bad, how one knows, what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from features.words import Words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BROKEN_DATA", "KINDS", "Finding", "Kind", "Severity"]

Kind = Literal[
    "source_stopped",
    "logging_broken",
    "event_type_stopped",
    "field_emptied",
    "category_renamed",
    "unit_changed",
    "volume_moved",
    "values_moved",
    "score_moved",
    "reasons_moved",
    "base_rate_moved",
    "promise_broken",
    "ranking_lost",
]
Severity = Literal["act", "watch"]

# What a retrain would only learn by heart: these are mended where the data come from.
BROKEN_DATA: frozenset[Kind] = frozenset(
    {"source_stopped", "logging_broken", "event_type_stopped", "field_emptied", "category_renamed", "unit_changed"}
)

KINDS: Mapping[Kind, Words] = {
    "source_stopped": Words(en="a source has stopped", zh="某个来源中断"),
    "logging_broken": Words(en="events are no longer recorded", zh="行为日志中断"),
    "event_type_stopped": Words(en="one type of event has stopped", zh="某类行为不再有记录"),
    "field_emptied": Words(en="a field has gone empty", zh="某个字段变空"),
    "category_renamed": Words(en="a category was renamed", zh="某个类别被改名"),
    "unit_changed": Words(en="a unit has changed", zh="某个数值的单位变了"),
    "volume_moved": Words(en="the number of arrivals has moved", zh="新增数量变化"),
    "values_moved": Words(en="values have moved", zh="取值分布变化"),
    "score_moved": Words(en="the scores have moved", zh="评分分布变化"),
    "reasons_moved": Words(en="the reasons have moved", zh="评分理由的构成变化"),
    "base_rate_moved": Words(en="the win rate as a whole has moved", zh="整体赢单率变化"),
    "promise_broken": Words(en="promises and outcomes differ", zh="承诺与结果不符"),
    "ranking_lost": Words(en="the order of the list has lost its worth", zh="排序能力下降"),
}

_REMEDIES: Mapping[Kind, Words] = {
    "source_stopped": Words(
        en="ask whoever runs this source whether it was switched off; if not, mend its connection and import again",
        zh="先问该来源的负责人是否主动停用；若不是，修复对接后重新导入",
    ),
    "logging_broken": Words(
        en="mend the tracking or its transfer and import what is missing; scores of these leads are too low until then",
        zh="修复埋点或传输并补导缺失的数据；在此之前这些线索的评分偏低",
    ),
    "event_type_stopped": Words(
        en="mend the tracking of this type and import what is missing; where it was taken away on purpose, "
        "`clew retrain` lets the model learn to do without",
        zh="修复该类行为的埋点并补导缺失的数据；若是有意停用，运行 `clew retrain` 让模型适应",
    ),
    "field_emptied": Words(
        en="look at the form or the mapping that fills this field; do not retrain before it is mended",
        zh="检查填写该字段的表单或映射；修好之前不要重新训练",
    ),
    "category_renamed": Words(
        en="map the new name to the old one in the mapping (`values`), then import again",
        zh="在映射文件的 `values` 中把新名称对应到旧名称，然后重新导入",
    ),
    "unit_changed": Words(
        en="bring the export back to the old unit, or convert it in the mapping; do not retrain before",
        zh="恢复原单位，或在映射中换算；在此之前不要重新训练",
    ),
    "volume_moved": Words(
        en="compare with campaigns and budgets; if nothing explains it, look for lost or doubled imports",
        zh="对照活动与预算；若无法解释，检查导入是否丢失或重复",
    ),
    "values_moved": Words(
        en="if the market has changed, retrain; if only the data have, mend the source",
        zh="若市场确有变化则重新训练；若只是数据变化则修复来源",
    ),
    "score_moved": Words(
        en="look at the features that moved with it; retrain if the leads have really changed",
        zh="查看一同变化的特征；若线索确实变了则重新训练",
    ),
    "reasons_moved": Words(
        en="look at the features behind the reason that has grown or shrunk",
        zh="查看占比变化的理由背后的特征",
    ),
    "base_rate_moved": Words(
        en="`clew recalibrate` moves the level once enough outcomes have matured; the order of the list still holds",
        zh="待足够多的结果成熟后用 `clew recalibrate` 校正整体水平；排序仍然有效",
    ),
    "promise_broken": Words(
        en="retrain: probabilities of some grades are off beyond what the range of the model allows",
        zh="重新训练：部分等级的概率超出了模型给出的范围",
    ),
    "ranking_lost": Words(
        en="retrain, and look at whether a feature has changed its meaning",
        zh="重新训练，并检查是否有特征改变了含义",
    ),
}


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was.

    `subject` is what it is about, such as `leads.source: webinar`; `figures` are the numbers behind the evidence, `p`
    the probability of as much in a quiet period where one was computed.
    """

    kind: Kind
    subject: str
    severity: Severity
    evidence: Words
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def remedy(self) -> Words:
        """What a person does about it."""
        return _REMEDIES[self.kind]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON.

        Examples
        --------
        >>> found = Finding("unit_changed", "employees", "act", Words(en="by 1000", zh="1000 倍"), {"factor": 1000.0})
        >>> found.as_dict()["name"]["en"], found.as_dict()["figures"]
        ('a unit has changed', {'factor': 1000.0})
        """
        return {
            "kind": self.kind,
            "name": KINDS[self.kind].model_dump(),
            "subject": self.subject,
            "severity": self.severity,
            "evidence": self.evidence.model_dump(),
            "remedy": self.remedy.model_dump(),
            "figures": dict(self.figures),
        }
