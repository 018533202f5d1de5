"""The dashboard: who sees it, what it says of every light, and that it stands whatever became of its figures."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from data.clock import now, to_us
from data.settings import Settings
from data.store import create_key
from data.store.engine import open_store
from data.store.migrate import migrate
from monitoring.baselines.definitions import load_baselines
from monitoring.standing import FORMAT, STALE_DAYS, LampTold, Standing
from monitoring.standing_file import MOST_BYTES, Read, read_standing, standing_path, write_standing
from serving.http.metrics import Metrics
from serving.keys.keyring import Keyring
from serving.openapi import openapi_document
from serving.pages.handlers import page_routes
from serving.pages.rendering import coded
from serving.pages.wording import WORDS
from serving.process.state import Answering, ServingState
from serving.stored.door import Door
from serving.watching import reading
from serving.watching.answers import MonitoringAnswer
from serving.watching.handlers import watching_routes
from serving.watching.reading import Standings
from tests.model.planted import END
from tests.service.browsing import Browser
from tests.service.calling import Client, problem
from tests.service.standings import EMPTIED, STOPPED, days_before, standing_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from features.words import Language
    from serving.scoring.scorer import Scorer

AS_OF_US = to_us(END)
LANGUAGES: tuple[Language, ...] = ("en", "zh")
BROKEN = {
    "empty": b"",
    "cut off": b'{"format": 1, "as_of": "2026-',
    "not UTF-8": b"\xff\xfe\x00",
    "a list": b"[]",
    "no figures": b'{"format": 1}',
    "no number": json.dumps({"format": 1, "record": {"scores": "many"}}).encode(),
    "nested": b"[" * 100_000,
    "too large": b" " * (MOST_BYTES + 1),
    "no moment": standing_at(AS_OF_US).model_dump_json().replace("2026-11-01T00:00:00Z", "yesterday").encode(),
}


def client_over(home: Path, scorer: Scorer | None = None, keyring: Keyring | None = None) -> Client:
    keyring, metrics = keyring or Keyring(None), Metrics(CollectorRegistry())
    standings, state = Standings(home), ServingState(None if scorer is None else Answering(scorer))
    pages = page_routes(Door(f"sqlite:///{home}/none"), state, keyring, metrics, standings=standings)
    return Client(scorer, keyring=keyring, more=[*watching_routes(standings), *pages])


def kept(home: Path, days: float = 1.0, **changes: Any) -> Standing:
    """Leave figures in a home that end some days ago."""
    told = standing_at(days_before(to_us(now()), days), **changes)
    write_standing(told, Settings(home=home))
    return told


def page(home: Path, language: Language = "en") -> str:
    answer = Browser(client_over(home), language=language).get("/monitoring")
    assert answer.status_code == 200
    return answer.text


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = f"sqlite:///{tmp_path_factory.mktemp('dashboard') / 'store.sqlite'}"
    migrate(found)
    return found


@pytest.fixture
def keys(url: str) -> dict[str, str]:
    with closing(open_store(url)) as store:
        return {
            "manager": create_key(store, "manager", role="manager", scopes=("read",))[1],
            "admin": create_key(store, "admin", role="admin", scopes=("read",))[1],
            "rep": create_key(store, "rep", role="rep", scopes=("read",), owner_ids=("u7",))[1],
            "crm": create_key(store, "crm", role="manager", scopes=("score",))[1],
        }


@pytest.fixture
def keyring(url: str) -> Iterator[Keyring]:
    found = Keyring(url)
    yield found
    found.close()


@pytest.mark.parametrize("role", ["manager", "admin"])
def test_managers_and_administrators_see_it_after_signing_in(
    tmp_path: Path, keyring: Keyring, keys: dict[str, str], role: str
) -> None:
    kept(tmp_path)
    keyring.refresh()
    browser = Browser(client_over(tmp_path, keyring=keyring))
    asked = browser.get("/monitoring")
    assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=%2Fmonitoring")
    browser.sign_in(keys[role], "/monitoring")
    answer = browser.get("/monitoring")
    assert answer.status_code == 200
    assert 'href="/monitoring" aria-current="page"' in answer.text


def test_a_rep_is_refused_in_words_and_offered_no_link(tmp_path: Path, keyring: Keyring, keys: dict[str, str]) -> None:
    kept(tmp_path)
    keyring.refresh()
    browser = Browser(client_over(tmp_path, keyring=keyring))
    browser.sign_in(keys["rep"])
    answer = browser.get("/monitoring")
    assert answer.status_code == 403
    assert WORDS["error_role"].en in answer.text
    assert 'href="/monitoring"' not in answer.text
    assert "webinar" not in answer.text


def test_the_interface_tells_the_same_to_the_same_people(
    tmp_path: Path, keyring: Keyring, keys: dict[str, str]
) -> None:
    told = kept(tmp_path)
    keyring.refresh()
    client = client_over(tmp_path, keyring=keyring)
    assert client("GET", "/v1/monitoring").status_code == 401
    for name, code in (("rep", "role_missing"), ("crm", "scope_missing")):
        refused = client("GET", "/v1/monitoring", headers={"authorization": f"Bearer {keys[name]}"})
        assert (refused.status_code, problem(refused)["code"]) == (403, code)
    answer = client("GET", "/v1/monitoring", headers={"authorization": f"Bearer {keys['manager']}"}).json()
    assert MonitoringAnswer.model_validate(answer).age_days == pytest.approx(1, abs=0.01)
    added = {name: answer.pop(name) for name in ("overall", "age_days", "stale")}
    assert (added["overall"], added["stale"]) == ("red", False)
    assert answer == told.model_dump(mode="json")


def test_the_description_names_the_path_and_its_example_keeps_it() -> None:
    told = openapi_document()["paths"]["/v1/monitoring"]["get"]
    content = told["responses"]["200"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/MonitoringAnswer"}
    assert Standing.model_validate({k: v for k, v in content["example"].items() if k in Standing.model_fields})
    assert {"404", "503", "403", "401"} <= set(told["responses"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_light_is_told_by_a_word_beside_its_colour(tmp_path: Path, language: Language) -> None:
    kept(tmp_path)
    text = page(tmp_path, language)
    lamps = re.findall(r'<span class="lamp (\w+)">(?:<span aria-hidden="true">(.)</span>)?([^<]*)', text)
    assert {light for light, _, _ in lamps} == {"green", "amber", "red", "not_measured"}
    for light, _, word in lamps:
        assert word.strip() == WORDS[f"light_{light}"].in_language(language)
    assert len({mark for _, mark, _ in lamps if mark}) == 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_findings_stand_there_with_their_remedy(tmp_path: Path, language: Language) -> None:
    kept(tmp_path)
    text = page(tmp_path, language)
    for finding in (STOPPED, EMPTIED):
        for words in (finding.name, finding.evidence, finding.remedy):
            assert words.in_language(language) in text
    assert STOPPED.subject in text


@pytest.mark.parametrize("light", ["green", "amber", "red", "not_measured"])
def test_the_heading_says_the_worst_of_the_lights(tmp_path: Path, light: str) -> None:
    names = ("promise", "order", "data", "baselines")
    lights = [LampTold(name="promise", light=light)]
    lights += [LampTold(name=name, light="not_measured") for name in names[1:]]
    kept(tmp_path, lights=tuple(lights))
    text = page(tmp_path)
    assert WORDS[f"overall_{light}"].en in text
    others = {"green", "amber", "red", "not_measured"} - {light}
    assert not any(f"</span> {WORDS[f'overall_{other}'].en}" in text for other in others)


def test_what_was_not_measured_says_so_and_why(tmp_path: Path) -> None:
    dark = [LampTold(name=name, light="not_measured") for name in ("promise", "order", "data", "baselines")]
    parts = {"record": None, "drift": None, "baselines": None, "attribution": None}
    missing = [{"part": part, "reason": {"en": f"{part} cannot be", "zh": f"{part} cannot be"}} for part in parts]
    told: dict[str, Any] = {"lights": dark, "findings": (), "not_measured": missing, **parts}
    kept(tmp_path, **told)
    text = page(tmp_path)
    assert WORDS["overall_not_measured"].en in text
    assert all(f"{part} cannot be" in text for part in parts)
    assert 'class="lamp green"' not in text


@pytest.mark.parametrize(("days", "stale"), [(STALE_DAYS - 0.1, False), (STALE_DAYS + 1.0, True)])
def test_old_figures_warn_and_say_what_to_run(tmp_path: Path, days: float, stale: bool) -> None:
    kept(tmp_path, days)
    text = page(tmp_path)
    assert ('role="status"' in text) == stale
    assert (f"{days:.0f} days old" in text) == stale
    answer = client_over(tmp_path)("GET", "/v1/monitoring").json()
    assert answer["stale"] == stale


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_figures_the_page_says_what_to_run(tmp_path: Path, language: Language) -> None:
    text = page(tmp_path, language)
    assert coded(WORDS["figures_missing"].in_language(language)) in text
    answer = client_over(tmp_path)("GET", "/v1/monitoring")
    assert (answer.status_code, problem(answer)["code"]) == (404, "figures_missing")


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_file_is_no_fault_of_the_page(tmp_path: Path, name: str) -> None:
    path = standing_path(tmp_path)
    path.parent.mkdir()
    path.write_bytes(BROKEN[name])
    assert coded(WORDS["figures_damaged"].en) in page(tmp_path)
    answer = client_over(tmp_path)("GET", "/v1/monitoring")
    assert (answer.status_code, problem(answer)["code"]) == (503, "figures_damaged")
    kept(tmp_path)
    assert coded(WORDS["figures_damaged"].en) not in page(tmp_path)


def test_a_folder_in_the_place_of_the_file_is_no_fault_of_the_page(tmp_path: Path) -> None:
    standing_path(tmp_path).mkdir(parents=True)
    assert coded(WORDS["figures_damaged"].en) in page(tmp_path)


def test_figures_of_another_version_are_told_apart_from_damage(tmp_path: Path) -> None:
    told = kept(tmp_path).model_dump(mode="json")
    standing_path(tmp_path).write_text(json.dumps({**told, "format": FORMAT + 1, "new": 1}), "utf-8")
    assert coded(WORDS["figures_version"].en) in page(tmp_path)
    answer = client_over(tmp_path)("GET", "/v1/monitoring")
    assert (answer.status_code, problem(answer)["code"]) == (503, "figures_version")


def test_the_file_is_read_when_it_has_changed_and_not_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []

    def counted(path: Path) -> Read:
        reads.append(path)
        return read_standing(path)

    monkeypatch.setattr(reading, "read_standing", counted)
    kept(tmp_path)
    browser = Browser(client_over(tmp_path))
    assert [STOPPED.evidence.en in browser.get("/monitoring").text for _ in range(3)] == [True] * 3
    assert len(reads) == 1
    kept(tmp_path, findings=())
    assert STOPPED.evidence.en not in browser.get("/monitoring").text
    assert len(reads) == 2
    standing_path(tmp_path).unlink()
    assert coded(WORDS["figures_missing"].en) in browser.get("/monitoring").text


def test_a_failed_read_is_tried_again_once_the_file_is_whole(tmp_path: Path) -> None:
    path = standing_path(tmp_path)
    path.parent.mkdir()
    path.write_bytes(BROKEN["cut off"])
    browser = Browser(client_over(tmp_path))
    assert coded(WORDS["figures_damaged"].en) in browser.get("/monitoring").text
    kept(tmp_path)
    assert STOPPED.subject in browser.get("/monitoring").text


def test_the_page_is_small_and_lets_nothing_in(tmp_path: Path) -> None:
    record = standing_at(AS_OF_US).record
    assert record is not None
    many = record.model_copy(update={"grades": record.grades * 3, "months": (*record.months, *record.months[:10])})
    kept(tmp_path, record=many, findings=(STOPPED, EMPTIED) * 30)
    answer = Browser(client_over(tmp_path)).get("/monitoring")
    assert len(answer.content) < 100_000
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script|style=|\son\w+=|javascript:", answer.text)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", answer.text)


def test_names_from_the_data_are_no_markup(tmp_path: Path) -> None:
    bad = STOPPED.model_copy(update={"subject": "leads.source: <b>x</b>"})
    kept(tmp_path, findings=(bad,))
    text = page(tmp_path)
    assert "<b>x</b>" not in text
    assert "&lt;b&gt;x&lt;/b&gt;" in text


def test_a_chart_shows_each_month_and_a_dot_only_where_something_has_matured(tmp_path: Path) -> None:
    record = kept(tmp_path).record
    assert record is not None
    chart = re.search(r'<svg class="promises".*?</svg>', page(tmp_path), re.DOTALL)
    assert chart
    assert chart[0].count('class="promised"') == len(record.months)
    assert chart[0].count("<circle") == sum(month.mature > 0 for month in record.months) < len(record.months)


def test_prometheus_reads_when_the_figures_end_and_how_much_they_found() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    def told() -> list[float | None]:
        found = [registry.get_sample_value("clew_monitoring_findings", {"severity": each}) for each in ("act", "watch")]
        return [registry.get_sample_value("clew_monitoring_as_of_timestamp_seconds"), *found]

    metrics.monitored(standing_at(AS_OF_US))
    assert told() == [END.timestamp(), 1, 1]
    metrics.monitored(None)
    assert told() == [0, 0, 0]


def test_every_reason_for_a_missing_figure_has_words() -> None:
    from typing import get_args

    from monitoring.baselines.measures import Missing

    assert {f"missing_{reason}" for reason in get_args(Missing)} <= set(WORDS)
    assert len(load_baselines().baselines) <= 40
