"""The notebooks run from top to bottom on a small trained home, say what they promise, and define nothing."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data.importing import import_export
from data.mapping import load_mapping
from data.settings import Plan, Settings
from data.simulator import simulate
from data.warehouse import Warehouse
from features.scorecard import load_scorecard
from tests.model.conftest import CUTOFF, settings_in
from training.bundles.bundle import pointed_bundle
from training.bundles.publishing import promote_version, publish_run
from training.bundles.registry import Registry
from training.run import train

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))
PACKAGES = frozenset({"data", "features", "training", "monitoring", "serving"})
# As a kernel does: reads a notebook and expressions over its names from each line, runs it in a namespace of its own,
# and answers what they come to, or why it failed.
KERNEL = """
import contextlib, json, os, runpy, sys, traceback
import matplotlib.pyplot
answers = sys.stdout
for line in sys.stdin:
    path, folder, planned, expressions = json.loads(line)
    os.chdir(folder)
    os.environ.pop("CLEW_PLAN", None)
    if planned and os.environ["PLAN"]:
        os.environ["CLEW_PLAN"] = os.environ["PLAN"]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            names = runpy.run_path(path)
            told = {"told": [eval(expression, names) for expression in expressions]}
    except BaseException:
        told = {"failed": traceback.format_exc()}
    matplotlib.pyplot.close("all")
    text = json.dumps(told, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value))
    print(text, file=answers, flush=True)
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with a small team's warehouse and a model that a person has promoted."""
    folder = tmp_path_factory.mktemp("notebooks")
    export = simulate(leads=1300, seed=5, out=folder / "simulated", end=CUTOFF).export
    # Each judged month is a refit of all methods: fewer than usual, and still the 40 wins that a promotion wants.
    found = settings_in(folder / "home").model_copy(update={"plan": Plan(judge_from="2026-03-01")})
    warehouse = Warehouse(found.warehouse_dir)
    import_export(export, load_mapping(export / "mapping.yaml"), warehouse, now=CUTOFF)
    published = publish_run(train(warehouse, found, as_of=CUTOFF), found)
    promote_version(found, published["version"], reason="the notebooks want a model to look at")
    return found


@dataclass(frozen=True)
class Kernel:
    """Notebooks run one after the other in a process of their own: what they import takes longer than most of them."""

    process: subprocess.Popen[str]

    def __call__(self, name: str, folder: Path, *expressions: str, planned: bool = True) -> list[Any]:
        """Run a notebook in a folder and return what expressions over its names come to, in their order."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([str(FOLDER / name), str(folder), planned, expressions]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, f"the process has ended with {self.process.wait(90)}"
        told = json.loads(answer)
        assert "failed" not in told, told["failed"][-3000:]
        found: list[Any] = told["told"]
        return found


@pytest.fixture(scope="module")
def run(settings: Settings) -> Iterator[Kernel]:
    """A kernel that sees the settings; without the plan, that of the mapping counts."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("CLEW_", "PYTHONWARNINGS"))}
    environment |= {
        "CLEW_HOME": str(settings.home),
        "CLEW_MLRUNS": str(settings.mlruns),
        "CLEW_QUERY_THREADS": "1",
        "MPLBACKEND": "Agg",
        "PLAN": "" if settings.plan is None else settings.plan.model_dump_json(),
        "PYTHONPATH": str(FOLDER.parent),
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }
    with subprocess.Popen(
        [sys.executable, "-c", KERNEL],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield Kernel(process)
        process.kill()


def test_the_first_look_shows_a_scoreboard_and_reasons_that_add_up(
    run: Kernel, settings: Settings, tmp_path: Path
) -> None:
    asked = ("answer.base_logit + reasons.sum() - answer.logit", "sorted(set(board['method']))", "int(count)")
    gap, methods, count = run("first_look.py", tmp_path, *asked)
    assert abs(gap) < 1e-6
    assert {"clew", "prior", "scorecard"} <= set(methods)
    assert count > 0


def test_two_runs_are_compared_on_the_rows_that_both_judged(run: Kernel, settings: Settings, tmp_path: Path) -> None:
    asked = (
        "found.names",
        "found.runs[0].tags",
        "found.parameters['cutoff']",
        "int(found.paired.n)",
        "int(board.n)",
        "shared['method'].tolist()",
        "found.said",
        "segments['group'].tolist()",
        "[len(axes.lines) for axes in figure.axes]",
        "[len(figures.months), len(rates.months)]",
    )
    names, tags, cutoffs, shared, judged, methods, said, groups, lines, months = run(
        "compare_models.py", tmp_path, *asked
    )
    assert names[1] == "champion (version 1)"
    assert "'kind': 'compare'" in str(tags)
    assert cutoffs == ["2026-09-01T00:00:00Z", "2026-11-01T00:00:00Z"]
    assert 0 < shared <= judged
    assert set(methods) == set(names)
    assert said[0].startswith("too few wins to judge"), "a small team gets figures and no verdict"
    assert "leads unseen in fitting" in groups
    assert any(group.startswith("age=") for group in groups)
    assert lines[0] >= 5, "one line for each method"
    assert months[0] == months[1] > 1


def test_a_feature_is_described_for_each_month_and_its_leads_are_counted_once(
    run: Kernel, settings: Settings, tmp_path: Path
) -> None:
    asked = (
        "over_time.reset_index().to_dict('records')",
        "int(by_bin['size'].sum())",
        "int(by_bin['sum'].sum())",
        "[int((prepared.rows.spine['monthly'] == 1).sum()), int(rows.y_obs.sum())]",
        "places.loc[FEATURE].to_dict()",
        "[finding.name, finding.verdict]",
        "len(axes.lines)",
        "len(by_bin)",
    )
    months, rows, wins, counted, place, finding, lines, bins = run("one_feature_over_time.py", tmp_path, *asked)
    assert [month["month"][:7] for month in months] == [f"2026-{month:02d}" for month in range(6, 12)]
    assert all(0 <= month["filled"] <= 1 and month["leads"] > 0 for month in months)
    assert all(month["psi"] >= 0 and month["move"] for month in months[1:])
    assert [rows, wins] == counted
    assert place["place"] >= 1
    assert place["mean |log-odds|"] >= 0
    assert finding == ["whitepaper_download", "clean"]
    assert lines == bins > 1


def test_one_leads_reasons_add_up_and_a_download_changes_what_reads_it(
    run: Kernel, settings: Settings, tmp_path: Path
) -> None:
    asked = (
        "answer.base_logit + reasons.sum() - answer.logit",
        "explanation.base_values + contributions.sum(axis=1) - bundle.full.logit(matrix)",
        "[waterfall is not beeswarm, len(waterfall.axes), len(beeswarm.axes)]",
        "moved.sum() - (with_it.logit - without.logit)",
        "sorted(moved[moved.abs() > 1e-9].index)",
        "changed['whitepaper_downloads_30d']",
        "[count, len(matrix), len(explanation)]",
    )
    gap, gaps, drawn, unexplained, groups, downloads, counts = run("one_lead.py", tmp_path, *asked)
    assert abs(gap) < 1e-6
    assert max(map(abs, gaps)) < 1e-6
    assert drawn[0]
    assert min(drawn[1:]) >= 1
    assert abs(unexplained) < 1e-9
    assert "employees" not in groups, "what an event does not touch stays as it is"
    assert downloads[1] == downloads[0] + 1
    assert len(set(counts)) == 1


def test_a_suggested_scorecard_is_written_and_loads(run: Kernel, settings: Settings, tmp_path: Path) -> None:
    asked = (
        "str(written)",
        "rules.index.tolist()",
        "suggestion.verdict()",
        "[row['side'] for row in sides.rows]",
        "today['side'].tolist()",
        "[rule.rule for rule in suggestion.scorecard.rules]",
    )
    written, rules, verdict, sides, today, suggested = run("tune_the_scorecard.py", tmp_path, *asked)
    assert Path(written) == settings.home / "rules" / "suggested.yaml"
    assert [rule.rule for rule in load_scorecard(Path(written)).rules] == suggested
    assert rules == [rule.rule for rule in load_scorecard().rules]
    assert verdict.startswith("too few wins to judge the suggestion")
    assert sides == ["rules_high", "model_high", "both_high"]
    assert today


def test_an_own_export_comes_to_a_model_without_the_column_that_knows_the_outcome(
    run: Kernel, settings: Settings, tmp_path: Path
) -> None:
    served, counts = pointed_bundle(settings.bundles_dir), Warehouse(settings.warehouse_dir).counts()
    asked = (
        "leaks.leaks",
        "refusals",
        "[one.column for one in again.withheld]",
        "trained.bundle.catalogue.names",
        "str(trained.bundle.folder)",
        "checks.passed",
        "str(checks.docs)",
        "board.verdict()",
    )
    leaks, refusals, withheld, features, folder, passed, docs, verdict = run(
        "bring_your_own_export.py", tmp_path, *asked, planned=False
    )
    assert leaks == ["custom_contract_type"]
    assert "tables.leads.custom.erp.known" in refusals[0]
    assert "Company Number (nearest: Company ID" in refusals[1]
    assert withheld == ["leads.custom_contract_type"]
    assert "custom_erp" in features
    assert "custom_contract_type" not in features
    assert Path(folder).is_relative_to(settings.home / "own-export")
    assert (Path(folder) / "manifest.json").is_file()
    assert passed
    assert Path(docs).is_file()
    assert verdict.startswith("too few wins")
    assert pointed_bundle(settings.bundles_dir) == served
    assert Warehouse(settings.warehouse_dir).counts() == counts
    assert Registry(settings.mlruns).version_of("champion") == "1"


def test_every_notebook_is_run_here() -> None:
    called = {
        node.args[0].value
        for node in ast.walk(ast.parse(Path(__file__).read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "run" and isinstance(node.args[0], ast.Constant)
    }
    assert called == {path.name for path in NOTEBOOKS}
    listed = (FOLDER / "README.md").read_text("utf-8")
    assert all(f"`{path.name}`" in listed for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_begins_with_its_title_and_explains_itself(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert lines[0] == "# %% [markdown]"
    assert lines[1].startswith("# # ")
    cells = [line for line in lines if line.startswith("# %%")]
    assert set(cells) == {"# %%", "# %% [markdown]"}, "no cell carries what an editor has added"
    assert cells.count("# %% [markdown]") >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_public_names_at_its_top_and_defines_nothing(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert tree.body[: len(imports)] == imports, "imports stand together before anything else"
    own = [node for node in imports if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in PACKAGES]
    assert own
    names = {alias.name for node in imports for alias in node.names} | {str(node.module) for node in own}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not [name for name in names if any(part.startswith("_") for part in name.split("."))]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def test_no_notebook_with_stored_output_belongs_to_the_repository() -> None:
    git = subprocess.run(["git", "ls-files", "-z", "notebooks"], cwd=FOLDER.parent, capture_output=True, check=False)
    tracked = git.stdout.decode().split("\0") if git.returncode == 0 else [path.name for path in FOLDER.iterdir()]
    assert [name for name in tracked if name.endswith(".ipynb")] == []
    assert not [path.name for path in NOTEBOOKS if '"outputs":' in path.read_text("utf-8")]
