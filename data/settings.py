"""The settings: one frozen object read from `clew.yaml` and `CLEW_*`, and the plan of what is predicted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from data.errors import UsageError

__all__ = ["Plan", "Settings", "load_settings"]


class Plan(BaseModel):
    """What is predicted, when and over which horizon; a mapping may carry its own.

    An open lead is photographed at `ages_days` after t0 and, with `monthly`, on the first day of each month. The model
    is judged on the monthly cross-sections or, where a data set allows one age only, on the leads of age
    `judge_age_days`. `judge_from` and `judge_until` (ISO, half open) bound the judged part: the creation of the lead
    where one age is judged, else `as_of`; without them the last matured months are judged. Leads created before
    `created_from` are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    goal: Literal["won", "opportunity", "sql"] = "won"
    horizon_days: float = Field(90.0, gt=0, le=1000)
    ages_days: tuple[float, ...] = (5 / 1440, 1, 3, 7, 14, 30, 60, 90, 180, 360)
    monthly: bool = True
    judge_age_days: float | None = Field(None, gt=0)
    judge_from: str | None = None
    judge_until: str | None = None
    created_from: str | None = None
    settle_days: float | None = Field(None, ge=0)


class Settings(BaseSettings):
    """Everything that may differ between two installations. Unknown keys are refused.

    `threads` are LightGBM's: another number gives another model in the last bits. `query_threads` are DuckDB's, whose
    answers are whole numbers and the same for any number of threads.
    """

    model_config = SettingsConfigDict(env_prefix="CLEW_", yaml_file="clew.yaml", frozen=True, extra="forbid")

    home: Path = Path("var")
    warehouse: Path | None = None
    bundles: Path | None = None
    mlruns: Path = Path("mlruns")
    timezone: str = "UTC"
    target_industries: tuple[str, ...] = ("manufacturing", "medical devices", "software")
    scorecard: Path | None = None
    plan: Plan | None = None
    capacity: int = Field(40, ge=1)
    seed: int = 7
    threads: int = Field(1, ge=1)
    query_threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    host: str = "127.0.0.1"
    port: int = Field(8020, ge=1, le=65535)
    workers: int = Field(1, ge=1)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("is no time zone of the IANA database, such as Asia/Shanghai or UTC")
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which days are counted."""
        return ZoneInfo(self.timezone)

    @property
    def warehouse_dir(self) -> Path:
        """Where the warehouse lives."""
        return self.warehouse or self.home / "warehouse"

    @property
    def bundles_dir(self) -> Path:
        """Where sealed bundles are published (`CLEW_BUNDLES`)."""
        return self.bundles or self.home / "bundles"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: arguments, environment, `clew.yaml`."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - passed on to pydantic, which checks them
    """Read the settings; a wrong one is named together with what it should be.

    Raises
    ------
    UsageError
        If a key is unknown or a value is out of range.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(f"the settings are not right: {lines}", hint="look at clew.yaml and CLEW_*") from None
