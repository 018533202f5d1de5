"""CatBoost and FLAML get the very rows that the scoreboard's peers get, and no outcome of a judged row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.errors import DataError, InfrastructureError
from tests.benchmarks.outside_peers.comparing import Compared, mean_difference
from tests.benchmarks.outside_peers.exchange import ENVIRONMENT, ask, read_answer, read_rows, write_rows
from tests.model.rows import synthetic_rows
from training.evaluation.bootstrap import Replicates
from training.evaluation.judging import MODEL, columns_of
from training.evaluation.metrics import roc_auc
from training.evaluation.peers import LightGBMDefaults, Logistic
from training.learning.recipe import Rows

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ENVIRONMENT
LOCK = ROOT / "tests/benchmarks/outside_peers/requirements.lock"


@pytest.fixture(scope="module")
def parts() -> tuple[Rows, Rows]:
    rows = synthetic_rows(900, seed=4)
    return rows.take(np.arange(600)), rows.take(np.arange(600, 900))


@pytest.fixture
def folder(parts: tuple[Rows, Rows], tmp_path: Path) -> Path:
    write_rows(tmp_path, *parts, columns_of(parts[0]))
    return tmp_path


@pytest.mark.parametrize("method", [Logistic(), LightGBMDefaults()])
def test_a_method_learns_the_same_from_exchanged_rows(
    parts: tuple[Rows, Rows], folder: Path, method: Logistic | LightGBMDefaults
) -> None:
    fit, judged = parts
    there, asked, outcomes, columns = read_rows(folder)
    ours = method.fit(fit.frame, fit.y_obs, columns=columns_of(fit)).predict(judged.frame)
    theirs = method.fit(there, outcomes["y_obs"].to_numpy(np.int64), columns=columns).predict(asked)
    np.testing.assert_array_equal(ours, theirs)


def test_missing_values_and_accounts_survive_the_exchange(parts: tuple[Rows, Rows], folder: Path) -> None:
    fit, _ = parts
    there, _, outcomes, columns = read_rows(folder)
    assert set(columns.numeric) | set(columns.categorical) == set(there)
    for name in there:
        assert (there[name].isna() == fit.frame[name].isna()).all(), name
    assert there["source"].isna().any()
    assert outcomes["cluster"].tolist() == fit.clusters.tolist()


def test_no_outcome_of_a_judged_row_leaves_the_project(folder: Path) -> None:
    written = {path.name: len(pd.read_parquet(path)) for path in folder.glob("*.parquet")}
    assert written == {"fit.parquet": 600, "judged.parquet": 300, "outcomes.parquet": 600}
    assert not {"y_obs", "won_known_us", "as_of_us"} & set(pd.read_parquet(folder / "judged.parquet"))


@pytest.mark.parametrize(("rows", "peers"), [(299, ["a"]), (300, ["a", "b"])])
def test_an_answer_about_other_rows_or_peers_is_refused(folder: Path, rows: int, peers: list[str]) -> None:
    pd.DataFrame({"a": np.full(rows, 0.1)}).to_parquet(folder / "predictions.parquet")
    (folder / "told.json").write_text(json.dumps({peer: {} for peer in peers}), "utf-8")
    with pytest.raises(DataError, match="300 rows were to be predicted"):
        read_answer(folder)


def test_without_their_environment_it_is_said_how_to_make_it(folder: Path) -> None:
    with pytest.raises(InfrastructureError, match="make bench-peers"):
        ask(folder, python=folder / "python", seconds=1, threads=1)


def test_the_mean_difference_counts_every_data_set_alike() -> None:
    def of(ours: float, theirs: float, n: int) -> Compared:
        point = np.array([[ours], [theirs]])
        replicates = Replicates((MODEL, "peer"), ("roc_auc",), point, np.stack([point, point]))
        return Compared("set", 100, n, 10, replicates, {})

    found = mean_difference([of(0.70, 0.60, 1000), of(0.60, 0.62, 10)], "roc_auc", to="peer")
    assert found == pytest.approx((0.04, 0.04, 0.04))


def test_the_peers_are_pinned_with_hashes_and_no_address() -> None:
    text, asked = LOCK.read_text("utf-8"), LOCK.with_suffix(".in").read_text("utf-8")
    assert "://" not in text
    for line in asked.splitlines():
        if "==" in line:
            name, _, version = line.partition("==")
            assert f"{name.partition('[')[0]}=={version} " in text, line
    assert all("--hash=sha256:" in block for block in text.split("\n") if block.startswith("    --hash"))


# 1.2 GB that clew itself never needs, in an environment of its own; how their answers are read is tested above.
@pytest.mark.skipif(not PYTHON.is_file(), reason="CatBoost and FLAML are optional: make bench-peers installs them")
def test_the_peers_answer_with_probabilities_that_order_later_rows(parts: tuple[Rows, Rows], folder: Path) -> None:
    answer = ask(folder, python=PYTHON, seconds=3, threads=1)
    assert list(answer.predictions) == ["catboost defaults", "flaml 3 s"]
    for name, predicted in answer.predictions.items():
        assert ((predicted > 0) & (predicted < 1)).all(), name
        assert roc_auc(parts[1].y_obs, predicted) > 0.6, name
    assert answer.told["flaml 3 s"]["learner"] in answer.told["flaml 3 s"]["tried"]
