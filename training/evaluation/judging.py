"""The recipe judged forward in time beside its peers, refitted at each origin, on rows that nothing was chosen on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.clock import from_us
from features.scorecard import Scorecard
from training.bundles.bundle import SealedModel
from training.evaluation.peers import Columns, Method, OdooExtended, OdooWithoutStage, ScorecardPoints, default_peers
from training.evaluation.scoreboard import Scoreboard, scoreboard
from training.evaluation.segments import segments_of
from training.learning.choosing import choose
from training.learning.parallel import side_by_side
from training.learning.recipe import Choices, Rows, fit_model, thinned
from training.learning.splits import JudgeSplit, Origin, judge_split
from training.learning.tuning import tune
from training.learning.young import as_known, completed

if TYPE_CHECKING:
    import pandas as pd

    from data.settings import Plan

__all__ = ["CHAMPION", "MODEL", "Judgement", "columns_of", "judge", "judged_as", "predict"]

MODEL = "clew"
CHAMPION = "champion"
# Odoo's own list is state, country, phone and e-mail quality, source, language and tags.
ODOO_FIELDS = frozenset({"source", "country", "account_country", "region", "email_domain_kind"})
# Every method is refitted at every origin; above this all of them learn from the same sample of pairs.
_JUDGING_ROWS = 40_000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judgement:
    """What was judged and how it came out.

    `spine` and `frame` are the judged rows, `predictions` holds each method's probabilities on them, each made by what
    was fitted at the row's own origin. `open_predictions` are those of the model of the last origin on today's open
    leads. `monthly` tells whether monthly cross-sections were judged.
    """

    scoreboard: Scoreboard
    choices: Choices
    split: JudgeSplit
    spine: pd.DataFrame
    frame: pd.DataFrame
    predictions: Mapping[str, Floats]
    open_predictions: Floats
    monthly: bool = True

    @property
    def periods(self) -> NDArray[np.int64]:
        """The list each judged row stands on: its cross-section, or one for all."""
        as_of = self.spine["as_of_us"].to_numpy(np.int64)
        return as_of if self.monthly else np.zeros(len(as_of), np.int64)

    @property
    def y_obs(self) -> NDArray[np.int64]:
        """Outcomes of the judged rows."""
        return self.spine["y_obs"].to_numpy(np.int64)


def judge(
    rows: Rows,
    plan: Plan,
    scorecard: Scorecard,
    *,
    capacity: int,
    champion: Choices | None = None,
    open_rows: Rows | None = None,
    search_s: float = 0.0,
    seed: int = 7,
    threads: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> Judgement:
    """Choose on the fit rows of the first origin, then refit the model and its peers at each origin and judge them.

    Every method sees the same fit rows, but for Odoo's and the scorecard: these count, and where leads are judged on
    monthly cross-sections they count on such cross-sections, so that a long-open lead does not speak at every age.

    Parameters
    ----------
    rows
        All matured pairs.
    plan
        What is judged, and from which origins.
    scorecard
        The rules.
    capacity
        Leads a team can call from one list.
    champion
        The choices of the model that is served: its recipe is refitted at the same origins and stands on the scoreboard
        as `champion`.
    open_rows
        Today's open leads, for the model of the last origin to predict.
    search_s
        Seconds to search for a better shape of the trees; without any the champion's shape is taken over.
    seed, threads
        Of the choices and of LightGBM.
    progress
        Told what is going on.

    Raises
    ------
    DataError
        If the history is too short to split forward in time.
    """
    split, monthly = judge_split(rows.spine, plan), plan.judge_age_days is None
    known, _ = as_known(rows, split.judge_from_us)
    choices = _chosen(known, champion, monthly_only=monthly, search_s=search_s, seed=seed, progress=progress)
    recipes = {MODEL: choices} | ({} if champion is None else {CHAMPION: champion})

    def judged_at(origin: Origin) -> tuple[Mapping[str, SealedModel], Mapping[str, Floats]]:
        round_ = _Round(rows, plan, origin, seed=seed, threads=threads, progress=progress)
        fitted = round_.fit_recipes(recipes)
        return fitted, round_.predict(fitted, scorecard)

    models, parts = zip(*side_by_side(judged_at, split.origins), strict=True)
    place = np.argsort(np.concatenate([np.flatnonzero(origin.judged) for origin in split.origins]))
    predictions = {name: np.concatenate([part[name] for part in parts])[place] for name in parts[0]}
    of_open = _of_open(models[-1][MODEL], open_rows)
    progress("drawing intervals")
    return judged_as(rows, split, choices, predictions, of_open, monthly=monthly, capacity=capacity, seed=seed)


def judged_as(
    rows: Rows,
    split: JudgeSplit,
    choices: Choices,
    predictions: Mapping[str, Floats],
    open_predictions: Floats,
    *,
    monthly: bool,
    capacity: int,
    seed: int,
) -> Judgement:
    """Put predictions on the judged rows on the scoreboard."""
    judged = rows.take(split.judged)
    board = scoreboard(
        judged.y_obs,
        predictions,
        model=MODEL,
        clusters=judged.clusters,
        capacity=capacity,
        rng=np.random.default_rng(seed),
        groups=_groups(rows, split, judged),
        periods=judged.spine["as_of_us"].to_numpy() if monthly else None,
    )
    board = replace(board, caveats=(*board.caveats, *_sampled(rows, split)))
    return Judgement(board, choices, split, judged.spine, judged.frame, predictions, open_predictions, monthly)


def _chosen(
    rows: Rows,
    champion: Choices | None,
    *,
    monthly_only: bool,
    search_s: float,
    seed: int,
    progress: Callable[[str], None],
) -> Choices:
    if search_s:
        return tune(rows, monthly_only=monthly_only, seconds=search_s, seed=seed, progress=progress).choices
    shape = None if champion is None else champion.shape
    return choose(rows, monthly_only=monthly_only, seed=seed, shape=shape, progress=progress)


class _Round:
    """One origin: every method is fitted on what had matured by then, and asked about the rows judged from there."""

    def __init__(
        self,
        rows: Rows,
        plan: Plan,
        origin: Origin,
        *,
        seed: int,
        threads: int,
        progress: Callable[[str], None],
    ) -> None:
        before = thinned(rows.take(rows.spine["as_of_us"].to_numpy() < origin.at_us), _JUDGING_ROWS, seed=seed)
        self.fit, self.young = as_known(before, origin.at_us)
        self.judged = rows.take(origin.judged)
        self.monthly, self.threads = plan.judge_age_days is None, threads
        self.at_us = origin.at_us
        self.at, self.progress = f"{from_us(origin.at_us):%Y-%m-%d}", progress

    def fit_recipes(self, recipes: Mapping[str, Choices]) -> Mapping[str, SealedModel]:
        """Return the model of each recipe."""
        fitted = {}
        for name, choices in recipes.items():
            learnt = completed(self.fit, self.young, at_us=self.at_us, strength=choices.strength)
            self.progress(f"{self.at}: fitting {name} on {len(learnt.spine):,} rows")
            fitted[name] = SealedModel(fit_model(learnt, choices, threads=self.threads), choices.calibrator)
        return fitted

    def predict(self, models: Mapping[str, SealedModel], scorecard: Scorecard) -> Mapping[str, Floats]:
        """Return the probabilities of the models and, freshly fitted, of every peer on the judged rows."""
        frame = self.judged.frame
        predictions = {name: predict(m.logit(m.model.encoding.tree_matrix(frame))) for name, m in models.items()}
        columns = columns_of(self.fit)
        counted = self.fit.take(self.fit.spine["monthly"].to_numpy() == 1) if self.monthly else self.fit
        for method in (*default_peers(scorecard), OdooExtended()):
            self.progress(f"{self.at}: fitting {method.name}")
            counts = isinstance(method, OdooWithoutStage | ScorecardPoints) and counted.y_obs.any()
            learnt = counted if counts else self.fit
            fitted = method.fit(learnt.frame, learnt.y_obs, columns=_shown_to(method, columns))
            predictions[method.name] = fitted.predict(frame)
        return predictions


def predict(logit: Floats) -> Floats:
    """Return probabilities from log-odds."""
    return np.asarray(1 / (1 + np.exp(-logit)))


def _groups(rows: Rows, split: JudgeSplit, judged: Rows) -> Mapping[str, NDArray[np.bool_] | NDArray[np.object_]]:
    """Return the sets of judged rows that get figures of their own: segments, and leads that their fit has not seen."""
    import pandas as pd

    codes, leads = pd.factorize(rows.spine["lead_id"])
    seen = np.zeros(len(codes), bool)
    for origin in split.origins:
        fitted = np.zeros(len(leads), bool)
        fitted[codes[origin.fit]] = True
        seen[origin.judged] = fitted[codes[origin.judged]]
    unseen = ~seen[split.judged]
    own = {"leads unseen in fitting": unseen} if unseen.any() and not unseen.all() else {}
    return {**own, **segments_of(judged.frame, judged.spine)}


def _sampled(rows: Rows, split: JudgeSplit) -> tuple[str, ...]:
    """Say where a method did not learn from all rows that were there."""
    there = int((rows.spine["as_of_us"].to_numpy() < split.origins[-1].at_us).sum())
    if there <= _JUDGING_ROWS:
        return ()
    return (f"at each origin every method learnt from a sample of about {_JUDGING_ROWS:,} pairs",)


def _of_open(model: SealedModel, rows: Rows | None) -> Floats:
    if rows is None or rows.spine.empty:
        return np.empty(0)
    return predict(model.logit(model.model.encoding.tree_matrix(rows.frame)))


def _shown_to(method: Method, columns: Columns) -> Columns:
    """Return the fields that Odoo's method supports, under this catalogue's names; every other method sees all."""
    if not isinstance(method, OdooWithoutStage) or isinstance(method, OdooExtended):
        return columns
    return Columns(numeric=(), categorical=tuple(name for name in columns.categorical if name in ODOO_FIELDS))


def columns_of(rows: Rows) -> Columns:
    """Return the columns that hold anything, by kind."""
    filled = [f for f in rows.catalogue.features if rows.frame[f.name].notna().any()]
    return Columns(
        numeric=tuple(f.name for f in filled if f.kind == "numeric"),
        categorical=tuple(f.name for f in filled if f.kind == "categorical"),
    )
