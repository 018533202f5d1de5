"""The only module that reads the clock, and the one way moments become integers and back.

Inside clew a moment is a whole number of microseconds since 1970-01-01T00:00:00Z (`us`): exact, ordered and equal
in SQL, Python and JSON. People and Parquet files see UTC timestamps.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from data.errors import DataError

__all__ = ["DAY_US", "HOUR_US", "MINUTE_US", "from_us", "iso", "now", "parse_moment", "to_us"]

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    """Return the present moment in UTC; tests replace it here and nowhere else."""
    return datetime.now(UTC)


def to_us(moment: datetime) -> int:
    """Return whole microseconds since the epoch, exactly.

    Raises
    ------
    DataError
        If the moment has no offset: a naive time means another instant in every zone.

    Examples
    --------
    >>> to_us(datetime(1970, 1, 2, tzinfo=UTC)) == DAY_US
    True
    """
    if moment.tzinfo is None:
        raise DataError("a time without an offset was given", hint="write it as 2026-11-21T08:00:00Z or with +08:00")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    """Return the UTC moment of whole microseconds since the epoch.

    Examples
    --------
    >>> from_us(DAY_US).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    return _EPOCH + timedelta(microseconds=us)


def parse_moment(text: str, *, field: str = "") -> datetime:
    """Read an ISO 8601 time with an offset, or a bare date as midnight UTC.

    Raises
    ------
    DataError
        If the text is no time, or a time of day without an offset; `field` says in the message what was read.

    Examples
    --------
    >>> parse_moment("2026-11-01").isoformat()
    '2026-11-01T00:00:00+00:00'
    >>> parse_moment("2026-11-01T08:00:00+08:00").isoformat()
    '2026-11-01T00:00:00+00:00'
    """
    told = f"{field}: " if field else ""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise DataError(
            f"{told}a time was expected, a text of {len(text)} characters came",
            hint="write it as 2026-11-21 or 2026-11-21T08:00:00Z",
        ) from None
    if moment.tzinfo is None:
        if len(text.strip()) > len("2026-11-01"):
            raise DataError(f"{told}a time without an offset was given", hint="add Z or an offset such as +08:00")
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise DataError(f"{told}a time outside the years 1 to 9999 was given", hint="check the year") from None


def iso(moment: datetime) -> str:
    """Write a moment as UTC with a trailing Z, microseconds only when there are any.

    Examples
    --------
    >>> iso(datetime(2026, 11, 1, tzinfo=UTC))
    '2026-11-01T00:00:00Z'
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
