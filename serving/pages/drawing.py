"""Where bars, lines and dots go: a waterfall and a timeline in percent of their width, so that they fit any screen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.pages.retelling import Step

__all__ = ["Bar", "Dot", "Tick", "Timeline", "Waterfall", "timeline", "waterfall"]

_TICKS = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.03,
    0.05,
    0.07,
    0.1,
    0.15,
    0.2,
    0.25,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    0.95,
    0.98,
    0.99,
    0.999,
)
_APART, _PAD, _NARROWEST = 11.0, 4.0, 0.6


@dataclass(frozen=True)
class Bar:
    """A step of a waterfall as it is drawn: from `x`, so `width` wide, to `end`, all in percent."""

    step: Step
    x: float
    width: float
    end: float


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where, in percent, and what stands there."""

    x: float
    value: float


@dataclass(frozen=True)
class Waterfall:
    """Bars over an axis of log-odds whose marks are probabilities."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Dot:
    """Something on a timeline, in percent from the left and from the top; `kind` says what."""

    x: float
    y: float
    kind: str


@dataclass(frozen=True)
class Timeline:
    """Scores as a line over time, events as dots below; `top` is the probability at the upper edge."""

    scores: tuple[Dot, ...]
    events: tuple[Dot, ...]
    top: float


def waterfall(steps: Sequence[Step]) -> Waterfall:
    """Return the bars of some steps; lengths are true on the scale of log-odds, on which reasons add up.

    Examples
    --------
    >>> from serving.pages.retelling import Step
    >>> found = waterfall([Step("base", 0, 0, 0), Step("reason", 1, 0, 1), Step("end", 1, 1, 1)])
    >>> [(round(bar.x), round(bar.width), round(bar.end)) for bar in found.bars]
    [(4, 1, 4), (4, 92, 96), (96, 1, 96)]
    """
    places = [at for step in steps for at in (step.before, step.after)]
    low, high = min(places), max(places)
    wide = high - low or 1.0

    def x(logit: float) -> float:
        return _PAD + (100 - 2 * _PAD) * (logit - low) / wide

    bars = [
        Bar(step, x(min(step.before, step.after)), max(abs(x(step.after) - x(step.before)), _NARROWEST), x(step.after))
        for step in steps
    ]
    ticks: list[Tick] = []
    for chance in _TICKS:
        at = x(math.log(chance / (1 - chance)))
        if _PAD <= at <= 100 - _PAD and (not ticks or at - ticks[-1].x >= _APART):
            ticks.append(Tick(at, chance))
    return Waterfall(tuple(bars), tuple(ticks))


def timeline(
    scores: Sequence[tuple[int, float]], events: Sequence[tuple[int, str]], *, start_us: int, end_us: int
) -> Timeline:
    """Return the dots of scores and events between two moments.

    Parameters
    ----------
    scores
        Moments in microseconds UTC with probabilities, in order.
    events
        Moments with what kind of dot each is.
    start_us, end_us
        The ends of the picture; what lies outside is left out.

    Examples
    --------
    >>> found = timeline([(0, 0.1), (10, 0.4)], [(5, "own")], start_us=0, end_us=10)
    >>> found.top, [(round(dot.x, 1), round(dot.y, 1)) for dot in found.scores], found.events[0].x
    (0.5, [(2.0, 80.0), (98.0, 20.0)], 50.0)
    """
    wide = max(end_us - start_us, 1)

    def x(us: int) -> float:
        return 2 + 96 * (us - start_us) / wide

    inside = [(us, chance) for us, chance in scores if start_us <= us <= end_us]
    top = next((one for one in (0.1, 0.2, 0.5) if all(chance < one for _, chance in inside)), 1.0)
    return Timeline(
        tuple(Dot(x(us), 100 * (1 - chance / top), "score") for us, chance in inside),
        tuple(Dot(x(us), 0.0, kind) for us, kind in events if start_us <= us <= end_us),
        top,
    )
