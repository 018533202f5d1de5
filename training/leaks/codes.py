"""Columns as small whole numbers: a code for each value or range, so that every test of a column is a count."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.bins import short

if TYPE_CHECKING:
    import pandas as pd

    from features.definitions import Feature

__all__ = ["MISSING_CODE", "Coded", "code_column", "shape_of"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MISSING_CODE = 0
_LEVELS = 200  # categories with a code of their own; the rest share one
_RANGES = 16
_FREQUENT = 0.01  # a number that so many leads share, such as 0 or 100, is a value of its own and no range
_NEAR_UNIQUE = 0.5
_FEW = 50


@dataclass(frozen=True)
class Coded:
    """One column: a code for each row, and what each code means; code 0 is missing.

    `categories` says that the values are texts, `empty` are the codes that count as not filled. `shapes` says that
    nearly every lead has a value of its own, so that the codes stand for how the values are built.
    """

    codes: Ints
    labels: tuple[str, ...]
    empty: tuple[int, ...] = (MISSING_CODE,)
    shapes: bool = False
    categories: bool = False


def code_column(column: pd.Series, feature: Feature, sample: Ints) -> Coded:
    """Return the codes of a column; what is coded has nothing to do with outcomes.

    Numbers: each one that 1 % of the leads share is a code, the others fall into 16 ranges with equally many leads.
    Categories: the 200 most frequent, and one code for the rest. Texts that are nearly all different are coded by their
    shape. A feature that tells whether a text is filled has 0 for missing; a count of events is filled above 0.

    Parameters
    ----------
    column, feature
        The values, and what they are.
    sample
        Row numbers with one row a lead: a lead that was long open has many rows, and that number is its future.

    Examples
    --------
    >>> import pandas as pd
    >>> from features.catalogue import build_catalogue
    >>> source = build_catalogue().feature("source")
    >>> coded = code_column(pd.Series(["fair", None, "search", "fair"], dtype=object), source, np.arange(4))
    >>> coded.codes.tolist(), coded.labels
    ([1, 0, 2, 1], ('missing', 'fair', 'search'))
    """
    if feature.kind == "categorical":
        return _code_texts(column, sample)
    values = column.to_numpy(np.float64, na_value=np.nan)
    if feature.compute.how == "filled":
        return Coded((values == 1).astype(np.int64), ("missing", "filled"))
    return _code_numbers(values, sample, zero_is_empty=feature.needs not in {"lead", "account"})


def _code_numbers(values: Floats, sample: Ints, *, zero_is_empty: bool) -> Coded:
    drawn = values[sample]
    distinct, counts = np.unique(drawn[np.isfinite(drawn)], return_counts=True)
    few = len(distinct) <= _RANGES
    frequent = np.full(len(distinct), few) | (counts >= max(_FREQUENT * len(drawn), 20))
    own, rest = distinct[frequent], distinct[~frequent]
    edges = np.empty(0)
    if len(rest):
        spread = np.repeat(rest, counts[~frequent])
        edges = np.unique(np.quantile(spread, np.arange(1, _RANGES) / _RANGES, method="lower"))
    codes = len(own) + 1 + np.searchsorted(edges, values, side="left")
    place = np.minimum(np.searchsorted(own, values), max(len(own) - 1, 0))
    if len(own):
        codes = np.where(own[place] == values, place + 1, codes)
    codes = np.where(np.isfinite(values), codes, MISSING_CODE)
    bounds = [-np.inf, *edges.tolist(), np.inf]
    ranges = tuple(_told(low, high) for low, high in pairwise(bounds))
    empty = (MISSING_CODE, *(int(k) + 1 for k in np.flatnonzero(own == 0) if zero_is_empty))
    return Coded(codes, ("missing", *(short(float(v)) for v in own), *ranges), empty)


def _told(low: float, high: float) -> str:
    if np.isinf(low):
        return f"up to {short(high)}" if np.isfinite(high) else "any other number"
    return f"above {short(low)}" if np.isinf(high) else f"above {short(low)} to {short(high)}"


def _code_texts(column: pd.Series, sample: Ints) -> Coded:
    import pandas as pd

    numbers, distinct = pd.factorize(column)
    texts, shapes = [str(value) for value in distinct], False
    drawn = numbers[sample]
    drawn = drawn[drawn >= 0]
    if len(np.unique(drawn)) > max(_FEW, _NEAR_UNIQUE * len(drawn)):
        shaped, built = pd.factorize(np.array([shape_of(text) for text in texts], object))
        numbers = np.where(numbers >= 0, shaped[numbers], -1)
        texts, shapes = [str(value) for value in built], True
        drawn = numbers[sample]
        drawn = drawn[drawn >= 0]
    order = np.argsort(-np.bincount(drawn, minlength=len(texts)), kind="stable")
    place = np.full(len(texts) + 1, MISSING_CODE)
    place[order] = np.minimum(np.arange(len(texts)), _LEVELS) + 1
    labels = [texts[k] for k in order[:_LEVELS]] + (["other"] if len(texts) > _LEVELS else [])
    return Coded(place[numbers], ("missing", *labels), shapes=shapes, categories=True)


def shape_of(text: str) -> str:
    """Return how a text is built: the letters it begins with, then runs of letters and digits, and how long it is.

    Examples
    --------
    >>> shape_of("CUST-00412"), shape_of("CUST-00977"), shape_of("0f3a")
    ('CUST-9 (10)', 'CUST-9 (10)', 'hex (4)')
    """
    # Hexadecimal ids are letters and digits by chance: each would have a shape of its own.
    if re.fullmatch(r"[0-9a-fA-F-]*\d[0-9a-fA-F-]*", text):
        return f"hex ({len(text)})" if re.search(r"[a-fA-F]", text) else f"9 ({len(text)})"
    front = re.match(r"[^\W\d_]{2,8}(?=[\W\d_])", text)
    head = front.group() if front else ""
    rest = re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", text[len(head) :]))
    return f"{head}{rest[:24]} ({len(text)})"
