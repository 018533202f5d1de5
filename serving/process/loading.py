"""Which bundle answers: `current` if it is whole and sound, else `last_good`, else none, and why.

A damaged LightGBM file kills the process that reads it. Every bundle is therefore tried in a child process first; only
what survives there, hashes checked and golden leads recomputed, is loaded here.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from data.errors import ClewError, DataError
from serving.process.lean import leave_out_training
from training.bundles.bundle import Bundle, pointed_bundle
from training.bundles.sealing import point_at

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Loaded", "choose_bundle", "load_checked", "remember"]

Pointer = Literal["current", "last_good"]
_POINTERS: tuple[Pointer, ...] = ("current", "last_good")
_TRIAL_SECONDS = 120
_MARK = "clew: "


@dataclass(frozen=True)
class Loaded:
    """The bundle that answers, the pointer that named it, and why others were refused."""

    bundle: Bundle | None
    pointer: Pointer | None
    refused: tuple[str, ...]


def choose_bundle(bundles: Path) -> Loaded:
    """Return the best bundle under a folder of published ones.

    A sound `current` becomes `last_good`, if the folder can be written. Nothing is raised: without a sound bundle the
    rules answer.

    Examples
    --------
    >>> choose_bundle(Path("no such folder")).refused
    ('no bundle has been published yet',)
    """
    refused: list[str] = []
    for pointer, folder in _candidates(bundles):
        try:
            bundle = load_checked(folder)
        except ClewError as error:
            refused.append(f"{pointer}: {error}")
            continue
        if pointer == "current":
            remember(bundles, folder)
        return Loaded(bundle, pointer, tuple(refused))
    return Loaded(None, None, tuple(refused) or ("no bundle has been published yet",))


def _candidates(bundles: Path) -> Iterator[tuple[Pointer, Path]]:
    seen: set[Path] = set()
    for pointer in _POINTERS:
        folder = pointed_bundle(bundles, pointer)
        if folder is not None and folder not in seen:
            seen.add(folder)
            yield pointer, folder


def load_checked(folder: Path) -> Bundle:
    """Return a bundle that a child process has loaded and rechecked, loaded and rechecked again here.

    Raises
    ------
    DataError
        If the bundle is damaged, kills its reader, or answers its golden leads otherwise than when it was sealed.
    """
    _try_in_child(folder)
    return _load(folder)


def _load(folder: Path) -> Bundle:
    try:
        bundle = Bundle.load(folder)
        bundle.recheck()
    except ClewError:
        raise
    except Exception as error:
        # Whatever a broken bundle provokes in the libraries that read it, serving has to go on.
        raise DataError(f"the bundle cannot be read ({type(error).__name__})", hint="publish it again") from error
    return bundle


def _try_in_child(folder: Path) -> None:
    root = str(Path(__file__).parents[2])
    # The service's own environment would make the child count as one of its workers.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BENTOML_")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "serving.process.loading", str(folder.absolute())]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"the bundle was not read within {_TRIAL_SECONDS} s", hint="publish it again") from None
    if done.returncode:
        # LightGBM writes to the same stream, pieces of the damaged file among it.
        told = [line.removeprefix(_MARK) for line in done.stdout.splitlines() if line.startswith(_MARK)]
        reason = told[0] if told else f"it ended the process that read it (code {done.returncode})"
        raise DataError(f"refused by a trial in a process of its own: {reason}")


def remember(bundles: Path, folder: Path) -> None:
    """Make the bundle `last_good`; a read-only folder must not keep anybody from serving."""
    if pointed_bundle(bundles, "last_good") != folder:
        with contextlib.suppress(OSError, ClewError):
            point_at(bundles, "last_good", folder)


def _trial(folder: Path) -> int:
    try:
        _load(folder)
    except ClewError as error:
        sys.stdout.write(f"{_MARK}{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    leave_out_training()
    sys.exit(_trial(Path(sys.argv[1])))
