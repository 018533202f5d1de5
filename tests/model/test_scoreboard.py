"""The scoreboard is fair to every method and says no more than the rows allow."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from data.errors import DataError, InfrastructureError, UsageError
from training.evaluation.metrics import METRICS
from training.evaluation.scoreboard import Scoreboard, read_scoreboard, scoreboard
from training.evaluation.scoreboard_table import metrics_for, segment_table

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


def test_json_tells_for_each_group_how_much_it_holds_and_what_may_be_said_of_it() -> None:
    board = judged(groups={"part": np.where(np.arange(2000) < 60, "small", "large")}, periods=np.arange(2000) % 4)
    told = json.loads(board.to_json())
    assert told["groups"]["all"] == {"n": 2000, "wins": board.wins, "verdict": board.verdict()}
    assert told["groups"]["part=small"]["verdict"] == board.verdict(group="part=small")
    assert told["origins"] == 4
    assert told["caveats"] == ["judged on 4 monthly cross-sections: the history is short"]


def test_a_segment_below_30_wins_shows_figures_and_no_verdict() -> None:
    board = judged(groups={"part": np.where(np.arange(2000) < 60, "small", "large")})
    wins = board.counts("part=small")[1]
    assert 0 < wins < 30
    assert board.verdict(group="part=small") == f"too few wins in this segment to judge: {wins} of 30"
    assert board.ahead("log_loss", group="part=small") == "few wins"
    assert np.isfinite(board.figure("blurred", "log_loss", group="part=small")["difference"])
    assert board.verdict(group="part=large").startswith("log loss: model is ahead of")


def test_below_100_wins_overall_no_segment_gets_a_verdict_either() -> None:
    board = judged(300, groups={"all but one": np.arange(300) > 0})
    assert 30 < board.counts("all but one")[1] < 100
    assert board.verdict(group="all but one") == board.verdict() == f"too few wins to judge: {board.wins} of 100"


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        (None, "judged on one forward split, not on monthly cross-sections"),
        (1, "judged on 1 monthly cross-section: the history is short"),
        (5, "judged on 5 monthly cross-sections: the history is short"),
        (6, ""),
    ],
)
def test_a_short_history_is_said_plainly(lists: int | None, said: str) -> None:
    board = judged(periods=None if lists is None else np.arange(2000) % lists)
    assert board.origins == (lists or 1)
    assert " ".join(board.caveats) == said


def test_many_wins_of_few_accounts_are_called_so() -> None:
    board = judged(clusters=np.arange(2000) // 40, periods=np.arange(2000) % 6)
    assert board.wins > 100
    assert board.caveats == (f"the {board.wins} wins are those of 50 accounts, some on several lists",)


def test_groups_stand_in_the_order_that_people_expect() -> None:
    bands = ("over 180 days", "7-30 days", "0-7 days", "90-180 days", "other")
    board = judged(500, replicates=2, groups={"age": np.array(bands * 100, dtype=object)})
    expected = ("0-7 days", "7-30 days", "90-180 days", "over 180 days", "other")
    assert board.groups[1:] == tuple(f"age={band}" for band in expected)


def test_the_rival_is_the_best_other_method_and_the_board_says_who_is_ahead() -> None:
    board = judged()
    # The blurred model ranks better than the prior, but is too sure of itself.
    assert (board.rival(), board.rival("roc_auc")) == ("prior", "blurred")
    assert board.ahead("log_loss") == board.ahead("roc_auc") == "model"
    turned = judged(model="blurred")
    assert turned.rival() == "model"
    assert turned.ahead("log_loss") == "model"
    assert judged(model="blurred", capacity=2000).ahead("wins_at_capacity") == "even"


def test_a_scoreboard_comes_back_from_parquet_as_it_was(tmp_path: Path) -> None:
    board = judged(groups={"half": np.arange(2000) < 1000}, periods=np.arange(2000) % 3)
    path = board.to_parquet(tmp_path / "new" / "scoreboard.parquet")
    again = read_scoreboard(path)
    assert again.to_json() == board.to_json()
    assert again.rows.dtypes.astype(str).tolist() == board.rows.dtypes.astype(str).tolist()
    assert [file.name for file in path.parent.iterdir()] == ["scoreboard.parquet"]


def test_what_is_no_scoreboard_is_refused_and_a_bad_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"nothing of the kind")
    for name in ("a.parquet", "missing.parquet"):
        with pytest.raises(DataError, match=r"no scoreboard that clew wrote"):
            read_scoreboard(tmp_path / name)
    with pytest.raises(InfrastructureError, match="cannot be written"):
        judged(300, replicates=2).to_parquet(tmp_path / "a.parquet" / "b.parquet")


def shown(table: object, width: int = 200) -> str:
    written = io.StringIO()
    Console(width=width, file=written).print(table)
    return written.getvalue()


def test_the_table_of_segments_has_a_line_for_each_group_and_says_who_is_ahead() -> None:
    board = judged(groups={"part": np.where(np.arange(2000) < 60, "small", "large")}, periods=np.arange(2000) % 4)
    text = shown(segment_table(board))
    lines = {line.split("│")[1].strip(): line for line in text.splitlines() if line.startswith("│") and "part" in line}
    assert lines["part=small"].rstrip("│ ").endswith("few wins")
    assert lines["part=large"].rstrip("│ ").endswith("model")
    assert "difference: prior" in text
    assert "about 0.1 stand out by chance" in " ".join(text.split())


def test_a_table_repeats_the_caveats_and_fits_the_screen_it_was_made_for() -> None:
    board = judged(periods=np.arange(2000) % 4)
    assert "Judged on 4 monthly cross-sections: the history is short." in " ".join(shown(board.table()).split())
    for width in (80, 160, 200):
        text = shown(board.table(metrics=metrics_for(width)), width)
        assert "…" not in text
        assert f"{board.figure('model', 'log_loss')['low']:.4f} – " in text


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
