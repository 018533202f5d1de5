"""Green, amber, red or not measured, and which way it goes: what a value means beside its threshold and its past."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

from training.evaluation.metrics import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitoring.baselines.definitions import Baseline
    from monitoring.baselines.measures import Measured

__all__ = ["LEVEL", "Light", "Trend", "interval_of", "judge", "trend_of"]

Light = Literal["green", "amber", "red", "not_measured"]
Trend = Literal["better", "worse", "steady"]
LEVEL = 0.90
_Z = 1.644854  # the normal quantile that leaves 5 % on either side
_MOVED = 0.10  # a number without an interval has moved when it left the median of its past by a tenth


@dataclass(frozen=True)
class _Pooled:
    hits: int
    of: int


def interval_of(measured: Measured) -> tuple[float, float] | None:
    """Return Wilson's 90 % interval of a share, None for what has none.

    Examples
    --------
    >>> from monitoring.baselines.measures import Measured
    >>> [round(end, 3) for end in interval_of(Measured.share(9, 10))]
    [0.652, 0.977]
    """
    if measured.of is None or measured.hits is None:
        return None
    return wilson(measured.hits, measured.of, z=_Z)


def judge(baseline: Baseline, measured: Measured) -> Light:
    """Return the light of a value.

    A share is green or red only if its whole interval lies on one side of the threshold. A number without an interval
    is green if it meets the threshold, amber within the tolerance, else red.

    Examples
    --------
    >>> from monitoring.baselines.definitions import load_baselines
    >>> from monitoring.baselines.measures import Measured
    >>> accepted = load_baselines().baseline("accepted")
    >>> [judge(accepted, Measured.share(hits, of)) for hits, of in ((90, 100), (9, 10), (50, 100), (0, 0))]
    ['green', 'amber', 'red', 'not_measured']
    """
    if measured.value is None:
        return "not_measured"
    ends = interval_of(measured)
    if ends is None:
        if baseline.meets(measured.value):
            return "green"
        return "amber" if baseline.nearly(measured.value) else "red"
    met = {baseline.meets(end) for end in ends}
    if met == {True}:
        return "green"
    return "red" if met == {False} else "amber"


def trend_of(baseline: Baseline, history: Sequence[Measured]) -> Trend | None:
    """Return whether the last period is better or worse than those before it, None without a past.

    Shares: the last one against the earlier ones pooled, two-sided test of two proportions at 5 %. Numbers: against the
    median of the earlier ones, moved by more than a tenth.

    Examples
    --------
    >>> from monitoring.baselines.definitions import load_baselines
    >>> from monitoring.baselines.measures import Measured
    >>> accepted = load_baselines().baseline("accepted")
    >>> trend_of(accepted, [Measured.share(70, 100), Measured.share(90, 100)])
    'better'
    >>> trend_of(accepted, [Measured.share(7, 10), Measured.share(9, 10)])
    'steady'
    """
    last = history[-1]
    past = [one for one in history[:-1] if one.value is not None]
    if last.value is None or not past:
        return None
    shares = [one for one in past if one.of is not None and one.hits is not None]
    if last.of is not None and last.hits is not None and len(shares) == len(past):
        moved = _difference(
            _Pooled(last.hits, last.of),
            _Pooled(sum(one.hits or 0 for one in shares), sum(one.of or 0 for one in shares)),
        )
    else:
        middle = median(one.value for one in past if one.value is not None)
        moved = last.value - middle if abs(last.value - middle) > _MOVED * abs(middle) else 0.0
    if not moved:
        return "steady"
    return "better" if (moved > 0) == (baseline.at_least is not None) else "worse"


def _difference(one: _Pooled, other: _Pooled) -> float:
    """Return the difference of two shares, 0 where chance explains it."""
    whole = (one.hits + other.hits) / (one.of + other.of)
    error = (whole * (1 - whole) * (1 / one.of + 1 / other.of)) ** 0.5
    difference = one.hits / one.of - other.hits / other.of
    return difference if error and abs(difference) > 1.959964 * error else 0.0
