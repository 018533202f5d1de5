"""Which leads are open by what the store knows, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from data.store.reading import EVER_US
from data.store.schema import FACTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from data.store.engine import Store

__all__ = ["merged_away", "open_among", "open_leads"]


def _seen(alias: str) -> str:
    return f"{alias}.known_at <= :as_of AND {alias}.recorded_at <= :known_by"


# An outcome is believed until a later one of the lead is known; `open` takes back what was said before. A lead that
# full exports no longer hold has vanished, until they show it again.
_IS_OPEN = f"""
      l.created_at <= :as_of AND {_seen("l")}
      AND NOT EXISTS (
        SELECT 1 FROM outcomes AS o
        WHERE o.lead_id = l.lead_id AND o.outcome <> 'open' AND o.closed_at <= :as_of AND {_seen("o")}
          AND NOT EXISTS (SELECT 1 FROM outcomes AS n
                          WHERE n.lead_id = o.lead_id AND n.known_at > o.known_at AND {_seen("n")}))
      AND NOT EXISTS (
        SELECT 1 FROM actions AS v
        WHERE v.lead_id = l.lead_id AND v.type = 'vanished' AND v.occurred_at <= :as_of AND {_seen("v")}
          AND NOT EXISTS (SELECT 1 FROM actions AS r
                          WHERE r.lead_id = v.lead_id AND r.type IN ('vanished', 'reappeared') AND {_seen("r")}
                            AND (r.known_at > v.known_at
                                 OR (r.known_at = v.known_at AND r.action_id > v.action_id))))
"""  # noqa: S608 - only names of this module
_OPEN = sa.text(
    f"SELECT l.lead_id FROM leads AS l WHERE l.lead_id > :after AND {_IS_OPEN} "  # noqa: S608 - as above
    "GROUP BY l.lead_id ORDER BY l.lead_id LIMIT :limit"
)
_OPEN_AMONG = sa.text(
    f"SELECT DISTINCT l.lead_id FROM leads AS l WHERE l.lead_id IN :lead_ids AND {_IS_OPEN}"  # noqa: S608 - as above
).bindparams(sa.bindparam("lead_ids", expanding=True))


def open_leads(
    store: Store, *, as_of_us: int, after: str = "", limit: int = 1000, known_by_us: int = EVER_US
) -> list[str]:
    """Return the next open leads in the byte order of their ids; fewer than `limit` are the last ones.

    Open is a lead that had begun by `as_of`, has no ending in force, and is not merged into another one. Duplicate
    leads of a person are listed each: who is one person is decided by `features.people`.

    Parameters
    ----------
    store
        The open store.
    as_of_us
        The moment, microseconds UTC.
    after
        The last lead of the page before.
    limit
        Leads a page.
    known_by_us
        Facts recorded after it are left out.

    Raises
    ------
    InfrastructureError
        If the database cannot be used.
    """
    found: list[str] = []
    moment = {"as_of": as_of_us, "known_by": known_by_us}
    with store.reading() as connection:
        while len(found) < limit:
            asked = limit - len(found)
            page = list(connection.scalars(_OPEN, {**moment, "after": after, "limit": asked}))
            merged = merged_away(_merges(connection, page, **moment))
            found += [lead_id for lead_id in page if lead_id not in merged]
            if len(page) < asked:
                break
            after = page[-1]
    return found


def open_among(connection: sa.Connection, lead_ids: Sequence[str], *, as_of_us: int) -> set[str]:
    """Return those of at most some hundred leads that are open, as `open_leads` understands it."""
    moment = {"as_of": as_of_us, "known_by": EVER_US}
    found = list(connection.scalars(_OPEN_AMONG, {**moment, "lead_ids": list(lead_ids)})) if lead_ids else []
    return set(found) - merged_away(_merges(connection, found, **moment))


def merged_away(merges: Iterable[tuple[int, str, str]]) -> set[str]:
    """Return the leads that went up in another one; of merges that close a circle the last has no effect.

    Examples
    --------
    >>> sorted(merged_away([(1, "a", "b"), (2, "b", "c"), (3, "c", "a")]))
    ['a', 'b']
    """
    into: dict[str, set[str]] = {}
    for _, lead_id, target in sorted(merges):
        if lead_id not in _reached(target, into):
            into.setdefault(lead_id, set()).add(target)
    return set(into)


def _reached(lead_id: str, into: dict[str, set[str]]) -> set[str]:
    found, left = {lead_id}, [lead_id]
    while left:
        new = into.get(left.pop(), set()) - found
        found |= new
        left += new
    return found


def _merges(
    connection: sa.Connection, lead_ids: Sequence[str], *, as_of: int, known_by: int
) -> set[tuple[int, str, str]]:
    """Return the merges of these leads, and those that follow from them, whose target has begun."""
    rows, leads = FACTS["merges"], FACTS["leads"]
    begun = leads.c.known_at <= as_of, leads.c.created_at <= as_of, leads.c.recorded_at <= known_by
    known = sa.select(leads.c.lead_id).where(*begun)
    found: set[tuple[int, str, str]] = set()
    left, asked = set(lead_ids), set[str]()
    while left:
        query: sa.Select[Any] = sa.select(
            rows.c.occurred_at, rows.c.known_at, rows.c.lead_id, rows.c.into_lead_id
        ).where(
            rows.c.lead_id.in_(sorted(left)),
            rows.c.occurred_at <= as_of,
            rows.c.known_at <= as_of,
            rows.c.recorded_at <= known_by,
            rows.c.into_lead_id.in_(known),
        )
        found |= {(max(row[0], row[1]), row[2], row[3]) for row in connection.execute(query)}
        asked |= left
        left = {target for _, _, target in found} - asked
    return found
