"""How the store is opened: SQLite in a file or PostgreSQL by URL, reads from one snapshot, writes all or nothing.

A write that returned is on disk: SQLite syncs its log at each commit (`synchronous=FULL`), PostgreSQL by default does.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote

import sqlalchemy as sa
from sqlalchemy import exc

from data.errors import InfrastructureError, UsageError
from data.store.schema import SCHEMA, VERSION_TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "WAIT_MS",
    "WRITE",
    "Store",
    "connect",
    "expect_schema",
    "open_store",
    "place_of",
    "schema_of",
    "store_url",
    "told",
]

T = TypeVar("T")

_FILE = "sqlite:///"
# Longer than any write of clew takes; beyond it the caller is told instead of kept.
WAIT_MS = 10_000
WRITE = "clew_write"  # the option of a connection that takes the lock of writers at once: how long it waits, in ms
_ATTEMPTS = 6
# PostgreSQL's serialization_failure and deadlock_detected: nothing was written, the same work may run again.
_AGAIN = frozenset({"40001", "40P01"})


def store_url(url: str) -> sa.URL:
    """Return the checked URL, with the driver that clew installs.

    Raises
    ------
    UsageError
        If it is no URL of SQLite in a file or of PostgreSQL.

    Examples
    --------
    >>> store_url("postgresql://clew@db/clew").drivername
    'postgresql+psycopg'
    >>> store_url("sqlite:///var/store.sqlite").database
    'var/store.sqlite'
    """
    hint = "write sqlite:///var/store.sqlite or postgresql://user@host/database"
    if url.startswith(_FILE):
        path = url.removeprefix(_FILE)
        if path in {"", ":memory:"}:
            raise UsageError("the store's URL names no file", hint=hint)
        # Taken as it stands: whether SQLAlchemy decodes %20 in a path depends on its version.
        return sa.URL.create("sqlite", database=path)
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError:
        raise UsageError("the store's URL cannot be read", hint=hint) from None
    backend = parsed.get_backend_name()
    if backend not in {"postgresql", "postgres"}:
        raise UsageError(f"the store's URL names {backend} and no file or server that clew can use", hint=hint)
    return parsed.set(drivername="postgresql+psycopg")


@dataclass(frozen=True)
class Store:
    """An opened store; safe to share between threads, not across a fork."""

    engine: sa.Engine
    # SQLite has one writer at a time and lets the others poll: those of one process rather wait for each other.
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def is_postgres(self) -> bool:
        """Whether a server and not a file holds the store."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection whose queries all see the store as it stood at the first of them.

        Raises
        ------
        InfrastructureError
            If the database is away, locked or damaged.
        """
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if self.is_postgres else {}
        with told(self.engine), self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in one transaction and return what it returned, once that is on disk.

        Of two writers in each other's way PostgreSQL sends one back; its work then runs again from the start, so
        `work` may change nothing but the store.

        Raises
        ------
        InfrastructureError
            If the database is away, locked, full or damaged. Nothing was acknowledged then; sent again, the same
            write does no harm.
        """
        with told(self.engine):
            for attempt in range(1, _ATTEMPTS):
                try:
                    return self._once(work)
                except exc.DBAPIError as error:
                    if getattr(error.orig, "sqlstate", None) not in _AGAIN:
                        raise
                    time.sleep(0.005 * attempt)
            return self._once(work)

    def execute(self, statement: sa.Executable, rows: Mapping[str, Any]) -> None:
        """Run one statement with its parameters, as `write` does."""
        self.write(lambda connection: connection.execute(statement, rows).close())

    def _once(self, work: Callable[[sa.Connection], T]) -> T:
        if self.is_postgres:
            return self._written(work, WAIT_MS)
        asked = time.monotonic()
        if not self._turn.acquire(timeout=WAIT_MS / 1e3):
            raise InfrastructureError(f"the store {place_of(self.engine)} is being written by others", hint=_REMEDY)
        try:
            # One limit for both waits, for the others of this process and for those of another.
            left = WAIT_MS - int((time.monotonic() - asked) * 1e3)
            return self._written(work, max(left, 1))
        finally:
            self._turn.release()

    def _written(self, work: Callable[[sa.Connection], T], wait_ms: int) -> T:
        with self.engine.connect().execution_options(**{WRITE: wait_ms}) as connection, connection.begin():
            return work(connection)

    def close(self) -> None:
        """Close the connections; an open store must not be carried over a fork."""
        self.engine.dispose()


def open_store(url: str) -> Store:
    """Open a store that `clew init` made; `expect_schema` says whether it is of this version of clew.

    Raises
    ------
    UsageError
        If the URL is of no database that clew knows.
    """
    return Store(connect(store_url(url)))


def connect(url: sa.URL, *, create: bool = False) -> sa.Engine:
    """Return an engine; a missing SQLite file is made only with `create`. No connection is opened yet."""
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(url, hide_parameters=True, pool_pre_ping=True, pool_size=8)
    path = Path(str(url.database))
    mode = "rwc" if create else "rw"
    place = url.set(database=f"file:{quote(str(path))}", query={"mode": mode, "uri": "true"})
    engine = sa.create_engine(place, hide_parameters=True, pool_size=8)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(raw: Any, record: object) -> None:  # noqa: ANN401, ARG001 - the signature is SQLAlchemy's
    raw.isolation_level = None  # the driver would begin late and never for a SELECT
    for pragma in (f"busy_timeout={WAIT_MS}", "synchronous=FULL"):
        raw.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes the lock at once: one that read first could not wait for another's commit, only fail.
    wait_ms = connection.get_execution_options().get(WRITE)
    connection.exec_driver_sql(f"PRAGMA busy_timeout={wait_ms or WAIT_MS}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if wait_ms else "BEGIN")


@contextmanager
def told(engine: sa.Engine) -> Iterator[None]:
    """Turn what a database says into an error for people, without any value of a row."""
    try:
        yield
    except (exc.IntegrityError, exc.DataError):
        raise  # a mistake of clew's own; parameters are hidden
    except (exc.DBAPIError, exc.TimeoutError, _driver_error(engine)) as error:
        cause = getattr(error, "orig", None) or error
        raise InfrastructureError(f"the store {place_of(engine)} {_trouble(engine, cause)}", hint=_REMEDY) from None


def place_of(engine: sa.Engine) -> str:
    """Return where a store is, for people: a file, or a server's URL without its password."""
    if engine.dialect.name == "sqlite":
        return unquote(str(engine.url.database).removeprefix("file:"))
    return engine.url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)


def _driver_error(engine: sa.Engine) -> type[Exception]:
    """Return what the driver itself raises, for where a query goes to it directly."""
    found: type[Exception] = engine.dialect.loaded_dbapi.Error
    return found


_REMEDY = "run `clew init` if it is new, else check the database, its disk and its rights, and try again"


def _trouble(engine: sa.Engine, cause: BaseException) -> str:
    """Say what kind of trouble it is; a server's own words may quote a row, SQLite's never do."""
    if engine.dialect.name == "sqlite":
        return f"cannot be used: {cause}"
    state = getattr(cause, "sqlstate", None)
    return f"cannot be used: {type(cause).__name__}, SQLSTATE {state}" if state else "cannot be reached"


def schema_of(connection: sa.Connection) -> str | None:
    """Return the version of the schema, None where there is none."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
    return None if found is None else str(found)


def expect_schema(store: Store) -> None:
    """Refuse a store of another version than this clew's.

    Raises
    ------
    InfrastructureError
        If the store was never made, is older or newer than this clew, or cannot be reached.
    """
    with store.reading() as connection:
        found = schema_of(connection)
    if found == SCHEMA:
        return
    newer = found is not None and found > SCHEMA
    raise InfrastructureError(
        f"the store has schema {found or 'none'}, this clew works with {SCHEMA}",
        hint="install the newer clew that made it" if newer else "run `clew init` once, with the new version",
    )
