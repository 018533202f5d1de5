"""From a trained model to one that is served: the first gate, promotion with a reason, rollback."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from data.errors import DataError, RefusedError, UsageError
from features.scorecard import load_scorecard
from serving.scoring.payload import parse_request
from serving.scoring.scorer import Scorer
from tests.model.conftest import settings_in, undrawn
from training.bundles import publishing
from training.bundles.bundle import Bundle, pointed_bundle
from training.bundles.publishing import promote_version, publish_run, roll_back
from training.bundles.registry import Registry
from training.bundles.sealing import publish
from training.gating.gate import Decision, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from data.settings import Settings
    from tests.model.conftest import SimulatedWorld
    from training.run import Trained

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")


@pytest.fixture
def settings(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(publishing, "_draw_pictures", undrawn)
    (tmp_path / "mlruns").mkdir()
    shutil.copyfile(database, tmp_path / "mlruns" / "mlflow.db")
    return settings_in(tmp_path)


def run_of(
    world: SimulatedWorld,
    settings: Settings,
    *,
    name: str,
    decision: Decision = "promote",
    first: bool = True,
    **about: Any,
) -> Trained:
    """Return the world's run as if it had sealed a bundle of that name, published it and met that verdict."""
    draft = settings.home / f"draft {name}"
    shutil.copytree(world.trained.bundle.folder, draft)
    manifest = json.loads((draft / "manifest.json").read_text("utf-8")) | {"name": name} | about
    (draft / "manifest.json").write_text(json.dumps(manifest))
    bundle = Bundle.load(publish(Bundle.load(draft), settings.bundles_dir))
    return replace(
        world.trained, bundle=bundle, first=first, verdict=Verdict(decision, (), f"The gate says {decision}.")
    )


def aliases(settings: Settings) -> tuple[str | None, ...]:
    registry = Registry(settings.mlruns)
    return tuple(registry.version_of(alias) for alias in ("champion", "challenger", "previous"))


def test_the_first_model_that_beats_prior_and_rules_is_served(world: SimulatedWorld, settings: Settings) -> None:
    run = run_of(world, settings, name="first")
    told = publish_run(run, settings)
    assert told["promoted"] is True
    assert told["bundle"] == run.bundle.digest
    assert aliases(settings) == (told["version"], None, None)
    assert pointed_bundle(settings.bundles_dir) == run.bundle.folder
    assert json.loads((run.bundle.folder / "publication.json").read_text()) == {"version": told["version"]}
    assert Bundle.load(run.bundle.folder).digest == run.bundle.digest


@pytest.mark.parametrize("decision", ["keep", "by_hand"])
def test_a_first_model_that_the_gate_does_not_promote_waits_as_challenger(
    world: SimulatedWorld, settings: Settings, decision: Decision
) -> None:
    told = publish_run(run_of(world, settings, name="poor", decision=decision), settings)
    assert told["promoted"] is False
    assert told["verdict"] == f"The gate says {decision}."
    assert aliases(settings) == (None, told["version"], None)
    assert pointed_bundle(settings.bundles_dir) is None


def test_a_later_model_waits_however_good_it_is(world: SimulatedWorld, settings: Settings) -> None:
    first = publish_run(run_of(world, settings, name="first"), settings)
    served = pointed_bundle(settings.bundles_dir)
    second = publish_run(run_of(world, settings, name="second", first=False), settings)
    assert second["promoted"] is False
    assert aliases(settings) == (first["version"], second["version"], None)
    assert pointed_bundle(settings.bundles_dir) == served


def test_in_the_monthly_run_a_promoted_challenger_replaces_the_champion_and_another_does_not(
    world: SimulatedWorld, settings: Settings
) -> None:
    first = publish_run(run_of(world, settings, name="first"), settings)
    poor = run_of(world, settings, name="poor", first=False, decision="keep")
    kept = publish_run(poor, settings, may_replace=True)
    assert aliases(settings) == (first["version"], kept["version"], None)
    better = run_of(world, settings, name="better", first=False)
    for _ in range(2):  # done again after a crash it comes to the same
        told = publish_run(better, settings, may_replace=True)
        assert aliases(settings) == (told["version"], kept["version"], first["version"])
    assert pointed_bundle(settings.bundles_dir) == better.bundle.folder


def test_registering_the_same_bundle_twice_keeps_one_version(world: SimulatedWorld, settings: Settings) -> None:
    run = run_of(world, settings, name="first")
    first, again = publish_run(run, settings), publish_run(run, settings)
    assert again == first
    found = Registry(settings.mlruns)._client().search_model_versions("name = 'lead-conversion'")
    assert [str(version.version) for version in found] == [first["version"]]
    assert aliases(settings) == (first["version"], None, None)


def test_promotion_and_rollback_move_the_aliases_and_the_pointer_together(
    world: SimulatedWorld, settings: Settings
) -> None:
    runs = [run_of(world, settings, name=name) for name in ("one", "two")]
    one, two = (publish_run(run, settings)["version"] for run in runs)
    folders = [run.bundle.folder for run in runs]
    assert promote_version(settings, two, reason=" it ranks better ") == folders[1]
    assert aliases(settings) == (two, None, one)
    assert pointed_bundle(settings.bundles_dir) == folders[1]
    assert Registry(settings.mlruns).tags_of(two)["promoted_because"] == "it ranks better"
    for version, folder, others in ((one, folders[0], two), (two, folders[1], one)):
        assert roll_back(settings) == (version, folder)
        assert aliases(settings) == (version, None, others)
        assert pointed_bundle(settings.bundles_dir) == folder


def test_promoting_what_is_served_already_forgets_no_previous_version(
    world: SimulatedWorld, settings: Settings
) -> None:
    one, two = (publish_run(run_of(world, settings, name=name), settings)["version"] for name in ("one", "two"))
    promote_version(settings, two, reason="better")
    promote_version(settings, two, reason="again")
    assert aliases(settings) == (two, None, one)


def test_a_promotion_needs_a_reason_and_a_version_that_exists(world: SimulatedWorld, settings: Settings) -> None:
    version = publish_run(run_of(world, settings, name="one"), settings)["version"]
    with pytest.raises(UsageError, match="reason"):
        promote_version(settings, version, reason="  ")
    with pytest.raises(UsageError, match="no version '77'"):
        promote_version(settings, "77", reason="x")
    with pytest.raises(UsageError, match="no previous version"):
        roll_back(settings)


@pytest.mark.parametrize(("wins", "rows", "allowed"), [(39, 500, False), (460, 499, False), (40, 80, True)])
def test_below_forty_wins_or_forty_others_the_rules_answer(
    world: SimulatedWorld, settings: Settings, wins: int, rows: int, allowed: bool
) -> None:
    run = run_of(world, settings, name="few", decision="by_hand", judged={"rows": rows, "wins": wins})
    version = publish_run(run, settings)["version"]
    if allowed:
        promote_version(settings, version, reason="tried out")
        assert aliases(settings)[0] == version
        return
    with pytest.raises(RefusedError, match=f"{wins} wins among {rows}") as caught:
        promote_version(settings, version, reason="tried out")
    assert caught.value.exit_code == 3
    assert aliases(settings) == (None, version, None)
    assert pointed_bundle(settings.bundles_dir) is None


def test_a_damaged_or_lost_bundle_is_not_promoted(world: SimulatedWorld, settings: Settings) -> None:
    first = publish_run(run_of(world, settings, name="first"), settings)
    for name in ("damaged", "lost"):
        run = run_of(world, settings, name=name)
        version = publish_run(run, settings)["version"]
        if name == "damaged":
            (run.bundle.folder / "model.json").write_text("{}")
        else:
            shutil.rmtree(run.bundle.folder)
        with pytest.raises(DataError):
            promote_version(settings, version, reason="x")
        assert aliases(settings)[0] == first["version"]


def test_a_version_that_names_no_bundle_is_not_promoted(world: SimulatedWorld, settings: Settings) -> None:
    publish_run(run_of(world, settings, name="first"), settings)
    client = Registry(settings.mlruns)._client()
    foreign = client.create_model_version("lead-conversion", str(settings.home), run_id=None)
    with pytest.raises(UsageError, match="names no bundle"):
        promote_version(settings, str(foreign.version), reason="x")


def test_a_model_of_few_wins_warns_in_every_answer(little_bundle: Bundle, world: SimulatedWorld) -> None:
    assert little_bundle.manifest["little_data"] is True
    assert little_bundle.manifest["judged"]["wins"] < 100
    request = parse_request(b'{"lead": {"lead_id": "L-1"}, "events": []}')
    codes = [
        {warning["code"] for warning in Scorer(of, load_scorecard()).score(request, as_of_us=0)["warnings"]}
        for of in (little_bundle, world.trained.bundle)
    ]
    assert "little_data" in codes[0]
    assert "little_data" not in codes[1]


def test_a_record_names_what_it_was_made_of(world: SimulatedWorld, settings: Settings) -> None:
    run = run_of(world, settings, name="first")
    version = publish_run(run, settings)["version"]
    tags = Registry(settings.mlruns).tags_of(version)
    assert tags["bundle"] == run.bundle.digest
    assert tags["dataset"] == run.dataset_digest
    assert tags["cutoff"] == "2026-11-01T00:00:00Z"
    assert tags["catalogue"].startswith("sha256:")
    kept = {path.name for path in (settings.mlruns / "artifacts").rglob("*") if path.is_file()}
    assert {"manifest.json", "golden.json", "gain.svg", "scoreboard.json"} <= kept
    assert {"scoreboard.parquet", "judged.parquet"} <= kept
