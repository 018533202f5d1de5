"""The sealed bundle written: the same content under the same name, all of it or nothing."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import training.bundles.sealing
from data.errors import DataError, InfrastructureError
from features.scorecard import load_scorecard
from tests.model.rows import synthetic_rows
from training.bundles.bundle import Bundle, Grade, SealedModel, pointed_bundle
from training.bundles.sealing import GOLDEN_LEADS, point_at, publish, seal
from training.certainty.interval import IntervalTable
from training.certainty.likeness import learn_likeness
from training.certainty.measure import with_certainty
from training.learning.model import Calibrator
from training.learning.recipe import Choices, Rows, fit_model

if TYPE_CHECKING:
    from collections.abc import Callable

AS_OF_US = 1_790_000_000_000_000
GRADES = [Grade(grade="A", at_least=0.0, judged=0, won=0, conversion=None, low=None, high=None)]


RANGE = IntervalTable(grid=(-7.0, 7.0), low=(-7.8, 6.5), high=(-6.5, 7.8), month_sd=0.3, wins=120, rows=900, periods=6)


def sealed_in(
    folder: Path,
    rows: Rows,
    *,
    trees: int = 10,
    cutoff: str = "2026-11-01",
    interval: IntervalTable | None = RANGE,
) -> Bundle:
    model = SealedModel(fit_model(rows, Choices(trees=trees)), Calibrator(1.2, 0.1))
    model = with_certainty(model, rows, interval=interval)
    return seal(
        folder,
        about={"name": "test", "cutoff": cutoff},
        catalogue=rows.catalogue,
        scorecard=load_scorecard(),
        full=model,
        profile=model,
        quantiles=np.linspace(0.01, 0.99, 99).tolist(),
        grades=GRADES,
        as_of_us=AS_OF_US,
    )


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return sealed_in(tmp_path_factory.mktemp("sealed") / "one", synthetic_rows(500, seed=1))


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return sealed_in(tmp_path_factory.mktemp("sealed") / "other", synthetic_rows(500, seed=2))


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_content_gives_the_same_bytes_and_digest(bundle: Bundle, tmp_path: Path) -> None:
    again = sealed_in(tmp_path / "again", synthetic_rows(500, seed=1))
    assert listing(again.folder) == listing(bundle.folder)
    assert again.digest == bundle.digest


def test_other_content_gives_another_digest(bundle: Bundle, other: Bundle, tmp_path: Path) -> None:
    later = sealed_in(tmp_path / "later", synthetic_rows(500, seed=1), cutoff="2026-12-01")
    assert len({bundle.digest, other.digest, later.digest}) == 3


def test_numbers_survive_sealing_to_the_last_bit(bundle: Bundle) -> None:
    rows = synthetic_rows(500, seed=1)
    model = fit_model(rows, Choices(trees=10))
    read = bundle.full.model
    assert read.encoding == model.encoding
    assert read.linear.weights.tobytes() == model.linear.weights.tobytes()
    assert (read.linear.intercept, read.alpha, read.base) == (model.linear.intercept, model.alpha, model.base)
    assert bundle.full.calibrator == Calibrator(1.2, 0.1)
    matrix = model.encoding.tree_matrix(rows.frame)
    np.testing.assert_allclose(read.margin(matrix), model.margin(matrix), atol=1e-12)


def test_the_range_and_what_is_unlike_survive_sealing_and_are_rechecked(bundle: Bundle, tmp_path: Path) -> None:
    assert bundle.full.interval == RANGE
    assert bundle.full.likeness == learn_likeness(
        bundle.full.model.encoding, bundle.full.model.encoding.tree_matrix(synthetic_rows(500, seed=1).frame)
    )
    told = [golden["answer"] for golden in bundle.golden]
    assert {answer["unlike"] for answer in told} == {True, False}
    assert all(answer["interval"][0] < 1 / (1 + math.exp(-answer["logit"])) < answer["interval"][1] for answer in told)
    folder = Path(shutil.copytree(bundle.folder, tmp_path / "copy"))
    wider = json.loads((folder / "interval.json").read_text("utf-8"))
    wider["model"]["interval"]["high"][1] += 1e-4
    (folder / "interval.json").write_text(json.dumps(wider), "utf-8")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["files"]["interval.json"] = hashlib.sha256((folder / "interval.json").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(DataError, match="answered otherwise"):
        Bundle.load(folder).recheck()


def test_a_bundle_without_a_range_answers_without_one(tmp_path: Path) -> None:
    bare = sealed_in(tmp_path / "bare", synthetic_rows(500, seed=1), interval=None)
    assert bare.interval(-1.0) is None
    assert {golden["answer"]["interval"] for golden in bare.golden} == {None}


def test_only_text_is_written(bundle: Bundle) -> None:
    for content in listing(bundle.folder).values():
        assert content.decode("utf-8").isprintable() or b"\n" in content
    assert {Path(name).suffix for name in listing(bundle.folder)} == {".json", ".txt"}


def test_a_model_without_trees_and_one_without_features_can_be_sealed(tmp_path: Path) -> None:
    rows = synthetic_rows(200, seed=3)
    assert "model.trees.txt" not in sealed_in(tmp_path / "no trees", rows, trees=0).manifest["files"]
    constant = rows.frame.assign(size=1.0, visits=1.0, silence=1.0, source="fair", noise=1.0)
    flat = sealed_in(tmp_path / "no features", Rows(constant, rows.spine, rows.catalogue), trees=20)
    answer = flat.answer_values({})
    assert answer.logit == pytest.approx(answer.base_logit)
    assert len(flat.golden) == GOLDEN_LEADS


def test_publishing_twice_is_publishing_once(bundle: Bundle, tmp_path: Path) -> None:
    first = publish(bundle, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in first.iterdir()}
    assert publish(bundle, tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in first.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == [bundle.digest.replace(":", "-")]


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_publishing_again_mends_a_damaged_bundle(bundle: Bundle, tmp_path: Path, damage: str) -> None:
    target = publish(bundle, tmp_path)
    if damage == "cut":
        (target / "model.json").write_text("{}")
    else:
        (target / "model.json").unlink()
    assert publish(bundle, tmp_path) == target
    Bundle.load(target).recheck()
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


class Killed(BaseException):
    """Stands for the end of the process."""


def fail(error: BaseException) -> Callable[..., Any]:
    def raising(*_: object, **__: object) -> None:
        raise error

    return raising


def visible(bundles: Path) -> list[str]:
    return [path.name for path in bundles.iterdir() if not path.name.startswith(".")]


@pytest.mark.parametrize("step", ["copyfile", "rename", "fsync"])
def test_a_publish_that_is_killed_leaves_no_half_bundle(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    owner: Any = {"copyfile": shutil, "rename": Path, "fsync": os}[step]
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, fail(Killed()))
        with pytest.raises(Killed):
            publish(bundle, tmp_path)
    assert visible(tmp_path) == []
    Bundle.load(publish(bundle, tmp_path)).recheck()


def test_a_full_disk_is_told_and_leaves_nothing_behind(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", fail(full))
        with pytest.raises(InfrastructureError, match="No space left") as caught:
            publish(bundle, tmp_path)
    assert caught.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


def test_whatever_is_published_is_flushed_before_it_gets_its_name(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(training.bundles.sealing, "_flush", lambda path: flushed.append(Path(path).name))
    target = publish(bundle, tmp_path)
    assert set(flushed[:-1]) == {*(path.name for path in target.iterdir()), target.name}
    assert flushed[-1] == tmp_path.name


def test_a_pointer_that_cannot_be_replaced_keeps_what_it_named(
    bundle: Bundle, other: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = publish(bundle, tmp_path), publish(other, tmp_path)
    point_at(tmp_path, "current", first)
    for error, expected in ((Killed(), Killed), (OSError(30, "Read-only file system"), InfrastructureError)):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", fail(error))
            with pytest.raises(expected):
                point_at(tmp_path, "current", second)
        assert pointed_bundle(tmp_path) == first
    point_at(tmp_path, "current", second)
    assert pointed_bundle(tmp_path) == second
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.name, second.name, "current"])


def test_a_folder_that_cannot_be_made_is_told(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="could not be written"):
        publish(bundle, tmp_path / "file" / "bundles")
    with pytest.raises(InfrastructureError, match="could not be written"):
        point_at(tmp_path / "file", "current", bundle.folder)


def test_golden_leads_are_nobodys_and_reach_beyond_what_was_learnt(bundle: Bundle) -> None:
    facts = [golden["facts"] for golden in bundle.golden]
    assert any(f["lead"].get("source") == "never seen before" for f in facts)
    assert any(f["lead"].get("size") is None for f in facts)
    assert any(f["account"] is None for f in facts)
    assert len({json.dumps(f, sort_keys=True) for f in facts}) == GOLDEN_LEADS


def test_sealing_refuses_what_it_cannot_read_back(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bundle, "load", staticmethod(lambda _: replace(bundle, digest="sha256:other")))
    with pytest.raises(InfrastructureError, match="differs from what was written"):
        sealed_in(tmp_path / "one", synthetic_rows(200, seed=1))
