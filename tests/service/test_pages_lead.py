"""The page of one lead: a waterfall that adds up, what is behind it, what changed, what past leads say, feedback."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from data.clock import DAY_US, from_us, now, to_us
from data.settings import load_settings
from data.store import EventRecord, LeadRecord, Store, add_events, current_score, feedback_on, put_lead
from data.store.forgetting import erase
from data.store.schema import SCORES
from data.store.visits import visit
from features.definitions import EventCount
from features.telling import tellers_of
from features.words import Words
from serving.changes.voices import Voices
from serving.keys.access import ANYONE
from serving.pages.behind import behind
from serving.pages.comparing import FEWEST, Comparing
from serving.pages.one_lead import Looking, look_at
from serving.pages.rendering import percent
from serving.pages.retelling import retell, steps_of
from serving.scoring.telling import Teller
from serving.stored.door import Door
from tests.data.stores import made_store
from tests.service.browsing import Browser, lead_ids_on, pages_over, token_in
from tests.service.selling import fill_store, score_all
from tests.service.test_intake import url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from serving.pages.one_lead import OneLead
    from serving.scoring.scorer import Scorer
    from training.bundles.bundle import Bundle

LEADS, ENDED = 60, 30


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, scorer: Scorer) -> Iterator[Store]:
    with made_store("sqlite", tmp_path_factory.mktemp("pages")) as store:
        fill_store(store, scorer, now_us=to_us(now()), leads=LEADS, ended=ENDED)
        yield store


@pytest.fixture(scope="module")
def voices(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Voices:
    return Voices(load_settings(home=tmp_path_factory.mktemp("home")), lambda: scorer)


@pytest.fixture(scope="module")
def browser(store: Store, scorer: Scorer, voices: Voices) -> Iterator[Browser]:
    door = Door(url_of(store))
    door.look()
    yield Browser(pages_over(door, scorer, voices=voices))
    door.close()


@pytest.fixture(scope="module")
def look(store: Store, scorer: Scorer) -> Callable[[str], OneLead]:
    return looking_into(store, scorer)


def looking_into(store: Store, scorer: Scorer) -> Callable[[str], OneLead]:
    comparing = Comparing()

    def look(lead_id: str) -> OneLead:
        return look_at(store, scorer, Looking(lead_id, ANYONE, "", "en", to_us(now())), comparing=comparing)

    return look


def test_the_waterfall_adds_up_to_the_probability_that_is_shown(store: Store, browser: Browser) -> None:
    for lead_id in lead_ids_on(browser.get("/"))[:20]:
        page = browser.get(f"/leads/{lead_id}").text
        steps = [float(each) for each in re.findall(r'data-logit="([^"]+)"', page)]
        given = current_score(store, lead_id)
        assert given is not None
        assert given.score.probability is not None
        assert math.fsum(steps[:-1]) == pytest.approx(steps[-1], abs=1e-9)
        assert 1 / (1 + math.exp(-steps[-1])) == pytest.approx(given.score.probability, abs=1e-12)
        assert f'<p class="big">{percent(given.score.probability).replace("<", "&lt;")}</p>' in page


def test_each_bar_begins_where_the_one_before_ends(store: Store, bundle: Bundle) -> None:
    given = current_score(store, "L-0003")
    assert given is not None
    told = retell(given.score, bundle, "en")
    assert told is not None
    steps = steps_of(told)
    assert {step.kind for step in steps} == {"base", "reason", "rest", "end"}
    assert [step.before for step in steps[1:-1]] == [step.after for step in steps[:-2]]
    assert steps[-1].before == pytest.approx(steps[-2].after, abs=1e-12)
    assert {np.sign(step.logit) for step in steps if step.kind == "reason"} == {-1.0, 1.0}


def test_without_its_bundle_a_score_is_told_as_it_was_written_and_still_adds_up(store: Store) -> None:
    given = current_score(store, "L-0003")
    assert given is not None
    told = retell(given.score, None, "zh")
    assert told is not None
    assert (told.base, told.interval, len(told.reasons)) == (None, None, len(given.score.reasons))
    assert [reason["logit"] for reason in told.reasons] == [reason["logit"] for reason in given.score.reasons]  # type: ignore[index]
    assert steps_of(told)[-1].probability == pytest.approx(given.score.probability, abs=1e-12)


OLD = "high-intent events of 21.4, half as heavy every 14 days"


def test_reasons_of_an_older_version_are_told_in_the_words_of_today(store: Store, scorer: Scorer) -> None:
    given = current_score(store, "L-0003")
    assert given is not None
    features = {**given.score.features, "high_intent_decayed": 21.4, "demo_requests_30d": 2, "price_page_views_30d": 0}
    features |= {"demo_requests_days_since": 3.4, "price_page_views_days_since": None, "custom_erp": "sap"}
    written = [
        {
            "group": "high_intent",
            "text": OLD,
            "direction": "+",
            "logit": 1.7,
            "evidence": {"high_intent_decayed": 21.4},
        },
        {"group": "custom_erp", "text": "erp: sap", "direction": "+", "logit": 0.2, "evidence": {"custom_erp": "sap"}},
        {"group": "industry", "text": "industry: unknown", "direction": "-", "logit": -0.1, "evidence": {}},
    ]
    unfilled = {**features, "industry": None}
    expected = {
        "en": "demo request × 2 (last 30 days), the newest 3 days ago",
        "zh": "申请演示 2 次（近 30 天），最近一次 3 天前",
    }
    for language, text in expected.items():
        for bundle in ("", scorer.bundle.digest if scorer.bundle else ""):
            told = Teller(scorer, language).reasons(bundle, unfilled, written, profile_only=False)  # type: ignore[arg-type]
            assert [reason["logit"] for reason in told] == [1.7, 0.2, -0.1]
            assert told[0]["text"] == text
            assert told[1]["text"] in {"erp: sap", "erp：sap"}
            assert told[2]["text"] == {"en": "industry: unknown", "zh": "行业：未知"}[language]
    # Of an erased score nothing is left but the reason itself.
    (erased, *_) = Teller(scorer, "en").reasons("", {}, written, profile_only=False)
    assert erased["text"] == "strong buying signals (demo request, price page visit, trial started)"


def test_a_bundle_with_older_words_speaks_as_this_version_does(bundle: Bundle) -> None:
    old = Words(en=OLD, zh=OLD)
    aged = bundle.catalogue.model_copy(
        update={
            "features": tuple(f.model_copy(update={"label": old, "phrase": old}) for f in bundle.catalogue.features)
        }
    )
    values = {"high_intent_decayed": 2.0, "demo_requests_30d": 1.0, "custom_seats": 3.0}
    told = tellers_of(aged, "en")
    assert told["high_intent_decayed"](values, True) == "demo request × 1 (last 30 days)"
    assert told["custom_seats"](values, True) == OLD  # only the customer knows what it is called


def test_the_record_of_the_grade_is_the_bundles(store: Store, browser: Browser, bundle: Bundle) -> None:
    given = current_score(store, "L-0003")
    assert given is not None
    record = next(each for each in bundle.grades if each.grade == given.score.grade)
    assert f"of {record.judged} earlier leads {record.won} were won" in browser.get("/leads/L-0003").text


def test_reasons_link_to_the_events_they_were_counted_from(
    scorer: Scorer, browser: Browser, look: Callable[[str], OneLead]
) -> None:
    checked = 0
    for number in range(LEADS - ENDED):
        one = look(f"L-{number:04}")
        assert one.told is not None
        assert one.given is not None
        for feature in scorer.catalogue.features:
            if isinstance(feature.compute, EventCount):
                found = behind(one.happened, [feature], one.given.score.as_of_us)
                assert len(found) == one.given.score.features[feature.name]
                checked += len(found) > 0
    assert checked > 40
    page = browser.get("/leads/L-0003").text
    group = re.search(r'href="\?behind=(\w+)#events"', page)
    assert group
    assert "What happened behind" in browser.get(f"/leads/L-0003?behind={group[1]}").text


def test_what_changed_since_the_last_visit_is_told_until_the_next_change(
    store: Store, scorer: Scorer, browser: Browser
) -> None:
    lead_id = "L-0004"
    assert "What changed in the last week" in browser.get(f"/leads/{lead_id}").text
    at = to_us(now())
    events = [
        EventRecord(
            source="site", event_id=f"v{k}", lead_id=lead_id, type="demo_request", occurred_at=at - 9, known_at=at - 9
        )
        for k in range(3)
    ]
    add_events(store, events, now_us=at)
    score_all(store, scorer, at)
    for _ in range(2):  # opening it twice does not hide the change
        page = browser.get(f"/leads/{lead_id}").text
        assert "What changed since your last visit" in page
        assert "new activity <small>(3 facts)</small>" in page


def test_a_score_that_is_no_longer_kept_is_not_missed(store: Store, scorer: Scorer, browser: Browser) -> None:
    lead_id = "L-0007"
    browser.get(f"/leads/{lead_id}")
    seen = current_score(store, lead_id)
    assert seen is not None
    put_lead(store, LeadRecord(lead_id=lead_id, created_at=1), modified_us=to_us(now()) - 5, now_us=to_us(now()))
    score_all(store, scorer, to_us(now()))
    store.execute(sa.delete(SCORES).where(SCORES.c.score_id == sa.bindparam("seen")), {"seen": seen.score_id})
    page = browser.get(f"/leads/{lead_id}")
    assert page.status_code == 200
    assert "What changed since your last visit" in page.text


def test_a_visit_remembers_the_score_before(store: Store) -> None:
    told = [visit(store, "k", "L-x", score, now_us=us) for us, score in ((1, 10), (2, 10), (3, 12), (4, 12), (5, 15))]
    assert told == [None, None, (10, 2), (10, 2), (12, 4)]
    assert visit(store, "other", "L-x", 15, now_us=6) is None


def test_similar_leads_are_past_ones_without_a_name(browser: Browser, look: Callable[[str], OneLead]) -> None:
    one = look("L-0005")
    assert one.compared is not None
    assert (one.compared.known, one.compared.looked) == (ENDED, 20)
    assert 0 < one.compared.won < 20
    page = browser.get("/leads/L-0005").text
    part = page[page.index('id="h-similar"') : page.index('id="h-gaps"')]
    assert not re.search(r"L-\d|Person|example|A-\d", part)
    assert f"{one.compared.won} were won" in part


def test_few_past_leads_are_counted_and_not_compared(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> None:
    with made_store("sqlite", tmp_path_factory.mktemp("few")) as store:
        fill_store(store, scorer, now_us=to_us(now()), leads=12, ended=5)
        compared = looking_into(store, scorer)("L-0000").compared
        assert compared is not None
        assert (compared.known, compared.looked) == (5, 0)
        assert FEWEST > 5


def test_missing_fields_are_named_with_what_they_usually_move(look: Callable[[str], OneLead]) -> None:
    named = set()
    for number in range(20):
        one = look(f"L-{number:04}")
        assert one.given is not None
        for gap in one.gaps:
            assert one.given.score.features[gap.feature.name] is None
            assert gap.factor >= 1.05
            named.add(gap.feature.name)
        assert ("phone" in one.unreachable) == bool(number % 2)
    assert "employees" in named


def test_feedback_is_kept_with_the_score_it_is_about(store: Store, browser: Browser) -> None:
    lead_id = "L-0006"
    page = browser.get(f"/leads/{lead_id}")
    token = token_in(page, f"/leads/{lead_id}/feedback")
    score_id = re.search(r'name="score_id" value="(\d+)"', page.text)
    assert score_id
    fields = {"token": token, "score_id": score_id[1], "verdict": "wrong_reason", "note": " <b>has left</b> "}
    answer = browser.post(f"/leads/{lead_id}/feedback", fields)
    (kept,) = feedback_on(store, lead_id)
    assert (kept.verdict, kept.note, kept.score_id) == ("wrong_reason", "<b>has left</b>", int(score_id[1]))
    page = browser.get(answer.headers["location"])
    assert "Thank you" in page.text
    assert "&lt;b&gt;has left&lt;/b&gt;" in page.text
    for wrong in ({"verdict": "excellent"}, {"verdict": ""}, {"note": "x" * 1001}, {"note": "\x00"}):
        assert browser.post(f"/leads/{lead_id}/feedback", fields | wrong).status_code == 400
    assert len(feedback_on(store, lead_id)) == 1


def test_a_lead_that_has_ended_is_shown_with_its_last_score(browser: Browser, store: Store) -> None:
    lead_id = f"L-{LEADS - 1:04}"
    page = browser.get(f"/leads/{lead_id}").text
    assert re.search(r"(Won|Lost) on \d{4}-\d\d-\d\d", page)
    assert lead_id not in lead_ids_on(browser.get(f"/?q={lead_id}"))


def test_a_forgotten_person_leaves_the_pages(store: Store, browser: Browser) -> None:
    assert "Person 9" in browser.get("/leads/L-0009").text
    erase(store, ["L-0009"])
    page = browser.get("/leads/L-0009").text
    assert "Person 9" not in page
    assert "has not been scored yet" in page
    assert lead_ids_on(browser.get("/?q=L-0009")) == []


def test_a_lead_without_company_person_and_events_has_a_page(store: Store, browser: Browser, scorer: Scorer) -> None:
    begun = to_us(now()) - DAY_US
    put_lead(store, LeadRecord(lead_id="bare", created_at=begun), modified_us=begun, now_us=begun)
    assert "has not been scored yet" in browser.get("/leads/bare").text
    score_all(store, scorer, to_us(now()))
    page = browser.get("/leads/bare")
    assert page.status_code == 200
    assert "Nothing is known to have happened" in page.text


def test_the_page_speaks_chinese_throughout(store: Store, scorer: Scorer, voices: Voices) -> None:
    door = Door(url_of(store))
    door.look()
    page = Browser(pages_over(door, scorer, voices=voices), language="zh").get("/leads/L-0003").text
    reasons = re.findall(r'<th scope="row">([^<]+)<small>', page)
    assert len(reasons) >= 5
    assert all(re.search(r"[一-鿿]|erp|remark|seats", reason) for reason in reasons)
    door.close()


def test_moments_are_in_the_zone_of_the_model(store: Store, browser: Browser) -> None:
    given = current_score(store, "L-0003")
    assert given is not None
    shanghai = from_us(given.score.as_of_us + 8 * 3600 * 1_000_000).strftime("%Y-%m-%d %H:%M")
    assert f"as of {shanghai} Asia/Shanghai" in browser.get("/leads/L-0003").text


def test_the_pages_find_their_templates_where_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serving.pages.rendering import render

    monkeypatch.chdir(tmp_path)
    assert "<!doctype html>" in render(
        "error.html.j2", "en", here="/", sign_out_token="", status=404, text="error_404", request_id="r"
    )
