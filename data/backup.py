"""Everything that cannot be made again in one folder or file: warehouse, store, bundles, mlruns; and back from it.

The warehouse is held while it and the store are copied, so that no import or sync falls in between; services go on
writing to the store. Nothing is put back before every file agrees with its hash.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from data.backup_store import FILES, StoreCopy, copy_sqlite, dump_store, holds_rows, load_store
from data.clock import iso, now
from data.errors import DataError, InfrastructureError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from data.settings import Settings
    from data.store.forgetting import Oblivion

    Progress = Callable[..., None]

__all__ = ["Backup", "back_up", "restore"]

_FORMAT = 1
_MANIFEST = "backup.json"
_ARCHIVES = (".tar", ".tar.gz", ".tgz")
_LEFT_OUT = frozenset({".lock", ".scratch", ".manifest.json.new"})
_SQLITE = b"SQLite format 3\x00"
_BESIDE = ("-wal", "-shm", "-journal")
_WAIT_S = 60.0
_KEPT = frozenset({"README.md", ".gitignore"})  # a folder with nothing else in it is empty


@dataclass(frozen=True)
class Backup:
    """What a backup holds; `store` says in which form, None where there was no store yet."""

    place: Path
    at: str
    store: StoreCopy | None
    files: int
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return the backup as plain values for JSON."""
        return {**vars(self), "place": str(self.place)}


def back_up(
    settings: Settings, target: Path, *, rows_only: bool = False, progress: Progress = lambda *_: None
) -> Backup:
    """Write a backup to a new folder, or to a file `.tar`, `.tar.gz` or `.tgz`; it is there whole or not at all.

    Parameters
    ----------
    settings
        Where everything is.
    target
        A folder or file that is not there yet. It holds personal data and is readable by its owner alone.
    rows_only
        Hold the store as rows, which SQLite and PostgreSQL can both take in.
    progress
        Called with the step in words and the share done.

    Raises
    ------
    UsageError
        If the target is there already, or lies in what is to be copied.
    InfrastructureError
        If the database or the disk fail, or an import is under way.
    """
    _refuse_target(settings, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _working_folder(target.parent) as folder:
        at = iso(now())
        kind = _copy_all(settings, folder, rows_only=rows_only, progress=progress)
        progress("hashing", 0.8)
        files = {path: _sha256(folder / path) for path in _files(folder)}
        size = sum((folder / path).stat().st_size for path in files)
        told = {"format": _FORMAT, "at": at, "store": kind, "files": files}
        (folder / _MANIFEST).write_text(json.dumps(told, indent=1), encoding="utf-8")
        progress("writing", 0.9)
        if _is_archive(target):
            _pack(folder, target)
        else:
            folder.rename(target)
    return Backup(target, at, kind, len(files), size)


def _places(settings: Settings) -> dict[str, Path]:
    return {"warehouse": settings.warehouse_dir, "bundles": settings.bundles_dir, "mlruns": settings.mlruns}


def _is_archive(path: Path) -> bool:
    return path.name.endswith(_ARCHIVES)


def _refuse_target(settings: Settings, target: Path) -> None:
    if target.exists():
        raise UsageError(f"{target} is there already", hint="name a new folder or file; a backup is never overwritten")
    for place in _places(settings).values():
        if target.absolute().is_relative_to(place.absolute()):
            raise UsageError(f"{target} lies in {place}, which is to be copied", hint="choose a place beside it")


@contextmanager
def _working_folder(parent: Path) -> Iterator[Path]:
    """Give a folder of its owner alone beside the target, and remove what is left of it."""
    folder = Path(tempfile.mkdtemp(prefix=".clew-backup-", dir=parent))
    try:
        yield folder
    except OSError as error:
        raise InfrastructureError(
            f"{error.filename or parent}: {error.strerror or type(error).__name__}", hint="check space and rights"
        ) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_all(settings: Settings, folder: Path, *, rows_only: bool, progress: Progress) -> StoreCopy | None:
    from data.store.engine import expect_schema, open_store
    from data.warehouse import Warehouse

    warehouse = Warehouse(settings.warehouse_dir)
    with warehouse.locked(wait_s=_WAIT_S):
        progress("copying the warehouse", 0.0)
        _copy_tree(warehouse.path, folder / "warehouse")
        progress("copying the store", 0.4)
        kind: StoreCopy | None = None
        if _store_is_there(settings):
            with closing(open_store(settings.store_url)) as store:
                expect_schema(store)
                kind = dump_store(store, folder, rows_only=rows_only)
    progress("copying bundles and mlruns", 0.6)
    # The pointers first: what they name is then there, whatever is published meanwhile.
    _copy_tree(settings.bundles_dir, folder / "bundles", files_first=True)
    _copy_tree(settings.mlruns, folder / "mlruns")
    return kind


def _store_is_there(settings: Settings) -> bool:
    from data.store.engine import store_url

    parsed = store_url(settings.store_url)
    return parsed.get_backend_name() != "sqlite" or Path(str(parsed.database)).exists()


def _copy_tree(source: Path, target: Path, *, files_first: bool = False) -> None:
    """Copy a folder; databases of SQLite as they stand at one moment, without the logs beside them."""
    target.mkdir()
    if not source.is_dir():
        return
    listed = sorted(source.rglob("*"))
    if files_first:
        listed.sort(key=lambda path: (len(path.relative_to(source).parts), path))
    for path in listed:
        inside = path.relative_to(source)
        if inside.parts[0] in _LEFT_OUT or path.is_symlink() or not path.is_file() or _belongs_to_database(path):
            continue
        copy = target / inside
        copy.parent.mkdir(parents=True, exist_ok=True)
        if _is_sqlite(path):
            copy_sqlite(path, copy)
        else:
            shutil.copy2(path, copy)


def _belongs_to_database(path: Path) -> bool:
    """Tell whether a file is what SQLite writes beside a database: its copy holds that already."""
    for ending in _BESIDE:
        if path.name.endswith(ending) and _is_sqlite(path.with_name(path.name.removesuffix(ending))):
            return True
    return False


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:
        return False


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _pack(folder: Path, target: Path) -> None:
    beside = folder.with_name(f"{folder.name}.tar")
    try:
        beside.touch(mode=0o600)
        with tarfile.open(beside, "w" if target.suffix == ".tar" else "w:gz") as archive:
            archive.add(folder, arcname=".")
        beside.rename(target)
    finally:
        beside.unlink(missing_ok=True)


def restore(settings: Settings, source: Path, *, force: bool = False, progress: Progress = lambda *_: None) -> Backup:
    """Put a backup where the settings say, after every file of it was held against its hash.

    Stop the service first: a worker that runs keeps what it has opened. Who was forgotten since the backup is forgotten
    again, as far as the store that is replaced can be read.

    Parameters
    ----------
    settings
        Where everything goes.
    source
        The folder or file of a backup.
    force
        Replace what is there.
    progress
        Called with the step in words and the share done.

    Raises
    ------
    DataError
        If it is no backup, or a file of it is missing or was changed; nothing was put back then.
    UsageError
        If something is there already and `force` was not given, or the store is of the other database.
    InfrastructureError
        If the database or the disk fail.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with _working_folder(settings.home) as scratch:
        progress("checking the hashes", 0.0)
        folder = _unpacked(source, scratch / "unpacked")
        told = _verified(folder)
        kind: StoreCopy | None = told["store"]
        if not force:
            _refuse_to_overwrite(settings, kind)
        forgotten = _forgotten(settings)
        if kind is not None:
            progress("restoring the store", 0.4)
            load_store(settings.store_url, folder, kind)
        for number, (name, place) in enumerate(_places(settings).items()):
            progress(f"restoring {name}", 0.5 + number / 6)
            _replace(folder / name, place)
    if kind is not None and forgotten:
        progress("forgetting again", 0.95)
        _forget_again(settings, forgotten)
    size = sum((place.stat().st_size for root in _places(settings).values() for place in root.rglob("*")), 0)
    return Backup(source, str(told["at"]), kind, len(told["files"]), size)


def _unpacked(source: Path, target: Path) -> Path:
    if source.is_dir():
        return source
    hint = "give the folder or file that `clew backup` wrote"
    if not source.is_file():
        raise UsageError(f"there is no backup {source}", hint=hint)
    try:
        with tarfile.open(source) as archive:
            archive.extractall(target, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{source} cannot be unpacked ({type(error).__name__})", hint=hint) from None
    return target


def _verified(folder: Path) -> Mapping[str, Any]:
    """Return the list of a backup whose files are all there, all as they were, and no others."""
    hint = "use another backup"
    try:
        told: dict[str, Any] = json.loads((folder / _MANIFEST).read_text("utf-8"))
        files, sound = told["files"], told["format"] == _FORMAT and told["store"] in (None, *get_args(StoreCopy))
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{folder} is no backup, or its list is damaged", hint=hint) from None
    if not sound or (told["store"] is not None and FILES[told["store"]] not in files):
        raise DataError(f"{folder} is a backup of another version", hint="restore it with the clew that made it")
    there = set(_files(folder)) - {_MANIFEST}
    if there != set(files):
        raise DataError(f"{len(there ^ set(files))} file(s) of the backup are missing or strange", hint=hint)
    for path, sha256 in files.items():
        if _sha256(folder / path) != sha256:
            raise DataError(f"{path} of the backup was changed or damaged", hint=hint)
    return told


def _refuse_to_overwrite(settings: Settings, kind: StoreCopy | None) -> None:
    taken = [str(place) for place in _places(settings).values() if _holds_something(place)]
    if kind is not None and holds_rows(settings.store_url):
        taken.append("the store")
    if taken:
        raise UsageError(f"{', '.join(taken)} would be overwritten", hint="say --force if that is meant")


def _holds_something(place: Path) -> bool:
    return place.is_dir() and any(p.is_file() and p.name not in _KEPT | _LEFT_OUT for p in place.rglob("*"))


def _forgotten(settings: Settings) -> list[Oblivion]:
    """Return who was forgotten by the store that is to be replaced; nobody where it is no store of this clew."""
    from data.store.engine import expect_schema, open_store
    from data.store.forgetting import list_forgotten

    if not _store_is_there(settings):
        return []
    with closing(open_store(settings.store_url)) as store:
        try:
            expect_schema(store)
            return list_forgotten(store)
        except InfrastructureError:
            return []


def _forget_again(settings: Settings, noted: list[Oblivion]) -> None:
    from data.forget import forget_again
    from data.store.engine import open_store
    from data.store.migrate import migrate
    from data.warehouse import Warehouse

    migrate(settings.store_url)  # an older store has no place to note it
    with closing(open_store(settings.store_url)) as store:
        forget_again(store, Warehouse(settings.warehouse_dir), noted)


def _replace(source: Path, place: Path) -> None:
    """Put a copy of a folder in the place of another, whole."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside, old = (place.with_name(f".{place.name}.{what}") for what in ("restored", "replaced"))
    for left in (beside, old):
        shutil.rmtree(left, ignore_errors=True)
    if source.is_dir():
        shutil.copytree(source, beside)
    else:
        beside.mkdir()
    if place.exists():
        place.rename(old)
    beside.rename(place)
    shutil.rmtree(old, ignore_errors=True)
