"""From a trained model to one that is served: the MLflow record, the first gate, promotion and rollback."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.clock import from_us, iso
from data.errors import RefusedError, UsageError
from data.settings import Settings
from training.bundle import Bundle, folder_name, pointed_bundle
from training.judging import MODEL
from training.pictures import (
    draw_differences,
    draw_gain,
    draw_reliability,
    draw_scores,
    gain_curve,
    reliability_curve,
)
from training.registry import Registry, RunRecord
from training.run import Trained, run_metrics, run_parameters
from training.scoreboard import JUDGED_WINS, Scoreboard
from training.sealing import point_at

__all__ = ["first_model_verdict", "pictures_of", "promote_version", "publish_run", "roll_back"]

_LEAST_BY_HAND = 40


def publish_run(trained: Trained, settings: Settings) -> dict[str, Any]:
    """Register a run in MLflow; promote it where nothing is served yet and it beats prior and scorecard.

    Training twice on the same data gives the same bundle, which is registered once.
    """
    registry = Registry(settings.mlruns)
    digest = trained.bundle.digest
    version = registry.bundle_with(digest)
    deserves, verdict = first_model_verdict(trained.judgement.scoreboard)
    if version is None:
        _, version = registry.record(_record(trained, settings, verdict))
    _tell_publication(trained.bundle.folder, version)
    first = registry.version_of("champion") is None and pointed_bundle(settings.bundles_dir) is None
    if first and deserves:
        _serve(registry, settings, version, trained.bundle.folder)
    elif registry.version_of("champion") != version:
        registry.alias("challenger", version)
        if deserves and not first:
            verdict += "; another model is served, so this one is the challenger until it is promoted"
    return {
        "version": version,
        "bundle": digest,
        "promoted": registry.version_of("champion") == version,
        "verdict": verdict,
    }


def first_model_verdict(board: Scoreboard) -> tuple[bool, str]:
    """Tell whether a first model deserves to be served, and why in words.

    It has to have a lower log loss than prior and scorecard, both with a 95 % paired interval that excludes 0, on at
    least 100 judged wins.
    """
    if board.wins < JUDGED_WINS:
        return False, f"{board.wins} judged wins, {JUDGED_WINS} are needed for a verdict; promote by hand with a reason"
    for peer in ("prior", "scorecard"):
        if not board.significantly_worse(peer, "log_loss"):
            row = board.figure(peer, "log_loss")
            return False, (
                f"it is not clearly better than the {peer}: log loss difference {row['difference']:.4f}, "
                f"95 % interval {row['difference_low']:.4f} to {row['difference_high']:.4f}"
            )
    return True, "it beats prior and rules on later leads"


def promote_version(settings: Settings, version: str, *, reason: str) -> Path:
    """Serve a version by hand, with a reason that is kept.

    Raises
    ------
    UsageError
        If there is no such version, or no reason.
    RefusedError
        If it was judged on fewer than 40 wins or 40 other leads: below that the rules answer.
    """
    if not reason.strip():
        raise UsageError("a promotion by hand needs a reason", hint="--reason 'why this one'")
    registry = Registry(settings.mlruns)
    folder = _folder_of(registry, settings, version)
    bundle = Bundle.load(folder)
    judged = bundle.manifest["judged"]
    if min(judged["wins"], judged["rows"] - judged["wins"]) < _LEAST_BY_HAND:
        raise RefusedError(
            f"version {version} was judged on {judged['wins']} wins among {judged['rows']} leads",
            hint=f"at least {_LEAST_BY_HAND} wins and {_LEAST_BY_HAND} others are needed; until then the rules answer",
        )
    bundle.recheck()
    registry.tag(version, {"promoted_because": reason.strip()})
    _serve(registry, settings, version, folder)
    return folder


def roll_back(settings: Settings) -> tuple[str, Path]:
    """Serve the previous version again; the two change places.

    Raises
    ------
    UsageError
        If there is no previous version.
    """
    registry = Registry(settings.mlruns)
    version = registry.version_of("previous")
    if version is None:
        raise UsageError("there is no previous version to go back to", hint="`clew promote` names a version")
    folder = _folder_of(registry, settings, version)
    Bundle.load(folder).recheck()
    _serve(registry, settings, version, folder)
    return version, folder


def _folder_of(registry: Registry, settings: Settings, version: str) -> Path:
    digest = registry.tags_of(version).get("bundle")
    if digest is None:
        raise UsageError(f"version {version} was not registered by clew: it names no bundle", hint="name another one")
    return settings.bundles_dir / folder_name(digest)


def _serve(registry: Registry, settings: Settings, version: str, folder: Path) -> None:
    """Point serving at a bundle first, then tell the registry: the pointer is what counts."""
    served = registry.version_of("champion")
    point_at(settings.bundles_dir, "current", folder)
    registry.alias("champion", version)
    if served is not None and served != version:
        registry.alias("previous", served)
    if registry.version_of("challenger") == version:
        registry.alias("challenger", None)


def _tell_publication(folder: Path, version: str) -> None:
    """Write beside the hashed content what is not content: the registry's version."""
    draft = folder / ".publication.json"
    draft.write_text(json.dumps({"version": version}), encoding="utf-8")
    draft.replace(folder / "publication.json")


def pictures_of(trained: Trained, settings: Settings) -> Mapping[str, Path]:
    """Return reliability, gain and lift, differences and scores of the judged rows as SVG files, drawn once a run."""
    folder = settings.home / "runs" / trained.bundle.folder.name[:19] / "pictures"
    names = ("reliability", "gain", "differences", "scores")
    if not all((folder / f"{name}.svg").is_file() for name in names):
        _draw_pictures(trained, folder)
    return {name: folder / f"{name}.svg" for name in names}


def _draw_pictures(trained: Trained, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    judgement = trained.judgement
    y_obs, y_pred = judgement.y_obs, judgement.predictions[MODEL]
    curves = [gain_curve(name, y_obs, predicted) for name, predicted in judgement.predictions.items()]
    curve = reliability_curve(y_obs, y_pred, rng=np.random.default_rng(0))
    draw_reliability(curve, folder / "reliability.svg")
    draw_gain(curves, folder / "gain.svg")
    draw_differences(judgement.scoreboard, folder / "differences.svg")
    draw_scores(y_obs, y_pred, folder / "scores.svg")


def _record(trained: Trained, settings: Settings, verdict: str) -> RunRecord:
    folder = pictures_of(trained, settings)["gain"].parents[1]
    (folder / "scoreboard.json").write_text(trained.judgement.scoreboard.to_json(), encoding="utf-8")
    catalogue = json.dumps(trained.bundle.catalogue.model_dump(), sort_keys=True).encode()
    return RunRecord(
        name=f"as of {iso(from_us(trained.cutoff_us))}",
        parameters=run_parameters(trained),
        metrics=run_metrics(trained.judgement),
        tags={
            "bundle": trained.bundle.digest,
            "dataset": trained.dataset_digest,
            "catalogue": f"sha256:{hashlib.sha256(catalogue).hexdigest()}",
            "cutoff": iso(from_us(trained.cutoff_us)),
            "verdict": verdict,
        },
        artifacts={
            "bundle": trained.bundle.folder,
            "pictures": folder / "pictures",
            "scoreboard": folder / "scoreboard.json",
        },
    )
