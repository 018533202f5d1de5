"""The training set: every matured pair of a lead and a moment, its label, and its features as they stood then."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from data.clock import iso, now, parse_moment, to_us
from data.errors import DataError, UsageError
from features.catalogue import Catalogue, build_catalogue
from features.definitions import MOST_CHANNELS
from features.own import refuse_taken_names
from features.snapshots import SnapshotCounts, take_snapshots
from features.sql import compute_features, only_row
from features.words import EVENT_TYPES

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb
    import pyarrow as pa

    from data.settings import Plan
    from data.warehouse import Warehouse
    from features.definitions import Feature
    from features.engine import FeatureComputer

__all__ = [
    "Sample",
    "TrainingSet",
    "build_training_set",
    "catalogue_of",
    "feature_table",
    "first_as_of",
    "known_by_of",
    "table_digest",
]


@dataclass(frozen=True)
class Sample:
    """Which pairs to describe where there are very many.

    About `most` of them by a hash of lead and moment, and beside these every matured monthly pair from `whole_from_us`
    on (microseconds UTC), as lists on which models are judged must be whole.
    """

    most: int
    whole_from_us: int


@dataclass(frozen=True)
class TrainingSet:
    """`table` holds the spine (lead_id, as_of_us, cluster, y_obs ...) followed by one column a feature."""

    table: pa.Table
    catalogue: Catalogue
    counts: SnapshotCounts
    cutoff_us: int

    @property
    def digest(self) -> str:
        """SHA-256 of names and values in order, whatever the chunks; equal digests mean equal training sets."""
        return table_digest(self.table)


def table_digest(table: pa.Table) -> str:
    """Return the SHA-256 of a table's column names, types, nulls and values in order.

    Examples
    --------
    >>> import pyarrow as pa
    >>> whole = pa.table({"a": ["x", None, "y"]})
    >>> table_digest(whole) == table_digest(pa.concat_tables([whole[:1], whole[1:]]))
    True
    """
    digest = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns, strict=True):
        digest.update(f"{name}:{column.type}:{len(column)}\n".encode())
        digest.update(column.is_null().to_numpy().tobytes())
        for part in _plain_values(column):
            digest.update(part)
    return f"sha256:{digest.hexdigest()}"


def _plain_values(column: pa.ChunkedArray) -> tuple[bytes, ...]:
    """Return a column's values as bytes that do not depend on its chunks or null buffers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        filled = pc.fill_null(column, "")
        return (pc.binary_length(filled).to_numpy().tobytes(), "".join(filled.to_pylist()).encode())
    return (pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0).to_numpy().tobytes(),)


def known_by_of(known_by: str | None, *, cutoff: datetime) -> datetime | None:
    """Return the moment that `--known-by` names, None where it was not given.

    Raises
    ------
    DataError
        If the text is no time.
    UsageError
        If it lies in the future, where more may still be recorded, or before the cutoff: what happened in between was
        not recorded by then, and would count as never having happened.

    Examples
    --------
    >>> from data.clock import iso
    >>> iso(known_by_of("2026-02-01", cutoff=parse_moment("2026-01-01")))
    '2026-02-01T00:00:00Z'
    """
    if known_by is None:
        return None
    moment = parse_moment(known_by, field="--known-by")
    if moment > now():
        raise UsageError(f"--known-by: {iso(moment)} lies in the future", hint="leave it out for all that is recorded")
    if moment < cutoff:
        raise UsageError(
            f"--known-by: {iso(moment)} lies before the end of the data, {iso(cutoff)}",
            hint="give an --as-of up to it: what was not recorded yet would count as not having happened",
        )
    return moment


def catalogue_of(
    connection: duckdb.DuckDBPyConnection,
    warehouse: Warehouse,
    *,
    cutoff_us: int,
    timezone: str,
    wanted: Iterable[str] = (),
    known_by: datetime | None = None,
    own: Iterable[Feature] = (),
    treatments: bool = False,
    from_us: int | None = None,
) -> Catalogue:
    """Return a warehouse's catalogue: standard features, event types known by the cutoff, the customer's columns.

    Parameters
    ----------
    connection
        With the warehouse's views, opened with the same `known_by`.
    warehouse
        What says which columns the customer has of their own, and which are known only later.
    cutoff_us
        When the data end, in microseconds UTC.
    timezone
        The zone in which days are counted.
    wanted
        Names of features that something else asks for, as rules do.
    known_by
        Only columns that were declared by this moment, as they were declared then.
    own
        The data scientist's own definitions, from `features.own.own_features`.
    treatments
        Whether to hold features of what sales did.
    from_us
        The first `as_of` that may be computed: columns known later whose every version since then was dated by
        successive exports are features too. Without it they are withheld.

    Raises
    ------
    UsageError
        If an own definition has the name of a standard feature of this warehouse.
    """
    rows = connection.execute(
        "SELECT DISTINCT type FROM events WHERE EPOCH_US(known_at) <= ? ORDER BY type", [cutoff_us]
    ).fetchall()
    seen = {str(row[0]) for row in rows}
    # A rule may ask for an event that nobody has shown yet: its count is 0, which is not the same as unknown.
    asked = {t for t, known in EVENT_TYPES.items() if any(name.startswith(f"{known.stem}_") for name in wanted)}
    build = partial(
        build_catalogue,
        event_types=seen | asked,
        custom={name: column.kind for name, column in warehouse.custom_columns(known_by=known_by).items()},
        withheld=warehouse.withheld_columns(known_by=known_by, from_us=from_us),
        channels=_name_channels(connection, cutoff_us),
        treatments=treatments,
        timezone=timezone,
    )
    own = tuple(own)
    if own:
        refuse_taken_names(own, build())
    return build(own=own)


def _name_channels(connection: duckdb.DuckDBPyConnection, cutoff_us: int) -> bool:
    """Tell whether events name channels: a column that is empty, or of endless different values, is none."""
    query = "SELECT COUNT(DISTINCT channel) FROM events WHERE EPOCH_US(known_at) <= $cutoff"
    (different,) = only_row(connection, query, {"cutoff": cutoff_us})
    return 0 < int(different) <= MOST_CHANNELS


def first_as_of(connection: duckdb.DuckDBPyConnection, plan: Plan) -> int | None:
    """Return the moment before which no pair of a plan can lie, in microseconds UTC; None without leads."""
    if plan.created_from:
        return to_us(parse_moment(plan.created_from))
    query = "SELECT MIN(GREATEST(EPOCH_US(created_at), EPOCH_US(known_at))) FROM leads"
    (first_us,) = only_row(connection, query)
    return None if first_us is None else int(first_us)


def build_training_set(
    connection: duckdb.DuckDBPyConnection,
    catalogue: Catalogue,
    plan: Plan,
    *,
    cutoff_us: int,
    immature: bool = False,
    sample: Sample | None = None,
    compute: FeatureComputer = compute_features,
) -> TrainingSet:
    """Photograph, label and describe all matured pairs by the cutoff, with `immature` the younger ones as well.

    On a connection opened with `known_by`, and with the catalogue of that moment, the result is the same to the byte
    whatever is imported afterwards. `compute` is the engine, from `features.engine.feature_computer`. With `sample` not
    all pairs are described where there are very many; `counts` are of all.

    Raises
    ------
    DataError
        If nothing has matured yet, saying from when on something would.
    """
    counts = take_snapshots(connection, plan, cutoff_us=cutoff_us, timezone=catalogue.timezone, immature=immature)
    if not counts.labelled:
        raise DataError(
            f"no snapshot has matured by the cutoff ({counts.immature} are too young, {counts.closed} were closed)",
            hint=f"a label needs {plan.horizon_days:g} days after its snapshot: import older leads or move --as-of",
        )
    if sample is not None and counts.labelled + counts.immature > sample.most:
        _keep_sample(connection, sample, cutoff_us)
    return TrainingSet(feature_table(connection, catalogue, compute=compute), catalogue, counts, cutoff_us)


def _keep_sample(connection: duckdb.DuckDBPyConnection, sample: Sample, cutoff_us: int) -> None:
    """Leave the sample's pairs in `spine`, numbered anew."""
    import numpy as np
    import pyarrow as pa

    query = "SELECT row_id, lead_id, as_of_us, monthly = 1 AND mature_us <= $cutoff AND as_of_us >= $whole AS whole"
    limits = {"cutoff": cutoff_us, "whole": sample.whole_from_us}
    pairs: pa.Table = connection.sql(f"{query} FROM spine", params=limits).to_arrow_table()
    names = zip(pairs["lead_id"].to_pylist(), pairs["as_of_us"].to_pylist(), strict=True)
    marks = np.fromiter((zlib.crc32(f"described {lead} {us}".encode()) for lead, us in names), np.int64, len(pairs))
    kept = (marks < sample.most / len(pairs) * 2**32) | pairs["whole"].to_numpy()
    connection.register("kept_pairs", pa.table({"row_id": pairs["row_id"].to_numpy()[kept]}))
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE spine AS
        SELECT ROW_NUMBER() OVER (ORDER BY s.row_id) AS row_id, s.* EXCLUDE (row_id)
        FROM spine AS s JOIN kept_pairs AS k ON k.row_id = s.row_id
        """
    )
    connection.unregister("kept_pairs")


def feature_table(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, *, compute: FeatureComputer = compute_features
) -> pa.Table:
    """Return the spine with its features, in the order of `row_id`."""
    features = compute(connection, catalogue)
    spine = connection.sql("SELECT * FROM spine ORDER BY row_id").to_arrow_table()
    for name in catalogue.names:
        spine = spine.append_column(name, features[name])
    return spine
