"""How things stand, as one look leaves it behind: the figures that a page and the interface show without computing any.

`clew monitor` writes a `Standing`, the service reads it. Whatever is added or changed here needs another `FORMAT`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from features.words import Words

__all__ = [
    "FORMAT",
    "STALE_DAYS",
    "AttributionTold",
    "BaselineTold",
    "BaselinesTold",
    "CallTold",
    "ChannelTold",
    "DriftTold",
    "EstimateTold",
    "FieldTold",
    "FindingTold",
    "FlowTold",
    "GradeTold",
    "LampTold",
    "LevelTold",
    "Light",
    "MixTold",
    "MonthTold",
    "OrderTold",
    "PointTold",
    "RecordTold",
    "Standing",
    "StepTold",
    "Unmeasured",
    "WorkedTold",
]

FORMAT: Literal[1] = 1
STALE_DAYS = 8  # a look a week, and a day for whoever runs it by hand

Light = Literal["green", "amber", "red", "not_measured"]
Lamp = Literal["promise", "order", "data", "baselines"]
Triple = tuple[float, float, float]
Pair = tuple[float, float]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LampTold(_Told):
    """The light of one of the questions."""

    name: Lamp
    light: Light


class FindingTold(_Told):
    """Something that is not as it was, and what to do about it; `act` is red, `watch` amber."""

    kind: str
    name: Words
    subject: str
    severity: Literal["act", "watch"]
    evidence: Words
    remedy: Words


class CallTold(_Told):
    """What is due, why, and the findings that call for it."""

    act: Literal["none", "retrain", "recalibrate", "mend"]
    reason: Words
    because: tuple[str, ...]


class Unmeasured(_Told):
    """A part that could not be measured, and why; an error that has words in English only stands there twice."""

    part: Literal["record", "drift", "baselines", "attribution"]
    reason: Words


class MonthTold(_Told):
    """All grades of a month: what was promised, and won of the mature leads with Wilson's 95 % interval."""

    month: str
    mature: int = Field(ge=0)
    young: int = Field(ge=0)
    promised: float
    realised: float | None
    low: float | None
    high: float | None


class GradeTold(_Told):
    """The leads of a month and grade; `kept` says whether the promise lies within the interval."""

    month: str
    grade: str
    mature: int = Field(ge=0)
    promised: float | None
    realised: float | None
    wins: int
    low: float | None
    high: float | None
    young: int = Field(ge=0)
    expected_wins: float
    kept: bool | None


class LevelTold(_Told):
    """Calibration in the large: `shift` in log-odds with its 90 % interval, above 0 more was won than promised."""

    rows: int
    wins: int
    promised: float
    realised: float
    shift: float
    low: float
    high: float


class OrderTold(_Told):
    """ROC-AUC of model and rules on the same leads, each with a 90 % interval, and wins at the team's capacity."""

    rows: int
    wins: int
    capacity: int
    model: Triple | None
    rules: Triple | None
    difference: Triple | None
    model_wins: float
    rules_wins: float


class EstimateTold(_Told):
    """What the scores that are too young promise of themselves (CBPE), right only under what `assumes` says."""

    rows: int
    wins: float
    spread: float
    roc_auc: float | None
    log_loss: float | None
    assumes: Words


class WorkedTold(_Told):
    """Of the leads that became hot, how many were answered within their limit, later, or not at all."""

    hot: int
    in_time: int
    late: int
    never: int
    share: float | None
    median_minutes: float | None


class RecordTold(_Told):
    """The record: `answered` counts scores by month and source, `months` and `grades` go by month."""

    scores: int
    left_out: int
    fallback_share: float | None
    answered: Mapping[str, Mapping[str, int]]
    months: tuple[MonthTold, ...]
    grades: tuple[GradeTold, ...]
    level: LevelTold | None
    order: OrderTold | None
    expected_order: float | None
    estimate: EstimateTold
    worked: WorkedTold


class FlowTold(_Told):
    """What a source brought in the judged window beside what is usual, and days since its newest row."""

    table: str
    source: str
    usual: float
    now: int
    silent_days: float | None


class FieldTold(_Told):
    """A field that has moved: its stability index, what windows do by chance at most, shares missing and unknown."""

    feature: str
    psi: float | None
    chance: float | None
    missing_before: float
    missing_now: float
    unknown_now: float | None
    move: str | None


class MixTold(_Told):
    """The share of a grade or main reason among the arrivals, usually and now."""

    name: str
    usual: float
    now: float


class DriftTold(_Told):
    """The arrivals of the judged window beside those of a year; `fields` are those that moved, of `compared`."""

    window_days: int
    arrivals: int
    arrivals_usual: float
    flows: tuple[FlowTold, ...]
    compared: int
    fields: tuple[FieldTold, ...]
    grades: tuple[MixTold, ...]
    reasons: tuple[MixTold, ...]


class PointTold(_Told):
    """A baseline in one of the periods."""

    since: str
    value: float | None


class BaselineTold(_Told):
    """A baseline: what it means, where it stands beside its threshold, and its periods, the newest last."""

    name: str
    pillar: str
    pillar_words: Words
    words: Words
    definition: Words
    owner: str
    at_least: float | None
    at_most: float | None
    is_share: bool
    value: float | None
    interval: Pair | None
    missing: str | None
    light: Light
    trend: Literal["better", "worse", "steady"] | None
    history: tuple[PointTold, ...]


class StepTold(_Told):
    """How many reached a step of the funnel, as a share of the step before, and amounts by currency."""

    step: str
    count: int | None
    rate: float | None
    amounts: Mapping[str, float]


class BaselinesTold(_Told):
    """The market-to-lead baselines of the last whole month, and its funnel."""

    since: str
    until: str
    currency: str | None
    rows: tuple[BaselineTold, ...]
    funnel: tuple[StepTold, ...]


class ChannelTold(_Told):
    """What a channel brought and cost; wins by model of attribution, ROI null without a cost or over currencies."""

    channel: str
    leads: int
    mqls: int
    cost: Mapping[str, float]
    wins: Mapping[str, float]
    amounts: Mapping[str, float]
    roi: float | None


class AttributionTold(_Told):
    """The wins of a year by channel; amounts and ROI are of the model that is named."""

    since: str
    until: str
    wins: int
    wins_without_touch: int
    by: str
    channels: tuple[ChannelTold, ...]


class Standing(_Told):
    """Everything that one look has found. Moments are ISO 8601; a part that is null stands in `not_measured`."""

    format: Literal[1] = FORMAT
    as_of: str
    computed_at: str
    timezone: str
    bundle: str | None
    lights: tuple[LampTold, ...]
    call: CallTold
    findings: tuple[FindingTold, ...]
    not_measured: tuple[Unmeasured, ...]
    record: RecordTold | None
    drift: DriftTold | None
    baselines: BaselinesTold | None
    attribution: AttributionTold | None

    @property
    def light(self) -> Light:
        """The worst of the lights; not measured only where nothing was."""
        found = {lamp.light for lamp in self.lights}
        order: tuple[Light, ...] = ("red", "amber", "green")
        return next((light for light in order if light in found), "not_measured")
