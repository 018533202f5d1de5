"""The baselines as configuration: what is meant, how it is measured, who answers for it, and where green begins."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.words import Words
from monitoring.baselines.figures import read_model
from monitoring.baselines.measures import MEASURES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENTERED", "PILLARS", "Baseline", "Baselines", "Pillar", "load_baselines"]

Pillar = Literal["market_insight", "content", "campaigns", "lead_management", "results"]
PILLARS: Mapping[Pillar, Words] = {
    "market_insight": Words(en="Market insight", zh="市场洞察"),
    "content": Words(en="Content", zh="内容"),
    "campaigns": Words(en="Campaigns", zh="活动"),
    "lead_management": Words(en="Lead management", zh="线索管理"),
    "results": Words(en="Results", zh="结果"),
}
ENTERED = "entered"
_DEFAULT = Path(__file__).with_name("default.yaml")


class Baseline(BaseModel):
    """One baseline: a named measure, or a figure that somebody enters; exactly one of `at_least` and `at_most`.

    `tolerance` is the share of the threshold by which a number without an interval may miss it and still be amber;
    `valid_days` says how long an entered figure holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    pillar: Pillar
    words: Words
    definition: Words
    measure: str
    owner: str = Field(min_length=1)
    at_least: float | None = Field(None, allow_inf_nan=False)
    at_most: float | None = Field(None, allow_inf_nan=False)
    tolerance: float = Field(0.1, ge=0, le=1)
    valid_days: float = Field(100.0, gt=0)

    @model_validator(mode="after")
    def _is_whole(self) -> Baseline:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("exactly one of at_least and at_most was expected")
        if self.measure != ENTERED and self.measure not in MEASURES:
            raise ValueError(f"measure {self.measure!r} is unknown; there are {ENTERED}, {', '.join(MEASURES)}")
        return self

    @property
    def threshold(self) -> float:
        """Where green begins."""
        return self.at_least if self.at_least is not None else float(self.at_most or 0.0)

    def meets(self, value: float) -> bool:
        """Tell whether a value is on the green side.

        Examples
        --------
        >>> load_baselines().baseline("roi").meets(3.0), load_baselines().baseline("keyword_rank").meets(11)
        (True, False)
        """
        return value >= self.threshold if self.at_least is not None else value <= self.threshold

    def nearly(self, value: float) -> bool:
        """Tell whether a value misses the threshold by no more than the tolerance."""
        slack = self.tolerance * abs(self.threshold)
        return value >= self.threshold - slack if self.at_least is not None else value <= self.threshold + slack

    def as_dict(self) -> dict[str, Any]:
        """Return the definition for JSON."""
        return self.model_dump(mode="json")


class Baselines(BaseModel):
    """All baselines of a team."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    baselines: tuple[Baseline, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Baselines:
        twice = [name for name, count in Counter(one.name for one in self.baselines).items() if count > 1]
        if twice:
            raise ValueError(f"the name {twice[0]} stands twice")
        return self

    def baseline(self, name: str) -> Baseline:
        """Return the baseline of that name, or raise KeyError."""
        for one in self.baselines:
            if one.name == name:
                return one
        raise KeyError(name)


def load_baselines(path: Path | None = None) -> Baselines:
    """Read the baselines from a file, by default those that come with clew.

    Raises
    ------
    UsageError
        If there is no such file, it is no YAML, or a key, value or measure is unknown.

    Examples
    --------
    >>> load_baselines().baseline("handed_over_24h").at_least
    0.98
    """
    return read_model(path or _DEFAULT, Baselines)
