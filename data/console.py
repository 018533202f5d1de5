"""How commands speak: progress on anything over a second, results, next steps, errors for people."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "next_steps", "print_json", "program", "step"]


def console() -> Console:
    """Return the console for people; standard error, so that standard output stays clean for scripts."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:  # noqa: ANN401 - anything that JSON can carry
    """Write one JSON document to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def program() -> str:
    """Return how the program was called, so that a printed next step can be typed as it stands.

    Examples
    --------
    >>> isinstance(program(), str)
    True
    """
    import shutil

    called = Path(sys.argv[0])
    if called.name != "clew":
        called = Path(sys.executable).parent / "clew"
    found = shutil.which("clew")
    if found and Path(found).resolve() == called.resolve():
        return "clew"
    try:
        return str(called.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(called)


def next_steps(*steps: tuple[str, str]) -> None:
    """Say what to type next: pairs of a command (without the program) and what it does."""
    out = console()
    out.print("\n[bold]Next[/bold]")
    for command, what in steps:
        shown = command.replace("clew ", f"{program()} ", 1) if command.startswith("clew ") else command
        out.print(f"  [cyan]{shown}[/cyan]\n      {what}", soft_wrap=True)


@contextmanager
def step(title: str) -> Iterator[Callable[..., None]]:
    """Show one step of work with a spinner, what it is doing now, and how long it took.

    The callable takes a text and optionally a share of 1; on a screen that is no terminal only the end is written.
    """
    out = console()
    started = time.monotonic()
    with out.status(f"{title} …") as status:

        def tell(text: str, share: float | None = None) -> None:
            done = "" if share is None else f" {share:.0%}"
            status.update(f"{title}: {text}{done}")

        yield tell
    out.print(f"[green]✓[/green] {title} [dim]({time.monotonic() - started:.1f} s)[/dim]")
