"""One entry of the file of own features: what it may say, and how a wrong one is told to people."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import UsageError
from data.tables import CUSTOM_PREFIX
from features.definitions import Compute
from features.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

__all__ = ["Definition", "Label", "called", "nearest", "parse_definition"]

_DERIVED = ("kind", "needs", "treatment")  # fields of a feature that follow from what it computes
_MEMBERS: Mapping[str, type[BaseModel]] = {
    member.model_fields["how"].default: member for member in get_args(get_args(Compute)[0])
}
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "fields",
    type(None): "nothing",
}


class Label(BaseModel):
    """Words for people; Chinese may be left out, and is then the English.

    Examples
    --------
    >>> Label(en="demos").words().zh
    'demos'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    en: str = Field(min_length=1)
    zh: str | None = Field(None, min_length=1)

    def words(self) -> Words:
        """Return the words in both languages."""
        return Words(en=self.en, zh=self.en if self.zh is None else self.zh)


class Definition(BaseModel):
    """One entry as it is written, before what follows from it is added."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    group: str | None = None
    compute: Compute
    label: Label
    phrase: Label | None = None
    scale: Literal["linear", "log"] | None = None
    monotone: Literal[-1, 0, 1] = 0


def called(raw: object) -> str:
    """Return the name of an entry in brackets, where it has one.

    Examples
    --------
    >>> called({"name": "demos_5d"}), called(["demos_5d"])
    (' (demos_5d)', '')
    """
    name = raw.get("name") if isinstance(raw, dict) else None
    return f" ({name[:60]})" if isinstance(name, str) else ""


def parse_definition(where: str, raw: object) -> Definition:
    """Return the checked entry.

    Parameters
    ----------
    where
        The file and the definition, for the message.
    raw
        What YAML gave.

    Raises
    ------
    UsageError
        If a field is missing, unknown or of the wrong kind.

    Examples
    --------
    >>> parse_definition("f.yaml: definition 1", {"name": "a", "compute": {"how": "lead_age"}, "labl": {"en": "a"}})
    Traceback (most recent call last):
    data.errors.UsageError: f.yaml: definition 1: label is missing; labl is no field, did you mean label?; \
`clew features --list --json` shows definitions that work
    """
    if not isinstance(raw, dict):
        raise UsageError(f"{where}: fields were expected, {_kind_of(raw)} came", hint="begin it with - name: …")
    try:
        # As JSON a list may stand for a tuple while nothing else is converted: days: "7" and days: true are refused.
        return Definition.model_validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        told = "; ".join(_in_words(problem) for problem in error.errors())
        raise UsageError(f"{where}: {told}", hint="`clew features --list --json` shows definitions that work") from None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a question about the nearest known word, nothing where none is near.

    People leave the prefix of their own columns out.

    Examples
    --------
    >>> nearest("sorce", ["source", "medium"]), nearest("erp", ["custom_erp"]), nearest("x", ["source"])
    (', did you mean source?', ', did you mean custom_erp?', '')
    """
    options = list(known)
    near = [option for option in options if option == f"{CUSTOM_PREFIX}{word}"]
    near = near or difflib.get_close_matches(word.lower(), options, n=1, cutoff=0.6)
    return f", did you mean {near[0]}?" if near else ""


def _in_words(problem: ErrorDetails) -> str:
    """Tell one problem that pydantic found: the field, what is allowed, what came."""
    loc: tuple[int | str, ...] = problem["loc"]
    # After `compute` pydantic names the member of the union, which is no field of the file.
    path = [str(part) for position, part in enumerate(loc) if position != 1 or loc[0] != "compute"]
    field = ".".join(path)
    if problem["type"] == "missing":
        return f"{field} is missing"
    if problem["type"] == "extra_forbidden":
        return _unknown_field(loc, path)
    if problem["type"] in {"union_tag_not_found", "union_tag_invalid"}:
        tag = str(problem["ctx"].get("tag", ""))
        told = f"is not known{nearest(tag, _MEMBERS)}" if tag else "is missing"
        return f"compute.how {told}; there are {', '.join(_MEMBERS)}"
    expected = problem["msg"].removeprefix("Input should ").removeprefix("be ")
    return f"{field}: {expected} was expected, {_kind_of(problem['input'])} came"


def _unknown_field(loc: tuple[int | str, ...], path: list[str]) -> str:
    if len(path) == 1 and path[0] in _DERIVED:
        return f"{path[0]} follows from compute, leave it out"
    model: type[BaseModel] = Label if len(path) > 1 else Definition
    if loc[0] == "compute" and len(loc) > 2:
        model = _MEMBERS[str(loc[1])]
    fields = ", ".join(model.model_fields)
    return f"{'.'.join(path)} is no field{nearest(path[-1], model.model_fields) or f', there are {fields}'}"


def _kind_of(value: object) -> str:
    return _KINDS.get(type(value), "something else")
