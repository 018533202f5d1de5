"""What the gate is asked about one run: its judged rows, its refit, and the bundle that serves now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.judging import CHAMPION, MODEL, predict
from training.evaluation.segments import segments_of
from training.gating.gate import JudgedRows, OpenLeads, Verdict, gate

if TYPE_CHECKING:
    from training.bundles.bundle import Bundle
    from training.evaluation.judging import Judgement
    from training.evaluation.metrics import Floats
    from training.learning.recipe import Rows

__all__ = ["verdict_of"]


def verdict_of(
    judgement: Judgement,
    refit: Floats,
    open_rows: Rows,
    served: Bundle | None,
    *,
    capacity: int,
    seed: int,
    same: bool = False,
) -> Verdict:
    """Ask the gate whether a run's refit may be served.

    Parameters
    ----------
    judgement
        What was judged; with a champion its recipe is among the methods.
    refit
        (m,) probabilities of the refit on today's open leads.
    open_rows
        Today's open leads, in the same order.
    served
        The bundle that serves now, None where there is none or it cannot be read.
    capacity
        Leads a team can call from one list.
    seed
        Of the bootstrap.
    same
        Whether what would ship is the bundle that serves now.
    """
    predictions = judgement.predictions
    rows = JudgedRows(
        y_obs=judgement.y_obs,
        clusters=judgement.spine["cluster"].to_numpy(object),
        periods=judgement.periods,
        challenger=predictions[MODEL],
        champion=predictions.get(CHAMPION),
        scorecard=predictions["scorecard"],
        prior=predictions["prior"],
        segments={k: v for k, v in segments_of(judgement.frame, judgement.spine).items() if k != "month"},
    )
    leads = OpenLeads(refit, judgement.open_predictions, _asked(served, open_rows))
    return gate(rows, leads, capacity=capacity, rng=np.random.default_rng(seed), same=same)


def _asked(served: Bundle | None, rows: Rows) -> Floats | None:
    """Return what the served bundle says of open leads, None where it reads features that are not there."""
    if served is None or rows.spine.empty:
        return None
    encoding = served.full.model.encoding
    if not set(encoding.names) <= set(rows.frame.columns):
        return None
    return predict(served.full.logit(encoding.tree_matrix(rows.frame)))
