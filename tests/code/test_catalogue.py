"""The catalogue: every feature declared once, with a name of its own, words for people and a sound direction."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from features.catalogue import WINDOWS_DAYS, build_catalogue
from features.definitions import (
    Catalogue,
    Decayed,
    DistinctCount,
    EventCount,
    Feature,
    LeadAge,
    MostSenior,
    Recency,
    Total,
    Touch,
    Trend,
    Visits,
)
from features.words import EVENT_TYPES, LANGUAGES, Words

FULL = build_catalogue(
    event_types=[*EVENT_TYPES, "Odd Type!"], custom={"erp": "categorical", "size": "numeric", "note": "text"}
)
_OF_EVENTS = EventCount | DistinctCount | Recency | Total | Trend | Decayed | Visits | Touch | MostSenior
# Types whose names are those of other features, or of each other once punctuation and case are gone.
HOSTILE = (
    *("events", "engagement_time", "account_other_events", "account_other_people", "days_since_event", "lead_age"),
    *("visits", "engagement_decayed", "first_touch_channel", "account_most_senior", "days_since_inbound"),
    *("high_intent", "contents", "active_days", "event_trend", "Page Views", "page_views", "demo requests"),
    *("", "!", "x", "x_2", "x 2", "x!", "X"),
)


def by_name(*names: str) -> list[Feature]:
    return [FULL.feature(name) for name in names]


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(
    types=st.sets(st.one_of(st.sampled_from((*HOSTILE, *EVENT_TYPES)), st.text(max_size=6)), max_size=12),
    columns=st.dictionaries(st.text(min_size=1, max_size=5), st.sampled_from(("numeric", "categorical", "text"))),
)
def test_names_are_unique_whatever_types_and_columns_are_called(types: set[str], columns: dict[str, str]) -> None:
    catalogue = build_catalogue(event_types=types, custom=columns)
    assert len(set(catalogue.names)) == len(catalogue.names)
    assert catalogue.event_types == types
    assert len({name.lower() for name in catalogue.names}) == len(catalogue.names)


def test_two_definitions_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two definitions of lead_age_days"):
        Catalogue(features=(FULL.feature("lead_age_days"), FULL.feature("lead_age_days")))


@pytest.mark.parametrize("robber", ["Whitepaper Downloads", "whitepaper_downloads", "WHITEPAPER DOWNLOADS"])
def test_no_other_type_takes_the_name_of_a_type_that_clew_knows(robber: str) -> None:
    catalogue = build_catalogue(event_types=[robber, "whitepaper_download"])
    compute = catalogue.feature("whitepaper_downloads_30d").compute
    assert isinstance(compute, EventCount)
    assert compute.types == ("whitepaper_download",)
    assert catalogue.event_types == {robber, "whitepaper_download"}


def test_the_order_of_types_and_columns_does_not_matter() -> None:
    types, custom = ["page_view", "b", "a", "a"], {"z": "text", "y": "numeric"}
    first = build_catalogue(event_types=types, custom=custom)
    assert build_catalogue(event_types=reversed(types), custom=dict(reversed(custom.items()))) == first


def test_another_type_only_adds_features_of_its_own() -> None:
    before = build_catalogue(event_types=["page_view", "b"])
    after = build_catalogue(event_types=["page_view", "b", "zz"])
    added = set(after.names) - set(before.names)
    assert set(before.names) <= set(after.names)
    assert added == {*(f"zz_{days}d" for days in WINDOWS_DAYS), "zz_days_since"}


def test_every_feature_has_words_in_every_language() -> None:
    for feature in FULL.features:
        for language in LANGUAGES:
            assert feature.label.in_language(language).strip(), feature.name
            if feature.phrase:
                assert "{n}" in feature.phrase.in_language(language), feature.name


def test_labels_tell_features_apart() -> None:
    for language in LANGUAGES:
        labels = [feature.label.in_language(language) for feature in FULL.features]
        assert len(set(labels)) == len(labels)


def test_a_feature_needs_what_it_reads() -> None:
    for feature in FULL.features:
        reads_events = isinstance(feature.compute, _OF_EVENTS)
        scope = getattr(feature.compute, "scope", "lead")
        assert reads_events == (feature.needs in {"events", "account_events"}), feature.name
        assert (scope == "account") == (feature.needs == "account_events"), feature.name


def test_engagement_that_clew_knows_can_only_help_and_silence_only_hurt() -> None:
    assert {f.monotone for f in by_name("page_views_30d", "demo_requests_90d", "high_intent_7d")} == {1}
    assert {f.monotone for f in by_name("page_views_days_since", "demo_requests_days_since")} == {-1}
    assert {f.monotone for f in by_name("odd_type_30d", "odd_type_days_since", "event_trend")} == {0}


def test_engagement_of_a_type_that_clew_does_not_know_has_no_direction() -> None:
    assert {f.monotone for f in by_name("events_30d", "active_days_7d", "days_since_event")} == {0}
    known = build_catalogue(event_types=["page_view"])
    assert [known.feature(name).monotone for name in ("events_30d", "days_since_event")] == [1, -1]


def test_high_intent_is_asked_only_where_it_can_occur() -> None:
    assert "high_intent_30d" not in build_catalogue(event_types=["page_view"]).names
    compute = FULL.feature("high_intent_30d").compute
    assert isinstance(compute, EventCount)
    assert compute.types == ("demo_request", "price_page_view", "trial_start")


def test_without_events_no_feature_reads_any() -> None:
    assert {feature.needs for feature in build_catalogue().features} == {"lead", "account"}


def test_customer_columns_become_features_of_their_kind() -> None:
    kinds = {name: FULL.feature(name).kind for name in ("custom_erp", "custom_size", "custom_note")}
    assert kinds == {"custom_erp": "categorical", "custom_size": "numeric", "custom_note": "numeric"}
    assert FULL.feature("custom_note").compute.how == "filled"
    assert build_catalogue(custom={"secret": "ignored"}) == build_catalogue()


def test_a_custom_column_whose_name_is_no_identifier_still_reads_its_own_column() -> None:
    catalogue = build_catalogue(custom={"Ich & Du": "text", "ich_du": "text"})
    columns = {f.name: getattr(f.compute, "column", None) for f in catalogue.features if f.name.startswith("custom")}
    assert columns == {"custom_ich_du": "custom_Ich & Du", "custom_ich_du_2": "custom_ich_du"}


@pytest.mark.parametrize("withheld", ["erp", "custom_erp"])
def test_what_is_known_only_after_the_outcome_is_no_feature(withheld: str) -> None:
    assert "custom_erp" not in build_catalogue(custom={"erp": "text"}, withheld=[withheld]).names
    assert "industry" not in build_catalogue(withheld=["industry"]).names
    assert {"country", "account_country"}.isdisjoint(build_catalogue(withheld=["country"]).names)


def test_a_part_of_a_catalogue_keeps_order_and_zone() -> None:
    catalogue = build_catalogue(event_types=["page_view"], timezone="Asia/Shanghai")
    kept = catalogue.keep(["industry", "source", "no such"])
    assert (kept.names, kept.timezone) == (("source", "industry"), "Asia/Shanghai")
    assert {f.needs for f in catalogue.needing("lead", "account").features} == {"lead", "account"}
    with pytest.raises(KeyError):
        kept.feature("region")


def test_a_catalogue_survives_json() -> None:
    assert Catalogue.model_validate_json(FULL.model_dump_json()) == FULL


def test_the_longest_window_is_that_of_the_definitions() -> None:
    words = Words(en="x", zh="x")
    year = Feature(name="y", group="y", kind="numeric", needs="events", compute=EventCount(days=365), label=words)
    age = year.model_copy(update={"name": "a", "needs": "lead", "compute": LeadAge()})
    assert FULL.longest_window_days == 90
    assert Catalogue(features=(year, age)).longest_window_days == 365
