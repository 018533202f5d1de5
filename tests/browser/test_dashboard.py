"""The dashboard in Chromium: reached from the list, read by a screen reader, on a phone, in the dark and on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from data.clock import now, to_us
from data.settings import Settings
from data.store import Store, create_key
from features.scorecard import load_scorecard
from monitoring.standing_file import standing_path, write_standing
from serving.app import create_app
from serving.http.event_log import EventLog
from serving.http.metrics import Metrics
from serving.keys.keyring import Keyring
from serving.pages.handlers import page_routes
from serving.pages.wording import WORDS
from serving.process.state import Answering, ServingState
from serving.scoring.scorer import Scorer
from serving.stored.door import Door
from serving.watching.reading import Standings
from tests.browser.test_pages_browser import DESK, PHONE, chromium, hindrances, serving, sign_in
from tests.data.stores import made_store
from tests.service.standings import STOPPED, days_before, standing_at
from tests.service.test_intake import url_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from features.words import Language

__all__ = ["chromium"]  # the fixture is taken over


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("watched")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store("sqlite", tmp_path_factory.mktemp("browser")) as store:
        yield store


@pytest.fixture(scope="module")
def keys(store: Store) -> dict[str, str]:
    return {
        "manager": create_key(store, "manager", role="manager", scopes=("read",))[1],
        "rep": create_key(store, "rep", role="rep", scopes=("read",), owner_ids=("u7",))[1],
    }


@pytest.fixture(scope="module")
def address(store: Store, keys: dict[str, str], home: Path) -> Iterator[str]:
    assert keys
    url = url_of(store)
    door, keyring, metrics = Door(url), Keyring(url), Metrics(CollectorRegistry())
    door.look()
    keyring.refresh()
    state = ServingState(Answering(Scorer(None, load_scorecard())))
    routes = page_routes(door, state, keyring, metrics, standings=Standings(home))
    app = create_app(state, keyring=keyring, metrics=metrics, log=EventLog(), more=routes)
    with serving(app) as found:
        yield found
    keyring.close()
    door.close()


@pytest.fixture
def kept(home: Path) -> None:
    write_standing(standing_at(days_before(to_us(now()), 1)), Settings(home=home))


def opened(chromium: Browser, address: str, key: str, **options: Any) -> tuple[Page, list[str]]:
    """Return a signed-in page and the list in which errors and requests to elsewhere would stand."""
    page = chromium.new_context(base_url=address, **{"viewport": DESK, "locale": "en-GB", **options}).new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda sent: errors.append(sent.url) if not sent.url.startswith(address) else None)
    sign_in(page, key)
    return page, errors


@pytest.mark.usefixtures("kept")
def test_a_manager_comes_from_the_list_and_reads_what_to_do(
    chromium: Browser, address: str, keys: dict[str, str]
) -> None:
    page, errors = opened(chromium, address, keys["manager"])
    page.get_by_role("link", name="How things stand").click()
    assert page.get_by_role("heading", name="Something has to be done").is_visible()
    assert page.get_by_text(STOPPED.remedy.en).is_visible()
    page.get_by_text("By month and grade").click()
    assert page.get_by_role("cell", name="D", exact=True).first.is_visible()
    page.get_by_role("link", name="中文").click()
    assert page.get_by_role("heading", name="有事项需要处理").is_visible()
    assert page.url.endswith("/monitoring")
    assert errors == []
    page.context.close()


@pytest.mark.usefixtures("kept")
def test_a_rep_finds_no_way_there(chromium: Browser, address: str, keys: dict[str, str]) -> None:
    page, _ = opened(chromium, address, keys["rep"])
    assert page.get_by_role("link", name="How things stand").count() == 0
    answer = page.goto("/monitoring")
    assert answer is not None
    assert answer.status == 403
    assert hindrances(page) == []
    page.context.close()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("scheme", "viewport"), [("light", DESK), ("dark", PHONE)], ids=["light-desk", "dark-phone"])
@pytest.mark.usefixtures("kept")
def test_it_has_no_grave_hindrances_and_fits_the_screen(
    chromium: Browser, address: str, keys: dict[str, str], scheme: str, viewport: dict[str, int], language: Language
) -> None:
    page, errors = opened(chromium, address, keys["manager"], viewport=viewport, color_scheme=scheme)
    page.goto(f"/language?to={language}&back=/monitoring")
    assert page.get_by_role("heading", name=WORDS["standing"].in_language(language), exact=True).is_visible()
    for closed in page.locator("summary").all():
        closed.click()
    assert hindrances(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.documentElement.outerHTML.length") < 100_000
    assert errors == []
    page.context.close()


@pytest.mark.usefixtures("kept")
def test_on_paper_it_is_dark_on_white_without_the_head(chromium: Browser, address: str, keys: dict[str, str]) -> None:
    page, _ = opened(chromium, address, keys["manager"], color_scheme="dark", viewport={"width": 794, "height": 1123})
    page.goto("/monitoring")
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("header.top").is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.locator("svg.promises").is_visible()
    assert page.locator("table.baselines thead").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()


def test_without_figures_the_page_is_sound_as_well(
    chromium: Browser, address: str, keys: dict[str, str], home: Path
) -> None:
    standing_path(home).unlink(missing_ok=True)
    page, errors = opened(chromium, address, keys["manager"], viewport=PHONE)
    page.goto("/monitoring")
    assert page.get_by_role("status").get_by_text("clew monitor").is_visible()
    assert hindrances(page) == []
    assert errors == []
    page.context.close()
