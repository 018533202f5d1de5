"""What would be lost without a channel: removal effects of a first-order Markov chain over all journeys.

Anderl, Becker, von Wangenheim, Schumann (IJRM 2016). The chain starts, goes from channel to channel as people did, and
ends in `won` or `not won`; without a channel every step to it ends in `not won`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from monitoring.attribution.journeys import Journey, Touch
    from monitoring.attribution.rules import Weigher

__all__ = ["Chain", "fit_chain", "markov_weigher"]

_SCALE = 1 << 40


@dataclass(frozen=True)
class Chain:
    """Channels, and the probability of each next step: (channels + 1 for the start, channels + won + not won)."""

    channels: tuple[str, ...]
    steps: NDArray[np.float64]

    def win_probability(self, *, without: str | None = None) -> float:
        """Return P(won | start) in the chain, a channel removed if one is named."""
        count = len(self.channels)
        steps = self.steps.copy()
        if without is not None:
            steps[:, self.channels.index(without)] = 0.0
        inner = np.zeros((count + 1, count + 1))
        inner[:, :count] = steps[:, :count]
        won = np.linalg.solve(np.eye(count + 1) - inner, steps[:, count])
        return float(won[count])

    def removal_effects(self) -> dict[str, float]:
        """Return 1 - P(won without the channel) / P(won) of each channel, zeros where nobody is won."""
        whole = self.win_probability()
        if whole <= 0:
            return dict.fromkeys(self.channels, 0.0)
        return {name: max(1 - self.win_probability(without=name) / whole, 0.0) for name in self.channels}


def fit_chain(journeys: Iterable[Journey]) -> Chain:
    """Count the steps of all journeys, those that were not won among them.

    Examples
    --------
    >>> from monitoring.attribution.journeys import Journey, Touch
    >>> chain = fit_chain([Journey("a", (Touch("web"),), won=True), Journey("b", (Touch("web"),), won=False)])
    >>> chain.win_probability(), chain.removal_effects()
    (0.5, {'web': 1.0})
    """
    told = [([touch.channel for touch in journey.touches], journey.won) for journey in journeys]
    channels = tuple(sorted({name for path, _ in told for name in path}))
    place = {name: at for at, name in enumerate(channels)}
    counts = np.zeros((len(channels) + 1, len(channels) + 2))
    for path, won in told:
        here = len(channels)
        for name in path:
            counts[here, place[name]] += 1
            here = place[name]
        counts[here, len(channels) + (0 if won else 1)] += 1
    return Chain(channels, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0))


def markov_weigher(journeys: Iterable[Journey]) -> Weigher:
    """Return the model that weighs the channels of a journey by their removal effects, shared evenly by their touches.

    The effects are of the whole chain; each win is handed out among the channels of its own journey, so that a deal's
    amount stays with those who touched it.
    """
    effects: Mapping[str, float] = fit_chain(journeys).removal_effects()

    def weigh(touches: Sequence[Touch]) -> Sequence[int]:
        names = [touch.channel for touch in touches]
        return [round(_SCALE * effects.get(name, 0.0) / names.count(name)) for name in names]

    return weigh
