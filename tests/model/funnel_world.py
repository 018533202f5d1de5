"""A small world written by hand: rows of the canonical tables by short calls, and a connection that holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from data.tables import TABLES
from tests.reference.worlds import connect, load

if TYPE_CHECKING:
    import duckdb

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday


def on(day: float) -> datetime:
    """So many days after the start."""
    return START + timedelta(days=day)


@dataclass
class FunnelWorld:
    """Days count from `START`; what is told is known when it happens, unless `known` names another day."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})

    def lead(self, lead_id: str, day: float, *, known: float | None = None, **columns: Any) -> FunnelWorld:
        return self._add("leads", day, known, lead_id=lead_id, created_at=on(day), **columns)

    def event(self, lead_id: str, day: float, *, known: float | None = None, **columns: Any) -> FunnelWorld:
        number = f"e{len(self.tables['events'])}"
        columns = {"source": "site", "event_id": number, "type": "page_view"} | columns
        return self._add("events", day, known, lead_id=lead_id, occurred_at=on(day), **columns)

    def stage(self, lead_id: str, day: float, stage: str) -> FunnelWorld:
        return self._add("stages", day, None, lead_id=lead_id, stage=stage, occurred_at=on(day))

    def action(self, lead_id: str, day: float, kind: str) -> FunnelWorld:
        number = f"a{len(self.tables['actions'])}"
        return self._add("actions", day, None, action_id=number, lead_id=lead_id, type=kind, occurred_at=on(day))

    def ended(
        self, lead_id: str, day: float, outcome: str, *, known: float | None = None, **columns: Any
    ) -> FunnelWorld:
        return self._add("outcomes", day, known, lead_id=lead_id, outcome=outcome, closed_at=on(day), **columns)

    def paid(self, day: float, cost: float, *, known: float | None = None, **columns: Any) -> FunnelWorld:
        columns = {"channel": "ads", "campaign": "", "keyword": "", "currency": "EUR"} | columns
        return self._add("spend", day, known, day=on(day), cost=cost, **columns)

    def account(self, account_id: str, day: float, **columns: Any) -> FunnelWorld:
        return self._add("accounts", day, None, account_id=account_id, **columns)

    def connected(self) -> duckdb.DuckDBPyConnection:
        return load(connect(), self.tables)

    def _add(self, table: str, at: float, known: float | None, /, **row: Any) -> FunnelWorld:
        self.tables[table].append({"known_at": on(at if known is None else known), **row})
        return self
