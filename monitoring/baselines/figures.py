"""What people entered because no system knows it: figures with date and owner, and what currencies are worth.

The file is YAML: `figures` is a list of {baseline, at, value, of, owner}, `of` saying of how many looked at (it gives
the figure an interval); `rates` is a list of {currency, in, worth, at, owner}.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.clock import to_us
from data.errors import UsageError
from data.files import in_words, read_yaml
from monitoring.attribution.spend import Rates

if TYPE_CHECKING:
    from pathlib import Path
    from zoneinfo import ZoneInfo

__all__ = ["Figure", "Figures", "Rate", "begins_us", "load_figures", "read_model"]

_Model = TypeVar("_Model", bound=BaseModel)


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Figure(_Entry):
    """One entered figure: it holds from its date on, until a newer one or until it is too old."""

    baseline: str
    at: date
    value: float = Field(allow_inf_nan=False)
    of: int | None = Field(None, gt=0)
    owner: str = Field(min_length=1)

    @model_validator(mode="after")
    def _a_share_of_something(self) -> Figure:
        if self.of is not None and not 0 <= self.value <= 1:
            raise ValueError("with `of` the value is a share between 0 and 1")
        return self


class Rate(_Entry):
    """What one unit of a currency was worth in another one from a date on."""

    currency: str
    in_: str = Field(alias="in")
    worth: Decimal = Field(gt=0, allow_inf_nan=False)
    at: date
    owner: str = Field(min_length=1)


class Figures(_Entry):
    """All that was entered."""

    figures: tuple[Figure, ...] = ()
    rates: tuple[Rate, ...] = ()

    def newest(self, baseline: str, until_us: int, zone: ZoneInfo) -> Figure | None:
        """Return the figure of a baseline that was the newest at the end of a period."""
        found = [
            figure for figure in self.figures if figure.baseline == baseline and begins_us(figure.at, zone) < until_us
        ]
        return max(found, key=lambda figure: figure.at, default=None)

    def rates_to(self, currency: str, until_us: int, zone: ZoneInfo) -> Rates:
        """Return what each currency was worth at the end of a period, as far as somebody entered it."""
        held = [rate for rate in self.rates if rate.in_ == currency and begins_us(rate.at, zone) < until_us]
        return Rates(currency, {rate.currency: rate.worth for rate in sorted(held, key=lambda rate: rate.at)})


def begins_us(day: date, zone: ZoneInfo) -> int:
    """Return the first moment of a day in a zone, in microseconds UTC."""
    return to_us(datetime.combine(day, time(), tzinfo=zone))


def load_figures(path: Path) -> Figures:
    """Read the file of entered figures; without a file nothing was entered.

    Raises
    ------
    UsageError
        If it is no YAML, or a key or value is not part of it.
    """
    return read_model(path, Figures) if path.is_file() else Figures()


def read_model(path: Path, model: type[_Model]) -> _Model:
    """Read a YAML file into a model, with errors that name the file and the key and never show a value.

    Raises
    ------
    UsageError
        If there is no such file, it is no YAML, or a key or value is not part of it.
    InfrastructureError
        If it cannot be read.
    """
    try:
        raw = read_yaml(path)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", hint="give the path of a YAML file") from None
    try:
        return model.model_validate({} if raw is None else raw)
    except ValidationError as error:
        raise UsageError(f"{path.name}: {in_words(error)}", hint="correct these keys") from None
