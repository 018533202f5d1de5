"""`clew recalibrate`: the same model with its intercept moved, as a version of its own that rollback reverts."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from data.clock import iso, parse_moment, to_us
from data.errors import UsageError
from features.scorecard import load_scorecard
from tests.model.conftest import CUTOFF, settings_in
from training.bundles.bundle import Bundle, Grade, SealedModel, pointed_bundle
from training.bundles.publishing import promote_version, roll_back
from training.bundles.registry import Registry, RunRecord
from training.bundles.sealing import publish, seal, tell_publication
from training.certainty.interval import IntervalTable
from training.certainty.measure import with_certainty
from training.certainty.recalibration import matured_since, recalibrate
from training.learning.model import Calibrator
from training.learning.recipe import Choices, Rows, fit_model

if TYPE_CHECKING:
    from pathlib import Path

    from data.settings import Settings
    from tests.model.conftest import SimulatedWorld

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")
TRAINED = parse_moment("2026-03-01")
RANGE = IntervalTable(grid=(-7.0, 7.0), low=(-7.8, 6.5), high=(-6.5, 7.8), month_sd=0.3, wins=120, rows=900, periods=6)


def bundle_off_by(shift: float, rows: Rows, folder: Path) -> Bundle:
    """Return a bundle trained on what had matured by March whose intercept is off by `shift`."""
    fit = rows.take(rows.spine["mature_us"].to_numpy() <= to_us(TRAINED))
    own = rows.catalogue.needing("lead", "account")
    choices = Choices(trees=0, strength=100.0)
    full = SealedModel(fit_model(fit, choices), Calibrator(1.0, shift))
    profile = SealedModel(fit_model(Rows(fit.frame[list(own.names)], fit.spine, own), choices), Calibrator(1.0, shift))
    return seal(
        folder,
        about={
            "name": "lead-conversion",
            "horizon_days": 90.0,
            "cutoff": iso(TRAINED),
            "newest_as_of": "2025-12-01T00:00:00Z",
            "judged": {"rows": 1000, "wins": 100},
        },
        catalogue=rows.catalogue,
        scorecard=load_scorecard(),
        full=with_certainty(full, fit, interval=RANGE),
        profile=profile,
        quantiles=np.linspace(0.01, 0.99, 99).tolist(),
        grades=[Grade(grade="A", at_least=0.0, judged=0, won=0, conversion=None, low=None, high=None)],
        as_of_us=to_us(TRAINED),
    )


@pytest.fixture
def settings(world: SimulatedWorld, database: Path, tmp_path: Path) -> Settings:
    """The world's warehouse with bundles and MLflow of their own."""
    shutil.copytree(world.settings.warehouse_dir, tmp_path / "warehouse")
    (tmp_path / "mlruns").mkdir()
    shutil.copyfile(database, tmp_path / "mlruns" / "mlflow.db")
    return settings_in(tmp_path)


def serve(bundle: Bundle, settings: Settings) -> Bundle:
    """Register, publish and promote a bundle as a run would."""
    folder = publish(bundle, settings.bundles_dir)
    record = RunRecord("run", {}, {}, {"bundle": bundle.digest}, {"bundle": folder})
    _, version = Registry(settings.mlruns).record(record)
    tell_publication(folder, version)
    promote_version(settings, version, reason="a test")
    return Bundle.load(folder)


def served(settings: Settings) -> Bundle:
    folder = pointed_bundle(settings.bundles_dir)
    assert folder is not None
    return Bundle.load(folder)


def without(manifest: Any, *names: str) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key not in names}


def test_a_model_that_is_off_is_corrected_once_and_rolled_back(
    world: SimulatedWorld, world_rows: Rows, settings: Settings, tmp_path: Path
) -> None:
    trained = serve(bundle_off_by(-1.0, world_rows, tmp_path / "draft"), settings)
    done = recalibrate(world.warehouse, settings, as_of=CUTOFF)
    assert done.changed
    assert 0.4 < done.correction.shift < 1.4
    assert done.correction.log_loss_after < done.correction.log_loss_before  # type: ignore[operator]
    now = served(settings)
    assert now.digest == done.bundle.digest != trained.digest

    # The same model, its intercept moved; what others rely on is inherited.
    assert now.full.calibrator == Calibrator(1.0, trained.full.calibrator.b + done.correction.shift)
    assert without(now.manifest, "files", "corrected") == without(trained.manifest, "files")
    assert (now.quantiles, now.grades, now.full.likeness) == (trained.quantiles, trained.grades, trained.full.likeness)
    assert now.manifest["corrected"]["from"] == trained.digest
    assert now.manifest["corrected"]["evidence"] == json.loads(json.dumps(done.correction.as_dict()))
    before, after = trained.answer_values({}), now.answer_values({})
    assert after.logit == pytest.approx(before.logit + done.correction.shift)
    assert after.groups == pytest.approx(before.groups)
    widths = [
        np.diff([np.log(p / (1 - p)) for p in b.interval_of(a) or ()]) for b, a in ((trained, before), (now, after))
    ]
    assert widths[0] == pytest.approx(widths[1])

    registry = Registry(settings.mlruns)
    assert (registry.version_of("champion"), registry.version_of("previous")) == (done.version, "1")
    assert done.version is not None
    assert registry.tags_of(done.version)["corrected_from"] == trained.digest
    assert json.loads((now.folder / "publication.json").read_text("utf-8")) == {"version": done.version}

    again = recalibrate(world.warehouse, settings, as_of=CUTOFF)
    assert not again.changed
    assert "stays" in again.why
    assert (again.bundle.digest, again.version) == (now.digest, done.version)

    assert roll_back(settings)[0] == "1"
    assert served(settings).digest == trained.digest


def test_a_correction_replaces_the_one_before_and_never_adds_up(
    world: SimulatedWorld, world_rows: Rows, settings: Settings, tmp_path: Path
) -> None:
    trained = serve(bundle_off_by(-1.0, world_rows, tmp_path / "draft"), settings)
    early = recalibrate(world.warehouse, settings, as_of=parse_moment("2026-07-01"))
    late = recalibrate(world.warehouse, settings, as_of=CUTOFF)
    assert early.changed
    told = served(settings).manifest["corrected"]
    assert told["from"] == trained.digest
    in_force = late.correction.shift if late.changed else early.correction.shift
    assert served(settings).full.calibrator.b == pytest.approx(-1.0 + in_force)


def test_only_pairs_after_the_newest_one_fitted_and_matured_by_then_are_asked(
    world: SimulatedWorld, world_rows: Rows, tmp_path: Path
) -> None:
    bundle = bundle_off_by(0.0, world_rows, tmp_path / "draft")
    found = matured_since(bundle, world.warehouse, world.settings, as_of=CUTOFF)
    newest = to_us(parse_moment(bundle.manifest["newest_as_of"]))
    assert (found.spine["as_of_us"] > newest).all()
    assert (found.spine["mature_us"] <= to_us(CUTOFF)).all()
    assert (found.spine["monthly"] == 1).all()
    # The same pairs with the same features as in the training set of that cutoff.
    spine = world_rows.spine
    same = world_rows.take((spine["monthly"].to_numpy() == 1) & (spine["as_of_us"].to_numpy() > newest))
    assert found.spine["lead_id"].tolist() == same.spine["lead_id"].tolist()
    assert found.frame.equals(same.frame)


def test_nothing_new_changes_nothing_and_says_so(
    world: SimulatedWorld, world_rows: Rows, settings: Settings, tmp_path: Path
) -> None:
    trained = serve(bundle_off_by(-1.0, world_rows, tmp_path / "draft"), settings)
    done = recalibrate(world.warehouse, settings, as_of=TRAINED)
    assert not done.changed
    assert "newly matured" in done.why
    assert served(settings).digest == trained.digest
    assert Registry(settings.mlruns).version_of("previous") is None


def test_without_a_served_model_there_is_nothing_to_correct(world: SimulatedWorld, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model is served"):
        recalibrate(world.warehouse, settings_in(tmp_path), as_of=CUTOFF)
