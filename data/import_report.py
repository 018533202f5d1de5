"""What an import did, in numbers that add up: rows in = kept + duplicates + quarantined + filtered, for every table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from data.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from data.mapping_terms import Known

__all__ = ["Changes", "FileReport", "Gone", "ImportReport", "TableReport", "Withheld"]


@dataclass(frozen=True)
class Changes:
    """What the rows of a state table say that is new: entities told first, and those with a new version.

    `columns` counts by column in how many new versions it differs from the version before.
    """

    new: int = 0
    changed: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Gone:
    """Leads of earlier exports that this one does not hold.

    `vanished` and `reappeared` are those of which the export before said otherwise; they are counted where they are
    `stored`, which takes an export that is declared full and a lead file that could be read to its last row.
    """

    missing: int
    vanished: int = 0
    reappeared: int = 0
    stored: bool = True


@dataclass(frozen=True)
class Withheld:
    """A column (`leads.status`) that feeds no prediction, why, and in how many rows it is filled.

    `since` is the first export that showed it: of a column known `later` the versions from then on are dated, and a
    training set that begins no earlier may use it. None where that will never be.
    """

    column: str
    known: Known
    filled: int
    since: str | None = None


@dataclass(frozen=True)
class TableReport:
    """What became of the rows of one table.

    `kept` counts rows of the file that brought something new, `written` the rows that were added to the warehouse: a
    row with columns that are known only later is written twice.
    """

    rows_in: int
    kept: int
    duplicates: int
    quarantined: Mapping[str, int] = field(default_factory=dict)
    filtered: int = 0
    written: int = 0
    unmapped: tuple[str, ...] = ()
    changes: Changes = field(default_factory=Changes)

    @property
    def refused(self) -> int:
        """How many rows were quarantined."""
        return sum(self.quarantined.values())


@dataclass(frozen=True)
class FileReport:
    """What was read of one file: rows, unreadable rows by reason, columns that no table maps or ignores."""

    rows: int
    malformed: Mapping[str, int]
    unmapped: tuple[str, ...]


@dataclass(frozen=True)
class ImportReport:
    """The result of one import; `quarantine` is the folder of the quarantined rows, None where there are none.

    `exported_at` is when the export was taken. `left_out` names the tables whose optional file was not in the folder.
    With `repeated` these very files were imported as the export of that moment before, and were not read again.
    """

    import_id: str
    mapping: str
    at: str
    changed: bool
    tables: Mapping[str, TableReport]
    files: Mapping[str, FileReport]
    quarantine: Path | None = None
    left_out: tuple[str, ...] = ()
    exported_at: str = ""
    gone: Gone | None = None
    withheld: tuple[Withheld, ...] = ()
    repeated: bool = False

    def check(self) -> None:
        """Raise where a row is unaccounted for.

        Raises
        ------
        DataError
            If rows in are not kept + duplicates + quarantined + filtered for a table.

        Examples
        --------
        >>> table = TableReport(rows_in=3, kept=1, duplicates=1, quarantined={"conflict": 1})
        >>> ImportReport("i", "m", "2026-01-01T00:00:00Z", True, {"leads": table}, {}).check()
        """
        for name, table in self.tables.items():
            found = table.kept + table.duplicates + table.refused + table.filtered
            if found != table.rows_in:
                raise DataError(
                    f"{name}: {table.rows_in} rows came in and {found} are accounted for", hint="report this as a fault"
                )

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return {
            "import_id": self.import_id,
            "mapping": self.mapping,
            "at": self.at,
            "changed": self.changed,
            "quarantine": str(self.quarantine) if self.quarantine else None,
            "left_out": list(self.left_out),
            "exported_at": self.exported_at,
            "repeated": self.repeated,
            "gone": asdict(self.gone) if self.gone else None,
            "withheld": [asdict(column) for column in self.withheld],
            "tables": {
                name: {
                    "rows_in": t.rows_in,
                    "kept": t.kept,
                    "duplicates": t.duplicates,
                    "quarantined": dict(t.quarantined),
                    "filtered": t.filtered,
                    "written": t.written,
                    "unmapped": list(t.unmapped),
                    "new": t.changes.new,
                    "changed": t.changes.changed,
                    "changed_columns": dict(t.changes.columns),
                }
                for name, t in self.tables.items()
            },
            "files": {
                name: {"rows": f.rows, "malformed": dict(f.malformed), "unmapped": list(f.unmapped)}
                for name, f in self.files.items()
            },
        }
