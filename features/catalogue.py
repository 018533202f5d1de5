"""The catalogue: every feature as data, declared once, read by all evaluators.

A definition says what it reads, how it is computed, what it needs (the lead, its events, its account), its words for
people and, where there is one, the direction in which it can only help. Two evaluators read the same catalogue:
`features.sql` over the warehouse and `features.memory` for one lead.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from features.definitions import (
    AccountAttribute,
    Catalogue,
    Compute,
    DistinctCount,
    EventCount,
    Feature,
    Filled,
    LeadAge,
    LeadAttribute,
    Need,
    Recency,
    Scope,
    Total,
    Trend,
)
from features.words import EVENT_TYPES, Words, spaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "WINDOWS_DAYS",
    "AccountAttribute",
    "Catalogue",
    "DistinctCount",
    "EventCount",
    "Feature",
    "Filled",
    "LeadAge",
    "LeadAttribute",
    "Need",
    "Recency",
    "Scope",
    "Total",
    "Trend",
    "build_catalogue",
]

WINDOWS_DAYS = (7, 30, 90)


def _words(en: str, zh: str) -> Words:
    return Words(en=en, zh=zh)


_LEAD_COLUMNS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "source": ("source", "source", "来源"),
        "medium": ("source", "medium", "媒介"),
        "campaign": ("campaign", "campaign", "营销活动"),
        "keyword": ("campaign", "keyword", "关键词"),
        "landing_page": ("landing_page", "landing page", "落地页"),
        "country": ("country", "country", "国家"),
        "seniority": ("seniority", "seniority", "职级"),
        "email_domain_kind": ("contact", "kind of e-mail domain", "邮箱类型"),
    }
)
_ACCOUNT_COLUMNS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "industry": ("industry", "industry", "行业"),
        "country": ("country", "company's country", "公司所在国家"),
        "region": ("region", "region", "地区"),
        "employees": ("employees", "employees", "员工人数"),
        "annual_revenue": ("revenue", "annual revenue", "年营收"),
        "founded_year": ("founded", "year founded", "成立年份"),
    }
)
_NUMERIC_ACCOUNT = frozenset({"employees", "annual_revenue", "founded_year"})


def _profile_features() -> list[Feature]:
    found = [
        Feature(
            name=column,
            group=group,
            kind="categorical",
            needs="lead",
            compute=LeadAttribute(column=column),
            label=_words(en, zh),
        )
        for column, (group, en, zh) in _LEAD_COLUMNS.items()
    ]
    found.append(
        Feature(
            name="contact_completeness",
            group="contact",
            kind="numeric",
            needs="lead",
            compute=LeadAttribute(column="contact_completeness"),
            label=_words("completeness of contact data (0 to 1)", "联系方式完整度（0–1）"),
        )
    )
    for column, (group, en, zh) in _ACCOUNT_COLUMNS.items():
        numeric = column in _NUMERIC_ACCOUNT
        found.append(
            Feature(
                name=f"account_{column}" if column == "country" else column,
                group=group,
                kind="numeric" if numeric else "categorical",
                needs="account",
                compute=AccountAttribute(column=column),
                label=_words(en, zh),
                phrase=_words("{n} employees", "{n} 名员工") if column == "employees" else None,
                scale="log" if column in {"employees", "annual_revenue"} else "linear",
            )
        )
    found.append(
        Feature(
            name="lead_age_days",
            group="lead_age",
            kind="numeric",
            needs="lead",
            compute=LeadAge(),
            label=_words("age of the lead in days", "线索存在天数"),
            phrase=_words("lead is {n} days old", "线索已存在 {n} 天"),
            scale="log",
        )
    )
    return found


def _windowed(label: Words, days: int) -> Words:
    return _words(f"{label.en}, last {days} days", f"{label.zh}（近 {days} 天）")


def _phrased(phrase: Words, days: int) -> Words:
    return _words(f"{phrase.en} (last {days} days)", f"{phrase.zh}（近 {days} 天）")


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_").lower() or "unnamed"


def _type_features(event_type: str, name: str) -> list[Feature]:
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


def _engagement_features(types: tuple[str, ...]) -> list[Feature]:
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
                _windowed(_words("engagement events", "互动次数"), days),
                _phrased(_words("{n} engagement events", "互动 {n} 次"), days),
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
            "event_trend",
            Trend(),
            _words("trend of engagement (a day, 7 against 30 days)", "互动趋势（日均，7 天对 30 天）"),
        ),
    ]
    return found


def _intent_features(types: tuple[str, ...]) -> list[Feature]:
    intent = tuple(sorted(t for t in types if t in EVENT_TYPES and EVENT_TYPES[t].intent))
    if not intent:
        return []
    label = _words("high-intent events (price page, demo, trial)", "高意向行为（价格页、演示、试用）")
    phrase = _words("{n} high-intent events (price page, demo, trial)", "高意向行为 {n} 次（价格页、演示、试用）")
    return [
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


def _account_activity_features() -> list[Feature]:
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
                _phrased(_words("{n} events by the company's other leads", "同公司其他线索互动 {n} 次"), days),
            ),
            feature(
                f"account_other_leads_{days}d",
                DistinctCount(column="lead_id", days=days, scope="account"),
                _windowed(_words("other active leads of the company", "同公司其他活跃线索"), days),
                _phrased(_words("{n} other active leads of the company", "同公司 {n} 个其他活跃线索"), days),
            ),
        ]
    found.append(
        feature(
            "account_days_since_other_event",
            Recency(scope="account"),
            _words("days since the company's other leads were active", "距同公司其他线索上次互动天数"),
            _words("{n} days since the company's other leads were active", "距同公司其他线索上次互动 {n} 天"),
        )
    )
    return found


def _custom_feature(column: str, kind: str, name: str) -> Feature:
    label = _words(spaced(column), spaced(column))
    if kind == "text":
        return Feature(
            name=name,
            group=name,
            kind="numeric",
            needs="lead",
            compute=Filled(column=f"custom_{column}"),
            label=_words(f"{spaced(column)} is filled (1 or 0)", f"{spaced(column)} 已填写（1 或 0）"),
        )
    return Feature(
        name=name,
        group=name,
        kind="numeric" if kind == "numeric" else "categorical",
        needs="lead",
        compute=LeadAttribute(column=f"custom_{column}"),
        label=label,
    )


def build_catalogue(
    *,
    event_types: Iterable[str] = (),
    custom: Mapping[str, str] = MappingProxyType({}),
    withheld: Iterable[str] = (),
    timezone: str = "UTC",
) -> Catalogue:
    """Return the standard features plus one family for each event type and one feature for each customer column.

    Parameters
    ----------
    event_types
        The types seen in the data by the cutoff.
    custom
        The customer's own columns: name to `numeric`, `categorical` or `text`; `ignored` ones give no feature.
    withheld
        Columns (of `leads` and `accounts`) that are known only after the outcome: never a feature.
    timezone
        IANA zone in which days are counted.

    Examples
    --------
    >>> build_catalogue(custom={"erp": "categorical"}).feature("custom_erp").kind
    'categorical'
    """
    types = tuple(sorted(set(event_types)))
    kept_out = set(withheld)
    features = [f for f in _profile_features() if getattr(f.compute, "column", None) not in kept_out]
    if types:
        features += [*_engagement_features(types), *_intent_features(types)]
        account_activity = _account_activity_features()
        names = _type_names(types, {feature.name for feature in (*features, *account_activity)})
        for event_type in types:
            features += _type_features(event_type, names[event_type])
        features += account_activity
    taken = {feature.name for feature in features}
    for column, kind in sorted(custom.items()):
        if kind != "ignored" and column not in kept_out and f"custom_{column}" not in kept_out:
            features.append(_custom_feature(column, kind, _free_name(f"custom_{_slug(column)}", taken)))
    return Catalogue(features=tuple(features), timezone=timezone)


_FAMILY = ("", *(f"_{days}d" for days in WINDOWS_DAYS), "_days_since")


def _type_names(types: tuple[str, ...], taken: set[str]) -> dict[str, str]:
    """Return the name of each event type's family; the types that clew knows come first, so that none can be robbed."""
    known_first = sorted(types, key=lambda event_type: (event_type not in EVENT_TYPES, event_type))
    names = {}
    for event_type in known_first:
        stem = EVENT_TYPES[event_type].stem if event_type in EVENT_TYPES else _slug(event_type)
        names[event_type] = _free_name(stem, taken, _FAMILY)
    return names


def _free_name(stem: str, taken: set[str], suffixes: tuple[str, ...] = ("",)) -> str:
    """Return the stem, with a number where one of its names is taken already, and mark its names taken."""
    name, number = stem, 1
    while any(f"{name}{suffix}" in taken for suffix in suffixes):
        number += 1
        name = f"{stem}_{number}"
    taken.update(f"{name}{suffix}" for suffix in suffixes)
    return name
