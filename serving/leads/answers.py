"""The shape of a lead's history, for the description of the interface and for its tests."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.scoring.answers import Reason

__all__ = ["GivenAnswer", "HistoryAnswer"]


class GivenAnswer(BaseModel):
    """A score that was given; with its bundle and features it can be had again to the digit."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    score_id: int
    given_at: str
    as_of: str
    bundle: str | None = Field(description="Null where the rules answered.")
    source: Literal["model", "model_profile", "rules"]
    cause: Literal["request", "payload", "change", "batch", "model"] = Field(
        description="Somebody asked, a request brought the facts along, a fact changed, the nightly list, a new model."
    )
    probability: float | None
    logit: float | None
    grade: str | None
    pool: str | None
    features: dict[str, float | str | None] = Field(description="What the model saw; empty once a person is forgotten.")
    reasons: list[Reason] = Field(description="In English.")
    rules: dict[str, Any]


class HistoryAnswer(BaseModel):
    """Scores that a lead was given, the newest first."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    lead_id: str
    scores: list[GivenAnswer]
    before: int | None = Field(description="Ask with `before` set to it for the next page; null on the last one.")
