"""A small CRM that changes while it is exported: its true history, what an export shows, what must come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from data.mapping import Mapping

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HEADER = "Id,Created,Owner,Status,Outcome,Closed"


def week(number: int) -> datetime:
    """The moment of an export."""
    return START + timedelta(weeks=number)


def hour(number: int) -> datetime:
    return START + timedelta(hours=number)


@dataclass
class Lead:
    """One lead: when it was created, and each change of a field with its time; `gone` says that it was deleted."""

    name: str
    created: datetime
    changes: list[tuple[datetime, str, Any]] = field(default_factory=list)

    def at(self, moment: datetime) -> dict[str, Any] | None:
        """What the CRM shows at a moment, None where it has no such lead."""
        state: dict[str, Any] = {"Owner": "ann", "Status": "new", "Outcome": "Open", "Closed": None, "gone": False}
        for when, name, value in sorted(self.changes, key=lambda change: change[0]):
            if when <= moment:
                state[name] = value
                if name == "Outcome":
                    state["Closed"] = when if value != "Open" else None
        return None if moment < self.created or state["gone"] else state


def export(folder: Path, leads: list[Lead], moment: datetime) -> Path:
    """Write what the CRM shows at a moment."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [HEADER]
    for lead in leads:
        if state := lead.at(moment):
            closed = state["Closed"].isoformat() if state["Closed"] else ""
            known = (state["Owner"], state["Status"], state["Outcome"], closed)
            lines.append(",".join((lead.name, lead.created.isoformat(), *(value or "" for value in known))))
    (folder / "crm.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def crm(*, at_import: bool = True, full: bool = True, **tables: Any) -> Mapping:
    """The mapping of that CRM: leads known at import, or at creation with a status that is known later."""
    status: Any = "Status" if at_import else {"column": "Status", "known": "later"}
    return Mapping.model_validate(
        {
            "mapping": 1,
            "name": "crm",
            "zone": "UTC",
            "full_export": full,
            "files": {"crm": {"path": "crm.csv"}},
            "tables": {
                "leads": {
                    "from": "crm",
                    "known_at": "import" if at_import else {"after": "created_at"},
                    "columns": {"lead_id": "Id", "created_at": "Created", "owner_id": "Owner", "status": status},
                },
                "stages": {
                    "from": "crm",
                    "where": [{"column": "Status", "filled": True}],
                    "known_at": "import",
                    "columns": {"lead_id": "Id", "stage": "Status", "occurred_at": {"exported_at": True}},
                },
                "outcomes": {
                    "from": "crm",
                    "known_at": {"after": "closed_at"},
                    "columns": {
                        "lead_id": "Id",
                        "outcome": {"column": "Outcome", "values": {"Won": "won", "Lost": "lost", "*": "open"}},
                        "closed_at": "Closed",
                    },
                },
                **tables,
            },
        }
    )


def us(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


@dataclass
class Expected:
    """What must stand in the warehouse, each table as a set of plain rows with times in microseconds."""

    leads: set[tuple[Any, ...]] = field(default_factory=set)
    stages: set[tuple[Any, ...]] = field(default_factory=set)
    outcomes: set[tuple[Any, ...]] = field(default_factory=set)
    actions: set[tuple[Any, ...]] = field(default_factory=set)


def expected(leads: list[Lead], weeks: list[int], *, at_import: bool) -> Expected:
    """The true history, each change rounded up to the next export that can show it."""
    found = Expected()
    moments = [week(number) for number in weeks]
    for lead in leads:
        shown = [(us(moment), lead.at(moment)) for moment in moments]
        _versions(found, lead, shown, at_import=at_import)
        _stages(found, lead, shown)
        _outcomes(found, lead, shown)
        _actions(found, lead, shown)
    return found


def _versions(found: Expected, lead: Lead, shown: list[tuple[int, Any]], *, at_import: bool) -> None:
    newest: tuple[Any, ...] | None = None
    for number, (moment, state) in enumerate(shown):
        if state is None:
            continue
        present = (state["Owner"], state["Status"])
        created = us(lead.created)
        if newest is None and not at_import and (number == 0 or created > shown[number - 1][0]):
            newest = (state["Owner"], None)  # what is known later is not known at creation
            found.leads.add((lead.name, *newest, created))
        if present != newest:
            found.leads.add((lead.name, *present, moment))
        newest = present


def _stages(found: Expected, lead: Lead, shown: list[tuple[int, Any]]) -> None:
    newest = None
    for moment, state in shown:
        if state and state["Status"] and state["Status"] != newest:
            newest = state["Status"]
            found.stages.add((lead.name, newest, moment, moment))


def _outcomes(found: Expected, lead: Lead, shown: list[tuple[int, Any]]) -> None:
    believed: tuple[str, int, int] | None = None
    before = -1
    for moment, state in shown:
        if state and state["Outcome"] == "Open":
            if believed and believed[0] != "open":
                believed = ("open", moment, moment)
                found.outcomes.add((lead.name, *believed))
        elif state and (believed is None or believed[:2] != (state["Outcome"].lower(), us(state["Closed"]))):
            closed = us(state["Closed"])
            known = closed if closed > before and (believed is None or closed > believed[2]) else moment
            believed = (state["Outcome"].lower(), closed, known)
            found.outcomes.add((lead.name, *believed))
        before = moment


def _actions(found: Expected, lead: Lead, shown: list[tuple[int, Any]]) -> None:
    there = None
    for moment, state in shown:
        if there is not None and there != (state is not None):
            found.actions.add((lead.name, "reappeared" if state else "vanished", moment, moment))
        there = (state is not None) if there is not None or state else None
