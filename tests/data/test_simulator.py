"""The simulated CRM as a product: what the export holds, what it must not hold, and that the truth is true."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from data.derive import seniority
from data.errors import DataError, InfrastructureError, UsageError
from data.mapping import load_mapping
from data.simulator import SimulationReport, simulate
from data.tables import TABLES

SEEDS = (1, 2, 3)
END = pd.Timestamp("2026-11-01", tz="UTC")


@dataclass(frozen=True)
class Sim:
    report: SimulationReport
    leads: pd.DataFrame
    accounts: pd.DataFrame
    events: pd.DataFrame
    stages: pd.DataFrame
    outcomes: pd.DataFrame
    actions: pd.DataFrame
    merges: pd.DataFrame
    spend: pd.DataFrame
    snapshots: pd.DataFrame
    truth: pd.DataFrame
    mapping: dict[str, Any]


@cache
def simulated(seed: int) -> Sim:
    with TemporaryDirectory() as folder:
        report = simulate(leads=6000, seed=seed, out=Path(folder))
        names = ("leads", "accounts", "stages", "outcomes", "actions", "merges", "spend")
        tables = {name: pd.read_csv(report.export / f"{name}.csv") for name in names}
        for name, column in (
            ("leads", "Created"),
            ("accounts", "Updated At"),
            ("stages", "Date"),
            ("stages", "Entered At"),
            ("outcomes", "Closed At"),
            ("outcomes", "Entered At"),
            ("actions", "Date"),
            ("actions", "Entered At"),
            ("merges", "Date"),
            ("merges", "Entered At"),
            ("spend", "Day"),
            ("spend", "Updated At"),
        ):
            tables[name][column] = pd.to_datetime(tables[name][column])
        return Sim(
            report,
            **tables,
            events=pd.read_parquet(report.export / "events.parquet"),
            snapshots=pd.read_parquet(report.truth / "snapshots.parquet"),
            truth=pd.read_parquet(report.truth / "leads.parquet"),
            mapping=yaml.safe_load((report.export / "mapping.yaml").read_text(encoding="utf-8")),
        )


@pytest.fixture(params=SEEDS)
def sim(request: pytest.FixtureRequest) -> Sim:
    return simulated(request.param)


def unique_events(sim: Sim) -> pd.DataFrame:
    """Events without redeliveries, with the primary lead and its real end."""
    events = sim.events.drop_duplicates(["system", "event_id"])
    return events.merge(sim.truth[["lead_id", "primary_lead_id", "closed_at"]], on="lead_id")


def apart(snapshots: pd.DataFrame) -> pd.DataFrame:
    """Every fourth cross-section: horizons that do not overlap, so residuals are uncorrelated."""
    monthly = snapshots[snapshots["kind"] == "monthly"]
    return monthly[monthly["as_of"].isin(sorted(monthly["as_of"].unique())[::4])]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate(leads=800, seed=seed, out=tmp_path / name, months=6)
    simulate(leads=800, seed=5, out=tmp_path / "b", months=6)  # over an earlier run
    first, again, other = (digests(tmp_path / name) for name in "abc")
    assert first == again
    assert len(first) == 12
    assert all(first[name] != other[name] for name in first if not name.endswith("mapping.yaml"))


def test_counts_and_rates_look_like_a_team(sim: Sim) -> None:
    first = sim.accounts.sort_values("Updated At").drop_duplicates("Company ID")
    assert len(sim.leads) == sim.report.leads == 6000
    assert 0.02 < sim.report.win_rate < 0.08
    assert 0.18 < sim.truth["is_duplicate"].mean() < 0.22
    assert 0.15 < first["Employees"].isna().mean() < 0.35
    assert 0.45 < sim.leads["Fleet Size"].isna().mean() < 0.55
    assert 0.05 < sim.report.open / sim.report.people < 0.5
    assert sim.leads["Lead ID"].is_unique
    assert first["Employees"].mean() > 2.5 * first["Employees"].median()
    assert (sim.leads["Title"].dropna().map(str.isascii)).mean() == pytest.approx(0.58, abs=0.12)


def test_missing_sizes_are_informative_and_sometimes_bought_later(sim: Sim) -> None:
    history = sim.accounts.sort_values("Updated At")
    first = history.drop_duplicates("Company ID", keep="first").set_index("Company ID")
    last = history.drop_duplicates("Company ID", keep="last").set_index("Company ID")
    size = sim.truth.drop_duplicates("account_id").set_index("account_id")["employees"].reindex(first.index)
    missing = first["Employees"].isna()
    assert size[missing].median() < size[~missing].median()
    bought = missing & last.loc[first.index, "Employees"].notna()
    assert 0.02 < bought.sum() / missing.sum() < 0.4
    assert (last.loc[bought[bought].index, "Updated At"] > first.loc[bought[bought].index, "Updated At"]).all()


def test_everything_is_known_after_it_happened_and_before_the_export(sim: Sim) -> None:
    for happened, known in (
        (sim.events["occurred_at"], sim.events["received_at"]),
        (sim.stages["Date"], sim.stages["Entered At"]),
        (sim.outcomes["Closed At"], sim.outcomes["Entered At"]),
    ):
        assert (known >= happened).all()
        assert (known < END).all()
    assert (sim.leads["Created"] < END).all()
    after = unique_events(sim).merge(sim.leads[["Lead ID", "Created"]], left_on="lead_id", right_on="Lead ID")
    after = after[after["occurred_at"] > after["Created"]]
    days = (after["received_at"] - after["occurred_at"]).dt.total_seconds() / 86400
    assert days.median() < 5 / 1440
    assert 0.01 < (days > 1).mean() < 0.08


def test_outcomes_are_entered_within_about_five_days(sim: Sim) -> None:
    days = (sim.outcomes["Entered At"] - sim.outcomes["Closed At"]).dt.total_seconds() / 86400
    assert days.median() < 1
    assert 3 < days.quantile(0.95) < 6.5


def test_some_events_are_delivered_twice_and_out_of_order(sim: Sim) -> None:
    keys = ["system", "event_id"]
    again = sim.events.duplicated(keys)
    assert 0.02 < again.mean() < 0.05
    assert (sim.events.duplicated() == again).all(), "a redelivery has the same content"
    assert 0.05 < (np.diff(sim.events["received_at"].astype("int64")) < 0).mean() < 0.6


def test_events_follow_working_hours_and_come_in_bursts(sim: Sim) -> None:
    events = unique_events(sim)
    assert (events["occurred_at"].dt.day_of_week >= 5).mean() < 0.15
    gaps = events.sort_values("occurred_at").groupby("primary_lead_id")["occurred_at"].diff().dropna()
    assert (gaps < pd.Timedelta("10min")).mean() > 0.4
    per_lead = events.groupby("primary_lead_id").size()
    assert per_lead.quantile(0.99) > 8 * per_lead.median()
    assert set(events["activity"]) == {
        "page_view", "price_page_view", "whitepaper_download", "webinar_attended", "email_open", "email_click",
        "demo_request", "trial_start", "form_submit", "content_view",
    }  # fmt: skip


def test_only_a_few_stray_events_follow_a_closing(sim: Sim) -> None:
    events = unique_events(sim)
    late = events["closed_at"].notna() & (events["occurred_at"] > events["closed_at"])
    assert 0 < late.mean() < 0.03


def test_exported_outcomes_are_the_true_ones(sim: Sim) -> None:
    real = sim.outcomes[sim.outcomes["Reason"] != "duplicate"]
    assert real["Lead ID"].is_unique
    joined = real.merge(sim.truth, left_on="Lead ID", right_on="surviving_lead_id").query("not is_duplicate")
    assert len(joined) == len(real)
    assert ((joined["Outcome"] == "Closed Won") == (joined["final_state"] == "won")).all()
    assert (joined["Closed At"] == joined["closed_at"]).all()
    closed = sim.truth[~sim.truth["is_duplicate"] & (sim.truth["closed_at"] < END - pd.Timedelta("60D"))]
    assert set(closed["surviving_lead_id"]) <= set(real["Lead ID"])
    assert (real["Outcome"] == "Closed Won").sum() == pytest.approx(sim.report.won, rel=0.05)


def test_duplicates_can_be_found_by_address_or_number_and_are_spelt_otherwise(sim: Sim) -> None:
    rows = sim.leads.set_index("Lead ID")
    pairs = sim.truth[sim.truth["is_duplicate"]]
    twin, first = rows.loc[pairs["lead_id"]], rows.loc[pairs["primary_lead_id"]]
    mail = twin["Email"].str.strip().str.lower().to_numpy() == first["Email"].str.strip().str.lower().to_numpy()
    digits = [frame["Phone"].str.replace(r"\D", "", regex=True).str[-7:].to_numpy() for frame in (twin, first)]
    number = (digits[0] == digits[1]) & twin["Phone"].notna().to_numpy()
    assert (mail | number).mean() > 0.9
    assert 0.6 < mail.mean() < 0.95
    assert (twin["Name"].to_numpy() != first["Name"].to_numpy()).mean() > 0.4
    assert (twin["Created"].to_numpy() > first["Created"].to_numpy()).all()


def test_different_people_share_neither_address_nor_number(sim: Sim) -> None:
    people = sim.leads[~sim.leads["Lead ID"].isin(sim.truth.loc[sim.truth["is_duplicate"], "lead_id"])]
    assert people["Email"].dropna().str.strip().str.lower().is_unique
    # Formats differ in prefixes only; the last seven digits with the country are the subscriber.
    digits = people["Phone"].dropna().str.replace(r"\D", "", regex=True).str[-7:]
    assert digits.is_unique


def test_no_company_address_lies_outside_the_domains_reserved_for_examples(sim: Sim) -> None:
    domain = sim.leads["Email"].dropna().str.strip().str.lower().str.split("@").str[1]
    reserved = domain.str.endswith((".example", ".test"))
    assert 0.6 < reserved.mean() < 0.95
    local = sim.leads.loc[domain[~reserved].index, "Email"].str.strip().str.lower().str.split("@").str[0]
    assert local.str.fullmatch(r"[a-z]+\.[a-z]+\.sim\d{6}").all()


def test_pools_follow_the_old_rules_computed_from_the_export(sim: Sim) -> None:
    leads = sim.leads[sim.leads["Pool"].notna() & (sim.leads["Created"] < END - pd.Timedelta("1h"))]
    first = sim.accounts.sort_values("Updated At").drop_duplicates("Company ID")
    rows = leads.merge(first, on="Company ID", how="left").merge(sim.truth, left_on="Lead ID", right_on="lead_id")
    papers = sim.events.drop_duplicates(["system", "event_id"]).query("activity == 'whitepaper_download'")
    papers = papers.merge(leads[["Lead ID", "Created"]], left_on="lead_id", right_on="Lead ID")
    early = papers[
        (papers["received_at"] <= papers["Created"] + pd.Timedelta("5min"))
        & (papers["occurred_at"] >= papers["Created"] - pd.Timedelta("30D"))
    ]
    two = rows["Lead ID"].map(early.groupby("Lead ID").size()).fillna(0) >= 2
    target = rows["Industry"].isin(["manufacturing", "medical devices", "software"])
    senior = rows["seniority"].isin(["vp", "c_level"]) & rows["Title"].notna()
    points = 30 * (rows["Employees"] > 500) + 20 * two + 25 * senior + 15 * target
    expected = np.where(points > 80, "A", np.where(points > 40, "B", "C"))
    assert (expected == rows["Pool"]).all()
    assert (expected == "A").sum() >= 15


def test_pool_a_is_called_first(sim: Sim) -> None:
    calls = sim.stages[sim.stages["Stage"] == "Called"].set_index("Lead ID")["Date"]
    rows = sim.truth[~sim.truth["is_duplicate"]].merge(sim.leads, left_on="lead_id", right_on="Lead ID")
    rows = rows[(rows["closed_at"].isna() | (rows["closed_at"] > rows["Created"] + pd.Timedelta("1D")))]
    rows = rows[rows["Created"] < END - pd.Timedelta("1D")]
    wait = rows["lead_id"].map(calls) - rows["Created"]
    in_a = rows["pool"] == "A"
    assert (wait[in_a] < pd.Timedelta("2h")).mean() > 0.95
    assert (wait[rows["pool"] == "C"] < pd.Timedelta("2h")).mean() < 0.1


def test_stages_come_in_order_and_every_win_has_them(sim: Sim) -> None:
    # What happened in the last week may not have been entered yet.
    settled = sim.stages[sim.stages["Date"] < END - pd.Timedelta("7D")]
    stages = settled.merge(sim.truth, left_on="Lead ID", right_on="lead_id")
    times = stages.pivot_table(index="primary_lead_id", columns="Stage", values="Date", aggfunc="min")
    for earlier, later in (("MQL", "SQL"), ("SQL", "Opportunity")):
        both = times[later].notna()
        assert (times.loc[both, earlier] <= times.loc[both, later]).all()
    won = sim.truth[(sim.truth["final_state"] == "won") & (sim.truth["closed_at"] < END - pd.Timedelta("10D"))]
    assert times.reindex(won["primary_lead_id"].unique())["Opportunity"].notna().all()
    assert not stages.duplicated(["Lead ID", "Stage", "Date"]).any()
    assert (times["Opportunity"].notna().sum()) > 1.2 * len(won["primary_lead_id"].unique())


def test_snapshots_are_of_open_primary_leads_only(sim: Sim) -> None:
    rows = sim.snapshots.merge(sim.truth, on="lead_id").merge(sim.leads, left_on="lead_id", right_on="Lead ID")
    assert len(rows) == len(sim.snapshots)
    assert not rows["is_duplicate"].any()
    assert (rows["as_of"] >= rows["Created"]).all()
    assert (rows["closed_at"].isna() | (rows["closed_at"] > rows["as_of"])).all()
    monthly = rows[rows["kind"] == "monthly"]
    assert (monthly["as_of"].dt.day == 1).all()
    assert monthly["as_of"].nunique() == 24  # nobody exists yet on the first day of the first month
    first_look = rows[rows["kind"] == "t0"]
    assert (first_look["as_of"] - first_look["Created"] == pd.Timedelta("5min")).all()
    within = (rows["closed_at"] <= rows["as_of"] + pd.Timedelta("90D")) & (rows["final_state"] == "won")
    assert (within == rows["won_90d"]).all()


def test_the_truth_is_calibrated_in_bins() -> None:
    rows = pd.concat([apart(simulated(seed).snapshots) for seed in SEEDS])
    first_looks = pd.concat([simulated(seed).snapshots.query("kind == 't0'") for seed in SEEDS])
    for part in (rows, first_looks):
        for _, group in part.groupby(pd.qcut(part["probability_90d"], 10), observed=True):
            p = group["probability_90d"]
            assert abs((group["won_90d"] - p).sum()) < 4 * np.sqrt((p * (1 - p)).sum())


def test_nothing_in_the_export_knows_more_than_the_truth() -> None:
    residuals: dict[str, list[pd.DataFrame]] = {}
    for seed in SEEDS:
        sim = simulated(seed)
        events, primary = unique_events(sim), sim.truth.set_index("lead_id")["primary_lead_id"]
        twins = sim.leads[sim.leads["Lead ID"].isin(sim.truth.loc[sim.truth["is_duplicate"], "lead_id"])]
        judged = apart(sim.snapshots)
        for as_of in pd.DatetimeIndex(judged["as_of"].unique()):
            rows = judged[judged["as_of"] == as_of]
            known = sim.stages[sim.stages["Entered At"] <= as_of]
            seen = events[(events["occurred_at"] < as_of) & (events["received_at"] <= as_of)]
            recent = seen[seen["occurred_at"] >= as_of - pd.Timedelta("14D")].groupby("primary_lead_id").size()
            signals = {str(stage): part["Lead ID"].map(primary) for stage, part in known.groupby("Stage")}
            signals["busy"] = recent[recent >= 5].index.to_series()
            signals["priced"] = seen.loc[seen["activity"] == "price_page_view", "primary_lead_id"]
            signals["twin"] = twins.loc[twins["Created"] < as_of, "Lead ID"].map(primary)
            for name, having in signals.items():
                residuals.setdefault(name, []).append(rows[rows["lead_id"].isin(set(having))])
    assert set(residuals) == {"Called", "MQL", "SQL", "Opportunity", "busy", "priced", "twin"}
    for name, parts in residuals.items():
        rows = pd.concat(parts)
        p = rows["probability_90d"]
        assert len(rows) > 200, name
        assert abs((rows["won_90d"] - p).sum()) < 4 * np.sqrt((p * (1 - p)).sum()), name


def test_much_stays_unpredictable_even_for_who_knows_all() -> None:
    rows = pd.concat([apart(simulated(seed).snapshots) for seed in SEEDS])
    p, base = rows["probability_90d"], rows["probability_90d"].mean()
    assert 0.85 < roc_auc_score(rows["won_90d"], p) < 0.93
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
    assert entropy > 0.6 * -(base * np.log(base) + (1 - base) * np.log(1 - base))


def test_enterprises_win_more_slowly(sim: Sim) -> None:
    won = sim.truth[(sim.truth["final_state"] == "won") & ~sim.truth["is_duplicate"]]
    large = sim.truth["employees"] > 1000
    assert sim.truth.loc[large, "rate_win"].median() < sim.truth.loc[~large, "rate_win"].median()
    days = (won["closed_at"] - won["lead_id"].map(sim.leads.set_index("Lead ID")["Created"])).dt.days
    assert days.quantile(0.1) < 25
    assert days.quantile(0.9) > 150


def test_the_mapping_covers_every_table_and_every_column(sim: Sim) -> None:
    frames = {name: getattr(sim, name) for name in TABLES if name != "contacts"}
    used: dict[str, set[str]] = {name: set(sim.mapping["ignored"].get(name, ())) for name in frames}
    assert set(sim.mapping["tables"]) == set(TABLES)
    for name, table in sim.mapping["tables"].items():
        canonical = {column.name for column in TABLES[name].columns}
        assert set(table["columns"]) <= canonical
        required = {c.name for c in TABLES[name].columns if c.required} - {"known_at", "recorded_at"}
        assert required <= set(table["columns"])
        sources = [*table["columns"].values(), *table.get("custom", {}).values(), table["known_at"]]
        columns = {source if isinstance(source, str) else source.get("column") for source in sources} - {None}
        assert columns <= set(frames[table["from"]].columns)
        used[table["from"]] |= columns
    assert {name: set(frame.columns) for name, frame in frames.items()} == used


def test_the_mapping_language_accepts_the_mapping(tmp_path: Path) -> None:
    report = simulate(leads=40, seed=0, out=tmp_path, months=2)
    assert load_mapping(report.export / "mapping.yaml").name == "simulated"


def test_job_titles_are_messy_but_can_be_read(sim: Sim) -> None:
    rows = sim.leads.merge(sim.truth, left_on="Lead ID", right_on="lead_id")
    rows = rows[rows["Title"].notna()]
    levels = rows["seniority"].replace({"intern": "junior"})
    read = rows["Title"].map(seniority)
    assert 0.85 < (read == levels).mean() <= 1.0
    assert rows["Title"].nunique() > 200
    assert (rows["Title"] != rows["Title"].str.strip()).any()


def test_the_engagement_factor_scales_the_events(tmp_path: Path) -> None:
    quiet, loud = (
        simulate(leads=1500, seed=1, out=tmp_path / str(factor), engagement=factor).events for factor in (1.0, 4.0)
    )
    assert 3.0 < loud / quiet < 4.5


def test_progress_is_told_in_rising_shares(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    end = datetime(2026, 3, 31, 17, 5, tzinfo=UTC)

    def tell(step: str, share: float) -> None:
        told.append((step, share))

    report = simulate(leads=40, seed=0, out=tmp_path, end=end, months=1, progress=tell)
    assert [share for _, share in told] == sorted({share for _, share in told})
    assert told[-1] == ("done", 1.0)
    events = pq.read_table(report.export / "events.parquet")
    assert str(events.schema.field("received_at").type) == "timestamp[us, tz=UTC]"


def test_wrong_arguments_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leads is 0"):
        simulate(leads=0, seed=1, out=tmp_path)
    with pytest.raises(UsageError, match="seed is -1"):
        simulate(leads=100, seed=-1, out=tmp_path)
    with pytest.raises(UsageError, match="engagement is nan"):
        simulate(leads=100, seed=1, out=tmp_path, engagement=float("nan"))
    with pytest.raises(DataError, match="without an offset"):
        simulate(leads=100, seed=1, out=tmp_path, end=datetime(2026, 11, 1))  # noqa: DTZ001
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(InfrastructureError, match="could not be written"):
        simulate(leads=100, seed=1, out=blocked)


def test_a_lead_is_assigned_before_it_is_accepted_and_accepted_before_it_is_called(sim: Sim) -> None:
    dates = sim.actions.pivot_table(index="Lead ID", columns="Activity", values="Date", aggfunc="min").dropna()
    assert len(dates) > 1000
    assert (dates["assigned"] <= dates["accepted"]).all()
    assert (dates["accepted"] <= dates["called"]).all()
    created = sim.leads.set_index("Lead ID")["Created"]
    assert (dates["assigned"] >= created.loc[dates.index]).all()
    assert (sim.actions["Entered At"] >= sim.actions["Date"]).all()


def test_a_merge_joins_two_records_of_one_person_after_both_were_created(sim: Sim) -> None:
    person = sim.truth.set_index("lead_id")["person"]
    created = sim.leads.set_index("Lead ID")["Created"]
    merged, into = sim.merges["Lead ID"], sim.merges["Merged Into"]
    assert len(merged) > 100
    assert (merged != into).all()
    assert (person.loc[merged].to_numpy() == person.loc[into].to_numpy()).all()
    for side in (merged, into):
        assert (created.loc[side].to_numpy() <= sim.merges["Date"].to_numpy()).all()
    assert (sim.merges["Entered At"] >= sim.merges["Date"]).all()
