"""The demo's leads on the sales pages: a store of its own, filled from the warehouse, scored, with a key to look."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from data.clock import DAY_US
from data.console import console, step
from data.store.dirty import take_dirty, unmark
from data.store.engine import open_store
from data.store.keys import create_key
from data.store.migrate import migrate
from data.sync import sync
from data.warehouse import Warehouse
from serving.batch.score_command import score_open_leads
from serving.process.state import answering

if TYPE_CHECKING:
    from data.settings import Settings
    from data.store.engine import Store

__all__ = ["FilledPages", "fill_monitoring", "fill_pages"]

# So that the pages can say how similar leads ended: those that end after this moment have been scored before.
_EARLIER_US = 60 * DAY_US


@dataclass(frozen=True)
class FilledPages:
    """How many open leads stand on the pages, and the text of a key that sees all of them."""

    leads: int
    key: str


def fill_pages(settings: Settings, as_of_us: int) -> FilledPages:
    """Make the store, give it the warehouse's leads, score the open ones some weeks before a moment and at it.

    Raises
    ------
    InfrastructureError
        If the store cannot be used.
    """
    migrate(settings.store_url)
    warehouse = Warehouse(settings.warehouse_dir)
    scorer = answering(settings).scorer
    with closing(open_store(settings.store_url)) as store:
        with step("giving the store the leads") as tell:
            sync(store, warehouse, threads=settings.query_threads, progress=tell)
        with step("scoring them for the sales pages, as of two months before and now") as tell:
            score_open_leads(store, scorer, settings, as_of_us - _EARLIER_US, progress=tell)
            scored = score_open_leads(store, scorer, settings, as_of_us, progress=tell).scored
        _settle(store)
        _, key = create_key(store, "demo", role="manager", scopes=("read", "score"))
    console().print(f"{scored:,} open leads stand on the sales pages.", markup=False)
    return FilledPages(scored, key)


def fill_monitoring(settings: Settings, as_of_us: int) -> None:
    """Look at the whole team as of a moment, and keep the figures for the page `/monitoring`."""
    from monitoring.market import measure_market
    from monitoring.standing_file import write_standing
    from monitoring.taking_stock import take_stock
    from monitoring.watch import watch

    with step("monitoring, with what each channel earned") as tell:
        watched = watch(settings, as_of_us=as_of_us, tell=tell)
        market = measure_market(settings, as_of_us, with_attribution=True, tell=tell)
        write_standing(take_stock(watched, market, timezone=settings.timezone), settings)


def _settle(store: Store) -> None:
    """Take away the marks of the leads: the demo stands still at its moment, however much later it is looked at."""
    while marked := take_dirty(store, 1000):
        store.write(partial(unmark, leads=marked))
