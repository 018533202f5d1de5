"""How commands speak: progress on anything over a second, results, next steps, errors for people."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from data.errors import ClewError

__all__ = ["console", "next_steps", "print_json", "program", "sentences", "show_error", "step", "typed"]


def console() -> Console:
    """Return the console for people; standard error, so that standard output stays clean for scripts."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:  # noqa: ANN401 - anything that JSON can carry
    """Write one JSON document to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def program(name: str = "clew") -> str:
    """Return how to call a program of this environment, so that a printed command can be typed as it stands.

    The plain name where the shell finds the same program, else its path, from here where it lies below.

    Examples
    --------
    >>> program("no-such-program").endswith(" -m no-such-program")
    True
    """
    beside = Path(sys.executable).parent / name
    called = Path(sys.argv[0])
    if name == "clew" and called.name == "clew" and called.is_file():
        beside = called
    if not beside.is_file():
        return f"{_from_here(Path(sys.executable))} -m {name}"
    found = shutil.which(name)
    return name if found and Path(found).resolve() == beside.resolve() else _from_here(beside)


def _from_here(path: Path) -> str:
    try:
        near = path.absolute().relative_to(Path.cwd())
    except ValueError:
        near = path.absolute()
    return shlex.quote(str(near))


def typed(*words: object) -> str:
    """Return the words as one command line that a shell splits into the same words.

    Examples
    --------
    >>> typed("clew", "import", "My Export")
    "clew import 'My Export'"
    """
    return shlex.join(map(str, words))


def next_steps(*steps: tuple[str, str]) -> None:
    """Say what to type next: pairs of a command line and what it does; clew and mlflow are named so that they run."""
    from rich.text import Text

    out = console()
    out.print("\n[bold]Next[/bold]")
    for command, what in steps:
        name, _, rest = command.partition(" ")
        shown = f"{program(name)} {rest}".rstrip() if name in {"clew", "mlflow"} else command
        out.print(Text.assemble("  ", (shown, "cyan"), f"\n      {what}"), soft_wrap=True)


def show_error(error: ClewError) -> None:
    """Write an error for people: what is wrong, then what to do about it."""
    from rich.text import Text

    # Text and not markup: a message may hold brackets, and they belong to it.
    out = console()
    out.print(Text.assemble(("✗", "red"), " ", error.message), soft_wrap=True)
    if error.hint:
        out.print(Text(f"  {error.hint}"), soft_wrap=True)


def sentences(*texts: str) -> str:
    """Join texts as sentences: each begins with a capital and ends with a point, a semicolon ends one too.

    Examples
    --------
    >>> sentences("log loss: clew is ahead; ROC-AUC: too", "it may be served.")
    'Log loss: clew is ahead. ROC-AUC: too. It may be served.'
    """
    parts = (part.strip().rstrip(".") for text in texts for part in text.split("; "))
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts if part)


@contextmanager
def step(title: str) -> Iterator[Callable[..., None]]:
    """Show one step of work with a spinner, what it is doing now, and how long it took.

    The callable takes a text and optionally a share of 1; on a screen that is no terminal only the end is written.
    """
    from rich.text import Text

    out = console()
    started = time.monotonic()
    with out.status(Text(f"{title} …")) as status:

        def tell(text: str, share: float | None = None) -> None:
            done = "" if share is None else f" {share:.0%}"
            status.update(Text(f"{title}: {text}{done}"))

        yield tell
    took = f" ({time.monotonic() - started:.1f} s)"
    out.print(Text.assemble(("✓", "green"), f" {title}", (took, "dim")), soft_wrap=True)
