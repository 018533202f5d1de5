"""The first page of the list with a hundred thousand open leads, against what the least that shows them would cost."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

from jinja2 import Environment, Template

from data.clock import now, to_us
from data.store import Store, migrate, open_store
from features.scorecard import load_scorecard
from serving.scoring.scorer import Scorer
from serving.stored.door import Door
from tests.benchmarks.measure import Measured, against
from tests.browser.many import multiply
from tests.service.browsing import Browser, lead_ids_on, pages_over
from tests.service.bundles import small_bundle
from tests.service.selling import fill_store

__all__ = ["first_list"]

LEADS, SCORED = 100_000, 60
_ROWS = """
SELECT l.lead_id, l.account, l.probability, l.grade, l.pool, l.owner_id, s.reasons
FROM listed AS l JOIN scores AS s ON s.score_id = l.score_id ORDER BY l.place DESC, l.lead_id DESC LIMIT 50
"""
_TABLE = """<!doctype html><title>Leads</title><h1>{{ count }} leads</h1><table>
{% for lead_id, account, chance, grade, pool, owner, reason in rows %}
<tr><th>{{ account or lead_id }}<td>{{ "%.0f" | format(100 * chance) }} %<td>{{ grade }}<td>{{ pool }}<td>{{ reason }}
<td>{{ owner or "-" }}
{% endfor %}</table>"""


def first_list() -> Measured:
    """Measure the list as the application answers it, against one SELECT and one template.

    The peer shows the same 50 rows with one reason each. It asks for no key, no filters, no capacity and no language,
    and does not look whether the leads are open still; what is more in the page is what the ratio costs.
    """
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        scorer = Scorer(small_bundle(Path(folder) / "bundle"), load_scorecard())
        path = Path(folder) / "store.sqlite"
        url = f"sqlite:///{path}"
        migrate(url)
        with closing(open_store(url)) as store:
            _fill(store, scorer)
            return _compared(url, path, scorer)


def _fill(store: Store, scorer: Scorer) -> None:
    fill_store(store, scorer, now_us=to_us(now()), leads=SCORED)
    multiply(store, LEADS)


def _compared(url: str, path: Path, scorer: Scorer) -> Measured:
    door = Door(url)
    door.look()
    browser = Browser(pages_over(door, scorer))
    page = browser.get("/")
    with closing(sqlite3.connect(path)) as connection:
        shown = [row[0] for row in connection.execute(_ROWS)]
        if lead_ids_on(page) != shown:
            raise AssertionError("the page and its peer show other leads")
        found = against(lambda: browser.get("/"), lambda: _plain(connection), rounds=9, each=5)
    door.close()
    found.also.update({"leads": LEADS, "page_bytes": len(page.content)})
    return found


def _plain(connection: sqlite3.Connection) -> str:
    """Show the same leads in the plainest way."""
    (count,) = connection.execute("SELECT COUNT(*) FROM listed").fetchone()
    rows = []
    for *cells, reasons in connection.execute(_ROWS):
        strongest = max(json.loads(reasons), key=lambda reason: abs(reason["logit"]), default={"text": ""})
        rows.append([*cells, strongest["text"]])
    return _template().render(count=count, rows=rows)


@cache
def _template() -> Template:
    return Environment(autoescape=True).from_string(_TABLE)
