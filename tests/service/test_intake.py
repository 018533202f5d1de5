"""Facts over HTTP: what is acknowledged is stored, once, whatever is sent again, late, wrong or to the wrong lead."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from jsonschema import Draft202012Validator

from data.clock import from_us, iso, now, to_us
from data.store.engine import Store
from data.store.keys import create_key
from data.store.schema import FACTS, SCHEMA
from serving.intake.answers import Taken, TakenMany
from serving.intake.handlers import LIST_LIMIT, PUT_LIMIT
from serving.intake.parsing import MOST_ITEMS
from serving.keys.keyring import Keyring
from serving.openapi import openapi_document
from serving.stored.door import Door
from tests.data.stores import BOTH, emptied, made_store, rows_of
from tests.service.calling import Client, problem

LEAD = {"created_at": "2026-11-02T09:00:00Z", "modified_at": "2026-11-03T09:00:00Z", "source": "webinar"}
EVENT = {
    "specversion": "1.0",
    "id": "e1",
    "source": "site",
    "type": "whitepaper_download",
    "time": "2026-11-10T03:00:00Z",
    "subject": "L-1",
    "data": {"content_id": "wp-7"},
}
ACTION = {"id": "a1", "lead_id": "L-1", "type": "called", "occurred_at": "2026-11-10T03:00:00Z"}
OUTCOME = {"lead_id": "L-1", "outcome": "won", "closed_at": "2026-11-12T03:00:00Z", "known_at": "2026-11-12T03:00:00Z"}
STAGE = {"lead_id": "L-1", "stage": "mql", "occurred_at": "2026-11-10T03:00:00Z"}
MERGE = {"lead_id": "L-1", "into_lead_id": "L-2", "occurred_at": "2026-11-10T03:00:00Z"}
POSTED: dict[str, dict[str, Any]] = {
    "events": EVENT,
    "actions": ACTION,
    "outcomes": OUTCOME,
    "stages": STAGE,
    "merges": MERGE,
}


@pytest.fixture(scope="module", params=BOTH)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store(request.param, tmp_path_factory.mktemp("intake")) as store:
        yield store


@pytest.fixture
def store(made: Store) -> Store:
    return emptied(made)


def url_of(store: Store) -> str:
    if store.is_postgres:
        return store.engine.url.render_as_string(hide_password=False)
    return f"sqlite:///{str(store.engine.url.database).removeprefix('file:')}"


@contextlib.contextmanager
def opened(store: Store) -> Iterator[Door]:
    door = Door(url_of(store))
    assert door.look() == "open"
    yield door
    door.close()


@pytest.fixture
def client(store: Store) -> Iterator[Client]:
    with opened(store) as door:
        yield Client(None, door=door)


def counts(store: Store) -> dict[str, int]:
    return {name: len(rows) for name, rows in rows_of(store, *FACTS).items() if rows}


def test_a_lead_is_stored_once_however_often_it_is_put(client: Client, store: Store) -> None:
    told = client("PUT", "/v1/leads/L-1", json=LEAD)
    assert (told.status_code, told.json()) == (200, {"result": "new"})
    before = rows_of(store, "leads")
    later = {**LEAD, "modified_at": "2026-11-05T09:00:00Z"}
    assert client("PUT", "/v1/leads/L-1", json=LEAD).json() == {"result": "unchanged"}
    assert client("PUT", "/v1/leads/L-1", json=later).json() == {"result": "unchanged"}
    assert rows_of(store, "leads") == before


def test_an_older_state_enters_the_history_and_another_of_the_same_moment_is_a_conflict(
    client: Client, store: Store
) -> None:
    client("PUT", "/v1/leads/L-1", json=LEAD)
    older = {**LEAD, "source": "fair", "modified_at": "2026-11-02T10:00:00Z"}
    assert client("PUT", "/v1/leads/L-1", json=older).json() == {"result": "older"}
    refused = client("PUT", "/v1/leads/L-1", json={**LEAD, "source": "ad"})
    assert (refused.status_code, problem(refused)["code"]) == (409, "conflict")
    with store.reading() as connection:
        leads = FACTS["leads"]
        assert list(connection.scalars(sa.select(leads.c.source).order_by(leads.c.known_at))) == ["fair", "webinar"]


def test_contact_data_go_to_their_own_table_and_into_no_log(client: Client, store: Store) -> None:
    contact = {"name": "Li Wei", "email": "li.wei@acme.example", "phone": "+86 10 5555 0100"}
    assert client("PUT", "/v1/leads/L-1", json={**LEAD, "contact": contact}).status_code == 200
    wrong = client("PUT", "/v1/leads/L-2", json={**LEAD, "contact": {**contact, "email": "x" * 501}})
    assert problem(wrong)["field"] == "contact.email"
    told = rows_of(store)
    assert [name for name, rows in told.items() if "li.wei" in repr(rows)] == ["contacts"]
    assert "acme" not in client.logged
    assert "L-1" not in client.logged


def test_an_account_is_stored_and_its_leads_are_marked(client: Client, store: Store) -> None:
    client("PUT", "/v1/leads/L-1", json={**LEAD, "account_id": "A-1"})
    assert client("PUT", "/v1/accounts/A-1", json={"employees": 800}).json() == {"result": "new"}
    assert counts(store) == {"leads": 1, "accounts": 1}


def test_an_id_may_hold_what_a_path_may_not(client: Client, store: Store) -> None:
    assert client("PUT", "/v1/leads/00Q%2F7%20a%C3%A9", json=LEAD).status_code == 200
    assert rows_of(store, "leads")["leads"][0][0] == "00Q/7 aé"
    for odd in ("%20", "a%00b", "x" * 501):
        assert problem(client("PUT", f"/v1/leads/{odd}", json=LEAD))["field"] == "lead_id"


@pytest.mark.parametrize("name", POSTED)
def test_a_fact_alone_and_in_a_list_is_stored_once(client: Client, store: Store, name: str) -> None:
    first = client("POST", f"/v1/{name}", json=POSTED[name])
    assert (first.status_code, Taken.model_validate(first.json()).result) == (200, "new")
    again = client("POST", f"/v1/{name}", json=[POSTED[name]] * 3)
    known = "unchanged" if name == "outcomes" else "duplicate"
    assert [item["result"] for item in again.json()["results"]] == [known] * 3
    assert counts(store) == {name: 1}


def test_of_a_list_the_bad_items_are_told_in_order_and_the_good_ones_stored(client: Client, store: Store) -> None:
    ahead = iso(from_us(to_us(now()) + 3_600_000_000))
    sent = [
        EVENT,
        {**EVENT, "id": "e2", "colour": {"dark": 1}, "Typ": 1},
        7,
        {**EVENT, "id": "e3", "time": ahead},
        {**EVENT, "type": "call"},
        {**EVENT, "id": "e4", "data": {"durations": 1}},
        {**EVENT, "id": "e5"},
        {**EVENT, "id": "e6", "data": {"known_at": ahead}},
    ]
    told = client("POST", "/v1/events", json=sent)
    assert told.status_code == 200
    results = TakenMany.model_validate(told.json()).model_dump()["results"]
    assert [item.get("result") or item["error"]["field"] or item["error"]["code"] for item in results] == [
        "new",
        "1.Typ",
        "2",
        "3.time",
        "4",
        "5.data.durations",
        "new",
        "7.data.known_at",
    ]
    assert results[4]["error"]["code"] == "conflict"
    assert counts(store) == {"events": 2}


def test_a_cloud_event_keeps_its_media_type_and_its_extensions_do_no_harm(client: Client) -> None:
    told = {**EVENT, "traceparent": "00-1", "partitionkey": 7, "datacontenttype": "application/json"}
    for media_type, content in (
        ("application/cloudevents+json; charset=utf-8", json.dumps(told)),
        ("application/cloudevents-batch+json", json.dumps([told])),
    ):
        response = client("POST", "/v1/events", content=content, headers={"content-type": media_type})
        assert response.status_code == 200
    other = client("POST", "/v1/actions", content="{}", headers={"content-type": "application/cloudevents+json"})
    assert other.status_code == 415


@pytest.mark.parametrize(
    ("name", "change", "field"),
    [
        ("events", {"specversion": "0.3"}, "specversion"),
        ("events", {"subject": " \u200b "}, "subject"),
        ("events", {"time": "2026-11-10T03:00:00"}, "time"),
        ("events", {"data": {"value": 1e16}}, "data.value"),
        ("events", {"id": "a\x00b"}, "id"),
        ("actions", {"type": "rejected"}, "reason"),
        ("actions", {"type": "rejected", "reason": " "}, "reason"),
        ("outcomes", {"outcome": "maybe"}, "outcome"),
        ("outcomes", {"closed_at": "2126-01-01T00:00:00Z"}, "closed_at"),
        ("stages", {"occurred_at": "2126-01-01T00:00:00Z"}, "occurred_at"),
    ],
)
def test_a_bad_field_is_named(client: Client, store: Store, name: str, change: dict[str, Any], field: str) -> None:
    refused = client("POST", f"/v1/{name}", json={**POSTED[name], **change})
    assert (refused.status_code, problem(refused)["field"]) == (400, field)
    assert counts(store) == {}


def test_a_rejection_that_says_why_is_taken(client: Client) -> None:
    assert client("POST", "/v1/actions", json={**ACTION, "type": "rejected", "reason": "no budget"}).status_code == 200


def test_bodies_have_their_limits(client: Client) -> None:
    many = client("POST", "/v1/stages", json=[STAGE] * (MOST_ITEMS + 1))
    assert (many.status_code, problem(many)["code"]) == (400, "invalid_field")
    json_type = {"content-type": "application/json"}
    assert client("POST", "/v1/events", content=b" " * (LIST_LIMIT + 1), headers=json_type).status_code == 413
    assert client("PUT", "/v1/leads/L-1", content=b" " * (PUT_LIMIT + 1), headers=json_type).status_code == 413
    for broken in (b"", b"[", b"[" * 100_000, b'{"lead_id": NaN}'):
        told = client("POST", "/v1/stages", content=broken, headers=json_type)
        assert told.status_code == 400


@contextlib.contextmanager
def keyed(store: Store, role: Any, owners: tuple[str, ...]) -> Iterator[tuple[Client, dict[str, str]]]:
    text = create_key(store, "one", role=role, scopes=["ingest", "read"], owner_ids=owners)[1]
    keyring = Keyring(url_of(store))
    keyring.refresh()
    with opened(store) as door:
        yield Client(None, door=door, keyring=keyring), {"authorization": f"Bearer {text}"}
    keyring.close()


def test_a_rep_writes_about_own_leads_only(client: Client, store: Store) -> None:
    client("PUT", "/v1/leads/own", json={**LEAD, "owner_id": "u7"})
    client("PUT", "/v1/leads/other", json={**LEAD, "owner_id": "u8"})
    with keyed(store, "rep", ("u7",)) as (rep, headers):
        sent = [{**ACTION, "id": name, "lead_id": name} for name in ("own", "other", "nobody's")]
        told = rep("POST", "/v1/actions", json=sent, headers=headers).json()["results"]
        assert [item["status"] for item in told] == ["ok", "error", "error"]
        assert {item["error"]["code"] for item in told[1:]} == {"not_found"}
        assert rep("POST", "/v1/actions", json=sent[1], headers=headers).status_code == 404
        assert rep("PUT", "/v1/leads/other", json={**LEAD, "owner_id": "u7"}, headers=headers).status_code == 404
        assert rep("PUT", "/v1/leads/own", json={**LEAD, "owner_id": "u8"}, headers=headers).status_code == 403
        assert rep("PUT", "/v1/leads/new", json={**LEAD, "owner_id": "u7"}, headers=headers).status_code == 200
        assert rep("PUT", "/v1/accounts/A-1", json={}, headers=headers).status_code == 403
        assert rep(
            "POST", "/v1/merges", json={**MERGE, "lead_id": "own", "into_lead_id": "other"}, headers=headers
        ).is_error
        assert counts(store) == {"leads": 3, "actions": 1}


def test_a_manager_writes_about_all_leads(store: Store) -> None:
    with keyed(store, "manager", ()) as (manager, headers):
        assert manager("PUT", "/v1/leads/L-1", json={**LEAD, "owner_id": "u8"}, headers=headers).status_code == 200
        assert manager("PUT", "/v1/accounts/A-1", json={}, headers=headers).status_code == 200


def test_without_a_store_everything_is_refused_in_words(tmp_path: Path) -> None:
    door = Door(f"sqlite:///{tmp_path / 'none.sqlite'}")
    assert door.look() == "none"
    refused = Client(None, door=door)("POST", "/v1/stages", json=STAGE)
    assert (refused.status_code, problem(refused)["code"]) == (503, "store_missing")
    assert "clew init" in problem(refused)["message"]
    assert refused.headers["retry-after"] == "5"
    assert not (tmp_path / "none.sqlite").exists()


def test_a_store_of_another_version_is_refused_and_keeps_a_worker_from_being_ready(store: Store) -> None:
    door = Door(url_of(store))
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE clew_schema SET version_num = '0001'")
    try:
        assert (door.look(), door.is_sound) == ("schema", False)
        refused = Client(None, door=door)("POST", "/v1/stages", json=STAGE)
        assert (refused.status_code, problem(refused)["code"]) == (503, "store_schema")
    finally:
        with store.engine.begin() as connection:
            connection.execute(sa.text("UPDATE clew_schema SET version_num = :one"), {"one": SCHEMA})
    assert (door.look(), door.is_sound) == ("open", True)
    door.close()


def test_a_store_file_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    with made_store("sqlite", tmp_path / "one") as first, made_store("sqlite", tmp_path / "two") as second:
        place = Path(url_of(first).removeprefix("sqlite:///"))
        door = Door(url_of(first))
        door.look()
        client = Client(None, door=door)
        client("POST", "/v1/stages", json=STAGE)
        # As `clew restore` does it: a log that was left would be played into the new file.
        for ending in ("-wal", "-shm"):
            place.with_name(place.name + ending).unlink(missing_ok=True)
        second.close()
        Path(url_of(second).removeprefix("sqlite:///")).replace(place)
        assert door.look() == "open"
        assert client("POST", "/v1/stages", json=STAGE).json() == {"result": "new"}
        door.close()


def test_the_description_agrees_with_what_is_taken_and_answered(client: Client) -> None:
    document = openapi_document()
    for path, methods in document["paths"].items():
        for told in methods.values():
            for media in told.get("requestBody", {}).get("content", {}).values():
                schema = {**media["schema"], "components": document["components"]}
                examples = (
                    [media["example"]] if "example" in media else [e["value"] for e in media["examples"].values()]
                )
                for example in examples:
                    Draft202012Validator(schema).validate(example)
                    if path in {f"/v1/{name}" for name in POSTED}:
                        response = client("POST", path, json=example)
                        assert response.status_code == 200
                        answer = told["responses"]["200"]["content"]["application/json"]["schema"]
                        Draft202012Validator({**answer, "components": document["components"]}).validate(response.json())
