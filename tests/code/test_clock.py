"""Moments: exact both ways, never naive, and refused in words that repeat no value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.clock import DAY_US, HOUR_US, MINUTE_US, from_us, iso, now, parse_moment, to_us
from data.errors import DataError

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
AWARE = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=OFFSETS)  # noqa: DTZ001 - the strategy adds it


@given(AWARE)
def test_a_moment_survives_microseconds_and_text_exactly(moment: datetime) -> None:
    assert from_us(to_us(moment)) == moment
    assert parse_moment(iso(moment)) == moment
    assert iso(moment).endswith("Z")


@given(AWARE, st.integers(-(10**15), 10**15))
def test_microseconds_order_and_add_up_as_moments_do(moment: datetime, apart: int) -> None:
    assert to_us(moment + timedelta(microseconds=apart)) - to_us(moment) == apart


def test_the_units_are_microseconds() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert to_us(epoch + timedelta(days=1)) == DAY_US == 24 * HOUR_US == 1440 * MINUTE_US


def test_the_present_has_an_offset_and_does_not_run_backwards() -> None:
    first = now()
    assert first.utcoffset() == timedelta(0)
    assert now() >= first


def test_a_bare_date_is_midnight_utc() -> None:
    assert parse_moment(" 2026-11-01 ") == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-11-01T08:00", "2026-11-01 08:00:00", "20261101T080000"])
def test_a_time_of_day_without_an_offset_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="without an offset"):
        parse_moment(text)
    with pytest.raises(DataError, match="without an offset"):
        to_us(datetime.fromisoformat(text))


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "01.11.2026", "2026-11-31"])
def test_what_is_no_time_is_refused_with_the_field_and_without_the_value(text: str) -> None:
    with pytest.raises(DataError, match=rf"^--as-of: a time was expected, a text of {len(text)} characters") as refused:
        parse_moment(text, field="--as-of")
    assert not text or f" {text} " not in str(refused.value)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-08:00"])
def test_a_time_beyond_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="years 1 to 9999"):
        parse_moment(text)
