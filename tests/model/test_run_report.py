"""The report of a run says what its figures say, in both languages, and beside the model before."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from features.words import LANGUAGES
from tests.model.conftest import settings_in, undrawn
from tests.model.judgements import synthetic_judgement
from tests.model.pages import expect_both_languages, expect_self_contained, text_of
from tests.model.reported import bundle_in, run_told
from training.bundles import publishing
from training.bundles.publishing import publish_run
from training.bundles.sealing import publish
from training.evaluation.changes import Learnt
from training.evaluation.metrics import wilson
from training.evaluation.picture_words import METHODS, METRIC_WORDS, PICTURES, SPOKEN
from training.evaluation.report import render
from training.evaluation.report_words import CHECKS, DECISIONS, REPORT
from training.evaluation.run_report import Before, RunFacts, facts_of, run_report
from training.evaluation.scoreboard import scoreboard
from training.evaluation.summary import caveats_in_words, summarise

if TYPE_CHECKING:
    from pathlib import Path

    from features.words import Language
    from training.evaluation.scoreboard import Scoreboard
    from training.run import Trained

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run_told(tmp_path_factory.mktemp("run") / "bundle")


@pytest.fixture(scope="module")
def facts(run: Trained, tmp_path_factory: pytest.TempPathFactory) -> RunFacts:
    before = bundle_in(tmp_path_factory.mktemp("before") / "bundle", trees=0, rows_seed=1)
    return facts_of(run, Before(before, Learnt(1000, 50)))


def board_of(**shares: float) -> Scoreboard:
    """Return a scoreboard of 1,200 rows with 300 wins on which each method knows a share of the outcome."""
    rng = np.random.default_rng(0)
    y_obs = np.array([1, 0, 0, 0] * 300)
    predictions = {
        name: 1 / (1 + np.exp(-(-1.1 + share * (y_obs - 0.25) + rng.normal(0, 0.4, len(y_obs)))))
        for name, share in shares.items()
    }
    given = {"clusters": np.arange(1200), "capacity": 100, "rng": rng, "replicates": 100}
    return scoreboard(y_obs, predictions, model="clew", **given)  # type: ignore[arg-type]


def test_the_summary_says_better_worse_and_not_told_apart_from_the_figures() -> None:
    better, order = summarise(board_of(clew=1.0, scorecard=0.2, logistic=1.0))[1:3]
    assert better.en == "Its probabilities are better than the rules; not clearly better than logistic regression."
    assert better.zh == "概率质量：优于规则；未明显优于逻辑回归。"
    assert order.en.startswith("Its order of the leads is better than the rules")
    worse = summarise(board_of(clew=0.2, scorecard=1.5, logistic=0.2))
    assert "worse than the rules" in worse[0].en
    assert worse[1].en.endswith("worse than the rules.")
    assert "不如规则" in worse[1].zh


def test_the_wins_in_the_summary_are_those_of_the_scoreboard() -> None:
    board = board_of(clew=1.0, scorecard=0.2)
    told = summarise(board)[0]
    mine, rules = (board.figure(name, "wins_at_capacity")["value"] for name in ("clew", "scorecard"))
    assert (
        f"catches {mine:.0f} of 300 wins with the model and {rules:.0f} with the rules: +{mine - rules:.0f} " in told.en
    )
    assert f"{mine:.0f}" in told.zh


def test_few_wins_give_figures_and_no_verdict() -> None:
    y_obs, flat = np.array([1, 0] * 20), np.full(40, 0.5)
    given = {"clusters": np.arange(40), "capacity": 5, "rng": np.random.default_rng(0), "replicates": 20}
    told = summarise(scoreboard(y_obs, {"clew": flat, "scorecard": flat}, model="clew", **given))  # type: ignore[arg-type]
    assert told[0].en.startswith("Only 20 wins were judged, 100 are needed")
    assert not any("better" in words.en for words in told)


@pytest.mark.parametrize(
    "caveat",
    [
        "judged on one forward split, not on monthly cross-sections",
        "judged on 1 monthly cross-section: the history is short",
        "judged on 5 monthly cross-sections: the history is short",
        "the 130 wins are those of 60 accounts, some on several lists",
        "at each origin every method learnt from a sample of about 40,000 pairs",
    ],
)
def test_every_caveat_is_said_in_both_languages(caveat: str) -> None:
    (words,) = caveats_in_words(replace(board_of(clew=1.0), caveats=(caveat,)))
    assert words.en[1:-1] == caveat[1:]
    assert re.findall(r"\d[\d,]*", words.zh) == re.findall(r"\d[\d,]*", caveat)
    assert not re.search(r"[a-z]", words.zh)


def test_the_caveats_of_a_real_board_are_among_those_that_are_known() -> None:
    for words in caveats_in_words(synthetic_judgement().scoreboard):
        assert words.en[:-1] != words.zh


def test_grades_are_counted_from_the_judged_rows(run: Trained, facts: RunFacts) -> None:
    y_obs, p = run.judgement.y_obs, run.judged_probabilities
    above = 2.0
    for line, grade in zip(facts.grades, run.bundle.grades, strict=True):
        inside = (p >= grade.at_least) & (p < above)
        assert (line.rows, line.won) == (int(inside.sum()), int(y_obs[inside].sum()))
        assert line.promised == pytest.approx(p[inside].mean())
        assert (line.low, line.high) == wilson(line.won, line.rows)
        above = grade.at_least
    assert sum(line.rows for line in facts.grades) == len(y_obs)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_tells_the_figures_and_needs_nothing_else(run: Trained, facts: RunFacts, language: Language) -> None:
    page = render(run_report(run, facts, (), language=language))
    expect_self_contained(page)
    text = text_of(page)
    assert f'lang="{language}"' in page
    for line in facts.grades:
        assert f"{100 * (line.promised or 0):.1f} %" in text
    assert f"{run.judgement.scoreboard.figure('clew', 'log_loss')['value']:.4f}" in text
    for words in (DECISIONS["by_hand"], REPORT["drivers"], REPORT["changed"], CHECKS["refit"], REPORT["open"]):
        assert words.in_language(language) in text
    assert Learnt(1000, 50).in_words().in_language(language) in text
    assert Learnt(2000, 160).in_words().in_language(language) in text
    for sentence in summarise(run.judgement.scoreboard):
        assert sentence.in_language(language) in page.replace("&#39;", "'")


def test_in_chinese_no_heading_is_left_in_english(run: Trained, facts: RunFacts) -> None:
    text = text_of(render(run_report(run, facts, (), language="zh")))
    for words in (*REPORT.values(), *METRIC_WORDS.values()):
        if words.en != words.zh and len(words.en) > 8:  # shorter ones are parts of other words
            assert not re.search(rf"(?<![a-z]){re.escape(words.en)}(?![a-z])", text), words.en


def test_figures_stand_beside_those_of_the_champion_with_the_difference_turned_round(
    run: Trained, facts: RunFacts
) -> None:
    assert facts.changed is not None
    board = run.judgement.scoreboard
    line = next(line for line in facts.changed.figures if line.label.en == "log loss")
    now, before = (board.figure(name, "log_loss")["value"] for name in ("clew", "champion"))
    assert (line.now.en, line.before.en) == (f"{now:.4f}", f"{before:.4f}")
    assert line.apart is not None
    assert line.apart.en.startswith(f"{now - before:+.4f} (".replace("-", "−"))


def test_a_first_model_says_that_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    run = run_told(tmp_path / "bundle", champion=False)
    facts = facts_of(run, None)
    assert facts.changed is None
    assert REPORT["changed_none"].en in text_of(render(run_report(run, facts, ())))
    # A run that serves already is not compared with itself.
    assert facts_of(run, Before(run.bundle, Learnt())).changed is None


def test_publishing_leaves_a_report_in_each_language_and_keeps_it(
    run: Trained, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_draw_pictures", undrawn)
    (tmp_path / "mlruns").mkdir()
    shutil.copyfile(database, tmp_path / "mlruns" / "mlflow.db")
    settings = settings_in(tmp_path)
    folder = publish(run.bundle, settings.bundles_dir)
    served = replace(run, bundle=replace(run.bundle, folder=folder))
    told = publish_run(served, settings)
    pages = {language: tmp_path / "runs" / folder.name[:19] / "report" / name for language, name in _NAMES.items()}
    assert told["reports"] == {language: str(path) for language, path in pages.items()}
    for path in pages.values():
        expect_self_contained(path.read_text("utf-8"))
    assert len(list((settings.mlruns / "artifacts").rglob("report*.html"))) == 2
    pages["en"].write_text("kept")
    publish_run(served, settings)
    assert pages["en"].read_text() == "kept"


_NAMES = {"en": "report.html", "zh": "report.zh.html"}


def test_the_words_of_report_and_pictures_exist_in_both_languages() -> None:
    for table in (REPORT, DECISIONS, CHECKS, PICTURES, METHODS, SPOKEN):
        expect_both_languages(table, alike=frozenset({"of_rows", "segment"}))
    expect_both_languages(METRIC_WORDS, alike=frozenset({"roc_auc", "pr_auc"}))
