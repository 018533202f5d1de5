"""Recalibration: the served model with its intercept moved to what has matured since, as a bundle of its own."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.clock import iso, parse_moment, to_us
from data.errors import UsageError
from training.bundles.bundle import Bundle, SealedModel, folder_name, pointed_bundle
from training.bundles.registry import Registry, RunRecord
from training.bundles.sealing import publish, seal, tell_publication
from training.certainty.correction import LEAST_SHIFT, Correction, measure_correction
from training.monthly.journal import running_alone

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from data.settings import Plan, Settings
    from data.warehouse import Warehouse
    from training.learning.recipe import Rows

__all__ = ["Recalibrated", "corrected_bundle", "matured_since", "recalibrate"]


@dataclass(frozen=True)
class Recalibrated:
    """What came of it: the evidence for both models, and the bundle and version that is served now.

    `changed` is False where nothing was worth it; then `bundle` and `version` are those that were served before.
    """

    correction: Correction
    profile_correction: Correction
    bundle: Bundle
    version: str | None
    changed: bool
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "changed": self.changed,
            "why": self.why,
            "bundle": self.bundle.digest,
            "version": self.version,
            "correction": self.correction.as_dict(),
            "profile_correction": self.profile_correction.as_dict(),
        }


def recalibrate(
    warehouse: Warehouse, settings: Settings, *, as_of: datetime, progress: Callable[[str], None] = lambda _: None
) -> Recalibrated:
    """Correct the intercept of the served bundle by what had matured by `as_of`, register and promote the new bundle.

    The shift is always taken from the model as it was trained, so corrections replace each other and never add up; one
    that differs from the correction in force by less than 0.05 changes nothing. `clew rollback` goes back.

    Raises
    ------
    UsageError
        If no bundle is served yet.
    DataError
        If the served bundle is damaged.
    InfrastructureError
        If a retrain, or another correction, is under way.
    """
    with running_alone(settings.home):
        return _recalibrated(warehouse, settings, as_of, progress)


def _recalibrated(
    warehouse: Warehouse, settings: Settings, as_of: datetime, progress: Callable[[str], None]
) -> Recalibrated:
    folder = pointed_bundle(settings.bundles_dir)
    if folder is None:
        raise UsageError("no model is served yet, so there is nothing to correct", hint="`clew train` makes one")
    served = Bundle.load(folder)
    trained = _as_trained(served, settings.bundles_dir)
    rows = matured_since(trained, warehouse, settings, as_of=as_of, progress=progress)
    found, profile = _measure(trained.full, rows), _measure(trained.profile, rows)
    in_force = float(served.manifest.get("corrected", {}).get("shift", 0.0))
    if abs(found.shift - in_force) < LEAST_SHIFT:
        why = f"{found.why}; the correction in force, {in_force:+.3f}, stays" if in_force else found.why
        champion = Registry(settings.mlruns).version_of("champion")
        return Recalibrated(found, profile, served, champion, changed=False, why=why)
    progress("sealing the corrected bundle")
    bundle = corrected_bundle(trained, found, profile, settings.bundles_dir)
    version = _promote(bundle, found, profile, settings, as_of=as_of)
    return Recalibrated(found, profile, bundle, version, changed=True, why=found.why)


def matured_since(
    bundle: Bundle,
    warehouse: Warehouse,
    settings: Settings,
    *,
    as_of: datetime,
    progress: Callable[[str], None] = lambda _: None,
) -> Rows:
    """Return the pairs that had matured by `as_of` and lie after the newest one that the bundle was fitted on.

    Only what models are judged on: the monthly cross-sections or, where the plan names one age, the pairs of that age.
    Features are computed with the bundle's own catalogue.
    """
    from features.engine import feature_computer
    from features.snapshots import take_snapshots
    from features.training_set import feature_table
    from training.run import frames, plan_of

    plan = _judged_only(plan_of(settings, warehouse))
    newest = to_us(parse_moment(bundle.manifest["newest_as_of"]))
    with warehouse.connect(threads=settings.query_threads) as connection:
        progress("photographing leads that have matured since")
        take_snapshots(connection, plan, cutoff_us=to_us(as_of), timezone=bundle.catalogue.timezone)
        connection.execute("DELETE FROM spine WHERE as_of_us <= $newest", {"newest": newest})
        progress("computing their features")
        compute = feature_computer(settings, warehouse)
        return frames(feature_table(connection, bundle.catalogue, compute=compute), bundle.catalogue)


def corrected_bundle(trained: Bundle, found: Correction, profile: Correction, bundles: Path) -> Bundle:
    """Seal and publish a bundle with its intercepts moved; grades and quantiles are inherited.

    With shifts of 0 the result is the bundle as it was trained, under its own hash.
    """
    told = {
        "from": trained.digest,
        "shift": found.shift,
        "profile_shift": profile.shift,
        "evidence": found.as_dict(),
        "profile_evidence": profile.as_dict(),
    }
    kept = {key: value for key, value in trained.manifest.items() if key not in {"format", "files"}}
    about = kept | ({"corrected": told} if found.shift or profile.shift else {})
    with tempfile.TemporaryDirectory() as draft:
        bundle = seal(
            Path(draft),
            about=json.loads(json.dumps(about)),
            catalogue=trained.catalogue,
            scorecard=trained.scorecard,
            full=_moved(trained.full, found.shift),
            profile=_moved(trained.profile, profile.shift),
            quantiles=trained.quantiles,
            grades=trained.grades,
            as_of_us=int(trained.golden[0]["as_of_us"]),
        )
        return Bundle.load(publish(bundle, bundles))


def _as_trained(served: Bundle, bundles: Path) -> Bundle:
    """Return the bundle that a served correction was made from, or the served one where it is none."""
    corrected = served.manifest.get("corrected")
    return served if corrected is None else Bundle.load(bundles / folder_name(corrected["from"]))


def _judged_only(plan: Plan) -> Plan:
    """Return the plan with nothing photographed but what models are judged on."""
    if plan.judge_age_days is None:
        return plan.model_copy(update={"ages_days": (), "monthly": True})
    return plan.model_copy(update={"ages_days": (plan.judge_age_days,), "monthly": False})


def _measure(sealed: SealedModel, rows: Rows) -> Correction:
    if rows.spine.empty:
        return measure_correction(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), np.empty(0, object))
    logit = sealed.logit(sealed.model.encoding.tree_matrix(rows.frame))
    return measure_correction(rows.y_obs, logit, rows.spine["as_of_us"].to_numpy(np.int64), rows.clusters)


def _moved(sealed: SealedModel, shift: float) -> SealedModel:
    """Return the model with its calibrated log-odds shifted; its interval keeps its width around the new ones."""
    calibrator = replace(sealed.calibrator, b=sealed.calibrator.b + shift)
    interval = None if sealed.interval is None else sealed.interval.shifted(shift)
    return replace(sealed, calibrator=calibrator, interval=interval)


def _promote(bundle: Bundle, found: Correction, profile: Correction, settings: Settings, *, as_of: datetime) -> str:
    """Register the bundle as a version with its evidence, and serve it; the one before becomes `previous`."""
    from training.bundles.publishing import promote_version

    registry = Registry(settings.mlruns)
    version = registry.bundle_with(bundle.digest)
    if version is None:
        with tempfile.TemporaryDirectory() as folder:
            evidence = Path(folder) / "correction.json"
            evidence.write_text(json.dumps({"model": found.as_dict(), "profile": profile.as_dict()}), "utf-8")
            version = registry.record(_record(bundle, found, evidence, as_of=as_of))[1]
    tell_publication(bundle.folder, version)
    promote_version(settings, version, reason=f"intercept corrected by {found.shift:+.3f}: {found.why}")
    return version


def _record(bundle: Bundle, found: Correction, evidence: Path, *, as_of: datetime) -> RunRecord:
    figures = {f"correction.{key}": value for key, value in found.as_dict().items() if isinstance(value, int | float)}
    corrected = bundle.manifest.get("corrected", {})
    return RunRecord(
        name=f"recalibrated as of {iso(as_of)}",
        parameters={"shift": found.shift, "as_of": iso(as_of)},
        metrics={key: float(value) for key, value in figures.items()},
        tags={
            "bundle": bundle.digest,
            "dataset": str(bundle.manifest.get("dataset", "")),
            "cutoff": str(bundle.manifest.get("cutoff", "")),
            "corrected_from": str(corrected.get("from", "")),
            "shift": f"{found.shift:.6f}",
            "verdict": found.why,
        },
        artifacts={"bundle": bundle.folder, "correction": evidence},
    )
