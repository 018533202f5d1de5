"""Many leads through a bundle at once: a table of features in, probability, score and grade of each row out.

Every row is computed by itself, so that neither the other rows nor the size of the blocks change a bit of an answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import DataError
from training.bundles.bundle import LOGIT_BOUND
from training.learning.encoding import MISSING, OTHER, CategoryCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from training.bundles.bundle import Bundle, SealedModel
    from training.learning.encoding import Encoding

__all__ = ["answer_schema", "score_table"]

_BLOCK = 8192
_FIRST_LEVEL = 2
_REASON = pa.struct([pa.field("group", pa.string()), pa.field("logit", pa.float64())])


def answer_schema(*, reasons: int = 0) -> pa.Schema:
    """Return the columns of `score_table`.

    Examples
    --------
    >>> answer_schema().names
    ['lead_id', 'as_of_us', 'probability', 'logit', 'low', 'high', 'unlike', 'score', 'grade']
    """
    kinds = {
        "lead_id": pa.string(),
        "as_of_us": pa.int64(),
        "probability": pa.float64(),
        "logit": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "unlike": pa.bool_(),
        "score": pa.int64(),
        "grade": pa.string(),
    }
    if reasons:
        kinds["reasons"] = pa.list_(_REASON)
    return pa.schema(list(kinds.items()))


def score_table(bundle: Bundle, table: pa.Table, *, profile_only: bool = False, reasons: int = 0) -> pa.Table:
    """Return what the bundle says of each row, in the order of the rows.

    Parameters
    ----------
    bundle
        The sealed model.
    table
        `lead_id`, `as_of_us` and the features that the model reads, as `features.sql.compute_features` returns them.
    profile_only
        Answer by the model for leads whose events are not known.
    reasons
        How many groups of features to tell, those that move the log-odds most; 0 is much quicker.

    Returns
    -------
    pyarrow.Table
        `lead_id`, `as_of_us`, `probability` (within 0.1 % and 99.9 %), `logit` (calibrated log-odds, unbounded),
        `low` and `high` (the 90 % range for the win rate of leads scored like this, null where none could be learnt),
        `unlike` (whether the lead is unlike those the model has learnt from), `score` (1 to 100), `grade` and, if asked
        for, `reasons`: a list of group and its part of the log-odds.

    Raises
    ------
    DataError
        If the table lacks a column; it is named.
    """
    sealed = bundle.profile if profile_only else bundle.full
    missing = {"lead_id", "as_of_us", *sealed.model.encoding.names} - set(table.column_names)
    if missing:
        raise DataError(
            f"the table lacks {len(missing)} column(s) that the bundle reads, {min(missing)!r} first",
            hint="compute the features with the bundle's own catalogue",
        )
    schema = answer_schema(reasons=reasons)
    blocks = [_score_block(bundle, sealed, block, reasons) for block in _blocks(table)]
    return pa.concat_tables(blocks) if blocks else schema.empty_table()


def _blocks(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, len(table), _BLOCK):
        yield table.slice(start, _BLOCK)


def _score_block(bundle: Bundle, sealed: SealedModel, table: pa.Table, reasons: int) -> pa.Table:
    matrix = _tree_matrix(sealed.model.encoding, table)
    told: list[list[tuple[str, float]]] = []
    if reasons:
        phi, base = sealed.explain(matrix)
        logit = [base + math.fsum(row) for row in phi.tolist()]
        told = _reasons(sealed.model.encoding, phi, reasons)
    else:
        logit = _logit(sealed, matrix)
    # The one-lead answer goes through `math`: the exponential of NumPy may differ in the last bit, and so a grade.
    bounded = [min(max(value, -LOGIT_BOUND), LOGIT_BOUND) for value in logit]
    probability = [1 / (1 + math.exp(-value)) for value in bounded]
    unlike = _unlike(sealed, matrix)
    ranges = [
        bundle.interval(value, profile_only=sealed is bundle.profile, unlike=odd) or (None, None)
        for value, odd in zip(bounded, unlike, strict=True)
    ]
    columns = [
        table["lead_id"],
        table["as_of_us"],
        probability,
        logit,
        [low for low, _ in ranges],
        [high for _, high in ranges],
        unlike,
        [bundle.score(value) for value in probability],
        [bundle.grade(value) for value in probability],
        *([told] if reasons else []),
    ]
    schema = answer_schema(reasons=reasons)
    return pa.table([_column(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema)


def _column(values: object, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    return values.cast(kind) if isinstance(values, pa.ChunkedArray) else pa.array(values, kind)


def _logit(sealed: SealedModel, matrix: NDArray[np.float64]) -> list[float]:
    """Return the calibrated log-odds; the terms are added row by row, as a product of matrices may not be."""
    model, calibrator = sealed.model, sealed.calibrator
    terms = model.linear.terms(model.encoding.design(matrix), model.encoding)
    margin = model.alpha * (terms.sum(axis=1) + model.linear.base) + (1 - model.alpha) * model.base
    if model.trees is not None:
        margin = margin + np.asarray(model.trees.predict(matrix, raw_score=True, num_threads=1))
    logit: list[float] = calibrator.logit(margin).tolist()
    return logit


def _unlike(sealed: SealedModel, matrix: NDArray[np.float64]) -> list[bool]:
    if sealed.likeness is None:
        return [False] * len(matrix)
    found: list[bool] = (sealed.likeness.count(matrix) >= sealed.likeness.least).tolist()
    return found


def _tree_matrix(encoding: Encoding, table: pa.Table) -> NDArray[np.float64]:
    """Return the (n, features) matrix of `Encoding.tree_matrix`, made from Arrow columns."""
    matrix = np.empty((len(table), len(encoding.codes)))
    for k, code in enumerate(encoding.codes):
        column = table[code.name]
        if isinstance(code, CategoryCode):
            matrix[:, k] = _codes(code, column)
        else:
            matrix[:, k] = pc.fill_null(column.cast(pa.float64()), math.nan).to_numpy()
    return matrix


def _codes(code: CategoryCode, column: pa.ChunkedArray) -> NDArray[np.float64]:
    places = pc.index_in(column.cast(pa.string()), value_set=pa.array(code.levels, pa.string()))
    codes = pc.fill_null(pc.add(places, _FIRST_LEVEL), OTHER)
    return np.asarray(pc.if_else(column.is_null(), MISSING, codes).to_numpy(), np.float64)


def _reasons(encoding: Encoding, phi: NDArray[np.float64], count: int) -> list[list[tuple[str, float]]]:
    """Return for each row its strongest groups; of equally strong ones, those that the model names first."""
    groups = list(dict.fromkeys(code.group for code in encoding.codes))
    place = {group: k for k, group in enumerate(groups)}
    summed = np.zeros((len(phi), len(groups)))
    for k, code in enumerate(encoding.codes):
        summed[:, place[code.group]] += phi[:, k]
    order = np.argsort(-np.abs(summed), axis=1, kind="stable")[:, :count]
    return [
        [(groups[k], value) for k, value in zip(row, values, strict=True)]
        for row, values in zip(order.tolist(), np.take_along_axis(summed, order, axis=1).tolist(), strict=True)
    ]
