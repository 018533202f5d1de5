"""`clew scorecard` on a small simulated team: tables, JSON, the file, and plain words where something comes first."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import UsageError
from features.scorecard import load_scorecard
from tests.model.conftest import SimulatedWorld
from training.learning.recipe import Rows
from training.rules.command import scorecard
from training.rules.suggest import CURRENT, suggest_scorecard
from training.run import plan_of, scorecard_of

AS_OF = "2026-11-01"


@pytest.fixture
def home(world: SimulatedWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The world's warehouse under a home of its own, so that what other tests leave is not read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLEW_HOME", str(tmp_path / "var"))
    monkeypatch.setenv("CLEW_WAREHOUSE", str(world.settings.warehouse_dir))
    monkeypatch.setenv("CLEW_QUERY_THREADS", "1")
    monkeypatch.setenv("CLEW_PLAN", json.dumps({"ages_days": [7]}))
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def called(**options: Any) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        scorecard(**{"as_of": AS_OF, "suggest": False, "out": None, "as_json": False, **options})
    return out.getvalue(), err.getvalue()


def judged_file(home: Path, rows: Rows, *, months: int = 3) -> None:
    """Write judged rows as a training run leaves them: the model knows each outcome nearly, the rules nothing."""
    recent = np.unique(rows.spine.loc[rows.spine["monthly"] == 1, "as_of_us"])[-months:]
    spine = rows.spine[(rows.spine["monthly"] == 1) & rows.spine["as_of_us"].isin(recent)]
    rng = np.random.default_rng(0)
    table = spine[["lead_id", "as_of_us", "cluster", "y_obs"]].assign(
        clew=np.clip(0.5 * spine["y_obs"] + 0.5 * rng.random(len(spine)), 0, 1), scorecard=0.1
    )
    folder = home / "var" / "runs" / "one" / "tables"
    folder.mkdir(parents=True)
    table.to_parquet(folder / "judged.parquet")


def test_without_a_run_it_judges_the_rules_and_says_what_comes_first(home: Path) -> None:
    out, err = called()
    assert out == ""
    for told in ("rules of default", "pools (capacity 40", "the rules on the last", "`clew train`"):
        assert told in err
    assert (home / "var" / "rules" / "points.svg").read_bytes().startswith(b"<?xml")


def test_json_carries_every_figure_and_the_model_that_knew_was_right(home: Path, world_rows: Rows) -> None:
    judged_file(home, world_rows)
    out, _ = called(as_json=True, suggest=True, out=home / "rules.yaml")
    told = json.loads(out)
    assert {rule["rule"] for rule in told["review"]["rules"]} == {r.rule for r in load_scorecard().rules}
    assert told["disagreements"]["judged"]["verdict"] == "where they disagreed the model was right more often"
    assert {row["side"] for row in told["disagreements"]["judged_leads"]} >= {"model_high"}
    assert told["disagreements"]["open_leads"] is None
    assert told["suggestion"]["scorecard"]["rules"]
    assert told["written"] == str(home / "rules.yaml")
    assert load_scorecard(home / "rules.yaml").rules


def test_the_file_can_be_named_in_the_settings_and_is_then_not_written_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, err = called(suggest=True, out=Path("rules.yaml"))
    assert "scorecard: rules.yaml" in err
    written = Path("rules.yaml").read_text("utf-8")
    Path("clew.yaml").write_text("scorecard: rules.yaml\n", encoding="utf-8")
    _, err = called()
    assert "rules of default suggested" in err
    with pytest.raises(UsageError, match="is the scorecard in use"):
        called(suggest=True, out=Path("rules.yaml"))
    assert Path("rules.yaml").read_text("utf-8") == written


def test_out_without_suggest_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="--out was given without --suggest"):
        called(out=Path("rules.yaml"))


def test_open_leads_are_compared_with_the_bundle_that_is_served(
    home: Path, world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = world.settings.bundles_dir
    folder = next(path for path in sorted(bundles.iterdir()) if (path / "manifest.json").is_file())
    served = home / "var" / "bundles"
    served.mkdir(parents=True)
    (served / folder.name).symlink_to(folder.resolve())
    (served / "current").write_text(folder.name, encoding="utf-8")
    told = json.loads(called(as_json=True)[0])["disagreements"]
    assert {row["side"] for row in told["open_leads"]} <= {"rules_high", "model_high", "both_high"}
    assert {row["side"] for row in told["open_leads"]} >= {"model_high"}
    _, err = called()
    assert "open leads:" in err


def test_on_the_simulator_the_suggestion_catches_more_wins(world: SimulatedWorld, world_rows: Rows) -> None:
    settings = world.settings
    found = suggest_scorecard(
        world_rows,
        world_rows.catalogue,
        capacity=settings.capacity,
        seed=settings.seed,
        current=scorecard_of(settings),
        plan=plan_of(settings, world.warehouse),
    )
    assert found.judged.wins >= 100
    assert found.gain("wins_at_capacity").low > 0
    assert found.judged.behind(CURRENT, "roc_auc").value > 0
