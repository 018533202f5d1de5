"""From the bytes of a body to checked items: one object, or a list of which each is checked on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from serving.http.problems import PayloadError, Problem, kind_of, problems_of

if TYPE_CHECKING:
    from serving.scoring.payload import Incoming

__all__ = ["MOST_ITEMS", "Items", "parse_items", "parse_one"]

MOST_ITEMS = 1_000

M = TypeVar("M", bound="Incoming")
_LIST: TypeAdapter[list[Any]] = TypeAdapter(Annotated[list[Any], Field(max_length=MOST_ITEMS)])


@dataclass(frozen=True)
class Items:
    """Checked items in the order they came, errors among them; `single` says that no list came."""

    items: tuple[Incoming | PayloadError, ...]
    single: bool


def parse_one(model: type[M], body: bytes) -> M:
    """Return the checked body.

    Raises
    ------
    PayloadError
        If it is no JSON or breaks the contract; every problem names its field.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise PayloadError(problems_of(error)) from None


def parse_items(model: type[M], body: bytes) -> Items:
    """Return the items of a body: those of a list may be wrong one by one, a single one may not.

    Raises
    ------
    PayloadError
        If the body is no JSON, a single item breaks the contract, or a list holds more than 1,000 items.

    Examples
    --------
    >>> from serving.intake.bodies import StagePost
    >>> stage = b'{"lead_id": "L-1", "stage": "mql", "occurred_at": "2026-11-02T09:00:00Z"}'
    >>> parse_items(StagePost, stage).single
    True
    >>> good, bad = parse_items(StagePost, b"[" + stage + b", 7]").items
    >>> good.stage, str(bad)
    ('mql', '1: an object was expected, a number came')
    """
    if not body.lstrip(b" \t\r\n").startswith(b"["):
        return Items((parse_one(model, body),), single=True)
    try:
        told = _LIST.validate_json(body)
    except ValidationError as error:
        raise PayloadError(problems_of(error)) from None
    return Items(tuple(_item(model, value, position) for position, value in enumerate(told)), single=False)


def _item(model: type[M], value: object, position: int) -> M | PayloadError:
    try:
        if isinstance(value, dict):
            return model.model_validate(value)
    except ValidationError as error:
        return PayloadError(problems_of(error)).below(str(position))
    problem = Problem("invalid_field", f"the body: an object was expected, {kind_of(value)} came")
    return PayloadError([problem]).below(str(position))
