"""What an administrator sends about webhooks, and what comes back; the secret comes back once, when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from data.clock import from_us, iso
from data.errors import UsageError
from serving.scoring.payload import Incoming

if TYPE_CHECKING:
    from data.store.deliveries import Message
    from data.store.targets import MessageKind, Target

__all__ = [
    "MOST_DELIVERIES",
    "DeliveryAnswer",
    "DeliveryList",
    "PingAnswer",
    "WebhookAnswer",
    "WebhookList",
    "WebhookMade",
    "WebhookPost",
    "WebhookRemoved",
    "chosen_kinds",
    "delivery_answer",
    "webhook_answer",
]

MOST_DELIVERIES = 200
_MOST_POOLS = 50

AskedKind = Literal["grade_changed", "pool_entered", "model_changed"]
PoolName = Annotated[str, Field(max_length=100, pattern=r"\S")]


class WebhookPost(Incoming):
    """A place that messages go to."""

    url: Annotated[str, Field(max_length=2_000, pattern=r"\S")] = Field(
        description="https, without credentials; a private address only where the operator allows it."
    )
    kinds: Annotated[list[AskedKind], Field(max_length=3)] | None = Field(
        None, description="All if absent; pool_entered only together with pools."
    )
    pools: Annotated[list[PoolName], Field(max_length=_MOST_POOLS)] | None = Field(
        None, description="The pools whose entering is told."
    )


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class WebhookAnswer(_Out):
    """A place that messages go to; its secret is not shown again."""

    target_id: str
    url: str
    kinds: list[AskedKind]
    pools: list[str]
    created_at: str


class WebhookMade(WebhookAnswer):
    """A new place, with the secret that signs its messages: keep it now."""

    secret: str = Field(description="whsec_ and base64, as Standard Webhooks writes it; shown only once.")


class WebhookList(_Out):
    """All places that messages go to."""

    webhooks: list[WebhookAnswer]


class WebhookRemoved(_Out):
    """A place that gets nothing more."""

    target_id: str
    removed: Literal[True]


class PingAnswer(_Out):
    """A test message that is on its way."""

    target_id: str
    delivery_id: str
    message_id: str = Field(description="What the receiver sees as webhook-id.")


class DeliveryAnswer(_Out):
    """How a message has fared; what it says is not shown."""

    delivery_id: str
    message_id: str
    type: Literal["grade_changed", "pool_entered", "model_changed", "ping"]
    created_at: str
    state: Literal["waiting", "delivered", "failed"] = Field(description="`failed`: given up.")
    attempts: int
    last_status: str | None = Field(description="Of the last try: a status of HTTP, or a word such as timeout.")
    tried_at: str | None
    next_try_at: str | None
    delivered_at: str | None


class DeliveryList(_Out):
    """A page of messages, the newest first; the last delivery_id as `before` gives the next page."""

    deliveries: list[DeliveryAnswer]


def chosen_kinds(kinds: Sequence[MessageKind] | None, pools: Sequence[str]) -> tuple[MessageKind, ...]:
    """Return which messages are asked for: by default all that can come.

    Raises
    ------
    UsageError
        If pools are named and their entering is not asked for, or the other way round: such a target would wait for
        ever.

    Examples
    --------
    >>> chosen_kinds(None, []), chosen_kinds(["pool_entered"], ["A"])
    (('grade_changed', 'model_changed'), ('pool_entered',))
    """
    if kinds is None:
        return ("grade_changed", "pool_entered", "model_changed") if pools else ("grade_changed", "model_changed")
    if bool(pools) != ("pool_entered" in kinds):
        hint = "name both or neither"
        raise UsageError("pool_entered and pools belong together, and one of them is missing", hint=hint)
    return tuple(dict.fromkeys(kinds))


def webhook_answer(target: Target) -> dict[str, object]:
    """Return a target in the shape of `WebhookAnswer`."""
    return {
        "target_id": target.target_id,
        "url": target.url,
        "kinds": list(target.kinds),
        "pools": list(target.pools),
        "created_at": iso(from_us(target.created_us)),
    }


def delivery_answer(message: Message) -> dict[str, object]:
    """Return a message in the shape of `DeliveryAnswer`."""
    from serving.webhooks.envelope import message_id_of

    return {
        "delivery_id": message.delivery_id,
        "message_id": message_id_of(message.delivery_id),
        "type": message.kind,
        "created_at": iso(from_us(message.created_us)),
        "state": message.state,
        "attempts": message.attempts,
        "last_status": message.status,
        "tried_at": _moment(message.tried_us),
        "next_try_at": _moment(message.next_us),
        "delivered_at": _moment(message.delivered_us),
    }


def _moment(us: int | None) -> str | None:
    return None if us is None else iso(from_us(us))
