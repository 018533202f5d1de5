"""The training set: every matured pair of a lead and a moment, its label, and its features as they stood then."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.errors import DataError
from features.catalogue import Catalogue, build_catalogue
from features.snapshots import SnapshotCounts, take_snapshots
from features.sql import compute_features
from features.words import EVENT_TYPES

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from data.settings import Plan
    from data.warehouse import Warehouse

__all__ = ["TrainingSet", "build_training_set", "catalogue_of", "feature_table", "table_digest"]


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


def catalogue_of(
    connection: duckdb.DuckDBPyConnection,
    warehouse: Warehouse,
    *,
    cutoff_us: int,
    timezone: str,
    wanted: Iterable[str] = (),
) -> Catalogue:
    """Return a warehouse's catalogue: standard features, event types known by the cutoff, the customer's columns."""
    rows = connection.execute(
        "SELECT DISTINCT type FROM events WHERE EPOCH_US(known_at) <= ? ORDER BY type", [cutoff_us]
    ).fetchall()
    seen = {str(row[0]) for row in rows}
    # A rule may ask for an event that nobody has shown yet: its count is 0, which is not the same as unknown.
    asked = {t for t, known in EVENT_TYPES.items() if any(name.startswith(f"{known.stem}_") for name in wanted)}
    return build_catalogue(
        event_types=seen | asked,
        custom={name: column.kind for name, column in warehouse.custom_columns().items()},
        withheld=warehouse.withheld_columns(),
        timezone=timezone,
    )


def build_training_set(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, plan: Plan, *, cutoff_us: int
) -> TrainingSet:
    """Photograph, label and describe all matured pairs by the cutoff.

    Raises
    ------
    DataError
        If nothing has matured yet, saying from when on something would.
    """
    counts = take_snapshots(connection, plan, cutoff_us=cutoff_us, timezone=catalogue.timezone)
    if not counts.labelled:
        raise DataError(
            f"no snapshot has matured by the cutoff ({counts.immature} are too young, {counts.closed} were closed)",
            hint=f"a label needs {plan.horizon_days:g} days after its snapshot: import older leads or move --as-of",
        )
    return TrainingSet(feature_table(connection, catalogue), catalogue, counts, cutoff_us)


def feature_table(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> pa.Table:
    """Return the spine with its features, in the order of `row_id`."""
    features = compute_features(connection, catalogue)
    spine = connection.sql("SELECT * FROM spine ORDER BY row_id").to_arrow_table()
    for name in catalogue.names:
        spine = spine.append_column(name, features[name])
    return spine
