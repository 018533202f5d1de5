"""Leads in bins, window by window, and how far the last window lies from the others beyond what windows do anyway.

Two samples of n and m leads differ by chance: their population stability index is about `(1/n + 1/m) * chi2(B - 1)`.
Windows differ by more than that, for seasons and campaigns. How much more is measured: each reference window is held
against the other ones, and the mean of its index over the expected one is the over-dispersion `phi`, never below 1. The
samples then count as n/phi and m/phi leads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from features.stability import Drift, measure_drift

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MISSING_BIN", "SHORT_LIVED", "Binned", "Shift", "bin_categories", "bin_numbers", "measure_shift"]

MISSING_BIN = 0
SHORT_LIVED = ("missing", "known")  # the bins of names that come and go
_BINS = 8
_LEVELS = 12
_FRESH = 0.05
_COLLECTING = 3
_OUTLIER = 6.0


@dataclass(frozen=True)
class Binned:
    """Counts (windows, bins) with their labels; bin 0 is missing, of categories the last is all others."""

    counts: NDArray[np.int64]
    labels: tuple[str, ...]

    @property
    def shares(self) -> NDArray[np.float64]:
        """(2, bins): the shares in the reference windows together, and in the last one."""
        both = np.stack([self.counts[:-1].sum(axis=0), self.counts[-1]]).astype(np.float64)
        found: NDArray[np.float64] = both / np.maximum(both.sum(axis=1, keepdims=True), 1.0)
        return found


@dataclass(frozen=True)
class Shift:
    """A drift and the over-dispersion that it was judged with."""

    drift: Drift
    phi: float

    @property
    def beyond(self) -> bool:
        """Whether it is neither chance nor too small to matter."""
        return self.drift.move in {"moved", "far"}


def bin_numbers(values: NDArray[np.float64], window: NDArray[np.int64], windows: int) -> Binned:
    """Cut numbers at the quantiles of the reference windows into at most eight bins of about equal size.

    Examples
    --------
    >>> found = bin_numbers(np.array([1.0, 2.0, np.nan, 1.0]), np.array([0, 0, 1, 1]), 2)
    >>> found.counts.tolist(), found.labels
    ([[0, 1, 1], [1, 1, 0]], ('missing', '< 2', '>= 2'))
    """
    known = values[(window < windows - 1) & ~np.isnan(values)]
    cuts = np.unique(np.quantile(known, np.arange(1, _BINS) / _BINS, method="higher")) if len(known) else np.empty(0)
    cuts = cuts[cuts > known.min()] if len(known) else cuts
    # Where most values are alike the quantiles fall together; what is above them is a bin of its own.
    if len(known) and not len(cuts) and known.max() > known.min():
        cuts = np.array([float(known[known > known.min()].min())])
    code = np.where(np.isnan(values), MISSING_BIN, 1 + np.searchsorted(cuts, values, side="right"))
    labels = ["missing", *(f"< {cut:g}" for cut in cuts[:1]), *(f">= {cut:g}" for cut in cuts)]
    return Binned(_table(code, window, windows, len(cuts) + 2), tuple(labels if len(cuts) else ["missing", "known"]))


def bin_categories(values: NDArray[np.object_], window: NDArray[np.int64], windows: int) -> Binned:
    """Give the twelve most frequent categories of the reference windows a bin each; all others share the last one.

    Names that live for a quarter, as those of campaigns do, are always new and never drift: where the reference windows
    themselves bring more than 5 % of names that none before them had, only missing and known values are told apart.

    Examples
    --------
    >>> found = bin_categories(np.array(["a", None, "b", "a"], object), np.array([0, 0, 1, 1]), 2)
    >>> found.counts.tolist(), found.labels
    ([[1, 1, 0], [0, 1, 1]], ('missing', 'a', 'other'))
    """
    import pandas as pd

    codes, names = pd.factorize(values, sort=True)
    counts = _table(np.asarray(codes, np.int64) + 1, window, windows, len(names) + 1)
    if _short_lived(counts[:-1, 1:]):
        return Binned(np.column_stack([counts[:, 0], counts[:, 1:].sum(axis=1)]), SHORT_LIVED)
    held = counts[:, 1:]
    pooled = held[:-1].sum(axis=0)
    shown = np.sort(np.argsort(-pooled, kind="stable")[:_LEVELS])
    shown = shown[pooled[shown] > 0]
    rest = np.setdiff1d(np.arange(len(names)), shown)
    table = np.column_stack([counts[:, 0], held[:, shown], held[:, rest].sum(axis=1)])
    return Binned(table, ("missing", *(str(names[k]) for k in shown), "other"))


def _short_lived(reference: NDArray[np.int64]) -> bool:
    """Tell whether windows keep bringing names that none before them had; the first three only collect names."""
    if len(reference) <= _COLLECTING:
        return False
    seen = np.cumsum(reference, axis=0) > 0
    fresh = [reference[k][~seen[k - 1]].sum() / max(reference[k].sum(), 1) for k in range(_COLLECTING, len(reference))]
    return float(np.mean(fresh)) > _FRESH


def measure_shift(binned: Binned, *, family: int) -> Shift | None:
    """Hold the last window against the others together, with the noise that windows have by themselves.

    Parameters
    ----------
    binned
        The counts.
    family
        How many checks share the 5 % of false alarms.

    Returns
    -------
    Shift or None
        None where the last window or the reference is empty.

    Examples
    --------
    >>> counts = np.array([[0, 50, 50]] * 6 + [[0, 90, 10]])
    >>> found = measure_shift(Binned(counts, ("missing", "a", "b")), family=20)
    >>> found.phi, found.drift.move
    (1.0, 'far')
    """
    counts = binned.counts
    total = counts[:-1].sum(axis=0)
    n, m = int(total.sum()), int(counts[-1].sum())
    if not n or not m:
        return None
    phi = _dispersion(counts[:-1], total)
    drift = measure_drift(total, counts[-1], sizes=(n / phi, m / phi), family=family)
    return None if drift is None else Shift(drift, phi)


def _dispersion(reference: NDArray[np.int64], total: NDArray[np.int64]) -> float:
    """Return how much more reference windows differ from each other than chance makes samples differ."""
    ratios = [
        drift.psi / drift.expected
        for counts in reference
        if (drift := measure_drift(total - counts, counts)) is not None and drift.expected > 0
    ]
    if len(ratios) < 2:
        return 1.0
    *others, largest = sorted(ratios)
    # One window far beyond all others was a fault and no season: it must not hide the next one.
    mean = float(np.mean(others if largest > _OUTLIER * max(float(np.mean(others)), 1.0) else ratios))
    freedom = len(ratios) * max(int(np.count_nonzero(total)) - 1, 1)
    # One standard error up: of few windows the spread itself is not known well.
    return mean * (1 + (2 / freedom) ** 0.5) if mean > 1 else 1.0


def _table(code: NDArray[np.int64], window: NDArray[np.int64], windows: int, bins: int) -> NDArray[np.int64]:
    return np.bincount(window * bins + code, minlength=windows * bins).reshape(windows, bins)
