"""Reasons that people can trust: leads differ in them, and a lead without its first reason would score lower."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from features.definitions import AccountAttribute, Filled, LeadAge, LeadAttribute
from features.telling import tellers_of
from features.words import LANGUAGES
from serving.pages.behind import Happening, behind, happenings
from serving.scoring.reasons import ReasonTeller
from serving.scoring.telling import strongest
from tests.service.bundles import AS_OF_US, random_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from features.definitions import Feature
    from features.event_log import EventFact
    from features.memory import LeadFacts
    from features.words import Language
    from training.bundles.bundle import Answer, Bundle

LEADS = 1000
Reasons = list[dict[str, Any]]


@pytest.fixture(scope="module")
def leads(bundle: Bundle) -> list[tuple[LeadFacts, Answer, Reasons]]:
    rng, teller = np.random.default_rng(23), ReasonTeller(bundle.catalogue)
    facts = [random_facts(rng) for _ in range(LEADS)]
    answers = [bundle.answer(each, AS_OF_US) for each in facts]
    return [(each, answer, teller.tell(answer, "en")[0]) for each, answer in zip(facts, answers, strict=True)]


def in_favour(reasons: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [reason for reason in reasons if reason["direction"] == "+"]


def test_no_set_of_reasons_repeats_for_many_leads_of_a_grade(
    bundle: Bundle, leads: list[tuple[LeadFacts, Answer, Reasons]]
) -> None:
    sets: dict[str, Counter[frozenset[str]]] = defaultdict(Counter)
    for _, answer, reasons in leads:
        shown = frozenset(reason["group"] for reason in in_favour(reasons))
        sets[bundle.grade(answer.probability)][shown] += 1
    assert len(sets) == 4
    for grade, found in sets.items():
        assert max(found.values()) <= 0.2 * found.total(), grade


def test_a_lead_without_the_evidence_of_its_first_reason_scores_lower(
    bundle: Bundle, leads: list[tuple[LeadFacts, Answer, Reasons]]
) -> None:
    lower = []
    for facts, answer, reasons in leads:
        first = next((one for one in strongest(in_favour(reasons), 1) if one["evidence"]), None)
        if first is None:  # nothing speaks for it that could be taken away
            continue
        named = [bundle.catalogue.feature(name) for name in first["evidence"]]
        lower.append(bundle.answer(without(facts, named), AS_OF_US).logit < answer.logit)
    assert len(lower) > 0.95 * LEADS
    assert np.mean(lower) >= 0.95


def without(facts: LeadFacts, features: Iterable[Feature]) -> LeadFacts:
    """Return the facts of a lead as if what some features were computed from had never been."""
    lead, account = dict(facts.lead), dict(facts.account or {})
    created, own, company = facts.created_us, facts.events or (), facts.account_events or ()
    for feature in features:
        compute = feature.compute
        if isinstance(compute, LeadAttribute | Filled):
            lead[compute.column] = None
        elif isinstance(compute, AccountAttribute):
            account[compute.column] = None
        elif isinstance(compute, LeadAge):
            created = None
        else:
            own, company = _unseen(own, feature, "own"), _unseen(company, feature, "company")
    return replace(facts, lead=lead, account=account, created_us=created, events=own, account_events=company)


def _unseen(events: Sequence[EventFact], feature: Feature, whose: str) -> tuple[EventFact, ...]:
    def happening(event: EventFact) -> list[Happening]:
        return happenings([event], (), ()) if whose == "own" else happenings((), [event], ())

    return tuple(event for event in events if not behind(happening(event), [feature], AS_OF_US))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_reason_shows_a_name_of_the_machine_or_a_number_without_a_meaning(
    bundle: Bundle, leads: list[tuple[LeadFacts, Answer, Reasons]], language: Language
) -> None:
    teller = ReasonTeller(bundle.catalogue)
    names = {name for name in bundle.catalogue.names if "_" in name}
    for _, answer, _ in leads[:200]:
        for reason in teller.tell(answer, language)[0]:
            assert not any(name in reason["text"] for name in names)
            assert "_" not in reason["text"]
            assert "half" not in reason["text"]
            assert "减半" not in reason["text"]
            if language == "zh" and not reason["group"].startswith("custom_"):
                assert any("一" <= sign <= "鿿" for sign in reason["text"])


def test_weighed_counters_are_told_by_what_happened(bundle: Bundle) -> None:
    counts = {"demo_requests_30d": 0.0, "price_page_views_30d": 0.0, "demo_requests_90d": 2.0, "events_90d": 7.0}
    since = {"demo_requests_days_since": 41.0, "price_page_views_days_since": None, "days_since_event": 0.2}
    values = {"high_intent_decayed": 0.3, "engagement_decayed": 0.9, "events_30d": 1.0, "event_trend": -0.1}
    told = {language: tellers_of(bundle.catalogue, language) for language in LANGUAGES}
    known = {**counts, **since, **values}

    def say(name: str, language: Language = "en", **changed: float | None) -> str:
        return told[language][name]({**known, **changed}, True)

    assert say("high_intent_decayed") == "demo request × 2 (last 90 days), the newest 41 days ago"
    assert say("high_intent_decayed", "zh") == "申请演示 2 次（近 90 天），最近一次 41 天前"
    nothing = "no strong buying signals in the last 90 days (demo request, price page visit)"
    assert say("high_intent_decayed", high_intent_decayed=0.0) == nothing
    assert say("engagement_decayed") == "1 activity in the last 30 days, the newest less than a day ago"
    assert (
        say("engagement_decayed", events_30d=0.0) == "7 activities in the last 90 days, the newest less than a day ago"
    )
    assert say("engagement_decayed", engagement_decayed=0.0) == "no activity in the last 90 days"
    assert say("event_trend") == "less active in the last 7 days than over the last 30"
    assert say("engagement_time_30d", engagement_time_30d=754.0) == "13 minutes of engagement (last 30 days)"
    assert say("founded_year", founded_year=2003.0) == "year founded: 2003"
    assert say("custom_remark", custom_remark=1.0) == "remark: filled in"
    assert say("lead_age_days", lead_age_days=1.2) == "lead is 1 day old"
