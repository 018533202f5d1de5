"""On real data, forward in time, no peer beats the model: the promise that matters most.

The splits are those of the committed mappings: BPI 2012 trained on 2011 and judged on the applications of January 2012
a day after they came; Olist trained on January to March 2018 and judged on April and May; bank marketing trained on the
first 70 % of the rows and judged on the rest. Every fit label closes before the judged period begins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.importing import import_export
from data.mapping import load_mapping
from data.settings import load_settings
from data.warehouse import Warehouse
from features.training_set import build_training_set
from serving.demo.run import end_of_data
from tests.datasets import public_dataset
from training.evaluation.judging import MODEL
from training.run import Trained, train

FOLDERS = {"bpi2012": "bpi2012_loan_funnel", "olist": "olist_funnel", "bank_marketing": "bank_marketing"}
WHOLE_FORWARD = {"bpi2012": (1379, 434), "olist": (2655, 238), "bank_marketing": (12354, 3033)}


@pytest.fixture(scope="module", params=sorted(FOLDERS))
def name(request: Any) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def home(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(name)


@pytest.fixture(scope="module")
def judged(name: str, home: Path) -> tuple[str, Trained]:
    source = public_dataset(FOLDERS[name])
    settings = load_settings(home=home, mlruns=home / "mlruns")
    warehouse = Warehouse(settings.warehouse_dir)
    import_export(source, load_mapping(name), warehouse)
    return name, train(warehouse, settings, as_of=end_of_data(settings))


def test_the_judged_rows_are_the_ones_agreed_on(judged: tuple[str, Trained]) -> None:
    name, trained = judged
    assert (trained.judgement.scoreboard.n, trained.judgement.scoreboard.wins) == WHOLE_FORWARD[name]


def test_every_fit_label_closes_before_the_judged_period_begins(judged: tuple[str, Trained], home: Path) -> None:
    _, trained = judged
    split = trained.judgement.split
    with Warehouse(home / "warehouse").connect() as connection:
        rebuilt = build_training_set(
            connection, trained.bundle.catalogue, trained.plan, cutoff_us=trained.cutoff_us
        ).table
    closes = rebuilt["label_closes_us"].to_numpy()
    assert split.fit.any()
    assert closes[split.fit].max() <= split.judge_from_us <= rebuilt["as_of_us"].to_numpy()[split.judged].min()


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_no_peer_is_better(judged: tuple[str, Trained], metric: str) -> None:
    name, trained = judged
    board = trained.judgement.scoreboard
    ours = float(board.figure(MODEL, metric)["value"])
    for peer in board.methods:
        theirs = float(board.figure(peer, metric)["value"])
        assert not board.significantly_better(peer, metric), (name, peer)
        assert (theirs <= ours) if metric == "roc_auc" else (theirs >= ours), (name, peer, theirs, ours)


def test_reasons_add_up_on_a_thousand_random_rows(judged: tuple[str, Trained]) -> None:
    _, trained = judged
    bundle = trained.bundle
    encoding = bundle.full.model.encoding
    rng = np.random.default_rng(3)
    matrix = np.column_stack([rng.integers(0, 2, 1000).astype(float) for _ in encoding.codes])
    phi, base = bundle.full.explain(matrix)
    assert np.abs(base + phi.sum(axis=1) - bundle.full.logit(matrix)).max() < 1e-6


def test_the_bundle_is_small_text(judged: tuple[str, Trained]) -> None:
    _, trained = judged
    folder: Path = trained.bundle.folder
    assert {file.suffix for file in folder.iterdir()} <= {".json", ".txt"}
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5_000_000
