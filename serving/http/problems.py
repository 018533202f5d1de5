"""What is wrong with a request, told to the people who send it: the field, what was expected, the kind of what came.

The value itself is never repeated: it may be personal, and it may be large.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from data.errors import DataError

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

__all__ = ["PayloadError", "Problem", "error_body", "kind_of", "problems_of"]

_LONGEST_NAME = 64
_MOST_DETAILS = 20


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; `field` is a path such as `lead.account.employees`, empty for the whole body."""

    code: str
    message: str
    field: str = ""


class PayloadError(DataError):
    """A request that breaks the contract of the endpoint.

    Examples
    --------
    >>> str(PayloadError([Problem("missing_field", "lead.lead_id is required", "lead.lead_id")]))
    'lead.lead_id is required'
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems[0].message)

    def below(self, prefix: str) -> PayloadError:
        """Return the same problems of a part of a larger request, such as `leads.3`."""
        return PayloadError([_moved(problem, prefix) for problem in self.problems])


def _moved(problem: Problem, prefix: str) -> Problem:
    field = f"{prefix}.{problem.field}" if problem.field else prefix
    told = problem.message.removeprefix(problem.field or "the body")
    return Problem(problem.code, f"{field}{told}", field)


def kind_of(value: object) -> str:
    """Return what kind of JSON value came.

    Examples
    --------
    >>> kind_of("li@example.org"), kind_of(float("nan")), kind_of(None)
    ('a text', 'a number that is not finite', 'null')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is not finite"
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        ((int, float), "a number"),
        (str, "a text"),
        (dict, "an object"),
        (list, "a list"),
    )
    return next((name for kinds_of, name in kinds if isinstance(value, kinds_of)), "something else")


def problems_of(error: ValidationError) -> list[Problem]:
    """Return pydantic's findings in the words of this module, at most 20 of them."""
    return [_problem(told) for told in error.errors(include_url=False)[:_MOST_DETAILS]]


def error_body(problems: Sequence[Problem], request_id: str) -> dict[str, Any]:
    """Return the one shape that every error has.

    Examples
    --------
    >>> error_body([Problem("not_found", "there is no such path")], "r1")["error"]["code"]
    'not_found'
    """
    first = problems[0]
    error: dict[str, Any] = {**asdict(first), "field": first.field or None, "request_id": request_id}
    if len(problems) > 1:
        error["details"] = [asdict(problem) for problem in problems[:_MOST_DETAILS]]
    return {"error": error}


def _path(location: tuple[int | str, ...]) -> str:
    """Write a location as a path; names come from the sender, so they are shortened and freed of control characters."""
    names = [re.sub(r"[^\w\-: ]", "?", str(part)[:_LONGEST_NAME]) for part in location if part != "[key]"]
    return ".".join(names)


def _problem(told: ErrorDetails) -> Problem:
    field, kind = _path(told["loc"]), told["type"]
    subject = field or "the body"
    if kind == "json_invalid":
        return Problem("invalid_json", f"the body is not valid JSON{_place(told)}", "")
    if kind == "missing":
        return Problem("missing_field", f"{subject} is required", field)
    if kind == "extra_forbidden":
        own = "; columns of your own go in lead.custom" if told["loc"][:1] == ("lead",) else ""
        return Problem("unknown_field", f"{subject} is not a field of this request{own}", field)
    return Problem("invalid_field", f"{subject}: {_expected(told)} was expected, {_came(told)} came", field)


def _place(told: ErrorDetails) -> str:
    """Return where JSON broke; of the parser's message only the position is safe to repeat."""
    reason = str(told.get("ctx", {}).get("error", ""))
    position = re.search(r"line (\d+) column (\d+)", reason)
    deep = ": it is nested too deeply" if "recursion" in reason else ""
    return deep + (f" (line {position[1]}, column {position[2]})" if position else "")


def _expected(told: ErrorDetails) -> str:
    limits = told.get("ctx", {})
    words = {
        "float_type": "a number",
        "finite_number": "a finite number",
        "greater_than_equal": f"a number of at least {limits.get('ge', 0):g}",
        "less_than_equal": f"a number of at most {limits.get('le', 0):g}",
        "string_type": "a text",
        "string_unicode": "a text in valid Unicode",
        "string_too_long": f"a text of at most {limits.get('max_length')} characters",
        "string_pattern_mismatch": "a text that is not blank",
        "list_type": "a list",
        "too_long": f"a list or object of at most {limits.get('max_length')} entries",
    }
    # Our own checks bring their words along.
    return words.get(told["type"]) or str(limits.get("expected", "an object"))


def _came(told: ErrorDetails) -> str:
    value = told.get("input")
    if told["type"] == "string_too_long":
        return f"one of {len(str(value))}"
    if told["type"] == "string_pattern_mismatch":
        return "a blank one"
    if told["type"] == "too_long":
        return f"one of {told.get('ctx', {}).get('actual_length') or 'more'}"
    if told["type"] in {"greater_than_equal", "less_than_equal"}:
        return "a smaller one" if told["type"] == "greater_than_equal" else "a larger one"
    return str(told.get("ctx", {}).get("came") or kind_of(value))
