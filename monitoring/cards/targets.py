"""Where cards go: named targets of `cards.yaml` in the home folder, their addresses from the environment.

    page: https://bi.example/clew/quality.html
    targets:
      sales: {platform: wecom, language: zh}
      revops: {platform: slack, address_env: REVOPS_HOOK}

The address of a robot is its password, so it stands in no file: `sales` above reads `CLEW_CARD_SALES` and, where the
robot signs, `CLEW_CARD_SALES_SECRET`. The names of the platforms are targets by themselves.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from data.errors import UsageError
from features.words import Language
from monitoring.baselines.figures import read_model
from monitoring.cards.platforms import PLATFORMS, Platform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["CardSettings", "Target", "TargetSettings", "load_card_settings", "targets_of"]

_LONGEST_ADDRESS = 2_000
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")


class TargetSettings(BaseModel):
    """A target as `cards.yaml` names it; `language` is that of its cards, None that of the command."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    platform: Platform
    language: Language | None = None
    address_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    secret_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")


class CardSettings(BaseModel):
    """What `cards.yaml` holds: the targets, and the address at which people find the page, if there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: str | None = Field(None, max_length=500)
    targets: dict[str, TargetSettings] = {}

    @field_validator("page")
    @classmethod
    def _a_page(cls, value: str | None) -> str | None:
        # It is put into markdown, where a bracket or a blank would end it.
        if value is not None and not re.fullmatch(r"https?://[^\s()<>\[\]|\"'\\]+", value):
            raise ValueError("an address that begins with https:// was expected, without blanks and brackets")
        return value

    @field_validator("targets")
    @classmethod
    def _plain_names(cls, value: dict[str, TargetSettings]) -> dict[str, TargetSettings]:
        if not all(_NAME.fullmatch(name) for name in value):
            raise ValueError("names of lower-case letters, digits, - and _ were expected")
        return value


@dataclass(frozen=True)
class Target:
    """A target with its address and secret, which are shown nowhere."""

    name: str
    platform: Platform
    address: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    language: Language | None = None


def load_card_settings(path: Path) -> CardSettings:
    """Read `cards.yaml`; without a file there are the targets named like the platforms.

    Raises
    ------
    UsageError
        If it is no YAML, or a key or value is not part of it.
    """
    return read_model(path, CardSettings) if path.is_file() else CardSettings()


def targets_of(
    names: Iterable[str],
    settings: CardSettings,
    *,
    environment: Mapping[str, str] | None = None,
    plain_http: bool = False,
) -> tuple[Target, ...]:
    """Return the targets of some names, each once.

    Parameters
    ----------
    names
        As given to `--send`.
    settings
        From `cards.yaml`.
    environment
        Where addresses and secrets stand, by default this process's.
    plain_http
        Whether an address may be http, as the setting `webhook_private` allows for the private network.

    Raises
    ------
    UsageError
        If a name is unknown, or its address is missing or none. The address itself is never part of the message.

    Examples
    --------
    >>> env = {"CLEW_CARD_SLACK": "https://hooks.example/T0"}
    >>> targets_of(["slack"], CardSettings(), environment=env)
    (Target(name='slack', platform='slack', language=None),)
    """
    known: dict[str, TargetSettings] = {name: TargetSettings(platform=name) for name in PLATFORMS}
    known |= settings.targets
    given = os.environ if environment is None else environment
    return tuple(_target(name, known, given, plain_http=plain_http) for name in dict.fromkeys(names))


def _target(
    name: str, known: Mapping[str, TargetSettings], environment: Mapping[str, str], *, plain_http: bool
) -> Target:
    if name not in known:
        raise UsageError(f"--send: there is no target of this name; there are {', '.join(sorted(known))}")
    told = known[name]
    variable = told.address_env or _variable(name)
    address = environment.get(variable, "").strip()
    if not address:
        raise UsageError(
            f"--send {name}: {variable} is not set", hint="put the address of the group's robot into this variable"
        )
    _refuse_bad(address, variable, plain_http=plain_http)
    secret = environment.get(told.secret_env or f"{_variable(name)}_SECRET", "").strip() or None
    if told.secret_env and secret is None:
        raise UsageError(f"--send {name}: {told.secret_env} is not set", hint="put the robot's secret into it")
    return Target(name, told.platform, address, secret, told.language)


def _variable(name: str) -> str:
    return f"CLEW_CARD_{name.upper().replace('-', '_')}"


def _refuse_bad(address: str, variable: str, *, plain_http: bool) -> None:
    """Refuse what is no address of a robot; said is only which variable holds it."""
    hint = "copy the robot's address as the platform shows it"
    if len(address) > _LONGEST_ADDRESS or not address.isascii() or re.search(r"[\x00-\x20\x7f\\#]", address):
        raise UsageError(f"{variable} holds no address", hint=hint)
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UsageError(f"{variable} holds no address", hint=hint) from None
    if parts.scheme not in ({"https", "http"} if plain_http else {"https"}) or not host or "@" in parts.netloc:
        allowed = "https:// or, as webhook_private is set, http://" if plain_http else "https://"
        raise UsageError(f"{variable} holds no address that begins with {allowed}", hint=hint)
