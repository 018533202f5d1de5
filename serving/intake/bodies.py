"""What may be sent to be kept, checked field by field, and the record of the store that becomes of it.

Events have the shape of CloudEvents 1.0 in JSON (https://github.com/cloudevents/spec): `subject` names the lead, `time`
is when it happened. Extension attributes are allowed, as the specification wants it, and not kept.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from data.derive import BLANK_CHARACTERS
from data.store.records import (
    AccountRecord,
    ActionRecord,
    ContactRecord,
    EventRecord,
    LeadRecord,
    MergeRecord,
    OutcomeRecord,
    StageRecord,
    is_storable,
)
from serving.scoring import payload
from serving.scoring.payload import MOST_CUSTOM, Amount, Incoming, Moment, Quantity, wrong

__all__ = [
    "AboutLead",
    "AccountPut",
    "ActionPost",
    "ContactPut",
    "Dated",
    "EventData",
    "EventPost",
    "LeadPut",
    "MergePost",
    "OutcomePost",
    "StagePost",
]

_EXTENSION = re.compile(r"[a-z0-9]{1,40}")


def _storable(text: str) -> str:
    if not is_storable(text):
        raise wrong("a text without NUL characters", "one with a NUL")
    return text


def _named(text: str) -> str:
    if not text.strip(BLANK_CHARACTERS):
        raise wrong("a text that is not blank", "a blank one")
    return _storable(text)


def _scalar(value: payload.Scalar) -> payload.Scalar:
    return _storable(value) if isinstance(value, str) else value


Text = Annotated[payload.Text, AfterValidator(_storable)]
Name = Annotated[payload.Name, AfterValidator(_named)]
CustomName = Annotated[payload.CustomName, AfterValidator(_named)]
Scalar = Annotated[payload.Scalar, AfterValidator(_scalar)]

_KNOWN = "When your systems knew it; the moment of arrival if absent."
_KEY = "Tells it apart from others; sent again with the same content it changes nothing."


class Dated(Incoming):
    """A body with moments, none of which may lie ahead of our clock."""

    @property
    def moments(self) -> dict[str, int]:
        """The moments that were told, by field."""
        names = ("created_at", "modified_at", "time", "occurred_at", "closed_at", "known_at")
        return {name: us for name in names if (us := getattr(self, name, None)) is not None}


class ContactPut(Incoming):
    """Personal data: kept in a table of their own, which no feature, log or message reads."""

    name: Text | None = None
    email: Text | None = None
    phone: Text | None = None


class LeadPut(Dated):
    """A lead as it stands since `modified_at`, whole: what is left out is not known."""

    created_at: Moment
    modified_at: Moment | None = Field(None, description="When your CRM last changed it; now if absent.")
    account_id: Text | None = None
    person_id: Text | None = Field(None, description="Derived from the contact if absent.")
    source: Text | None = None
    medium: Text | None = None
    campaign: Text | None = None
    keyword: Text | None = None
    landing_page: Text | None = None
    job_title: Text | None = None
    country: Text | None = None
    owner_id: Text | None = None
    status: Text | None = None
    contact: ContactPut | None = None
    custom: Annotated[dict[CustomName, Scalar], Field(max_length=MOST_CUSTOM)] | None = None

    def record(self, lead_id: str) -> LeadRecord:
        """Return the record of the store."""
        told = {name: getattr(self, name) for name in LeadRecord.model_fields if name in LeadPut.model_fields}
        contact = None if self.contact is None else ContactRecord(**self.contact.model_dump())
        return LeadRecord(**{**told, "lead_id": lead_id, "contact": contact, "custom": self.custom or {}})


class AccountPut(Dated):
    """A company as it stands since `modified_at`, whole."""

    modified_at: Moment | None = Field(None, description="When your CRM last changed it; now if absent.")
    name: Text | None = None
    industry: Text | None = None
    employees: Quantity | None = None
    annual_revenue: Quantity | None = None
    currency: Text | None = None
    country: Text | None = None
    region: Text | None = None
    founded_year: Annotated[int, Field(ge=0, le=10_000)] | None = None
    website: Text | None = None

    def record(self, account_id: str) -> AccountRecord:
        """Return the record of the store."""
        return AccountRecord(account_id=account_id, **self.model_dump(exclude={"modified_at"}))


class EventData(Incoming):
    """What the event was about."""

    content_id: Text | None = None
    campaign: Text | None = None
    keyword: Text | None = None
    channel: Text | None = None
    duration_s: Quantity | None = None
    value: Amount | None = None
    known_at: Moment | None = Field(None, description=_KNOWN)


class EventPost(Dated):
    """Something a lead did, as a CloudEvent. The lead itself may come later."""

    model_config = ConfigDict(json_schema_extra={"patternProperties": {f"^{_EXTENSION.pattern}$": {}}})

    specversion: Literal["1.0"]
    id: Name = Field(description="With `source` it tells the event apart from others.")
    source: Name
    type: Name
    time: Moment
    subject: Name = Field(description="The id of the lead.")
    datacontenttype: Literal["application/json"] | None = None
    dataschema: Text | None = None
    data: EventData | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_extensions(cls, told: Any) -> Any:  # noqa: ANN401 - whatever came
        if not isinstance(told, dict):
            return told
        known = cls.model_fields
        return {name: value for name, value in told.items() if name in known or not _EXTENSION.fullmatch(name)}

    @property
    def lead_ids(self) -> tuple[str, ...]:
        """Whose it is."""
        return (self.subject,)

    @property
    def moments(self) -> dict[str, int]:
        """The moments that were told, by field."""
        known_us = None if self.data is None else self.data.known_at
        return {"time": self.time, **({} if known_us is None else {"data.known_at": known_us})}

    def record(self) -> EventRecord:
        """Return the record of the store."""
        about = self.data.model_dump() if self.data else {}
        return EventRecord(
            source=self.source,
            event_id=self.id,
            lead_id=self.subject,
            type=self.type,
            occurred_at=self.time,
            **about,
        )


class AboutLead(Dated):
    """Something about a lead."""

    lead_id: Name

    @property
    def lead_ids(self) -> tuple[str, ...]:
        """Whose it is."""
        return (self.lead_id,)


class ActionPost(AboutLead):
    """Something that sales did: assigned, accepted, rejected (with a reason), called, recycled and others."""

    id: Name = Field(description=_KEY)
    type: Name
    occurred_at: Moment
    known_at: Moment | None = Field(None, description=_KNOWN)
    actor_id: Text | None = None
    reason: Text | None = Field(None, description="Required where the type is `rejected`.", validate_default=True)

    @field_validator("reason")
    @classmethod
    def _says_why(cls, reason: str | None, told: ValidationInfo) -> str | None:
        rejected = str(told.data.get("type", "")).strip(BLANK_CHARACTERS) == "rejected"
        if rejected and not (reason or "").strip(BLANK_CHARACTERS):
            raise wrong("a reason, as the type is rejected,", "none")
        return reason

    def record(self) -> ActionRecord:
        """Return the record of the store."""
        return ActionRecord(action_id=self.id, **self.model_dump(exclude={"id"}))


class OutcomePost(AboutLead):
    """How a lead ended, as believed from `known_at` on; `open` takes back what was said before."""

    outcome: Literal["won", "lost", "open"]
    closed_at: Moment
    known_at: Moment | None = Field(None, description=_KNOWN)
    amount: Amount | None = None
    currency: Text | None = None
    reason: Text | None = None

    def record(self) -> OutcomeRecord:
        """Return the record of the store."""
        return OutcomeRecord(**self.model_dump())


class StagePost(AboutLead):
    """A stage that a lead reached, such as mql, sql, opportunity."""

    stage: Name
    occurred_at: Moment
    known_at: Moment | None = Field(None, description=_KNOWN)
    actor_id: Text | None = None
    reason: Text | None = None

    def record(self) -> StageRecord:
        """Return the record of the store."""
        return StageRecord(**self.model_dump())


class MergePost(AboutLead):
    """A lead that went up in another one."""

    into_lead_id: Name
    occurred_at: Moment
    known_at: Moment | None = Field(None, description=_KNOWN)

    @property
    def lead_ids(self) -> tuple[str, ...]:
        """Whose it is: both have to be seen."""
        return (self.lead_id, self.into_lead_id)

    def record(self) -> MergeRecord:
        """Return the record of the store."""
        return MergeRecord(**self.model_dump())
