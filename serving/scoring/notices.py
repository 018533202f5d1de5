"""Warnings of an answer: what was left out or could not be understood, by code, field and number, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from features.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from features.words import Language

__all__ = ["NOTICES", "Notice", "tell"]

# {n} is how many, {field} the path in the request; never a value.
NOTICES: Mapping[str, Words] = MappingProxyType(
    {
        "unknown_custom_field": Words(
            en="{field} is no column that the model knows; it was not used", zh="{field} 不是模型认识的列，未使用"
        ),
        "unknown_category": Words(
            en="{field} holds a value that the model has hardly or never seen; it counts as “other”",
            zh="{field} 的取值在训练数据中没有或过少，按“其他”处理",
        ),
        "events_after_as_of": Words(
            en="{n} in {field} at or after as_of, not used", zh="{field} 中有 {n} 条不早于 as_of，未使用"
        ),
        "events_not_known_yet": Words(
            en="{n} in {field} not known by as_of, not used", zh="{field} 中有 {n} 条在 as_of 时尚未获知，未使用"
        ),
        "duplicate_events": Words(
            en="{n} in {field} sent more than once, counted once", zh="{field} 中有 {n} 条重复，只计一次"
        ),
        "conflicting_events": Words(
            en="{n} in {field} with the source and id of another but other content, one of them was used",
            zh="{field} 中有 {n} 条与另一条来源和编号相同但内容不同，只采用其一",
        ),
        "own_events_in_account": Words(
            en="{n} in {field} of the lead itself, not counted as the account's",
            zh="{field} 中有 {n} 条属于该线索本身，不计入",
        ),
        "clock_skew": Words(
            en="{field} is shortly after the present moment; it counts as the present moment",
            zh="{field} 略晚于当前时刻，按当前时刻处理",
        ),
        "lead_closed": Words(
            en="the lead has ended; the probability is what it would be were it open",
            zh="该线索已结束；概率为假设其仍开放时的值",
        ),
        "unlike_training": Words(
            en="the lead is unlike those that the model has learnt from; its probability is less sure",
            zh="该线索与训练数据中的线索不相似，其概率较不确定",
        ),
        "reasons_failed": Words(
            en="the reasons could not be told; probability and rules are not affected",
            zh="无法给出理由；概率与规则评分不受影响",
        ),
        "little_data": Words(
            en="the model has learnt from few won or lost leads; take its figures with caution",
            zh="模型学习的成交与流失样本很少，数字仅供参考",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing worth saying about a request."""

    code: str
    field: str = ""


def tell(notices: Iterable[Notice], language: Language) -> list[dict[str, Any]]:
    """Return the warnings of an answer, equal ones once with their number.

    Examples
    --------
    >>> tell([Notice("duplicate_events", "events"), Notice("duplicate_events", "events")], "en")[0]["message"]
    '2 in events sent more than once, counted once'
    """
    return [
        {
            "code": notice.code,
            "field": notice.field or None,
            "message": NOTICES[notice.code].in_language(language).format(n=count, field=notice.field),
        }
        for notice, count in Counter(notices).items()
    ]
