"""A scorecard learnt from outcomes, for a person to accept: few conditions, round points, judged on later months.

How sure a condition has to be is chosen on forward folds inside the fit rows. The card is then judged beside the
current one on later lists that nothing was chosen on, and exactly that card is suggested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.clock import from_us
from data.errors import DataError
from data.settings import Plan
from features.scorecard import Pool, Scorecard
from training.evaluation.bootstrap import Interval
from training.evaluation.metrics import logistic_line, logit
from training.evaluation.scoreboard import JUDGED_WINS
from training.learning.recipe import Rows, thinned
from training.learning.splits import forward_folds, judge_split
from training.rules.choice import ConditionPool, Learnt, sure_enough
from training.rules.conditions import candidates
from training.rules.history import Listed, listed
from training.rules.judging import (
    RANKING,
    JudgedCards,
    RuleHistory,
    Threshold,
    fitting_threshold,
    judge_cards,
    plain,
    rule_histories,
)

if TYPE_CHECKING:
    from features.catalogue import Catalogue

__all__ = ["CURRENT", "SUGGESTED", "Suggestion", "suggest_scorecard"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Progress = Callable[[str], None]

SUGGESTED, CURRENT = "suggested", "current"
_LEAST_WINS = 20
# Greedy choice reads every candidate on every row; whole accounts are left out above this.
_MOST_ROWS = 40_000
# Half a chi-squared, robust to accounts, that a condition has to reach; the first is the default (chi-squared of 8).
EVIDENCE = (4.0, 6.0, 9.0)
_RECENT_LISTS = 6


@dataclass(frozen=True)
class Suggestion:
    """A scorecard, what it was learnt from and how it did on later lists.

    `learnt` and `held` hold what each rule's history says on the fit rows and on the judged ones; `judged` the figures
    of `suggested`, `current` and `prior` on the judged rows, by month as well. `losses` is the mean log loss on the
    forward folds by the evidence asked of a condition, `evidence` what was asked in the end. `leads_a_month` reach the
    first pool on the judged lists; `fitting` is how its threshold was fitted to the newest ones.
    """

    scorecard: Scorecard
    current: Scorecard
    judged: JudgedCards
    learnt: tuple[RuleHistory, ...]
    held: tuple[RuleHistory, ...]
    losses: Mapping[float, float]
    evidence: float
    fit_rows: int
    fit_wins: int
    judge_from_us: int
    leads_a_month: float
    fitting: Threshold

    @cached_property
    def kept(self) -> tuple[str, ...]:
        """The rules that the current scorecard has as well, by name."""
        ours = {rule.rule for rule in self.scorecard.rules}
        return tuple(rule.rule for rule in self.current.rules if rule.rule in ours)

    @cached_property
    def dropped(self) -> tuple[str, ...]:
        """The rules of the current scorecard that were not chosen, by name."""
        return tuple(rule.rule for rule in self.current.rules if rule.rule not in self.kept)

    def gain(self, metric: str) -> Interval:
        """Return by how much the suggestion is above the current card on the judged rows, with its 95 % interval.

        Paired, and clustered by account.
        """
        return self.judged.behind(CURRENT, metric)

    def verdict(self) -> str:
        """Say in words what the judged lists allow to say; with too few wins, that they allow nothing."""
        wins = self.judged.wins
        if wins < JUDGED_WINS:
            return f"too few wins to judge the suggestion: {wins} of {JUDGED_WINS}"
        value, low, high = self.gain("wins_at_capacity")
        told = f"{value:+.1f} wins at capacity on the judged lists (95 % interval {low:+.1f} to {high:+.1f})"
        if low > 0:
            return f"the suggestion catches more wins than the current scorecard: {told}"
        if high < 0:
            return f"the suggestion catches fewer wins than the current scorecard, keep that one: {told}"
        return f"the suggestion is not told apart from the current scorecard: {told}"

    def as_dict(self) -> dict[str, Any]:
        """Return every figure for JSON."""
        gains = {metric: self.gain(metric) for metric in RANKING}
        return {
            "scorecard": self.scorecard.model_dump(mode="json", by_alias=True, exclude_none=True),
            "kept": list(self.kept),
            "dropped": list(self.dropped),
            "fit": {"rows": self.fit_rows, "wins": self.fit_wins},
            "judged": {
                "rows": self.judged.n,
                "wins": self.judged.wins,
                "from": f"{from_us(self.judge_from_us):%Y-%m-%d}",
            },
            "forward_log_loss": {f"{asked:g}": loss for asked, loss in self.losses.items()},
            "evidence": self.evidence,
            "rules": [
                {"learnt": learnt.as_dict(), "judged": held.as_dict()}
                for learnt, held in zip(self.learnt, self.held, strict=True)
            ],
            "gain": {
                metric: {name: plain(part) for name, part in zip(("value", "low", "high"), found, strict=True)}
                for metric, found in gains.items()
            },
            "first_pool_leads_a_month": self.leads_a_month,
            "fitting_threshold": self.fitting.as_dict(),
            "verdict": self.verdict(),
            "figures": self.judged.as_rows(),
        }


def suggest_scorecard(
    rows: Rows,
    catalogue: Catalogue,
    *,
    capacity: int,
    seed: int,
    current: Scorecard,
    plan: Plan | None = None,
    progress: Progress = lambda _: None,
) -> Suggestion:
    """Learn a scorecard from earlier lists and judge it beside the current one on later lists.

    Parameters
    ----------
    rows
        All matured pairs.
    catalogue
        The features that conditions may read.
    capacity
        Leads a team can call from one list.
    seed
        Of the bootstrap, and of which accounts are left out where there are very many rows.
    current
        The scorecard in use; its conditions are candidates too.
    plan
        Which lists are judged; default: the last matured monthly cross-sections.
    progress
        Told what is going on.

    Returns
    -------
    Suggestion
        Its points are multiples of 5 that add up to about 100, regardless of sign.

    Raises
    ------
    DataError
        If there is too little history, or no condition says anything about winning.

    Notes
    -----
    Greedy forward selection by the score test, each choice followed by a fit of all weights under the catalogue's
    directions; then one scale and rounding, the simplest of the ways to whole points that Ustun and Rudin compare
    (Learning Optimized Risk Scores, JMLR 2019). An L1 path to as many conditions was tried beside it
    (docs/adr/0017-rules-learnt-from-outcomes.md).
    """
    plan = plan or Plan()
    on_lists = listed(rows, plan)
    split = judge_split(on_lists.rows.spine, plan)
    fit, judged = _as_known(on_lists.take(split.fit), split.judge_from_us), on_lists.take(split.judged)
    wins = int(fit.rows.y_obs.sum())
    if wins < _LEAST_WINS:
        raise DataError(
            f"{wins} wins matured before the judged lists begin; points need {_LEAST_WINS}",
            hint="import a longer history, or keep the rules as they are",
        )
    current.fired(fit.rows.frame[:1])  # refuses rules that read what the rows do not have
    known = catalogue.keep(rows.catalogue.names)
    small = listed(thinned(fit.rows, _MOST_ROWS, seed=seed), plan)
    losses, asked = _choose_evidence(small, known, current, plan, progress)
    progress(f"choosing conditions on {len(small.lists):,} rows")
    card, fitting = _card(_learn(small, known, current, asked=asked), current, on_lists, capacity)
    progress("judging on later lists")
    rng = np.random.default_rng(seed)
    return Suggestion(
        scorecard=card,
        current=current,
        judged=judge_cards(judged, {SUGGESTED: card, CURRENT: current}, capacity=capacity, rng=rng),
        learnt=rule_histories(card, fit, rng=rng),
        held=rule_histories(card, judged, rng=rng),
        losses=losses,
        evidence=asked,
        fit_rows=len(fit.lists),
        fit_wins=wins,
        judge_from_us=split.judge_from_us,
        leads_a_month=_reaching(card, judged),
        fitting=fitting,
    )


def _as_known(fit: Listed, at_us: int) -> Listed:
    """Return the rows labelled as a moment knew them: a win that became known only later counts as not won."""
    spine = fit.rows.spine
    if "won_known_us" not in spine:
        return fit
    known = spine["won_known_us"].to_numpy(np.float64, na_value=np.inf) <= at_us
    told = spine.assign(y_obs=(spine["y_obs"].to_numpy(bool) & known).astype(np.int64))
    return replace(fit, rows=replace(fit.rows, spine=told))


def _reaching(card: Scorecard, judged: Listed) -> float:
    """Return how many leads a month reach the first pool on the judged lists."""
    threshold = card.pools[0].threshold
    points = card.points(judged.rows.frame)
    return float((points >= (-np.inf if threshold is None else threshold)).sum() / len(judged.months))


def _choose_evidence(
    fit: Listed, catalogue: Catalogue, current: Scorecard, plan: Plan, progress: Progress
) -> tuple[Mapping[float, float], float]:
    """Return the log loss on forward folds by the evidence asked of a condition, and the evidence to ask for.

    What is chosen is how sure a condition has to be and not how many there are: folds hold a fraction of the wins, and
    the number that they can bear would be too small for all of them. The default is left only for a gain of more than
    one standard error of the paired difference, clustered by account.
    """
    folds = forward_folds(fit.rows.spine, monthly_only=plan.judge_age_days is None)
    parts, clusters = [], []
    for at, fold in enumerate(folds):
        progress(f"evidence to ask for, fold {at + 1} of {len(folds)}")
        learn, held = (listed(fit.rows.take(index), plan) for index in (fold.fit, fold.validate))
        parts.append(_fold_losses(learn, held, catalogue, current))
        clusters.append(held.rows.clusters)
    if not parts:
        return {}, EVIDENCE[0]
    losses = np.concatenate(parts, axis=1)
    _, account = np.unique(np.concatenate(clusters).astype(str), return_inverse=True)
    chosen, gain = EVIDENCE[0], 0.0
    for asked, loss in zip(EVIDENCE[1:], losses[1:], strict=True):
        ahead = losses[0] - loss
        if ahead.mean() > max(_standard_error(ahead, account), gain):
            chosen, gain = asked, float(ahead.mean())
    return dict(zip(EVIDENCE, losses.mean(axis=1).tolist(), strict=True)), chosen


def _standard_error(difference: Floats, account: NDArray[np.int64]) -> float:
    centred = np.bincount(account, difference - difference.mean())
    return float(np.sqrt((centred**2).sum())) / difference.size


def _fold_losses(learn: Listed, held: Listed, catalogue: Catalogue, current: Scorecard) -> Floats:
    """Return each held row's log loss by the evidence asked for, shape (evidence, rows).

    Points only rank, so each card gets its best logistic line through the held rows themselves.
    """
    pool = ConditionPool.of(candidates(learn.rows, catalogue, current), learn)
    path = pool.path()
    return np.stack([_losses(pool.rounded(sure_enough(path, asked)).total(held.rows), held) for asked in EVIDENCE])


def _losses(total: Floats, held: Listed) -> Floats:
    y_obs = held.rows.y_obs
    line = logistic_line(y_obs, total)
    if np.isfinite(line.slope):
        margin = line.intercept + line.slope * total
    else:
        margin = np.full(total.size, logit(np.array([y_obs.mean()]))[0])
    return np.asarray(np.logaddexp(0, margin) - y_obs * margin)


def _learn(fit: Listed, catalogue: Catalogue, current: Scorecard, *, asked: float) -> Learnt:
    pool = ConditionPool.of(candidates(fit.rows, catalogue, current), fit)
    learnt = pool.rounded(sure_enough(pool.path(), asked))
    if not learnt.chosen:
        raise DataError(
            "no condition says anything about winning that chance would not say as well",
            hint="import events or firmographics, or keep the rules as they are",
        )
    return learnt


def _card(learnt: Learnt, current: Scorecard, on_lists: Listed, capacity: int) -> tuple[Scorecard, Threshold]:
    """Return the scorecard with its rules, the most points first, and how its first threshold was fitted to capacity.

    Thresholds read how many points the leads of the newest lists have and none of their outcomes. Pools below the first
    are reached by as many leads as now, or by another capacity's worth each.
    """
    chosen = sorted(zip(learnt.chosen, learnt.points, strict=True), key=lambda pair: -pair[1])
    rules = tuple(candidate.as_rule(points) for candidate, points in chosen)
    lists = {name: values for candidate in learnt.chosen for name, values in candidate.lists.items()}
    name, *bounded, rest = f"{current.name} suggested", *current.pools
    recent = on_lists.take(np.isin(on_lists.lists, on_lists.months[-_RECENT_LISTS:]))
    points = Scorecard(name=name, lists=lists, rules=rules, pools=(rest,)).points(recent.rows.frame)
    before = current.points(recent.rows.frame)
    fitting = fitting_threshold(points, recent.lists, capacity)
    pools = [(bounded[0] if bounded else Pool(pool="first")).model_copy(update=_from(fitting.threshold))]
    for place, pool in enumerate(bounded[1:], start=2):
        now = float((before >= (pool.threshold or 0)).sum() / len(recent.months))
        threshold = fitting_threshold(points, recent.lists, max(now, capacity * place)).threshold
        if threshold < (pools[-1].threshold or 0):
            pools.append(pool.model_copy(update=_from(threshold)))
    return Scorecard(name=name, lists=lists, rules=rules, pools=(*pools, rest)), fitting


def _from(threshold: int) -> Mapping[str, int | None]:
    return {"above": None, "at_least": threshold}
