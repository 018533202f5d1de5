"""The list of open leads: order, filters, search, pages, capacity and the file."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

import pytest

from data.clock import DAY_US, now, to_us
from data.store import LeadRecord, OutcomeRecord, Store, add_outcomes, current_score, put_account, put_lead
from data.store.records import AccountRecord
from features.scorecard import load_scorecard
from serving.pages.export import COLUMNS
from serving.scoring.scorer import Scorer
from serving.stored.door import Door
from serving.today.capacity import capacity_of, ranges_of
from tests.data.stores import made_store
from tests.service.browsing import Browser, lead_ids_on, pages_over, token_in
from tests.service.selling import fill_store, score_all
from tests.service.test_intake import url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

LEADS = 70


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, scorer: Scorer) -> Iterator[Store]:
    with made_store("sqlite", tmp_path_factory.mktemp("pages")) as store:
        fill_store(store, scorer, now_us=to_us(now()), leads=LEADS)
        yield store


@pytest.fixture(scope="module")
def browser(store: Store, scorer: Scorer) -> Iterator[Browser]:
    door = Door(url_of(store))
    door.look()
    yield Browser(pages_over(door, scorer))
    door.close()


def chances(store: Store) -> dict[str, float]:
    found = {}
    for number in range(LEADS):
        given = current_score(store, f"L-{number:04}")
        assert given is not None
        assert given.score.probability is not None
        found[given.score.lead_id] = given.score.probability
    return found


def rows_of_file(browser: Browser, query: str = "") -> list[dict[str, str]]:
    answer = browser.get(f"/leads.csv{query}")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


def test_the_most_probable_come_first_and_pages_hold_each_lead_once(store: Store, browser: Browser) -> None:
    page, found = browser.get("/"), []
    for _ in range(5):
        found += lead_ids_on(page)
        following = re.search(r'href="([^"]+)" rel="next"', page.text)
        if following is None:
            break
        page = browser.get(following[1].replace("&amp;", "&"))
    ranked = sorted(chances(store).items(), key=lambda told: (told[1], told[0]), reverse=True)
    assert found == [lead_id for lead_id, _ in ranked]
    ranks = re.findall(r'<td class="n rank">(\d+)</td>', page.text)
    assert ranks == [str(rank) for rank in range(51, LEADS + 1)]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("grade", "grade"),
        ("pool", "pool"),
        ("source", "source"),
        ("industry", "industry"),
        ("owner", "owner"),
        ("agreement", "agreement"),
    ],
)
def test_each_filter_keeps_what_it_names_and_loses_nothing(browser: Browser, name: str, column: str) -> None:
    everything = rows_of_file(browser)
    assert len(everything) == LEADS
    values = {row[column] for row in everything} - {""}
    assert len(values) > 1
    for value in values:
        kept = rows_of_file(browser, f"?{name}={value}")
        assert [row["lead_id"] for row in kept] == [row["lead_id"] for row in everything if row[column] == value]
        page = browser.get(f"/?{name}={value}")
        assert lead_ids_on(page) == [row["lead_id"] for row in kept][:50]
        assert f'<option value="{value}" selected>' in page.text


def test_ages_part_all_leads(browser: Browser) -> None:
    found = {age: rows_of_file(browser, f"?age={age}") for age in ("0-7", "8-30", "31-90", "91-")}
    assert sum(len(rows) for rows in found.values()) == LEADS
    assert all(0 <= int(row["age_days"]) <= 7 for row in found["0-7"])
    assert all(30 <= int(row["age_days"]) <= 90 for row in found["31-90"])
    assert all(int(row["age_days"]) >= 90 for row in found["91-"])


def test_searching_finds_ids_companies_and_people(browser: Browser) -> None:
    assert lead_ids_on(browser.get("/?q=l-0013")) == ["L-0013"]
    assert lead_ids_on(browser.get("/?q=P13@example.com")) == ["L-0013"]
    assert lead_ids_on(browser.get("/?q=person+60")) == ["L-0060"]
    company = rows_of_file(browser, "?q=L-0013")[0]["account"]
    assert set(lead_ids_on(browser.get(f"/?q={company.upper()}"))) >= {"L-0012", "L-0013"}
    for nothing in ("%25", "_", "L%5C", "'; DROP TABLE listed --"):
        assert lead_ids_on(browser.get(f"/?q={nothing}")) == []


@pytest.mark.parametrize(
    "query", ["age=9", "calls=0", "calls=x", "q=" + "x" * 201, "grade=%00", "after=x", "after=1~nan"]
)
def test_what_cannot_be_asked_is_refused(browser: Browser, query: str) -> None:
    assert browser.get(f"/?{query}").status_code == 400


def test_capacity_promises_what_the_first_leads_are_worth(store: Store, browser: Browser, scorer: Scorer) -> None:
    best = sorted(chances(store).values(), reverse=True)[:12]
    assert scorer.bundle is not None
    expected = capacity_of(best, 12, ranges=ranges_of(scorer.bundle.full.interval, best))
    told = re.search(r"<output>([^<]+)</output>", browser.get("/?calls=12").text)
    assert told
    assert told[1] == f"12 calls → expect {round(expected.expected)} wins, {expected.low} to {expected.high}"


def test_the_file_holds_what_the_page_shows_and_what_was_said(store: Store, browser: Browser) -> None:
    best = lead_ids_on(browser.get("/"))[0]
    token = token_in(browser.get(f"/leads/{best}"), f"/leads/{best}/feedback")
    browser.post(f"/leads/{best}/feedback", {"token": token, "verdict": "wrong_reason", "note": "=cmd|' /C calc'!A0"})
    rows = rows_of_file(browser)
    assert tuple(rows[0]) == COLUMNS
    assert float(rows[0]["probability"]) == chances(store)[best]
    assert (rows[0]["feedback"], rows[0]["feedback_note"]) == ("wrong_reason", "'=cmd|' /C calc'!A0")
    assert rows[0]["top_reason"][:1] in "▲▼"
    assert all(row["feedback"] == "" for row in rows[1:])


def test_no_cell_of_the_file_runs(store: Store, browser: Browser, scorer: Scorer) -> None:
    begun = to_us(now()) - 5 * DAY_US
    names = ["=HYPERLINK(1)", "+1", "-1", "@x", " =1", "＝1", "\t=2"]
    for number, name in enumerate(names):
        put_account(store, AccountRecord(account_id=f"X{number}", name=name), modified_us=begun, now_us=begun)
        lead = LeadRecord(lead_id=f"+x{number}", created_at=begun, account_id=f"X{number}", source="@s")
        put_lead(store, lead, modified_us=begun, now_us=begun)
    score_all(store, scorer, to_us(now()))
    rows = rows_of_file(browser, "?q=%2Bx")
    assert len(rows) == len(names)
    for row in rows:
        assert not re.match(r"\s*[=+\-@＝]", row["account"])
        assert (row["lead_id"][0], row["source"]) == ("'", "'@s")
    ended = [
        OutcomeRecord(lead_id=f"+x{number}", outcome="lost", closed_at=begun + 1, known_at=to_us(now()) - 1)
        for number in range(len(names))
    ]
    add_outcomes(store, ended, now_us=to_us(now()))
    # Not rescored yet: the list still names them, but nobody is shown a lead that has ended.
    assert rows_of_file(browser, "?q=%2Bx") == []
    score_all(store, scorer, to_us(now()))


def test_names_that_look_like_markup_are_shown_and_not_run(store: Store, browser: Browser, scorer: Scorer) -> None:
    begun, name = to_us(now()) - 5 * DAY_US, '<script>alert("x")</script>'
    put_account(store, AccountRecord(account_id="XSS", name=name), modified_us=begun, now_us=begun)
    put_lead(store, LeadRecord(lead_id="a/b&c", created_at=begun, account_id="XSS"), modified_us=begun, now_us=begun)
    score_all(store, scorer, to_us(now()))
    page = browser.get("/?q=alert")
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    found = re.search(r'href="(/leads/[^"]+)"', page.text)
    assert found
    one = browser.get(found[1])
    assert one.status_code == 200
    assert "<script" not in one.text
    add_outcomes(
        store,
        [OutcomeRecord(lead_id="a/b&c", outcome="lost", closed_at=begun + 1, known_at=to_us(now()) - 1)],
        now_us=to_us(now()),
    )
    score_all(store, scorer, to_us(now()))


def test_an_empty_store_says_so_and_rules_alone_promise_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    rules = Scorer(None, load_scorecard())
    with made_store("sqlite", tmp_path_factory.mktemp("bare")) as store:
        door = Door(url_of(store))
        door.look()
        browser = Browser(pages_over(door, rules))
        assert "No open lead fits." in browser.get("/").text
        fill_store(store, rules, now_us=to_us(now()), leads=9)
        page = browser.get("/")
        assert len(lead_ids_on(page)) == 9
        points = [int(each) for each in re.findall(r"(\d+) points", page.text)]
        assert points == sorted(points, reverse=True)
        assert "no wins are promised" in page.text
        assert browser.get(f"/leads/{lead_ids_on(page)[0]}").status_code == 200
        door.close()
