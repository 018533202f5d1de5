"""Why a rule never fires, where it can be told from what leads held."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from features.scorecard import SENIORITY, Condition
from training.rules.conditions import holds

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["why_silent"]

Lists = Mapping[str, tuple[float | str, ...]]
_TOLD = 3
# A value is shown only if so many rows hold it: then it is a word of the trade and nobody's own.
_COMMON = 20


def why_silent(condition: Condition, lists: Lists, frame: pd.DataFrame) -> str:
    """Say why a condition holds on no row.

    Parameters
    ----------
    condition
        What a rule asks for.
    lists
        The scorecard's named lists.
    frame
        Features of all rows.

    Examples
    --------
    >>> import pandas as pd
    >>> why_silent(Condition(feature="employees", above=500), {}, pd.DataFrame({"employees": [20.0, 480.0]}))
    'employees was never above 500: the largest is 480'
    >>> why_silent(Condition(feature="employees", above=500), {}, pd.DataFrame({"employees": [None, None]}))
    'employees was never filled'
    """
    if condition.not_ is not None:
        return "what it excludes holds wherever it can be told"
    if condition.feature is None:
        parts = condition.any_ or condition.all_ or ()
        silent = [why_silent(part, lists, frame) for part in parts if not holds(part, frame, lists).any()]
        return " and ".join(silent) if silent else "its conditions hold one by one and never together"
    column = frame[condition.feature]
    if condition.missing is not None:
        return f"{condition.feature} was {'always' if condition.missing else 'never'} filled"
    known = column.dropna()
    if known.empty:
        return f"{condition.feature} was never filled"
    for name, bound in condition.compared:
        alone = Condition.model_validate({"feature": condition.feature, name: bound})
        if not holds(alone, frame, lists).any():
            return _compared(condition.feature, name, bound, known, lists)
    return f"the bounds on {condition.feature} hold one by one and never together"


def _compared(feature: str, name: str, bound: Any, known: pd.Series[Any], lists: Lists) -> str:  # noqa: ANN401
    import pandas as pd

    if name in ("equals", "in"):
        wanted = lists[bound] if isinstance(bound, str) and name == "in" else (bound,) if name == "equals" else bound
        return _unseen(feature, [str(value) for value in wanted], known)
    told = name.replace("_", " ")
    if feature == "seniority":
        seen = [level for level in SENIORITY if (known.astype(str).str.strip().str.casefold() == level).any()]
        return f"seniority was never {told} {bound}: seen were {', '.join(seen) if seen else 'no known levels'}"
    if not pd.api.types.is_numeric_dtype(known):
        return f"{feature} holds texts, which are never {told} a number"
    largest = name in ("above", "at_least")
    end = known.max() if largest else known.min()
    return f"{feature} was never {told} {bound:,.12g}: the {'largest' if largest else 'smallest'} is {end:,.12g}"


def _unseen(feature: str, wanted: list[str], known: pd.Series[Any]) -> str:
    """Say that no value was seen, and which common values come near."""
    counts = known.astype(str).str.strip().str.casefold().value_counts()
    common = [str(value) for value in counts[counts >= _COMMON].index]
    near = {
        match for value in wanted for match in difflib.get_close_matches(value.casefold(), common, n=1, cutoff=0.75)
    }
    values = f"none of the {len(wanted)} values" if len(wanted) > 1 else "the value"
    told = f"{values} asked of {feature} was {'ever' if len(wanted) > 1 else 'never'} seen"
    if near:
        return f"{told}; did you mean {', '.join(sorted(near))}?"
    return f"{told}; common are {', '.join(common[:_TOLD])}" if common else told
