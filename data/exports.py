"""A folder of exports taken one after the other: which are there, when each was taken, and their import in that order.

The name of each folder says when its export was taken, such as `crm_2026-01-05`. The import stops at the first export
that is refused, so that none overtakes it; called again it goes on from there, and skips what it brought in before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from data.clock import now as present
from data.errors import ClewError, UsageError
from data.importing import import_export

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from data.import_report import ImportReport
    from data.mapping import Mapping
    from data.warehouse import Warehouse

__all__ = ["DatedExport", "SeriesReport", "dated_exports", "import_series"]

_SUMMED = ("rows_in", "kept", "duplicates", "quarantined", "filtered", "written", "new", "changed")
_TIME_OF_DAY = re.compile(r"%[HIMSfcXTsR]")
_YEAR, _DAY = re.compile(r"%[YyGcx]"), re.compile(r"%[djucx]")
_MANY = 5  # folders named in an error


@dataclass(frozen=True)
class DatedExport:
    """One export of a series and the moment at which it was taken."""

    folder: Path
    taken_at: datetime


@dataclass(frozen=True)
class SeriesReport:
    """What the import of a series did: one report for each export, in order of time.

    `passed_over` are the folders whose name does not have the form of the others, `to_come` those of a day that is not
    over: their moment is the end of that day.
    """

    exports: tuple[tuple[DatedExport, ImportReport], ...]
    passed_over: tuple[str, ...] = ()
    to_come: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether any export changed the warehouse."""
        return any(report.changed for _, report in self.exports)

    def totals(self) -> dict[str, dict[str, int]]:
        """Return the sums over all exports: by table, what became of the rows."""
        sums: dict[str, dict[str, int]] = {}
        for _, report in self.exports:
            for name, table in report.tables.items():
                row = sums.setdefault(name, dict.fromkeys(_SUMMED, 0))
                counts = (table.rows_in, table.kept, table.duplicates, table.refused, table.filtered, table.written)
                for key, count in zip(_SUMMED, (*counts, table.changes.new, table.changes.changed), strict=True):
                    row[key] += count
        return sums

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        exports = [{"folder": export.folder.name, **report.as_dict()} for export, report in self.exports]
        sums = self.totals()
        left = {"passed_over": list(self.passed_over), "to_come": list(self.to_come)}
        return {"exports": exports, "sum": sums, "changed": self.changed, **left}


def taken_at(name: str, form: str, zone: str | None) -> datetime | None:
    """Read when an export was taken from the name of its folder, None where the name has another form.

    A name without a time of day means the end of that day in the zone: the export may have been taken at any hour of
    it, and nothing may count as known before it was.

    Parameters
    ----------
    name
        The name of the folder.
    form
        The form of such names, in the words of strptime, such as `crm_%Y-%m-%d`.
    zone
        The zone of a time without an offset.

    Raises
    ------
    UsageError
        If the form gives no offset and there is no zone.

    Examples
    --------
    >>> taken_at("crm_2026-01-05_0600", "crm_%Y-%m-%d_%H%M", "Asia/Shanghai").isoformat()
    '2026-01-04T22:00:00+00:00'
    >>> taken_at("2026-01-05", "%Y-%m-%d", "UTC").isoformat()
    '2026-01-05T23:59:59.999999+00:00'
    >>> taken_at("notes", "%Y-%m-%d", "UTC") is None
    True
    """
    try:
        moment = datetime.strptime(name, form)  # noqa: DTZ007 - the zone is put in below
    except ValueError:
        return None
    if moment.tzinfo is None:
        if zone is None:
            raise UsageError(
                f"{form!r} says no offset and the mapping names no zone", hint="add zone: to the mapping, or %z"
            )
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    if not _TIME_OF_DAY.search(form):
        moment += timedelta(days=1, microseconds=-1)
    return moment.astimezone(UTC)


def dated_exports(folder: Path, form: str, *, zone: str | None) -> tuple[tuple[DatedExport, ...], tuple[str, ...]]:
    """Return the exports in a folder in order of time, and the names of the folders that are none.

    Raises
    ------
    UsageError
        If no folder has a name of that form, the form holds no year, month and day, or two folders name one moment.
    """
    if not (_YEAR.search(form) and _DAY.search(form)):
        raise UsageError(f"{form!r} does not say year and day", hint="a form such as crm_%Y-%m-%d does")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    read = {name: taken_at(name, form, zone) for name in names}
    found = sorted((moment, name) for name, moment in read.items() if moment)
    if not found:
        there = ", ".join(names[:_MANY]) + (", …" if len(names) > _MANY else "")
        raise UsageError(
            f"no folder in {folder} has a name like {form!r}",
            hint=f"write it in the words of strptime, such as crm_%Y-%m-%d; there are {there or 'no folders'}",
        )
    for (one, name), (other, second) in pairwise(found):
        if one == other:
            raise UsageError(f"{name} and {second} name the same moment", hint="leave one out, or add the hour")
    return tuple(DatedExport(folder / name, at) for at, name in found), tuple(n for n in names if read[n] is None)


def import_series(
    folder: Path,
    form: str,
    mapping: Mapping,
    warehouse: Warehouse,
    *,
    progress: Callable[[str, float], None] | None = None,
    threads: int = 1,
    now: datetime | None = None,
) -> SeriesReport:
    """Import the exports of a folder in order of time; each is all or nothing, and all of them twice are once.

    Parameters
    ----------
    folder
        Holds one folder for each export.
    form
        How their names say when they were taken, in the words of strptime.
    mapping
        How the files of each become canonical tables.
    warehouse
        Where the rows go.
    progress
        Called with the export and step in words and the share of all exports done.
    threads
        How many threads DuckDB may use.
    now
        The time of import; the present by default.

    Raises
    ------
    UsageError
        If the folder holds no exports of that form.
    DataError
        If an export is refused: it says which, and how many before it are in the warehouse.
    """
    found, passed_over = dated_exports(folder, form, zone=mapping.zone)
    early = () if _TIME_OF_DAY.search(form) else tuple(e for e in found if e.taken_at > (now or present()))
    exports = [export for export in found if export not in early]
    done: list[tuple[DatedExport, ImportReport]] = []
    for number, export in enumerate(exports):

        def tell(step: str, share: float, *, name: str = export.folder.name, number: int = number) -> None:
            if progress:
                progress(f"{name}: {step}", (number + share) / len(exports))

        try:
            report = import_export(
                export.folder,
                mapping,
                warehouse,
                progress=tell,
                now=now,
                threads=threads,
                exported_at=export.taken_at,
            )
        except ClewError as error:
            raise type(error)(
                f"{export.folder.name}: {error.message} ({number} of {len(exports)} exports are in the warehouse)",
                hint=error.hint,
            ) from error
        done.append((export, report))
    return SeriesReport(tuple(done), passed_over, tuple(export.folder.name for export in early))
