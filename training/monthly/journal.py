"""What a monthly run has done so far: one folder a run, one whole file a step, so that a rerun goes on from there."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.clock import from_us
from data.errors import InfrastructureError
from data.files import written_whole

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Journal", "run_folder", "run_key", "running_alone"]


class Journal:
    """The finished steps of a run, each with what it found.

    A step is a JSON document or an Arrow table under its name; it is there whole or not at all, so that a run that was
    killed goes on with the first step that is missing.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     journal = Journal(Path(folder) / "run")
    ...     journal.write("checks", {"passed": True})
    ...     journal.read("checks"), journal.read("gate")
    ({'passed': True}, None)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> dict[str, Any] | None:
        """Return what a step found, None where it has not been finished."""
        try:
            found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return found

    def write(self, name: str, found: Mapping[str, Any]) -> None:
        """Finish a step.

        Raises
        ------
        InfrastructureError
            If the folder cannot be written.
        """
        with written_whole(self.folder / f"{name}.json") as beside:
            beside.write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")

    def read_table(self, name: str) -> pa.Table | None:
        """Return the table of a step, None where it is not there or cannot be read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.read_table(self.folder / f"{name}.parquet")
        except (OSError, pa.ArrowException):
            return None

    def write_table(self, name: str, table: pa.Table) -> None:
        """Finish a step with a table.

        Raises
        ------
        InfrastructureError
            If the folder cannot be written.
        """
        import pyarrow.parquet as pq

        with written_whole(self.folder / f"{name}.parquet") as beside:
            pq.write_table(table, beside, compression="zstd")


def run_key(*parts: object) -> str:
    """Return a short hash of everything a run depends on: equal keys, equal results.

    Examples
    --------
    >>> run_key("a", 1) == run_key("a", 1), run_key("a", 1) == run_key("a", 2)
    (True, False)
    """
    told = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def run_folder(home: Path, as_of_us: int, key: str) -> Path:
    """Return the folder of a run."""
    return home / "retrain" / f"{from_us(as_of_us):%Y-%m-%dT%H%M%SZ}-{key}"


@contextmanager
def running_alone(home: Path) -> Iterator[None]:
    """Hold the lock of the monthly run; the system lets go of it when the process ends, however that happens.

    Raises
    ------
    InfrastructureError
        If another run holds it, or the folder cannot be written.
    """
    try:
        (home / "retrain").mkdir(parents=True, exist_ok=True)
        lock = (home / "retrain" / ".lock").open("w")
    except OSError as error:
        raise InfrastructureError(
            f"the folder retrain in the home folder cannot be written: {error.strerror}", hint="check space and rights"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InfrastructureError(
                "another retrain is running in this home folder", hint="wait for it; it holds the lock retrain/.lock"
            ) from None
        yield
