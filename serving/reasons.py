"""Why a lead scores as it does: contributions of feature groups, told in words from the catalogue.

`base_logit + sum of the reasons + remainder_logit` is the log-odds of the probability that is answered.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from features.definitions import (
    SENIORITY_RANKS,
    Decayed,
    DistinctCount,
    EventCount,
    LeadAge,
    MostSenior,
    Recency,
    Touch,
    Visits,
)
from features.words import Words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.catalogue import Catalogue, Feature
    from features.memory import Attribute
    from features.words import Language
    from training.bundles.bundle import Answer

__all__ = ["MOST_REASONS", "ReasonTeller", "format_number"]

MOST_REASONS = 5
# Where five a side leave much untold, more are told: a remainder that outweighs the reasons explains nothing.
_AT_MOST = 10
_UNTOLD_SHARE = 0.2
_MOST_EVIDENCE = 3
# Less than a hundredth of log-odds moves no probability by more than a quarter of a percentage point.
_SMALLEST = 0.01
_LONGEST_CATEGORY = 80

_NONE, _UNKNOWN, _NEVER = Words(en="none", zh="无"), Words(en="unknown", zh="未知"), Words(en="never", zh="从未")
_RANKED = {rank: name for name, rank in SENIORITY_RANKS.items()}
_COLON = Words(en=": ", zh="：")
_CATEGORIES: Mapping[str, Mapping[str, Words]] = MappingProxyType(
    {
        "seniority": {
            "c_level": Words(en="top management", zh="最高管理层"),
            "vp": Words(en="vice president", zh="副总裁级"),
            "director": Words(en="director", zh="总监级"),
            "manager": Words(en="manager", zh="经理级"),
            "staff": Words(en="staff", zh="普通员工"),
            "junior": Words(en="junior", zh="初级"),
        },
        "email_domain_kind": {
            "free": Words(en="free mail service", zh="免费邮箱"),
            "corporate": Words(en="corporate", zh="企业邮箱"),
            "education": Words(en="education", zh="教育机构邮箱"),
            "government": Words(en="government", zh="政府邮箱"),
            "disposable": Words(en="disposable", zh="一次性邮箱"),
            "invalid": Words(en="not valid", zh="无效"),
        },
    }
)


class _Part(NamedTuple):
    """A feature's share in its group."""

    feature: Feature
    value: Attribute
    logit: float


class ReasonTeller:
    """A catalogue made ready to tell reasons."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._features = {feature.name: feature for feature in catalogue.features}

    def tell(self, answer: Answer, language: Language) -> tuple[list[dict[str, Any]], float]:
        """Return five reasons for and five against, the largest first, and the remainder of the log-odds.

        Up to ten a side are told as long as the untold ones hold more than a fifth of all that was contributed.
        """
        told = _worth_telling(answer.groups)
        parts = self._parts(answer, {group for group, _ in told})
        events_known = answer.source == "model"
        reasons = [_reason(group, logit, parts[group], language, events_known=events_known) for group, logit in told]
        remainder = math.fsum([answer.bounded_logit, -answer.base_logit, *(-logit for _, logit in told)])
        return reasons, remainder

    def _parts(self, answer: Answer, groups: set[str]) -> dict[str, list[_Part]]:
        """Return the parts of each of the groups, the largest first."""
        found: dict[str, list[_Part]] = {group: [] for group in groups}
        for name, logit in answer.contributions.items():
            feature = self._features[name]
            if feature.group in groups:
                found[feature.group].append(_Part(feature, answer.values.get(name), logit))
        for parts in found.values():
            parts.sort(key=lambda part: -abs(part.logit))
        return found


def _worth_telling(groups: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the groups to tell, the largest first."""
    ranked = sorted(groups.items(), key=lambda item: (-abs(item[1]), item[0]))
    untold = total = sum(abs(logit) for _, logit in ranked)
    told: list[tuple[str, float]] = []
    sides = {True: 0, False: 0}
    for group, logit in ranked:
        side = logit > 0
        enough = _AT_MOST if untold > _UNTOLD_SHARE * total else MOST_REASONS
        if abs(logit) >= _SMALLEST and sides[side] < enough:
            told.append((group, logit))
            sides[side] += 1
            untold -= abs(logit)
    return told


def _reason(group: str, logit: float, parts: list[_Part], language: Language, *, events_known: bool) -> dict[str, Any]:
    # A part that pulls the other way would contradict the direction, however large it is.
    pulling = [part for part in parts if part.logit * logit > 0] or parts
    known = [part for part in pulling if part.value is not None]
    chosen = (known or pulling)[0]
    evidence = {part.feature.name: _plain(part.value) for part in known[:_MOST_EVIDENCE]}
    return {
        "group": group,
        "text": _text(chosen.feature, chosen.value, language, events_known=events_known),
        "direction": "+" if logit > 0 else "-",
        "logit": logit,
        "evidence": evidence,
    }


def _plain(value: Attribute) -> float | str | int | None:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def _text(feature: Feature, value: Attribute, language: Language, *, events_known: bool) -> str:
    label, colon = feature.label.in_language(language), _COLON.in_language(language)
    if value is None:
        # Where the events are known, a recency is missing because there was none.
        never = events_known and feature.needs == "events" and isinstance(feature.compute, Recency | Touch)
        return label + colon + (_NEVER if never else _UNKNOWN).in_language(language)
    if isinstance(value, str):
        return label + colon + _category(feature, value, language)
    if isinstance(feature.compute, MostSenior):
        return label + colon + _CATEGORIES["seniority"][_RANKED[int(value)]].in_language(language)
    if isinstance(feature.compute, EventCount | DistinctCount | Visits | Decayed) and value == 0:
        return label + colon + _NONE.in_language(language)
    number = _days(value) if isinstance(feature.compute, LeadAge | Recency) else format_number(value)
    # The English phrases are in the plural; with one the label reads better than a wrong ending.
    if feature.phrase is not None and value > 0 and not (language == "en" and number in {"1", "<1"}):
        return feature.phrase.in_language(language).replace("{n}", number)
    return label + colon + number


def _category(feature: Feature, value: str, language: Language) -> str:
    words = _CATEGORIES.get(feature.name, {}).get(value)
    return words.in_language(language) if words else value.replace("_", " ")[:_LONGEST_CATEGORY]


def _days(days: float) -> str:
    return "<1" if days < 1 else format_number(round(days))


def format_number(value: float) -> str:
    """Write a number for people: thousands separated, no `.0`, at most two digits after the point.

    Examples
    --------
    >>> format_number(3.0), format_number(12500.0), format_number(0.6666), format_number(-0.001)
    ('3', '12,500', '0.67', '-0.001')
    """
    if value == round(value):
        return f"{round(value):,}"
    text = f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{value:.1g}" if text in {"0", "-0"} else text
