"""What a receiver reads: one envelope for all kinds of messages, the same bytes on every try."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from data.clock import from_us, iso

if TYPE_CHECKING:
    from data.store.outbox import Delivery

__all__ = ["body_of", "message_id_of"]


def message_id_of(delivery_id: str) -> str:
    """Return the id by which a receiver tells that it has a message already.

    Examples
    --------
    >>> message_id_of("0f")
    'msg_0f'
    """
    return f"msg_{delivery_id}"


def body_of(delivery: Delivery) -> bytes:
    """Return the bytes of a message: its id, its type, when it came about, and its data."""
    told = {
        "id": message_id_of(delivery.delivery_id),
        "type": delivery.kind,
        "occurred_at": iso(from_us(delivery.created_us)),
        "data": dict(delivery.body),
    }
    return json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
