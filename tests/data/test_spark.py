"""Spark gives the features that DuckDB gives, to the last bit: random worlds, BPI 2012, and the SQL that both read."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.clock import to_us
from data.errors import InfrastructureError, UsageError
from data.importing import import_export
from data.manifest import CustomColumn, Manifest, PartRecord, write_manifest
from data.mapping import load_mapping
from data.settings import Plan, Settings
from data.tables import TABLES, arrow_schema
from data.warehouse import Warehouse
from features import spark, spark_sql
from features.engine import feature_computer
from features.spark import SparkEngine, quietly, require_spark, warehouse_frames
from features.spark_sql import to_spark
from features.sql import compute_features, prepare_people
from features.training_set import build_training_set, catalogue_of, feature_table, table_digest
from tests.commands import CommandLine
from tests.data.exports import NOW
from tests.datasets import public_dataset
from tests.reference.worlds import ANCHORS, CATALOGUES, CUSTOM, EVIDENCE, photograph, random_world, utc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from tests.reference.features import Row, Tables
    from tests.reference.worlds import World

ROOT = Path(__file__).parents[2]
WORLDS = 1000 if EVIDENCE else 50
BATCH = 100 if EVIDENCE else WORLDS
# Each run of the engine costs seconds: always a zone that shifts its clocks, and UTC in the test of the command.
ZONES = tuple(sorted(ANCHORS)) if EVIDENCE else ("Europe/Amsterdam",)
_IDENTITIES = ("lead_id", "into_lead_id", "account_id", "person_id", "event_id", "action_id")
# Small tables take longer to compile, and to plan anew after each stage, than to read.
_INTERPRETED = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}


@pytest.fixture(scope="module")
def session(spark: SparkSession) -> SparkSession:
    return spark


@contextmanager
def interpreted(session: SparkSession) -> Iterator[None]:
    before = {key: session.conf.get(key) for key in _INTERPRETED}
    for key, value in _INTERPRETED.items():
        session.conf.set(key, value)
    try:
        yield
    finally:
        for key, old in before.items():
            session.conf.set(key, str(old))


def renamed(world: World, mark: str) -> World:
    """The same world with identities of its own, so that several fit into one set of tables."""

    def other(row: Row) -> Row:
        return {name: mark + value if name in _IDENTITIES and value else value for name, value in row.items()}

    return replace(world, tables={name: [other(row) for row in rows] for name, rows in world.tables.items()})


def worlds_of(timezone: str, start: int, count: int) -> list[World]:
    """The worlds of a zone among `count` seeds."""
    drawn = (random_world(seed, leads=8, events=60, outcomes=6) for seed in range(start, start + count))
    return [renamed(world, f"{at}/") for at, world in enumerate(drawn) if world.timezone == timezone]


def united(worlds: list[World]) -> Tables:
    return {name: [row for world in worlds for row in world.tables[name]] for name in TABLES}


def warehouse_of(folder: Path, tables: Tables) -> Warehouse:
    """Write the rows as a warehouse of two parts a table; the second part of leads is older than a customer column."""
    parts = []
    for name, table in TABLES.items():
        rows = [{"recorded_at": row["known_at"], **row} for row in tables[name]]
        halves = (rows[: len(rows) // 2], CUSTOM), (rows[len(rows) // 2 :], {"erp": "categorical"})
        for number, (half, custom) in enumerate(halves):
            path = f"{name}/{number}.parquet"
            (folder / name).mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(half, schema=arrow_schema(table, custom)), folder / path)
            known = [to_us(row["known_at"]) for row in half]
            times = {"known_at": (min(known, default=None), max(known, default=None))}
            part = PartRecord(path=path, table=name, rows=len(half), sha256="", import_id=f"{number}", times=times)
            parts.append(part)
    declared = {name: CustomColumn.model_validate({"kind": kind}) for name, kind in CUSTOM.items()}
    write_manifest(folder, Manifest(parts=tuple(parts), custom=declared))
    return Warehouse(folder)


def pairs_of(worlds: list[World]) -> list[tuple[str, int]]:
    """Every lead at every moment of its world, the unknown ones too: the engines have to agree on them as well."""
    return [
        (lead_id, to_us(as_of))
        for world in worlds
        for as_of in world.as_ofs
        for lead_id in sorted({str(row["lead_id"]) for row in world.tables["leads"]})
    ]


def bits(value: object) -> object:
    return struct.pack("<d", value) if isinstance(value, float) else value


def difference(left: pa.Table, right: pa.Table) -> list[str]:
    """Name what differs: the types, or a value by its bits."""
    if left.schema.remove_metadata() != right.schema.remove_metadata():
        return [f"{left.schema} against {right.schema}"]
    columns = zip(left.column_names, left.to_pydict().values(), right.to_pydict().values(), strict=True)
    return [
        f"row {row}: {name} is {a!r} against {b!r}"
        for name, ours, theirs in columns
        for row, (a, b) in enumerate(zip(ours, theirs, strict=True))
        if bits(a) != bits(b)
    ]


def both(
    session: SparkSession, warehouse: Warehouse, worlds: list[World], only: tuple[str, ...] = ()
) -> tuple[pa.Table, pa.Table]:
    catalogue = CATALOGUES[worlds[0].timezone]
    catalogue = catalogue.keep(only or catalogue.names)
    engine = SparkEngine(session, warehouse_frames(session, warehouse))
    with warehouse.connect() as connection:
        prepare_people(connection)
        photograph(connection, pairs_of(worlds))
        return compute_features(connection, catalogue), engine.compute_features(connection, catalogue)


@pytest.mark.parametrize("timezone", ZONES)
def test_spark_and_duckdb_agree_to_the_last_bit(session: SparkSession, tmp_path: Path, timezone: str) -> None:
    compared = 0
    for start in range(0, WORLDS, BATCH):
        worlds = worlds_of(timezone, start, BATCH)
        with interpreted(session):
            ours, theirs = both(session, warehouse_of(tmp_path / f"{start}", united(worlds)), worlds)
        assert difference(theirs, ours) == []
        compared += ours.num_rows
    assert compared > 5 * WORLDS


def test_a_wrong_translation_is_noticed(session: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_milliseconds(query: str) -> str:
        return to_spark(query).replace("UNIX_MICROS(", "1000 * UNIX_MILLIS(")

    monkeypatch.setattr(spark, "to_spark", by_milliseconds)
    worlds = worlds_of("UTC", 0, WORLDS)
    with interpreted(session):
        ours, theirs = both(
            session, warehouse_of(tmp_path, united(worlds)), worlds, only=("lead_age_days", "events_7d")
        )
    assert difference(theirs, ours)


@pytest.mark.skipif(not EVIDENCE, reason="a minute for what random worlds show as well; `make evidence` runs it")
def test_the_training_set_of_bpi2012_is_the_same_on_spark(session: SparkSession, tmp_path: Path) -> None:
    source, warehouse = public_dataset("bpi2012_loan_funnel"), Warehouse(tmp_path / "warehouse")
    import_export(source, load_mapping("bpi2012"), warehouse, now=NOW)
    plan, cutoff_us = warehouse.plan() or Plan(), to_us(NOW)
    engine = SparkEngine(session, warehouse_frames(session, warehouse))
    with warehouse.connect() as connection:
        catalogue = catalogue_of(connection, warehouse, cutoff_us=cutoff_us, timezone="Europe/Amsterdam")
        ours = build_training_set(connection, catalogue, plan, cutoff_us=cutoff_us)
        theirs = feature_table(connection, catalogue, compute=engine.compute_features)
    assert len(theirs) > 5_000
    assert len(catalogue.names) > 100
    assert table_digest(theirs) == ours.digest


def test_the_open_leads_of_a_moment_have_the_same_features_on_spark(session: SparkSession, tmp_path: Path) -> None:
    worlds = worlds_of("UTC", 0, WORLDS)
    warehouse_of(tmp_path / "var" / "warehouse", united(worlds))
    command = CommandLine(tmp_path)
    told = {}
    for engine in ("duckdb", "spark"):
        with interpreted(session):
            ran = command("features", "--as-of", "2026-03-20", "--out", f"{engine}.parquet", CLEW_ENGINE=engine)
        assert ran.code == 0, ran.err
        told[engine] = pq.read_table(tmp_path / f"{engine}.parquet")
    assert len(told["spark"]) > 10
    assert difference(told["spark"], told["duckdb"]) == []


def test_rows_recorded_later_are_left_out_where_a_moment_is_given(session: SparkSession, tmp_path: Path) -> None:
    (world, *_) = worlds_of("UTC", 0, WORLDS)
    warehouse = warehouse_of(tmp_path, world.tables)
    moment = world.as_ofs[0]
    frames = warehouse_frames(session, warehouse, known_by=moment)
    expected = sum(row["known_at"] <= moment for row in world.tables["events"])
    assert 0 < expected < len(world.tables["events"])
    assert frames["events"].count() == expected
    assert frames["contacts"].count() == 0


# One row each: what the two engines are known to read differently, and the borders of the types.
SAMPLES: list[Row] = [
    {"id": 1, "a": 7, "x": 2.5, "t": "it's", "moment": utc(2026, 3, 29, 1)},
    {"id": 2, "a": -7, "x": -2.5, "t": "a\\b", "moment": utc(1, 1, 1)},
    {"id": 3, "a": None, "x": None, "t": None, "moment": None},
    {
        "id": 4,
        "a": 2**62,
        "x": float("nan"),
        "t": "${user.dir}",
        "moment": utc(9999, 12, 31) + timedelta(microseconds=1),
    },
    {"id": 5, "a": -(2**62), "x": float("inf"), "t": 'say "hi" `now`\n\t', "moment": utc(1582, 10, 10)},
    {
        "id": 6,
        "a": 0,
        "x": float("-inf"),
        "t": "来源%_",
        "moment": utc(1899, 12, 31, 23) + timedelta(microseconds=999_999),
    },
    {"id": 7, "a": 2**53 + 1, "x": -0.0, "t": "", "moment": utc(1969, 12, 31) + timedelta(microseconds=1)},
    {"id": 8, "a": 1, "x": 0.1, "t": "\\'; --", "moment": utc(2026, 10, 25, 1)},
    {"id": 9, "a": 1, "x": 2.675, "t": "{x}", "moment": utc(2026, 10, 25, 1)},
]
SAMPLES_SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("a", pa.int64()),
        ("x", pa.float64()),
        ("t", pa.string()),
        ("moment", pa.timestamp("us", "UTC")),
    ]
)
TEXTS = [row["t"].replace("'", "''") for row in SAMPLES if row["t"] is not None]
EXPRESSIONS = [
    "EPOCH_US(moment)",
    "EPOCH_US(moment) % 86400000000",
    "(EPOCH_US(moment) - EPOCH_US(moment) % 86400000000) / 86400000000",
    "CAST((EPOCH_US(moment) - EPOCH_US(moment) % 86400000000) / 86400000000 AS BIGINT)",
    "moment < CAST('1899-12-31T23:00:00.999999+00:00' AS TIMESTAMPTZ)",
    "moment >= CAST('2026-10-25T02:00:00+01:00' AS TIMESTAMPTZ)",
    "moment >= CAST('0001-01-01T00:00:00+00:00' AS TIMESTAMPTZ)",
    "a % 3",
    "a // 3",
    "a / 3",
    "a / 3.0",
    "CAST(a AS DOUBLE) / 210.0",
    "CAST(a AS DOUBLE) / 1000000.0",
    "CAST(30 * (a % 100) - 7 * 3 AS DOUBLE) / 210.0",
    "CASE WHEN ABS(x) < 1000000000000.0 THEN CAST(FLOOR(x * 1000 + 0.5) AS BIGINT) END",
    "CASE WHEN ABS(x) < 1e15 THEN CAST(CEIL(x) AS BIGINT) END",
    "CASE WHEN x > 1e300 THEN 1 WHEN x < -1e300 THEN 2 ELSE 0 END",
    "x = 0",
    "x > 1.0",
    "x IS DISTINCT FROM 0.1",
    "x * 3",
    "x + 0.2",
    "-x",
    "SQRT(ABS(x))",
    "GREATEST(a, 3)",
    "LEAST(a, NULL, 3)",
    "GREATEST(x, 1.5)",
    "NULLIF(a, 1)",
    "COALESCE(a, 0)",
    "COALESCE(t, 'none')",
    "t || '!'",
    "t < 'b'",
    "t IS NULL OR t = ''",
    "t IN ('it''s', 'a\\b', '')",
    "NOT (t = 'it''s')",
    "CASE t WHEN 'it''s' THEN 1 WHEN '${user.dir}' THEN 2 ELSE 0 END",
    "CAST(t AS VARCHAR)",
    "a BETWEEN 0 AND 7",
    "CAST(NULL AS BIGINT)",
    "200000 * 86400000000",
    *(f"t = '{text}'" for text in TEXTS),
    *(f"'{text}'" for text in TEXTS),
]
QUERIES = [
    'SELECT a AS "say ""it\'s"" `x`", COUNT(*) AS n FROM samples GROUP BY a',
    "SELECT id, ROW_NUMBER() OVER (ORDER BY a DESC, id) AS place FROM samples",
    "SELECT id, RANK() OVER (ORDER BY a) AS r, DENSE_RANK() OVER (ORDER BY x) AS d FROM samples",
    "SELECT id, LAG(a) OVER (ORDER BY x, id) AS before, LEAD(a, 2) OVER (ORDER BY t DESC, id) AS after FROM samples",
    "SELECT id, CAST(SUM(a % 9) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS BIGINT) AS n FROM samples",
    "SELECT id, MIN(x) OVER (ORDER BY id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS next FROM samples",
    "SELECT id, FIRST_VALUE(t) OVER (PARTITION BY a ORDER BY x, id) AS first FROM samples",
    "SELECT MIN(x) AS x0, MAX(x) AS x1, MIN(t) AS t0, MAX(t) AS t1, COUNT(DISTINCT a) AS n FROM samples",
    "SELECT a % 2 AS odd, CAST(SUM(a % 1000) AS BIGINT) AS total, COUNT(t) AS texts FROM samples GROUP BY odd",
    "SELECT MAX_BY(t, id) AS last, MIN_BY(a, id) AS first, MAX_BY(a, x) AS largest FROM samples WHERE id < 4",
    "SELECT s.id, w.weight FROM samples AS s JOIN (VALUES (7, 70), (1, 10)) AS w(a, weight) ON w.a = s.a",
    "SELECT samples.id, o.id AS other FROM samples JOIN samples AS o ON o.a = samples.a AND o.x < samples.x",
    "WITH odd AS (SELECT id FROM samples WHERE id % 2 = 1) SELECT s.id FROM samples AS s JOIN odd ON odd.id > s.id",
    "SELECT id FROM samples WHERE NOT EXISTS (SELECT 1 FROM samples AS o WHERE o.a > samples.a)",
    "SELECT id FROM samples WHERE id IN (SELECT a FROM samples) UNION ALL SELECT a FROM samples WHERE a > 0",
    "SELECT x, COUNT(*) AS n FROM samples GROUP BY x",
    "SELECT id FROM samples ORDER BY a DESC, id LIMIT 3",
]


@pytest.fixture(scope="module")
def samples(session: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "samples.parquet"
    pq.write_table(pa.Table.from_pylist(SAMPLES, schema=SAMPLES_SCHEMA), path)
    session.read.parquet(str(path)).createOrReplaceTempView(f"{spark_sql.PREFIX}samples")
    return path


def rows_of(table: pa.Table) -> list[str]:
    """Rows in an order of their own; 0.0 and -0.0 are one value where they were grouped or compared."""
    return sorted(
        str([repr(0.0) if value == 0 else repr(value) for value in row.values()]) for row in table.to_pylist()
    )


def on_both(session: SparkSession, samples: Path, query: str) -> tuple[pa.Table, pa.Table]:
    with Warehouse(samples.parent / "none").connect() as connection:
        connection.execute(f"CREATE VIEW samples AS SELECT * FROM '{samples}'")  # noqa: S608 - a path of this test
        expected = connection.sql(query).to_arrow_table()
    with interpreted(session), quietly():
        return session.sql(to_spark(query)).toArrow(), expected


def test_expressions_have_one_value_in_both_engines(session: SparkSession, samples: Path) -> None:
    columns = ", ".join(f"{sql} AS c{at}" for at, sql in enumerate(EXPRESSIONS))
    query = f"SELECT id, {columns} FROM samples ORDER BY id"  # noqa: S608 - the expressions above
    found, expected = on_both(session, samples, query)
    found = found.sort_by("id")
    wrong = {
        sql: (found[f"c{at}"].to_pylist(), expected[f"c{at}"].to_pylist())
        for at, sql in enumerate(EXPRESSIONS)
        if [*map(bits, found[f"c{at}"].to_pylist())] != [*map(bits, expected[f"c{at}"].to_pylist())]
    }
    assert wrong == {}


@pytest.mark.parametrize("query", QUERIES)
def test_queries_have_the_same_rows_in_both_engines(session: SparkSession, samples: Path, query: str) -> None:
    found, expected = on_both(session, samples, query)
    assert rows_of(found) == rows_of(expected)
    assert expected.num_rows


def test_a_sum_beyond_64_bits_is_an_error_and_never_another_number(session: SparkSession, samples: Path) -> None:
    from pyspark.errors import ArithmeticException

    query = to_spark("SELECT SUM(CASE WHEN id > 0 THEN 4611686018427387904 END) AS s FROM samples")
    with pytest.raises(ArithmeticException, match="OVERFLOW"), quietly():
        session.sql(query).toArrow()


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT DATE_DIFF('day', a, b) FROM t", "DATEDIFF"),
        ("SELECT a / b FROM t", "division by something else than a number"),
        ("SELECT a % 0 FROM t", "division by something else than a number"),
        ("SELECT a FROM t ASOF JOIN u ON t.a >= u.a", "ASOF JOIN"),
        ("SELECT CAST(x AS BIGINT) FROM t", "cast to BIGINT of what may be a fraction"),
        ("SELECT CAST((a - b % 7) / 7 AS BIGINT) FROM t", "cast to BIGINT of what may be a fraction"),
        ("SELECT CAST(a AS HUGEINT) FROM t", "cast to"),
        ("SELECT CAST('2026-03-01' AS TIMESTAMPTZ)", "TIMESTAMPTZ"),
        ("SELECT CAST(t AS TIMESTAMPTZ) FROM t", "TIMESTAMPTZ"),
        ("SELECT FLOOR(x) FROM t", "FLOOR outside"),
        ("SELECT LN(x) FROM t", "LN"),
        ("SELECT LOWER(t) FROM t", "LOWER"),
        ("SELECT ANY_VALUE(t) FROM t", "ANY_VALUE"),
        ("SELECT MEDIAN(x) FROM t", "MEDIAN"),
        ("SELECT HASH(x) FROM t", "HASH"),
        ("SELECT UNNEST([1, 2])", "function"),
        ("SELECT MAX_BY(a, b) OVER (PARTITION BY c) FROM t", "window"),
    ],
)
def test_what_is_not_known_to_mean_the_same_is_refused_by_name(query: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"{told}.*CLEW_ENGINE=duckdb"):
        to_spark(query)


def test_a_missing_pyspark_is_said_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "find_spec", lambda _: None)
    with pytest.raises(InfrastructureError, match="PySpark, which is not installed; make spark"):
        feature_computer(Settings(engine="spark"), Warehouse(Path("nowhere")))


def stub_java(folder: Path, told: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{told}' >&2\n")
    java.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("told", "expected"),
    [('openjdk version "11.0.2"', "11 was found"), ('java version "1.8.0_402"', "8 was found"), ("", "none was found")],
)
def test_a_java_too_old_is_said_with_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, expected: str
) -> None:
    pytest.importorskip("pyspark")
    monkeypatch.setenv("JAVA_HOME", str(stub_java(tmp_path, told)))
    with pytest.raises(InfrastructureError, match=f"Java 17 or newer, {expected}.*default-jre-headless") as raised:
        require_spark()
    assert raised.value.exit_code == 4
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    with pytest.raises(InfrastructureError, match="none was found"):
        require_spark()


def test_a_missing_part_of_the_warehouse_is_named(session: SparkSession, tmp_path: Path) -> None:
    warehouse = warehouse_of(tmp_path, {name: [] for name in TABLES})
    (tmp_path / "events" / "1.parquet").unlink()
    with pytest.raises(InfrastructureError, match=r"1 part\(s\) of events are gone, 1.parquet first"):
        warehouse_frames(session, warehouse)


def test_nothing_of_spark_is_imported_unless_it_is_asked_for(tmp_path: Path) -> None:
    warehouse_of(tmp_path / "warehouse", random_world(1, leads=4, events=10, outcomes=0).tables)
    script = (
        "import json, sys, clew\n"
        "import features.engine, features.training_set, training.run\n"
        "import training.bundles.batch, training.bundles.spark_scoring\n"
        "sys.argv = ['clew', 'features', '--as-of', '2026-03-01']\n"
        "try:\n    clew.main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    environment = {**os.environ, "CLEW_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    loaded = {name.partition(".")[0] for name in json.loads(told.stdout.splitlines()[-1])}
    assert "duckdb" in loaded
    assert loaded & {"pyspark", "py4j", "sqlglot"} == set()
