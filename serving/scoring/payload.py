"""What the CRM may send to `POST /v1/score`, checked while it is parsed: unknown keys and wrong kinds are refused."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from data.clock import to_us
from features.memory import EventFact
from serving.http.problems import PayloadError, Problem, kind_of, problems_of
from serving.scoring.events import FIRST_US, LARGEST_NUMBER, LAST_US, LONGEST_TEXT, event_fact, quick_events

__all__ = [
    "LARGEST_NUMBER",
    "LONGEST_TEXT",
    "MOST_ACCOUNT_EVENTS",
    "MOST_EVENTS",
    "MOST_LEADS",
    "AccountEventIn",
    "AccountIn",
    "ActionIn",
    "Amount",
    "BatchRequest",
    "ContactIn",
    "CustomName",
    "EventIn",
    "Incoming",
    "LeadIn",
    "Moment",
    "Name",
    "Quantity",
    "Scalar",
    "ScoreRequest",
    "Text",
    "parse_batch",
    "parse_item",
    "parse_request",
    "wrong",
]

MOST_EVENTS = 2_000
MOST_ACCOUNT_EVENTS = 5_000
MOST_LEADS = 200
MOST_CUSTOM = 500

_EXAMPLE_TIME = "2026-11-21T08:00:00Z"


def wrong(expected: str, came: str) -> PydanticCustomError:
    """Return the error of a field, in words that never hold the value."""
    return PydanticCustomError("clew", "{expected} was expected, {came} came", {"expected": expected, "came": came})


def _moment(value: object) -> int:
    """Return microseconds UTC of a time with an offset."""
    if not isinstance(value, str) or len(value) > 64:
        raise wrong(f"a time such as {_EXAMPLE_TIME}", kind_of(value))
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise wrong(f"a time such as {_EXAMPLE_TIME}", "a text that is no time") from None
    if moment.tzinfo is None:
        raise wrong(f"a time with an offset such as {_EXAMPLE_TIME}", "a time without one")
    us = to_us(moment)
    if not FIRST_US <= us < LAST_US:
        raise wrong("a time between the years 1900 and 2200", "another one")
    return us


def _scalar(value: object) -> float | str | bool | None:
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise wrong(f"a text of at most {LONGEST_TEXT} characters", f"one of {len(value)}")
        return value
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise wrong("a number, a text, true, false or null", kind_of(value))
    if abs(value) > LARGEST_NUMBER:
        raise wrong(f"a number of at most {LARGEST_NUMBER:g} in size", "a larger one")
    return value


Moment = Annotated[
    int,
    PlainValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": [_EXAMPLE_TIME]}),
]
Scalar = Annotated[
    float | str | bool | None,
    PlainValidator(_scalar),
    WithJsonSchema({"type": ["number", "string", "boolean", "null"], "maxLength": LONGEST_TEXT}),
]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Name = Annotated[str, Field(max_length=LONGEST_TEXT, pattern=r"\S")]
Amount = Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
Quantity = Annotated[float, Field(ge=0, le=LARGEST_NUMBER)]
CustomName = Annotated[str, Field(max_length=100, pattern=r"\S")]


class Incoming(BaseModel):
    """What all bodies are: frozen, strict, without unknown fields, and silent about the values they refuse."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class EventIn(Incoming):
    """Something the lead did. Events with the same `source` and `id` are one event.

    Without an `id` the whole content identifies the event.
    """

    source: Text = ""
    id: Text | None = None
    type: Name
    occurred_at: Moment
    known_at: Moment | None = Field(None, description="When your systems knew it; `occurred_at` if absent.")
    content_id: Text | None = None
    campaign: Text | None = None
    keyword: Text | None = None
    channel: Text | None = None
    duration_s: Quantity | None = None
    value: Amount | None = None
    lead_id: Text | None = Field(None, description="Whose event it is; a person's duplicate leads are one lead.")


class AccountEventIn(EventIn):
    """Something another lead of the account did.

    `person_id` tells its people apart, `lead_id` where it is absent; `job_title` is read for the seniority it states.
    """

    person_id: Text | None = Field(None, description="Who did it; `lead_id` if absent.")
    job_title: Text | None = None


def _own_events(values: object, check: ValidatorFunctionWrapHandler) -> list[EventFact]:
    found = quick_events(values, most=MOST_EVENTS, of_account=False)
    return [event_fact(event, of_account=False) for event in check(values)] if found is None else found


def _account_events(values: object, check: ValidatorFunctionWrapHandler) -> list[EventFact]:
    found = quick_events(values, most=MOST_ACCOUNT_EVENTS, of_account=True)
    return [event_fact(event, of_account=True) for event in check(values)] if found is None else found


if TYPE_CHECKING:
    Events = list[EventFact]
    AccountEvents = list[EventFact]
else:
    # The contract is that of the models; what becomes of them are facts.
    Events = Annotated[list[EventIn], Field(max_length=MOST_EVENTS), WrapValidator(_own_events)]
    AccountEvents = Annotated[
        list[AccountEventIn], Field(max_length=MOST_ACCOUNT_EVENTS), WrapValidator(_account_events)
    ]


class ActionIn(Incoming):
    """Something that sales did with the lead: called, emailed, messaged, met and others."""

    type: Name
    occurred_at: Moment
    known_at: Moment | None = Field(None, description="When your systems knew it; `occurred_at` if absent.")


class AccountIn(Incoming):
    """The company, and what its other leads did."""

    industry: Text | None = None
    country: Text | None = None
    region: Text | None = None
    employees: Quantity | None = None
    annual_revenue: Quantity | None = None
    founded_year: Quantity | None = None
    events: AccountEvents | None = Field(None, description="Absent means unknown, an empty list means none.")


class ContactIn(Incoming):
    """Personal data: read for the kind of e-mail domain and the completeness, then dropped; never stored or logged."""

    name: Text | None = None
    email: Text | None = None
    phone: Text | None = None


class LeadIn(Incoming):
    """The lead; only `lead_id` is required. Columns of your own go in `custom`."""

    lead_id: Name
    created_at: Moment | None = None
    source: Text | None = None
    medium: Text | None = None
    campaign: Text | None = None
    keyword: Text | None = None
    landing_page: Text | None = None
    job_title: Text | None = Field(None, description="Read for the seniority it states.")
    country: Text | None = None
    account: AccountIn | None = None
    contact: ContactIn | None = None
    custom: Annotated[dict[CustomName, Scalar], Field(max_length=MOST_CUSTOM)] | None = None


class ScoreRequest(Incoming):
    """One lead at one moment."""

    lead: LeadIn
    events: Events | None = Field(None, description="Absent means unknown, an empty list means none.")
    actions: Annotated[list[ActionIn], Field(max_length=MOST_EVENTS)] | None = Field(
        None, description="Absent means unknown, an empty list means none; read only by models that ask for it."
    )
    as_of: Moment | None = Field(None, description="The moment of the prediction; now if absent.")


class BatchRequest(Incoming):
    """Up to 200 leads; each is checked on its own, so that one bad lead does not lose the others."""

    leads: Annotated[list[Any], Field(max_length=MOST_LEADS)]


def parse_request(body: bytes) -> ScoreRequest:
    """Return the checked request of one lead.

    Raises
    ------
    PayloadError
        If the body is no JSON or breaks the contract; every problem names its field.

    Examples
    --------
    >>> parse_request(b'{"lead": {"lead_id": "L-1"}}').lead.lead_id
    'L-1'
    >>> parse_request(b'{"lead": {"lead_id": "L-1", "created_at": "2026-11-02T09:00:00"}}')
    Traceback (most recent call last):
    serving.http.problems.PayloadError: lead.created_at: a time with an offset such as 2026-11-21T08:00:00Z was \
expected, a time without one came
    """
    try:
        return ScoreRequest.model_validate_json(body)
    except ValidationError as error:
        raise PayloadError(problems_of(error)) from None


def parse_batch(body: bytes) -> list[Any]:
    """Return the unchecked leads of a batch; `parse_item` checks each.

    Raises
    ------
    PayloadError
        If the body is no JSON, is no batch or holds more than 200 leads.
    """
    try:
        return BatchRequest.model_validate_json(body).leads
    except ValidationError as error:
        raise PayloadError(problems_of(error)) from None


def parse_item(item: object, position: int) -> ScoreRequest:
    """Return one checked lead of a batch; problems name its place, such as `leads.3.lead.lead_id`.

    Raises
    ------
    PayloadError
        If the lead breaks the contract.
    """
    if not isinstance(item, dict):
        problem = Problem("invalid_field", f"the body: an object was expected, {kind_of(item)} came")
        raise PayloadError([problem]).below(f"leads.{position}")
    try:
        return ScoreRequest.model_validate(item)
    except ValidationError as error:
        raise PayloadError(problems_of(error)).below(f"leads.{position}") from None
