"""The store in a backup: SQLite by its online copy, PostgreSQL by pg_dump, or as plain rows that both can take in.

Each is of one moment, while services go on writing.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from data.errors import DataError, InfrastructureError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from data.store.engine import Store

__all__ = ["FILES", "StoreCopy", "copy_sqlite", "dump_store", "holds_rows", "load_store"]

StoreCopy = Literal["sqlite", "pg_dump", "rows"]
FILES: dict[StoreCopy, str] = {"sqlite": "store.sqlite", "pg_dump": "store.pgdump", "rows": "store.jsonl.gz"}
_AT_ONCE = 1_000


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite database as it stands at one moment, whoever writes to it meanwhile.

    Raises
    ------
    InfrastructureError
        If it cannot be read or written.
    """
    try:
        target.touch(mode=0o600)
        with (
            closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True, timeout=30)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
            # One file is copied, so nothing may be left in a log beside it.
            new.execute("PRAGMA journal_mode=DELETE")
    except (sqlite3.Error, OSError) as error:
        raise InfrastructureError(f"{source} cannot be copied: {error}", hint="check the disk and its rights") from None


def dump_store(store: Store, folder: Path, *, rows_only: bool = False) -> StoreCopy:
    """Write the store into a folder of a backup; return how it was done.

    Parameters
    ----------
    store
        The open store.
    folder
        Where the file goes.
    rows_only
        Write rows even where the database has a copy of its own: they can be taken in by either database.

    Raises
    ------
    InfrastructureError
        If the database cannot be read.
    """
    if not rows_only and not store.is_postgres:
        from data.store.engine import place_of

        copy_sqlite(Path(place_of(store.engine)), folder / FILES["sqlite"])
        return "sqlite"
    if not rows_only and _pg_dump(store.engine.url, folder / FILES["pg_dump"]):
        return "pg_dump"
    _write_rows(store, folder / FILES["rows"])
    return "rows"


def _pg_dump(url: sa.URL, target: Path) -> bool:
    """Have pg_dump write the tables; tell whether it could: it may be missing, or older than the server."""
    program = shutil.which("pg_dump")
    if program is None:
        return False
    tables = [word for name in _tables() for word in ("--table", name)]
    command = [program, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}", *tables]
    target.touch(mode=0o600)
    done = _run(command, url)
    if done.returncode:
        target.unlink(missing_ok=True)
    return done.returncode == 0


def _run(command: list[str], url: sa.URL) -> subprocess.CompletedProcess[bytes]:
    """Run a program of PostgreSQL's; the password goes through the environment, which others cannot list."""
    plain = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    secret = {} if url.password is None else {"PGPASSWORD": str(url.password)}
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "10", **secret}
    return subprocess.run(  # noqa: S603 - the program was looked up, the arguments are ours
        [*command, f"--dbname={plain}"], env=environment, capture_output=True, check=False
    )


def _tables() -> list[str]:
    from data.store.schema import METADATA, VERSION_TABLE

    return [*METADATA.tables, VERSION_TABLE]


def _write_rows(store: Store, target: Path) -> None:
    """Write each row as one line of JSON, all of one moment; a table begins with a line that names its columns."""
    import sqlalchemy as sa

    from data.store.engine import schema_of
    from data.store.schema import METADATA

    target.touch(mode=0o600)
    with gzip.open(target, "wt", encoding="utf-8") as stream, store.reading() as connection:
        stream.write(json.dumps({"schema": schema_of(connection)}) + "\n")
        for table in METADATA.sorted_tables:
            stream.write(json.dumps({"table": table.name, "columns": table.columns.keys()}) + "\n")
            rows = connection.execution_options(yield_per=_AT_ONCE).execute(sa.select(table))
            for row in rows:
                stream.write(json.dumps(list(row), ensure_ascii=False, allow_nan=False) + "\n")


def holds_rows(url: str) -> bool:
    """Tell whether a store is there and holds anything."""
    import sqlalchemy as sa

    from data.store.engine import open_store, store_url
    from data.store.schema import METADATA

    parsed = store_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).exists():
        return False
    with closing(open_store(url)) as store, store.reading() as connection:
        there = set(sa.inspect(connection).get_table_names())
        tables = [table for table in METADATA.sorted_tables if table.name in there]
        return any(connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() for table in tables)


def load_store(url: str, folder: Path, kind: StoreCopy) -> None:
    """Put the store of a backup in the place of the one that a URL names, which is lost.

    Raises
    ------
    UsageError
        If the copy is of the other database.
    InfrastructureError
        If the database, its programs or the disk fail.
    DataError
        If the rows are of another schema than this clew's.
    """
    from data.store.engine import store_url

    parsed = store_url(url)
    own = "sqlite" if parsed.get_backend_name() == "sqlite" else "pg_dump"
    if kind not in {own, "rows"}:
        raise UsageError(
            f"the backup holds the store as {kind}, and the settings name another database",
            hint="set CLEW_STORE to a database of the same kind, or make the backup with --rows",
        )
    if kind == "rows":
        _load_rows(url, folder / FILES["rows"])
    elif kind == "sqlite":
        _place_file(folder / FILES["sqlite"], Path(str(parsed.database)))
    else:
        _pg_restore(parsed, folder / FILES["pg_dump"])


def _place_file(source: Path, target: Path) -> None:
    """Replace the file; what a log beside the old one holds belongs to the old one."""
    beside = target.with_name(f".{target.name}.restored")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside.touch(mode=0o600)
        shutil.copyfile(source, beside)
        with closing(sqlite3.connect(beside)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        for ending in ("-wal", "-shm"):
            target.with_name(target.name + ending).unlink(missing_ok=True)
        beside.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise InfrastructureError(
            f"{target} cannot be written: {error}", hint="check the disk and its rights"
        ) from None


def _pg_restore(url: sa.URL, source: Path) -> None:
    program = shutil.which("pg_restore")
    if program is None:
        raise InfrastructureError(
            "the backup needs pg_restore, which is not here", hint="install PostgreSQL's client programs"
        )
    command = [program, "--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", str(source)]
    done = _run(command, url)
    if done.returncode:
        raise InfrastructureError(
            f"pg_restore ended with code {done.returncode}; the database is as it was",
            hint="check the database, its rights, and that its version is not older than that of the backup",
        )


def _load_rows(url: str, source: Path) -> None:
    import sqlalchemy as sa

    from data.store.engine import open_store
    from data.store.migrate import migrate
    from data.store.schema import METADATA, SCHEMA

    with gzip.open(source, "rt", encoding="utf-8") as stream:
        schema = json.loads(next(stream))["schema"]
    if schema != SCHEMA:
        raise DataError(
            f"the rows are of schema {schema}, this clew works with {SCHEMA}", hint="restore with the clew of then"
        )
    migrate(url)

    def work(connection: sa.Connection) -> None:
        for table in METADATA.sorted_tables:
            connection.execute(sa.delete(table))
        for name, rows in _read_rows(source):
            connection.execute(sa.insert(METADATA.tables[name]), rows)
        if connection.dialect.name == "postgresql":
            newest = "SELECT setval(pg_get_serial_sequence('scores', 'score_id'), max(score_id)) FROM scores"
            connection.execute(sa.text(newest))

    with closing(open_store(url)) as store:
        store.write(work)


def _read_rows(source: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the rows of each table in pieces."""
    name, columns, rows = "", list[str](), list[dict[str, Any]]()
    with gzip.open(source, "rt", encoding="utf-8") as stream:
        next(stream)
        for line in stream:
            told = json.loads(line)
            if isinstance(told, dict) or len(rows) == _AT_ONCE:
                if rows:
                    yield name, rows
                rows = []
            if isinstance(told, dict):
                name, columns = told["table"], told["columns"]
            else:
                rows.append(dict(zip(columns, told, strict=True)))
    if rows:
        yield name, rows
