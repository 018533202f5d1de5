"""What a shift of one field is: gone empty, renamed, in another unit, or simply other values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.words import Words
from monitoring.drift.counting import MISSING_BIN
from monitoring.drift.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from monitoring.drift.counting import Binned, Shift

__all__ = ["Unit", "emptied", "find_unit", "renamed", "unit_changed", "values_moved"]

_LEAST_JUMP = 0.25  # of the share of missing values
_LEAST_SHARE = 0.04  # below, a name that comes or goes is nothing unusual
_GONE = 0.2  # what is left of a category that was renamed
_LIKE = 2.5  # how far the shares of the old and the new name may lie apart
_GRID = 60
_LEAST_PART = 0.3  # of the window in another unit
_WHOLE = 0.85
_LEAST_FACTOR = 4.0
_LEAST_MIXED = 10.0  # below, a mixture of two units cannot be told from numbers that have grown
_UNITS = (1000.0, 100.0, 10.0, 12.0, 60.0, 3600.0, 1_000_000.0, 7.0)


def emptied(field: str, binned: Binned) -> Finding | None:
    """Return the finding that a field has gone empty, None where its missing values explain less than half the shift.

    Examples
    --------
    >>> from monitoring.drift.counting import Binned
    >>> found = emptied("leads.country", Binned(np.array([[5, 95], [95, 5]]), ("missing", "known")))
    >>> found.kind, found.evidence.en
    ('field_emptied', '95 % have no value, 5 % before')
    """
    before, now = binned.shares
    jump = now[MISSING_BIN] - before[MISSING_BIN]
    fallen = np.maximum(before - now, 0).sum()
    if jump < _LEAST_JUMP or jump < 0.5 * fallen:
        return None
    told = (f"{now[0]:.0%}".replace("%", " %"), f"{before[0]:.0%}".replace("%", " %"))
    words = Words(en=f"{told[0]} have no value, {told[1]} before", zh=f"{told[0]} 为空，此前为 {told[1]}")
    return Finding("field_emptied", field, "act", words, {"missing_now": float(now[0]), "missing_before": before[0]})


def renamed(field: str, before: Mapping[str, float], now: Mapping[str, float]) -> Finding | None:
    """Return the finding that a category has another name: one has gone, and a new one has about its share.

    Parameters
    ----------
    field
        Which field.
    before, now
        The share of each category among all leads.

    Examples
    --------
    >>> found = renamed("leads.source", {"ads": 0.6, "fair": 0.4}, {"ads": 0.62, "trade fair": 0.38})
    >>> found.evidence.en
    "'fair' had 40 % and has 0 %, 'trade fair' is new with 38 %"
    """
    gone = [name for name, share in before.items() if share >= _LEAST_SHARE and now.get(name, 0) <= _GONE * share]
    new = [name for name, share in now.items() if share >= _LEAST_SHARE / 2 and before.get(name, 0) <= 0.05 * share]
    pairs = [(abs(np.log(now[fresh] / before[old])), old, fresh) for old in gone for fresh in new]
    pairs = [pair for pair in pairs if pair[0] <= np.log(_LIKE)]
    if not pairs:
        return None
    _, old, fresh = min(pairs)
    figures = {"share_before": before[old], "share_now": now[fresh]}
    had, has, share = (f"{100 * value:.0f} %" for value in (before[old], now.get(old, 0.0), now[fresh]))
    words = Words(
        en=f"{old!r} had {had} and has {has}, {fresh!r} is new with {share}",
        zh=f"“{old}”由 {had} 降至 {has}，新出现的“{fresh}”占 {share}",
    )
    return Finding("category_renamed", field, "act", words, figures)


@dataclass(frozen=True)
class Unit:
    """A factor by which numbers were multiplied, in which part of the window, and what it leaves unexplained.

    `distance` is the largest difference of the two distribution functions, `left` what remains of it.
    """

    factor: float
    part: float
    distance: float
    left: float


def find_unit(before: NDArray[np.float64], now: NDArray[np.float64]) -> Unit | None:
    """Return the factor that turns one sample of positive numbers into the other, None where none does.

    The window may hold both units: its distribution function is fitted as `(1 - s) F(x) + s F(x / factor)`, for which
    the least squares of s are known. The factor is one of the usual units or the ratio of the medians.

    Examples
    --------
    >>> sizes = np.exp(np.linspace(3, 8, 200))
    >>> found = find_unit(sizes, sizes / 1000)
    >>> found.factor, round(found.part, 2)
    (0.001, 1.0)
    >>> find_unit(sizes, sizes * 1.5) is None
    True
    """
    before, now = (np.log(part[part > 0]) for part in (before, now))
    if min(len(before), len(now)) < 2 * _LEAST_FACTOR:
        return None
    ratio = float(np.exp(np.median(now) - np.median(before)))
    factors = [f for unit in _UNITS for f in (unit, 1 / unit)]
    factors += [ratio] if max(ratio, 1 / ratio) >= _LEAST_FACTOR else []
    grid = np.quantile(np.concatenate([before, now]), np.linspace(0, 1, _GRID))
    there, here = _share_below(before, grid), _share_below(now, grid)
    distance = float(np.abs(here - there).max())
    left, factor, part = min(_fit(before, there, here, grid, factor) for factor in factors)
    # Chance alone leaves about so much between samples of these sizes.
    allowed = max(0.35 * distance, 1.5 * (1 / len(before) + 1 / len(now)) ** 0.5)
    if part < _LEAST_PART or left > allowed or distance < 2 * left:
        return None
    # Customers who have grown look like half of them in another unit; where growth explains as much, it is growth.
    grown = _fit(before, there, here, grid, float(np.clip(ratio, 1 / _LEAST_FACTOR, _LEAST_FACTOR)))
    is_whole = part >= _WHOLE
    if (not is_whole and max(factor, 1 / factor) < _LEAST_MIXED) or grown[0] <= (left if is_whole else 1.5 * left):
        return None
    return Unit(factor, part, distance, left)


def _share_below(values: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.searchsorted(np.sort(values), grid, side="right") / len(values)


def _fit(
    before: NDArray[np.float64],
    there: NDArray[np.float64],
    here: NDArray[np.float64],
    grid: NDArray[np.float64],
    factor: float,
) -> tuple[float, float, float]:
    """Return what the factor leaves unexplained, the factor, and the part of the window that has it."""
    change = _share_below(before + np.log(factor), grid) - there
    size = float(change @ change)
    part = float(np.clip(change @ (here - there) / size, 0, 1)) if size > 0 else 0.0
    return float(np.abs(here - there - part * change).max()), factor, part


def unit_changed(field: str, unit: Unit) -> Finding:
    """Return the finding that numbers are in another unit."""
    times = f"{unit.factor:,.0f} times" if unit.factor >= 1 else f"1/{1 / unit.factor:,.0f} of"
    zh = f"{unit.factor:,.0f} 倍" if unit.factor >= 1 else f"1/{1 / unit.factor:,.0f}"
    share = f"{100 * unit.part:.0f} %"
    words = Words(
        en=f"about {share} of the values are {times} what they were; with that factor the distribution is the old one",
        zh=f"约 {share} 的取值是此前的 {zh}；按此倍数换算后分布与此前一致",
    )
    figures = {"factor": unit.factor, "part": unit.part, "distance": unit.distance, "left": unit.left}
    return Finding("unit_changed", field, "act", words, figures)


def values_moved(field: str, binned: Binned, shift: Shift) -> Finding:
    """Return the finding that a field has other values than before, with the bin that grew and the one that shrank.

    Examples
    --------
    >>> from monitoring.drift.counting import Binned, measure_shift
    >>> binned = Binned(np.array([[0, 50, 50]] * 6 + [[0, 90, 10]]), ("missing", "a", "b"))
    >>> values_moved("leads.source", binned, measure_shift(binned, family=20)).severity
    'act'
    """
    drift = shift.drift
    before, now = binned.shares
    up, down = int(np.argmax(now - before)), int(np.argmin(now - before))
    told = [f"{binned.labels[k]}: {100 * before[k]:.0f} % -> {100 * now[k]:.0f} %" for k in (up, down)]
    words = Words(
        en=f"PSI {drift.psi:.2f}, chance and season make at most {drift.chance:.2f}; {'; '.join(told)}",
        zh=f"PSI 为 {drift.psi:.2f}，偶然与季节因素至多 {drift.chance:.2f}；{'；'.join(told)}",
    )
    figures = {"psi": drift.psi, "chance": drift.chance, "expected": drift.expected, "phi": shift.phi}
    return Finding("values_moved", field, "act" if drift.move == "far" else "watch", words, figures)
