"""What a feature reads and over which window, as a data scientist would say it: for lists and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.definitions import (
    AccountAttribute,
    DistinctCount,
    Feature,
    Filled,
    LeadAge,
    LeadAttribute,
    MostSenior,
    SalesResponse,
    Total,
    Touch,
    Trend,
)

if TYPE_CHECKING:
    from features.definitions import Compute

__all__ = ["direction_of", "reads_of", "types_of", "window_of"]

# One more than the events that speak of buying, which are told by name.
_MOST_TYPES = 4


def types_of(feature: Feature) -> tuple[str, ...]:
    """Return the event types that a feature names, none where it reads all.

    Examples
    --------
    >>> from features.catalogue import build_catalogue
    >>> types_of(build_catalogue(event_types=["page_view"]).feature("page_views_7d"))
    ('page_view',)
    """
    return () if isinstance(feature.compute, SalesResponse) else tuple(getattr(feature.compute, "types", ()))


def reads_of(feature: Feature) -> str:
    """Return the columns that a feature reads, or its events with their types.

    Examples
    --------
    >>> from features.catalogue import build_catalogue
    >>> catalogue = build_catalogue(event_types=["page_view"])
    >>> [reads_of(catalogue.feature(name)) for name in ("employees", "page_views_7d", "events_30d", "contents_7d")]
    ['accounts.employees', 'events: page_view', 'events: all types', 'events.content_id']
    """
    compute = feature.compute
    if isinstance(compute, LeadAttribute | Filled):
        return f"leads.{compute.column}"
    if isinstance(compute, AccountAttribute):
        return f"accounts.{compute.column}"
    if isinstance(compute, LeadAge):
        return "leads.created_at"
    if isinstance(compute, SalesResponse):
        return f"actions: {', '.join(compute.types)}"
    whose = "other leads' " if feature.needs == "account_events" else ""
    return f"{whose}events{_of_events(compute)}"


def _of_events(compute: Compute) -> str:
    if isinstance(compute, DistinctCount):
        return {"day": ".occurred_at (days)"}.get(compute.column, f".{compute.column}")
    if isinstance(compute, Total):
        return f".{compute.column}"
    if isinstance(compute, Touch):
        return ".channel"
    if isinstance(compute, MostSenior):
        return " with leads.seniority"
    types: tuple[str, ...] = getattr(compute, "types", ())
    if not types:
        return ": all types"
    more = f" and {len(types) - _MOST_TYPES} more" if len(types) > _MOST_TYPES else ""
    return f": {', '.join(types[:_MOST_TYPES])}{more}"


def window_of(feature: Feature) -> str:
    """Return the window of a feature that has one, else what moment counts.

    Examples
    --------
    >>> from features.catalogue import build_catalogue
    >>> catalogue = build_catalogue(event_types=["page_view"])
    >>> [window_of(catalogue.feature(name)) for name in ("page_views_7d", "event_trend", "days_since_event", "source")]
    ['7 days', '7 and 30 days', 'ever', 'latest']
    """
    compute = feature.compute
    days = getattr(compute, "days", None)
    if days is not None:
        return "1 day" if days == 1 else f"{days:,} days"
    if isinstance(compute, Trend):
        return "7 and 30 days"
    return "latest" if isinstance(compute, LeadAttribute | AccountAttribute | Filled | LeadAge) else "ever"


def direction_of(feature: Feature) -> str:
    """Return the direction to which the model is held, in words; nothing where there is none.

    Examples
    --------
    >>> from features.catalogue import build_catalogue
    >>> direction_of(build_catalogue(event_types=["page_view"]).feature("page_views_7d"))
    'more can only help'
    """
    return {1: "more can only help", -1: "more can only hurt", 0: ""}[feature.monotone]
