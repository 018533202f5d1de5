"""The shape of what changed, for the description of the interface and for its tests."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.scoring.answers import Sources

__all__ = ["ChangesAnswer", "ComparedScore", "UntoldAnswer"]


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ComparedScore(_Out):
    """One of the two scores, as it was given."""

    score_id: int
    as_of: str
    given_at: str
    source: Sources
    bundle: str | None
    probability: float | None
    logit: float | None
    points: int | None
    grade: str | None
    pool: str | None


class ChangedGroup(_Out):
    """A group of features (of rules: a rule) and what it adds to a part."""

    group: str
    text: str = Field(description="What is so at the later moment, in the language of Accept-Language.")
    amount: float
    evidence: dict[str, float | str] = Field(description="Known values at the later moment.")
    before: dict[str, float | str | None] = Field(description="The same values before.")


class ChangedPart(_Out):
    """A cause. `amount` is the sum of its groups and the remainder."""

    part: Literal["new_activity", "time_passing", "corrected_data", "new_model", "data", "everything"]
    text: str
    amount: float
    facts: int = Field(description="How many facts are new, or were corrected or came late.")
    groups: list[ChangedGroup]
    remainder: float


class UntoldAnswer(_Out):
    """Why parts are told together."""

    code: Literal["bundle_gone", "facts_changed", "features_erased", "other_scale"]
    message: str


class ChangesAnswer(_Out):
    """What changed between two scores; the parts add up to the difference."""

    lead_id: str
    since: ComparedScore | None = Field(description="Null where the lead has one score only.")
    now: ComparedScore | None = Field(description="Null where the lead was never scored from what the store knows.")
    scale: Literal["logit", "points"] | None = Field(
        description="In what `difference` and amounts are told; null where the two scores cannot be compared."
    )
    difference: float | None = Field(description="Of the log-odds before they are bounded, or of the points.")
    parts: list[ChangedPart]
    untold: UntoldAnswer | None = Field(description="Null where every cause is told by itself.")
