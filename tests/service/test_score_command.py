"""`clew score` scores every open lead into the history and as the CRM's file; `clew sync` closes the circle."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.clock import DAY_US, HOUR_US, from_us, iso
from data.store import (
    AccountRecord,
    EventRecord,
    LeadRecord,
    OutcomeRecord,
    Score,
    Store,
    add_events,
    add_outcomes,
    current_score,
    history,
    open_store,
    put_account,
    put_lead,
)
from data.store.scores import newest_scores
from data.sync import sync
from data.warehouse import Warehouse
from monitoring.served_features import check_served
from serving.batch.crm_file import PRESETS, crm_file
from serving.scoring.scorer import Scorer
from serving.stored.rescoring import replayed, rescore_dirty
from tests.commands import CommandLine
from tests.data.exports import run as run_import
from tests.data.exports import write_export
from tests.data.stores import BOTH, emptied, made_store
from tests.service.bundles import AS_OF, AS_OF_US
from training.bundles.sealing import point_at, publish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from training.bundles.bundle import Bundle

LEADS = 12


def fill(store: Store) -> None:
    """Leads with events, of which the last is closed; facts are from before AS_OF."""
    rng = np.random.default_rng(3)
    begun = AS_OF_US - 30 * DAY_US
    company = AccountRecord(account_id="A", industry="software", employees=800)
    put_account(store, company, modified_us=begun, now_us=begun)
    for number in range(LEADS):
        told = LeadRecord(
            lead_id=f"L-{number:02}",
            created_at=begun - number * HOUR_US,
            account_id="A" if number % 3 else None,
            source=str(rng.choice(("webinar", "fair"))),
            job_title="VP Ops" if number % 2 else None,
            custom={"erp": "sap", "seats": float(rng.integers(500))},
        )
        put_lead(store, told, modified_us=begun, now_us=begun)
        events = [
            EventRecord(
                source="site",
                event_id=f"{number}-{k}",
                lead_id=told.lead_id,
                type=str(rng.choice(("page_view", "whitepaper_download", "demo_request"))),
                occurred_at=(at := AS_OF_US - int(rng.integers(1, 25 * DAY_US))),
                known_at=at,
                duration_s=float(rng.integers(300)),
            )
            for k in range(int(rng.integers(6)))
        ]
        add_events(store, events, now_us=AS_OF_US)
    lost = OutcomeRecord(lead_id=f"L-{LEADS - 1:02}", outcome="lost", closed_at=AS_OF_US - DAY_US)
    add_outcomes(store, [lost], now_us=AS_OF_US - HOUR_US)


@pytest.fixture
def clew(tmp_path: Path, bundle: Bundle) -> CommandLine:
    """A home with a promoted bundle and an empty store."""
    called = CommandLine(tmp_path)
    assert called("init").code == 0
    folder = called.settings().bundles_dir
    point_at(folder, "current", publish(bundle, folder))
    return called


@pytest.fixture
def store(clew: CommandLine) -> Iterator[Store]:
    opened = open_store(clew.settings().store_url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, scorer: Scorer) -> list[Score]:
    """The scores of the open leads at AS_OF."""
    with made_store("sqlite", tmp_path_factory.mktemp("scored")) as store:
        fill(store)
        rescore_dirty(store, scorer, AS_OF_US)
        return sorted((given.score for given in newest_scores(store, limit=100)), key=lambda score: score.lead_id)


def rows_in(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return found
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_open_lead_is_scored_once_for_a_moment_and_a_bundle(
    clew: CommandLine, store: Store, scorer: Scorer
) -> None:
    fill(store)
    out = clew.folder / "scores.csv"
    asked = ("score", "--as-of", AS_OF, "--json", "--out", out, "--fields", "salesforce")
    first, again = (json.loads(clew(*asked).out) for _ in range(2))
    assert {row["Id"]: row["Clew_Grade__c"] for row in rows_in(out)} == {
        given.score.lead_id: given.score.grade for given in newest_scores(store, limit=100)
    }
    assert (first["origin"], first["scored"], first["written"], first["failed"]) == ("store", LEADS - 1, LEADS - 1, 0)
    assert (again["scored"], again["written"]) == (LEADS - 1, 0)
    assert sum(first["grades"].values()) == LEADS - 1
    assert current_score(store, f"L-{LEADS - 1:02}") is None
    for given in newest_scores(store, limit=100):
        assert (given.score.cause, given.score.as_of_us) == ("batch", AS_OF_US)
        assert replayed(scorer, given.score) == given.score


@pytest.mark.parametrize("fields", PRESETS)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_the_file_has_the_names_of_the_crm_and_what_the_scores_say(
    scored: list[Score], tmp_path: Path, scorer: Scorer, bundle: Bundle, fields: str, ending: str
) -> None:
    out, preset = tmp_path / f"scores{ending}", PRESETS[fields]
    with crm_file(out, preset, scorer) as take:
        for start in (0, 5):
            take(scored[start : start + 5])
    rows = rows_in(out)
    assert [row[preset.name("lead_id")] for row in rows] == [score.lead_id for score in scored[:10]]
    for row, told in zip(rows, scored, strict=False):
        assert told.probability is not None
        scale = 100 if fields in {"salesforce", "odoo"} else 1
        assert float(row[preset.name("probability")]) == pytest.approx(scale * told.probability, abs=1e-4)
        assert int(row[preset.name("score")]) == bundle.score(told.probability)
        assert (row[preset.name("grade")], row[preset.name("pool")]) == (told.grade, told.pool)
        assert (row[preset.name("as_of")], row[preset.name("bundle")]) == (AS_OF, bundle.digest)
        texts: Any = told.reasons
        strongest = max(texts, key=lambda reason: abs(reason["logit"]))
        assert row[preset.name("reasons")].startswith(f"{strongest['direction']} {strongest['text']}")
        assert row[preset.name("reasons")].count("; ") <= 2


def test_reasons_are_told_in_the_language_asked_for(scored: list[Score], tmp_path: Path, scorer: Scorer) -> None:
    out = tmp_path / "scores.csv"
    with crm_file(out, PRESETS["plain"], scorer, language="zh") as take:
        take(scored)
    assert all(any("一" <= sign <= "鿿" for sign in row["reasons"]) for row in rows_in(out))


def test_a_file_that_breaks_off_is_not_there(scored: list[Score], tmp_path: Path, scorer: Scorer) -> None:
    def broken() -> None:
        with crm_file(tmp_path / "scores.csv", PRESETS["plain"], scorer) as take:
            take(scored)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        broken()
    assert not (tmp_path / "scores.csv").exists()


def test_a_grade_that_a_new_model_changes_is_marked_as_the_models(
    clew: CommandLine, store: Store, other_bundle: Bundle
) -> None:
    fill(store)
    assert clew("score", "--as-of", AS_OF).code == 0
    folder = clew.settings().bundles_dir
    point_at(folder, "current", publish(other_bundle, folder))
    later = iso(from_us(AS_OF_US + HOUR_US))
    told = json.loads(clew("score", "--as-of", later, "--json").out)
    assert told["bundle"] == other_bundle.digest
    assert [given.score.cause for given in history(store, "L-00")] == ["model", "batch"]


def test_without_leads_in_the_store_the_warehouse_is_scored_into_the_same_history(
    clew: CommandLine, store: Store, scorer: Scorer
) -> None:
    run_import(write_export(clew.folder / "in"), Warehouse(clew.settings().warehouse_dir))
    told = json.loads(clew("score", "--as-of", AS_OF, "--json", CLEW_BUNDLES="nowhere").out)
    assert (told["origin"], told["scored"], told["written"], told["bundle"]) == ("warehouse", 1, 1, "")
    (given,) = history(store, "L1")
    assert (given.score.source, given.score.features["seniority"]) == ("rules", "vp")
    assert json.loads(clew("score", "--as-of", AS_OF, "--json", CLEW_BUNDLES="nowhere").out)["written"] == 0


def test_wrong_use_is_told(clew: CommandLine) -> None:
    assert clew("score").code == 2  # neither the store nor the warehouse has a lead
    assert "ending" in clew("score", "--out", "x.txt").err
    assert clew("score", "--as-of", "2999-01-01").code == 2
    assert clew("score", CLEW_STORE=f"sqlite:///{clew.folder / 'new.sqlite'}").code == 4


@pytest.mark.parametrize("kind", BOTH)
def test_after_a_sync_what_was_served_is_what_training_sees(tmp_path: Path, scorer: Scorer, kind: str) -> None:
    with made_store(kind, tmp_path) as store:
        fill(emptied(store))
        assert rescore_dirty(store, scorer, AS_OF_US).scored == LEADS - 1
        warehouse = Warehouse(tmp_path / "warehouse")
        sync(store, warehouse)
        rng = np.random.default_rng(0)
        found = check_served(store, warehouse, lambda _: scorer.catalogue, sample=50, rng=rng)
        assert (found.compared, found.agreeing, found.skipped, found.differing) == (LEADS - 1, LEADS - 1, 0, {})

        late = EventRecord(
            source="site",
            event_id="late",
            lead_id="L-01",
            type="page_view",
            occurred_at=AS_OF_US - 5,
            known_at=AS_OF_US,
        )
        add_events(store, [late])
        sync(store, warehouse)
        found = check_served(store, warehouse, lambda _: scorer.catalogue, sample=50, rng=rng)
        assert found.agreeing < found.compared
        assert "page_views_7d" in found.differing
        assert check_served(store, warehouse, lambda _: None, sample=5, rng=rng).skipped == 5


def test_the_command_unites_and_compares(clew: CommandLine, store: Store) -> None:
    fill(store)
    assert clew("score", "--as-of", AS_OF).code == 0
    told = json.loads(clew("sync", "--check", "100", "--json").out)
    assert told["tables"]["leads"]["to_warehouse"] == LEADS
    assert told["served"] == {"compared": LEADS - 1, "agreeing": LEADS - 1, "skipped": 0, "differing": {}}
    again = clew("sync", "--check", "5")
    assert "both held the same already" in again.err
    assert "5 of 5 served feature vectors agree" in again.err


def test_a_restored_home_answers_the_same_scores(clew: CommandLine, store: Store, tmp_path: Path) -> None:
    fill(store)
    assert clew("sync").code == 0
    before = json.loads(clew("score", "--as-of", AS_OF, "--json").out)
    assert clew("backup", "kept.tar.gz").code == 0
    place: dict[str, Any] = {"CLEW_HOME": str(tmp_path / "other"), "CLEW_MLRUNS": str(tmp_path / "other-mlruns")}
    assert clew("restore", "kept.tar.gz", **place).code == 0
    after = json.loads(clew("score", "--as-of", AS_OF, "--json", **place).out)
    assert after == before | {"written": 0}
    told = json.loads(clew("sync", "--check", "20", "--json", **place).out)
    assert (told["changed"], told["served"]["agreeing"]) == (False, LEADS - 1)
