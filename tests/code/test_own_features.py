"""Own definitions: what is left out follows, what is wrong is named, and both evaluators read them alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data.clock import DAY_US, to_us
from data.errors import InfrastructureError, UsageError
from data.settings import Settings
from data.warehouse import Warehouse
from features.catalogue import build_catalogue
from features.definitions import Catalogue, Feature
from features.facts import facts_as_of
from features.memory import Evaluator, EventFact, LeadFacts
from features.own import LONGEST_WINDOW_DAYS, load_own_features, own_features, refuse_taken_names
from features.sql import compute_features, prepare_people
from tests.reference import features as reference
from tests.reference.worlds import CUSTOM, connect, load, photograph, random_world

WEBINARS = """
- name: webinars_120d
  group: webinars
  compute: {how: event_count, types: [webinar_attended], days: 120}
  label: {en: "webinars attended, last 120 days", zh: "参加网络研讨会（近 120 天）"}
"""
EVERY_WAY = {
    "source_again": "{how: lead_attribute, column: source}",
    "erp_again": "{how: lead_attribute, column: custom_erp}",
    "firm_size": "{how: account_attribute, column: employees}",
    "has_note": "{how: filled, column: custom_note}",
    "age_again": "{how: lead_age}",
    "demos_11d": "{how: event_count, types: [demo_request, page_view], days: 11}",
    "other_views_400d": "{how: event_count, types: [page_view], days: 400, scope: account}",
    "contents_5d": "{how: distinct_count, column: content_id, days: 5}",
    "other_people_3d": "{how: distinct_count, column: person_id, days: 3, scope: account}",
    "since_demo": "{how: recency, types: [demo_request]}",
    "since_other_demo": "{how: recency, types: [demo_request], scope: account}",
    "view_trend": "{how: trend, types: [page_view]}",
    "worth_45d": "{how: total, column: value, days: 45}",
    "views_decayed": "{how: decayed, types: [page_view], half_life_days: 5, days: 20}",
    "visits_2d": "{how: visits, days: 2}",
    "first_channel": "{how: touch, which: first}",
    "other_rank_14d": "{how: most_senior, days: 14}",
    "hours_to_call": "{how: sales_response, types: [called]}",
}


def definition(name: str = "mine", compute: str = "{how: lead_age}", more: str = "label: {en: mine}") -> str:
    return f"- name: {name}\n  compute: {compute}\n  {more}\n"


def load_text(folder: Path, text: str, **more: object) -> tuple[Feature, ...]:
    file = folder / "features.yaml"
    file.write_text(text, "utf-8")
    return load_own_features(file, **more)  # type: ignore[arg-type]


def refusal(folder: Path, text: str, **more: object) -> str:
    with pytest.raises(UsageError) as refused:
        load_text(folder, text, **more)
    return str(refused.value)


def test_a_definition_becomes_a_feature_of_the_catalogue(tmp_path: Path) -> None:
    (feature,) = load_text(tmp_path, WEBINARS)
    catalogue = build_catalogue(event_types=["webinar_attended"], own=[feature])
    assert catalogue.feature("webinars_120d") == feature
    assert (feature.kind, feature.needs, feature.scale, feature.monotone) == ("numeric", "events", "log", 0)
    assert feature.label.zh == "参加网络研讨会（近 120 天）"
    assert catalogue.longest_window_days == 120


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("source_again", ("categorical", "lead", "linear")),
        ("erp_again", ("categorical", "lead", "linear")),
        ("firm_size", ("numeric", "account", "log")),
        ("has_note", ("numeric", "lead", "linear")),
        ("age_again", ("numeric", "lead", "log")),
        ("demos_11d", ("numeric", "events", "log")),
        ("other_views_400d", ("numeric", "account_events", "log")),
        ("view_trend", ("numeric", "events", "linear")),
        ("first_channel", ("categorical", "events", "log")),
        ("other_rank_14d", ("numeric", "account_events", "linear")),
        ("hours_to_call", ("numeric", "actions", "log")),
    ],
)
def test_what_is_left_out_follows_from_what_is_computed(tmp_path: Path, name: str, expected: tuple[str, ...]) -> None:
    (feature,) = load_text(tmp_path, definition(name, EVERY_WAY[name]), custom=CUSTOM, treatments=True)
    assert (feature.kind, feature.needs, feature.scale) == expected
    assert feature.group == name
    assert feature.label.zh == "mine"
    assert feature.treatment == (name == "hours_to_call")


def test_what_follows_is_what_the_standard_features_say(tmp_path: Path) -> None:
    standard = build_catalogue(event_types=["page_view", "demo_request"], treatments=True).features
    for number, feature in enumerate(standard):
        compute = yaml.safe_dump(feature.compute.model_dump(mode="json"), default_flow_style=True).strip()
        (own,) = load_text(tmp_path, definition(f"mine_{number}", compute), treatments=True)
        assert (own.kind, own.needs, own.compute, own.treatment) == (
            (feature.kind, feature.needs, feature.compute, feature.treatment)
        ), feature.name
        assert own.scale == feature.scale or own.kind == "categorical", feature.name


def test_own_features_of_every_kind_are_the_same_over_the_warehouse_in_memory_and_by_the_book(tmp_path: Path) -> None:
    text = "".join(definition(name, compute) for name, compute in EVERY_WAY.items())
    own = load_text(tmp_path, text, custom=CUSTOM, treatments=True)
    assert {feature.compute.how for feature in own} == {how for how in _hows() if how}
    rows = 0
    for seed in range(6):
        world = random_world(seed, leads=8, events=100, outcomes=4)
        catalogue = Catalogue(features=own, timezone=world.timezone)
        tables = {name: world.tables[name] for name in ("leads", "accounts", "events", "actions", "outcomes", "merges")}
        pairs = [
            (lead_id, as_of)
            for as_of in world.as_ofs
            for lead_id in reference.known_leads(world.tables, as_of)
            if reference.primary(world.tables, lead_id, as_of) == lead_id
        ]
        with connect() as connection:
            load(connection, world.tables)
            prepare_people(connection)
            photograph(connection, [(lead_id, to_us(as_of)) for lead_id, as_of in pairs])
            found = compute_features(connection, catalogue).select(catalogue.names).to_pylist()
        evaluator = Evaluator(catalogue)
        moments = [(lead_id, to_us(as_of)) for lead_id, as_of in pairs]
        assert found == [evaluator(facts_as_of(lead_id, us, **tables), us) for lead_id, us in moments]
        assert found == [reference.features(catalogue, world.tables, lead_id, as_of) for lead_id, as_of in pairs]
        rows += len(found)
    assert rows > 50


def _hows() -> set[str]:
    catalogue = build_catalogue(event_types=["page_view"], custom={"note": "text"}, treatments=True)
    return {feature.compute.how for feature in catalogue.features}


def test_own_features_travel_with_the_catalogue_and_need_no_file(tmp_path: Path) -> None:
    own = load_text(tmp_path, WEBINARS)
    text = build_catalogue(event_types=["webinar_attended"], own=own).model_dump_json()
    (tmp_path / "features.yaml").unlink()
    catalogue = Catalogue.model_validate_json(text)
    events = [EventFact("site", str(day), "webinar_attended", -day * DAY_US, -day * DAY_US) for day in (1, 119, 121)]
    assert Evaluator(catalogue)(LeadFacts(created_us=0, events=events), 0)["webinars_120d"] == 2.0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("- 5", ("definition 1: fields were expected, a number came",)),
        ("name: x", ("a list of definitions was expected",)),
        ("- [", ("features.yaml is no YAML at line",)),
        (definition(more="phrase: {en: x}"), ("definition 1 (mine)", "label is missing")),
        (definition(more="labl: {en: x}"), ("labl is no field, did you mean label?",)),
        (definition(more="label: {en: x}\n  kind: numeric"), ("kind follows from compute, leave it out",)),
        (definition(more="label: {en: x}\n  needs: lead"), ("needs follows from compute",)),
        (definition(more="label: {fr: x}"), ("label.en is missing", "label.fr is no field, there are en, zh")),
        (definition(more="label: {en: yes}"), ("label.en: a valid string was expected, true or false came",)),
        (definition(more="label: {en: ''}"), ("label.en: ",)),
        (definition(more="label: {en: x}\n  monotone: 2"), ("monotone: -1, 0 or 1 was expected, a number came",)),
        (definition(more="label: {en: x}\n  scale: logg"), ("scale: 'linear' or 'log' was expected",)),
        (definition(compute="{how: event_cuont, days: 5}"), ("compute.how is not known, did you mean event_count?",)),
        (definition(compute="{days: 5}"), ("compute.how is missing; there are lead_attribute",)),
        (definition(compute="{how: event_count, dayz: 5}"), ("compute.days is missing", "did you mean days?")),
        (definition(compute="{how: event_count, days: '7'}"), ("compute.days: ", "integer", "a text came")),
        (definition(compute="{how: event_count, days: true}"), ("compute.days: ", "true or false came")),
        (definition(compute="{how: event_count, days: 0}"), ("compute.days: 1 to 3650 days were expected, 0 came",)),
        (
            definition(compute=f"{{how: visits, days: {LONGEST_WINDOW_DAYS + 1}}}"),
            ("compute.days: 1 to 3650 days were expected, 3651",),
        ),
        (
            definition(compute="{how: decayed, half_life_days: 4000, days: 9}"),
            ("compute.half_life_days: 1 to 3650 days", "4000 came"),
        ),
        (definition(compute="{how: event_count, types: [a, a], days: 5}"), ("names an event type twice",)),
        (definition(compute="{how: event_count, types: [' a'], days: 5}"), ("blank or has spaces around it",)),
        (definition(compute="{how: distinct_count, column: person_id, days: 5}"), ("add scope: account",)),
        (definition(compute="{how: sales_response, types: [called]}"), ("set treatments: true",)),
        (definition(compute="{how: lead_attribute, column: sorce}"), ("leads has no column", "did you mean source?")),
        (definition(compute="{how: lead_attribute, column: erp}"), ("did you mean custom_erp?",)),
        (definition(compute="{how: lead_attribute, column: email}"), ("email is personal",)),
        (definition(compute="{how: filled, column: phone}"), ("phone is personal",)),
        (definition(compute="{how: lead_attribute, column: person_id}"), ("leads.person_id is not for features",)),
        (definition(compute="{how: filled, column: job_title}"), ("leads.job_title is not for features",)),
        (definition(compute="{how: account_attribute, column: currency}"), ("accounts.currency is not for features",)),
        (definition(compute="{how: account_attribute, column: source}"), ("accounts has no column",)),
        (definition(compute="{how: lead_attribute, column: custom_note}"), ("holds free text; use how: filled",)),
        (definition(compute="{how: filled, column: custom_gone}"), ("custom_gone is declared ignored",)),
        (definition(compute="{how: lead_attribute, column: status}"), ("status is withheld",)),
        (definition(compute="{how: lead_attribute, column: custom_late}"), ("custom_late is withheld",)),
        (definition(name="Webinars 120d"), ("definition 1 (Webinars 120d): name is not in snake_case",)),
        (definition(name="a" * 61), ("at most 60 characters",)),
        (definition(name="row_id"), ("kept for columns of clew's own tables",)),
        (definition(name="custom_mine"), ("kept for columns",)),
        (definition(more="label: {en: x}\n  group: My Group"), ("group is not in snake_case",)),
        (definition() + definition(), ("definition 2 (mine): definition 1 has the same name",)),
        (definition(name="events_30d"), ("events_30d", "one of the standard features")),
        (definition(name="sales_response_hours"), ("name is taken",)),
        (definition(name="webinars_attended_30d"), ("one of the features of the event type webinar_attended",)),
        (definition(name="page_views"), ("belongs to the features of the event type page_view",)),
        (definition(name="event_trend_short"), ("kept for a part of event_trend",)),
        (definition(name="up_long") + definition("up", "{how: trend}"), ("definition 1 (up_long)", "part of up")),
        (definition(more="label: {en: x}\n  phrase: {en: many}"), ("phrase has no {n}",)),
        (
            definition(compute="{how: touch, which: last}", more="label: {en: x}\n  monotone: 1"),
            ("monotone is for numbers",),
        ),
    ],
)
def test_a_wrong_definition_is_refused_by_number_name_and_field(
    tmp_path: Path, text: str, parts: tuple[str, ...]
) -> None:
    custom = {"erp": "categorical", "note": "text", "gone": "ignored", "late": "numeric"}
    told = refusal(tmp_path, text, custom=custom, withheld={"status", "custom_late"})
    for part in ("features.yaml", *parts):
        assert part in told


def test_the_number_of_a_wrong_definition_counts_the_right_ones_before_it(tmp_path: Path) -> None:
    assert "definition 2 (Bad)" in refusal(tmp_path, WEBINARS + definition(name="Bad"))


def test_a_missing_file_an_unreadable_one_and_another_encoding_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        load_own_features(tmp_path / "features.yaml")
    with pytest.raises(InfrastructureError, match="cannot be read"):
        load_own_features(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("- é".encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin\.yaml is not UTF-8"):
        load_own_features(tmp_path / "latin.yaml")


def test_an_empty_file_defines_nothing(tmp_path: Path) -> None:
    assert load_text(tmp_path, "# later\n") == ()


def test_the_home_folder_s_file_counts_unless_another_is_named(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse")
    assert own_features(Settings(home=tmp_path), warehouse) == ()
    (tmp_path / "features.yaml").write_text(WEBINARS, "utf-8")
    assert [feature.name for feature in own_features(Settings(home=tmp_path), warehouse)] == ["webinars_120d"]
    named = tmp_path / "others.yaml"
    named.write_text(definition("other"), "utf-8")
    found = own_features(Settings(home=tmp_path, features_file=named), warehouse)
    assert [feature.name for feature in found] == ["other"]
    named.unlink()
    with pytest.raises(UsageError, match=r"there is no file .*others\.yaml"):
        own_features(Settings(home=tmp_path, features_file=named), warehouse)


def test_sales_actions_are_defined_only_where_treatments_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "features.yaml").write_text(definition(compute=EVERY_WAY["hours_to_call"]), "utf-8")
    warehouse = Warehouse(tmp_path / "warehouse")
    with pytest.raises(UsageError, match="treatments"):
        own_features(Settings(home=tmp_path), warehouse)
    (feature,) = own_features(Settings(home=tmp_path, treatments=True), warehouse)
    assert feature.needs == "actions"


def test_a_name_that_the_warehouse_s_events_bring_is_refused(tmp_path: Path) -> None:
    own = load_text(tmp_path, definition("first") + definition("site_visit_30d"))
    refuse_taken_names(own, build_catalogue(event_types=["page_view"]))
    with pytest.raises(UsageError, match=r"definition 2 \(site_visit_30d\).*the event type Site Visit"):
        refuse_taken_names(own, build_catalogue(event_types=["Site Visit"]))
