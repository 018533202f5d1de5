"""Who can say a score again: a bundle in log-odds, or the rules in points, both as a sum of named amounts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from data.errors import ClewError
from serving.process.loading import load_checked
from serving.process.state import scorer_of
from serving.scoring.facts import CustomKind, custom_kinds
from training.bundles.bundle import folder_name

if TYPE_CHECKING:
    from data.settings import Settings
    from features.catalogue import Catalogue
    from features.memory import Values
    from serving.scoring.scorer import Scorer
    from training.bundles.bundle import Answer

__all__ = ["Said", "Voice", "Voices"]

_REMEMBERED = 3  # a bundle of 300 trees takes some 20 MB


@dataclass(frozen=True)
class Said:
    """What was said of some features: `value` is the sum of the `groups` and of a base.

    `groups` are groups of features, of rules the rules that fired; `features` what each feature adds. `answer` is the
    bundle's own, None where rules answered.
    """

    value: float
    groups: Mapping[str, float]
    features: Mapping[str, float]
    values: Values
    answer: Answer | None


@dataclass(frozen=True)
class Voice:
    """A scorer that says scores again."""

    scorer: Scorer

    @property
    def digest(self) -> str:
        """The bundle's hash, empty for the rules."""
        return "" if self.scorer.bundle is None else self.scorer.bundle.digest

    @property
    def catalogue(self) -> Catalogue:
        """What it reads."""
        return self.scorer.catalogue

    @property
    def custom(self) -> dict[str, CustomKind]:
        """The customer's columns that it reads."""
        return custom_kinds(self.catalogue)

    def say(self, values: Values, *, profile_only: bool = False) -> Said:
        """Return log-odds of a bundle, or points of the rules, with what they are made of."""
        bundle = self.scorer.bundle
        if bundle is None:
            told = self.scorer.scorecard.evaluate(values)
            fired = {rule.rule: float(rule.points) for rule in told.fired}
            return Said(float(told.points), fired, {}, values, None)
        answer = bundle.answer_values(values, profile_only=profile_only)
        return Said(answer.logit, answer.groups, answer.contributions, values, answer)


class Voices:
    """Finds who gave a score, by the digest that the score names; bundles that were published are loaded again.

    Parameters
    ----------
    settings
        Where bundles are published, and the scorecard that answers without one.
    current
        What answers at the moment; None while nothing does yet.
    """

    def __init__(self, settings: Settings, current: Callable[[], Scorer | None]) -> None:
        self._settings = settings
        self._current = current
        self._loaded: OrderedDict[str, Voice | None] = OrderedDict()
        self._loading = Lock()

    def of(self, digest: str) -> Voice | None:
        """Return who gives the scores of a bundle, None where it is gone or damaged. May take seconds; blocks.

        Parameters
        ----------
        digest
            The bundle's hash, empty for the rules.
        """
        current = self._current()
        if current is not None and _digest_of(current) == digest:
            return Voice(current)
        # One at a time: two at once would load the same bundle twice.
        with self._loading:
            if digest not in self._loaded:
                self._loaded[digest] = self._load(digest)
                while len(self._loaded) > _REMEMBERED:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(digest)
            found = self._loaded[digest]
            if found is None:
                del self._loaded[digest]  # it may be published again
            return found

    def _load(self, digest: str) -> Voice | None:
        if not digest:
            return Voice(scorer_of(None, self._settings))
        folder = self._settings.bundles_dir / folder_name(digest)
        try:
            bundle = load_checked(folder) if folder.is_dir() else None
        except ClewError:
            return None
        return None if bundle is None or bundle.digest != digest else Voice(scorer_of(bundle, self._settings))


def _digest_of(scorer: Scorer) -> str:
    return "" if scorer.bundle is None else scorer.bundle.digest
