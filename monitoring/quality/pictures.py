"""The pictures of the page as inline SVG: bars beside those of the week before, a stacked bar, and small trends.

Each is drawn as wide as a phone shows it, so that its letters stay letters there. Colours come from the page.
"""

from __future__ import annotations

import unicodedata
from html import escape
from typing import TYPE_CHECKING

from monitoring.quality.summary import number, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitoring.quality.mix import Row

__all__ = ["bars", "shortened", "stack", "trend"]

_WIDE, _ROW, _LABEL, _END = 340.0, 23.0, 118.0, 92.0
_NAME = 17  # letters of a label; a Chinese one counts twice


def bars(rows: Sequence[tuple[str, Row]], *, label: str) -> str:
    """Return a bar for each row: its length the open leads, a line where it ended a week earlier, its counts beside it.

    Parameters
    ----------
    rows
        The rows with their names in words.
    label
        What the picture shows, for readers who do not see it.

    Examples
    --------
    >>> from monitoring.quality.mix import Count, Row
    >>> drawn = bars([("A & co", Row("A", Count(10, 8), Count(2, 1)))], label="by grade")
    >>> drawn.count("<rect"), "A &amp; co" in drawn, "10 (+2)" in drawn
    (1, True, True)
    """
    top = max([1, *(max(row.open.now, row.open.before) for _, row in rows)])
    height = _ROW * max(len(rows), 1) + 4
    parts = [_bar(at, name, row, top) for at, (name, row) in enumerate(rows)]
    return _svg(_WIDE, height, label, parts)


def _bar(at: int, name: str, row: Row, top: int) -> str:
    y, high, room = 2 + at * _ROW, _ROW - 7, _WIDE - _LABEL - _END
    length, was = room * row.open.now / top, _LABEL + room * row.open.before / top
    sign = {"up": " ▲", "down": " ▼", "level": ""}[row.open.move]
    return (
        f'<text x="{_LABEL - 8:.0f}" y="{y + 15:.1f}" text-anchor="end">{escape(shortened(name))}</text>'
        f'<rect class="bar" x="{_LABEL:.0f}" y="{y + 3:.1f}" width="{length + 0.5:.1f}" height="{high:.0f}" rx="2"/>'
        f'<line class="was" x1="{was:.1f}" x2="{was:.1f}" y1="{y:.1f}" y2="{y + _ROW - 2:.1f}"/>'
        f'<text class="count" x="{_WIDE:.0f}" y="{y + 15:.1f}" text-anchor="end">'
        f"{number(row.open.now)} (+{number(row.new.now)}){sign}</text>"
    )


def stack(parts: Sequence[tuple[str, int]], *, label: str) -> str:
    """Return one bar of several parts, each with its name, share and count below.

    Examples
    --------
    >>> drawn = stack([("both", 3), ("neither", 1)], label="reach")
    >>> drawn.count("<rect"), "75 %" in drawn
    (4, True)
    """
    total = max(sum(count for _, count in parts), 1)
    drawn, x = [], 0.0
    for at, (name, count) in enumerate(parts):
        width, y = _WIDE * count / total, 40 + at * _ROW
        drawn.append(f'<rect class="part{at}" x="{x:.1f}" y="2" width="{width:.1f}" height="22"/>')
        drawn.append(f'<rect class="part{at}" x="0" y="{y - 10:.1f}" width="11" height="11" rx="2"/>')
        drawn.append(f'<text x="18" y="{y:.1f}">{escape(name)}</text>')
        told = f"{percent(count / total)} ({number(count)})"
        drawn.append(f'<text class="count" x="{_WIDE:.0f}" y="{y:.1f}" text-anchor="end">{told}</text>')
        x += width
    return _svg(_WIDE, 40 + len(parts) * _ROW - 8, label, drawn)


def trend(values: Sequence[int], *, label: str) -> str:
    """Return small columns of the weeks, the last one marked.

    Examples
    --------
    >>> trend([1, 2, 4], label="price").count("<rect")
    3
    """
    top, step = max([1, *values]), 9.0
    heights = [20 * value / top for value in values]
    parts = [
        f'<rect class="past" x="{at * step:.1f}" y="{22 - high:.1f}" width="{step - 2:.0f}" height="{high + 0.5:.1f}"/>'
        for at, high in enumerate(heights)
    ]
    parts[-1:] = [last.replace("past", "bar", 1) for last in parts[-1:]]
    told = ", ".join(str(value) for value in values)
    return _svg(step * len(values), 23, f"{label}: {told}", parts, css="trend")


def shortened(name: str) -> str:
    """Return a name as long as its place is wide.

    Examples
    --------
    >>> shortened("webinar"), shortened("medical devices and supplies"), shortened("医疗器械与耗材制造业")
    ('webinar', 'medical devices…', '医疗器械与耗材制…')
    """
    if sum(map(_width, name)) <= _NAME:
        return name
    kept, left = "", _NAME - 1
    for letter in name:
        left -= _width(letter)
        if left < 0:
            break
        kept += letter
    return f"{kept.rstrip()}…"


def _width(letter: str) -> int:
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def _svg(width: float, height: float, label: str, parts: Sequence[str], *, css: str = "picture") -> str:
    return (
        f'<svg class="{css}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
