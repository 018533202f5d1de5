"""Why a lead scores as it does: contributions of feature groups, told in words from the catalogue.

`base_logit + sum of the reasons + remainder_logit` is the log-odds of the probability that is answered.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from features.catalogue import build_catalogue
from features.telling import format_number, tellers_of
from features.words import EVENT_TYPES, LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from features.catalogue import Catalogue
    from features.memory import Attribute
    from features.words import Language
    from training.bundles.bundle import Answer

__all__ = ["MOST_REASONS", "ReasonTeller", "format_number", "standard_catalogue", "told_again"]

MOST_REASONS = 5
# Where five a side leave much untold, more are told: a remainder that outweighs the reasons explains nothing.
_AT_MOST = 10
_UNTOLD_SHARE = 0.2
_MOST_EVIDENCE = 3
# Less than a hundredth of log-odds moves no probability by more than a quarter of a percentage point.
_SMALLEST = 0.01


class ReasonTeller:
    """A catalogue made ready to tell reasons."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._names: dict[str, list[str]] = {}
        for feature in catalogue.features:
            self._names.setdefault(feature.group, []).append(feature.name)
        self._tellers = {language: tellers_of(catalogue, language) for language in LANGUAGES}

    def tell(self, answer: Answer, language: Language) -> tuple[list[dict[str, Any]], float]:
        """Return five reasons for and five against, the largest first, and the remainder of the log-odds.

        Up to ten a side are told as long as the untold ones hold more than a fifth of all that was contributed.
        """
        told = _worth_telling(answer.groups)
        reasons = [self._reason(group, logit, answer, language) for group, logit in told]
        remainder = math.fsum([answer.bounded_logit, -answer.base_logit, *(-logit for _, logit in told)])
        return reasons, remainder

    def say(self, feature: str, values: Mapping[str, Attribute], language: Language, *, events_known: bool) -> str:
        """Return what the value of a feature says, beside the other values."""
        return self._tellers[language][feature](values, events_known)

    def again(
        self, reason: Mapping[str, Any], values: Mapping[str, Attribute], language: Language, *, events_known: bool
    ) -> dict[str, Any]:
        """Return a reason that was written down in the words of today, or as it is where nobody knows its feature.

        Parameters
        ----------
        reason
            As `tell` gave it, in any language and by any version.
        values
            The features that the score was given from; empty where they were erased.
        language
            To tell it in.
        events_known
            Whether the events of the lead were known.
        """
        tellers, evidence = self._tellers[language], reason["evidence"]
        # A reason without evidence speaks of something that is missing.
        missing = (name for name in self._names.get(reason["group"], ()) if values and values.get(name) is None)
        name = next(iter(evidence), None) or next(missing, "")
        if name not in tellers:
            return dict(reason)
        return {**reason, "text": tellers[name](values or evidence, events_known)}

    def _reason(self, group: str, logit: float, answer: Answer, language: Language) -> dict[str, Any]:
        values = answer.values
        pulling = _pulling(self._names[group], logit, answer.contributions)
        known = [name for name in pulling if values.get(name) is not None]
        chosen = known[0] if known else pulling[0]
        return {
            "group": group,
            "text": self._tellers[language][chosen](values, answer.source == "model"),
            "direction": "+" if logit > 0 else "-",
            "logit": logit,
            "evidence": {name: _plain(values[name]) for name in known[:_MOST_EVIDENCE]},
        }


def told_again(
    reasons: Sequence[Mapping[str, Any]],
    values: Mapping[str, Attribute],
    language: Language,
    *,
    events_known: bool = True,
) -> list[dict[str, Any]]:
    """Return reasons of a bundle that is gone in the words of today; what only it had words for stays as it was."""
    teller = _standard_teller()
    return [teller.again(reason, values, language, events_known=events_known) for reason in reasons]


@cache
def standard_catalogue() -> Catalogue:
    """Return all features that clew has words for: what is known of a score whose bundle is gone."""
    return build_catalogue(event_types=EVENT_TYPES, treatments=True)


@cache
def _standard_teller() -> ReasonTeller:
    return ReasonTeller(standard_catalogue())


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


def _pulling(names: Sequence[str], logit: float, contributions: Mapping[str, float]) -> list[str]:
    """Return the features of a group that pull its way, the strongest first; all of them where none does.

    Equal ones stay in the order of the catalogue. Features that this model does not read say nothing, and a part that
    pulls the other way would contradict the direction, however large it is.
    """
    sign = 1 if logit > 0 else -1
    parts = [(contributions[name] * sign, name) for name in names if name in contributions]
    pulling = [part for part in parts if part[0] > 0] or [(abs(size), name) for size, name in parts]
    if len(pulling) > 1:
        pulling.sort(key=_size, reverse=True)
    return [name for _, name in pulling]


def _size(part: tuple[float, str]) -> float:
    return part[0]


def _plain(value: Attribute) -> float | str | int | None:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value
