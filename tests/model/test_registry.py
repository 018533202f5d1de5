"""The registry: one database, one model, its versions and aliases; whatever is broken is told in plain words."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import InfrastructureError, UsageError
from training.bundles.registry import MODEL_NAME, Registry, RunRecord

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")

ROOT = Path(__file__).parents[2]
PREPARE = (
    "import sys; from pathlib import Path; from training.bundles.registry import Registry; "
    "Registry(Path(sys.argv[1])).prepare()"
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("mlruns"))


def recorded(registry: Registry, folder: Path, digest: str) -> tuple[str, str]:
    (folder / "bundle").mkdir(exist_ok=True)
    (folder / "bundle" / "model.json").write_text("{}")
    (folder / "notes.txt").write_text("notes")
    return registry.record(
        RunRecord(
            name="as of then",
            parameters={"alpha": 0.5},
            metrics={"clew.log_loss": 0.25, "clew.slope": float("nan")},
            tags={"bundle": digest},
            artifacts={"bundle": folder / "bundle", "notes": folder / "notes.txt"},
        )
    )


def test_a_run_keeps_parameters_figures_that_could_be_had_and_artifacts(registry: Registry, tmp_path: Path) -> None:
    run_id, version = recorded(registry, tmp_path, "sha256:one")
    client = registry._client()
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"alpha": "0.5"}
    assert run.data.metrics == {"clew.log_loss": 0.25}
    assert {entry.path for entry in client.list_artifacts(run_id)} == {"bundle", "notes"}
    kept = list((registry.folder / "artifacts").rglob("model.json"))
    assert len(kept) == 1
    assert client.get_model_version(MODEL_NAME, version).run_id == run_id
    assert registry.tags_of(version)["bundle"] == "sha256:one"


def test_a_bundle_is_found_again_under_its_newest_version(registry: Registry, tmp_path: Path) -> None:
    assert registry.bundle_with("sha256:two") is None
    _, first = recorded(registry, tmp_path, "sha256:two")
    _, second = recorded(registry, tmp_path, "sha256:two")
    assert int(second) > int(first)
    assert registry.bundle_with("sha256:two") == second


def test_aliases_are_set_moved_and_taken_away(registry: Registry, tmp_path: Path) -> None:
    assert registry.version_of("champion") is None
    _, first = recorded(registry, tmp_path, "sha256:three")
    _, second = recorded(registry, tmp_path, "sha256:four")
    for version in (first, second):
        registry.alias("champion", version)
        assert registry.version_of("champion") == version
    registry.alias("champion", None)
    assert registry.version_of("champion") is None


def test_tags_are_kept_with_the_version(registry: Registry, tmp_path: Path) -> None:
    _, version = recorded(registry, tmp_path, "sha256:five")
    registry.tag(version, {"promoted_because": "tested"})
    assert registry.tags_of(version) == {"bundle": "sha256:five", "promoted_because": "tested"}


@pytest.mark.parametrize("version", ["999", "v1", ""])
def test_an_unknown_version_is_told(registry: Registry, version: str) -> None:
    with pytest.raises(UsageError, match="there is no version"):
        registry.tags_of(version)


def test_mlflow_does_not_tell_of_its_migrations(registry: Registry) -> None:
    registry.version_of("champion")
    assert logging.getLogger("mlflow").getEffectiveLevel() == logging.WARNING
    assert logging.getLogger("mlflow.store.db.utils").getEffectiveLevel() == logging.WARNING


def test_two_processes_at_a_fresh_database_do_not_break_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PREPARE, str(tmp_path / "mlruns")]
    running = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    assert not any(told), told


def test_a_damaged_database_is_told_and_never_passes_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"garbage" * 1000)
    broken = Registry(tmp_path)
    for ask in (
        broken.prepare,
        lambda: broken.version_of("champion"),
        lambda: broken.bundle_with("sha256:one"),
        lambda: broken.tags_of("1"),
        lambda: broken.alias("champion", "1"),
        lambda: broken.tag("1", {"a": "b"}),
        lambda: recorded(broken, tmp_path, "sha256:one"),
    ):
        with pytest.raises(InfrastructureError, match="MLflow") as caught:
            ask()
        assert caught.value.exit_code == 4


def test_only_what_mlflow_calls_absent_is(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

    class Busy:
        def __getattr__(self, name: str) -> None:
            raise MlflowException("the database is locked", error_code=TEMPORARILY_UNAVAILABLE)

    monkeypatch.setattr(Registry, "_client", lambda _: Busy())
    for ask in (lambda: registry.version_of("champion"), lambda: registry.tags_of("1")):
        with pytest.raises(InfrastructureError, match="TEMPORARILY_UNAVAILABLE"):
            ask()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="CLEW_MLRUNS"):
        Registry(tmp_path / "file" / "mlruns").prepare()
