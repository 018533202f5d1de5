"""How one mapped value becomes SQL: its text, its typed value, and the reason where it cannot be read.

Every function returns SQL text over columns that are already staged as VARCHAR; nothing here touches rows. Times are
whole microseconds since 1970-01-01 UTC (BIGINT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from data.derive import BLANK_CHARACTERS
from data.mapping import duration_us
from data.mapping_terms import EVERYTHING_ELSE
from data.readers import quote

if TYPE_CHECKING:
    from data.mapping import ColumnSpec, Condition, KnownAt
    from data.tables import Kind

__all__ = ["MONTHS", "NON_NEGATIVE", "Resolver", "Typed", "condition_sql", "text_sql", "time_sql", "typed_sql"]

# Where a negative number cannot be true. Amounts and values may be negative: credits and refunds are.
NON_NEGATIVE = frozenset(
    {
        "annual_revenue",
        "clicks",
        "contact_completeness",
        "cost",
        "duration_s",
        "employees",
        "founded_year",
        "impressions",
    }
)
_NUMBER = r"[+-]?((\d+|\d{1,3}(,\d{3})+)(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?"
_NOT_FINITE = r"(?i)[+-]?(nan|inf|infinity)"
_ISO = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?"
_OFFSET = r" ?(Z|z|UTC|[+-]\d{2}(:?\d{2})?)"
_TRIM = quote(BLANK_CHARACTERS)
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905 - reads better than a list


class Resolver:
    """Turns a source column of the mapping into SQL; the table that is being filled gives the staged columns."""

    def __init__(self, cells: dict[str, str], row: str) -> None:
        self._cells = cells
        self.row = row

    def cell(self, source: str) -> str:
        """Return the staged column without surrounding white space, NULL where nothing is left."""
        cell = self._cells[source]
        # Trimming a set of Unicode characters costs ten times what asking for plain ends does, and ends are plain.
        plain = f"{cell}[1] BETWEEN '!' AND '~' AND {cell}[-1] BETWEEN '!' AND '~'"
        return f"CASE WHEN {plain} THEN {cell} ELSE nullif(trim({cell}, {_TRIM}), '') END"


@dataclass(frozen=True)
class Typed:
    """SQL of a value, and SQL of the reason why it is no value, NULL where all is well.

    Where reading the text is dear, `read` is the SQL that does it once; its result has to stand under the name
    `u_<column>` where `value` and `reason` are asked for.
    """

    value: str
    reason: str = "NULL"
    read: str | None = None


def text_sql(spec: ColumnSpec, resolver: Resolver) -> str:
    """Return the text of a mapped column: source, then what means missing, then the value map."""
    if spec.value is not None:
        text = quote(spec.value)
    elif spec.row_number:
        text = f"{quote(spec.prefix)} || CAST({resolver.row} AS VARCHAR)"
    elif spec.concat is not None:
        cells = [resolver.cell(part) for part in spec.concat]
        text = f" || {quote(spec.sep)} || ".join(cells)
        if spec.skip_empty:
            text = f"nullif(concat_ws({quote(spec.sep)}, {', '.join(cells)}), '')"
        text = f"{quote(spec.prefix)} || {text}"
    else:
        text = resolver.cell(spec.column or "")
        text = f"{quote(spec.prefix)} || {text}" if spec.prefix else text
    missing = [value for value in spec.missing if value]
    if missing:
        text = f"CASE WHEN {text} IN ({', '.join(map(quote, missing))}) THEN NULL ELSE {text} END"
    if spec.values:
        arms = "".join(
            f" WHEN {quote(old)} THEN {quote(new)}" for old, new in spec.values.items() if old != EVERYTHING_ELSE
        )
        other = spec.values.get(EVERYTHING_ELSE)
        rest = text if other is None else f"CASE WHEN {text} IS NOT NULL THEN {quote(other)} END"
        text = f"nullif({f'CASE {text}{arms} ELSE {rest} END' if arms else rest}, '')"
    return text


def typed_sql(name: str, text: str, kind: Kind | Literal["numeric"]) -> Typed:
    """Return the typed value of a text that is no time.

    Numbers are plain or carry commas between thousands ("1,200.5"); a comma as decimal sign, a currency or a unit is
    refused with the row rather than guessed.
    """
    if kind in {"id", "category", "text"}:
        return Typed(text)
    number = f"TRY_CAST(replace({text}, ',', '') AS DOUBLE)"
    read = f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') AND isfinite({number}) THEN {number} END"
    huge = f"(regexp_full_match({text}, '{_NUMBER}') AND NOT isfinite({number}))"
    infinite = f"regexp_full_match({text}, '{_NOT_FINITE}') OR {huge}"
    value = f"u_{name}"
    checks = [
        f"WHEN {text} IS NULL THEN NULL",
        f"WHEN {value} IS NULL THEN CASE WHEN {infinite} THEN 'not_finite:{name}' ELSE 'bad_number:{name}' END",
    ]
    if name in NON_NEGATIVE:
        checks.append(f"WHEN {value} < 0 THEN 'negative:{name}'")
    if kind == "integer":
        checks.append(f"WHEN {value} <> floor({value}) OR abs({value}) > 9e15 THEN 'bad_number:{name}'")
        return Typed(f"TRY_CAST({value} AS BIGINT)", f"CASE {' '.join(checks)} END", read)
    return Typed(value, f"CASE {' '.join(checks)} END", read)


def time_sql(name: str, text: str, spec: ColumnSpec | KnownAt, zone: str | None) -> Typed:
    """Return microseconds UTC of a text; a time without an offset needs the zone of the mapping."""
    if spec.format == "iso":
        instant, naive, readable = _iso_sql(text, zone)
    else:
        instant, naive, readable = _format_sql(text, spec.format, zone)
    shift = duration_us(spec.plus) if spec.plus else 0
    value = f"u_{name}"
    reason = (
        f"CASE WHEN {value} >= 0 OR {text} IS NULL THEN NULL WHEN {value} < 0 THEN 'before_1970:{name}' "
        f"WHEN NOT coalesce({readable}, false) THEN 'bad_time:{name}' "
        f"WHEN {naive} THEN 'time_without_offset:{name}' END"
    )
    return Typed(value, reason, f"epoch_us({instant})" + (f" + {shift}" if shift else ""))


def _iso_sql(text: str, zone: str | None) -> tuple[str, str, str]:
    """Return (instant, is it naive without a zone, can it be read) of an ISO 8601 time.

    A bare date counts as midnight in the zone of the mapping.
    """
    with_offset = f"regexp_full_match({text}, '{_ISO}{_OFFSET}')"
    without = f"regexp_full_match({text}, '{_ISO}')"
    plain = f"TRY_CAST({text} AS TIMESTAMP)"
    aware = f"TRY_CAST(regexp_replace({text}, ' ([+-])', '\\1') AS TIMESTAMPTZ)"
    local = f"timezone({quote(zone)}, {plain})" if zone else "NULL::TIMESTAMPTZ"
    instant = f"CASE WHEN {with_offset} THEN {aware} WHEN {without} THEN {local} END"
    readable = f"CASE WHEN {with_offset} THEN {aware} IS NOT NULL WHEN {without} THEN {plain} IS NOT NULL END"
    return instant, "false" if zone else without, readable


def _format_sql(text: str, form: str, zone: str | None) -> tuple[str, str, str]:
    parsed = f"try_strptime({text}, {quote(form)})"
    if "%z" in form or "%Z" in form:
        return parsed, "false", f"{parsed} IS NOT NULL"
    if zone:
        return f"timezone({quote(zone)}, {parsed})", "false", f"{parsed} IS NOT NULL"
    return "NULL::TIMESTAMPTZ", f"{parsed} IS NOT NULL", f"{parsed} IS NOT NULL"


def condition_sql(condition: Condition, resolver: Resolver, zone: str | None) -> Typed:
    """Return whether a row meets a condition of `where`; the reason is set where a time to compare cannot be read."""
    text = resolver.cell(condition.column)
    tests: list[str] = []
    reason = "NULL"
    if condition.in_ is not None:
        tests.append(f"coalesce({text}, '') IN ({', '.join(map(quote, condition.in_))})")
    if condition.filled is not None:
        tests.append(f"{text} IS {'NOT ' if condition.filled else ''}NULL")
    if condition.from_ is not None or condition.until is not None:
        instant, _, readable = _iso_sql(text, zone or "UTC")
        for bound, sign in ((condition.from_, ">="), (condition.until, "<")):
            if bound is not None:
                limit, _, _ = _iso_sql(quote(bound), zone or "UTC")
                tests.append(f"coalesce({instant} {sign} {limit}, {text} IS NOT NULL)")
        reason = f"CASE WHEN {text} IS NOT NULL AND NOT coalesce({readable}, false) THEN 'bad_time:where' END"
    return Typed(" AND ".join(f"({test})" for test in tests), reason)
