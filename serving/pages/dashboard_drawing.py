"""Where the marks of the dashboard go: promised beside realised by month, and the course of a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitoring.standing import MonthTold

__all__ = ["Course", "Month", "Months", "course", "months"]

_LEFT, _MOST_LABELS = 9.0, 6
_TOPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
_WIDE, _HIGH, _EDGE = 90.0, 24.0, 3.0


@dataclass(frozen=True)
class Month:
    """A month of the picture, in percent from the left and from the top; `label` is empty where there is no room.

    `realised`, `low` and `high` are None where nothing has matured.
    """

    label: str
    x: float
    half: float
    promised: float
    realised: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Months:
    """All months; `top` is the rate at the upper edge."""

    months: tuple[Month, ...]
    top: float


@dataclass(frozen=True)
class Course:
    """The course of a baseline in pixels: lines between periods that follow each other, and the threshold."""

    lines: tuple[tuple[tuple[float, float], ...], ...]
    last: tuple[float, float] | None
    threshold: float
    width: float = _WIDE
    height: float = _HIGH


def months(told: Sequence[MonthTold]) -> Months:
    """Return where the marks of some months go.

    Examples
    --------
    >>> from monitoring.standing import MonthTold
    >>> one = MonthTold(month="2026-05", mature=9, young=0, promised=0.05, realised=0.1, low=0.02, high=0.19)
    >>> found = months([one])
    >>> found.top, found.months[0].promised, found.months[0].realised, found.months[0].label
    (0.2, 75.0, 50.0, '2026-05')
    """
    highest = max([0.0, *(max(one.promised, one.high or 0.0) for one in told)])
    top = next((each for each in _TOPS if highest <= each), 1.0)
    step = (100 - _LEFT) / max(len(told), 1)
    every = -(-len(told) // _MOST_LABELS) or 1

    def y(rate: float | None) -> float | None:
        return None if rate is None else round(100 * (1 - rate / top), 2)

    found = [
        Month(
            label=one.month if (len(told) - 1 - place) % every == 0 else "",
            x=round(_LEFT + (place + 0.5) * step, 2),
            half=round(min(0.32 * step, 4.0), 2),
            promised=round(100 * (1 - one.promised / top), 2),
            realised=y(one.realised),
            low=y(one.low),
            high=y(one.high),
        )
        for place, one in enumerate(told)
    ]
    return Months(tuple(found), top)


def course(values: Sequence[float | None], threshold: float) -> Course:
    """Return the course of a value beside its threshold; a period without a value breaks the line.

    Examples
    --------
    >>> found = course([1.0, 2.0, None, 3.0], 1.0)
    >>> found.lines
    (((3.0, 21.0), (31.0, 12.0)), ((87.0, 3.0),))
    >>> found.last, found.threshold
    ((87.0, 3.0), 21.0)
    """
    known = [value for value in values if value is not None]
    low, high = min([*known, threshold]), max([*known, threshold])
    wide = high - low or 1.0
    step = (_WIDE - 2 * _EDGE) / max(len(values) - 1, 1)

    def y(value: float) -> float:
        return round(_EDGE + (_HIGH - 2 * _EDGE) * (1 - (value - low) / wide), 1)

    lines: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            lines.append([])
        else:
            lines[-1].append((round(_EDGE + place * step, 1), y(value)))
    drawn = tuple(tuple(line) for line in lines if line)
    last = drawn[-1][-1] if drawn and values[-1] is not None else None
    return Course(drawn, last, y(threshold))
