"""Small exports for the tests of the import: files, a mapping over them, and the import at a fixed moment."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from data.import_report import ImportReport
from data.importing import import_export
from data.mapping import Mapping
from data.warehouse import Warehouse

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)

LEADS_HEADER = "Id,Created,Source,Title,Status,Employees,Outcome,Closed,Name,Email,Phone"
LEADS_ROWS = (
    "L1,2026-01-05T10:00:00Z,web,VP Ops,open,1200,,,Ada Secretname,ada@acme.example,+1 212 555 0100",
    "L2,2026-01-06T10:00:00Z,fair,,open,,won,2026-02-01T00:00:00Z,,,",
    'L3,2026-01-07T10:00:00Z,web,实习生,dead,"1,200",lost,2026-03-01T00:00:00Z,,bob@qq.com,',
)
EVENTS = (
    "EventId,Lead,Type,At\n"
    "e1,L1,visit,2026-01-06T00:00:00Z\n"
    "e2,L1,form,2026-02-06T00:00:00Z\n"
    "e3,L9,visit,2026-02-07T00:00:00Z\n"
)
MAPPING: dict[str, Any] = {
    "mapping": 1,
    "name": "small",
    "files": {"leads": {"path": "leads.csv"}, "events": {"path": "events.csv"}},
    "tables": {
        "leads": {
            "from": "leads",
            "known_at": {"after": "created_at"},
            "columns": {
                "lead_id": "Id",
                "created_at": "Created",
                "source": "Source",
                "job_title": "Title",
                "status": {"column": "Status", "known": "later"},
            },
            "custom": {"staff": {"column": "Employees", "kind": "numeric"}},
        },
        "contacts": {
            "from": "leads",
            "known_at": {"column": "Created"},
            "columns": {"lead_id": "Id", "name": "Name", "email": "Email", "phone": "Phone"},
        },
        "events": {
            "from": "events",
            "known_at": {"after": "occurred_at"},
            "columns": {
                "source": {"value": "site"},
                "event_id": "EventId",
                "lead_id": "Lead",
                "type": "Type",
                "occurred_at": "At",
            },
        },
        "outcomes": {
            "from": "leads",
            "where": [{"column": "Outcome", "filled": True}],
            "known_at": {"after": "closed_at"},
            "columns": {"lead_id": "Id", "outcome": "Outcome", "closed_at": "Closed"},
        },
    },
}


def leads_text(*rows: str) -> str:
    return "\n".join((LEADS_HEADER, *(rows or LEADS_ROWS))) + "\n"


def write_export(folder: Path, *, leads: str | bytes | None = None, events: str | bytes = EVENTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("leads.csv", leads_text() if leads is None else leads), ("events.csv", events)):
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def mapping(**changes: Any) -> Mapping:
    """The small mapping; a change is written tables__leads__zone=... and replaces what stands there."""
    raw = yaml.safe_load(yaml.safe_dump(MAPPING))
    for path, value in changes.items():
        *steps, last = path.split("__")
        place = raw
        for step in steps:
            place = place[step]
        place[last] = value
    return Mapping.model_validate(raw)


def run(folder: Path, warehouse: Warehouse, used: Mapping | None = None, *, now: datetime = NOW) -> ImportReport:
    report = import_export(folder, used or mapping(), warehouse, now=now)
    report.check()
    return report


def rows(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    with warehouse.connect() as con:
        return con.execute(query).fetchall()


def state(warehouse: Warehouse) -> dict[str, bytes]:
    """Every file of the warehouse but the lock and the quarantine, with its bytes."""
    return {
        str(path.relative_to(warehouse.path)): path.read_bytes()
        for path in sorted(warehouse.path.rglob("*"))
        if path.is_file() and path.name != ".lock" and "quarantine" not in path.parts
    }
