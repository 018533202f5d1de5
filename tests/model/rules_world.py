"""A small world whose true points are known: of its team's rules some are right, one useless, one wrong, two silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.scorecard import SENIORITY, Scorecard, read_scorecard
from tests.model.rows import categorical, numeric, spine_of
from training.learning.recipe import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CATALOGUE", "TEMPLATE", "TRUE_CARD", "planted_rows", "true_points"]

CATALOGUE = Catalogue(
    features=(
        numeric("employees", scale="log"),
        numeric("whitepapers", scale="log", monotone=1),
        numeric("days_silent", monotone=-1),
        categorical("seniority"),
        categorical("industry"),
        categorical("source"),
        categorical("region"),
        categorical("legacy"),
        numeric("empty"),
    )
)
_POOLS = [{"pool": "A", "above": 80, "to": "top seller"}, {"pool": "B", "at_least": 50}, {"pool": "C"}]
_TRUE = {
    "employees >= 500": ({"feature": "employees", "at_least": 500}, 25),
    "whitepapers >= 2": ({"feature": "whitepapers", "at_least": 2}, 35),
    "seniority >= vp": ({"feature": "seniority", "at_least": "vp"}, 20),
    "source = list": ({"feature": "source", "equals": "list"}, -20),
}
# What the team believes: the first two the other way round, a region that says nothing, a source that speaks against a
# lead taken for a good sign, a value nobody has, a column nobody fills.
_BELIEVED = {
    "employees >= 500": ({"feature": "employees", "at_least": 500}, 35),
    "whitepapers >= 2": ({"feature": "whitepapers", "at_least": 2}, 10),
    "seniority >= vp": ({"feature": "seniority", "at_least": "vp"}, 20),
    "source = list": ({"feature": "source", "equals": "list"}, 15),
    "region = north": ({"feature": "region", "equals": "north"}, 20),
    "legacy = golden": ({"feature": "legacy", "equals": "golden"}, 10),
    "empty > 5": ({"feature": "empty", "above": 5}, 10),
}
_LOG_ODDS_A_POINT = 0.05


def _card(name: str, rules: dict[str, Any]) -> Scorecard:
    listed = [{"rule": rule, "when": when, "points": points} for rule, (when, points) in rules.items()]
    return read_scorecard({"name": name, "rules": listed, "pools": _POOLS})


TRUE_CARD = _card("true", _TRUE)
TEMPLATE = _card("template", _BELIEVED)


def true_points(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Return the points by which leads of this world really win."""
    return TRUE_CARD.points(frame)


def planted_rows(count: int, *, seed: int, months: int = 18, signal: bool = True) -> Rows:
    """Return rows on monthly lists that win by the true points, or all alike without signal."""
    rng = np.random.default_rng(seed)
    month = np.sort(rng.integers(0, months, count))

    def pick(*words: str | None) -> NDArray[np.object_]:
        return np.array(words, dtype=object)[rng.integers(0, len(words), count)]

    frame = pd.DataFrame(
        {
            "employees": np.where(rng.random(count) < 0.1, np.nan, np.floor(rng.lognormal(5.5, 1.5, count))),
            "whitepapers": rng.poisson(0.8, count).astype(float),
            "days_silent": np.where(rng.random(count) < 0.4, np.nan, rng.exponential(20, count)),
            "seniority": pick(*SENIORITY, None),
            "industry": pick("software", "retail", "energy", None),
            "source": pick("list", "search", "webinar", "fair"),
            "region": pick("north", "south", "east"),
            "legacy": pick("silver", "gold"),
            "empty": np.full(count, np.nan),
        }
    )
    margin = -3.0 + _LOG_ODDS_A_POINT * true_points(frame) * signal
    y_obs = (rng.random(count) < 1 / (1 + np.exp(-margin))).astype(np.int64)
    spine = spine_of(rng.integers(0, count // 2, count), month, y_obs, count // 4)
    return Rows(frame, spine, CATALOGUE)
