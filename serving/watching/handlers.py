"""The path that tells how things stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from data.clock import now, to_us
from monitoring.standing_file import age_days, is_stale
from serving.http.exchange import Refusal, json_response
from serving.http.routing import Route
from serving.keys.access import oversees

if TYPE_CHECKING:
    from starlette.responses import Response

    from data.store.keys import Scope
    from monitoring.standing import Standing
    from serving.http.routing import Call
    from serving.keys.access import Principal
    from serving.watching.reading import Standings

__all__ = ["require_oversight", "watching_routes"]

_TOLD: dict[str, tuple[int, str, str]] = {
    "missing": (404, "figures_missing", "there are no figures yet: run `clew monitor`"),
    "damaged": (503, "figures_damaged", "the figures cannot be read: run `clew monitor` again"),
    "version": (503, "figures_version", "the figures are of another version of clew: run `clew monitor` with this one"),
}
_RETRY = {"retry-after": "60"}


def watching_routes(standings: Standings) -> list[Route]:
    """Return the route of the figures; it needs the scope `read` and the role manager or admin.

    Parameters
    ----------
    standings
        Where the figures come from.
    """

    async def monitoring(call: Call) -> Response:
        require_oversight(call.principal)
        seen = await standings.seen()
        if seen.standing is None:
            status, code, message = _TOLD[seen.problem or "missing"]
            raise Refusal(status, code, message, _RETRY if status == 503 else None)
        return json_response(_answer(seen.standing, to_us(now())), call.request_id)

    return [Route("/v1/monitoring", {"GET": monitoring}, cast("tuple[Scope, ...]", ("read",)))]


def require_oversight(principal: Principal) -> None:
    """Let in who may read figures of the whole team.

    Raises
    ------
    Refusal
        403 for a rep: that there are such figures is no secret, what they say is not theirs.
    """
    if not oversees(principal):
        raise Refusal(403, "role_missing", "figures of the whole team are for keys of managers and administrators")


def _answer(standing: Standing, now_us: int) -> dict[str, Any]:
    return {
        **standing.model_dump(mode="json"),
        "overall": standing.light,
        "age_days": round(age_days(standing, now_us), 3),
        "stale": is_stale(standing, now_us),
    }
