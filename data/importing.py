"""From a folder of exports into the warehouse: all tables of an import or none, and the same import twice is one.

The steps: stage the files as text, type the rows, derive, decide what is new, quarantine the rest, write Parquet parts
beside the ones in force, and put a new manifest in force. Memory is bounded, whatever the size of the export.
"""
# ruff: noqa: S608 - only names of the contract and of the checked mapping are put into the SQL

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import duckdb

from data.changes import changes_of, filled_columns, find_gone, withheld_by
from data.clock import from_us, iso, to_us
from data.clock import now as present
from data.enrich import enrich
from data.errors import DataError, InfrastructureError, UsageError
from data.history import moment_of, observed_since, own_entities, place_in_history, seen_us
from data.import_report import FileReport, Gone, ImportReport, TableReport, Withheld
from data.job import Job, read_files, source_of
from data.logs import count_log, is_log, resolve_log
from data.manifest import ImportRecord, Manifest, declare, withheld_columns
from data.pace import Pace
from data.parts import write_parts
from data.quarantine import drop_quarantine, mark_quarantined, place_quarantine, write_malformed, write_quarantine
from data.readers import refuse_damaged_parquet, stage_file
from data.resolve import Case, refuse_early_outcomes, resolve
from data.tables import CUSTOM_PREFIX, TABLES, Table
from data.transform import Frame, transform
from data.warehouse import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime
    from pathlib import Path

    from data.manifest import PartRecord
    from data.mapping import Mapping as ExportMapping
    from data.mapping_terms import Known
    from data.readers import Staged
    from data.warehouse import Warehouse

    Progress = Callable[[str, float], None]

__all__ = ["import_export"]

# DuckDB spills to the scratch folder beyond it. The process takes about half as much again, and 4 GiB is the promise.
_MEMORY_LIMIT = "2GB"
# What a full disk or too little memory makes of a query; other errors of the database are faults of clew.
_OF_THE_MACHINE = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException)
# Reasons that speak of single rows and not of a wrong mapping: a file of nothing else is no damaged file.
_ROW_REASONS = frozenset({"malformed", "conflict", "future", "closed_before_created"})


def import_export(
    folder: Path,
    mapping: ExportMapping,
    warehouse: Warehouse,
    *,
    progress: Progress | None = None,
    now: datetime | None = None,
    threads: int = 1,
    exported_at: datetime | None = None,
) -> ImportReport:
    """Import an export: the same folder twice leaves the warehouse as it was, a failed import too.

    Parameters
    ----------
    folder
        Where the files of the mapping lie.
    mapping
        How they become canonical tables.
    warehouse
        Where the rows go.
    progress
        Called with the step in words and the share done, 0 to 1.
    now
        The time of import; the present by default.
    threads
        How many threads DuckDB may use.
    exported_at
        When the export was taken, the time of import by default: from then on is known what it tells for the first
        time, and what lies after it is the future. `recorded_at` is the time of import all the same.

    Raises
    ------
    DataError
        If a file is damaged as a whole, a mapped column is missing, no row of a table can be kept, or a newer export
        of the mapping was imported before.
    UsageError
        If `exported_at` lies in the future.
    InfrastructureError
        If another import is under way or the disk fails; nothing is imported then.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", hint="give the folder that holds the exported files")
    mapping, left_out = mapping.fitting(folder)
    at = from_us(to_us(now or present()))
    with warehouse.locked():
        before = warehouse.manifest()
        if exported_at is not None and (record := _repeated(before, mapping, folder, to_us(exported_at))):
            return _not_again(record, mapping, iso(at), left_out)
        moment = moment_of(before, mapping, to_us(exported_at or at), now_us=to_us(at))
        after = declare(before, mapping)
        scratch = warehouse.scratch
        try:
            scratch.mkdir(mode=0o700)
            pace = Pace(progress)
            with closing(_connection(scratch, threads)) as con, pace.watching(con):
                staged = _stage(con, folder, mapping, scratch, pace)
                job = Job(con, mapping, warehouse, before, after, at, moment, exported_at is not None, staged, pace)
                return replace(_run(job), left_out=left_out)
        except (duckdb.Error, OSError, MemoryError) as error:
            refuse_damaged_parquet(folder, mapping.files.values())
            if isinstance(error, duckdb.Error) and not isinstance(error, _OF_THE_MACHINE):
                raise
            raise InfrastructureError(
                f"the import stopped on a {type(error).__name__} of disk or memory",
                hint="check free space; nothing was imported",
            ) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _repeated(manifest: Manifest, mapping: ExportMapping, folder: Path, exported_us: int) -> ImportRecord | None:
    """Return the import that brought these very files as the export of that moment, without reading a row of them."""
    same = [r for r in manifest.imports if r.mapping == mapping.name and seen_us(r) == exported_us]
    if not same:
        return None
    paths = ((name, path) for name in read_files(mapping) for path in sorted(folder.glob(mapping.files[name].path)))
    source = source_of(mapping, ((name, path.name, file_sha256(path)) for name, path in paths if path.is_file()))
    return next((record for record in same if record.source_sha256 == source), None)


def _not_again(record: ImportRecord, mapping: ExportMapping, at: str, left_out: tuple[str, ...]) -> ImportReport:
    seen = iso(from_us(seen_us(record)))
    return ImportReport(
        record.id,
        mapping.name,
        at,
        changed=False,
        tables={},
        files={},
        left_out=left_out,
        exported_at=seen,
        repeated=True,
    )


def _connection(scratch: Path, threads: int) -> duckdb.DuckDBPyConnection:
    spill = str(scratch / "spill")
    con = duckdb.connect(config={"threads": threads, "memory_limit": _MEMORY_LIMIT, "temp_directory": spill})
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar_print = false")  # else DuckDB writes one to standard output in a notebook
    return con


def _stage(
    con: duckdb.DuckDBPyConnection, folder: Path, mapping: ExportMapping, scratch: Path, pace: Pace
) -> dict[str, Staged]:
    """Stage every file that a table reads."""
    wanted = mapping.wanted()
    used = {spec.from_ for spec in mapping.tables.values()}
    staged = {}
    names = read_files(mapping)
    sizes = [sum(path.stat().st_size for path in folder.glob(mapping.files[name].path)) for name in names]
    for number, name in enumerate(names):
        file = mapping.files[name]
        low, high = (0.35 * sum(sizes[:end]) / max(sum(sizes), 1) for end in (number, number + 1))
        pace.step(f"reading {file.path}", low, high)
        staged[name] = stage_file(con, name, file, folder=folder, scratch=scratch, wanted=wanted[name], tell=pace.at)
        if name in used and staged[name].rows == 0:
            raise DataError(f"{file.path} has a header and no rows", hint="export it again, or take its table out")
    return staged


def _run(job: Job) -> ImportReport:
    frame = Frame(job.staged, job.mapping.zone, job.moment.us)
    tables = {name: TABLES[name] for name in TABLES if name in job.mapping.tables}
    for number, (name, table) in enumerate(tables.items()):
        job.pace.step(f"typing {name}", *_share_of(0.35, 0.6, number, len(tables)))
        transform(job.con, table, job.mapping.tables[name], frame, job.types(table), scratch=job.warehouse.scratch)
    job.pace.step("deriving", 0.6, 0.65)
    enrich(job.con, job.mapping)
    _past_views(job)
    own = own_entities(job.con, job.before, job.mapping, root=job.warehouse.path)
    place_in_history(job.con, job.mapping, job.moment)
    if "outcomes" in tables:
        refuse_early_outcomes(job.con, leads="leads" in tables)
    for number, (name, table) in enumerate(tables.items()):
        job.pace.step(f"comparing {name}", *_share_of(0.65, 0.8, number, len(tables)))
        case = _case(job, table, own=name in own)
        if is_log(table):
            resolve_log(job.con, case, partial(_past_between, job, table))
        else:
            resolve(job.con, case)
        mark_quarantined(job.con, name)
    reports = {name: _table_report(job, table) for name, table in tables.items()}
    _refuse_hopeless(reports)
    filled = filled_columns(job.con, job.mapping)
    gone = _find_gone(job, own, reports)
    job.pace.step("writing", 0.8, 0.8)
    report = _write(job, reports, {name: known for name, (known, _) in filled.items()})
    report = replace(report, gone=gone, withheld=_withheld(job, filled))
    job.pace.step("done", 1.0, 1.0)
    return report


def _share_of(low: float, high: float, number: int, count: int) -> tuple[float, float]:
    """Return where a step of several begins and ends."""
    return low + (high - low) * number / count, low + (high - low) * (number + 1) / count


def _find_gone(job: Job, own: Collection[str], reports: dict[str, TableReport]) -> Gone | None:
    """Find the leads that are gone, and add what is stored of them to the reports."""
    unread = job.staged[job.mapping.tables["leads"].from_].bad_rows if "leads" in job.mapping.tables else 0
    gone = find_gone(job.con, job.mapping, job.moment.us, known="leads" in own, unread=unread)
    if gone and gone.vanished + gone.reappeared:
        actions = reports.get("actions", TableReport(rows_in=0, kept=0, duplicates=0))
        reports["actions"] = replace(actions, written=actions.written + gone.vanished + gone.reappeared)
    return gone


def _withheld(job: Job, filled: Mapping[str, tuple[Known, int]]) -> tuple[Withheld, ...]:
    """Return what the mapping withholds, with the first export of which versions are dated."""
    since = observed_since(job.warehouse.manifest())
    listed = withheld_by(job.mapping, filled)
    return tuple(replace(w, since=iso(from_us(since[w.column])) if w.column in since else None) for w in listed)


def _past_views(job: Job) -> None:
    """Put what the warehouse holds beside the import as `w_<table>`, times in microseconds."""
    job.warehouse.add_views(job.con, prefix="past_", manifest=job.after)
    for table in TABLES.values():
        job.con.execute(f"CREATE VIEW w_{table.name} AS {_in_microseconds(job, table, f'past_{table.name}')}")


def _past_between(job: Job, table: Table, low: int | None, high: int | None) -> str:
    """Return the SQL of the rows in force of the parts that may hold something between two moments."""
    parts = [part for part in job.before.parts if part.table == table.name and part.meets(low, high)]
    manifest = job.after.model_copy(update={"parts": tuple(parts)})
    job.warehouse.add_views(job.con, prefix="slice_", manifest=manifest)
    return f"({_in_microseconds(job, table, f'slice_{table.name}')})"


def _in_microseconds(job: Job, table: Table, view: str) -> str:
    columns = ", ".join(
        f"epoch_us({name}) AS {name}" if kind == "BIGINT" and _is_time(table, name) else name
        for name, kind in job.types(table).items()
    )
    return f"SELECT {columns} FROM {view}"


def _is_time(table: Table, name: str) -> bool:
    """Say whether a column of a table holds a time."""
    return any(column.name == name and column.kind == "time" for column in table.columns)


def _case(job: Job, table: Table, *, own: bool) -> Case:
    spec = job.mapping.tables[table.name]
    masked: set[str] = set()
    if not spec.known_at.at_import:
        masked = set(withheld_columns(job.mapping, table.name))
        masked |= {CUSTOM_PREFIX + name for name, column in spec.custom.items() if column.known != "at_creation"}
    types = job.types(table)
    past = any(part.table == table.name for part in job.before.parts)
    return Case(
        table,
        types,
        job.moment.us,
        frozenset(masked & set(types)),
        spec.known_at.at_import,
        past,
        own=own,
        dated=spec.known_at.after is None,
    )


def _table_report(job: Job, table: Table) -> TableReport:
    name = table.name
    spec = job.mapping.tables[name]
    staged = job.staged[spec.from_]
    reasons = dict(staged.malformed)
    found = job.con.execute(f"SELECT _reason, count(*) FROM q_{name} GROUP BY 1 ORDER BY 1").fetchall()
    reasons |= {str(reason): int(count) for reason, count in found}
    kept, duplicates, written = _tally(job, table)
    return TableReport(
        rows_in=staged.rows + staged.bad_rows,
        kept=kept,
        duplicates=duplicates,
        quarantined=reasons,
        filtered=job.count(f"SELECT count(*) FROM t_{name} WHERE _filtered"),
        written=written,
        unmapped=_unmapped(job, staged),
        changes=changes_of(job.con, name, job.types(table), job.moment.us),
    )


def _tally(job: Job, table: Table) -> tuple[int, int, int]:
    """Return how many rows brought news, repeated what was known, and will be written."""
    if is_log(table):
        kept, duplicates = count_log(job.con, table.name)
        return kept, duplicates, kept
    kept = job.count(f"SELECT count(DISTINCT _row) FROM n_{table.name}")
    judged = job.count(f"SELECT count(*) FROM v_{table.name} WHERE _status <> 'conflict'")
    return kept, judged - kept, job.count(f"SELECT count(*) FROM n_{table.name}")


def _unmapped(job: Job, staged: Staged) -> tuple[str, ...]:
    used = set(job.mapping.wanted()[staged.name]) | set(job.mapping.ignored.get(staged.name, ()))
    return tuple(column for column in staged.columns if column and column not in used)


def _refuse_hopeless(reports: Mapping[str, TableReport]) -> None:
    """Refuse an import in which no row of a table can be kept: then the mapping is wrong and not the rows."""
    for name, report in reports.items():
        kinds = {reason.split(":")[0] for reason in report.quarantined}
        if report.refused and not report.kept and not report.duplicates and kinds - _ROW_REASONS:
            why = ", ".join(f"{reason} {count}" for reason, count in report.quarantined.items())
            raise DataError(
                f"none of the {report.refused} rows of {name} can be kept: {why}",
                hint="correct the mapping of these columns (format, zone, values); nothing was imported",
            )


def _write(job: Job, reports: Mapping[str, TableReport], shown: dict[str, Known]) -> ImportReport:
    """Write quarantine and parts, and put the parts in force: until the last step nothing of the warehouse changes."""
    folder = job.warehouse.path / "quarantine" / job.import_id
    beside = job.warehouse.scratch / "quarantine"
    _set_aside(job, beside, reports)
    parts = _write_tables(job, reports)
    changed = bool(parts) or job.after != job.before
    report = _report(job, reports, changed=changed, quarantine=folder if beside.is_dir() else None)
    report.check()
    try:
        place_quarantine(beside, folder)
        if changed or job.dated:
            _put_in_force(job, parts, reports, shown)
    except Exception:
        if all(record.id != job.import_id for record in job.warehouse.manifest().imports):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    drop_quarantine(folder.parent, source=job.source[:12], keep=job.import_id)
    return report


def _write_tables(job: Job, reports: Mapping[str, TableReport]) -> list[PartRecord]:
    """Write the new rows of all tables as parts that no manifest names yet."""
    total = sum(report.written for report in reports.values())
    parts, done = [], 0
    for name, report in reports.items():
        if not report.written:
            continue
        low, high = (0.8 + 0.2 * rows / total for rows in (done, done + report.written))

        def tell(text: str, begun: float, ended: float, low: float = low, high: float = high) -> None:
            job.pace.step(f"writing {text}", low + (high - low) * begun, low + (high - low) * ended)

        parts += write_parts(
            job.con,
            TABLES[name],
            root=job.warehouse.path,
            custom=job.after.custom,
            import_id=job.import_id,
            at_us=job.at_us,
            tell=tell,
        )
        done += report.written
    return parts


def _put_in_force(
    job: Job, parts: list[PartRecord], reports: Mapping[str, TableReport], shown: dict[str, Known]
) -> None:
    record = ImportRecord(
        id=job.import_id,
        at=iso(job.at),
        mapping=job.mapping.name,
        source_sha256=job.source,
        rows={name: report.written for name, report in reports.items()},
        exported_at=iso(from_us(job.moment.us)),
        shown=shown,
    )
    job.warehouse.commit(
        job.after.model_copy(update={"parts": (*job.before.parts, *parts), "imports": (*job.before.imports, record)})
    )


def _set_aside(job: Job, folder: Path, reports: Mapping[str, TableReport]) -> None:
    """Write the quarantine of the import to a folder."""
    for name, report in reports.items():
        if report.refused:
            write_quarantine(job.con, folder, name, job.staged[job.mapping.tables[name].from_])
    sources = {spec.from_ for spec in job.mapping.tables.values()}
    for name, staged in job.staged.items():
        if name not in sources and staged.bad_rows:
            write_malformed(job.con, folder, staged)


def _report(job: Job, reports: Mapping[str, TableReport], *, changed: bool, quarantine: Path | None) -> ImportReport:
    """Say what was done."""
    files = {
        name: FileReport(staged.rows, staged.malformed, _unmapped(job, staged)) for name, staged in job.staged.items()
    }
    return ImportReport(
        job.import_id,
        job.mapping.name,
        iso(job.at),
        changed,
        reports,
        files,
        quarantine,
        exported_at=iso(from_us(job.moment.us)),
    )
