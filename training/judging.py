"""The recipe judged forward in time beside its peers, on rows that nothing was chosen on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.scorecard import Scorecard
from training.peers import Columns, OdooExtended, OdooWithoutStage, ScorecardPoints, default_peers
from training.recipe import Choices, Rows, choose, fit_model
from training.scoreboard import Scoreboard, scoreboard
from training.splits import JudgeSplit, judge_split

if TYPE_CHECKING:
    import pandas as pd

    from data.settings import Plan

__all__ = ["MODEL", "Judgement", "judge", "predict"]

MODEL = "clew"
# Odoo's own list is state, country, phone and e-mail quality, source, language and tags.
ODOO_FIELDS = frozenset({"source", "country", "account_country", "region", "email_domain_kind"})
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judgement:
    """What was judged and how it came out; `predictions` holds each method's probabilities on the judged rows."""

    scoreboard: Scoreboard
    choices: Choices
    split: JudgeSplit
    spine: pd.DataFrame
    predictions: Mapping[str, Floats]

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
    seed: int = 7,
    threads: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> Judgement:
    """Choose and fit on the fit rows only, then judge the model and its peers on the later ones.

    Every method sees the same fit rows, but for Odoo's and the scorecard: these count, and where leads are judged on
    monthly cross-sections they count on such cross-sections, so that a long-open lead does not speak at every age.

    Raises
    ------
    DataError
        If the history is too short to split forward in time.
    """
    split = judge_split(rows.spine, plan)
    fit, judged = rows.take(split.fit), rows.take(split.judged)
    monthly = plan.judge_age_days is None
    choices = choose(fit, monthly_only=monthly, seed=seed, progress=progress)
    progress(f"fitting the model on {len(fit.spine):,} rows")
    model = fit_model(fit, choices, threads=threads)
    predictions = {MODEL: predict(choices.calibrator.logit(model.margin(model.encoding.tree_matrix(judged.frame))))}
    counted = fit.take(fit.spine["monthly"].to_numpy() == 1) if monthly else fit
    columns = _columns(fit)
    for method in (*default_peers(scorecard), OdooExtended()):
        progress(f"fitting {method.name}")
        learnt = counted if isinstance(method, OdooWithoutStage | ScorecardPoints) and counted.y_obs.any() else fit
        shown = (
            _odoos_own(columns)
            if isinstance(method, OdooWithoutStage) and not isinstance(method, OdooExtended)
            else columns
        )
        predictions[method.name] = method.fit(learnt.frame, learnt.y_obs, columns=shown).predict(judged.frame)
    progress("drawing intervals")
    seen = np.isin(judged.spine["lead_id"].to_numpy(object), fit.spine["lead_id"].unique())
    board = scoreboard(
        judged.y_obs,
        predictions,
        model=MODEL,
        clusters=judged.clusters,
        capacity=capacity,
        rng=np.random.default_rng(seed),
        groups={"leads unseen in fitting": ~seen} if seen.any() and not seen.all() else None,
        periods=judged.spine["as_of_us"].to_numpy() if monthly else None,
    )
    return Judgement(board, choices, split, judged.spine, predictions)


def predict(logit: Floats) -> Floats:
    """Return probabilities from log-odds."""
    return np.asarray(1 / (1 + np.exp(-logit)))


def _odoos_own(columns: Columns) -> Columns:
    """Return the fields that Odoo's method supports, under this catalogue's names; the extended variant sees all."""
    return Columns(numeric=(), categorical=tuple(name for name in columns.categorical if name in ODOO_FIELDS))


def _columns(rows: Rows) -> Columns:
    """Return the columns that hold anything, by kind."""
    filled = [f for f in rows.catalogue.features if rows.frame[f.name].notna().any()]
    return Columns(
        numeric=tuple(f.name for f in filled if f.kind == "numeric"),
        categorical=tuple(f.name for f in filled if f.kind == "categorical"),
    )
