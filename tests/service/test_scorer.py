"""The answer: a probability whose reasons add up, in words, with the rules beside it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from data.errors import DataError
from features.memory import Values, evaluate
from features.scorecard import Scorecard, load_scorecard, read_scorecard
from serving.http.problems import PayloadError
from serving.scoring.answers import ScoreAnswer
from serving.scoring.payload import parse_request
from serving.scoring.reasons import MOST_REASONS, ReasonTeller
from serving.scoring.scorer import Scorer, rules_catalogue
from tests.service.bundles import AS_OF_US, random_facts, random_rows
from training.bundles.bundle import LOGIT_BOUND, Bundle

if TYPE_CHECKING:
    from features.words import Language

ROOT = Path(__file__).parents[2]


def score(scorer: Scorer, payload: dict[str, Any], language: Language = "en") -> dict[str, Any]:
    return scorer.score(parse_request(json.dumps(payload).encode()), as_of_us=AS_OF_US, language=language)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_reasons_add_up_for_a_thousand_random_leads(bundle: Bundle) -> None:
    rng, teller = np.random.default_rng(11), ReasonTeller(bundle.catalogue)
    for number in range(1_000):
        facts = random_facts(rng)
        answer = bundle.answer(facts if number % 4 else replace(facts, events=None, account_events=None), AS_OF_US)
        reasons, remainder = teller.tell(answer, "zh")
        total = answer.base_logit + sum(reason["logit"] for reason in reasons) + remainder
        assert total == pytest.approx(logit(answer.probability), abs=1e-6)
        signs = [reason["direction"] for reason in reasons]
        assert max(signs.count("+"), signs.count("-")) <= 2 * MOST_REASONS
        everything = sum(abs(part) for part in answer.groups.values())
        untold = everything - sum(abs(reason["logit"]) for reason in reasons)
        full = [sign for sign in "+-" if signs.count(sign) >= MOST_REASONS]
        # Where more could have been told on either side, what is left out is little or each of it tiny.
        assert (
            untold <= 0.2 * everything
            or len(full) == 2
            or all(
                abs(part) < 0.01
                for group, part in answer.groups.items()
                if group not in {r["group"] for r in reasons} and ("+" if part > 0 else "-") not in full
            )
        )
        assert all((reason["logit"] > 0) == (reason["direction"] == "+") for reason in reasons)
        assert all(len(reason["evidence"]) <= 3 and None not in reason["evidence"].values() for reason in reasons)


def test_a_probability_at_the_bound_keeps_its_reasons_and_puts_the_excess_in_the_remainder(bundle: Bundle) -> None:
    answer = bundle.answer(random_facts(np.random.default_rng(1)), AS_OF_US)
    extreme = replace(answer, logit=answer.logit + 40.0, groups={**answer.groups, "employees": 40.0})
    reasons, remainder = ReasonTeller(bundle.catalogue).tell(extreme, "en")
    assert extreme.probability == pytest.approx(0.999)
    assert reasons[0]["logit"] == 40.0
    assert answer.base_logit + sum(r["logit"] for r in reasons) + remainder == pytest.approx(LOGIT_BOUND, abs=1e-9)


def test_one_lead_is_answered_as_a_matrix_of_leads_is(bundle: Bundle) -> None:
    rows = random_rows(200, seed=9)
    for sealed in (bundle.full, bundle.profile):
        matrix = sealed.model.encoding.tree_matrix(rows.frame)
        phi, base = sealed.explain(matrix)
        expected = sealed.logit(matrix)
        for at in range(len(matrix)):
            values = {name: None if pd.isna(value) else value for name, value in rows.frame.iloc[at].items()}
            explained = sealed.one_lead(values)  # type: ignore[arg-type]
            assert explained.logit == pytest.approx(expected[at], abs=1e-12)
            assert explained.base == pytest.approx(base, abs=1e-12)
            assert np.allclose(explained.phi, phi[at], rtol=0, atol=1e-12)


def test_the_answer_has_exactly_the_documented_fields(scorer: Scorer, payload: dict[str, Any]) -> None:
    assert ScoreAnswer.model_validate(score(scorer, payload)).source == "model"
    del payload["events"]
    assert ScoreAnswer.model_validate(score(scorer, payload)).source == "model_profile"
    rules = score(Scorer(None, load_scorecard()), payload)
    assert ScoreAnswer.model_validate(rules).source == "rules"
    assert list(rules) == list(score(scorer, payload))


def test_rules_stand_beside_the_model(scorer: Scorer, payload: dict[str, Any]) -> None:
    answer = score(scorer, payload)
    assert answer["rules"]["points"] == 90
    assert answer["rules"]["pool"] == "A"
    assert answer["rules"]["assign_within_minutes"] == 30
    assert [rule["points"] for rule in answer["rules"]["fired"]] == [30, 20, 25, 15]
    assert answer["agreement"] == ("both_high" if answer["grade"] in "AB" else "rules_higher")
    assert answer["horizon_days"] == 90
    assert answer["model"]["bundle"] == scorer.bundle.digest if scorer.bundle else False


def test_without_a_bundle_the_rules_give_the_same_points_and_the_models_fields_are_null(
    scorer: Scorer, payload: dict[str, Any]
) -> None:
    alone, beside = score(Scorer(None, load_scorecard()), payload), score(scorer, payload)
    assert alone["rules"] == beside["rules"]
    nulls = {name for name, value in alone.items() if value is None}
    assert nulls >= {"probability", "score", "grade", "reasons", "model", "agreement", "base_logit", "horizon_days"}


def test_reasons_are_told_in_both_languages(scorer: Scorer, payload: dict[str, Any]) -> None:
    zh = {reason["group"]: reason for reason in score(scorer, payload, "zh")["reasons"]}
    en = {reason["group"]: reason for reason in score(scorer, payload, "en")["reasons"]}
    assert zh["seniority"]["text"] == "职级：副总裁级"
    assert en["seniority"]["text"] == "seniority: vice president"
    assert zh["whitepapers"]["text"].startswith("下载 2 份白皮书（近")
    assert en["whitepapers"]["text"].startswith("2 white papers downloaded (last")
    assert 2 in zh["whitepapers"]["evidence"].values()
    assert all(zh[group]["logit"] == en[group]["logit"] for group in zh)


def texts_of(bundle: Bundle, **values: Any) -> dict[str, str]:
    """Tell one reason a group, as if each of these features alone had spoken."""
    answer = bundle.answer(random_facts(np.random.default_rng(1)), AS_OF_US)
    found = {}
    for name, value in values.items():
        group = bundle.catalogue.feature(name).group
        alone = replace(answer, groups={group: 1.0}, contributions={name: 1.0}, values={name: value})
        ((reason,), _) = ReasonTeller(bundle.catalogue).tell(alone, "en")
        found[name] = reason["text"]
    return found


def test_values_are_written_for_people(bundle: Bundle) -> None:
    assert texts_of(
        bundle,
        whitepaper_downloads_30d=0.0,
        page_views_7d=1.0,
        page_views_30d=1200.0,
        employees=12500.0,
        industry="medical_devices",
        source=None,
        demo_requests_days_since=None,
        lead_age_days=0.2,
        days_since_event=3.4,
        contact_completeness=2 / 3,
        account_days_since_other_event=None,
    ) == {
        "whitepaper_downloads_30d": "no white papers downloaded (last 30 days)",
        "page_views_7d": "1 page view (last 7 days)",
        "page_views_30d": "1,200 pages viewed (last 30 days)",
        "employees": "12,500 employees",
        "industry": "industry: medical devices",
        "source": "source: unknown",
        "demo_requests_days_since": "no demo request so far",
        "lead_age_days": "lead is less than a day old",
        "days_since_event": "last activity 3 days ago",
        "contact_completeness": "completeness of contact data: 67 %",
        "account_days_since_other_event": "no activity of the company's other people is known",
    }


def test_a_group_is_told_by_a_feature_that_pulls_its_way(bundle: Bundle) -> None:
    answer = bundle.answer(random_facts(np.random.default_rng(1)), AS_OF_US)
    parts = {"page_views_7d": -0.9, "page_views_30d": 0.6, "page_views_90d": 0.5}
    values: Values = {"page_views_7d": 0.0, "page_views_30d": 4.0, "page_views_90d": 9.0}
    mixed = replace(answer, groups={"page_views": 0.2}, contributions=parts, values=values)
    ((reason,), _) = ReasonTeller(bundle.catalogue).tell(mixed, "en")
    assert reason["text"] == "4 pages viewed (last 30 days)"
    assert reason["evidence"] == {"page_views_30d": 4, "page_views_90d": 9}


def test_an_unknown_category_is_flagged_by_field_and_never_by_value(scorer: Scorer, payload: dict[str, Any]) -> None:
    payload["lead"]["account"]["industry"] = "basket weaving"
    payload["lead"]["custom"]["erp"] = "an odd one"
    warnings = score(scorer, payload)["warnings"]
    fields = {warning["field"] for warning in warnings if warning["code"] == "unknown_category"}
    assert fields == {"lead.account.industry", "lead.custom.erp"}
    assert "basket" not in str(warnings)


def test_the_probability_lies_in_its_interval(scorer: Scorer, payload: dict[str, Any]) -> None:
    answer = score(scorer, payload)
    low, high = answer["interval"]
    assert 0 < low < answer["probability"] < high < 1
    assert "unlike_training" not in {warning["code"] for warning in answer["warnings"]}


def test_a_lead_unlike_the_training_data_is_flagged_and_its_interval_is_wider(
    scorer: Scorer, payload: dict[str, Any]
) -> None:
    def spread(answer: dict[str, Any]) -> float:
        low, high = answer["interval"]
        return logit(high) - logit(low)

    ordinary = score(scorer, payload)
    payload["lead"]["account"]["employees"] = 40_000_000
    payload["lead"]["account"]["region"] = "the moon"
    foreign = score(scorer, payload)
    assert [warning["field"] for warning in foreign["warnings"] if warning["code"] == "unlike_training"] == [None]
    assert spread(foreign) > 1.5 * spread(ordinary)
    assert foreign["interval"][0] < foreign["probability"] < foreign["interval"][1]


def test_without_a_learnt_range_the_interval_is_null(scorer: Scorer, payload: dict[str, Any]) -> None:
    del payload["events"]
    answer = score(scorer, payload)
    assert (answer["source"], answer["interval"]) == ("model_profile", None)


def test_any_order_of_events_gives_the_identical_answer(scorer: Scorer, payload: dict[str, Any]) -> None:
    first = score(scorer, payload)
    payload["events"].reverse()
    assert score(scorer, payload) == first
    payload["events"] += payload["events"][:1]
    again = score(scorer, payload)
    assert again.pop("warnings")[0]["code"] == "duplicate_events"
    assert again == {name: value for name, value in first.items() if name != "warnings"}


def test_a_future_event_changes_nothing_but_the_warnings(scorer: Scorer, payload: dict[str, Any]) -> None:
    first = score(scorer, payload)
    payload["events"].append({"source": "site", "id": "e3", "type": "demo_request", "occurred_at": payload["as_of"]})
    later = score(scorer, payload)
    assert [w["code"] for w in later.pop("warnings")] == ["events_after_as_of"]
    assert later == {name: value for name, value in first.items() if name != "warnings"}


def test_an_empty_list_of_events_is_answered_by_the_full_model(scorer: Scorer, payload: dict[str, Any]) -> None:
    payload["events"] = []
    none = score(scorer, payload)
    payload["events"] = None
    unknown = score(scorer, payload)
    assert (none["source"], unknown["source"]) == ("model", "model_profile")
    assert none["probability"] != unknown["probability"]


def test_one_bad_lead_of_a_batch_does_not_harm_the_others(scorer: Scorer, payload: dict[str, Any]) -> None:
    late = {"lead": {"lead_id": "L-3", "created_at": "2026-12-01T00:00:00Z"}, "as_of": "2026-11-21T08:00:00Z"}
    first, bad, third, wrong = scorer.score_many([payload, {"lead": {}}, payload, late], as_of_us=AS_OF_US)
    assert first == third == score(scorer, payload)
    assert isinstance(bad, PayloadError)
    assert bad.problems[0].field == "leads.1.lead.lead_id"
    assert isinstance(wrong, PayloadError)
    assert wrong.problems[0].field == "leads.3.lead.created_at"


def test_a_scorecard_over_customer_columns_and_unknown_event_types_answers_without_a_bundle() -> None:
    rules = [
        {"rule": "fair", "when": {"feature": "booth_visit_30d", "at_least": 1}, "points": 10},
        {"rule": "sap", "when": {"feature": "custom_erp", "equals": "sap"}, "points": 20},
        {"rule": "seats", "when": {"not": {"feature": "custom_seats", "below": 5}}, "points": 40},
    ]
    card = read_scorecard({"name": "own", "rules": rules, "pools": [{"pool": "X"}]})
    event = {"source": "s", "type": "booth_visit", "occurred_at": "2026-11-20T00:00:00Z"}
    payload = {"lead": {"lead_id": "L", "custom": {"erp": "sap", "seats": 9}}, "events": [event]}
    assert score(Scorer(None, card), payload)["rules"]["points"] == 70


def test_a_scorecard_over_what_is_no_feature_is_refused() -> None:
    rules = [{"rule": "x", "when": {"feature": "star_sign", "equals": "leo"}, "points": 1}]
    card = Scorecard.model_validate({"name": "own", "rules": rules, "pools": [{"pool": "X"}]})
    with pytest.raises(DataError, match="star_sign"):
        rules_catalogue(card)


_ELSEWHERE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'mlflow', 'shap', 'great_expectations', 'pandas', 'sklearn', 'matplotlib', 'duckdb'}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import json
from pathlib import Path
from features.scorecard import load_scorecard
from serving.scoring.payload import parse_request
from serving.scoring.scorer import Scorer
import serving.app, serving.process.state
from training.bundles.bundle import Bundle
scorer = Scorer(Bundle.load(Path(sys.argv[1])), load_scorecard())
print(json.dumps(scorer.score(parse_request(sys.stdin.buffer.read()), as_of_us=0)))
assert not {'pandas', 'sklearn', 'shap', 'mlflow'} & set(sys.modules)
"""


def test_another_process_without_the_training_libraries_gives_the_identical_answer(
    scorer: Scorer, bundle: Bundle, payload: dict[str, Any]
) -> None:
    command = [sys.executable, "-c", _ELSEWHERE, str(bundle.folder)]
    sent = json.dumps(payload)
    done = subprocess.run(command, input=sent, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == score(scorer, payload)


def test_evaluating_through_the_scorer_equals_the_catalogue(scorer: Scorer, bundle: Bundle) -> None:
    facts = random_facts(np.random.default_rng(3))
    direct = bundle.answer_values(evaluate(bundle.catalogue, facts, AS_OF_US))
    assert bundle.answer(facts, AS_OF_US).logit == direct.logit
    assert scorer.bundle is bundle
