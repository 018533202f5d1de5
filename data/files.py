"""Files that are there whole or not at all, and YAML that people wrote by hand."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import yaml

from data.errors import InfrastructureError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import ValidationError

__all__ = ["in_words", "read_yaml", "written_whole"]


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a place beside the file to write to, and move it there at the end, so that no half file is ever found.

    Raises
    ------
    InfrastructureError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = pathlib.Path(folder) / "page.html"
    ...     with written_whole(target) as beside:
    ...         _ = beside.write_text("hello")
    ...     target.read_text()
    'hello'
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    except OSError as error:
        raise InfrastructureError(
            f"{path} cannot be written: {error.strerror or type(error).__name__}", hint="choose another place for it"
        ) from error


def read_yaml(path: Path) -> object:
    """Return what a YAML file says; None where it is empty.

    Raises
    ------
    FileNotFoundError
        If there is no such file: what that means, only the caller knows.
    UsageError
        If it is not UTF-8, or no YAML.
    InfrastructureError
        If it cannot be read.
    """
    try:
        found: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InfrastructureError(f"{path} cannot be read: {error.strerror}", hint="check its rights") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8", hint="save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path} is no YAML{where}", hint="check indentation and quotes") from None
    return found


def in_words(error: ValidationError) -> str:
    """Return what pydantic found wrong in a file, key by key, without the values."""
    lines = []
    for problem in error.errors():
        where = ".".join(str(step) for step in problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {text}" if where else text)
    return "; ".join(lines)
