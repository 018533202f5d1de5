"""What a value of a feature says to people, as a sentence in English or Chinese.

Standard features are told by what they compute, with words of this version whatever a bundle was sealed with: a counter
says how often and until when, a weighed one is told by the events behind it. The customer's own keep their own words.
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from features.catalogue import build_catalogue
from features.definitions import (
    SENIORITY_RANKS,
    Decayed,
    DistinctCount,
    EventCount,
    Filled,
    LeadAge,
    MostSenior,
    Recency,
    Touch,
    Visits,
)
from features.spoken import category_words
from features.told_events import event_teller, format_number, in_days_ago, speaking_of
from features.words import EVENT_TYPES, Words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.definitions import Catalogue, Feature
    from features.told_events import Speaking, Tell, Values
    from features.words import Language

__all__ = ["format_number", "in_days_ago", "tellers_of"]

_RANKED = {rank: name for name, rank in SENIORITY_RANKS.items()}
_SHARES = frozenset({"contact_completeness"})
_YEARS = frozenset({"founded_year"})
_LONGEST = 80


def _words(en: str, zh: str) -> Words:
    return Words(en=en, zh=zh)


_COLON, _NONE, _UNKNOWN, _NEVER = (
    _words(": ", "："),
    _words("none", "无"),
    _words("unknown", "未知"),
    _words("never", "从未"),
)
_FILLED, _BLANK = _words("filled in", "已填写"), _words("left blank", "未填写")
_SENIOR = _words("most senior of the company's other active people", "同公司其他活跃联系人的最高职级")
_OLD = _words("lead is {n} days old", "线索已存在 {n} 天")
_OLD_ONE = _words("lead is 1 day old", "线索已存在 1 天")
_NEW = _words("lead is less than a day old", "线索创建不到一天")


def tellers_of(catalogue: Catalogue, language: Language) -> dict[str, Tell]:
    """Return for each feature what tells its value: called with all values and whether the events are known.

    Parameters
    ----------
    catalogue
        Of a bundle of any age; standard features are told in the words of this version.
    language
        Of the sentences.

    Examples
    --------
    >>> from features.catalogue import build_catalogue
    >>> told = tellers_of(build_catalogue(event_types=["demo_request"]), "en")
    >>> told["demo_requests_30d"]({"demo_requests_30d": 1.0}, True)
    '1 demo request (last 30 days)'
    >>> values = {"high_intent_decayed": 1.7, "demo_requests_30d": 2.0, "demo_requests_days_since": 3.2}
    >>> told["high_intent_decayed"](values, True)
    'demo request × 2 (last 30 days), the newest 3 days ago'
    """
    standard = _standard(catalogue.event_types)
    speaking = speaking_of(catalogue, language)
    return {feature.name: _teller(feature, standard.get(feature.name), speaking) for feature in catalogue.features}


@lru_cache(maxsize=32)
def _standard(event_types: frozenset[str]) -> Mapping[str, Feature]:
    """Return the standard features by their names, which nobody's own can have."""
    catalogue = build_catalogue(event_types={*EVENT_TYPES, *event_types}, treatments=True)
    return MappingProxyType({feature.name: feature for feature in catalogue.features})


def _teller(feature: Feature, standard: Feature | None, speaking: Speaking) -> Tell:
    if standard is None or type(standard.compute) is not type(feature.compute):
        return _plain(feature, speaking)
    # What it computes is the bundle's, as its types may be fewer; what it is called is this version's.
    own = feature.model_copy(update={"label": standard.label, "phrase": standard.phrase})
    if isinstance(own.compute, LeadAge):
        return _age(own, speaking)
    return event_teller(own, speaking) or _plain(own, speaking)


def _plain(feature: Feature, speaking: Speaking) -> Tell:
    """Tell by the feature's own words: its phrase, or its label and the value."""
    say, name, compute = speaking.say, feature.name, feature.compute
    label = say(_SENIOR if isinstance(compute, MostSenior) else feature.label) + say(_COLON)
    phrase = None if feature.phrase is None or isinstance(compute, MostSenior) else say(feature.phrase)
    # Where the events are known, a recency is missing because there was none.
    missing = label + say(_NEVER if feature.needs == "events" and isinstance(compute, Recency | Touch) else _UNKNOWN)
    unknown, is_english = label + say(_UNKNOWN), speaking.language == "en"
    none = say(_NONE) if isinstance(compute, EventCount | DistinctCount | Visits | Decayed) else "0"

    def tell(values: Values, events_known: bool) -> str:  # noqa: FBT001 - the one way all tellers are called
        value = values.get(name)
        if value is None:
            return missing if events_known else unknown
        if isinstance(value, str):
            return label + category_words(name, value).in_language(speaking.language).replace("_", " ")
        if value == 0:
            return label + (say(_BLANK) if isinstance(compute, Filled) else none)
        number = _number(feature, value, speaking)
        # The English phrases are in the plural; with one the label reads better than a wrong ending.
        return (
            label + number
            if phrase is None or (is_english and number in {"1", "<1"})
            else phrase.replace("{n}", number)
        )

    return tell


def _number(feature: Feature, value: float, speaking: Speaking) -> str:
    """Write a number as what it is: a share, a year, a rank, days, or just a number."""
    if isinstance(feature.compute, MostSenior):
        return category_words("seniority", _RANKED[int(value)]).in_language(speaking.language)
    if isinstance(feature.compute, Filled):
        return speaking.say(_FILLED)
    if isinstance(feature.compute, Recency):
        return "<1" if value < 1 else format_number(round(value))
    if feature.name in _SHARES:
        return f"{100 * value:.0f} %"
    return f"{value:.0f}" if feature.name in _YEARS else format_number(value)


def _age(feature: Feature, speaking: Speaking) -> Tell:
    say, label = speaking.say, speaking.say(feature.label) + speaking.say(_COLON)

    def tell(values: Values, events_known: bool) -> str:  # noqa: FBT001, ARG001 - as above
        value = values.get(feature.name)
        if not isinstance(value, int | float):
            return label + say(_UNKNOWN)
        whole = round(value)
        return say(_NEW if value < 1 else _OLD_ONE if whole == 1 else _OLD, n=format_number(whole))

    return tell
