"""Who sees which page: signing in and out, forms of others, roles by every address, and what a page keeps to itself."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

import pytest

from data.clock import HOUR_US, now, to_us
from data.store import Store, create_key, feedback_on, revoke_key, views_of
from data.store.keys import open_session, verify_session
from serving.keys.keyring import Keyring
from serving.pages.handlers import SESSION_HOURS
from serving.pages.wording import WORDS
from serving.stored.door import Door
from tests.data.stores import made_store
from tests.service.browsing import Browser, lead_ids_on, pages_over, token_in
from tests.service.selling import fill_store
from tests.service.test_intake import url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.scoring.scorer import Scorer
    from tests.service.calling import Client

OWN, OTHER, NOBODYS = "L-0000", "L-0001", "L-0002"  # of u7, of u8, of nobody


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, scorer: Scorer) -> Iterator[Store]:
    with made_store("sqlite", tmp_path_factory.mktemp("pages")) as store:
        fill_store(store, scorer, now_us=to_us(now()), leads=30)
        yield store


@pytest.fixture(scope="module")
def admin(store: Store) -> str:
    return create_key(store, "admin", role="admin", scopes=("read", "admin"))[1]


@pytest.fixture(scope="module")
def rep(store: Store) -> str:
    return create_key(store, "rep", role="rep", scopes=("read",), owner_ids=("u7",))[1]


@pytest.fixture(scope="module")
def door(store: Store) -> Iterator[Door]:
    found = Door(url_of(store))
    found.look()
    yield found
    found.close()


@pytest.fixture
def pages(store: Store, door: Door, scorer: Scorer, admin: str) -> Iterator[Client]:
    assert admin
    keyring = Keyring(url_of(store))
    keyring.refresh()
    yield pages_over(door, scorer, keyring)
    keyring.close()


def signed_in(pages: Client, key: str) -> Browser:
    browser = Browser(pages)
    assert browser.sign_in(key).headers["location"] == "/"
    return browser


def test_without_a_session_every_page_leads_to_signing_in_and_back(pages: Client) -> None:
    browser = Browser(pages)
    for path in ("/", "/?grade=A", f"/leads/{OWN}", "/leads.csv"):
        answer = browser.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?next=%2F")
    assert browser.get("/sign-in").status_code == 200


def test_a_key_opens_a_session_that_shows_the_list(pages: Client, admin: str) -> None:
    browser = Browser(pages)
    answer = browser.sign_in(admin, "/?grade=A")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?grade=A")
    assert len(lead_ids_on(browser.get("/"))) == 30
    assert "clew_session" in browser.cookies
    assert admin.split("_", 2)[2] not in browser.cookies["clew_session"]


def test_the_session_is_a_cookie_no_script_and_no_other_site_can_use(pages: Client, admin: str) -> None:
    browser = Browser(pages)
    cookie = next(one for one in browser.sign_in(admin).headers.get_list("set-cookie") if "clew_session" in one)
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/", f"max-age={SESSION_HOURS * 3600}"} <= attributes
    assert "secure" not in attributes
    far = Browser(pages, host="clew.example")
    assert "Secure" in far.get("/sign-in").headers["set-cookie"]


def test_a_key_does_not_travel_in_the_open(pages: Client, admin: str) -> None:
    far = Browser(pages, host="clew.example")
    token = token_in(far.get("/sign-in"))
    answer = far.post("/sign-in", {"key": admin, "token": token}, origin="http://clew.example")
    assert answer.status_code == 403
    assert WORDS["needs_https"].en in answer.text
    safe = far.post("/sign-in", {"key": admin, "token": token}, origin="https://clew.example")
    assert safe.status_code == 303


@pytest.mark.parametrize("key", ["", "clew_0000000000000000_x", "线索", "clew"])
def test_what_is_no_key_opens_nothing(pages: Client, key: str) -> None:
    browser = Browser(pages)
    answer = browser.sign_in(key)
    assert answer.status_code == 403
    assert WORDS["key_wrong"].en in answer.text
    assert "clew_session" not in browser.cookies


def test_a_key_that_may_not_read_is_told_so(pages: Client, store: Store) -> None:
    _, key = create_key(store, "crm", role="manager", scopes=("score", "ingest"))
    answer = Browser(pages).sign_in(key)
    assert answer.status_code == 403
    assert WORDS["key_no_read"].en in answer.text


def test_a_revoked_key_ends_its_sessions(store: Store, door: Door, scorer: Scorer, admin: str) -> None:
    key, text = create_key(store, "leaver", role="manager", scopes=("read",))
    keyring = Keyring(url_of(store))
    keyring.refresh()
    browser = Browser(pages_over(door, scorer, keyring))
    browser.sign_in(text)
    assert browser.get("/").status_code == 200
    assert revoke_key(store, key.key_id)
    keyring._seen.clear()  # what was verified is believed for some seconds
    assert browser.get("/").headers["location"].startswith("/sign-in")
    assert "clew_session" not in browser.cookies
    keyring.close()


def test_a_session_ends_with_its_time_and_with_its_key_and_cannot_be_made_up(store: Store) -> None:
    start = to_us(now())
    key, text = create_key(store, "k", role="rep", scopes=("read",), expires_us=start + 2 * HOUR_US)
    session = open_session(store, text, until_us=start + 9 * HOUR_US)
    assert session is not None
    assert verify_session(store, session, now_us=start + HOUR_US) == key
    assert verify_session(store, session, now_us=start + 3 * HOUR_US) is None
    short = open_session(store, text, until_us=start + HOUR_US)
    assert short is not None
    assert verify_session(store, short, now_us=start + HOUR_US) is None
    key_id, until, mac = session.split(".")
    longer = str(int(until) + HOUR_US)
    other = create_key(store, "o", role="admin", scopes=("read",))[0].key_id
    made_up = (
        f"{key_id}.{longer}.{mac}",
        f"{other}.{until}.{mac}",
        f"{key_id}.{until}.{'0' * 64}",
        "..",
        "",
        "a.1.b",
        f"{session}x",
    )
    assert [verify_session(store, each, now_us=start) for each in made_up] == [None] * len(made_up)
    assert open_session(store, "clew_0000000000000000_x", until_us=start + HOUR_US) is None


def test_the_session_of_a_page_opens_no_path_of_the_interface(pages: Client, admin: str) -> None:
    browser = signed_in(pages, admin)
    assert browser.get("/v1/model").status_code == 401


def test_signing_out_takes_the_session_back(pages: Client, admin: str) -> None:
    browser = signed_in(pages, admin)
    token = token_in(browser.get("/"), "/sign-out")
    assert browser.post("/sign-out", {"token": token}).headers["location"] == "/sign-in"
    assert "clew_session" not in browser.cookies
    assert browser.get("/").status_code == 303


FORMS = ("/views", "/views/delete", f"/leads/{OWN}/feedback", "/sign-out", "/sign-in")


@pytest.mark.parametrize("path", FORMS)
def test_a_form_without_the_token_of_this_browser_changes_nothing(
    pages: Client, store: Store, admin: str, path: str
) -> None:
    browser, stranger = signed_in(pages, admin), signed_in(pages, admin)
    fields = {"name": "v", "verdict": "good", "view_id": "x", "key": admin}
    other = token_in(stranger.get("/"), "/sign-out")
    for token in ("", "0" * 64, other):
        assert browser.post(path, fields | {"token": token}).status_code == 403
    assert feedback_on(store, OWN) == []
    assert views_of(store, admin.split("_")[1]) == []


@pytest.mark.parametrize("headers", [{"sec_fetch_site": "cross-site"}, {"origin": "https://evil.example"}])
def test_a_form_that_another_site_sends_is_refused_even_with_the_token(
    pages: Client, admin: str, headers: dict[str, str]
) -> None:
    browser = signed_in(pages, admin)
    fields = {"token": token_in(browser.get(f"/leads/{OWN}"), f"/leads/{OWN}/feedback"), "verdict": "good"}
    assert browser.post(f"/leads/{OWN}/feedback", fields, **headers).status_code == 403
    kept = browser.post(f"/leads/{OWN}/feedback", fields, origin="http://127.0.0.1", sec_fetch_site="same-origin")
    assert kept.status_code == 303


def test_a_rep_sees_own_leads_by_no_address_others(pages: Client, store: Store, rep: str) -> None:
    browser = signed_in(pages, rep)
    shown = lead_ids_on(browser.get("/"))
    assert len(shown) == 10
    assert OTHER not in shown
    assert lead_ids_on(browser.get("/?owner=u8")) == []
    for words in (OTHER, "p1@example.com", "Person 1"):
        assert OTHER not in lead_ids_on(browser.get(f"/?q={words}"))
    exported = browser.get("/leads.csv").text
    assert OWN in exported
    assert not {OTHER, NOBODYS} & set(re.findall(r"L-\d+", exported))
    token = token_in(browser.get(f"/leads/{OWN}"), f"/leads/{OWN}/feedback")
    for lead_id in (OTHER, NOBODYS, "L-none", "%00", "%ed%a0%80"):
        assert browser.get(f"/leads/{lead_id}").status_code == 404
        assert browser.post(f"/leads/{lead_id}/feedback", {"token": token, "verdict": "bad"}).status_code == 404
    assert feedback_on(store, OTHER) == []


def test_hidden_and_missing_leads_are_answered_alike(pages: Client, rep: str) -> None:
    browser = signed_in(pages, rep)
    number = re.compile(r"[0-9a-f]{32}")
    hidden, missing = (number.sub("", browser.get(f"/leads/{one}").text) for one in (OTHER, "L-none"))
    assert hidden == missing


def test_views_are_of_the_key_that_saved_them(pages: Client, admin: str, rep: str) -> None:
    mine, theirs = signed_in(pages, admin), signed_in(pages, rep)
    token = token_in(mine.get("/?grade=A"), "/views")
    assert mine.post("/views", {"token": token, "name": "Best", "grade": "A"}).headers["location"] == "/?grade=A"
    page = mine.get("/")
    assert '<a href="/?grade=A">Best</a>' in page.text
    assert "Best" not in theirs.get("/").text
    found = re.search(r'name="view_id" value="(\w+)"', page.text)
    assert found
    theirs.post("/views/delete", {"token": token_in(theirs.get("/?grade=A"), "/views"), "view_id": found[1]})
    assert "Best" in mine.get("/").text
    mine.post("/views/delete", {"token": token, "view_id": found[1]})
    assert "Best" not in mine.get("/").text


def test_every_page_forbids_scripts_frames_and_copies(pages: Client, admin: str) -> None:
    browser = signed_in(pages, admin)
    for path in ("/", f"/leads/{OWN}", "/leads.csv", "/sign-in", "/leads/none"):
        headers = browser.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert "script-src" not in policy
        told = (headers["x-frame-options"], headers["x-content-type-options"], headers["cache-control"])
        assert told == ("DENY", "nosniff", "no-store")
        assert headers["referrer-policy"] == "same-origin"
    for path in ("/", f"/leads/{OWN}"):
        text = browser.get(path).text
        assert not re.search(r"<script|style=|\son\w+=|javascript:", text)
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text)
        assert len(text.encode()) < 100_000


def test_signing_in_leads_nowhere_else(pages: Client, admin: str) -> None:
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", ""):
        assert Browser(pages).sign_in(admin, elsewhere).headers["location"] == "/"
    away = Browser(pages).get("/language?to=zh&back=https://evil.example")
    assert away.headers["location"] == "/"


def test_without_any_key_everybody_on_this_machine_sees_all_and_nobody_else_by_another_name(
    door: Door, scorer: Scorer
) -> None:
    pages = pages_over(door, scorer)
    assert len(lead_ids_on(Browser(pages).get("/"))) == 30
    assert Browser(pages).get("/sign-in").headers["location"] == "/"
    assert Browser(pages, host="rebound.example").get("/").status_code == 403


def test_the_log_names_the_key_and_nothing_personal(pages: Client, rep: str) -> None:
    browser = signed_in(pages, rep)
    browser.get("/?q=p0@example.com")
    browser.get(f"/leads/{OWN}")
    assert f'"key":"{rep.split("_")[1]}"' in pages.logged.replace(": ", ":")
    for private in ("example.com", OWN, rep.split("_", 2)[2], browser.cookies["clew_session"]):
        assert private not in pages.logged


def test_the_language_is_the_browsers_until_it_is_chosen(pages: Client, admin: str) -> None:
    browser = Browser(pages, language="zh-CN,en;q=0.5")
    page = browser.get("/sign-in")
    assert 'lang="zh-CN"' in page.text
    assert WORDS["sign_in"].zh in page.text
    browser.sign_in(admin)
    switched = browser.get("/language?to=en&back=/?grade=A")
    assert switched.headers["location"] == "/?grade=A"
    page = browser.get("/")
    assert (page.headers["content-language"], WORDS["today"].en in page.text) == ("en", True)


def test_every_text_is_there_in_both_languages_with_the_same_values() -> None:
    for key, words in WORDS.items():
        assert words.en.strip(), key
        assert words.zh.strip(), key
        fields = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (words.en, words.zh)]
        assert fields[0] == fields[1], key


def test_no_english_is_left_on_a_chinese_page(pages: Client, admin: str) -> None:
    browser = Browser(pages, language="zh")
    browser.sign_in(admin)
    for path in ("/?grade=A", f"/leads/{OWN}"):
        text = re.sub(r"<[^>]*>", " ", browser.get(path).text)
        for key, words in WORDS.items():
            plain = "{" not in words.en and len(words.en) > 12 and key not in {"switch_language"}
            assert not (plain and words.en in text), key
