"""Bring a store to the schema of this clew: what `clew init` does, and nothing else does."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from data.errors import InfrastructureError
from data.store.engine import WAIT_MS, WRITE, connect, place_of, schema_of, store_url, told
from data.store.schema import SCHEMA

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["Migration", "migrate"]

_WAL_ATTEMPTS = 500
_LOCK = 0x636C6577  # "clew"; only this module takes an advisory lock of one number that small


@dataclass(frozen=True)
class Migration:
    """From which schema to which the store at `place` was brought; `before` is None for a new one."""

    place: str
    before: str | None
    after: str


def migrate(url: str, *, to: str = SCHEMA) -> Migration:
    """Make the store, or bring an older one up to date; a store that is up to date stays as it is.

    All steps run in one transaction under a lock, so that of two calls the second finds the work done and a call that
    is killed leaves the store as it was.

    Parameters
    ----------
    url
        Of SQLite in a file, whose folder is made where it is missing, or of PostgreSQL.
    to
        The schema to reach, by default the one of this clew.

    Raises
    ------
    InfrastructureError
        If the store is of a newer clew, or the database cannot be used.
    UsageError
        If the URL is of no database that clew knows.
    """
    parsed = store_url(url)
    if parsed.get_backend_name() == "sqlite":
        _make_file(Path(str(parsed.database)))
    engine = connect(parsed, create=True)
    try:
        with told(engine):
            return _migrate(engine, to)
    finally:
        engine.dispose()


def _make_file(path: Path) -> None:
    """Make the file, to be read by its owner alone: there will be personal data in it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise InfrastructureError(f"{path} cannot be made: {error.strerror}", hint="check its rights") from None


def _migrate(engine: sa.Engine, to: str) -> Migration:
    with engine.connect().execution_options(**{WRITE: WAIT_MS}) as connection:
        if engine.dialect.name == "sqlite":
            _use_wal(connection)
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            before = schema_of(connection)
            if before is not None and before > SCHEMA:
                raise InfrastructureError(
                    f"the store has schema {before}, this clew knows up to {SCHEMA}",
                    hint="install the newer clew that made it",
                )
            if before is None or before < to:
                _run_steps(connection, to)
            return Migration(place_of(engine), before, str(schema_of(connection)))


def _use_wal(connection: sa.Connection) -> None:
    """Let readers read beside a writer; the file remembers it. Outside of a transaction, as SQLite asks for."""
    cursor = connection.connection.cursor()
    for _ in range(_WAL_ATTEMPTS):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            time.sleep(0.01)  # for this change SQLite does not wait for another process by itself
        else:
            return
    cursor.execute("PRAGMA journal_mode=WAL")


def _run_steps(connection: sa.Connection, to: str) -> None:
    from alembic import command

    command.upgrade(_config(connection), to)


def _config(connection: sa.Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
