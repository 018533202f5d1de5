"""MLflow on the training side: one database, one registered model, the aliases champion, challenger and previous.

Serving never reads any of this; it reads the sealed bundle.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.clock import now
from data.errors import InfrastructureError, UsageError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

__all__ = ["MODEL_NAME", "FoundRun", "Registry", "RunRecord"]

MODEL_NAME = "lead-conversion"
# What MLflow answers where an alias, or the model itself, is not there.
_ABSENT = frozenset({"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"})

_ALIASES = ("champion", "challenger", "previous")
# The newest ones; a monthly rhythm makes no more in a lifetime.
_MOST = 1000
_SHORTEST_ID, _SHOWN = 8, 12


@dataclass(frozen=True)
class RunRecord:
    """What a training run leaves in MLflow."""

    name: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: Mapping[str, Path]


@dataclass(frozen=True)
class FoundRun:
    """What is known of a run; `version` is the newest one made of it, None where none was."""

    run_id: str
    version: str | None
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


class Registry:
    """The registered model in a folder such as `mlruns/`: sqlite database and artifacts side by side."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @property
    def uri(self) -> str:
        """The tracking address that `mlflow ui --backend-store-uri` takes as well."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def prepare(self) -> None:
        """Create the database under a lock; several processes at a fresh one would break each other."""
        with self._locked():
            self._experiment(self._client())

    def record(self, run: RunRecord) -> tuple[str, str]:
        """Log a run with its artifacts and register its bundle; return the run's id and the version.

        Raises
        ------
        InfrastructureError
            If the database cannot be written.
        """
        with self._locked():
            client = self._client()
            experiment = self._experiment(client)
            started = client.create_run(experiment, run_name=run.name, tags=dict(run.tags))
            run_id = str(started.info.run_id)
            client.log_batch(run_id, metrics=_metrics(run.metrics), params=_parameters(run.parameters))
            for place, path in run.artifacts.items():
                log = client.log_artifacts if path.is_dir() else client.log_artifact
                log(run_id, str(path), place)
            client.set_terminated(run_id)
            version = client.create_model_version(
                MODEL_NAME, f"{started.info.artifact_uri}/bundle", run_id=run_id, tags=dict(run.tags)
            )
            return run_id, str(version.version)

    def version_of(self, alias: str) -> str | None:
        """Return the version an alias names, or None.

        Raises
        ------
        InfrastructureError
            If the database cannot be read.
        """
        from mlflow.exceptions import MlflowException

        # Only what MLflow says to be absent is: a database that cannot be read must not pass for an empty one.
        with _usable():
            try:
                return str(self._client().get_model_version_by_alias(MODEL_NAME, alias).version)
            except MlflowException as error:
                if error.error_code in _ABSENT:
                    return None
                raise

    def tags_of(self, version: str) -> Mapping[str, str]:
        """Return the tags of a version.

        Raises
        ------
        UsageError
            If there is no such version.
        """
        from mlflow.exceptions import MlflowException

        with _usable():
            try:
                return dict(self._client().get_model_version(MODEL_NAME, version).tags)
            except MlflowException as error:
                if error.error_code not in _ABSENT:
                    raise
                raise UsageError(
                    f"there is no version {version!r} of {MODEL_NAME}", hint="`clew train` makes one"
                ) from None

    def bundle_with(self, digest: str) -> str | None:
        """Return the version that holds a bundle already, or None: training twice registers once."""
        with self._locked():
            client = self._client()
            self._experiment(client)
            found = client.search_model_versions(f"name = '{MODEL_NAME}' and tags.bundle = '{digest}'")
        return str(max(found, key=lambda v: int(v.version)).version) if found else None

    def find_run(self, named: str) -> FoundRun:
        """Return the run that a version number, an alias, or a run id (or how it begins) names.

        Raises
        ------
        UsageError
            If there is none, or more than one whose id begins like that; it says what there is.
        """
        with _usable():
            client = self._client()
            versions = client.search_model_versions(f"name = '{MODEL_NAME}'", max_results=_MOST)
            run_of = {str(v.version): str(v.run_id or "") for v in versions}
            wanted = self.version_of(named) if named in _ALIASES else named
            experiment = client.get_experiment_by_name(MODEL_NAME)
            runs = client.search_runs([experiment.experiment_id], max_results=_MOST) if experiment else []
            by_id = {str(run.info.run_id): run for run in runs}
            if wanted in run_of:
                fitting = [run_of[wanted]] if run_of[wanted] in by_id else []
            else:
                fitting = [
                    i for i in by_id if wanted is not None and len(wanted) >= _SHORTEST_ID and i.startswith(wanted)
                ]
            if len(fitting) != 1:
                raise UsageError(f"no run is named {named!r}", hint=self._existing(list(run_of), list(by_id)))
            (run_id,) = fitting
            made = [version for version, of in run_of.items() if of == run_id]
            data = by_id[run_id].data
        return FoundRun(run_id, max(made, key=int, default=None), dict(data.params), dict(data.tags))

    def _existing(self, versions: Sequence[str], runs: Sequence[str]) -> str:
        if not runs:
            return "there is none yet: `clew train` makes one"
        aliases = [alias for alias in _ALIASES if self.version_of(alias) is not None]
        parts = (
            ("version", sorted(versions, key=int, reverse=True)),
            ("alias", aliases),
            ("run", [run[:_SHORTEST_ID] for run in runs]),
        )
        told = [
            f"{kind} {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}" for kind, names in parts if names
        ]
        return f"there are {'; '.join(told)}"

    def artifact(self, run_id: str, name: str) -> Path | None:
        """Return where a file that a run has left lies on this machine, None where the run has left none of that name.

        Raises
        ------
        InfrastructureError
            If it is recorded and cannot be read.
        """
        # The files lie on this machine: there is nothing to wait for, and so no progress to show.
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        with _usable():
            client = self._client()
            folder = name.rpartition("/")[0]
            if name not in {entry.path for entry in client.list_artifacts(run_id, folder or None)}:
                return None
            return Path(client.download_artifacts(run_id, name))

    def alias(self, alias: str, version: str | None) -> None:
        """Point an alias at a version, or take it away."""
        with _usable():
            client = self._client()
            if version is None:
                client.delete_registered_model_alias(MODEL_NAME, alias)
            else:
                client.set_registered_model_alias(MODEL_NAME, alias, version)

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        """Write tags on a version."""
        with _usable():
            client = self._client()
            for key, value in tags.items():
                client.set_model_version_tag(MODEL_NAME, version, key, value)

    def _experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(MODEL_NAME)
        if found is None:
            experiment = client.create_experiment(MODEL_NAME, artifact_location=(self.folder / "artifacts").as_uri())
        else:
            experiment = found.experiment_id
        if not client.search_registered_models(f"name = '{MODEL_NAME}'"):
            client.create_registered_model(MODEL_NAME)
        return str(experiment)

    def _client(self) -> MlflowClient:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        import logging

        from mlflow import MlflowClient

        # MLflow tells every migration of its database at INFO, a level it sets when imported; nobody needs that.
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.folder.mkdir(parents=True, exist_ok=True)
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with _usable():
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield


@contextmanager
def _usable() -> Iterator[None]:
    """Turn whatever disk, database and MLflow object to into one error with a hint."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OSError, SQLAlchemyError, MlflowException) as error:
        why = getattr(error, "strerror", None) or getattr(error, "error_code", None) or type(error).__name__
        raise InfrastructureError(
            f"MLflow's folder or database cannot be used ({why})", hint="check CLEW_MLRUNS, its space and rights"
        ) from None


def _metrics(figures: Mapping[str, float]) -> list[Metric]:
    """Return the figures that could be had; MLflow takes no NaN."""
    from mlflow.entities import Metric

    at = int(now().timestamp() * 1000)
    return [Metric(key, value, at, 0) for key, value in figures.items() if value == value]  # noqa: PLR0124 - NaN


def _parameters(values: Mapping[str, Any]) -> list[Param]:
    from mlflow.entities import Param

    return [Param(key, str(value)) for key, value in values.items()]
