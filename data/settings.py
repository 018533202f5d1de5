"""The settings: one frozen object read from `clew.yaml` and `CLEW_*`, and the plan of what is predicted."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from data.errors import UsageError
from data.files import read_yaml

__all__ = ["Export", "Plan", "Settings", "load_settings"]

_FILE = Path("clew.yaml")  # in the folder where a command is called


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


class Export(BaseModel):
    """An export that the monthly run takes in: the folder of its files, and the mapping that reads them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    mapping: str


class Settings(BaseSettings):
    """Everything that may differ between two installations. Unknown keys are refused.

    `engine` computes the features of many leads; Spark's are DuckDB's to the last bit. `threads` are LightGBM's:
    another number gives another model in the last bits. `query_threads` are DuckDB's, whose answers are whole numbers
    and the same for any number of threads. `features_file` holds own definitions of features; without it
    `features.yaml` in the home folder counts. With `treatments` there are features of what sales did. `store` is the
    URL of the operational store, of SQLite in a file or of PostgreSQL; it may hold a password and is not shown.
    `keep_events_days`, `keep_scores_days` and `keep_contacts_days` say how long `clew retain` leaves what it deletes;
    without them everything is kept. With `score_log` the history also has what `POST /v1/score` answered.
    `holdout_share` is the share of leads that are worked by lot instead of by score (0: none), so that the next model
    does not learn only from its own choices; `holdout_salt` says which leads these are. With `webhook_private`
    messages may go to the private network and this machine, and there over plain http as well.
    """

    model_config = SettingsConfigDict(env_prefix="CLEW_", frozen=True, extra="forbid")

    home: Path = Path("var")
    warehouse: Path | None = None
    bundles: Path | None = None
    store: str | None = Field(None, repr=False)
    mlruns: Path = Path("mlruns")
    timezone: str = "UTC"
    target_industries: tuple[str, ...] = ("manufacturing", "medical devices", "software")
    scorecard: Path | None = None
    plan: Plan | None = None
    capacity: int = Field(40, ge=1)
    seed: int = 7
    exports: tuple[Export, ...] = ()
    allow_leaks: tuple[str, ...] = ()
    features_file: Path | None = None
    treatments: bool = False
    engine: Literal["duckdb", "spark"] = "duckdb"
    threads: int = Field(1, ge=1)
    query_threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    host: str = "127.0.0.1"
    port: int = Field(8020, ge=1, le=65535)
    workers: int = Field(1, ge=1)
    keep_events_days: float | None = Field(None, gt=0)
    keep_scores_days: float | None = Field(None, gt=0)
    keep_contacts_days: float | None = Field(None, gt=0)
    score_log: bool = True
    holdout_share: float = Field(0.02, ge=0, le=1)
    holdout_salt: str = Field("clew", min_length=1)
    webhook_private: bool = False

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("a time zone of the IANA database was expected, such as Asia/Shanghai or UTC")
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

    @property
    def store_url(self) -> str:
        """Where the operational store lives: the URL that was named, else a file beside the warehouse."""
        return self.store or f"sqlite:///{self.home / 'store.sqlite'}"

    @property
    def own_features_file(self) -> Path | None:
        """The file of own features: the one that was named, else the home folder's where there is one."""
        beside = self.home / "features.yaml"
        return self.features_file or (beside if beside.exists() else None)

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
        return init_settings, env_settings, InitSettingsSource(settings_cls, _read_yaml(_FILE))


def _read_yaml(path: Path) -> dict[str, Any]:
    """Return what a YAML file of keys and values says, nothing where there is no such file."""
    try:
        found = read_yaml(path)
    except FileNotFoundError:
        return {}
    if found is not None and not isinstance(found, dict):
        raise UsageError(f"{path} holds no keys", hint="write one setting a line, such as port: 8020")
    return {str(key): value for key, value in (found or {}).items()}


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - passed on to pydantic, which checks them
    """Read the settings; a wrong one is named together with what it should be.

    Unknown keys of `clew.yaml` are refused. Of unknown variables `CLEW_*` only those are that come near a setting:
    others may belong to something else, as the ones that Kubernetes sets for a service of this name.

    Raises
    ------
    UsageError
        If a key is unknown, a value is out of range, or `clew.yaml` is no YAML.

    Examples
    --------
    >>> load_settings(port=8021).port
    8021
    """
    _refuse_misspelt(os.environ)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = "; ".join(_in_words(tuple(map(str, e["loc"])), e["type"], e["msg"]) for e in error.errors())
        raise UsageError(f"the settings are not right: {lines}", hint="look at clew.yaml and CLEW_*") from None
    except SettingsError as error:
        # Lists and the plan come from the environment as JSON; the library names the field in quotes.
        raise UsageError(f"the settings are not right: {error}", hint="write the value of CLEW_* as JSON") from None


def _in_words(path: tuple[str, ...], kind: str, message: str) -> str:
    if kind != "extra_forbidden":
        return f"{'.'.join(path)}: {message.removeprefix('Value error, ')}"
    known = Plan.model_fields if path[0] == "plan" else Settings.model_fields
    return f"{'.'.join(path)} is no setting{_nearest(path[-1], known)}"


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def _refuse_misspelt(names: Iterable[str]) -> None:
    """Refuse a variable whose name is nearly that of a setting: it was meant to say something and says nothing."""
    known = [f"CLEW_{name.upper()}" for name in Settings.model_fields]
    for name in names:
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.85)
        if name.upper().startswith("CLEW_") and name.upper() not in known and near:
            raise UsageError(f"{name} is no setting; did you mean {near[0]}?", hint="rename the variable, or unset it")
