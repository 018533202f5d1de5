"""The scoreboard is fair to every method and says no more than the rows allow."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from data.errors import UsageError
from training.metrics import METRICS
from training.scoreboard import Scoreboard, scoreboard

COLUMNS = {
    *("group", "method", "metric", "value", "low", "high", "difference", "difference_low", "difference_high"),
    *("n", "wins", "better"),
}


def judged(n: int = 2000, *, seed: int = 0, model: str = "model", rate: float = -1.5, **more: object) -> Scoreboard:
    rng = np.random.default_rng(seed)
    x = rng.normal(rate, 1.2, n)
    y_obs = (rng.random(n) < 1 / (1 + np.exp(-x))).astype(int)
    blurred = 1 / (1 + np.exp(-(x + rng.normal(0, 1.2, n))))
    predictions = {"prior": np.full(n, y_obs.mean()), "blurred": blurred, "model": 1 / (1 + np.exp(-x))}
    given = {"clusters": np.arange(n), "capacity": 200, "rng": rng, "replicates": 200, **more}
    return scoreboard(y_obs, predictions, model=model, **given)  # type: ignore[arg-type]


def test_rows_are_tidy_with_one_row_per_method_and_metric_and_the_model_first() -> None:
    board = judged()
    assert set(board.rows.columns) == COLUMNS
    assert len(board.rows) == 3 * len(METRICS)
    assert board.methods == ("model", "prior", "blurred")
    mine = board.rows[board.rows["method"] == "model"]
    assert (mine["difference"].dropna() == 0).all()
    inside = board.rows.dropna(subset=["low"])
    assert (inside["low"] <= inside["high"]).all()


def test_the_true_probabilities_win_and_a_worse_model_is_told_so() -> None:
    board = judged()
    assert board.significantly_worse("blurred", "log_loss")
    assert not board.significantly_better("blurred", "log_loss")
    assert "log loss: model is ahead of prior and blurred" in board.verdict()
    turned = judged(model="blurred")
    for metric in ("log_loss", "brier", "roc_auc", "pr_auc", "calibration_slope"):
        assert turned.significantly_better("model", metric), metric
    assert "ROC-AUC: blurred is behind model, ahead of prior" in turned.verdict()


def test_a_twin_of_the_model_is_neither_better_nor_worse() -> None:
    y_obs, p = np.array([1, 0, 0, 1] * 60), np.array([0.7, 0.3, 0.2, 0.6] * 60)
    board = scoreboard(
        y_obs, {"model": p, "twin": p}, model="model", clusters=np.arange(240), capacity=9, rng=np.random.default_rng(0)
    )
    assert not any(
        board.significantly_better("twin", name) or board.significantly_worse("twin", name) for name in METRICS
    )
    assert "not told apart from twin" in board.verdict()


def test_equal_methods_are_called_better_about_as_often_as_chance_has_it() -> None:
    """Two predictions with independent noise of one size: each side of a 95 % interval errs about 2.5 % of the time."""
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.normal(-1, 1, 400)
        y_obs = (rng.random(400) < 1 / (1 + np.exp(-x))).astype(int)
        a, b = (1 / (1 + np.exp(-(x + rng.normal(0, 0.5, 400)))) for _ in range(2))
        given: dict[str, Any] = {"clusters": np.arange(400), "capacity": 40, "rng": rng, "replicates": 200}
        found += scoreboard(y_obs, {"a": a, "b": b}, model="a", **given).significantly_better("b", "log_loss")
    assert found <= 6


def test_below_100_wins_there_are_figures_but_no_verdict() -> None:
    board = judged(120)
    assert board.wins < 100
    assert board.verdict() == f"too few wins to judge: {board.wins} of 100"
    assert np.isfinite(board.figure("model", "roc_auc")["value"])


def test_groups_are_judged_apart_from_masks_and_from_labels() -> None:
    n = 600
    unseen, month = np.arange(n) % 3 == 0, np.where(np.arange(n) < 300, "2026-01", "2026-02")
    board = judged(n, groups={"unseen leads": unseen, "month": month})
    assert board.groups == ("all", "unseen leads", "month=2026-01", "month=2026-02")
    assert board.figure("model", "brier", group="unseen leads")["n"] == 200
    parts = [board.figure("model", "brier", group=f"month=2026-0{i}") for i in (1, 2)]
    whole = board.figure("model", "brier")
    assert sum(part["wins"] for part in parts) == whole["wins"] == board.wins
    assert np.mean([part["value"] for part in parts]) == pytest.approx(whole["value"])


def test_capacity_counts_once_per_list() -> None:
    one, six = judged(600), judged(600, periods=np.arange(600) % 6)
    assert six.figure("model", "wins_at_capacity")["value"] == six.wins  # 200 calls for lists of 100
    assert one.figure("model", "wins_at_capacity")["value"] < one.wins


def test_json_is_strict_and_holds_every_row_with_null_for_what_cannot_be_said() -> None:
    board = judged()
    told = json.loads(board.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert len(told["rows"]) == len(board.rows)
    assert told["verdict"] == board.verdict()
    slope = next(r for r in told["rows"] if r["method"] == "prior" and r["metric"] == "calibration_slope")
    assert slope["value"] is None
    assert {row["better"] for row in told["rows"]} == {"larger", "smaller", "nearer 1"}


def test_the_terminal_table_names_all_methods_metrics_and_the_number_of_wins() -> None:
    board = judged()
    written = io.StringIO()
    Console(width=200, file=written).print(board.table())
    text = written.getvalue()
    for word in (*board.methods, *(metric.label.split(" / ")[0] for metric in METRICS.values()), f"{board.wins} wins"):
        assert word in text


def test_an_unknown_model_metric_or_group_is_named() -> None:
    with pytest.raises(UsageError, match="'magic' is not among"):
        judged(50, model="magic")
    board = judged(50)
    with pytest.raises(UsageError, match="'f1'"):
        board.figure("model", "f1")
    with pytest.raises(UsageError, match="has 3 entries"):
        judged(50, groups={"g": np.array([True, False, True])})
