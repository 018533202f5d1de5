"""Which conditions a person would accept as a rule: round thresholds, sets of categories, present or not, a seniority.

Thresholds and sets are learnt from the fit rows they are given and from nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.definitions import Decayed, Recency, Trend
from features.scorecard import SENIORITY, Condition, Rule, Scorecard, read_scorecard

if TYPE_CHECKING:
    import pandas as pd

    from features.catalogue import Catalogue, Feature
    from training.learning.recipe import Rows

__all__ = ["Candidate", "candidates", "direction_of", "holds", "round_thresholds"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.97)
_LADDER = (1.0, 2.0, 3.0, 5.0, 10.0)
_LEAST_ROWS, _LEAST_SHARE = 30, 0.005
_MOST_LEVELS, _MOST_IN_SET = 12, 5
# A category's win rate is drawn to that of all rows as if it had so many more of them.
_PRIOR_ROWS = 30.0
_SKEWED = 5.0
_MOST_STEPS = 500
_LONGEST_NAME = 70
_EN = {"at_least": "at least", "at_most": "at most", "above": "more than", "below": "less than"}
_ZH = {"at_least": "至少", "at_most": "至多", "above": "大于", "below": "小于"}


@dataclass(frozen=True)
class Candidate:
    """A condition with its name, its words, and `sign`: 1 where its points may not fall below 0, -1 not rise above.

    `current` marks a condition that stands on the scorecard in use, `lists` are that scorecard's named lists.
    """

    rule: str
    when: Condition
    words: Mapping[str, str]
    sign: int
    lists: Mapping[str, tuple[float | str, ...]] = field(default_factory=dict)
    current: bool = False

    def holds(self, frame: pd.DataFrame) -> Bools:
        """Return on which rows the condition holds."""
        return holds(self.when, frame, self.lists)

    def as_rule(self, points: int) -> Rule:
        """Return the rule that gives so many points."""
        return Rule(rule=self.rule, when=self.when, points=points, words=self.words)


def direction_of(condition: Condition, catalogue: Catalogue) -> int | None:
    """Return in which direction a condition may move the points: 1, -1, or 0 for either; None where it mixes both.

    Engagement that can only help, and a higher seniority, never cost a lead points.

    Examples
    --------
    >>> from features.catalogue import build_catalogue
    >>> catalogue = build_catalogue(event_types=["demo_request"])
    >>> direction_of(Condition(feature="demo_requests_30d", at_least=1), catalogue)
    1
    >>> direction_of(Condition(feature="seniority", below="vp"), catalogue)
    -1
    """
    if condition.not_ is not None:
        inner = direction_of(condition.not_, catalogue)
        return None if inner is None else -inner
    if condition.feature is None:
        signs = {direction_of(part, catalogue) for part in condition.any_ or condition.all_ or ()} - {0}
        return 0 if not signs else signs.pop() if len(signs) == 1 else None
    monotone = _monotone(condition.feature, catalogue)
    if condition.missing is not None:
        # A recency is missing for leads that never did it; any other gap speaks for neither side.
        never = isinstance(_compute(condition.feature, catalogue), Recency)
        return monotone * (1 if condition.missing else -1) if never else 0
    sides = {1 if name in ("at_least", "above") else -1 for name, _ in condition.compared if name in _EN}
    if not monotone or not sides:
        return 0
    return monotone * sides.pop() if len(sides) == 1 else None


def _compute(name: str, catalogue: Catalogue) -> object:
    return catalogue.feature(name).compute if name in catalogue.names else None


def _monotone(name: str, catalogue: Catalogue) -> int:
    if name == "seniority":
        return 1
    return catalogue.feature(name).monotone if name in catalogue.names else 0


def holds(
    condition: Condition, frame: pd.DataFrame, lists: Mapping[str, tuple[float | str, ...]] | None = None
) -> Bools:
    """Return on which rows a condition holds, exactly as a scorecard would; one ordered comparison goes a short way.

    Examples
    --------
    >>> import pandas as pd
    >>> holds(Condition(feature="employees", at_least=50), pd.DataFrame({"employees": [49.0, 50.0, np.nan]})).tolist()
    [False, True, False]
    """
    compared = condition.compared
    if condition.feature is not None and len(compared) == 1 and frame[condition.feature].dtype == np.float64:
        column = frame[condition.feature].to_numpy()
        ((name, bound),) = compared
        if name == "at_least":
            return np.asarray(column >= bound)
        if name == "at_most":
            return np.asarray(column <= bound)
    if condition.feature is not None and condition.missing is not None:
        return np.asarray(frame[condition.feature].isna().to_numpy() == condition.missing)
    when = condition.model_dump(by_alias=True, exclude_none=True)
    raw = {"name": "one", "lists": dict(lists or {}), "rules": [{"rule": "r", "when": when, "points": 1}]}
    return np.asarray(read_scorecard({**raw, "pools": [{"pool": "rest"}]}).fired(frame)[:, 0])


def round_thresholds(values: Floats) -> tuple[float, ...]:
    """Return round numbers near the quantiles of what is filled: 1, 2, 3, 5, 10 ... where skewed, else steps.

    Of whole numbers the thresholds are whole, and none has more digits than a person reads at a glance.

    Examples
    --------
    >>> round_thresholds(np.array([0.0, 0, 0, 1, 1, 2, 3, 4, 12]))
    (1.0, 3.0, 10.0)
    >>> round_thresholds(np.arange(1950.0, 2025.0))
    (1955.0, 1970.0, 1985.0, 2005.0, 2015.0, 2020.0)
    """
    known = values[np.isfinite(values)]
    positive = known[known > 0]
    low, high = np.quantile(known, [0.1, 0.9]) if known.size else (0.0, 0.0)
    least = 1.0 if np.array_equal(known, np.floor(known)) else 0.0
    if positive.size and known.min() >= 0 and high > _SKEWED * max(low, 0.0):
        return tuple(sorted({max(_on_ladder(float(q)), least) for q in np.quantile(positive, _SHARES)}))
    if high <= low:
        return ()
    step = max(_on_ladder(max(float(high - low) / 10, float(np.abs(known).max()) / _MOST_STEPS)), least)
    return tuple(sorted({round(round(float(q) / step) * step, 10) for q in np.quantile(known, _SHARES)}))


def _on_ladder(value: float) -> float:
    """Return the nearest (in proportion) of 1, 2, 3, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    nearest = min(_LADDER, key=lambda rung: abs(math.log(rung * power / value)))
    return round(nearest * power, 10)


def candidates(rows: Rows, catalogue: Catalogue, current: Scorecard) -> tuple[Candidate, ...]:
    """Return the conditions to choose from: those of the current scorecard first, then those of the catalogue.

    Parameters
    ----------
    rows
        Fit rows: thresholds and sets of categories are learnt from them.
    catalogue
        The features that may be asked about. Left out are those that a person cannot check by eye (decayed sums,
        trends) and those that move with the score (what sales did).
    current
        The scorecard in use.
    """
    found = []
    for rule in current.rules:
        sign = direction_of(rule.when, catalogue)
        if sign is not None:
            named = {name: current.lists[name] for name in _list_names(rule.when)}
            found.append(Candidate(rule.rule, rule.when, rule.words, sign, named, current=True))
    taken = {candidate.rule for candidate in found}
    for feature in catalogue.features:
        if isinstance(feature.compute, Decayed | Trend) or feature.treatment:
            continue
        for candidate in _of_feature(feature, rows, catalogue):
            if candidate.rule not in taken:
                taken.add(candidate.rule)
                found.append(candidate)
    return tuple(found)


def _list_names(condition: Condition) -> set[str]:
    """Return the named lists that a condition asks."""
    inner = (*(condition.any_ or ()), *(condition.all_ or ()), *((condition.not_,) if condition.not_ else ()))
    own = {condition.in_} if isinstance(condition.in_, str) else set()
    return own.union(*(_list_names(part) for part in inner))


def _of_feature(feature: Feature, rows: Rows, catalogue: Catalogue) -> Iterator[Candidate]:
    column = rows.frame[feature.name]
    if feature.kind == "numeric":
        conditions = _of_numbers(feature, column.to_numpy(np.float64))
    else:
        conditions = _of_levels() if feature.name == "seniority" else _of_words(feature, rows)
    for when in (*conditions, *_of_gaps(feature, column)):
        sign = direction_of(when, catalogue)
        if sign is not None:
            yield Candidate(_name(when), when, _words(when, feature), sign)


def _of_numbers(feature: Feature, values: Floats) -> Iterator[Condition]:
    """Yield thresholds; a feature that only helps when it is large is asked for `at_least`, the reverse `at_most`."""
    for threshold in round_thresholds(values):
        if feature.monotone >= 0 and _enough(values >= threshold):
            yield Condition(feature=feature.name, at_least=threshold)
        if feature.monotone <= 0 and _enough(values <= threshold):
            yield Condition(feature=feature.name, at_most=threshold)


def _enough(fired: Bools) -> bool:
    least = max(_LEAST_ROWS, _LEAST_SHARE * fired.size)
    return bool(least <= fired.sum() <= fired.size - least)


def _of_levels() -> Iterator[Condition]:
    for level in SENIORITY[1:]:
        yield Condition(feature="seniority", at_least=level)


def _of_gaps(feature: Feature, column: pd.Series[Any]) -> Iterator[Condition]:
    if _enough(column.isna().to_numpy()):
        yield Condition(feature=feature.name, missing=False)


def _of_words(feature: Feature, rows: Rows) -> Iterator[Condition]:
    """Yield each frequent category, the sets of those that won most often, and of those that won least often."""
    best = _frequent_words(rows.frame[feature.name], rows)
    for word in best:
        yield Condition(feature=feature.name, equals=word)
    for order in (best, best[::-1]):
        for count in range(2, min(_MOST_IN_SET, len(order) - 1) + 1):
            yield Condition.model_validate({"feature": feature.name, "in": order[:count]})


def _frequent_words(column: pd.Series[Any], rows: Rows) -> list[str]:
    """Return frequent categories that still come, those that won most often first.

    A campaign of last spring will never fire again: leads created in the newest third of the time have to be of a
    category as well.
    """
    import pandas as pd

    folded = column.where(column.notna()).map(lambda word: str(word).strip().casefold(), na_action="ignore")
    created = rows.spine["created_us"].to_numpy()
    first, last = created.min(), rows.spine["as_of_us"].max()
    table = pd.DataFrame({"word": folded, "won": rows.y_obs, "new": created >= first + (last - first) * 2 // 3})
    counts = table.groupby("word").agg(size=("won", "size"), won=("won", "sum"), new=("new", "sum"))
    least = max(_LEAST_ROWS, _LEAST_SHARE * len(column))
    kept = counts[counts["size"].between(least, len(column) - least) & (counts["new"] >= least / 6)]
    kept = kept.sort_values("size", ascending=False, kind="stable").head(_MOST_LEVELS)
    rate = float(rows.y_obs.mean())
    expected = (kept["won"] + _PRIOR_ROWS * rate) / (kept["size"] + _PRIOR_ROWS)
    return [str(word) for word in expected.sort_values(ascending=False, kind="stable").index]


def _name(when: Condition) -> str:
    feature = str(when.feature)
    if when.missing is not None:
        return f"{feature} is {'missing' if when.missing else 'known'}"
    ((name, bound),) = when.compared
    if name == "in":
        return _shortened(f"{feature} in {', '.join(map(str, bound))}")
    sign = {"at_least": ">=", "at_most": "<=", "equals": "="}[name]
    return _shortened(f"{feature} {sign} {_number(bound)}")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"


def _number(value: object) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _words(when: Condition, feature: Feature) -> Mapping[str, str]:
    """Return the rule in words, from the feature's label."""
    en, zh = feature.label.en, feature.label.zh
    if when.missing is not None:
        never = isinstance(feature.compute, Recency)
        if never:
            return {"en": f"{en}: at least once", "zh": f"{zh}：至少一次"}
        return {"en": f"{en} is known", "zh": f"已知{zh}"}
    ((name, bound),) = when.compared
    if name in ("in", "equals"):
        values = list(bound) if name == "in" else [bound]
        told = [str(value).replace("_", " ") for value in values]
        return {"en": f"{en}: {' or '.join(told)}", "zh": f"{zh}：{'、'.join(told)}"}
    return {"en": f"{en}: {_EN[name]} {_number(bound)}", "zh": f"{zh}：{_ZH[name]} {_number(bound)}"}
