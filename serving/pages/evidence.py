"""What stands behind a reason, in a line: which events, how often, and when last; other facts with their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.pages.behind import behind, reads_events
from serving.pages.rendering import day
from serving.pages.retelling import evidence_of
from serving.pages.wording import event_words, say
from serving.scoring.reasons import ReasonTeller

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from features.definitions import Feature
    from features.words import Language
    from serving.pages.behind import Happening
    from serving.pages.one_lead import OneLead

__all__ = ["evidence_lines", "summed_up"]

_MOST_TYPES = 3


def evidence_lines(
    one: OneLead, reasons: Iterable[Mapping[str, Any]], language: Language, zone: str
) -> list[tuple[tuple[str, ...], bool]]:
    """Return for each reason what stands behind it, and whether there are events to show.

    The first of the facts is what the reason itself says, and is not repeated.

    Parameters
    ----------
    one
        The lead as its page shows it.
    reasons
        Of its score.
    language
        Of the lines.
    zone
        IANA zone of the days.
    """
    told, given = one.told, one.given
    if told is None or told.catalogue is None or given is None:
        return [((), False) for _ in reasons]
    teller = ReasonTeller(told.catalogue)
    values: Any = given.score.features
    found = []
    for reason in reasons:
        features = [feature for feature, _ in evidence_of(reason, told.catalogue)]
        counted = [feature for feature in features if reads_events(feature)]
        facts = [
            teller.say(feature.name, values or reason["evidence"], language, events_known=True)
            for feature in features[1:]
            if feature not in counted
        ]
        events = behind(one.happened, counted, given.score.as_of_us) if counted else []
        found.append(((*_windowed(summed_up(events, language, zone), counted, language), *facts), bool(counted)))
    return found


def _windowed(lines: list[str], features: Sequence[Feature], language: Language) -> list[str]:
    """Say how far back the events were counted, where they were not counted back to the beginning."""
    days = [getattr(feature.compute, "days", None) for feature in features]
    longest = max((each for each in days if each is not None), default=None)
    if not lines or longest is None or None in days:
        return lines
    return [say("evidence_within", language, days=longest, what=lines[0]), *lines[1:]]


def summed_up(events: Sequence[Happening], language: Language, zone: str) -> list[str]:
    """Return what happened by its types, the most frequent first.

    Examples
    --------
    >>> from serving.pages.behind import Happening
    >>> visits = [Happening(us, "own", "price_page_view", None) for us in (0, 86_400_000_000)]
    >>> summed_up(visits, "en", "UTC")
    ['price page visit × 2, the last on 1970-01-02']
    """
    moments: dict[str, list[int]] = {}
    for event in events:
        moments.setdefault(event.type, []).append(event.at_us)
    ranked = sorted(moments.items(), key=lambda item: (-len(item[1]), item[0]))
    found = []
    for kind, times in ranked[:_MOST_TYPES]:
        key = "evidence_one" if len(times) == 1 else "evidence_many"
        found.append(say(key, language, what=event_words(kind, language), n=len(times), day=day(max(times), zone)))
    unsaid = sum(len(times) for _, times in ranked[_MOST_TYPES:])
    return [*found, say("evidence_more", language, n=unsaid)] if unsaid else found
