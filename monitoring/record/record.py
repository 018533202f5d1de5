"""The record: all promises beside all outcomes that are known, and whether they were broken beyond chance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from data.clock import DAY_US
from features.words import Words
from monitoring.drift.finding import Finding
from monitoring.record.outcomes import Worked, measure_worked, read_outcomes
from monitoring.record.promises import (
    ASSUMPTION,
    Estimate,
    Level,
    Order,
    Promise,
    estimate_unlabelled,
    keep_promise,
    measure_level,
    measure_order,
)
from training.evaluation.metrics import logit

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb
    from numpy.typing import NDArray

    from data.settings import Plan
    from monitoring.drift.finding import Severity
    from monitoring.record.given import Given
    from monitoring.record.outcomes import Outcomes

__all__ = ["Record", "find_broken_promises", "measure_record"]

ALARM = 0.01  # how many quiet periods the record may raise an alarm in
RECENT_DAYS = 200  # of matured scores these are held against the promise: what was long ago was another market
MONTH_SD = 0.3  # by how much whole months stray in log-odds where the bundle does not say
_LEAST_WINS = 10
_LEAST_SHIFT = 0.3
_GRADE_SD = 0.15  # what a grade may be off beside the others, in log-odds, without anything being wrong
_ORDER_LOSS = 0.05  # of ROC-AUC


@dataclass(frozen=True)
class Record:
    """What was said by the model and by the rules, and what is known of it.

    `answered` counts scores by month and source (`model`, `model_profile`, `rules`); `promises` go by month and grade;
    `level` and `order` are of the matured scores of the recent months, `estimate` of the young ones.
    """

    scores: int
    not_counted: int
    left_out: int
    answered: Mapping[str, Mapping[str, int]]
    promises: tuple[Promise, ...]
    level: Level | None
    order: Order | None
    expected_order: float | None
    estimate: Estimate
    worked: Worked
    findings: tuple[Finding, ...] = field(default=())

    @property
    def fallback_share(self) -> float | None:
        """The share of scores that the full model did not give, None without scores."""
        total = Counter[str]()
        for counts in self.answered.values():
            total.update(counts)
        return 1 - total["model"] / total.total() if total else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "scores": self.scores,
            "not_counted": self.not_counted,
            "left_out": self.left_out,
            "answered": {month: dict(counts) for month, counts in self.answered.items()},
            "fallback_share": self.fallback_share,
            "promises": [promise.as_dict() for promise in self.promises],
            "level": None if self.level is None else self.level.as_dict(),
            "order": None if self.order is None else self.order.as_dict(),
            "expected_order": self.expected_order,
            "estimate": self.estimate.as_dict(),
            "assumption": ASSUMPTION.model_dump(),
            "worked": self.worked.as_dict(),
            "findings": [finding.as_dict() for finding in self.findings],
        }


def measure_record(
    connection: duckdb.DuckDBPyConnection,
    given: Given,
    plan: Plan,
    *,
    as_of_us: int,
    capacity: int,
    rng: np.random.Generator,
    month_sd: float | None = None,
) -> Record:
    """Hold what was said against what is known at `as_of`.

    Parameters
    ----------
    connection
        With the warehouse's views.
    given
        The scores, of `read_given`.
    plan
        Goal and horizon of the promises.
    as_of_us
        The moment of knowledge, microseconds UTC.
    capacity
        Leads that a team can call in a month.
    rng
        For the intervals of the ranking.
    month_sd
        By how much whole months stray in log-odds, as the served bundle has measured.
    """
    outcomes = read_outcomes(connection, given, plan, as_of_us=as_of_us)
    scored = outcomes.counted & np.isfinite(given.probability)
    matured = scored & outcomes.mature
    recent = matured & (given.as_of_us >= _recent_from(given, matured))
    level = measure_level(outcomes.won[recent], given.probability[recent], outcomes.cluster[recent])
    order = None if level is None else _order(given, outcomes, recent, capacity, rng)
    expected = estimate_unlabelled(given.probability[recent]).roc_auc
    findings = find_broken_promises(
        given, outcomes, recent, level=level, order=order, expected_order=expected, month_sd=month_sd or MONTH_SD
    )
    return Record(
        scores=len(given),
        not_counted=int((~outcomes.counted).sum()),
        left_out=given.left_out,
        answered=_answered(given),
        promises=_promises(given, outcomes, scored),
        level=level,
        order=order,
        expected_order=expected,
        estimate=estimate_unlabelled(given.probability[scored & ~outcomes.mature]),
        worked=measure_worked(connection, given.hot, as_of_us=as_of_us),
        findings=findings,
    )


def _recent_from(given: Given, matured: NDArray[np.bool_]) -> int:
    return int(given.as_of_us[matured].max()) - RECENT_DAYS * DAY_US if matured.any() else 0


def _answered(given: Given) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for month, source in zip(given.month.tolist(), given.source.tolist(), strict=True):
        found.setdefault(month, Counter())[source] += 1
    return {month: dict(sorted(counts.items())) for month, counts in sorted(found.items())}


def _promises(given: Given, outcomes: Outcomes, scored: NDArray[np.bool_]) -> tuple[Promise, ...]:
    keys = sorted({(m, g) for m, g in zip(given.month[scored].tolist(), given.grade[scored].tolist(), strict=True)})
    found = []
    for month, grade in keys:
        rows = scored & (given.month == month) & (given.grade == grade)
        found.append(keep_promise(month, grade, given.probability[rows], outcomes.won[rows], outcomes.mature[rows]))
    return tuple(found)


def _order(given: Given, outcomes: Outcomes, rows: NDArray[np.bool_], capacity: int, rng: np.random.Generator) -> Order:
    both = rows & np.isfinite(given.points)
    return measure_order(
        outcomes.won[both],
        given.probability[both],
        given.points[both],
        month=given.month[both],
        cluster=outcomes.cluster[both],
        capacity=capacity,
        rng=rng,
    )


def find_broken_promises(
    given: Given,
    outcomes: Outcomes,
    rows: NDArray[np.bool_],
    *,
    level: Level | None,
    order: Order | None,
    expected_order: float | None,
    month_sd: float,
) -> tuple[Finding, ...]:
    """Return what cannot be chance: another level, grades that are off beside it, an order that has lost its worth.

    Whole months stray by themselves, so the level is held against its own error and that of as many months as were
    seen; one that only its own error cannot explain is to be watched. Grades are compared after the level is taken
    out, so that a level alone calls for a recalibration only.

    Parameters
    ----------
    given, outcomes
        The scores and what became of them.
    rows
        The matured ones that count.
    level, order, expected_order
        Of these rows; the last is what the model promised of its own ROC-AUC.
    month_sd
        By how much whole months stray in log-odds.
    """
    if level is None or level.wins < _LEAST_WINS:
        return ()
    found = []
    months = len(set(given.month[rows].tolist()))
    # Labels of lists a month apart share two thirds of their time: three lists are about as good as one and a half.
    spread = (level.standard_error**2 + month_sd**2 / max(months / 2, 1)) ** 0.5
    if abs(level.shift) > max(_LEAST_SHIFT, _normal(ALARM / 3) * spread):
        found.append(_moved_level(level, spread, "act"))
    elif abs(level.shift) > max(_LEAST_SHIFT, _normal(ALARM / 3) * level.standard_error):
        found.append(_moved_level(level, spread, "watch"))
    grades = _grades_off(given, outcomes, rows, level)
    if grades is not None:
        found.append(grades)
    lost = _order_lost(order, expected_order)
    return (*found, *([lost] if lost else []))


def _normal(alpha: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(1 - alpha / 2))


def _moved_level(level: Level, spread: float, severity: Severity) -> Finding:
    figures = {"promised": level.promised, "realised": level.realised, "shift": level.shift, "spread": spread}
    words = Words(
        en=f"{level.realised:.1%} of {level.rows:,} matured scores were won, {level.promised:.1%} were promised"
        + ("" if severity == "act" else "; more than chance, though whole months have strayed as much"),
        zh=f"{level.rows:,} 个已成熟的评分中赢单 {level.realised:.1%}，承诺为 {level.promised:.1%}"
        + ("" if severity == "act" else "；超出偶然，但整月波动曾达到这一幅度"),
    )
    return Finding("base_rate_moved", "record", severity, words, figures)


def _grades_off(given: Given, outcomes: Outcomes, rows: NDArray[np.bool_], level: Level) -> Finding | None:
    """Return the finding that grades are off after the level is taken out (chi-square over the grades)."""
    from scipy.special import chdtri

    shifted = 1 / (1 + np.exp(-(logit(given.probability[rows]) + level.shift)))
    grade, won = given.grade[rows], outcomes.won[rows]
    people = len(set(outcomes.cluster[rows].tolist()))
    design = max(len(won) / max(people, 1), 1.0)  # a lead that stands on several lists says the same several times
    told, names = 0.0, sorted(set(grade.tolist()))
    worst, off = "", 0.0
    for name in names:
        part = grade == name
        variance = float((shifted[part] * (1 - shifted[part])).sum())
        allowed = variance * design + (_GRADE_SD * variance) ** 2
        square = float(won[part].sum() - shifted[part].sum()) ** 2 / max(allowed, 1e-12)
        told += square
        if square > off:
            worst, off = name, square
    if len(names) < 2 or told <= float(chdtri(len(names) - 1, ALARM / 3)):
        return None
    part = grade == worst
    promised = float(given.probability[rows][part].mean())
    figures = {"chi_square": told, "grades": float(len(names)), "realised": float(won[part].mean())}
    words = Words(
        en=f"grade {worst}: {won[part].mean():.1%} were won, {promised:.1%} promised; the grades are not off alike",
        zh=f"等级 {worst}：赢单 {won[part].mean():.1%}，承诺 {promised:.1%}；各等级偏差不一",
    )
    return Finding("promise_broken", f"grade {worst}", "act", words, figures)


def _order_lost(order: Order | None, expected: float | None) -> Finding | None:
    if order is None or order.model is None or expected is None:
        return None
    value, low, high = order.model
    # The interval is of 90 %; three of its half widths make the alarm as rare as the others.
    limit = expected - max(_ORDER_LOSS, _normal(ALARM / 3) / _normal(0.1) * (high - low) / 2)
    if value >= limit:
        return None
    words = Words(
        en=f"ROC-AUC {value:.3f} on matured scores, the probabilities promised {expected:.3f}",
        zh=f"已成熟评分的 ROC-AUC 为 {value:.3f}，按概率应为 {expected:.3f}",
    )
    figures = {"roc_auc": value, "low": low, "high": high, "expected": expected}
    return Finding("ranking_lost", "record", "act", words, figures)
