"""What happened to a lead, and which of it stands behind a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from data.clock import DAY_US
from features.definitions import (
    Decayed,
    DistinctCount,
    EventCount,
    MostSenior,
    Recency,
    Total,
    Touch,
    Trend,
    Visits,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from features.catalogue import Feature
    from features.event_log import EventFact

__all__ = ["Happening", "behind", "happenings", "reads_events"]

_TREND_DAYS = 30
_OF_EVENTS = (EventCount, DistinctCount, Recency, Trend, Total, Decayed, Visits, Touch, MostSenior)


@dataclass(frozen=True)
class Happening:
    """An event of the person (`own`), of somebody else at the company (`company`), or something `sales` did."""

    at_us: int
    kind: Literal["own", "company", "sales"]
    type: str
    about: str | None


@dataclass(frozen=True)
class _Read:
    """Which events a feature reads: their types (all, if empty), for how many days back (None: ever), whose."""

    types: tuple[str, ...]
    days: int | None
    kind: Literal["own", "company"]


def happenings(
    own: Sequence[EventFact], company: Sequence[EventFact], actions: Iterable[Mapping[str, Any]]
) -> list[Happening]:
    """Return all of it, the newest first; of colleagues it is not said who they are."""
    found = [Happening(one.occurred_us, "own", one.type, one.content_id) for one in own]
    found += [Happening(one.occurred_us, "company", one.type, one.content_id) for one in company]
    found += [Happening(row["occurred_at"], "sales", row["type"], None) for row in actions]
    return sorted(found, key=lambda one: -one.at_us)


def behind(happened: Iterable[Happening], features: Iterable[Feature], as_of_us: int) -> list[Happening]:
    """Return what some features were computed from.

    Parameters
    ----------
    happened
        Of the lead.
    features
        Those that a reason names as its evidence.
    as_of_us
        The moment of the score, microseconds UTC.
    """
    reads = [read for read in map(_read, features) if read is not None]
    return [one for one in happened if any(_is_read(one, read, as_of_us) for read in reads)]


def reads_events(feature: Feature) -> bool:
    """Tell whether a feature is computed from events."""
    return _read(feature) is not None


def _is_read(one: Happening, read: _Read, as_of_us: int) -> bool:
    inside = one.at_us < as_of_us and (read.days is None or one.at_us >= as_of_us - read.days * DAY_US)
    return inside and one.kind == read.kind and (not read.types or one.type in read.types)


def _read(feature: Feature) -> _Read | None:
    compute = feature.compute
    if not isinstance(compute, _OF_EVENTS):
        return None
    days = _TREND_DAYS if isinstance(compute, Trend) else getattr(compute, "days", None)
    return _Read(getattr(compute, "types", ()), days, _whose(getattr(compute, "scope", "lead")))


def _whose(scope: Literal["lead", "account"]) -> Literal["own", "company"]:
    return "own" if scope == "lead" else "company"
