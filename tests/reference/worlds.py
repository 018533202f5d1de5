"""Small random worlds: leads with histories, people with several leads, events late and out of order, outcomes, stages.

Moments are drawn from few points, their whole-day neighbours at the borders of windows, and one microsecond beside
them, so that ties and borders are the rule. A profile of few worlds runs always, one of at least a thousand with
`CLEW_EVIDENCE=1`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from data.tables import TABLES, arrow_schema
from features.catalogue import build_catalogue
from features.definitions import (
    Catalogue,
    Decayed,
    DistinctCount,
    EventCount,
    Feature,
    Filled,
    MostSenior,
    Recency,
    Total,
    Trend,
    Visits,
)
from features.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from features.definitions import Compute
    from tests.reference.features import Row, Tables

T = TypeVar("T")
EVIDENCE = os.environ.get("CLEW_EVIDENCE") == "1"
CUSTOM = {"erp": "categorical", "size": "numeric", "note": "text"}
TYPES = ("page_view", "demo_request", "price_page_view", "Odd Type!", "it's")
UNSEEN_TYPE = "brand_new"
LEADS = ("a", "b", "c", "d", "e", "f", "g", "A")
ACCOUNTS = ("A", "B")
MICROSECOND = timedelta(microseconds=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


# Anchors: a plain midnight, a local midnight, and moments at which clocks were put forward or back.
ANCHORS = {
    "UTC": (utc(2026, 3, 1),),
    "Asia/Shanghai": (utc(2026, 2, 28, 16),),
    "Europe/Amsterdam": (utc(2026, 3, 29, 1), utc(2026, 10, 25, 1), utc(2026, 3, 28, 23)),
    "America/Sao_Paulo": (utc(2018, 11, 4, 3), utc(2018, 2, 18, 2)),
}


def worlds_profile(few: int, many: int = 1000) -> settings:
    """Settings of a property over worlds: the same examples in every run."""
    return settings(
        max_examples=many if EVIDENCE else few,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )


@dataclass(frozen=True)
class World:
    """The rows of every canonical table, and the moments at which the world is looked at.

    `drawn` says how to draw it again; printing all rows would fill pages.
    """

    tables: Tables
    as_ofs: tuple[datetime, ...]
    timezone: str
    drawn: str = ""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - the signature is given
        printer.text(self.drawn)

    def with_rows(self, **more: list[Row]) -> World:
        return replace(self, tables={name: rows + more.get(name, []) for name, rows in self.tables.items()})


def _feature(name: str, compute: Compute, needs: str = "events") -> Feature:
    words = Words(en=name, zh=name)
    return Feature.model_validate(
        {"name": name, "group": name, "kind": "numeric", "needs": needs, "compute": compute, "label": words}
    )


# What the standard catalogue does not ask, but the definitions allow.
_MORE = (
    _feature("value_90d", Total(column="value", days=90)),
    _feature("one_day", EventCount(days=1, types=("page_view", "it's"))),
    _feature("odd_trend", Trend(types=("Odd Type!",))),
    _feature("lead_ids_200d", DistinctCount(column="lead_id", days=200)),
    _feature("account_days_30d", DistinctCount(column="day", days=30, scope="account"), "account_events"),
    _feature("account_contents_7d", DistinctCount(column="content_id", days=7, scope="account"), "account_events"),
    _feature("account_demo_since", Recency(types=("demo_request",), scope="account"), "account_events"),
    _feature("job_title_filled", Filled(column="job_title"), "lead"),
    _feature("odd_decayed", Decayed(types=("Odd Type!", "page_view"), half_life_days=3, days=30)),
    _feature("visits_1d", Visits(days=1)),
    _feature("account_senior_7d", MostSenior(days=7), "account_events"),
    _feature("account_people_7d", DistinctCount(column="person_id", days=7, scope="account"), "account_events"),
)


def catalogue_in(timezone: str) -> Catalogue:
    """Every kind of definition; one type of the worlds has no feature, and one feature's type never occurs."""
    standard = build_catalogue(event_types=[*TYPES[1:], UNSEEN_TYPE], custom=CUSTOM, timezone=timezone, treatments=True)
    return Catalogue(features=(*standard.features, *_MORE), timezone=timezone)


CATALOGUES = {timezone: catalogue_in(timezone) for timezone in ANCHORS}

_CATEGORIES = (None, "x", "X", "", "O'Neil", "来源")
_NUMBERS = (None, 0.0, 1 / 3, 600.0, -2.5)
_MEASURES = (None, 0.0005, 1.0015, 2.675, -3.25, 12.0, 9.9e11, -9.9e11, 1e12, 1e300, float("inf"), float("nan"))
_DELAYS = (timedelta(0), timedelta(0), MICROSECOND, timedelta(hours=1), timedelta(days=7), timedelta(days=40))
_SILENCES = tuple(timedelta(minutes=m, microseconds=us) for m in (0, 0, 10, 30, -30, 60) for us in (0, 1))
_EARLY = (-181, -180, -180, -90, -90, -60, -30, -30, -7, -1, 0)
_LATE = (-90, -30, -30, -7, -7, -1, -1, 0, 0, 1, 7, 30)
_LATEST = (-30, -7, 0, 0, 0, 1, 7, 7, 30, 60, 90)


@dataclass(frozen=True)
class _Dice:
    """Draws of one world."""

    rng: np.random.Generator
    anchors: tuple[datetime, ...]

    def one_of(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def happens(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def moment(self, days: Sequence[int]) -> datetime:
        hours, jitter = self.one_of((0, 0, 0, -1, 1, 5)), self.one_of((0, 0, -1, 1))
        return self.one_of(self.anchors) + timedelta(days=self.one_of(days), hours=hours, microseconds=jitter)

    def known(self, happened: datetime, days: Sequence[int]) -> datetime:
        """Usually soon after it happened, sometimes at any moment, even before it happened."""
        return happened + self.one_of(_DELAYS) if self.happens(0.7) else self.moment(days)


def _lead_versions(dice: _Dice, lead_id: str) -> list[Row]:
    created_at = dice.moment(_EARLY)
    known = {dice.known(created_at, _EARLY), *(dice.moment(_LATE) for _ in range(dice.one_of((0, 0, 1, 2))))}
    person_id = dice.one_of((None, "p", "p", "q"))
    return [
        {
            "lead_id": lead_id,
            "created_at": dice.moment(_LATE) if dice.happens(0.25) else created_at,
            "known_at": known_at,
            "account_id": dice.one_of((None, "A", "A", "B")),
            "person_id": None if dice.happens(0.1) else person_id,
            "source": dice.one_of(_CATEGORIES),
            "country": dice.one_of(_CATEGORIES),
            "job_title": dice.one_of(_CATEGORIES),
            "seniority": dice.one_of((None, "junior", "vp", "c_level", "director", "x")),
            "contact_completeness": dice.one_of(_NUMBERS),
            "custom_erp": dice.one_of(_CATEGORIES),
            "custom_size": dice.one_of(_NUMBERS),
            "custom_note": dice.one_of(_CATEGORIES),
        }
        for known_at in sorted(known)
    ]


def _account_versions(dice: _Dice, account_id: str) -> list[Row]:
    known = {dice.moment((*_EARLY, *_LATE)) for _ in range(dice.one_of((0, 1, 2, 3)))}
    return [
        {
            "account_id": account_id,
            "known_at": known_at,
            "industry": dice.one_of(_CATEGORIES),
            "country": dice.one_of(_CATEGORIES),
            "employees": dice.one_of(_NUMBERS),
            "founded_year": dice.one_of((None, 1999, 2020)),
        }
        for known_at in sorted(known)
    ]


def _event(dice: _Dice, number: int) -> Row:
    occurred_at = dice.moment(_LATE) + dice.one_of(_SILENCES)
    return {
        "source": dice.one_of(("site", "mail")),
        "event_id": f"e{number}",
        "lead_id": dice.one_of((*LEADS, *LEADS, "ghost")),
        "type": dice.one_of(TYPES),
        "occurred_at": occurred_at,
        "known_at": dice.known(occurred_at, _LATE),
        "content_id": dice.one_of((None, "", "c1", "c2")),
        "duration_s": dice.one_of(_MEASURES),
        "value": dice.one_of(_MEASURES),
        "channel": dice.one_of((None, None, "paid", "Search", "", "é")),
    }


def _action(dice: _Dice, number: int) -> Row:
    occurred_at = dice.moment((*_EARLY, *_LATE))
    return {
        "action_id": f"a{number}",
        "lead_id": dice.one_of((*LEADS, "ghost")),
        "type": dice.one_of(("called", "emailed", "assigned", "vanished", "vanished", "reappeared")),
        "occurred_at": occurred_at,
        "known_at": dice.known(occurred_at, _LATE),
    }


def _outcome(dice: _Dice) -> Row:
    closed_at = dice.moment(_LATE)
    return {
        "lead_id": dice.one_of(LEADS),
        "outcome": dice.one_of(("won", "lost", "lost", "open")),
        "closed_at": closed_at,
        "known_at": dice.known(closed_at, _LATEST),
        "reason": dice.one_of((None, "price", "duplicate", "Duplicate")),
    }


def _stage(dice: _Dice) -> Row:
    occurred_at = dice.moment(_LATE)
    return {
        "lead_id": dice.one_of(LEADS),
        "stage": dice.one_of(("mql", "SQL", "opportunity")),
        "occurred_at": occurred_at,
        "known_at": dice.known(occurred_at, _LATEST),
    }


def _merge(dice: _Dice) -> Row:
    occurred_at = dice.moment(_LATE)
    return {
        "lead_id": dice.one_of((*LEADS, *LEADS, "ghost")),
        "into_lead_id": dice.one_of((*LEADS, *LEADS, "ghost")),
        "occurred_at": occurred_at,
        "known_at": dice.known(occurred_at, _LATE),
    }


def _unique(rows: list[Row], *key: str) -> list[Row]:
    return list({tuple(row[column] for column in key): row for row in rows}.values())


def random_world(seed: int, *, leads: int, events: int, outcomes: int, merges: int = 2) -> World:
    """Draw a world; equal arguments give equal worlds."""
    rng = np.random.default_rng(seed)
    timezone = sorted(ANCHORS)[int(rng.integers(len(ANCHORS)))]
    dice = _Dice(rng, ANCHORS[timezone])
    tables: Tables = {name: [] for name in TABLES}
    tables["leads"] = [row for lead_id in LEADS[:leads] for row in _lead_versions(dice, lead_id)]
    tables["accounts"] = [row for account_id in ACCOUNTS for row in _account_versions(dice, account_id)]
    tables["events"] = [_event(dice, number) for number in range(events)]
    tables["actions"] = [_action(dice, number) for number in range(events // 5)]
    tables["outcomes"] = _unique([_outcome(dice) for _ in range(outcomes)], "lead_id", "known_at")
    tables["stages"] = _unique([_stage(dice) for _ in range(outcomes)], "lead_id", "stage", "occurred_at")
    as_ofs = {dice.moment(_LATEST) for _ in range(8)}
    tables["merges"] = _unique([_merge(dice) for _ in range(merges)], "lead_id", "occurred_at")
    drawn = f"random_world({seed}, leads={leads}, events={events}, outcomes={outcomes}, merges={merges})"
    return World(tables, tuple(sorted(as_ofs)), timezone, drawn)


def worlds() -> st.SearchStrategy[World]:
    """Rich worlds; what fails is shrunk to fewer leads, events and outcomes."""
    return st.builds(
        random_world,
        st.integers(0, 2**32 - 1),
        leads=st.integers(1, len(LEADS)),
        events=st.sampled_from((120, 60, 30, 10, 1, 0)),
        outcomes=st.integers(0, 12),
        merges=st.sampled_from((0, 0, 1, 2, 4, 8)),
    )


def connect(threads: int = 1) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": threads})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def load(connection: duckdb.DuckDBPyConnection, tables: Tables) -> duckdb.DuckDBPyConnection:
    """Put the rows where the warehouse has its views; `recorded_at` is when the row became known."""
    for name, table in TABLES.items():
        rows = [{"recorded_at": row["known_at"], **row} for row in tables[name]]
        connection.register("incoming", pa.Table.from_pylist(rows, schema=arrow_schema(table, CUSTOM)))
        connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM incoming")  # noqa: S608 - a name of the contract
        connection.unregister("incoming")
    return connection


def photograph(connection: duckdb.DuckDBPyConnection, pairs: list[tuple[str, int]]) -> None:
    """Make the spine of these pairs of a lead and a moment in microseconds."""
    connection.execute("CREATE OR REPLACE TEMP TABLE spine (row_id BIGINT, lead_id VARCHAR, as_of_us BIGINT)")
    rows = [(number, lead_id, as_of_us) for number, (lead_id, as_of_us) in enumerate(pairs)]
    if rows:
        connection.executemany("INSERT INTO spine VALUES (?, ?, ?)", rows)


def shuffled(tables: Tables, shuffle: Callable[[list[Any]], None]) -> Tables:
    """The same rows in another order."""
    copies = {name: list(rows) for name, rows in tables.items()}
    for rows in copies.values():
        shuffle(rows)
    return copies
