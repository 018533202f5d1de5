"""Histograms that people can read: few bins with round bounds, the same for two moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["KNOWN", "MISSING", "OTHER", "Bin", "category_bins", "number_bins", "short"]

MISSING, OTHER, KNOWN = "missing", "other", "known"
_MOST_CATEGORIES = 12
_MOST_VALUES = 8
_NUMBER_BINS = 8
_LONG_TAIL = 20  # the 99th percentile over the median, from which logarithms show more


@dataclass(frozen=True)
class Bin:
    """A bin with the leads that it holds at the earlier and at the later moment."""

    label: str
    before: int
    now: int


def short(value: float) -> str:
    """Write a number in few characters.

    Examples
    --------
    >>> [short(value) for value in (0.0, 3.0, 0.123, 1250.0, 48_000_000.0, -2.5, 2015.0)]
    ['0', '3', '0.12', '1250', '48M', '-2.5', '2015']
    """
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.1f}".removesuffix(".0") + unit if limit > 1e4 else f"{value / 1000:.0f}k"
    if value == round(value):
        return f"{value:.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2g}" if abs(value) < 1 else f"{value:.1f}"


def number_bins(before: NDArray[np.float64], now: NDArray[np.float64], *, log: bool, fewest: int) -> tuple[Bin, ...]:
    """Put numbers into bins: missing first, then up to eight of values.

    Few values have a bin each; counts double (0, 1, 2, 3-4, 5-8 …); other numbers are cut evenly between their 1st and
    99th percentile, on a logarithmic scale where asked for or where the tail is long. Bins that hold fewer than
    `fewest` at both moments are joined with a neighbour; where fewer are known at all, no value is told.

    Examples
    --------
    >>> found = number_bins(np.array([0.0, 1.0, np.nan]), np.array([1.0, 7.0, 9.0]), log=True, fewest=1)
    >>> [(one.label, one.before, one.now) for one in found]
    [('missing', 1, 0), ('0', 1, 0), ('1', 1, 1), ('7', 0, 1), ('9', 0, 1)]
    """
    parts = [part[~np.isnan(part)] for part in (before, now)]
    pooled = np.concatenate(parts)
    gone = Bin(MISSING, len(before) - len(parts[0]), len(now) - len(parts[1]))
    first = (gone,) if gone.before or gone.now else ()
    if not len(pooled):
        return first
    if max(map(len, parts)) < fewest:
        return (*first, Bin(KNOWN, len(parts[0]), len(parts[1])))
    lows, singles = _lower_bounds(pooled, log=log)
    counts = np.stack(
        [np.bincount(np.searchsorted(lows[1:], part, side="right"), minlength=len(lows)) for part in parts]
    )
    starts = _joined(counts, fewest)
    whole = bool((pooled == np.round(pooled)).all())
    ends = [*starts[1:], len(lows)]
    labels = [_label(lows, start, end, whole=whole, singles=singles) for start, end in zip(starts, ends, strict=True)]
    sums = np.add.reduceat(counts, starts, axis=1)
    return (*first, *(Bin(label, int(b), int(n)) for label, b, n in zip(labels, *sums, strict=True)))


def _lower_bounds(pooled: NDArray[np.float64], *, log: bool) -> tuple[NDArray[np.float64], bool]:
    """Return the lower bound of each bin, and whether each bin is one value."""
    values = np.unique(pooled)
    if len(values) <= _MOST_VALUES:
        return values, True
    low, middle, high = np.quantile(pooled, [0.01, 0.5, 0.99])
    whole, positive = bool((values == np.round(values)).all()), values[0] >= 0
    logarithmic = positive and (log or high > _LONG_TAIL * max(middle, 1e-9))
    if whole and logarithmic and high <= 2.0**_NUMBER_BINS:
        doubling = [0.0, 1.0, 2.0, *(2.0**power + 1 for power in range(1, _NUMBER_BINS))]
        return np.array([bound for bound in doubling if bound <= high]), False
    if logarithmic:
        cuts = np.expm1(np.linspace(np.log1p(low), np.log1p(high), _NUMBER_BINS + 1))[1:-1]
    else:
        cuts = np.linspace(low, high, _NUMBER_BINS + 1)[1:-1]
    cuts = np.ceil(cuts) if whole else cuts
    rounded = np.unique([_round(cut, cut if logarithmic else high - low) for cut in cuts])
    return np.array([values[0], *rounded[(rounded > values[0]) & (rounded <= values[-1])]]), False


def _round(value: float, span: float) -> float:
    """Round to a hundredth of the span, so that bounds are short and stay apart."""
    digits = 2 - int(np.ceil(np.log10(span))) if span > 0 else 0
    return float(np.round(value, digits))


def _joined(counts: NDArray[np.int64], fewest: int) -> list[int]:
    """Return where bins start once each that holds too few is joined with the next, the last with the one before.

    A lead may be there at both moments, so that one of them has to have enough.
    """
    starts, held = [0], np.zeros(2, np.int64)
    for position, count in enumerate(counts.T):
        if held.max() >= fewest:
            starts.append(position)
            held = np.zeros(2, np.int64)
        held = held + count
    if held.max() < fewest and len(starts) > 1:
        starts.pop()
    return starts


def _label(lows: NDArray[np.float64], start: int, end: int, *, whole: bool, singles: bool) -> str:
    low, last_bin = short(lows[start]), end == len(lows)
    if singles:
        return low if end - start == 1 else f"{low}–{short(lows[end - 1])}"
    if last_bin:
        return f"{low}+"
    if not start and lows[0]:
        # The least of all values is that of one lead.
        return f"< {short(lows[end])}"
    if whole:
        last = np.ceil(lows[end]) - 1
        return low if last <= lows[start] else f"{low}–{short(last)}"
    return f"{low}–{short(lows[end])}"


def category_bins(
    names: Sequence[str], before: NDArray[np.int64], now: NDArray[np.int64], *, fewest: int
) -> tuple[Bin, ...]:
    """Put categories into bins: missing, the most frequent ones of both moments, all others together.

    Parameters
    ----------
    names
        The categories.
    before, now
        How many leads miss a category, then how many have each.
    fewest
        A category that fewer leads have at both moments is not named: it may be somebody.

    Examples
    --------
    >>> found = category_bins(["fair", "ad", "rare"], np.array([1, 5, 9, 1]), np.array([0, 6, 5, 1]), fewest=5)
    >>> [(one.label, one.before, one.now) for one in found]
    [('missing', 1, 0), ('ad', 9, 5), ('fair', 5, 6), ('other', 1, 1)]
    """
    frequent = [k for k in range(len(names)) if max(before[k + 1], now[k + 1]) >= fewest]
    frequent.sort(key=lambda k: (-(before[k + 1] + now[k + 1]), names[k]))
    shown = frequent[:_MOST_CATEGORIES]
    found = [Bin(names[k], int(before[k + 1]), int(now[k + 1])) for k in shown]
    rest = [int(counts[1:].sum()) - sum(int(counts[k + 1]) for k in shown) for counts in (before, now)]
    ends = (Bin(MISSING, int(before[0]), int(now[0])), Bin(OTHER, *rest))
    return tuple(one for one in (ends[0], *found, ends[1]) if one.before or one.now)
