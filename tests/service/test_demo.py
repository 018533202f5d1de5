"""The main job from end to end, as a newcomer runs it: one command, and everything it says is true."""

from __future__ import annotations

import html
import json
import math
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import serving.demo.run
from data.clock import parse_moment, to_us
from data.errors import UsageError
from data.settings import load_settings
from data.store import open_store
from data.store.dirty import count_dirty
from data.warehouse import Warehouse
from features.snapshots import open_leads
from features.sql import compute_features
from serving.demo.run import run_demo
from serving.keys.keyring import Keyring
from serving.scoring.scorer import Scorer
from serving.stored.door import Door
from tests.commands import CommandLine, Ran
from tests.datasets import public_dataset
from tests.reference.worlds import EVIDENCE
from tests.service.browsing import Browser, lead_ids_on, pages_over
from training.bundles.bundle import Bundle, pointed_bundle
from training.run import frames

if TYPE_CHECKING:
    from collections.abc import Mapping

Answers = list[dict[str, Any]]


class _Shown:
    """A demo that has run: its folder, what it printed, and the answers that came over HTTP."""

    def __init__(self, line: CommandLine, *arguments: object, plan: str = "null") -> None:
        self.answers: Answers = []
        self.line = line
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(serving.demo.run, "_post", self._listening(serving.demo.run._post))
            self.ran: Ran = line("demo", "--home", "shown", *arguments, CLEW_PLAN=plan)
        self.home = line.folder / "shown"

    def _listening(self, post: Any) -> Any:
        def listened(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
            answer: dict[str, Any] = post(url, body)
            self.answers.append(answer)
            return answer

        return listened

    @property
    def bundle(self) -> Bundle:
        folder = pointed_bundle(self.home / "bundles")
        assert folder is not None
        return Bundle.load(folder)


def adds_up(answers: Answers) -> None:
    for answer in answers:
        assert answer["source"] == "model"
        parts = [answer["base_logit"], *(reason["logit"] for reason in answer["reasons"]), answer["remainder_logit"]]
        assert math.fsum(parts) == pytest.approx(
            math.log(answer["probability"] / (1 - answer["probability"])), abs=1e-6
        )


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> _Shown:
    # A third of the photographs and two thirds of the judged lists, for time.
    fewer = json.dumps({"ages_days": [7], "judge_from": "2026-04-15"})
    return _Shown(CommandLine(tmp_path_factory.mktemp("demo")), "--leads", 1500, plan=fewer)


def test_the_demo_runs_from_end_to_end_and_its_reasons_add_up(shown: _Shown) -> None:
    assert shown.ran.code == 0, shown.ran.err
    assert len(shown.answers) == 5
    adds_up(shown.answers)
    for title in ("simulating", "importing", "checking", "training", "registering", "starting the service", "scoring"):
        assert re.search(rf"^✓ {title}", shown.ran.err, flags=re.MULTILINE), title


def test_the_probability_over_http_is_that_of_the_batch(shown: _Shown) -> None:
    as_of_us, catalogue = to_us(parse_moment("2026-11-01")), shown.bundle.catalogue
    with Warehouse(shown.home / "warehouse").connect() as connection:
        assert open_leads(connection, as_of_us=as_of_us) > 100
        rows = frames(compute_features(connection, catalogue), catalogue)
    logits = shown.bundle.full.logit(shown.bundle.full.model.encoding.tree_matrix(rows.frame))
    batch = dict(zip(rows.spine["lead_id"], (1 / (1 + np.exp(-logits))).tolist(), strict=True))
    for answer in shown.answers:
        assert answer["probability"] == pytest.approx(batch[answer["lead_id"]], abs=1e-9)
    best = sorted(batch, key=lambda lead_id: -batch[lead_id])[: len(shown.answers)]
    assert sorted(batch[lead_id] for lead_id in best) == pytest.approx(sorted(a["probability"] for a in shown.answers))


def test_a_model_judged_on_few_wins_says_so_in_every_answer(shown: _Shown) -> None:
    judged = shown.bundle.manifest["judged"]
    assert 40 <= judged["wins"] < 100
    assert "Not promoted" in shown.ran.err
    assert "promotes it by hand" in shown.ran.err
    assert all("little_data" in [warning["code"] for warning in answer["warnings"]] for answer in shown.answers)


def test_the_answers_warn_of_nothing_that_nobody_sent(shown: _Shown) -> None:
    codes = {warning["code"] for answer in shown.answers for warning in answer["warnings"]}
    assert codes <= {"little_data", "unknown_category", "unlike_training"}


def test_the_report_is_one_whole_page_in_sentences(shown: _Shown) -> None:
    page = (shown.home / "report.html").read_text("utf-8")
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.count("<figure") == 7
    assert shown.answers[0]["lead_id"] in page
    (verdict,) = re.findall(r'<section class="verdict">(.*?)</section>', page, flags=re.DOTALL)
    sentences = re.findall(r"<li(?: class=\"soft\")?>(.*?\.)</li>", verdict)
    assert len(sentences) >= 3
    told = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page)
    assert len(told) >= 7
    for text in [html.unescape(text) for label, value in told[:-1] for text in (label, value)] + sentences:
        assert ";" not in html.unescape(text)
        assert text[0].isupper() or text[0].isdigit(), text


def test_what_the_demo_says_to_type_next_works_with_its_data(shown: _Shown) -> None:
    exported = re.search(r"export CLEW_HOME=(\S+) CLEW_MLRUNS=(\S+)", shown.ran.err)
    command = re.search(r"clew (explain \S+ --as-of \S+)", shown.ran.err)
    assert exported is not None
    assert command is not None
    again = shown.line(*command[1].split(), "--json", CLEW_HOME=exported[1], CLEW_MLRUNS=exported[2])
    assert json.loads(again.out) == shown.answers[0]
    assert "http://127.0.0.1:8020/v1/score" in shown.ran.err
    assert re.search(r"[1-9]\d* open leads stand on the sales pages", shown.ran.err)


def test_the_demo_says_where_its_pages_are_and_the_key_opens_them_filled(shown: _Shown) -> None:
    said = re.search(
        r"The sales pages, once `clew serve` runs: (http://\S+/)\nThe key to sign in with: (\S+)", shown.ran.err
    )
    assert said is not None
    settings = load_settings(home=shown.home, store=f"sqlite:///{shown.home / 'store.sqlite'}")
    scorer = Scorer(shown.bundle, shown.bundle.scorecard)
    door, keyring = Door(settings.store_url), Keyring(settings.store_url)
    door.look()
    keyring.refresh()
    browser = Browser(pages_over(door, scorer, keyring))
    assert browser.get("/").headers["location"].startswith("/sign-in")
    assert browser.sign_in(said[2]).headers["location"] == "/"
    leads = lead_ids_on(browser.get("/"))
    assert len(leads) == 50
    page = browser.get(f"/leads/{leads[0]}").text
    assert "Why this chance" in page
    assert re.search(r"Of the 20 most similar of [\d,]+ past leads \d+ were won", page)
    with closing(open_store(settings.store_url)) as store:
        assert count_dirty(store)[0] == 0  # the service does not rescore the demo's leads years after they were made
    keyring.close()
    door.close()


def test_a_second_demo_keeps_what_it_has_not_made_and_a_first_one_refuses(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "letters.txt").write_text("mine", "utf-8")
    with pytest.raises(UsageError, match=r"own holds something that the demo has not made; .*--home"):
        run_demo(leads=500, seed=1, folder=None, home=own)
    assert (own / "letters.txt").read_text("utf-8") == "mine"
    assert [path.name for path in own.iterdir()] == ["letters.txt"]

    made = tmp_path / "made"
    serving.demo.run._fresh_home(made)
    (made / "letters.txt").write_text("mine", "utf-8")
    (made / "warehouse").mkdir()
    (made / "warehouse" / "manifest.json").touch()
    (made / "mlruns").symlink_to(own)
    settings = serving.demo.run._fresh_home(made)
    assert sorted(path.name for path in made.iterdir()) == [".clew-demo", "letters.txt"]
    assert (own / "letters.txt").exists()
    assert settings.warehouse_dir == made / "warehouse"
    assert settings.port != load_settings().port


def test_the_demo_refuses_a_file_as_its_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is no folder"):
        run_demo(leads=500, seed=1, folder=None, home=tmp_path / "file")


def test_a_folder_without_a_known_data_set_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the data sets bpi2012, olist, bank_marketing"):
        run_demo(leads=500, seed=1, folder=tmp_path, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.mark.skipif(not EVIDENCE, reason="a training on Olist, as of test_real_forward; `make evidence` runs the demo")
def test_the_demo_runs_on_a_public_data_set(tmp_path: Path) -> None:
    shown = _Shown(CommandLine(tmp_path), "--data", public_dataset("olist_funnel"))
    assert shown.ran.code == 0, shown.ran.err
    adds_up(shown.answers)
    assert shown.bundle.manifest["judged"]["wins"] > 200
    assert "Promoted." in shown.ran.err
    assert "lead" in (shown.home / "report.html").read_text("utf-8")
