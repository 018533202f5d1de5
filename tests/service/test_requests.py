"""The request that is built from the warehouse says exactly what training reads of the same lead at the same moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from data.clock import DAY_US, HOUR_US, from_us, iso, parse_moment, to_us
from data.errors import DataError
from data.importing import import_export
from data.mapping import load_mapping
from data.simulator import simulate
from data.tables import TABLES
from data.warehouse import Warehouse
from features.catalogue import Catalogue
from features.memory import Evaluator
from features.scorecard import load_scorecard
from features.sql import compute_features, prepare_people
from features.training_set import catalogue_of
from serving.scoring.facts import custom_kinds, to_facts
from serving.scoring.payload import parse_item, parse_request
from serving.scoring.requests import hottest_leads, request_of
from serving.scoring.scorer import Scorer
from tests.data.exports import mapping, run, write_export
from training.bundles.bundle import Grade, SealedModel
from training.bundles.sealing import seal
from training.learning.model import Calibrator
from training.learning.recipe import Choices, Rows, fit_model
from training.run import frames

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

END = parse_moment("2026-11-01")
NOW = parse_moment("2026-11-05")
LEADS = 200


@dataclass(frozen=True)
class World:
    """A simulated team in the warehouse, and the catalogue over it."""

    connection: duckdb.DuckDBPyConnection
    catalogue: Catalogue

    def leads(self, rng: np.random.Generator) -> list[str]:
        """Return leads to look at: all duplicates come first, then leads with an account, then any."""
        found = self.connection.execute(
            """
            SELECT p.primary_id FROM people AS p JOIN leads AS l ON l.lead_id = p.primary_id GROUP BY 1
            ORDER BY COUNT(DISTINCT p.lead_id) DESC, MAX(l.account_id IS NOT NULL) DESC, MD5(p.primary_id)
            """
        ).fetchall()
        chosen = [str(row[0]) for row in found]
        return chosen[: LEADS // 2] + [
            str(name) for name in rng.choice(chosen[LEADS // 2 :], LEADS // 2, replace=False)
        ]

    def by_sql(self, pairs: list[tuple[str, int]]) -> pa.Table:
        """Return the features of pairs of a lead and a moment as training computes them, in their order."""
        self.connection.execute("CREATE OR REPLACE TEMP TABLE spine (row_id BIGINT, lead_id VARCHAR, as_of_us BIGINT)")
        rows = [(number, *pair) for number, pair in enumerate(pairs)]
        self.connection.executemany("INSERT INTO spine VALUES (?, ?, ?)", rows)
        return compute_features(self.connection, self.catalogue)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("requests")
    export = simulate(leads=700, seed=3, out=folder, end=END, months=14).export
    warehouse = Warehouse(folder / "warehouse")
    import_export(export, load_mapping(export / "mapping.yaml"), warehouse, now=NOW)
    with warehouse.connect() as connection:
        wanted = load_scorecard().features()
        catalogue = catalogue_of(connection, warehouse, cutoff_us=to_us(NOW), timezone="Asia/Shanghai", wanted=wanted)
        for name in TABLES:
            # In memory, because the tests below ask for hundreds of leads one by one.
            connection.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM {name}")  # noqa: S608 - names of the contract
        prepare_people(connection)
        yield World(connection, catalogue)


@pytest.fixture(scope="module")
def pairs(world: World) -> list[tuple[str, int]]:
    """Every lead at a moment of its own: soon after its start, in the midst of its life, or after the import."""
    rng = np.random.default_rng(11)
    told = world.connection.execute(
        "SELECT lead_id, from_us, until_us FROM people WHERE lead_id = primary_id ORDER BY from_us"
    ).fetchall()
    stretches = {lead_id: (from_us, until_us) for lead_id, from_us, until_us in told}
    found = []
    for number, lead_id in enumerate(world.leads(rng)):
        # Training asks for a lead as long as it is its person's primary one.
        start, end = stretches[lead_id]
        later = (0, int(rng.integers(HOUR_US)), int(rng.integers(200 * DAY_US)), to_us(NOW) - start)[number % 4]
        found.append((lead_id, min(start + later, (end or 2**62) - 1)))
    return found


@pytest.fixture(scope="module")
def requests(world: World, pairs: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """The request of each pair, as it comes out of JSON."""
    kinds = custom_kinds(world.catalogue)
    built = [request_of(world.connection, *pair, custom=kinds) for pair in pairs]
    return [json.loads(json.dumps(request)) for request in built]


def test_the_leads_looked_at_have_duplicates_accounts_and_events_of_others(
    world: World, pairs: list[tuple[str, int]], requests: list[dict[str, Any]]
) -> None:
    people = world.connection.execute(
        "SELECT primary_id, COUNT(*) FROM people GROUP BY 1 HAVING COUNT(*) > 1"
    ).fetchall()
    duplicated = {str(row[0]) for row in people}
    assert len(duplicated & {lead_id for lead_id, _ in pairs}) > 50
    assert sum("account" in request["lead"] for request in requests) > 50
    assert sum(bool(request["lead"].get("account", {}).get("events")) for request in requests) > 50
    assert sum(bool(request["events"]) for request in requests) > 100
    assert sum(not request["events"] for request in requests) > 10


def test_the_request_gives_exactly_the_features_of_training(
    world: World, pairs: list[tuple[str, int]], requests: list[dict[str, Any]]
) -> None:
    table = world.by_sql(pairs).to_pylist()
    evaluate, kinds = Evaluator(world.catalogue), custom_kinds(world.catalogue)
    filled: set[str] = set()
    for expected, (lead_id, as_of_us), sent in zip(table, pairs, requests, strict=True):
        facts, notices = to_facts(parse_item(sent, 0), as_of_us, custom=kinds)
        values = evaluate(facts, as_of_us)
        # Equal to the last bit, and missing where the other is missing.
        assert {name: values[name] for name in world.catalogue.names} == {
            name: expected[name] for name in world.catalogue.names
        }, (lead_id, from_us(as_of_us))
        assert not notices
        filled |= {name for name, value in values.items() if value not in {None, 0.0}}
    assert len(filled) > 0.8 * len(world.catalogue.names)


@pytest.fixture(scope="module")
def scorer(world: World, pairs: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A model of random outcomes: it splits on many features, which is what is compared here."""
    rows = frames(world.by_sql(pairs), world.catalogue)
    rows.spine["y_obs"] = np.random.default_rng(5).integers(0, 2, len(rows.spine))
    rows.spine["cluster"] = rows.spine["lead_id"]
    choices = Choices(alpha=0.5, trees=20)
    profile = world.catalogue.needing("lead", "account")
    small = Rows(rows.frame[list(profile.names)], rows.spine, profile)
    bundle = seal(
        tmp_path_factory.mktemp("sealed") / "bundle",
        about={"name": "lead-conversion", "goal": "won", "horizon_days": 90.0, "cutoff": iso(END)},
        catalogue=world.catalogue,
        scorecard=load_scorecard(),
        full=SealedModel(fit_model(rows, choices), Calibrator(1.2, -0.1)),
        profile=SealedModel(fit_model(small, choices), Calibrator()),
        quantiles=[number / 100 for number in range(1, 100)],
        grades=[Grade(grade="A", at_least=0.0, judged=1, won=1, conversion=1.0, low=0.0, high=1.0)],
        as_of_us=to_us(END),
    )
    return Scorer(bundle, load_scorecard())


def test_the_request_gives_the_probability_of_the_batch(
    world: World, pairs: list[tuple[str, int]], requests: list[dict[str, Any]], scorer: Scorer
) -> None:
    assert scorer.bundle is not None
    rows = frames(world.by_sql(pairs), world.catalogue)
    logits = scorer.bundle.full.logit(scorer.bundle.full.model.encoding.tree_matrix(rows.frame))
    batch = 1 / (1 + np.exp(-logits))
    answers = [scorer.score(parse_request(json.dumps(sent).encode()), as_of_us=0) for sent in requests]
    assert {answer["source"] for answer in answers} == {"model"}
    assert [answer["probability"] for answer in answers] == pytest.approx(batch.tolist(), abs=1e-9)
    assert np.ptp(batch) > 0.1


def test_only_the_columns_asked_for_are_sent(world: World, pairs: list[tuple[str, int]]) -> None:
    lead_id, as_of_us = pairs[3]
    everything = request_of(world.connection, lead_id, as_of_us)["lead"]["custom"]
    assert {"pool", "erp"} <= everything.keys()
    assert set(request_of(world.connection, lead_id, as_of_us, custom={"erp"})["lead"]["custom"]) == {"erp"}


def test_what_became_known_later_is_not_in_the_request(world: World, pairs: list[tuple[str, int]]) -> None:
    lead_id, as_of_us = pairs[0]
    request = request_of(world.connection, lead_id, as_of_us)
    assert request["as_of"] == iso(from_us(as_of_us))
    assert "contract_type" not in request["lead"]["custom"]
    events = [*request["events"], *request["lead"].get("account", {}).get("events", ())]
    assert all(to_us(parse_moment(event["occurred_at"])) < as_of_us for event in events)
    assert all(to_us(parse_moment(event["known_at"])) <= as_of_us for event in events)


@pytest.mark.parametrize("earlier", [1, DAY_US])
def test_a_lead_that_was_not_known_yet_is_refused_without_its_id(
    world: World, pairs: list[tuple[str, int]], earlier: int
) -> None:
    lead_id, as_of_us = pairs[0]
    with pytest.raises(DataError, match=r"not in the warehouse, or was not known.*--as-of") as refused:
        request_of(world.connection, lead_id, as_of_us - earlier)
    assert lead_id not in str(refused.value)


def test_without_contact_data_in_the_warehouse_their_features_are_missing_and_not_zero(tmp_path: Path) -> None:
    tables = {name: spec for name, spec in mapping().tables.items() if name != "contacts"}
    bare = mapping().model_copy(update={"tables": tables})
    warehouse = Warehouse(tmp_path / "warehouse")
    run(write_export(tmp_path / "in"), warehouse, bare)
    as_of_us = to_us(parse_moment("2026-02-01"))
    with warehouse.connect() as connection:
        catalogue = catalogue_of(connection, warehouse, cutoff_us=as_of_us, timezone="UTC")
        prepare_people(connection)
        world = World(connection, catalogue)
        (expected,) = world.by_sql([("L1", as_of_us)]).to_pylist()
        request: dict[str, Any] = request_of(connection, "L1", as_of_us)
    assert "contact" not in request["lead"]
    facts, _ = to_facts(parse_item(request, 0), as_of_us, custom=custom_kinds(catalogue))
    values = Evaluator(catalogue)(facts, as_of_us)
    assert expected["contact_completeness"] is None
    assert {name: values[name] for name in catalogue.names} == {name: expected[name] for name in catalogue.names}


def test_contact_data_that_a_lead_was_not_derived_from_are_not_sent(tmp_path: Path) -> None:
    warehouse, whole = Warehouse(tmp_path / "warehouse"), mapping()
    write_export(tmp_path / "in")
    for name in ("leads", "contacts"):
        run(tmp_path / "in", warehouse, whole.model_copy(update={"tables": {name: whole.tables[name]}}))
    assert warehouse.counts()["contacts"] == 3
    with warehouse.connect() as connection:
        request = request_of(connection, "L1", to_us(parse_moment("2026-02-01")))
    assert "contact" not in request["lead"]


def test_the_hottest_leads_come_first_and_ties_by_id() -> None:
    assert hottest_leads({"b": 0.5, "a": 0.5, "c": 0.9, "d": 0.1}, 3) == ["c", "a", "b"]
    assert hottest_leads({}, 3) == []
