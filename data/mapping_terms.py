"""The words of the mapping language below a table: files, joins, conditions, columns and clocks.

Each is frozen, refuses an unknown key, and knows what is wrong with itself; `data.mapping` puts them together.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "EVERYTHING_ELSE",
    "ColumnSpec",
    "Condition",
    "Custom",
    "CustomSpec",
    "FileSpec",
    "Join",
    "Known",
    "KnownAt",
    "Spec",
    "Strict",
    "duration_us",
    "nearest",
]

Known = Literal["at_creation", "later", "after_outcome"]
CustomKind = Literal["numeric", "categorical", "text", "ignored"]
_DURATION = re.compile(
    r"P(?:(?P<w>\d+)W)?(?:(?P<d>\d+)D)?(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+(?:\.\d{1,6})?)S)?)?"
)
EVERYTHING_ELSE = "*"  # the key of a value map that stands for every other value
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}


def duration_us(text: str) -> int:
    """Return the microseconds of an ISO 8601 duration; months and years are refused, having no fixed length.

    Examples
    --------
    >>> duration_us("PT12H"), duration_us("P1DT0.5S")
    (43200000000, 86400500000)
    """
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groupdict().values()):
        raise ValueError("a duration such as PT12H, P1D or PT0S was expected")
    return sum(round(float(value) * 1_000_000) * _SECONDS[unit] for unit, value in match.groupdict().items() if value)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a suggestion to end an error with, empty where no known word is near.

    Examples
    --------
    >>> nearest("colum", ["column", "concat"])
    '; did you mean column?'
    """
    near = difflib.get_close_matches(word.lower(), [name.lower() for name in known], n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


class Strict(BaseModel):
    """Frozen, and an unknown key is refused together with the keys that are allowed."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, raw: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if not isinstance(raw, dict):
            return raw
        allowed = sorted(field.alias or name for name, field in cls.model_fields.items())
        for key in raw:
            if key not in allowed and key not in cls.model_fields:
                raise ValueError(f"unknown key {key!r}; allowed are {', '.join(allowed)}{nearest(str(key), allowed)}")
        return raw


class FileSpec(Strict):
    """A file of the export, or several of one form by a glob; the suffix tells the format.

    An `optional` file may be absent: the tables that read it are left out then.
    """

    path: str
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    encoding: str = "utf-8"
    sheet: str | None = None
    optional: bool = False

    @field_validator("path")
    @classmethod
    def _inside_the_folder(cls, value: str) -> str:
        if Path(value).is_absolute() or ".." in Path(value).parts:
            raise ValueError("a path inside the imported folder was expected, without .. and not absolute")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError:
            raise ValueError("is no encoding; utf-8, gb18030, cp1252 or utf-16 are common") from None
        return value


class Join(Strict):
    """A left join: left column to right column; its columns are written `file.column`."""

    file: str
    on: dict[str, str] = Field(min_length=1)
    pick: Literal["first"] | None = None


class Condition(Strict):
    """What a row has to meet, or it is counted as filtered. `from` and `until` compare times, half open."""

    column: str
    in_: tuple[str, ...] | None = Field(None, alias="in")
    filled: bool | None = None
    from_: str | None = Field(None, alias="from")
    until: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.in_ is None and self.filled is None and self.from_ is None and self.until is None:
            raise ValueError("a condition needs one of in, filled, from, until")
        return self


def _short_form(raw: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    return {"column": raw} if isinstance(raw, str) else raw


class ColumnSpec(Strict):
    """Where one canonical column comes from: exactly one source, then how it is read.

    `exported_at` dates a row by the export that first tells it: alone, or beside `column` where that is empty. With
    `skip_empty` the empty parts of a `concat` are left out with their separators. A value map may end in `'*'`, which
    stands for every other value.
    """

    SOURCES: ClassVar[tuple[str, ...]] = ("column", "concat", "value", "rebuilt_from_month", "row_number")

    column: str | None = None
    concat: tuple[str, ...] | None = Field(None, min_length=1)
    value: str | None = None
    rebuilt_from_month: str | None = None
    row_number: bool | None = None
    exported_at: bool = False
    sep: str = ""
    skip_empty: bool = False
    prefix: str = ""
    start: str | None = Field(None, pattern=r"^\d{4}-(0[1-9]|1[0-2])$")
    format: str = "iso"
    plus: str | None = None
    values: dict[str, str] = Field(default_factory=dict)
    missing: tuple[str, ...] = ()
    known: Known = "at_creation"

    @field_validator("plus")
    @classmethod
    def _duration(cls, value: str | None) -> str | None:
        if value is not None:
            duration_us(value)
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in self.SOURCES if getattr(self, name) not in {None, False}]
        if self.exported_at and given not in ([], ["column"]):
            raise ValueError("exported_at stands alone or beside column")
        if len(given) != 1 and not self.exported_at:
            raise ValueError(f"exactly one of {', '.join(self.SOURCES)} was expected, {len(given)} came")
        if (self.rebuilt_from_month is None) != (self.start is None):
            raise ValueError("rebuilt_from_month and start: 'YYYY-MM' belong together")
        if self.skip_empty and self.concat is None:
            raise ValueError("skip_empty belongs to concat")
        return self

    def sources(self) -> tuple[str, ...]:
        """Return the source columns that are read."""
        one = self.column or self.rebuilt_from_month
        return self.concat or ((one,) if one else ())


class CustomSpec(ColumnSpec):
    """A column of the customer's own, kept in `leads` under the prefix `custom_`."""

    kind: CustomKind


class KnownAt(Strict):
    """When a row became known: `after` a time of the row plus `lag`, a `column`, or the time of import."""

    after: str | None = None
    lag: str = "PT0S"
    column: str | None = None
    format: str = "iso"
    plus: str | None = None
    at_import: bool = False

    @model_validator(mode="before")
    @classmethod
    def _word_import(cls, raw: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        return {"at_import": True} if raw == "import" else raw

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum((self.after is not None, self.column is not None, self.at_import)) != 1:
            raise ValueError("expected {after: column, lag: PT0S}, {column: name} or the word import")
        duration_us(self.lag)
        if self.plus is not None:
            duration_us(self.plus)
        return self


Spec = Annotated[ColumnSpec, BeforeValidator(_short_form)]
Custom = Annotated[CustomSpec, BeforeValidator(_short_form)]
