"""The pages in Chromium over a running server: a rep's morning, what a screen reader meets, what fits a phone."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from data.clock import now, to_us
from data.store import Store, create_key, current_score, feedback_on
from tests.browser.looking import DESK, PHONE, chromium, hindrances, ids_on, pages_served, serving, sign_in
from tests.data.stores import made_store
from tests.service.selling import fill_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from serving.scoring.scorer import Scorer

__all__ = ["DESK", "PHONE", "chromium", "hindrances", "serving", "sign_in"]  # other tests look in the same way

LEADS, ENDED = 150, 40


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, scorer: Scorer) -> Iterator[Store]:
    with made_store("sqlite", tmp_path_factory.mktemp("browser")) as store:
        fill_store(store, scorer, now_us=to_us(now()), leads=LEADS, ended=ENDED)
        yield store


@pytest.fixture(scope="module")
def manager(store: Store) -> str:
    return create_key(store, "manager", role="manager", scopes=("read",))[1]


@pytest.fixture(scope="module")
def rep(store: Store) -> str:
    return create_key(store, "rep", role="rep", scopes=("read",), owner_ids=("u7",))[1]


@pytest.fixture(scope="module")
def address(store: Store, scorer: Scorer, manager: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert manager
    with pages_served(store, scorer, tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture
def page(chromium: Browser, address: str, manager: str) -> Iterator[Page]:
    context = chromium.new_context(base_url=address, viewport=DESK, locale="en-GB")  # type: ignore[arg-type]
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda sent: errors.append(sent.url) if not sent.url.startswith(address) else None)
    sign_in(page, manager)
    yield page
    context.close()
    assert errors == []


def test_the_morning_of_a_rep(page: Page, store: Store) -> None:
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Industry").select_option("software")
    page.get_by_label("Grade").select_option("A")
    page.get_by_role("button", name="Show", exact=True).click()
    chosen = ids_on(page)
    assert 0 < len(chosen) < 50
    page.get_by_text("Saved views").click()
    page.get_by_label("Save these filters as").fill("Best software")
    page.get_by_role("button", name="Save view").click()
    page.get_by_role("link", name="Clear all").click()
    assert len(ids_on(page)) == 50
    page.get_by_role("link", name="Best software").click()
    assert ids_on(page) == chosen
    page.locator("table.leads th a").first.click()
    given = current_score(store, chosen[0])
    assert given is not None
    assert given.score.probability is not None
    page.get_by_label("Wrong reason").check()
    page.get_by_label("Note (optional)").fill("they chose somebody else")
    page.get_by_role("button", name="Send").click()
    assert page.get_by_role("status").is_visible()
    (kept,) = feedback_on(store, chosen[0])
    assert (kept.verdict, kept.note, kept.score_id) == ("wrong_reason", "they chose somebody else", given.score_id)
    page.get_by_role("link", name="Back to the list").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    text = Path(download.value.path()).read_text("utf-8")
    assert len(text.splitlines()) == 1 + LEADS - ENDED
    assert "they chose somebody else" in text
    page.get_by_role("button", name="Delete the view Best software").click()
    assert page.get_by_role("link", name="Best software").count() == 0


def test_the_waterfall_adds_up_on_the_screen(page: Page, store: Store) -> None:
    for lead_id in ids_on(page)[::10]:
        page.goto(f"/leads/{lead_id}")
        told = [float(each.get_attribute("data-logit") or "nan") for each in page.locator("[data-logit]").all()]
        given = current_score(store, lead_id)
        assert given is not None
        assert math.fsum(told[:-1]) == pytest.approx(told[-1], abs=1e-9)
        assert 1 / (1 + math.exp(-told[-1])) == pytest.approx(given.score.probability, abs=1e-9)
        boxes = [bar.bounding_box() for bar in page.locator(".waterfall tbody rect").all()]
        signs = [step > 0 for step in told]
        for at in range(2, len(boxes) - 1):  # on the screen too each bar begins where the one before ends
            before, box = boxes[at - 1], boxes[at]
            assert before is not None
            assert box is not None
            end = before["x"] + (before["width"] if signs[at - 1] else 0)
            begin = box["x"] + (0 if signs[at] else box["width"])
            assert begin == pytest.approx(end, abs=4)


def test_reasons_lead_to_their_events(page: Page) -> None:
    page.locator("table.leads th a").first.click()
    page.get_by_role("link", name=re.compile("events behind it")).first.click()
    assert page.get_by_role("heading", name=re.compile("What happened behind")).is_visible()
    page.get_by_role("link", name="Show everything").click()
    assert page.get_by_role("heading", name="What happened", exact=True).is_visible()


def test_pages_follow_each_other_to_the_end(page: Page) -> None:
    found = ids_on(page)
    while page.get_by_role("link", name="Next 50 leads").count():
        page.get_by_role("link", name="Next 50 leads").click()
        found += ids_on(page)
    assert len(found) == len(set(found)) == LEADS - ENDED
    page.get_by_role("link", name="Back to the first").click()
    assert ids_on(page) == found[:50]


def test_the_language_is_switched_and_stays(page: Page) -> None:
    page.get_by_role("link", name="中文").click()
    assert page.get_by_role("heading", name="今天联系谁").is_visible()
    page.locator("table.leads th a").first.click()
    assert page.get_by_role("heading", name="为何是这个概率").is_visible()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.get_by_role("link", name="English").click()
    assert page.get_by_role("heading", name="Why this chance").is_visible()


def test_a_rep_sees_own_leads_only(chromium: Browser, address: str, rep: str) -> None:
    context = chromium.new_context(base_url=address, locale="en-GB")
    page = context.new_page()
    sign_in(page, rep)
    assert {int(each[2:]) % 3 for each in ids_on(page)} == {0}
    answer = page.goto("/leads/L-0001")
    assert answer is not None
    assert answer.status == 404
    page.get_by_role("button", name="Sign out").click()
    page.goto("/leads/L-0000")
    assert "/sign-in" in page.url
    context.close()


def test_the_list_is_worked_with_the_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('table.leads') !== null"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/leads/*")


@pytest.mark.parametrize(
    ("scheme", "viewport", "language"),
    [("light", DESK, "en"), ("dark", PHONE, "zh"), ("light", PHONE, "en")],
    ids=["light-desk-en", "dark-phone-zh", "light-phone-en"],
)
def test_no_page_has_grave_hindrances_or_overflows(
    chromium: Browser, address: str, manager: str, scheme: str, viewport: dict[str, int], language: str
) -> None:
    context = chromium.new_context(base_url=address, viewport=viewport, color_scheme=scheme, locale="en-GB")  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/sign-in")
    assert hindrances(page) == []
    sign_in(page, manager)
    assert hindrances(page) == []
    page.goto(f"/language?to={language}&back=/")
    best = ids_on(page)[0]
    for path in ("/?grade=A&calls=12", "/?q=nobody", f"/leads/{best}", "/leads/none"):
        page.goto(path)
        assert hindrances(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.evaluate("document.documentElement.outerHTML.length") < 100_000
    context.close()
