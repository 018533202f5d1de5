"""How many planted faults the monitor finds under their own names, and how often it cries wolf."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.measure import Measured
from tests.model.faults import FAULTS
from tests.model.planted import judge_windows, simulated_team, summary

__all__ = ["faults_found"]

LEADS, MONTHS, FIRST, EVERY = 40_000, 40, 17, 6


def faults_found() -> Measured:
    """Plant each fault in windows of a simulated team; the ratio is the share that was named, the peer finds all.

    `also.false_alarm_share` is of the same windows without faults. `make evidence` judges more windows.
    """
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        team = simulated_team(Path(folder), leads=LEADS, months=MONTHS, seed=23)
        judged = range(FIRST, team.quiet.windows.count, EVERY)
        told = summary(judge_windows(team, judged, (None, *FAULTS)))
    shares = [one["named"] / one["planted"] for one in told["faults"].values()]
    return Measured(
        value=told["share_found"],
        unit="share",
        peer=1.0,
        ratio=told["share_found"],
        n=sum(one["planted"] for one in told["faults"].values()),
        spread=(min(shares), max(shares)),
        also={
            "quiet_windows": told["quiet_windows"],
            "false_alarm_share": told["false_alarms"] / told["quiet_windows"],
        },
    )
