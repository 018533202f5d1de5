"""The paths by which facts come in: what is answered with 200 is on disk, and sending it again does no harm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from data.clock import now, to_us
from data.store.logs import add_actions, add_events, add_merges, add_stages
from data.store.owners import owners_of
from data.store.states import add_outcomes, put_account, put_lead
from serving.http.exchange import Refusal, json_response, read_body
from serving.http.problems import PayloadError, Problem, error_body
from serving.http.routing import Route
from serving.intake.bodies import AccountPut, ActionPost, EventPost, LeadPut, MergePost, OutcomePost, StagePost
from serving.intake.parsing import parse_items, parse_one
from serving.keys.access import sees, visible_owners

if TYPE_CHECKING:
    from starlette.responses import Response

    from data.store.engine import Store
    from data.store.keys import Scope
    from data.store.records import Record, Verdict
    from serving.http.metrics import Metrics
    from serving.http.routing import Call, Handler
    from serving.intake.bodies import Dated
    from serving.keys.access import Principal
    from serving.scoring.payload import Incoming
    from serving.stored.door import Door

__all__ = ["LIST_LIMIT", "PUT_LIMIT", "Intake", "intake_routes"]

PUT_LIMIT = 256_000
LIST_LIMIT = 4_000_000
_EVENT_TYPES = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")
_LONGEST_ID = 500

Add = Callable[["Store", Sequence[Any]], Sequence["Verdict"]]


class About(Protocol):
    """A checked fact about leads."""

    @property
    def lead_ids(self) -> tuple[str, ...]:
        """Whose it is."""
        ...

    @property
    def moments(self) -> dict[str, int]:
        """The moments that were told, by field."""
        ...

    def record(self) -> Record:
        """Return the record of the store."""
        ...


@dataclass(frozen=True)
class _Kind:
    """A kind of fact that comes in lists: what is checked, and what writes it."""

    model: type[Incoming]
    add: Add
    media_types: tuple[str, ...] = ("application/json",)


KINDS: dict[str, _Kind] = {
    "events": _Kind(EventPost, add_events, _EVENT_TYPES),
    "actions": _Kind(ActionPost, add_actions),
    "outcomes": _Kind(OutcomePost, add_outcomes),
    "stages": _Kind(StagePost, add_stages),
    "merges": _Kind(MergePost, add_merges),
}


class Intake:
    """The handlers."""

    def __init__(self, door: Door, metrics: Metrics) -> None:
        self._door = door
        self._metrics = metrics

    async def put_lead(self, call: Call) -> Response:
        """Take in a lead as it stands."""
        lead_id = _id_of(call, "lead_id")
        body = parse_one(LeadPut, await read_body(call.request, PUT_LIMIT))
        record, who = body.record(lead_id), call.principal

        def work(store: Store) -> Verdict:
            _check_owner(store, who, lead_id, record.owner_id)
            return put_lead(store, record, modified_us=_modified(body))

        return self._answer(call, "leads", body, await self._door.run(work))

    async def put_account(self, call: Call) -> Response:
        """Take in a company as it stands."""
        if visible_owners(call.principal) is not None:
            raise Refusal(403, "not_yours", "accounts are everybody's; a key that sees some owners' leads may not")
        account_id = _id_of(call, "account_id")
        body = parse_one(AccountPut, await read_body(call.request, PUT_LIMIT))
        record = body.record(account_id)
        verdict = await self._door.run(lambda store: put_account(store, record, modified_us=_modified(body)))
        return self._answer(call, "accounts", body, verdict)

    def post(self, name: str) -> Handler:
        """Return the handler that takes in one fact of a kind, or a list of them."""
        kind = KINDS[name]

        async def handler(call: Call) -> Response:
            items = parse_items(kind.model, await read_body(call.request, LIST_LIMIT, media_types=kind.media_types))
            told = [cast("About", item) for item in items.items if not isinstance(item, PayloadError)]
            verdicts = iter(await self._door.run(lambda store: _added(store, kind, call.principal, told)))
            found = [None if isinstance(item, PayloadError) else next(verdicts) for item in items.items]
            if items.single:
                (body,), (verdict,) = items.items, found
                return self._answer(call, name, cast("About", body), verdict)
            results = [self._item(call, name, *pair) for pair in enumerate(zip(items.items, found, strict=True))]
            return json_response({"results": results}, call.request_id)

        return handler

    def _answer(self, call: Call, name: str, body: About | Dated, verdict: Verdict | None) -> Response:
        """Answer for one fact; what was not written is an error."""
        problem = _problem(body, verdict)
        self._metrics.taken(name, verdict or "hidden")
        if problem is None:
            return json_response({"result": verdict}, call.request_id)
        if problem.code == "invalid_field":
            raise PayloadError([problem])
        raise Refusal(404 if verdict is None else 409, problem.code, problem.message)

    def _item(self, call: Call, name: str, position: int, pair: tuple[object, Verdict | None]) -> dict[str, Any]:
        item, verdict = pair
        if isinstance(item, PayloadError):
            self._metrics.refused(item.problems[0].code)
            return {"status": "error", **error_body(item.problems, call.request_id)}
        self._metrics.taken(name, verdict or "hidden")
        problem = _problem(cast("About", item), verdict)
        if problem is None:
            return {"status": "ok", "result": verdict}
        moved = PayloadError([problem]).below(str(position)).problems
        return {"status": "error", **error_body(moved, call.request_id)}


def _added(store: Store, kind: _Kind, who: Principal, told: Sequence[About]) -> list[Verdict | None]:
    """Write the facts about leads that the sender sees; None for the others."""
    seen = [True] * len(told)
    if visible_owners(who) is not None:
        owners = owners_of(store, {lead_id for each in told for lead_id in each.lead_ids})
        seen = [all(one in owners and sees(who, owners[one]) for one in each.lead_ids) for each in told]
    verdicts = iter(kind.add(store, [each.record() for each, yes in zip(told, seen, strict=True) if yes]))
    return [next(verdicts) if yes else None for yes in seen]


def _check_owner(store: Store, who: Principal, lead_id: str, owner_id: str | None) -> None:
    """Refuse a lead that the sender does not see, and one that would not be the sender's afterwards."""
    if visible_owners(who) is None:
        return
    owners = owners_of(store, [lead_id])
    if lead_id in owners and not sees(who, owners[lead_id]):
        raise Refusal(404, "not_found", "there is no such lead, or the key does not show it")
    if not sees(who, owner_id):
        raise Refusal(403, "not_yours", "the lead's owner_id is none of those that the key names")


def _problem(body: About | Dated, verdict: Verdict | None) -> Problem | None:
    """Return what is wrong with a fact that was not written."""
    if verdict is None:
        return Problem("not_found", "there is no such lead, or the key does not show it")
    if verdict == "conflict":
        return Problem("conflict", "something else is known under the same key already; what came was not stored")
    if verdict == "future":
        field = max(body.moments, key=lambda name: body.moments[name])
        return Problem("invalid_field", f"{field}: a time not after now was expected, a later one came", field)
    return None


def _modified(body: LeadPut | AccountPut) -> int:
    return to_us(now()) if body.modified_at is None else body.modified_at


def _id_of(call: Call, name: str) -> str:
    """Return an id of the path, as the store holds ids."""
    from data.derive import BLANK_CHARACTERS
    from data.store.records import is_storable

    found = str(call.path[name]).strip(BLANK_CHARACTERS)
    if not found or len(found) > _LONGEST_ID or not is_storable(found):
        message = f"{name}: a text of 1 to {_LONGEST_ID} characters without NUL was expected"
        raise PayloadError([Problem("invalid_field", message, name)])
    return found


def intake_routes(door: Door, metrics: Metrics) -> list[Route]:
    """Return the routes of intake; each needs the scope `ingest`."""
    intake, scope = Intake(door, metrics), cast("tuple[Scope, ...]", ("ingest",))
    return [
        *(Route(f"/v1/{name}", {"POST": intake.post(name)}, scope) for name in KINDS),
        Route("/v1/leads/{lead_id}", {"PUT": intake.put_lead}, scope),
        Route("/v1/accounts/{account_id}", {"PUT": intake.put_account}, scope),
    ]
