"""Which engine computes the features of many leads, as the setting `engine` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from features.sql import compute_features

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb
    import pyarrow as pa

    from data.settings import Settings
    from data.warehouse import Warehouse
    from features.definitions import Catalogue

__all__ = ["FeatureComputer", "feature_computer"]

# From a connection with `people` and `spine` to one row of features for each row of the spine, by `row_id`.
FeatureComputer = Callable[["duckdb.DuckDBPyConnection", "Catalogue"], "pa.Table"]


def feature_computer(settings: Settings, warehouse: Warehouse, *, known_by: datetime | None = None) -> FeatureComputer:
    """Return `features.sql.compute_features`, or what gives the same on Spark.

    Parameters
    ----------
    settings
        Say which engine.
    warehouse
        Where Spark finds the parts.
    known_by
        As the connection was opened with it: only what was recorded up to this moment.

    Raises
    ------
    InfrastructureError
        If the engine is Spark, and PySpark or Java is missing.

    Examples
    --------
    >>> from pathlib import Path
    >>> from data.settings import Settings
    >>> from data.warehouse import Warehouse
    >>> feature_computer(Settings(), Warehouse(Path("nowhere"))) is compute_features
    True
    """
    if settings.engine == "duckdb":
        return compute_features
    from features.spark import SparkEngine, open_session, warehouse_frames

    session = open_session()
    return SparkEngine(session, warehouse_frames(session, warehouse, known_by=known_by)).compute_features
