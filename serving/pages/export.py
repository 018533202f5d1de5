"""The filtered list as CSV for a spreadsheet, in pieces as the store gives them, with nothing that runs in a cell."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["COLUMNS", "csv_lines", "harmless"]

COLUMNS = (
    *("rank", "lead_id", "account", "owner", "source", "industry", "created_at", "age_days", "grade", "pool"),
    *("probability", "points", "agreement", "respond_by", "top_reason", "feedback", "feedback_note", "feedback_at"),
)
# A spreadsheet reads a cell that begins so as a formula; the wide forms are what Chinese input methods type.
_BEGINS_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")


def harmless(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: texts that look like one get a quote in front.

    Examples
    --------
    >>> harmless("=1+1"), harmless(" @SUM(A1)"), harmless("Acme"), harmless(-0.5)
    ("'=1+1", "' @SUM(A1)", 'Acme', -0.5)
    """
    if not isinstance(value, str):
        return value
    begins = value.lstrip(" \u00a0\u3000")[:1]
    return f"'{value}" if begins in _BEGINS_FORMULA and begins else value


def csv_lines(rows: Iterable[Iterable[object]]) -> str:
    r"""Return rows as lines of CSV, every text harmless.

    Examples
    --------
    >>> csv_lines([["a, b", "+x", 1.5]]).strip()
    '"a, b",\'+x,1.5'
    """
    text = io.StringIO()
    csv.writer(text).writerows([harmless(cell) for cell in row] for row in rows)
    return text.getvalue()
