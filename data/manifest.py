"""What the warehouse holds, in one small file: the parts in force, the customer's columns, the plan, the imports.

The manifest is replaced atomically, so a reader sees the warehouse before an import or after it, and nothing between.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.clock import parse_moment, to_us
from data.errors import DataError, InfrastructureError
from data.mapping import Known
from data.settings import Plan

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from data.mapping import Mapping

__all__ = [
    "NEW_MANIFEST",
    "CustomColumn",
    "Declared",
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
NEW_MANIFEST = f".{_NAME}.new"
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

    def recorded_us(self) -> tuple[int | None, int | None]:
        """Return the least and greatest `recorded_at`, None where it was not noted."""
        return self.times.get("recorded_at", (None, None))

    def meets(self, low_us: int | None, high_us: int | None) -> bool:
        """Tell whether a row may have happened between two moments, both included; None is no bound."""
        first, last = self.times.get("occurred_at", (None, None))
        ends_before = low_us is not None and last is not None and last < low_us
        begins_after = high_us is not None and first is not None and first > high_us
        return not (ends_before or begins_after)


class Declared(_Frozen):
    """What the mappings had declared once an import was done."""

    custom: dict[str, CustomColumn] = Field(default_factory=dict)
    withheld: dict[str, dict[str, Known]] = Field(default_factory=dict)
    plan: Plan | None = None


class ImportRecord(_Frozen):
    """One import that changed the warehouse, or that of a dated export which confirmed it.

    `declared` is None in records written before it was kept. `exported_at` is when the export was taken (`at` where it
    is None); `shown` are its filled columns of `leads` and `accounts`, written `leads.status`, with when each is known.
    """

    id: str
    at: str
    mapping: str
    source_sha256: str
    rows: dict[str, int] = Field(default_factory=dict)
    declared: Declared | None = None
    exported_at: str | None = None
    shown: dict[str, Known] = Field(default_factory=dict)


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

    @property
    def declared(self) -> Declared:
        """What the mappings have declared so far."""
        return Declared(custom=self.custom, withheld=self.withheld, plan=self.plan)

    def remembering(self, before: Manifest) -> Manifest:
        """Return the manifest with what was declared kept for its newest import, and for the newest one before."""
        kept = {record.id: before.declared for record in before.imports[-1:]}
        kept = {record.id: self.declared for record in self.imports[-1:]} | kept
        imports = [
            record if record.declared else record.model_copy(update={"declared": kept.get(record.id)})
            for record in self.imports
        ]
        return self.model_copy(update={"imports": tuple(imports)})

    def known_by(self, moment: datetime) -> Manifest:
        """Return the warehouse as it stood at a moment: the parts recorded by then, and what was declared by then.

        A part that holds younger rows as well is among them; whoever reads it leaves these rows out.

        Raises
        ------
        DataError
            If the last import of then was made by a clew that did not keep what was declared.

        Examples
        --------
        >>> from datetime import UTC, datetime
        >>> Manifest().known_by(datetime(2026, 1, 1, tzinfo=UTC)) == Manifest()
        True
        """
        imports = tuple(record for record in self.imports if parse_moment(record.at) <= moment)
        if len(imports) == len(self.imports):
            return self
        declared = imports[-1].declared if imports else Declared()
        if declared is None:
            raise DataError(
                f"what the import of {imports[-1].at} declared was not kept",
                hint=f"give a moment before {imports[0].at} or from {self._first_kept()} on",
            )
        parts = tuple(part for part in self.parts if (part.recorded_us()[0] or 0) <= to_us(moment))
        return self.model_copy(update={"parts": parts, "imports": imports, **dict(declared)})

    def _first_kept(self) -> str:
        return next((record.at for record in self.imports if record.declared), self.imports[-1].at)


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
        If the disk is full or read-only; the old manifest then stays in force. If only the last fsync fails, the new
        one is in force and may be lost in a power cut.
    """
    path, beside = folder / _NAME, folder / NEW_MANIFEST
    try:
        with beside.open("w", encoding="utf-8") as stream:
            stream.write(manifest.model_dump_json(indent=1))
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise InfrastructureError(f"{path} cannot be written: {error.strerror}", hint="nothing was imported") from None
    try:
        sync_folder(folder)
    except OSError as error:
        raise InfrastructureError(
            f"{path} was replaced, but the disk did not confirm it: {error.strerror}",
            hint="check the disk and import again; what is in force is not taken twice",
        ) from None


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
