"""What is accepted, what is refused and in which words; what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from data.clock import DAY_US
from serving.http.problems import PayloadError
from serving.scoring.facts import to_facts
from serving.scoring.payload import MOST_EVENTS, parse_batch, parse_item, parse_request
from tests.service.bundles import AS_OF_US

PERSONAL = "li.wei@acme.example"


def refused(body: bytes | dict[str, Any]) -> PayloadError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(PayloadError) as caught:
        parse_request(raw)
    return caught.value


def lead(**fields: Any) -> dict[str, Any]:
    return {"lead": {"lead_id": "L-1", **fields}}


def test_only_the_lead_id_is_required() -> None:
    facts, notices = to_facts(parse_request(b'{"lead": {"lead_id": "L-1"}}'), AS_OF_US)
    assert (facts.created_us, facts.account, facts.events, facts.account_events) == (None, None, None, None)
    assert not any(facts.lead.values())
    assert notices == []


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        (lead(account={"employees": "many"}), "lead.account.employees", "a number was expected, a text came"),
        (lead(account={"employees": True}), "lead.account.employees", "a number was expected, true or false came"),
        (lead(account={"employees": -1}), "lead.account.employees", "at least 0 was expected, a smaller one came"),
        (lead(account=[]), "lead.account", "an object was expected, a list came"),
        (lead(source=5), "lead.source", "a text was expected, a number came"),
        (lead(source="x" * 501), "lead.source", "at most 500 characters was expected, one of 501 came"),
        (lead(custom={"a": [1]}), "lead.custom.a", "a number, a text, true, false or null was expected, a list came"),
        (lead(custom={"a": 1e300}), "lead.custom.a", "a larger one came"),
        (lead(created_at=1_700_000_000), "lead.created_at", "a time such as 2026-11-21T08:00:00Z was expected"),
        (lead(created_at="1700000000"), "lead.created_at", "a text that is no time came"),
        (lead(created_at="2026-11-02T09:00:00"), "lead.created_at", "a time without one came"),
        (lead(created_at="2026-11-02"), "lead.created_at", "a time without one came"),
        (lead(created_at="0001-01-01T00:00:00+14:00"), "lead.created_at", "between the years 1900 and 2200"),
        (lead(shoe_size=43), "lead.shoe_size", "columns of your own go in lead.custom"),
        ({"lead": {}}, "lead.lead_id", "is required"),
        ({"lead": {"lead_id": "  "}}, "lead.lead_id", "a text that is not blank"),
        ({**lead(), "events": [{"type": "page_view"}]}, "events.0.occurred_at", "is required"),
        ({}, "lead", "is required"),
    ],
)
def test_a_bad_field_is_named_with_what_was_expected_and_the_kind_that_came(
    body: dict[str, Any], field: str, expected: str
) -> None:
    (problem,) = refused(body).problems
    assert problem.field == field
    assert problem.message.startswith(field)
    assert expected in problem.message


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
@pytest.mark.parametrize("field", [b"account", b"custom"])
def test_numbers_that_are_not_finite_are_refused(literal: bytes, field: bytes) -> None:
    error = refused(b'{"lead": {"lead_id": "L", "' + field + b'": {"employees": ' + literal + b"}}}")
    assert error.problems[0].field == f"lead.{field.decode()}.employees"
    assert "not finite" in error.problems[0].message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"lead": {"lead_id": "L"}} {}',
        b'{"lead": {"lead_id": "\xff"}}',
        b'{"lead": {"lead_id": "\\ud800"}}',
        b"[" * 100_000,
        b'{"lead": {"lead_id": "L", "custom": {"a": ' + b"9" * 5_000 + b"}}}",
    ],
)
def test_what_is_no_json_is_refused_by_its_place(body: bytes) -> None:
    assert [problem.code for problem in refused(body).problems] == ["invalid_json"]


def test_a_value_is_never_repeated() -> None:
    body = lead(
        source={"a": PERSONAL},
        created_at=PERSONAL,
        contact={"email": [PERSONAL], "name": {"x": PERSONAL}},
        account={"employees": PERSONAL},
        custom={"c": [PERSONAL]},
    )
    problems = refused(body).problems
    assert len(problems) == 6
    assert PERSONAL not in str(problems)


def test_more_events_than_allowed_are_refused() -> None:
    event = {"type": "page_view", "occurred_at": "2026-11-20T00:00:00Z"}
    error = refused({**lead(), "events": [event] * (MOST_EVENTS + 1)})
    assert error.problems[0].field == "events"


def test_a_batch_item_is_judged_as_a_single_request_is(payload: dict[str, Any]) -> None:
    assert parse_item(payload, 0) == parse_request(json.dumps(payload).encode())
    for bad in ({"lead": {"lead_id": "L", "account": {"employees": True}}}, lead(source=1), {}, lead(created_at="x")):
        with pytest.raises(PayloadError) as caught:
            parse_item(bad, 3)
        single = refused(bad).problems
        assert [p.field for p in caught.value.problems] == [f"leads.3.{p.field}" for p in single]
        assert [p.message for p in caught.value.problems] == [f"leads.3.{p.message}" for p in single]


def test_a_batch_takes_no_more_than_200_leads() -> None:
    assert len(parse_batch(json.dumps({"leads": [{}] * 200}).encode())) == 200
    with pytest.raises(PayloadError, match="at most 200"):
        parse_batch(json.dumps({"leads": [{}] * 201}).encode())


def facts_of(body: dict[str, Any], as_of_us: int = AS_OF_US, **options: Any) -> Any:
    return to_facts(parse_request(json.dumps(body).encode()), as_of_us, **options)


def test_contact_data_leave_nothing_but_their_kind() -> None:
    contact = {"name": "Li Wei", "email": PERSONAL, "phone": "+86 138 0013 8000"}
    facts, _ = facts_of(lead(contact=contact, job_title="副总经理"))
    assert facts.lead["email_domain_kind"] == "corporate"
    assert facts.lead["contact_completeness"] == 1.0
    assert facts.lead["seniority"] == "vp"
    assert not any(part in str(facts) for part in ("Li Wei", "acme", "138"))


def test_texts_are_cleaned_as_the_import_cleans_them() -> None:
    facts, _ = facts_of(lead(source=" webinar\u3000", medium="  ", account={"industry": "\tsoftware "}))
    assert (facts.lead["source"], facts.lead["medium"]) == ("webinar", None)
    assert facts.account["industry"] == "software"


def test_custom_columns_follow_the_kinds_of_the_model() -> None:
    kinds = {"erp": "categorical", "seats": "numeric"}
    facts, notices = facts_of(lead(custom={"erp": 5.0, "seats": 7, "else": PERSONAL}), custom=kinds)
    assert (facts.lead["custom_erp"], facts.lead["custom_seats"]) == ("5", 7.0)
    assert [(n.code, n.field) for n in notices] == [("unknown_custom_field", "lead.custom.else")]
    with pytest.raises(PayloadError, match=r"lead\.custom\.seats: a number was expected, a text came"):
        facts_of(lead(custom={"seats": "seven"}), custom=kinds)


def event(us: int, **fields: Any) -> dict[str, Any]:
    moment = f"1970-01-01T00:00:00.{us:06d}+00:00"
    return {"source": "s", "type": "page_view", "occurred_at": moment, **fields}


def test_events_at_or_after_as_of_are_left_out_with_a_warning() -> None:
    body = {**lead(), "events": [event(9, id="a"), event(10, id="b"), event(11, id="c")]}
    facts, notices = facts_of(body, as_of_us=10)
    assert [e.event_id for e in facts.events] == ["a"]
    assert [n.code for n in notices] == ["events_after_as_of"] * 2


def test_events_not_known_by_as_of_are_left_out_with_a_warning() -> None:
    known = "1970-01-01T00:00:00.000011Z"
    facts, notices = facts_of({**lead(), "events": [event(1, id="a", known_at=known)]}, as_of_us=10)
    assert facts.events == []
    assert [n.code for n in notices] == ["events_not_known_yet"]


def test_exact_duplicates_count_once_with_or_without_an_id() -> None:
    body = {**lead(), "events": [event(1, id="a"), event(1, id="a"), event(2), event(2), event(3)]}
    facts, notices = facts_of(body, as_of_us=10)
    assert [e.occurred_us for e in facts.events] == [1, 2, 3]
    assert [n.code for n in notices] == ["duplicate_events"] * 2


def test_equal_ids_with_other_content_are_warned_about() -> None:
    _, notices = facts_of({**lead(), "events": [event(1, id="a"), event(2, id="a")]}, as_of_us=10)
    assert [n.code for n in notices] == ["conflicting_events"]


def test_absent_events_are_unknown_and_an_empty_list_is_none() -> None:
    assert facts_of({**lead(), "events": []})[0].events == []
    assert facts_of({**lead(), "events": None})[0].events is None
    assert facts_of(lead(account={"events": []}))[0].account_events == []
    assert facts_of(lead(account={}))[0].account_events is None


def test_account_events_of_the_lead_itself_are_not_the_accounts() -> None:
    events = [event(1, id="a", lead_id="L-1"), event(1, id="b", lead_id="L-2")]
    facts, notices = facts_of(lead(account={"events": events}), as_of_us=10)
    assert [e.lead_id for e in facts.account_events] == ["L-2"]
    assert [n.code for n in notices] == ["own_events_in_account"]


def test_events_of_a_persons_duplicate_lead_are_the_leads_own() -> None:
    facts, notices = facts_of({**lead(), "events": [event(1, lead_id="L-1"), event(1, lead_id="L-2")]}, as_of_us=10)
    assert (len(facts.events), notices) == (2, [])


def test_a_lead_created_after_as_of_is_refused() -> None:
    body = {**lead(created_at="2026-11-22T00:00:00Z"), "as_of": "2026-11-21T08:00:00Z"}
    with pytest.raises(PayloadError, match=r"lead\.created_at"):
        facts_of(body)


def test_a_fast_clock_is_forgiven_where_as_of_is_ours() -> None:
    body = lead(created_at="1970-01-02T00:00:01Z")
    facts, notices = facts_of(body, as_of_us=DAY_US)
    assert facts.created_us == DAY_US
    assert [n.code for n in notices] == ["clock_skew"]
    with pytest.raises(PayloadError, match=r"lead\.created_at"):
        facts_of(lead(created_at="1970-01-02T00:06:00Z"), as_of_us=DAY_US)
