"""What counters, recencies and trends of events say to people: how often, of what, and when last."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from features.definitions import Decayed, DistinctCount, EventCount, Recency, Total, Trend, Visits
from features.words import EVENT_TYPES, Words, spaced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from features.definitions import Catalogue, Feature
    from features.event_log import Attribute
    from features.words import Language

    Values = Mapping[str, Attribute]
    Tell = Callable[[Values, bool], str]

__all__ = ["Speaking", "event_teller", "format_number", "in_days_ago", "speaking_of"]

_RECENT_DAYS, _FALLBACK_DAYS = 30, 90


def _words(en: str, zh: str) -> Words:
    return Words(en=en, zh=zh)


_COLON, _COMMA, _AND = _words(": ", "："), _words(", ", "、"), _words(", ", "，")
_NONE, _UNKNOWN = _words("none", "无"), _words("unknown", "未知")
_WITHIN = _words(" (last {days} days)", "（近 {days} 天）")
_NO_EVENT = _words("no {many} (last {days} days)", "近 {days} 天没有{many}")
_ONE_EVENT = _words("1 {one} (last {days} days)", "{many} 1 次（近 {days} 天）")
_LAST = _words("last {one} {ago}", "最近一次{many}：{ago}")
_NEVER_SO_FAR = _words("no {one} so far", "从未{many}")
_ASKED_NEVER = _words("never asked for anything (form, demo, trial)", "从未主动咨询（表单、演示、试用）")
_OTHERS = _words("the company's other people were active {ago}", "同公司其他人最近一次活跃：{ago}")
_OTHERS_NEVER = _words("no activity of the company's other people is known", "未发现同公司其他人的活动")
_SIGNALS = _words("strong buying signals", "强购买信号")
_ACTIVITIES = _words("activities", "互动")
_TIMES = _words("{one} × {n}", "{many} {n} 次")
_SIGNALS_FOUND = _words("{listed} (last {days} days)", "{listed}（近 {days} 天）")
_SIGNALS_NONE = _words("no {what} in the last {days} days ({listed})", "近 {days} 天没有{what}（{listed}）")
_NEWEST = _words("the newest {ago}", "最近一次 {ago}")
_ACTIVE = _words("{n} activities in the last {days} days", "近 {days} 天互动 {n} 次")
_ACTIVE_ONE = _words("1 activity in the last {days} days", "近 {days} 天互动 1 次")
_ACTIVE_NONE = _words("no activity in the last {days} days", "近 {days} 天没有互动")
_MORE = _words("more active in the last 7 days than over the last 30", "近 7 天比近 30 天更活跃")
_LESS = _words("less active in the last 7 days than over the last 30", "近 7 天不如近 30 天活跃")
_SAME = _words("as active in the last 7 days as over the last 30", "近 7 天与近 30 天同样活跃")
_MINUTES = _words("{n} minutes of engagement", "互动 {n} 分钟")
_MINUTE = _words("a minute of engagement or less", "互动不超过 1 分钟")
_NO_MINUTE = _words("no time spent", "没有互动时长")
_AGO, _AGO_ONE, _AGO_NONE = (
    _words("{n} days ago", "{n} 天前"),
    _words("1 day ago", "1 天前"),
    _words("less than a day ago", "不到一天前"),
)
# One and none of what the standard features count without naming a type: what English needs beside the plural.
_ONES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "events": ("1 activity", "no activity"),
        "contents": ("1 content looked at", "no content looked at"),
        "active_days": ("active on 1 day", "active on no day"),
        "visits": ("1 visit", "no visits"),
        "account_other_events": (
            "1 activity of the company's other people",
            "no activity of the company's other people",
        ),
        "account_other_people": ("1 other active person at the company", "nobody else at the company was active"),
    }
)


@dataclass(frozen=True)
class Speaking:
    """A language, and the features by which a weighed counter is told: of each type its counts and its recency."""

    language: Language
    counts: Mapping[tuple[str, int], str]
    recencies: Mapping[tuple[str, ...], str]

    def say(self, words: Words, **values: object) -> str:
        """Return words filled in."""
        text = words.in_language(self.language)
        return text.format(**values) if values else text


def speaking_of(catalogue: Catalogue, language: Language) -> Speaking:
    """Return what speaks of a catalogue in a language."""
    counts, recencies = {}, {}
    for feature in catalogue.features:
        compute = feature.compute
        if isinstance(compute, EventCount) and compute.scope == "lead" and len(compute.types) < 2:
            counts["".join(compute.types), compute.days] = feature.name
        elif isinstance(compute, Recency) and compute.scope == "lead":
            recencies[compute.types] = feature.name
    return Speaking(language, counts, recencies)


def event_teller(feature: Feature, speaking: Speaking) -> Tell | None:
    """Return what tells a standard feature of events; None where its own words do."""
    compute = feature.compute
    types: Sequence[str] = getattr(compute, "types", ())
    found: Tell | None = None
    if isinstance(compute, EventCount) and len(types) == 1:
        found = _counted(feature, types[0], compute.days, speaking)
    elif isinstance(compute, Decayed | EventCount) and types:
        found = _signals(feature, types, compute.days if isinstance(compute, EventCount) else None, speaking)
    elif isinstance(compute, Decayed):
        found = _activity(feature, speaking)
    elif isinstance(compute, EventCount | DistinctCount | Visits):
        found = _of_many(feature, compute.days, speaking)
    elif isinstance(compute, Recency):
        found = _ago(feature, compute, speaking)
    elif isinstance(compute, Trend):
        found = _trend(feature, speaking)
    elif isinstance(compute, Total) and compute.column == "duration_s":
        found = _minutes(feature, compute.days, speaking)
    return found


def in_days_ago(days: float, language: Language) -> str:
    """Say how long ago something was, in whole days.

    Examples
    --------
    >>> in_days_ago(0.4, "en"), in_days_ago(1.3, "en"), in_days_ago(12.0, "zh")
    ('less than a day ago', '1 day ago', '12 天前')
    """
    whole = round(days)
    words = _AGO_NONE if days < 1 else _AGO_ONE if whole == 1 else _AGO
    return words.in_language(language).format(n=format_number(whole))


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


def _counted(feature: Feature, event_type: str, days: int, speaking: Speaking) -> Tell:
    """Tell how often something of one type happened."""
    one, many = _event_words(event_type, speaking.language)
    none = speaking.say(_NO_EVENT, many=many, days=days)
    single = speaking.say(_ONE_EVENT, one=one, many=many, days=days)
    return _numbered(feature, none, single, speaking)


def _of_many(feature: Feature, days: int, speaking: Speaking) -> Tell:
    """Tell how much happened of no type in particular."""
    stem = feature.name.removesuffix(f"_{days}d")
    within = speaking.say(_WITHIN, days=days)
    if speaking.language == "zh" or stem not in _ONES:
        label = feature.label.in_language(speaking.language)
        return _numbered(feature, label + speaking.say(_COLON) + speaking.say(_NONE), None, speaking)
    one, none = _ONES[stem]
    return _numbered(feature, none + within, one + within, speaking)


def _numbered(feature: Feature, none: str, one: str | None, speaking: Speaking) -> Tell:
    name, phrase = feature.name, speaking.say(feature.phrase or feature.label)
    unknown = speaking.say(feature.label) + speaking.say(_COLON) + speaking.say(_UNKNOWN)

    def tell(values: Values, events_known: bool) -> str:  # noqa: FBT001, ARG001 - as above
        value = values.get(name)
        if not isinstance(value, int | float):
            return unknown
        if value == 1 and one is not None:
            return one
        return phrase.replace("{n}", format_number(value)) if value else none

    return tell


def _signals(feature: Feature, types: Sequence[str], days: int | None, speaking: Speaking) -> Tell:
    """Tell of several types together: which of them, how often, and when last.

    A weighed counter is told by the last 30 days where anything happened in them, else by the last 90.
    """
    say, name = speaking.say, feature.name
    what, kinds = say(_SIGNALS), {kind: _event_words(kind, speaking.language) for kind in types}
    listed = say(_COMMA).join(one if speaking.language == "en" else many for one, many in kinds.values())
    unknown = f"{what}{say(_COLON)}{say(_UNKNOWN)}"

    def counted(values: Values, within: int) -> str:
        found = [(_count(values, speaking.counts.get((kind, within))), kind) for kind in types]
        ranked = sorted((pair for pair in found if pair[0]), key=lambda pair: -pair[0])
        told = [say(_TIMES, one=kinds[kind][0], many=kinds[kind][1], n=format_number(n)) for n, kind in ranked]
        return say(_COMMA).join(told)

    def tell(values: Values, events_known: bool) -> str:  # noqa: FBT001, ARG001 - as above
        value = values.get(name)
        if value is None:
            return unknown
        if not value:
            return say(_SIGNALS_NONE, what=what, listed=listed, days=days or _FALLBACK_DAYS)
        newest = _newest(values, types, speaking)
        for within in (days,) if days else (30, _FALLBACK_DAYS):
            if told := counted(values, within):
                text = say(_SIGNALS_FOUND, listed=told, days=within)
                return f"{text}{say(_AND)}{newest}" if newest else text
        # The counts beside it are gone: what can be said is that there were some.
        return f"{what} ({listed})" + (f"{say(_AND)}{newest}" if newest else "")

    return tell


def _newest(values: Values, types: Sequence[str], speaking: Speaking) -> str:
    found = [values.get(speaking.recencies.get((kind,), "")) for kind in types]
    days = [value for value in found if isinstance(value, int | float)]
    return speaking.say(_NEWEST, ago=in_days_ago(min(days), speaking.language)) if days else ""


def _activity(feature: Feature, speaking: Speaking) -> Tell:
    """Tell of all that happened together: how much lately, and when last."""
    say, name = speaking.say, feature.name
    unknown = speaking.say(feature.label) + say(_COLON) + say(_UNKNOWN)

    def tell(values: Values, events_known: bool) -> str:  # noqa: FBT001, ARG001 - as above
        value = values.get(name)
        if value is None:
            return unknown
        if not value:
            return say(_ACTIVE_NONE, days=_FALLBACK_DAYS)
        since = values.get(speaking.recencies.get((), ""))
        newest = say(_NEWEST, ago=in_days_ago(since, speaking.language)) if isinstance(since, int | float) else ""
        for within in (30, _FALLBACK_DAYS):
            if number := _count(values, speaking.counts.get(("", within))):
                words = _ACTIVE_ONE if number == 1 else _ACTIVE
                text = say(words, n=format_number(number), days=within)
                return f"{text}{say(_AND)}{newest}" if newest else text
        return newest or f"{say(_ACTIVITIES)}{say(_WITHIN, days=_FALLBACK_DAYS)}"

    return tell


def _ago(feature: Feature, compute: Recency, speaking: Speaking) -> Tell:
    """Tell when something was last."""
    say, language = speaking.say, speaking.language
    label = say(feature.label) + say(_COLON)
    if compute.scope == "account":
        told, never = say(_OTHERS, ago="{ago}"), say(_OTHERS_NEVER)
    elif len(compute.types) == 1 or not compute.types:
        one, many = _event_words(compute.types[0], language) if compute.types else ("activity", "互动")
        told, never = say(_LAST, one=one, many=many, ago="{ago}"), say(_NEVER_SO_FAR, one=one, many=many)
    else:
        told, never = _asked(language), say(_ASKED_NEVER)

    # Others' events may be unknown where the lead's own are known.
    unknown = never if compute.scope == "account" else label + say(_UNKNOWN)

    def tell(values: Values, events_known: bool) -> str:  # noqa: FBT001 - as above
        value = values.get(feature.name)
        if isinstance(value, int | float):
            return told.replace("{ago}", in_days_ago(value, language))
        return never if events_known else unknown

    return tell


def _asked(language: Language) -> str:
    words = _words("asked for something {ago} (form, demo, trial)", "{ago}主动咨询（表单、演示、试用）")
    return words.in_language(language)


def _trend(feature: Feature, speaking: Speaking) -> Tell:
    """Tell whether somebody is getting more active, or less."""
    say, label = speaking.say, speaking.say(feature.label) + speaking.say(_COLON)

    def tell(values: Values, events_known: bool) -> str:  # noqa: FBT001, ARG001 - as above
        value = values.get(feature.name)
        if not isinstance(value, int | float):
            return label + say(_UNKNOWN)
        if not value and not _count(values, speaking.counts.get(("", 30))):
            return say(_ACTIVE_NONE, days=30)
        return say(_MORE if value > 0 else _LESS if value < 0 else _SAME)

    return tell


def _minutes(feature: Feature, days: int, speaking: Speaking) -> Tell:
    say, within = speaking.say, speaking.say(_WITHIN, days=days)
    label = say(feature.label) + say(_COLON)

    def tell(values: Values, events_known: bool) -> str:  # noqa: FBT001, ARG001 - as above
        value = values.get(feature.name)
        if not isinstance(value, int | float):
            return label + say(_UNKNOWN)
        minutes = round(value / 60)
        words = _NO_MINUTE if not value else _MINUTE if minutes <= 1 else _MINUTES
        return say(words, n=format_number(minutes)) + within

    return tell


def _count(values: Values, name: str | None) -> float:
    value = None if name is None else values.get(name)
    return value if isinstance(value, int | float) else 0.0


def _event_words(event_type: str, language: Language) -> tuple[str, str]:
    """Return what one event of a type is called, and what more of them are."""
    known = EVENT_TYPES.get(event_type)
    if known is None:
        quoted = f"“{spaced(event_type)}”"
        return quoted, quoted
    return known.one.in_language(language), known.label.in_language(language)
