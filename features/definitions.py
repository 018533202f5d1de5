"""What a feature is: values that say what it reads, how it is computed and how it is told to people."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.clock import DAY_US, MINUTE_US
from features.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "DECAY_UNIT",
    "LARGEST_MEASURE",
    "MOST_CHANNELS",
    "OLDEST_TOUCH_US",
    "SENIORITY_RANKS",
    "VISIT_GAP_US",
    "AccountAttribute",
    "Catalogue",
    "Compute",
    "Decayed",
    "DistinctCount",
    "EventCount",
    "Feature",
    "Filled",
    "LeadAge",
    "LeadAttribute",
    "MostSenior",
    "Need",
    "Recency",
    "SalesResponse",
    "Scope",
    "Total",
    "Touch",
    "Trend",
    "Visits",
    "decay_weights",
]

LARGEST_MEASURE = 1e12
VISIT_GAP_US = 30 * MINUTE_US
DECAY_UNIT = 1_000_000
# A touch is found by one whole number, its age times MOST_CHANNELS plus the number of its channel, within 63 bits:
# events of more than 30 years ago count as that old, and a column of more different values is no channel.
MOST_CHANNELS = 8192
OLDEST_TOUCH_US = 30 * 365 * DAY_US
SENIORITY_RANKS: Mapping[str, int] = MappingProxyType(
    {"junior": 1, "staff": 2, "manager": 3, "director": 4, "vp": 5, "c_level": 6}
)
Need = Literal["lead", "events", "account", "account_events", "actions"]
Scope = Literal["lead", "account"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LeadAttribute(_Value):
    """The last value of a column of `leads` known by `as_of`."""

    how: Literal["lead_attribute"] = "lead_attribute"
    column: str


class AccountAttribute(_Value):
    """The last value of a column of `accounts` known by `as_of`."""

    how: Literal["account_attribute"] = "account_attribute"
    column: str


class Filled(_Value):
    """1 if a text column of `leads` holds anything, else 0."""

    how: Literal["filled"] = "filled"
    column: str


class LeadAge(_Value):
    """`as_of - created_at` in days."""

    how: Literal["lead_age"] = "lead_age"


class EventCount(_Value):
    """Events of the types (all, if empty) in `[as_of - days, as_of)`; of the lead or of its account's other leads."""

    how: Literal["event_count"] = "event_count"
    types: tuple[str, ...] = ()
    days: int
    scope: Scope = "lead"


class DistinctCount(_Value):
    """Distinct values of a column of `events` in the window.

    `day` is the calendar day in the sealed time zone, `person_id` the person whose leads showed the event.
    """

    how: Literal["distinct_count"] = "distinct_count"
    column: Literal["content_id", "day", "lead_id", "person_id"]
    days: int
    scope: Scope = "lead"


class Recency(_Value):
    """Days since the last event of the types (all, if empty); missing when there was none."""

    how: Literal["recency"] = "recency"
    types: tuple[str, ...] = ()
    scope: Scope = "lead"


class Trend(_Value):
    """Events a day over the last 7 days less events a day over the last 30 days."""

    how: Literal["trend"] = "trend"
    types: tuple[str, ...] = ()


class Total(_Value):
    """Sum of a numeric column of `events` in the window, added as whole thousandths so that order cannot matter.

    What is no measurement (not a number, or `LARGEST_MEASURE` and more, where sums would leave 64 bits) is left out.
    """

    how: Literal["total"] = "total"
    column: Literal["duration_s", "value"]
    days: int


class Decayed(_Value):
    """Events of the types (all, if empty) in the window, each weighing half as much every `half_life_days`.

    The weights are whole millionths by whole days of age, so that order cannot matter.
    """

    how: Literal["decayed"] = "decayed"
    types: tuple[str, ...] = ()
    half_life_days: int = Field(ge=1)
    days: int = Field(ge=1)


class Visits(_Value):
    """Visits that began in the window: runs of events with at most 30 minutes of silence between one and the next."""

    how: Literal["visits"] = "visits"
    days: int


class Touch(_Value):
    """The channel of the first or the last event that names one; of equal times the channel first in the alphabet."""

    how: Literal["touch"] = "touch"
    which: Literal["first", "last"]


class MostSenior(_Value):
    """The highest rank (1 junior to 6 c_level) among the account's other people who were active in the window."""

    how: Literal["most_senior"] = "most_senior"
    days: int
    scope: Literal["account"] = "account"


class SalesResponse(_Value):
    """Hours from `created_at` to the first of these sales actions, or to `as_of` while there was none."""

    how: Literal["sales_response"] = "sales_response"
    types: tuple[str, ...] = Field(min_length=1)


@lru_cache(maxsize=64)
def decay_weights(half_life_days: int, days: int) -> tuple[int, ...]:
    """Return the weight of an event by its whole days of age, 0 to `days`, in millionths.

    Examples
    --------
    >>> decay_weights(1, 2)
    (1000000, 500000, 250000)
    """
    return tuple(round(DECAY_UNIT * 2.0 ** (-age / half_life_days)) for age in range(days + 1))


Compute = Annotated[
    LeadAttribute
    | AccountAttribute
    | Filled
    | LeadAge
    | EventCount
    | DistinctCount
    | Recency
    | Trend
    | Total
    | Decayed
    | Visits
    | Touch
    | MostSenior
    | SalesResponse,
    Field(discriminator="how"),
]


class Feature(_Value):
    """One definition.

    `label` names the feature ("white papers downloaded, last 30 days"), `phrase` tells a value of it (with `{n}`).
    `scale` is how a linear model should read it. `monotone` is 1 where more can only help, -1 where it can only hurt.
    A `treatment` is what the own company did (how fast sales called): it moves with the score that it would feed, so
    that a catalogue holds one only where it is asked for.
    """

    name: str
    group: str
    kind: Literal["numeric", "categorical"]
    needs: Need
    compute: Compute
    label: Words
    phrase: Words | None = None
    scale: Literal["linear", "log"] = "linear"
    monotone: Literal[-1, 0, 1] = 0
    treatment: bool = False


class Catalogue(_Value):
    """An ordered set of definitions with unique names, and the zone in which days are counted.

    Examples
    --------
    >>> age = Feature(name="lead_age_days", group="lead_age", kind="numeric", needs="lead", compute=LeadAge(),
    ...               label=Words(en="age of the lead in days", zh="线索存在天数"))
    >>> Catalogue(features=(age,)).names
    ('lead_age_days',)
    """

    features: tuple[Feature, ...]
    timezone: str = "UTC"

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        twice = sorted(name for name, times in Counter(self.names).items() if times > 1)
        if twice:
            raise ValueError(f"has two definitions of {', '.join(twice)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names in their order."""
        return tuple(feature.name for feature in self.features)

    def feature(self, name: str) -> Feature:
        """Return the definition of that name, or raise KeyError."""
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(name)

    def keep(self, names: Iterable[str]) -> Catalogue:
        """Return the catalogue of these features only, in catalogue order."""
        wanted = set(names)
        return self.model_copy(update={"features": tuple(f for f in self.features if f.name in wanted)})

    def needing(self, *needs: Need) -> Catalogue:
        """Return the catalogue of the features that need nothing but these."""
        return self.keep(f.name for f in self.features if f.needs in needs)

    def needs(self, need: Need) -> bool:
        """Say whether any feature needs this."""
        return any(feature.needs == need for feature in self.features)

    @property
    def longest_window_days(self) -> int:
        """The longest window of any feature, in days; events before it only matter to the days since the last one."""
        return max((getattr(feature.compute, "days", 30) for feature in self.features), default=30)

    @property
    def event_types(self) -> frozenset[str]:
        """The event types that have a feature of their own."""
        return frozenset(
            event_type
            for feature in self.features
            if isinstance(feature.compute, EventCount | Recency | Trend | Decayed)
            for event_type in feature.compute.types
        )
