"""What the warehouse holds, in one small file: the parts in force, the customer's columns, the plan, the imports.

The manifest is replaced atomically, so a reader sees the warehouse before an import or after it, and nothing between.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import DataError, InfrastructureError
from data.mapping import Known
from data.settings import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from data.mapping import Mapping

__all__ = [
    "CustomColumn",
    "ImportRecord",
    "Manifest",
    "PartRecord",
    "declare",
    "read_manifest",
    "sync_folder",
    "withheld_columns",
    "write_manifest",
]

_NAME = "manifest.json"
_STRICTNESS: tuple[Known, ...] = ("at_creation", "later", "after_outcome")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CustomColumn(_Frozen):
    """A column of the customer's own: how it is read and when it is known."""

    kind: Literal["numeric", "categorical", "text"]
    known: Known = "at_creation"


class PartRecord(_Frozen):
    """One Parquet file in force; `times` holds the least and greatest microseconds UTC of each time column."""

    path: str
    table: str
    rows: int
    sha256: str
    import_id: str
    times: dict[str, tuple[int | None, int | None]] = Field(default_factory=dict)


class ImportRecord(_Frozen):
    """One import that changed the warehouse."""

    id: str
    at: str
    mapping: str
    source_sha256: str
    rows: dict[str, int] = Field(default_factory=dict)


class Manifest(_Frozen):
    """The state of the warehouse."""

    format: Literal[1] = 1
    parts: tuple[PartRecord, ...] = ()
    custom: dict[str, CustomColumn] = Field(default_factory=dict)
    withheld: dict[str, dict[str, Known]] = Field(default_factory=dict)
    plan: Plan | None = None
    imports: tuple[ImportRecord, ...] = ()

    def paths(self, table: str) -> list[str]:
        """Return the parts of a table in force, relative to the warehouse."""
        return [part.path for part in self.parts if part.table == table]


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a warehouse, an empty one where nothing was imported yet.

    Raises
    ------
    DataError
        If the file is there and cannot be understood.
    """
    path = folder / _NAME
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Manifest()
    except ValidationError:
        raise DataError(f"{path} is damaged or of another version", hint="restore it from a backup") from None
    except OSError as error:
        raise InfrastructureError(f"{path} cannot be read: {error.strerror}", hint="check its rights") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest atomically and durably: write beside, fsync, rename, fsync the folder.

    Raises
    ------
    InfrastructureError
        If the disk is full or read-only; the old manifest then stays in force.
    """
    path, beside = folder / _NAME, folder / f".{_NAME}.new"
    try:
        with beside.open("w", encoding="utf-8") as stream:
            stream.write(manifest.model_dump_json(indent=1))
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
        sync_folder(folder)
    except OSError as error:
        raise InfrastructureError(f"{path} cannot be written: {error.strerror}", hint="nothing was imported") from None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def declare(manifest: Manifest, mapping: Mapping) -> Manifest:
    """Return the manifest with what a mapping declares: customer columns, withheld columns, plan.

    A column that one mapping calls known at creation and another known later is withheld: a doubt never lets the
    future into a prediction.

    Raises
    ------
    DataError
        If a customer column was declared with another kind before.
    """
    custom, withheld = dict(manifest.custom), {table: dict(columns) for table, columns in manifest.withheld.items()}
    for table, spec in mapping.tables.items():
        for name, column in spec.custom.items():
            if column.kind == "ignored":
                continue
            earlier = custom.get(name, CustomColumn(kind=column.kind))
            if earlier.kind != column.kind:
                raise DataError(
                    f"custom column {name!r} is {earlier.kind} in the warehouse, {column.kind} in {mapping.name}",
                    hint="give it another name, or the earlier kind",
                )
            custom[name] = CustomColumn(kind=column.kind, known=_stricter(earlier.known, column.known))
        for name, known in withheld_columns(mapping, table).items():
            columns = withheld.setdefault(table, {})
            columns[name] = _stricter(columns.get(name, known), known)
    plan = mapping.plan or manifest.plan
    return manifest.model_copy(update={"custom": custom, "withheld": withheld, "plan": plan})


def withheld_columns(mapping: Mapping, table: str) -> dict[str, Known]:
    """Return the canonical columns of a table known only later; what is derived from one is known when it is."""
    known = mapping.tables[table].withheld()
    if table == "leads" and "job_title" in known and "seniority" not in mapping.tables[table].columns:
        known["seniority"] = known["job_title"]
    return known


def _stricter(one: Known, other: Known) -> Known:
    return max(one, other, key=_STRICTNESS.index)
