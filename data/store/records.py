"""What may be written into the store: one frozen record a fact, normalised as the import normalises.

Texts lose surrounding white space and are None where nothing is left. Moments are whole microseconds UTC. What a
database could not hold (a NUL in a text, half a surrogate pair, NaN) is refused here, on SQLite as on PostgreSQL.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from data.derive import BLANK_CHARACTERS
from data.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AccountRecord",
    "ActionRecord",
    "ContactRecord",
    "CustomValue",
    "EventRecord",
    "LeadRecord",
    "MergeRecord",
    "OutcomeRecord",
    "Record",
    "StageRecord",
    "Verdict",
    "is_storable",
    "record_of",
]

Verdict = Literal["new", "older", "unchanged", "duplicate", "conflict", "future"]
"""What became of a record.

`new` is in force now, `older` entered the history behind what is in force. `unchanged` (of a state) and `duplicate` (of
an event or action) say what was known already. `conflict` says something else under a key that is taken, and `future`
claims to be from after the clock: neither was written.
"""

_LARGEST_WHOLE = 2**63 - 1


def is_storable(text: str) -> bool:
    """Tell whether both databases could hold a text: no NUL, no half of a surrogate pair.

    Examples
    --------
    >>> is_storable("线索"), is_storable(chr(0)), is_storable(chr(0xD800))
    (True, False, False)
    """
    try:
        return "\x00" not in text and bool(text.encode() or True)
    except UnicodeEncodeError:
        return False


def _sound(value: object) -> object:
    """Return a text as the import stores it; leave judging what is no text to the field's type."""
    if not isinstance(value, str):
        return value
    if not is_storable(value):
        raise ValueError("a text without NUL and half surrogate pairs was expected")
    return value.strip(BLANK_CHARACTERS) or None


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number was expected")
    return _sound(value)


Text = Annotated[str | None, BeforeValidator(_sound)]
Name = Annotated[str, BeforeValidator(_sound)]
Number = Annotated[float | None, Field(allow_inf_nan=False)]
Moment = Annotated[int, Field(ge=-_LARGEST_WHOLE, le=_LARGEST_WHOLE)]
CustomValue = Annotated[bool | float | str | None, BeforeValidator(_finite)]


class Record(BaseModel):
    """What all records are: frozen, strict, without unknown fields, and silent about the values they refuse."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class ContactRecord(Record):
    """Personal data; they go into the table `contacts` and nowhere else."""

    name: Text = None
    email: Text = None
    phone: Text = None


class LeadRecord(Record):
    """A lead as it stands at one moment, whole: what is left out is not known.

    Without a `person_id` of your own it is derived from the contact data, as are the kind of e-mail domain and the
    completeness. Columns of your own go in `custom`.
    """

    lead_id: Name
    created_at: Moment
    account_id: Text = None
    person_id: Text = None
    source: Text = None
    medium: Text = None
    campaign: Text = None
    keyword: Text = None
    landing_page: Text = None
    job_title: Text = None
    country: Text = None
    owner_id: Text = None
    status: Text = None
    contact: ContactRecord | None = None
    custom: dict[Name, CustomValue] = Field(default_factory=dict)


class AccountRecord(Record):
    """A company as it stands at one moment, whole."""

    account_id: Name
    name: Text = None
    industry: Text = None
    employees: Number = None
    annual_revenue: Number = None
    currency: Text = None
    country: Text = None
    region: Text = None
    founded_year: Annotated[int, Field(ge=0, le=10_000)] | None = None
    website: Text = None


class _Dated(Record):
    """A fact with its own clock; without `known_at` it became known when the store took it."""

    known_at: Moment | None = None


class EventRecord(_Dated):
    """Something a lead did; `(source, event_id)` tells events apart. The lead may become known later."""

    source: Name
    event_id: Name
    lead_id: Name
    type: Name
    occurred_at: Moment
    content_id: Text = None
    campaign: Text = None
    keyword: Text = None
    channel: Text = None
    duration_s: Number = None
    value: Number = None


class ActionRecord(_Dated):
    """Something sales did with a lead: assigned, accepted, rejected, called, recycled."""

    action_id: Name
    lead_id: Name
    type: Name
    occurred_at: Moment
    actor_id: Text = None
    reason: Text = None


class StageRecord(_Dated):
    """A stage that a lead reached."""

    lead_id: Name
    stage: Name
    occurred_at: Moment
    actor_id: Text = None
    reason: Text = None


class MergeRecord(_Dated):
    """A lead that went up in another one."""

    lead_id: Name
    occurred_at: Moment
    into_lead_id: Name


class OutcomeRecord(_Dated):
    """How a lead ended, as believed from `known_at` on; `open` takes back what was said before."""

    lead_id: Name
    outcome: Literal["won", "lost", "open"]
    closed_at: Moment
    amount: Number = None
    currency: Text = None
    reason: Text = None


R = TypeVar("R", bound=Record)


def record_of(kind: type[R], fields: Mapping[str, Any]) -> R:
    """Return the checked record.

    Raises
    ------
    DataError
        If a field is missing, unknown or of the wrong kind; its name is told, never its value.

    Examples
    --------
    >>> record_of(AccountRecord, {"account_id": "A-1", "industry": " software "}).industry
    'software'
    >>> record_of(AccountRecord, {"account_id": " "})
    Traceback (most recent call last):
    data.errors.DataError: AccountRecord.account_id: Input should be a valid string; correct the field and send it again
    """
    try:
        return kind.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join([kind.__name__, *map(str, first["loc"])])
        message = first["msg"].removeprefix("Value error, ")
        raise DataError(f"{field}: {message}", hint="correct the field and send it again") from None
