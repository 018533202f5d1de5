"""A score that was given, told again: base, reasons and rest that add up to the probability it had.

With the bundle that gave it the answer is worked out anew from the features that were kept, to the digit. Where the
bundle or the features are gone, what was written beside the score is told, and the rest is one sum. The words are those
of today, whatever version wrote the score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serving.scoring.reasons import ReasonTeller, standard_catalogue, told_again

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.store.scores import Score
    from features.catalogue import Catalogue, Feature
    from features.words import Language
    from serving.changes.voices import Voices
    from serving.scoring.scorer import Scorer
    from training.bundles.bundle import Answer, Bundle, Grade

__all__ = ["Retelling", "Step", "bundle_of", "evidence_of", "retell", "steps_of"]

_SAME = 1e-9


@dataclass(frozen=True)
class Retelling:
    """A score in words. `base` is None where it cannot be told apart from the rest; `logit` is as it was shown.

    `reasons` are as `serving.scoring.reasons` tells them. `interval` is the 90 % range of the probability, `grade` the
    record of the grade, both None where nobody knows.
    """

    probability: float
    logit: float
    base: float | None
    remainder: float
    reasons: tuple[Mapping[str, Any], ...]
    interval: tuple[float, float] | None
    grade: Grade | None
    answer: Answer | None
    catalogue: Catalogue | None


@dataclass(frozen=True)
class Step:
    """A step of the waterfall: from one probability to the next; `kind` is base, reason, rest or end."""

    kind: str
    logit: float
    before: float
    after: float
    reason: Mapping[str, Any] | None = None

    @property
    def probability(self) -> float:
        """The probability after this step."""
        return 1 / (1 + math.exp(-self.after))


def bundle_of(score: Score, scorer: Scorer, voices: Voices | None) -> Bundle | None:
    """Return the bundle that gave a score, None where rules did or it is gone; may load it, and so blocks."""
    if not score.bundle:
        return None
    if scorer.bundle is not None and scorer.bundle.digest == score.bundle:
        return scorer.bundle
    voice = None if voices is None else voices.of(score.bundle)
    return None if voice is None else voice.scorer.bundle


def retell(score: Score, bundle: Bundle | None, language: Language) -> Retelling | None:
    """Return a score told again, None where the rules gave it.

    Parameters
    ----------
    score
        As it was given.
    bundle
        The one that gave it, from `bundle_of`.
    language
        Of the reasons.
    """
    if score.probability is None or score.logit is None:
        return None
    if bundle is None or not score.features:
        return _written(score, language)
    answer = bundle.answer_values(dict(score.features), profile_only=score.source == "model_profile")
    if abs(answer.logit - score.logit) > _SAME:
        return _written(score, language)
    reasons, remainder = ReasonTeller(bundle.catalogue).tell(answer, language)
    return Retelling(
        probability=answer.probability,
        logit=answer.bounded_logit,
        base=answer.base_logit,
        remainder=remainder,
        reasons=tuple(reasons),
        interval=bundle.interval_of(answer),
        grade=next((each for each in bundle.grades if each.grade == score.grade), None),
        answer=answer,
        catalogue=bundle.catalogue,
    )


def steps_of(told: Retelling) -> list[Step]:
    """Return the steps from the base over each reason to the log-odds that are shown; they add up to them.

    Examples
    --------
    >>> reasons = ({"logit": 1.0}, {"logit": -0.5})
    >>> told = Retelling(0.5, 0.0, -1.0, 0.5, reasons, None, None, None, None)
    >>> [(step.kind, step.before, step.after) for step in steps_of(told)]
    [('base', -1.0, -1.0), ('reason', -1.0, 0.0), ('reason', 0.0, -0.5), ('rest', -0.5, 0.0), ('end', 0.0, 0.0)]
    """
    at = told.remainder if told.base is None else told.base
    found = [Step("base" if told.base is not None else "rest", at, at, at)]
    for reason in told.reasons:
        found.append(Step("reason", reason["logit"], at, at + reason["logit"], reason))
        at += reason["logit"]
    if told.base is not None:
        found.append(Step("rest", told.remainder, at, told.logit))
    return [*found, Step("end", told.logit, told.logit, told.logit)]


def evidence_of(reason: Mapping[str, Any], catalogue: Catalogue | None) -> list[tuple[Feature, Any]]:
    """Return the features behind a reason that the catalogue knows, with their values."""
    if catalogue is None:
        return []
    known = {feature.name: feature for feature in catalogue.features}
    return [(known[name], value) for name, value in reason["evidence"].items() if name in known]


def _written(score: Score, language: Language) -> Retelling:
    """Return what stands beside the score; without its bundle base and rest cannot be told apart."""
    written: Any = score.reasons
    known: Any = score.features
    reasons = told_again(written, known, language, events_known=score.source != "model_profile")
    probability, logit = score.probability or 0.0, score.logit or 0.0
    shown = math.log(probability / (1 - probability)) if 0 < probability < 1 else logit
    rest = math.fsum([shown, *(-reason["logit"] for reason in reasons)])
    return Retelling(probability, shown, None, rest, tuple(reasons), None, None, None, standard_catalogue())
