"""From a folder of exports into the warehouse: all tables of an import or none, and the same import twice is one.

The steps: stage the files as text, type the rows, derive, decide what is new, quarantine the rest, write Parquet parts
beside the ones in force, and put a new manifest in force.
"""
# ruff: noqa: S608 - only names of the contract and of the checked mapping are put into the SQL

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import duckdb

from data.clock import from_us, iso, to_us
from data.clock import now as present
from data.enrich import enrich
from data.errors import DataError, InfrastructureError, UsageError
from data.import_report import FileReport, ImportReport, TableReport
from data.manifest import ImportRecord, Manifest, PartRecord, declare, sync_folder, withheld_columns
from data.quarantine import drop_quarantine, mark_quarantined, write_malformed, write_quarantine
from data.readers import quote, stage_file
from data.resolve import Case, refuse_early_outcomes, resolve
from data.tables import CUSTOM_PREFIX, TABLES, Table
from data.transform import Frame, storage_types, transform
from data.warehouse import column_types, file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from data.mapping import Mapping as ExportMapping
    from data.readers import Staged
    from data.warehouse import Warehouse

    Progress = Callable[[str, float], None]

__all__ = ["import_export"]

_MEMORY_LIMIT = "2GB"  # DuckDB spills to the scratch folder beyond it
# Reasons that speak of single rows and not of a wrong mapping: a file of nothing else is no damaged file.
_ROW_REASONS = frozenset({"malformed", "conflict", "future", "closed_before_created"})


@dataclass(frozen=True)
class _Job:
    """One import under way."""

    con: duckdb.DuckDBPyConnection
    mapping: ExportMapping
    warehouse: Warehouse
    before: Manifest
    after: Manifest
    at: datetime
    staged: Mapping[str, Staged]

    @property
    def at_us(self) -> int:
        return to_us(self.at)

    @property
    def source(self) -> str:
        """A short name of what came in: the mapping and the bytes of its files."""
        digest = hashlib.sha256(self.mapping.model_dump_json().encode())
        for staged in self.staged.values():
            for part in staged.parts:
                digest.update(f"{staged.name}:{part.file}:{part.sha256};".encode())
        return digest.hexdigest()

    @property
    def import_id(self) -> str:
        return f"{self.at:%Y%m%dT%H%M%S%f}-{self.source[:12]}-{len(self.before.imports)}"

    def types(self, table: Table) -> dict[str, str]:
        return storage_types(table, {name: column.kind for name, column in self.after.custom.items()})


def import_export(
    folder: Path,
    mapping: ExportMapping,
    warehouse: Warehouse,
    *,
    progress: Progress | None = None,
    now: datetime | None = None,
    threads: int = 1,
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

    Raises
    ------
    DataError
        If a file is damaged as a whole, a mapped column is missing, or no row of a table can be kept.
    InfrastructureError
        If another import is under way or the disk fails; nothing is imported then.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", hint="give the folder that holds the exported files")
    mapping, left_out = mapping.fitting(folder)
    tell = progress or (lambda _step, _share: None)
    at = from_us(to_us(now or present()))
    with warehouse.locked():
        before = warehouse.manifest()
        after = declare(before, mapping)
        scratch = warehouse.scratch
        try:
            scratch.mkdir(mode=0o700)
            with closing(_connection(scratch, threads)) as con:
                tell("reading files", 0.0)
                staged = _stage(con, folder, mapping, scratch)
                job = _Job(con, mapping, warehouse, before, after, at, staged)
                return replace(_run(job, tell), left_out=left_out)
        except (duckdb.IOException, duckdb.OutOfMemoryException, OSError) as error:
            raise InfrastructureError(
                f"the import stopped on a {type(error).__name__} of disk or memory",
                hint="check free space; nothing was imported",
            ) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _connection(scratch: Path, threads: int) -> duckdb.DuckDBPyConnection:
    spill = str(scratch / "spill")
    con = duckdb.connect(
        scratch / "stage.duckdb",
        config={"threads": threads, "memory_limit": _MEMORY_LIMIT, "temp_directory": spill},
    )
    con.execute("SET TimeZone = 'UTC'")
    return con


def _stage(con: duckdb.DuckDBPyConnection, folder: Path, mapping: ExportMapping, scratch: Path) -> dict[str, Staged]:
    """Stage every file that a table reads."""
    wanted = mapping.wanted()
    used = {spec.from_ for spec in mapping.tables.values()}
    needed = used | {join.file for spec in mapping.tables.values() for join in spec.join}
    staged = {}
    for name, file in mapping.files.items():
        if name not in needed:
            continue
        staged[name] = stage_file(con, name, file, folder=folder, scratch=scratch, wanted=wanted[name])
        if name in used and staged[name].rows == 0:
            raise DataError(f"{file.path} has a header and no rows", hint="export it again, or take its table out")
    return staged


def _run(job: _Job, tell: Progress) -> ImportReport:
    frame = Frame(job.staged, job.mapping.zone, job.at_us)
    tables = {name: TABLES[name] for name in TABLES if name in job.mapping.tables}
    for number, (name, table) in enumerate(tables.items()):
        tell(f"reading {name}", 0.3 + 0.2 * number / len(tables))
        transform(job.con, table, job.mapping.tables[name], frame, job.types(table))
    tell("deriving", 0.5)
    enrich(job.con, job.mapping)
    _past_views(job)
    if "outcomes" in tables:
        refuse_early_outcomes(job.con, leads="leads" in tables)
    for number, (name, table) in enumerate(tables.items()):
        tell(f"comparing {name}", 0.6 + 0.2 * number / len(tables))
        resolve(job.con, _case(job, table))
        mark_quarantined(job.con, name)
    reports = {name: _table_report(job, table) for name, table in tables.items()}
    _refuse_hopeless(reports)
    tell("writing", 0.8)
    changed = _write(job, reports)
    report = _report(job, reports, changed=changed)
    report.check()
    tell("done", 1.0)
    return report


def _past_views(job: _Job) -> None:
    """Put what the warehouse holds beside the import as `w_<table>`, times in microseconds."""
    job.warehouse.add_views(job.con, prefix="past_", manifest=job.after)
    for table in TABLES.values():
        columns = ", ".join(
            f"epoch_us({name}) AS {name}" if kind == "BIGINT" and _is_time(table, name) else name
            for name, kind in job.types(table).items()
        )
        job.con.execute(f"CREATE VIEW w_{table.name} AS SELECT {columns} FROM past_{table.name}")


def _is_time(table: Table, name: str) -> bool:
    """Say whether a column of a table holds a time."""
    return any(column.name == name and column.kind == "time" for column in table.columns)


def _case(job: _Job, table: Table) -> Case:
    spec = job.mapping.tables[table.name]
    masked: set[str] = set()
    if not spec.known_at.at_import:
        masked = set(withheld_columns(job.mapping, table.name))
        masked |= {CUSTOM_PREFIX + name for name, column in spec.custom.items() if column.known != "at_creation"}
    types = job.types(table)
    past = any(part.table == table.name for part in job.before.parts)
    return Case(table, types, job.at_us, frozenset(masked & set(types)), spec.known_at.at_import, past)


def _count(job: _Job, query: str) -> int:
    row = job.con.execute(query).fetchone()
    return int(row[0]) if row else 0


def _table_report(job: _Job, table: Table) -> TableReport:
    name = table.name
    spec = job.mapping.tables[name]
    staged = job.staged[spec.from_]
    reasons = dict(staged.malformed)
    found = job.con.execute(f"SELECT _reason, count(*) FROM q_{name} GROUP BY 1 ORDER BY 1").fetchall()
    reasons |= {str(reason): int(count) for reason, count in found}
    kept = _count(job, f"SELECT count(DISTINCT _row) FROM n_{name}")
    judged = _count(job, f"SELECT count(*) FROM v_{name} WHERE _status <> 'conflict'")
    return TableReport(
        rows_in=staged.rows + staged.bad_rows,
        kept=kept,
        duplicates=judged - kept,
        quarantined=reasons,
        filtered=_count(job, f"SELECT count(*) FROM t_{name} WHERE _filtered"),
        written=_count(job, f"SELECT count(*) FROM n_{name}"),
        unmapped=_unmapped(job, staged),
    )


def _unmapped(job: _Job, staged: Staged) -> tuple[str, ...]:
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


def _write(job: _Job, reports: Mapping[str, TableReport]) -> bool:
    """Write the parts and put them in force; return whether anything changed."""
    parts = [part for name, report in reports.items() if report.written for part in _write_table(job, TABLES[name])]
    if not parts and job.after == job.before:
        return False
    record = ImportRecord(
        id=job.import_id,
        at=iso(job.at),
        mapping=job.mapping.name,
        source_sha256=job.source,
        rows={name: report.written for name, report in reports.items()},
    )
    job.warehouse.commit(
        job.after.model_copy(update={"parts": (*job.before.parts, *parts), "imports": (*job.before.imports, record)})
    )
    return True


def _write_table(job: _Job, table: Table) -> list[PartRecord]:
    """Write the new rows of a table, events one part for each month of `occurred_at`."""
    folder = job.warehouse.path / table.name
    folder.mkdir(exist_ok=True)
    if any(column.personal for column in table.columns):
        folder.chmod(0o700)
    times = [column.name for column in table.columns if column.kind == "time" and column.name != "recorded_at"]
    month = "strftime(make_timestamp(occurred_at), '%Y-%m-')" if table.name == "events" else "''"
    bounds = ", ".join(f"min({name}), max({name})" for name in times)
    found = job.con.execute(f"SELECT {month}, count(*), {bounds} FROM n_{table.name} GROUP BY 1 ORDER BY 1").fetchall()
    written = []
    for prefix, rows, *ends in found:
        spans = {name: (ends[2 * at], ends[2 * at + 1]) for at, name in enumerate(times)}
        low, high = spans.get("occurred_at", (0, 0))
        where = f"occurred_at BETWEEN {low} AND {high}" if table.name == "events" else "true"
        path = f"{table.name}/{prefix}{job.import_id}.parquet"
        _write_part(job, table, path, where)
        written.append(
            PartRecord(
                path=path,
                table=table.name,
                rows=rows,
                sha256=file_sha256(job.warehouse.path / path),
                import_id=job.import_id,
                times={**spans, "recorded_at": (job.at_us, job.at_us)},
            )
        )
    sync_folder(folder)
    sync_folder(job.warehouse.path)
    return written


def _write_part(job: _Job, table: Table, path: str, where: str) -> None:
    """Write one Parquet file, sorted, and make it durable before any manifest names it."""
    target = job.warehouse.path / path
    columns = [
        f"make_timestamptz({at})" + f" AS {name}" if kind.startswith("TIMESTAMP") else name
        for name, kind in column_types(table, job.after.custom).items()
        for at in [str(job.at_us) if name == "recorded_at" else name]
    ]
    order = ", ".join((["occurred_at"] if table.name == "events" else []) + list(table.key))
    job.con.execute(
        f"COPY (SELECT {', '.join(columns)} FROM n_{table.name} WHERE {where} ORDER BY {order}) "
        f"TO {quote(str(target))} (FORMAT parquet, COMPRESSION zstd)"
    )
    with target.open("rb") as stream:
        os.fsync(stream.fileno())


def _report(job: _Job, reports: Mapping[str, TableReport], *, changed: bool) -> ImportReport:
    """Write the quarantine and say what was done."""
    root = job.warehouse.path / "quarantine"
    folder = root / job.import_id
    for name, report in reports.items():
        if report.refused:
            write_quarantine(job.con, folder, name, job.staged[job.mapping.tables[name].from_])
    sources = {spec.from_ for spec in job.mapping.tables.values()}
    for name, staged in job.staged.items():
        if name not in sources and staged.bad_rows:
            write_malformed(job.con, folder, staged)
    drop_quarantine(root, source=job.source[:12], keep=job.import_id)
    files = {
        name: FileReport(staged.rows, staged.malformed, _unmapped(job, staged)) for name, staged in job.staged.items()
    }
    return ImportReport(
        job.import_id, job.mapping.name, iso(job.at), changed, reports, files, folder if folder.is_dir() else None
    )
