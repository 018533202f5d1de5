"""One simulated world, imported and trained once a session; many claims are held against it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from data.clock import parse_moment
from data.importing import import_export
from data.mapping import load_mapping
from data.settings import Plan, Settings
from data.simulator import simulate
from data.warehouse import Warehouse
from training.bundles.registry import Registry
from training.evaluation import judging
from training.evaluation.gallery import picture_file, picture_names
from training.evaluation.peers import Prior, ScorecardPoints
from training.run import prepare, train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from features.scorecard import Scorecard
    from features.words import Language
    from training.bundles.bundle import Bundle
    from training.evaluation.peers import Method
    from training.learning.recipe import Rows
    from training.run import Prepared, Trained

CUTOFF = parse_moment("2026-11-01")


@dataclass(frozen=True)
class SimulatedWorld:
    """Where the simulated truth lies, and what was trained on what could be seen."""

    truth: Path
    settings: Settings
    warehouse: Warehouse
    trained: Trained


def settings_in(home: Path, *, judge_from: str | None = None, ages_days: tuple[float, ...] = (7,)) -> Settings:
    """Return settings that keep everything below one folder.

    With `judge_from` fewer cross-sections are judged. Beside the monthly photographs there is one more of each lead, a
    third of the rows that the default has; few claims hang on how many there are.
    """
    plan = Plan(ages_days=ages_days) if judge_from is None else Plan(ages_days=ages_days, judge_from=judge_from)
    return Settings(home=home, mlruns=home / "mlruns", query_threads=1, plan=plan)


@contextmanager
def beside_prior_and_rules() -> Iterator[None]:
    """Judge beside the two methods that the gate asks for; fitting the others takes a third of a training run.

    No byte of a bundle and no decision of the gate comes from them.
    """

    def few(scorecard: Scorecard) -> tuple[Method, ...]:
        return Prior(), ScorecardPoints(scorecard)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "default_peers", few)
        patch.setattr(judging, "OdooExtended", Prior)
        yield


def undrawn(trained: Trained, folder: Path, language: Language = "en") -> None:
    """Take the place of `publishing._draw_pictures` where nobody looks at what is drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in picture_names(trained.judgement.scoreboard):
        (folder / picture_file(name, language)).write_text("<svg/>")


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow with its tables, made once to be copied: making one takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    # Tables only: an experiment would keep its artifacts in this very folder.
    Registry(folder)._client().search_experiments()
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> SimulatedWorld:
    folder = tmp_path_factory.mktemp("world")
    report = simulate(leads=3000, seed=1, out=folder / "simulated", end=CUTOFF)
    # With fewer photographs no trees are worth growing, and nothing of them would be tested.
    settings = settings_in(folder / "home", ages_days=(1, 7, 30))
    warehouse = Warehouse(settings.warehouse_dir)
    import_export(report.export, load_mapping(report.export / "mapping.yaml"), warehouse, now=CUTOFF)
    return SimulatedWorld(report.truth, settings, warehouse, train(warehouse, settings, as_of=CUTOFF))


@pytest.fixture(scope="session")
def world_prepared(world: SimulatedWorld) -> Prepared:
    """What the world's training knew: matured pairs, younger ones, and the leads open at its cutoff."""
    return prepare(world.warehouse, world.settings, as_of=CUTOFF)


@pytest.fixture(scope="session")
def world_rows(world_prepared: Prepared) -> Rows:
    """The matured rows of the world."""
    return world_prepared.rows


@pytest.fixture(scope="session")
def little_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the warehouse of a small team: 300 leads."""
    folder = tmp_path_factory.mktemp("little")
    export = simulate(leads=300, seed=2, out=folder / "simulated", end=CUTOFF).export
    import_export(export, load_mapping(export / "mapping.yaml"), Warehouse(folder / "warehouse"), now=CUTOFF)
    return folder


@pytest.fixture(scope="session")
def little_bundle(little_home: Path) -> Bundle:
    """What training on the small team's warehouse seals."""
    settings = settings_in(little_home)
    return train(Warehouse(settings.warehouse_dir), settings, as_of=CUTOFF).bundle
