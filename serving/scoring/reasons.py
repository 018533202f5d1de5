"""Why a lead scores as it does: contributions of feature groups, told in words from the catalogue.

`base_logit + sum of the reasons + remainder_logit` is the log-odds of the probability that is answered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

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
    from collections.abc import Mapping, Sequence

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


@dataclass(frozen=True, slots=True)
class _Spoken:
    """What a feature says in one language, with all that depends on the feature alone worked out."""

    name: str
    label: str  # with its colon
    phrase: str | None
    unknown: str
    never: str
    none: str | None
    is_rank: bool
    is_days: bool
    language: Language

    def text(self, value: Attribute, *, events_known: bool) -> str:
        """Return a value in words."""
        if value is None:
            return self.never if events_known else self.unknown
        if isinstance(value, str):
            return self.label + _category(self.name, value, self.language)
        if self.is_rank:
            return self.label + _CATEGORIES["seniority"][_RANKED[int(value)]].in_language(self.language)
        if value == 0 and self.none is not None:
            return self.none
        number = _days(value) if self.is_days else format_number(value)
        # The English phrases are in the plural; with one the label reads better than a wrong ending.
        if self.phrase is not None and value > 0 and not (self.language == "en" and number in {"1", "<1"}):
            return self.phrase.replace("{n}", number)
        return self.label + number


def _spoken(feature: Feature, language: Language) -> _Spoken:
    label = feature.label.in_language(language) + _COLON.in_language(language)
    compute = feature.compute
    # Where the events are known, a recency is missing because there was none.
    never = feature.needs == "events" and isinstance(compute, Recency | Touch)
    counts = isinstance(compute, EventCount | DistinctCount | Visits | Decayed)
    return _Spoken(
        name=feature.name,
        label=label,
        phrase=None if feature.phrase is None else feature.phrase.in_language(language),
        unknown=label + _UNKNOWN.in_language(language),
        never=label + (_NEVER if never else _UNKNOWN).in_language(language),
        none=label + _NONE.in_language(language) if counts else None,
        is_rank=isinstance(compute, MostSenior),
        is_days=isinstance(compute, LeadAge | Recency),
        language=language,
    )


class ReasonTeller:
    """A catalogue made ready to tell reasons."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._speaking: dict[Language, dict[str, list[_Spoken]]] = {"en": {}, "zh": {}}
        for language, groups in self._speaking.items():
            for feature in catalogue.features:
                groups.setdefault(feature.group, []).append(_spoken(feature, language))

    def tell(self, answer: Answer, language: Language) -> tuple[list[dict[str, Any]], float]:
        """Return five reasons for and five against, the largest first, and the remainder of the log-odds.

        Up to ten a side are told as long as the untold ones hold more than a fifth of all that was contributed.
        """
        told = _worth_telling(answer.groups)
        speaking = self._speaking[language]
        reasons = [_reason(group, logit, speaking[group], answer) for group, logit in told]
        remainder = math.fsum([answer.bounded_logit, -answer.base_logit, *(-logit for _, logit in told)])
        return reasons, remainder


def _worth_telling(groups: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the groups to tell, the largest first."""
    ranked = sorted([(-abs(logit), group, logit) for group, logit in groups.items()])
    untold = total = -math.fsum([size for size, _, _ in ranked])
    told: list[tuple[str, float]] = []
    ups = downs = 0
    for size, group, logit in ranked:
        if -size < _SMALLEST:
            break
        enough = _AT_MOST if untold > _UNTOLD_SHARE * total else MOST_REASONS
        if logit > 0 and ups < enough:
            ups += 1
        elif logit < 0 and downs < enough:
            downs += 1
        else:
            continue
        told.append((group, logit))
        untold += size
    return told


def _reason(group: str, logit: float, speaking: Sequence[_Spoken], answer: Answer) -> dict[str, Any]:
    contributions, values = answer.contributions, answer.values
    # Equal ones stay in the order of the catalogue. Features that this model does not read say nothing.
    parts = [
        (contributions[spoken.name] * (1 if logit > 0 else -1), spoken)
        for spoken in speaking
        if spoken.name in contributions
    ]
    # A part that pulls the other way would contradict the direction, however large it is.
    pulling = [part for part in parts if part[0] > 0]
    if not pulling:
        pulling = [(abs(size), spoken) for size, spoken in parts]
    if len(pulling) > 1:
        pulling.sort(key=_size, reverse=True)
    known = [spoken for _, spoken in pulling if values.get(spoken.name) is not None]
    chosen = known[0] if known else pulling[0][1]
    return {
        "group": group,
        "text": chosen.text(values.get(chosen.name), events_known=answer.source == "model"),
        "direction": "+" if logit > 0 else "-",
        "logit": logit,
        "evidence": {spoken.name: _plain(values[spoken.name]) for spoken in known[:_MOST_EVIDENCE]},
    }


def _size(part: tuple[float, _Spoken]) -> float:
    return part[0]


def _plain(value: Attribute) -> float | str | int | None:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def _category(feature: str, value: str, language: Language) -> str:
    words = _CATEGORIES.get(feature, {}).get(value)
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
