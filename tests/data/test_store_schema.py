"""The schema of the store: made and brought up to date by migrations alone, under a lock, all or nothing."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from data.commands import init
from data.errors import InfrastructureError, UsageError
from data.settings import load_settings
from data.store import Store, expect_schema, migrate, open_store, put_lead
from data.store import migrate as migrate_command
from data.store.engine import schema_of, store_url
from data.store.schema import FACTS, METADATA, SCHEMA, VERSION_TABLE
from tests.data.stores import BOTH, NOW_US, ROOT, crowd, lead, rows_of
from tests.postgres import fresh_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIGRATE = """
import json
from dataclasses import asdict
import alembic.command
from data.store.migrate import migrate
def work(each, url):
    print(json.dumps(asdict(migrate(url))))
"""


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_url(request.param, tmp_path) as found:
        yield found


def opened(url: str) -> Store:
    return open_store(url)


def test_the_migrations_make_the_tables_that_the_queries_ask_for(url: str) -> None:
    migrate(url)
    store = opened(url)
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, METADATA) == []
        keys = {name: sa.inspect(connection).get_pk_constraint(name)["constrained_columns"] for name in METADATA.tables}
    assert keys == {name: [column.name for column in table.primary_key] for name, table in METADATA.tables.items()}
    store.close()


def test_the_schema_that_is_expected_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "data" / "store" / "migrations"))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA]


def test_migrating_twice_is_migrating_once(url: str) -> None:
    assert (migrate(url).before, migrate(url).before) == (None, SCHEMA)


def test_an_upgrade_keeps_every_fact_and_has_the_leads_scored(url: str) -> None:
    assert migrate(url, to="0001").after == "0001"
    row = dict.fromkeys(FACTS["leads"].columns.keys()) | {"created_at": 1, "custom": '{"erp": "sap"}'}
    versions = [
        row | {"lead_id": each, "known_at": us, "recorded_at": us} for each, us in (("a", 1), ("a", 2), ("b", 1))
    ]
    event = dict.fromkeys(FACTS["events"].columns.keys()) | {
        "source": "s",
        "event_id": "e",
        "lead_id": "a",
        "type": "t",
    }
    store = opened(url)
    with store.engine.begin() as connection:
        connection.execute(sa.insert(FACTS["leads"]), versions)
        connection.execute(sa.insert(FACTS["events"]), event | {"occurred_at": 1, "known_at": 1, "recorded_at": 1})
    before = rows_of(store, *FACTS)
    with pytest.raises(InfrastructureError, match=f"schema 0001, this clew works with {SCHEMA}; run `clew init` once"):
        expect_schema(store)
    assert (migrated := migrate(url)).before == "0001"
    assert migrated.after == SCHEMA
    expect_schema(store)
    assert rows_of(store, *FACTS) == before
    assert [row[:2] for row in rows_of(store, "dirty_leads")["dirty_leads"]] == [("a", 2), ("b", 1)]
    store.close()


def test_of_several_processes_that_migrate_at_once_one_does_and_all_succeed(url: str) -> None:
    found = sorted((json.loads(line) for line in crowd(MIGRATE, 4, url)), key=lambda each: str(each["before"]))
    assert [each["before"] for each in found] == [*[SCHEMA] * 3, None]
    assert {each["after"] for each in found} == {SCHEMA}


def test_clew_init_makes_the_store_of_the_settings_and_says_where(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLEW_STORE", url)
    for _ in range(2):
        init()
        assert f"(schema {SCHEMA})" in capsys.readouterr().err
    store = opened(url)
    expect_schema(store)
    store.close()


def test_without_a_setting_the_store_lies_beside_the_warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    init()
    assert load_settings(store=None).store_url == "sqlite:///var/store.sqlite"
    assert (tmp_path / "var" / "store.sqlite").is_file()
    assert "secret" not in repr(load_settings(store="postgresql://clew:secret@host/clew"))


def test_a_migration_that_fails_half_way_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = migrate_command.__globals__["_run_steps"]

    def fail(connection: sa.Connection, to: str) -> None:
        steps(connection, to)
        raise OSError("no more")

    monkeypatch.setitem(migrate_command.__globals__, "_run_steps", fail)
    with pytest.raises(OSError, match="no more"):
        migrate(url)
    monkeypatch.undo()
    store = opened(url)
    with store.reading() as connection:
        assert schema_of(connection) is None
        assert sa.inspect(connection).get_table_names() == []
    store.close()
    assert migrate(url).before is None


def test_a_store_of_a_newer_clew_is_neither_used_nor_migrated(url: str) -> None:
    migrate(url)
    store = opened(url)
    with store.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))  # noqa: S608 - a constant
    with pytest.raises(
        InfrastructureError, match=f"schema 9999, this clew works with {SCHEMA}; install the newer clew"
    ):
        expect_schema(store)
    with pytest.raises(InfrastructureError, match="newer clew"):
        migrate(url)
    store.close()


def test_a_store_that_was_never_made_is_refused_and_not_made_by_looking(tmp_path: Path) -> None:
    store = opened(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with pytest.raises(InfrastructureError, match="clew init"):
        expect_schema(store)
    with pytest.raises(InfrastructureError, match="clew init"):
        put_lead(store, lead(), modified_us=1, now_us=NOW_US)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_is_refused(tmp_path: Path) -> None:
    with fresh_url("postgres", tmp_path) as url:
        store = opened(url)
        with pytest.raises(InfrastructureError, match="schema none"):
            expect_schema(store)
        store.close()


def test_a_damaged_file_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"this is no database, but long enough to be taken for one" * 50)
    with pytest.raises(InfrastructureError, match="not a database"):
        expect_schema(opened(f"sqlite:///{path}"))
    with pytest.raises(InfrastructureError, match="not a database"):
        migrate(f"sqlite:///{path}")


def test_a_file_of_the_store_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        migrate(f"sqlite:///{tmp_path / 'odd name?#%20' / 'store.sqlite'}")
    finally:
        os.umask(before)
    (path,) = (tmp_path / "odd name?#%20").glob("store.sqlite")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_sqlite_syncs_every_commit_and_lets_readers_read_beside_a_writer(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    migrate(url)
    store = opened(url)

    def work(connection: sa.Connection) -> int:
        connection.execute(
            sa.insert(METADATA.tables["leases"]), {"name": "n", "holder": "h", "token": 1, "expires_at": 1}
        )
        return len(rows_of(store, "leases")["leases"])

    with store.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}
    assert store.write(work) == 0
    assert len(rows_of(store, "leases")["leases"]) == 1
    store.close()


def test_what_is_read_together_is_of_one_moment(url: str) -> None:
    migrate(url)
    store = opened(url)
    count = sa.select(sa.func.count()).select_from(FACTS["leads"])
    with store.reading() as connection:
        assert connection.scalar(count) == 0
        put_lead(store, lead(), modified_us=1, now_us=NOW_US)
        assert connection.scalar(count) == 0
    with store.reading() as connection:
        assert connection.scalar(count) == 1
    store.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "cannot be read"),
        ("mysql://somebody:secret@host/db", "names mysql"),
        ("sqlite://", "names sqlite"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_another_url_is_refused_with_the_two_that_work(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        store_url(text)
    assert "postgresql://" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_away_is_told_without_its_password() -> None:
    with pytest.raises(InfrastructureError, match="cannot be reached") as caught:
        migrate("postgresql://somebody:secret@127.0.0.1:1/clew")
    assert "secret" not in str(caught.value)
