"""Which method predicts best: all methods on the same later rows, each figure with its interval and its difference."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import UsageError
from training.bootstrap import Replicates, paired_bootstrap
from training.metrics import METRICS, Metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    from numpy.typing import NDArray
    from rich.table import Table

__all__ = ["EVERYONE", "JUDGED_WINS", "Scoreboard", "scoreboard"]

EVERYONE = "all"
# Below about a hundred wins the 95 % interval of an AUC is wider than +-0.045: figures, but no verdict.
JUDGED_WINS = 100

_VERDICT_METRICS = ("log_loss", "roc_auc", "wins_at_capacity")
_DIGITS = {"log_loss": 4, "brier": 4, "roc_auc": 3, "pr_auc": 3, "wins_at_capacity": 1}


@dataclass(frozen=True)
class Scoreboard:
    """Figures of all methods on one set of judged rows.

    `rows` is tidy: group, method, metric, value, low, high, difference, difference_low, difference_high (to the model,
    paired; for figures that should be near 1 between the distances from 1), n, wins, better. The group `all` holds
    every judged row.
    """

    rows: pd.DataFrame
    model: str
    capacity: int
    level: float
    n: int
    wins: int

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods, the model first."""
        return tuple(dict.fromkeys(self.rows["method"]))

    @property
    def groups(self) -> tuple[str, ...]:
        """All groups, `all` first."""
        return tuple(dict.fromkeys(self.rows["group"]))

    def figure(self, method: str, metric: str, *, group: str = EVERYONE) -> dict[str, Any]:
        """Return the one row of a method, metric and group.

        Raises
        ------
        UsageError
            If there is none.
        """
        of = self.rows
        found = of[(of["method"] == method) & (of["metric"] == metric) & (of["group"] == group)]
        if found.empty:
            known = f"{', '.join(self.methods)} on {', '.join(METRICS)} in {', '.join(self.groups)}"
            raise UsageError(f"{method!r} / {metric!r} / {group!r} is not on the scoreboard", hint=f"there are {known}")
        return {str(key): value for key, value in found.to_dict(orient="records")[0].items()}

    def significantly_better(self, method: str, metric: str, *, group: str = EVERYONE) -> bool:
        """Tell whether the paired interval of the difference lies wholly on the side where `method` beats the model."""
        row = self.figure(method, metric, group=group)
        if METRICS[metric].better == "larger":
            return bool(row["difference_low"] > 0)
        return bool(row["difference_high"] < 0)

    def significantly_worse(self, method: str, metric: str, *, group: str = EVERYONE) -> bool:
        """Tell whether the paired interval of the difference lies wholly on the side where the model beats `method`."""
        row = self.figure(method, metric, group=group)
        if METRICS[metric].better == "larger":
            return bool(row["difference_high"] < 0)
        return bool(row["difference_low"] > 0)

    def verdict(self) -> str:
        """Say in words what the figures allow to say; with too few wins, that they allow nothing."""
        if self.wins < JUDGED_WINS:
            return f"too few wins to judge: {self.wins} of {JUDGED_WINS}"
        if len(self.methods) == 1:
            return f"no other method was judged beside {self.model}"
        return "; ".join(self._sentence(METRICS[name]) for name in _VERDICT_METRICS)

    def _sentence(self, metric: Metric) -> str:
        others = [method for method in self.methods if method != self.model]
        ahead = [method for method in others if self.significantly_better(method, metric.name)]
        behind = [method for method in others if self.significantly_worse(method, metric.name)]
        level = [method for method in others if method not in (*ahead, *behind)]
        if len(behind) == len(others) > 3:
            return f"{metric.label}: {self.model} is ahead of all {len(others)} others"
        parts = [
            f"behind {_listed(ahead)}" if ahead else "",
            f"ahead of {_listed(behind)}" if behind else "",
            f"not told apart from {_listed(level)}" if level else "",
        ]
        return f"{metric.label}: {self.model} is " + ", ".join(part for part in parts if part)

    def table(self, *, group: str = EVERYONE, metrics: Sequence[str] = tuple(METRICS)) -> Table:
        """Return the figures as a table for the terminal: methods down, metrics across, intervals dimmed."""
        from rich.table import Table
        from rich.text import Text

        n, wins = (int(self.figure(self.model, "brier", group=group)[key]) for key in ("n", "wins"))
        caption = (
            f"{n} judged rows, {wins} wins; {self.level:.0%} intervals; capacity {self.capacity}. {self.verdict()}."
        )
        table = Table(title=f"scoreboard ({group})", caption=caption)
        table.add_column("method")
        for name in metrics:
            table.add_column(METRICS[name].label, justify="right")
        for method in self.methods:
            cells = [Text(method, style="bold" if method == self.model else "")]
            for name in metrics:
                row = self.figure(method, name, group=group)
                mark = " *" if method != self.model and self.significantly_better(method, name, group=group) else ""
                cells.append(Text(_number(row["value"], name) + mark))
                if not math.isnan(row["low"]):
                    cells[-1].append(f"\n{_number(row['low'], name)} – {_number(row['high'], name)}", style="dim")
            table.add_row(*cells)
        return table

    def to_json(self) -> str:
        """Return everything as JSON; a figure that could not be had is null."""
        rows = [{k: _plain(v) for k, v in row.items()} for row in self.rows.to_dict(orient="records")]
        head = {key: getattr(self, key) for key in ("model", "capacity", "level", "n", "wins")}
        return json.dumps({**head, "verdict": self.verdict(), "rows": rows}, allow_nan=False, ensure_ascii=False)


def scoreboard(
    y_obs: NDArray[Any],
    predictions: Mapping[str, NDArray[Any]],
    *,
    model: str,
    clusters: NDArray[Any],
    capacity: int,
    rng: np.random.Generator,
    groups: Mapping[str, NDArray[Any]] | None = None,
    periods: NDArray[Any] | None = None,
    replicates: int = 400,
    level: float = 0.95,
) -> Scoreboard:
    """Judge every method on the same rows.

    Parameters
    ----------
    y_obs
        Outcomes, 0 or 1, shape (n,).
    predictions
        Probabilities by method, each of shape (n,), `model` among them.
    model
        The method the others are compared with.
    clusters
        What is drawn together in the bootstrap, shape (n,) (see `training.bootstrap.cluster_codes`).
    capacity
        Leads a team can call in one period.
    rng
        The source of the bootstrap's draws.
    groups
        Further sets of rows to judge: a boolean mask of shape (n,), or labels of which each distinct value becomes a
        group `name=value`. Groups without a win or without a loss keep their place, with NaN where nothing can be said.
    periods
        The list each row stands on (the month of its cross-section): wins at capacity are counted on each list apart.
    replicates
        Draws of the bootstrap; groups get half as many.
    level
        Level of all intervals.

    Raises
    ------
    UsageError
        If `model` is not among the methods.
    DataError
        If lengths, outcomes or predictions are not right.

    Examples
    --------
    >>> y_obs = np.array([1, 0, 0, 1])
    >>> half, good = np.full(4, 0.5), np.array([0.9, 0.1, 0.1, 0.9])
    >>> judged = scoreboard(y_obs, {"model": good, "prior": half}, model="model", clusters=np.arange(4), capacity=2,
    ...                     rng=np.random.default_rng(0))
    >>> judged.figure("prior", "brier")["value"], judged.figure("model", "wins_at_capacity")["value"]
    (0.25, 2.0)
    >>> judged.verdict()
    'too few wins to judge: 2 of 100'
    """
    import pandas as pd

    if model not in predictions:
        raise UsageError(f"{model!r} is not among the judged methods", hint=f"there are {', '.join(predictions)}")
    ordered = {name: np.asarray(predictions[name]) for name in (model, *(p for p in predictions if p != model))}
    observed = np.asarray(y_obs)
    parts = []
    for group, mask in _masks(observed.size, groups):
        drawn = paired_bootstrap(
            observed[mask],
            {name: y_pred[mask] for name, y_pred in ordered.items()},
            clusters=np.asarray(clusters)[mask],
            capacity=capacity,
            rng=rng,
            replicates=replicates if group == EVERYONE else max(replicates // 2, 1),
            periods=None if periods is None else np.asarray(periods)[mask],
        )
        counts = {"n": int(mask.sum()), "wins": int(observed[mask].sum())}
        parts += [{"group": group, **row, **counts} for row in _tidy(drawn, model, level)]
    rows = pd.DataFrame(parts)
    rows["better"] = rows["metric"].map({name: metric.better for name, metric in METRICS.items()})
    return Scoreboard(rows, model, capacity, level, observed.size, int(observed.sum()))


def _masks(n: int, groups: Mapping[str, NDArray[Any]] | None) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    yield EVERYONE, np.ones(n, dtype=np.bool_)
    for name, labels in (groups or {}).items():
        values = np.asarray(labels)
        if values.shape != (n,):
            raise UsageError(f"group {name!r} has {len(values)} entries for {n} judged rows")
        if values.dtype == np.bool_:
            named = [(name, values)]
        else:
            named = [(f"{name}={value}", values == value) for value in np.unique(values)]
        yield from ((label, mask) for label, mask in named if mask.any())


def _tidy(drawn: Replicates, model: str, level: float) -> Iterator[dict[str, Any]]:
    for method in drawn.methods:
        for metric in drawn.metrics:
            here = drawn.interval(method, metric, level=level)
            apart = drawn.difference(method, metric, to=model, level=level)
            yield {
                "method": method,
                "metric": metric,
                **dict(zip(("value", "low", "high"), here, strict=True)),
                **dict(zip(("difference", "difference_low", "difference_high"), apart, strict=True)),
            }


def _number(value: float, metric: str) -> str:
    return "–" if math.isnan(value) else f"{value:.{_DIGITS.get(metric, 2)}f}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
