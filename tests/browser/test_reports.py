"""The run's report and the manager's page in Chromium: no grave hindrance, no sideways scrolling, white on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from features.words import LANGUAGES
from monitoring.monthly.page import write_monthly_page
from tests.browser.looking import DESK, PHONE, chromium, hindrances
from tests.model.reported import bundle_in, month_told, run_told
from training.evaluation.changes import Learnt
from training.evaluation.gallery import captioned, draw_judgement
from training.evaluation.report import write_report
from training.evaluation.run_report import Before, facts_of, run_report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from playwright.sync_api import Browser

__all__ = ["chromium"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    run = run_told(folder / "bundle")
    facts = facts_of(run, Before(bundle_in(folder / "before", trees=0, rows_seed=1), Learnt(1000, 50)))
    written = {}
    for language in LANGUAGES:
        pictures = captioned(draw_judgement(run.judgement, folder / "pictures", language=language), language=language)
        content = run_report(run, facts, pictures, language=language)
        written[f"run {language}"] = write_report(content, folder / f"run.{language}.html")
        month = folder / f"month.{language}.html"
        written[f"month {language}"] = write_monthly_page(month_told(), month, language=language)
    return written


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [f"{page} {language}" for page in ("run", "month") for language in LANGUAGES])
def test_no_page_has_a_grave_hindrance(
    chromium: Browser,
    pages: Mapping[str, Path],
    name: str,
    scheme: str,
) -> None:
    page = chromium.new_page(viewport=DESK, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(pages[name].as_uri())
    assert hindrances(page) == []
    page.close()


@pytest.mark.parametrize("name", ["run en", "run zh", "month en", "month zh"])
def test_a_page_fits_a_phone_and_asks_the_network_for_nothing(
    chromium: Browser,
    pages: Mapping[str, Path],
    name: str,
) -> None:
    page = chromium.new_page(viewport=PHONE)  # type: ignore[arg-type]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pages[name].as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    page.close()


@pytest.mark.parametrize("name", ["run en", "month zh"])
def test_paper_is_white_and_letters_are_black_where_the_screen_is_dark(
    chromium: Browser,
    pages: Mapping[str, Path],
    name: str,
) -> None:
    page = chromium.new_page(viewport=DESK, color_scheme="dark")  # type: ignore[arg-type]
    page.goto(pages[name].as_uri())
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    page.close()
