"""One import under way: what it reads, what it found, and the names that follow from the two."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.clock import to_us
from data.transform import storage_types

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    import duckdb

    from data.history import Moment
    from data.manifest import Manifest
    from data.mapping import Mapping as ExportMapping
    from data.pace import Pace
    from data.readers import Staged
    from data.tables import Table
    from data.warehouse import Warehouse

__all__ = ["Job", "read_files", "source_of"]


@dataclass(frozen=True)
class Job:
    """One import under way."""

    con: duckdb.DuckDBPyConnection
    mapping: ExportMapping
    warehouse: Warehouse
    before: Manifest
    after: Manifest
    at: datetime
    moment: Moment
    dated: bool
    staged: Mapping[str, Staged]
    pace: Pace

    @property
    def at_us(self) -> int:
        """When the rows are recorded; what the export tells is known at `moment.us`."""
        return to_us(self.at)

    @property
    def source(self) -> str:
        """A short name of what came in: the mapping and the bytes of its files."""
        return source_of(
            self.mapping, ((name, part.file, part.sha256) for name, s in self.staged.items() for part in s.parts)
        )

    @property
    def import_id(self) -> str:
        """What the parts of this import are named by."""
        return f"{self.at:%Y%m%dT%H%M%S%f}-{self.source[:12]}-{len(self.before.imports)}"

    def count(self, query: str) -> int:
        """Return the one number that a query gives."""
        return int(self.con.execute(query).fetchall()[0][0])

    def types(self, table: Table) -> dict[str, str]:
        """Return the SQL type of each column of a table while the import works."""
        return storage_types(table, {name: column.kind for name, column in self.after.custom.items()})


def source_of(mapping: ExportMapping, files: Iterable[tuple[str, str, str]]) -> str:
    """Return the SHA-256 of a mapping and of its files, given as name in the mapping, name on the disk and SHA-256."""
    digest = hashlib.sha256(mapping.model_dump_json().encode())
    for name, file, sha256 in files:
        digest.update(f"{name}:{file}:{sha256};".encode())
    return digest.hexdigest()


def read_files(mapping: ExportMapping) -> list[str]:
    """Return the files that some table reads, in the order of the mapping."""
    needed = {file for spec in mapping.tables.values() for file in spec.reads()}
    return [name for name in mapping.files if name in needed]
