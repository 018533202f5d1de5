"""The path that says whom to call today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from data.clock import now, to_us
from serving.http.exchange import Refusal, json_response
from serving.http.problems import PayloadError, Problem
from serving.http.routing import Route
from serving.keys.access import visible_owners
from serving.leads.handlers import whole_number
from serving.today.call_list import MOST_LEADS, Asked, call_list

if TYPE_CHECKING:
    from starlette.responses import Response

    from data.store.engine import Store
    from data.store.keys import Scope
    from serving.http.routing import Call
    from serving.process.state import ServingState
    from serving.stored.door import Door

__all__ = ["today_routes"]

_LONGEST = 200


def today_routes(door: Door, state: ServingState, *, capacity: int) -> list[Route]:
    """Return the route of the list of whom to call; it needs the scope `read`.

    Parameters
    ----------
    door
        To the store.
    state
        What answers at the moment.
    capacity
        How many leads where the asker does not say.
    """

    async def today(call: Call) -> Response:
        answering = state.now
        if answering is None:
            raise Refusal(503, "not_ready", "the service is starting", {"retry-after": "2"})
        asked = _asked(call, capacity)

        def work(store: Store) -> dict[str, Any]:
            return call_list(store, answering.scorer, asked, as_of_us=to_us(now()), language=call.language)

        told = await door.run(work)
        return json_response(told, call.request_id, headers={"content-language": call.language})

    return [Route("/v1/today", {"GET": today}, cast("tuple[Scope, ...]", ("read",)))]


def _asked(call: Call, capacity: int) -> Asked:
    number = whole_number(call, "capacity", min(capacity, MOST_LEADS), MOST_LEADS) or capacity
    owners = visible_owners(call.principal)
    return Asked(number, _text(call, "pool"), owners).narrowed(_text(call, "owner"))


def _text(call: Call, name: str) -> str | None:
    """Return a text of the query, None where it is absent or blank."""
    from data.store.records import is_storable

    sent = str(call.request.query_params.get(name, "")).strip()
    if len(sent) > _LONGEST or not is_storable(sent):
        message = f"{name}: a text of at most {_LONGEST} characters without NUL was expected"
        raise PayloadError([Problem("invalid_field", message, name)])
    return sent or None
