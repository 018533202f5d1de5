"""The shapes of what the paths of intake answer, for the description of the interface and for its tests."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.scoring.answers import ItemError

__all__ = ["Result", "Taken", "TakenItem", "TakenMany"]

Result = Literal["new", "older", "unchanged", "duplicate"]


class Taken(BaseModel):
    """What became of what was sent; it is on disk."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    result: Result = Field(
        description="`new`: in force now. `older`: in the history, behind what is in force. `unchanged`, `duplicate`: "
        "known already, nothing was written."
    )


class TakenItem(Taken):
    """An item of a list that was taken in."""

    status: Literal["ok"]


class TakenMany(BaseModel):
    """One result for each item, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    results: list[TakenItem | ItemError]
