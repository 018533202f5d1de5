"""A backup is of one moment, taken while the service writes; what is put back is what was there, or nothing is."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import tarfile
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from data.backup import back_up, restore
from data.clock import DAY_US
from data.errors import DataError, UsageError
from data.forget import forget
from data.settings import Settings
from data.store import Store, add_events, lead_facts, migrate, open_store, put_lead, record_scores
from data.store.engine import expect_schema
from data.sync import sync
from data.warehouse import Warehouse
from tests.commands import CommandLine
from tests.data.stores import BOTH, NOW_US, event, lead, rows_of, score
from tests.postgres import fresh_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def home(kind: str, folder: Path) -> Iterator[Settings]:
    """Settings of a place where nothing is yet."""
    folder.mkdir()
    with fresh_url(kind, folder) as url:
        yield Settings(home=folder / "var", mlruns=folder / "mlruns", store=url)


def filled(settings: Settings) -> Store:
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    put_lead(store, lead(contact={"name": "Ada Secretname"}, custom={"erp": "线索"}), modified_us=20 * DAY_US)
    add_events(store, [event(f"e{number}", value=number / 3) for number in range(50)])
    record_scores(store, [score(probability=0.1 + 0.2), score("L-2")])
    sync(store, Warehouse(settings.warehouse_dir))
    settings.bundles_dir.mkdir()
    (settings.bundles_dir / "sha256-1").mkdir()
    (settings.bundles_dir / "sha256-1" / "manifest.json").write_text("{}")
    (settings.bundles_dir / "current").write_text("sha256-1")
    settings.mlruns.mkdir()
    (settings.mlruns / "artifact.txt").write_text("kept")
    return store


def files_of(folder: Path) -> dict[str, bytes]:
    left_out = {".lock"}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in left_out
    }


@pytest.mark.parametrize(("name", "rows_only"), [("backup", False), ("backup.tar.gz", True)])
@pytest.mark.parametrize("kind", BOTH)
def test_what_is_restored_is_what_was_backed_up(tmp_path: Path, kind: str, name: str, rows_only: bool) -> None:
    with home(kind, tmp_path / "old") as old, home(kind, tmp_path / "new") as new:
        store = filled(old)
        done = back_up(old, tmp_path / name, rows_only=rows_only)
        assert done.store == ("rows" if rows_only else {"sqlite": "sqlite", "postgres": "pg_dump"}[kind])
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) & 0o077 == 0
        restore(new, tmp_path / name)
        again = open_store(new.store_url)
        expect_schema(again)
        assert rows_of(again) == rows_of(store)
        assert files_of(new.warehouse_dir) == files_of(old.warehouse_dir)
        assert files_of(new.bundles_dir) == files_of(old.bundles_dir)
        assert files_of(new.mlruns) == files_of(old.mlruns)
        Warehouse(new.warehouse_dir).verify()
        assert lead_facts(again, "L-1", as_of_us=NOW_US) == lead_facts(store, "L-1", as_of_us=NOW_US)
        # Numbers go on after the highest that was given.
        record_scores(again, [score("L-3")])
        assert len({row[0] for row in rows_of(again, "scores")["scores"]}) == 3
        again.close()
        store.close()
        left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
        assert left == []


def test_rows_move_a_store_from_a_file_to_a_server(tmp_path: Path) -> None:
    with home("sqlite", tmp_path / "old") as old, home("postgres", tmp_path / "new") as new:
        store = filled(old)
        back_up(old, tmp_path / "plain")
        with pytest.raises(UsageError, match="another database"):
            restore(new, tmp_path / "plain")
        back_up(old, tmp_path / "rows", rows_only=True)
        restore(new, tmp_path / "rows")
        again = open_store(new.store_url)
        assert rows_of(again) == rows_of(store)
        again.close()
        store.close()


@pytest.mark.parametrize("kind", BOTH)
def test_a_backup_taken_while_the_service_writes_is_of_one_moment(tmp_path: Path, kind: str) -> None:
    with home(kind, tmp_path / "old") as old, home(kind, tmp_path / "new") as new:
        store = filled(old)
        ended, written = threading.Event(), [0]

        def write() -> None:
            while not ended.is_set():
                number = written[0]
                # Of these two one is never there without the other.
                add_events(store, [event(f"a{number}"), event(f"b{number}")])
                written[0] += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            back_up(old, tmp_path / "backup")
        finally:
            ended.set()
            writer.join()
        restore(new, tmp_path / "backup")
        again = open_store(new.store_url)
        ids = {row[1] for row in rows_of(again, "events")["events"]}
        pairs = [{int(one[1:]) for one in ids if one[0] == letter} for letter in "ab"]
        assert pairs[0] == pairs[1] == set(range(len(pairs[0])))
        assert written[0]
        again.close()
        store.close()


@pytest.mark.parametrize("kind", BOTH)
def test_restoring_over_something_asks_for_force_and_then_replaces_it(tmp_path: Path, kind: str) -> None:
    with home(kind, tmp_path / "home") as settings:
        store = filled(settings)
        before = rows_of(store)
        back_up(settings, tmp_path / "backup")
        add_events(store, [event("later")])
        (settings.mlruns / "later.txt").write_text("later")
        changed = rows_of(store)
        with pytest.raises(UsageError, match=r"would be overwritten.*--force"):
            restore(settings, tmp_path / "backup")
        assert rows_of(store) == changed
        store.close()
        restore(settings, tmp_path / "backup", force=True)
        again = open_store(settings.store_url)
        assert rows_of(again) == before
        assert not (settings.mlruns / "later.txt").exists()
        again.close()


@pytest.mark.parametrize("kind", BOTH)
def test_who_was_forgotten_since_the_backup_does_not_come_back_with_it(tmp_path: Path, kind: str) -> None:
    with home(kind, tmp_path / "home") as settings:
        store = filled(settings)
        back_up(settings, tmp_path / "backup")
        forget(store, Warehouse(settings.warehouse_dir), "L-1")
        store.close()
        restore(settings, tmp_path / "backup", force=True)
        again = open_store(settings.store_url)
        assert "Secretname" not in repr(rows_of(again))
        assert {row[0] for row in rows_of(again, "leads")["leads"]} == {"L-1"}
        with Warehouse(settings.warehouse_dir).connect() as connection:
            assert connection.sql("SELECT DISTINCT custom_erp FROM leads").fetchall() == [(None,)]
        again.close()


@pytest.mark.parametrize("harm", ["changed", "missing", "strange", "no list", "cut archive"])
def test_a_damaged_backup_is_refused_before_anything_is_replaced(tmp_path: Path, harm: str) -> None:
    with home("sqlite", tmp_path / "home") as settings:
        store = filled(settings)
        source = tmp_path / ("backup.tar.gz" if harm == "cut archive" else "backup")
        back_up(settings, source)
        victim = source / "mlruns" / "artifact.txt"
        if harm == "changed":
            victim.write_text("Kept")
        elif harm == "missing":
            victim.unlink()
        elif harm == "strange":
            (source / "strange").touch()
        elif harm == "no list":
            (source / "backup.json").write_text("[]")
        else:
            source.write_bytes(source.read_bytes()[:2000])
        before = rows_of(store), files_of(settings.warehouse_dir)
        with pytest.raises(DataError):
            restore(settings, source, force=True)
        assert (rows_of(store), files_of(settings.warehouse_dir)) == before
        store.close()


def test_an_archive_cannot_write_outside_of_its_folder(tmp_path: Path) -> None:
    with home("sqlite", tmp_path / "home") as settings:
        (tmp_path / "evil").write_text("x")
        with tarfile.open(tmp_path / "evil.tar", "w") as archive:
            archive.add(tmp_path / "evil", arcname="../outside")
        with pytest.raises(DataError):
            restore(settings, tmp_path / "evil.tar")
        assert not list(tmp_path.rglob("outside"))


def test_without_pg_dump_rows_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with home("postgres", tmp_path / "old") as old:
        filled(old).close()
        monkeypatch.setattr(shutil, "which", lambda _: None)
        assert back_up(old, tmp_path / "backup").store == "rows"


def test_a_backup_is_never_overwritten_and_never_lies_in_what_it_copies(tmp_path: Path) -> None:
    with home("sqlite", tmp_path / "home") as settings:
        filled(settings).close()
        back_up(settings, tmp_path / "backup")
        with pytest.raises(UsageError, match="there already"):
            back_up(settings, tmp_path / "backup")
        with pytest.raises(UsageError, match="is to be copied"):
            back_up(settings, settings.mlruns / "backup")


def test_the_database_of_the_runs_is_copied_with_what_is_committed_and_no_more(tmp_path: Path) -> None:
    with home("sqlite", tmp_path / "old") as old, home("sqlite", tmp_path / "new") as new:
        filled(old).close()
        with closing(sqlite3.connect(old.mlruns / "mlflow.db")) as runs:
            runs.execute("PRAGMA journal_mode=WAL")
            runs.execute("CREATE TABLE runs (id TEXT)")
            runs.execute("INSERT INTO runs VALUES ('kept')")
            runs.commit()
            runs.execute("INSERT INTO runs VALUES ('not committed')")
            assert (old.mlruns / "mlflow.db-wal").stat().st_size
            back_up(old, tmp_path / "backup.tar")
        restore(new, tmp_path / "backup.tar")
        assert {path.name for path in new.mlruns.iterdir()} == {"mlflow.db", "artifact.txt"}
        with closing(sqlite3.connect(new.mlruns / "mlflow.db")) as runs:
            assert runs.execute("SELECT id FROM runs").fetchall() == [("kept",)]


def test_the_commands_back_up_and_restore(tmp_path: Path) -> None:
    clew = CommandLine(tmp_path)
    assert clew("init").code == 0
    store = open_store(clew.settings().store_url)
    put_lead(store, lead(), modified_us=20 * DAY_US)
    told = clew("backup", "kept.tar.gz", "--json")
    assert (told.code, '"store": "sqlite"' in told.out) == (0, True)
    assert clew("restore", "kept.tar.gz").code == 2
    before = rows_of(store, "leads")
    put_lead(store, lead("L-2"), modified_us=20 * DAY_US)
    store.close()
    assert clew("restore", "kept.tar.gz", "--force").code == 0
    again = open_store(clew.settings().store_url)
    assert rows_of(again, "leads") == before
    again.close()
