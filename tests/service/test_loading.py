"""Which bundle answers when files are damaged, swapped or sealed by another code."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import serving.process.loading
from data.errors import DataError
from data.settings import load_settings
from serving.process.loading import choose_bundle, load_checked
from serving.process.state import answering
from serving.scoring.payload import parse_request
from training.bundles.bundle import Bundle, pointed_bundle
from training.bundles.sealing import point_at, publish

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def without_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the trial in a process of its own, where a test is about something else: it costs seconds."""
    monkeypatch.setattr(serving.process.loading, "_try_in_child", lambda _: None)


def resealed(folder: Path, target: Path, name: str, change: Any) -> Path:
    """Copy a bundle, change a file and give it the hash it needs to look whole."""
    shutil.copytree(folder, target)
    (target / name).write_text(change((target / name).read_text("utf-8")), "utf-8")
    manifest = json.loads((target / "manifest.json").read_text("utf-8"))
    manifest["files"][name] = hashlib.sha256((target / name).read_bytes()).hexdigest()
    (target / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return target


def test_a_sound_current_answers_and_becomes_last_good(bundles: Path, bundle: Bundle) -> None:
    loaded = choose_bundle(bundles)
    assert loaded.bundle is not None
    assert (loaded.bundle.digest, loaded.pointer, loaded.refused) == (bundle.digest, "current", ())
    assert pointed_bundle(bundles, "last_good") == pointed_bundle(bundles, "current")


@pytest.mark.usefixtures("without_child")
@pytest.mark.parametrize("name", ["model.trees.txt", "model.json", "profile.json", "manifest.json", "golden.json"])
def test_a_tampered_current_leaves_last_good_answering(
    bundles: Path, bundle: Bundle, other_bundle: Bundle, name: str
) -> None:
    choose_bundle(bundles)
    newer = publish(other_bundle, bundles)
    (newer / name).write_bytes((newer / name).read_bytes()[:-40])
    point_at(bundles, "current", newer)
    loaded = choose_bundle(bundles)
    assert loaded.bundle is not None
    assert (loaded.bundle.digest, loaded.pointer) == (bundle.digest, "last_good")
    assert len(loaded.refused) == 1
    assert loaded.refused[0].startswith("current: the bundle's")
    assert pointed_bundle(bundles, "last_good") != newer


@pytest.mark.usefixtures("without_child")
def test_a_bundle_that_answers_its_golden_leads_otherwise_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    def shifted(text: str) -> str:
        told = json.loads(text)
        return json.dumps({**told, "calibrator": {"a": told["calibrator"]["a"], "b": told["calibrator"]["b"] + 1e-6}})

    folder = resealed(bundle.folder, tmp_path / "shifted", "model.json", shifted)
    with pytest.raises(DataError, match="golden lead"):
        load_checked(folder)


def test_trees_that_kill_their_reader_do_not_kill_the_service(tmp_path: Path, bundle: Bundle) -> None:
    folder = resealed(
        bundle.folder,
        tmp_path / "bundles" / "deadly",
        "model.trees.txt",
        lambda text: text.replace("num_leaves=8", "num_leaves=90000000"),
    )
    point_at(tmp_path / "bundles", "current", folder)
    loaded = choose_bundle(tmp_path / "bundles")
    assert loaded.bundle is None
    assert "it ended the process that read it" in loaded.refused[0]


@pytest.mark.usefixtures("without_child")
def test_a_read_only_folder_does_not_keep_a_bundle_from_answering(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(serving.process.loading, "point_at", read_only)
    assert choose_bundle(bundles).pointer == "current"


def test_without_any_bundle_the_rules_answer_and_say_why(tmp_path: Path) -> None:
    answers = answering(load_settings(home=tmp_path))
    assert answers.refused == ("no bundle has been published yet",)
    told = answers.scorer.score(parse_request(b'{"lead": {"lead_id": "L"}}'), as_of_us=0)
    assert told["source"] == "rules"


def test_the_fallback_rules_follow_the_settings(tmp_path: Path) -> None:
    answers = answering(load_settings(home=tmp_path, target_industries=("fishing",)))
    request = parse_request(b'{"lead": {"lead_id": "L", "account": {"industry": "Fishing"}}}')
    assert answers.scorer.score(request, as_of_us=0)["rules"]["points"] == 15
