"""A real PySpark session on this machine, for the tests of what runs there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from data.errors import InfrastructureError
from features.spark import open_session, require_spark
from tests.missing import missing_part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

__all__ = ["local_session"]

# A session that lives for a minute does not earn back what the optimising compiler and parallel collectors cost.
_CONF = {
    "spark.master": "local[2]",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.memory": "2g",
    "spark.driver.defaultJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


@contextmanager
def local_session() -> Iterator[SparkSession]:
    """Give a session of two threads and stop it in the end; skip (in CI fail) where PySpark or Java is missing."""
    try:
        require_spark()
    except InfrastructureError as error:
        missing_part(str(error))
    session = open_session(name="clew tests", conf=_CONF)
    try:
        yield session
    finally:
        session.stop()
