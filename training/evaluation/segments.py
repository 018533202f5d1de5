"""Where does a method hold: the judged rows cut by source, industry, age of the lead and month of judging."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.clock import DAY_US

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["MISSING", "MONTH", "OTHER", "SEGMENT_ROWS", "months_of", "segments_of"]

# Fewer rows are hardly worth a line: at a win rate of 10 % they hold twenty wins.
SEGMENT_ROWS = 200
OTHER, MISSING, MONTH = "other", "missing", "month"
_MOST_VALUES = 8
# What a segment is called, and the columns that may tell it, the first that is there.
_COLUMNS = {
    "source": ("source",),
    "industry": ("industry", "account_industry"),
}
_AGE_DAYS = (0, 7, 30, 90, 180)


def segments_of(
    frame: pd.DataFrame, spine: pd.DataFrame, *, least: int = SEGMENT_ROWS
) -> dict[str, NDArray[np.object_]]:
    """Return the label of each judged row in every way of cutting that gives at least two segments.

    Parameters
    ----------
    frame
        Raw features of the judged rows.
    spine
        The same rows' `as_of_us`, `t0_us` (else `created_us`) and `monthly`.
    least
        Rows that a segment has to hold. Rarer values are put together as `other`, a band of ages with its neighbour;
        months stay as they are.

    Returns
    -------
    dict
        `source`, `industry`, `age` (whole days from t0 to the moment of judging) and, where monthly cross-sections are
        judged, `month`; each of shape (n,).

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"source": ["fair", "fair", "search", "search", "post", None]})
    >>> spine = pd.DataFrame({"as_of_us": 9 * DAY_US, "t0_us": [0, 0, 0, 0, 8 * DAY_US, 8 * DAY_US], "monthly": 0})
    >>> found = segments_of(frame, spine, least=2)
    >>> found["source"].tolist()
    ['fair', 'fair', 'search', 'search', 'other', 'other']
    >>> found["age"].tolist()
    ['over 7 days', 'over 7 days', 'over 7 days', 'over 7 days', '0-7 days', '0-7 days']
    """
    found = {}
    for name, columns in _COLUMNS.items():
        there = [column for column in columns if column in frame]
        if there:
            found[name] = _folded(frame[there[0]], least)
    found["age"] = _age_bands(spine, least)
    if (spine["monthly"].to_numpy() == 1).all():
        found[MONTH] = months_of(spine)
    return {name: labels for name, labels in found.items() if len(set(labels)) > 1}


def months_of(spine: pd.DataFrame) -> NDArray[np.object_]:
    """Return the month of each row's moment of judging, in UTC.

    Examples
    --------
    >>> import pandas as pd
    >>> months_of(pd.DataFrame({"as_of_us": [0, 31 * DAY_US]})).tolist()
    ['1970-01', '1970-02']
    """
    moments = spine["as_of_us"].to_numpy(np.int64).astype("datetime64[us]")
    return np.asarray(np.datetime_as_string(moments, unit="M").astype(object))


def _folded(values: pd.Series, least: int) -> NDArray[np.object_]:
    """Keep the most frequent values that have `least` rows; what is left is `other`, as large as they are."""
    labels = values.astype(object).where(values.notna(), MISSING).astype(str).to_numpy(object)
    names, counts = np.unique(labels.astype(str), return_counts=True)
    # By falling number of rows, equal numbers by name.
    ranked = [(str(names[at]), int(counts[at])) for at in np.lexsort((names, -counts))]
    kept = [(name, rows) for name, rows in ranked if rows >= least][:_MOST_VALUES]
    left = len(labels) - sum(rows for _, rows in kept)
    while kept and 0 < left < least:
        left += kept.pop()[1]
    inside = np.isin(labels.astype(str), np.asarray([name for name, _ in kept], dtype=str))
    return np.where(inside, labels, OTHER).astype(object)


def _age_bands(spine: pd.DataFrame, least: int) -> NDArray[np.object_]:
    """Return bands such as `7-30 days`; a band of fewer than `least` rows joins the next older one."""
    started = spine["t0_us" if "t0_us" in spine else "created_us"].to_numpy(np.int64)
    age = (spine["as_of_us"].to_numpy(np.int64) - started) / DAY_US
    edges = list(_AGE_DAYS)
    for edge in _AGE_DAYS[1:]:
        at = edges.index(edge)
        if _within(age, edges, at - 1).sum() < least:
            edges.remove(edge)
    if len(edges) > 1 and _within(age, edges, len(edges) - 1).sum() < least:
        edges.pop()
    labels = np.empty(len(age), dtype=object)
    for at, low in enumerate(edges):
        last = at == len(edges) - 1
        name = f"over {low} days" if last and low else "all ages" if last else f"{low}-{edges[at + 1]} days"
        labels[_within(age, edges, at)] = name
    return labels


def _within(age: NDArray[np.float64], edges: list[int], at: int) -> NDArray[np.bool_]:
    """Tell which ages lie in a band; the first one reaches down to whatever there is."""
    low = -np.inf if at == 0 else edges[at]
    high = np.inf if at == len(edges) - 1 else edges[at + 1]
    return np.asarray((age >= low) & (age < high))
