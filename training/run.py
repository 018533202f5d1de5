"""One training run: from the warehouse to a judged and sealed model."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.clock import from_us, iso, to_us
from data.settings import Plan, Settings
from features.catalogue import Catalogue
from features.engine import FeatureComputer, feature_computer
from features.own import own_features
from features.scorecard import Scorecard, load_scorecard
from features.snapshots import SnapshotCounts, open_leads
from features.training_set import TrainingSet, build_training_set, catalogue_of, first_as_of
from training.bundle import Bundle, Grade, SealedModel, pointed_bundle
from training.judging import MODEL, Judgement, judge, predict
from training.recipe import Choices, Rows, choose, fit_model
from training.sealing import publish, seal

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

    from data.warehouse import Warehouse

__all__ = ["Trained", "frames", "plan_of", "scorecard_of", "train"]

_GRADES = (("A", 0.90), ("B", 0.70), ("C", 0.40))
_LITTLE_DATA_WINS = 100
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """What a run came to."""

    judgement: Judgement
    bundle: Bundle
    counts: SnapshotCounts
    plan: Plan
    cutoff_us: int
    dataset_digest: str
    judged_probabilities: NDArray[np.float64]


def plan_of(settings: Settings, warehouse: Warehouse, *, known_by: datetime | None = None) -> Plan:
    """Return the plan of the settings, else that of the mapping imported last (by `known_by`), else the default."""
    return settings.plan or warehouse.plan(known_by=known_by) or Plan()


def scorecard_of(settings: Settings) -> Scorecard:
    """Return the rules of the settings, or the default template with the settings' target industries."""
    return load_scorecard(settings.scorecard, target_industries=settings.target_industries)


def train(
    warehouse: Warehouse,
    settings: Settings,
    *,
    as_of: datetime,
    known_by: datetime | None = None,
    progress: Progress = lambda _: None,
) -> Trained:
    """Judge the recipe forward in time, refit it on all matured pairs, seal and publish the bundle.

    With `known_by` only what was recorded by then is read, so that an old training set is rebuilt to the byte.

    Publishing makes the bundle available under its hash; which one is served, a pointer says (`clew promote`).

    Raises
    ------
    DataError
        If there is too little history to judge forward in time.
    """
    plan, scorecard = plan_of(settings, warehouse, known_by=known_by), scorecard_of(settings)
    cutoff_us = to_us(as_of)
    with warehouse.connect(threads=settings.query_threads, known_by=known_by) as connection:
        catalogue = catalogue_of(
            connection,
            warehouse,
            cutoff_us=cutoff_us,
            timezone=settings.timezone,
            wanted=scorecard.features(),
            known_by=known_by,
            own=own_features(settings, warehouse, known_by=known_by),
            treatments=settings.treatments,
            from_us=first_as_of(connection, plan),
        )
        progress(f"photographing leads and computing {len(catalogue.features)} features")
        compute = feature_computer(settings, warehouse, known_by=known_by)
        training_set = build_training_set(connection, catalogue, plan, cutoff_us=cutoff_us, compute=compute)
        rows = frames(training_set.table, catalogue)
        judgement = judge(
            rows,
            plan,
            scorecard,
            capacity=settings.capacity,
            seed=settings.seed,
            threads=settings.threads,
            progress=progress,
        )
        progress(f"refitting on all {len(rows.spine):,} matured pairs")
        full = SealedModel(fit_model(rows, judgement.choices, threads=settings.threads), judgement.choices.calibrator)
        profile = _profile_model(rows, judgement, plan, settings, progress)
        progress("scoring today's open leads and sealing the bundle")
        reference = _open_probabilities(connection, compute, catalogue, full, plan, cutoff_us)
    bundle = _seal(rows, training_set, judgement, full, profile, (plan, scorecard, settings, reference))
    return Trained(
        judgement, bundle, training_set.counts, plan, cutoff_us, training_set.digest, judgement.predictions[MODEL]
    )


def frames(table: pa.Table, catalogue: Catalogue) -> Rows:
    """Split a feature table into raw features and spine, with the types that the models read."""
    whole: pd.DataFrame = table.to_pandas()
    frame = whole[list(catalogue.names)].copy()
    for feature in catalogue.features:
        column = frame[feature.name]
        frame[feature.name] = (
            column.astype("float64") if feature.kind == "numeric" else column.astype(object).where(column.notna(), None)
        )
    return Rows(frame, whole[[c for c in whole.columns if c not in set(catalogue.names)]], catalogue)


def _profile_model(rows: Rows, judgement: Judgement, plan: Plan, settings: Settings, progress: Progress) -> SealedModel:
    """Fit the model for leads whose events are not known: chosen on the same fit rows, from lead and account alone."""
    catalogue = rows.catalogue.needing("lead", "account")
    only = Rows(rows.frame[list(catalogue.names)], rows.spine, catalogue)
    progress("choosing the profile-only model")
    choices = choose(only.take(judgement.split.fit), monthly_only=plan.judge_age_days is None, seed=settings.seed)
    return SealedModel(fit_model(only, choices, threads=settings.threads), choices.calibrator)


def _open_probabilities(
    connection: duckdb.DuckDBPyConnection,
    compute: FeatureComputer,
    catalogue: Catalogue,
    full: SealedModel,
    plan: Plan,
    as_of_us: int,
) -> NDArray[np.float64]:
    if not open_leads(connection, as_of_us=as_of_us, goal=plan.goal):
        return np.empty(0)
    rows = frames(compute(connection, catalogue), catalogue)
    return predict(full.logit(full.model.encoding.tree_matrix(rows.frame)))


def _seal(
    rows: Rows,
    training_set: TrainingSet,
    judgement: Judgement,
    full: SealedModel,
    profile: SealedModel,
    rest: tuple[Plan, Scorecard, Settings, NDArray[np.float64]],
) -> Bundle:
    plan, scorecard, settings, reference = rest
    judged = judgement.predictions[MODEL]
    inherited = _champion(settings.bundles_dir)
    quantiles = inherited.quantiles if inherited else _quantiles(reference if len(reference) >= 100 else judged)
    thresholds = [(g.grade, g.at_least) for g in inherited.grades] if inherited else _thresholds(judged)
    about = {
        "name": "lead-conversion",
        "goal": plan.goal,
        "horizon_days": plan.horizon_days,
        "timezone": settings.timezone,
        "cutoff": iso(from_us(training_set.cutoff_us)),
        "newest_as_of": iso(from_us(int(rows.spine["as_of_us"].max()))),
        "dataset": training_set.digest,
        "judged": {"rows": judgement.scoreboard.n, "wins": judgement.scoreboard.wins},
        "little_data": judgement.scoreboard.wins < _LITTLE_DATA_WINS,
        "choices": judgement.choices.as_dict(),
    }
    with tempfile.TemporaryDirectory() as draft:
        bundle = seal(
            Path(draft),
            about=json.loads(json.dumps(about)),
            catalogue=training_set.catalogue,
            scorecard=scorecard,
            full=full,
            profile=profile,
            quantiles=quantiles,
            grades=_measured(thresholds, judged, judgement.y_obs),
            as_of_us=training_set.cutoff_us,
        )
        return Bundle.load(publish(bundle, settings.bundles_dir))


def _champion(bundles: Path) -> Bundle | None:
    """Return the bundle being served: later ones inherit its grades and quantiles, so that an A stays an A."""
    folder = pointed_bundle(bundles)
    return Bundle.load(folder) if folder else None


def _quantiles(probabilities: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(q) for q in np.quantile(probabilities, np.arange(1, 100) / 100))


def _thresholds(judged: NDArray[np.float64]) -> list[tuple[str, float]]:
    """Return the first grades: A the best tenth of the judged leads, B the next fifth, C the next three tenths."""
    return [*((grade, float(np.quantile(judged, share))) for grade, share in _GRADES), ("D", 0.0)]


def _measured(
    thresholds: Sequence[tuple[str, float]], probabilities: NDArray[np.float64], y_obs: NDArray[np.int64]
) -> list[Grade]:
    grades, above = [], math.inf
    for grade, at_least in thresholds:
        inside = (probabilities >= at_least) & (probabilities < above)
        judged, won = int(inside.sum()), int(y_obs[inside].sum())
        low, high = _wilson(won, judged)
        rate = won / judged if judged else None
        grades.append(
            Grade(grade=grade, at_least=at_least, judged=judged, won=won, conversion=rate, low=low, high=high)
        )
        above = at_least
    return grades


def _wilson(won: int, judged: int) -> tuple[float | None, float | None]:
    """Return Wilson's 95 % interval of a rate (Wilson, 1927)."""
    if not judged:
        return None, None
    z, rate = 1.959964, won / judged
    centre = rate + z**2 / (2 * judged)
    spread = z * math.sqrt(rate * (1 - rate) / judged + z**2 / (4 * judged**2))
    scale = 1 + z**2 / judged
    return max((centre - spread) / scale, 0.0), min((centre + spread) / scale, 1.0)


def run_metrics(judgement: Judgement) -> Mapping[str, float]:
    """Return every figure of the scoreboard under a name that MLflow takes."""
    table = judgement.scoreboard.rows
    rows = table[table["group"] == "all"]
    return {
        f"{row['method'].replace(' ', '_')}.{row['metric']}{suffix}": float(row[key])
        for row in rows.to_dict("records")
        for suffix, key in (("", "value"), (".low", "low"), (".high", "high"))
    }


def run_parameters(trained: Trained) -> Mapping[str, Any]:
    """Return what defines a run."""
    choices: Choices = trained.judgement.choices
    return {
        "cutoff": iso(from_us(trained.cutoff_us)),
        "goal": trained.plan.goal,
        "horizon_days": trained.plan.horizon_days,
        "alpha": choices.alpha,
        "strength": choices.strength,
        "trees": choices.trees,
        "platt_a": choices.calibrator.a,
        "platt_b": choices.calibrator.b,
        "forward_folds": choices.folds,
        "purged_folds": choices.purged,
        "features": len(trained.bundle.catalogue.features),
        **{f"pairs_{key}": value for key, value in asdict(trained.counts).items()},
    }
