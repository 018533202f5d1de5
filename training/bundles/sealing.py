"""The sealed bundle, written: content to files, files to a manifest, the whole published by one rename."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from data.clock import DAY_US
from data.errors import DataError, InfrastructureError
from features.catalogue import AccountAttribute, Catalogue, EventCount, Feature, LeadAttribute, Recency
from features.memory import EventFact, LeadFacts
from features.scorecard import Scorecard
from training.bundles.bundle import FORMAT, Bundle, Grade, SealedModel, content_hash, facts_to_json, folder_name
from training.learning.encoding import CategoryCode, NumberCode

__all__ = ["GOLDEN_LEADS", "point_at", "publish", "seal", "tell_publication"]

GOLDEN_LEADS = 100


def seal(
    folder: Path,
    *,
    about: Mapping[str, Any],
    catalogue: Catalogue,
    scorecard: Scorecard,
    full: SealedModel,
    profile: SealedModel,
    quantiles: Sequence[float],
    grades: Sequence[Grade],
    as_of_us: int,
) -> Bundle:
    """Write a bundle into an empty folder, with 100 synthetic golden leads and their answers, and read it back.

    Parameters
    ----------
    about
        What the manifest tells beside the files: name, horizon, goal, cutoff, newest `as_of` fitted. No run id, version
        or time of making: the hash is of content only.
    as_of_us
        The moment at which the golden leads are scored.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "catalogue.json": catalogue.model_dump_json(),
        "scorecard.json": scorecard.model_dump_json(by_alias=True, exclude_none=True),
        "quantiles.json": _dump([float(q) for q in quantiles]),
        "grades.json": _dump([grade.model_dump() for grade in grades]),
        "golden.json": "[]",
    }
    models = {"model": full, "profile": profile}
    for name, sealed in models.items():
        texts |= _model_texts(name, sealed)
    texts["interval.json"] = _dump({name: _certainty(sealed) for name, sealed in models.items()})
    bundle = _write(folder, texts, about)
    golden = [_golden(bundle, facts, as_of_us) for facts in _synthetic_facts(bundle, as_of_us)]
    bundle = _write(folder, texts | {"golden.json": _dump(golden)}, about)
    bundle.recheck()
    return bundle


def publish(bundle: Bundle, bundles: Path) -> Path:
    """Copy a sealed bundle beside the others under its hash: written apart, flushed, then renamed into place.

    A bundle that is there and whole is left as it is; a damaged one is replaced.

    Raises
    ------
    InfrastructureError
        If the folder cannot be written; no half bundle is left then.
    """
    target = bundles / folder_name(bundle.digest)
    with _drafts(bundles, "bundle") as drafts:
        if not _is_whole(target):
            draft = drafts / target.name
            draft.mkdir(mode=0o755)
            for name in ("manifest.json", *bundle.manifest["files"]):
                shutil.copyfile(bundle.folder / name, draft / name)
                _flush(draft / name)
            _flush(draft)
            if target.exists():
                target.rename(drafts / "damaged")
            draft.rename(target)
            _flush(bundles)
    return target


def point_at(bundles: Path, pointer: str, target: Path) -> None:
    """Replace a pointer file (`current`, `last_good`) atomically.

    Raises
    ------
    InfrastructureError
        If the folder cannot be written; the pointer then names what it named before.
    """
    with _drafts(bundles, f"pointer {pointer}") as drafts:
        draft = drafts / pointer
        draft.write_text(target.name + "\n", encoding="utf-8")
        _flush(draft)
        draft.replace(bundles / pointer)
        _flush(bundles)


def tell_publication(folder: Path, version: str) -> None:
    """Write beside the hashed content of a published bundle what is not content: the registry's version."""
    draft = folder / ".publication.json"
    draft.write_text(json.dumps({"version": version}), encoding="utf-8")
    draft.replace(folder / "publication.json")


@contextmanager
def _drafts(bundles: Path, what: str) -> Iterator[Path]:
    """Give a hidden folder beside the bundles, on the same disk, and remove it whatever happens."""
    try:
        bundles.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=bundles, ignore_cleanup_errors=True) as drafts:
            yield Path(drafts)
    except OSError as error:
        raise InfrastructureError(
            f"the {what} could not be written ({error.strerror})", hint="check space and rights of the bundles folder"
        ) from None


def _is_whole(folder: Path) -> bool:
    try:
        Bundle.load(folder)
    except DataError:
        return False
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _model_texts(name: str, sealed: SealedModel) -> dict[str, str]:
    model = sealed.model
    told = {
        "encoding": model.encoding.model_dump(),
        "linear": {
            "weights": model.linear.weights.tolist(),
            "intercept": model.linear.intercept,
            "centres": model.linear.centres.tolist(),
        },
        "alpha": model.alpha,
        "base": model.base,
        "calibrator": asdict(sealed.calibrator),
    }
    texts = {f"{name}.json": _dump(told)}
    if model.trees is not None:
        texts[f"{name}.trees.txt"] = model.trees.model_to_string()
    return texts


def _certainty(sealed: SealedModel) -> dict[str, Any]:
    interval, likeness = sealed.interval, sealed.likeness
    return {
        "interval": None if interval is None else interval.model_dump(),
        "likeness": None if likeness is None else likeness.model_dump(),
    }


def _write(folder: Path, texts: Mapping[str, str], about: Mapping[str, Any]) -> Bundle:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(texts)}
    manifest = {"format": FORMAT, **about, "files": files}
    (folder / "manifest.json").write_text(_dump(manifest), encoding="utf-8")
    bundle = Bundle.load(folder)
    if bundle.digest != content_hash(manifest):
        raise InfrastructureError("the bundle read back differs from what was written", hint="check the disk")
    return bundle


def _golden(bundle: Bundle, facts: LeadFacts, as_of_us: int) -> dict[str, Any]:
    answer = bundle.answer(facts, as_of_us)
    return {
        "facts": facts_to_json(facts),
        "as_of_us": as_of_us,
        "answer": {
            "logit": answer.logit,
            "base_logit": answer.base_logit,
            "groups": dict(answer.groups),
            "points": answer.rules.points,
            "unlike": answer.unlike,
            "interval": bundle.interval_of(answer),
        },
    }


def _synthetic_facts(bundle: Bundle, as_of_us: int) -> list[LeadFacts]:
    """Make leads from the vocabulary and the ranges of the model; none of them is a row of anybody's data."""
    rng = np.random.default_rng(20_261_121)
    codes = {code.name: code for code in bundle.full.model.encoding.codes}
    return [_synthetic_lead(bundle.catalogue, codes, as_of_us, rng) for _ in range(GOLDEN_LEADS)]


def _synthetic_lead(
    catalogue: Catalogue, codes: Mapping[str, NumberCode | CategoryCode], as_of_us: int, rng: np.random.Generator
) -> LeadFacts:
    lead: dict[str, float | str | None] = {}
    account: dict[str, float | str | None] = {}
    for feature in catalogue.features:
        if isinstance(feature.compute, LeadAttribute):
            lead[feature.compute.column] = _draw(feature, codes, rng)
        elif isinstance(feature.compute, AccountAttribute):
            account[feature.compute.column] = _draw(feature, codes, rng)
    types = sorted(
        {t for f in catalogue.features if isinstance(f.compute, EventCount | Recency) for t in f.compute.types}
    ) or ["page_view"]
    return LeadFacts(
        created_us=as_of_us - int(rng.integers(0, 200 * DAY_US)),
        lead=lead,
        account=account if rng.random() < 0.9 else None,
        events=_draw_events(types, as_of_us, rng) if rng.random() < 0.8 else None,
        account_events=_draw_events(types, as_of_us, rng) if rng.random() < 0.7 else None,
    )


def _draw(
    feature: Feature, codes: Mapping[str, NumberCode | CategoryCode], rng: np.random.Generator
) -> float | str | None:
    code = codes.get(feature.name)
    if code is None or rng.random() < 0.15:
        return None
    if isinstance(code, CategoryCode):
        return str(rng.choice([*code.levels, "never seen before"]))
    return round(float(rng.uniform(code.low, code.high)), 3)


def _draw_events(types: Sequence[str], as_of_us: int, rng: np.random.Generator) -> tuple[EventFact, ...]:
    count = int(rng.integers(0, 25))
    ages = rng.integers(1, 120 * DAY_US, count)
    return tuple(
        EventFact(
            source="golden",
            event_id=str(k),
            type=str(rng.choice([*types, "never_seen_before"])),
            occurred_us=as_of_us - int(age),
            known_us=as_of_us - int(age),
            content_id=f"c{int(rng.integers(0, 5))}",
            duration_s=float(rng.integers(0, 600)),
            lead_id=f"l{int(rng.integers(0, 4))}",
        )
        for k, age in enumerate(ages)
    )
