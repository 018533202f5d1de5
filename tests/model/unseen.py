"""Exports that nobody here has seen: one world in many shapes, its later rows many enough to tell luck from fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data.clock import from_us, iso
from data.settings import Plan
from features.catalogue import Catalogue, Feature
from features.scorecard import load_scorecard
from tests.model.rows import MONTH_US, categorical, numeric, spine_of
from training.bundles.bundle import SealedModel
from training.evaluation.judging import MODEL, Judgement, columns_of, judge, predict
from training.evaluation.metrics import log_loss, roc_auc
from training.evaluation.peers import Logistic
from training.learning.choosing import choose
from training.learning.recipe import Choices, Rows, fit_model
from training.learning.young import as_known, completed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.evaluation.metrics import Floats

__all__ = ["CASES", "CROWDED", "Case", "Outcome", "judged_case", "learnt_case", "rows_of"]

Columns = dict[str, Any]
# What had happened by the origin fills the first 18 months; the later rows are photographed at once, at the origin.
_MONTHS = 18
_ORIGIN_US = (_MONTHS + 1) * MONTH_US
_RULES = {"employees": 100.0, "industry": "software", "seniority": None, "whitepaper_downloads_30d": 0.0}


@dataclass(frozen=True)
class Case:
    """One shape of data: how many rows there are to fit, how many of them win, and which columns come beside.

    `signal` scales what the world's own columns say about the outcome; at 0 all is chance.
    """

    name: str
    rows: int = 450
    rate: float = 0.12
    later: int = 1500
    signal: float = 1.0
    events: bool = True
    beside: Callable[[np.random.Generator, NDArray[np.bool_]], Columns] = field(default=lambda *_: {})


@dataclass(frozen=True)
class Outcome:
    """How a case came out on its later rows: what clew, logistic regression and the win rate said of them."""

    y_obs: NDArray[np.int64]
    predictions: dict[str, Floats]
    wins_fitted: int
    choices: Choices

    def loss(self, method: str = MODEL) -> float:
        """Return a method's log loss."""
        return log_loss(self.y_obs, self.predictions[method])

    def above_prior(self, method: str = MODEL) -> float:
        """Return by how much a method's log loss is above the prior's."""
        return self.loss(method) - self.loss("prior")

    def auc(self, method: str = MODEL) -> float:
        """Return a method's area under the ROC curve."""
        return roc_auc(self.y_obs, self.predictions[method])


def rows_of(case: Case, *, seed: int) -> Rows:
    """Draw the rows of a case: those of 18 months in the order of time, then the later ones."""
    rng = np.random.default_rng(seed)
    count = case.rows + case.later
    late = np.arange(count) >= case.rows
    month = np.concatenate([np.sort(rng.integers(0, _MONTHS, case.rows)), np.full(case.later, _MONTHS)])
    own, margin = _own(rng, count, events=case.events)
    chance = 1 / (1 + np.exp(-_shifted(case.signal * margin, case.rate)))
    y_obs = (rng.random(count) < chance).astype(np.int64)
    frame = own | case.beside(rng, late)
    features = tuple(_feature(name, values) for name, values in frame.items())
    lead = np.where(late, count + np.arange(count), rng.integers(0, max(case.rows // 2, 1), count))
    spine = spine_of(lead, month, y_obs, max(count // 4, 1))
    return Rows(pd.DataFrame(frame | _RULES), spine, Catalogue(features=features))


def judged_case(case: Case, *, seed: int, later: int) -> Judgement:
    """Choose, fit and judge as training does, from one origin, with every peer and the scoreboard."""
    plan = Plan(judge_from=iso(from_us(_ORIGIN_US)))
    return judge(rows_of(replace(case, later=later), seed=seed), plan, load_scorecard(), capacity=20)


def learnt_case(case: Case, *, seed: int, logistic: bool = True) -> Outcome:
    """Choose and fit as `judge` does, without the scoreboard, so that many seeds can be afforded."""
    rows = rows_of(case, seed=seed)
    later = rows.take(rows.spine["as_of_us"].to_numpy() == _ORIGIN_US)
    matured, young = as_known(rows.take(rows.spine["as_of_us"].to_numpy() < _ORIGIN_US), _ORIGIN_US)
    choices = choose(matured, monthly_only=True)
    fitted = fit_model(completed(matured, young, at_us=_ORIGIN_US, strength=choices.strength), choices)
    sealed = SealedModel(fitted, choices.calibrator)
    predictions = {
        MODEL: predict(sealed.logit(fitted.encoding.tree_matrix(later.frame))),
        "prior": np.full(len(later.spine), matured.y_obs.mean()),
    }
    if logistic:
        peer = Logistic().fit(matured.frame, matured.y_obs, columns=columns_of(matured))
        predictions["logistic"] = peer.predict(later.frame)
    return Outcome(later.y_obs, predictions, int(matured.y_obs.sum()), choices)


def _own(rng: np.random.Generator, count: int, *, events: bool) -> tuple[Columns, Floats]:
    """Return the world's own columns and what they say about the outcome."""
    columns: Columns = {
        "size": np.where(rng.random(count) < 0.2, np.nan, np.floor(rng.lognormal(4, 1.5, count))),
        "source": np.array(["fair", "search", "webinar", None], dtype=object)[rng.integers(0, 4, count)],
    }
    margin = 0.4 * np.nan_to_num(np.log1p(columns["size"]) - 4) + 0.8 * (columns["source"] == "webinar")
    if events:
        columns["visits"] = rng.poisson(1.5, count).astype(float)
        columns["silence"] = np.where(rng.random(count) < 0.4, np.nan, rng.exponential(20, count))
        margin = margin + 0.5 * np.log1p(columns["visits"]) - 0.02 * np.nan_to_num(columns["silence"], nan=40.0)
    return columns, np.asarray(margin, np.float64)


def _shifted(margin: Floats, rate: float) -> Floats:
    """Shift log-odds until the mean probability is the rate, by halving."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-(margin + middle)))).mean() < rate else (low, middle)
    return np.asarray(margin + low, np.float64)


def _feature(name: str, values: Any) -> Feature:
    if np.asarray(values).dtype == object:
        return categorical(name)
    if name in {"visits", "silence"}:
        return numeric(name, monotone=1 if name == "visits" else -1)
    return numeric(name)


def _holed(rng: np.random.Generator, values: NDArray[Any], share: float = 0.6) -> NDArray[Any]:
    missing: Any = None if values.dtype == object else np.nan
    return np.where(rng.random(len(values)) < share, missing, values)


def _customer_columns(rng: np.random.Generator, late: NDArray[np.bool_], *, count: int = 40) -> Columns:
    """Return columns of which 60 % is missing: half of them words of 2 to 30 kinds, half numbers of many scales."""
    n, columns = len(late), {}
    for k in range(count):
        if k % 2:
            words = np.array([f"w{j}" for j in range(2 + 2 * (k % 15))], dtype=object)
            values: NDArray[Any] = words[rng.integers(0, len(words), n)]
        else:
            values = rng.lognormal(0, 1 + k / 10, n) if k % 4 else rng.normal(size=n) * 10.0 ** (k % 7 - 3)
        columns[f"own_{k}"] = _holed(rng, values)
    return columns


def _constant(rng: np.random.Generator, late: NDArray[np.bool_]) -> Columns:
    n = len(late)
    constant = {f"one_{k}": np.full(n, float(k)) for k in range(5)}
    words = {f"word_{k}": np.full(n, "same", dtype=object) for k in range(5)}
    return constant | words | {"empty": np.full(n, np.nan), "no_word": np.full(n, None, dtype=object)}


def _unique(rng: np.random.Generator, late: NDArray[np.bool_]) -> Columns:
    """Return ids: drawn at random and counted up with time, as numbers and as words."""
    n = len(late)
    drawn, counted = rng.permutation(10 * n)[:n], 1000 + np.arange(n)
    numbers = {"drawn_id": drawn.astype(float), "counted_id": counted.astype(float)}
    return numbers | {
        f"{name}_word": np.array([f"id {k}" for k in ids], object)
        for name, ids in (("drawn", drawn), ("counted", counted))
    }


def _missing_later(rng: np.random.Generator, late: NDArray[np.bool_]) -> Columns:
    n = len(late)
    words = np.array(["a", "b", "c"], dtype=object)[rng.integers(0, 3, n)]
    nothing: Any = None
    return {"stopped": np.where(late, np.nan, rng.normal(size=n)), "stopped_word": np.where(late, nothing, words)}


def _new_category(rng: np.random.Generator, late: NDArray[np.bool_]) -> Columns:
    n = len(late)
    old, new = (np.array(list(words), dtype=object)[rng.integers(0, 3, n)] for words in ("abc", "xyz"))
    return {"renamed": np.where(late, new, old)}


CASES = (
    Case("450 rows"),
    Case("450 rows, all chance", signal=0.0),
    Case("no events", events=False),
    Case("40 columns with 60 % missing", beside=_customer_columns),
    Case("40 columns, all chance", beside=_customer_columns, signal=0.0),
    Case("base rate 1 %", rows=2000, rate=0.01, later=6000),
    Case("base rate 50 %", rate=0.5),
    Case("constant columns", beside=_constant),
    Case("all-unique columns", beside=_unique),
    Case("all-unique columns, all chance", beside=_unique, signal=0.0),
    Case("a column missing later", beside=_missing_later),
    Case("categories unseen in fitting", beside=_new_category),
)

CROWDED = Case(
    "500,000 rows of 60 columns",
    rows=600_000,  # a sixth of which has not matured by the origin
    rate=0.05,
    later=20_000,
    beside=lambda rng, late: _customer_columns(rng, late, count=56),
)
