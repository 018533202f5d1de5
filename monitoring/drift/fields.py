"""Every field of the arrivals: its shift, its missing and unknown values, and the name of what happened to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.definitions import AccountAttribute, Filled, LeadAge, LeadAttribute
from features.words import Words
from monitoring.drift.counting import Binned, bin_categories, bin_numbers, measure_shift
from monitoring.drift.finding import Finding
from monitoring.drift.naming import emptied, find_unit, renamed, unit_changed, values_moved

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from features.definitions import Feature
    from monitoring.drift.counting import Shift
    from monitoring.drift.windows import Cohorts

__all__ = ["FieldShift", "measure_fields", "of_events"]


@dataclass(frozen=True)
class FieldShift:
    """How one feature of the arrivals has moved.

    `missing` and `unknown` are shares of the leads before and in the judged window; unknown are categories that the
    served model has no level for, None of a number or without a model. `psi`, `chance` (what windows do by themselves
    at most) and `move` are None where there was nothing to compare.
    """

    feature: str
    field: str
    missing_before: float
    missing_now: float
    unknown_before: float | None = None
    unknown_now: float | None = None
    psi: float | None = None
    chance: float | None = None
    expected: float | None = None
    phi: float | None = None
    move: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Measured:
    feature: Feature
    binned: Binned
    shift: Shift | None


def of_events(feature: Feature) -> bool:
    """Tell whether a feature is made from what people did, by themselves or in their company."""
    return feature.needs in {"events", "account_events"}


def measure_fields(
    cohorts: Cohorts,
    *,
    family: int,
    levels: Mapping[str, Sequence[str]] | None = None,
    without_events: bool = False,
    without_types: Collection[str] = (),
) -> tuple[tuple[FieldShift, ...], tuple[Finding, ...]]:
    """Hold every feature against its reference and name what has moved.

    Parameters
    ----------
    cohorts
        The arrivals.
    family
        How many groups of checks of this size share the 5 % of false alarms.
    levels
        The categories that the served model knows, by feature.
    without_events
        Leave out what is made from events, as when their log is known to be broken.
    without_types
        Leave out what is made from events of these types, as when they are known to come no longer.

    Returns
    -------
    tuple
        The shifts of all features, and the findings: one a field, one for all that is made from events.
    """
    # Ages are the same in all windows by how they are laid out, and a number of days is no property of a lead.
    wanted = [f for f in cohorts.catalogue.features if not isinstance(f.compute, LeadAge)]
    wanted = [f for f in wanted if not (of_events(f) and (without_events or _reads(f, without_types)))]
    measured = [_measure(cohorts, feature, family=family * len(wanted)) for feature in wanted]
    shifts = tuple(_told(cohorts, one, levels or {}) for one in measured)
    return shifts, _find_moved(cohorts, measured)


def _reads(feature: Feature, types: Collection[str]) -> bool:
    """Tell whether a feature made from events reads any of these types; one that names none reads all."""
    own = getattr(feature.compute, "types", ())
    return bool(types) and (not own or not set(own).isdisjoint(types))


def _measure(cohorts: Cohorts, feature: Feature, *, family: int) -> _Measured:
    column, count = cohorts.table[feature.name], cohorts.windows.count
    if feature.kind == "numeric":
        binned = bin_numbers(_numbers(cohorts, feature), cohorts.window, count)
    else:
        binned = bin_categories(np.array(column.to_pylist(), object), cohorts.window, count)
    return _Measured(feature, binned, measure_shift(binned, family=family))


def _numbers(cohorts: Cohorts, feature: Feature) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    import pyarrow.compute as pc

    column = pc.cast(cohorts.table[feature.name], "float64")
    return np.asarray(pc.fill_null(column, float("nan")).to_numpy(), np.float64)


def _told(cohorts: Cohorts, one: _Measured, levels: Mapping[str, Sequence[str]]) -> FieldShift:
    before, now = one.binned.shares
    unknown = _unknown(cohorts, one.feature, levels.get(one.feature.name))
    told = FieldShift(one.feature.name, _field(one.feature), float(before[0]), float(now[0]), *unknown)
    if one.shift is None:
        return told
    drift = one.shift.drift
    return FieldShift(
        *(told.feature, told.field, told.missing_before, told.missing_now, *unknown),
        psi=drift.psi,
        chance=drift.chance,
        expected=drift.expected,
        phi=one.shift.phi,
        move=drift.move,
    )


def _unknown(cohorts: Cohorts, feature: Feature, levels: Sequence[str] | None) -> tuple[float | None, float | None]:
    if levels is None:
        return None, None
    known = {*levels, None}
    strange = np.array([value not in known for value in cohorts.table[feature.name].to_pylist()])
    last = cohorts.window == cohorts.windows.count - 1
    return tuple(float(strange[part].mean()) if part.any() else 0.0 for part in (~last, last))  # type: ignore[return-value]


def _field(feature: Feature) -> str:
    compute = feature.compute
    if isinstance(compute, LeadAttribute | Filled):
        return f"leads.{compute.column}"
    return f"accounts.{compute.column}" if isinstance(compute, AccountAttribute) else f"events: {feature.name}"


def _find_moved(cohorts: Cohorts, measured: Sequence[_Measured]) -> tuple[Finding, ...]:
    """Return a finding for each field that has moved beyond chance, and one for all that is made from events."""
    moved = [(one, one.shift) for one in measured if one.shift is not None and one.shift.beyond]
    named: dict[str, Finding] = {}
    for one, shift in moved:
        if of_events(one.feature):
            continue
        finding = _name(cohorts, one, shift)
        before = named.get(finding.subject)
        if before is None or before.kind == "values_moved":
            named[finding.subject] = finding
    return (*named.values(), *_name_events([pair for pair in moved if of_events(pair[0].feature)]))


def _name(cohorts: Cohorts, one: _Measured, shift: Shift) -> Finding:
    """Say what has happened to a field, the most particular answer first."""
    field, feature = _field(one.feature), one.feature
    is_flag = isinstance(feature.compute, Filled)
    found = emptied(field, _filled(one.binned) if is_flag else one.binned)
    if found is None and feature.kind == "categorical":
        found = renamed(field, *_category_shares(cohorts, feature))
    elif found is None and not is_flag:
        values, last = _numbers(cohorts, feature), cohorts.window == cohorts.windows.count - 1
        unit = find_unit(values[~last], values[last])
        found = None if unit is None else unit_changed(field, unit)
    return found or values_moved(field, one.binned, shift)


def _category_shares(cohorts: Cohorts, feature: Feature) -> tuple[dict[str, float], dict[str, float]]:
    """Return the share of each category before and in the judged window."""
    from collections import Counter

    values = np.array(cohorts.table[feature.name].to_pylist(), object)
    last = cohorts.window == cohorts.windows.count - 1
    before, now = (Counter(values[part].tolist()) for part in (~last, last))
    return tuple(  # type: ignore[return-value]
        {str(name): count / counts.total() for name, count in counts.items() if name is not None}
        for counts in (before, now)
    )


def _filled(binned: Binned) -> Binned:
    """Return the bins of a field that says only whether something is there, with what is not there as missing."""
    counts = np.column_stack([binned.counts[:, :2].sum(axis=1), binned.counts[:, 2:].sum(axis=1)])
    return Binned(counts, ("missing", "filled"))


def _name_events(moved: Sequence[tuple[_Measured, Shift]]) -> list[Finding]:
    """Return one finding for features that are made from the same events and move together."""
    if not moved:
        return []
    one, shift = max(moved, key=lambda pair: pair[1].drift.psi)
    found = values_moved(_field(one.feature), one.binned, shift)
    if len(moved) == 1:
        return [found]
    more = len(moved) - 1
    words = Words(
        en=f"{found.evidence.en}; {more} more features made from events moved with it",
        zh=f"{found.evidence.zh}；另有 {more} 个由行为计算的特征一同变化",
    )
    return [Finding(found.kind, found.subject, found.severity, words, found.figures)]
