"""A throw-away PostgreSQL for the tests: the server of CLEW_TEST_POSTGRES, else one started here and stopped again."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import sqlalchemy as sa

from tests.missing import missing_part

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["fresh_database", "fresh_url", "postgres_server", "shared_server"]

# initdb and postgres refuse to run as root; these are the users that a machine with PostgreSQL, or any, has.
_USERS = ("postgres", "nobody")


def _program(name: str) -> str | None:
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, homes)]))


def _run(command: list[str], user: str | None) -> None:
    # A server that inherits our pipes would keep a reader of them waiting for ever.
    with tempfile.TemporaryFile() as told:
        done = subprocess.run(
            command, user=user, cwd="/", stdin=subprocess.DEVNULL, stdout=told, stderr=told, timeout=60, check=False
        )
        told.seek(0)
        assert done.returncode == 0, told.read().decode(errors="replace")[-2000:]


def _owner() -> str | None:
    """Return the user to run the server as, None where that is us."""
    if os.geteuid() != 0:
        return None
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in _USERS if name in known), None) or missing_part("no user to run PostgreSQL as")


@contextmanager
def postgres_server() -> Iterator[str]:
    """Give the URL of a server; skip (in CI fail) where there is none."""
    if given := os.environ.get("CLEW_TEST_POSTGRES"):
        yield given
        return
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        missing_part("there is no PostgreSQL here (initdb, pg_ctl), and CLEW_TEST_POSTGRES names none")
    user = _owner()
    # A short name: the path of a socket may have about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="clew-pg-", dir="/tmp"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        where = ["-D", str(folder / "data")]
        _run([initdb, *where, "-U", "clew", "-A", "trust", "-E", "UTF8", "--no-sync"], user)
        # Commits need not outlive this machine, only the processes of the tests.
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=60"
        _run([pg_ctl, *where, "-w", "-o", options, "-l", str(folder / "log"), "start"], user)
        try:
            yield f"postgresql://clew@/postgres?host={folder}"
        finally:
            _run([pg_ctl, *where, "-m", "immediate", "stop"], user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """Give the URL of an empty database of a server, and drop it in the end."""
    name = f"clew_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@cache
def shared_server() -> str:
    """Return the URL of a server that all tests of this process share; it stops with the process."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(postgres_server())


@contextmanager
def fresh_url(kind: str, folder: Path) -> Iterator[str]:
    """Give the URL of a database that does not exist yet (`sqlite`) or is empty (`postgres`)."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'store.sqlite'}"
        return
    with fresh_database(shared_server()) as url:
        yield url
