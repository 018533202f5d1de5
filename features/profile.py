"""What the features of open leads look like now, a month ago and over half a year: missing, typical values, drift."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from data.clock import from_us, to_us
from data.errors import DataError
from features.bins import Bin, category_bins, number_bins
from features.snapshots import open_leads
from features.stability import Drift, effective_size, measure_drift

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import duckdb
    import pyarrow as pa
    from numpy.typing import NDArray

    from features.definitions import Catalogue, Feature

__all__ = [
    "FEWEST",
    "MOST_LEADS",
    "CrossSection",
    "FeatureProfile",
    "months_back",
    "photograph_months",
    "profile_features",
]

MOST_LEADS = (
    20_000  # of each cross-section: a share is then known to 0.4 percentage points, whatever the size of a team
)
FEWEST = 10  # leads that have to share a value before it is shown
_MOST_TOLD = 3  # categories in words


@dataclass(frozen=True)
class CrossSection:
    """The leads open at one moment: all of them, the ones described, and how many accounts those are worth."""

    as_of_us: int
    leads: int
    described: int
    accounts: float


@dataclass(frozen=True)
class FeatureProfile:
    """One feature in the data.

    `missing` is its share at each cross-section, oldest first; `typical` are the median and the 90th percentile or the
    largest categories with their shares, now; `bins` are compared with those a month ago where there is one. `constant`
    says that all leads of all cross-sections have one and the same value.
    """

    feature: Feature
    missing: tuple[float, ...]
    typical: tuple[tuple[str, float], ...]
    known: int
    bins: tuple[Bin, ...]
    drift: Drift | None
    constant: bool

    @property
    def always_missing(self) -> bool:
        """Whether no lead of any cross-section has a value."""
        return min(self.missing) == 1.0


def months_back(as_of_us: int, timezone: str, count: int) -> tuple[int, ...]:
    """Return a moment and the same local time of the same day in earlier months, oldest first.

    A day that a month does not have becomes its last.

    Examples
    --------
    >>> from data.clock import iso, parse_moment
    >>> found = months_back(to_us(parse_moment("2026-03-31")), "UTC", 3)
    >>> [iso(from_us(us))[:10] for us in found]
    ['2026-01-31', '2026-02-28', '2026-03-31']
    """
    zone = ZoneInfo(timezone)
    local = from_us(as_of_us).astimezone(zone)
    found = [as_of_us]
    for back in range(1, count):
        year, month = divmod(local.year * 12 + local.month - 1 - back, 12)
        found.append(to_us(local.replace(year=year, month=month + 1, day=min(local.day, _days(year, month + 1, zone)))))
    return tuple(reversed(found))


def _days(year: int, month: int, zone: ZoneInfo) -> int:
    following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
    return (following.date() - datetime(year, month, 1, tzinfo=zone).date()).days


def photograph_months(
    connection: duckdb.DuckDBPyConnection,
    moments_us: Sequence[int],
    *,
    most: int = MOST_LEADS,
    progress: Callable[[str, float], None] = lambda _text, _share: None,
) -> tuple[CrossSection, ...]:
    """Make `spine(row_id, lead_id, as_of_us)` of the leads open at each moment, in the order of the moments.

    Of more than `most` leads those with the smallest digests of their ids are described: a sample that has nothing to
    do with what they did, and the same every time.

    Returns
    -------
    tuple of CrossSection
        Only moments at which leads were open.

    Raises
    ------
    DataError
        If no lead is open at the last of the moments.
    """
    connection.execute("CREATE OR REPLACE TEMP TABLE described (lead_id VARCHAR, as_of_us BIGINT)")
    counts = {}
    for number, moment_us in enumerate(moments_us):
        progress(f"who was open on {from_us(moment_us).date()}", number / len(moments_us))
        counts[moment_us] = open_leads(connection, as_of_us=moment_us)
        connection.execute(
            "INSERT INTO described SELECT lead_id, as_of_us FROM spine ORDER BY md5(lead_id), lead_id LIMIT $most",
            {"most": most},
        )
    if not counts[moments_us[-1]]:
        raise DataError("no lead is open at this moment", hint="name an earlier --as-of")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE spine AS "
        "SELECT ROW_NUMBER() OVER (ORDER BY as_of_us, lead_id) AS row_id, lead_id, as_of_us FROM described"
    )
    sizes = _account_sizes(connection)
    return tuple(
        CrossSection(moment_us, counts[moment_us], int(sizes[moment_us].sum()), effective_size(sizes[moment_us]))
        for moment_us in moments_us
        if counts[moment_us]
    )


def _account_sizes(connection: duckdb.DuckDBPyConnection) -> dict[int, NDArray[np.int64]]:
    """Return how many described leads each account has at each moment; a lead without an account stands alone."""
    found = connection.execute(
        """
        SELECT as_of_us, LIST(size ORDER BY size)
        FROM (SELECT s.as_of_us, COALESCE(v.account_id, 'lead:' || s.lead_id) AS cluster, COUNT(*) AS size
              FROM spine AS s
              LEFT JOIN lead_versions AS v
                ON v.lead_id = s.lead_id AND v.usable_us <= s.as_of_us AND (v.next_us IS NULL OR v.next_us > s.as_of_us)
              GROUP BY s.as_of_us, cluster) AS clusters
        GROUP BY as_of_us
        """
    ).fetchall()
    return {int(moment_us): np.array(sizes, np.int64) for moment_us, sizes in found}


def profile_features(
    table: pa.Table, catalogue: Catalogue, sections: Sequence[CrossSection], *, month_before: bool
) -> tuple[FeatureProfile, ...]:
    """Describe every feature of the catalogue over the cross-sections.

    Parameters
    ----------
    table
        What the features are, in the order of the spine that `photograph_months` made.
    catalogue
        The features.
    sections
        Oldest first; the last one is now.
    month_before
        Whether the last but one is a month before the last, to measure drift against.
    """
    ends = np.cumsum([section.described for section in sections])
    parts = [slice(int(end - section.described), int(end)) for end, section in zip(ends, sections, strict=True)]
    before = parts[-2] if month_before and len(parts) > 1 else slice(0, 0)
    found = []
    for feature in catalogue.features:
        column = table.column(feature.name)
        missing = column.is_null(nan_is_null=True).to_numpy()
        if feature.kind == "numeric":
            told = _describe_number(column, missing, (before, parts[-1]), log=feature.scale == "log")
        else:
            told = _describe_category(column, missing, (before, parts[-1]))
        typical, bins, constant = told
        found.append(
            FeatureProfile(
                feature=feature,
                missing=tuple(float(missing[part].mean()) for part in parts),
                typical=typical,
                known=int((~missing[parts[-1]]).sum()),
                bins=bins,
                drift=_drift(feature, bins, sections, family=len(catalogue.features)),
                constant=constant,
            )
        )
    return tuple(found)


_Described = tuple[tuple[tuple[str, float], ...], tuple[Bin, ...], bool]


def _describe_number(
    column: pa.ChunkedArray, missing: NDArray[np.bool_], parts: tuple[slice, slice], *, log: bool
) -> _Described:
    values = column.to_numpy().astype(np.float64)
    known_now = values[parts[1]][~missing[parts[1]]]
    typical: tuple[tuple[str, float], ...] = ()
    if len(known_now) >= FEWEST:
        # Quantiles that are values of leads: an average of two would be the value of none.
        low, high = np.quantile(known_now, [0.5, 0.9], method="inverted_cdf")
        typical = (("median", float(low)), ("90 % up to", float(high)))
    bins = number_bins(values[parts[0]], values[parts[1]], log=log, fewest=FEWEST)
    known = values[~missing]
    return typical, bins, not missing.any() and bool((known == known[0]).all())


def _describe_category(column: pa.ChunkedArray, missing: NDArray[np.bool_], parts: tuple[slice, slice]) -> _Described:
    encoded = column.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    before, now = (np.bincount(codes[part] + 1, minlength=len(names) + 1) for part in parts)
    ranked = sorted(range(len(names)), key=lambda code: (-now[code + 1], names[code]))
    leads = int(now.sum())
    shown = [code for code in ranked[:_MOST_TOLD] if now[code + 1] >= FEWEST]
    typical = tuple((str(names[code]), float(now[code + 1]) / leads) for code in shown)
    constant = len(names) == 1 and not missing.any()
    return typical, category_bins(names, before, now, fewest=FEWEST), constant


def _drift(feature: Feature, bins: tuple[Bin, ...], sections: Sequence[CrossSection], *, family: int) -> Drift | None:
    before, now = (np.array([getattr(one, moment) for one in bins], np.int64) for moment in ("before", "now"))
    if not before.sum():
        return None
    by_account = feature.needs in {"account", "account_events"}
    sizes = (sections[-2].accounts, sections[-1].accounts) if by_account else None
    return measure_drift(before, now, sizes=sizes, family=family)
