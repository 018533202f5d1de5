"""What a served bundle says of the leads of a moment, and how near that is to the truth of the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from data.clock import parse_moment, to_us
from data.warehouse import Warehouse
from features.snapshots import open_leads
from features.sql import compute_features
from training.evaluation.metrics import logistic_line
from training.run import frames

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.bundles.bundle import Bundle

BINS = 20


def asked_in(warehouse: Warehouse, bundle: Bundle, as_of: str) -> pd.DataFrame:
    """Return the leads open at a moment with the bundle's probability and its 90 % range."""
    with warehouse.connect() as connection:
        open_leads(connection, as_of_us=to_us(parse_moment(as_of)))
        rows = frames(compute_features(connection, bundle.catalogue), bundle.catalogue)
    logit = bundle.full.logit(bundle.full.model.encoding.tree_matrix(rows.frame))
    low, high = ranges_of(bundle, logit)
    promised = 1 / (1 + np.exp(-logit))
    return pd.DataFrame(
        {"lead_id": rows.spine["lead_id"], "month": as_of[:7], "promised": promised, "low": low, "high": high}
    )


def ranges_of(bundle: Bundle, logit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (2, n) lower and upper ends, NaN where the bundle gives no range."""
    return np.array([bundle.interval(float(value)) or (np.nan, np.nan) for value in logit]).T


def monthly_truth(folder: Path) -> pd.DataFrame:
    """Return what the simulator knows of each lead on each first of a month."""
    truth: pd.DataFrame = pq.read_table(folder / "snapshots.parquet").to_pandas()
    return truth.loc[truth["kind"] == "monthly"]


@dataclass(frozen=True)
class Nearness:
    """How near promises are to the truth: slope of its log-odds on theirs, and twenty bins of equal size."""

    slope: float
    bins: pd.DataFrame

    @property
    def mean_error(self) -> float:
        """Mean absolute error of the mean probability of a bin."""
        return float((self.bins["promised"] - self.bins["truth"]).abs().mean())

    @property
    def covered(self) -> float:
        """Share of the bins whose mean truth lies within their mean range."""
        inside = (self.bins["low"] <= self.bins["truth"]) & (self.bins["truth"] <= self.bins["high"])
        return float(inside.mean())


def nearness(asked: pd.DataFrame) -> Nearness:
    """Compare `promised`, `low` and `high` with `probability_90d`, lead by lead and in bins by promise."""
    promised, truth = asked["promised"].to_numpy(), asked["probability_90d"].to_numpy()
    logit = np.log(promised / (1 - promised))
    # A probability is an outcome of 1 with its weight and one of 0 with the rest.
    both = np.concatenate([np.ones(len(truth)), np.zeros(len(truth))])
    line = logistic_line(both, np.concatenate([logit, logit]), weights=np.concatenate([truth, 1 - truth]))
    binned = pd.qcut(asked["promised"].rank(method="first"), BINS, labels=False)
    means = asked[["promised", "low", "high", "probability_90d"]].groupby(binned).mean()
    return Nearness(line.slope, means.rename(columns={"probability_90d": "truth"}))
