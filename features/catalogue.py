"""The catalogue: every feature as data, declared once, read by all evaluators.

A definition says what it reads, how it is computed, what it needs (the lead, its events, its account), its words for
people and, where there is one, the direction in which it can only help. Two evaluators read the same catalogue:
`features.sql` over the warehouse and `features.memory` for one lead.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from features.definitions import (
    AccountAttribute,
    Catalogue,
    Decayed,
    DistinctCount,
    EventCount,
    Feature,
    Filled,
    LeadAge,
    LeadAttribute,
    MostSenior,
    Need,
    Recency,
    SalesResponse,
    Scope,
    Total,
    Touch,
    Trend,
    Visits,
)
from features.engagement import (
    WINDOWS_DAYS,
    account_activity_features,
    channel_features,
    engagement_features,
    inbound_features,
    intent_features,
    treatment_features,
    type_features,
)
from features.words import EVENT_TYPES, Words, spaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "WINDOWS_DAYS",
    "AccountAttribute",
    "Catalogue",
    "Decayed",
    "DistinctCount",
    "EventCount",
    "Feature",
    "Filled",
    "LeadAge",
    "LeadAttribute",
    "MostSenior",
    "Need",
    "Recency",
    "SalesResponse",
    "Scope",
    "Total",
    "Touch",
    "Trend",
    "Visits",
    "build_catalogue",
]


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
            label=_words("completeness of contact data", "联系方式完整度"),
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


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_").lower() or "unnamed"


def _custom_feature(column: str, kind: str, name: str) -> Feature:
    label = _words(spaced(column), spaced(column))
    if kind == "text":
        return Feature(
            name=name,
            group=name,
            kind="numeric",
            needs="lead",
            compute=Filled(column=f"custom_{column}"),
            label=_words(spaced(column), spaced(column)),
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
    channels: bool = True,
    treatments: bool = False,
    own: Iterable[Feature] = (),
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
    channels
        Whether the events name channels.
    treatments
        Whether to hold features of what the own company did; they move with the score that they would feed.
    own
        The data scientist's own definitions.
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
        features += [*engagement_features(types), *intent_features(types), *inbound_features(types)]
        features += channel_features() if channels else []
        account_activity = account_activity_features()
        names = _type_names(types, {feature.name for feature in (*features, *account_activity)})
        for event_type in types:
            features += type_features(event_type, names[event_type])
        features += account_activity
    features += treatment_features() if treatments else []
    features += own
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
