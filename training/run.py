"""One training run: from the warehouse to a judged and sealed model."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.clock import DAY_US, from_us, iso, parse_moment, to_us
from data.errors import DataError
from data.settings import Plan, Settings
from features.catalogue import Catalogue
from features.engine import FeatureComputer, feature_computer
from features.own import own_features
from features.scorecard import Scorecard, load_scorecard
from features.snapshots import SnapshotCounts, open_leads
from features.training_set import Sample, TrainingSet, build_training_set, catalogue_of, first_as_of
from training.bundles.bundle import Bundle, Grade, SealedModel, pointed_bundle
from training.bundles.sealing import publish, seal
from training.certainty.measure import judged_interval, with_certainty
from training.evaluation.judging import MODEL, Judgement, judge, predict
from training.evaluation.metrics import wilson
from training.gating.verdict import verdict_of
from training.leaks.finder import LeakReport, leaks_of, refuse_leaks
from training.learning.choosing import choose
from training.learning.parallel import steady_sums
from training.learning.recipe import Choices, Rows, fit_model, thinned
from training.learning.young import as_known, completed

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

    from data.warehouse import Warehouse
    from training.gating.gate import Verdict

__all__ = [
    "FITTING_ROWS",
    "Prepared",
    "Refit",
    "Trained",
    "champion_of",
    "frames",
    "judge_prepared",
    "plan_of",
    "prepare",
    "refit",
    "scorecard_of",
    "sealed",
    "train",
]

_GRADES = (("A", 0.90), ("B", 0.70), ("C", 0.40))
_LITTLE_DATA_WINS = 100
# More pairs than these teach the model nothing that could be measured, and cost time and memory.
FITTING_ROWS = 150_000
# So many are described; of the months that may be judged, with their settling, all are.
_DESCRIBED_ROWS = 300_000
_JUDGED_DAYS = 300
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """What a cutoff knows: all matured pairs, the younger ones, and today's open leads (there may be none).

    `leaks` is what the leak finder said; None where it said so in an earlier run that this one goes on with.
    """

    training_set: TrainingSet
    rows: Rows
    young: Rows
    open_rows: Rows
    plan: Plan
    scorecard: Scorecard
    leaks: LeakReport | None = None

    @property
    def cutoff_us(self) -> int:
        """When the data end."""
        return self.training_set.cutoff_us


@dataclass(frozen=True)
class Refit:
    """What ships: the models of all matured pairs, and the probabilities of today's open leads."""

    full: SealedModel
    profile: SealedModel
    reference: NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """What a run came to; `first` tells that nothing was served when it began."""

    judgement: Judgement
    bundle: Bundle
    verdict: Verdict
    first: bool
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
    allowed: Collection[str] = (),
    search_s: float = 0.0,
    progress: Progress = lambda _: None,
) -> Trained:
    """Judge the recipe forward in time, refit it on all matured pairs, seal and publish the bundle.

    With `known_by` only what was recorded by then is read, so that an old training set is rebuilt to the byte.

    With `search_s` so many seconds go into a search for a better shape of the trees.

    Publishing makes the bundle available under its hash; which one is served, a pointer says (`clew promote`).

    Raises
    ------
    DataError
        If there is too little history to judge forward in time, or a column leaks that is not allowed.
    """
    prepared = prepare(warehouse, settings, as_of=as_of, known_by=known_by, allowed=allowed, progress=progress)
    champion = champion_of(settings)
    choices = None if champion is None else Choices.from_dict(champion.manifest["choices"])
    judgement = judge_prepared(prepared, settings, champion=choices, search_s=search_s, progress=progress)
    refitted = refit(prepared, judgement, settings, progress=progress)
    return sealed(prepared, judgement, refitted, settings, champion=champion)


def prepare(
    warehouse: Warehouse,
    settings: Settings,
    *,
    as_of: datetime,
    known_by: datetime | None = None,
    allowed: Collection[str] = (),
    progress: Progress = lambda _: None,
) -> Prepared:
    """Photograph, label and describe all matured pairs and today's open leads, and look for leaks among the columns.

    `allowed` names columns that may be used although they look like leaks, beside the settings' own.

    Raises
    ------
    DataError
        If nothing has matured yet, or a column leaks that is not allowed.
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
        training_set = build_training_set(
            connection,
            catalogue,
            plan,
            cutoff_us=cutoff_us,
            immature=True,
            sample=Sample(_DESCRIBED_ROWS, whole_from_us=_judged_from_us(plan, cutoff_us)),
            compute=compute,
        )
        progress("describing today's open leads")
        open_rows = _open_rows(connection, compute, catalogue, plan, cutoff_us)
        rows, young = as_known(frames(training_set.table, catalogue), cutoff_us)
        leaks = leaks_of(connection, compute, rows, plan, cutoff_us=cutoff_us, seed=settings.seed, progress=progress)
    refuse_leaks(leaks, {*settings.allow_leaks, *allowed})
    return Prepared(training_set, rows, young, open_rows, plan, scorecard, leaks)


def judge_prepared(
    prepared: Prepared,
    settings: Settings,
    *,
    champion: Choices | None = None,
    search_s: float = 0.0,
    progress: Progress = lambda _: None,
) -> Judgement:
    """Judge the recipe and its peers on what was prepared, with the settings' capacity and seed."""
    return judge(
        prepared.rows,
        prepared.plan,
        prepared.scorecard,
        capacity=settings.capacity,
        champion=champion,
        open_rows=prepared.open_rows,
        search_s=search_s,
        seed=settings.seed,
        threads=settings.threads,
        progress=progress,
    )


def refit(
    prepared: Prepared, judgement: Judgement, settings: Settings, *, progress: Progress = lambda _: None
) -> Refit:
    """Fit the judged recipe on all pairs, its choices frozen, and score today's open leads."""
    strength, known = judgement.choices.strength, len(prepared.rows.spine) + len(prepared.young.spine)
    matured, young = (
        thinned(part, int(FITTING_ROWS * len(part.spine) / known), seed=settings.seed)
        for part in (prepared.rows, prepared.young)
    )
    rows = completed(matured, young, at_us=prepared.cutoff_us, strength=strength)
    progress(f"refitting on {len(rows.spine):,} of {known:,} pairs")
    with steady_sums():
        full = SealedModel(fit_model(rows, judgement.choices, threads=settings.threads), judgement.choices.calibrator)
        profile = _profile_model(prepared.rows, judgement, prepared.plan, settings, progress)
    return Refit(full, profile, _probabilities(full, prepared.open_rows))


def sealed(
    prepared: Prepared, judgement: Judgement, refitted: Refit, settings: Settings, *, champion: Bundle | None
) -> Trained:
    """Seal and publish the bundle of a refit, and ask the gate whether it may be served.

    A champion's grades and quantiles are inherited, so that an A stays an A.
    """
    bundle = _seal(prepared, judgement, refitted, settings, champion)
    verdict = verdict_of(
        judgement,
        refitted.reference,
        prepared.open_rows,
        champion,
        capacity=settings.capacity,
        seed=settings.seed,
        same=champion is not None and champion.digest == bundle.digest,
    )
    training_set = prepared.training_set
    return Trained(
        judgement,
        bundle,
        verdict,
        champion is None,
        training_set.counts,
        prepared.plan,
        prepared.cutoff_us,
        training_set.digest,
        judgement.predictions[MODEL],
    )


def champion_of(settings: Settings) -> Bundle | None:
    """Return the bundle that serves now, None where there is none or it can no longer be read.

    One that is damaged or of another format cannot be compared with; the next model is then judged as a first one.
    """
    folder = pointed_bundle(settings.bundles_dir)
    try:
        return Bundle.load(folder) if folder else None
    except DataError:
        return None


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


def _judged_from_us(plan: Plan, cutoff_us: int) -> int:
    """Return a moment before which nothing is judged."""
    if plan.judge_from is not None:
        return to_us(parse_moment(plan.judge_from))
    return cutoff_us - round((plan.horizon_days + _JUDGED_DAYS) * DAY_US)


def _profile_model(rows: Rows, judgement: Judgement, plan: Plan, settings: Settings, progress: Progress) -> SealedModel:
    """Fit the model for leads whose events are not known: chosen on the same fit rows, from lead and account alone."""
    only = _profile_rows(rows)
    progress("choosing the profile-only model")
    choices = choose(only.take(judgement.split.fit), monthly_only=plan.judge_age_days is None, seed=settings.seed)
    learnt = thinned(only, FITTING_ROWS, seed=settings.seed)
    return SealedModel(fit_model(learnt, choices, threads=settings.threads), choices.calibrator)


def _profile_rows(rows: Rows) -> Rows:
    catalogue = rows.catalogue.needing("lead", "account")
    return Rows(rows.frame[list(catalogue.names)], rows.spine, catalogue)


def _open_rows(
    connection: duckdb.DuckDBPyConnection, compute: FeatureComputer, catalogue: Catalogue, plan: Plan, as_of_us: int
) -> Rows:
    if open_leads(connection, as_of_us=as_of_us, goal=plan.goal):
        return frames(compute(connection, catalogue), catalogue)
    import pandas as pd

    nobody: dict[str, list[Any]] = {"lead_id": [], "as_of_us": []}
    return Rows(pd.DataFrame({name: [] for name in catalogue.names}), pd.DataFrame(nobody), catalogue)


def _probabilities(model: SealedModel, rows: Rows) -> NDArray[np.float64]:
    if rows.spine.empty:
        return np.empty(0)
    return predict(model.logit(model.model.encoding.tree_matrix(rows.frame)))


def _seal(
    prepared: Prepared, judgement: Judgement, refitted: Refit, settings: Settings, inherited: Bundle | None
) -> Bundle:
    plan, training_set = prepared.plan, prepared.training_set
    judged, reference = judgement.predictions[MODEL], refitted.reference
    quantiles = inherited.quantiles if inherited else _quantiles(reference if len(reference) >= 100 else judged)
    thresholds = [(g.grade, g.at_least) for g in inherited.grades] if inherited else _thresholds(judged)
    about = {
        "name": "lead-conversion",
        "goal": plan.goal,
        "horizon_days": plan.horizon_days,
        "timezone": settings.timezone,
        "cutoff": iso(from_us(training_set.cutoff_us)),
        "newest_as_of": iso(from_us(int(prepared.rows.spine["as_of_us"].max()))),
        "dataset": training_set.digest,
        "judged": {"rows": judgement.scoreboard.n, "wins": judgement.scoreboard.wins},
        "little_data": judgement.scoreboard.wins < _LITTLE_DATA_WINS,
        "choices": judgement.choices.as_dict(),
    }
    interval = judged_interval(judgement.spine, judged, plan)
    with tempfile.TemporaryDirectory() as draft:
        bundle = seal(
            Path(draft),
            about=json.loads(json.dumps(about)),
            catalogue=training_set.catalogue,
            scorecard=prepared.scorecard,
            full=with_certainty(refitted.full, prepared.rows, interval=interval),
            profile=with_certainty(refitted.profile, _profile_rows(prepared.rows)),
            quantiles=quantiles,
            grades=_measured(thresholds, judged, judgement.y_obs),
            as_of_us=training_set.cutoff_us,
        )
        return Bundle.load(publish(bundle, settings.bundles_dir))


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
        low, high = wilson(won, judged) if judged else (None, None)
        rate = won / judged if judged else None
        grades.append(
            Grade(grade=grade, at_least=at_least, judged=judged, won=won, conversion=rate, low=low, high=high)
        )
        above = at_least
    return grades


def run_metrics(judgement: Judgement) -> Mapping[str, float]:
    """Return every figure of the scoreboard under a name that MLflow takes."""
    table = judgement.scoreboard.rows
    rows = table[table["group"] == "all"]
    return {
        f"{row['method'].replace(' ', '_')}.{row['metric']}{suffix}": float(row[key])
        for row in rows.to_dict("records")
        for suffix, key in (("", "value"), (".low", "low"), (".high", "high"))
    }


def run_parameters(
    choices: Choices, plan: Plan, counts: SnapshotCounts, *, cutoff_us: int, features: int
) -> Mapping[str, Any]:
    """Return what defines a run."""
    return {
        "cutoff": iso(from_us(cutoff_us)),
        "goal": plan.goal,
        "horizon_days": plan.horizon_days,
        "alpha": choices.alpha,
        "strength": choices.strength,
        "trees": choices.trees,
        "half_life_days": choices.half_life_days,
        **{f"shape_{name}": value for name, value in asdict(choices.shape).items()},
        "platt_a": choices.calibrator.a,
        "platt_b": choices.calibrator.b,
        "forward_folds": choices.folds,
        "purged_folds": choices.purged,
        "features": features,
        **{f"pairs_{key}": value for key, value in asdict(counts).items()},
    }
