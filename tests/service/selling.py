"""A team at work in a store: leads with companies, people, events, owners and endings, scored, for the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data.clock import DAY_US, HOUR_US
from data.store import (
    AccountRecord,
    ActionRecord,
    ContactRecord,
    EventRecord,
    LeadRecord,
    OutcomeRecord,
    add_actions,
    add_events,
    add_outcomes,
    put_account,
    put_lead,
)
from serving.stored.rescoring import rescore_dirty

if TYPE_CHECKING:
    from data.store import Store
    from serving.scoring.scorer import Scorer

__all__ = ["fill_store", "score_all"]

INDUSTRIES = ("software", "retail", "medical devices", "manufacturing")
TITLES = ("VP Operations", "Purchasing Manager", "CTO", "Buyer", "Head of IT", None)
NAMES = ("Lin", "Nova", "Harbor", "Alder", "Quartz", "Mei", "Orion", "Tide", "Birch", "Kestrel")
ENDS = ("Systems", "Medical", "Logistics", "Foods", "Labs", "Machines")
TYPES = ("page_view", "whitepaper_download", "demo_request", "price_page_view")


def fill_store(store: Store, scorer: Scorer, *, now_us: int, leads: int = 60, ended: int = 0) -> None:
    """Fill a store as it would stand after some weeks; the last `ended` leads were scored and then closed."""
    rng = np.random.default_rng(11)
    for number in range(leads):
        _put(store, rng, number, now_us)
    add_events(store, _events(rng, leads, now_us), now_us=now_us - 2 * DAY_US)
    calls = [
        ActionRecord(
            action_id=f"c{number}",
            lead_id=f"L-{number:04}",
            type="called",
            occurred_at=(at := now_us - 3 * DAY_US),
            known_at=at,
        )
        for number in range(0, leads, 7)
    ]
    add_actions(store, calls, now_us=now_us - 2 * DAY_US)
    score_all(store, scorer, now_us - 2 * DAY_US)
    closing = [
        OutcomeRecord(
            lead_id=f"L-{number:04}",
            outcome="won" if rng.random() < 0.4 else "lost",
            closed_at=now_us - 26 * HOUR_US,
            known_at=now_us - 26 * HOUR_US,
        )
        for number in range(leads - ended, leads)
    ]
    add_outcomes(store, closing, now_us=now_us - DAY_US)
    late = [
        EventRecord(source="site", event_id=f"l{number}", lead_id=f"L-{number:04}", type="whitepaper_download",
                    occurred_at=(at := now_us - 5 * HOUR_US), known_at=at, content_id="pricing-guide")
        for number in range(0, leads - ended, 3)
    ]  # fmt: skip
    add_events(store, late, now_us=now_us - 4 * HOUR_US)
    score_all(store, scorer, now_us)


def score_all(store: Store, scorer: Scorer, at_us: int) -> None:
    """Score what is marked, until nothing is."""
    while rescore_dirty(store, scorer, at_us).taken:
        pass


def _put(store: Store, rng: np.random.Generator, number: int, now_us: int) -> None:
    begun = now_us - int(rng.integers(3, 120)) * DAY_US
    account = AccountRecord(
        account_id=f"A-{number // 2:04}",
        name=f"{rng.choice(NAMES)} {rng.choice(ENDS)} {number // 2}",
        industry=str(rng.choice(INDUSTRIES)),
        employees=float(rng.integers(5, 3000)) if rng.random() < 0.8 else None,
    )
    put_account(store, account, modified_us=begun, now_us=begun)
    title = TITLES[int(rng.integers(len(TITLES)))]
    lead = LeadRecord(
        lead_id=f"L-{number:04}",
        created_at=begun,
        account_id=account.account_id,
        source=str(rng.choice(("webinar", "fair", "search", "partner"))),
        job_title=title,
        owner_id=("u7", "u8", None)[number % 3],
        contact=ContactRecord(
            name=f"Person {number}",
            email=f"p{number}@example.com",
            phone=None if number % 2 else f"+86 10 {number:08}",
        ),
        custom={"seats": float(rng.integers(500)), "erp": str(rng.choice(("sap", "oracle")))},
    )
    put_lead(store, lead, modified_us=begun, now_us=begun)


def _events(rng: np.random.Generator, leads: int, now_us: int) -> list[EventRecord]:
    return [
        EventRecord(
            source="site",
            event_id=str(number),
            lead_id=f"L-{rng.integers(leads):04}",
            type=str(rng.choice(TYPES)),
            occurred_at=(at := now_us - int(rng.integers(2 * DAY_US + 1, 60 * DAY_US))),
            known_at=at,
            content_id=f"c{rng.integers(4)}",
        )
        for number in range(6 * leads)
    ]
