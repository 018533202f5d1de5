"""Handing out wins and amounts without loss: whole millionths of a win, whole hundredths of a currency."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitoring.attribution.journeys import Touch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from monitoring.attribution.journeys import Journey
    from monitoring.attribution.rules import Weigher

__all__ = ["NONE", "NO_CURRENCY", "WIN", "Credit", "hand_out", "handed_out"]

WIN = 1_000_000  # a win in the smallest part that is handed out
NONE = Touch("none")  # who gets the wins that no touch came before
NO_CURRENCY = "none"  # under what amounts without a currency stand


@dataclass(frozen=True)
class Credit:
    """What a touch won: millionths of wins, and hundredths of each currency."""

    wins: int
    amounts: Mapping[str, int]


def handed_out(total: int, weights: Sequence[int]) -> list[int]:
    """Return whole parts of `total` in proportion to the weights, which add up to it exactly.

    Method: largest remainders (Hamilton); of equal ones the earlier is served first. Where all weights are zero all
    count alike.

    Examples
    --------
    >>> handed_out(100, [1, 1, 1]), handed_out(-5, [1, 0]), handed_out(7, [0, 0])
    ([34, 33, 33], [-5, 0], [4, 3])
    """
    if not any(weights):
        weights = [1] * len(weights)
    if total < 0:
        return [-part for part in handed_out(-total, weights)]
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    rest = [(-(total * weight % whole), at) for at, weight in enumerate(weights)]
    for _, at in sorted(rest)[: total - sum(parts)]:
        parts[at] += 1
    return parts


def hand_out(journeys: Iterable[Journey], weigh: Weigher) -> dict[Touch, Credit]:
    """Return what each touch won by one model; wins without a touch go to `NONE`.

    Examples
    --------
    >>> from monitoring.attribution.journeys import Journey
    >>> from monitoring.attribution.rules import linear
    >>> deal = Journey("p", (Touch("web"), Touch("email")), won=True, amount=501, currency="EUR")
    >>> {touch.channel: (part.wins, part.amounts) for touch, part in hand_out([deal], linear).items()}
    {'web': (500000, {'EUR': 251}), 'email': (500000, {'EUR': 250})}
    """
    wins: defaultdict[Touch, int] = defaultdict(int)
    amounts: defaultdict[Touch, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for journey in journeys:
        if not journey.won:
            continue
        touches = journey.touches or (NONE,)
        weights = weigh(journey.touches) if journey.touches else (1,)
        for touch, part in zip(touches, handed_out(WIN, weights), strict=True):
            wins[touch] += part
        if journey.amount is not None:
            for touch, part in zip(touches, handed_out(journey.amount, weights), strict=True):
                amounts[touch][journey.currency or NO_CURRENCY] += part
    return {touch: Credit(won, dict(amounts[touch])) for touch, won in wins.items()}
