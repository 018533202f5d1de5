"""How raw features become numbers: one stored vocabulary and scaling for the linear part and the trees alike."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from features.catalogue import Catalogue, Feature
from features.memory import Attribute

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MISSING", "OTHER", "CategoryCode", "Encoding", "NumberCode", "learn_encoding"]

MISSING, OTHER = 0, 1
_FIRST_LEVEL = 2
_MAX_LEVELS = 60


class _Code(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    group: str


class NumberCode(_Code):
    """A numeric feature: clipped, optionally log1p, standardised; missing reads as the mean.

    `low` and `high` bound the fit's 1-99 % range extended by its own width on both sides: an outlier cannot run away
    with the margin, yet a column that drifts (a rate, an index) may leave the fit's range and still be followed.
    `log` is set for numbers from 0 on where the catalogue says so or the upper half stretches far; range and width are
    then those of the logarithms.

    `missing` says whether the fit saw missing values, so that a missing indicator has a weight to learn.
    """

    low: float
    high: float
    log: bool
    mean: float
    sd: float
    missing: bool
    monotone: int = 0

    @property
    def width(self) -> int:
        """Columns in the linear design."""
        return 2 if self.missing else 1

    def standardised(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `(f(clip(x)) - mean) / sd` with f = log1p or identity; NaN as 0."""
        clipped = np.clip(values, self.low, self.high)
        scaled = np.log1p(clipped) if self.log else clipped
        return np.nan_to_num((scaled - self.mean) / self.sd, nan=0.0)


class CategoryCode(_Code):
    """A categorical feature: level k of the stored vocabulary has code k + 2; 0 is MISSING, 1 is OTHER."""

    levels: tuple[str, ...]

    @property
    def width(self) -> int:
        """Columns in the linear design: MISSING, OTHER and each level."""
        return len(self.levels) + _FIRST_LEVEL

    def codes(self, values: Sequence[Attribute] | NDArray[np.object_]) -> NDArray[np.int64]:
        """Return the code of each value."""
        table: dict[Attribute, int] = {level: k + _FIRST_LEVEL for k, level in enumerate(self.levels)}
        table[None] = MISSING
        known = [table.get(value, OTHER) for value in values]
        # NaN, the only value unequal to itself, is missing as well.
        return np.array([MISSING if v != v else k for v, k in zip(values, known, strict=True)], np.int64)  # noqa: PLR0124

    def column(self, column: pd.Series[Any]) -> NDArray[np.int64]:
        """Return the codes of a whole column, as `codes` does value by value."""
        import pandas as pd

        places = pd.Index(self.levels, dtype=object).get_indexer(pd.Index(column.to_numpy(object), dtype=object))
        known = np.where(places < 0, OTHER, places + _FIRST_LEVEL)
        return np.where(column.isna().to_numpy(), MISSING, known).astype(np.int64)


class Encoding(BaseModel):
    """The codes of all features of a model, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    codes: tuple[NumberCode | CategoryCode, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in matrix order."""
        return tuple(code.name for code in self.codes)

    @property
    def categorical(self) -> list[int]:
        """Positions of the categorical features."""
        return [k for k, code in enumerate(self.codes) if isinstance(code, CategoryCode)]

    @property
    def monotone(self) -> list[int]:
        """Direction of each feature: -1, 0 or 1."""
        return [code.monotone if isinstance(code, NumberCode) else 0 for code in self.codes]

    @property
    def owners(self) -> NDArray[np.int64]:
        """For each column of the linear design the position of its feature."""
        return np.repeat(np.arange(len(self.codes)), [code.width for code in self.codes])

    def tree_matrix(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return the (n, features) matrix of the trees: raw numbers with NaN, category codes."""
        matrix = np.empty((len(frame), len(self.codes)))
        for k, code in enumerate(self.codes):
            column = frame[code.name]
            if isinstance(code, NumberCode):
                matrix[:, k] = column.to_numpy(np.float64, na_value=np.nan)
            else:
                matrix[:, k] = code.column(column)
        return matrix

    def tree_row(self, values: Mapping[str, Attribute]) -> NDArray[np.float64]:
        """Return the (1, features) matrix of one lead."""
        row = np.empty((1, len(self.codes)))
        for k, code in enumerate(self.codes):
            value = values.get(code.name)
            if isinstance(code, CategoryCode):
                row[0, k] = code.codes([value])[0]
            else:
                row[0, k] = math.nan if value is None else float(value)
        return row

    def design(self, trees: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (n, columns) design of the linear part, made from the trees' matrix."""
        design = np.zeros((len(trees), sum(code.width for code in self.codes)))
        rows, at = np.arange(len(trees)), 0
        for k, code in enumerate(self.codes):
            if isinstance(code, NumberCode):
                design[:, at] = code.standardised(trees[:, k])
                if code.missing:
                    design[:, at + 1] = np.isnan(trees[:, k])
            else:
                design[rows, at + trees[:, k].astype(np.int64)] = 1.0
            at += code.width
        return design


def learn_encoding(frame: pd.DataFrame, catalogue: Catalogue, *, min_rows: int = 20) -> Encoding:
    """Learn vocabulary and scaling from the fit rows.

    Left out are features that are constant there, categories without a common level, and copies of earlier numbers.

    Parameters
    ----------
    frame
        Raw features of the fit rows; no outcome is looked at.
    catalogue
        Gives order, groups, scale and monotone direction.
    min_rows
        A category seen in fewer rows is folded into OTHER, as are all but the 60 commonest.
    """
    codes: list[NumberCode | CategoryCode] = []
    seen: set[bytes | str] = set()
    for feature in catalogue.features:
        column = frame[feature.name]
        code = _learn(column, feature, min_rows)
        if code is None:
            continue
        # Windows that hold the same events on all fit rows are one feature; copies would only dilute the penalty.
        content = _content(column) if isinstance(code, NumberCode) else code.name
        if content not in seen:
            codes.append(code)
            seen.add(content)
    return Encoding(codes=tuple(codes))


def _content(column: pd.Series[float]) -> bytes:
    return hashlib.sha256(column.to_numpy(np.float64, na_value=np.nan).tobytes()).digest()


def _learn(column: pd.Series[float], feature: Feature, min_rows: int) -> NumberCode | CategoryCode | None:
    if feature.kind == "categorical":
        counts = Counter({str(level): int(number) for level, number in column.value_counts().items()})
        # The commonest first, equally common ones by name: the order of the rows must not decide.
        common = sorted((-number, level) for level, number in counts.items() if number >= min_rows)[:_MAX_LEVELS]
        levels = sorted(level for _, level in common)
        constant = len(counts) == 0 or (len(counts) == 1 and not column.isna().any())
        return (
            None
            if constant or not levels
            else CategoryCode(name=feature.name, group=feature.group, levels=tuple(levels))
        )
    values = column.to_numpy(np.float64, na_value=np.nan)
    present = np.asarray(values[~np.isnan(values)], np.float64)
    if not len(present):
        return None
    missing = len(present) < len(values)
    if present.min() == present.max() and not missing:
        return None
    log = bool(present.min() >= 0) and (feature.scale == "log" or _heavy_tailed(present))
    low, high = _range(np.asarray(np.log1p(present) if log else present, np.float64))
    if log:
        low, high = max(float(np.expm1(low)), 0.0), float(np.expm1(high))
    scaled = np.log1p(np.clip(present, low, high)) if log else np.clip(present, low, high)
    return NumberCode(
        name=feature.name,
        group=feature.group,
        low=low,
        high=high,
        log=log,
        mean=float(scaled.mean()),
        # The deviation of equal numbers need not be 0 in floats; divided by it, the last bits would count.
        sd=float(scaled.std()) if scaled.min() < scaled.max() else 1.0,
        missing=missing,
        monotone=feature.monotone,
    )


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 1-99 % range extended by its width on both sides; of rare values, that of all."""
    low, high = (float(q) for q in np.quantile(values, (0.01, 0.99)))
    if low == high:
        low, high = float(values.min()), float(values.max())
    return low - (high - low), high + (high - low)


def _heavy_tailed(values: NDArray[np.float64]) -> bool:
    """Tell whether the upper half stretches more than five times as far as the lower half."""
    low, middle, high = np.quantile(values, (0.01, 0.5, 0.99))
    return bool(high - middle > 5 * (middle - low))
