"""The quick way of reading events is the full check, only faster: what it takes, that takes alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from features.memory import EventFact
from serving.scoring.events import event_fact, quick_events
from serving.scoring.payload import AccountEventIn, EventIn

CHECKS: dict[bool, TypeAdapter[Any]] = {False: TypeAdapter(list[EventIn]), True: TypeAdapter(list[AccountEventIn])}

TIMES = (
    "2026-11-10T03:00:00Z",
    "2026-11-10T03:00:00.5+08:00",
    "20261110T030000Z",
    "2026-11-10 03:00:00-05:30",
    "2026-11-10T03:00:00",
    "2026-11-10",
    "1899-12-31T23:59:59Z",
    "2200-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00",
    "soon",
    "",
    "2026-11-10T03:00:00Z" + " " * 60,
)
TEXTS = ("", " ", "\u3000", "\x1c", "site", " site ", "\ufeffe1", "x" * 500, "x" * 501)
NUMBERS = (0, 1, 2.5, -1, -0.0, 1e15, 1.1e15, -1e15, float("nan"), float("inf"), True, 10**30)
NAMES = ("source", "id", "type", "content_id", "campaign", "keyword", "channel", "lead_id", "person_id", "job_title")

times, texts, numbers = st.sampled_from(TIMES), st.sampled_from(TEXTS) | st.text(max_size=5), st.sampled_from(NUMBERS)
anything: st.SearchStrategy[Any] = st.none() | texts | times | numbers | st.just([]) | st.just({})
likely = st.fixed_dictionaries(
    {"type": texts, "occurred_at": times},
    optional={
        **{name: st.none() | texts for name in NAMES if name != "type"},
        "known_at": st.none() | times,
        "duration_s": st.none() | numbers,
        "value": st.none() | numbers,
    },
)
odd = st.dictionaries(st.sampled_from((*NAMES, "occurred_at", "known_at", "duration_s", "value", "shoe")), anything)


def fully(values: Any, *, of_account: bool) -> list[EventFact] | None:
    """Return what the full check makes of events, None where it refuses them."""
    try:
        return [event_fact(event, of_account=of_account) for event in CHECKS[of_account].validate_python(values)]
    except ValidationError:
        return None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(events=st.lists(likely | odd, max_size=2), of_account=st.booleans())
def test_the_quick_way_takes_nothing_that_the_full_check_refuses_and_takes_it_alike(
    events: list[Any], of_account: bool
) -> None:
    quick = quick_events(events, most=10, of_account=of_account)
    if quick is not None:
        assert quick == fully(events, of_account=of_account)
        assert all(type(fact) is EventFact for fact in quick)


def test_what_a_crm_sends_is_read_the_quick_way() -> None:
    event = {"source": "site", "id": "e1", "type": "page_view", "occurred_at": TIMES[0], "duration_s": 3, "value": None}
    found = quick_events([event], most=1, of_account=False)
    assert found == fully([event], of_account=False)
    assert found is not None
    assert json.dumps(found[0].duration_s) == "3.0"


@pytest.mark.parametrize("values", [None, {}, "x", [None], [[]], [{}], [{}, {}], ({},)])
def test_what_is_no_list_of_events_is_left_to_the_full_check(values: Any) -> None:
    assert quick_events(values, most=1, of_account=False) is None
