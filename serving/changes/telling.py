"""Changes in words: each part with the groups of features behind it, in the words that reasons have."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from data.clock import from_us, iso
from features.words import Words
from serving.scoring.reasons import ReasonTeller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.store.scores import GivenScore
    from features.catalogue import Catalogue
    from features.scorecard import Scorecard
    from features.words import Language
    from serving.changes.parts import Changes, End, Part, PartName, Untold
    from training.bundles.bundle import Answer

__all__ = ["told_changes", "told_score"]

NAMES: Mapping[PartName, Words] = MappingProxyType(
    {
        "new_activity": Words(en="new activity", zh="新的活动"),
        "time_passing": Words(en="time passing", zh="时间推移"),
        "corrected_data": Words(en="corrected or late data", zh="更正或迟到的数据"),
        "new_model": Words(en="a new model", zh="新的模型"),
        "data": Words(en="activity, time and corrections together", zh="活动、时间与更正合计"),
        "everything": Words(en="everything together", zh="全部合计"),
    }
)
REASONS: Mapping[Untold, Words] = MappingProxyType(
    {
        "bundle_gone": Words(
            en="the model or scorecard of one of the scores is gone, so that the causes cannot be told apart",
            zh="其中一次评分的模型或评分卡已不存在，无法区分原因",
        ),
        "facts_changed": Words(
            en="the facts of one of the scores are not in the store as they were, so that data is told as one part",
            zh="其中一次评分所用的数据在库中已无法还原，数据部分合并说明",
        ),
        "features_erased": Words(
            en="the person was forgotten, so that the causes cannot be told apart", zh="该联系人已被遗忘，无法区分原因"
        ),
        "other_scale": Words(
            en="one of the scores is of the rules and the other of a model; points and log-odds cannot be compared",
            zh="一次评分来自规则，另一次来自模型；积分与对数几率无法比较",
        ),
    }
)


def told_changes(changes: Changes, before: End, after: End, language: Language) -> dict[str, Any]:
    """Return changes with their words, ready for JSON.

    Parameters
    ----------
    changes
        From `changes_between` of the two ends.
    before, after
        The ends.
    language
        Of all texts.
    """
    why = changes.untold
    scale = None if why == "other_scale" else "points" if after.score.logit is None else "logit"
    untold = None if why is None else {"code": why, "message": REASONS[why].in_language(language)}
    return {
        "scale": scale,
        "difference": changes.difference,
        "parts": [_told_part(part, before, after, language) for part in changes.parts],
        "untold": untold,
    }


def told_score(given: GivenScore) -> dict[str, Any]:
    """Return an end of the comparison, ready for JSON."""
    score = given.score
    rules: Any = score.rules
    return {
        "score_id": given.score_id,
        "as_of": iso(from_us(score.as_of_us)),
        "given_at": iso(from_us(given.given_us)),
        "source": score.source,
        "bundle": score.bundle or None,
        "probability": score.probability,
        "logit": score.logit,
        "points": rules.get("points"),
        "grade": score.grade,
        "pool": score.pool,
    }


def _told_part(part: Part, before: End, after: End, language: Language) -> dict[str, Any]:
    # What data did is told in the older model's terms, in which it was worked out.
    end = after if part.name == "new_model" else before
    groups: list[dict[str, Any]] = []
    if end.voice is not None and part.after is not None and part.groups:
        scorer = end.voice.scorer
        answer = part.after.answer
        groups = (
            _rules(part, scorer.scorecard, language)
            if answer is None
            else _groups(part, answer, scorer.catalogue, language)
        )
    told = sum((group["amount"] for group in groups), 0.0)
    return {
        "part": part.name,
        "text": NAMES[part.name].in_language(language),
        "amount": part.amount,
        "facts": part.facts,
        "groups": groups,
        "remainder": part.amount - told,
    }


def _groups(part: Part, answer: Answer, catalogue: Catalogue, language: Language) -> list[dict[str, Any]]:
    """Return the groups of features in the words of reasons, as if what they add here were all they add."""
    known = {feature.group for feature in catalogue.features}
    groups = {name: amount for name, amount in part.groups.items() if name in known}
    # A group whose features hold each other's balance still needs one for its words.
    features = {**dict.fromkeys(answer.contributions, 0.0), **part.features}
    moved = replace(answer, groups=groups, contributions=features, logit=0.0, base_logit=0.0)
    reasons, _ = ReasonTeller(catalogue).tell(moved, language)
    return [
        {
            "group": reason["group"],
            "text": reason["text"],
            "amount": reason["logit"],
            "evidence": reason["evidence"],
            "before": {name: _plain(part.before.get(name)) for name in reason["evidence"]},
        }
        for reason in reasons
    ]


def _rules(part: Part, scorecard: Scorecard, language: Language) -> list[dict[str, Any]]:
    words = {rule.rule: rule.words.get(language, rule.rule) for rule in scorecard.rules}
    ranked = sorted(part.groups.items(), key=lambda told: (-abs(told[1]), told[0]))
    return [
        {"group": name, "text": words.get(name, name), "amount": amount, "evidence": {}, "before": {}}
        for name, amount in ranked
    ]


def _plain(value: float | str | None) -> float | str | None:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value
