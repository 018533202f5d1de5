"""Whom to call today: open leads by their last score, as many as there is time for, to the right eyes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from data.clock import DAY_US, now, to_us
from data.holdout import HoldOut
from data.store import (
    EventRecord,
    LeadRecord,
    OutcomeRecord,
    Store,
    add_events,
    add_outcomes,
    create_key,
    current_score,
    put_lead,
)
from data.store.listing import Wanted
from features.scorecard import load_scorecard
from serving.http.describing import Described
from serving.keys.access import ANYONE
from serving.keys.keyring import Keyring
from serving.pages.filters import Spot, spot_after
from serving.pages.rows import page_of
from serving.process.state import Answering, ServingState
from serving.scoring.scorer import Scorer
from serving.stored.door import Door
from serving.stored.rescoring import rescore_dirty
from serving.today.answers import TodayAnswer
from serving.today.call_list import Asked, call_list
from serving.today.described import DESCRIBED
from serving.today.handlers import today_routes
from serving.today.order import merged_places
from tests.data.stores import BOTH, emptied, made_store
from tests.service.bundles import AS_OF_US
from tests.service.calling import Client, problem
from tests.service.test_intake import url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.bundles.bundle import Bundle

LEADS = 30


@pytest.fixture(scope="module", params=BOTH)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store(request.param, tmp_path_factory.mktemp("today")) as store:
        yield store


@pytest.fixture
def store(shared: Store) -> Store:
    return emptied(shared)


@pytest.fixture
def door(store: Store) -> Iterator[Door]:
    found = Door(url_of(store))
    found.look()
    yield found
    found.close()


def client_of(door: Door, scorer: Scorer, keyring: Keyring | None = None) -> Client:
    return Client(scorer, keyring=keyring, more=today_routes(door, ServingState(Answering(scorer)), capacity=5))


def fill(store: Store, scorer: Scorer, *, leads: int = LEADS, at_us: int = AS_OF_US) -> None:
    """Scored leads of two owners that differ in what they did."""
    rng, begun = np.random.default_rng(3), at_us - 40 * DAY_US
    for number in range(leads):
        told = LeadRecord(
            lead_id=f"L-{number:02}",
            created_at=begun,
            source=str(rng.choice(("webinar", "fair", "search"))),
            job_title="VP Ops" if number % 3 == 0 else None,
            owner_id="u7" if number % 2 else "u8",
            custom={"seats": float(rng.integers(500))},
        )
        put_lead(store, told, modified_us=begun, now_us=begun)
    events = [
        EventRecord(
            source="site",
            event_id=str(number),
            lead_id=f"L-{rng.integers(leads):02}",
            type=str(rng.choice(("page_view", "whitepaper_download", "demo_request"))),
            occurred_at=(at := at_us - int(rng.integers(1, 30 * DAY_US))),
            known_at=at,
        )
        for number in range(4 * leads)
    ]
    add_events(store, events, now_us=at_us)
    while rescore_dirty(store, scorer, at_us).scored:
        pass


def chances(store: Store) -> dict[str, float]:
    found = {}
    for number in range(LEADS):
        given = current_score(store, f"L-{number:02}")
        assert given is not None
        assert given.score.probability is not None
        found[given.score.lead_id] = given.score.probability
    return found


def listed(store: Store, scorer: Scorer, capacity: int = 5, **asked: Any) -> dict[str, Any]:
    found = call_list(store, scorer, Asked(capacity, **asked), as_of_us=AS_OF_US)
    TodayAnswer.model_validate(found)
    return found


def test_the_best_leads_are_listed_with_what_to_expect_of_them(store: Store, scorer: Scorer) -> None:
    fill(store, scorer)
    found = listed(store, scorer, 7)
    best = sorted(chances(store).items(), key=lambda told: (-told[1], told[0]))[:7]
    assert [(one["lead_id"], one["probability"]) for one in found["leads"]] == best
    assert [one["rank"] for one in found["leads"]] == list(range(1, 8))
    assert found["threshold"] == best[-1][1]
    assert found["expected_wins"] == pytest.approx(sum(chance for _, chance in best))
    low, high = found["range"]
    assert 0 <= low <= found["expected_wins"] <= high <= 7
    assert found["range_basis"] == "learnt"
    assert found["expected_wins_by_rules"] <= found["expected_wins"]
    assert found["open_leads"] == LEADS
    for one in found["leads"]:
        given = current_score(store, one["lead_id"])
        assert given is not None
        rules: Any = given.score.rules
        assert (one["score_id"], one["handover"]) == (given.score_id, rules["handover"])
        reasons: Any = given.score.reasons
        strongest = sorted((abs(reason["logit"]) for reason in reasons), reverse=True)[:3]
        assert [abs(reason["logit"]) for reason in one["reasons"]] == strongest


def test_pool_and_owner_narrow_the_list(store: Store, scorer: Scorer) -> None:
    fill(store, scorer)
    everyone = listed(store, scorer, 500)["leads"]
    pools = {one["pool"] for one in everyone}
    assert len(pools) > 1
    for pool in pools:
        of_pool = listed(store, scorer, 500, pool=pool)["leads"]
        assert [one["lead_id"] for one in of_pool] == [one["lead_id"] for one in everyone if one["pool"] == pool]
    own = listed(store, scorer, 500, owners=frozenset(["u7"]))
    assert {one["owner_id"] for one in own["leads"]} == {"u7"}
    assert own["open_leads"] == LEADS // 2
    assert listed(store, scorer, 500, owners=frozenset())["leads"] == []


def test_ended_and_never_scored_leads_are_left_out(store: Store, scorer: Scorer) -> None:
    fill(store, scorer)
    (best, second) = [one["lead_id"] for one in listed(store, scorer, 2)["leads"]]
    ended = [OutcomeRecord(lead_id=best, outcome="lost", closed_at=AS_OF_US - DAY_US, known_at=AS_OF_US - 1)]
    add_outcomes(store, ended, now_us=AS_OF_US)
    put_lead(store, LeadRecord(lead_id="new", created_at=AS_OF_US - 5), modified_us=AS_OF_US - 5, now_us=AS_OF_US)
    found = listed(store, scorer, 500)
    assert found["leads"][0]["lead_id"] == second
    assert not {best, "new"} & {one["lead_id"] for one in found["leads"]}
    rescore_dirty(store, scorer, AS_OF_US)
    found = listed(store, scorer, 500)
    assert best not in {one["lead_id"] for one in found["leads"]}
    assert found["open_leads"] == len(found["leads"]) == LEADS - 1 + 1


def test_a_person_is_called_once(store: Store, scorer: Scorer) -> None:
    begun = AS_OF_US - 9 * DAY_US
    for lead_id, person_id in (("a", "p"), ("b", "p"), ("c", None), ("d", None)):
        told = LeadRecord(lead_id=lead_id, created_at=begun, person_id=person_id)
        put_lead(store, told, modified_us=begun, now_us=begun)
    rescore_dirty(store, scorer, AS_OF_US)
    found = listed(store, scorer)
    assert {one["lead_id"] for one in found["leads"]} in ({"a", "c", "d"}, {"b", "c", "d"})
    assert found["open_leads"] == 3


def test_leads_held_out_stand_where_their_lot_puts_them(store: Store, bundle: Bundle) -> None:
    scorer = Scorer(bundle, load_scorecard(), holdout=HoldOut(0.3, "s"))
    fill(store, scorer)
    found = listed(store, scorer, 500)
    held = [one for one in found["leads"] if one["handover"]["holdout"]]
    assert {one["lead_id"] for one in held} == {one for one in chances(store) if scorer.holdout.holds(one)}
    assert held
    places = [scorer.holdout.place(one["lead_id"]) for one in held]
    assert places == sorted(places)
    others = [one["probability"] for one in found["leads"] if not one["handover"]["holdout"]]
    assert others == sorted(others, reverse=True)
    assert found["threshold"] == min(others)


def test_without_a_model_points_rank_and_nothing_is_promised(store: Store) -> None:
    scorer = Scorer(None, load_scorecard())
    fill(store, scorer)
    found = listed(store, scorer, 10)
    points = [one["points"] for one in found["leads"]]
    assert points == sorted(points, reverse=True)
    assert points[0] > points[-1]
    assert [found[name] for name in ("threshold", "expected_wins", "range", "expected_wins_by_rules")] == [None] * 4


def test_an_empty_store_has_nobody_to_call(store: Store, scorer: Scorer) -> None:
    found = listed(store, scorer)
    assert (found["leads"], found["expected_wins"], found["open_leads"]) == ([], None, 0)


def order_of_the_page(store: Store, scorer: Scorer, wanted: Wanted, *, limit: int) -> list[str]:
    """Walk through the pages of the list, as somebody who follows its links does."""
    found: list[str] = []
    spot: Spot | None = Spot()
    while spot is not None:
        rows, spot = page_of(
            store, scorer, ANYONE, wanted, spot_after(spot.text), limit=limit, now_us=AS_OF_US, language="en"
        )
        assert [row.rank for row in rows] == list(range(len(found) + 1, len(found) + len(rows) + 1))
        found += [row.lead.lead_id for row in rows]
    return found


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("limit", [4, 7, 50])
def test_the_page_and_the_path_give_one_order(store: Store, bundle: Bundle, share: float, limit: int) -> None:
    scorer = Scorer(bundle, load_scorecard(), holdout=HoldOut(share, "s"))
    fill(store, scorer)
    told = [one["lead_id"] for one in listed(store, scorer, 500)["leads"]]
    assert order_of_the_page(store, scorer, Wanted({}), limit=limit) == told
    assert len(told) == LEADS
    pools = {one["pool"] for one in listed(store, scorer, 500)["leads"]}
    for pool in pools:
        of_pool = [one["lead_id"] for one in listed(store, scorer, 500, pool=pool)["leads"]]
        assert order_of_the_page(store, scorer, Wanted({"pool": pool}), limit=limit) == of_pool


@given(st.lists(st.floats(0, 1, exclude_max=True), max_size=8), st.integers(0, 12))
def test_a_lot_is_a_share_of_the_list(lots: list[float], others: int) -> None:
    held = sorted(lots)
    places = merged_places(held, others)
    keys = [((rank + 0.5) / others, 1) for rank in range(others)] + [(lot, 0) for lot in held]
    expected = [at for at, (_, scored) in enumerate(sorted(keys)) if not scored]
    assert places == pytest.approx(expected)


# --- the path -----------------------------------------------------------------------------------------------------


def filled_now(store: Store, scorer: Scorer) -> None:
    fill(store, scorer, at_us=to_us(now()) - DAY_US)


def test_the_path_answers_in_the_language_asked_for(store: Store, door: Door, scorer: Scorer) -> None:
    filled_now(store, scorer)
    client = client_of(door, scorer)
    told = client("GET", "/v1/today", params={"capacity": 3}, headers={"accept-language": "zh"})
    assert told.status_code == 200
    body = told.json()
    TodayAnswer.model_validate(body)
    assert len(body["leads"]) == body["capacity"] == 3
    assert all(any("一" <= sign <= "鿿" for sign in one["handover"]["note"]) for one in body["leads"])
    texts = [reason["text"] for one in body["leads"] for reason in one["reasons"]]
    assert texts
    assert all(any("一" <= sign <= "鿿" for sign in text) for text in texts)
    assert len(client("GET", "/v1/today").json()["leads"]) == 5


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"capacity": "501"}, "capacity"),
        ({"capacity": "0"}, "capacity"),
        ({"capacity": "ten"}, "capacity"),
        ({"pool": "x" * 201}, "pool"),
        ({"owner": "\x00"}, "owner"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_name(
    door: Door, scorer: Scorer, asked: dict[str, str], field: str
) -> None:
    refused = client_of(door, scorer)("GET", "/v1/today", params=asked)
    assert (refused.status_code, problem(refused)["field"]) == (400, field)


def test_a_rep_sees_own_leads_only_whatever_is_asked_for(store: Store, door: Door, scorer: Scorer) -> None:
    filled_now(store, scorer)
    _, text = create_key(store, "rep", role="rep", scopes=("read",), owner_ids=("u7",), now_us=to_us(now()))
    keyring = Keyring(url_of(store))
    keyring.refresh()
    client, headers = client_of(door, scorer, keyring), {"authorization": f"Bearer {text}"}

    def owners(**asked: str) -> set[str]:
        found = client("GET", "/v1/today", params={"capacity": "500", **asked}, headers=headers).json()
        return {one["owner_id"] for one in found["leads"]}

    assert owners() == owners(owner="u7") == {"u7"}
    assert owners(owner="u8") == set()
    assert client("GET", "/v1/today").status_code == 401
    keyring.close()


def test_before_anything_answers_the_path_is_not_ready(door: Door, scorer: Scorer) -> None:
    client = Client(scorer, more=today_routes(door, ServingState(None), capacity=5))
    assert client("GET", "/v1/today").status_code == 503


def test_the_description_is_of_what_is_answered() -> None:
    assert isinstance(DESCRIBED, Described)
    get = DESCRIBED.paths["/v1/today"]["get"]
    example = get["responses"]["200"]["content"]["application/json"]["example"]
    TodayAnswer.model_validate(example)
    Draft202012Validator(TodayAnswer.model_json_schema(mode="serialization")).validate(example)
    assert {parameter["name"] for parameter in get["parameters"]} >= {"capacity", "pool", "owner"}
