"""What the served model says of the arrivals: their scores, the mix of grades, and the mix of main reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from monitoring.drift.counting import SHORT_LIVED, Binned, bin_categories, bin_numbers, measure_shift
from monitoring.drift.finding import Finding
from monitoring.drift.naming import values_moved
from training.learning.encoding import CategoryCode
from training.run import frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from monitoring.drift.counting import Shift
    from monitoring.drift.windows import Cohorts
    from training.bundles.bundle import Bundle

__all__ = ["Mix", "ScoreShift", "find_moved_scores", "known_levels", "measure_scores"]

Mix = Mapping[str, tuple[float, float]]
"""Shares by name: in the reference windows, and in the judged one."""


@dataclass(frozen=True)
class ScoreShift:
    """The index of the log-odds with its limit, and the mixes of grades and of the reason that speaks loudest."""

    psi: float
    chance: float
    move: str
    grades: Mix
    reasons: Mix

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        mixes = {name: {key: list(pair) for key, pair in getattr(self, name).items()} for name in ("grades", "reasons")}
        return {"psi": self.psi, "chance": self.chance, "move": self.move, **mixes}


@dataclass(frozen=True)
class _Parts:
    logit: Binned
    grades: Binned
    reasons: Binned


def known_levels(bundle: Bundle | None) -> dict[str, Sequence[str]]:
    """Return the categories that a bundle's model has levels for, by feature."""
    codes = () if bundle is None else bundle.full.model.encoding.codes
    return {code.name: code.levels for code in codes if isinstance(code, CategoryCode)}


def measure_scores(bundle: Bundle, cohorts: Cohorts, *, family: int) -> tuple[ScoreShift | None, list[Finding]]:
    """Score the arrivals of all windows with the same model and hold the last window against the others.

    Parameters
    ----------
    bundle
        The served model; the cohorts hold the features of its catalogue.
    cohorts
        The arrivals.
    family
        How many groups of checks share the 5 % of false alarms.
    """
    parts = _parts(bundle, cohorts)
    shifts = [measure_shift(part, family=2 * family) for part in (parts.logit, parts.reasons)]
    score = shifts[0]
    if score is None:
        return None, []
    drift = score.drift
    told = ScoreShift(drift.psi, drift.chance, drift.move, _mix(parts.grades), _mix(parts.reasons))
    return told, find_moved_scores(parts.grades, parts.reasons, shifts)


def _parts(bundle: Bundle, cohorts: Cohorts) -> _Parts:
    count = cohorts.windows.count
    matrix = bundle.full.model.encoding.tree_matrix(frames(cohorts.table, bundle.catalogue).frame)
    phi, base = bundle.full.explain(matrix)
    logit = base + phi.sum(axis=1)
    grades = np.array([bundle.grade(p) for p in (1 / (1 + np.exp(-logit))).tolist()], object)
    return _Parts(
        bin_numbers(logit, cohorts.window, count),
        bin_categories(grades, cohorts.window, count),
        bin_categories(_loudest(bundle, cohorts, phi), cohorts.window, count),
    )


def _loudest(bundle: Bundle, cohorts: Cohorts, phi: NDArray[np.float64]) -> NDArray[np.object_]:
    """Return the group that moves each lead's log-odds most.

    Names that live for a quarter are left out: a model knows those of its past and never those of the day, so that
    their part would seem to shrink with every model.
    """
    codes = bundle.full.model.encoding.codes
    lasting = [
        k for k, code in enumerate(codes) if not (isinstance(code, CategoryCode) and _passes(cohorts, code.name))
    ]
    names, place = np.unique([codes[k].group for k in lasting], return_inverse=True)
    summed = np.zeros((len(phi), len(names)))
    np.add.at(summed.T, place, phi[:, lasting].T)
    return np.asarray(names[np.argmax(np.abs(summed), axis=1)], object)


def _passes(cohorts: Cohorts, feature: str) -> bool:
    """Tell whether the categories of a feature come and go."""
    values = np.array(cohorts.table[feature].to_pylist(), object)
    return bin_categories(values, cohorts.window, cohorts.windows.count).labels == SHORT_LIVED


def _mix(binned: Binned) -> Mix:
    before, now = binned.shares
    shown = zip(binned.labels, before.tolist(), now.tolist(), strict=True)
    return {label: (was, is_now) for label, was, is_now in shown if was or is_now}


def find_moved_scores(grades: Binned, reasons: Binned, shifts: Sequence[Shift | None]) -> list[Finding]:
    """Return the findings that scores or main reasons have moved, told by grades and by groups of features."""
    found = []
    for kind, subject, binned, shift in (
        ("score_moved", "scores", grades, shifts[0]),
        ("reasons_moved", "reasons", reasons, shifts[1]),
    ):
        if shift is not None and shift.beyond:
            told = values_moved(subject, binned, shift)
            found.append(Finding(kind, subject, "watch", told.evidence, told.figures))  # type: ignore[arg-type]
    return found
