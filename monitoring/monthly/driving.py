"""What drives wins at the end of a month beside the end of the month before it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.errors import DataError
from features.snapshots import open_leads
from features.sql import compute_features
from monitoring.served_features import lend_columns
from training.bundles.bundle import Bundle, folder_name
from training.evaluation.drivers import DriverChange, Drivers, driver_changes, measure_drivers, strongest
from training.run import frames

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from data.settings import Plan
    from monitoring.monthly.month import Months
    from monitoring.record.given import Given

__all__ = ["Driving", "bundle_of", "measure_driving"]

_TOLD = 6


@dataclass(frozen=True)
class Driving:
    """The drivers among the leads open at the end of the month, and what rose or fell since the month before.

    `same_model` tells that one model spoke in both months, so that only the leads have changed; `changes` is None where
    no leads were open a month earlier.
    """

    now: Drivers
    changes: tuple[DriverChange, ...] | None
    same_model: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "leads": self.now.rows,
            "drivers": [driver.as_dict() for driver in strongest(self.now, _TOLD)],
            "changes": None if self.changes is None else [change.as_dict() for change in self.changes],
            "same_model": self.same_model,
        }


def bundle_of(given: Given | None, month: str, bundles: Path, served: Bundle | None) -> Bundle | None:
    """Return the bundle that gave most of a month's scores; where it is gone or nobody knows, the one that serves.

    Parameters
    ----------
    given
        The scores; None without a store.
    month
        Whose list is asked for.
    bundles
        Where published bundles lie.
    served
        What serves now, if anything.
    """
    digests = [] if given is None else given.bundle[(given.month == month) & (given.source == "model")].tolist()
    if not digests:
        return served
    (digest, _), *_ = Counter(digests).most_common(1)
    if served is not None and digest == served.digest:
        return served
    try:
        return Bundle.load(bundles / folder_name(digest))
    except DataError:
        return served


def measure_driving(
    connection: duckdb.DuckDBPyConnection, months: Months, plan: Plan, *, now: Bundle, before: Bundle
) -> Driving | None:
    """Return the drivers, None where no lead was open at the end of the month.

    Parameters
    ----------
    connection
        With the warehouse's views.
    months
        The month and the one before it.
    plan
        Whose goal ends a lead.
    now, before
        The bundles that spoke in these two months.
    """
    drivers = _drivers(connection, now, plan, months.told.until_us)
    if drivers is None:
        return None
    earlier = _drivers(connection, before, plan, months.before.until_us)
    changes = None if earlier is None else driver_changes(drivers, earlier)
    return Driving(drivers, changes, same_model=now.digest == before.digest)


def _drivers(connection: duckdb.DuckDBPyConnection, bundle: Bundle, plan: Plan, as_of_us: int) -> Drivers | None:
    lend_columns(connection, bundle.catalogue)
    if not open_leads(connection, as_of_us=as_of_us, goal=plan.goal):
        return None
    return measure_drivers(bundle, frames(compute_features(connection, bundle.catalogue), bundle.catalogue).frame)
