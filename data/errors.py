"""What can go wrong, sorted by who has to act; each error knows the exit code of the command line."""

from __future__ import annotations

__all__ = ["ClewError", "DataError", "InfrastructureError", "RefusedError", "UsageError"]


class ClewError(Exception):
    """Base of all errors that are meant for people.

    Parameters
    ----------
    message
        What was expected and what came; never personal data, only the kind of a value.
    hint
        What to do about it, one sentence.

    Examples
    --------
    >>> str(DataError("column 'won_date' is missing in deals.csv", hint="map another column"))
    "column 'won_date' is missing in deals.csv; map another column"
    >>> DataError("x").exit_code
    2
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message}; {hint}" if hint else message)


class UsageError(ClewError):
    """A wrong option, setting or order of commands."""


class DataError(ClewError):
    """Data that break the contract: an unreadable file, a missing column, a broken invariant."""


class RefusedError(ClewError):
    """A `promote` that the gate refused."""

    exit_code = 3


class InfrastructureError(ClewError):
    """A disk, a lock, a database or a port that is not as it has to be."""

    exit_code = 4
