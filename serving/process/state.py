"""What answers at the moment: one scorer and where it came from, replaced as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.holdout import holdout_of
from features.scorecard import load_scorecard
from serving.process.loading import choose_bundle
from serving.scoring.scorer import Scorer

if TYPE_CHECKING:
    from data.settings import Settings
    from training.bundles.bundle import Bundle

__all__ = ["Answering", "ServingState", "answering", "scorer_of"]


@dataclass(frozen=True)
class Answering:
    """A scorer, the pointer that named its bundle, and why other bundles were refused."""

    scorer: Scorer
    pointer: str | None = None
    refused: tuple[str, ...] = ()


class ServingState:
    """Holds what answers. A request takes `now` once, so that no answer mixes two bundles."""

    def __init__(self, now: Answering | None = None) -> None:
        self.now = now
        # The stamp of the pointer from before `now` was loaded.
        self.seen: tuple[int, int, int] | None = None

    @property
    def digest(self) -> str | None:
        """The hash of the bundle that answers; None where the rules answer or nothing does yet."""
        bundle = None if self.now is None else self.now.scorer.bundle
        return None if bundle is None else bundle.digest

    @property
    def ready(self) -> bool:
        """Whether anything can answer; the rules alone can."""
        return self.now is not None


def answering(settings: Settings) -> Answering:
    """Load the best bundle of the settings and the scorecard that answers without one.

    Raises
    ------
    DataError
        If the scorecard is broken: then not even the rules could answer.
    """
    loaded = choose_bundle(settings.bundles_dir)
    return Answering(scorer_of(loaded.bundle, settings), loaded.pointer, loaded.refused)


def scorer_of(bundle: Bundle | None, settings: Settings) -> Scorer:
    """Return what answers from a bundle, with the settings' scorecard where there is none.

    Raises
    ------
    DataError
        If that scorecard is broken.
    """
    fallback = load_scorecard(settings.scorecard, target_industries=settings.target_industries)
    return Scorer(bundle, fallback, timezone=settings.timezone, holdout=holdout_of(settings))
