"""The path that says what changed between two scores of a lead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from data.clock import parse_moment, to_us
from data.errors import DataError
from data.store.owners import owners_of
from data.store.records import is_storable
from serving.changes.ends import Since, end_of, newest_of, score_before
from serving.changes.parts import changes_between
from serving.changes.telling import told_changes, told_score
from serving.http.exchange import Refusal, json_response
from serving.http.problems import PayloadError, Problem
from serving.http.routing import Route
from serving.keys.access import sees
from serving.leads.score import hidden

if TYPE_CHECKING:
    from starlette.responses import Response

    from data.store.engine import Store
    from data.store.keys import Scope
    from features.words import Language
    from serving.changes.voices import Voices
    from serving.http.routing import Call
    from serving.keys.access import Principal
    from serving.stored.door import Door

__all__ = ["changes_of", "changes_routes", "parse_since"]

_LARGEST = 2**63 - 2


def changes_routes(door: Door, voices: Voices) -> list[Route]:
    """Return the route of what changed; it needs the scope `read`."""

    async def changes(call: Call) -> Response:
        lead_id, since = str(call.path["lead_id"]), parse_since(call.request.query_params.get("since"))

        def work(store: Store) -> dict[str, Any]:
            return changes_of(store, voices, lead_id, since, call.principal, call.language)

        told = await door.run(work)
        return json_response(told, call.request_id, headers={"content-language": call.language})

    return [Route("/v1/leads/{lead_id}/changes", {"GET": changes}, cast("tuple[Scope, ...]", ("read",)))]


def changes_of(
    store: Store, voices: Voices, lead_id: str, since: Since, who: Principal, language: Language
) -> dict[str, Any]:
    """Return what changed between a lead's newest score and an earlier one, ready for JSON.

    Raises
    ------
    Refusal
        404 if there is no such lead, the asker does not see it, or it was not given the score that `since` names.
    InfrastructureError
        If the store cannot be used.
    """
    owners = owners_of(store, [lead_id]) if is_storable(lead_id) else {}
    if lead_id not in owners or not sees(who, owners[lead_id]):
        raise hidden()
    newest = newest_of(store, lead_id)
    before = None if newest is None else score_before(store, newest, since)
    if before is None and since.score_id is not None:
        raise Refusal(404, "not_found", "since: the lead was not given a score of that number before its newest one")
    head = {"lead_id": lead_id, "since": None, "now": None if newest is None else told_score(newest)}
    if newest is None or before is None:
        return {**head, "scale": None, "difference": None, "parts": [], "untold": None}
    earlier, later = end_of(store, voices.of, before), end_of(store, voices.of, newest)
    told = told_changes(changes_between(earlier, later), earlier, later, language)
    return {**head, "since": told_score(before), **told}


def parse_since(text: str | None) -> Since:
    """Return what `since` names: the number of a score, or a moment.

    Raises
    ------
    PayloadError
        If it is neither.

    Examples
    --------
    >>> parse_since("17").score_id, parse_since("1970-01-01T00:00:01Z").moment_us, parse_since(None)
    (17, 1000000, Since(score_id=None, moment_us=None))
    """
    sent = (text or "").strip()
    if not sent:
        return Since()
    if sent.isascii() and sent.isdigit() and len(sent) < 20 and int(sent) <= _LARGEST:
        return Since(score_id=int(sent))
    try:
        # In a query a plus is a blank.
        return Since(moment_us=to_us(parse_moment(sent.replace(" ", "+"), field="since")))
    except DataError:
        message = "since: the number of a score, or a time such as 2026-11-21T08:00:00Z was expected"
        raise PayloadError([Problem("invalid_field", message, "since")]) from None
