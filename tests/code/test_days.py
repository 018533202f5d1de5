"""A local day has the same number for two moments exactly when the calendar of the zone says they share a date."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import duckdb
import numpy as np
import pytest

from data.clock import DAY_US, HOUR_US, from_us, to_us
from features.days import DAY_SHIFT_US, day_number, offsets, offsets_around
from features.sql import _local_day

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


@pytest.mark.parametrize("timezone", ZONES)
def test_day_numbers_follow_the_calendar_of_the_zone(timezone: str) -> None:
    table = offsets(timezone, START, END)
    found = {us: day_number(us, table) for us in moments(timezone)}
    assert found == {us: calendar_day(us, timezone) for us in found}


@pytest.mark.parametrize("timezone", ZONES)
def test_sql_numbers_days_as_python_does(timezone: str) -> None:
    chosen = moments(timezone)
    query = f"SELECT {_local_day(timezone, (START, END))} FROM (SELECT UNNEST($moments) AS occurred_us)"  # noqa: S608
    with duckdb.connect() as connection:
        found = [row[0] for row in connection.execute(query, {"moments": chosen}).fetchall()]
    assert found == [calendar_day(us, timezone) for us in chosen]


def test_moments_before_1970_have_days_too() -> None:
    table = offsets("UTC", -(10**15), 0)
    assert day_number(-1, table) + 1 == day_number(0, table)
    assert day_number(-DAY_US, table) == day_number(-1, table)


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
        for us in rng.integers(start, start + 300 * DAY_US, size=20).tolist():
            assert day_number(us, table) == calendar_day(us, timezone), (timezone, us)


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
            assert day_number(us, offsets_around(timezone, us - 90 * DAY_US, us))


def test_a_skipped_day_is_skipped() -> None:
    """Samoa had no 30 December 2011."""
    last = to_us(datetime(2011, 12, 30, 9, 59, tzinfo=UTC))
    table = offsets("Pacific/Apia", last - DAY_US, last + DAY_US)
    after = last + int(timedelta(minutes=2) / timedelta(microseconds=1))
    assert day_number(after, table) - day_number(last, table) == 2
