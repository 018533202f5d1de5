"""Administrators alone name, test and remove the places that messages go to, over HTTP and on the command line."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from data.store import Store, create_key, list_targets, migrate, open_store
from data.store.targets import MOST_TARGETS, add_target
from serving.keys.keyring import Keyring
from serving.stored.door import Door
from serving.webhooks import bodies
from serving.webhooks.delivering import Deliverer, Means
from serving.webhooks.described import DESCRIBED
from serving.webhooks.routes import webhook_routes
from serving.webhooks.signing import new_secret
from tests.commands import CommandLine
from tests.data.stores import emptied
from tests.service.calling import Client, problem
from tests.service.receivers import genuine, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from data.store import Target

PUBLIC = "93.184.216.34"
URL = "https://crm.example/hook"
NOBODY = "0" * 32


@pytest.fixture
def home(tmp_path: Path) -> CommandLine:
    called = CommandLine(tmp_path)
    assert called("init").code == 0
    return called


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = f"sqlite:///{tmp_path_factory.mktemp('store') / 'store.sqlite'}"
    migrate(found)
    return found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield emptied(opened)
    opened.close()


class Admin:
    """Asks with a key of an administrator, and notes the lines of the log."""

    def __init__(self, store: Store, url: str, *, private: bool = False) -> None:
        self.door = Door(url)
        self.door.look()
        self.store = store
        resolve = None if private else (lambda host, _: [PUBLIC] if host == "crm.example" else ["10.0.0.1"])
        routes = webhook_routes(self.door, private=private, resolve=resolve)
        self.client = Client(None, keyring=Keyring(url), more=routes)
        self.key = self.key_of("admin", ["admin"])

    def key_of(self, role: Any, scopes: Any) -> str:
        return create_key(self.store, role, role=role, scopes=scopes, owner_ids=["u7"])[1]

    def __call__(self, method: str, path: str = "", *, key: str | None = None, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {key or self.key}"}
        return self.client(method, f"/v1/webhooks{path}", headers=headers, **options)


@pytest.fixture
def admin(store: Store, url: str) -> Iterator[Admin]:
    found = Admin(store, url)
    yield found
    found.door.close()


def model(name: str) -> Any:
    return getattr(bodies, name)


def test_a_webhook_is_added_listed_without_its_secret_and_removed(admin: Admin) -> None:
    asked = {"url": URL, "kinds": ["grade_changed", "pool_entered"], "pools": ["A"]}
    made = admin("POST", json=asked)
    assert made.status_code == 200
    told = model("WebhookMade").model_validate(made.json())
    assert (told.url, told.kinds, told.pools) == (URL, asked["kinds"], ["A"])
    listed = admin("GET")
    assert model("WebhookList").model_validate(listed.json()).webhooks[0].target_id == told.target_id
    assert told.secret.removeprefix("whsec_") not in listed.text
    assert list_targets(admin.store)[0].secret == told.secret
    removed = admin("DELETE", f"/{told.target_id}")
    assert removed.json() == {"target_id": told.target_id, "removed": True}
    assert admin("DELETE", f"/{told.target_id}").status_code == 404
    assert admin("GET").json() == {"webhooks": []}
    assert "crm.example" not in admin.client.logged
    assert told.secret not in admin.client.logged


@pytest.mark.parametrize(
    ("role", "scopes", "code"),
    [
        ("admin", ["read", "score", "ingest"], "scope_missing"),
        ("manager", ["admin"], "role_missing"),
        ("rep", ["admin"], "role_missing"),
    ],
)
def test_who_is_no_administrator_may_nothing(admin: Admin, role: str, scopes: list[str], code: str) -> None:
    key = admin.key_of(role, scopes)
    target = add_target(admin.store, URL, secret=new_secret())
    ways = [("GET", ""), ("POST", ""), ("DELETE", f"/{target.target_id}"), ("POST", f"/{target.target_id}/ping")]
    for method, path in [*ways, ("GET", f"/{target.target_id}/deliveries")]:
        refused = admin(method, path, key=key, **({"json": {"url": URL}} if (method, path) == ("POST", "") else {}))
        assert (refused.status_code, problem(refused)["code"]) == (403, code)
    assert list_targets(admin.store) == [target]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": 7}, "url"),
        ({"url": " "}, "url"),
        ({"url": "x" * 2001}, "url"),
        ({"url": "http://crm.example/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://inner.example/"}, "url"),
        ({"url": "https://me:word@crm.example/"}, "url"),
        ({"url": URL, "secret": "x"}, "secret"),
        ({"url": URL, "kinds": ["everything"]}, "kinds.0"),
        ({"url": URL, "kinds": ["ping"]}, "kinds.0"),
        ({"url": URL, "kinds": ["pool_entered"]}, "pools"),
        ({"url": URL, "kinds": ["grade_changed"], "pools": ["A"]}, "pools"),
        ({"url": URL, "kinds": []}, None),
        ({"url": URL, "pools": [""]}, "pools.0"),
        ({"url": URL, "pools": "A"}, "pools"),
    ],
)
def test_a_wrong_body_is_told_with_its_field_and_without_its_value(
    admin: Admin, body: dict[str, Any], field: str | None
) -> None:
    refused = admin("POST", json=body)
    assert refused.status_code == 400
    assert problem(refused)["field"] == field
    assert "word" not in refused.text
    assert list_targets(admin.store) == []


def test_there_may_be_so_many_webhooks_and_no_more(admin: Admin) -> None:
    for _ in range(MOST_TARGETS):
        add_target(admin.store, URL, secret=new_secret())
    refused = admin("POST", json={"url": URL})
    assert (refused.status_code, len(list_targets(admin.store))) == (400, MOST_TARGETS)
    assert str(MOST_TARGETS) in problem(refused)["message"]


@pytest.mark.parametrize("target_id", [NOBODY, "x", "%00", "%F0%9F%98%80", "A" * 32, "..%2f"])
def test_what_is_no_webhook_is_not_found(admin: Admin, target_id: str) -> None:
    for method, path in (("DELETE", ""), ("POST", "/ping"), ("GET", "/deliveries")):
        assert admin(method, f"/{target_id}{path}").status_code == 404


def test_a_ping_goes_the_way_of_all_messages_and_its_fate_is_told(store: Store, url: str) -> None:
    admin = Admin(store, url, private=True)
    with receiving() as receiver:
        made = admin("POST", json={"url": receiver.url, "kinds": ["model_changed"]}).json()
        sent = admin("POST", f"/{made['target_id']}/ping")
        told = model("PingAnswer").model_validate(sent.json())
        waiting = model("DeliveryList").model_validate(admin("GET", f"/{made['target_id']}/deliveries").json())
        Deliverer(store, means=Means(private=True)).round()
    assert [(each.state, each.attempts, each.last_status) for each in waiting.deliveries] == [("waiting", 0, None)]
    assert (receiver.ids, receiver.got[0].json()["type"]) == ([told.message_id], "ping")
    assert genuine(receiver.got[0], made["secret"])
    (done,) = model("DeliveryList").model_validate(admin("GET", f"/{made['target_id']}/deliveries").json()).deliveries
    assert (done.delivery_id, done.state, done.attempts, done.last_status) == (told.delivery_id, "delivered", 1, "204")
    assert done.next_try_at is None
    admin.door.close()


def test_deliveries_are_read_page_by_page_from_the_newest(admin: Admin) -> None:
    target = add_target(admin.store, URL, secret=new_secret())
    sent = [admin("POST", f"/{target.target_id}/ping").json()["delivery_id"] for _ in range(5)]
    path, found = f"/{target.target_id}/deliveries", list[str]()
    query: dict[str, Any] = {"limit": 2}
    while page := admin("GET", path, params=query).json()["deliveries"]:
        found += [each["delivery_id"] for each in page]
        query["before"] = found[-1]
    assert found == sent[::-1]
    assert len(admin("GET", path, params={"state": "waiting"}).json()["deliveries"]) == 5
    assert admin("GET", path, params={"state": "failed"}).json() == {"deliveries": []}
    for wrong in ({"limit": "0"}, {"limit": "201"}, {"limit": "1.5"}, {"before": "x"}, {"state": "lost"}):
        refused = admin("GET", path, params=wrong)
        assert (refused.status_code, problem(refused)["field"]) == (400, *wrong)


def test_the_description_fits_what_comes_and_names_every_path(admin: Admin) -> None:
    assert set(DESCRIBED.paths) == {route.template for route in webhook_routes(admin.door)}
    for model_, mode in DESCRIBED.models:
        Draft202012Validator.check_schema(model_.model_json_schema(mode=mode))
    answers = {each.__name__: each for each, mode in DESCRIBED.models if mode == "serialization"}
    for methods in DESCRIBED.paths.values():
        for told in methods.values():
            media = told["responses"]["200"]["content"]["application/json"]
            answers[media["schema"]["$ref"].rsplit("/", 1)[1]].model_validate(media["example"])


def targets_of(home: CommandLine) -> list[Target]:
    with closing(open_store(home.settings().store_url)) as store:
        return list_targets(store)


def test_the_command_line_adds_lists_and_removes(home: CommandLine) -> None:
    address = f"https://{PUBLIC}/hook"
    made = json.loads(home("webhooks", "add", address, "--pool", "A", "--json").out)
    assert made["secret"].startswith("whsec_")
    assert made["kinds"] == ["grade_changed", "pool_entered", "model_changed"]
    shown = home("webhooks", "list", "--json")
    assert [each["target_id"] for each in json.loads(shown.out)] == [made["target_id"]]
    listed = home("webhooks", "list", width=200)
    assert address in listed.out + listed.err
    assert made["secret"] not in shown.out + listed.out + listed.err
    assert home("webhooks", "ping", made["target_id"]).code == 0
    assert home("webhooks", "remove", made["target_id"]).code == 0
    again = home("webhooks", "remove", made["target_id"])
    assert (again.code, "no webhook of that id" in again.err) == (2, True)
    assert targets_of(home) == []


def test_wrong_use_of_the_command_line_is_told(home: CommandLine) -> None:
    for arguments, told in (
        (("https://127.0.0.1/hook",), "may not be called"),
        (("http://127.0.0.1/hook",), "not https"),
        ((f"https://{PUBLIC}/", "--kind", "everything"), "kind"),
        ((f"https://{PUBLIC}/", "--kind", "pool_entered"), "pools"),
    ):
        refused = home("webhooks", "add", *arguments, width=300)
        assert (refused.code, told in refused.err) == (2, True)
    assert targets_of(home) == []


def test_the_setting_lets_the_private_network_be_named(home: CommandLine) -> None:
    made = home("webhooks", "add", "http://127.0.0.1:9/hook", "--json", CLEW_WEBHOOK_PRIVATE="true")
    assert (made.code, json.loads(made.out)["url"]) == (0, "http://127.0.0.1:9/hook")
