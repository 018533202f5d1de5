"""What the tests of the store share: a store on either database, some facts, and all of its rows to compare."""

from __future__ import annotations

import math
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.clock import DAY_US
from data.store import ContactRecord, EventRecord, LeadRecord, Score, Store, migrate, open_store
from data.store.schema import METADATA
from tests.postgres import fresh_url

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BOTH", "NOW_US", "ROOT", "SIGNING", "crowd", "emptied", "event", "lead", "made_store", "rows_of", "score"]

ROOT = Path(__file__).parents[2]
BOTH = ("sqlite", "postgres")
NOW_US = 20_000 * DAY_US
SIGNING = "what signs messages"


@contextmanager
def made_store(kind: str, folder: Path) -> Iterator[Store]:
    """Give a migrated, empty store."""
    with fresh_url(kind, folder) as url:
        migrate(url)
        store = open_store(url)
        try:
            yield store
        finally:
            store.close()


def emptied(store: Store) -> Store:
    """Delete all rows, so that one database serves many examples."""

    def work(connection: sa.Connection) -> None:
        for table in METADATA.sorted_tables:
            connection.execute(sa.delete(table))

    store.write(work)
    return store


def rows_of(store: Store, *names: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of some tables, by default of all, each in one order."""
    chosen = names or tuple(METADATA.tables)
    with store.reading() as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(sa.select(METADATA.tables[name]))), key=repr)
            for name in chosen
        }


def lead(lead_id: str = "L-1", **fields: Any) -> LeadRecord:
    if "contact" in fields:
        fields["contact"] = ContactRecord(**fields["contact"])
    return LeadRecord(**{"lead_id": lead_id, "created_at": 10 * DAY_US, **fields})


def event(event_id: str, lead_id: str = "L-1", *, day: float = 11, **fields: Any) -> EventRecord:
    us = round(day * DAY_US)
    told = {"source": "site", "type": "page_view", "occurred_at": us, "known_at": us, **fields}
    return EventRecord(event_id=event_id, lead_id=lead_id, **told)


def score(lead_id: str = "L-1", *, grade: str | None = "B", as_of_us: int = NOW_US, **fields: Any) -> Score:
    told: dict[str, Any] = {
        "bundle": "sha256:1",
        "source": "model",
        "probability": 0.1 + 0.2,
        "logit": -math.pi,
        "pool": "C",
        "features": {"page_views_7d": 1 / 3, "industry": "软件", "employees": None},
        "reasons": [{"group": "pages", "logit": 5e-324}],
        "rules": {"points": 30},
        "cause": "change",
    }
    return Score(lead_id=lead_id, as_of_us=as_of_us, grade=grade, **(told | fields))


# Loads what is needed once; children that are forked then start at once. Each works on its own connections.
_CROWD = """
import io, os, sys
{script}
number, arguments = int(sys.argv[1]), sys.argv[2:]
waiting, go = os.pipe()
children = []
for each in range(number):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(go)
            os.read(waiting, 1)
            sys.stdout = io.StringIO()
            work(each, *arguments)
            os.write(1, sys.stdout.getvalue().encode())  # at once, so that lines do not mix
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    children.append(child)
os.close(go)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def crowd(script: str, number: int, *arguments: str) -> list[str]:
    """Run `work(n, *arguments)` of a script in several processes at once; return the lines that they print."""
    command = [sys.executable, "-c", _CROWD.replace("{script}", script), str(number), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()
