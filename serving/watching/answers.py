"""The shape of the figures as the interface tells them."""

from __future__ import annotations

from pydantic import Field

from monitoring.standing import STALE_DAYS, Light, Standing

__all__ = ["MonitoringAnswer"]


class MonitoringAnswer(Standing):
    """How things stood at `as_of`. Moments are ISO 8601; a part that is null stands in `not_measured`."""

    overall: Light = Field(description="The worst of the lights; not_measured only where nothing was measured.")
    age_days: float = Field(ge=0, description="How long ago the figures end.")
    stale: bool = Field(description=f"Whether that is more than {STALE_DAYS} days: `clew monitor` makes new ones.")
