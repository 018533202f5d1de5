"""Numbers that only count leads up, such as a running number of the CRM: of the future they know nothing.

Every later lead lies beyond all that was fitted, and however small the slope that chance gave such a number, it is
followed out there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue, Feature

if TYPE_CHECKING:
    from training.learning.recipe import Rows

__all__ = ["is_counter", "without_counters"]

# Of a hundred leads this many have a number of their own, and their order is that in which they came.
_OWN, _ORDER = 0.95, 0.95
_LEAST_LEADS, _LEAST_MOMENTS = 50, 3


def without_counters(rows: Rows) -> Catalogue:
    """Return the catalogue without the numbers that count leads in the order in which they were created.

    Looked at are values and times of creation; no outcome is.
    """
    if not {"lead_id", "created_us"} <= set(rows.spine):
        return rows.catalogue
    # One row speaks for a lead: a long-open one would otherwise repeat its number at every age.
    first = np.flatnonzero(~rows.spine["lead_id"].duplicated().to_numpy())
    created, part = rows.spine["created_us"].to_numpy(np.float64)[first], rows.frame.iloc[first]

    def counts(feature: Feature) -> bool:
        values = part[feature.name]
        return feature.kind == "numeric" and is_counter(values.to_numpy(np.float64, na_value=np.nan), created)

    kept = tuple(feature for feature in rows.catalogue.features if not counts(feature))
    return rows.catalogue if len(kept) == len(rows.catalogue.features) else Catalogue(features=kept)


def is_counter(values: NDArray[np.float64], created: NDArray[np.float64]) -> bool:
    """Tell whether nearly every lead has a number of its own that grows with the time of creation.

    Parameters
    ----------
    values
        (leads,) one number a lead, NaN where it is missing.
    created
        (leads,) when the leads were created, in microseconds.

    Notes
    -----
    The order is the slope of the number's rank on the rank of the time, from 0.95 on: Spearman's correlation over what
    it can be at most where many leads came at one time, as when only the day is known.

    Numbers that fall are no counters: an age falls with the time of creation on every list, and is an honest feature.
    An index that many leads share (a price level, an interest rate) is none either.

    Examples
    --------
    >>> came = np.arange(100.0)
    >>> is_counter(1000 + 3 * came, came), is_counter(-came, came), is_counter(came // 10, came)
    (True, False, False)
    """
    there = ~np.isnan(values)
    known, when = values[there], created[there]
    if len(known) < _LEAST_LEADS or len(np.unique(known)) < _OWN * len(known) or len(np.unique(when)) < _LEAST_MOMENTS:
        return False
    from scipy.stats import rankdata

    number, came = (rankdata(part) - (len(known) + 1) / 2 for part in (known, when))
    return bool(number @ came >= _ORDER * (came @ came))
