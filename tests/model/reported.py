"""A run and a month without any training: what the reports tell of them can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from data.clock import parse_moment, to_us
from data.settings import Plan
from features.snapshots import SnapshotCounts
from features.words import Words
from monitoring.drift.finding import Finding
from monitoring.monthly.advice import what_to_do
from monitoring.monthly.disagreed import Disagreed, SideTold
from monitoring.monthly.driving import Driving
from monitoring.monthly.report import FunnelLine, MonthlyReport
from monitoring.record.outcomes import Worked
from monitoring.record.promises import keep_promise
from tests.model.judgements import synthetic_judgement
from tests.model.rows import synthetic_rows
from tests.service.bundles import sealed_bundle
from training.evaluation.drivers import Band, Driver, DriverChange, Drivers
from training.evaluation.judging import CHAMPION, MODEL, judged_as
from training.gating.gate import Check, Verdict
from training.learning.recipe import Choices
from training.run import Trained

if TYPE_CHECKING:
    from pathlib import Path

    from monitoring.record.promises import Promise
    from training.bundles.bundle import Bundle

__all__ = ["bundle_in", "month_told", "run_told"]


def bundle_in(folder: Path, *, trees: int = 30, rows_seed: int = 0) -> Bundle:
    """Return a sealed bundle that reads the features of `synthetic_rows`."""
    choices = Choices(trees=trees)
    bundle = sealed_bundle(folder, synthetic_rows(2000, seed=rows_seed), choices)
    more = {"judged": {"rows": 1000, "wins": 45}, "choices": choices.as_dict()}
    return replace(bundle, manifest={**bundle.manifest, **more})


def run_told(folder: Path, *, champion: bool = True) -> Trained:
    """Return a run of the last months of synthetic rows; the model knows more of the outcome than its peers."""
    judgement = synthetic_judgement()
    if champion:
        rng = np.random.default_rng(3)
        near = np.clip(judgement.predictions[MODEL] * rng.uniform(0.9, 1.1, len(judgement.y_obs)), 0.001, 0.999)
        board = judged_as(
            synthetic_rows(6000, seed=0),
            judgement.split,
            Choices(),
            {**judgement.predictions, CHAMPION: near},
            np.empty(0),
            monthly=True,
            capacity=20,
            seed=1,
        ).scoreboard
        judgement = replace(judgement, scoreboard=board, predictions={**judgement.predictions, CHAMPION: near})
    checks = (Check("log loss", True, "no worse"), Check("refit", None, "3 open leads, 30 are needed"))
    return Trained(
        judgement=judgement,
        bundle=bundle_in(folder),
        verdict=Verdict("by_hand", checks, "A person has to look."),
        first=not champion,
        counts=SnapshotCounts(2000, 160, 300, 12, 40),
        plan=Plan(),
        cutoff_us=to_us(parse_moment("2026-11-01")),
        dataset_digest="sha256:of-nothing",
        judged_probabilities=judgement.predictions[MODEL],
    )


def _promised(month: str, grade: str, rate: float, won: int, leads: int) -> Promise:
    outcomes = np.array([1] * won + [0] * (leads - won))
    return keep_promise(month, grade, np.full(leads, rate), outcomes, np.ones(leads, bool))


def month_told() -> MonthlyReport:
    """Return October: grade A kept its promise of a quarter in July and came to a tenth of it in August."""
    seniority, price = Words(en="seniority", zh="职级"), Words(en="price page", zh="价格页")
    manager, none = Words(en="vice president", zh="副总裁级"), Words(en="none", zh="无")
    drivers = Drivers(
        120,
        (
            Driver("seniority", seniority, seniority, 0.3, 0.75, (Band(manager, 20, 0.4),), ()),
            Driver("price_page", price, price, 0.1, 0.25, (), (Band(none, 90, -0.1),)),
        ),
    )
    found = Finding(
        "category_renamed", "leads.source <web>", "act", Words(en="'webinar' is now 'event'", zh="“webinar”改为“event”")
    )
    return MonthlyReport(
        month="2026-10",
        month_before="2026-09",
        as_of="2026-11-01T00:00:00Z",
        horizon_days=90,
        promises=(_promised("2026-07", "A", 0.25, 10, 40), _promised("2026-08", "A", 0.25, 1, 40)),
        funnel=tuple(
            FunnelLine(step, now, before)
            for step, now, before in (
                ("exposure", None, None),
                ("click", 0, 0),
                ("lead", 130, 100),
                ("mql", 52, 50),
                ("sql", 20, 22),
                ("opportunity", 9, 9),
                ("won", 12, 8),
            )
        ),
        amounts={"EUR": (12_000.0, 8_000.0)},
        worked=Worked(20, 15, 3, 2, 25.0),
        worked_before=Worked(10, 5, 5, 0, 60.0),
        driving=Driving(drivers, (DriverChange(price, 0.4, 0.25),), same_model=False),
        disagreed=Disagreed(
            20,
            2,
            SideTold(40, 10, 0.25, 0.14, 0.4),
            SideTold(40, 2, 0.05, 0.01, 0.17),
            "model",
            (0.2, 0.05, 0.35),
            6,
            4,
        ),
        advice=what_to_do([found], [], None),
        missing={},
    )
