"""A worker after the pointer: what it takes, what it refuses, when it tries again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import serving.process.following
import serving.process.loading
from data.settings import Settings, load_settings
from serving.process.following import Follower, pointer_stamp
from serving.process.state import ServingState, answering
from training.bundles.bundle import pointed_bundle
from training.bundles.sealing import point_at, publish

if TYPE_CHECKING:
    from pathlib import Path

    from training.bundles.bundle import Bundle

pytestmark = pytest.mark.usefixtures("without_child")


@pytest.fixture
def without_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.process.loading, "_try_in_child", lambda _: None)


class Worker:
    """A state, its follower and what the follower told."""

    def __init__(self, settings: Settings) -> None:
        self.told: list[tuple[str, str, str]] = []
        seen = pointer_stamp(settings.bundles_dir)
        self.state = ServingState(answering(settings))
        self.follower = Follower(settings, self.state, seen=seen, tell=lambda *told: self.told.append(told))

    @property
    def pointer(self) -> str | None:
        return None if self.state.now is None else self.state.now.pointer


@pytest.fixture
def worker(bundles: Path) -> Worker:
    return Worker(load_settings(bundles=bundles))


def damage(folder: Path) -> bytes:
    whole = (folder / "model.json").read_bytes()
    (folder / "model.json").write_bytes(whole[:-9])
    return whole


def test_nothing_happens_while_the_pointer_stays(worker: Worker, bundle: Bundle) -> None:
    before = worker.state.now
    assert not worker.follower.look()
    assert worker.state.now is before
    assert (worker.state.digest, worker.told) == (bundle.digest, [])


def test_a_new_champion_is_taken_and_becomes_last_good(worker: Worker, bundles: Path, other_bundle: Bundle) -> None:
    point_at(bundles, "current", publish(other_bundle, bundles))
    assert worker.follower.look()
    assert (worker.state.digest, worker.pointer) == (other_bundle.digest, "current")
    assert worker.told == [("taken", other_bundle.digest, "")]
    assert pointed_bundle(bundles, "last_good") == pointed_bundle(bundles)


def test_a_bad_one_is_refused_once_and_tried_again_later(
    worker: Worker, bundles: Path, bundle: Bundle, other_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish(other_bundle, bundles)
    whole = damage(folder)
    point_at(bundles, "current", folder)
    assert not worker.follower.look()
    assert not worker.follower.look()
    assert [result for result, *_ in worker.told] == ["refused"]
    assert (worker.state.digest, worker.pointer) == (bundle.digest, "last_good")
    assert worker.state.now is not None
    assert "model.json has been changed or damaged" in worker.state.now.refused[0]
    (folder / "model.json").write_bytes(whole)
    later = time.monotonic() + 31
    monkeypatch.setattr("serving.process.following.time.monotonic", lambda: later)
    assert worker.follower.look()
    assert (worker.state.digest, worker.pointer) == (other_bundle.digest, "current")


def test_a_refused_one_is_tried_less_and_less_often(
    worker: Worker, bundles: Path, other_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish(other_bundle, bundles)
    damage(folder)
    point_at(bundles, "current", folder)
    clock, tries = time.monotonic(), []
    for second in range(0, 4_000, 5):
        monkeypatch.setattr("serving.process.following.time.monotonic", lambda at=clock + second: at)
        before = len(worker.told)
        worker.follower.look()
        tries += [second] * (len(worker.told) - before)
    assert tries == [0, 30, 90, 210, 450, 930, 1830, 2730, 3630]


def test_rolling_back_to_what_still_answers_needs_no_loading(
    worker: Worker, bundles: Path, bundle: Bundle, other_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = worker.state.now
    assert before is not None
    folder = publish(other_bundle, bundles)
    damage(folder)
    point_at(bundles, "current", folder)
    worker.follower.look()
    point_at(bundles, "current", publish(bundle, bundles))
    monkeypatch.setattr(serving.process.following, "load_checked", lambda _: pytest.fail("it is loaded already"))
    assert worker.follower.look()
    assert worker.state.now is not None
    assert worker.state.now.scorer is before.scorer
    assert (worker.pointer, worker.state.now.refused) == ("current", ())


def test_a_first_champion_replaces_the_rules(tmp_path: Path, bundle: Bundle) -> None:
    worker = Worker(load_settings(bundles=tmp_path / "bundles"))
    assert not worker.follower.look()
    point_at(tmp_path / "bundles", "current", publish(bundle, tmp_path / "bundles"))
    assert worker.follower.look()
    assert worker.state.digest == bundle.digest


def test_a_champion_that_was_promoted_while_the_one_before_was_being_loaded_is_not_missed(
    bundles: Path, other_bundle: Bundle
) -> None:
    settings = load_settings(bundles=bundles)
    seen = pointer_stamp(bundles)
    state = ServingState(answering(settings))
    point_at(bundles, "current", publish(other_bundle, bundles))
    assert Follower(settings, state, seen=seen, tell=lambda *_: None).look()
    assert state.digest == other_bundle.digest
