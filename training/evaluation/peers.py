"""The methods that stand beside the model on the scoreboard, each fitted and asked in the same way.

Odoo's number and the scorecard's points answer other questions than "won within the horizon", so both are turned into
probabilities by Platt's method on the fit rows; their order of leads (`raw`) stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np

from data.errors import DataError, UsageError
from training.evaluation.metrics import Floats, Line, logistic_line, logit
from training.evaluation.odoo import OdooScorer

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from lightgbm import LGBMClassifier
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

    from features.scorecard import Scorecard

__all__ = [
    "Columns",
    "LightGBMDefaults",
    "Logistic",
    "Method",
    "OdooExtended",
    "OdooWithoutStage",
    "Prior",
    "ScorecardPoints",
    "default_peers",
]

RARE = 20
_CALIBRATION_FOLDS = 3
_LEAST_SLOPE = 1e-6
# A column called team, stage or tags would otherwise be taken for Odoo's own.
_FIELD = "field "


@dataclass(frozen=True)
class Columns:
    """Which columns of a feature table a method reads, by kind."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]


@runtime_checkable
class Method(Protocol):
    """Something that learns from labelled rows and gives probabilities.

    `frame` is the raw feature table: numeric columns float64 with NaN as missing, categorical columns with None or NaN
    as missing, one row per snapshot; `y` is 0 or 1. `fit` returns a fitted method and leaves the unfitted one as it is.
    """

    @property
    def name(self) -> str:
        """The name on the scoreboard."""
        ...

    def fit(self, frame: pd.DataFrame, y: NDArray[np.integer[Any]], *, columns: Columns) -> Method:
        """Return the method fitted on the rows."""
        ...

    def predict(self, frame: pd.DataFrame) -> Floats:
        """Return a probability for each row, shape (rows,)."""
        ...


def default_peers(scorecard: Scorecard) -> tuple[Method, ...]:
    """Return the methods every scoreboard shows beside the model, the simplest first."""
    return Prior(), ScorecardPoints(scorecard), OdooWithoutStage(), Logistic(), LightGBMDefaults()


def _outcomes(frame: pd.DataFrame, y: NDArray[Any], *, both: bool = True) -> Floats:
    observed = np.asarray(y, dtype=np.float64)
    if observed.shape != (len(frame),) or not len(frame):
        raise DataError(f"a method was given {len(frame)} rows and {observed.size} outcomes to learn from")
    if not np.isin(observed, (0.0, 1.0)).all():
        raise DataError("the outcomes hold something other than 0 and 1")
    if both and observed.min() == observed.max():
        only = "won" if observed[0] == 1 else "not won"
        raise DataError(
            f"all {len(frame)} rows to learn from are {only}", hint="a longer period may hold both outcomes"
        )
    return observed


def _numbers(frame: pd.DataFrame, names: tuple[str, ...]) -> Floats:
    """Return numeric columns as a matrix; infinity is no measurement and counts as missing."""
    matrix = np.column_stack([np.empty((len(frame), 0)), *(_column(frame, name).to_numpy(float) for name in names)])
    return np.where(np.isfinite(matrix), matrix, np.nan)


@dataclass(frozen=True)
class _Words:
    """The texts of categorical columns by code: their place among the column's words, sorted."""

    names: tuple[str, ...]
    known: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, frame: pd.DataFrame, names: tuple[str, ...]) -> _Words:
        columns = (_column(frame, name).dropna().astype(str) for name in names)
        return cls(names, tuple(tuple(sorted(column.unique())) for column in columns))

    def codes(self, frame: pd.DataFrame, *, missing: float, unseen: float) -> Floats:
        """Return the code of every text, shape (rows, names)."""
        import pandas as pd

        matrix = np.full((len(frame), len(self.names)), missing)
        for at, (name, known) in enumerate(zip(self.names, self.known, strict=True)):
            column = _column(frame, name)
            there = column.notna().to_numpy()
            codes = pd.Index(known, dtype=object).get_indexer(pd.Index(column[there].astype(str), dtype=object))
            matrix[there, at] = np.where(codes < 0, unseen, codes)
        return matrix


def _column(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    if name not in frame:
        raise DataError(f"column {name!r} is missing in the feature table")
    return frame[name]


def _unfitted(name: str) -> UsageError:
    return UsageError(f"method {name!r} was asked before it was fitted")


@dataclass(frozen=True)
class Prior:
    """Everybody gets the win rate of the fit rows.

    Examples
    --------
    >>> import pandas as pd
    >>> three = pd.DataFrame(index=range(3))
    >>> Prior().fit(three, np.array([1, 0, 0]), columns=Columns((), ())).predict(three).round(3).tolist()
    [0.333, 0.333, 0.333]
    """

    rate: float | None = None

    @property
    def name(self) -> str:
        """The name on the scoreboard."""
        return "prior"

    def fit(self, frame: pd.DataFrame, y: NDArray[np.integer[Any]], *, columns: Columns) -> Prior:  # noqa: ARG002
        """Remember the win rate."""
        return Prior(float(_outcomes(frame, y, both=False).mean()))

    def predict(self, frame: pd.DataFrame) -> Floats:
        """Return the win rate for every row."""
        if self.rate is None:
            raise _unfitted(self.name)
        return np.full(len(frame), self.rate)


@dataclass(frozen=True)
class Logistic:
    """Logistic regression as scikit-learn's users set it up.

    Medians for missing numbers with an indicator beside each, standardised; one-hot categories with those on fewer than
    20 rows folded and unknown ones ignored; C = 1.
    """

    columns: Columns | None = None
    words: _Words | None = None
    pipeline: Pipeline | None = None

    @property
    def name(self) -> str:
        """The name on the scoreboard."""
        return "logistic"

    def fit(self, frame: pd.DataFrame, y: NDArray[np.integer[Any]], *, columns: Columns) -> Logistic:
        """Fit on the rows."""
        words, pipeline = _Words.of(frame, columns.categorical), _logistic_pipeline(columns)
        pipeline.fit(self._matrix(frame, columns, words), _outcomes(frame, y))
        return Logistic(columns, words, pipeline)

    def predict(self, frame: pd.DataFrame) -> Floats:
        """Return the probability of each row."""
        if self.pipeline is None or self.columns is None or self.words is None:
            raise _unfitted(self.name)
        matrix = self._matrix(frame, self.columns, self.words)
        return np.asarray(self.pipeline.predict_proba(matrix)[:, 1], dtype=np.float64)

    @staticmethod
    def _matrix(frame: pd.DataFrame, columns: Columns, words: _Words) -> Floats:
        codes = words.codes(frame, missing=-1.0, unseen=-2.0)
        return np.column_stack([_numbers(frame, columns.numeric), codes])


def _logistic_pipeline(columns: Columns) -> Pipeline:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = list(range(len(columns.numeric)))
    words = list(range(len(numbers), len(numbers) + len(columns.categorical)))
    numeric = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
    )
    categories = OneHotEncoder(min_frequency=RARE, handle_unknown="ignore", sparse_output=True)
    both = ColumnTransformer([("numeric", numeric, numbers), ("categorical", categories, words)])
    return make_pipeline(both, LogisticRegression(C=1.0, solver="lbfgs", max_iter=5000))


@dataclass(frozen=True)
class LightGBMDefaults:
    """LightGBM as it comes, only made repeatable; categories go in as codes that it is told are categories."""

    columns: Columns | None = None
    words: _Words | None = None
    model: LGBMClassifier | None = None
    threads: int = 1

    @property
    def name(self) -> str:
        """The name on the scoreboard."""
        return "lightgbm defaults"

    def fit(self, frame: pd.DataFrame, y: NDArray[np.integer[Any]], *, columns: Columns) -> LightGBMDefaults:
        """Fit on the rows."""
        from lightgbm import LGBMClassifier

        words = _Words.of(frame, columns.categorical)
        model = LGBMClassifier(num_threads=self.threads, deterministic=True, force_row_wise=True, seed=0, verbosity=-1)
        first = len(columns.numeric)
        model.fit(
            self._matrix(frame, columns, words),
            _outcomes(frame, y),
            categorical_feature=list(range(first, first + len(columns.categorical))),
        )
        return replace(self, columns=columns, words=words, model=model)

    def predict(self, frame: pd.DataFrame) -> Floats:
        """Return the probability of each row."""
        if self.model is None or self.columns is None or self.words is None:
            raise _unfitted(self.name)
        # The booster itself: the wrapper compares names of columns, which a matrix does not have.
        booster = self.model.booster_
        matrix = self._matrix(frame, self.columns, self.words)
        return np.asarray(booster.predict(matrix, num_threads=self.threads), dtype=np.float64)

    @staticmethod
    def _matrix(frame: pd.DataFrame, columns: Columns, words: _Words) -> Floats:
        codes = words.codes(frame, missing=np.nan, unseen=np.nan)
        return np.column_stack([_numbers(frame, columns.numeric), codes])


def _platt(y_obs: Floats, raw: Floats) -> Line:
    """Return the line from a raw number to log-odds; its slope is above 0, so that the order of leads is kept.

    Where higher numbers won less often on the fit rows, or the numbers do not differ, there is no such line: then
    nearly everybody gets the win rate, in the order of the raw numbers.
    """
    line = logistic_line(y_obs, raw)
    if np.isfinite(line.slope) and line.slope > _LEAST_SLOPE:
        return line
    center = float(logit(np.array([y_obs.mean()]))[0])
    return Line(center - _LEAST_SLOPE * float(raw.mean()), _LEAST_SLOPE)


def _on_line(line: Line, raw: Floats) -> Floats:
    eta = np.clip(line.intercept + line.slope * raw, -500, 500)
    result: Floats = 1 / (1 + np.exp(-eta))
    return result


def _out_of_fold(raw_of: Callable[[NDArray[np.bool_]], Floats], n: int) -> Floats:
    """Return each row's raw number from counts that leave its fold out.

    Folds are runs of rows, because neighbouring rows may belong to one lead.

    Naive Bayes has seen the rows it was counted on: calibrated on its own rows it would look surer than it is.
    """
    raw, fold = np.empty(n), np.arange(n) * _CALIBRATION_FOLDS // n
    for k in range(_CALIBRATION_FOLDS):
        raw[fold == k] = raw_of(fold != k)[fold == k]
    return raw


@dataclass(frozen=True)
class OdooWithoutStage:
    """Odoo's predictive lead scoring on the categorical columns, every lead scored as if in the first stage.

    One row per lead is expected. Its number is about closed leads; Platt's line on out-of-fold numbers of the fit rows
    turns it into a probability for the label at hand.
    """

    columns: Columns | None = None
    scorer: OdooScorer | None = None
    line: Line | None = None

    @property
    def name(self) -> str:
        """The name on the scoreboard."""
        return "odoo without stage"

    def fit(self, frame: pd.DataFrame, y: NDArray[np.integer[Any]], *, columns: Columns) -> Self:
        """Count the rows, then fit Platt's line."""
        observed = _outcomes(frame, y)
        shaped = self._shaped(frame, columns)
        given = shaped._given(frame)

        def raw_without(kept: NDArray[np.bool_]) -> Floats:
            part = shaped._counted(given[kept], observed[kept])
            return _odoo_logit(part, given, float(observed[kept].mean()))

        line = _platt(observed, _out_of_fold(raw_without, len(frame)))
        return replace(shaped, scorer=shaped._counted(given, observed), line=line)

    def raw(self, frame: pd.DataFrame) -> Floats:
        """Return Odoo's number, 0.01 to 99.99, by which it ranks."""
        if self.scorer is None:
            raise _unfitted(self.name)
        return self.scorer.predict(self._given(frame))

    def predict(self, frame: pd.DataFrame) -> Floats:
        """Return the probability of each row."""
        if self.scorer is None or self.line is None:
            raise _unfitted(self.name)
        return _on_line(self.line, _odoo_logit(self.scorer, self._given(frame), 0.5))

    def _shaped(self, frame: pd.DataFrame, columns: Columns) -> Self:  # noqa: ARG002 - the extended variant reads it
        return replace(self, columns=columns)

    def _given(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return what Odoo's method is shown: categorical columns as fields, no team, no stage."""
        import pandas as pd

        names = () if self.columns is None else self.columns.categorical
        return pd.DataFrame({_FIELD + name: _column(frame, name) for name in names}, index=frame.index)

    def _counted(self, given: pd.DataFrame, observed: Floats) -> OdooScorer:
        empty = frozenset({_FIELD + "phone_state", _FIELD + "email_state"} & set(given.columns))
        scorer = OdooScorer(fields=tuple(given.columns), empty_is_value=empty)
        return scorer.fit_frame(given, observed)


def _odoo_logit(scorer: OdooScorer, given: pd.DataFrame, otherwise: float) -> Floats:
    number = scorer.predict(given)
    return logit(np.where(np.isnan(number), otherwise, number / 100))


@dataclass(frozen=True)
class OdooExtended(OdooWithoutStage):
    """Odoo's method with numbers as well: cut at the deciles of the fit rows, missing as not given."""

    edges: tuple[Floats, ...] = ()

    @property
    def name(self) -> str:
        """The name on the scoreboard."""
        return "odoo extended"

    def _shaped(self, frame: pd.DataFrame, columns: Columns) -> Self:
        matrix = _numbers(frame, columns.numeric)
        known = [column[~np.isnan(column)] for column in matrix.T]
        deciles = np.linspace(0.1, 0.9, 9)
        edges = tuple(np.unique(np.quantile(c, deciles)) if c.size else np.empty(0) for c in known)
        return replace(self, columns=columns, edges=edges)

    def _given(self, frame: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        names = () if self.columns is None else self.columns.numeric
        cuts = {
            _FIELD + name: np.where(np.isnan(column), None, np.searchsorted(edges, column).astype(str).astype(object))
            for name, edges, column in zip(names, self.edges, _numbers(frame, names).T, strict=True)
        }
        return pd.concat([super()._given(frame), pd.DataFrame(cuts, index=frame.index, dtype=object)], axis=1)


@dataclass(frozen=True)
class ScorecardPoints:
    """The rules: points of the scorecard, turned into probabilities by Platt's line on the fit rows."""

    scorecard: Scorecard
    line: Line | None = None

    @property
    def name(self) -> str:
        """The name on the scoreboard."""
        return "scorecard"

    def fit(self, frame: pd.DataFrame, y: NDArray[np.integer[Any]], *, columns: Columns) -> ScorecardPoints:  # noqa: ARG002
        """Fit Platt's line; the points themselves learn nothing."""
        return replace(self, line=_platt(_outcomes(frame, y), self.raw(frame)))

    def raw(self, frame: pd.DataFrame) -> Floats:
        """Return the points, by which the rules rank."""
        return self.scorecard.points(frame)

    def predict(self, frame: pd.DataFrame) -> Floats:
        """Return the probability of each row."""
        if self.line is None:
            raise _unfitted(self.name)
        return _on_line(self.line, self.raw(frame))
