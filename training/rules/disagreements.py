"""The leads on which rules and model disagree, and which of the two was right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from data.errors import DataError
from training.evaluation.bootstrap import Interval, cluster_weights
from training.evaluation.metrics import wilson
from training.rules.judging import plain, spread

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SIDES", "Side", "Sides", "disagreements", "sides_of"]

Floats = NDArray[np.float64]
Side = Literal["rules_high", "model_high", "both_high"]

SIDES: tuple[Side, ...] = ("rules_high", "model_high", "both_high")
_REPLICATES = 400
_LEAST = 20


def disagreements(
    points: NDArray[Any],
    probability: NDArray[Any],
    *,
    lead_id: NDArray[Any],
    as_of_us: NDArray[np.int64],
    capacity: int,
    y_obs: NDArray[Any] | None = None,
    clusters: NDArray[Any] | None = None,
) -> pd.DataFrame:
    """Return the leads that rules or model would call, and which of them says so.

    High is who surely stands among the best `capacity` of a list, low who surely does not. Leads that share the points
    of the last place are neither: the rules leave them to chance, so that they are no opinion to disagree with.

    Parameters
    ----------
    points
        Points of the rules, or whatever ranks as they do, shape (n,).
    probability
        The model's probability, shape (n,).
    lead_id, as_of_us
        Who was asked about and when (microseconds UTC), shape (n,); each moment is one list.
    capacity
        Leads a team can call from one list.
    y_obs
        Outcomes, 0 or 1, where they are known.
    clusters
        Account, or the lead where there is none.

    Returns
    -------
    pandas.DataFrame
        lead_id, as_of_us, points, probability, side (`rules_high`: the model is low; `model_high`: the rules are low;
        `both_high`) and, where given, y_obs and cluster; by list, the strongest disagreement in ranks first.

    Raises
    ------
    DataError
        If lengths differ.

    Examples
    --------
    >>> found = disagreements(np.array([90, 10, 10]), np.array([0.1, 0.8, 0.2]), lead_id=np.array(["a", "b", "c"]),
    ...                       as_of_us=np.zeros(3, np.int64), capacity=1)
    >>> found[["lead_id", "side"]].to_numpy().tolist()
    [['a', 'rules_high'], ['b', 'model_high']]
    """
    import pandas as pd

    columns = {"lead_id": lead_id, "as_of_us": as_of_us, "points": points, "probability": probability}
    columns |= {name: part for name, part in (("y_obs", y_obs), ("cluster", clusters)) if part is not None}
    if len({len(part) for part in columns.values()}) != 1:
        raise DataError("points, probabilities, leads, moments and outcomes have different lengths")
    table = pd.DataFrame(columns)
    lists = table["as_of_us"].to_numpy(np.int64)
    rules, rules_rank = _standing(table["points"].to_numpy(np.float64), lists, capacity)
    model, model_rank = _standing(table["probability"].to_numpy(np.float64), lists, capacity)
    side = np.full(len(table), None, object)
    side[(rules == 1) & (model == -1)] = "rules_high"
    side[(rules == -1) & (model == 1)] = "model_high"
    side[(rules == 1) & (model == 1)] = "both_high"
    table["side"] = side
    table["apart"] = np.abs(rules_rank - model_rank)
    found = table[table["side"].notna()].sort_values(["as_of_us", "apart", "lead_id"], ascending=[True, False, True])
    return found.drop(columns="apart").reset_index(drop=True)


def _standing(score: Floats, lists: NDArray[np.int64], capacity: int) -> tuple[NDArray[np.int64], Floats]:
    """Return 1 for rows surely within capacity on their list, -1 for rows surely not, else 0; and the mean rank."""
    import pandas as pd

    ranked = pd.Series(-score).groupby(lists)
    first, last = (ranked.rank(method=method).to_numpy() for method in ("min", "max"))
    return np.where(last <= capacity, 1, np.where(first > capacity, -1, 0)).astype(np.int64), (first + last) / 2


@dataclass(frozen=True)
class Sides:
    """How the leads of each side fared.

    `rows` holds side, leads (different ones), rows, wins, rate and Wilson's 95 % interval `low`, `high`; `difference`
    is the win rate of `model_high` less that of `rules_high`, with a 95 % interval from drawing accounts.
    """

    rows: tuple[dict[str, Any], ...]
    difference: Interval

    def verdict(self) -> str:
        """Say which side was right, if that can be told."""
        by_side = {row["side"]: row["rows"] for row in self.rows}
        fewest = min(by_side["rules_high"], by_side["model_high"])
        if fewest < _LEAST:
            return f"too few disagreements to say who was right: {fewest} of {_LEAST} on one side"
        if self.difference.low > 0:
            return "where they disagreed the model was right more often"
        if self.difference.high < 0:
            return "where they disagreed the rules were right more often"
        return "where they disagreed neither was right more often, as far as can be told"

    def as_dict(self) -> dict[str, Any]:
        """Return every figure for JSON."""
        names = ("value", "low", "high")
        difference = {name: plain(part) for name, part in zip(names, self.difference, strict=True)}
        return {"sides": list(self.rows), "model_less_rules": difference, "verdict": self.verdict()}


def sides_of(table: pd.DataFrame, *, rng: np.random.Generator) -> Sides:
    """Return how the leads of each side fared; the table is that of `disagreements`, with outcomes.

    Wilson's interval takes rows as independent and a lead may stand on several lists, so that the verdict rests on the
    difference, whose interval comes from drawing accounts (leads where no account is known).
    """
    rows = []
    for side in SIDES:
        of = table[table["side"] == side]
        wins, count = int(of["y_obs"].sum()), len(of)
        low, high = wilson(wins, count) if count else (None, None)
        rate = wins / count if count else None
        leads = int(of["lead_id"].nunique())
        rows.append({"side": side, "leads": leads, "rows": count, "wins": wins, "rate": rate, "low": low, "high": high})
    return Sides(tuple(rows), _difference(table, rng))


def _difference(table: pd.DataFrame, rng: np.random.Generator) -> Interval:
    import pandas as pd

    if table.empty:
        return spread(float("nan"), np.empty(0))
    account = pd.factorize(table["cluster"] if "cluster" in table else table["lead_id"])[0]
    size, won = int(account.max()) + 1, table["y_obs"].to_numpy(np.float64)
    on = [table["side"].to_numpy() == side for side in ("model_high", "rules_high")]
    counts = np.stack([np.bincount(account, part, size) for side in on for part in (side * won, side * 1.0)])
    weights = cluster_weights(np.arange(size), rng, replicates=_REPLICATES)
    point, draws = (_gap(counts @ part) for part in (np.ones((size, 1)), weights))
    return spread(float(point[0]), draws)


def _gap(sums: Floats) -> Floats:
    """Return the difference of two win rates from (wins, rows, wins, rows), NaN where one side has no row."""
    known = (sums[1] > 0) & (sums[3] > 0)
    safe = np.where(known, sums, 1.0)
    return np.where(known, safe[0] / safe[1] - safe[2] / safe[3], np.nan)
