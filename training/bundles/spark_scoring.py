"""Batch scoring on Spark: every worker reads the sealed bundle and answers for its part of the feature frame.

The answers are those of `training.bundles.batch` on one machine, bit by bit: the same function runs in the workers.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from training.bundles.batch import answer_schema, score_table
from training.bundles.bundle import Bundle, folder_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame

__all__ = ["score_frame"]

# Files of a bundle by name: hashable, so that a worker parses each bundle once.
_Files = tuple[tuple[str, bytes], ...]


def score_frame(frame: DataFrame, bundle: Bundle, *, profile_only: bool = False, reasons: int = 0) -> DataFrame:
    """Return the frame of `training.bundles.batch.score_table` for a frame of features.

    The bundle's files travel with the job, so that workers need no folder in common; each checks the hashes before it
    reads them. LightGBM runs on one thread a task.

    Parameters
    ----------
    frame
        `lead_id`, `as_of_us` and the features, as `features.spark.SparkEngine.features` gives them.
    bundle
        The sealed model, as it lies in its folder.
    profile_only, reasons
        As for `training.bundles.batch.score_table`.

    Raises
    ------
    DataError
        If the frame lacks a column that the bundle reads, or the bundle's folder has been changed since.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    from features.spark import quietly

    answers = answer_schema(reasons=reasons)
    sealed = bundle.profile if profile_only else bundle.full
    # Only what the model reads is handed to Python; a missing column fails here and not in a worker an hour later.
    wanted = ["lead_id", "as_of_us", *sealed.model.encoding.names]
    score_table(bundle, _empty(frame.columns), profile_only=profile_only, reasons=reasons)
    task = _Task(_files(bundle), bundle.digest, profile_only, reasons)
    with quietly():
        quoted = ["`" + name.replace("`", "``") + "`" for name in wanted]
        return frame.select(*quoted).mapInArrow(task, from_arrow_schema(answers))


def _empty(names: list[str]) -> pa.Table:
    import pyarrow as pa

    return pa.schema([(name, pa.null()) for name in names]).empty_table()


def _files(bundle: Bundle) -> _Files:
    names = sorted(["manifest.json", *bundle.manifest["files"]])
    found = tuple((name, (bundle.folder / name).read_bytes()) for name in names)
    _loaded(found, bundle.digest)
    return found


@dataclass(frozen=True)
class _Task:
    """What a worker does with its batches of rows."""

    files: _Files
    digest: str
    profile_only: bool
    reasons: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        bundle = _loaded(self.files, self.digest)
        for batch in batches:
            table = pa.Table.from_batches([batch])
            yield from score_table(bundle, table, profile_only=self.profile_only, reasons=self.reasons).to_batches()


@lru_cache(maxsize=2)
def _loaded(files: _Files, digest: str) -> Bundle:
    """Return the bundle of these files; a folder named after its hash makes `Bundle.load` check the manifest too."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / folder_name(digest)
        folder.mkdir()
        for name, content in files:
            (folder / name).write_bytes(content)
        return Bundle.load(folder)
