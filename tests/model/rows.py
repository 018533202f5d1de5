"""Small sets of fit rows, drawn so that their outcome is known to depend on their features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from data.clock import DAY_US
from features.catalogue import Catalogue, Feature, LeadAttribute
from features.words import Words
from training.learning.recipe import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

MONTH_US = 30 * DAY_US
HORIZON_US = 90 * DAY_US


def numeric(name: str, *, scale: Literal["linear", "log"] = "linear", monotone: Literal[-1, 0, 1] = 0) -> Feature:
    compute, label = LeadAttribute(column=name), Words(en=name, zh=name)
    return Feature(
        name=name,
        group=name,
        kind="numeric",
        needs="lead",
        compute=compute,
        label=label,
        scale=scale,
        monotone=monotone,
    )


def categorical(name: str) -> Feature:
    compute, label = LeadAttribute(column=name), Words(en=name, zh=name)
    return Feature(name=name, group=name, kind="categorical", needs="lead", compute=compute, label=label)


CATALOGUE = Catalogue(
    features=(
        numeric("size", scale="log"),
        numeric("visits", scale="log", monotone=1),
        numeric("silence", monotone=-1),
        categorical("source"),
        numeric("noise"),
    )
)


def spine_of(
    lead: NDArray[np.int64], month: NDArray[np.int64], y_obs: NDArray[np.int64], accounts: int
) -> pd.DataFrame:
    """Return the spine of monthly cross-sections: two leads in three share an account with others."""
    as_of = (month + 1) * MONTH_US
    cluster = [f"a{k % accounts}" if k % 3 else f"lead:l{k}" for k in lead.tolist()]
    return pd.DataFrame(
        {
            "lead_id": [f"l{k}" for k in lead.tolist()],
            "as_of_us": as_of,
            "created_us": as_of - DAY_US,
            "monthly": 1,
            "age_us": np.nan,
            "label_closes_us": as_of + HORIZON_US,
            "mature_us": as_of + HORIZON_US,
            "y_obs": y_obs,
            "won_known_us": np.where(y_obs == 1, as_of + HORIZON_US // 3, np.nan),
            "lost_known_us": np.nan,
            "cluster": cluster,
        }
    )


def synthetic_rows(count: int, *, seed: int, months: int = 18) -> Rows:
    """Return monthly rows, in the order of time; wins depend on size, visits, silence and source, not on noise."""
    rng = np.random.default_rng(seed)
    month = np.sort(rng.integers(0, months, count))
    frame: dict[str, Any] = {
        "size": np.where(rng.random(count) < 0.2, np.nan, np.floor(rng.lognormal(4, 1.5, count))),
        "visits": rng.poisson(1.5, count).astype(float),
        "silence": np.where(rng.random(count) < 0.4, np.nan, rng.exponential(20, count)),
        "source": np.array(["fair", "search", "webinar", None], dtype=object)[rng.integers(0, 4, count)],
        "noise": rng.normal(size=count),
    }
    margin = -2.6 + 0.5 * np.nan_to_num(np.log1p(frame["size"]) - 4) + 0.6 * np.log1p(frame["visits"])
    margin = margin + 0.8 * (frame["source"] == "webinar") - 0.02 * np.nan_to_num(frame["silence"], nan=40.0)
    y_obs = (rng.random(count) < 1 / (1 + np.exp(-margin))).astype(np.int64)
    return Rows(pd.DataFrame(frame), spine_of(rng.integers(0, count // 2, count), month, y_obs, count // 4), CATALOGUE)


def changed(rows: Rows, *, frame: pd.DataFrame | None = None, y_obs: NDArray[np.int64] | None = None) -> Rows:
    """Return a copy with other features or other labels."""
    spine = rows.spine
    if y_obs is not None:
        known = np.where(y_obs == 1, spine["as_of_us"] + HORIZON_US // 3, np.nan)
        spine = spine.assign(y_obs=y_obs, won_known_us=known)
    return Rows(rows.frame if frame is None else frame, spine, rows.catalogue)
