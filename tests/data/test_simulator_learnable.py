"""The simulated leads can be learnt from, forward in time, but not too well: by hand-made features and plain models."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from data.simulator import simulate

TRAINED_UNTIL = pd.Timestamp("2026-01-01", tz="UTC")
JUDGED_FROM = TRAINED_UNTIL + pd.Timedelta("90D")
INTENT = ["price_page_view", "demo_request", "trial_start"]
SEEDS = (1, 3)


@dataclass(frozen=True)
class Rows:
    x: pd.DataFrame
    y: npt.NDArray[np.bool_]
    p: npt.NDArray[np.float64]
    train: npt.NDArray[np.bool_]
    judged: npt.NDArray[np.bool_]

    @property
    def columns(self) -> list[str]:
        return [str(name) for name in self.x.columns]


def engagement(events: pd.DataFrame, rows: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Counts over windows `[as_of - days, as_of)` of what was known by `as_of`."""
    seen = events[(events["occurred_at"] < as_of) & (events["received_at"] <= as_of)]
    found = pd.DataFrame(index=rows.index)
    for days in (7, 30, 90):
        recent = seen[seen["occurred_at"] >= as_of - pd.Timedelta(days=days)]
        for name, part in (("all", recent), ("intent", recent[recent["activity"].isin(INTENT)])):
            counts = rows["lead_id"].map(part.groupby("person").size()).fillna(0)
            found[f"{name}_{days}"] = np.log1p(counts)
    last = rows["lead_id"].map(seen.groupby("person")["occurred_at"].max())
    found["silent_days"] = ((as_of - last).dt.total_seconds() / 86400).fillna(400).clip(upper=400)
    return found


def profile(rows: pd.DataFrame) -> pd.DataFrame:
    """What the forms said, as numbers."""
    title = rows["Title"].fillna("")
    found = pd.DataFrame(index=rows.index)
    found["age"] = (rows["as_of"] - rows["Created"]).dt.total_seconds() / 86400
    size = np.log10(rows["Employees"])
    found["size"] = size.fillna(size.median())
    found["size_missing"] = size.isna().astype(float)
    found["middle"] = ((found["size"] > 1.9) & (found["size"] < 3.2)).astype(float)
    found["many_vehicles"] = (rows["Fleet Size"] > 40).astype(float)
    found["senior"] = title.str.contains(r"(?i)VP|V\.P|vice|chief|ceo|cto|cio|总裁|总经理|董事|首席|创始").astype(float)
    found["director"] = title.str.contains("(?i)director|head of|总监").astype(float)
    found["trainee"] = title.str.contains("(?i)intern|student|trainee|实习|学生|研究生").astype(float)
    kinds = pd.get_dummies(rows[["Industry", "Lead Source", "ERP", "Budget Band"]], dummy_na=True, dtype=float)
    return pd.concat([found, kinds], axis=1)


@cache
def learnt(seed: int) -> Rows:
    with TemporaryDirectory() as folder:
        report = simulate(leads=8000, seed=seed, out=Path(folder))
        leads = pd.read_csv(report.export / "leads.csv", parse_dates=["Created"])
        accounts = pd.read_csv(report.export / "accounts.csv").sort_values("Updated At").drop_duplicates("Company ID")
        events = pd.read_parquet(report.export / "events.parquet").drop_duplicates(["system", "event_id"])
        snapshots = pd.read_parquet(report.truth / "snapshots.parquet")
        people = pd.read_parquet(report.truth / "leads.parquet").set_index("lead_id")["primary_lead_id"]
    events["person"] = events["lead_id"].map(people)
    rows = snapshots[snapshots["kind"] == "monthly"].merge(leads, left_on="lead_id", right_on="Lead ID")
    rows = rows.merge(accounts[["Company ID", "Industry", "Employees"]], on="Company ID", how="left")
    months = pd.DatetimeIndex(rows["as_of"].unique())
    behaviour = pd.concat([engagement(events, rows[rows["as_of"] == month], month) for month in months])
    x = pd.concat([profile(rows), behaviour.loc[rows.index]], axis=1)
    matured = rows["as_of"] <= pd.Timestamp("2026-08-03", tz="UTC")
    return Rows(
        x=x,
        y=rows["won_90d"].to_numpy(),
        p=rows["probability_90d"].to_numpy(),
        train=(rows["as_of"] <= TRAINED_UNTIL).to_numpy(),
        judged=((rows["as_of"] >= JUDGED_FROM) & matured).to_numpy(),
    )


@cache
def forward(seed: int, kind: str, part: str = "all") -> npt.NDArray[np.float64]:
    """Probabilities of the judged rows by a model of the earlier ones, of all columns or a part of them."""
    model = (
        make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=500))
        if kind == "logistic"
        else HistGradientBoostingClassifier(max_leaf_nodes=6, learning_rate=0.04, max_iter=110, random_state=0)
    )
    rows = learnt(seed)
    acts = [name for name in rows.columns if name.startswith(("all_", "intent_", "silent"))]
    columns = {"all": rows.columns, "acts": acts, "profile": [name for name in rows.columns if name not in acts]}
    x = rows.x[columns[part]].to_numpy()
    with threadpool_limits(1):  # several threads on a busy machine wait for each other, many times as long
        model.fit(x[rows.train], rows.y[rows.train])
        found: npt.NDArray[np.float64] = model.predict_proba(x[rows.judged])[:, 1]
    return found


@pytest.mark.parametrize("kind", ["logistic", "trees"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_plain_model_beats_the_prior_forward_in_time(seed: int, kind: str) -> None:
    rows = learnt(seed)
    assert rows.y[rows.judged].sum() >= 100
    p = forward(seed, kind)
    y = rows.y[rows.judged]
    assert 0.68 < roc_auc_score(y, p) < 0.85
    assert log_loss(y, p) < log_loss(y, np.full(len(y), rows.y[rows.train].mean()))


@pytest.mark.parametrize("seed", SEEDS)
def test_profile_and_engagement_both_matter_and_neither_is_all(seed: int) -> None:
    rows = learnt(seed)
    whole, by_acts, by_profile = (
        roc_auc_score(rows.y[rows.judged], forward(seed, "logistic", part)) for part in ("all", "acts", "profile")
    )
    assert by_acts > 0.6
    assert by_profile > 0.6
    assert whole > max(by_acts, by_profile) + 0.01


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plain_model_stays_below_the_truth(seed: int) -> None:
    rows = learnt(seed)
    y, p = rows.y[rows.judged], rows.p[rows.judged]
    best = max(roc_auc_score(y, forward(seed, kind)) for kind in ("logistic", "trees"))
    assert best < roc_auc_score(y, p) - 0.03
    assert log_loss(y, p) < log_loss(y, forward(seed, "logistic"))
