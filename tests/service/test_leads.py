"""What the store's leads are answered: as the stateless endpoint says, remembered, replayable, to the right eyes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from data.clock import from_us, iso, now, to_us
from data.store.engine import Store
from data.store.keys import create_key
from data.store.scores import current_score, history, newest_scores
from serving.keys.keyring import Keyring
from serving.leads.answers import HistoryAnswer
from serving.scoring.answers import ScoreAnswer
from serving.scoring.scorer import Scorer
from serving.stored.door import Door
from serving.stored.rescoring import replayed
from serving.stored.score_log import ScoreLog
from tests.data.stores import BOTH, emptied, made_store, rows_of
from tests.service.calling import Client, problem
from tests.service.test_intake import opened, url_of

PERSONAL = "li.wei@acme.example"


@pytest.fixture(scope="module", params=BOTH)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store(request.param, tmp_path_factory.mktemp("leads")) as store:
        yield store


@pytest.fixture
def store(made: Store) -> Store:
    return emptied(made)


@pytest.fixture
def door(store: Store) -> Iterator[Door]:
    with opened(store) as found:
        yield found


@pytest.fixture
def client(door: Door, scorer: Scorer) -> Client:
    return Client(scorer, door=door)


def days_ago(days: float) -> str:
    return iso(from_us(to_us(now()) - round(days * 86_400e6)))


def fill(client: Client) -> dict[str, Any]:
    """Put a lead with its account, its events and a colleague's into the store; return the same as one request."""
    created, known = days_ago(20), days_ago(19)
    lead = {"source": "webinar", "job_title": "VP Ops", "country": "DE", "custom": {"erp": "sap"}}
    contact = {"name": "Li Wei", "email": PERSONAL}
    account = {"industry": "medical devices", "employees": 800}
    dated = {"created_at": created, "modified_at": known}
    assert client("PUT", "/v1/accounts/A-1", json={**account, "modified_at": known}).is_success
    assert client(
        "PUT", "/v1/leads/L-1", json={**lead, **dated, "account_id": "A-1", "contact": contact, "owner_id": "u7"}
    ).is_success
    colleague = {**dated, "account_id": "A-1", "job_title": "engineer"}
    assert client("PUT", "/v1/leads/L-2", json=colleague).is_success
    numbers = itertools.count()
    events = [
        {"id": f"e{next(numbers)}", "type": kind, "occurred_at": days_ago(days), "source": "site", "content_id": "c1"}
        for kind, days in (("whitepaper_download", 10), ("whitepaper_download", 3), ("page_view", 2), ("webinar", 1))
    ]
    theirs = [{"id": "x1", "source": "site", "type": "page_view", "occurred_at": days_ago(2)}]
    for lead_id, told in (("L-1", events), ("L-2", theirs)):
        sent = [
            {
                "specversion": "1.0",
                "subject": lead_id,
                "time": event["occurred_at"],
                "data": {"known_at": event["occurred_at"], "content_id": event.get("content_id")},
                **{name: event[name] for name in ("id", "source", "type")},
            }
            for event in told
        ]
        assert client("POST", "/v1/events", json=sent).is_success
    others = [{**theirs[0], "lead_id": "L-2", "job_title": "engineer"}]
    return {
        "lead": {
            "lead_id": "L-1",
            "created_at": created,
            **lead,
            "contact": contact,
            "account": {**account, "events": others},
        },
        "events": events,
    }


def test_a_stored_lead_scores_as_the_same_facts_in_a_request(client: Client) -> None:
    payload = fill(client)
    told = client("GET", "/v1/leads/L-1/score", headers={"accept-language": "zh"})
    assert told.status_code == 200
    stored = told.json()
    ScoreAnswer.model_validate(stored)
    sent = client(
        "POST", "/v1/score", json={**payload, "as_of": stored["as_of"]}, headers={"accept-language": "zh"}
    ).json()
    assert stored == sent
    assert stored["source"] == "model"


def test_what_was_said_is_remembered_and_can_be_had_again_to_the_digit(
    client: Client, store: Store, scorer: Scorer
) -> None:
    fill(client)
    said = [client("GET", "/v1/leads/L-1/score").json() for _ in range(3)]
    told = HistoryAnswer.model_validate(client("GET", "/v1/leads/L-1/history").json())
    assert [given.as_of for given in told.scores] == [each["as_of"] for each in reversed(said)]
    assert [given.probability for given in told.scores] == [each["probability"] for each in reversed(said)]
    assert [reason.model_dump() for reason in told.scores[-1].reasons] == said[0]["reasons"]
    for given in history(store, "L-1"):
        assert replayed(scorer, given.score) == given.score
    current = current_score(store, "L-1")
    assert current is not None
    assert current.score.probability == said[-1]["probability"]


def test_the_history_comes_in_pages_and_never_holds_the_payload(client: Client) -> None:
    fill(client)
    for _ in range(5):
        client("GET", "/v1/leads/L-1/score")
    first = client("GET", "/v1/leads/L-1/history?limit=3").json()
    second = client("GET", f"/v1/leads/L-1/history?limit=3&before={first['before']}").json()
    ids = [given["score_id"] for given in first["scores"] + second["scores"]]
    assert ids == sorted(set(ids), reverse=True)
    assert (len(ids), second["before"]) == (5, None)
    assert not any(word in json.dumps(first) for word in (PERSONAL, "Li Wei", '"e0', "known_at"))
    for bad in ("limit=0", "limit=201", "limit=x", "before=-1", "limit=1e2", "before=99999999999999999999"):
        refused = client("GET", f"/v1/leads/L-1/history?{bad}")
        assert (refused.status_code, problem(refused)["field"]) == (400, bad.split("=")[0])


def test_a_closed_lead_is_answered_with_a_warning(client: Client) -> None:
    fill(client)
    lost = {"lead_id": "L-1", "outcome": "lost", "closed_at": days_ago(0.5), "known_at": days_ago(0.5)}
    assert client("POST", "/v1/outcomes", json=lost).is_success
    codes = [warning["code"] for warning in client("GET", "/v1/leads/L-1/score").json()["warnings"]]
    assert "lead_closed" in codes


def test_a_lead_that_is_not_there_and_one_that_is_not_seen_are_the_same_404(
    client: Client, store: Store, scorer: Scorer, door: Door
) -> None:
    fill(client)
    client("GET", "/v1/leads/L-1/score")
    text = create_key(store, "rep", role="rep", scopes=["read"], owner_ids=["u8"])[1]
    own = create_key(store, "own", role="rep", scopes=["read"], owner_ids=["u7"])[1]
    keyring = Keyring(url_of(store))
    keyring.refresh()
    rep, headers = Client(scorer, door=door, keyring=keyring), {"authorization": f"Bearer {text}"}
    for path in ("score", "history"):
        hidden, absent = (rep("GET", f"/v1/leads/{one}/{path}", headers=headers) for one in ("L-1", "L-9"))
        assert hidden.status_code == absent.status_code == 404
        assert problem(hidden)["message"] == problem(absent)["message"]
        seen = rep("GET", f"/v1/leads/L-1/{path}", headers={"authorization": f"Bearer {own}"})
        assert seen.status_code == 200
    keyring.close()
    assert len(history(store, "L-1")) == 2  # the one before, and that of the own key


def test_without_a_model_the_rules_are_remembered(door: Door) -> None:
    from features.scorecard import load_scorecard

    client = Client(Scorer(None, load_scorecard()), door=door)
    fill(client)
    told = client("GET", "/v1/leads/L-1/score").json()
    assert (told["source"], told["rules"]["points"]) == ("rules", 90)
    given = HistoryAnswer.model_validate(client("GET", "/v1/leads/L-1/history").json()).scores[0]
    assert (given.bundle, given.probability, given.rules["points"]) == (None, None, 90)


def test_what_requests_were_answered_is_logged_but_never_current(
    store: Store, door: Door, scorer: Scorer, payload: dict[str, Any]
) -> None:
    log = ScoreLog(door)
    client = Client(scorer, door=door, score_log=log.put)
    payload["lead"]["lead_id"] = "L-1"
    payload["lead"]["contact"] = {"email": PERSONAL}
    said = client("POST", "/v1/score", json=payload).json()
    client("POST", "/v1/score/batch", json={"leads": [payload, {}, {"lead": {"lead_id": "a\x00b"}}]})
    # The same facts at the same moment are the same score.
    assert (log.write(), log.write(), log.dropped) == (2, 0, 0)
    (given,) = client("GET", "/v1/leads/L-1/history").json()["scores"]
    assert (given["cause"], given["probability"]) == ("payload", said["probability"])
    assert given["reasons"] == said["reasons"]
    assert current_score(store, "L-1") is None
    assert newest_scores(store, limit=5) == []
    assert "li.wei" not in repr(rows_of(store))


def test_the_log_is_bounded_and_counts_what_it_lacks(
    door: Door, store: Store, scorer: Scorer, payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import serving.stored.score_log

    monkeypatch.setattr(serving.stored.score_log, "_MOST_WAITING", 3)
    log = ScoreLog(door)
    client = Client(scorer, door=door, score_log=log.put)
    for number in range(5):
        payload["lead"]["lead_id"] = f"L-{number}"
        assert client("POST", "/v1/score", json=payload).status_code == 200
    assert log.dropped == 2
    assert (log.write(), len(rows_of(store, "scores")["scores"])) == (3, 3)
