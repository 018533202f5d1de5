"""What leads and their accounts did, as features: a family for each event type, and what all events say together."""

from __future__ import annotations

from typing import Literal

from features.definitions import (
    Compute,
    Decayed,
    DistinctCount,
    EventCount,
    Feature,
    MostSenior,
    Recency,
    SalesResponse,
    Total,
    Touch,
    Trend,
    Visits,
)
from features.words import EVENT_TYPES, Words, spaced

__all__ = [
    "WINDOWS_DAYS",
    "account_activity_features",
    "channel_features",
    "engagement_features",
    "inbound_features",
    "intent_features",
    "treatment_features",
    "type_features",
]

WINDOWS_DAYS = (7, 30, 90)
_TOUCHES: tuple[Literal["first", "last"], ...] = ("first", "last")


def _words(en: str, zh: str) -> Words:
    return Words(en=en, zh=zh)


def _windowed(label: Words, days: int) -> Words:
    return _words(f"{label.en}, last {days} days", f"{label.zh}（近 {days} 天）")


def _phrased(phrase: Words, days: int) -> Words:
    return _words(f"{phrase.en} (last {days} days)", f"{phrase.zh}（近 {days} 天）")


def type_features(event_type: str, name: str) -> list[Feature]:
    """Return the counts and the recency of one event type; `name` is the stem of their names."""
    known = EVENT_TYPES.get(event_type)
    label = known.label if known else _words(f"events “{spaced(event_type)}”", f"事件“{spaced(event_type)}”")
    phrase = known.phrase if known else _words(f"{{n}} × “{spaced(event_type)}”", f"“{spaced(event_type)}” {{n}} 次")
    group = known.group if known else name
    # Engagement that clew knows can only speak for a lead; what an unknown type means, only the data can tell.
    direction: Literal[0, 1] = 1 if known else 0
    counts = [
        Feature(
            name=f"{name}_{days}d",
            group=group,
            kind="numeric",
            needs="events",
            compute=EventCount(types=(event_type,), days=days),
            label=_windowed(label, days),
            phrase=_phrased(phrase, days),
            scale="log",
            monotone=direction,
        )
        for days in WINDOWS_DAYS
    ]
    recency = Feature(
        name=f"{name}_days_since",
        group=group,
        kind="numeric",
        needs="events",
        compute=Recency(types=(event_type,)),
        label=_words(f"days since the last of: {label.en}", f"距上次{label.zh}的天数"),
        phrase=_words(f"{{n}} days since the last of: {label.en}", f"距上次{label.zh} {{n}} 天"),
        scale="log",
        monotone=-1 if known else 0,
    )
    return [*counts, recency]


def engagement_features(types: tuple[str, ...]) -> list[Feature]:
    """Return the features over all events: how much, how varied, on how many days, since when."""
    direction: Literal[0, 1] = 1 if types and all(t in EVENT_TYPES for t in types) else 0

    def feature(name: str, compute: Compute, label: Words, phrase: Words | None = None, monotone: int = 0) -> Feature:
        return Feature(
            name=name,
            group="engagement",
            kind="numeric",
            needs="events",
            compute=compute,
            label=label,
            phrase=phrase,
            scale="linear" if isinstance(compute, Trend) else "log",
            monotone=monotone * direction,
        )

    found = []
    for days in WINDOWS_DAYS:
        found += [
            feature(
                f"events_{days}d",
                EventCount(days=days),
                _windowed(_words("activities", "互动次数"), days),
                _phrased(_words("{n} activities", "互动 {n} 次"), days),
                1,
            ),
            feature(
                f"contents_{days}d",
                DistinctCount(column="content_id", days=days),
                _windowed(_words("different contents", "不同内容数"), days),
                _phrased(_words("{n} different contents", "{n} 种不同内容"), days),
                1,
            ),
            feature(
                f"active_days_{days}d",
                DistinctCount(column="day", days=days),
                _windowed(_words("active days", "活跃天数"), days),
                _phrased(_words("active on {n} days", "活跃 {n} 天"), days),
                1,
            ),
            feature(
                f"visits_{days}d",
                Visits(days=days),
                _windowed(_words("visits", "访问次数"), days),
                _phrased(_words("{n} visits", "访问 {n} 次"), days),
                1,
            ),
        ]
    found += [
        feature(
            "engagement_time_30d",
            Total(column="duration_s", days=30),
            _words("seconds of engagement, last 30 days", "互动时长（秒，近 30 天）"),
            _words("{n} seconds of engagement (last 30 days)", "互动 {n} 秒（近 30 天）"),
            1,
        ),
        feature(
            "days_since_event",
            Recency(),
            _words("days since the last engagement", "距上次互动天数"),
            _words("{n} days since the last engagement", "距上次互动 {n} 天"),
            -1,
        ),
        feature(
            "engagement_decayed",
            Decayed(half_life_days=14, days=90),
            _words("recent engagement (an event counts half after 14 days)", "近期互动（一次互动 14 天后减半计）"),
            monotone=1,
        ),
        feature(
            "event_trend",
            Trend(),
            _words("trend of engagement (a day, 7 against 30 days)", "互动趋势（日均，7 天对 30 天）"),
        ),
    ]
    return found


def intent_features(types: tuple[str, ...]) -> list[Feature]:
    """Return the features of the events that speak of buying."""
    intent = tuple(sorted(t for t in types if t in EVENT_TYPES and EVENT_TYPES[t].intent))
    if not intent:
        return []
    label = _words("high-intent events (price page, demo, trial)", "高意向行为（价格页、演示、试用）")
    phrase = _words("{n} high-intent events (price page, demo, trial)", "高意向行为 {n} 次（价格页、演示、试用）")
    decayed = Feature(
        name="high_intent_decayed",
        group="high_intent",
        kind="numeric",
        needs="events",
        compute=Decayed(types=intent, half_life_days=14, days=90),
        label=_words(
            "recent high-intent events (one counts half after 14 days)", "近期高意向行为（一次 14 天后减半计）"
        ),
        scale="log",
        monotone=1,
    )
    counts = [
        Feature(
            name=f"high_intent_{days}d",
            group="high_intent",
            kind="numeric",
            needs="events",
            compute=EventCount(types=intent, days=days),
            label=_windowed(label, days),
            phrase=_phrased(phrase, days),
            scale="log",
            monotone=1,
        )
        for days in WINDOWS_DAYS
    ]
    return [*counts, decayed]


def inbound_features(types: tuple[str, ...]) -> list[Feature]:
    """Return the days since the lead last asked for something."""
    inbound = tuple(sorted(t for t in types if t in EVENT_TYPES and EVENT_TYPES[t].inbound))
    if not inbound:
        return []
    return [
        Feature(
            name="days_since_inbound",
            group="inbound",
            kind="numeric",
            needs="events",
            compute=Recency(types=inbound),
            label=_words("days since the lead last asked for something (form, demo, trial)", "距上次主动咨询天数"),
            phrase=_words(
                "asked for something {n} days ago (form, demo, trial)", "{n} 天前主动咨询（表单、演示、试用）"
            ),
            scale="log",
            monotone=-1,
        )
    ]


def channel_features() -> list[Feature]:
    """Return the channels of the first and the last touch."""
    told = {
        "first": ("channel of the first touch", "首次触达渠道"),
        "last": ("channel of the last touch", "末次触达渠道"),
    }
    return [
        Feature(
            name=f"{which}_touch_channel",
            group="channel",
            kind="categorical",
            needs="events",
            compute=Touch(which=which),
            label=_words(*told[which]),
        )
        for which in _TOUCHES
    ]


def treatment_features() -> list[Feature]:
    """Return what the own company did; no feature unless it is asked for."""
    return [
        Feature(
            name="sales_response_hours",
            group="sales_response",
            kind="numeric",
            needs="actions",
            compute=SalesResponse(types=("called", "emailed", "messaged", "met")),
            label=_words("hours until sales first got in touch, so far", "销售首次响应时长（小时，截至目前）"),
            phrase=_words("{n} hours until sales got in touch", "销售 {n} 小时后首次联系"),
            scale="log",
            treatment=True,
        )
    ]


def account_activity_features() -> list[Feature]:
    """Return what the account's other people did: the buying committee."""

    def feature(name: str, compute: Compute, label: Words, phrase: Words) -> Feature:
        return Feature(
            name=name,
            group="account_activity",
            kind="numeric",
            needs="account_events",
            compute=compute,
            label=label,
            phrase=phrase,
            scale="log",
        )

    found = []
    for days in (30, 90):
        found += [
            feature(
                f"account_other_events_{days}d",
                EventCount(days=days, scope="account"),
                _windowed(_words("engagement of the company's other leads", "同公司其他线索的互动"), days),
                _phrased(_words("{n} activities of the company's other people", "同公司其他线索互动 {n} 次"), days),
            ),
            feature(
                f"account_other_people_{days}d",
                DistinctCount(column="person_id", days=days, scope="account"),
                _windowed(_words("other active people of the company", "同公司其他活跃联系人"), days),
                _phrased(_words("{n} other active people of the company", "同公司 {n} 位其他活跃联系人"), days),
            ),
        ]
    found += [
        feature(
            "account_most_senior_90d",
            MostSenior(days=90),
            _words(
                "highest rank among the company's other active people (1 junior to 6 C level), last 90 days",
                "同公司其他活跃联系人最高职级（1 初级至 6 高管，近 90 天）",
            ),
            _words("rank {n} is the highest of the company's other active people", "同公司其他活跃联系人最高职级 {n}"),
        ).model_copy(update={"scale": "linear"}),
        feature(
            "account_days_since_other_event",
            Recency(scope="account"),
            _words("days since the company's other leads were active", "距同公司其他线索上次互动天数"),
            _words("{n} days since the company's other leads were active", "距同公司其他线索上次互动 {n} 天"),
        ),
    ]
    return found
