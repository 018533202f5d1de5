"""A local day has the same number for two moments exactly when the calendar of the zone says they share a date."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, available_timezones

import duckdb
import numpy as np
import pytest

from data.clock import DAY_US, HOUR_US, from_us, to_us
from features.days import DAY_SHIFT_US, last_of_days, offsets, offsets_around
from features.sql_events import _local_day

ZONES = ("UTC", "Asia/Shanghai", "Europe/Amsterdam", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe")
START, END = to_us(datetime(2015, 1, 1, tzinfo=UTC)), to_us(datetime(2027, 1, 1, tzinfo=UTC))
EPOCH_DAY = date(1970, 1, 1).toordinal() - DAY_SHIFT_US // DAY_US


def calendar_day(us: int, timezone: str) -> int:
    return from_us(us).astimezone(ZoneInfo(timezone)).date().toordinal() - EPOCH_DAY


def moments(timezone: str, count: int = 300) -> list[int]:
    """Random moments, and the borders of days and of offsets to the microsecond."""
    drawn: list[int] = np.random.default_rng(5).integers(START, END, size=count).tolist()
    borders = [start for start, _ in offsets(timezone, START, END)[1:]]
    borders += [us // DAY_US * DAY_US - offset for us in drawn[:50] for _, offset in offsets(timezone, us, us)]
    return drawn + [border + beside for border in borders for beside in (-1, 0, 1)]


def last_by_calendar(times: list[int], timezone: str) -> list[int]:
    return sorted({calendar_day(us, timezone): us for us in sorted(times)}.values())


@pytest.mark.parametrize("timezone", ZONES)
def test_the_last_moments_of_days_follow_the_calendar_of_the_zone(timezone: str) -> None:
    drawn = sorted(moments(timezone))
    table = offsets(timezone, START, END)
    assert last_of_days(np.array(drawn), table) == last_by_calendar(drawn, timezone)
    for window in (7, 90):
        some = [us for us in drawn if drawn[0] <= us < drawn[0] + window * DAY_US]
        assert last_of_days(np.array(some), table) == last_by_calendar(some, timezone)


@pytest.mark.parametrize("timezone", ZONES)
def test_sql_numbers_days_as_python_does(timezone: str) -> None:
    chosen = moments(timezone)
    events = "(SELECT MAKE_TIMESTAMPTZ(UNNEST($moments)) AS occurred_at) AS e"
    query = f"SELECT {_local_day(timezone, (START, END))} FROM {events}"  # noqa: S608
    with duckdb.connect() as connection:
        found = [row[0] for row in connection.execute(query, {"moments": chosen}).fetchall()]
    assert found == [calendar_day(us, timezone) for us in chosen]


def test_moments_before_1970_have_days_too() -> None:
    table = offsets("UTC", -(10**15), 0)
    assert last_of_days(np.array([-DAY_US, -1, 0]), table) == [-1, 0]
    assert last_of_days(np.array([], np.int64), table) == []


def test_a_change_of_offset_is_found_to_the_microsecond() -> None:
    changes = offsets("Europe/Amsterdam", START, END)[1:]
    assert len(changes) == 24
    spring = to_us(datetime(2026, 3, 29, 1, tzinfo=UTC))
    assert (spring, 2 * HOUR_US) in changes


@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_a_change_at_the_end_of_the_range_is_in_the_table_from_its_moment_on(beside: int) -> None:
    change = to_us(datetime(2026, 3, 29, 1, tzinfo=UTC))
    table = offsets("Europe/Amsterdam", change - 5 * DAY_US, change + beside)
    assert len(table) == (1 if beside < 0 else 2)


def test_every_zone_agrees_with_its_calendar_over_a_year() -> None:
    rng = np.random.default_rng(3)
    start = to_us(datetime(2019, 1, 1, tzinfo=UTC))
    for timezone in sorted(available_timezones())[::9]:
        table = offsets_around(timezone, start, start + 300 * DAY_US)
        drawn = sorted(rng.integers(start, start + 300 * DAY_US, size=60).tolist())
        assert last_of_days(np.array(drawn), table) == last_by_calendar(drawn, timezone), timezone


def test_the_wider_table_serves_many_moments_from_the_cache() -> None:
    base = to_us(datetime(2026, 6, 1, tzinfo=UTC))
    offsets.cache_clear()
    for hour in range(48):
        offsets_around("America/New_York", base - 90 * DAY_US, base + hour * HOUR_US)
    assert offsets.cache_info().misses == 1


def test_the_ends_of_the_calendar_raise_nothing() -> None:
    for year in (1, 9999):
        us = to_us(datetime(year, 1, 1, tzinfo=UTC)) + (year > 1) * (364 * DAY_US)
        for timezone in ("Asia/Shanghai", "America/Sao_Paulo"):
            table = offsets_around(timezone, us - 90 * DAY_US, us)
            assert last_of_days(np.array([us - 1, us]), table)[-1] == us


def test_a_day_that_comes_twice_is_one_day() -> None:
    """Clocks in Sao Paulo went back from midnight to 23 o'clock of the same Saturday."""
    midnight = to_us(datetime(2018, 2, 18, 2, tzinfo=UTC))
    times = [midnight - HOUR_US, midnight - 1, midnight, midnight + HOUR_US - 1, midnight + HOUR_US]
    table = offsets("America/Sao_Paulo", midnight - DAY_US, midnight + DAY_US)
    assert last_of_days(np.array(times), table) == times[-2:]
