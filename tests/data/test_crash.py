"""A crash at any moment leaves the warehouse before the import or after it, and the next import finishes the job."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from data.errors import InfrastructureError
from data.mapping import Mapping
from data.warehouse import Warehouse
from tests.data.big_export import big_mapping, write_big
from tests.data.exports import EVENTS, NOW, mapping, run, state, write_export
from tests.reference.worlds import EVIDENCE

ROOT = Path(__file__).parents[2]
LATER = NOW + timedelta(hours=1)
KILLS, ROWS, LEADS = (20, 300_000, 30_000) if EVIDENCE else (5, 30_000, 500)
# Forks a child for each line of standard input, so that the libraries are loaded once; says its number, then its end.
NURSERY = """
import json, os, resource, sys
from datetime import datetime
from pathlib import Path
import data.changes, data.parts, duckdb
from data.errors import ClewError
from data.importing import import_export
from data.mapping import Mapping
from data.warehouse import Warehouse
for line in sys.stdin:
    folder, mapping, warehouse, now, largest = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if largest:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
            used = Mapping.model_validate_json(mapping)
            import_export(Path(folder), used, Warehouse(Path(warehouse)), now=datetime.fromisoformat(now))
            code = 0
        except ClewError as error:
            sys.stderr.write(f"{error}\\n")
            code = error.exit_code
        finally:
            sys.stderr.flush()
            os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Nursery:
    """Imports in processes of their own, one after the other."""

    process: subprocess.Popen[str]

    def _answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def begin(self, scene: Scene, warehouse: Warehouse, *, largest: int = 0) -> int:
        """Start an import and return the number of its process; no file may grow beyond `largest` bytes if given."""
        assert self.process.stdin is not None
        asked = (str(scene.export), scene.mapping.model_dump_json(by_alias=True), str(warehouse.path),
                 LATER.isoformat(), largest)  # fmt: skip
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self, child: int, *, after: float | None = None) -> int:
        """Kill a child after so many seconds, or wait for it, and return its exit code."""
        if after is not None:
            time.sleep(after)
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.kill(child, signal.SIGKILL)
        return self._answer()


@dataclass(frozen=True)
class Scene:
    """A warehouse before an import, the export to import, and the warehouse after it, undisturbed."""

    folder: Path
    export: Path
    mapping: Mapping
    before: Warehouse
    after: Warehouse
    seconds: float

    def fresh(self, name: str) -> Warehouse:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        shutil.copytree(self.before.path, self.folder / name)
        return Warehouse(self.folder / name)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        yield Nursery(process)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("crash")
    used = big_mapping()
    before, after = Warehouse(folder / "before"), Warehouse(folder / "after")
    run(write_big(folder / "first", events=2000, leads=LEADS), before, used)
    export = write_big(folder / "export", events=ROWS, leads=LEADS, first=1000)
    shutil.copytree(before.path, after.path)
    started = time.monotonic()
    report = run(export, after, used, now=LATER)
    assert report.tables["events"].duplicates > 900
    return Scene(folder, export, used, before, after, time.monotonic() - started)


def quarantine_of(warehouse: Warehouse) -> set[str]:
    return {str(path.relative_to(warehouse.path)) for path in (warehouse.path / "quarantine").rglob("*")}


def test_an_import_killed_at_random_moments_leaves_the_warehouse_before_or_after_and_never_between(
    scene: Scene, nursery: Nursery
) -> None:
    digests = {w.manifest().model_dump_json(): w.digest() for w in (scene.before, scene.after)}
    assert len(set(digests.values())) == 2
    warehouse = scene.fresh("killed")
    moments = np.random.default_rng(7).uniform(0, 1.1 * scene.seconds, KILLS)
    cut_short = 0
    for moment in moments:
        cut_short += nursery.end(nursery.begin(scene, warehouse), after=moment) == -signal.SIGKILL
        manifest = warehouse.manifest().model_dump_json()
        assert manifest in digests, f"killed after {moment:.2f} s of {scene.seconds:.2f}"
        warehouse.verify()
        assert warehouse.digest() == digests[manifest]
        if manifest == scene.after.manifest().model_dump_json():
            warehouse = scene.fresh("killed")
    assert cut_short >= KILLS // 2
    run(scene.export, warehouse, scene.mapping, now=LATER)
    assert state(warehouse) == state(scene.after)
    assert quarantine_of(warehouse) == quarantine_of(scene.after)


def test_the_lock_of_a_killed_import_is_free_again(scene: Scene, nursery: Nursery) -> None:
    warehouse = scene.fresh("locked")
    child = nursery.begin(scene, warehouse)
    deadline = time.monotonic() + 60
    while not warehouse.scratch.is_dir() and time.monotonic() < deadline:
        time.sleep(0.005)
    with pytest.raises(InfrastructureError, match="another import holds"), warehouse.locked(wait_s=0):
        pytest.fail("the lock was given twice")
    nursery.end(child, after=0)
    with warehouse.locked(wait_s=0):
        assert not warehouse.scratch.exists()
    assert state(warehouse) == state(scene.before)


def bytes_of(warehouse: Warehouse) -> int:
    return max(path.stat().st_size for path in warehouse.path.rglob("*.parquet"))


@pytest.mark.parametrize("share", [0.05, 0.9])
def test_a_write_that_the_disk_refuses_ends_with_code_4_and_the_warehouse_as_it_was(
    scene: Scene, nursery: Nursery, share: float
) -> None:
    warehouse = scene.fresh("full")
    # No file may grow beyond this: the staged rows do not fit, or most of them do and a part does not.
    child = nursery.begin(scene, warehouse, largest=int(share * bytes_of(scene.after)))
    assert nursery.end(child) == InfrastructureError.exit_code
    assert state(warehouse) == state(scene.before)
    run(scene.export, warehouse, scene.mapping, now=LATER)
    assert state(warehouse) == state(scene.after)


@contextmanager
def failing(name: str, call: int) -> Iterator[list[int]]:
    """Let the n-th call of an operating system function fail as on a full disk; count the calls."""
    module, function = (Path, name) if hasattr(Path, name) else (os, name)
    real: Callable[..., object] = getattr(module, function)
    calls = [0]

    def counted(*args: object, **kwargs: object) -> object:
        calls[0] += 1
        if calls[0] == call:
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, function, counted)
        yield calls


@pytest.mark.parametrize("name", ["fsync", "rename", "replace", "mkdir"])
def test_each_step_to_the_disk_may_fail_and_the_warehouse_is_before_or_after(tmp_path: Path, name: str) -> None:
    used = mapping(tables={"events": big_mapping().model_dump(by_alias=True)["tables"]["events"]},
                   files={"events": {"path": "events.csv"}})  # fmt: skip
    first = write_export(tmp_path / "first")
    export = write_export(tmp_path / "in", events=EVENTS + "e9,L1,visit,2026-03-01T00:00:00Z\ne10,L1,visit,never\n")
    before, after = Warehouse(tmp_path / "before"), Warehouse(tmp_path / "after")
    run(first, before, used)
    shutil.copytree(before.path, after.path)
    with failing(name, 0) as calls:
        run(export, after, used, now=LATER)
    total = calls[0]
    assert total >= 1
    for call in range(1, total + 1):
        warehouse = Warehouse(tmp_path / "w")
        shutil.rmtree(warehouse.path, ignore_errors=True)
        shutil.copytree(before.path, warehouse.path)
        with failing(name, call), pytest.raises(InfrastructureError) as caught:
            run(export, warehouse, used, now=LATER)
        changed = warehouse.manifest() != before.manifest()
        # Only the very last confirmation comes after the new manifest, and then nobody says that nothing was imported.
        assert changed == (
            "nothing was imported" not in str(caught.value) and "cannot be written" not in str(caught.value)
        )
        expected = after if changed else before
        assert state(warehouse) == state(expected)
        assert (quarantine_of(warehouse) - {"quarantine"}) == (quarantine_of(expected) - {"quarantine"})
        run(export, warehouse, used, now=LATER)
        assert state(warehouse) == state(after)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Go on without the rights of the superuser, who may write everywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_warehouse_is_refused_in_words_and_stays_readable() -> None:
    folder = Path(tempfile.mkdtemp(prefix="clew"))
    try:
        warehouse = Warehouse(folder / "warehouse")
        run(write_export(folder / "in"), warehouse)
        before = state(warehouse)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        with as_nobody():
            with pytest.raises(InfrastructureError, match="cannot be written: Permission denied"):
                run(folder / "in", warehouse, now=LATER)
            assert warehouse.counts()["events"] == 3
        assert state(warehouse) == before
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
        shutil.rmtree(folder)
