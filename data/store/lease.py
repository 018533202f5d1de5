"""Work that one process does at a time: a lease that expires, with a number that tells an old holder from a new one.

Clocks of two machines may differ, and a process may sleep through the end of its lease. So the lease only makes it rare
that two work at once; that the late one writes nothing is made certain by `hold`, which compares the number in the
transaction of the write.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from data.clock import now, to_us
from data.errors import InfrastructureError
from data.store.schema import LEASES
from data.store.statements import insert_into

if TYPE_CHECKING:
    from data.store.engine import Store

__all__ = ["Lease", "LeaseLostError", "acquire", "hold", "release", "renew"]


class LeaseLostError(InfrastructureError):
    """Another holder has the lease by now: what was to be written belongs to the past."""


@dataclass(frozen=True)
class Lease:
    """The right to do the work `name` until `expires_us`; each new holder's `token` is larger than all before it."""

    name: str
    holder: str
    token: int
    expires_us: int


def acquire(store: Store, name: str, *, holder: str, ttl_us: int, now_us: int | None = None) -> Lease | None:
    """Return the lease, or None while somebody holds it, be it under the same name.

    Parameters
    ----------
    store
        The open store.
    name
        Of the work.
    holder
        Who asks, for people to read.
    ttl_us
        How long the lease lasts without `renew`, in microseconds.
    now_us
        The present, by default the clock's.
    """

    def work(connection: sa.Connection) -> Lease | None:
        at_us = to_us(now()) if now_us is None else now_us
        first = {"name": name, "holder": holder, "token": 1, "expires_at": at_us + ttl_us}
        statement = insert_into(connection, LEASES).values(first)
        taken = statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": holder, "token": LEASES.c.token + 1, "expires_at": at_us + ttl_us},
            where=LEASES.c.expires_at <= at_us,
        ).returning(LEASES.c.token)
        token = connection.execute(taken).scalar()
        return None if token is None else Lease(name, holder, token, at_us + ttl_us)

    return store.write(work)


def renew(store: Store, lease: Lease, *, ttl_us: int, now_us: int | None = None) -> Lease | None:
    """Return the lease with a later end, or None where it has expired: then it must be acquired anew."""

    def work(connection: sa.Connection) -> Lease | None:
        at_us = to_us(now()) if now_us is None else now_us
        own = sa.update(LEASES).where(LEASES.c.name == lease.name, LEASES.c.token == lease.token)
        done = connection.execute(own.where(LEASES.c.expires_at > at_us).values(expires_at=at_us + ttl_us))
        return replace(lease, expires_us=at_us + ttl_us) if done.rowcount else None

    return store.write(work)


def release(store: Store, lease: Lease) -> None:
    """Give the lease back, so that the next holder need not wait for its end; one that was lost stays where it is."""

    def work(connection: sa.Connection) -> None:
        own = sa.update(LEASES).where(LEASES.c.name == lease.name, LEASES.c.token == lease.token)
        connection.execute(own.values(expires_at=0))

    store.write(work)


def hold(connection: sa.Connection, lease: Lease) -> None:
    """Make sure, until the transaction ends, that nobody has taken the lease over.

    Raises
    ------
    LeaseLostError
        If somebody has.
    """
    token = connection.execute(
        sa.select(LEASES.c.token).where(LEASES.c.name == lease.name).with_for_update(read=True)
    ).scalar()
    if token != lease.token:
        raise LeaseLostError(f"the lease {lease.name!r} has another holder by now", hint="start the work anew")
