"""Rules and model together say where a lead goes, how soon and why; the table is data, and a lot overrules it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from data.clock import MINUTE_US, iso, parse_moment, to_us
from data.errors import DataError
from data.holdout import HoldOut
from data.settings import Settings
from features.handover import AGREEMENTS, agreement
from features.scorecard import DEFAULT_SCORECARD, Scorecard, load_scorecard, read_scorecard
from features.words import LANGUAGES
from serving.batch.crm_file import PRESETS, crm_file
from serving.process.state import scorer_of
from serving.scoring.answers import ScoreAnswer
from serving.scoring.handover import NOTES, HandOver, in_language
from serving.scoring.payload import parse_request
from serving.scoring.scorer import Scorer
from serving.stored.rescoring import replayed, score_facts
from tests.service.bundles import AS_OF_US, random_facts

if TYPE_CHECKING:
    from pathlib import Path

    from training.bundles.bundle import Bundle

CARD = load_scorecard()
GRADES = ("A", "B", "C", "D")
HOT = {"employees": 800.0, "whitepaper_downloads_30d": 2.0, "seniority": "vp", "industry": "software"}
POINTS: dict[str, dict[str, Any]] = {"A": HOT, "B": {**HOT, "employees": 1.0}, "C": {}}


def decided(grade: str | None, pool: str, **options: Any) -> dict[str, Any]:
    rules = CARD.evaluate(POINTS[pool])
    assert rules.pool == pool
    grades = () if grade is None else GRADES
    return HandOver(CARD, grades)("L-1", rules, grade, as_of_us=AS_OF_US, **options)


@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize("pool", ["A", "B", "C"])
def test_every_grade_and_pool_has_the_decision_of_their_agreement(grade: str, pool: str) -> None:
    found = decided(grade, pool)
    said = agreement(grade, GRADES, pool, ("A", "B", "C"))
    row = yaml.safe_load(DEFAULT_SCORECARD.read_text("utf-8"))["handover"][said]
    assert (found["because"], found["pool"], found["priority"]) == (said, row["pool"], row["priority"])
    minutes = row.get("respond_within_minutes")
    assert found["respond_within_minutes"] == minutes
    assert (found["by"] is None) == (minutes is None)
    if minutes is not None:
        assert to_us(parse_moment(found["by"])) == AS_OF_US + minutes * MINUTE_US
    assert found["holdout"] is False


def test_what_both_call_high_comes_first_and_what_both_call_low_last() -> None:
    priorities = {said: CARD.decided.decisions[said].priority for said in AGREEMENTS}
    assert sorted(priorities, key=lambda said: priorities[said])[0] == "both_high"
    assert max(priorities, key=lambda said: priorities[said]) == "both_low"
    assert decided("A", "A")["respond_within_minutes"] == 30


@pytest.mark.parametrize(("pool", "priority", "minutes"), [("A", 1, 30), ("B", 2, 1440), ("C", 3, None)])
def test_without_a_model_the_rules_decide_alone(pool: str, priority: int, minutes: int | None) -> None:
    found = decided(None, pool)
    assert (found["pool"], found["priority"], found["respond_within_minutes"]) == (pool, priority, minutes)
    assert found["because"] == "rules_only"


def test_every_reason_has_a_note_in_both_languages() -> None:
    assert {*AGREEMENTS, "rules_only", "holdout"} == NOTES.keys()
    texts = [words.in_language(language) for words in NOTES.values() for language in LANGUAGES]
    assert len(set(texts)) == len(texts)
    chinese = decided("A", "C", language="zh")
    assert in_language(decided("A", "C"), "zh") == chinese


# --- the table as data --------------------------------------------------------------------------------------------


def own_card(**handover: Any) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load(DEFAULT_SCORECARD.read_text("utf-8"))
    return raw | {"handover": raw["handover"] | handover}


def test_an_own_table_is_followed_and_sealed_with_the_scorecard() -> None:
    card = read_scorecard(own_card(model_higher={"pool": "A", "priority": 1}))
    assert HandOver(card, GRADES)("L-1", card.evaluate({}), "A", as_of_us=0)["pool"] == "A"
    # The pool's own limit holds where the table names none.
    assert HandOver(card, GRADES)("L-1", card.evaluate({}), "A", as_of_us=0)["respond_within_minutes"] == 30
    sealed = Scorecard.model_validate_json(card.model_dump_json(by_alias=True, exclude_none=True))
    assert sealed.decided == card.decided
    assert card.with_lists(target=["x"]).decided == card.decided


def test_a_scorecard_sealed_before_there_were_tables_gets_the_default_of_its_pools() -> None:
    raw = own_card()
    del raw["handover"]
    old = read_scorecard(raw)
    assert [(d.pool, d.priority) for d in old.decided.decisions.values()] == [("A", 1), ("B", 2), ("B", 3), ("C", 4)]
    for pools, expected in (
        ([{"pool": "only"}], ["only"] * 4),
        ([{"pool": "hot", "above": 9}, {"pool": "cold"}], ["hot", "hot", "hot", "cold"]),
    ):
        card = read_scorecard({**raw, "pools": pools})
        assert [decision.pool for decision in card.decided.decisions.values()] == expected


@pytest.mark.parametrize(
    "row",
    [{"pool": "Z", "priority": 1}, {"pool": "A", "priority": 0}, {"pool": "A"}, {"pool": "A", "priority": 1, "x": 2}],
)
def test_a_table_that_makes_no_sense_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"handover|none of the pools"):
        read_scorecard(own_card(both_low=row))


# --- the same everywhere ------------------------------------------------------------------------------------------


def test_the_answer_carries_the_decision_and_the_stored_score_the_same(
    bundle: Bundle, scorer: Scorer, payload: dict[str, Any]
) -> None:
    for one in (scorer, Scorer(None, CARD), Scorer(bundle, CARD, holdout=HoldOut(1.0, "s"))):
        told = one.told(parse_request(json.dumps(payload).encode()), as_of_us=AS_OF_US)
        ScoreAnswer.model_validate(told.body)
        facts = random_facts(np.random.default_rng(2))
        answer = one.told_of("L-9", facts, as_of_us=AS_OF_US).body
        stored = score_facts(one, "L-9", facts, as_of_us=AS_OF_US, cause="batch")
        rules: Any = stored.rules
        assert rules["handover"] == answer["handover"]
        assert stored.pool == answer["handover"]["pool"]
        assert {name: value for name, value in rules.items() if name != "handover"} == answer["rules"]


def test_a_lead_held_out_is_marked_and_goes_where_its_lot_says(bundle: Bundle, payload: dict[str, Any]) -> None:
    holding = Scorer(bundle, CARD, holdout=HoldOut(1.0, "s"))
    plain = Scorer(bundle, CARD)
    told = set()
    for number in range(40):
        payload["lead"]["lead_id"] = f"L-{number}"
        request = parse_request(json.dumps(payload).encode())
        found, usual = (one.score(request, as_of_us=AS_OF_US) for one in (holding, plain))
        assert found["handover"]["holdout"] is True
        assert found["handover"]["because"] == "holdout"
        told.add((found["handover"]["pool"], found["handover"]["priority"]))
        assert {**found, "handover": None} == {**usual, "handover": None}
        payload["lead"]["account"]["employees"] = 1
        again = holding.score(parse_request(json.dumps(payload).encode()), as_of_us=AS_OF_US + 1)
        assert again["handover"]["pool"] == found["handover"]["pool"]
    assert told == {(each.pool, each.priority) for each in CARD.decided.decisions.values()}


def test_who_is_held_out_depends_on_the_settings_and_not_on_the_bundle(bundle: Bundle, other_bundle: Bundle) -> None:
    settings = Settings(holdout_share=0.3)
    marks = []
    for one in (bundle, other_bundle, None):
        scorer = scorer_of(one, settings)
        marks.append([scorer.holdout.holds(f"L-{number}") for number in range(200)])
    assert marks[0] == marks[1] == marks[2]
    assert 30 < sum(marks[0]) < 90
    assert not any(scorer_of(bundle, Settings(holdout_share=0)).holdout.marks(f"L-{k}" for k in range(200)))


def test_a_stored_score_is_replayed_as_it_was_held_out_then(bundle: Bundle) -> None:
    facts = random_facts(np.random.default_rng(4))
    then = Scorer(bundle, CARD, holdout=HoldOut(1.0, "s"))
    given = score_facts(then, "L-1", facts, as_of_us=AS_OF_US, cause="batch")
    today = Scorer(bundle, CARD, holdout=HoldOut(0.0, "s"))
    assert replayed(today, given) == given


def test_the_crms_file_marks_who_is_held_out(bundle: Bundle, tmp_path: Path) -> None:
    scorer = Scorer(bundle, CARD, holdout=HoldOut(0.5, "s"))
    facts = random_facts(np.random.default_rng(5))
    scores = [score_facts(scorer, f"L-{k}", facts, as_of_us=AS_OF_US, cause="batch") for k in range(20)]
    out = tmp_path / "scores.csv"
    with crm_file(out, PRESETS["hubspot"], scorer) as take:
        take(scores)
    with out.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["clew_holdout"] for row in rows] == [
        str(scorer.holdout.holds(score.lead_id)).lower() for score in scores
    ]
    assert {row["clew_holdout"] for row in rows} == {"true", "false"}
    for row, score in zip(rows, scores, strict=True):
        rules: Any = score.rules
        assert row["clew_pool"] == rules["handover"]["pool"]
        assert row["clew_respond_by"] == (rules["handover"]["by"] or "")
        assert row["clew_priority"] == str(rules["handover"]["priority"])


def test_a_score_from_before_there_were_decisions_still_goes_into_the_file(bundle: Bundle, tmp_path: Path) -> None:
    scorer = Scorer(bundle, CARD)
    given = score_facts(scorer, "L-1", random_facts(np.random.default_rng(5)), as_of_us=AS_OF_US, cause="batch")
    rules: Any = given.rules
    old = replace(given, rules={name: value for name, value in rules.items() if name != "handover"})
    with crm_file(tmp_path / "scores.csv", PRESETS["plain"], scorer) as take:
        take([old])
    assert iso(parse_moment("2026-11-21T08:00:00Z")) in (tmp_path / "scores.csv").read_text("utf-8")
