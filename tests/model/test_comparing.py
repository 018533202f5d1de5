"""Comparing seals nothing, is logged once, and sets two runs against each other only where that means something."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from data.clock import parse_moment
from data.errors import DataError, UsageError
from tests.model.conftest import CUTOFF, settings_in
from tests.model.judgements import synthetic_judgement
from training.bundles.registry import Registry, RunRecord
from training.evaluation import comparing
from training.evaluation.compare_command import compare
from training.evaluation.comparing import Comparison, compare_as_of, compare_runs, judge_as_of, log_comparison
from training.evaluation.judged import judged_table, write_judged
from training.evaluation.judging import MODEL, Judgement
from training.evaluation.metrics import METRICS

if TYPE_CHECKING:
    from pathlib import Path

    from data.settings import Settings

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")


def recorded(
    settings: Settings,
    folder: Path,
    judgement: Judgement,
    *,
    tables: bool = True,
    cutoff: str = "2026-06-01",
    **more: Any,
) -> tuple[str, str]:
    """Record a judgement as `clew train` does, and return the run's id and the version."""
    for name in ("bundle", "tables"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "bundle" / "model.json").write_text("{}")
    if tables:
        judgement.scoreboard.to_parquet(folder / "tables" / "scoreboard.parquet")
        write_judged(judged_table(judgement), folder / "tables" / "judged.parquet")
    artifacts = {name: folder / name for name in ("bundle", "tables") if name == "bundle" or tables}
    parameters = {"goal": "won", "horizon_days": 90.0, "alpha": 0.5, **more}
    run = RunRecord("a run", parameters, {}, {"kind": "train", "cutoff": f"{cutoff}T00:00:00Z"}, artifacts)
    return Registry(settings.mlruns).record(run)


def changed(judgement: Judgement, **columns: Any) -> Judgement:
    """Return a judgement with other columns of its spine."""
    return replace(judgement, spine=judgement.spine.assign(**columns))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, dict[str, tuple[str, str]]]:
    """Runs of one set of judged rows: a good one and a poor one, and some that cannot be compared with them."""
    folder = tmp_path_factory.mktemp("runs")
    settings = settings_in(folder)
    good, poor = (synthetic_judgement(4000, seed=1, share=share) for share in (2.0, 0.5))
    made = {
        "poor": recorded(settings, folder / "poor", poor, cutoff="2026-05-01", alpha=0.0, trees=40),
        "good": recorded(settings, folder / "good", good),
        "bare": recorded(settings, folder / "bare", good, tables=False),
        "sql": recorded(settings, folder / "sql", good, goal="sql"),
        "elsewhere": recorded(settings, folder / "elsewhere", changed(good, as_of_us=good.spine["as_of_us"] + 1)),
        "few": recorded(settings, folder / "few", synthetic_judgement(300, seed=2)),
        "few too": recorded(settings, folder / "few too", synthetic_judgement(300, seed=3)),
    }
    y_obs = good.y_obs.copy()
    y_obs[:7] = 1 - y_obs[:7]
    made["mended"] = recorded(settings, folder / "mended", changed(good, y_obs=y_obs), cutoff="2026-09-01")
    registry = Registry(settings.mlruns)
    registry.alias("champion", made["poor"][1])
    registry.alias("challenger", made["good"][1])
    return settings, made


def test_the_better_model_is_ahead_on_the_rows_that_both_judged(runs: Any) -> None:
    settings, made = runs
    told = compare_runs(settings, made["poor"][1], made["good"][1])
    assert told.names == (f"version {made['poor'][1]}", f"version {made['good'][1]}")
    assert told.paired is not None
    assert told.paired.significantly_worse(told.names[0], "log_loss")
    assert told.said[0].startswith(f"log loss: {told.names[1]} is ahead of {told.names[0]}")
    assert told.parameters == {"alpha": ("0.0", "0.5"), "trees": ("40", None)}
    turned = compare_runs(settings, made["good"][1], made["poor"][1])
    assert turned.paired is not None
    assert turned.said[0].startswith(f"log loss: {told.names[0]} is behind {told.names[1]}")
    row, other = (board.figure(told.names[0], "log_loss")["value"] for board in (told.paired, turned.paired))
    assert row == other


def test_every_figure_of_both_runs_stands_side_by_side(runs: Any) -> None:
    settings, made = runs
    told = compare_runs(settings, "champion", "challenger")
    assert told.names == (f"champion (version {made['poor'][1]})", f"challenger (version {made['good'][1]})")
    one, two = (synthetic_judgement(4000, seed=1, share=share).scoreboard for share in (0.5, 2.0))
    assert len(told.figures) == len(one.rows) == len(two.rows)
    assert list(dict.fromkeys(told.figures["group"])) == list(one.groups)
    assert set(told.figures["metric"]) == set(METRICS)
    for row in told.figures.dropna().to_dict("records")[::17]:
        for side, board in (("first", one), ("second", two)):
            figure = board.figure(row["method"], row["metric"], group=row["group"])
            assert [row[f"{key}_{side}"] for key in ("value", "low", "high")] == [
                figure[key] for key in ("value", "low", "high")
            ]


def test_a_run_is_found_by_version_alias_and_the_beginning_of_its_id(runs: Any) -> None:
    settings, made = runs
    registry = Registry(settings.mlruns)
    run_id, version = made["poor"]
    found = [registry.find_run(name) for name in (version, "champion", run_id, run_id[:8])]
    assert {(run.run_id, run.version) for run in found} == {(run_id, version)}
    assert found[0].parameters["alpha"] == "0.0"
    assert found[0].tags["cutoff"] == "2026-05-01T00:00:00Z"


@pytest.mark.parametrize("name", ["77", "previous", "deadbeef", "", "a"])
def test_an_unknown_run_is_told_with_those_that_there_are(runs: Any, name: str) -> None:
    settings, made = runs
    with pytest.raises(UsageError, match=f"no run is named '{name}'") as caught:
        compare_runs(settings, made["good"][1], name)
    assert "alias champion, challenger" in caught.value.hint
    assert made["good"][0][:8] in caught.value.hint
    assert "version 8, 7, 6" in caught.value.hint


def test_a_version_of_no_run_is_no_run(runs: Any, tmp_path: Path) -> None:
    settings, _ = runs
    copy = settings_in(tmp_path)
    shutil.copytree(settings.mlruns, copy.mlruns)
    foreign = Registry(copy.mlruns)._client().create_model_version("lead-conversion", str(tmp_path), run_id=None)
    with pytest.raises(UsageError, match=f"no run is named '{foreign.version}'"):
        Registry(copy.mlruns).find_run(str(foreign.version))


def test_a_run_is_not_compared_with_itself(runs: Any) -> None:
    settings, made = runs
    with pytest.raises(UsageError, match="the same run"):
        compare_runs(settings, "champion", made["poor"][1])


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("elsewhere", "they judged no row both"),
        ("sql", "they predict different things (goal won and sql)"),
        ("bare", "has kept no judged rows: train it again"),
    ],
)
def test_runs_that_cannot_be_compared_row_by_row_say_why_and_still_stand_side_by_side(
    runs: Any, other: str, said: str
) -> None:
    settings, made = runs
    told = compare_runs(settings, made["good"][1], made[other][1])
    assert told.paired is None
    assert said in " ".join(told.said)
    assert told.figures["value_first"].notna().any()
    assert told.figures["value_second"].notna().any() == (other != "bare")


def test_below_100_shared_wins_there_is_no_verdict(runs: Any) -> None:
    settings, made = runs
    told = compare_runs(settings, made["few"][1], made["few too"][1])
    assert told.paired is not None
    assert told.paired.wins < 100
    assert told.said[0] == f"too few wins to judge: {told.paired.wins} of 100"


@pytest.mark.parametrize("turned", [False, True])
def test_an_outcome_that_has_changed_counts_as_the_later_run_knows_it(runs: Any, turned: bool) -> None:
    settings, made = runs
    names = [made["mended"][1], made["poor"][1]]
    told = compare_runs(settings, *(names[::-1] if turned else names))
    wins = synthetic_judgement(4000, seed=1).y_obs.copy()
    wins[:7] = 1 - wins[:7]
    assert told.paired is not None
    assert told.paired.wins == wins.sum()
    assert "7 of these rows have changed their outcome since the earlier run" in told.said


@pytest.fixture(scope="module")
def comparison(little_home: Path) -> Comparison:
    return judge_as_of(settings_in(little_home), CUTOFF)


@pytest.fixture(scope="module")
def logged(comparison: Comparison, little_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str]:
    """Settings with a database that holds the comparison alone, and its run; tables and pictures lie in `out`."""
    folder = tmp_path_factory.mktemp("logged")
    places = {"mlruns": folder / "mlruns", "bundles": folder / "bundles"}
    settings = settings_in(little_home).model_copy(update=places)
    with pytest.raises(UsageError, match="`clew train` makes one"):
        compare_runs(settings, "1", "2")
    return settings, log_comparison(comparison, settings, out=folder / "out")


def test_comparing_seals_and_registers_nothing_and_is_logged_once(
    comparison: Comparison, logged: tuple[Settings, str]
) -> None:
    settings, run_id = logged
    assert log_comparison(comparison, settings) == run_id
    registry, board = Registry(settings.mlruns), comparison.judgement.scoreboard
    found = registry.find_run(run_id)
    assert found.version is None
    assert found.tags["kind"] == "compare"
    assert found.parameters["cutoff"] == "2026-11-01T00:00:00Z"
    run = registry._client().get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["clew.log_loss"] == board.figure(MODEL, "log_loss")["value"]
    assert run.data.metrics["clew.miscalibration.high"] == board.figure(MODEL, "miscalibration")["high"]
    assert not settings.bundles_dir.exists()


def test_what_is_logged_lies_in_the_folder_too(logged: tuple[Settings, str]) -> None:
    settings, run_id = logged
    registry, out = Registry(settings.mlruns), settings.mlruns.parent / "out"
    kept = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert kept >= {"scoreboard.json", "tables/scoreboard.parquet", "tables/judged.parquet", "pictures/rolling.svg"}
    for name in kept:
        found = registry.artifact(run_id, name if "/" in name else f"scoreboard/{name}")
        assert found is not None
        assert found.read_bytes() == (out / name).read_bytes()
    assert registry.artifact(run_id, "tables/none.parquet") is None


def test_compare_as_of_judges_as_a_training_run_does(
    monkeypatch: pytest.MonkeyPatch, comparison: Comparison, little_home: Path
) -> None:
    asked: dict[str, Any] = {}

    def prepared(*_: Any, **more: Any) -> Any:
        asked.update(more)
        return comparison.prepared

    monkeypatch.setattr(comparing, "prepare", prepared)
    monkeypatch.setattr(comparing, "judge_prepared", lambda given, *_, **__: (given, comparison.judgement)[1])
    assert compare_as_of(settings_in(little_home), CUTOFF) is comparison.judgement
    assert asked["as_of"] == CUTOFF


def test_too_short_a_history_is_told(little_home: Path) -> None:
    with pytest.raises(DataError):
        compare_as_of(settings_in(little_home), parse_moment("2024-12-01"))


def called(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, *arguments: str, width: int = 100
) -> tuple[Any, str, BaseException | None]:
    """Call the command as the front door does; return standard output, standard error and what it raised."""
    import data.settings

    app = typer.Typer()
    app.command()(compare)
    monkeypatch.setattr(data.settings, "load_settings", lambda: settings)
    monkeypatch.setenv("COLUMNS", str(width))
    result = CliRunner().invoke(app, list(arguments))
    return result.stdout, result.stderr, result.exception


def test_the_command_shows_the_scoreboard_and_json_carries_every_figure_with_its_interval(
    monkeypatch: pytest.MonkeyPatch, comparison: Comparison, logged: tuple[Settings, str]
) -> None:
    settings, run_id = logged
    monkeypatch.setattr(comparing, "judge_as_of", lambda *_, **__: comparison)
    out, err, raised = called(monkeypatch, settings, "--as-of", "2026-11-01", "--json")
    assert raised is None, err
    told, board = json.loads(out), comparison.judgement.scoreboard
    assert {(row["group"], row["method"], row["metric"]) for row in told["rows"]} == {
        (group, method, metric) for group in board.groups for method in board.methods for metric in METRICS
    }
    assert all({"value", "low", "high"} <= set(row) for row in told["rows"])
    assert (told["origins"], told["cutoff"], told["run"]) == (board.origins, "2026-11-01T00:00:00Z", run_id)
    out, err, raised = called(monkeypatch, settings, "--as-of", "2026-11-01", "--segments")
    assert raised is None, err
    assert out == ""
    for word in (*board.methods, "month=2026-07", f"Logged to MLflow as run {run_id[:8]}"):
        assert word in err


def test_the_command_compares_two_runs(monkeypatch: pytest.MonkeyPatch, runs: Any) -> None:
    settings, made = runs
    out, err, raised = called(monkeypatch, settings, "champion", "challenger", width=160)
    assert raised is None, err
    for word in ("parameters that differ", "alpha", "all judged rows", "on the rows that both judged", "is ahead of"):
        assert word in err
    paired = compare_runs(settings, "champion", "challenger").paired
    assert paired is not None
    row = paired.figure(f"champion (version {made['poor'][1]})", "log_loss")
    line = next(line for line in err.splitlines() if "│ log loss" in line and "smaller" in line)
    assert f"{-row['difference']:.4f} │" in line
    assert f"{-row['difference_high']:.4f} – {-row['difference_low']:.4f}" in line
    assert row["difference"] > 0  # the challenger loses less, so what is shown is negative
    out, err, raised = called(monkeypatch, settings, "champion", "challenger", "--json")
    assert raised is None, err
    told = json.loads(out)
    assert [run["version"] for run in told["runs"]] == [made["poor"][1], made["good"][1]]
    assert told["parameters"] == {"alpha": ["0.0", "0.5"], "trees": ["40", None]}
    assert {"value_first", "low_first", "high_second"} <= set(told["figures"][0])
    assert told["paired"]["wins"] > 100
    assert told["said"][0] == told["paired"]["verdict"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["1"], "two runs are compared, 1"), (["1", "2", "3"], "3 were named"), (["1", "2", "--segments"], "--segments")],
)
def test_the_command_refuses_what_means_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], named: str
) -> None:
    _, _, raised = called(monkeypatch, settings_in(tmp_path), *arguments)
    assert isinstance(raised, UsageError)
    assert named in raised.message
