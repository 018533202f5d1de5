"""Which method predicts best: all methods on the same later rows, each figure with its interval and its difference."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import DataError, UsageError
from data.files import written_whole
from training.evaluation.bootstrap import Replicates, paired_bootstrap
from training.evaluation.metrics import METRICS, Metric
from training.evaluation.segments import MISSING, OTHER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray
    from rich.table import Table

__all__ = [
    "EVERYONE",
    "FULL_ORIGINS",
    "JUDGED_WINS",
    "SEGMENT_WINS",
    "Scoreboard",
    "listed",
    "read_scoreboard",
    "scoreboard",
]

EVERYONE = "all"
# Below about a hundred wins the 95 % interval of an AUC is wider than +-0.045: figures, but no verdict.
JUDGED_WINS = 100
# Of a segment a coarser question is asked: whether the model fails there. Below thirty wins not even that is answered.
SEGMENT_WINS = 30
# With fewer monthly cross-sections a season, or one odd month, may decide; that is said beside the figures.
FULL_ORIGINS = 6

# On so many rows the figures vary little, and each draw costs more.
_MANY_ROWS = 20_000
_VERDICT_METRICS = ("log_loss", "roc_auc", "wins_at_capacity")
_HEAD = ("model", "capacity", "level", "n", "wins", "origins", "caveats")


@dataclass(frozen=True)
class Scoreboard:
    """Figures of all methods on one set of judged rows.

    `rows` is tidy: group, method, metric, value, low, high, difference, difference_low, difference_high (to the model,
    paired; for figures that should be near 1 between the distances from 1), n, wins, better. The group `all` holds
    every judged row. `origins` is the number of moments from which was predicted, each time with methods fitted anew;
    `caveats` are sentences that belong beside the figures.
    """

    rows: pd.DataFrame
    model: str
    capacity: int
    level: float
    n: int
    wins: int
    origins: int = 1
    caveats: tuple[str, ...] = ()

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

    def counts(self, group: str = EVERYONE) -> tuple[int, int]:
        """Return the judged rows of a group and the wins among them."""
        row = self.figure(self.model, "brier", group=group)
        return int(row["n"]), int(row["wins"])

    def rival(self, metric: str = "log_loss") -> str | None:
        """Return the method that is best beside the model on all judged rows, None where there is no other."""
        others = [method for method in self.methods if method != self.model]
        found = np.asarray([self.figure(method, metric)["value"] for method in others])
        if not np.isfinite(found).any():
            return None
        return others[int(np.nanargmin(METRICS[metric].loss(found)))]

    def verdict(self, *, group: str = EVERYONE) -> str:
        """Say in words what the figures allow to say; with too few wins, that they allow nothing."""
        if self.wins < JUDGED_WINS:
            return f"too few wins to judge: {self.wins} of {JUDGED_WINS}"
        wins = self.counts(group)[1]
        if wins < SEGMENT_WINS:
            return f"too few wins in this segment to judge: {wins} of {SEGMENT_WINS}"
        if len(self.methods) == 1:
            return f"no other method was judged beside {self.model}"
        return "; ".join(self._sentence(METRICS[name], group) for name in _VERDICT_METRICS)

    def _sentence(self, metric: Metric, group: str) -> str:
        others = [method for method in self.methods if method != self.model]
        ahead = [method for method in others if self.significantly_better(method, metric.name, group=group)]
        behind = [method for method in others if self.significantly_worse(method, metric.name, group=group)]
        level = [method for method in others if method not in (*ahead, *behind)]
        if len(behind) == len(others) > 3:
            return f"{metric.label}: {self.model} is ahead of all {len(others)} others"
        parts = [
            f"behind {listed(ahead)}" if ahead else "",
            f"ahead of {listed(behind)}" if behind else "",
            f"not told apart from {listed(level)}" if level else "",
        ]
        return f"{metric.label}: {self.model} is " + ", ".join(part for part in parts if part)

    def table(self, *, group: str = EVERYONE, metrics: Sequence[str] = tuple(METRICS)) -> Table:
        """Return the figures of a group as a table for the terminal."""
        from training.evaluation.scoreboard_table import method_table

        return method_table(self, group=group, metrics=metrics)

    def ahead(self, metric: str, *, group: str = EVERYONE) -> str:
        """Return who is ahead in a group, the model or the best other method: a name, `even`, or that wins are few."""
        rival = self.rival(metric)
        if min(self.wins / JUDGED_WINS, self.counts(group)[1] / SEGMENT_WINS) < 1:
            return "few wins"
        if rival is None:
            return "–"
        if self.significantly_better(rival, metric, group=group):
            return rival
        return self.model if self.significantly_worse(rival, metric, group=group) else "even"

    def to_parquet(self, path: Path) -> Path:
        """Write the tidy rows, one figure a line, with what is known of the whole board in the file's metadata.

        Raises
        ------
        InfrastructureError
            If the file cannot be written.
        """
        import pyarrow as pa
        from pyarrow import parquet

        table = pa.Table.from_pandas(self.rows, preserve_index=False)
        head = json.dumps({key: getattr(self, key) for key in _HEAD})
        with written_whole(path) as partial:
            parquet.write_table(table.replace_schema_metadata({"clew": head}), partial)
        return path

    def to_json(self) -> str:
        """Return everything as JSON; a figure that could not be had is null."""
        rows = [{k: _plain(v) for k, v in row.items()} for row in self.rows.to_dict(orient="records")]
        head = {key: getattr(self, key) for key in _HEAD}
        groups = {
            group: {**dict(zip(("n", "wins"), self.counts(group), strict=True)), "verdict": self.verdict(group=group)}
            for group in self.groups
        }
        whole = {**head, "verdict": self.verdict(), "groups": groups, "rows": rows}
        return json.dumps(whole, allow_nan=False, ensure_ascii=False)


def read_scoreboard(path: Path) -> Scoreboard:
    """Read what `Scoreboard.to_parquet` wrote.

    Raises
    ------
    DataError
        If the file is no scoreboard.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        head = json.loads(table.schema.metadata[b"clew"])
        caveats = tuple(str(caveat) for caveat in head.pop("caveats"))
        return Scoreboard(table.to_pandas(), **head, caveats=caveats)
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path.name} is no scoreboard that clew wrote ({type(error).__name__})") from None


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
    replicates: int | None = None,
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
        What is drawn together in the bootstrap, shape (n,) (see `training.evaluation.bootstrap.cluster_codes`).
    capacity
        Leads a team can call in one period.
    rng
        The source of the bootstrap's draws.
    groups
        Further sets of rows to judge: a boolean mask of shape (n,), or labels of which each distinct value becomes a
        group `name=value`. Groups without a win or without a loss keep their place, with NaN where nothing can be said.
    periods
        The list each row stands on (the moment of its cross-section, from which it was predicted): wins at capacity are
        counted on each list apart. Without it there is one list, predicted from one origin.
    replicates
        Draws of the bootstrap; groups get half as many. By default 400, on more than 20,000 rows 200.
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
    replicates = replicates or (400 if len(y_obs) <= _MANY_ROWS else 200)
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
    origins = 1 if periods is None else len(np.unique(np.asarray(periods)))
    accounts = len(np.unique(np.asarray(clusters)[observed == 1]))
    caveats = _caveats(origins, int(observed.sum()), accounts, monthly=periods is not None)
    return Scoreboard(rows, model, capacity, level, observed.size, int(observed.sum()), origins, caveats)


def _caveats(origins: int, wins: int, accounts: int, *, monthly: bool) -> tuple[str, ...]:
    said = []
    if not monthly:
        said.append("judged on one forward split, not on monthly cross-sections")
    elif origins < FULL_ORIGINS:
        months = f"{origins} monthly cross-section{'' if origins == 1 else 's'}"
        said.append(f"judged on {months}: the history is short")
    # A lead that is won after months of being open is a win on each of their lists.
    if accounts < JUDGED_WINS <= wins:
        said.append(f"the {wins} wins are those of {accounts} accounts, some on several lists")
    return tuple(said)


def _masks(n: int, groups: Mapping[str, NDArray[Any]] | None) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    yield EVERYONE, np.ones(n, dtype=np.bool_)
    for name, labels in (groups or {}).items():
        values = np.asarray(labels)
        if values.shape != (n,):
            raise UsageError(f"group {name!r} has {len(values)} entries for {n} judged rows")
        if values.dtype == np.bool_:
            named = [(name, values)]
        else:
            named = [(f"{name}={value}", values == value) for value in sorted(set(values.tolist()), key=_in_order)]
        yield from ((label, mask) for label, mask in named if mask.any())


def _in_order(label: object) -> tuple[bool, list[tuple[bool, float, str]]]:
    """Sort labels as people do: by the numbers in them, `over 180 days` after `90-180 days`, what is left over last."""
    words = re.findall(r"\d+|\D+", str(label).removeprefix("over "))
    parts = [(not word.isdecimal(), float(word) if word.isdecimal() else 0.0, word) for word in words]
    return str(label) in (OTHER, MISSING), parts


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


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them.

    Examples
    --------
    >>> listed(["prior", "scorecard", "logistic"])
    'prior, scorecard and logistic'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
