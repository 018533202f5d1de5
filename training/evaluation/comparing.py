"""Comparing without shipping: the scoreboard of a cutoff, and two recorded runs side by side and row by row."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from data.clock import from_us, iso, now, parse_moment
from data.errors import UsageError
from training.bundles.registry import FoundRun, Registry, RunRecord
from training.evaluation.gallery import draw_judgement
from training.evaluation.judged import SharedRows, judged_table, read_judged, shared_rows, write_judged
from training.evaluation.judging import MODEL, Judgement
from training.evaluation.scoreboard import Scoreboard, read_scoreboard, scoreboard
from training.run import Prepared, judge_prepared, prepare, run_metrics, run_parameters

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

    from data.settings import Settings

__all__ = ["Comparison", "RunComparison", "compare_as_of", "compare_runs", "judge_as_of", "log_comparison"]

Progress = Callable[[str], None]
_TABLES = ("tables/scoreboard.parquet", "tables/judged.parquet")
# What two runs have to share for their probabilities to mean the same.
_MEANING = ("goal", "horizon_days")


@dataclass(frozen=True)
class Comparison:
    """All methods judged at a cutoff; nothing was sealed and no model registered."""

    prepared: Prepared
    judgement: Judgement

    @property
    def digest(self) -> str:
        """The hash of everything that was judged: comparing again on the same data gives the same one."""
        return f"sha256:{hashlib.sha256(self.judgement.scoreboard.to_json().encode()).hexdigest()}"


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side.

    `parameters` holds those that differ, as each run has them (None where it has none); `figures` one line for each
    group, method and metric with both runs' value, low and high; `paired` the two models on the rows that both judged,
    None where that cannot be; `said` the verdict in words, with what speaks against reading too much into it.
    """

    names: tuple[str, str]
    runs: tuple[FoundRun, FoundRun]
    parameters: Mapping[str, tuple[str | None, str | None]]
    figures: pd.DataFrame
    paired: Scoreboard | None
    said: tuple[str, ...]


def compare_as_of(
    settings: Settings,
    as_of: datetime,
    *,
    known_by: datetime | None = None,
    progress: Progress = lambda _: None,
) -> Judgement:
    """Judge the recipe and its peers forward in time as a training run would, and leave it at that.

    Raises
    ------
    DataError
        If there is too little history to judge forward in time.
    """
    return judge_as_of(settings, as_of, known_by=known_by, progress=progress).judgement


def judge_as_of(
    settings: Settings,
    as_of: datetime,
    *,
    known_by: datetime | None = None,
    progress: Progress = lambda _: None,
) -> Comparison:
    """Do what `compare_as_of` does, and return what it was done on as well.

    Raises
    ------
    DataError
        If there is too little history to judge forward in time.
    """
    from data.warehouse import Warehouse

    prepared = prepare(Warehouse(settings.warehouse_dir), settings, as_of=as_of, known_by=known_by, progress=progress)
    return Comparison(prepared, judge_prepared(prepared, settings, progress=progress))


def log_comparison(comparison: Comparison, settings: Settings, *, out: Path | None = None) -> str:
    """Log a comparison to MLflow as a run with the tag `kind=compare`, and return the run's id.

    Tables and pictures go to `out` as well where that is given. What was logged already is not logged again.

    Raises
    ------
    InfrastructureError
        If MLflow's database or `out` cannot be written.
    """
    log = _ComparisonLog(settings.mlruns)
    known = log.logged(comparison)
    if out is None and known is not None:
        return known
    with tempfile.TemporaryDirectory() as folder:
        artifacts = _written(comparison.judgement, out or Path(folder))
        return known or log.keep(_record(comparison, artifacts))


def _written(judgement: Judgement, folder: Path) -> Mapping[str, Path]:
    """Write scoreboard, judged rows and pictures, and return them by their place among a run's artifacts."""
    folder.mkdir(parents=True, exist_ok=True)
    tables, pictures = folder / "tables", folder / "pictures"
    (folder / "scoreboard.json").write_text(judgement.scoreboard.to_json(), encoding="utf-8")
    judgement.scoreboard.to_parquet(tables / "scoreboard.parquet")
    write_judged(judged_table(judgement), tables / "judged.parquet")
    draw_judgement(judgement, pictures)
    return {"scoreboard": folder / "scoreboard.json", "tables": tables, "pictures": pictures}


class _ComparisonLog(Registry):
    """The same database; a comparison is a run without a bundle and without a version."""

    def logged(self, comparison: Comparison) -> str | None:
        """Return the run that holds exactly these figures already."""
        with self._locked():
            client = self._client()
            same = f"tags.comparison = '{comparison.digest}'"
            found = client.search_runs([self._experiment(client)], same, max_results=1)
        return str(found[0].info.run_id) if found else None

    def keep(self, run: RunRecord) -> str:
        """Log a run and return its id."""
        from mlflow.entities import Metric, Param

        with self._locked():
            client = self._client()
            started = client.create_run(self._experiment(client), run_name=run.name, tags=dict(run.tags))
            run_id, at = str(started.info.run_id), int(now().timestamp() * 1000)
            client.log_batch(
                run_id,
                metrics=[Metric(key, value, at, 0) for key, value in run.metrics.items() if np.isfinite(value)],
                params=[Param(key, str(value)) for key, value in run.parameters.items()],
            )
            for place, path in run.artifacts.items():
                log = client.log_artifacts if path.is_dir() else client.log_artifact
                log(run_id, str(path), place)
            client.set_terminated(run_id)
        return run_id


def _record(comparison: Comparison, artifacts: Mapping[str, Path]) -> RunRecord:
    prepared, judgement = comparison.prepared, comparison.judgement
    cutoff = iso(from_us(prepared.cutoff_us))
    return RunRecord(
        name=f"comparison as of {cutoff}",
        parameters=run_parameters(
            judgement.choices,
            prepared.plan,
            prepared.training_set.counts,
            cutoff_us=prepared.cutoff_us,
            features=len(prepared.rows.catalogue.features),
        ),
        metrics=run_metrics(judgement),
        tags={
            "kind": "compare",
            "cutoff": cutoff,
            "dataset": prepared.training_set.digest,
            "comparison": comparison.digest,
            "verdict": judgement.scoreboard.verdict(),
        },
        artifacts=artifacts,
    )


def compare_runs(settings: Settings, first: str, second: str) -> RunComparison:
    """Put two recorded runs side by side; a run is named by its id, a version, or an alias.

    Figures side by side may stem from different months; the paired difference is taken on the rows that both judged.

    Raises
    ------
    UsageError
        If a name names no run (what there is is told), or both name the same.
    """
    registry = Registry(settings.mlruns)
    runs = registry.find_run(first), registry.find_run(second)
    if runs[0].run_id == runs[1].run_id:
        raise UsageError(f"{first!r} and {second!r} name the same run", hint="name two different ones")
    names = _name(first, runs[0]), _name(second, runs[1])
    keys = sorted({*runs[0].parameters, *runs[1].parameters})
    sides = {key: (runs[0].parameters.get(key), runs[1].parameters.get(key)) for key in keys}
    boards, judged = ([_artifact(registry, run, name) for run in runs] for name in _TABLES)
    without = [name for name, *paths in zip(names, boards, judged, strict=True) if None in paths]
    paired, said = None, tuple(f"{name} has kept no judged rows: train it again to compare it" for name in without)
    if not without:
        newer: Literal["first", "second"] = "first" if _cutoff(runs[0]) > _cutoff(runs[1]) else "second"
        tables = [read_judged(path) for path in judged if path is not None]
        shared = shared_rows(tables[0], tables[1], method=MODEL, newer=newer)
        paired, said = _judged_pair(shared, names, sides, settings)
    return RunComparison(
        names=names,
        runs=runs,
        parameters={key: side for key, side in sides.items() if side[0] != side[1]},
        figures=_side_by_side([None if path is None else read_scoreboard(path) for path in boards]),
        paired=paired,
        said=said,
    )


def _name(named: str, run: FoundRun) -> str:
    """Return what a run is called in tables: as it was asked for, with the version where that says more."""
    if run.version is None:
        return f"run {run.run_id[:8]}"
    return f"version {run.version}" if named in (run.version, run.run_id) else f"{named} (version {run.version})"


def _artifact(registry: Registry, run: FoundRun, name: str) -> Path | None:
    return registry.artifact(run.run_id, name)


def _cutoff(run: FoundRun) -> datetime:
    """Return when the data of a run ended; one that does not say so knew nothing."""
    said = run.tags.get("cutoff") or run.parameters.get("cutoff")
    return parse_moment(said, field="cutoff") if said else from_us(0)


def _judged_pair(
    shared: SharedRows,
    names: tuple[str, str],
    parameters: Mapping[str, tuple[str | None, str | None]],
    settings: Settings,
) -> tuple[Scoreboard | None, tuple[str, ...]]:
    """Judge the second run's model beside the first one's on the shared rows, and say what came of it."""
    apart = [key for key in _MEANING if key in parameters and parameters[key][0] != parameters[key][1]]
    if apart:
        what = " and ".join(f"{key} {parameters[key][0]} and {parameters[key][1]}" for key in apart)
        return None, (f"they predict different things ({what}), so their rows cannot be compared",)
    if not len(shared):
        return None, ("they judged no row both: no lead at the same moment is on both lists",)
    board = scoreboard(
        shared.y_obs,
        {names[1]: shared.second, names[0]: shared.first},
        model=names[1],
        clusters=shared.clusters,
        capacity=settings.capacity,
        rng=np.random.default_rng(settings.seed),
        periods=shared.periods if shared.periods.any() else None,
    )
    changed = (f"{shared.changed} of these rows have changed their outcome since the earlier run",)
    return board, (board.verdict(), *(changed if shared.changed else ()), *board.caveats)


def _side_by_side(boards: list[Scoreboard | None]) -> pd.DataFrame:
    """Return every figure of both runs, one line for each group, method and metric that either has."""
    import pandas as pd

    keys = ["group", "method", "metric"]
    sides = [
        pd.DataFrame(columns=["value", "low", "high"], dtype=float)
        if board is None
        else board.rows.set_index(keys)[["value", "low", "high"]]
        for board in boards
    ]
    lines = list(dict.fromkeys(line for side in sides for line in side.index))
    index = pd.MultiIndex.from_tuples(lines, names=keys)
    placed = [side.reindex(index).add_suffix(f"_{name}") for side, name in zip(sides, ("first", "second"), strict=True)]
    return pd.concat(placed, axis=1).reset_index()
