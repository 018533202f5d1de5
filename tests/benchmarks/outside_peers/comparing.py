"""One data set after the other: clew and its peers inside, the peers outside, and the paired differences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import DataError
from data.importing import import_export
from data.mapping import load_mapping
from data.settings import load_settings
from data.warehouse import Warehouse
from serving.demo.run import end_of_data
from tests.benchmarks.outside_peers.exchange import ENVIRONMENT, ask, read_rows, write_rows
from tests.datasets import public_dataset
from training.evaluation.bootstrap import Interval, Replicates, paired_bootstrap
from training.evaluation.judging import MODEL, Judgement, _Round, columns_of
from training.evaluation.peers import Logistic
from training.run import judge_prepared, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from data.settings import Settings
    from training.run import Prepared

__all__ = ["FOLDERS", "INSIDE", "SHOWN", "Compared", "compared", "exchanged", "mean_difference"]

FOLDERS = {"bank_marketing": "bank_marketing", "bpi2012": "bpi2012_loan_funnel", "olist": "olist_funnel"}
INSIDE = (MODEL, "logistic", "lightgbm defaults")
SHOWN = ("roc_auc", "log_loss")
_REPLICATES = 1000


@dataclass(frozen=True)
class Compared:
    """One data set: all methods on the same judged rows and on the same draws of accounts."""

    name: str
    fitted: int
    n: int
    wins: int
    replicates: Replicates
    told: dict[str, dict[str, Any]]

    @property
    def peers(self) -> tuple[str, ...]:
        """Everybody but the model."""
        return tuple(method for method in self.replicates.methods if method != MODEL)

    def as_dict(self) -> dict[str, Any]:
        """Return every figure, and clew's differences to each peer with their 95 % intervals."""
        figures = {m: {k: self.replicates.interval(m, k).value for k in SHOWN} for m in self.replicates.methods}
        differences = {p: {k: self.replicates.difference(MODEL, k, to=p) for k in SHOWN} for p in self.peers}
        counts = {"name": self.name, "fitted": self.fitted, "judged": self.n, "wins": self.wins}
        return {**counts, "figures": figures, "clew_minus": differences, "told": self.told}


def compared(
    name: str, *, seconds: float, threads: int, python: Path = ENVIRONMENT, progress: Callable[[str], None]
) -> Compared:
    """Import a data set, judge clew on it, and let the outside peers learn from the same rows."""
    source = public_dataset(FOLDERS[name])
    with TemporaryDirectory(prefix="clew-peers-") as kept:
        home = Path(kept)
        settings = load_settings(home=home, mlruns=home / "mlruns")
        warehouse = Warehouse(settings.warehouse_dir)
        progress("importing")
        import_export(source, load_mapping(name), warehouse)
        prepared = prepare(warehouse, settings, as_of=end_of_data(settings), progress=progress)
        judgement = judge_prepared(prepared, settings, progress=progress)
        folder = home / "exchanged"
        folder.mkdir()
        fitted = exchanged(folder, prepared, judgement, settings)
        progress("fitting CatBoost and FLAML")
        answer = ask(folder, python=python, seconds=seconds, threads=threads)
    predictions = {method: judgement.predictions[method] for method in INSIDE} | answer.predictions
    progress("drawing intervals")
    replicates = paired_bootstrap(
        judgement.y_obs,
        predictions,
        clusters=judgement.spine["cluster"].to_numpy(object),
        capacity=settings.capacity,
        rng=np.random.default_rng(settings.seed),
        replicates=_REPLICATES,
    )
    return Compared(name, fitted, len(judgement.y_obs), int(judgement.y_obs.sum()), replicates, answer.told)


def exchanged(folder: Path, prepared: Prepared, judgement: Judgement, settings: Settings) -> int:
    """Write the rows that the scoreboard's own peers had; return how many are fitted.

    Raises
    ------
    DataError
        If there are several origins, or logistic regression on the written rows answers other than on the scoreboard.
    """
    if len(judgement.split.origins) != 1:
        raise DataError(f"one origin was expected, the plan gives {len(judgement.split.origins)}")
    (origin,), quiet = judgement.split.origins, lambda _: None
    at = _Round(prepared.rows, prepared.plan, origin, seed=settings.seed, threads=1, progress=quiet)
    write_rows(folder, at.fit, at.judged, columns_of(at.fit))
    fit, judged, outcomes, columns = read_rows(folder)
    again = Logistic().fit(fit, outcomes["y_obs"].to_numpy(np.int64), columns=columns).predict(judged)
    apart = float(np.abs(again - judgement.predictions["logistic"]).max())
    if apart > 1e-9:
        raise DataError(f"logistic regression on the exchanged rows is {apart:.2g} away from the scoreboard's")
    return len(fit)


def mean_difference(found: Sequence[Compared], metric: str, *, to: str) -> Interval:
    """Return the mean over data sets of clew's difference to a peer, with its 95 % interval; the sets are independent.

    Every set counts alike, however many rows it has.
    """
    parts = []
    for one in found:
        at = one.replicates.metrics.index(metric)
        ours, theirs = (one.replicates.methods.index(method) for method in (MODEL, to))
        parts.append(one.replicates.draws[:, ours, at] - one.replicates.draws[:, theirs, at])
    value = float(np.mean([one.replicates.difference(MODEL, metric, to=to).value for one in found]))
    low, high = np.quantile(np.mean(parts, axis=0), [0.025, 0.975])
    return Interval(value, float(low), float(high))
