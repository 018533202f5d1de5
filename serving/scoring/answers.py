"""The shapes of what the endpoint answers, as models: for the description of the interface and for its tests.

Answers are built as plain values, which is faster; the tests hold them against these models.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["BatchAnswer", "ErrorAnswer", "HandOverAnswer", "ItemAnswer", "ItemError", "ModelCard", "ScoreAnswer"]

Sources = Literal["model", "model_profile", "rules"]


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Reason(_Out):
    """A group of features and what it adds to the log-odds."""

    group: str
    text: str = Field(description="In the language of Accept-Language, en or zh.")
    direction: Literal["+", "-"]
    logit: float
    evidence: dict[str, float | str] = Field(description="At most three known values of the group.", max_length=3)


class Fired(_Out):
    """A rule that held."""

    rule: str
    points: int


class Rules(_Out):
    """What the scorecard says beside the model."""

    points: int
    pool: str
    assign_within_minutes: int | None
    fired: list[Fired]


class Warned(_Out):
    """Something that was left out or not understood; never a value."""

    code: str
    field: str | None
    message: str


class ModelId(_Out):
    """Which model answered."""

    name: str | None
    version: str | None
    bundle: str = Field(description="SHA-256 of the sealed content.")
    cutoff: str | None


class HandOverAnswer(_Out):
    """What rules and model together imply for the lead, or what the lot says of a lead that is held out."""

    pool: str
    priority: int = Field(ge=1, description="1 comes first.")
    respond_within_minutes: int | None = Field(description="Null where nobody need hurry.")
    by: str | None = Field(description="`as_of` and the minutes.")
    because: Literal["both_high", "both_low", "model_higher", "rules_higher", "rules_only", "holdout"]
    note: str = Field(description="In the language of Accept-Language, en or zh.")
    holdout: bool = Field(description="Whether pool and priority were drawn by lot, so that the next model can learn.")


class ScoreAnswer(_Out):
    """`base_logit + sum of reasons + remainder_logit = logit(probability)`; with source `rules` they are all null."""

    lead_id: str
    as_of: str
    horizon_days: float | None
    source: Sources
    probability: float | None = Field(ge=0, le=1)
    interval: list[float] | None = Field(
        min_length=2,
        max_length=2,
        description="Low and high end of the 90 % range for the win rate of leads scored like this, in the months to "
        "come; the probability lies in it. Null where there was too little history to learn it.",
    )
    score: int | None = Field(ge=1, le=100)
    grade: str | None
    base_logit: float | None
    remainder_logit: float | None
    reasons: list[Reason] | None = Field(max_length=10)
    rules: Rules
    agreement: Literal["both_high", "both_low", "model_higher", "rules_higher"] | None = Field(
        description="High is one of the two best grades of the model or pools of the rules."
    )
    handover: HandOverAnswer
    warnings: list[Warned]
    model: ModelId | None


class Detail(_Out):
    """One of several problems."""

    code: str
    message: str
    field: str


class ErrorBody(_Out):
    """What is wrong, and where."""

    code: str
    message: str = Field(description="The field, what was expected and the kind of what came; never the value.")
    field: str | None
    request_id: str
    details: list[Detail] | None = Field(None, description="All problems, where there are several.")


class ErrorAnswer(_Out):
    """The one shape of all errors."""

    error: ErrorBody


class ItemAnswer(ScoreAnswer):
    """A lead of a batch that was scored."""

    status: Literal["ok"]


class ItemError(ErrorAnswer):
    """A lead of a batch that could not be scored."""

    status: Literal["error"]


class BatchAnswer(_Out):
    """The answers in the order of the request."""

    results: list[ItemAnswer | ItemError]


class GradeCard(_Out):
    """A grade and what the judged leads in it really did; the interval is 95 %."""

    grade: str
    at_least: float
    judged: int
    won: int
    conversion: float | None
    low: float | None
    high: float | None


class FeatureCard(_Out):
    """A feature in words."""

    feature: str
    label: str


class GroupCard(_Out):
    """A group of features, as reasons name it."""

    group: str
    features: list[FeatureCard]


class ModelCard(_Out):
    """What answers at the moment."""

    source: Literal["model", "rules"]
    pointer: Literal["current", "last_good"] | None
    refused: list[str] = Field(description="Why other bundles do not answer.")
    model: ModelId | None
    horizon_days: float | None
    goal: str | None
    grades: list[GradeCard]
    groups: list[GroupCard]
    scorecard: str
