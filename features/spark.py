"""The catalogue on Spark, for event logs that outgrow one machine: the same steps over the same Parquet, equal answers.

Who is one person and which moments are asked for is settled by DuckDB on the driver: that reads the leads alone, and
there is one rule for it. Joining and counting the events, which is what grows, is Spark's part.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from data.clock import to_us
from data.errors import InfrastructureError
from data.tables import TABLES, arrow_schema
from features.people import LEAD_VERSIONS
from features.spark_sql import PREFIX, read_by, to_spark
from features.sql import compile_features
from features.sql_text import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    import duckdb
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from data.warehouse import Warehouse
    from features.definitions import Catalogue

__all__ = ["SparkEngine", "open_session", "quietly", "require_spark", "warehouse_frames"]

_JAVA = 17
# What the answers depend on; set on a session that somebody else has opened as well.
_MEANING = {
    "spark.sql.ansi.enabled": "true",  # an overflow is an error and never another number
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.caseSensitive": "false",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.variable.substitute": "false",  # an event type may be called ${x}
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}
_LOG = Path(__file__).with_name("spark-log4j2.properties")


def require_spark() -> None:
    """Check that PySpark and a Java that it runs on are there.

    Raises
    ------
    InfrastructureError
        If one is missing or too old, with the command that mends it.
    """
    if find_spec("pyspark") is None:
        raise InfrastructureError(
            "CLEW_ENGINE=spark needs PySpark, which is not installed",
            hint="make spark (or pip install 'clew[spark]'), or set CLEW_ENGINE=duckdb",
        )
    found = _java_version()
    if found is None or found < _JAVA:
        told = "none was found" if found is None else f"{found} was found"
        raise InfrastructureError(
            f"Spark needs Java {_JAVA} or newer, {told}",
            hint="sudo apt-get install default-jre-headless (Debian, Ubuntu), brew install openjdk (macOS), "
            "or point JAVA_HOME to one",
        )


def _java_version() -> int | None:
    """Return the major version of the Java that Spark would start."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None:
        return None
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _major(told.stderr + told.stdout)


def _major(told: str) -> int | None:
    """Return the major version out of what `java -version` says; until Java 8 it was the second number.

    Examples
    --------
    >>> _major('openjdk version "17.0.15" 2025-04-15'), _major('java version "1.8.0_402"'), _major("no such thing")
    (17, 8, None)
    """
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(found[1]) if found else None


@contextmanager
def quietly() -> Iterator[None]:
    """Silence PySpark's warning of pandas 3: nothing here goes through pandas."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas", category=FutureWarning)
        yield


def open_session(*, name: str = "clew", conf: Mapping[str, str] | None = None) -> SparkSession:
    """Return the active session, else a new one; both get the settings that the answers depend on.

    Where it runs is Spark's own configuration (`spark-submit`, `SPARK_CONF_DIR`, `conf`); without any, this machine.

    Raises
    ------
    InfrastructureError
        If PySpark or Java is missing, or the session does not start.
    """
    require_spark()
    with quietly():
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession

        session = SparkSession.getActiveSession()
        if session is None:
            try:
                session = _start(SparkSession.builder.appName(name), dict(conf or {}))
            except (PySparkException, OSError) as error:
                raise InfrastructureError(
                    f"Spark does not start ({type(error).__name__})",
                    hint="run pyspark to see why, or CLEW_ENGINE=duckdb",
                ) from None
        for key, value in _MEANING.items():
            session.conf.set(key, value)
    return session


def _start(builder: SparkSession.Builder, conf: dict[str, str]) -> SparkSession:
    # Workers on this machine run in the environment that this process runs in.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    chosen = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    if not _configured_elsewhere():
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        chosen |= _single_machine()
    for key, value in {**chosen, **_MEANING, **conf}.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def _single_machine() -> dict[str, str]:
    """Return what suits one machine: all cores, a quarter of the memory as Java itself would take, errors only."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "spark.master": "local[*]",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": f"{max(memory // 2**32, 1)}g",
        "spark.driver.maxResultSize": "0",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_LOG.as_uri()}",
        "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1)),
    }


def _configured_elsewhere() -> bool:
    """Tell whether a cluster's configuration says where to run; then nothing of a single machine is set."""
    return bool({"SPARK_CONF_DIR", "SPARK_REMOTE", "PYSPARK_GATEWAY_PORT", "PYSPARK_SUBMIT_ARGS"} & os.environ.keys())


def warehouse_frames(
    session: SparkSession, warehouse: Warehouse, *, known_by: datetime | None = None
) -> dict[str, DataFrame]:
    """Return one frame for each canonical table, read from the parts in force; columns that a part lacks are NULL.

    Parameters
    ----------
    session
        Whose workers can read the warehouse's folder under the same path.
    warehouse
        Where the parts lie.
    known_by
        Only what was recorded up to this moment, in the columns declared by then, as in `Warehouse.connect`.

    Raises
    ------
    DataError
        If the manifest is too old to say what was in force at that moment.
    InfrastructureError
        If a part in force is gone.
    """
    manifest = warehouse.manifest(known_by=known_by)
    custom = {name: column.kind for name, column in manifest.custom.items()}
    frames = {}
    for name, table in TABLES.items():
        paths = [warehouse.path / part for part in manifest.paths(name)]
        gone = [path.name for path in paths if not path.is_file()]
        if gone:
            raise InfrastructureError(
                f"{len(gone)} part(s) of {name} are gone, {gone[0]} first", hint="restore them from a backup"
            )
        frame = _frame(session, arrow_schema(table, custom), paths)
        if known_by is not None:
            frame = frame.where(f"unix_micros(recorded_at) <= {to_us(known_by)}")
        frames[name] = frame
    return frames


def _frame(session: SparkSession, schema: pa.Schema, paths: list[Path]) -> DataFrame:
    from pyspark.sql.pandas.types import from_arrow_schema

    with quietly():
        told = from_arrow_schema(schema, prefer_timestamp_ntz=False)
    if not paths:
        return session.createDataFrame([], told)
    return session.read.schema(told).parquet(*(path.resolve().as_uri() for path in paths))


class SparkEngine:
    """Computes features on Spark.

    Parameters
    ----------
    session
        From `open_session`.
    tables
        The frames `leads`, `accounts` and `events`, as `warehouse_frames` returns them.
    """

    def __init__(self, session: SparkSession, tables: Mapping[str, DataFrame]) -> None:
        self._session = session
        self._tables = dict(tables)

    def compute_features(self, connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> pa.Table:
        """Return what `features.sql.compute_features` returns for the same connection, to the last bit.

        Parameters
        ----------
        connection
            With the tables `people` and `spine(row_id, lead_id, as_of_us)` of features.sql and features.snapshots.
        catalogue
            What to compute.
        """
        people = connection.sql("SELECT * FROM people").to_arrow_table()
        spine = connection.sql("SELECT row_id, lead_id, as_of_us FROM spine").to_arrow_table()
        with self.features(people, spine, catalogue) as frame, quietly():
            table = frame.toArrow()
        return _as_contract(table, catalogue).sort_by("row_id")

    @contextmanager
    def features(self, people: pa.Table, spine: pa.Table, catalogue: Catalogue) -> Iterator[DataFrame]:
        """Give the frame of `row_id`, `lead_id`, `as_of_us` and one column a feature, in no order, for use within.

        Steps that several others read are kept by the workers until the end, in memory or on their disks.
        """
        import pyarrow.compute as pc

        low, high = (pc.min_max(spine["as_of_us"])[end].as_py() or 0 for end in ("min", "max"))
        steps = (Step("lead_versions", LEAD_VERSIONS), *compile_features(catalogue, (low, high)))
        readers = read_by(steps)
        made: list[str] = []
        kept: list[DataFrame] = []
        try:
            with quietly():
                given = {
                    "people": self._session.createDataFrame(people),
                    "spine": self._session.createDataFrame(spine),
                }
            for name, frame in {**self._tables, **given}.items():
                made.append(_view(name, frame))
            for step in steps[:-1]:
                frame = self._session.sql(to_spark(step.query))
                if readers.get(step.name, 0) > 1:
                    kept.append(frame.persist())
                made.append(_view(step.name, frame))
            yield self._session.sql(to_spark(steps[-1].query))
        finally:
            for frame in kept:
                frame.unpersist()
            for name in made:
                self._session.catalog.dropTempView(name)


def _view(name: str, frame: DataFrame) -> str:
    frame.createOrReplaceTempView(PREFIX + name)
    return PREFIX + name


def _as_contract(table: pa.Table, catalogue: Catalogue) -> pa.Table:
    """Return the columns in the types that DuckDB gives them."""
    import pyarrow as pa

    kinds = {feature.name: pa.float64() if feature.kind == "numeric" else pa.string() for feature in catalogue.features}
    head = {"row_id": pa.int64(), "lead_id": pa.string(), "as_of_us": pa.int64()}
    return table.cast(pa.schema([pa.field(name, kind) for name, kind in {**head, **kinds}.items()]))
