"""The demo's leads on the sales pages: a store of its own, filled from the warehouse and scored."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from data.console import console, step
from data.store.engine import open_store
from data.store.migrate import migrate
from data.sync import sync
from data.warehouse import Warehouse
from serving.batch.score_command import score_open_leads
from serving.process.state import answering

if TYPE_CHECKING:
    from data.settings import Settings

__all__ = ["fill_pages"]


def fill_pages(settings: Settings, as_of_us: int) -> int:
    """Make the store, give it the warehouse's open leads, score them at a moment, and return how many there are.

    Raises
    ------
    InfrastructureError
        If the store cannot be used.
    """
    migrate(settings.store_url)
    warehouse = Warehouse(settings.warehouse_dir)
    with closing(open_store(settings.store_url)) as store:
        with step("giving the store the open leads") as tell:
            sync(store, warehouse, threads=settings.query_threads, progress=tell)
        with step("scoring them for the sales pages") as tell:
            scored = score_open_leads(store, answering(settings).scorer, settings, as_of_us, progress=tell).scored
    console().print(f"{scored:,} open leads stand on the sales pages.", markup=False)
    return scored
