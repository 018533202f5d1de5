"""Reasons of stored scores, many of them, in the words of today: what a list shows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from serving.scoring.reasons import told_again

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from features.words import Language
    from serving.scoring.scorer import Scorer

__all__ = ["Teller", "strongest"]


class Teller:
    """Tells many scores in one language.

    Parameters
    ----------
    scorer
        What answers at the moment: of scores of its bundle the reasons come in any language.
    language
        Of the reasons.
    """

    def __init__(self, scorer: Scorer, language: Language) -> None:
        self._bundle = scorer.bundle
        self._teller = scorer.teller
        self._language = language

    def reasons(
        self, bundle: str, features: Mapping[str, Any], reasons: Sequence[Mapping[str, Any]], *, profile_only: bool
    ) -> list[dict[str, Any]]:
        """Return reasons of a score in the words of today, in their order."""
        if self._bundle is None or self._bundle.digest != bundle:
            return told_again(reasons, features, self._language, events_known=not profile_only)
        again = partial(self._teller.again, language=self._language, events_known=not profile_only)
        return [again(reason, features) for reason in reasons]


def strongest(reasons: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """Return the reasons to name first: the largest of those with evidence, before any that speaks of a gap.

    Examples
    --------
    >>> gap, found = {"logit": 0.9, "evidence": {}}, {"logit": -0.2, "evidence": {"employees": 7}}
    >>> strongest([gap, found], 1) == [found]
    True
    """
    return sorted(reasons, key=lambda reason: (not reason["evidence"], -abs(reason["logit"])))[:count]
