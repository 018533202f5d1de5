"""A large made-up event log, and three ways to the same columns: the catalogue, a hand-written query, and pandas.

Run as a program it goes one way in a process of its own and prints time, peak memory and a sum of each column:
`python -m tests.benchmarks.event_log catalogue FOLDER`.
"""
# ruff: noqa: S608 - numbers and names of this module are put into the SQL

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from data.clock import DAY_US, MINUTE_US
from data.tables import TABLES, arrow_schema
from data.warehouse import limited
from features.catalogue import build_catalogue
from features.definitions import Catalogue, Recency, Touch, decay_weights
from features.sql import compute_features, prepare_people
from features.words import EVENT_TYPES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AS_OF_US", "WAYS", "run", "write_log"]

AS_OF_US = 1_790_000_000_000_000
TYPES = tuple(sorted(EVENT_TYPES))
_CHANNELS = ("direct", "email", "paid", "referral", "search", "social")
_INTENT = tuple(name for name in TYPES if EVENT_TYPES[name].intent)
_INBOUND = tuple(name for name in TYPES if EVENT_TYPES[name].inbound)
_WINDOWS = (7, 30, 90)
_SHIFT_US = 8 * 60 * MINUTE_US  # Asia/Shanghai, which keeps one offset


def catalogue() -> Catalogue:
    """All features of a lead's own events."""
    whole = build_catalogue(event_types=TYPES, timezone="Asia/Shanghai")
    return whole.keep(feature.name for feature in whole.features if feature.needs == "events")


def write_log(folder: Path, *, events: int, leads: int) -> None:
    """Write `events.parquet` over one year before `AS_OF_US`, in order of time, and `leads.parquet`."""
    folder.mkdir(parents=True, exist_ok=True)
    year = 365 * DAY_US
    types, channels = list(TYPES), list(_CHANNELS)
    con = duckdb.connect(config={"threads": 2, "memory_limit": "2GB", "temp_directory": str(folder / "spill")})
    con.execute("SET TimeZone = 'UTC'")
    # Hashes of the row's number serve as draws: the same rows whatever the threads.
    con.execute(
        f"""
        COPY (SELECT 'site' AS source, 'e' || i AS event_id, 'L' || (hash(i * 7 + 1) % {leads}) AS lead_id,
                     {types!r}[1 + LEAST(hash(i * 3 + 2) % 10, hash(i * 5 + 3) % 10)::INT] AS type,
                     make_timestamptz(us) AS occurred_at, 'c' || (hash(i * 11) % 400) AS content_id,
                     CASE WHEN h % 4 > 0 THEN {channels!r}[1 + (h % 6)::INT] END AS channel,
                     (h % 3000) / 10.0::DOUBLE AS duration_s,
                     make_timestamptz(us + ((hash(i * 13) % 3600) * 1000000)::BIGINT) AS known_at
              FROM (SELECT i, hash(i) AS h,
                           {AS_OF_US - year} + (i::HUGEINT * {year} // {events})::BIGINT
                           + (hash(i * 17) % 1000000)::BIGINT AS us
                    FROM range({events}) AS numbers(i)) AS drawn)
        TO '{folder / "events.parquet"}' (FORMAT parquet, COMPRESSION zstd)
        """
    )
    con.execute(
        f"""
        COPY (SELECT 'L' || i AS lead_id, make_timestamptz({AS_OF_US - 400 * DAY_US}) AS created_at,
                     make_timestamptz({AS_OF_US - 400 * DAY_US}) AS known_at
              FROM range({leads}) AS numbers(i))
        TO '{folder / "leads.parquet"}' (FORMAT parquet)
        """
    )
    con.close()


def _connected(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open the log as the warehouse would be opened, with a spine of every lead at one moment."""
    con = duckdb.connect(config=limited(threads=2))
    con.execute("SET TimeZone = 'UTC'")
    for name, table in TABLES.items():
        con.register("none", pa.Table.from_pylist([], schema=arrow_schema(table)))
        file = folder / f"{name}.parquet"
        rows = f" UNION ALL BY NAME SELECT * FROM '{file}'" if file.is_file() else ""
        con.execute(f"CREATE TABLE empty_{name} AS SELECT * FROM none")
        con.execute(f"CREATE VIEW {name} AS SELECT * FROM empty_{name}{rows}")
        con.unregister("none")
    return con


def by_catalogue(folder: Path) -> tuple[float, pa.Table]:
    """Return the seconds and the columns of the compiled catalogue."""
    con = _connected(folder)
    prepare_people(con)
    _spine(con)
    started = time.perf_counter()
    table = compute_features(con, catalogue())
    return time.perf_counter() - started, table


def _spine(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        "CREATE TEMP TABLE spine AS SELECT ROW_NUMBER() OVER (ORDER BY lead_id) AS row_id, lead_id,"
        f" {AS_OF_US}::BIGINT AS as_of_us FROM people WHERE lead_id = primary_id"
    )


def by_hand(folder: Path) -> tuple[float, pa.Table]:
    """Return the seconds and the columns of the best query that its author could write for just this log.

    It knows what the catalogue cannot: one `as_of` for all, one lead a person, a fixed offset of the zone.
    """
    con = _connected(folder)
    prepare_people(con)
    _spine(con)
    started = time.perf_counter()
    number = {name: at for at, name in enumerate(TYPES)}
    since = {days: AS_OF_US - days * DAY_US for days in _WINDOWS}
    code = "CASE type " + " ".join(f"WHEN '{name}' THEN {at}" for name, at in number.items()) + " END"
    channel = "CASE channel " + " ".join(f"WHEN '{name}' THEN {at}" for at, name in enumerate(_CHANNELS)) + " END"
    seen = (
        "FROM events AS e JOIN spine AS s ON s.lead_id = e.lead_id"
        f" WHERE e.occurred_at < make_timestamptz({AS_OF_US}) AND e.known_at <= make_timestamptz({AS_OF_US})"
    )
    con.execute(
        f"""
        CREATE TEMP TABLE recent AS
        SELECT *, (us + {_SHIFT_US}) // {DAY_US} AS day, ({AS_OF_US} - us) // {DAY_US} AS age
        FROM (SELECT s.row_id, epoch_us(e.occurred_at) AS us, ({code})::TINYINT AS code, e.content_id, e.duration_s
              {seen} AND e.occurred_at >= make_timestamptz({since[90] - 30 * MINUTE_US}))
        """
    )
    counts = []
    for days, start in since.items():
        counts += [f"count(*) FILTER (code = {at} AND us >= {start}) AS t{at}_{days}" for at in number.values()]
        counts.append(f"count(*) FILTER (us >= {start}) AS events_{days}")
        intent = ", ".join(str(number[name]) for name in _INTENT)
        counts.append(f"count(*) FILTER (code IN ({intent}) AND us >= {start}) AS intent_{days}")
    weight = f"{list(decay_weights(14, 90))!r}[age + 1]"
    counts.append(f"sum_no_overflow({weight}) FILTER (us >= {since[90]}) AS decayed")
    counts.append(f"sum_no_overflow({weight}) FILTER (code IN ({intent}) AND us >= {since[90]}) AS intent_decayed")
    counts.append(f"sum_no_overflow(floor(duration_s * 1000 + 0.5)::BIGINT) FILTER (us >= {since[30]}) AS thousandths")
    con.execute(f"CREATE TEMP TABLE counts AS SELECT row_id, {', '.join(counts)} FROM recent GROUP BY row_id")
    inbound = ", ".join(str(number[name]) for name in _INBOUND)
    last = [f"max(us) FILTER (code = {at}) AS last_{at}" for at in number.values()]
    # Eight numbers hold the six channels, so that one integer orders by time and then by channel.
    con.execute(
        f"""
        CREATE TEMP TABLE lasts AS SELECT row_id, {", ".join(last)}, max(us) AS last_any,
            max(us) FILTER (code IN ({inbound})) AS last_inbound,
            {list(_CHANNELS)!r}[min(us * 8 + channel) % 8 + 1] AS first_touch,
            {list(_CHANNELS)!r}[8 - max(us * 8 + 7 - channel) % 8] AS last_touch
        FROM (SELECT s.row_id, epoch_us(e.occurred_at) AS us, ({code})::TINYINT AS code, {channel} AS channel {seen})
        GROUP BY row_id
        """
    )
    for column in ("content_id", "day"):
        windows = ", ".join(f"count(*) FILTER (us >= {since[days]}) AS {column}_{days}" for days in _WINDOWS)
        con.execute(
            f"CREATE TEMP TABLE d_{column} AS SELECT row_id, {windows} FROM (SELECT row_id, {column}, max(us) AS us"
            f" FROM recent WHERE {column} IS NOT NULL GROUP BY row_id, {column}) GROUP BY row_id"
        )
    windows = ", ".join(f"count(*) FILTER (begins AND us >= {since[days]}) AS visits_{days}" for days in _WINDOWS)
    con.execute(
        f"""
        CREATE TEMP TABLE visits AS SELECT row_id, {windows}
        FROM (SELECT row_id, us, coalesce(us - lag(us) OVER (PARTITION BY row_id ORDER BY us) > {30 * MINUTE_US}, true)
                     AS begins FROM recent)
        GROUP BY row_id
        """
    )
    table = con.sql(_hand_finish(number)).to_arrow_table()
    return time.perf_counter() - started, table


def _hand_finish(number: dict[str, int]) -> str:
    """Return the query that puts the pieces together under the catalogue's names."""
    days_since = f"({AS_OF_US} - {{}})::DOUBLE / {DAY_US}.0"
    columns = []
    for feature in catalogue().features:
        compute: Any = feature.compute
        days = getattr(compute, "days", None)
        types = getattr(compute, "types", ())
        if isinstance(compute, Touch):
            sql = f"{compute.which}_touch"
        elif isinstance(compute, Recency):
            sql = days_since.format(
                "last_any" if not types else "last_inbound" if len(types) > 1 else f"last_{number[types[0]]}"
            )
        elif compute.how == "event_count":
            piece = "events" if not types else "intent" if len(types) > 1 else f"t{number[types[0]]}"
            sql = f"coalesce({piece}_{days}, 0)::DOUBLE"
        elif compute.how == "distinct_count":
            sql = f"coalesce({compute.column}_{days}, 0)::DOUBLE"
        elif compute.how == "visits":
            sql = f"coalesce(visits_{days}, 0)::DOUBLE"
        elif compute.how == "decayed":
            sql = f"coalesce({'intent_decayed' if types else 'decayed'}, 0)::DOUBLE / 1000000.0"
        elif compute.how == "trend":
            sql = "(30 * coalesce(events_7, 0) - 7 * coalesce(events_30, 0))::DOUBLE / 210.0"
        else:
            sql = "coalesce(thousandths, 0)::DOUBLE / 1000.0"
        columns.append(f'{sql} AS "{feature.name}"')
    joins = " ".join(
        f"LEFT JOIN {name} USING (row_id)" for name in ("counts", "lasts", "d_content_id", "d_day", "visits")
    )
    return f"SELECT row_id, lead_id, as_of_us, {', '.join(columns)} FROM spine {joins} ORDER BY row_id"


def by_pandas(folder: Path) -> tuple[float, pa.Table]:  # noqa: C901, PLR0915 - one arm a kind of feature
    """Return the seconds and the columns in pandas, as plainly and as fast as its author could write them."""
    import numpy as np
    import pandas as pd

    con = _connected(folder)
    prepare_people(con)
    _spine(con)
    leads = con.sql("SELECT lead_id FROM spine ORDER BY row_id").df()["lead_id"]
    con.close()
    started = time.perf_counter()
    log = pd.read_parquet(
        folder / "events.parquet",
        columns=["lead_id", "type", "occurred_at", "known_at", "content_id", "channel", "duration_s"],
    )
    as_of = pd.Timestamp(AS_OF_US, unit="us", tz="UTC")
    log = log[(log["occurred_at"] < as_of) & (log["known_at"] <= as_of)].drop(columns="known_at")
    log["row"] = pd.Index(leads).get_indexer(log.pop("lead_id")).astype("int32")
    log["us"] = log.pop("occurred_at").astype("datetime64[us, UTC]").astype("int64")
    log["code"] = pd.Categorical(log.pop("type"), categories=TYPES).codes
    size, found = len(leads), dict[str, Any]()

    def counted(rows: pd.DataFrame) -> Any:
        return np.bincount(rows["row"], minlength=size).astype("float64")

    def last(rows: pd.DataFrame) -> Any:
        return (AS_OF_US - rows.groupby("row")["us"].max().reindex(range(size))) / DAY_US

    recent = log[log["us"] >= AS_OF_US - 90 * DAY_US - 30 * MINUTE_US].sort_values(["row", "us"])
    silence = recent["us"] - recent.groupby("row")["us"].shift()
    recent = recent.assign(begins=~(silence <= 30 * MINUTE_US), day=(recent["us"] + _SHIFT_US) // DAY_US)
    weights = np.array(decay_weights(14, 90))
    named = log[log["channel"].notna()]
    by_type = dict(list(log.groupby("code")))
    windows = {days: recent[recent["us"] >= AS_OF_US - days * DAY_US] for days in _WINDOWS}
    cells = {
        days: rows.groupby(["row", "code"]).size().unstack(fill_value=0).reindex(range(size), fill_value=0)  # noqa: PD010 - a pivot_table is slower
        for days, rows in windows.items()
    }
    for feature in catalogue().features:
        compute: Any = feature.compute
        codes = [TYPES.index(name) for name in getattr(compute, "types", ())]
        rows = windows.get(getattr(compute, "days", 0), recent)
        if compute.how == "event_count":
            value = cells[compute.days][codes].sum(axis=1).astype("float64") if codes else counted(rows)
        elif compute.how == "recency":
            value = last(log if not codes else pd.concat([by_type[code] for code in codes]))
        elif compute.how == "distinct_count":
            value = counted(rows[["row", compute.column]].drop_duplicates().dropna())
        elif compute.how == "visits":
            value = counted(rows[rows["begins"]])
        elif compute.how == "decayed":
            chosen = rows[rows["code"].isin(codes)] if codes else rows
            value = np.bincount(chosen["row"], weights[(AS_OF_US - chosen["us"]) // DAY_US], minlength=size) / 1e6
        elif compute.how == "touch":
            ordered = named.sort_values(["us", "channel"], ascending=[compute.which == "first", True])
            value = ordered.groupby("row")["channel"].first().reindex(range(size))
        elif compute.how == "trend":
            value = (30 * counted(windows[7]) - 7 * counted(windows[30])) / 210.0
        else:
            whole = np.floor(rows["duration_s"] * 1000 + 0.5)
            value = np.bincount(rows["row"], whole, minlength=size) / 1000.0
        found[feature.name] = np.asarray(value)
    frame = pd.DataFrame(found)
    seconds = time.perf_counter() - started
    return seconds, pa.Table.from_pandas(frame, preserve_index=False)


WAYS = {"catalogue": by_catalogue, "hand": by_hand, "pandas": by_pandas}


def _sums(table: pa.Table) -> dict[str, float]:
    """Return one number a column, so that three processes can be compared; texts count their letters."""
    import pyarrow.compute as pc

    found = {}
    for name in catalogue().names:
        column = table[name]
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.cast(pc.binary_length(column), pa.float64())
        found[name] = round(float(pc.sum(column, skip_nulls=True).as_py() or 0.0), 3) + column.null_count
    return found


def run(way: str, folder: Path) -> dict[str, Any]:
    """Go one way in a process of its own; return seconds, peak memory in bytes, and the sums of the columns."""
    command = [sys.executable, "-m", "tests.benchmarks.event_log", way, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def main(way: str, folder: Path) -> None:
    """Print one JSON object."""
    seconds, table = WAYS[way](folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_bytes": peak, "rows": len(table), "sums": _sums(table)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
