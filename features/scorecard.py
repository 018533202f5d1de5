"""The rule-based score: conditions that a sales team wrote down, the points they give and the pool they lead to.

A scorecard is YAML over the feature catalogue. It answers for one lead in plain Python within microseconds and for a
whole frame at once; both read the same conditions. A missing value makes every condition on it false, under `not` as
well: what is not known speaks neither for nor against a lead. Only `missing` asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError, model_validator

from data.errors import DataError
from features.handover import HandoverTable, default_table

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "DEFAULT_SCORECARD",
    "SENIORITY",
    "Condition",
    "FiredRule",
    "Pool",
    "Rule",
    "RulesResult",
    "Scorecard",
    "load_scorecard",
    "read_scorecard",
]

DEFAULT_SCORECARD = Path(__file__).parent / "scorecards" / "default.yaml"
SENIORITY = ("junior", "staff", "manager", "director", "vp", "c_level")

Value = float | str | None
# True, False, or None where a value is missing (the three-valued logic of SQL).
Test = Callable[[Mapping[str, Value]], bool | None]

_RANK: Mapping[str, float] = {level: float(rank) for rank, level in enumerate(SENIORITY)}
_ORDERED = ("above", "at_least", "below", "at_most")
_MODEL = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Truth(NamedTuple):
    """A condition on every row of a frame: where it surely holds and where it surely does not."""

    yes: NDArray[np.bool_]
    no: NDArray[np.bool_]


class Condition(BaseModel):
    """A question about one feature, or `any`, `all` or `not` of further questions.

    Several comparisons of one feature have to hold together. Texts are compared without regard to case. On the feature
    `seniority` the ordered comparisons take a level and follow junior < staff < manager < director < vp < c_level.
    `in` takes values, or the name of one of the scorecard's lists.
    """

    model_config = _MODEL

    feature: str | None = None
    above: float | str | None = None
    at_least: float | str | None = None
    below: float | str | None = None
    at_most: float | str | None = None
    equals: float | str | None = None
    in_: tuple[float | str, ...] | str | None = Field(None, alias="in")
    missing: StrictBool | None = None
    any_: tuple[Condition, ...] | None = Field(None, alias="any", min_length=1)
    all_: tuple[Condition, ...] | None = Field(None, alias="all", min_length=1)
    not_: Condition | None = Field(None, alias="not")

    @model_validator(mode="before")
    @classmethod
    def _no_bare_yes(cls, raw: object) -> object:
        """Refuse YAML's yes and no where a value is meant: `NO` may be Norway."""
        if isinstance(raw, Mapping):
            values = [raw.get(key) for key in (*_ORDERED, "equals")]
            listed = raw.get("in", ())
            if any(isinstance(v, bool) for v in (*values, *(listed if isinstance(listed, list | tuple) else ()))):
                raise ValueError("a comparison holds true or false; quote the word if a text is meant")
        return raw

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        combined = [part for part in (self.any_, self.all_, self.not_) if part is not None]
        if len(combined) + (self.feature is not None) != 1:
            raise ValueError("a condition needs exactly one of feature, any, all, not")
        if combined and self.compared:
            raise ValueError("comparisons belong to a feature, not to any, all or not")
        if self.feature is not None and not self.compared and self.missing is None:
            raise ValueError("no comparison; write one of above, at_least, below, at_most, equals, in, missing")
        if self.missing is not None and (self.compared or combined):
            raise ValueError("missing stands alone")
        for bound in (self.above, self.at_least, self.below, self.at_most):
            if isinstance(bound, str) and (self.feature != "seniority" or bound not in _RANK):
                raise ValueError(f"an ordered comparison needs a number, or on seniority one of {', '.join(SENIORITY)}")
        return self

    @property
    def compared(self) -> tuple[tuple[str, Any], ...]:
        """The comparisons that were given, by name."""
        given = (*((name, getattr(self, name)) for name in (*_ORDERED, "equals")), ("in", self.in_))
        return tuple((name, bound) for name, bound in given if bound is not None)

    def features(self) -> set[str]:
        """Return the names of all features asked about."""
        inner = (*(self.any_ or ()), *(self.all_ or ()), *((self.not_,) if self.not_ else ()))
        return {self.feature} if self.feature else set().union(*(part.features() for part in inner))


class Rule(BaseModel):
    """Points for leads on which a condition holds; `words` is the rule in people's words, by language."""

    model_config = _MODEL

    rule: str = Field(min_length=1)
    when: Condition
    points: StrictInt
    words: Mapping[str, str] = {}


class Pool(BaseModel):
    """What happens to leads with so many points; the last pool has no threshold and takes the rest."""

    model_config = _MODEL

    pool: str
    above: int | None = None
    at_least: int | None = None
    assign_within_minutes: int | None = Field(None, gt=0)
    to: str | None = None

    @property
    def threshold(self) -> int | None:
        """The fewest points that lead here."""
        return self.above + 1 if self.above is not None else self.at_least


@dataclass(frozen=True, slots=True)
class FiredRule:
    """A rule that held for a lead."""

    rule: str
    points: int
    words: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RulesResult:
    """What the rules say of one lead."""

    points: int
    pool: str
    assign_within_minutes: int | None
    fired: tuple[FiredRule, ...]
    to: str | None = None


class Scorecard(BaseModel):
    """Rules, pools, named lists of values, and what rules and model together imply; frozen, unknown keys refused."""

    model_config = _MODEL

    name: str
    lists: Mapping[str, tuple[float | str, ...]] = {}
    rules: tuple[Rule, ...] = Field(min_length=1)
    pools: tuple[Pool, ...] = Field(min_length=1)
    handover: HandoverTable | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [rule.rule for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError("two rules have the same name")
        if any(pool.above is not None and pool.at_least is not None for pool in self.pools):
            raise ValueError("a pool takes above or at_least, not both")
        *bounded, rest = [pool.threshold for pool in self.pools]
        falling = [threshold for threshold in bounded if threshold is not None]
        if rest is not None or len(falling) < len(bounded) or falling != sorted(set(falling), reverse=True):
            raise ValueError("pools go from the highest threshold down, and the last one has none")
        self.decided.check_pools(pool.pool for pool in self.pools)
        self._tests  # noqa: B018 - a list that is not there shows here and not at the first lead
        return self

    def features(self) -> frozenset[str]:
        """Return the names of all features the rules read."""
        return frozenset().union(*(rule.when.features() for rule in self.rules))

    def with_lists(self, **lists: Sequence[float | str]) -> Scorecard:
        """Return the scorecard with other values in its named lists.

        Raises
        ------
        DataError
            If the scorecard has no list of that name.
        """
        unknown = sorted(set(lists) - set(self.lists))
        if unknown:
            raise DataError(f"scorecard {self.name!r} has no list {', '.join(unknown)}", hint=f"it has {[*self.lists]}")
        replaced = {**self.lists, **{name: tuple(values) for name, values in lists.items()}}
        return Scorecard(name=self.name, lists=replaced, rules=self.rules, pools=self.pools, handover=self.handover)

    @cached_property
    def decided(self) -> HandoverTable:
        """What rules and model together imply: the scorecard's own table, else the one that follows from its pools."""
        return default_table(self.pools) if self.handover is None else self.handover

    @cached_property
    def _tests(self) -> tuple[tuple[Test, FiredRule], ...]:
        return tuple((_test(r.when, self.lists), FiredRule(r.rule, r.points, r.words)) for r in self.rules)

    def evaluate(self, values: Mapping[str, Value]) -> RulesResult:
        """Return points, pool and the rules that fired for one lead.

        Parameters
        ----------
        values
            Feature values by name; None, NaN and an absent name are missing.

        Examples
        --------
        >>> card = load_scorecard()
        >>> hot = card.evaluate({"employees": 800.0, "whitepaper_downloads_30d": 2.0, "seniority": "vp",
        ...                      "industry": "medical devices"})
        >>> hot.points, hot.pool, hot.assign_within_minutes
        (90, 'A', 30)
        >>> card.evaluate({"employees": 500.0}).fired
        ()
        """
        fired = tuple([rule for test, rule in self._tests if test(values)])
        points = sum([rule.points for rule in fired])
        pool = next(pool for threshold, pool in self._steps if points >= threshold)
        return RulesResult(points, pool.pool, pool.assign_within_minutes, fired, pool.to)

    @cached_property
    def _steps(self) -> tuple[tuple[float, Pool], ...]:
        """The pools with the fewest points that lead to them; the last one takes any number."""
        return tuple((-inf if pool.threshold is None else pool.threshold, pool) for pool in self.pools)

    def fired(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """Return for every row of a frame which rules hold, shape (rows, rules).

        Raises
        ------
        DataError
            If the frame lacks a feature that a rule reads.
        """
        import numpy as np

        absent = sorted(self.features() - set(frame.columns))
        if absent:
            raise DataError(f"scorecard {self.name!r} reads {', '.join(absent)}, which the table does not have")
        return np.column_stack([_truth(rule.when, self.lists, frame).yes for rule in self.rules])

    def points(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return the points of every row of a frame; raises as `fired` does."""
        import numpy as np

        return np.asarray(self.fired(frame) @ np.array([rule.points for rule in self.rules], np.float64))


def read_scorecard(
    raw: object,
    *,
    features: Set[str] | None = None,
    source: str = "the scorecard",
    target_industries: Sequence[str] | None = None,
) -> Scorecard:
    """Check a scorecard that was read from YAML or JSON.

    Parameters
    ----------
    raw
        The parsed content.
    features
        The names the catalogue has; without it names are not checked.
    source
        Where it came from, for messages.
    target_industries
        Replaces the list `target`, if the scorecard has one.

    Raises
    ------
    DataError
        If a key is unknown, a condition makes no sense or a feature does not exist; the place is named.
    """
    try:
        card = Scorecard.model_validate(raw)
    except ValidationError as error:
        # A wrong rule makes pydantic count the rules as too few as well, which helps nobody.
        found = [e for e in error.errors() if e["type"] != "too_short"] or error.errors()
        first = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'top'}: {e['msg']}" for e in found[:3])
        raise DataError(
            f"{source} is not right: {first}", hint="compare it with features/scorecards/default.yaml"
        ) from None
    unknown = sorted(card.features() - features) if features is not None else []
    if unknown:
        raise DataError(f"{source} reads {', '.join(unknown)}, which are no features", hint="see `clew features`")
    if target_industries is not None and "target" in card.lists:
        card = card.with_lists(target=target_industries)
    return card


def load_scorecard(
    path: Path | None = None, *, features: Set[str] | None = None, target_industries: Sequence[str] | None = None
) -> Scorecard:
    """Read a scorecard file, or the default template; see `read_scorecard`.

    Raises
    ------
    DataError
        If the file cannot be read, is no YAML, or is no scorecard.
    """
    import yaml

    where = path or DEFAULT_SCORECARD
    try:
        raw = yaml.safe_load(where.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{where} cannot be read as YAML ({type(error).__name__})") from None
    return read_scorecard(raw, features=features, source=str(where), target_industries=target_industries)


def _folded(value: float | str) -> float | str:
    return value.strip().casefold() if isinstance(value, str) else value


def _bound(name: str, bound: Any, lists: Mapping[str, tuple[float | str, ...]]) -> Any:  # noqa: ANN401 - by comparison
    """Return what a comparison compares with: a rank for a seniority, the values of a list, texts without case."""
    if name == "in":
        if isinstance(bound, str) and bound not in lists:
            raise ValueError(f"there is no list {bound!r}; the scorecard's lists are {[*lists]}")
        return frozenset(_folded(value) for value in (lists[bound] if isinstance(bound, str) else bound))
    if name == "equals":
        return _folded(bound)
    return _RANK[bound] if isinstance(bound, str) else bound


_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "above": lambda value, bound: value > bound,
    "at_least": lambda value, bound: value >= bound,
    "below": lambda value, bound: value < bound,
    "at_most": lambda value, bound: value <= bound,
    "equals": lambda value, bound: value == bound,
    "in": lambda value, bound: value in bound,
}


def _single(name: str, bound: Any, feature: str) -> Callable[[float | str], bool | None]:  # noqa: ANN401 - by comparison
    """Return one comparison of one known value; None where a number was needed and a text came."""
    compare = _COMPARE[name]
    if name in ("equals", "in"):
        return lambda value: bool(compare(value.strip().casefold() if isinstance(value, str) else value, bound))
    if feature == "seniority":

        def by_rank(value: float | str) -> bool | None:
            rank = _RANK.get(value.strip().casefold()) if isinstance(value, str) else None
            return None if rank is None else bool(compare(rank, bound))

        return by_rank
    return lambda value: None if isinstance(value, str) else bool(compare(value, bound))


def _test(condition: Condition, lists: Mapping[str, tuple[float | str, ...]]) -> Test:
    """Compile a condition for one lead."""
    if condition.feature is None:
        return _combined_test(condition, lists)
    feature = condition.feature
    if condition.missing is not None:
        wanted = condition.missing
        return lambda values: _is_missing(values.get(feature)) is wanted
    checks = [_single(name, _bound(name, bound, lists), feature) for name, bound in condition.compared]

    def test(values: Mapping[str, Value]) -> bool | None:
        value = values.get(feature)
        if value is None or value != value:  # noqa: PLR0124 - NaN is the one value unequal to itself
            return None
        for check in checks:
            held = check(value)
            if not held:
                return held
        return True

    return test


def _is_missing(value: Value) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN is the one value unequal to itself


def _combined_test(condition: Condition, lists: Mapping[str, tuple[float | str, ...]]) -> Test:
    if condition.not_ is not None:
        inner = _test(condition.not_, lists)

        def negated(values: Mapping[str, Value]) -> bool | None:
            held = inner(values)
            return None if held is None else not held

        return negated
    parts = [_test(part, lists) for part in condition.any_ or condition.all_ or ()]
    deciding = condition.any_ is not None

    def combined(values: Mapping[str, Value]) -> bool | None:
        held = [part(values) for part in parts]
        if deciding in held:
            return deciding
        return None if None in held else not deciding

    return combined


def _truth(condition: Condition, lists: Mapping[str, tuple[float | str, ...]], frame: pd.DataFrame) -> Truth:
    """Answer a condition for every row of a frame."""
    import numpy as np

    if condition.not_ is not None:
        inner = _truth(condition.not_, lists, frame)
        return Truth(inner.no, inner.yes)
    if condition.feature is None:
        parts = [_truth(part, lists, frame) for part in condition.any_ or condition.all_ or ()]
        yes, no = [part.yes for part in parts], [part.no for part in parts]
        if condition.any_ is not None:
            return Truth(np.any(yes, axis=0), np.all(no, axis=0))
        return Truth(np.all(yes, axis=0), np.any(no, axis=0))
    return _column_truth(condition, lists, frame[condition.feature])


def _column_truth(condition: Condition, lists: Mapping[str, tuple[float | str, ...]], column: pd.Series[Any]) -> Truth:
    """Answer each distinct value once with the test for one lead, so that both ways agree by construction."""
    import numpy as np
    import pandas as pd

    test = _test(condition, lists)
    codes, distinct = pd.factorize(column)
    # The last entry answers for a missing value, whose code is -1.
    held = [test({str(condition.feature): value}) for value in (*distinct.tolist(), None)]
    answers = np.array([1 if h is True else 0 if h is False else -1 for h in held], dtype=np.int8)[codes]
    return Truth(answers == 1, answers == 0)
