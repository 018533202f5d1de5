"""The data scientist's own features: definitions in a YAML file, read strictly and checked against the warehouse.

A definition says what cannot be known otherwise (a name, what is computed, words); kind, needs and scale follow from
what it computes. The definitions become part of the catalogue and so travel inside the sealed bundle: the endpoint
needs no file.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NoReturn

from data.errors import UsageError
from data.files import read_yaml
from data.tables import CUSTOM_PREFIX, TABLES
from features.catalogue import build_catalogue
from features.definitions import (
    AccountAttribute,
    Compute,
    DistinctCount,
    Feature,
    Filled,
    LeadAge,
    LeadAttribute,
    MostSenior,
    Need,
    SalesResponse,
    Touch,
    Trend,
)
from features.own_entry import called, nearest, parse_definition
from features.words import EVENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from data.settings import Settings
    from data.warehouse import Warehouse
    from features.definitions import Catalogue
    from features.own_entry import Definition

__all__ = ["LONGEST_WINDOW_DAYS", "load_own_features", "own_features", "refuse_taken_names"]

LONGEST_WINDOW_DAYS = 3650
_LONGEST_NAME = 60
_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# Columns of the training set, and of the tables that the evaluator over the warehouse makes on its way.
_RESERVED = frozenset(
    (
        *("row_id", "lead_id", "as_of_us", "t0_us", "created_us", "monthly", "age_us", "label_closes_us", "mature_us"),
        *("y_obs", "cluster", "code", "occurred_us", "age_day", "seniority_rank", "account_id"),
    )
)
_TREND_PARTS = ("short", "long")  # the two counts that a trend is made of, as the evaluator names them


class _Reader:
    """What the file may read, and the checks of one definition after the other."""

    def __init__(self, path: Path, custom: Mapping[str, str], withheld: Iterable[str], *, treatments: bool) -> None:
        self._path = path
        self._custom = {f"{CUSTOM_PREFIX}{name}": kind for name, kind in custom.items()}
        self._withheld = frozenset(withheld)
        self._treatments = treatments
        # What the endpoint can be told of a lead: a feature of anything else would be missing in every answer.
        standard = [feature for feature in build_catalogue().features if hasattr(feature.compute, "column")]
        self._lead = {f.compute.column: f for f in standard if isinstance(f.compute, LeadAttribute)}
        self._account = {f.compute.column: f for f in standard if isinstance(f.compute, AccountAttribute)}

    def read(self, number: int, raw: object, before: Mapping[str, int]) -> Feature:
        """Return the feature that the entry of this number defines."""
        where = f"{self._path.name}: definition {number}{called(raw)}"
        definition = parse_definition(where, raw)
        _check_name(where, definition.name, before)
        if definition.group is not None and not _SNAKE_CASE.fullmatch(definition.group):
            _refuse(f"{where}: group is not in snake_case", "write it as product_interest: small letters, digits and _")
        _check_windows(where, definition.compute)
        _check_types(where, definition.compute)
        _check_scope(where, definition.compute)
        if isinstance(definition.compute, SalesResponse) and not self._treatments:
            _refuse(
                f"{where}: compute.how: sales_response tells what sales did, which the setting treatments leaves out",
                "set treatments: true in clew.yaml, or remove the definition",
            )
        feature = self._derive(where, definition)
        _check_words(where, feature)
        return feature

    def _derive(self, where: str, definition: Definition) -> Feature:
        compute = definition.compute
        kind: Literal["numeric", "categorical"] = "categorical" if isinstance(compute, Touch) else "numeric"
        scale: Literal["linear", "log"] = "log"
        if isinstance(compute, LeadAttribute | AccountAttribute):
            kind, scale = self._attribute(where, compute)
        elif isinstance(compute, Filled | Trend | MostSenior):
            scale = "linear"
        if isinstance(compute, Filled):
            self._check_column(where, "leads", compute.column)
        return Feature(
            name=definition.name,
            group=definition.group or definition.name,
            kind=kind,
            needs=_needs(compute),
            compute=compute,
            label=definition.label.words(),
            phrase=definition.phrase.words() if definition.phrase else None,
            scale=definition.scale or scale,
            monotone=definition.monotone,
            treatment=isinstance(compute, SalesResponse),
        )

    def _attribute(
        self, where: str, compute: LeadAttribute | AccountAttribute
    ) -> tuple[Literal["numeric", "categorical"], Literal["linear", "log"]]:
        """Return kind and scale of an attribute, or refuse its column."""
        table: Literal["leads", "accounts"] = "leads" if isinstance(compute, LeadAttribute) else "accounts"
        known = self._lead if table == "leads" else self._account
        self._check_column(where, table, compute.column)
        if compute.column in known:
            return known[compute.column].kind, known[compute.column].scale
        kind = self._custom[compute.column]
        if kind == "text":
            _refuse(
                f"{where}: compute.column: {compute.column} holds free text", "use how: filled, or map it as a kind"
            )
        return ("numeric" if kind == "numeric" else "categorical"), "linear"

    def _check_column(self, where: str, table: Literal["leads", "accounts"], column: str) -> None:
        """Refuse a column that a feature may not read, and say why."""
        field = f"{where}: compute.column"
        known = {**self._lead, **self._custom} if table == "leads" else self._account
        personal = {c.name for c in TABLES["contacts"].columns if c.personal}
        if column in self._withheld:
            _refuse(f"{field}: {column} is withheld: it is known only later", "leave it out: it may tell the outcome")
        if self._custom.get(column) == "ignored" and table == "leads":
            _refuse(f"{field}: {column} is declared ignored", "declare its kind in the mapping and import again")
        if column in known:
            return
        if column in personal:
            _refuse(f"{field}: {column} is personal", "no feature reads contacts; email_domain_kind may serve")
        if any(column == c.name for c in TABLES[table].columns):
            _refuse(
                f"{field}: {table}.{column} is not for features: no request to the endpoint carries it",
                f"there are {', '.join(known)}",
            )
        _refuse(f"{field}: {table} has no column of that name{nearest(column, known)}", f"there are {', '.join(known)}")


def load_own_features(
    path: Path,
    *,
    custom: Mapping[str, str] = MappingProxyType({}),
    withheld: Iterable[str] = (),
    treatments: bool = False,
) -> tuple[Feature, ...]:
    """Read own definitions from a YAML file.

    Parameters
    ----------
    path
        A list of definitions, each with `name`, `compute`, `label`, and if wanted `group`, `phrase`, `scale` and
        `monotone`.
    custom
        The customer's own columns: name without prefix to kind; a definition names them with the prefix `custom_`.
    withheld
        Columns of `leads` and `accounts` that are known only later.
    treatments
        Whether features of what sales did may be defined.

    Raises
    ------
    UsageError
        If the file is missing or wrong; the message names the definition by number and name, the field, and what is
        allowed.
    InfrastructureError
        If the file cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> text = "- {name: demos_5d, compute: {how: event_count, types: [demo_request], days: 5}, label: {en: demos}}"
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "features.yaml"
    ...     _ = file.write_text(text)
    ...     (feature,) = load_own_features(file)
    >>> feature.kind, feature.needs, feature.scale, feature.group
    ('numeric', 'events', 'log', 'demos_5d')
    """
    entries = _entries(path)
    reader = _Reader(path, custom, withheld, treatments=treatments)
    before: dict[str, int] = {}
    found = []
    for number, raw in enumerate(entries, start=1):
        feature = reader.read(number, raw, before)
        before[feature.name] = number
        found.append(feature)
    _check_trend_parts(path.name, found)
    return tuple(found)


def own_features(settings: Settings, warehouse: Warehouse, *, known_by: datetime | None = None) -> tuple[Feature, ...]:
    """Return the own definitions that the settings name, checked against the warehouse's columns; none without a file.

    Parameters
    ----------
    settings
        `features_file` names the file; else `features.yaml` in the home folder counts where there is one.
    warehouse
        What says which columns the customer has of their own, and which are known only later.
    known_by
        Only columns that were declared by this moment.

    Raises
    ------
    UsageError, InfrastructureError
        As `load_own_features`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from data.settings import Settings
    >>> from data.warehouse import Warehouse
    >>> own_features(Settings(home=Path("nowhere")), Warehouse(Path("nowhere/warehouse")))
    ()
    """
    path = settings.own_features_file
    if path is None:
        return ()
    return load_own_features(
        path,
        custom={name: column.kind for name, column in warehouse.custom_columns(known_by=known_by).items()},
        withheld=warehouse.withheld_columns(known_by=known_by),
        treatments=settings.treatments,
    )


def refuse_taken_names(own: Iterable[Feature], standard: Catalogue) -> None:
    """Hold the names of own definitions against a warehouse's catalogue, where event types bring families of names.

    Raises
    ------
    UsageError
        If a name is that of a standard feature of this warehouse; whose it is, the message says.

    Examples
    --------
    >>> refuse_taken_names((), build_catalogue())
    """
    taken = {feature.name: feature for feature in standard.features}
    for number, feature in enumerate(own, start=1):
        if feature.name in taken:
            _refuse_taken(f"own features: definition {number} ({feature.name})", taken[feature.name])


def _entries(path: Path) -> list[object]:
    """Return the entries of the file; an empty file has none."""
    try:
        found = read_yaml(path)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", hint="write it, or change features_file in clew.yaml") from None
    if found is None:
        return []
    if not isinstance(found, list):
        raise UsageError(f"{path}: a list of definitions was expected", hint="begin each definition with - name: …")
    return found


def _check_name(where: str, name: str, before: Mapping[str, int]) -> None:
    if not _SNAKE_CASE.fullmatch(name) or len(name) > _LONGEST_NAME:
        _refuse(
            f"{where}: name is not in snake_case of at most {_LONGEST_NAME} characters",
            "write it as webinars_120d: small letters, digits and _",
        )
    if name in before:
        _refuse(f"{where}: definition {before[name]} has the same name", "rename one of them")
    if name in _RESERVED or name.startswith(CUSTOM_PREFIX):
        _refuse(f"{where}: the name is kept for columns of clew's own tables", "choose another name")
    standard = {f.name: f for f in build_catalogue(event_types=EVENT_TYPES, treatments=True).features}
    if name in standard:
        _refuse_taken(where, standard[name])
    for event_type, told in EVENT_TYPES.items():
        if name == told.stem:
            _refuse(f"{where}: the name belongs to the features of the event type {event_type}", "choose another name")


def _refuse_taken(where: str, feature: Feature) -> NoReturn:
    types: tuple[str, ...] = getattr(feature.compute, "types", ())
    whose = f"the features of the event type {types[0]}" if len(types) == 1 else "the standard features"
    _refuse(f"{where}: the name is taken: it is one of {whose} ({feature.label.en})", "choose another name")


def _check_windows(where: str, compute: Compute) -> None:
    for field in ("days", "half_life_days"):
        days = getattr(compute, field, 1)
        if not 1 <= days <= LONGEST_WINDOW_DAYS:
            _refuse(
                f"{where}: compute.{field}: 1 to {LONGEST_WINDOW_DAYS} days were expected, {days} came",
                "give whole days",
            )


def _check_types(where: str, compute: Compute) -> None:
    types: tuple[str, ...] = getattr(compute, "types", ())
    if any(not event_type.strip() or event_type != event_type.strip() for event_type in types):
        _refuse(f"{where}: compute.types: an event type is blank or has spaces around it", "write it as in the events")
    if len(set(types)) < len(types):
        _refuse(f"{where}: compute.types names an event type twice", "name each once")


def _check_scope(where: str, compute: Compute) -> None:
    # A lead's own events are all of one person, and how many leads that is a request need not say.
    if isinstance(compute, DistinctCount) and compute.scope == "lead" and compute.column in {"lead_id", "person_id"}:
        _refuse(
            f"{where}: compute.column: {compute.column} is counted among the account's events", "add scope: account"
        )


def _check_trend_parts(file: str, own: list[Feature]) -> None:
    """Refuse a name that the evaluator uses for a part of a trend: one of the two would read the other's number."""
    trends = ("event_trend", *(feature.name for feature in own if isinstance(feature.compute, Trend)))
    parts = {f"{trend}_{part}": trend for trend in trends for part in _TREND_PARTS}
    for number, feature in enumerate(own, start=1):
        if feature.name in parts:
            _refuse(
                f"{file}: definition {number} ({feature.name}): the name is kept for a part of {parts[feature.name]}",
                "choose another name",
            )


def _check_words(where: str, feature: Feature) -> None:
    if feature.phrase and not all("{n}" in text for text in (feature.phrase.en, feature.phrase.zh)):
        _refuse(f"{where}: phrase has no {{n}} where the number goes", "write it as: {n} webinars attended")
    if feature.kind == "categorical" and (feature.monotone or feature.phrase):
        field = "monotone" if feature.monotone else "phrase"
        _refuse(f"{where}: {field} is for numbers, and this feature is a category", "leave it out")


def _needs(compute: Compute) -> Need:
    if isinstance(compute, LeadAttribute | Filled | LeadAge):
        return "lead"
    if isinstance(compute, AccountAttribute):
        return "account"
    if isinstance(compute, SalesResponse):
        return "actions"
    return "account_events" if getattr(compute, "scope", "lead") == "account" else "events"


def _refuse(message: str, hint: str) -> NoReturn:
    raise UsageError(message, hint=hint)
