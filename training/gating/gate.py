"""May a challenger replace the champion? Arrays in, a verdict with its evidence in words out; nothing read or written.

The checks are about the recipe, refitted forward in time, and about the refit that would ship. A check that could not
be made is neither passed nor failed: it is named in the verdict. How old the champion is plays no part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from data.errors import DataError
from training.evaluation.bootstrap import Interval, Replicates, paired_bootstrap
from training.evaluation.metrics import Floats, log_loss, logit
from training.gating.calibration import LEVEL, ForwardCalibration, forward_calibration, no_worse, sound
from training.gating.segments import SEGMENT_ACCOUNTS, SEGMENT_WINS, judgeable, worse_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Check", "CheckName", "Decision", "JudgedRows", "OpenLeads", "Verdict", "gate"]

Decision = Literal["promote", "keep", "by_hand"]
CheckName = Literal["log loss", "calibration", "wins at capacity", "refit", "segments"]

WINS = 100
# The same people win month after month on overlapping lists; a hundred wins of a handful of accounts prove little.
WON_ACCOUNTS = 40
BY_HAND = 40
MARGIN = 0.01
OPEN_LEADS = 30
# What honest refits show on the simulator, with room beside it (docs/adr/0018-the-gate.md). Two models of little data
# agree less, and no harm is done by letting a person look at them.
RANKS, RANKS_OF_LITTLE = 0.8, 0.6
MEANS = (0.55, 1.8)
SPREADS = (3 / 4, 4 / 3)
_ROUNDING = 1e-6
# A promotion without a person needs these made and passed; the others may not apply.
_REQUIRED: frozenset[CheckName] = frozenset(("log loss", "calibration", "refit"))


@dataclass(frozen=True)
class JudgedRows:
    """The judged rows, each predicted out of time by every method: (n,) arrays.

    `periods` says on which list (month) a row stands, `clusters` what is drawn together (the account). `champion` holds
    what the champion's recipe gives, refitted at the same origins; None where nothing is served yet. `segments` holds
    labels of the rows by name: source, industry, age.
    """

    y_obs: NDArray[Any]
    clusters: NDArray[Any]
    periods: NDArray[Any]
    challenger: Floats
    champion: Floats | None
    scorecard: Floats
    prior: Floats
    segments: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def wins(self) -> int:
        """Rows that won; a lead on several lists counts on each."""
        return int(np.asarray(self.y_obs).sum())

    @property
    def first(self) -> bool:
        """Whether nothing is served yet."""
        return self.champion is None

    def predictions(self) -> dict[str, Floats]:
        """Return the probabilities of the methods that are compared: the prior only where there is no champion."""
        other = {"prior": self.prior} if self.champion is None else {"champion": self.champion}
        return {"challenger": self.challenger, "scorecard": self.scorecard, **other}


@dataclass(frozen=True)
class OpenLeads:
    """Probabilities of today's open leads, (m,) each: of the refit that would ship and of the model judged last.

    `served` are those of the bundle that serves now, where there is one.
    """

    refit: Floats
    judged: Floats
    served: Floats | None = None


@dataclass(frozen=True)
class Check:
    """One question put to the challenger; `passed` is None where it could not be answered, and `evidence` says why."""

    name: CheckName
    passed: bool | None
    evidence: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What the gate says, in one sentence, with the checks behind it."""

    decision: Decision
    checks: tuple[Check, ...]
    sentence: str

    @property
    def not_checked(self) -> tuple[Check, ...]:
        """The checks that could not be made."""
        return tuple(check for check in self.checks if check.passed is None)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; a figure that could not be had is None."""
        checks = [
            {
                "name": check.name,
                "passed": check.passed,
                "evidence": check.evidence,
                "figures": {name: value if math.isfinite(value) else None for name, value in check.figures.items()},
            }
            for check in self.checks
        ]
        return {"decision": self.decision, "sentence": self.sentence, "checks": checks}


def gate(
    rows: JudgedRows,
    open_leads: OpenLeads,
    *,
    capacity: int,
    rng: np.random.Generator,
    same: bool = False,
    replicates: int = 400,
) -> Verdict:
    """Decide whether the challenger is promoted, the champion kept, or a person has to look.

    Parameters
    ----------
    rows
        The judged rows with every method's probabilities.
    open_leads
        What the refit and the judged model say of today's open leads.
    capacity
        Leads a team can call from one list.
    rng
        The source of the bootstrap's draws.
    same
        Whether challenger and champion are one bundle. Equal predictions on the judged rows do not say that: the same
        recipe refitted a month later gives them too, and ships newer data.
    replicates
        Draws of the bootstrap.

    Raises
    ------
    DataError
        If lengths differ, a probability is missing or none, or an outcome is not 0 or 1.

    Examples
    --------
    >>> rng, y_obs = np.random.default_rng(0), np.array([1, 0, 0, 1])
    >>> half, ids = np.full(4, 0.5), np.arange(4)
    >>> rows = JudgedRows(y_obs, ids, np.zeros(4), half, None, half, half)
    >>> verdict = gate(rows, OpenLeads(half, half), capacity=2, rng=rng)
    >>> verdict.decision, [check.passed for check in verdict.checks]
    ('keep', [None, None, None, None, None])
    """
    _refuse_broken(rows, open_leads, capacity)
    if same or _served_already(open_leads):
        return Verdict("keep", (), "Nothing new: the model that would ship is the one that is served.")
    drawn = paired_bootstrap(
        rows.y_obs,
        rows.predictions(),
        clusters=rows.clusters,
        capacity=capacity,
        rng=rng,
        replicates=replicates,
        periods=rows.periods,
    )
    lacking = _lacking(rows)
    checks = (
        _log_loss(rows, drawn, lacking),
        _calibration(rows, drawn, lacking),
        _wins_at_capacity(rows, drawn, lacking, capacity),
        _refit(open_leads, least=RANKS_OF_LITTLE if lacking else RANKS),
        _segments(rows, lacking, rng, replicates),
    )
    return _verdict(rows, checks)


def _refuse_broken(rows: JudgedRows, open_leads: OpenLeads, capacity: int) -> None:
    if capacity < 1:
        raise DataError(f"capacity has to be at least 1, it is {capacity}", hint="how many leads can the team call?")
    n = len(rows.y_obs)
    for name, labels in rows.segments.items():
        if len(labels) != n:
            raise DataError(f"segment {name!r} has {len(labels)} labels for {n} judged rows", hint="one for each row")
    given = {"refit": open_leads.refit, "judged": open_leads.judged}
    given |= {} if open_leads.served is None else {"served": open_leads.served}
    for name, values in given.items():
        known = np.asarray(values, np.float64)
        if known.shape != np.shape(open_leads.refit) or known.ndim != 1:
            raise DataError(f"refit gives {len(open_leads.refit)} open leads a probability, {name} gives {known.shape}")
        if known.size and not (np.isfinite(known).all() and known.min() >= 0 and known.max() <= 1):
            raise DataError(f"{name!r} gives an open lead something that is no probability between 0 and 1")


def _served_already(open_leads: OpenLeads) -> bool:
    enough = open_leads.served is not None and len(open_leads.refit) >= OPEN_LEADS
    # As near as a bundle that was read back has to be to the model that was sealed.
    return enough and bool(np.allclose(open_leads.refit, np.asarray(open_leads.served), rtol=0, atol=1e-9))


def _lacking(rows: JudgedRows) -> str:
    """Return in words what the judged rows lack for a verdict; empty where nothing."""
    wins, others = rows.wins, len(rows.y_obs) - rows.wins
    if min(wins, others) < WINS:
        return f"{wins} judged wins and {others} others, {WINS} of each are needed"
    won = len(set(np.asarray(rows.clusters)[np.asarray(rows.y_obs) == 1].tolist()))
    return f"the {wins} judged wins are of {won} accounts, {WON_ACCOUNTS} are needed" if won < WON_ACCOUNTS else ""


def _log_loss(rows: JudgedRows, drawn: Replicates, lacking: str) -> Check:
    """Ask (a): no worse than the champion but for a trifle; a first model clearly better than prior and rules."""
    loss = {name: drawn.interval(name, "log_loss").value for name in drawn.methods}
    figures = {f"log loss of the {name}": value for name, value in loss.items()}
    if rows.first:
        return _first_log_loss(drawn, lacking, figures)
    prior = log_loss(rows.y_obs, rows.prior)
    apart, allowed = drawn.difference("challenger", "log_loss", to="champion", level=0.90), MARGIN * prior
    figures |= {"log loss of the prior": prior, **_spread("difference to the champion", apart), "allowed": allowed}
    passed = bool(apart.high <= allowed)
    word = "no worse than" if passed else "not shown to be as good as"
    evidence = (
        f"{word} the champion: difference {_span(apart, 4)}, 90 % interval, of which the upper end may be "
        f"{allowed:.4f} at most, {100 * MARGIN:.0f} % of the prior's log loss"
    )
    return Check("log loss", None, lacking, figures) if lacking else Check("log loss", passed, evidence, figures)


def _first_log_loss(drawn: Replicates, lacking: str, figures: dict[str, float]) -> Check:
    apart = {peer: drawn.difference("challenger", "log_loss", to=peer, level=0.95) for peer in ("prior", "scorecard")}
    figures |= {k: v for peer, d in apart.items() for k, v in _spread(f"difference to the {peer}", d).items()}
    behind = [peer for peer, difference in apart.items() if not difference.high < 0]
    told = "; ".join(f"difference to the {peer} {_span(difference, 4)}" for peer, difference in apart.items())
    word = f"not clearly better than the {' and the '.join(behind)}" if behind else "better than prior and rules"
    evidence = f"{word}: {told} (95 % intervals)"
    return Check("log loss", None, lacking, figures) if lacking else Check("log loss", not behind, evidence, figures)


def _calibration(rows: JudgedRows, drawn: Replicates, lacking: str) -> Check:
    """Ask (b): right forward in time, or no further from right than the champion."""
    found = {
        name: forward_calibration(drawn, name, y_obs=rows.y_obs, y_pred=y_pred, periods=rows.periods)
        for name, y_pred in rows.predictions().items()
        if name in ("challenger", "champion")
    }
    mine = found["challenger"]
    figures = {k: v for name, calibration in found.items() for k, v in _calibration_figures(name, calibration).items()}
    if lacking:
        return Check("calibration", None, lacking, figures)
    told = []
    for metric, name, figure in (
        ("calibration_in_the_large", "predicted / observed", mine.ratio),
        ("calibration_slope", "slope", mine.slope),
    ):
        right = sound(figure)
        excused = not right and not rows.first and no_worse(drawn, metric, "challenger", than="champion")
        told.append((right or excused, f"{name} {_span(figure, 2)}{_judged(figure, right=right, excused=excused)}"))
    evidence = f"{'; '.join(words for _, words in told)} ({100 * LEVEL:.0f} % intervals)"
    return Check("calibration", all(passed for passed, _ in told), evidence, figures)


def _judged(figure: Interval, *, right: bool, excused: bool) -> str:
    if right:
        return ", sound"
    if not math.isfinite(figure.value):
        return ": the probabilities do not differ, or part wins and others completely"
    return ", off but no worse than the champion's" if excused else ", off"


def _calibration_figures(whose: str, found: ForwardCalibration) -> dict[str, float]:
    figures = {**_spread(f"{whose}: predicted / observed", found.ratio), **_spread(f"{whose}: slope", found.slope)}
    return figures | {f"{whose}: predicted / observed on the newest list": found.months[-1]}


def _wins_at_capacity(rows: JudgedRows, drawn: Replicates, lacking: str, capacity: int) -> Check:
    """Ask (c): more wins than the rules among the leads that the team can call, list by list.

    Where it is not more, but chance may explain that, catching no fewer than the champion will do: on so noisy a figure
    a sound challenger is often behind, and the champion that would stay is no better.
    """
    caught = {name: drawn.interval(name, "wins_at_capacity").value for name in drawn.methods}
    apart = drawn.difference("challenger", "wins_at_capacity", to="scorecard", level=0.95)
    figures = {f"wins caught by the {name}": value for name, value in caught.items()}
    figures |= _spread("difference to the rules", apart)
    if lacking:
        return Check("wins at capacity", None, lacking, figures)
    longest = int(np.unique(np.asarray(rows.periods), return_counts=True)[1].max())
    if capacity >= longest:
        words = f"the team can call all leads of every list: {capacity} calls, at most {longest} leads"
        return Check("wins at capacity", None, words, figures)
    if "champion" in caught:
        figures |= _spread(
            "difference to the champion", drawn.difference("challenger", "wins_at_capacity", to="champion", level=0.95)
        )
    # The expected wins among equal scores are sums of fractions: equal methods differ in the last bits.
    more = apart.value > _ROUNDING
    excused = not more and apart.high > 0 and caught["challenger"] > caught.get("champion", math.inf) - _ROUNDING
    evidence = (
        f"{caught['challenger']:.1f} wins caught, the rules catch {caught['scorecard']:.1f} with the same calls: "
        f"difference {_span(apart, 1)}, 95 % interval"
    )
    if excused:
        evidence += f"; chance may explain it, and the champion catches {caught['champion']:.1f}"
    return Check("wins at capacity", more or excused, evidence, figures)


def _refit(open_leads: OpenLeads, *, least: float) -> Check:
    """Ask (d): the refit says of today's open leads about what the judged model says."""
    refit, judged = np.asarray(open_leads.refit, np.float64), np.asarray(open_leads.judged, np.float64)
    if len(refit) < OPEN_LEADS:
        return Check(
            "refit", None, f"{len(refit)} open leads, {OPEN_LEADS} are needed to compare with the judged model"
        )
    figures = {"open leads": float(len(refit)), **_agreement(refit, judged)}
    limits = {
        "rank correlation": (least, 1.0),
        "mean refit / mean judged": MEANS,
        "spread of refit / spread of judged": SPREADS,
    }
    off = [
        f"{name} {figures[name]:.2f} (from {low:.2f} to {high:.2f} is expected)"
        for name, (low, high) in limits.items()
        # Rounding may lift a correlation above 1 in the last bit.
        if not low <= figures[name] <= high + 1e-9
    ]
    told = ", ".join(f"{name} {figures[name]:.2f}" for name in limits)
    words = f"disagrees with what was judged: {'; '.join(off)}" if off else f"agrees with what was judged: {told}"
    return Check("refit", not off, f"{words}, on {len(refit)} open leads", figures)


def _agreement(refit: Floats, judged: Floats) -> dict[str, float]:
    """Return rank correlation, ratio of means, and ratio of the standard deviations of the log-odds.

    A refit on damaged labels can keep the order and lose the level or the spread; on damaged columns, the order.
    """
    from scipy.stats import rankdata

    ranks, spreads = (rankdata(refit), rankdata(judged)), (float(logit(refit).std()), float(logit(judged).std()))
    flat = min(spreads) < 1e-9
    return {
        "rank correlation": math.nan if flat else float(np.corrcoef(*ranks)[0, 1]),
        "mean refit / mean judged": float(refit.mean() / judged.mean()) if judged.mean() > 0 else math.nan,
        "spread of refit / spread of judged": math.nan if flat else spreads[0] / spreads[1],
    }


def _segments(rows: JudgedRows, lacking: str, rng: np.random.Generator, replicates: int) -> Check:
    """Ask (e): no part of the leads is clearly worse off than with the champion, all parts looked at together."""
    if rows.champion is None:
        return Check("segments", None, "there is no champion to compare with")
    if lacking:
        return Check("segments", None, lacking)
    masks, small = judgeable(rows.y_obs, rows.clusters, rows.segments)
    if not masks:
        words = f"no segment has {SEGMENT_WINS} wins of {SEGMENT_ACCOUNTS} accounts"
        return Check("segments", None, words, {"segments judged": 0.0, "segments with too few wins": float(small)})
    apart, low = worse_by(
        rows.y_obs,
        rows.challenger,
        rows.champion,
        clusters=rows.clusters,
        masks=tuple(masks.values()),
        rng=rng,
        replicates=replicates,
    )
    margin = MARGIN * log_loss(rows.y_obs, rows.prior)
    figures = {"segments judged": float(len(masks)), "segments with too few wins": float(small), "allowed": margin}
    for name, difference, lower in zip(masks, apart, low, strict=True):
        figures |= {f"{name}: difference to the champion": float(difference), f"{name}: lower end": float(lower)}
    lost = [k for k in range(len(masks)) if low[k] > 0 and apart[k] > margin]
    names = list(masks)
    told = ", ".join(f"{names[k]} (log loss {apart[k]:+.4f}, at least {low[k]:+.4f})" for k in lost)
    few = f"; {small} more have too few wins to be judged" if small else ""
    words = f"clearly worse than the champion: {told}" if lost else f"none of {len(masks)} is clearly worse off"
    return Check("segments", not lost, words + few, figures)


def _verdict(rows: JudgedRows, checks: tuple[Check, ...]) -> Verdict:
    """Weigh the checks: one that failed keeps what is served, one that is required and was not made asks a person."""
    failed = [check for check in checks if check.passed is False]
    open_ones = [check for check in checks if check.passed is None]
    stays = "The rules go on answering" if rows.first else "The champion stays"
    if failed:
        names, worst = _listed([check.name for check in failed]), failed[0]
        first = f"{worst.name}: {worst.evidence}" if len(failed) > 1 else worst.evidence
        return Verdict("keep", checks, f"{stays}: {names} failed ({first}).{_unchecked(open_ones)}")
    if not any(check.name in _REQUIRED for check in open_ones):
        passed = _listed([check.name for check in checks if check.passed])
        whom = "be served as the first model" if rows.first else "replace the champion"
        return Verdict("promote", checks, f"The challenger may {whom}: {passed} passed.{_unchecked(open_ones)}")
    rare = min(rows.wins, len(rows.y_obs) - rows.wins)
    if rare < BY_HAND:
        words = f"below {BY_HAND} wins and {BY_HAND} others no model is promoted"
        return Verdict("keep", checks, f"{stays}: {words}.{_unchecked(open_ones)}")
    words = "Too little is known for a verdict; a person may promote the challenger with a reason."
    return Verdict("by_hand", checks, f"{words}{_unchecked(open_ones)}")


def _unchecked(checks: list[Check]) -> str:
    """Return what was not checked and why, each reason once."""
    by_reason: dict[str, list[str]] = {}
    for check in checks:
        by_reason.setdefault(check.evidence, []).append(check.name)
    told = "; ".join(f"{_listed(names)} ({reason})" for reason, names in by_reason.items())
    return f" Not checked: {told}." if told else ""


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _spread(name: str, figure: Interval) -> dict[str, float]:
    return {name: figure.value, f"{name}, low": figure.low, f"{name}, high": figure.high}


def _span(figure: Interval, digits: int) -> str:
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"
