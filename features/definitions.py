"""What a feature is: values that say what it reads, how it is computed and how it is told to people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "LARGEST_MEASURE",
    "AccountAttribute",
    "Catalogue",
    "Compute",
    "DistinctCount",
    "EventCount",
    "Feature",
    "Filled",
    "LeadAge",
    "LeadAttribute",
    "Need",
    "Recency",
    "Scope",
    "Total",
    "Trend",
]

LARGEST_MEASURE = 1e12
Need = Literal["lead", "events", "account", "account_events"]
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
    """Distinct values of a column of `events` in the window; `day` is the calendar day in the sealed time zone."""

    how: Literal["distinct_count"] = "distinct_count"
    column: Literal["content_id", "day", "lead_id"]
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


Compute = Annotated[
    LeadAttribute | AccountAttribute | Filled | LeadAge | EventCount | DistinctCount | Recency | Trend | Total,
    Field(discriminator="how"),
]


class Feature(_Value):
    """One definition.

    `label` names the feature ("white papers downloaded, last 30 days"), `phrase` tells a value of it (with `{n}`).
    `scale` is how a linear model should read it. `monotone` is 1 where more can only help, -1 where it can only hurt.
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
            if isinstance(feature.compute, EventCount | Recency | Trend)
            for event_type in feature.compute.types
        )
