"""The list of open leads as a page and as a file, and the views that are saved of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from data.clock import from_us, iso, now, to_us
from data.store.listing import choices_of, count_listed, narrowed
from data.store.notes import delete_view, newest_feedback, save_view, views_of
from data.store.records import is_storable
from serving.http.exchange import Refusal
from serving.keys.access import oversees, visible_owners
from serving.pages.export import COLUMNS, csv_lines
from serving.pages.filters import AGES, Spot, filters_from, spot_after
from serving.pages.rendering import render
from serving.pages.rows import expected_of, page_of
from serving.pages.visitor import local_path
from serving.pages.wording import say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from data.store.engine import Store
    from data.store.listing import Choice, Wanted
    from data.store.notes import Feedback
    from features.words import Language
    from serving.http.routing import Call
    from serving.pages.filters import Filters
    from serving.pages.rows import Row
    from serving.pages.visitor import Visitor
    from serving.process.state import ServingState
    from serving.scoring.scorer import Scorer
    from serving.stored.door import Door

__all__ = ["ListPages", "scorer_of"]

PAGE_SIZE = 50
_FILE_PIECE = 500
_CHOICES_SECONDS = 60.0
_MOST_VIEWS, _LONGEST_NAME = 50, 60
_MOST_OPTIONS = 200


@dataclass(frozen=True)
class _Chooser:
    """A filter as the page shows it: the name in the address, the label, what can be chosen, what is chosen."""

    name: str
    label: str
    options: Sequence[tuple[str, str]]
    chosen: str


class ListPages:
    """The handlers of the list."""

    def __init__(self, door: Door, state: ServingState, *, capacity: int) -> None:
        self._door = door
        self._state = state
        self._capacity = capacity
        # What can be chosen, by whose leads are seen: reading it takes longer than the list itself.
        self._choices: dict[frozenset[str] | None, tuple[float, dict[Choice, list[str]]]] = {}

    async def show(self, call: Call, visitor: Visitor) -> Response:
        """Show a page of the list."""
        filters, scorer = filters_from(call.request.query_params), scorer_of(self._state)
        spot = spot_after(str(call.request.query_params.get("after", "")))
        now_us = to_us(now())

        def work(store: Store) -> dict[str, Any]:
            return self._gathered(store, scorer, visitor, filters, spot, now_us)

        told = await self._door.run(work)
        following: Spot | None = told.pop("next_spot")
        page = render(
            "list.html.j2",
            visitor.language,
            here=filters.address(),
            sign_out_token=visitor.token("sign-out") if visitor.can_sign_out else "",
            oversees=oversees(visitor.principal),
            view_token=visitor.token("views"),
            filters=filters,
            filter_count=len(filters.equal) + bool(filters.age),
            following=None if following is None else filters.address(after=following.text),
            is_later_page=spot.after is not None,
            page_size=PAGE_SIZE,
            now_us=now_us,
            zone=scorer.catalogue.timezone,
            days=_plain(scorer.horizon_days),
            best_grade=scorer.bundle.grades[0].grade if scorer.bundle and scorer.bundle.grades else None,
            **told,
        )
        return HTMLResponse(page)

    async def export(self, call: Call, visitor: Visitor) -> Response:
        """Give the filtered list as a file, however long it is."""
        filters, scorer, now_us = filters_from(call.request.query_params), scorer_of(self._state), to_us(now())
        wanted = filters.wanted(visible_owners(visitor.principal), now_us)
        self._door.store()  # says at once if it is away

        async def lines() -> AsyncIterator[str]:
            # The mark at the front has spreadsheets read UTF-8.
            yield "\ufeff" + csv_lines([COLUMNS])
            spot: Spot | None = Spot()
            while spot is not None:
                text, spot = await self._door.run(_piece(scorer, visitor, wanted, spot, now_us))
                yield text

        headers = {"content-disposition": 'attachment; filename="leads.csv"'}
        return StreamingResponse(lines(), 200, headers, "text/csv; charset=utf-8")

    async def save_view(self, _: Call, visitor: Visitor, fields: Mapping[str, str]) -> Response:
        """Keep the filters of the list under a name."""
        filters, name = filters_from(fields), fields.get("name", "").strip()
        if not name or len(name) > _LONGEST_NAME or not is_storable(name):
            raise Refusal(400, "invalid_view", f"a name of at most {_LONGEST_NAME} characters was expected")

        def work(store: Store) -> None:
            if len(views_of(store, visitor.key_id)) >= _MOST_VIEWS:
                raise Refusal(400, "too_many_views", f"at most {_MOST_VIEWS} views are kept; delete one")
            save_view(store, visitor.key_id, name, filters.query)

        await self._door.run(work)
        return RedirectResponse(filters.address(), 303)

    async def delete_view(self, _: Call, visitor: Visitor, fields: Mapping[str, str]) -> Response:
        """Forget a view of the visitor's own."""
        view_id = fields.get("view_id", "")
        if not is_storable(view_id):
            raise Refusal(400, "invalid_view", "the number of a view was expected")
        await self._door.run(lambda store: delete_view(store, visitor.key_id, view_id))
        return RedirectResponse(local_path(fields.get("back", "/")), 303)

    def _gathered(
        self, store: Store, scorer: Scorer, visitor: Visitor, filters: Filters, spot: Spot, now_us: int
    ) -> dict[str, Any]:
        owners = visible_owners(visitor.principal)
        wanted = narrowed(store, filters.wanted(owners, now_us))
        calls = filters.calls or self._capacity
        rows, following = page_of(
            store, scorer, visitor.principal, wanted, spot, limit=PAGE_SIZE, now_us=now_us, language=visitor.language
        )
        return {
            "rows": rows,
            "next_spot": following,
            "count": count_listed(store, wanted),
            "calls": calls,
            "expected": expected_of(store, scorer, wanted, calls),
            "choosers": _choosers(self._choices_for(store, owners), filters, visitor.language),
            "views": [
                {"view_id": view.view_id, "name": view.name, "address": filters_from(dict(view.query)).address()}
                for view in views_of(store, visitor.key_id)
            ],
        }

    def _choices_for(self, store: Store, owners: frozenset[str] | None) -> dict[Choice, list[str]]:
        kept = self._choices.get(owners)
        if kept is None or time.monotonic() - kept[0] > _CHOICES_SECONDS:
            if len(self._choices) > 1000:
                self._choices.clear()
            kept = self._choices[owners] = time.monotonic(), choices_of(store, owners)
        return kept[1]


def scorer_of(state: ServingState) -> Scorer:
    """Return what answers at the moment.

    Raises
    ------
    Refusal
        503 while nothing does yet.
    """
    if state.now is None:
        raise Refusal(503, "not_ready", "the service is starting", {"retry-after": "2"})
    return state.now.scorer


def _choosers(choices: Mapping[Choice, Sequence[str]], filters: Filters, language: Language) -> list[_Chooser]:
    found = []
    for column, values in choices.items():
        chosen = filters.equal.get(column, "")
        shown = values if chosen in {"", *values} else [chosen, *values]
        options = [(value, _named(column, value, language)) for value in shown[:_MOST_OPTIONS]]
        name = {"owner_id": "owner", "because": "agreement"}.get(column, column)
        found.append(_Chooser(name, say(column, language), options, chosen))
    ages = [(age, say(f"age_{age}", language)) for age in AGES]
    return [*found, _Chooser("age", say("age", language), ages, filters.age)]


def _named(column: Choice, value: str, language: Language) -> str:
    known = {"both_high", "both_low", "model_higher", "rules_higher", "rules_only", "holdout"}
    return say(f"agree_{value}", language) if column == "because" and value in known else value


def _piece(scorer: Scorer, visitor: Visitor, wanted: Wanted, spot: Spot, now_us: int) -> Any:  # noqa: ANN401 - a closure
    """Return what reads a piece of the file from the store, with where the next one begins."""

    def work(store: Store) -> tuple[str, Spot | None]:
        rows, following = page_of(
            store,
            scorer,
            visitor.principal,
            narrowed(store, wanted),
            spot,
            limit=_FILE_PIECE,
            now_us=now_us,
            language=visitor.language,
        )
        feedback = newest_feedback(store, [row.lead.lead_id for row in rows])
        return csv_lines(_cells(row, feedback.get(row.lead.lead_id)) for row in rows), following

    return work


def _cells(row: Row, said: Feedback | None) -> list[object]:
    lead = row.lead
    reason = " | ".join(f"{'▲' if one['direction'] == '+' else '▼'} {one['text']}" for one in row.reasons)
    cells = [
        *(row.rank, lead.lead_id, lead.account, lead.owner_id, lead.source, lead.industry),
        *(iso(from_us(lead.created_us)), row.age_days, lead.grade, lead.pool, lead.probability, lead.points),
        *(lead.because, None if row.by_us is None else iso(from_us(row.by_us)), reason),
        *((None, None, None) if said is None else (said.verdict, said.note, iso(from_us(said.given_us)))),
    ]
    return ["" if cell is None else cell for cell in cells]


def _plain(days: float | None) -> float | int | None:
    return int(days) if days is not None and float(days).is_integer() else days
