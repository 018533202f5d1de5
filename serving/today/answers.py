"""The shape of the list of whom to call, for the description of the interface and for its tests."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.scoring.answers import HandOverAnswer, Reason

__all__ = ["CallAnswer", "TodayAnswer"]


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CallAnswer(_Out):
    """A lead to call, as it was scored last."""

    rank: int = Field(ge=1)
    lead_id: str
    score_id: int
    as_of: str
    owner_id: str | None
    probability: float | None
    grade: str | None
    points: int
    pool: str | None
    handover: HandOverAnswer | None = Field(description="Null for a score that was given before there were decisions.")
    reasons: list[Reason] = Field(max_length=3, description="The strongest ones; empty where the rules answered.")


class TodayAnswer(_Out):
    """The leads worth calling, the first first, and what to expect of them within the horizon."""

    as_of: str
    capacity: int
    open_leads: int = Field(description="Open leads chosen from, one a person; an end counts once it is taken in.")
    horizon_days: float | None
    threshold: float | None = Field(description="The smallest probability that was enough; leads drawn by lot aside.")
    expected_wins: float | None = Field(description="The sum of the probabilities; null where no model answered.")
    range: list[int] | None = Field(
        min_length=2, max_length=2, description="Nine of ten months win at least and at most as many."
    )
    range_basis: Literal["learnt", "assumed"] | None = Field(
        description="Whether how far whole months stray was learnt from this team's history, or is what is usual."
    )
    expected_wins_by_rules: float | None = Field(
        description="What as many leads in the order of the rules' points would be expected to win."
    )
    leads: list[CallAnswer] = Field(max_length=500)
