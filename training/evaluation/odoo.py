"""Odoo's predictive lead scoring, re-implemented as a peer: naive Bayes over counts of won and lost leads.

Written from a description of the method (Odoo's crm addon), not from its code. For a lead with known values v of
fields f, S_won = P(won) * product of won(v) / D_won(f), S_lost likewise, and its number 100 S_won / (S_won + S_lost).
Weaknesses that belong to the method are kept (closed leads only, independence, stage as a progress meter); its cache
that carries one team's prior to another is a defect and is not.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from data.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from training.evaluation.metrics import Floats

__all__ = ["OdooLead", "OdooReason", "OdooScorer", "OdooStage", "leads_of"]

STAGE, TAG = "stage", "tag"
SMOOTHING = 0.1
# A tag seen on fewer closed leads of a team (smoothing counted) is not used.
TAG_MINIMUM = 50
LOWEST, HIGHEST = 0.01, 99.99
SHOWN = 3
_GOOD, _BAD = "correct", "incorrect"


@dataclass(frozen=True)
class OdooStage:
    """A stage of the pipeline; `team` is set for a stage that only one team has."""

    name: str
    sequence: int
    team: str | None = None
    won: bool = False


@dataclass(frozen=True)
class OdooLead:
    """A lead as Odoo sees it: categorical values by field, None or empty where not given."""

    fields: Mapping[str, str | None] = field(default_factory=dict)
    stage: str | None = None
    team: str | None = None
    tags: tuple[str, ...] = ()
    won: bool | None = None


@dataclass(frozen=True)
class OdooReason:
    """A field that speaks for (`top`) or against (`low`) a lead, with r = p_won / (p_won + p_lost)."""

    side: Literal["top", "low"]
    field: str
    value: str
    ratio: float


class _Factor(NamedTuple):
    """What one known value multiplies: P(value | won) and P(value | lost)."""

    field: str
    value: str
    won: float
    lost: float


@dataclass(frozen=True)
class _Scope:
    """The counts that apply to a lead: its team's, or those of all teams together."""

    counts: Mapping[tuple[str, str], tuple[float, float]]
    totals: Mapping[str, tuple[float, float]]
    first: tuple[float, float]

    @property
    def computable(self) -> bool:
        return self.first[0] > 0 and self.first[1] > 0

    def prior(self) -> tuple[float, float]:
        total = sum(self.first)
        return self.first[0] / total, self.first[1] / total

    def factor(self, name: str, value: str) -> _Factor | None:
        """Return the factors of a value, or None where they are 1: a value that was never seen."""
        seen = self.counts.get((name, value))
        below = self.first if name == STAGE else self.totals.get(name, (0.0, 0.0))
        if seen is None or below[0] <= 0 or below[1] <= 0:
            return None
        return _Factor(name, value, seen[0] / below[0], seen[1] / below[1])


@dataclass
class OdooScorer:
    """The frequency table and the score from it.

    Parameters
    ----------
    fields
        The categorical fields used beside stage and tags.
    stages
        The pipeline. Without stages there is one that every lead has reached.
    with_stage
        False scores every lead as if it stood in the first stage, so that progress gives no hint (the prior stays).
    empty_is_value
        Fields for which "not given" is a value of its own.

    Examples
    --------
    One lead of two with a source was won; Odoo's smoothing of 0.1 makes that 1.1 of 1.2.

    >>> scorer = OdooScorer(fields=("source",))
    >>> closed = [OdooLead({"source": "fair"}, won=True), OdooLead({"source": "web"}, won=False)]
    >>> scorer.fit(closed).score(OdooLead({"source": "fair"}))
    91.67
    >>> scorer.score(OdooLead({"source": "never seen"}))
    50.0
    """

    fields: tuple[str, ...]
    stages: tuple[OdooStage, ...] = (OdooStage("new", 0),)
    with_stage: bool = False
    empty_is_value: frozenset[str] = frozenset({"phone_state", "email_state"})
    _table: dict[tuple[str, str, str], list[float]] = field(default_factory=dict, repr=False)
    _scopes: dict[str | None, _Scope] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        shared = [stage for stage in self.stages if stage.team is None]
        if not shared:
            raise UsageError("Odoo's method needs a stage that all teams share")
        self._first = min(shared, key=lambda stage: stage.sequence)
        self._by_name = {stage.name: stage for stage in self.stages}

    def fit(self, leads: Iterable[OdooLead]) -> OdooScorer:
        """Count closed leads afresh and return the scorer itself.

        Raises
        ------
        DataError
            If a lead is still open, or stands in a stage that is not in the pipeline.
        """
        self._table.clear()
        for lead in leads:
            self._count(lead, 1.0)
        self._scopes.clear()
        return self

    def fit_frame(self, frame: pd.DataFrame, won: NDArray[Any]) -> OdooScorer:
        """Count the rows of a frame afresh, as `fit(leads_of(frame, fields, won=won))` does one by one.

        For closed leads of one team that stand in no stage and have no tags.

        Raises
        ------
        DataError
            If the frame lacks a field.
        """
        import pandas as pd

        _has_fields(frame, self.fields)
        self._table.clear()
        self._scopes.clear()
        outcome = np.asarray(won, np.float64)
        wins, losses = float(outcome.sum()), float((1 - outcome).sum())
        for stage in self.stages:
            lost = losses if stage == self._first else 0.0
            self._table["", STAGE, stage.name] = [SMOOTHING + wins, SMOOTHING + lost]
        for name in self.fields:
            texts = pd.Series(_texts(frame[name]), dtype=object)
            codes, values = pd.factorize(texts.fillna("") if name in self.empty_is_value else texts)
            known = codes >= 0
            total = np.bincount(codes[known], minlength=len(values))
            of_won = np.bincount(codes[known], weights=outcome[known], minlength=len(values))
            for value, seen, caught in zip(values.tolist(), total.tolist(), of_won.tolist(), strict=True):
                self._table["", name, value] = [SMOOTHING + caught, SMOOTHING + seen - caught]
        return self

    def update(self, lead: OdooLead, *, closed: bool = True) -> None:
        """Count one more closed lead, or take back one that was reopened."""
        self._count(lead, 1.0 if closed else -1.0)
        self._scopes.clear()

    def _count(self, lead: OdooLead, step: float) -> None:
        if lead.won is None:
            raise DataError("an open lead came where closed leads are counted", hint="count won and lost leads only")
        side = 0 if lead.won else 1
        team = lead.team or ""
        reached = [(STAGE, stage.name) for stage in self._reached(lead)]
        for name, value in (*reached, *self._known(lead)):
            row = self._table.setdefault((team, name, value), [SMOOTHING, SMOOTHING])
            row[side] += step
            if row[side] <= 0:
                row[side] = SMOOTHING

    def _reached(self, lead: OdooLead) -> Sequence[OdooStage]:
        """Return the stages a closed lead counts for: all when won, else those up to where it was lost."""
        if lead.won:
            return self.stages
        if lead.stage is None:
            return [self._first] if not self.with_stage else []
        last = self._stage(lead.stage).sequence
        return [stage for stage in self.stages if stage.sequence <= last]

    def _stage(self, name: str) -> OdooStage:
        if name not in self._by_name:
            raise DataError(f"stage {name!r} is not in the pipeline", hint=f"it has {', '.join(self._by_name)}")
        return self._by_name[name]

    def _known(self, lead: OdooLead) -> Iterator[tuple[str, str]]:
        for name in self.fields:
            value = lead.fields.get(name)
            if value is not None and value != "":
                yield name, str(value)
            elif name in self.empty_is_value:
                yield name, ""
        for tag in lead.tags:
            yield TAG, tag

    def _scope(self, team: str | None) -> _Scope:
        """Return the counts for a team; one without rows of its own is scored on all teams together."""
        if not self._scopes:
            self._scopes = {name: self._sum(name) for name in (None, *{team for team, _, _ in self._table if team})}
        return self._scopes.get(team, self._scopes[None])

    def _sum(self, team: str | None) -> _Scope:
        counts: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for (owner, name, value), row in self._table.items():
            rare = name == TAG and sum(row) < TAG_MINIMUM
            if (team is None or owner == team) and not rare:
                counts[name, value][0] += row[0]
                counts[name, value][1] += row[1]
        totals: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for (name, _), (won, lost) in counts.items():
            totals[name][0] += won
            totals[name][1] += lost
        first = counts.get((STAGE, self._first.name), [0.0, 0.0])
        return _Scope(
            {key: (won, lost) for key, (won, lost) in counts.items()},
            {name: (won, lost) for name, (won, lost) in totals.items()},
            (first[0], first[1]),
        )

    def _factors(self, lead: OdooLead, scope: _Scope) -> list[_Factor]:
        stage = [(STAGE, lead.stage)] if self.with_stage and lead.stage is not None else []
        found = [scope.factor(name, value) for name, value in (*stage, *self._known(lead))]
        return [factor for factor in found if factor is not None]

    def score(self, lead: OdooLead) -> float | None:
        """Return Odoo's number, 0.01 to 99.99 (0 without a stage, 100 in a won one); None before there are counts."""
        if self.with_stage:
            if lead.stage is None:
                return 0.0
            if self._stage(lead.stage).won:
                return 100.0
        scope = self._scope(lead.team)
        if not scope.computable:
            return None
        won, lost = (log(p) for p in scope.prior())
        for factor in self._factors(lead, scope):
            won += log(factor.won)
            lost += log(factor.lost)
        return float(_number(np.array([won]), np.array([lost]))[0])

    def reasons(self, lead: OdooLead) -> tuple[OdooReason, ...]:
        """Return up to three fields that speak most for the lead and up to three that speak most against it.

        Stage has the ratio 1 - P(stage | lost). A bad e-mail or phone that would count in favour, and a good one that
        would count against, is not shown.
        """
        shown = []
        for name, value, won, lost in self._factors(lead, self._scope(lead.team)):
            ratio = 1 - lost if name == STAGE else won / (won + lost)
            absurd = name in self.empty_is_value and (
                (ratio > 0.5 and value in (_BAD, "")) or (ratio < 0.5 and value == _GOOD)
            )
            if ratio != 0.5 and not absurd:
                shown.append(OdooReason("top" if ratio > 0.5 else "low", name, value, ratio))
        top = sorted((r for r in shown if r.side == "top"), key=lambda r: -r.ratio)[:SHOWN]
        low = sorted((r for r in shown if r.side == "low"), key=lambda r: r.ratio)[:SHOWN]
        return (*top, *low)

    def predict(self, frame: pd.DataFrame) -> Floats:
        """Return Odoo's number for every row: columns `fields`, and `stage`, `team`, `tags` where the frame has them.

        NaN where nothing has been counted yet.

        Raises
        ------
        DataError
            If the frame lacks a field or holds an unknown stage.
        """
        _has_fields(frame, self.fields)
        result = np.full(len(frame), np.nan)
        teams = _texts(frame["team"]) if "team" in frame else np.full(len(frame), None, dtype=object)
        self._scope(None)
        pools = np.array([team if team in self._scopes else None for team in teams], dtype=object)
        for team in dict.fromkeys(pools):
            rows = np.flatnonzero(pools == team)
            result[rows] = self._predict_scope(frame.iloc[rows], self._scopes[team])
        return result

    def _predict_scope(self, frame: pd.DataFrame, scope: _Scope) -> Floats:
        n = len(frame)
        if not self._table or not scope.computable:
            number = np.full(n, np.nan)
        else:
            log_won, log_lost = (np.full(n, log(p)) for p in scope.prior())
            for won, lost in self._log_factors(frame, scope):
                log_won += won
                log_lost += lost
            number = _number(log_won, log_lost)
        if self.with_stage:
            stages = _texts(frame["stage"]) if "stage" in frame else np.full(n, None, dtype=object)
            fixed = {stage: 100.0 if self._stage(str(stage)).won else np.nan for stage in set(stages) - {None}}
            settled = np.array([0.0 if stage is None else fixed[stage] for stage in stages])
            number = np.where(np.isnan(settled), number, settled)
        return number

    def _log_factors(self, frame: pd.DataFrame, scope: _Scope) -> Iterator[tuple[Floats, Floats]]:
        if self.with_stage and "stage" in frame:
            yield _mapped(frame["stage"], STAGE, scope, empty=False)
        for name in self.fields:
            yield _mapped(frame[name], name, scope, empty=name in self.empty_is_value)
        if "tags" in frame:
            for position in range(max((len(tags) for tags in frame["tags"]), default=0)):
                nth = frame["tags"].map(lambda tags, at=position: tags[at] if len(tags) > at else None)
                yield _mapped(nth, TAG, scope, empty=False)


def leads_of(frame: pd.DataFrame, fields: Sequence[str], *, won: Iterable[Any]) -> Iterator[OdooLead]:
    """Yield the rows of a frame as closed leads, with `stage`, `team` and `tags` where the frame has them.

    Raises
    ------
    DataError
        If the frame lacks a field.
    """
    _has_fields(frame, fields)
    n = len(frame)
    nothing = np.full(n, None, dtype=object)
    columns = [_texts(frame[name]) for name in fields]
    stages, teams = (_texts(frame[name]) if name in frame else nothing for name in ("stage", "team"))
    tags = frame["tags"].tolist() if "tags" in frame else [()] * n
    for stage, team, tag, outcome, *values in zip(stages, teams, tags, won, *columns, strict=True):
        yield OdooLead(dict(zip(fields, values, strict=True)), stage, team, tuple(tag), bool(outcome))


def _has_fields(frame: pd.DataFrame, fields: Sequence[str]) -> None:
    absent = [name for name in fields if name not in frame]
    if absent:
        raise DataError(f"Odoo's method was given {', '.join(fields)}; the table lacks {', '.join(absent)}")


def _texts(column: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.object_]]:
    """Return a column as texts, None where a value is missing or empty."""
    import pandas as pd

    codes, distinct = pd.factorize(column)
    texts = [str(value) or None for value in distinct.tolist()]
    lookup = np.array([*texts, None], dtype=object)
    result: np.ndarray[Any, np.dtype[np.object_]] = lookup[codes]
    return result


def _mapped(column: pd.Series[Any], name: str, scope: _Scope, *, empty: bool) -> tuple[Floats, Floats]:
    """Return log P(value | won) and log P(value | lost) of every row, 0 where the value is not known."""
    import pandas as pd

    codes, distinct = pd.factorize(_texts(column))
    # The last entry is looked up for a missing value, whose code is -1.
    values = [*distinct.tolist(), "" if empty else None]
    factors = [scope.factor(name, value) if value is not None else None for value in values]
    logs = np.array([(log(f.won), log(f.lost)) if f is not None else (0.0, 0.0) for f in factors])
    return logs[codes, 0], logs[codes, 1]


def _number(log_won: Floats, log_lost: Floats) -> Floats:
    """Return 100 S_won / (S_won + S_lost) to two decimals, bounded away from certainty."""
    share = 1 / (1 + np.exp(np.clip(log_lost - log_won, -500, 500)))
    result: Floats = np.clip(np.round(100 * share, 2), LOWEST, HIGHEST)
    return result
