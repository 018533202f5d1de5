"""What drives wins: how much each group of features moves the log-odds, which of its values raise and which lower.

The contributions are those that single leads are explained by, so that this page and a lead's own never disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.bins import short
from features.spoken import category_words, group_words
from features.words import Words
from training.learning.encoding import MISSING, OTHER, CategoryCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from training.bundles.bundle import Bundle
    from training.learning.encoding import NumberCode

__all__ = ["Band", "Driver", "DriverChange", "Drivers", "driver_changes", "measure_drivers", "strongest"]

# So many leads tell a mean contribution to far more digits than are shown.
_MOST_ROWS = 5_000
_LEAST_SHARE, _LEAST_ROWS = 0.01, 10  # of leads that share a value before it is told
_TELLING = 0.05  # log-odds below which a value neither raises nor lowers
_MOST_TOLD = 2
# A refit on other leads moves every driver a little; only more than this of all is told as a change.
_MOVED, _MOVED_SHARE = 0.01, 0.2
_WHOLE_FROM = 10
_UNKNOWN, _OTHER = Words(en="unknown", zh="未知"), Words(en="others", zh="其他")


@dataclass(frozen=True)
class Band:
    """Leads that share a value or a range of values, and what their group adds to the log-odds on average."""

    words: Words
    rows: int
    effect: float


@dataclass(frozen=True)
class Driver:
    """A group of features: the mean of its absolute contributions in log-odds, and that as a share of all groups.

    `feature` names what speaks loudest in the group; `raises` and `lowers` are its values, the strongest first.
    """

    group: str
    words: Words
    feature: Words
    strength: float
    share: float
    raises: tuple[Band, ...]
    lowers: tuple[Band, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        bands = {
            side: [{"value": band.words.model_dump(), "rows": band.rows, "log_odds": band.effect} for band in found]
            for side, found in (("raises", self.raises), ("lowers", self.lowers))
        }
        told = {"group": self.group, "name": self.words.model_dump(), "feature": self.feature.model_dump()}
        return {**told, "strength": self.strength, "share": self.share, **bands}


@dataclass(frozen=True)
class Drivers:
    """All drivers, the strongest first, on how many leads; `absent` features of the model were not in the data."""

    rows: int
    drivers: tuple[Driver, ...]
    absent: int = 0

    @property
    def total(self) -> float:
        """All groups' strengths together: how far leads are told apart, in log-odds."""
        return sum(driver.strength for driver in self.drivers)

    def share(self, group: str) -> float:
        """Return a group's share of all, 0 for one that the model does not know."""
        return next((driver.share for driver in self.drivers if driver.group == group), 0.0)


@dataclass(frozen=True)
class DriverChange:
    """A driver that counts for more or less than it did, as a share of all drivers.

    Shares and not log-odds: a model that is more careful altogether has the same drivers.
    """

    words: Words
    before: float
    now: float

    @property
    def rose(self) -> bool:
        """Whether it is stronger now."""
        return self.now > self.before

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"name": self.words.model_dump(), "before": self.before, "now": self.now}


def measure_drivers(bundle: Bundle, frame: pd.DataFrame) -> Drivers:
    """Return what moves the leads of a frame, by the bundle's full model.

    Parameters
    ----------
    bundle
        The sealed model.
    frame
        Raw features of the leads, one row each. A feature that the model reads and the frame lacks counts as missing
        everywhere; how many these are is told.

    Returns
    -------
    Drivers
        Groups by mean absolute contribution (log-odds after calibration).
    """
    encoding = bundle.full.model.encoding
    absent = [name for name in encoding.names if name not in frame]
    if not len(frame) or not encoding.codes:
        return Drivers(len(frame), (), len(absent))
    chosen = np.unique(np.linspace(0, len(frame) - 1, min(len(frame), _MOST_ROWS)).astype(int))
    rows = frame.iloc[chosen].reindex(columns=list(encoding.names))
    matrix = encoding.tree_matrix(rows)
    phi, _ = bundle.full.explain(matrix)
    groups = dict.fromkeys(code.group for code in encoding.codes)
    strength = {group: float(np.abs(phi[:, _of(bundle, group)].sum(axis=1)).mean()) for group in groups}
    total = sum(strength.values()) or 1.0
    ranked = sorted(groups, key=lambda group: (-strength[group], group))
    found = tuple(_driver(bundle, group, matrix, phi, strength[group], total) for group in ranked)
    return Drivers(len(frame), found, len(absent))


def driver_changes(now: Drivers, before: Drivers) -> tuple[DriverChange, ...]:
    """Return the drivers whose share rose or fell by a fifth and by a hundredth of all, the largest change first.

    Examples
    --------
    >>> def told(*shares: float) -> Drivers:
    ...     names = [Words(en=name, zh=name) for name in ("price page", "source")]
    ...     return Drivers(9, tuple(Driver(w.en, w, w, s, s, (), ()) for w, s in zip(names, shares, strict=True)))
    >>> [(change.words.en, change.rose) for change in driver_changes(told(0.8, 0.2), told(0.6, 0.4))]
    [('price page', True), ('source', False)]
    >>> driver_changes(told(0.62, 0.38), told(0.6, 0.4))
    ()
    """
    words = {driver.group: driver.words for driver in (*before.drivers, *now.drivers)}
    changes = [DriverChange(words[group], before.share(group), now.share(group)) for group in words]
    moved = [change for change in changes if _moved(change)]
    return tuple(sorted(moved, key=lambda change: (-abs(change.now - change.before), change.words.en)))


def strongest(drivers: Drivers, count: int) -> Sequence[Driver]:
    """Return the drivers worth a line: the strongest, down to a hundredth of all."""
    return [driver for driver in drivers.drivers[:count] if driver.share >= _LEAST_SHARE]


def _moved(change: DriverChange) -> bool:
    apart = abs(change.now - change.before)
    return apart >= _MOVED and apart >= _MOVED_SHARE * max(change.now, change.before)


def _of(bundle: Bundle, group: str) -> list[int]:
    return [place for place, code in enumerate(bundle.full.model.encoding.codes) if code.group == group]


def _driver(
    bundle: Bundle,
    group: str,
    matrix: NDArray[np.float64],
    phi: NDArray[np.float64],
    strength: float,
    total: float,
) -> Driver:
    places = _of(bundle, group)
    loudest = places[int(np.argmax(np.abs(phi[:, places]).mean(axis=0)))]
    code = bundle.full.model.encoding.codes[loudest]
    bands = _bands(code, matrix[:, loudest], phi[:, places].sum(axis=1))
    label = {feature.name: feature.label for feature in bundle.catalogue.features}[code.name]
    raises = sorted((band for band in bands if band.effect >= _TELLING), key=lambda band: -band.effect)
    lowers = sorted((band for band in bands if band.effect <= -_TELLING), key=lambda band: band.effect)
    return Driver(
        group=group,
        words=group_words(bundle.catalogue, group),
        feature=label,
        strength=strength,
        share=strength / total,
        raises=tuple(raises[:_MOST_TOLD]),
        lowers=tuple(lowers[:_MOST_TOLD]),
    )


def _bands(
    code: NumberCode | CategoryCode, values: NDArray[np.float64], effect: NDArray[np.float64]
) -> tuple[Band, ...]:
    """Return the values that enough leads share, each with the mean contribution of its leads."""
    labelled = _categories(code, values) if isinstance(code, CategoryCode) else _ranges(values)
    least = max(_LEAST_ROWS, _LEAST_SHARE * len(values))
    return tuple(
        Band(words, int(mask.sum()), float(effect[mask].mean())) for words, mask in labelled if mask.sum() >= least
    )


def _categories(code: CategoryCode, values: NDArray[np.float64]) -> list[tuple[Words, NDArray[np.bool_]]]:
    names = {MISSING: _UNKNOWN, OTHER: _OTHER}
    names |= {place + OTHER + 1: category_words(code.name, level) for place, level in enumerate(code.levels)}
    return [(names[int(value)], values == value) for value in np.unique(values)]


def _ranges(values: NDArray[np.float64]) -> list[tuple[Words, NDArray[np.bool_]]]:
    """Cut numbers where leads are: missing, none where that is common, and thirds of the others."""
    known = values[~np.isnan(values)]
    if not len(known):
        return [(_UNKNOWN, np.isnan(values))]
    zeros = bool((known == 0).mean() >= 0.2 and known.min() == 0)
    rest = known[known > 0] if zeros else known
    edges = np.unique(np.quantile(rest, [1 / 3, 2 / 3], method="lower")) if len(rest) else np.empty(0)
    parts = [(_UNKNOWN, np.isnan(values))]
    if zeros:
        parts.append((Words(en="none", zh="无"), values == 0))
    above = 0.0 if zeros else -np.inf
    for edge in (*edges.tolist(), np.inf):
        mask = (values > above) & (values <= edge)
        if mask.any():
            parts.append((_range_words(values[mask]), mask))
        above = edge
    return parts


def _range_words(values: NDArray[np.float64]) -> Words:
    low, high = _rounded(float(values.min())), _rounded(float(values.max()))
    return Words(en=low, zh=low) if low == high else Words(en=f"{low} to {high}", zh=f"{low} 至 {high}")


def _rounded(value: float) -> str:
    """Write a bound as a person would: whole from ten on."""
    return short(round(value) if abs(value) >= _WHOLE_FROM else value)
