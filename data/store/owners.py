"""Whose leads they are, as the newest version of each says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from data.store.records import is_storable
from data.store.schema import FACTS
from data.store.statements import chunks

if TYPE_CHECKING:
    from collections.abc import Collection

    from data.store.engine import Store

__all__ = ["owners_of"]


def owners_of(store: Store, lead_ids: Collection[str]) -> dict[str, str | None]:
    """Return the owner of each of the leads that are stored, None where a lead has none.

    Raises
    ------
    InfrastructureError
        If the database cannot be used.
    """
    leads = FACTS["leads"]
    found: dict[str, str | None] = {}
    asked = sorted(lead_id for lead_id in set(lead_ids) if is_storable(lead_id))
    with store.reading() as connection:
        for piece in chunks(asked):
            query = sa.select(leads.c.lead_id, leads.c.owner_id).where(leads.c.lead_id.in_(piece))
            found |= {row[0]: row[1] for row in connection.execute(query.order_by(leads.c.known_at))}
    return found
