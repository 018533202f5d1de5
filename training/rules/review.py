"""The rules judged every month like a model: what each gives, what history would give it, and what pools hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data.settings import Plan
from features.scorecard import Scorecard
from training.evaluation.bootstrap import Interval
from training.evaluation.scoreboard import JUDGED_WINS
from training.learning.recipe import Rows
from training.rules.history import Listed, learn_weights, listed, patterns_of
from training.rules.judging import (
    JudgedCards,
    RuleHistory,
    Threshold,
    fitting_threshold,
    judge_cards,
    plain,
    rule_histories,
)
from training.rules.silence import why_silent

__all__ = ["CARD", "PoolReview", "RuleReview", "RulesReview", "Verdict", "review_scorecard"]

Floats = NDArray[np.float64]
Verdict = Literal[
    "never fires",
    "always fires",
    "wrong way",
    "fewer points",
    "more points",
    "no evidence",
    "supported",
]

CARD = "scorecard"
_NORMAL_95 = 1.959964
_RECENT_LISTS = 6


@dataclass(frozen=True)
class RuleReview:
    """A rule, its history, and the points that history supports.

    `weight` are the log-odds that the rule adds beside the others, `supported` the same on the scorecard's own scale;
    both are NaN for a rule that never or always fires. `why` says why it never fires.
    """

    history: RuleHistory
    weight: Interval
    supported: Interval
    verdict: Verdict
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return every figure for JSON."""
        spread = {
            f"{name}{suffix}": plain(getattr(found, key))
            for name, found in (("weight", self.weight), ("supported_points", self.supported))
            for suffix, key in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        return {**self.history.as_dict(), **spread, "verdict": self.verdict, "why": self.why}


@dataclass(frozen=True)
class PoolReview:
    """Leads a month in a pool (mean, fewest, most over the lists) and how they fared."""

    pool: str
    threshold: int | None
    mean: float
    fewest: int
    most: int
    rows: int
    wins: int

    def as_dict(self) -> dict[str, Any]:
        """Return every figure for JSON."""
        return {**vars(self), "win_rate": self.wins / self.rows if self.rows else None}


@dataclass(frozen=True)
class RulesReview:
    """Everything that history says of a scorecard.

    `fitting` is the threshold of the first pool that would fill the team's capacity on the newest lists, `reached` how
    many leads a month reach the first pool there now.
    """

    scorecard: Scorecard
    rules: tuple[RuleReview, ...]
    pools: tuple[PoolReview, ...]
    judged: JudgedCards
    fitting: Threshold
    reached: float
    lists: int

    def findings(self) -> tuple[str, ...]:
        """Say in sentences what a person should look at."""
        found = [_told(rule) for rule in self.rules if rule.verdict not in ("supported", "no evidence")]
        unsure = [rule.history.rule for rule in self.rules if rule.verdict == "no evidence"]
        if unsure:
            found.append(f"history does not tell from nothing: {', '.join(unsure)}")
        return (*found, self._capacity())

    def _capacity(self) -> str:
        first, capacity, fit = self.pools[0], self.judged.capacity, self.fitting
        told = (
            f"pool {first.pool} gets {self.reached:.1f} leads a month on the newest lists, the team can call {capacity}"
        )
        if not fit.fits:
            return f"{told}; no threshold fits: {fit.leads_a_month:.1f} leads share the most points, {fit.threshold}"
        if first.threshold == fit.threshold:
            return f"{told}; no other threshold fits better"
        below = "" if fit.lower is None else f", the next lower, {fit.lower}, {fit.lower_leads_a_month:.1f}"
        return f"{told}; a threshold of {fit.threshold} points would give it {fit.leads_a_month:.1f}{below}"

    def verdict(self) -> str:
        """Say whether the order of the rules is better than chance, if there are wins enough to tell."""
        if self.judged.wins < JUDGED_WINS:
            return f"too few wins to judge the rules: {self.judged.wins} of {JUDGED_WINS}"
        auc = self.judged.figure(CARD, "roc_auc")
        if auc.low > 0.5:
            return "the rules rank leads better than chance"
        return (
            "the rules rank leads worse than chance" if auc.high < 0.5 else "the rules are not told apart from chance"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return every figure for JSON."""
        return {
            "scorecard": self.scorecard.name,
            "lists": self.lists,
            "rows": self.judged.n,
            "wins": self.judged.wins,
            "capacity": self.judged.capacity,
            "verdict": self.verdict(),
            "findings": list(self.findings()),
            "rules": [rule.as_dict() for rule in self.rules],
            "pools": [pool.as_dict() for pool in self.pools],
            "first_pool_leads_a_month": self.reached,
            "fitting_threshold": self.fitting.as_dict(),
            "figures": self.judged.as_rows(),
        }


def _told(rule: RuleReview) -> str:
    name, points = rule.history.rule, rule.history.points
    match rule.verdict:
        case "never fires":
            return f"{name} never fires: {rule.why}"
        case "always fires":
            return f"{name} fires on every lead and tells none apart"
        case "wrong way":
            return f"{name} points the wrong way: {points:+d} points, history supports {rule.supported.value:+.0f}"
        case _:
            return f"{name} gives {points:+d} points, history supports {rule.supported.value:+.0f}"


def review_scorecard(
    scorecard: Scorecard,
    rows: Rows,
    *,
    capacity: int,
    rng: np.random.Generator,
    plan: Plan | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> RulesReview:
    """Judge a scorecard on all matured lists of a team.

    Parameters
    ----------
    scorecard
        The rules. Nothing in them was learnt from these rows, so that all lists may judge them.
    rows
        Matured pairs.
    capacity
        Leads a team can call from one list.
    rng
        The source of the bootstrap's draws.
    plan
        Whether leads are judged on monthly cross-sections (the default) or at one age.
    progress
        Told what is going on.

    Raises
    ------
    DataError
        If no row stands on a list, or the rules read a feature that the rows do not have.
    """
    on_lists = listed(rows, plan or Plan())
    progress("what each rule says")
    reviews = _rules(scorecard, on_lists, rng)
    progress(f"judging {len(on_lists.months)} lists")
    points = scorecard.points(on_lists.rows.frame)
    recent = np.isin(on_lists.lists, on_lists.months[-_RECENT_LISTS:])
    first = scorecard.pools[0].threshold
    reaching = points[recent] >= (-np.inf if first is None else first)
    return RulesReview(
        scorecard=scorecard,
        rules=reviews,
        pools=_pools(scorecard, points, on_lists),
        judged=judge_cards(on_lists, {CARD: scorecard}, capacity=capacity, rng=rng),
        fitting=fitting_threshold(points[recent], on_lists.lists[recent], capacity),
        reached=float(reaching.sum() / len(np.unique(on_lists.lists[recent]))),
        lists=len(on_lists.months),
    )


def _rules(scorecard: Scorecard, on_lists: Listed, rng: np.random.Generator) -> tuple[RuleReview, ...]:
    frame = on_lists.rows.frame
    histories = rule_histories(scorecard, on_lists, rng=rng)
    telling = np.array([0 < history.fired < history.rows for history in histories])
    weights, supported = _supported(scorecard, on_lists, telling)
    found = []
    for rule, history, weight, points in zip(scorecard.rules, histories, weights, supported, strict=True):
        why = "" if history.fired else why_silent(rule.when, scorecard.lists, frame)
        found.append(RuleReview(history, weight, points, _verdict(history, weight, points), why))
    return tuple(found)


def _supported(
    scorecard: Scorecard, on_lists: Listed, telling: NDArray[np.bool_]
) -> tuple[list[Interval], list[Interval]]:
    """Return each rule's log-odds and the points they come to, with 95 % intervals.

    One scale turns log-odds into points: the rules that history can speak of share out as many points as they do now,
    regardless of sign. The points' errors follow from those of the weights by the delta method.
    """
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    weights, supported = [nothing] * len(telling), [nothing] * len(telling)
    if not telling.any():
        return weights, supported
    y_obs = on_lists.rows.y_obs
    patterns = patterns_of(scorecard.fired(on_lists.rows.frame)[:, telling], y_obs, on_lists.lists)
    learnt = learn_weights(patterns)
    covariance = learnt.covariance(patterns, y_obs, on_lists.rows.clusters)
    given = np.array([rule.points for rule in scorecard.rules])[telling]
    size = float(np.abs(learnt.conditions).sum())
    scale = float(np.abs(given).sum()) / size if size else 0.0
    points = scale * learnt.conditions
    slope = scale * (np.eye(points.size) - np.outer(learnt.conditions, np.sign(learnt.conditions)) / (size or 1.0))
    spread = slope @ covariance @ slope.T
    for at, place in enumerate(np.flatnonzero(telling)):
        weights[place] = _around(learnt.conditions[at], covariance[at, at])
        supported[place] = _around(points[at], spread[at, at])
    return weights, supported


def _around(value: float, variance: float) -> Interval:
    width = _NORMAL_95 * float(np.sqrt(max(variance, 0.0)))
    return Interval(float(value), float(value - width), float(value + width))


def _verdict(history: RuleHistory, weight: Interval, supported: Interval) -> Verdict:
    if not history.fired:
        return "never fires"
    if history.fired == history.rows:
        return "always fires"
    turn = 1 if history.points >= 0 else -1
    low, high = sorted((turn * weight.low, turn * weight.high))
    if high < 0:
        return "wrong way"
    if low <= 0:
        return "no evidence"
    least, most = sorted((turn * supported.low, turn * supported.high))
    given = abs(history.points)
    return "fewer points" if most < given else "more points" if least > given else "supported"


def _pools(scorecard: Scorecard, points: Floats, on_lists: Listed) -> tuple[PoolReview, ...]:
    found, above = [], np.inf
    place = np.searchsorted(on_lists.months, on_lists.lists)
    for pool in scorecard.pools:
        threshold = -np.inf if pool.threshold is None else float(pool.threshold)
        inside = (points >= threshold) & (points < above)
        counts = np.bincount(place[inside], minlength=len(on_lists.months))
        wins = int(on_lists.rows.y_obs[inside].sum())
        found.append(
            PoolReview(
                pool.pool,
                pool.threshold,
                float(counts.mean()),
                int(counts.min()),
                int(counts.max()),
                int(counts.sum()),
                wins,
            )
        )
        above = threshold
    return tuple(found)
