"""From where on a figure is green, and how long a good lead may rest: `quality.yaml` in the home folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from monitoring.baselines.figures import read_model

if TYPE_CHECKING:
    from pathlib import Path

    from monitoring.cards.card import Light
    from monitoring.quality.fullness import Share

__all__ = ["Limits", "light_of", "light_of_share", "load_limits"]


class Limits(BaseModel):
    """Thresholds of the report.

    `complete`: mean share of the fields filled in new leads, at least. `reachable`: share of the people with open leads
    who can be reached, at least. `duplicates`: share of them that look like somebody else's double, at most.
    `explained`: share of the losses with a reason, at least. `still_days`: how long a lead of the best band may rest;
    None asks the leads that were won. `fall_grades`: by how many bands a fall is sharp.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    complete: float = Field(0.85, ge=0, le=1)
    reachable: float = Field(0.95, ge=0, le=1)
    duplicates: float = Field(0.05, ge=0, le=1)
    explained: float = Field(0.9, ge=0, le=1)
    still_days: float | None = Field(None, gt=0)
    fall_grades: int = Field(2, ge=1)


def load_limits(path: Path) -> Limits:
    """Read `quality.yaml`; without a file the defaults hold.

    Raises
    ------
    UsageError
        If it is no YAML, or a key or value is not part of it.
    """
    return read_model(path, Limits) if path.is_file() else Limits()


def light_of(low: float, high: float, *, at_least: float) -> Light:
    """Return green where the whole interval keeps the threshold, red where none of it does, amber in between.

    Examples
    --------
    >>> [light_of(low, high, at_least=0.9) for low, high in ((0.91, 0.95), (0.85, 0.95), (0.8, 0.89))]
    ['green', 'amber', 'red']
    """
    if low >= at_least:
        return "green"
    return "red" if high < at_least else "amber"


def light_of_share(share: Share, *, at_least: float | None = None, at_most: float | None = None) -> Light:
    """Return the light of a share by its 95 % interval; `none` where there is nobody to speak of.

    Examples
    --------
    >>> from monitoring.quality.fullness import Share
    >>> light_of_share(Share(990, 1000), at_least=0.95), light_of_share(Share(60, 1000), at_most=0.03)
    ('green', 'red')
    >>> light_of_share(Share(0, 0), at_least=0.95)
    'none'
    """
    if not share.of:
        return "none"
    low, high = share.interval
    if at_least is not None:
        return light_of(low, high, at_least=at_least)
    return light_of(1 - high, 1 - low, at_least=1 - (at_most or 0.0))
