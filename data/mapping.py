"""The mapping language: one YAML file says how the files of an export become canonical tables.

Unknown keys are refused, and an error names the path of the key in the file and what is allowed there. All scalars are
read as text, so that `yes: won` in a value map means the word "yes", as it stands in the export.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from zoneinfo import available_timezones

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from data.errors import DataError, UsageError
from data.files import in_words
from data.mapping_terms import (
    ColumnSpec,
    Condition,
    Custom,
    CustomSpec,
    FileSpec,
    Join,
    Known,
    KnownAt,
    Spec,
    Strict,
    duration_us,
    nearest,
)
from data.settings import Plan
from data.tables import TABLES, Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ColumnSpec",
    "Condition",
    "CustomSpec",
    "FileSpec",
    "Join",
    "Known",
    "KnownAt",
    "Mapping",
    "TableSpec",
    "duration_us",
    "load_mapping",
    "preset_names",
]

_HERE = Path(__file__).parent
_SHIPPED = (_HERE / "presets", _HERE / "mappings")
# What an export says of these is their present state, and a later export may say another.
_STATES = frozenset({"accounts", "leads", "contacts", "outcomes"})
# What may be dated by the export that first tells it.
_DATED_BY_EXPORT = frozenset({("stages", "occurred_at"), ("outcomes", "closed_at"), ("merges", "occurred_at")})


class TableSpec(Strict):
    """How one canonical table is filled from one file and its joins."""

    from_: str = Field(alias="from")
    join: tuple[Join, ...] = ()
    where: tuple[Condition, ...] = ()
    known_at: KnownAt
    columns: dict[str, Spec]
    custom: dict[str, Custom] = Field(default_factory=dict)

    def split(self, source: str) -> tuple[str, str]:
        """Return the file and the column that a source column names.

        Examples
        --------
        >>> table = TableSpec(**{"from": "leads", "join": [{"file": "deals", "on": {"id": "id"}}],
        ...                      "known_at": "import", "columns": {}})
        >>> table.split("deals.won_date"), table.split("emp.var.rate")
        (('deals', 'won_date'), ('leads', 'emp.var.rate'))
        """
        for join in self.join:
            if source.startswith(f"{join.file}."):
                return join.file, source[len(join.file) + 1 :]
        return self.from_, source

    def reads(self) -> frozenset[str]:
        """Return the files that this table is filled from, joined ones included."""
        return frozenset((self.from_, *(join.file for join in self.join)))

    def needs(self) -> tuple[tuple[str, str], ...]:
        """Return every (file, column) that this table reads."""
        names = [name for spec in (*self.columns.values(), *self.custom.values()) for name in spec.sources()]
        names += [condition.column for condition in self.where]
        names += [left for join in self.join for left in join.on]
        names += [self.known_at.column] if self.known_at.column else []
        right = [(join.file, column) for join in self.join for column in join.on.values()]
        return tuple(dict.fromkeys([self.split(name) for name in names] + right))

    def withheld(self) -> dict[str, Known]:
        """Return the canonical columns that are known only later, with when."""
        return {name: spec.known for name, spec in self.columns.items() if spec.known != "at_creation"}


class Mapping(Strict):
    """A whole mapping file.

    With `full_export` each export holds every lead there is: one that is missing was deleted or merged, and what the
    export before did not tell was not known by then.
    """

    mapping: int
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    zone: str | None = None
    plan: Plan | None = None
    full_export: bool = False
    files: dict[str, FileSpec] = Field(min_length=1)
    tables: dict[str, TableSpec] = Field(min_length=1)
    ignored: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @field_validator("mapping")
    @classmethod
    def _version(cls, value: int) -> int:
        if value != 1:
            raise ValueError("version 1 of the mapping language is the only one")
        return value

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            raise ValueError("is no time zone of the IANA database, such as Asia/Shanghai or UTC")
        return value

    @model_validator(mode="after")
    def _fits_the_contract(self) -> Self:
        for file in self.files:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", file):
                raise ValueError(f"files.{file}: a name of small letters, digits and _ was expected")
        if all(file.optional for file in self.files.values()):
            raise ValueError("files: at least one has to be there, not all can be optional")
        for file in self.ignored:
            _among(f"ignored.{file}", file, self.files, "a name under files")
        for name, spec in self.tables.items():
            _among(f"tables.{name}", name, TABLES, "a canonical table")
            _check_table(f"tables.{name}", TABLES[name], spec, self)
        if self.full_export and "leads" not in self.tables:
            raise ValueError("full_export: says that every lead is in each export, so tables.leads has to be mapped")
        return self

    def fitting(self, folder: Path) -> tuple[Mapping, tuple[str, ...]]:
        """Return the mapping without the tables that read an optional file which the folder lacks, and their names.

        A file that is not optional stays, so that reading it says that it is missing.

        Raises
        ------
        DataError
            If the folder holds none of the files.
        """
        there = {name for name, file in self.files.items() if any(path.is_file() for path in folder.glob(file.path))}
        if not there:
            looked_for = ", ".join(file.path for file in self.files.values())
            raise DataError(
                f"{folder} holds none of the files that mapping {self.name} reads: {looked_for}",
                hint="give the folder that holds them, or another mapping",
            )
        files = {name: file for name, file in self.files.items() if name in there or not file.optional}
        tables = {name: spec for name, spec in self.tables.items() if spec.reads() <= files.keys()}
        left_out = tuple(name for name in self.tables if name not in tables)
        ignored = {name: columns for name, columns in self.ignored.items() if name in files}
        return self.model_copy(update={"files": files, "tables": tables, "ignored": ignored}), left_out

    @property
    def depends_on_moment(self) -> bool:
        """Whether an import depends on when its export was taken; a plain log of events does not."""
        return bool(_STATES & self.tables.keys()) or any(
            spec.known_at.at_import or any(column.exported_at for column in spec.columns.values())
            for spec in self.tables.values()
        )

    def wanted(self) -> dict[str, tuple[str, ...]]:
        """Return the columns that have to be in each file."""
        pairs = [pair for spec in self.tables.values() for pair in spec.needs()]
        return {file: tuple(dict.fromkeys(column for f, column in pairs if f == file)) for file in self.files}


def _among(path: str, word: str, known: Iterable[str], what: str) -> None:
    names = list(known)
    if word not in names:
        raise ValueError(f"{path}: {word!r} is not {what}; allowed are {', '.join(names)}{nearest(word, names)}")


def _check_table(path: str, table: Table, spec: TableSpec, mapping: Mapping) -> None:
    """Hold one table of a mapping against the contract."""
    allowed = {column.name: column for column in table.columns if column.name not in {"known_at", "recorded_at"}}
    for file in (spec.from_, *(join.file for join in spec.join)):
        _among(f"{path}.from", file, mapping.files, "a name under files")
    for name, column in spec.columns.items():
        _among(f"{path}.columns.{name}", name, allowed, f"a column of {table.name}")
        _check_column(f"{path}.columns.{name}", table, column, target=allowed[name])
    needed = [column.name for column in allowed.values() if column.required and not column.blank]
    lacking = [name for name in needed if name not in spec.columns]
    if lacking:
        raise ValueError(f"{path}.columns: {', '.join(lacking)} must be mapped")
    if spec.custom and table.name != "leads":
        raise ValueError(f"{path}.custom: only leads carry the customer's own columns")
    for name in spec.custom:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"{path}.custom.{name}: a name of small letters, digits and _ was expected")
    after = spec.known_at.after
    if after is not None:
        times = [name for name in spec.columns if allowed[name].kind == "time"]
        _among(f"{path}.known_at.after", after, times, "a mapped time column")


def _check_column(path: str, table: Table, spec: ColumnSpec, *, target: Column) -> None:
    fixed = target.required or target.name in table.key
    if spec.known != "at_creation" and (fixed or not table.history or table.name == "contacts"):
        raise ValueError(f"{path}.known: only columns of leads and accounts that may be empty can be known later")
    if spec.exported_at and (table.name, target.name) not in _DATED_BY_EXPORT:
        named = ", ".join(sorted(f"{name}.{column}" for name, column in _DATED_BY_EXPORT))
        raise ValueError(f"{path}.exported_at: only {named} can be dated by the export")
    if target.kind != "time" and (spec.format != "iso" or spec.plus or spec.rebuilt_from_month):
        raise ValueError(f"{path}: format, plus and rebuilt_from_month belong to times, this is a {target.kind}")


class _Loader(yaml.BaseLoader):
    """Reads every scalar as text and refuses a key that is written twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise UsageError(f"key {key!r} is written twice, line {node.start_mark.line + 1} and after")
        return super().construct_mapping(node, deep)


def preset_names() -> tuple[str, ...]:
    """Return the names of the mappings that come with clew."""
    return tuple(sorted(path.stem for folder in _SHIPPED for path in folder.glob("*.yaml")))


def _find(name: str | Path) -> Path:
    path = Path(name)
    shipped = [folder / f"{name}.yaml" for folder in _SHIPPED]
    for candidate in (path, *shipped):
        if candidate.is_file():
            return candidate
    names = preset_names()
    raise UsageError(
        f"there is no mapping {path.name!r}{nearest(str(name), names)}",
        hint=f"give the path of a YAML file or one of {', '.join(names)}",
    )


def load_mapping(path_or_preset_name: str | Path) -> Mapping:
    """Read a mapping from a file, or one that comes with clew by its name.

    Raises
    ------
    UsageError
        If there is no such file, it is no YAML, or a key or value is not part of the language.
    DataError
        If the file is not text in UTF-8.

    Examples
    --------
    >>> load_mapping("olist").tables["leads"].from_
    'leads'
    """
    path = _find(path_or_preset_name)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - BaseLoader makes only text
    except UnicodeDecodeError:
        raise DataError(f"mapping {path.name} is not UTF-8", hint="save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise UsageError(f"mapping {path.name} is no YAML{where}", hint="check indentation and quotes") from None
    if not isinstance(raw, dict):
        raise UsageError(f"mapping {path.name} holds no keys", hint="start with mapping: 1")
    try:
        return Mapping.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"mapping {path.name}: {in_words(error)}", hint="see the mapping language") from None
