"""The data contract: the canonical tables, their columns, keys and clocks, written once.

Every row carries `known_at` (when the company's systems knew it) and `recorded_at` (set by the warehouse at
import). `leads` and `accounts` are histories: a new row for each change, the whole row each time. The customer's own
columns live in `leads` under the prefix `custom_`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import pyarrow as pa

__all__ = ["CUSTOM_PREFIX", "IN_WAREHOUSE_ONLY", "TABLES", "Column", "Kind", "Table", "arrow_schema"]

Kind = Literal["id", "category", "text", "number", "integer", "time"]
CUSTOM_PREFIX = "custom_"
# Bills come with an export and never by the endpoint: the operational store has no such table, and `sync` leaves it.
IN_WAREHOUSE_ONLY = frozenset({"spend"})

_ARROW: Mapping[Kind, pa.DataType] = MappingProxyType(
    {
        "id": pa.string(),
        "category": pa.string(),
        "text": pa.string(),
        "number": pa.float64(),
        "integer": pa.int64(),
        "time": pa.timestamp("us", tz="UTC"),
    }
)


@dataclass(frozen=True)
class Column:
    """A column of the contract; `required` means that a row without it is quarantined.

    In a `blank` column an empty cell is kept as the empty text, so that it may be part of a key: the row speaks of all
    that the column could tell apart.
    """

    name: str
    kind: Kind
    required: bool = False
    personal: bool = False
    blank: bool = False


@dataclass(frozen=True)
class Table:
    """A canonical table.

    `key` identifies a row (equal keys with equal content are duplicates, with different content the newcomer is
    quarantined); `happened` names the column that holds `occurred_at` in the sense of the design; in a `history` a
    row replaces the earlier ones of the same entity from its `known_at` on.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    happened: str | None = None
    history: bool = False

    def column(self, name: str) -> Column:
        """Return the column of that name, or raise KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


_KNOWN_AT = Column("known_at", "time", required=True)
_RECORDED_AT = Column("recorded_at", "time", required=True)


def _table(name: str, key: str, columns: str, *, happened: str | None = None, history: bool = False) -> Table:
    """Read the shorthand below: `name:kind`, `!` for required, `~` for personal, `_` for blank and required."""
    parsed = []
    for word in columns.split():
        column, kind = word.rstrip("!~_").split(":")
        flags = word[len(column) + 1 + len(kind) :]
        parsed.append(
            Column(
                column,
                kind,  # type: ignore[arg-type]
                required="!" in flags or "_" in flags,
                personal="~" in flags,
                blank="_" in flags,
            )
        )
    return Table(name, tuple(key.split()), (*parsed, _KNOWN_AT, _RECORDED_AT), happened=happened, history=history)


TABLES: Mapping[str, Table] = MappingProxyType(
    {
        table.name: table
        for table in (
            _table(
                "accounts",
                "account_id known_at",
                "account_id:id! name:text industry:category employees:number annual_revenue:number currency:category "
                "country:category region:category founded_year:integer website:text",
                history=True,
            ),
            _table(
                "leads",
                "lead_id known_at",
                "lead_id:id! created_at:time! account_id:id person_id:id source:category medium:category "
                "campaign:category keyword:category landing_page:category job_title:text country:category owner_id:id "
                "status:category seniority:category email_domain_kind:category contact_completeness:number",
                happened="created_at",
                history=True,
            ),
            _table(
                "contacts",
                "lead_id known_at",
                "lead_id:id! person_id:id name:text~ email:text~ phone:text~",
                history=True,
            ),
            _table(
                "events",
                "source event_id",
                "source:category! event_id:id! lead_id:id! type:category! occurred_at:time! content_id:id "
                "campaign:category keyword:category channel:category duration_s:number value:number",
                happened="occurred_at",
            ),
            _table(
                "stages",
                "lead_id stage occurred_at",
                "lead_id:id! stage:category! occurred_at:time! actor_id:id reason:category",
                happened="occurred_at",
            ),
            _table(
                "outcomes",
                "lead_id known_at",
                "lead_id:id! outcome:category! closed_at:time! amount:number currency:category reason:category",
                happened="closed_at",
            ),
            _table(
                "actions",
                "action_id",
                "action_id:id! lead_id:id! type:category! occurred_at:time! actor_id:id reason:category",
                happened="occurred_at",
            ),
            _table(
                "merges",
                "lead_id occurred_at",
                "lead_id:id! occurred_at:time! into_lead_id:id!",
                happened="occurred_at",
            ),
            # A history: platforms correct the cost of a day for weeks, and the newest version holds.
            _table(
                "spend",
                "channel campaign keyword day known_at",
                "channel:category! campaign:category_ keyword:category_ day:time! cost:number! currency:category! "
                "impressions:integer clicks:integer",
                happened="day",
                history=True,
            ),
        )
    }
)


def arrow_schema(table: Table, custom: Mapping[str, str] = MappingProxyType({})) -> pa.Schema:
    """Return the Parquet schema of a table.

    Parameters
    ----------
    table
        The canonical table.
    custom
        The customer's own columns of `leads`: name without prefix to `numeric`, `categorical` or `text`.

    Examples
    --------
    >>> arrow_schema(TABLES["leads"], {"erp": "categorical"}).field("custom_erp").type
    DataType(string)
    """
    fields = [pa.field(column.name, _ARROW[column.kind]) for column in table.columns]
    if table.name == "leads":
        fields += [
            pa.field(CUSTOM_PREFIX + name, pa.float64() if kind == "numeric" else pa.string())
            for name, kind in sorted(custom.items())
        ]
    return pa.schema(fields)
