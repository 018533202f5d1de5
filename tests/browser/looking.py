"""What tests in a real browser share: a server over some routes, signing in, and what stands on a list."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from data.settings import load_settings
from serving.app import create_app
from serving.changes.voices import Voices
from serving.http.event_log import EventLog
from serving.http.metrics import Metrics
from serving.keys.keyring import Keyring
from serving.pages.handlers import page_routes
from serving.process.state import Answering, ServingState
from serving.stored.door import Door
from tests.missing import missing_part
from tests.service.running import free_port
from tests.service.test_intake import url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from data.store import Store
    from serving.scoring.scorer import Scorer

__all__ = ["DESK", "PHONE", "chromium", "hindrances", "ids_on", "pages_served", "serving", "sign_in"]

CHROMIUM = Path("/usr/bin/chromium")
GRAVE = {"serious", "critical"}
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@contextmanager
def pages_served(store: Store, scorer: Scorer, home: Path) -> Iterator[str]:
    """Serve the pages over a store; give their address."""
    url = url_of(store)
    door, keyring, metrics = Door(url), Keyring(url), Metrics(CollectorRegistry())
    door.look()
    keyring.refresh()
    state = ServingState(Answering(scorer))
    voices = Voices(load_settings(home=home), lambda: scorer)
    routes = page_routes(door, state, keyring, metrics, voices=voices)
    app = create_app(state, keyring=keyring, metrics=metrics, log=EventLog(), more=routes)
    with serving(app) as found:
        yield found
    keyring.close()
    door.close()


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Answer over HTTP from a thread."""
    import uvicorn

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    assert server.started
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)


def sign_in(page: Page, key: str) -> None:
    page.goto("/")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")


def ids_on(page: Page) -> list[str]:
    addresses = [link.get_attribute("href") or "" for link in page.locator("table.leads th a").all()]
    return [each.rsplit("/", 1)[1] for each in addresses]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing_part("the Python package playwright is not installed")
    if not CHROMIUM.exists():
        missing_part(f"{CHROMIUM} is not there: install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM))
        yield browser
        browser.close()


def hindrances(page: Page) -> list[str]:
    """Return what axe-core finds grave on a page."""
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        missing_part("the Python package axe-playwright-python, which brings axe-core, is not installed")
    # Evaluated by the debugger's protocol: the page's own policy lets no script in.
    page.evaluate(Path(found.origin).with_name("axe.min.js").read_text("utf-8"))
    told = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [json.dumps([one["id"], one["nodes"][0]["html"]]) for one in told["violations"] if one["impact"] in GRAVE]
