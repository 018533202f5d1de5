"""From a trained model to one that is served: the MLflow record, the first gate, promotion and rollback."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.clock import from_us, iso
from data.errors import DataError, RefusedError, UsageError
from data.settings import Settings
from features.words import LANGUAGES, Language
from training.bundles.bundle import Bundle, folder_name, pointed_bundle
from training.bundles.registry import Registry, RunRecord
from training.bundles.sealing import point_at, tell_publication
from training.evaluation.changes import Learnt
from training.evaluation.gallery import captioned, draw_judgement, picture_file, picture_names
from training.evaluation.judged import judged_table, write_judged
from training.evaluation.report import Picture, write_report
from training.evaluation.run_report import Before, facts_of, run_report
from training.run import Trained, run_metrics, run_parameters

__all__ = ["pictures_of", "promote_version", "publish_run", "report_pictures", "roll_back"]

_LEAST_BY_HAND = 40


def publish_run(trained: Trained, settings: Settings, *, may_replace: bool = False) -> dict[str, Any]:
    """Register a run in MLflow; serve it where the gate promotes it and nothing is served yet.

    Training twice on the same data gives the same bundle, which is registered once. With `may_replace` a challenger
    that the gate promotes replaces the champion, as in the monthly run; else it waits for `clew promote`.
    """
    registry = Registry(settings.mlruns)
    digest, verdict = trained.bundle.digest, trained.verdict
    version = registry.bundle_with(digest)
    reports = _report_files(trained, settings)
    if version is None or not all(path.is_file() for path in reports.values()):
        _write_reports(trained, settings, _before(registry, settings, digest))
    if version is None:
        _, version = registry.record(_record(trained, settings, verdict.sentence))
    tell_publication(trained.bundle.folder, version)
    first = trained.first and registry.version_of("champion") in (None, version)
    serve = verdict.decision == "promote" and (first or may_replace)
    if serve:
        _serve(registry, settings, version, trained.bundle.folder)
    elif registry.version_of("champion") != version:
        registry.alias("challenger", version)
    return {
        "version": version,
        "bundle": digest,
        "promoted": registry.version_of("champion") == version,
        "decision": verdict.decision,
        "verdict": verdict.sentence,
        "report": str(reports["en"]),
        "reports": {language: str(path) for language, path in reports.items()},
    }


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
    # In this order: whoever is stopped in between can do it again and still knows the one before.
    if served is not None and served != version:
        registry.alias("previous", served)
    registry.alias("champion", version)
    if registry.version_of("challenger") == version:
        registry.alias("challenger", None)


def report_pictures(trained: Trained, settings: Settings, *, language: Language = "en") -> tuple[Picture, ...]:
    """Return the pictures of a run with titles and captions, for a page."""
    return captioned(pictures_of(trained, settings, language=language), language=language)


def pictures_of(trained: Trained, settings: Settings, *, language: Language = "en") -> Mapping[str, Path]:
    """Return the pictures of the judged rows as SVG files, drawn once a run (see `training.evaluation.gallery`)."""
    folder = _run_folder(trained, settings) / "pictures"
    paths = {name: folder / picture_file(name, language) for name in picture_names(trained.judgement.scoreboard)}
    if not all(path.is_file() for path in paths.values()):
        _draw_pictures(trained, folder, language)
    return paths


def _run_folder(trained: Trained, settings: Settings) -> Path:
    return settings.home / "runs" / trained.bundle.folder.name[:19]


def _draw_pictures(trained: Trained, folder: Path, language: Language = "en") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draw_judgement(trained.judgement, folder, language=language)


def _report_files(trained: Trained, settings: Settings) -> Mapping[Language, Path]:
    """Return where the report of a run lies in each language."""
    folder = _run_folder(trained, settings) / "report"
    return {
        language: folder / ("report.html" if language == "en" else f"report.{language}.html") for language in LANGUAGES
    }


def _write_reports(trained: Trained, settings: Settings, before: Before | None) -> None:
    facts = facts_of(trained, before)
    for language, path in _report_files(trained, settings).items():
        pictures = report_pictures(trained, settings, language=language)
        write_report(run_report(trained, facts, pictures, language=language), path)


def _before(registry: Registry, settings: Settings, digest: str) -> Before | None:
    """Return the model that a run is compared with: the one that serves, or where it is this very run, the one before.

    One that cannot be read any more is none to compare with.
    """
    folder = pointed_bundle(settings.bundles_dir)
    if folder is not None and folder.name == folder_name(digest):
        previous = registry.version_of("previous")
        told = None if previous is None else registry.tags_of(previous).get("bundle")
        folder = None if told is None else settings.bundles_dir / folder_name(told)
    try:
        bundle = None if folder is None else Bundle.load(folder)
    except DataError:
        return None
    return None if bundle is None else Before(bundle, _learnt(registry, bundle.digest))


def _learnt(registry: Registry, digest: str) -> Learnt:
    """Return what a bundle had learnt from, as its run recorded it."""
    version = registry.bundle_with(digest)
    try:
        told = {} if version is None else registry.find_run(version).parameters
    except UsageError:
        return Learnt()
    pairs, won = told.get("pairs_labelled"), told.get("pairs_won")
    return Learnt() if pairs is None or won is None else Learnt(int(pairs), int(won))


def _record(trained: Trained, settings: Settings, verdict: str) -> RunRecord:
    folder = _run_folder(trained, settings)
    (folder / "scoreboard.json").write_text(trained.judgement.scoreboard.to_json(), encoding="utf-8")
    trained.judgement.scoreboard.to_parquet(folder / "tables" / "scoreboard.parquet")
    write_judged(judged_table(trained.judgement), folder / "tables" / "judged.parquet")
    catalogue = json.dumps(trained.bundle.catalogue.model_dump(), sort_keys=True).encode()
    return RunRecord(
        name=f"as of {iso(from_us(trained.cutoff_us))}",
        parameters=run_parameters(
            trained.judgement.choices,
            trained.plan,
            trained.counts,
            cutoff_us=trained.cutoff_us,
            features=len(trained.bundle.catalogue.features),
        ),
        metrics=run_metrics(trained.judgement),
        tags={
            "kind": "train",
            "bundle": trained.bundle.digest,
            "dataset": trained.dataset_digest,
            "catalogue": f"sha256:{hashlib.sha256(catalogue).hexdigest()}",
            "cutoff": iso(from_us(trained.cutoff_us)),
            "verdict": verdict,
        },
        artifacts={
            "bundle": trained.bundle.folder,
            "pictures": folder / "pictures",
            "report": folder / "report",
            "scoreboard": folder / "scoreboard.json",
            "tables": folder / "tables",
        },
    )
